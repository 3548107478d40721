//! One request to upstream, and its answer.
//!
//! Owns the clients, the waits, the retries of reads, and the following of file redirects. Uploads go on a connection
//! of their own and are never sent twice. Errors say what happened in words without addresses; the log has the rest.
//! Must not know what the answer will be used for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, LOCATION, RANGE, RETRY_AFTER, USER_AGENT, VIA,
};
use http::{Method, Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use tokio::time::timeout;
use url::Url;

use super::answer::{Answer, Relayed, Validators, passed, unsatisfied};
use super::body::{BodyError, IdleBody};
use super::config::{Forward, GitLabConfig};
use super::connect::{self, Connector, GuardedResolver};
use super::redirect::{FileRedirect, PageRedirect, StoreOrigins, file_redirect, page_redirect};
use super::retry::{Policy, Try, retry_after};
use super::sending::Sending;
use crate::access::Credential;
use crate::clock;
use crate::registry::{Bases, Route};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// Redirects followed for one file.
const HOPS_MAX: usize = 5;

/// Why there is no answer to use. Shown to clients: no addresses in here.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("GitLab cannot be reached")]
    Unreachable,
    #[error("GitLab did not answer within {}", humantime::format_duration(*.0))]
    Silent(Duration),
    #[error("GitLab broke off while answering")]
    Broken,
    #[error("GitLab answered {0}")]
    Failed(StatusCode),
    #[error("a request came back to the larder that had sent it: gitlab.url points at larder")]
    Loop,
    #[error("GitLab refused larder's own token ({0}): check gitlab.token_file")]
    ServiceToken(StatusCode),
    #[error(
        "GitLab redirected to another address of its own or to a sign-in page: check gitlab.url, and https in it"
    )]
    Elsewhere,
    #[error("the object store refused the signed link ({0})")]
    StoreRefused(StatusCode),
    #[error("the object store cannot be reached")]
    StoreUnreachable,
    #[error(
        "GitLab redirected a file to an origin that is not allowed; the log says which line to add to gitlab.store_origins"
    )]
    StoreForbidden,
    #[error("GitLab redirected a file too often, or to something that is not a URL")]
    Redirects,
    #[error("{0}")]
    Unusable(&'static str),
}

impl UpstreamError {
    /// Nobody answered, as opposed to a bad answer.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Unreachable | Self::Silent(_) | Self::StoreUnreachable)
    }
}

impl From<BodyError> for UpstreamError {
    fn from(why: BodyError) -> Self {
        match why {
            BodyError::Stalled(limit) => Self::Silent(limit),
            BodyError::Broken(_) => Self::Broken,
            BodyError::TooLarge(_) => Self::Unusable("GitLab's answer is larger than limits allow"),
        }
    }
}

/// A span of bytes to ask upstream for.
#[derive(Clone, Debug)]
pub struct WantedRange {
    /// The value of the `Range` field.
    pub range: HeaderValue,
    pub if_range: Option<HeaderValue>,
}

/// A read in a caller's name.
#[derive(Debug)]
pub struct Ask<'a> {
    pub route: &'a Route,
    pub credential: &'a Credential,
    pub validators: Validators,
    pub range: Option<WantedRange>,
    /// On a connection that served nobody before.
    pub fresh_connection: bool,
}

impl<'a> Ask<'a> {
    pub fn plain(route: &'a Route, credential: &'a Credential) -> Self {
        Self { route, credential, validators: Validators::default(), range: None, fresh_connection: false }
    }
}

/// What GitLab said to a page request.
pub enum PageAnswer {
    /// 200 with a body that may be an index page.
    Page(Answer),
    NotModified,
    /// "Not here, look at the public index": to be passed on as it is.
    Forward(Relayed),
    /// A refusal, to be passed on as it is.
    Refused(Relayed),
}

/// What GitLab said to a file request.
pub enum FileAnswer {
    /// 200 or 206, from GitLab or from the object store behind it.
    Body(Answer),
    NotModified,
    /// GitLab let the caller in and pointed at the object store, which was not asked.
    Admitted(StatusCode),
    /// 416: the caller is let in, but there is nothing at this range of a file of this length.
    Unsatisfiable(Option<u64>),
    /// A refusal, to be passed on as it is.
    Refused(Relayed),
}

/// Connections to one kind of peer.
struct Line {
    pooled: Client<Connector, RequestBody>,
    fresh: Client<Connector, RequestBody>,
}

