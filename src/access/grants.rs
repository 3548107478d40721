//! The table of GitLab's decisions: which caller was let in to what, until when.
//!
//! Owns the rights, the witnesses that a file belongs to a project, and the turnings-away. Every
//! entry carries its own end and is judged against a `now` that the caller brings; the tables' own
//! expiry only frees memory. Must not ask GitLab.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::offline_auth::{OfflineAuth, OfflineAuthError};
use super::{
    Authorization, Caller, Credential, CredentialError, Fingerprint, FingerprintKey, ListedFiles,
    OfflineKeys, OfflineRule, Permit,
};
use crate::registry::{FileRef, PageRef, Scope, ScopeKind};
use crate::simple::{ProjectName, project_candidates};
use crate::values::cache::{self, Cache};
use crate::values::clock;
use crate::values::ends::Ends;
use crate::values::quantity::Span;

/// `[auth]`: how long GitLab's word holds, and how much of it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// Absolute, never sliding; at most [`Self::CACHE_TTL_MAX`]. Zero asks every time.
    pub cache_ttl: Span,
    /// Rights remembered at once; the least recently used are forgotten, which costs a question.
    pub cache_entries: u64,
    /// Offline, which callers get GitLab's packages.
    pub offline: OfflineRule,
    /// An htpasswd file (bcrypt) of those who do, whatever the rule.
    pub offline_users: String,
    /// A file of tokens, one a line, that do as well.
    pub offline_tokens: String,
}

impl AuthConfig {
    /// A withdrawn right must end while its operator still watches.
    pub const CACHE_TTL_MAX: Span = Span::seconds(300);
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            cache_ttl: Span::seconds(60),
            cache_entries: 65_536,
            offline: OfflineRule::Deny,
            offline_users: String::new(),
            offline_tokens: String::new(),
        }
    }
}

/// Why a request has no caller.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Offline(#[from] OfflineAuthError),
}

/// A right of one caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Right {
    /// To every page of a project, and to its files that are witnessed.
    Project(Scope),
    /// To a group's page, or to its index.
    Page(PageRef),
    /// To the files that a page of this name listed under this scope.
    Listed(Scope, ProjectName),
    /// To one file.
    File(FileRef),
    /// To mirrors for those who may read this group or project.
    Audience(Scope),
}

impl Right {
    /// The right that a page request is about.
    fn to(page: &PageRef) -> Self {
        match page.scope.kind() {
            ScopeKind::Project => Self::Project(page.scope.clone()),
            // A mirror's page is open to all, and no right to it is ever written down.
            ScopeKind::Group | ScopeKind::Mirror => Self::Page(page.clone()),
        }
    }
}

/// A fact about a project, for every caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Witness {
    Listed(Scope, ProjectName),
    File(FileRef),
}

#[derive(Clone)]
struct Grant {
    given: Instant,
    until: Instant,
    listing: Option<Arc<ListedFiles>>,
}

impl Grant {
    fn holds(&self, now: Instant) -> bool {
        now < self.until
    }

    fn permit(&self) -> Permit {
        Permit::new(self.given, self.until)
    }

    fn lists(&self, file: &FileRef) -> bool {
        self.listing
            .as_ref()
            .is_none_or(|listing| listing.contains(file))
    }
}

/// Everything that GitLab decided lately.
pub struct Access {
    key: FingerprintKey,
    cache_ttl: Duration,
    rights: Cache<(Fingerprint, Right), Grant>,
    witnesses: Cache<Witness, Grant>,
    /// When a caller was last turned away: what was said before no longer counts for it.
    turned_away: Ends<Fingerprint>,
    /// The same for one right. A time and not an entry taken out, so that an answer which is on its
    /// way just then, to a question from before, does not bring back what ended.
    denied: Ends<(Fingerprint, Right)>,
    /// Offline, what decides in GitLab's place.
    offline: Option<OfflineAuth>,
    /// The operator's own credential, which then stands for every caller's.
    service: Option<Caller>,
    /// What [`Self::void_before`] counts from.
    since: Instant,
    /// Words given in answer to a request that was sent earlier are void, in nanoseconds. A
    /// revocation moves it, so that a word that is on its way just then does not outlive it.
    void_before: AtomicU64,
    counts: Arc<GrantCounts>,
}

/// What went into tables of rights, over all configurations of this process.
#[derive(Debug, Default)]
pub struct GrantCounts {
    granted: AtomicU64,
    refused: AtomicU64,
}

