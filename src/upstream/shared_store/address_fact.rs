//! The fact that an address yielded these bytes, as it travels: under a keyed hash of the address,
//! and signed with the same key.
//!
//! A digest that an uploader declared is no proof, so the fact that an address once yielded bytes of
//! it travels beside them. The key tells no private name to a reader of the bucket, and no writer of
//! the bucket without it can make a fact up. Pure. Must not know the bucket.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::registry::FileRef;
use crate::values::digest::Digest;
use crate::values::secret::Secret;

/// Longest fact that is read.
pub const FACT_BYTES_MAX: usize = 8 << 10;

/// What one larder of the fleet learned of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressFact {
    pub sha256: Digest,
    pub size: u64,
    /// Upstream's validators, for asking again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_modified: Option<String>,
    /// Of the metadata that was made of the verified wheel.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub metadata: Option<Digest>,
}

/// What all larders of a fleet know and nothing else does.
pub struct FleetKey(Hmac<Sha256>);

/// Shorter secrets could be guessed.
pub const FLEET_KEY_BYTES_MIN: usize = 16;

impl FleetKey {
    pub fn new(secret: &Secret) -> Option<Self> {
        if secret.expose().len() < FLEET_KEY_BYTES_MIN {
            return None;
        }
        Hmac::new_from_slice(secret.expose()).ok().map(Self)
    }

    /// The name of an address: of a file's path at this base. Each part goes in with its length.
    pub fn name(&self, base: &str, file: &FileRef) -> String {
        let path = file.path();
        let digest = file.digest.to_string();
        self.hash(&[
            b"address",
            base.as_bytes(),
            path.as_bytes(),
            digest.as_bytes(),
        ])
    }

    /// The fact under this name, as it is written: a line with its signature, and one of JSON.
    pub fn seal(&self, name: &str, fact: &AddressFact) -> String {
        // A value of text and numbers can always be written.
        let text = serde_json::to_string(fact).unwrap_or_default();
        let signature = self.hash(&[b"fact", name.as_bytes(), text.as_bytes()]);
        format!("{signature}\n{text}\n")
    }

    /// The fact, if it was written under this name by a larder with this key.
    pub fn open(&self, name: &str, written: &[u8]) -> Option<AddressFact> {
        let (signature, text) = std::str::from_utf8(written).ok()?.split_once('\n')?;
        let text = text.strip_suffix('\n')?;
        let expected = Digest::parse(signature)?;
        let mac = self.mac(&[b"fact", name.as_bytes(), text.as_bytes()]);
        mac.verify_slice(expected.as_bytes()).ok()?;
        serde_json::from_str(text).ok()
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac
    }

    fn hash(&self, parts: &[&[u8]]) -> String {
        let full: [u8; 32] = self.mac(parts).finalize().into_bytes().into();
        full.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Route;

    fn key(secret: &str) -> FleetKey {
        FleetKey::new(&Secret::new(secret)).expect("a secret that is long enough")
    }

    fn file(project: u32, name: &str) -> FileRef {
        let digest = "0123456789abcdef".repeat(4);
        let path = format!("/api/v4/projects/{project}/packages/pypi/files/{digest}/{name}");
        match Route::from_path(&path) {
            Ok(Route::File(file)) => file,
            other => panic!("{other:?}"),
        }
    }

    fn fact() -> AddressFact {
        AddressFact {
            sha256: Digest::of(b"x"),
            size: 1,
            etag: Some("\"a\"".to_owned()),
            last_modified: None,
            metadata: None,
        }
    }

    #[test]
    fn a_fact_is_read_back_under_its_own_name_and_key_alone() {
        let ours = key("0123456789abcdef");
        let written = ours.seal("name", &fact());
        assert_eq!(ours.open("name", written.as_bytes()), Some(fact()));
        assert_eq!(ours.open("other", written.as_bytes()), None);
        let theirs = key("fedcba9876543210");
        assert_eq!(theirs.open("name", written.as_bytes()), None);
        let larger = written.replace("\"size\":1", "\"size\":2");
        assert_ne!(larger, written);
        assert_eq!(ours.open("name", larger.as_bytes()), None);
        for torn in ["", "\n", "x\n{}\n"] {
            assert_eq!(ours.open("name", torn.as_bytes()), None);
        }
        let cut = &written.as_bytes()[..written.len() - 1];
        assert_eq!(ours.open("name", cut), None);
    }

    #[test]
    fn names_differ_by_key_base_project_and_file_and_tell_nothing() {
        let ours = key("0123456789abcdef");
        let demo = file(42, "demo-1.0.tar.gz");
        let name = ours.name("https://gitlab.example", &demo);
        assert_eq!(name, ours.name("https://gitlab.example", &demo));
        assert!(Digest::parse(&name).is_some(), "{name}");
        for other in [
            ours.name("https://other.example", &demo),
            ours.name("https://gitlab.example", &file(43, "demo-1.0.tar.gz")),
            ours.name("https://gitlab.example", &file(42, "demo-1.1.tar.gz")),
            key("fedcba9876543210").name("https://gitlab.example", &demo),
        ] {
            assert_ne!(other, name);
        }
    }

    #[test]
    fn a_secret_that_could_be_guessed_is_none() {
        assert!(FleetKey::new(&Secret::new("0123456789abcde")).is_none());
    }
}