pub struct Upstream {
    bases: Bases,
    stores: Arc<StoreOrigins>,
    gitlab: Line,
    store: Line,
    /// To GitLab, for one upload each.
    uploads: Connector,
    forward: Forward,
    header_timeout: Duration,
    idle_timeout: Duration,
    upload_timeout: Duration,
    retry: Policy,
    refusal_bytes_max: usize,
    via: HeaderValue,
    /// Whether the credentials it is given are the operator's own.
    service_token: bool,
}

impl Upstream {
    /// `via` is this process's name in `Via`, by which it knows its own requests again. `service_token` says
    /// that the credentials it is given are the operator's, whose refusal is no word to the caller.
    ///
    /// # Errors
    /// A sentence about `ca_file` or the TLS set-up.
    pub fn new(
        config: &GitLabConfig,
        bases: Bases,
        stores: StoreOrigins,
        via: HeaderValue,
        service_token: bool,
    ) -> Result<Self, String> {
        let ca_file =
            Some(config.ca_file.as_ref()).filter(|path: &&std::path::Path| !path.as_os_str().is_empty());
        let tls = connect::tls(ca_file)?;
        let stores = Arc::new(stores);
        let line = |resolver: GuardedResolver| {
            let connector = connect::connector(tls.clone(), config.connect_timeout.0, resolver, true);
            Line {
                pooled: connect::client(connector.clone(), config.idle_connections),
                fresh: connect::client(connector, 0),
            }
        };
        let for_uploads = GuardedResolver::for_gitlab();
        Ok(Self {
            uploads: connect::connector(tls.clone(), config.connect_timeout.0, for_uploads, false),
            gitlab: line(GuardedResolver::for_gitlab()),
            store: line(GuardedResolver::for_store(Arc::clone(&stores))),
            bases,
            stores,
            forward: config.forward,
            header_timeout: config.header_timeout.0,
            idle_timeout: config.idle_timeout.0,
            upload_timeout: config.upload_timeout.0,
            retry: Policy { retries: config.retries, retry_after_max: config.retry_after.0 },
            refusal_bytes_max: config.refusal_size.bytes(),
            via,
            service_token,
        })
    }

    pub fn bases(&self) -> &Bases {
        &self.bases
    }