/// The table of rights at a moment, and what went into it.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrantReading {
    /// Rights remembered, roughly.
    pub held: u64,
    /// Times that GitLab let a caller in.
    pub granted: u64,
    /// Times that it refused a credential, or said that there is nothing for it.
    pub refused: u64,
}

impl Access {
    pub fn new(config: &AuthConfig) -> Self {
        let cache_ttl = config.cache_ttl.0.min(AuthConfig::CACHE_TTL_MAX.0);
        let keep = cache_ttl.max(Duration::from_secs(1));
        Self {
            key: FingerprintKey::random(),
            cache_ttl,
            rights: cache::bounded_for(config.cache_entries, keep),
            witnesses: cache::bounded_for(config.cache_entries, keep),
            turned_away: Ends::bounded_for(config.cache_entries, keep),
            denied: Ends::bounded_for(config.cache_entries, keep),
            offline: None,
            service: None,
            since: clock::now(),
            void_before: AtomicU64::new(0),
            counts: Arc::default(),
        }
    }

    /// Goes on counting where another table left off.
    #[must_use]
    pub fn counting(self, counts: Arc<GrantCounts>) -> Self {
        Self { counts, ..self }
    }

    /// The same offline: `keys` decide in GitLab's place.
    pub fn offline(config: &AuthConfig, keys: OfflineKeys) -> Self {
        let access = Self::new(config);
        let lasts = access.cache_ttl.max(Duration::from_secs(1));
        let offline = OfflineAuth::new(keys, &access.key, lasts, config.cache_entries);
        Self {
            offline: Some(offline),
            ..access
        }
    }

    /// The same with the operator's own credential in place of every caller's.
    #[must_use]
    pub fn with_service_credential(self, credential: Option<Credential>) -> Self {
        let service = credential.map(|credential| self.identify(credential));
        Self { service, ..self }
    }

    /// The caller of a request that reads of this scope: by the operator's own credential where
    /// there is one, otherwise by the credential in the header. Offline, the operator's files are
    /// asked whether it may have GitLab's packages; otherwise GitLab will say.
    ///
    /// # Errors
    /// When the header is not one credential, or the caller gets nothing offline.
    pub async fn caller(
        &self,
        headers: &HeaderMap,
        scope: Option<&Scope>,
        now: Instant,
    ) -> Result<Caller, CallerError> {
        let credential = Credential::read(headers)?;
        let caller = match &self.service {
            Some(service) => service.clone(),
            None => self.identify(credential),
        };
        if let (Some(offline), Some(scope)) = (&self.offline, scope)
            && !scope.is_mirror()
        {
            // Larger than what a caller needs that GitLab decides about.
            Box::pin(offline.check(&caller, &self.key, now)).await?;
        }
        Ok(caller)
    }

    /// The caller that shows this credential itself.
    pub fn identify(&self, credential: Credential) -> Caller {
        let fingerprint = self.key.fingerprint(&credential);
        Caller::new(credential, fingerprint)
    }

    /// How long a decision of GitLab's counts.
    pub fn cache_ttl(&self) -> Duration {
        self.cache_ttl
    }

    /// How a caller stands towards mirrors whose audience may read this scope. A right to pages of
    /// the scope is none to them: GitLab shows public ones to callers that it does not know.
    pub fn audience(&self, who: Fingerprint, audience: &Scope, now: Instant) -> Authorization {
        if self.decides(who, audience) {
            return authorization(Some(self.grant(now)));
        }
        authorization(self.right(who, Right::Audience(audience.clone()), now))
    }

    /// How a caller stands towards a page or an index.
    pub fn page(&self, who: Fingerprint, page: &PageRef, now: Instant) -> Authorization {
        if self.decides(who, &page.scope) {
            return authorization(Some(self.grant(now)));
        }
        authorization(self.right(who, Right::to(page), now))
    }

