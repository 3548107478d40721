//! The object store behind GitLab: signed URLs, and files for those who bring one and no
//! credential.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::http::entity::Entity;
use super::super::http::{Answer, Head};
use super::super::wheel::sha256_hex;
use super::universe::{StoredFile, Universe};

/// What an object's key keeps as it is.
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The signed URLs given out so far.
#[derive(Debug, Default)]
pub(super) struct Signatures(Mutex<HashMap<String, Signed>>);

#[derive(Debug)]
struct Signed {
    method: &'static str,
    path: String,
    until: Instant,
}

impl Signatures {
    /// A URL below `base` for one method on one file.
    pub(super) fn sign(
        &self,
        base: &str,
        method: &'static str,
        file: &StoredFile,
        good_for: Duration,
    ) -> String {
        let key = sha256_hex(file.id.to_string().as_bytes());
        let name = utf8_percent_encode(&file.name, KEY);
        let path = format!(
            "/bucket/{}/{}/{key}/files/{}/{name}",
            &key[..2],
            &key[2..4],
            file.id
        );
        let mut signed = self.0.lock().expect("no panic holds it");
        let signature = sha256_hex(format!("{method} {path} {}", signed.len()).as_bytes());
        let url = format!(
            "{base}{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires={}&X-Amz-SignedHeaders=host&X-Amz-Signature={signature}",
            good_for.as_secs()
        );
        signed.insert(
            signature,
            Signed {
                method,
                path,
                until: Instant::now() + good_for,
            },
        );
        url
    }

    /// Makes every URL given out so far an expired one.
    pub(super) fn expire_all(&self) {
        for signed in self.0.lock().expect("no panic holds it").values_mut() {
            signed.until = Instant::now();
        }
    }

    fn check(&self, request: &Head) -> Result<(), Answer> {
        let signed = self.0.lock().expect("no panic holds it");
        let signature = request
            .query("X-Amz-Signature")
            .and_then(|signature| signed.get(&signature));
        match signature {
            Some(known) if known.path == request.path() && known.method == request.method => {
                if Instant::now() < known.until {
                    Ok(())
                } else {
                    Err(Answer::expired_signature())
                }
            }
            _ => Err(Answer::xml(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            )),
        }
    }
}

/// The answer to any request at the store's own address.
pub(super) fn answer(universe: &Universe, signatures: &Signatures, request: &Head) -> Answer {
    if request.header("Authorization").is_some() {
        return Answer::xml(
            400,
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or \
             the Authorization header should be specified",
        );
    }
    if let Err(refusal) = signatures.check(request) {
        return refusal;
    }
    let id = request
        .path()
        .split('/')
        .nth(6)
        .and_then(|id| id.parse().ok());
    match id
        .and_then(|id| universe.file(id))
        .filter(|file| !file.lost)
    {
        Some(file) => serve(file, request),
        None => Answer::xml(404, "NoSuchKey", "The specified key does not exist."),
    }
}

/// A stored file with the store's own validators.
pub(super) fn serve(file: &StoredFile, request: &Head) -> Answer {
    let entity = Entity {
        bytes: &file.bytes,
        etag: Some(etag(file)),
        modified: file.modified,
        content_type: "application/octet-stream",
    };
    let answer = entity.answer(request);
    if answer.status != 416 {
        return answer;
    }
    Answer::xml(
        416,
        "InvalidRange",
        "The requested range is not satisfiable",
    )
    .header("Content-Range", format!("bytes */{}", file.bytes.len()))
}

/// As long as an MD5 and, like it, no sha256 of the content.
fn etag(file: &StoredFile) -> String {
    let summary = format!("{} {} {:?}", file.id, file.bytes.len(), file.modified);
    format!("\"{}\"", &sha256_hex(summary.as_bytes())[..32])
}
