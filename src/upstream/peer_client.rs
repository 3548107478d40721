//! Connections to one peer, and a read over them: waited for, tried again, and not even begun while
//! the breaker is open.
//!
//! Errors say what happened in words without addresses; the log has the rest. Must not know what is
//! asked, or what the answer will be used for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, PROXY_AUTHORIZATION, RETRY_AFTER};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use tokio::time::timeout;
use url::Url;

use super::body::IdleBody;
use super::breaker::{Breaker, BreakerCondition};
use super::connect::Proxy;
use super::connect::ProxyFault;
use super::connect::{PeerConnector, http_client};
use super::counts::{PeerFault, PeerReading, PeerStats, RequestOutcome};
use super::error::UpstreamError;
use super::own_credential::OwnCredential;
use super::peer::Peer;
use super::request::{PeerRequest, X_REQUEST_ID};
use super::response::UpstreamResponse;
use super::retry::{RetryPolicy, TryOutcome, retry_after};
use crate::values::error_chain::{self, BoxError};
use crate::values::request_id::RequestId;
use crate::values::{clock, correlation};

type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// Beyond the limit on an answer's head, for a probe to be told from a lost one.
const PROBE_SLACK: Duration = Duration::from_secs(1);

/// How long a peer is waited for, and how often it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientLimits {
    pub connect: Duration,
    pub header: Duration,
    pub idle: Duration,
    pub retry: RetryPolicy,
    pub idle_connections: usize,
}

impl ClientLimits {
    /// The longest one try can take.
    pub(super) fn probe(&self) -> Duration {
        self.header + PROBE_SLACK
    }
}

pub(super) struct PeerClient {
    peer: Peer,
    connector: PeerConnector,
    pooled: Client<PeerConnector, RequestBody>,
    fresh: Client<PeerConnector, RequestBody>,
    limits: ClientLimits,
    counts: Arc<PeerStats>,
    /// If what is sent over it carries larder's own credential.
    own_credential: Option<OwnCredential>,
}

impl PeerClient {
    pub(super) fn new(peer: Peer, connector: PeerConnector, limits: ClientLimits) -> Self {
        Self {
            peer,
            pooled: http_client(connector.clone(), limits.idle_connections),
            fresh: http_client(connector.clone(), 0),
            connector,
            limits,
            counts: Arc::default(),
            own_credential: None,
        }
    }

    /// The same, and every request carries larder's own credential, if it `does`.
    #[must_use]
    pub(super) fn with_own_credential(self, does: bool) -> Self {
        Self {
            own_credential: if does {
                Some(OwnCredential::default())
            } else {
                None
            },
            ..self
        }
    }

    /// What is asked is this peer.
    pub(super) fn is_at(&mut self, peer: &Peer) {
        self.peer = peer.clone();
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// A read, tried again as [`RetryPolicy`] says, if the breaker lets it through.
    pub(super) async fn read(
        &self,
        breaker: Option<&Breaker>,
        reading: PeerRequest<'_>,
    ) -> Result<UpstreamResponse, UpstreamError> {
        let Some(breaker) = breaker else {
            return self.tries(reading, false).await;
        };
        if reading.ahead && !breaker.is_well() {
            return Err(UpstreamError::BreakerOpen(
                self.peer.clone(),
                Duration::ZERO,
            ));
        }
        let pass = breaker
            .enter(clock::now())
            .map_err(|wait| UpstreamError::BreakerOpen(self.peer.clone(), wait))?;
        let result = self.tries(reading, pass.is_probe()).await;
        let reached = reached(&result);
        // A failure that no client would have met opens it for none.
        if reached || !reading.ahead {
            pass.settle(reached, clock::now());
        }
        result
    }

    /// A probe is one try, on a connection that is not left from better days, and so is a read
    /// ahead.
    async fn tries(
        &self,
        reading: PeerRequest<'_>,
        probe: bool,
    ) -> Result<UpstreamResponse, UpstreamError> {
        let PeerRequest {
            url,
            headers,
            fresh,
            ahead,
            ..
        } = reading;
        let limit = self.limits.header;
        let mut done = 0;
        loop {
            let client = if fresh || probe || done > 0 {
                &self.fresh
            } else {
                &self.pooled
            };
            let request = self.request(Method::GET, url, headers.clone(), no_body())?;
            let sent = clock::now();
            let result = match timeout(limit, client.request(request)).await {
                Ok(Ok(response)) => self.answer(response, url),
                Ok(Err(why)) => Err(self.failure(&why, why.is_connect(), url)),
                Err(_) => Err(UpstreamError::Silent(self.peer.clone(), limit)),
            };
            self.tally(&reading, &result, sent);
            done += 1;
            let was_pooled = done == 1 && !fresh && !probe;
            match self
                .limits
                .retry
                .pause(done, outcome(&result), rand::random())
            {
                // The connection may be left from before the peer was started again.
                Some(_) if reading.once && was_pooled && is_broken(&result) => {}
                Some(pause) if !probe && !reading.once && !ahead => tokio::time::sleep(pause).await,
                _ => return result,
            }
        }
    }

    pub(super) fn request<B>(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: B,
    ) -> Result<Request<B>, UpstreamError> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = self.target(url)?;
        *request.headers_mut() = headers;
        if let Some(value) = self
            .connector
            .asked_proxy(url)
            .and_then(Proxy::authorization)
        {
            request
                .headers_mut()
                .insert(PROXY_AUTHORIZATION, value.clone());
        }
        Ok(request)
    }

    /// A URL as the connections know it.
    pub(super) fn target(&self, url: &Url) -> Result<Uri, UpstreamError> {
        let target = url.as_str().parse();
        target.map_err(|_| UpstreamError::Redirects(self.peer.clone()))
    }

