//! A client that speaks TLS: HTTP/1.1 or HTTP/2, as it is told to offer.
//!
//! Asynchronous, because HTTP/2 is; [`run`] is for tests that are not. It trusts one authority and
//! nobody else.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::basic::basic;

/// No single step takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What comes of a request: the whole of it, or as far as it came.
#[derive(Debug)]
pub struct Fetched {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Why the body has no proper end, if it has none.
    pub broken: Option<String>,
}

impl Fetched {
    pub fn is_complete(&self) -> bool {
        self.broken.is_none()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// Where to connect, and what to trust and offer.
#[derive(Clone)]
pub struct TlsClient {
    address: SocketAddr,
    connector: TlsConnector,
}

impl TlsClient {
    /// `authority` is its certificate, PEM; `offers` goes by ALPN.
    pub fn new(address: SocketAddr, authority: &str, offers: &[&str]) -> Self {
        Self::speaking(rustls::ALL_VERSIONS, address, authority, offers)
    }

    /// The same with no other versions of TLS than these.
    pub fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        address: SocketAddr,
        authority: &str,
        offers: &[&str],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("PEM"))
            .expect("an authority");
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(versions)
                .expect("versions")
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = offers.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self {
            address,
            connector: TlsConnector::from(Arc::new(config)),
        }
    }

    /// A connection whose handshake is done.
    pub async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::from(self.address.ip());
        in_time(async {
            self.connector
                .connect(name, TcpStream::connect(self.address).await?)
                .await
        })
        .await
    }

    /// The server's own certificate, DER, as it is shown now to whoever comes for the first time.
    pub async fn certificate(&self) -> Vec<u8> {
        let mut config = self.connector.config().as_ref().clone();
        config.resumption = Resumption::disabled();
        let stranger = Self {
            connector: TlsConnector::from(Arc::new(config)),
            ..self.clone()
        };
        shown(&stranger.connect().await.expect("a handshake"))
    }

    /// Asks something over HTTP/1.1, and tells whether that went on with a session of an earlier
    /// connection. Tickets come behind the handshake.
    pub async fn resumes(&self) -> bool {
        let mut stream = self.connect().await.expect("a handshake");
        let request =
            b"GET /-/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        in_time(stream.write_all(request))
            .await
            .expect("a request is taken");
        let mut answer = Vec::new();
        in_time(stream.read_to_end(&mut answer))
            .await
            .expect("an answer");
        assert!(
            answer.starts_with(b"HTTP/1.1 200 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub async fn http1(&self) -> http1::SendRequest<Full<Bytes>> {
        let stream = TokioIo::new(self.connect().await.expect("a handshake"));
        let (sender, connection) = http1::handshake(stream).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        sender
    }

    pub async fn http2(&self) -> http2::SendRequest<Full<Bytes>> {
        self.http2_with(http2::Builder::new(TokioExecutor::new()))
            .await
    }

    pub async fn http2_with(
        &self,
        builder: http2::Builder<TokioExecutor>,
    ) -> http2::SendRequest<Full<Bytes>> {
        let stream = self.connect().await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let (sender, connection) = builder
            .handshake(TokioIo::new(stream))
            .await
            .expect("HTTP/2");
        tokio::spawn(connection);
        sender
    }

    /// A GET as HTTP/2 has it, with a token.
    pub fn get(&self, path: &str, secret: &str) -> Request<Full<Bytes>> {
        self.request("GET", path, secret, Bytes::new())
    }

    pub fn request(
        &self,
        method: &str,
        path: &str,
        secret: &str,
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.address))
            .header("authorization", basic("__token__", secret))
            .body(Full::new(body))
            .expect("a request")
    }
}

/// The server's own certificate, DER.
pub fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let chain = stream.get_ref().1.peer_certificates().expect("a handshake");
    chain.first().expect("a certificate").to_vec()
}

/// Reads an answer to its end, whatever that is.
pub async fn read(answer: Response<Incoming>) -> Fetched {
    let (head, mut rest) = answer.into_parts();
    let (mut body, mut broken) = (Vec::new(), None);
    while let Some(frame) = in_time(rest.frame()).await {
        match frame {
            Ok(frame) => body.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Err(why) => {
                broken = Some(format!("{why:?}"));
                break;
            }
        }
    }
    Fetched {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
        broken,
    }
}

/// Fails instead of waiting for ever.
pub async fn in_time<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, step)
        .await
        .expect("within twenty seconds")
}

/// Runs it to its end, on this thread.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(work)
}
