//! GitLab, asked in a caller's name.
//!
//! Owns the reading of GitLab's answers: pages and its forward to a public index, files and the
//! signed links to the object store, refusals that are its word to the caller. Uploads go on a
//! connection of their own and are never sent twice. Must not know mirrors, nor what the answer
//! will be used for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, StatusCode};
use url::Url;

use super::breaker::{Breaker, BreakerCondition};
use super::config::{Forward, GitLabConfig};
use super::connect::Transport;
use super::connect::dial;
use super::connect::{ConnectTarget, PeerConnector, PeerStream};
use super::counts::{PeerCounts, PeerReading};
use super::error::UpstreamError;
use super::peer::Peer;
use super::peer_client::PeerClient;
use super::redirect::{
    AllowedOrigins, FileRedirect, PageRedirect, file_redirect, forwarded_index, may_follow,
    page_redirect,
};
use super::request::{
    FileAnswer, ForwardTarget, Inquiry, PageAnswer, PeerRequest, UpstreamRequest,
};
use super::response::{PassThrough, UpstreamResponse, unsatisfied};
use super::throttle::{ThrottledAnswer, Throttles};
use super::upload_body::{Outgoing, UploadBody};
use crate::access::Credential;
use crate::registry::{AdminEndpoint, Bases, PageRef, Route, Scope};
use crate::values::clock;
use crate::values::error_chain::BoxError;

/// Redirects followed for one file.
const HOPS_MAX: usize = 5;

/// The names of the two peers, as operators see them; no mirror can have either.
pub(super) const GITLAB: &str = "gitlab";
const OBJECT_STORE: &str = "object_store";

pub(super) struct GitLab {
    bases: Bases,
    stores: Arc<AllowedOrigins>,
    client: PeerClient,
    store: PeerClient,
    breaker: Breaker,
    throttles: Throttles,
    /// To GitLab, for one upload each.
    uploads: PeerConnector,
    forward: Forward,
    forward_origins: AllowedOrigins,
    upload_timeout: Duration,
    refusal_bytes_max: usize,
    via: HeaderValue,
    /// Whether the credentials it is given are the operator's own.
    service_token: bool,
}

impl GitLab {
    pub(super) fn new(
        config: &GitLabConfig,
        transport: &Transport,
        bases: Bases,
        stores: AllowedOrigins,
        via: HeaderValue,
        service_token: bool,
    ) -> Result<Self, String> {
        let stores = Arc::new(stores);
        let limits = config.limits();
        let connector =
            |target, http2| PeerConnector::new(transport, target, limits.client.connect, http2);
        let to_store = ConnectTarget::Guarded {
            named: Arc::clone(&stores),
            key: "gitlab.object_storage_origins",
        };
        Ok(Self {
            uploads: connector(ConnectTarget::Own, false)?,
            client: PeerClient::new(
                Peer::GitLab,
                connector(ConnectTarget::Own, true)?,
                limits.client,
            )
            .with_own_credential(service_token),
            store: PeerClient::new(Peer::Store, connector(to_store, true)?, limits.client),
            breaker: Breaker::new(limits.breaker),
            throttles: Throttles::new(),
            bases,
            stores,
            forward: config.forward.clone(),
            forward_origins: AllowedOrigins::parse(&config.forward_origins)?,
            upload_timeout: config.upload_timeout.0,
            refusal_bytes_max: config.refusal_size.bytes(),
            via,
            service_token,
        })
    }

    /// What is asked is this peer, which stands in GitLab's place.
    pub(super) fn is_at(&mut self, peer: &Peer) {
        self.client.is_at(peer);
    }

    pub(super) fn peer(&self) -> &Peer {
        self.client.peer()
    }

    pub(super) fn bases(&self) -> &Bases {
        &self.bases
    }

    pub(super) fn count_on(&mut self, counts: &PeerCounts) {
        self.client.count_on(counts.at(GITLAB, self.client.peer()));
        self.store.count_on(counts.of(OBJECT_STORE.to_owned()));
    }

    /// GitLab's numbers, and those of the object store, which has no breaker, if it is the first:
    /// parents lead to none.
    pub(super) fn readings(&self, is_first: bool, now: Instant) -> Vec<PeerReading> {
        let condition = self.breaker.condition(now);
        let mut readings = vec![self.client.reading(GITLAB.to_owned(), condition, now)];
        if is_first {
            let well = BreakerCondition::WELL;
            readings.push(self.store.reading(OBJECT_STORE.to_owned(), well, now));
        }
        readings
    }