    /// What was answered, unless a proxy said it of itself.
    pub(super) fn answer(
        &self,
        response: http::Response<hyper::body::Incoming>,
        url: &Url,
    ) -> Result<UpstreamResponse, UpstreamError> {
        let (head, body) = response.into_parts();
        let wants_credential = head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        if wants_credential && let Some(proxy) = self.connector.asked_proxy(url) {
            let error = UpstreamError::Proxy(self.peer.clone(), ProxyFault::Credential);
            tracing::warn!(%proxy, error = %error, "no answer from upstream");
            return Err(error);
        }
        let body = IdleBody::new(body, self.limits.idle, Arc::clone(&self.counts));
        // The object store's names of requests are not looked up here.
        if self.peer != Peer::Store {
            correlate(&head.headers);
        }
        let reason = head.extensions.get().cloned();
        let parent = match &self.peer {
            Peer::Parent(_) => Some(self.peer.clone()),
            _ => None,
        };
        Ok(UpstreamResponse {
            status: head.status,
            reason,
            headers: head.headers,
            body,
            parent,
        })
    }

    /// Counts how one try went.
    fn tally(
        &self,
        request: &PeerRequest<'_>,
        result: &Result<UpstreamResponse, UpstreamError>,
        sent: Instant,
    ) {
        let now = clock::now();
        let turnout = match result {
            Ok(answer) => {
                self.counts.head_after(now.saturating_duration_since(sent));
                let headers = request.headers;
                let conditional =
                    headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MODIFIED_SINCE);
                RequestOutcome::of(answer.status, conditional)
            }
            Err(_) => RequestOutcome::Nothing,
        };
        let status = result.as_ref().ok().map(|answer| answer.status);
        self.note(result.as_ref().err(), status, now);
        self.counts.asked(request.kind, turnout);
    }

    /// Counts an upload, which is not read by way of this client.
    pub(super) fn tally_upload<T>(
        &self,
        answered: &Result<T, UpstreamError>,
        status: Option<StatusCode>,
    ) {
        self.note(answered.as_ref().err(), status, clock::now());
        let turnout = status.map_or(RequestOutcome::Nothing, |status| {
            RequestOutcome::of(status, false)
        });
        self.counts.asked("upload", turnout);
    }

    /// Draws from one answer what it says of the peer.
    fn note(&self, error: Option<&UpstreamError>, status: Option<StatusCode>, now: Instant) {
        if let (Some(own), Some(status)) = (&self.own_credential, status) {
            own.answered(&self.peer, status, now);
        }
        let fault = match (error, status) {
            (Some(error), _) => error.fault(),
            (None, Some(status)) if status.is_server_error() => Some(PeerFault::Status),
            (None, _) => None,
        };
        if let Some(fault) = fault {
            self.counts.failed(fault, now);
        }
    }

    pub(super) fn count_on(&mut self, counts: Arc<PeerStats>) {
        self.counts = counts;
    }

    /// The peer's numbers, under a name.
    pub(super) fn reading(
        &self,
        name: String,
        condition: BreakerCondition,
        now: Instant,
    ) -> PeerReading {
        let refused = self
            .own_credential
            .as_ref()
            .and_then(|own| own.refused_for(now));
        let parent = match &self.peer {
            Peer::Parent(url) => Some(Arc::clone(url)),
            _ => None,
        };
        PeerReading {
            refused,
            parent,
            ..self.counts.read(name, condition, now)
        }
    }

    /// How long the peer wants to be left alone, if that is longer than is waited out.
    pub(super) fn long_wait(&self, answer: &UpstreamResponse) -> Option<Duration> {
        let throttled = matches!(answer.status.as_u16(), 429 | 503);
        let wait = wait(answer)?;
        if throttled && wait > self.limits.retry.retry_after_max {
            return Some(wait);
        }
        None
    }

    /// Logs what went wrong in full, and keeps what a client may know.
    pub(super) fn failure(
        &self,
        why: &(dyn std::error::Error + 'static),
        is_connect: bool,
        url: &Url,
    ) -> UpstreamError {
        let error = UpstreamError::of_way(self.peer.clone(), why, is_connect);
        let origin = url.origin().ascii_serialization();
        tracing::warn!(%origin, error = %error_chain::in_full(why), reason = %error, "no answer from upstream");
        error
    }
}

/// Notes under which name the peer has the request in its log.
fn correlate(headers: &HeaderMap) {
    let Some(id) = headers.get(X_REQUEST_ID) else {
        return;
    };
    if let Some(current) = correlation::current()
        && let Some(id) = RequestId::parse(id.as_bytes())
    {
        current.answered_as(id);
    }
}

fn no_body() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn wait(answer: &UpstreamResponse) -> Option<Duration> {
    let value = answer.headers.get(RETRY_AFTER)?.to_str().ok()?;
    retry_after(value, clock::wall())
}

fn outcome(result: &Result<UpstreamResponse, UpstreamError>) -> TryOutcome {
    match result {
        Ok(answer) => TryOutcome::Answered {
            status: answer.status,
            retry_after: wait(answer),
        },
        Err(UpstreamError::Silent(..)) => TryOutcome::TimedOut,
        Err(why) if !why.may_pass() => TryOutcome::Hopeless,
        Err(_) => TryOutcome::Broken,
    }
}

fn is_broken(result: &Result<UpstreamResponse, UpstreamError>) -> bool {
    matches!(result, Err(UpstreamError::Broken(_)))
}

/// Whether the peer itself answered: a gateway that says it cannot reach it is not the peer, unless
/// it says when to come back.
fn reached(result: &Result<UpstreamResponse, UpstreamError>) -> bool {
    let Ok(answer) = result else {
        return false;
    };
    match answer.status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            wait(answer).is_some()
        }
        _ => true,
    }
}
