//! Whom TLS takes for a peer: a server that a trusted CA names, or one that is known by its
//! certificate's SHA-256 (`pin_sha256`), regardless of who signed it.
//!
//! A pinned server is who it says if its certificate is one of these and it has the key to it: the
//! signature of the handshake is checked as always. Neither issuer, names nor dates of the
//! certificate matter, and no other certificate will do. Must not know how the values were written.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::roots::Roots;
use crate::values::digest::Digest;

#[derive(Debug)]
pub struct PeerVerifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

/// What a server's certificate must be.
#[derive(Debug)]
pub enum Trust {
    Pins(Vec<Digest>),
    Roots(Arc<Roots>),
}

impl PeerVerifier {
    pub fn new(trust: Trust, provider: Arc<CryptoProvider>) -> Self {
        Self { trust, provider }
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trust {
            Trust::Pins(pins) => {
                let shown = Digest::of(server);
                if !pins.contains(&shown) {
                    tracing::warn!(sha256 = %shown, "a server showed a certificate that is not in pin_sha256");
                    let why = CertificateError::ApplicationVerificationFailure;
                    return Err(Error::InvalidCertificate(why));
                }
            }
            // What rustls does by itself, with roots that are read late.
            Trust::Roots(roots) => {
                let server = ParsedCertificate::try_from(server)?;
                let known = self.provider.signature_verification_algorithms.all;
                verify_server_cert_signed_by_trust_anchor(
                    &server,
                    &roots.read(),
                    intermediates,
                    now,
                    known,
                )?;
                verify_server_name(&server, name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
