//! Who is asked: GitLab, or the mirror that a route names; with parents in their place, each of them
//! in its turn.
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
use super::parent::ParentState;
use super::peer::Peer;
use super::redirect::AllowedOrigins;
use super::rendezvous;
use super::request::{FileAnswer, PageAnswer, UpstreamRequest};
use super::response::PassThrough;
use super::shared_store::SharedStore;
use super::turns::{ChosenPeer, Turns};
use super::upload_body::Outgoing;
use crate::access::Credential;
use crate::registry::{Base, Bases, FileRef, MirrorBase, PackagesAddress, Route, Scope};
use crate::simple::ProjectName;
use crate::values::clock;
use crate::values::error_chain::BoxError;

pub struct Upstream {
    /// Where GitLab and the parents live.
    bases: Bases,
    forward: Forward,
    forward_not_found: bool,
    /// GitLab, or in its place every parent.
    gitlabs: Vec<GitLab>,
    packages: PackagesClient,
    /// And the index that GitLab points to, if it is followed. One of the parents' is there for each
    /// parent that serves it.
    mirrors: BTreeMap<Scope, Vec<Mirror>>,
    index_trial: Option<IndexTrial>,
    offline: bool,
    awaits_parent: bool,
    parents: Arc<ParentState>,
    shared_store: Option<Arc<SharedStore>>,
    pub(super) check: GitLabCheck,
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
        let mut gitlabs = Vec::new();
        for seen in bases.seen_from_each() {
            gitlabs.push(GitLab::new(
                config,
                transport,
                seen,
                stores.clone(),
                via.clone(),
                service_token,
            )?);
        }
        Ok(Self {
            packages: PackagesClient::new(config, transport, via)?,
            gitlabs,
            bases,
            forward: config.forward.clone(),
            forward_not_found: config.forward_not_found,
            mirrors: BTreeMap::new(),
            index_trial: None,
            offline: false,
            awaits_parent: false,
            parents: Arc::default(),
            shared_store: None,
            check: GitLabCheck::default(),
        })
    }

    /// Those of one name stand in for each other.
    #[must_use]
    pub fn with_mirrors(mut self, mirrors: impl IntoIterator<Item = Mirror>) -> Self {
        for mirror in mirrors {
            let scope = mirror.base().scope().clone();
            self.mirrors.entry(scope).or_default().push(mirror);
        }
        self
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
            .insert(base.scope().clone(), vec![trial.mirror(base)?]);
        self.index_trial = Some(trial);
        Ok(self)
    }

    /// What is asked as GitLab are the larders at its bases, and so are the mirrors that they told
    /// of.
    #[must_use]
    pub fn under_parents(mut self) -> Self {
        for gitlab in &mut self.gitlabs {
            let url = gitlab.bases().asked().to_string();
            gitlab.is_at(&Peer::Parent(Arc::from(url)));
        }
        for mirror in self.mirrors.values_mut().flatten() {
            for parent in self.bases.parents() {
                if mirror.base().is_parents() && mirror.base().is_below(parent) {
                    let url = parent.to_string();
                    mirror.is_at(&Peer::Parent(Arc::from(url)));
                }
            }
        }
        self
    }

    /// Of several parents those are not asked that are none, as it stands in `parents`.
    #[must_use]
    pub fn judging_parents_by(self, parents: Arc<ParentState>) -> Self {
        Self { parents, ..self }
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
        for gitlab in &mut self.gitlabs {
            gitlab.count_on(counts);
        }
        self.packages.count_on(counts.of(GITLAB.to_owned()));
        for mirror in self.mirrors.values_mut().flatten() {
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
        &self.forward
    }

    /// Whether GitLab's "no such package" counts as its redirect to a public index.
    pub fn forwards_not_found(&self) -> bool {
        self.forward_not_found
    }

    /// Where GitLab lives.
    pub fn bases(&self) -> &Bases {
        &self.bases
    }

    /// Where a mirror lives, if this scope is one that is configured.
    pub fn mirror(&self, scope: &Scope) -> Option<&MirrorBase> {
        self.first_mirror(scope).map(Mirror::base)
    }

    fn first_mirror(&self, scope: &Scope) -> Option<&Mirror> {
        self.mirrors.get(scope)?.first()
    }

    /// Among how many a question about this scope goes round: more than one only with parents.
    pub fn peers_of(&self, scope: &Scope) -> usize {
        match scope.is_mirror() {
            true => self.mirrors.get(scope).map_or(0, Vec::len),
            false => self.gitlabs.len(),
        }
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
        let mut names = Vec::new();
        for chosen in self.all(scope) {
            match chosen.peer() {
                Peer::Parent(url) => names.push(url.to_string()),
                lone => return lone.clone(),
            }
        }
        match names.as_slice() {
            [] => Peer::of(scope),
            [url] => Peer::Parent(Arc::from(url.as_str())),
            urls => Peer::Parents(Arc::from(urls.join(", "))),
        }
    }

    /// Who may yet tell its mirrors, if there is a parent that has not.
    pub fn awaited_parent(&self) -> Option<Peer> {
        if self.awaits_parent {
            let urls: Vec<String> = self.bases.parents().iter().map(Base::to_string).collect();
            return Some(match urls.as_slice() {
                [url] => Peer::Parent(Arc::from(url.as_str())),
                urls => Peer::Parents(Arc::from(urls.join(", "))),
            });
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
    pub fn peers(&self) -> Vec<PeerReading> {
        let now = clock::now();
        let mut readings = Vec::new();
        for (place, gitlab) in self.gitlabs.iter().enumerate() {
            readings.extend(gitlab.readings(place == 0, now));
        }
        for mirror in self.mirrors.values().flatten() {
            if mirror.base().index().is_some() {
                readings.push(mirror.reading(now));
            }
        }
        for reading in &mut readings {
            reading.has_stand_ins = reading.parent.is_some() && self.gitlabs.len() > 1;
        }
        readings.extend(self.shared_store.iter().map(|store| store.reading(now)));
        readings
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
        match self.first_mirror(mirror) {
            Some(mirror) if !self.offline => mirror.is_public_host(host).await,
            _ => false,
        }
    }

    /// Asks for an index or project page.
    ///
    /// # Errors
    /// Whatever leaves nothing to use or to pass on.
    pub async fn page(&self, request: &UpstreamRequest<'_>) -> Result<PageAnswer, UpstreamError> {
        let mut turns = self.turns(request.route, request.broke_off.as_ref())?;
        loop {
            let request = turns.request(request);
            let answered = match turns.peer() {
                ChosenPeer::Mirror(mirror) => mirror.page(&request).await,
                ChosenPeer::GitLab(gitlab) => gitlab.page(&request).await,
            };
            if let Some(answered) = turns.settle(answered) {
                return answered;
            }
        }
    }

    /// Asks for a file. With validators GitLab is asked about the right to it, and no store is.
    ///
    /// # Errors
    /// Whatever leaves nothing to use or to pass on.
    pub async fn file(&self, request: &UpstreamRequest<'_>) -> Result<FileAnswer, UpstreamError> {
        let mut turns = self.turns(request.route, request.broke_off.as_ref())?;
        loop {
            let request = turns.request(request);
            let answered = match turns.peer() {
                ChosenPeer::Mirror(mirror) => mirror.file(&request).await,
                ChosenPeer::GitLab(gitlab) => gitlab.file(&request).await,
            };
            if let Some(answered) = turns.settle_file(answered) {
                return answered;
            }
        }
    }

    /// Sends a read whose answer goes on as it is, unstored.
    ///
    /// # Errors
    /// Whatever leaves nothing to pass on.
    pub async fn pass(&self, request: &UpstreamRequest<'_>) -> Result<PassThrough, UpstreamError> {
        let mut turns = self.turns(request.route, request.broke_off.as_ref())?;
        loop {
            let request = turns.request(request);
            let answered = match turns.peer() {
                ChosenPeer::Mirror(mirror) => mirror.pass(&request).await,
                ChosenPeer::GitLab(gitlab) => gitlab.pass(&request).await,
            };
            if let Some(answered) = turns.settle(answered) {
                return answered;
            }
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
    /// however GitLab stands. Of several parents the first that takes the connection gets it, and no
    /// other one after it: what has set out may have arrived.
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
        let mut turns = self.turns(route, None)?;
        loop {
            let ChosenPeer::GitLab(gitlab) = turns.peer() else {
                return Err(UpstreamError::Unusable("a mirror takes no uploads"));
            };
            let connected = gitlab.connect_for_upload(route).await;
            if let Some(connected) = turns.settle(connected) {
                return gitlab.upload(connected?, route, credential, upload).await;
            }
        }
    }

    /// Those that a route may be asked of, in their order: every request to any peer passes here.
    pub(super) fn turns(
        &self,
        route: &Route,
        broke_off: Option<&Peer>,
    ) -> Result<Turns<'_>, UpstreamError> {
        if self.offline {
            return Err(UpstreamError::Offline);
        }
        let mut all = match route.scope() {
            Some(scope) => self.all(scope),
            None => self.gitlabs.iter().map(ChosenPeer::GitLab).collect(),
        };
        if self.gitlabs.len() > 1 {
            // A host that is no larder gets no token, and its 404 is not GitLab's word.
            let is_named = !all.is_empty();
            all.retain(|chosen| !self.parents.is_no_parent(chosen.url()));
            if is_named && all.is_empty() {
                return Err(UpstreamError::NoParent);
            }
        }
        let ordered = match all.len() {
            0 | 1 => all,
            _ => {
                let order = rendezvous::order(all.iter().map(|chosen| chosen.url()), route);
                order.into_iter().map(|place| all[place]).collect()
            }
        };
        let none = UpstreamError::Unusable("no mirror of this name is configured");
        Turns::new(ordered, broke_off).ok_or(none)
    }

    /// Who may be asked about packages of this scope, in no order.
    fn all(&self, scope: &Scope) -> Vec<ChosenPeer<'_>> {
        if !scope.is_mirror() {
            return self.gitlabs.iter().map(ChosenPeer::GitLab).collect();
        }
        let mirrors = self.mirrors.get(scope).into_iter().flatten();
        mirrors.map(ChosenPeer::Mirror).collect()
    }
}