    pub(super) async fn page(
        &self,
        request: &UpstreamRequest<'_>,
    ) -> Result<PageAnswer, UpstreamError> {
        if let Some(answer) = self.throttled(request) {
            return answer.map(PageAnswer::Refused);
        }
        let url = self.bases.asked().url(request.route);
        let mut headers = self.headers(request);
        request.put_page_types(&mut headers);
        let answer = self
            .client
            .read(Some(&self.breaker), request.reading(&url, &headers))
            .await?;
        match answer.status {
            StatusCode::OK => Ok(PageAnswer::Page { answer, url }),
            StatusCode::NOT_MODIFIED if !request.validators.is_empty() => {
                Ok(PageAnswer::NotModified {
                    age: answer.stale_age(),
                })
            }
            status if status.is_redirection() => {
                match page_redirect(&url, answer.location(), &self.bases) {
                    PageRedirect::Forward => self.forwarded(request.route, &url, answer).await,
                    PageRedirect::Elsewhere => Err(UpstreamError::Elsewhere(self.peer().clone())),
                }
            }
            _ => Ok(PageAnswer::Refused(self.refusal(request, answer).await?)),
        }
    }

    async fn forwarded(
        &self,
        route: &Route,
        from: &Url,
        answer: UpstreamResponse,
    ) -> Result<PageAnswer, UpstreamError> {
        let to = match &self.forward {
            Forward::Pass | Forward::Deny => ForwardTarget::None,
            Forward::Mirror(name) => match Scope::mirror(name) {
                Some(scope) => ForwardTarget::Mirror(scope),
                None => ForwardTarget::None,
            },
            Forward::Follow => self.followed(route, from, answer.location()),
        };
        let pass_through = match &self.forward {
            Forward::Pass | Forward::Follow => self.pass_through(answer).await?,
            Forward::Deny | Forward::Mirror(_) => no_such_package(),
        };
        Ok(PageAnswer::Forward { pass_through, to })
    }

    /// Where larder goes itself, if the redirect names the page that was asked for, at an origin
    /// that is allowed.
    fn followed(&self, route: &Route, from: &Url, location: &str) -> ForwardTarget {
        let Route::Page(PageRef {
            name: Some(name), ..
        }) = route
        else {
            return ForwardTarget::None;
        };
        let Some(index) = forwarded_index(from, location, name) else {
            tracing::warn!(
                "GitLab's redirect to a public index is not the address of a project's page there: it is passed on"
            );
            return ForwardTarget::None;
        };
        if !may_follow(&index, &self.forward_origins) {
            tracing::warn!(
                index = %index,
                "GitLab's redirect to a public index is passed on: larder goes to https origins with public addresses only, or \
                 to those of gitlab.forward_origins"
            );
            return ForwardTarget::None;
        }
        ForwardTarget::Index(index)
    }

    pub(super) async fn file(
        &self,
        request: &UpstreamRequest<'_>,
    ) -> Result<FileAnswer, UpstreamError> {
        if let Some(answer) = self.throttled(request) {
            return answer.map(FileAnswer::Refused);
        }
        let mut answered = self.file_once(request).await;
        // A signed link that has expired: GitLab signs another one, once.
        if let Err(UpstreamError::StoreRefused(StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST)) =
            answered
        {
            answered = self.file_once(request).await;
        }
        match answered {
            Err(UpstreamError::StoreRefused(status)) if request.is_refused_by(status) => {
                Ok(FileAnswer::RangeRefused(status))
            }
            other => other,
        }
    }