    /// Asks for an index or project page, as HTML.
    ///
    /// # Errors
    /// Whatever leaves nothing to use or to pass on.
    pub async fn page(&self, ask: &Ask<'_>) -> Result<PageAnswer, UpstreamError> {
        let url = self.bases.asked().url(ask.route);
        let mut headers = self.headers(ask);
        headers.insert(ACCEPT, HeaderValue::from_static("text/html"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let answer = self.read(&self.gitlab, &url, &headers, ask.fresh_connection).await?;
        match answer.status {
            StatusCode::OK => Ok(PageAnswer::Page(answer)),
            StatusCode::NOT_MODIFIED if !ask.validators.is_empty() => Ok(PageAnswer::NotModified),
            status if status.is_redirection() => {
                let location =
                    answer.headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
                match (page_redirect(&url, location, &self.bases), self.forward) {
                    (PageRedirect::Forward, Forward::Pass) => {
                        Ok(PageAnswer::Forward(self.relayed(answer).await?))
                    }
                    (PageRedirect::Forward, Forward::Deny) => Ok(PageAnswer::Forward(no_such_package())),
                    (PageRedirect::Elsewhere, _) => Err(UpstreamError::Elsewhere),
                }
            }
            _ => Ok(PageAnswer::Refused(self.refusal(answer).await?)),
        }
    }

    /// Asks for a file. With validators it is a question about the right to it, and no store is asked.
    ///
    /// # Errors
    /// Whatever leaves nothing to use or to pass on.
    pub async fn file(&self, ask: &Ask<'_>) -> Result<FileAnswer, UpstreamError> {
        let first = self.file_once(ask).await;
        match first {
            // A signed link that has expired: GitLab signs another one, once.
            Err(UpstreamError::StoreRefused(StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST)) => {
                self.file_once(ask).await
            }
            other => other,
        }
    }

    async fn file_once(&self, ask: &Ask<'_>) -> Result<FileAnswer, UpstreamError> {
        let mut url = self.bases.asked().url(ask.route);
        let mut headers = self.headers(ask);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut line = &self.gitlab;
        for _ in 0..HOPS_MAX {
            let in_store = !std::ptr::eq(line, &self.gitlab);
            let answer =
                self.read(line, &url, &headers, ask.fresh_connection).await.map_err(|why| match why {
                    UpstreamError::Unreachable if in_store => UpstreamError::StoreUnreachable,
                    why => why,
                })?;
            if answer.status.is_redirection() && answer.status != StatusCode::NOT_MODIFIED {
                let location =
                    answer.headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
                match file_redirect(&url, location, &self.bases, &self.stores) {
                    FileRedirect::Store(_) if !ask.validators.is_empty() => {
                        return Ok(FileAnswer::Admitted(answer.status));
                    }
                    FileRedirect::Store(next) => url = next,
                    FileRedirect::Elsewhere => return Err(UpstreamError::Elsewhere),
                    FileRedirect::Forbidden(origin) => {
                        tracing::warn!(%origin, "GitLab redirected a file to this origin; to allow it, add it to gitlab.store_origins");
                        return Err(UpstreamError::StoreForbidden);
                    }
                    FileRedirect::Unreadable => return Err(UpstreamError::Redirects),
                }
                line = &self.store;
                headers = self.store_headers(ask);
                continue;
            }
            return match answer.status {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(FileAnswer::Body(answer)),
                StatusCode::NOT_MODIFIED if !ask.validators.is_empty() => Ok(FileAnswer::NotModified),
                StatusCode::RANGE_NOT_SATISFIABLE if ask.range.is_some() => {
                    Ok(FileAnswer::Unsatisfiable(unsatisfied(&answer.headers)))
                }
                status if in_store => Err(UpstreamError::StoreRefused(status)),
                _ => Ok(FileAnswer::Refused(self.refusal(answer).await?)),
            };
        }
        Err(UpstreamError::Redirects)
    }

    /// Sends a read whose answer goes on as it is, unstored.
    ///
    /// # Errors
    /// Whatever leaves nothing to pass on.
    pub async fn pass(&self, ask: &Ask<'_>) -> Result<Relayed, UpstreamError> {
        let url = self.bases.asked().url(ask.route);
        let answer = self.read(&self.gitlab, &url, &self.headers(ask), ask.fresh_connection).await?;
        if answer.status == StatusCode::OK { self.relayed(answer).await } else { self.refusal(answer).await }
    }

    /// Sends an upload's body as it comes, once, on a connection of its own, and hands back whatever is answered,
    /// also while the body is still being sent.
    ///
    /// # Errors
    /// When there is no answer. GitLab may have stored the file all the same.
    pub async fn upload<B>(
        &self,
        route: &Route,
        credential: &Credential,
        passed_on: HeaderMap,
        body: B,
    ) -> Result<Relayed, UpstreamError>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let url = self.bases.asked().url(route);
        let mut headers = passed_on;
        headers.insert(VIA, self.via.clone());
        credential.apply(&mut headers);
        let (body, patience) = Sending::new(body);
        let whole = request(Method::POST, &url, headers, body)?;
        let late = UpstreamError::Silent(self.upload_timeout);
        let dialled = timeout(self.upload_timeout, connect::dial(&self.uploads, whole.uri())).await;
        let stream = dialled.map_err(|_| late.clone())?.map_err(|why| {
            log(why.as_ref(), &url);
            UpstreamError::Unreachable
        })?;
        let broken = |why: hyper::Error| {
            log(&why, &url);
            UpstreamError::Broken
        };
        let (mut line, connection) = connect::shake_hands(stream).await.map_err(broken)?;
        connect::beside(connection, async {
            // There is no limit on the whole: a large body may take its time.
            let response = tokio::select! {
                response = line.send_request(connect::origin_form(whole, &url)) => response.map_err(broken)?,
                () = patience.runs_out(self.upload_timeout) => return Err(late),
            };
            self.uploaded(self.answer(response)).await
        })
        .await
    }

    async fn uploaded(&self, answer: Answer) -> Result<Relayed, UpstreamError> {
        let dismissed = matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if dismissed && self.service_token {
            return Err(UpstreamError::ServiceToken(answer.status));
        }
        self.relayed(answer).await
    }

    fn headers(&self, ask: &Ask<'_>) -> HeaderMap {
        let mut headers = self.store_headers(ask);
        headers.insert(VIA, self.via.clone());
        if let Some(etag) = &ask.validators.etag {
            headers.insert(IF_NONE_MATCH, etag.clone());
        }
        if let Some(date) = &ask.validators.last_modified {
            headers.insert(IF_MODIFIED_SINCE, date.clone());
        }
        ask.credential.apply(&mut headers);
        headers
    }

    /// Everything that may go to the object store: never a credential.
    fn store_headers(&self, ask: &Ask<'_>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("larder/", env!("CARGO_PKG_VERSION"))));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(wanted) = &ask.range {
            headers.insert(RANGE, wanted.range.clone());
            if let Some(if_range) = &wanted.if_range {
                headers.insert(IF_RANGE, if_range.clone());
            }
        }
        headers
    }

