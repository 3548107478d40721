//! A private certificate authority, and certificates of it for servers and clients.
//!
//! Strict enough for Python's newest `ssl` and for rustls: key usages, key identifiers, basic
//! constraints.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

const DAY: Duration = Duration::from_hours(24);

/// Signs what a test needs.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its private key, both PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// Self-signed, of this common name.
    pub fn new(name: &str) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, fresh_key()).expect("a certificate"))
    }

    /// Its own certificate, PEM: what a client has to trust.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Writes its certificate to `NAME.pem` in a folder.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(format!("{name}.pem"));
        std::fs::write(&path, self.pem()).expect("a writable folder");
        path
    }

    /// For a server that is called by these DNS names or IP addresses, for a year.
    pub fn server(&self, names: &[&str]) -> Pair {
        self.server_for(names, 365 * DAY)
    }

    /// The same, expiring after so long; a year old, so that its whole life is a long one.
    pub fn server_for(&self, names: &[&str], valid: Duration) -> Pair {
        let mut params = named(names.first().copied().unwrap_or("server"), names);
        params.not_before = (SystemTime::now() - 365 * DAY).into();
        params.not_after = (SystemTime::now() + valid).into();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// For a server, valid from tomorrow on.
    pub fn server_of_tomorrow(&self, names: &[&str]) -> Pair {
        let mut params = named(names.first().copied().unwrap_or("server"), names);
        params.not_before = (SystemTime::now() + DAY).into();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// For a server, already expired.
    pub fn server_expired(&self, names: &[&str]) -> Pair {
        let mut params = named(names.first().copied().unwrap_or("server"), names);
        params.not_after = (SystemTime::now() - Duration::from_hours(1)).into();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// A server's certificate as careless set-ups make them: self-signed, and marked as a CA's own.
    pub fn self_signed_server(names: &[&str]) -> Pair {
        let mut params = named(names.first().copied().unwrap_or("server"), names);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = fresh_key();
        let certificate = params.self_signed(&key).expect("a certificate");
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// For a client of this common name, for a year.
    pub fn client(&self, name: &str) -> Pair {
        let mut params = named(name, &[]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Pair {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = fresh_key();
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Pair {
    /// Writes `NAME.crt` and `NAME.key`, the latter for its owner alone, in place of what was
    /// there.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let paths = (
            folder.join(format!("{name}.crt")),
            folder.join(format!("{name}.key")),
        );
        for (path, text) in [(&paths.0, &self.certificate), (&paths.1, &self.key)] {
            let new = path.with_extension("new");
            std::fs::write(&new, text).expect("a writable folder");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&new, mode).expect("a file of ours");
            std::fs::rename(&new, path).expect("a writable folder");
        }
        paths
    }
}

fn named(name: &str, alternatives: &[&str]) -> CertificateParams {
    let alternatives: Vec<String> = alternatives.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(alternatives).expect("names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + 365 * DAY).into();
    params
}

fn fresh_key() -> KeyPair {
    KeyPair::generate().expect("a key")
}
