//! A mirror: an index beside GitLab, asked without any caller's credential.
//!
//! Owns the reading of its answers. No caller's credential ever goes to it, whatever an
//! [`UpstreamRequest`] carries; its own, and larder's client certificate, go to the origin of its
//! index, and nowhere else. Redirects are followed to origins that the operator named. What it
//! refuses goes on in neutral words, because its own would speak of another address, and without a
//! challenge, because a client's credential would not go there; that it refuses a credential of
//! larder's is for the operator, not for the client. Must not know pages, or what is done with a
//! file.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, VIA};
use url::{Origin, Url};

use super::body::BodyError;
use super::breaker::{Breaker, BreakerCondition};
use super::connect::Transport;
use super::connect::{ConnectTarget, PeerConnector};
use super::counts::{PeerCounts, PeerReading};
use super::error::UpstreamError;
use super::mirror_config::MirrorConfig;
use super::peer::Peer;
use super::peer_client::PeerClient;
use super::redirect::{MirrorRedirect, StoreOrigins, mirror_redirect};
use super::request::{FileAnswer, Inquiry, PageAnswer, PeerRequest, UpstreamRequest};
use super::response::{PassThrough, UpstreamResponse, throttling, unsatisfied};
use super::throttle::Throttles;
use crate::access::Credential;
use crate::registry::{MirrorBase, Scope};
use crate::values::clock;

/// Redirects followed for one page or file.
const HOPS_MAX: usize = 5;

/// The largest body that is passed on whole: a metadata file.
const PASSED_BYTES_MAX: usize = 4 << 20;

pub struct Mirror {
    base: MirrorBase,
    /// To the origin of its index.
    client: PeerClient,
    /// To every other origin.
    elsewhere: PeerClient,
    credential: Credential,
    /// Whether the origin of its index is shown anything that says who larder is.
    shows_itself: bool,
    /// One for each origin: a file server that fails says nothing of the index.
    breakers: Vec<(Origin, Breaker)>,
    throttles: Throttles,
    via: HeaderValue,
}

impl Mirror {
    /// `credential` is the mirror's own, or anonymous; `via` is this process's name in `Via`.
    ///
    /// # Errors
    /// A sentence that begins with the key that is to blame.
    pub fn new(
        scope: Scope,
        config: &MirrorConfig,
        transport: &Transport,
        credential: Credential,
        via: HeaderValue,
    ) -> Result<Self, String> {
        let peer = Peer::Mirror(scope.clone());
        let redirects = StoreOrigins::parse(&config.redirects)
            .map_err(|text| format!("redirects: \"{text}\" is not an origin"))?;
        let base = MirrorBase::parse(scope, &config.url, &config.file_urls)
            .map_err(|(text, why)| format!("url, files: \"{text}\": {why}"))?;
        let limits = config.limits();
        let mut breakers: Vec<(Origin, Breaker)> = Vec::new();
        for origin in base.places().map(Url::origin).chain(redirects.origins()) {
            if !breakers.iter().any(|(known, _)| *known == origin) {
                breakers.push((origin, Breaker::new(limits.breaker)));
            }
        }
        let client = |target| {
            let connector = PeerConnector::new(transport, target, limits.client.connect, true);
            connector.map(|connector| PeerClient::new(peer.clone(), connector, limits.client))
        };
        let shows_itself = !credential.is_anonymous() || transport.has_identity();
        let own = client(ConnectTarget::Own)?.with_own_credential(shows_itself);
        let elsewhere = client(ConnectTarget::Named)?;
        Ok(Self {
            base,
            client: own,
            elsewhere,
            credential,
            shows_itself,
            breakers,
            throttles: Throttles::new(),
            via,
        })
    }

    pub fn base(&self) -> &MirrorBase {
        &self.base
    }

    /// How the worst of its origins stands.
    pub(super) fn condition(&self, now: Instant) -> BreakerCondition {
        let all = self
            .breakers
            .iter()
            .map(|(_, breaker)| breaker.condition(now));
        all.max_by_key(|condition| condition.state)
            .unwrap_or(BreakerCondition::WELL)
    }

