//! Connections: names to addresses, TCP, TLS.
//!
//! Owns the hyper clients' connectors. The one for the object store refuses, after resolving, addresses that are
//! not the public Internet, unless the operator named the host; hyper then connects to the very address that was
//! checked, so that a second answer of the name server cannot matter. Uploads have connections outside the clients, because
//! those can be dropped. Must not know what is asked.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http::{Request, Uri};
use http_body::Body;
use hyper::client::conn::http1;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;
use url::{Position, Url};

use super::redirect::{StoreOrigins, is_public};

pub(super) type Connector = HttpsConnector<HttpConnector<GuardedResolver>>;

/// Closes a connection that was not used for so long; below what servers and balancers usually keep.
const POOL_IDLE: Duration = Duration::from_secs(55);

/// Of an upload, between its source and the socket.
const UPLOAD_BUFFER_BYTES: usize = 64 * 1024;

/// Header fields accepted in an answer.
const ANSWER_FIELDS_MAX: usize = 128;

/// The system's trusted roots and, unless its name is empty, more from a file.
///
/// # Errors
/// What is wrong with the file, or that there is no root at all.
pub(super) fn tls(ca_file: &str) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if !ca_file.is_empty() {
        let at = |why: &dyn std::fmt::Display| format!("{ca_file}: {why}");
        let certificates = CertificateDer::pem_file_iter(ca_file).map_err(|why| at(&why))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|why| at(&why))?;
            roots.add(certificate).map_err(|why| at(&why))?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// With HTTP/2 where the peer has it, or without.
pub(super) fn connector(
    tls: ClientConfig,
    timeout: Duration,
    resolver: GuardedResolver,
    http2: bool,
) -> Connector {
    let mut http = HttpConnector::new_with_resolver(resolver);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(timeout));
    http.set_keepalive(Some(Duration::from_secs(60)));
    http.enforce_http(false);
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if http2 {
        builder.enable_all_versions().wrap_connector(http)
    } else {
        builder.enable_http1().wrap_connector(http)
    }
}

/// A client that keeps `idle` connections for reuse; with none, every request has a connection of its own.
pub(super) fn client<B>(connector: Connector, idle: usize) -> Client<Connector, B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(idle)
        .http1_max_headers(ANSWER_FIELDS_MAX)
        .http2_adaptive_window(true)
        .retry_canceled_requests(idle > 0)
        .build(connector)
}

/// The system's resolver, with an opinion on what it finds.
#[derive(Clone)]
pub(super) struct GuardedResolver {
    inner: GaiResolver,
    /// `None`: any address will do, because the operator wrote the name.
    store: Option<Arc<StoreOrigins>>,
}

impl GuardedResolver {
    /// For a peer of which only configured origins are ever asked.
    pub(super) fn for_configured() -> Self {
        Self { inner: GaiResolver::new(), store: None }
    }

    pub(super) fn for_store(origins: Arc<StoreOrigins>) -> Self {
        Self { inner: GaiResolver::new(), store: Some(origins) }
    }
}

impl Service<Name> for GuardedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let free = self.store.as_ref().is_none_or(|origins| origins.names_host(name.as_str()));
        let found = self.inner.call(name);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> =
                found.await?.filter(|found| free || is_public(found.ip())).collect();
            if addresses.is_empty() {
                let why =
                    "the object store's name has no public address; list its origin in gitlab.store_origins";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
            }
            Ok(addresses.into_iter())
        })
    }
}

type Stream = <Connector as Service<Uri>>::Response;

/// Opens a connection that serves one exchange over HTTP/1.1.
pub(super) async fn dial(connector: &Connector, target: &Uri) -> Result<Stream, BoxError> {
    let mut connector = connector.clone();
    poll_fn(|cx| connector.poll_ready(cx)).await?;
    connector.call(target.clone()).await
}

pub(super) async fn shake_hands<B>(
    stream: Stream,
) -> hyper::Result<(http1::SendRequest<B>, http1::Connection<Stream, B>)>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    http1::Builder::new()
        .max_headers(ANSWER_FIELDS_MAX)
        .max_buf_size(UPLOAD_BUFFER_BYTES)
        .handshake(stream)
        .await
}

/// The request as it stands on a connection to its own origin (RFC 9112 §3.2.1).
pub(super) fn origin_form<B>(mut request: Request<B>, url: &Url) -> Request<B> {
    let host = &url[Position::BeforeHost..Position::AfterPort];
    if let (Ok(host), Ok(path)) = (HeaderValue::from_str(host), url[Position::BeforePath..].parse()) {
        request.headers_mut().insert(HOST, host);
        *request.uri_mut() = path;
    }
    request
}

/// Runs `work` on a connection, and drops the connection with it: a socket is closed then, whatever is still in its
/// buffers. (The pooled client would go on flushing to a peer that reads no more.)
pub(super) async fn beside<T>(connection: impl Future, work: impl Future<Output = T>) -> T {
    let (mut connection, mut work) = (pin!(connection), pin!(work));
    tokio::select! {
        biased;
        done = &mut work => return done,
        // Its end, good or bad, is told to the work as well.
        _ = &mut connection => {}
    }
    work.await
}
