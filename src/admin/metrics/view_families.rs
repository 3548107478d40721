//! The families of what views answer.
//!
//! Must not compute, nor look anything up.

use std::fmt;

use super::families::Families;
use crate::index::ViewReading;

/// What stands in place of a source where none answered alone.
const LIST: &str = "list";
const NO_SOURCE: &str = "none";

/// Without views there is nothing to tell of.
pub(super) fn views(views: &[ViewReading], families: &mut Families<'_>) -> fmt::Result {
    let mut answers = Vec::new();
    let mut errors = Vec::new();
    for view in views {
        for (at, source) in view.sources.iter().enumerate() {
            answers.push((view, (at + 1).to_string(), source.pages));
        }
        answers.push((view, LIST.to_owned(), view.lists));
        answers.push((view, NO_SOURCE.to_owned(), view.without_source));
        for (reason, count) in &view.errors {
            let labels = vec![("view", view.name.as_str()), ("reason", *reason)];
            errors.push((labels, *count));
        }
    }
    families.counters(
        (
            "view_answers",
            "Answers of views, by the place in its list of the source that gave it",
            None,
        ),
        answers.iter().map(|(view, source, count)| {
            let labels = vec![("view", view.name.as_str()), ("source", source.as_str())];
            (labels, *count)
        }),
    )?;
    families.counters(
        (
            "view_errors",
            "Requests to views that no source answered for, by reason",
            None,
        ),
        errors,
    )
}
