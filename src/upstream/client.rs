//! Who is asked: GitLab, or the mirror that a route names.
//!
//! Owns the peers, and the one place that every request to any of them passes: offline it ends there. Must not know how a
//! peer is asked.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderValue;
use url::Url;

use super::config::GitLabConfig;
use super::connect::transport::Transport;
use super::counts::{PeerCounts, PeerReading};
use super::error::UpstreamError;
use super::gitlab::GitLab;
use super::mirror::Mirror;
use super::redirect::StoreOrigins;
use super::request::{FileAnswer, PageAnswer, UpstreamRequest};
use super::response::PassThrough;
use super::upload_body::Outgoing;
use crate::access::Credential;
use crate::registry::{Bases, MirrorBase, Route, Scope};
use crate::values::clock;
use crate::values::error_chain::BoxError;

pub struct Upstream {
    gitlab: GitLab,
    mirrors: BTreeMap<Scope, Mirror>,
    offline: bool,
}

/// Who is asked.
pub(super) enum ChosenPeer<'a> {
    GitLab(&'a GitLab),
    Mirror(&'a Mirror),
}

impl Upstream {
    /// `via` is this process's name in `Via`, by which it knows its own requests again. `service_token` says
    /// that the credentials it is given are the operator's, whose refusal is no word to the caller.
    ///
    /// # Errors
    /// A sentence about the TLS set-up.
    pub fn new(
        config: &GitLabConfig,
        transport: &Transport,
        bases: Bases,
        stores: StoreOrigins,
        via: HeaderValue,
        service_token: bool,
    ) -> Result<Self, String> {
        let gitlab = GitLab::new(config, transport, bases, stores, via, service_token)?;
        Ok(Self {
            gitlab,
            mirrors: BTreeMap::new(),
            offline: false,
        })
    }

    #[must_use]
    pub fn with_mirrors(self, mirrors: impl IntoIterator<Item = Mirror>) -> Self {
        let mirrors = mirrors
            .into_iter()
            .map(|mirror| (mirror.base().scope().clone(), mirror));
        Self {
            mirrors: mirrors.collect(),
            ..self
        }
    }

    /// Goes on counting where others of the same names left off.
    #[must_use]
    pub fn counting(mut self, counts: &PeerCounts) -> Self {
        self.gitlab.count_on(counts);
        self.mirrors
            .values_mut()
            .for_each(|mirror| mirror.count_on(counts));
        self
    }

    /// With `offline` nobody is asked anything, whatever for: no connection is ever opened.
    #[must_use]
    pub fn offline(self, offline: bool) -> Self {
        Self { offline, ..self }
    }

    /// Whether nobody is asked.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// The mirror that answers for a package GitLab does not have.
    pub fn forward(&self) -> Option<Scope> {
        self.gitlab.forward()
    }

    /// Where GitLab lives.
    pub fn bases(&self) -> &Bases {
        self.gitlab.bases()
    }

    /// Where a mirror lives, if this scope is one that is configured.
    pub fn mirror(&self, scope: &Scope) -> Option<&MirrorBase> {
        self.mirrors.get(scope).map(Mirror::base)
    }

    /// Whether there is anybody to ask about packages of this scope.
    pub fn serves(&self, scope: &Scope) -> bool {
        !scope.is_mirror() || self.mirrors.contains_key(scope)
    }

    /// What a route is asked for under, if there is anybody to ask.
    pub fn url(&self, route: &Route) -> Option<Url> {
        match route.scope()? {
            scope if scope.is_mirror() => self.mirror(scope)?.url(route),
            _ => Some(self.bases().asked().url(route)),
        }
    }

    /// The peers, `gitlab` first and its `object_store` after it: what they were asked, and how they stand.
    pub fn peers(&self) -> impl Iterator<Item = PeerReading> {
        let now = clock::now();
        let gitlab = self.gitlab.readings(now).into_iter();
        gitlab.chain(self.mirrors.values().map(move |mirror| mirror.reading(now)))
    }

    /// Asks for an index or project page.
    ///
    /// # Errors
    /// Whatever leaves nothing to use or to pass on.
    pub async fn page(&self, ask: &UpstreamRequest<'_>) -> Result<PageAnswer, UpstreamError> {
        match self.asked(ask.route)? {
            ChosenPeer::Mirror(mirror) => mirror.page(ask).await,
            ChosenPeer::GitLab(gitlab) => gitlab.page(ask).await,
        }
    }

    /// Asks for a file. With validators GitLab is asked about the right to it, and no store is.
    ///
    /// # Errors
    /// Whatever leaves nothing to use or to pass on.
    pub async fn file(&self, ask: &UpstreamRequest<'_>) -> Result<FileAnswer, UpstreamError> {
        match self.asked(ask.route)? {
            ChosenPeer::Mirror(mirror) => mirror.file(ask).await,
            ChosenPeer::GitLab(gitlab) => gitlab.file(ask).await,
        }
    }

    /// Sends a read whose answer goes on as it is, unstored.
    ///
    /// # Errors
    /// Whatever leaves nothing to pass on.
    pub async fn pass(&self, ask: &UpstreamRequest<'_>) -> Result<PassThrough, UpstreamError> {
        match self.asked(ask.route)? {
            ChosenPeer::Mirror(mirror) => mirror.pass(ask).await,
            ChosenPeer::GitLab(gitlab) => gitlab.pass(ask).await,
        }
    }

    /// Sends an upload's body as it comes, once, on a connection of its own, and hands back whatever is answered,
    /// also while the body is still being sent. It is never held back, however GitLab stands.
    ///
    /// # Errors
    /// When there is no answer. GitLab may have stored the file all the same.
    pub async fn upload<B>(
        &self,
        route: &Route,
        credential: &Credential,
        upload: Outgoing<B>,
    ) -> Result<PassThrough, UpstreamError>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        match self.asked(route)? {
            ChosenPeer::GitLab(gitlab) => gitlab.upload(route, credential, upload).await,
            ChosenPeer::Mirror(_) => Err(UpstreamError::Unusable("a mirror takes no uploads")),
        }
    }

    /// Whom a route names: every request to anybody passes here.
    pub(super) fn asked(&self, route: &Route) -> Result<ChosenPeer<'_>, UpstreamError> {
        if self.offline {
            return Err(UpstreamError::Offline);
        }
        match route.scope() {
            Some(scope) if scope.is_mirror() => {
                let mirror = self.mirrors.get(scope).map(ChosenPeer::Mirror);
                mirror.ok_or(UpstreamError::Unusable(
                    "no mirror of this name is configured",
                ))
            }
            _ => Ok(ChosenPeer::GitLab(&self.gitlab)),
        }
    }
}
