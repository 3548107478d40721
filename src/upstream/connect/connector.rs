//! Connections: a proxy or none, TCP, TLS, all within one time limit.
//!
//! Owns the hyper clients' connector. An http URL is asked of a proxy in absolute form, an https
//! URL by way of CONNECT, so that TLS is with the peer, end to end.
//!
//! A proxy looks up names itself, so that the guard of hosts that an upstream named (`resolver`)
//! sees no address then. What is left of it: listed origins bind as ever (`redirect`), literal addresses
//! are judged there before any peer is asked, names that cannot be of the public Internet are
//! refused here, and the rest is the proxy's own rules to say: an operator who sends larder through
//! a proxy has one. Must not know what is asked.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::Uri;
use http_body::Body;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;
use url::{Host, Position, Url};

use super::proxy::{Proxies, Proxy, is_public_name};
use super::proxy_fault::ProxyFault;
use super::resolver::{AddressGuard, GuardedResolver};
use super::tls_fault::TlsFault;
use super::transport::{Audience, Transport};
use super::tunnel::tunnel;
use crate::upstream::bodies::{BODIES_AT_FULL_PACE, CountedBody};
use crate::upstream::redirect::AllowedOrigins;
use crate::values::clock;
use crate::values::error_chain::BoxError;

/// Closes a connection that was not used for so long; below what servers and balancers usually
/// keep.
const POOL_IDLE: Duration = Duration::from_secs(55);

/// Header fields accepted in an answer.
pub const ANSWER_FIELDS_MAX: usize = 128;

/// What is read at a time while many bodies are on their way: a piece of one keeps the whole buffer
/// that it was read into, of up to 408 KiB. One byte less than a power of two, on which hyper would
/// take the next larger one.
const SMALL_READ_BYTES: usize = (64 << 10) - 1;