    pub(super) fn count_on(&mut self, counts: &PeerCounts) {
        let counts = counts.of(self.base.scope().to_string());
        self.client.count_on(Arc::clone(&counts));
        self.elsewhere.count_on(counts);
    }

    pub(super) fn reading(&self, now: Instant) -> PeerReading {
        self.client
            .reading(self.base.scope().to_string(), self.condition(now), now)
    }

    pub(super) async fn page(
        &self,
        request: &UpstreamRequest<'_>,
    ) -> Result<PageAnswer, UpstreamError> {
        let mut headers = self.headers(request);
        request.put_page_types(&mut headers);
        match self.follow(request, headers).await? {
            Followed::UpstreamResponse(answer, url) if answer.status == StatusCode::OK => {
                Ok(PageAnswer::Page { answer, url })
            }
            Followed::UpstreamResponse(answer, _) if unchanged(request, &answer) => {
                Ok(PageAnswer::NotModified)
            }
            Followed::UpstreamResponse(answer, url) => {
                self.refusal(&answer, &url).map(PageAnswer::Refused)
            }
            Followed::Refused(refusal) => Ok(PageAnswer::Refused(refusal)),
        }
    }

    pub(super) async fn file(
        &self,
        request: &UpstreamRequest<'_>,
    ) -> Result<FileAnswer, UpstreamError> {
        let mut headers = self.headers(request);
        UpstreamRequest::put_file_types(&mut headers);
        let (answer, url) = match self.follow(request, headers).await? {
            Followed::UpstreamResponse(answer, url) => (answer, url),
            Followed::Refused(refusal) => return Ok(FileAnswer::Refused(refusal)),
        };
        match answer.status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                request.success(self.client.peer().clone(), answer)
            }
            StatusCode::RANGE_NOT_SATISFIABLE if request.range.is_some() => {
                Ok(FileAnswer::Unsatisfiable(unsatisfied(&answer.headers)))
            }
            _ if unchanged(request, &answer) => Ok(FileAnswer::NotModified),
            status if request.is_refused_by(status) => Ok(FileAnswer::RangeRefused(status)),
            _ => self.refusal(&answer, &url).map(FileAnswer::Refused),
        }
    }

    pub(super) async fn pass(
        &self,
        request: &UpstreamRequest<'_>,
    ) -> Result<PassThrough, UpstreamError> {
        let peer = self.client.peer();
        match self.file(request).await? {
            FileAnswer::Whole(answer) => {
                let pass_through = answer.uncoded()?.pass_through(PASSED_BYTES_MAX).await;
                pass_through.map_err(|why: BodyError| UpstreamError::of_body(peer, &why))
            }
            FileAnswer::Refused(refusal) => Ok(refusal),
            _ => Err(UpstreamError::Unusable(
                "upstream answered what was not asked",
            )),
        }
    }

    /// Asks once, whatever the breaker says, and follows nothing.
    pub(super) async fn examine(
        &self,
        inquiry: Inquiry,
        request: &UpstreamRequest<'_>,
    ) -> Result<UpstreamResponse, UpstreamError> {
        let nowhere = || UpstreamError::Unusable("that leads below no prefix of this mirror");
        let url = self.base.url(request.route).ok_or_else(nowhere)?;
        let mut headers = self.headers(request);
        if self.is_own(&url) {
            self.credential.apply(&mut headers);
        }
        request.put_types_of(inquiry, &mut headers);
        self.client
            .read(
                None,
                PeerRequest {
                    kind: request.route.word(),
                    url: &url,
                    headers: &headers,
                    fresh: true,
                },
            )
            .await
    }

    /// Everything but the credential.
    fn headers(&self, request: &UpstreamRequest<'_>) -> HeaderMap {
        let mut headers = request.fields();
        headers.insert(VIA, self.via.clone());
        UpstreamRequest::put_request_id(&mut headers);
        request.put_validators(&mut headers);
        headers
    }

    async fn follow(
        &self,
        request: &UpstreamRequest<'_>,
        headers: HeaderMap,
    ) -> Result<Followed, UpstreamError> {
        if let Some(answer) = self.throttles.answer(None, clock::now()) {
            return answer.map(Followed::Refused);
        }
        // A path that leads below no prefix is not the mirror's.
        let Some(mut url) = self.base.url(request.route) else {
            return Ok(Followed::Refused(
                self.neutral(StatusCode::NOT_FOUND, HeaderMap::new()),
            ));
        };
        for _ in 0..=HOPS_MAX {
            let mut headers = headers.clone();
            let is_own = self.is_own(&url);
            if is_own {
                self.credential.apply(&mut headers);
            }
            let client = if is_own {
                &self.client
            } else {
                &self.elsewhere
            };
            let breaker = self
                .breakers
                .iter()
                .find(|(origin, _)| *origin == url.origin());
            let breaker = breaker.map(|(_, breaker)| breaker);
            let answer = client
                .read(breaker, request.reading(&url, &headers))
                .await?;
            if !answer.status.is_redirection() || answer.status == StatusCode::NOT_MODIFIED {
                return Ok(Followed::UpstreamResponse(answer, url));
            }
            url = self.next(&url, &answer)?;
        }
        Err(UpstreamError::Redirects(self.client.peer().clone()))
    }

    fn next(&self, from: &Url, answer: &UpstreamResponse) -> Result<Url, UpstreamError> {
        let listed: Vec<Origin> = self
            .breakers
            .iter()
            .map(|(origin, _)| origin.clone())
            .collect();
        match mirror_redirect(from, answer.location(), &listed) {
            MirrorRedirect::Follow(next) => Ok(next),
            MirrorRedirect::Forbidden(origin) => {
                let mirror = self.base.scope();
                tracing::warn!(%origin, "the mirror redirected to this origin; to allow it, add it to mirrors.{mirror}.redirects");
                Err(UpstreamError::RedirectForbidden(self.client.peer().clone()))
            }
            MirrorRedirect::Unreadable => Err(UpstreamError::Redirects(self.client.peer().clone())),
        }
    }

    /// Whether this is the one origin that may know who larder is.
    fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.index().origin()
    }

    /// An answer from `url` that is no success.
    fn refusal(&self, answer: &UpstreamResponse, url: &Url) -> Result<PassThrough, UpstreamError> {
        let peer = self.client.peer().clone();
        let status = answer.status;
        let is_anonymous = !(self.shows_itself && self.is_own(url));
        let refusal = match status {
            StatusCode::NOT_FOUND
            | StatusCode::GONE
            | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => {
                Ok(self.neutral(status, HeaderMap::new()))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if is_anonymous => {
                Ok(self.neutral(status, HeaderMap::new()))
            }
            StatusCode::TOO_MANY_REQUESTS => Ok(self.neutral(status, throttling(&answer.headers))),
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Err(UpstreamError::MirrorCredential(peer, status))
            }
            StatusCode::LOOP_DETECTED => Err(UpstreamError::Loop),
            _ => Err(UpstreamError::Failed(peer, status)),
        };
        if let Some(wait) = self.client.long_wait(answer) {
            // All callers are one to it.
            self.throttles.hold(None, &refusal, wait, clock::now());
        }
        refusal
    }

    fn neutral(&self, status: StatusCode, mut headers: HeaderMap) -> PassThrough {
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let body = Bytes::from(format!("{} answered {status}\n", self.client.peer()));
        PassThrough {
            status,
            reason: None,
            headers,
            body,
        }
    }
}

/// Where the redirects led, or what is said without asking.
enum Followed {
    UpstreamResponse(UpstreamResponse, Url),
    Refused(PassThrough),
}

fn unchanged(request: &UpstreamRequest<'_>, answer: &UpstreamResponse) -> bool {
    answer.status == StatusCode::NOT_MODIFIED && !request.validators.is_empty()
}

#[cfg(test)]
mod tests;
