//! The certificate that larder shows, and its key: from two files, read anew when they change.
//!
//! Owns the reading, the swap, and what the log is told of both. Connections go on with what they
//! began with. Must not know what a pair is.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ServerConfig};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::config::TlsConfig;
use super::pair::{Pair, PairError};
use super::watch::{PairWatch, WatchStep};
use crate::values::clock;
use crate::values::correlation;
use crate::values::digest::Digest;
use crate::values::secret_file::SecretFile;
use crate::values::shutdown::Shutdown;
use crate::values::validity::{Judgement, Validity};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Between two warnings of a certificate that ends soon, or is of no use to clients.
const WARN_EVERY: Duration = Duration::from_hours(24);

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    #[error("tls.{key}: {path}: {why}")]
    Read {
        key: &'static str,
        path: String,
        why: io::Error,
    },
    #[error(transparent)]
    Pair(#[from] PairError),
    #[error("tls: {0}")]
    Protocol(#[from] rustls::Error),
}

/// What a reload came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    Unchanged,
    /// New connections see another certificate.
    Changed,
}

/// The pair in use.
pub struct Certificates {
    config: TlsConfig,
    current: Arc<Current>,
    watch: Mutex<PairWatch<Digest>>,
    acceptor: TlsAcceptor,
}

#[derive(Debug)]
struct Current(ArcSwap<Pair>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().key))
    }
}

/// What the two files hold.
struct Texts {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    /// Of both.
    mark: Digest,
    key_is_open: bool,
}

impl Certificates {
    /// Reads and checks the two files, and says until when the certificate holds.
    ///
    /// # Errors
    /// What is wrong with them; the key of the configuration is named.
    pub fn open(config: &TlsConfig) -> Result<Arc<Self>, CertificatesError> {
        let texts = Texts::read(config)?;
        let pair = texts.parse()?;
        tell(&pair, "the certificate is loaded");
        texts.warn_of_the_key(config);
        let current = Arc::new(Current(ArcSwap::from_pointee(pair)));
        let mut provider = aws_lc_rs::default_provider();
        let suites = &mut provider.cipher_suites;
        suites.sort_by_key(|suite| !is_aes_128(suite.suite()));
        let mut server = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(config.min_version.and_newer())?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        server.ignore_client_order = true;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Tickets that the client keeps, under keys of this process: they outlive a swapped pair,
        // so that a renewal sends no client back to a whole handshake. A client that resumes has been shown the
        // certificate of the session's beginning.
        server.ticketer = Ticketer::new()?;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        // A client that had several connections has as many.
        server.send_tls13_tickets = 1;
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let watch = Mutex::new(PairWatch::new(texts.mark));
        Ok(Arc::new(Self {
            config: config.clone(),
            current,
            watch,
            acceptor,
        }))
    }

    /// Whether the two files are of use, and the dates of what they hold, if they can be read.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub fn check(config: &TlsConfig) -> Result<Option<Validity>, CertificatesError> {
        Ok(Texts::read(config)?.parse()?.validity)
    }

    /// Reads both files again. What is in use stays in use when they are no good. Blocks for two
    /// small reads.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn reload(&self) -> Result<Reloaded, CertificatesError> {
        // Held while the files are read, so that of two looks the later one counts.
        let mut watch = self.watch.lock();
        let texts = Texts::read(&self.config)?;
        let pair = texts.parse()?;
        if watch.saw(texts.mark, true) != WatchStep::Take {
            return Ok(Reloaded::Unchanged);
        }
        self.take(pair, &texts);
        Ok(Reloaded::Changed)
    }

    /// The dates of what is shown now, if they can be read.
    pub fn validity(&self) -> Option<Validity> {
        self.current.0.load().validity
    }

    /// Looks at the files every few seconds until told to stop.
    pub async fn keep_up(self: Arc<Self>, shutdown: Shutdown) {
        let mut warned = clock::now();
        loop {
            tokio::select! {
                () = shutdown.begun() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let certificates = Arc::clone(&self);
            // A panic of a look was logged where it happened.
            let _ = correlation::spawn_blocking(move || certificates.look()).await;
            if warned + WARN_EVERY <= clock::now() {
                warned = clock::now();
                match self
                    .validity()
                    .map(|validity| validity.judge(clock::wall()))
                {
                    None | Some(Judgement::Good { .. }) => {}
                    Some(judgement) => tracing::warn!("the certificate {judgement}"),
                }
            }
        }
    }

    pub(in crate::server) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    fn look(&self) {
        let mut watch = self.watch.lock();
        let fault = match Texts::read(&self.config) {
            Ok(texts) if !watch.is_news(&texts.mark) => {
                watch.saw(texts.mark, true);
                return;
            }
            Ok(texts) => match texts.parse() {
                Ok(pair) if watch.saw(texts.mark, true) == WatchStep::Take => {
                    return self.take(pair, &texts);
                }
                Ok(_) => return,
                Err(why) => Some((texts.mark, why)),
            },
            // A file that is not there is being replaced, or gone: what is in use goes on, and a
            // restart will tell.
            Err(CertificatesError::Read { why, .. }) if why.kind() == io::ErrorKind::NotFound => {
                None
            }
            Err(why) => Some((Digest::of(why.to_string().as_bytes()), why)),
        };
        if let Some((mark, why)) = fault
            && watch.saw(mark, false) == WatchStep::Tell
        {
            tracing::error!(error = %why, "the new certificate or key is no good: the old ones stay in use");
        }
    }

    fn take(&self, pair: Pair, texts: &Texts) {
        let pair = Arc::new(pair);
        // First, so that what the log says is true when it says it.
        self.current.0.store(Arc::clone(&pair));
        tell(&pair, "the certificate has changed: new connections see it");
        texts.warn_of_the_key(&self.config);
    }
}

/// What a client is served with if it offers it, however it orders its ciphers: OpenSSL's and rustls'
/// clients put AES-256 first, whose handshake hashes with SHA-384, for which processors have no
/// instructions as they have for SHA-256.
fn is_aes_128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

impl Texts {
    fn read(config: &TlsConfig) -> Result<Self, CertificatesError> {
        let certificate = read("certificate", &config.certificate)?.text;
        let key = read("key", &config.key)?;
        let length = certificate.len().to_be_bytes();
        let mark = Digest::of(&[&length[..], &certificate, &key.text].concat());
        Ok(Self {
            certificate: certificate.to_vec(),
            key_is_open: key.is_open(),
            key: key.text,
            mark,
        })
    }

    fn parse(&self) -> Result<Pair, CertificatesError> {
        Ok(Pair::parse(&self.certificate, &self.key)?)
    }

    fn warn_of_the_key(&self, config: &TlsConfig) {
        if self.key_is_open {
            let key = &config.key;
            tracing::warn!(
                key,
                "every user of this machine can read the private key of tls.key: chmod o-r"
            );
        }
    }
}

fn read(key: &'static str, path: &str) -> Result<SecretFile, CertificatesError> {
    let fault = |why| CertificatesError::Read {
        key,
        path: path.to_owned(),
        why,
    };
    SecretFile::read(Path::new(path)).map_err(fault)
}

fn tell(pair: &Pair, what: &'static str) {
    let Some(validity) = pair.validity else {
        tracing::info!("{what}");
        return;
    };
    let not_after = humantime::format_rfc3339_seconds(validity.until());
    match validity.judge(clock::wall()) {
        Judgement::Good { .. } => tracing::info!(%not_after, "{what}"),
        judgement => tracing::warn!(%not_after, "{what}, and {judgement}"),
    }
}
