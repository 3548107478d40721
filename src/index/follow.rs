//! The index that GitLab points to for packages it does not have: learned once, and followed from
//! then on.
//!
//! What is learned is where that index is, and nothing else. Whether a caller is given a page of it
//! is GitLab's to say, each time, and the page is asked without a credential. GitLab's redirect
//! alone teaches nothing: the index must have given a page, at an address that is allowed. One that
//! leads elsewhere later changes nothing; it goes to the client, as it came, and is said. If an
//! operator configured a mirror for the same index, that mirror answers, with its rules. Must not
//! judge addresses.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use url::Url;

use super::fetch::Fetcher;
use crate::registry::{MirrorBase, Scope};
use crate::simple::ProjectName;
use crate::upstream::{Forward, ForwardTarget, TrialError};
use crate::values::clock;
use crate::values::correlation;

/// After an index could not be learned it is not tried again for so long: a client waits for it.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Indexes that were warned about, each once.
const WARNED_MAX: usize = 16;

/// What is known of the public index, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicIndex {
    /// Where GitLab's redirects lead, if that was learned.
    pub url: Option<String>,
    /// Who answers for it.
    pub mirror: Option<Scope>,
    /// Where a later redirect led that was not followed.
    pub other: Option<String>,
}

#[derive(Default)]
pub(super) struct Following {
    /// When an index was tried in vain. Held while one is tried.
    tried: tokio::sync::Mutex<Option<Instant>>,
    warned: Mutex<HashSet<String>>,
    other: Mutex<Option<String>>,
}

/// What becomes of one redirect.
pub(super) enum FollowTarget {
    /// This mirror answers in GitLab's place.
    Mirror(Scope),
    /// The client gets GitLab's own answer, which leads past larder.
    Past,
    /// The same of a package that is not there either.
    Missing,
}

impl Following {
    /// Where one redirect of GitLab's leads.
    pub(super) async fn target(
        &self,
        fetcher: &Fetcher,
        to: ForwardTarget,
        name: Option<&ProjectName>,
    ) -> FollowTarget {
        let index = match to {
            ForwardTarget::None => return FollowTarget::Past,
            ForwardTarget::Mirror(scope) => return FollowTarget::Mirror(scope),
            ForwardTarget::Index(index) => index,
        };
        let sources = &fetcher.sources;
        let (Some(public), Some(name)) = (sources.public_index(), name) else {
            return FollowTarget::Past;
        };
        if let Some(scope) = sources.mirror_at(&index) {
            let scope = scope.clone();
            note(fetcher, &index).await;
            return FollowTarget::Mirror(scope);
        }
        if public.index().is_some() {
            self.warn_other(&index);
            return FollowTarget::Past;
        }
        self.learn(fetcher, public, &index, name).await
    }

    /// Tries an index, one at a time, and learns it if it gives the page.
    async fn learn(
        &self,
        fetcher: &Fetcher,
        public: &MirrorBase,
        index: &Url,
        name: &ProjectName,
    ) -> FollowTarget {
        let mut tried = self.tried.lock().await;
        if let Some(known) = public.index() {
            return match known == index {
                true => FollowTarget::Mirror(public.scope().clone()),
                false => FollowTarget::Past,
            };
        }
        let now = clock::now();
        if tried.is_some_and(|at| now.saturating_duration_since(at) < TRY_AGAIN_AFTER) {
            return FollowTarget::Past;
        }
        let upstream = &fetcher.dependencies.upstream;
        match upstream.try_index(index, name).await {
            Ok(()) => {}
            // Names that are nowhere must not keep larder from learning.
            Err(TrialError::Untold) => return FollowTarget::Missing,
            Err(TrialError::Unfit(why)) => {
                *tried = Some(clock::now());
                let why =
                    format!("it cannot be followed ({why}): clients are sent there, past larder");
                self.warn(index, &why);
                return FollowTarget::Past;
            }
        }
        public.learn(index);
        tracing::info!(
            %index,
            "GitLab points to this index for packages that it does not have: larder follows it from now on"
        );
        note(fetcher, index).await;
        FollowTarget::Mirror(public.scope().clone())
    }

    fn warn_other(&self, index: &Url) {
        *self.other.lock() = Some(index.to_string());
        self.warn(
            index,
            "it is another one than was learned: clients are sent there, past larder; to follow it, configure it as a mirror and \
             name that in gitlab.forward",
        );
    }

    fn warn(&self, index: &Url, why: &str) {
        let mut warned = self.warned.lock();
        if warned.len() < WARNED_MAX && warned.insert(format!("{index} {why}")) {
            tracing::warn!(%index, error = why, "GitLab points to an index that larder does not follow");
        }
    }

    pub(super) fn public_index(&self, fetcher: &Fetcher) -> Option<PublicIndex> {
        fetcher.sources.public_index()?;
        let url = learned(fetcher);
        let mirror = match &url {
            Some(url) => fetcher.sources.mirror_at(url).cloned(),
            None => None,
        };
        Some(PublicIndex {
            url: url.map(String::from),
            mirror,
            other: self.other.lock().clone(),
        })
    }
}

/// Offline, the mirror whose pages stand in GitLab's place.
pub(super) fn offline_forward(fetcher: &Fetcher) -> Option<Scope> {
    match fetcher.dependencies.upstream.forward() {
        Forward::Pass | Forward::Deny => None,
        Forward::Mirror(name) => Scope::mirror(name),
        Forward::Follow => {
            let public = fetcher.sources.public_index()?;
            let learned = learned(fetcher);
            let known = learned.and_then(|index| fetcher.sources.mirror_at(&index));
            Some(known.unwrap_or(public.scope()).clone())
        }
    }
}

/// Where the redirects of this GitLab are known to lead.
fn learned(fetcher: &Fetcher) -> Option<Url> {
    let facts = fetcher.dependencies.learned.facts();
    let url = facts.public_indexes.get(&gitlab(fetcher))?;
    Url::parse(url).ok()
}

fn gitlab(fetcher: &Fetcher) -> String {
    fetcher.dependencies.upstream.bases().asked().to_string()
}

/// Keeps with the store where this GitLab's redirects lead.
async fn note(fetcher: &Fetcher, index: &Url) {
    if learned(fetcher).as_ref() == Some(index) {
        return;
    }
    let known = Arc::clone(&fetcher.dependencies.learned);
    let gitlab = gitlab(fetcher);
    let index = index.to_string();
    let noted = correlation::spawn_blocking(move || known.note_index(&gitlab, &index)).await;
    if let Ok(Err(why)) = noted {
        tracing::warn!(error = %why, "where GitLab points to cannot be noted: it is learned again after a restart");
    }
}