    /// How a caller stands towards a file.
    pub fn file(&self, who: Fingerprint, file: &FileRef, now: Instant) -> Authorization {
        if self.decides(who, &file.scope) {
            return authorization(Some(self.grant(now)));
        }
        let names = project_candidates(file.filename.as_str());
        for name in &names {
            let listed = Right::Listed(file.scope.clone(), name.clone());
            if let Some(grant) = self.right(who, listed, now)
                && grant.lists(file)
            {
                return authorization(Some(grant));
            }
        }
        if let Some(grant) = self.right(who, Right::File(file.clone()), now) {
            return authorization(Some(grant));
        }
        if file.scope.kind() != ScopeKind::Project {
            return Authorization::Unproven;
        }
        let Some(right) = self.right(who, Right::Project(file.scope.clone()), now) else {
            return Authorization::Unproven;
        };
        let mut witnessed = self.witnessed(Witness::File(file.clone()), file, now);
        for name in names {
            if witnessed.is_some() {
                break;
            }
            witnessed = self.witnessed(Witness::Listed(file.scope.clone(), name), file, now);
        }
        authorization(witnessed.map(|witness| Grant {
            until: right.until.min(witness.until),
            ..right
        }))
    }

    /// GitLab answered this caller's page request, sent at `asked`, with a page that lists these
    /// files.
    pub fn admit_page(
        &self,
        who: Fingerprint,
        page: &PageRef,
        listings: &[(Scope, Arc<ListedFiles>)],
        asked: Instant,
    ) -> Permit {
        let grant = self.grant(asked);
        if page.scope.is_mirror() {
            return grant.permit();
        }
        self.counts.granted.fetch_add(1, Ordering::Relaxed);
        self.rights.insert((who, Right::to(page)), grant.clone());
        if let (Some(name), ScopeKind::Project) = (&page.name, page.scope.kind())
            && let Some((linked, listing)) = vouched(&page.scope, listings)
        {
            let seen = Grant {
                listing: Some(Arc::clone(listing)),
                ..grant.clone()
            };
            self.witnesses
                .insert(Witness::Listed(linked.clone(), name.clone()), seen);
        }
        let permit = grant.permit();
        self.admit_listed(who, page, listings, permit);
        permit
    }

    /// A caller with this permit for a page is being given it: it may have the files that the page
    /// lists as long.
    pub fn admit_listed(
        &self,
        who: Fingerprint,
        page: &PageRef,
        listings: &[(Scope, Arc<ListedFiles>)],
        permit: Permit,
    ) {
        let Some(name) = &page.name else {
            return;
        };
        let Some((linked, listing)) = vouched(&page.scope, listings) else {
            return;
        };
        if page.scope.is_mirror() {
            return;
        }
        let key = (who, Right::Listed(linked.clone(), name.clone()));
        if let Some(grant) = self.rights.get(&key)
            && let Some(known) = &grant.listing
            && grant.until >= permit.until()
            && Arc::ptr_eq(known, listing)
        {
            return;
        }
        let grant = Grant {
            given: permit.given(),
            until: permit.until(),
            listing: Some(Arc::clone(listing)),
        };
        self.rights.insert(key, grant);
    }

    /// GitLab let this caller have this file, asked for at `asked`.
    pub fn admit_file(&self, who: Fingerprint, file: &FileRef, asked: Instant) -> Permit {
        let grant = self.grant(asked);
        if file.scope.is_mirror() {
            return grant.permit();
        }
        self.counts.granted.fetch_add(1, Ordering::Relaxed);
        self.rights
            .insert((who, Right::File(file.clone())), grant.clone());
        if file.scope.kind() == ScopeKind::Project {
            self.rights
                .insert((who, Right::Project(file.scope.clone())), grant.clone());
            self.witnesses
                .insert(Witness::File(file.clone()), grant.clone());
        }
        grant.permit()
    }

    /// GitLab let this caller, whom it knows, read this scope, asked at `asked`.
    pub fn admit_audience(&self, who: Fingerprint, audience: &Scope, asked: Instant) {
        self.counts.granted.fetch_add(1, Ordering::Relaxed);
        let right = Right::Audience(audience.clone());
        self.rights.insert((who, right), self.grant(asked));
    }

