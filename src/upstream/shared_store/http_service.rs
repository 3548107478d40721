//! Requests to the shared store over larder's own connections: signed by `object_store`, sent by the
//! client that asks every other peer.
//!
//! One request is one try: a read that fails is a miss, and an upload is repeated by its queue. The
//! breaker and the counts see each of them. Must not know what an object is.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::header::PROXY_AUTHORIZATION;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use parking_lot::Mutex;
use tokio::time::timeout;
use url::Url;

use super::config::SharedStoreConfig;
use crate::upstream::breaker::Breaker;
use crate::upstream::connect::{PeerConnector, Proxy};
use crate::upstream::counts::{PeerFault, PeerStats, RequestOutcome};
use crate::upstream::error::UpstreamError;
use crate::upstream::peer::Peer;
use crate::values::clock;
use crate::values::error_chain;

/// What larder may not do there, or what is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoreRefusal {
    pub what: RefusedFor,
    pub since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusedFor {
    /// The credential, or what it may do.
    Reads(StatusCode),
    Writes(StatusCode),
    Bucket,
    /// None was to be had where an instance, a container or a pod asks for its own.
    Credential,
}

impl RefusedFor {
    /// What is wrong and what to do, after "the shared store".
    pub fn in_words(self) -> String {
        let what = match self {
            Self::Bucket => {
                "has no such bucket: check shared_store.url, or make the bucket".to_owned()
            }
            Self::Reads(status) if is_misdirected(status) => format!(
                "answers {status} to reads: check shared_store.region and endpoint, the access key, and the clock"
            ),
            Self::Reads(status) => format!(
                "refuses larder ({status}): check the access key of shared_store, what it may do, and the clock"
            ),
            Self::Credential => "is not asked, because no credential for it is to be had: set \
                shared_store.access_key_id_file and secret_access_key_file, or let larder reach what gives \
                this instance, container or pod its own"
                .to_owned(),
            Self::Writes(status) => {
                return format!(
                    "takes no uploads from larder ({status}): let its key write, or set shared_store.concurrent_writes = 0; it is read all the same"
                );
            }
        };
        format!("{what}; files come from upstream meanwhile")
    }
}

/// How engines answer a request that is for another region, or signed for one; an expired token is
/// answered 400 as well.
fn is_misdirected(status: StatusCode) -> bool {
    status == StatusCode::BAD_REQUEST || status.is_redirection()
}

/// How the last questions for a credential went.
#[derive(Clone, Copy, Debug, Default)]
struct CredentialState {
    /// It was asked for, and no request to the bucket went out since.
    is_asked: bool,
    /// When it was last asked for in vain.
    failed: Option<Instant>,
}

/// What outlives one request.
#[derive(Debug)]
pub(super) struct StoreCondition {
    pub breaker: Breaker,
    pub counts: Mutex<Arc<PeerStats>>,
    refusal: Mutex<Option<StoreRefusal>>,
    credential: Mutex<CredentialState>,
    /// Bodies in a row that broke off, and when the last one did.
    broken: Mutex<(u32, Option<Instant>)>,
}

impl StoreCondition {
    pub fn new(breaker: Breaker) -> Self {
        Self {
            breaker,
            counts: Mutex::default(),
            refusal: Mutex::new(None),
            credential: Mutex::default(),
            broken: Mutex::default(),
        }
    }

    /// A body came to its end, or broke off.
    pub fn body_ended(&self, is_whole: bool, now: Instant) {
        let mut broken = self.broken.lock();
        *broken = match is_whole {
            true => (0, None),
            false => (broken.0.saturating_add(1), Some(now)),
        };
    }

    /// For how long so many bodies in a row have broken off, if the last one did lately.
    pub fn breaks_off(&self, in_a_row: u32, rest: Duration, now: Instant) -> Option<Duration> {
        let (count, last) = *self.broken.lock();
        let ago = now.saturating_duration_since(last?);
        if in_a_row > 0 && count >= in_a_row && ago < rest {
            Some(ago)
        } else {
            None
        }
    }

