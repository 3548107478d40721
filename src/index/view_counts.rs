//! What became of requests for pages of views, for as long as the process lives.
//!
//! Any client may read the numbers, so that a source of GitLab's has no name in them but its place in
//! the list. Must not know what a view is asked for, nor why it gave no answer beyond a word for it.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::registry::Scope;

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ViewOutcome {
    /// This source gave its page.
    Page(Scope),
    /// The names of all sources.
    List,
    /// No source has the name, or may answer for it.
    NoSource,
    Error(ViewFault),
}

/// Why no source of a view answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ViewFault {
    /// A source refused the caller, or may hide the name; a caller who may not know which of the two
    /// it was adds to the same number.
    Refused,
    Failed,
    /// Offline, and nothing of a source is here.
    Unknown,
    /// The list of a source.
    TooLarge,
}

impl ViewFault {
    const ALL: [Self; 4] = [Self::Refused, Self::Failed, Self::Unknown, Self::TooLarge];

    fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::TooLarge => "too_large",
        }
    }
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
    pub fn count(&self, view: &Scope, outcome: ViewOutcome) {
        let key = (view.clone(), outcome);
        *self.0.lock().entry(key).or_default() += 1;
    }

    /// Forgets views that are none any more, so that no number of reloads makes it grow. `sources` are
    /// those of a view; none if there is no such view.
    pub fn keep<'s>(&self, sources: impl Fn(&Scope) -> Option<&'s [Scope]>) {
        let mut counts = self.0.lock();
        counts.retain(|(view, outcome), _| match (sources(view), outcome) {
            (Some(sources), ViewOutcome::Page(source)) => sources.contains(source),
            (sources, _) => sources.is_some(),
        });
    }

    pub fn read(&self, view: &Scope, sources: &[Scope]) -> ViewReading {
        let counts = self.0.lock();
        let of = |outcome| {
            let key = (view.clone(), outcome);
            counts.get(&key).copied().unwrap_or_default()
        };
        let mut answered = Vec::new();
        for source in sources {
            let upstream = match source.is_mirror() {
                true => source.to_string(),
                false => "gitlab".to_owned(),
            };
            let pages = of(ViewOutcome::Page(source.clone()));
            answered.push(SourceReading { upstream, pages });
        }
        let mut errors = Vec::new();
        for fault in ViewFault::ALL {
            errors.push((fault.word(), of(ViewOutcome::Error(fault))));
        }
        ViewReading {
            name: view.to_string(),
            sources: answered,
            lists: of(ViewOutcome::List),
            without_source: of(ViewOutcome::NoSource),
            errors,
        }
    }
}
