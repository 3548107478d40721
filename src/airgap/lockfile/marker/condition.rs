//! A marker as a tree of comparisons: whether it holds, and how conditions are put together.

use std::fmt;
use std::sync::Arc;

use super::compare::{Comparison, Variable};
use super::truth::Truth;

/// The comparisons that a marker put together of others may have; beyond, it is cut to what is certain.
pub const COMPARISONS_MAX: usize = 512;

/// A condition on the machine that installs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker(pub(super) Arc<Condition>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    All(Vec<Marker>),
    Any(Vec<Marker>),
    /// Not in the grammar of markers.
    Not(Marker),
    Compare(Comparison),
    /// Two literals or two variables: legal, and nobody's business.
    Unclear(String),
}

impl Marker {
    /// Whether it holds on one target. `environment` gives all values that a variable may have there; `None`: not known.
    /// Of `python_full_version`, if it is not known, as much is concluded as `python_version` allows (final releases).
    pub fn truth(&self, environment: &dyn Fn(Variable) -> Option<Vec<String>>) -> Truth {
        match &*self.0 {
            Condition::Compare(comparison) => comparison.truth(environment),
            Condition::Unclear(_) => Truth::Unknown,
            Condition::Not(part) => part.truth(environment).not(),
            Condition::All(parts) => parts
                .iter()
                .map(|part| part.truth(environment))
                .fold(Truth::Yes, Truth::and),
            Condition::Any(parts) => parts
                .iter()
                .map(|part| part.truth(environment).not())
                .fold(Truth::Yes, Truth::and)
                .not(),
        }
    }

    /// A condition that holds where all of these do; `None`, given or returned, holds everywhere.
    pub fn all(parts: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        let mut distinct: Vec<Self> = Vec::new();
        for part in parts.into_iter().flatten() {
            if !distinct.contains(&part) {
                distinct.push(part);
            }
        }
        match distinct.len() {
            0 | 1 => distinct.pop(),
            _ => Some(Self(Arc::new(Condition::All(distinct)))),
        }
    }

    /// A condition that holds where any of these does; one that holds everywhere makes it void.
    pub fn any(parts: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        let mut distinct: Vec<Self> = Vec::new();
        for part in parts {
            let part = part?;
            if !distinct.contains(&part) {
                distinct.push(part);
            }
        }
        match distinct.len() {
            0 | 1 => distinct.pop(),
            _ => Some(Self(Arc::new(Condition::Any(distinct)))),
        }
    }

    /// A condition that holds where this one does not.
    pub fn negated(self) -> Self {
        Self(Arc::new(Condition::Not(self)))
    }

    /// How many comparisons it has.
    pub fn comparisons(&self) -> usize {
        match &*self.0 {
            Condition::All(parts) | Condition::Any(parts) => parts
                .iter()
                .map(Self::comparisons)
                .fold(0, usize::saturating_add),
            Condition::Not(part) => part.comparisons(),
            Condition::Compare(_) | Condition::Unclear(_) => 1,
        }
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, word) = match &*self.0 {
            Condition::Compare(comparison) => return comparison.fmt(f),
            Condition::Unclear(text) => return f.write_str(text),
            Condition::Not(part) => return write!(f, "not ({part})"),
            Condition::All(parts) => (parts, " and "),
            Condition::Any(parts) => (parts, " or "),
        };
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                f.write_str(word)?;
            }
            match &*part.0 {
                Condition::Compare(_) | Condition::Unclear(_) | Condition::Not(_) => part.fmt(f)?,
                Condition::All(_) | Condition::Any(_) => write!(f, "({part})")?,
            }
        }
        Ok(())
    }
}