    pub fn counts(&self) -> Arc<PeerStats> {
        Arc::clone(&self.counts.lock())
    }

    pub fn refusal(&self) -> Option<StoreRefusal> {
        *self.refusal.lock()
    }

    /// Tells the log once.
    pub fn refused(&self, what: RefusedFor, now: Instant) {
        let mut refusal = self.refusal.lock();
        let is_known = refusal.is_some_and(|known| known.what == what);
        if is_known {
            return;
        }
        *refusal = Some(StoreRefusal { what, since: now });
        tracing::error!("the shared store {}", what.in_words());
    }

    /// A read or a write was taken, which says nothing of the other.
    pub fn accepted(&self, is_write: bool) {
        self.ends(|what| match what {
            RefusedFor::Reads(_) => !is_write,
            RefusedFor::Writes(_) => is_write,
            RefusedFor::Bucket => true,
            RefusedFor::Credential => false,
        });
    }

    fn ends(&self, is_over: impl FnOnce(RefusedFor) -> bool) {
        let mut refusal = self.refusal.lock();
        if refusal.is_some_and(|known| is_over(known.what)) {
            *refusal = None;
            tracing::info!("the shared store takes larder's requests again");
        }
    }

    /// Whether nothing is asked, because no credential came lately. After the rest one request
    /// finds out, and the others wait for what it comes to.
    pub fn lacks_credential(&self, rest: Duration, now: Instant) -> bool {
        let mut credential = self.credential.lock();
        let Some(failed) = credential.failed else {
            return false;
        };
        let rests = now.saturating_duration_since(failed) < rest;
        if !rests {
            credential.failed = Some(now);
        }
        rests
    }

    fn credential_asked(&self) {
        self.credential.lock().is_asked = true;
    }

    fn credential_failed(&self, now: Instant) {
        self.credential.lock().failed = Some(now);
        self.refused(RefusedFor::Credential, now);
    }

    /// A read took longer than its request may: what it waited for besides is its credential.
    pub fn gave_up(&self, now: Instant) {
        let is_asked = self.credential.lock().is_asked;
        if is_asked {
            self.credential_failed(now);
        }
    }

    /// A request to the bucket goes out, with a credential.
    fn credential_came(&self) {
        let before = std::mem::take(&mut *self.credential.lock());
        if before.failed.is_some() {
            self.ends(|what| what == RefusedFor::Credential);
        }
    }
}

type StoreClient = Client<PeerConnector, HttpRequestBody>;

/// The client of one bucket.
#[derive(Clone)]
pub(super) struct StoreHttp {
    pub client: StoreClient,
    /// Without a proxy.
    pub direct: StoreClient,
    /// Of the bucket.
    pub origin: Url,
    pub connector: PeerConnector,
    pub config: SharedStoreConfig,
    pub condition: Arc<StoreCondition>,
}

impl fmt::Debug for StoreHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreHttp")
    }
}

/// Why a request was not sent.
#[derive(Debug, thiserror::Error)]
#[error("the shared store could not be reached several times in a row, and is left alone")]
pub(super) struct LeftAlone;

/// The answer to an upload that would be the same another time.
#[derive(Debug, thiserror::Error)]
#[error("an upload was answered {0}")]
pub(super) struct RejectedUpload(pub StatusCode);

/// The answer to a read of another region's bucket.
#[derive(Debug, thiserror::Error)]
#[error("a read was answered {0}")]
pub(super) struct MisdirectedRead(pub StatusCode);

