//! TLS in front of a stand-in, and HTTP/2 for those who choose it by ALPN.
//!
//! Each request is told how it came, in fields that no client sends: [`PROTOCOL`], and
//! [`IDENTIFIED`] if the client showed a certificate. A request over HTTP/2 is carried to the
//! stand-in's own HTTP/1.1 through memory.

use std::sync::Arc;

use http::header::{CONNECTION, HOST, HeaderName, HeaderValue};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::super::authority::{Authority, Pair};
use super::connection::Connection;
use super::kind::Door;
use super::server::{self, Host};

/// `h2` or `http/1.1`.
pub const PROTOCOL: &str = "stand-in-protocol";

/// There if the client showed a certificate.
pub const IDENTIFIED: &str = "stand-in-identified";

const BUFFER_BYTES: usize = 64 * 1024;

/// How a stand-in speaks TLS.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// HTTP/2 and HTTP/1.1; asks clients for nothing.
    pub fn new(pair: &Pair) -> Self {
        Self::with(pair, None)
    }

    /// Turns away who has no certificate of this authority's.
    pub fn for_clients_of(pair: &Pair, authority: &Authority) -> Self {
        Self::with(pair, Some((authority, true)))
    }

    /// Sees the certificates of clients who have one of this authority's, and lets everybody in.
    pub fn noticing_clients_of(pair: &Pair, authority: &Authority) -> Self {
        Self::with(pair, Some((authority, false)))
    }

    #[must_use]
    pub fn only_http1(self) -> Self {
        let mut config = (*self.0).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }

    pub(in crate::support) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0)
    }

    fn with(pair: &Pair, clients: Option<(&Authority, bool)>) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions of the library's own");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some((authority, required)) => {
                let mut roots = RootCertStore::empty();
                roots
                    .add(certificate(&authority.pem()))
                    .expect("an authority's certificate");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if required {
                    verifier
                } else {
                    verifier.allow_unauthenticated()
                };
                builder.with_client_cert_verifier(verifier.build().expect("an authority"))
            }
        };
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
        let chain = vec![certificate(&pair.certificate)];
        let mut config = builder
            .with_single_cert(chain, key)
            .expect("a certificate and its key");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// One connection, whichever protocol it turns out to speak.
pub(super) async fn serve(tls: Tls, host: Arc<impl Host>, door: Door, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = TlsAcceptor::from(tls.0).accept(stream).await else {
        return;
    };
    let session = stream.get_ref().1;
    let is_identified = session.peer_certificates().is_some();
    if session.alpn_protocol() == Some(b"h2") {
        let requests =
            service_fn(move |request| carry(Arc::clone(&host), door, request, is_identified));
        let _ = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), requests)
            .await;
        return;
    }
    let (near, far) = tokio::io::duplex(BUFFER_BYTES);
    let serving = server::serve(host, door, Connection::over(far));
    tokio::join!(serving, relay(stream, near, is_identified));
}

/// Bytes both ways, with the fields put into each head. A body must not contain what looks like the
/// end of a request line, which multipart bodies do not.
async fn relay(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    near: DuplexStream,
    is_identified: bool,
) {
    let (mut from_client, mut to_client) = tokio::io::split(stream);
    let (mut from_host, mut to_host) = tokio::io::split(near);
    let told = match is_identified {
        true => format!(" HTTP/1.1\r\n{PROTOCOL}: http/1.1\r\n{IDENTIFIED}: yes\r\n"),
        false => format!(" HTTP/1.1\r\n{PROTOCOL}: http/1.1\r\n"),
    };
    let requests = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            let piece = &buffer[..length];
            let sent = match super::connection::find(piece, b" HTTP/1.1\r\n") {
                Some(at) => {
                    let whole = [&piece[..at], told.as_bytes(), &piece[at + 11..]].concat();
                    to_host.write_all(&whole).await
                }
                None => to_host.write_all(piece).await,
            };
            if sent.is_err() {
                break;
            }
        }
        let _ = to_host.shutdown().await;
    };
    let answers = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        while let Ok(length @ 1..) = from_host.read(&mut buffer).await {
            if to_client.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
        let _ = to_client.shutdown().await;
    };
    // The host ends a connection by ending its answers.
    tokio::select! {
        () = answers => {}
        () = async { requests.await; std::future::pending().await } => {}
    }
}

/// One request of HTTP/2.
async fn carry(
    host: Arc<impl Host>,
    door: Door,
    mut request: Request<Incoming>,
    is_identified: bool,
) -> hyper::Result<Response<Incoming>> {
    let (near, far) = tokio::io::duplex(BUFFER_BYTES);
    tokio::spawn(server::serve(host, door, Connection::over(far)));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
    tokio::spawn(connection);
    let authority = request
        .uri()
        .authority()
        .map(ToString::to_string)
        .unwrap_or_default();
    let path: Option<Uri> = request
        .uri()
        .path_and_query()
        .and_then(|path| path.as_str().parse().ok());
    *request.uri_mut() = path.unwrap_or_default();
    *request.version_mut() = hyper::Version::HTTP_11;
    let headers = request.headers_mut();
    headers.insert(
        HOST,
        HeaderValue::from_str(&authority).expect("an authority"),
    );
    headers.insert(
        HeaderName::from_static(PROTOCOL),
        HeaderValue::from_static("h2"),
    );
    if is_identified {
        headers.insert(
            HeaderName::from_static(IDENTIFIED),
            HeaderValue::from_static("yes"),
        );
    }
    let mut answer = sender.send_request(request).await?;
    answer.headers_mut().remove(CONNECTION);
    *answer.version_mut() = hyper::Version::HTTP_2;
    Ok(answer)
}
