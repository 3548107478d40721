//! A mirror: an index beside GitLab, asked without any caller's credential.
//!
//! Owns the reading of its answers. No caller's credential ever goes to it, whatever an
//! [`UpstreamRequest`] carries; its own, and larder's client certificate, go to the origin of its
//! index, and nowhere else. Redirects are followed to origins that the operator named. Any other
//! origin, which only its pages named, is asked at public addresses alone, and what it redirects to
//! is asked in the same way: it may borrow neither the credential nor the reach that belongs to what
//! the operator named. What the mirror refuses goes on in neutral words, because its own would speak
//! of another address, and without a challenge, because a client's credential would not go there;
//! that it refuses a credential of larder's is for the operator, not for the client. Must not know
//! pages, or what is done with a file.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use parking_lot::Mutex;
use url::{Origin, Url};

use super::body::BodyError;
use super::breaker::{Breaker, BreakerCondition, BreakerLimits};
use super::connect::Transport;
use super::connect::{ConnectTarget, PeerConnector};
use super::counts::{PeerCounts, PeerReading};
use super::error::UpstreamError;
use super::mirror_config::MirrorConfig;
use super::peer::Peer;
use super::peer_client::PeerClient;
use super::redirect::{AllowedOrigins, MirrorRedirect, may_be_public, may_take, mirror_redirect};
use super::request::{FileAnswer, Inquiry, PageAnswer, PeerRequest, UpstreamRequest};
use super::response::{PassThrough, UpstreamResponse, throttling, unsatisfied};
use super::throttle::Throttles;
use crate::access::Credential;
use crate::registry::{MirrorBase, MirrorPath, Route};
use crate::values::clock;

/// Redirects followed for one page or file.
const HOPS_MAX: usize = 5;

/// Where an operator names the hosts of a mirror's files.
const FILE_URLS: &str = "the mirror's file_urls";

/// The largest body that is passed on whole: a metadata file.
const PASSED_BYTES_MAX: usize = 4 << 20;

pub struct Mirror {
    base: MirrorBase,
    /// To the origin of its index.
    client: PeerClient,
    /// To every other origin that the operator named.
    elsewhere: PeerClient,
    /// To what its pages named, and where that redirects to: at public addresses alone.
    open: PeerClient,
    /// The same way, to find out where it leads.
    connector: PeerConnector,
    credential: Credential,
    /// Whether the origin of its index is shown anything that says who larder is.
    shows_itself: bool,
    redirects: AllowedOrigins,
    /// One for each origin that was asked: a file server that fails says nothing of the index.
    breakers: Mutex<Vec<(Origin, Arc<Breaker>)>>,
    breaker_limits: BreakerLimits,
    throttles: Throttles,
    via: HeaderValue,
}

impl Mirror {
    /// `credential` is the mirror's own, or anonymous; `via` is this process's name in `Via`.
    ///
    /// # Errors
    /// A sentence that begins with the key that is to blame.
    pub fn new(
        base: MirrorBase,
        config: &MirrorConfig,
        transport: &Transport,
        credential: Credential,
        via: HeaderValue,
    ) -> Result<Self, String> {
        let redirects = AllowedOrigins::parse(&config.redirects)
            .map_err(|text| format!("redirects: \"{text}\" is not an origin"))?;
        let mut named = base.places_beside_taken_hosts();
        named.extend_from_slice(redirects.urls());
        let elsewhere = ConnectTarget::Guarded {
            named: Arc::new(AllowedOrigins::of(named)),
            key: FILE_URLS,
        };
        let shows_itself = !credential.is_anonymous() || transport.has_identity();
        let mirror = Self::build(
            base,
            config,
            transport,
            [ConnectTarget::Own, elsewhere],
            via,
        )?;
        Ok(Self {
            client: mirror.client.with_own_credential(shows_itself),
            credential,
            shows_itself,
            redirects,
            ..mirror
        })
    }

    /// The index that GitLab points to, which no operator named: everything of it is asked at
    /// `origins`, or at public addresses alone, and without a credential.
    pub(super) fn public_index(
        base: MirrorBase,
        config: &MirrorConfig,
        transport: &Transport,
        origins: Arc<AllowedOrigins>,
        via: HeaderValue,
    ) -> Result<Self, String> {
        let guarded = ConnectTarget::Guarded {
            named: origins,
            key: "gitlab.forward_origins",
        };
        Self::build(base, config, transport, [guarded.clone(), guarded], via)
    }