#[async_trait::async_trait]
impl HttpService for StoreHttp {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url = Url::parse(&request.uri().to_string());
        let url = url.map_err(|why| HttpError::new(HttpErrorKind::Request, why))?;
        if !is_below(&url, &self.origin) {
            return self.ask_credential(request, &url).await;
        }
        self.condition.credential_came();
        let proxy = self.connector.asked_proxy(&url);
        if let Some(value) = proxy.and_then(Proxy::authorization) {
            request
                .headers_mut()
                .insert(PROXY_AUTHORIZATION, value.clone());
        }
        let kind = kind(request.method(), url.path());
        let limit = match *request.method() {
            Method::GET | Method::HEAD => self.config.read_timeout.0,
            _ => self.config.write_timeout.0,
        };
        let sent = clock::now();
        let entered = self.condition.breaker.enter(sent);
        let pass = entered.map_err(|_| HttpError::new(HttpErrorKind::Unknown, LeftAlone))?;
        let is_object = *request.method() == Method::GET;
        let exchange = exchange(&self.client, request, is_object);
        let answered = match timeout(limit, exchange).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(why)) => Err(self.failure(&why, &url)),
            Err(_) => Err(UpstreamError::Silent(Peer::SharedStore, limit)),
        };
        let now = clock::now();
        let status = answered.as_ref().ok().map(http::Response::status);
        let is_reached = status.is_some_and(|status| !status.is_server_error());
        pass.settle(is_reached, now);
        self.tally(kind, answered.as_ref().map(http::Response::status), sent);
        let response = answered.map_err(|why| HttpError::new(HttpErrorKind::Unknown, why))?;
        let status = response.status();
        if status.is_server_error() {
            let why = UpstreamError::Failed(Peer::SharedStore, status);
            return Err(HttpError::new(HttpErrorKind::Unknown, why));
        }
        if kind == UPLOAD && is_rejection(status) {
            return Err(HttpError::new(
                HttpErrorKind::Unknown,
                RejectedUpload(status),
            ));
        }
        if kind != UPLOAD && is_misdirected(status) {
            return Err(HttpError::new(
                HttpErrorKind::Unknown,
                MisdirectedRead(status),
            ));
        }
        Ok(response)
    }
}

impl StoreHttp {
    /// Asks what is no part of the bucket: where an instance, a container or a pod has its own
    /// credential from. It says nothing of the shared store, and is waited for like a read, and after
    /// one that did not come not again for a while: each cold file would wait behind it. Over
    /// plain HTTP such a service is beside this machine: a proxy would ask for its own credential.
    async fn ask_credential(
        &self,
        request: HttpRequest,
        url: &Url,
    ) -> Result<HttpResponse, HttpError> {
        let client = match url.scheme() {
            "http" => &self.direct,
            _ => &self.client,
        };
        let exchange = exchange(client, request, false);
        let origin = url.origin().ascii_serialization();
        self.condition.credential_asked();
        match timeout(self.config.read_timeout.0, exchange).await {
            Ok(Ok(response)) => {
                let status = response.status();
                if !status.is_success() {
                    self.condition.credential_failed(clock::now());
                    tracing::warn!(%origin, %status, "no credential for the shared store");
                }
                Ok(response)
            }
            Ok(Err(why)) => {
                self.condition.credential_failed(clock::now());
                tracing::warn!(%origin, error = %error_chain::in_full(&why), "no credential for the shared store");
                Err(HttpError::new(HttpErrorKind::Unknown, why))
            }
            Err(late) => {
                self.condition.credential_failed(clock::now());
                tracing::warn!(%origin, limit = ?self.config.read_timeout.0, "no credential for the shared store in time");
                Err(HttpError::new(HttpErrorKind::Timeout, late))
            }
        }
    }

    fn failure(&self, why: &ExchangeError, url: &Url) -> UpstreamError {
        let is_connect = matches!(why, ExchangeError::Head(why) if why.is_connect());
        let error = UpstreamError::of_way(Peer::SharedStore, why, is_connect);
        let origin = url.origin().ascii_serialization();
        tracing::warn!(%origin, error = %error_chain::in_full(why), reason = %error, "no answer from the shared store");
        error
    }