thread_local! {
    static SMALL_READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; SMALL_READ_BYTES].into());
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no connection")]
    Network(#[source] BoxError),
    #[error("no connection within {}", humantime::format_duration(*.0))]
    Late(Duration),
    #[error("no TLS")]
    Tls(#[source] io::Error),
    #[error("the proxy {address} failed: {fault:?}")]
    Proxy {
        fault: ProxyFault,
        address: String,
        #[source]
        why: Option<BoxError>,
    },
    #[error("{0}")]
    NotPublic(String),
    #[error("not a URL that can be asked")]
    Address,
}

impl ConnectError {
    fn proxy(proxy: &Proxy, fault: ProxyFault, why: Option<BoxError>) -> Self {
        Self::Proxy {
            fault,
            address: proxy.to_string(),
            why,
        }
    }
}

/// Whom connections lead to, besides the URL.
#[derive(Clone)]
pub enum ConnectTarget {
    /// The origin that was configured.
    Own,
    /// Wherever an upstream's links and redirects lead: the hosts that the operator named in `key`,
    /// and others at public addresses.
    Guarded {
        named: Arc<AllowedOrigins>,
        key: &'static str,
    },
}

/// Opens connections to one peer.
#[derive(Clone)]
pub struct PeerConnector {
    tcp: HttpConnector<GuardedResolver>,
    /// To a proxy: any address will do, because the operator wrote its name.
    tcp_to_proxy: HttpConnector<GuardedResolver>,
    tls: TlsConnector,
    tls_to_proxy: TlsConnector,
    transport: Transport,
    audience: Audience,
    proxies: Arc<Proxies>,
    resolver: GuardedResolver,
    guard: Option<AddressGuard>,
    limit: Duration,
}

impl PeerConnector {
    /// With HTTP/2 where the peer has it, or without. `limit` is for all that comes before the
    /// request.
    ///
    /// # Errors
    /// What the TLS library says.
    pub fn new(
        transport: &Transport,
        target: ConnectTarget,
        limit: Duration,
        http2: bool,
    ) -> Result<Self, String> {
        let (audience, guard) = match target {
            ConnectTarget::Own => (Audience::Own, None),
            ConnectTarget::Guarded { named, key } => {
                (Audience::Other, Some(AddressGuard { named, key }))
            }
        };
        let resolver = GuardedResolver::new(guard.clone());
        let tls = |config: Result<Arc<ClientConfig>, String>| config.map(TlsConnector::from);
        Ok(Self {
            tcp: tcp(resolver.clone(), limit),
            tcp_to_proxy: tcp(GuardedResolver::new(None), limit),
            tls: tls(transport.tls(audience, http2))?,
            tls_to_proxy: tls(transport.tls(Audience::Other, false))?,
            transport: transport.clone(),
            audience,
            proxies: Arc::new(transport.proxies().clone()),
            resolver,
            guard,
            limit,
        })
    }

    /// The same, and never by way of a proxy.
    pub fn without_proxy(self) -> Self {
        Self {
            proxies: Arc::default(),
            ..self
        }
    }

    /// Whether a URL leads to the public Internet, as far as can be told without connecting. A name
    /// that cannot be looked up may: a connection tells more.
    pub async fn is_public(&self, url: &Url) -> bool {
        if self.proxies.towards(url).is_some() {
            return self.judge(url).is_ok();
        }
        let Some(Host::Domain(host)) = url.host() else {
            return true;
        };
        let Ok(name) = host.parse::<Name>() else {
            return false;
        };
        let mut resolver = self.resolver.clone();
        let looked_up = tokio::time::timeout(self.limit, resolver.call(name)).await;
        match looked_up {
            Ok(Err(why)) => why.kind() != io::ErrorKind::PermissionDenied,
            Ok(Ok(_)) | Err(_) => true,
        }
    }

    /// The proxy that is asked for this URL in absolute form: it reads the request, and its answers
    /// may be its own.
    pub fn asked_proxy(&self, url: &Url) -> Option<&Proxy> {
        if url.scheme() != "http" {
            return None;
        }
        self.proxies.towards(url)
    }

    /// # Errors
    /// What kept it from connecting.
    pub async fn open(&self, target: &Uri) -> Result<PeerStream, ConnectError> {
        let url = Url::parse(&target.to_string()).map_err(|_| ConnectError::Address)?;
        let until = clock::now() + self.limit;
        let is_https = url.scheme() == "https";
        let proxy = self.proxies.towards(&url);
        let way = match proxy {
            None => {
                let connecting = within(until, connect(&self.tcp, target.clone())).await;
                MaybeHttpsStream::Http(self.timely(connecting)?.map_err(ConnectError::Network)?)
            }
            Some(proxy) => {
                self.judge(&url)?;
                let silent = || ConnectError::proxy(proxy, ProxyFault::Silent, None);
                let through = within(until, self.through(proxy, &url)).await;
                through.ok_or_else(silent)??
            }
        };
        if !is_https {
            return Ok(PeerStream {
                inner: MaybeHttpsStream::Http(way),
                for_proxy: proxy.is_some(),
            });
        }
        let name = server_name(&url).ok_or(ConnectError::Address)?;
        let shaking = async {
            self.transport.is_ready(self.audience).await;
            self.tls.connect(name, TokioIo::new(way)).await
        };
        let shaking = within(until, shaking).await;
        let tls = self.timely(shaking)?.map_err(ConnectError::Tls)?;
        Ok(PeerStream {
            inner: tls.into(),
            for_proxy: false,
        })
    }

    fn timely<T>(&self, done: Option<T>) -> Result<T, ConnectError> {
        done.ok_or(ConnectError::Late(self.limit))
    }

    /// Whether a proxy may be asked for this: larder does not see which address it will find.
    fn judge(&self, url: &Url) -> Result<(), ConnectError> {
        let Some(guard) = &self.guard else {
            return Ok(());
        };
        let is_named = url
            .host_str()
            .is_some_and(|host| guard.named.names_host(host));
        // Literal addresses were judged as what they are, when the redirect was read.
        let may_be_public = url.host().is_some_and(|host| match host {
            Host::Domain(_) => is_public_name(&host),
            _ => true,
        });
        if is_named || may_be_public {
            Ok(())
        } else {
            Err(ConnectError::NotPublic(guard.refusal()))
        }
    }

    /// To the proxy, and for https through it.
    async fn through(&self, proxy: &Proxy, url: &Url) -> Result<Way, ConnectError> {
        let failed = |fault, why| ConnectError::proxy(proxy, fault, why);
        let address = proxy.address();
        let tcp = connect(&self.tcp_to_proxy, address.clone()).await;
        let tcp = tcp.map_err(|why| failed(ProxyFault::Unreachable, Some(why)))?;
        let way = if address.scheme_str() == Some("https") {
            let url = Url::parse(&address.to_string()).map_err(|_| ConnectError::Address)?;
            let name = server_name(&url).ok_or(ConnectError::Address)?;
            self.transport.is_ready(Audience::Other).await;
            let tls = self.tls_to_proxy.connect(name, TokioIo::new(tcp)).await;
            let told = |why: io::Error| {
                failed(
                    TlsFault::within(&why).map_or(ProxyFault::Garbled, ProxyFault::Tls),
                    Some(why.into()),
                )
            };
            MaybeHttpsStream::from(tls.map_err(told)?)
        } else {
            MaybeHttpsStream::Http(tcp)
        };
        if url.scheme() != "https" {
            return Ok(way);
        }
        let host = url.host_str().ok_or(ConnectError::Address)?;
        let port = url.port_or_known_default().ok_or(ConnectError::Address)?;
        let tunnel = tunnel(way, &format!("{host}:{port}"), proxy.authorization()).await;
        tunnel.map_err(|(fault, why)| failed(fault, why.map(Into::into)))
    }
}

impl Service<Uri> for PeerConnector {
    type Response = PeerStream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<PeerStream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.open(&target).await })
    }
}

