//! A certificate and its private key, as two PEM texts hold them.
//!
//! Pure. Owns whether they are of use, and from when until when. Must not know where they come
//! from.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, Der, PrivateKeyDer, ServerName, TrustAnchor, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore};

use crate::values::validity::Validity;

/// Later than any date that a certificate can carry: the year 10000.
const END_OF_TIME: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(253_402_300_800));

/// What a server shows and signs with.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub key: Arc<CertifiedKey>,
    /// Of all its certificates together; none when no date can be read.
    pub validity: Option<Validity>,
}

/// Why two texts are of no use to a server.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    #[error(
        "tls.certificate: there is no certificate in it; wanted is PEM (-----BEGIN CERTIFICATE-----)"
    )]
    NoCertificate,
    #[error("tls.certificate: its PEM is damaged")]
    Damaged,
    #[error("tls.certificate: rustls cannot use it: {0}")]
    Certificate(String),
    #[error("tls.key: there is no private key in it; wanted is PEM (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    #[error(
        "tls.key: it is encrypted, and larder cannot ask for a passphrase; `openssl pkey` writes it unencrypted"
    )]
    Encrypted,
    #[error("tls.key: rustls cannot use it: {0}")]
    Key(String),
    #[error("tls.key: it does not belong to the certificate of tls.certificate")]
    Mismatch,
}

impl Pair {
    pub(super) fn parse(certificate: &[u8], key: &[u8]) -> Result<Self, PairError> {
        let chain = CertificateDer::pem_slice_iter(certificate);
        let chain: Vec<CertificateDer<'static>> = chain
            .collect::<Result<_, _>>()
            .map_err(|_| PairError::Damaged)?;
        if chain.is_empty() {
            return Err(PairError::NoCertificate);
        }
        let private = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            let encrypted = key.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED);
            if encrypted {
                PairError::Encrypted
            } else {
                PairError::NoKey
            }
        })?;
        let validity = chain.iter().filter_map(validity).reduce(Validity::and);
        let provider = aws_lc_rs::default_provider();
        let signing = provider
            .key_provider
            .load_private_key(private)
            .map_err(|why| PairError::Key(why.to_string()))?;
        let key = CertifiedKey::new(chain, signing);
        match key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => return Err(PairError::Mismatch),
            Err(why) => return Err(PairError::Certificate(why.to_string())),
        }
        Ok(Self {
            key: Arc::new(key),
            validity,
        })
    }
}

/// In the label of PKCS #8 and in the header of older forms.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// A certificate's two dates. They are what a verifier complains of first when it is asked at the
/// beginning and at the end of time, and so need no second reader of X.509.
fn validity(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let at = |time: UnixTime| UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()));
    let until = match complaint(certificate, END_OF_TIME)? {
        CertificateError::ExpiredContext { not_after, .. } => at(not_after)?,
        _ => return None,
    };
    let from = match complaint(certificate, UnixTime::since_unix_epoch(Duration::ZERO))? {
        CertificateError::NotValidYetContext { not_before, .. } => at(not_before)?,
        // One from before 1970, as some write who mean always.
        _ => UNIX_EPOCH,
    };
    Some(Validity::new(from, until))
}

fn complaint(certificate: &CertificateDer<'_>, at: UnixTime) -> Option<CertificateError> {
    let no_anchor = TrustAnchor {
        subject: Der::from_slice(&[]),
        subject_public_key_info: Der::from_slice(&[]),
        name_constraints: None,
    };
    let roots = Arc::new(RootCertStore {
        roots: vec![no_anchor],
    });
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
        .build()
        .ok()?;
    let name = ServerName::try_from("larder.invalid").ok()?;
    match verifier.verify_server_cert(certificate, &[], &name, &[], at) {
        Err(Error::InvalidCertificate(why)) => Some(why),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    type Checked = Result<(), Box<dyn std::error::Error>>;

    const FROM: u64 = 1_500_000_000;

    fn made(until: SystemTime) -> Result<(String, String), rcgen::Error> {
        let mut params = CertificateParams::new(vec!["larder.example".to_owned()])?;
        params.not_before = (UNIX_EPOCH + Duration::from_secs(FROM)).into();
        params.not_after = until.into();
        let key = KeyPair::generate()?;
        Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
    }

    #[test]
    fn a_pair_is_read_and_its_dates_told() -> Checked {
        let [from, late, soon] =
            [FROM, 2_000_000_000, 1_900_000_000].map(|at| UNIX_EPOCH + Duration::from_secs(at));
        let (certificate, key) = made(late)?;
        let pair = Pair::parse(certificate.as_bytes(), key.as_bytes())?;
        assert_eq!(pair.validity, Some(Validity::new(from, late)));
        let chain = format!("{certificate}{}", made(soon)?.0);
        let pair = Pair::parse(chain.as_bytes(), key.as_bytes())?;
        let first_to_end = pair.validity.map(|validity| validity.until());
        assert_eq!((first_to_end, pair.key.cert.len()), (Some(soon), 2));
        // One file may hold both.
        let both = format!("{key}{certificate}");
        assert!(Pair::parse(both.as_bytes(), both.as_bytes()).is_ok());
        Ok(())
    }

    #[test]
    fn what_is_of_no_use_is_named() -> Checked {
        let until = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let ((certificate, key), (_, other)) = (made(until)?, made(until)?);
        let fault = |certificate: &str, key: &str| {
            Pair::parse(certificate.as_bytes(), key.as_bytes()).err()
        };
        assert_eq!(fault("", &key), Some(PairError::NoCertificate));
        assert_eq!(fault(&key, &key), Some(PairError::NoCertificate));
        assert_eq!(
            fault(&certificate.replace("-----END", "-----"), &key),
            Some(PairError::Damaged)
        );
        assert_eq!(fault(&certificate, ""), Some(PairError::NoKey));
        assert_eq!(fault(&certificate, &certificate), Some(PairError::NoKey));
        assert_eq!(fault(&certificate, &other), Some(PairError::Mismatch));
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        assert_eq!(fault(&certificate, &encrypted), Some(PairError::Encrypted));
        let nonsense = "-----BEGIN PRIVATE KEY-----\nbm9uc2Vuc2U=\n-----END PRIVATE KEY-----\n";
        assert!(matches!(
            fault(&certificate, nonsense),
            Some(PairError::Key(_))
        ));
        let nonsense = "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n";
        assert!(matches!(
            fault(nonsense, &key),
            Some(PairError::Certificate(_))
        ));
        Ok(())
    }
}