    fn tally(
        &self,
        kind: &'static str,
        answered: Result<StatusCode, &UpstreamError>,
        sent: Instant,
    ) {
        let counts = self.condition.counts();
        let now = clock::now();
        match answered {
            Ok(status) => {
                counts.head_after(now.saturating_duration_since(sent));
                counts.asked(kind, RequestOutcome::of(status, false));
                if status.is_server_error() {
                    counts.failed(PeerFault::Status, now);
                }
                match status {
                    StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
                        let what = match kind {
                            UPLOAD => RefusedFor::Writes(status),
                            _ => RefusedFor::Reads(status),
                        };
                        self.condition.refused(what, now);
                    }
                    _ if kind != UPLOAD && is_misdirected(status) => {
                        self.condition.refused(RefusedFor::Reads(status), now);
                    }
                    _ if status.is_success() => self.condition.accepted(kind == UPLOAD),
                    _ => {}
                }
            }
            Err(why) => {
                counts.asked(kind, RequestOutcome::Nothing);
                if let Some(fault) = why.fault() {
                    counts.failed(fault, now);
                }
            }
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum ExchangeError {
    #[error("no answer")]
    Head(#[from] hyper_util::client::legacy::Error),
    #[error("the answer broke off")]
    Body(#[from] hyper::Error),
}

/// One request and its answer. The bytes of an object come as they are read; every other body
/// belongs to the answer, and is read here: `object_store` waits for its end without a limit.
async fn exchange(
    client: &StoreClient,
    request: HttpRequest,
    is_object: bool,
) -> Result<HttpResponse, ExchangeError> {
    let response = client.request(request).await?;
    if is_object && response.status().is_success() {
        return Ok(response.map(|body| {
            HttpResponseBody::new(
                body.map_err(|why| HttpError::new(HttpErrorKind::Interrupted, why)),
            )
        }));
    }
    let (head, body) = response.into_parts();
    let bytes = beginning(body).await?;
    Ok(HttpResponse::from_parts(head, bytes.freeze().into()))
}

/// Whether a URL is of this origin, or of a bucket's host below it.
fn is_below(url: &Url, origin: &Url) -> bool {
    let (Some(host), Some(base)) = (url.host_str(), origin.host_str()) else {
        return false;
    };
    let is_host = match host.strip_suffix(base) {
        Some(bucket) => bucket.is_empty() || bucket.ends_with('.'),
        None => false,
    };
    is_host && url.port_or_known_default() == origin.port_or_known_default()
}

/// As much of an answer as one of the S3 API can be long; what follows is not read.
async fn beginning(mut body: Incoming) -> hyper::Result<BytesMut> {
    let mut read = BytesMut::new();
    while read.len() < ANSWER_BYTES_MAX
        && let Some(frame) = body.frame().await
    {
        if let Ok(piece) = frame?.into_data() {
            let room = ANSWER_BYTES_MAX - read.len();
            read.extend_from_slice(&piece[..piece.len().min(room)]);
        }
    }
    Ok(read)
}

/// Longest answer that is read, of those that are not an object.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What a request is counted as.
fn kind(method: &Method, path: &str) -> &'static str {
    match *method {
        Method::GET | Method::HEAD if path.contains("/addresses/") => "address",
        Method::GET | Method::HEAD => "file",
        _ => UPLOAD,
    }
}

const UPLOAD: &str = "upload";

/// What is not about larder, the bucket or the moment.
fn is_rejection(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status.as_u16(), 401 | 403 | 404 | 408 | 429)
}

/// Gives `object_store` this client for all that it asks.
#[derive(Debug)]
pub(super) struct StoreConnector(pub StoreHttp);

impl HttpConnector for StoreConnector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_credential_is_asked_of_is_no_part_of_the_bucket() {
        for (origin, url, expected) in [
            (
                "https://s3.example:8333",
                "https://s3.example:8333/wheels/a",
                true,
            ),
            (
                "https://s3.example:8333",
                "https://wheels.s3.example:8333/a",
                true,
            ),
            ("https://s3.example", "https://wheelss3.example/a", false),
            ("https://s3.example", "https://sts.example/", false),
            (
                "http://127.0.0.1:8333",
                "http://127.0.0.1:1338/creds",
                false,
            ),
            (
                "http://127.0.0.1:8333",
                "http://169.254.169.254/latest",
                false,
            ),
        ] {
            let origin = Url::parse(origin).unwrap();
            assert_eq!(
                is_below(&Url::parse(url).unwrap(), &origin),
                expected,
                "{url}"
            );
        }
    }
}
