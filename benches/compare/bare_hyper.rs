//! What hyper alone can do: the ceiling that `benches/compare` sets beside the servers.
//!
//! ```text
//! bare_hyper ROOT ADDRESS TLS_ADDRESS CERTIFICATE KEY
//! ```
//!
//! Answers with the files below ROOT, which it keeps in memory from their first request on, and
//! with `NAME.gz` in place of `NAME` where gzip is accepted. One thread, HTTP/1.1; no log, no
//! limit, no check.

#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own: it owns its folder and its tasks"
)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

type Told<T> = Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: bare_hyper ROOT ADDRESS TLS_ADDRESS CERTIFICATE KEY";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Told<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, address, tls_address, certificate, key] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let files = Arc::new(Files::below(root));
    let tls = TlsAcceptor::from(Arc::new(tls_config(certificate, key)?));
    let plain_listener = TcpListener::bind(address).await?;
    let tls_listener = TcpListener::bind(tls_address).await?;
    let plain = accept(&plain_listener, &files, None);
    let encrypted = accept(&tls_listener, &files, Some(tls));
    tokio::try_join!(plain, encrypted)?;
    Ok(())
}

fn tls_config(certificate: &str, key: &str) -> Told<ServerConfig> {
    let chain: Vec<CertificateDer> =
        CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn accept(
    listener: &TcpListener,
    files: &Arc<Files>,
    tls: Option<TlsAcceptor>,
) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        tokio::spawn(greet(client, Arc::clone(files), tls.clone()));
    }
}

async fn greet(client: TcpStream, files: Arc<Files>, tls: Option<TlsAcceptor>) {
    let Some(tls) = tls else {
        return serve(client, files).await;
    };
    if let Ok(client) = tls.accept(client).await {
        serve(client, files).await;
    }
}

async fn serve(client: impl AsyncRead + AsyncWrite + Unpin, files: Arc<Files>) {
    let service = service_fn(|request| {
        let answer = files.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(client), service);
    // A client that leaves is no fault.
    let _ = connection.await;
}

/// The files below a folder, each read once.
struct Files {
    root: PathBuf,
    known: Mutex<HashMap<String, Option<Bytes>>>,
}

impl Files {
    fn below(root: &str) -> Self {
        Self {
            root: PathBuf::from(root),
            known: Mutex::default(),
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if accepts_gzip(request)
            && let Some(body) = self.find(&format!("{path}.gz"))
        {
            let mut answer = found(path, body);
            let coding = HeaderValue::from_static("gzip");
            answer.headers_mut().insert(CONTENT_ENCODING, coding);
            return answer;
        }
        if let Some(body) = self.find(path) {
            return found(path, body);
        }
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::NOT_FOUND;
        answer
    }

    fn find(&self, path: &str) -> Option<Bytes> {
        if let Some(known) = self.known.lock().get(path) {
            return known.clone();
        }
        let body = read(&self.root, path);
        self.known.lock().insert(path.to_owned(), body.clone());
        body
    }
}

fn read(root: &Path, path: &str) -> Option<Bytes> {
    if path.contains("..") {
        return None;
    }
    let body = std::fs::read(root.join(path.trim_start_matches('/'))).ok()?;
    Some(Bytes::from(body))
}

fn accepts_gzip(request: &Request<Incoming>) -> bool {
    let accepted = request.headers().get(ACCEPT_ENCODING);
    accepted.is_some_and(|value| value.as_bytes().starts_with(b"gzip"))
}

fn found(path: &str, body: Bytes) -> Response<Full<Bytes>> {
    let content_type = if path.contains("/simple/") {
        HeaderValue::from_static("text/html; charset=utf-8")
    } else {
        HeaderValue::from_static("application/octet-stream")
    };
    let mut answer = Response::new(Full::new(body));
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}
