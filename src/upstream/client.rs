//! Who is asked: GitLab, or the mirror that a route names.
//!
//! Owns the peers, and the one place that every request to any of them passes: offline it ends
//! there. Must not know how a peer is asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use serde::de::DeserializeOwned;
use url::Url;

use super::config::{Forward, GitLabConfig};
use super::connect::Transport;
use super::counts::{PeerCounts, PeerReading};
use super::error::UpstreamError;
use super::gitlab::{GITLAB, GitLab};
use super::gitlab_check::GitLabCheck;
use super::index_trial::{IndexTrial, TrialError};
use super::mirror::Mirror;
use super::packages_api::{ListPage, PackagesClient, PackagesError};
use super::peer::Peer;
use super::redirect::AllowedOrigins;
use super::request::{FileAnswer, PageAnswer, UpstreamRequest};
use super::response::PassThrough;
use super::shared_store::SharedStore;
use super::upload_body::Outgoing;
use crate::access::Credential;
use crate::registry::{Bases, FileRef, MirrorBase, PackagesAddress, Route, Scope};
use crate::simple::ProjectName;
use crate::values::clock;
use crate::values::error_chain::BoxError;

pub struct Upstream {
    gitlab: GitLab,
    packages: PackagesClient,
    /// And the index that GitLab points to, if it is followed.
    mirrors: BTreeMap<Scope, Mirror>,
    index_trial: Option<IndexTrial>,
    offline: bool,
    awaits_parent: bool,
    shared_store: Option<Arc<SharedStore>>,
    pub(super) check: GitLabCheck,
}

