//! Connections to one peer, and a read over them: waited for, tried again, and not even begun while the peer rests.
//!
//! Errors say what happened in words without addresses; the log has the rest. Must not know what is asked, or what the
//! answer will be used for.

use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, RETRY_AFTER};
use http::{Method, Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use rustls::ClientConfig;
use tokio::time::timeout;
use url::Url;

use super::answer::Answer;
use super::body::IdleBody;
use super::breaker::Breaker;
use super::connect::{self, Connector, GuardedResolver};
use super::error::UpstreamError;
use super::peer::Peer;
use super::retry::{Policy, Try, retry_after};
use crate::clock;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// Beyond the limit on an answer's head, for a probe to be told from a lost one.
const PROBE_SLACK: Duration = Duration::from_secs(1);

/// How long a peer is waited for, and how often it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub connect: Duration,
    pub header: Duration,
    pub idle: Duration,
    pub retry: Policy,
    pub idle_connections: usize,
}

impl Patience {
    /// The longest one try can take.
    pub(super) fn probe(&self) -> Duration {
        self.header + PROBE_SLACK
    }
}

pub(super) struct Line {
    peer: Peer,
    pooled: Client<Connector, RequestBody>,
    fresh: Client<Connector, RequestBody>,
    patience: Patience,
}

impl Line {
    pub(super) fn new(peer: Peer, tls: ClientConfig, patience: Patience, resolver: GuardedResolver) -> Self {
        let connector = connect::connector(tls, patience.connect, resolver, true);
        Self {
            peer,
            pooled: connect::client(connector.clone(), patience.idle_connections),
            fresh: connect::client(connector, 0),
            patience,
        }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// A read, tried again as [`Policy`] says, if the breaker lets it through.
    pub(super) async fn read(
        &self,
        breaker: Option<&Breaker>,
        url: &Url,
        headers: &HeaderMap,
        fresh: bool,
    ) -> Result<Answer, UpstreamError> {
        let Some(breaker) = breaker else { return self.tries(url, headers, fresh, false).await };
        let pass =
            breaker.enter(clock::now()).map_err(|wait| UpstreamError::Resting(self.peer.clone(), wait))?;
        let result = self.tries(url, headers, fresh, pass.is_probe()).await;
        pass.settle(reached(&result), clock::now());
        result
    }

    /// A probe is one try, on a connection that is not left from better days.
    async fn tries(
        &self,
        url: &Url,
        headers: &HeaderMap,
        fresh: bool,
        probe: bool,
    ) -> Result<Answer, UpstreamError> {
        let limit = self.patience.header;
        let mut done = 0;
        loop {
            let client = if fresh || probe || done > 0 { &self.fresh } else { &self.pooled };
            let request = self.request(Method::GET, url, headers.clone(), no_body())?;
            let result = match timeout(limit, client.request(request)).await {
                Ok(Ok(response)) => Ok(self.answer(response)),
                Ok(Err(why)) => Err(self.told(&why, url)),
                Err(_) => Err(UpstreamError::Silent(self.peer.clone(), limit)),
            };
            done += 1;
            match self.patience.retry.pause(done, outcome(&result), rand::random()) {
                Some(pause) if !probe => tokio::time::sleep(pause).await,
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
        *request.uri_mut() = url.as_str().parse().map_err(|_| UpstreamError::Redirects(self.peer.clone()))?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    pub(super) fn answer(&self, response: http::Response<hyper::body::Incoming>) -> Answer {
        let (head, body) = response.into_parts();
        let body = IdleBody::new(body, self.patience.idle);
        Answer { status: head.status, headers: head.headers, body }
    }

    /// How long the peer wants to be left alone, if that is longer than is waited out.
    pub(super) fn long_wait(&self, answer: &Answer) -> Option<Duration> {
        let throttled = matches!(answer.status.as_u16(), 429 | 503);
        wait(answer).filter(|wait| throttled && *wait > self.patience.retry.retry_after_max)
    }

    /// Logs what went wrong in full, and keeps what a client may know.
    fn told(&self, why: &hyper_util::client::legacy::Error, url: &Url) -> UpstreamError {
        log(why, url);
        let peer = self.peer.clone();
        if why.is_connect() { UpstreamError::Unreachable(peer) } else { UpstreamError::Broken(peer) }
    }
}

fn no_body() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn wait(answer: &Answer) -> Option<Duration> {
    let value = answer.headers.get(RETRY_AFTER)?.to_str().ok()?;
    retry_after(value, clock::wall())
}

fn outcome(result: &Result<Answer, UpstreamError>) -> Try {
    match result {
        Ok(answer) => Try::Answered { status: answer.status, retry_after: wait(answer) },
        Err(UpstreamError::Silent(..)) => Try::TimedOut,
        Err(_) => Try::Broken,
    }
}

/// Whether the peer itself answered: a gateway that says it cannot reach it is not the peer, unless it says when to come
/// back.
fn reached(result: &Result<Answer, UpstreamError>) -> bool {
    result.as_ref().is_ok_and(|answer| {
        let gateway = matches!(
            answer.status,
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        );
        !gateway || wait(answer).is_some()
    })
}

pub(super) fn log(why: &(dyn std::error::Error + 'static), url: &Url) {
    let mut causes = Vec::new();
    let mut cause = Some(why);
    while let Some(why) = cause {
        causes.push(why.to_string());
        cause = why.source();
    }
    tracing::warn!(origin = %url.origin().ascii_serialization(), why = %causes.join(": "), "no answer from upstream");
}