    async fn file_once(&self, request: &UpstreamRequest<'_>) -> Result<FileAnswer, UpstreamError> {
        let mut url = self.bases.asked().url(request.route);
        let mut headers = self.headers(request);
        UpstreamRequest::put_file_types(&mut headers);
        let mut client = &self.client;
        let mut breaker = Some(&self.breaker);
        for _ in 0..HOPS_MAX {
            let in_store = breaker.is_none();
            let answer = client
                .read(breaker, request.reading(&url, &headers))
                .await?;
            if answer.status.is_redirection() && answer.status != StatusCode::NOT_MODIFIED {
                match file_redirect(&url, answer.location(), &self.bases, &self.stores) {
                    FileRedirect::Store(_) if !request.validators.is_empty() => {
                        return Ok(FileAnswer::Admitted(answer.status));
                    }
                    FileRedirect::Store(next) => url = next,
                    FileRedirect::Elsewhere => {
                        return Err(UpstreamError::Elsewhere(self.peer().clone()));
                    }
                    FileRedirect::Forbidden(origin) => {
                        let peer = self.peer().clone();
                        tracing::warn!(%origin, "{peer} redirected a file to this origin; to allow it, add it to gitlab.object_storage_origins");
                        return Err(UpstreamError::StoreForbidden(peer));
                    }
                    FileRedirect::Unreadable => {
                        return Err(UpstreamError::Redirects(self.peer().clone()));
                    }
                }
                // Never a credential, and a store that fails says nothing of GitLab.
                client = &self.store;
                breaker = None;
                headers = request.fields();
                continue;
            }
            return match answer.status {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                    request.success(client.peer().clone(), answer)
                }
                StatusCode::NOT_MODIFIED if !request.validators.is_empty() => {
                    Ok(FileAnswer::NotModified)
                }
                StatusCode::RANGE_NOT_SATISFIABLE if request.range.is_some() => {
                    Ok(FileAnswer::Unsatisfiable(unsatisfied(&answer.headers)))
                }
                status if in_store => Err(UpstreamError::StoreRefused(status)),
                status if request.is_refused_by(status) => Ok(FileAnswer::RangeRefused(status)),
                _ => Ok(FileAnswer::Refused(self.refusal(request, answer).await?)),
            };
        }
        Err(UpstreamError::Redirects(self.peer().clone()))
    }

    pub(super) async fn pass(
        &self,
        request: &UpstreamRequest<'_>,
    ) -> Result<PassThrough, UpstreamError> {
        if let Some(answer) = self.throttled(request) {
            return answer;
        }
        let url = self.bases.asked().url(request.route);
        let headers = self.headers(request);
        let answer = self
            .client
            .read(Some(&self.breaker), request.reading(&url, &headers))
            .await?;
        if answer.status == StatusCode::OK {
            self.pass_through(answer.uncoded()?).await
        } else {
            self.refusal(request, answer).await
        }
    }

    /// Opens the connection of one upload; nothing is sent yet.
    pub(super) async fn connect_for_upload(
        &self,
        route: &Route,
    ) -> Result<PeerStream, UpstreamError> {
        let url = self.bases.asked().url(route);
        let target = self.client.target(&url)?;
        let opened = self.uploads.open(&target).await;
        let opened = opened.map_err(|why| self.client.failure(&why, true, &url));
        if opened.is_err() {
            self.client.tally_upload(&opened, None);
        }
        opened
    }

    pub(super) async fn upload<B>(
        &self,
        stream: PeerStream,
        route: &Route,
        credential: &Credential,
        upload: Outgoing<B>,
    ) -> Result<PassThrough, UpstreamError>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let answered = self.upload_once(stream, route, credential, upload).await;
        let status = match &answered {
            Ok(pass_through) => Some(pass_through.status),
            Err(UpstreamError::ServiceToken(_, status)) => Some(*status),
            Err(_) => None,
        };
        self.client.tally_upload(&answered, status);
        answered
    }

    async fn upload_once<B>(
        &self,
        stream: PeerStream,
        route: &Route,
        credential: &Credential,
        upload: Outgoing<B>,
    ) -> Result<PassThrough, UpstreamError>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let url = self.bases.asked().url(route);
        let Outgoing {
            mut headers,
            body,
            wanted,
        } = upload;
        UpstreamRequest::put_via(&mut headers, &self.via);
        UpstreamRequest::put_request_id(&mut headers);
        credential.apply(&mut headers);
        let (body, stall) = UploadBody::new(body);
        let mut whole = self.client.request(Method::POST, &url, headers, body)?;
        hyper::ext::on_informational(&mut whole, move |answer| {
            if answer.status() == StatusCode::CONTINUE {
                wanted.notify_one();
            }
        });
        let late = UpstreamError::Silent(self.peer().clone(), self.upload_timeout);
        let for_proxy = stream.is_for_proxy();
        let broken = |why: hyper::Error| self.client.failure(&why, false, &url);
        let (mut sender, connection) = dial::shake_hands(stream).await.map_err(broken)?;
        dial::beside(connection, async {
            // There is no limit on the whole: a large body may take its time.
            let response = tokio::select! {
                response = sender.send_request(dial::in_form(whole, &url, for_proxy)) => response.map_err(broken)?,
                () = stall.runs_out(self.upload_timeout) => return Err(late),
            };
            self.uploaded(self.client.answer(response, &url)?).await
        })
        .await
    }

    /// Asks once, whatever the breaker says, and follows nothing.
    pub(super) async fn examine(
        &self,
        inquiry: Inquiry,
        request: &UpstreamRequest<'_>,
    ) -> Result<UpstreamResponse, UpstreamError> {
        let mut headers = self.headers(request);
        let url = match inquiry {
            Inquiry::Version => self.bases.asked().version_url(),
            Inquiry::Page | Inquiry::File => self.bases.asked().url(request.route),
            Inquiry::Status => {
                let status = Route::Admin(AdminEndpoint::Status);
                self.bases.asked().url(&status)
            }
        };
        request.put_types_of(inquiry, &mut headers);
        self.client
            .read(
                None,
                PeerRequest {
                    kind: request.route.word(),
                    url: &url,
                    headers: &headers,
                    fresh: true,
                    once: false,
                    ahead: false,
                },
            )
            .await
    }

    async fn uploaded(&self, answer: UpstreamResponse) -> Result<PassThrough, UpstreamError> {
        self.check_service_token(&answer)?;
        self.pass_through(answer).await
    }

    /// A refusal of larder's own token is not meant for the caller.
    fn check_service_token(&self, answer: &UpstreamResponse) -> Result<(), UpstreamError> {
        match answer.status {
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) if self.service_token => {
                Err(UpstreamError::ServiceToken(self.peer().clone(), status))
            }
            _ => Ok(()),
        }
    }

    fn headers(&self, request: &UpstreamRequest<'_>) -> HeaderMap {
        let mut headers = request.fields();
        UpstreamRequest::put_via(&mut headers, &self.via);
        UpstreamRequest::put_request_id(&mut headers);
        request.put_validators(&mut headers);
        request.credential.apply(&mut headers);
        headers
    }

    /// What this caller gets without asking, because GitLab told it to wait.
    fn throttled(&self, request: &UpstreamRequest<'_>) -> Option<ThrottledAnswer> {
        self.throttles.answer(Some(request.who?), clock::now())
    }

    /// An answer that is no success: GitLab's refusal of the caller, or a failure that is not the
    /// caller's.
    async fn refusal(
        &self,
        request: &UpstreamRequest<'_>,
        answer: UpstreamResponse,
    ) -> Result<PassThrough, UpstreamError> {
        self.check_service_token(&answer)?;
        let wait = self.client.long_wait(&answer);
        let status = answer.status;
        let refusal = if status == StatusCode::LOOP_DETECTED {
            Err(UpstreamError::Loop)
        } else if status.is_client_error() {
            self.pass_through(answer).await
        } else {
            Err(UpstreamError::Failed(self.peer().clone(), status))
        };
        if let (Some(wait), Some(who)) = (wait, request.who) {
            self.throttles.hold(Some(who), &refusal, wait, clock::now());
        }
        refusal
    }

    async fn pass_through(&self, answer: UpstreamResponse) -> Result<PassThrough, UpstreamError> {
        let pass_through = answer.pass_through(self.refusal_bytes_max).await;
        pass_through.map_err(|why| UpstreamError::of_body(self.peer(), &why))
    }
}

/// What GitLab says when it does not forward.
fn no_such_package() -> PassThrough {
    let mut headers = HeaderMap::new();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        http::header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache"),
    );
    PassThrough {
        status: StatusCode::NOT_FOUND,
        reason: None,
        headers,
        body: Bytes::from_static(b"{\"message\":\"404 Package Not Found\"}"),
    }
}

/// Fields of an upload that go on: what describes the body, and who sends it.
pub(crate) fn upload_headers(from: &HeaderMap) -> HeaderMap {
    const PASSED: [HeaderName; 5] = [
        http::header::CONTENT_TYPE,
        CONTENT_LENGTH,
        USER_AGENT,
        ACCEPT,
        http::header::CONTENT_ENCODING,
    ];
    let passed = from.iter().filter(|(name, _)| PASSED.contains(name));
    passed
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
