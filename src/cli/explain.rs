//! `larder explain URL`: how larder would answer, and from what.
//!
//! Two parts. The first needs no daemon: it reads the configuration and looks at the cache folder,
//! which it neither locks nor makes. The second, if a daemon answers where the configuration says
//! it listens, asks it that very question. Owns the order of what is told. Must not know how the
//! daemon is put together, and never shows a credential.

mod daemon;
mod explanation;
mod offline;
mod rules;
mod stored;
mod view;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::daemon::{runtime, unused};
use super::error::{CommandError, CommandResult};
use super::in_force::config_in_force;
use super::invocation::{Invocation, credential};
use super::output::print_event;
use crate::access::Credential;
use crate::app::address::{Address, Given};
use crate::app::{CommandContext, judging_context};
use crate::registry::Route;
use crate::simple::Format;
use crate::store::Peek;
use crate::upstream::{Forward, PUBLIC_INDEX};
use explanation::Explanation;

#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// An address of larder's, or of the GitLab or a mirror that it stands in front of.
    url: String,
    /// The token to ask a running daemon with. Without it, it is asked without a credential.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The user name that belongs to the token: it is then sent as a Basic password, otherwise as
    /// PRIVATE-TOKEN.
    #[arg(long, value_name = "NAME", requires = "token_file")]
    user: Option<String>,
    /// The format in which a client would want a page.
    #[arg(long, value_enum, default_value_t = PageFormat::Json)]
    format: PageFormat,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
    /// Where the daemon listens.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// As if the daemon had been started with `--offline`.
    #[arg(long)]
    pub offline: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PageFormat {
    Html,
    Json,
}

/// Explains how an address is answered: 0 for a yes, 1 for a no.
///
/// # Errors
/// A sentence, when what was given is no address.
pub fn run(arguments: &ExplainArguments, invocation: &Invocation) -> CommandResult {
    let found = config_in_force(invocation)?;
    let (context, unread) = judging_context(&found.config)?;
    let credential = credential(&arguments.user, &arguments.token_file)?;
    let mut explanation = runtime()?.block_on(explain(arguments, &context, &credential))?;
    explanation.configuration = found.whose;
    if let Some(why) = unread {
        explanation.notes.push(format!(
            "policy.advisories cannot be read, and nothing is judged by them here: {why}"
        ));
    }
    if let Some((found, advice)) = &found.remark {
        explanation.notes.push(format!("{found}: {advice}"));
    }
    print_event(&explanation, arguments.json, ToString::to_string)?;
    Ok(u8::from(explanation.is_no()))
}

async fn explain(
    arguments: &ExplainArguments,
    context: &CommandContext,
    credential: &Credential,
) -> Result<Explanation, CommandError> {
    let address = context
        .address(&arguments.url)
        .map_err(|why| CommandError::Usage(format!("\"{}\" is {why}", shown(&arguments.url))))?;
    let format = match arguments.format {
        PageFormat::Html => Format::Html,
        PageFormat::Json => Format::Json,
    };
    let mut explanation = conclude(&address, format, context);
    if let Ok(route) = &address.route
        && !matches!(route, Route::Upload { .. })
    {
        let question = daemon::Question {
            listen: &context.listen,
            path: &explanation.address,
            format,
            credential,
        };
        match daemon::ask(&question).await {
            Ok(answer) => explanation.daemon = Some(answer),
            Err(why) => explanation.no_daemon = Some(why),
        }
    }
    Ok(explanation)
}

/// What can be told without asking a daemon or an upstream.
fn conclude(address: &Address, format: Format, context: &CommandContext) -> Explanation {
    let mut explanation = Explanation {
        address: address.path.clone(),
        route: "none",
        what: "nothing that larder serves".to_owned(),
        notes: notes(address),
        ..Explanation::default()
    };
    let route = match &address.route {
        Ok(route) => route,
        Err(why) => {
            explanation.refuse(why.clone());
            return explanation;
        }
    };
    explanation.route = route.word();
    let peek = Peek::at(&context.cache_dir);
    if peek.is_none() {
        explanation.stored.push(unused(&context.cache_dir));
    }
    if let Some(scope) = route.scope()
        && let Some(view) = context.sources.view(scope)
    {
        view::of_view(&mut explanation, route, view, context);
        return explanation;
    }
    if context.offline {
        offline::explain(&mut explanation, route, context, peek.as_ref());
        return explanation;
    }
    if let Some(why) = unserved(route, context) {
        explanation.deny(why);
        return explanation;
    }
    rules::apply(&mut explanation, route, format, context);
    if let Some(peek) = peek {
        stored::look(&mut explanation, route, context, &peek);
    }
    explanation
}

/// Why a mirror's address is none here, if it is none.
fn unserved(route: &Route, context: &CommandContext) -> Option<String> {
    let scope = route.scope()?;
    if !scope.is_mirror() || context.is_served(scope) {
        return None;
    }
    if scope.to_string() != PUBLIC_INDEX {
        return Some(format!(
            "there is no [mirrors.{scope}] in the configuration (404)"
        ));
    }
    let is_page = matches!(route, Route::Page(_) | Route::ProjectPage(_));
    let why = if context.mirror(scope).is_some() {
        if !is_page {
            return None;
        }
        "pages of the index that GitLab points to are given in GitLab's place, at GitLab's own \
         addresses (404)"
    } else if !context.parents.is_empty() {
        "the parent is not known to follow GitLab to an index (404)"
    } else if context.gitlab.forward == Forward::Follow {
        "no index that GitLab points to is known here: its first redirect tells, unless that is a \
         mirror's (404)"
    } else {
        "gitlab.forward follows GitLab to no index (404)"
    };
    Some(why.to_owned())
}

fn notes(address: &Address) -> Vec<String> {
    let mut notes = Vec::new();
    let served = "larder serves it under this path";
    match &address.given {
        Given::Larder => {}
        Given::GitLab => notes.push(format!("GitLab's URL; {served}")),
        Given::Mirror(name) => notes.push(format!("the mirror {name}'s URL; {served}")),
    }
    if address.had_credential {
        let note = "the credential in the URL was left out: give it with --token-file";
        notes.push(note.to_owned());
    }
    notes
}

/// What was given, without what may be a password or a token in it.
fn shown(text: &str) -> &str {
    let text = text.rsplit('@').next().unwrap_or_default();
    text.split(['?', '#']).next().unwrap_or_default()
}
