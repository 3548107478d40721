//! PEP 508 environment markers, against an environment of which only a part is known. Pure.
//!
//! Owns what a marker says and when it is certainly false. What a machine is like is told by the
//! caller; a variable that it does not know makes a comparison uncertain, never false, so that nothing
//! is left behind by mistake.

mod compare;
mod narrowed;
mod parser;
#[cfg(test)]
mod tests;
mod tree;
mod truth;

pub use compare::MarkerVariable;
pub use narrowed::Narrowed;
pub use parser::MarkerError;
pub use tree::{COMPARISONS_MAX, Marker};
pub use truth::Truth;