/// Who is asked.
pub(super) enum ChosenPeer<'a> {
    GitLab(&'a GitLab),
    Mirror(&'a Mirror),
}

impl Upstream {
    /// `via` is this process's name in `Via`, by which it knows its own requests again.
    /// `service_token` says that the credentials it is given are the operator's, whose refusal is
    /// not meant for the caller.
    ///
    /// # Errors
    /// A sentence about the TLS set-up.
    pub fn new(
        config: &GitLabConfig,
        transport: &Transport,
        bases: Bases,
        stores: AllowedOrigins,
        via: HeaderValue,
        service_token: bool,
    ) -> Result<Self, String> {
        Ok(Self {
            packages: PackagesClient::new(config, transport, via.clone())?,
            gitlab: GitLab::new(config, transport, bases, stores, via, service_token)?,
            mirrors: BTreeMap::new(),
            index_trial: None,
            offline: false,
            awaits_parent: false,
            shared_store: None,
            check: GitLabCheck::default(),
        })
    }

    #[must_use]
    pub fn with_mirrors(self, mirrors: impl IntoIterator<Item = Mirror>) -> Self {
        let mirrors = mirrors.into_iter();
        let mirrors = mirrors.map(|mirror| (mirror.base().scope().clone(), mirror));
        Self {
            mirrors: mirrors.collect(),
            ..self
        }
    }

    /// Follows GitLab's redirects to the index that is yet to be learned as `base`.
    ///
    /// # Errors
    /// A sentence about the TLS set-up.
    pub fn with_public_index(
        mut self,
        base: MirrorBase,
        trial: IndexTrial,
    ) -> Result<Self, String> {
        self.mirrors
            .insert(base.scope().clone(), trial.mirror(base)?);
        self.index_trial = Some(trial);
        Ok(self)
    }

    /// A larder at this URL is what is asked as GitLab, and for those mirrors that it told of.
    #[must_use]
    pub fn under_parent(mut self, url: &str) -> Self {
        let parent = Peer::Parent(Arc::from(url));
        self.gitlab.is_at(&parent);
        for mirror in self.mirrors.values_mut() {
            if mirror.base().is_parents() {
                mirror.is_at(&parent);
            }
        }
        self
    }

    /// Files may come from this store of the fleet's.
    #[must_use]
    pub fn with_shared_store(self, shared_store: Option<SharedStore>) -> Self {
        Self {
            shared_store: shared_store.map(Arc::new),
            ..self
        }
    }

    /// The store that the fleet's larders share; none offline.
    pub fn shared_store(&self) -> Option<&Arc<SharedStore>> {
        match &self.shared_store {
            Some(store) if !self.offline => Some(store),
            _ => None,
        }
    }

    /// The name of an address in the shared store. Mirrors of one name are one source to a fleet.
    pub fn shared_name(&self, store: &SharedStore, file: &FileRef) -> String {
        let base = match file.scope.is_mirror() {
            true => String::new(),
            false => self.bases().asked().to_string(),
        };
        store.fleet_key().name(&base, file)
    }

    /// Goes on counting where others of the same names left off.
    #[must_use]
    pub fn counting(mut self, counts: &PeerCounts) -> Self {
        self.gitlab.count_on(counts);
        self.packages.count_on(counts.of(GITLAB.to_owned()));
        for mirror in self.mirrors.values_mut() {
            mirror.count_on(counts);
        }
        if let Some(store) = &self.shared_store {
            store.count_on(counts);
        }
        self
    }

    /// `offline` disables every upstream connection.
    #[must_use]
    pub fn offline(self, offline: bool) -> Self {
        Self { offline, ..self }
    }

    /// `awaits` says that a parent has not told its mirrors yet.
    #[must_use]
    pub fn awaiting_parent(self, awaits: bool) -> Self {
        Self {
            awaits_parent: awaits,
            ..self
        }
    }

    /// Whether no peer is asked.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// What becomes of GitLab's redirect for a package it does not have.
    pub fn forward(&self) -> &Forward {
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

    /// Whether an operator named where a file is, if only as GitLab. Of other places no byte is
    /// given that was not checked against the digest on a page.
    pub fn is_named_by_operator(&self, file: &FileRef) -> bool {
        let Some(path) = file.mirror_path() else {
            return true;
        };
        match self.mirror(path.scope()) {
            Some(base) => base.is_named_by_operator(path),
            None => true,
        }
    }

    /// Who is asked about packages of this scope, as messages name it.
    pub fn peer_of(&self, scope: &Scope) -> Peer {
        if !scope.is_mirror() {
            return self.gitlab.peer().clone();
        }
        match self.mirrors.get(scope) {
            Some(mirror) => mirror.peer().clone(),
            None => Peer::of(scope),
        }
    }

    /// Who may yet tell its mirrors, if there is a parent that has not.
    pub fn awaited_parent(&self) -> Option<Peer> {
        if self.awaits_parent {
            return Some(self.gitlab.peer().clone());
        }
        None
    }

    /// Whether there is a peer to ask about packages of this scope.
    pub fn serves(&self, scope: &Scope) -> bool {
        !scope.is_mirror() || self.mirrors.contains_key(scope)
    }

    /// The URL that a route is asked for by, if there is a peer to ask.
    pub fn url(&self, route: &Route) -> Option<Url> {
        match route.scope()? {
            scope if scope.is_mirror() => self.mirror(scope)?.url(route),
            _ => Some(self.bases().asked().url(route)),
        }
    }

    /// The peers, `gitlab` first, its `object_store` after it and the `shared_store` last: what they
    /// were asked, and how they stand.
    pub fn peers(&self) -> impl Iterator<Item = PeerReading> {
        let now = clock::now();
        let gitlab = self.gitlab.readings(now).into_iter();
        let known = self.mirrors.values();
        let known = known.filter(|mirror| mirror.base().index().is_some());
        let shared = self.shared_store.iter();
        let others = known.map(move |mirror| mirror.reading(now));
        gitlab
            .chain(others)
            .chain(shared.map(move |store| store.reading(now)))
    }

    /// Whether an index that GitLab points to gives the page of a project.
    ///
    /// # Errors
    /// Why it is not to be followed, or not yet.
    pub async fn try_index(&self, index: &Url, name: &ProjectName) -> Result<(), TrialError> {
        match &self.index_trial {
            Some(trial) if !self.offline => trial.run(index, name).await,
            _ => Err(TrialError::Unfit(UpstreamError::Offline.to_string())),
        }
    }

    /// Whether a file host that a mirror's page named may be asked.
    pub async fn is_public_host(&self, mirror: &Scope, host: &Url) -> bool {
        match self.mirrors.get(mirror) {
            Some(mirror) if !self.offline => mirror.is_public_host(host).await,
            _ => false,
        }
    }

    /// Asks for an index or project page.
    ///
    /// # Errors
    /// Whatever leaves nothing to use or to pass on.
    pub async fn page(&self, request: &UpstreamRequest<'_>) -> Result<PageAnswer, UpstreamError> {
        match self.peer(request.route)? {
            ChosenPeer::Mirror(mirror) => mirror.page(request).await,
            ChosenPeer::GitLab(gitlab) => gitlab.page(request).await,
        }
    }

    /// Asks for a file. With validators GitLab is asked about the right to it, and no store is.
    ///
    /// # Errors
    /// Whatever leaves nothing to use or to pass on.
    pub async fn file(&self, request: &UpstreamRequest<'_>) -> Result<FileAnswer, UpstreamError> {
        match self.peer(request.route)? {
            ChosenPeer::Mirror(mirror) => mirror.file(request).await,
            ChosenPeer::GitLab(gitlab) => gitlab.file(request).await,
        }
    }

    /// Sends a read whose answer goes on as it is, unstored.
    ///
    /// # Errors
    /// Whatever leaves nothing to pass on.
    pub async fn pass(&self, request: &UpstreamRequest<'_>) -> Result<PassThrough, UpstreamError> {
        match self.peer(request.route)? {
            ChosenPeer::Mirror(mirror) => mirror.pass(request).await,
            ChosenPeer::GitLab(gitlab) => gitlab.pass(request).await,
        }
    }

    /// Asks GitLab's packages API for one page of a list.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn packages<T: DeserializeOwned>(
        &self,
        address: PackagesAddress<'_>,
        credential: &Credential,
    ) -> Result<ListPage<T>, PackagesError> {
        if self.offline {
            return Err(UpstreamError::Offline.into());
        }
        let missing = UpstreamError::Unusable("a mirror has no packages API");
        let url = address.url(self.bases().asked()).ok_or(missing)?;
        self.packages.list(&url, address.page(), credential).await
    }

    /// Sends an upload's body as it comes, once, on a connection of its own, and hands back
    /// whatever is answered, also while the body is still being sent. It is never held back,
    /// however GitLab stands.
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
        match self.peer(route)? {
            ChosenPeer::GitLab(gitlab) => gitlab.upload(route, credential, upload).await,
            ChosenPeer::Mirror(_) => Err(UpstreamError::Unusable("a mirror takes no uploads")),
        }
    }

    /// The peer that a route names: every request to any peer passes here.
    pub(super) fn peer(&self, route: &Route) -> Result<ChosenPeer<'_>, UpstreamError> {
        if self.offline {
            return Err(UpstreamError::Offline);
        }
        let Some(scope) = route.scope().filter(|scope| scope.is_mirror()) else {
            return Ok(ChosenPeer::GitLab(&self.gitlab));
        };
        match self.mirrors.get(scope) {
            Some(mirror) => Ok(ChosenPeer::Mirror(mirror)),
            None => Err(UpstreamError::Unusable(
                "no mirror of this name is configured",
            )),
        }
    }
}