    /// A read, tried again as [`Policy`] says.
    async fn read(
        &self,
        line: &Line,
        url: &Url,
        headers: &HeaderMap,
        fresh: bool,
    ) -> Result<Answer, UpstreamError> {
        let mut done = 0;
        loop {
            let client = if fresh || done > 0 { &line.fresh } else { &line.pooled };
            let request = request(Method::GET, url, headers.clone(), no_body())?;
            let result = match timeout(self.header_timeout, client.request(request)).await {
                Ok(Ok(response)) => Ok(self.answer(response)),
                Ok(Err(why)) => Err(told(&why, url)),
                Err(_) => Err(UpstreamError::Silent(self.header_timeout)),
            };
            done += 1;
            match self.retry.pause(done, outcome(&result), rand::random()) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return result,
            }
        }
    }

    fn answer(&self, response: http::Response<hyper::body::Incoming>) -> Answer {
        let (head, body) = response.into_parts();
        Answer { status: head.status, headers: head.headers, body: IdleBody::new(body, self.idle_timeout) }
    }

    /// An answer that is no success: GitLab's word to the caller, or a failure that is not the caller's.
    async fn refusal(&self, answer: Answer) -> Result<Relayed, UpstreamError> {
        let status = answer.status;
        let dismissed = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if dismissed && self.service_token {
            return Err(UpstreamError::ServiceToken(status));
        }
        if status == StatusCode::LOOP_DETECTED {
            Err(UpstreamError::Loop)
        } else if status.is_client_error() {
            self.relayed(answer).await
        } else {
            Err(UpstreamError::Failed(status))
        }
    }

    async fn relayed(&self, answer: Answer) -> Result<Relayed, UpstreamError> {
        let headers = passed(&answer.headers);
        let body = answer.body.collect(self.refusal_bytes_max).await?;
        Ok(Relayed { status: answer.status, headers, body })
    }
}

fn request<B>(method: Method, url: &Url, headers: HeaderMap, body: B) -> Result<Request<B>, UpstreamError> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = url.as_str().parse().map_err(|_| UpstreamError::Redirects)?;
    *request.headers_mut() = headers;
    Ok(request)
}

fn no_body() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn outcome(result: &Result<Answer, UpstreamError>) -> Try {
    match result {
        Ok(answer) => {
            let wait = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let now = clock::wall();
            Try::Answered {
                status: answer.status,
                retry_after: wait.and_then(|value| retry_after(value, now)),
            }
        }
        Err(UpstreamError::Silent(_)) => Try::TimedOut,
        Err(_) => Try::Broken,
    }
}

/// Logs what went wrong in full, and keeps what a client may know.
fn told(why: &hyper_util::client::legacy::Error, url: &Url) -> UpstreamError {
    log(why, url);
    if why.is_connect() { UpstreamError::Unreachable } else { UpstreamError::Broken }
}

fn log(why: &(dyn std::error::Error + 'static), url: &Url) {
    let mut causes = Vec::new();
    let mut cause = Some(why);
    while let Some(why) = cause {
        causes.push(why.to_string());
        cause = why.source();
    }
    tracing::warn!(origin = %url.origin().ascii_serialization(), why = %causes.join(": "), "no answer from upstream");
}

/// What GitLab says when it does not forward.
fn no_such_package() -> Relayed {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Relayed {
        status: StatusCode::NOT_FOUND,
        headers,
        body: Bytes::from_static(b"{\"message\":\"404 Package Not Found\"}"),
    }
}

/// Fields of an upload that go on: what describes the body, and who sends it.
pub(crate) fn upload_headers(from: &HeaderMap) -> HeaderMap {
    const PASSED: [HeaderName; 5] =
        [http::header::CONTENT_TYPE, CONTENT_LENGTH, USER_AGENT, ACCEPT, http::header::CONTENT_ENCODING];
    let passed = from.iter().filter(|(name, _)| PASSED.contains(name));
    passed.map(|(name, value)| (name.clone(), value.clone())).collect()
}