/// `None` if it is not done in time.
async fn within<T>(until: Instant, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout_at(until.into(), work).await.ok()
}

fn tcp(resolver: GuardedResolver, limit: Duration) -> HttpConnector<GuardedResolver> {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.set_nodelay(true);
    // Shared out among the addresses of a name.
    tcp.set_connect_timeout(Some(limit));
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    tcp.enforce_http(false);
    tcp
}

async fn connect(
    connector: &HttpConnector<GuardedResolver>,
    target: Uri,
) -> Result<TokioIo<TcpStream>, BoxError> {
    let mut connector = connector.clone();
    poll_fn(|cx| connector.poll_ready(cx)).await?;
    Ok(connector.call(target).await?)
}

fn server_name(url: &Url) -> Option<ServerName<'static>> {
    let host = url[Position::BeforeHost..Position::AfterHost].trim_matches(['[', ']']);
    ServerName::try_from(host.trim_end_matches('.').to_owned()).ok()
}

/// A client that keeps `idle` connections for reuse; with none, every request has a connection of
/// its own.
pub fn http_client<B>(connector: PeerConnector, idle: usize) -> Client<PeerConnector, B>
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

/// To the peer, or to a proxy.
type Way = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A connection that takes requests.
pub struct PeerStream {
    inner: MaybeHttpsStream<Way>,
    for_proxy: bool,
}

impl PeerStream {
    /// Whether a proxy reads the requests, and wants them in absolute form.
    pub fn is_for_proxy(&self) -> bool {
        self.for_proxy
    }
}

impl Connection for PeerStream {
    fn connected(&self) -> Connected {
        self.inner.connected().proxy(self.for_proxy)
    }
}

impl Read for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let are_few = CountedBody::count() <= BODIES_AT_FULL_PACE;
        if are_few || buffer.remaining() <= SMALL_READ_BYTES {
            return Pin::new(&mut self.inner).poll_read(cx, buffer);
        }
        // hyper's next buffer is as large as the reads before were.
        SMALL_READ.with_borrow_mut(|bytes| {
            let mut part = ReadBuf::new(bytes);
            ready!(Pin::new(&mut self.inner).poll_read(cx, part.unfilled()))?;
            buffer.put_slice(part.filled());
            Poll::Ready(Ok(()))
        })
    }
}

impl Write for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bytes)
    }
}