    /// Without a credential. `targets` are the origin of its index, and every other one.
    fn build(
        base: MirrorBase,
        config: &MirrorConfig,
        transport: &Transport,
        targets: [ConnectTarget; 2],
        via: HeaderValue,
    ) -> Result<Self, String> {
        let peer = Peer::Mirror(base.scope().clone());
        let limits = config.limits();
        let connector = |target| PeerConnector::new(transport, target, limits.client.connect, true);
        let [own, elsewhere] = targets;
        let open = connector(ConnectTarget::Guarded {
            named: Arc::default(),
            key: FILE_URLS,
        })?;
        Ok(Self {
            client: PeerClient::new(peer.clone(), connector(own)?, limits.client),
            elsewhere: PeerClient::new(peer.clone(), connector(elsewhere)?, limits.client),
            open: PeerClient::new(peer, open.clone(), limits.client),
            connector: open,
            base,
            credential: Credential::anonymous(),
            shows_itself: false,
            redirects: AllowedOrigins::default(),
            breakers: Mutex::default(),
            breaker_limits: limits.breaker,
            throttles: Throttles::new(),
            via,
        })
    }

    /// Whether a host that one of its pages named is on the public Internet, as far as can be told
    /// now; each connection is looked at again.
    pub(super) async fn is_public_host(&self, host: &Url) -> bool {
        may_take(host) && self.connector.is_public(host).await
    }

    /// What is asked is this peer, which serves the mirror.
    pub(super) fn is_at(&mut self, peer: &Peer) {
        for client in [&mut self.client, &mut self.elsewhere, &mut self.open] {
            client.is_at(peer);
        }
    }

    pub(super) fn peer(&self) -> &Peer {
        self.client.peer()
    }

    pub fn base(&self) -> &MirrorBase {
        &self.base
    }

    /// How the worst of its origins stands.
    pub(super) fn condition(&self, now: Instant) -> BreakerCondition {
        let breakers = self.breakers.lock();
        let all = breakers.iter().map(|(_, breaker)| breaker.condition(now));
        all.max_by_key(|condition| condition.state)
            .unwrap_or(BreakerCondition::WELL)
    }

    /// Of an origin that is this mirror's; none of one that a file host redirected to.
    fn breaker(&self, origin: &Origin) -> Option<Arc<Breaker>> {
        let mut breakers = self.breakers.lock();
        if let Some((_, breaker)) = breakers.iter().find(|(known, _)| known == origin) {
            return Some(Arc::clone(breaker));
        }
        if !self.origins().contains(origin) {
            return None;
        }
        let breaker = Arc::new(Breaker::new(self.breaker_limits));
        breakers.push((origin.clone(), Arc::clone(&breaker)));
        Some(breaker)
    }

    /// The origins of its index, of its files, and those of its redirects.
    fn origins(&self) -> Vec<Origin> {
        let places = self.base.places();
        let mut origins: Vec<Origin> = places.iter().map(Url::origin).collect();
        origins.extend(self.redirects.origins());
        origins
    }

    /// Without the hosts that its pages named.
    fn named_origins(&self) -> Vec<Origin> {
        let places = self.base.places_beside_taken_hosts();
        let mut origins: Vec<Origin> = places.iter().map(Url::origin).collect();
        origins.extend(self.redirects.origins());
        origins
    }