    /// GitLab refused this credential: whatever was said in its favour before is void.
    pub fn turn_away(&self, who: Fingerprint, now: Instant) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        self.turned_away.note(who, now);
    }

    /// GitLab said that this caller's page is not there: the right to it ends, and with it to what
    /// it listed.
    pub fn forget_page(&self, who: Fingerprint, page: &PageRef, now: Instant) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        self.deny(who, Right::to(page), now);
        if let Some(name) = &page.name {
            self.deny(who, Right::Listed(page.scope.clone(), name.clone()), now);
        }
    }

    /// GitLab said that this file is not there for this caller.
    pub fn forget_file(&self, who: Fingerprint, file: &FileRef, now: Instant) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        self.deny(who, Right::File(file.clone()), now);
        for name in project_candidates(file.filename.as_str()) {
            self.deny(who, Right::Listed(file.scope.clone(), name), now);
        }
    }

    fn deny(&self, who: Fingerprint, right: Right, now: Instant) {
        let key = (who, right);
        self.rights.remove(&key);
        self.denied.note(key, now);
    }

    /// Everything that was said in answer to a request sent up to `now` is void for every caller:
    /// each caller's next request asks again. Says how many rights that were, roughly. What is
    /// being sent to a client goes on.
    pub fn revoke_all(&self, now: Instant) -> u64 {
        let count = self.count();
        // First, so that nothing is void in the tables and not yet by the clock.
        self.void_before
            .fetch_max(self.nanoseconds(now).saturating_add(1), Ordering::SeqCst);
        self.rights.clear();
        self.witnesses.clear();
        if let Some(offline) = &self.offline {
            offline.forget();
        }
        count
    }

    /// Moves with each revocation: a caller that comes after one joins no question from before.
    pub fn generation(&self) -> u64 {
        self.void_before.load(Ordering::SeqCst)
    }

    /// Whether what GitLab said to this caller, in answer to a request that was sent then, no
    /// longer counts: everything was revoked since, or the caller turned away.
    pub fn is_void(&self, who: Fingerprint, asked: Instant) -> bool {
        self.is_revoked(asked) || self.turned_away.overtake(&who, Some(asked))
    }

    /// Rights remembered, roughly.
    pub fn count(&self) -> u64 {
        self.rights.count(clock::now())
    }

    pub fn reading(&self) -> GrantReading {
        GrantReading {
            held: self.count(),
            granted: self.counts.granted.load(Ordering::Relaxed),
            refused: self.counts.refused.load(Ordering::Relaxed),
        }
    }

    /// Whether GitLab is not asked about this: a mirror is for every caller, and offline the
    /// operator's files decide.
    fn decides(&self, who: Fingerprint, scope: &Scope) -> bool {
        match &self.offline {
            _ if scope.is_mirror() => true,
            Some(offline) => offline.knows(who),
            None => false,
        }
    }

    fn grant(&self, asked: Instant) -> Grant {
        Grant {
            given: asked,
            until: asked + self.cache_ttl,
            listing: None,
        }
    }

    fn right(&self, who: Fingerprint, right: Right, now: Instant) -> Option<Grant> {
        let key = (who, right);
        let grant = self.rights.get(&key)?;
        if !grant.holds(now) || self.is_void(who, grant.given) {
            return None;
        }
        if self.denied.overtake(&key, Some(grant.given)) {
            return None;
        }
        Some(grant)
    }

    fn witnessed(&self, witness: Witness, file: &FileRef, now: Instant) -> Option<Grant> {
        let grant = self.witnesses.get(&witness)?;
        if grant.holds(now) && grant.lists(file) && !self.is_revoked(grant.given) {
            Some(grant)
        } else {
            None
        }
    }

    /// Whether everything was revoked since a request was sent.
    fn is_revoked(&self, asked: Instant) -> bool {
        let void_before = self.void_before.load(Ordering::SeqCst);
        void_before > 0 && self.nanoseconds(asked) < void_before
    }

    fn nanoseconds(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.since).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The links that a page of this scope can vouch for: those of its own scope.
///
/// GitLab writes what uploaders name their files into its pages unescaped, so that a page may come
/// to link anywhere. It links by number, whatever the page was asked by: a page asked by path
/// vouches for the one scope of its kind that it links to, and with two of them it is not known
/// which is its own. A file without a voucher is asked for by itself.
fn vouched<'l>(
    asked: &Scope,
    listings: &'l [(Scope, Arc<ListedFiles>)],
) -> Option<&'l (Scope, Arc<ListedFiles>)> {
    let own = listings.iter().find(|(linked, _)| linked == asked);
    let only = match listings {
        [only] if !asked.is_numbered() && only.0.kind() == asked.kind() => Some(only),
        _ => None,
    };
    own.or(only)
}

fn authorization(grant: Option<Grant>) -> Authorization {
    match grant {
        Some(grant) => Authorization::Proven(grant.permit()),
        None => Authorization::Unproven,
    }
}

#[cfg(test)]
mod tests;
