//! A view's address: which sources are asked, in which order, and by which rules.
//!
//! Pure: the configuration alone tells. Which source has a name only the daemon's own answer does.

use super::explanation::Explanation;
use super::rules::private;
use crate::app::CommandContext;
use crate::index::View;
use crate::registry::Route;

/// Fills in everything that follows from the configuration.
pub fn of_view(
    explanation: &mut Explanation,
    route: &Route,
    view: &View,
    context: &CommandContext,
) {
    let scope = &view.scope;
    let (Route::Page(page) | Route::ProjectPage(page)) = route else {
        explanation.what = format!("nothing in the view {scope}");
        let why = "a view has its pages alone, which link to its sources' own addresses (404)";
        return explanation.deny(why);
    };
    let mut sources = Vec::new();
    match &page.name {
        Some(name) => {
            explanation.what = format!("the page of {name} in the view {scope}");
            for source in view.sources_of(name, &context.private) {
                sources.push(source.to_string());
            }
            if context.private.hold(name) {
                explanation.rule(private(name, "no mirror is ever asked for it"));
            } else if view.is_private_only() {
                let rule = "private_only = true: no source of GitLab's is asked for a name that \
                            private_packages does not hold";
                explanation.rule(rule);
            }
        }
        None => {
            explanation.what = format!("the list of projects of the view {scope}");
            for source in &view.sources {
                sources.push(source.to_string());
            }
        }
    }
    explanation.right = Some(
        "each source by its own rule: GitLab decides, for each caller by the caller's own token"
            .to_owned(),
    );
    if sources.is_empty() {
        return explanation.deny("no source of this view answers for such a name (404)");
    }
    explanation.rule(format!("asked in this order: {}", sources.join(", ")));
    explanation.rule(
        "the first source that has the name answers for it; one that fails or refuses ends the search",
    );
    explanation.why = "that source's own answer; explain its own address for more".to_owned();
}