    pub(super) fn count_on(&mut self, counts: &PeerCounts) {
        let counts = counts.at(&self.base.scope().to_string(), self.client.peer());
        self.client.count_on(Arc::clone(&counts));
        self.elsewhere.count_on(Arc::clone(&counts));
        self.open.count_on(counts);
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
            Followed::UpstreamResponse(answer, way) if answer.status == StatusCode::OK => {
                let url = way.url;
                let answer = *answer;
                Ok(PageAnswer::Page { answer, url })
            }
            Followed::UpstreamResponse(answer, _) if unchanged(request, &answer) => {
                Ok(PageAnswer::NotModified {
                    age: answer.stale_age(),
                })
            }
            Followed::UpstreamResponse(answer, way) => {
                self.refusal(&answer, &way).map(PageAnswer::Refused)
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
        let (answer, way) = match self.follow(request, headers).await? {
            Followed::UpstreamResponse(answer, way) => (*answer, way),
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
            _ => self.refusal(&answer, &way).map(FileAnswer::Refused),
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
        let url = match inquiry {
            Inquiry::Status => self.status_url(),
            _ => self.base.url(request.route),
        };
        let url = url.ok_or_else(nowhere)?;
        let mut headers = self.headers(request);
        let way = self.way(url, self.is_open(request.route));
        if way.is_own {
            self.credential.apply(&mut headers);
        }
        request.put_types_of(inquiry, &mut headers);
        self.client(&way)?
            .read(
                None,
                PeerRequest {
                    kind: request.route.word(),
                    url: &way.url,
                    headers: &headers,
                    fresh: true,
                    once: false,
                    ahead: false,
                },
            )
            .await
    }

    /// Where its status is, if it is a larder's mirror: the index of one is at `NAME/simple/`.
    fn status_url(&self) -> Option<Url> {
        let mut url = self.base.index()?.clone();
        let mirror = url.path().strip_suffix("/simple/")?;
        let (root, _) = mirror.rsplit_once('/')?;
        let status = format!("{root}/-/status");
        url.set_path(&status);
        Some(url)
    }

    /// Everything but the credential.
    fn headers(&self, request: &UpstreamRequest<'_>) -> HeaderMap {
        let mut headers = request.fields();
        UpstreamRequest::put_via(&mut headers, &self.via);
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
        let is_open = self.is_open(request.route);
        for _ in 0..=HOPS_MAX {
            let mut headers = headers.clone();
            let way = self.way(url, is_open);
            if way.is_own {
                self.credential.apply(&mut headers);
            }
            let breaker = self.breaker(&way.url.origin());
            let answer = self
                .client(&way)?
                .read(breaker.as_deref(), request.reading(&way.url, &headers))
                .await?;
            if !answer.status.is_redirection() || answer.status == StatusCode::NOT_MODIFIED {
                return Ok(Followed::UpstreamResponse(Box::new(answer), way));
            }
            url = self.next(&way.url, &answer, is_open)?;
        }
        Err(UpstreamError::Redirects(self.client.peer().clone()))
    }

    fn next(
        &self,
        from: &Url,
        answer: &UpstreamResponse,
        is_open: bool,
    ) -> Result<Url, UpstreamError> {
        // What a file host may lead to besides is for the operator to name.
        let listed = match is_open {
            true => self.redirects.origins().collect(),
            false => self.named_origins(),
        };
        match mirror_redirect(from, answer.location(), &listed, is_open) {
            MirrorRedirect::Follow(next) => Ok(next),
            MirrorRedirect::Forbidden(origin) => {
                let mirror = self.base.scope();
                tracing::warn!(%origin, "the mirror redirected to this origin; to allow it, add it to mirrors.{mirror}.redirects");
                Err(UpstreamError::RedirectForbidden(self.client.peer().clone()))
            }
            MirrorRedirect::Unreadable => Err(UpstreamError::Redirects(self.client.peer().clone())),
        }
    }

    /// Whether a route leads to a host that only one of its pages named.
    fn is_open(&self, route: &Route) -> bool {
        match mirror_path(route) {
            Some(path) => self.base.is_at_taken_host(path),
            None => false,
        }
    }

    /// How a URL is asked. The origin of its index is the one that may know who larder is, unless a
    /// host that a page named leads there.
    fn way(&self, url: Url, is_open: bool) -> Way {
        let origin = url.origin();
        let index = self.base.index().map(Url::origin);
        let is_named = match is_open {
            true => self.redirects.list(&origin),
            false => self.named_origins().contains(&origin),
        };
        Way {
            is_own: !is_open && index == Some(origin),
            is_named,
            url,
        }
    }

    /// Literal addresses pass no resolver: they are judged here.
    fn client(&self, way: &Way) -> Result<&PeerClient, UpstreamError> {
        if way.is_own {
            Ok(&self.client)
        } else if way.is_named {
            Ok(&self.elsewhere)
        } else if may_be_public(&way.url) {
            Ok(&self.open)
        } else {
            Err(UpstreamError::RedirectForbidden(self.client.peer().clone()))
        }
    }

    /// An answer that is no success.
    fn refusal(&self, answer: &UpstreamResponse, way: &Way) -> Result<PassThrough, UpstreamError> {
        let peer = self.client.peer().clone();
        let status = answer.status;
        let is_anonymous = !(self.shows_itself && way.is_own);
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

/// The path of a route to a file or a sidecar.
fn mirror_path(route: &Route) -> Option<&MirrorPath> {
    match route {
        Route::Mirrored(path) => Some(path),
        Route::File(file) | Route::Metadata(file) => file.mirror_path(),
        _ => None,
    }
}

/// One URL, and how it is asked.
struct Way {
    url: Url,
    /// It is at the origin of the index, asked with the credential.
    is_own: bool,
    /// It may have any address.
    is_named: bool,
}

/// Where the redirects led, or what is said without asking.
enum Followed {
    UpstreamResponse(Box<UpstreamResponse>, Way),
    Refused(PassThrough),
}

fn unchanged(request: &UpstreamRequest<'_>, answer: &UpstreamResponse) -> bool {
    answer.status == StatusCode::NOT_MODIFIED && !request.validators.is_empty()
}

#[cfg(test)]
mod tests;
