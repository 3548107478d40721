//! What is left of a marker once it is known which extras and groups nobody installs.

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
            MarkerTree::All(parts) => {
                let mut left = Vec::new();
                for part in parts {
                    match part.narrowed(is_out) {
                        Narrowed::Never => return Narrowed::Never,
                        Narrowed::Always => {}
                        Narrowed::Where(part) => left.push(Some(part)),
                    }
                }
                Self::all(left).map_or(Narrowed::Always, Narrowed::Where)
            }
            MarkerTree::Any(parts) => {
                let mut left = Vec::new();
                for part in parts {
                    match part.narrowed(is_out) {
                        Narrowed::Never => {}
                        Narrowed::Always => return Narrowed::Always,
                        Narrowed::Where(part) => left.push(Some(part)),
                    }
                }
                if left.is_empty() {
                    return Narrowed::Never;
                }
                Self::any(left).map_or(Narrowed::Always, Narrowed::Where)
            }
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
            Operator::Equal | Operator::Identical => Narrowed::Never,
            Operator::NotEqual => Narrowed::Always,
            Operator::In if comparison.reversed => Narrowed::Never,
            Operator::NotIn if comparison.reversed => Narrowed::Always,
            _ => Narrowed::Where(self.clone()),
        }
    }
}
