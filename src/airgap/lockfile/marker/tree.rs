//! A marker as a tree of comparisons: whether it holds, and how conditions are put together.

use std::fmt;
use std::sync::Arc;

use super::compare::{Comparison, MarkerVariable};
use super::truth::Truth;

/// The comparisons that a marker put together of others may have; beyond, it is cut to what is
/// certain.
pub const COMPARISONS_MAX: usize = 512;

/// A condition on the machine that installs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker(pub(super) Arc<MarkerTree>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkerTree {
    All(Vec<Marker>),
    Any(Vec<Marker>),
    /// Not in the grammar of markers.
    Not(Marker),
    Compare(Comparison),
    /// Two literals or two variables: legal, and never decided.
    Unclear(String),
}

impl Marker {
    /// Whether it holds on one target. `environment` gives all values that a variable may have
    /// there; `None`: not known. Of `python_full_version`, if it is not known, as much is concluded
    /// as `python_version` allows (final releases).
    pub fn truth(&self, environment: &dyn Fn(MarkerVariable) -> Option<Vec<String>>) -> Truth {
        match &*self.0 {
            MarkerTree::Compare(comparison) => comparison.truth(environment),
            MarkerTree::Unclear(_) => Truth::Unknown,
            MarkerTree::Not(part) => part.truth(environment).not(),
            MarkerTree::All(parts) => parts
                .iter()
                .map(|part| part.truth(environment))
                .fold(Truth::Yes, Truth::and),
            MarkerTree::Any(parts) => parts
                .iter()
                .map(|part| part.truth(environment))
                .fold(Truth::No, Truth::or),
        }
    }

    /// A condition that holds where all of these do; `None`, given or returned, holds everywhere.
    pub fn all(parts: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        Self::distinct(parts.into_iter().flatten(), MarkerTree::All)
    }

    /// A condition that holds where any of these does; one that holds everywhere makes it void.
    pub fn any(parts: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        let parts: Option<Vec<Self>> = parts.into_iter().collect();
        Self::distinct(parts?, MarkerTree::Any)
    }

    fn distinct(
        parts: impl IntoIterator<Item = Self>,
        join: fn(Vec<Self>) -> MarkerTree,
    ) -> Option<Self> {
        let mut distinct = Vec::new();
        for part in parts {
            if !distinct.contains(&part) {
                distinct.push(part);
            }
        }
        if distinct.is_empty() {
            return None;
        }
        Some(Self::joined(distinct, join))
    }

    /// One of several, or the only one itself.
    pub(super) fn joined(mut parts: Vec<Self>, join: fn(Vec<Self>) -> MarkerTree) -> Self {
        match parts.pop() {
            Some(only) if parts.is_empty() => only,
            last => {
                parts.extend(last);
                Self(Arc::new(join(parts)))
            }
        }
    }

    /// A condition that holds where this one does not.
    pub fn negated(self) -> Self {
        Self(Arc::new(MarkerTree::Not(self)))
    }

    /// How many comparisons it has.
    pub fn comparisons(&self) -> usize {
        match &*self.0 {
            MarkerTree::All(parts) | MarkerTree::Any(parts) => parts
                .iter()
                .map(Self::comparisons)
                .fold(0, usize::saturating_add),
            MarkerTree::Not(part) => part.comparisons(),
            MarkerTree::Compare(_) | MarkerTree::Unclear(_) => 1,
        }
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, word) = match &*self.0 {
            MarkerTree::Compare(comparison) => return comparison.fmt(f),
            MarkerTree::Unclear(text) => return f.write_str(text),
            MarkerTree::Not(part) => return write!(f, "not ({part})"),
            MarkerTree::All(parts) => (parts, " and "),
            MarkerTree::Any(parts) => (parts, " or "),
        };
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                f.write_str(word)?;
            }
            match &*part.0 {
                MarkerTree::All(_) | MarkerTree::Any(_) => write!(f, "({part})")?,
                _ => part.fmt(f)?,
            }
        }
        Ok(())
    }
}
