//! How a peer is reached: whom TLS trusts, what larder shows of itself, and which proxy is asked.
//!
//! Opens the files that the keys name, once; the system's trusted roots are read when TLS first needs
//! them. The client certificate and the pins are for the peer's
//! own origin: an object store or a redirect to elsewhere sees an ordinary client that trusts
//! ordinary CAs, and so does a proxy. Must not connect.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::proxy::{Proxies, ProxyEnvironment};
use super::roots::{Roots, SystemRoots};
use super::transport_config::{TransportConfig, pins};
use super::verifier::{PeerVerifier, Trust};
use crate::values::digest::Digest;
use crate::values::secret::Secret;
use crate::values::secret_file::SecretFile;

/// Protocols by ALPN (RFC 7301).
const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

/// Shared by all connections to one peer, and to where it redirects.
#[derive(Clone)]
pub struct Transport {
    provider: Arc<CryptoProvider>,
    roots: Arc<Roots>,
    pins: Vec<Digest>,
    identity: Option<Arc<CertifiedKey>>,
    proxies: Proxies,
}

/// For whose eyes a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The peer itself.
    Own,
    /// Any other host, be it that the peer redirected there.
    Other,
}

impl Transport {
    /// `proxy_credential` is the content of `proxy_credential_file`.
    ///
    /// # Errors
    /// A sentence that begins with the key that is to blame.
    pub fn open(
        config: &TransportConfig<'_>,
        proxy_credential: Option<&Secret>,
        environment: &ProxyEnvironment,
        system: &SystemRoots,
    ) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let pins = pins(config.pin_sha256).map_err(|text| format!("pin_sha256: \"{text}\""))?;
        let pair = proxy_credential.map(Secret::expose);
        if pair.is_some_and(|pair| !pair.contains(&b':')) {
            let path = config.proxy_credential_file;
            return Err(format!(
                "proxy_credential_file: {path}: must hold user:password"
            ));
        }
        Ok(Self {
            roots: Arc::new(Roots::new(system.clone(), roots_of(config.ca_file)?)),
            identity: identity(config, &provider)?,
            proxies: Proxies::choose(config.proxy, pair, environment)
                .map_err(|why| format!("proxy: {why}"))?,
            provider,
            pins,
        })
    }

    /// What is plainly missing to reach this URL, though the configuration can be understood. Blocks:
    /// of an https URL the system's trusted roots are read.
    pub fn lack(&self, url: &Url) -> Option<String> {
        let needs_roots = url.scheme() == "https" && self.pins.is_empty();
        let lacks = needs_roots && self.roots.read().is_empty();
        lacks.then(|| {
            "no CA is trusted, so that no https server can be: the system's store is empty (on Debian: install ca-certificates), \
             and no ca_file is set"
                .to_owned()
        })
    }

    /// Whether the peer is shown a client certificate.
    pub fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// The proxy towards this URL, as it may be shown.
    pub fn proxy(&self, url: &Url) -> Option<String> {
        self.proxies.towards(url).map(ToString::to_string)
    }

    pub fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// Returns when a handshake for `audience` need not wait for a disk.
    pub async fn is_ready(&self, audience: Audience) {
        if !self.is_pinned(audience) {
            self.roots.are_read().await;
        }
    }

    fn is_pinned(&self, audience: Audience) -> bool {
        audience == Audience::Own && !self.pins.is_empty()
    }

    /// # Errors
    /// What the TLS library says.
    pub fn tls(&self, audience: Audience, http2: bool) -> Result<Arc<ClientConfig>, String> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|why| why.to_string())?;
        let is_own = audience == Audience::Own;
        let trust = match self.is_pinned(audience) {
            true => Trust::Pins(self.pins.clone()),
            false => Trust::Roots(Arc::clone(&self.roots)),
        };
        let verifier = PeerVerifier::new(trust, Arc::clone(&self.provider));
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match self.identity.as_ref().filter(|_| is_own) {
            Some(identity) => builder
                .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity)))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = match http2 {
            true => vec![HTTP_2.to_vec(), HTTP_1.to_vec()],
            false => vec![HTTP_1.to_vec()],
        };
        Ok(Arc::new(config))
    }
}

/// The trusted roots of a file; none if its name is empty.
fn roots_of(ca_file: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if ca_file.is_empty() {
        return Ok(roots);
    }
    for certificate in certificates("ca_file", ca_file)? {
        roots
            .add(certificate)
            .map_err(|why| format!("ca_file: {ca_file}: {why}"))?;
    }
    Ok(roots)
}

fn identity(
    config: &TransportConfig<'_>,
    provider: &CryptoProvider,
) -> Result<Option<Arc<CertifiedKey>>, String> {
    if config.client_certificate.is_empty() {
        return Ok(None);
    }
    let chain = certificates("client_certificate", config.client_certificate)?;
    let blame = |why: &dyn std::fmt::Display| format!("client_key: {}: {why}", config.client_key);
    let file = SecretFile::read(Path::new(config.client_key)).map_err(|why| blame(&why))?;
    let key = PrivateKeyDer::from_pem_slice(&file.text).map_err(|why| blame(&why))?;
    let identity = CertifiedKey::from_der(chain, key, provider).map_err(|why| match why {
        rustls::Error::InconsistentKeys(_) => {
            blame(&format!("is not the key of {}", config.client_certificate))
        }
        why => blame(&why),
    })?;
    Ok(Some(Arc::new(identity)))
}

/// At least one.
fn certificates(key: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let blame = |why: &dyn std::fmt::Display| format!("{key}: {path}: {why}");
    let file = SecretFile::read(Path::new(path)).map_err(|why| blame(&why))?;
    let certificates = CertificateDer::pem_slice_iter(&file.text);
    let certificates = certificates
        .collect::<Result<Vec<_>, _>>()
        .map_err(|why| blame(&why))?;
    if certificates.is_empty() {
        return Err(blame(&"holds no certificate in PEM format"));
    }
    Ok(certificates)
}
