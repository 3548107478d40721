//! What is left of a marker once it is known which extras and groups are not installed.

use pep440_rs::Operator as VersionOperator;

use super::compare::{Comparison, MarkerVariable, Operator};
use super::tree::{Marker, MarkerTree};

/// A marker, as far as it is still one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Narrowed {
    Never,
    Always,
    Where(Marker),
}

impl Marker {
    /// `is_out`: whether an extra or group of this name is certainly not installed. One that may be
    /// stays undecided, since two of which one excludes the other may both be carried.
    pub fn narrowed(&self, is_out: &dyn Fn(MarkerVariable, &str) -> bool) -> Narrowed {
        match &*self.0 {
            MarkerTree::Compare(comparison) => self.of_comparison(comparison, is_out),
            MarkerTree::All(parts) => match narrowed(parts, is_out, &Narrowed::Never) {
                Some(left) => Self::all(left).map_or(Narrowed::Always, Narrowed::Where),
                None => Narrowed::Never,
            },
            MarkerTree::Any(parts) => match narrowed(parts, is_out, &Narrowed::Always) {
                Some(left) => Self::any(left).map_or(Narrowed::Never, Narrowed::Where),
                None => Narrowed::Always,
            },
            _ => Narrowed::Where(self.clone()),
        }
    }

    fn of_comparison(
        &self,
        comparison: &Comparison,
        is_out: &dyn Fn(MarkerVariable, &str) -> bool,
    ) -> Narrowed {
        if !comparison.variable.is_chosen() || !is_out(comparison.variable, &comparison.literal) {
            return Narrowed::Where(self.clone());
        }
        match comparison.operator {
            Operator::Ordered(VersionOperator::Equal | VersionOperator::ExactEqual) => {
                Narrowed::Never
            }
            Operator::Ordered(VersionOperator::NotEqual) => Narrowed::Always,
            Operator::In if comparison.reversed => Narrowed::Never,
            Operator::NotIn if comparison.reversed => Narrowed::Always,
            _ => Narrowed::Where(self.clone()),
        }
    }
}

/// What is left of each part, unless one of them decides for the whole.
fn narrowed(
    parts: &[Marker],
    is_out: &dyn Fn(MarkerVariable, &str) -> bool,
    decisive: &Narrowed,
) -> Option<Vec<Option<Marker>>> {
    let mut left = Vec::new();
    for part in parts {
        match part.narrowed(is_out) {
            Narrowed::Where(part) => left.push(Some(part)),
            decided if decided == *decisive => return None,
            _ => {}
        }
    }
    Some(left)
}
