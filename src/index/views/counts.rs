//! What became of requests for pages of views, for as long as the process lives.
//!
//! Any client may read the numbers, so that a source of GitLab's has no name in them but its place in
//! the list, and that a caller who may not know why it was refused adds to the same number whatever the
//! reason. Must not know what a view is asked for.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::{View, ViewReply};
use crate::index::error::PageError;
use crate::index::request::PageReply;
use crate::registry::Scope;

/// Why a view gave no answer of its own, by its word in the metrics.
const REFUSED: &str = "refused";
const FAILED: &str = "failed";
const UNKNOWN: &str = "unknown";
const TOO_LARGE: &str = "too_large";

/// Every one of these words.
const REASONS: [&str; 4] = [REFUSED, FAILED, UNKNOWN, TOO_LARGE];

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ViewOutcome {
    /// This source gave its page.
    Page(Scope),
    /// The names of all sources.
    List,
    /// No source has the name, or may answer for it.
    NoSource,
    Error(&'static str),
}

/// By the view's name and what became of its requests.
#[derive(Debug, Default)]
pub struct ViewCounts(Mutex<BTreeMap<(Scope, ViewOutcome), u64>>);

/// What one view answered so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewReading {
    pub name: String,
    /// In the order of the configuration.
    pub sources: Vec<SourceReading>,
    pub lists: u64,
    pub without_source: u64,
    /// By a word of a closed set.
    pub errors: Vec<(&'static str, u64)>,
}

/// What one source of a view answered so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceReading {
    /// `gitlab`, or the mirror's name.
    pub upstream: String,
    pub pages: u64,
}

impl ViewCounts {
    pub(super) fn count(&self, view: &View, answered: &Result<ViewReply, PageError>) {
        let outcome = outcome(answered);
        let key = (view.scope.clone(), outcome);
        *self.0.lock().entry(key).or_default() += 1;
    }

    /// Forgets views that are none any more, so that no number of reloads makes it grow.
    pub(in crate::index) fn keep<'v>(&self, views: impl Iterator<Item = &'v View>) {
        let views: Vec<_> = views.collect();
        let is_kept = |name: &Scope, outcome: &ViewOutcome| {
            views.iter().any(|view| {
                let ViewOutcome::Page(source) = outcome else {
                    return view.scope == *name;
                };
                view.scope == *name && view.sources.contains(source)
            })
        };
        let mut counts = self.0.lock();
        counts.retain(|(name, outcome), _| is_kept(name, outcome));
    }

    pub(in crate::index) fn read(&self, view: &View) -> ViewReading {
        let counts = self.0.lock();
        let of = |outcome| {
            let key = (view.scope.clone(), outcome);
            counts.get(&key).copied().unwrap_or_default()
        };
        let mut sources = Vec::new();
        for source in &view.sources {
            let upstream = match source.is_mirror() {
                true => source.to_string(),
                false => "gitlab".to_owned(),
            };
            let pages = of(ViewOutcome::Page(source.clone()));
            sources.push(SourceReading { upstream, pages });
        }
        ViewReading {
            name: view.scope.to_string(),
            sources,
            lists: of(ViewOutcome::List),
            without_source: of(ViewOutcome::NoSource),
            errors: REASONS
                .map(|reason| (reason, of(ViewOutcome::Error(reason))))
                .into(),
        }
    }
}

fn outcome(answered: &Result<ViewReply, PageError>) -> ViewOutcome {
    match answered {
        Ok(ViewReply {
            reply: PageReply::PassThrough(answer),
            ..
        }) => match answer.status.as_u16() {
            404 | 410 => ViewOutcome::NoSource,
            _ => ViewOutcome::Error(REFUSED),
        },
        Ok(ViewReply {
            source: Some(source),
            ..
        }) => ViewOutcome::Page(source.clone()),
        Ok(_) => ViewOutcome::List,
        Err(why) => of_error(why),
    }
}

fn of_error(why: &PageError) -> ViewOutcome {
    match why {
        PageError::PrivateName(_)
        | PageError::NotPrivate(_)
        | PageError::NoPackage(_)
        | PageError::NotHeld(_) => ViewOutcome::NoSource,
        PageError::CredentialWanted
        | PageError::UnknownCaller(_)
        | PageError::Hidden(_)
        | PageError::SourceRefused(..)
        | PageError::NotInAudience(..)
        | PageError::AudienceUnknown(_) => ViewOutcome::Error(REFUSED),
        PageError::SourceUnknown(_) | PageError::NothingOf(_) => ViewOutcome::Error(UNKNOWN),
        PageError::ListTooLarge(..) => ViewOutcome::Error(TOO_LARGE),
        PageError::Upstream(_)
        | PageError::NotAPage(_)
        | PageError::Broken(_)
        | PageError::TooLarge
        | PageError::NotListed
        | PageError::Policy(_)
        | PageError::Closed
        | PageError::Internal => ViewOutcome::Error(FAILED),
    }
}
