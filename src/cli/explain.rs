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

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::daemon::runtime;
use super::error::CommandError;
use super::invocation::{Invocation, context, credential};
use super::output::print_event;
use crate::access::Credential;
use crate::app::CommandContext;
use crate::app::address::{self, Address, Given};
use crate::registry::{MirrorBase, Route, RouteError};
use crate::server::Refusal;
use crate::simple::Format;
use crate::store::Peek;
use explanation::{Explanation, Verdict};

#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// An address of larder's, or of the GitLab or a mirror that it stands in front of.
    pub url: String,
    /// The token to ask a running daemon with. Without it, it is asked without a credential.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The user name that belongs to the token: it is then sent as a Basic password, otherwise as
    /// PRIVATE-TOKEN.
    #[arg(long, value_name = "NAME", requires = "token_file")]
    pub user: Option<String>,
    /// The format in which a client would want a page.
    #[arg(long, value_enum, default_value_t = PageFormat::Json)]
    pub format: PageFormat,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
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

impl From<PageFormat> for Format {
    fn from(format: PageFormat) -> Self {
        match format {
            PageFormat::Html => Self::Html,
            PageFormat::Json => Self::Json,
        }
    }
}

/// Explains how an address is answered: 0 for a yes, 1 for a no.
///
/// # Errors
/// A sentence, when what was given is no address.
pub fn run(arguments: &ExplainArguments, invocation: &Invocation) -> Result<u8, CommandError> {
    let config = invocation.config()?;
    let context = context(&config)?;
    let credential = credential(&arguments.user, &arguments.token_file)?;
    let explanation = runtime()?.block_on(explain(arguments, &context, &credential))?;
    print_event(&explanation, arguments.json, ToString::to_string)?;
    Ok(u8::from(explanation.is_no()))
}

async fn explain(
    arguments: &ExplainArguments,
    context: &CommandContext,
    credential: &Credential,
) -> Result<Explanation, CommandError> {
    let bases: Vec<MirrorBase> = context
        .mirrors
        .iter()
        .map(|(base, _)| base.clone())
        .collect();
    let address = address::read(&arguments.url, &context.bases, &bases, &context.path_prefix)
        .map_err(|why| CommandError::Usage(format!("\"{}\" is {why}", shown(&arguments.url))))?;
    let format = arguments.format.into();
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

/// What can be told without asking anybody.
fn conclude(address: &Address, format: Format, context: &CommandContext) -> Explanation {
    let mut explanation = Explanation {
        address: address.path.clone(),
        route: address.route.as_ref().map_or("none", Route::word),
        what: String::new(),
        notes: notes(address),
        right: None,
        upstream: None,
        asked_as: None,
        rules: Vec::new(),
        stored: Vec::new(),
        verdict: Verdict::Depends,
        why: String::new(),
        daemon: None,
        no_daemon: None,
    };
    let unknown = |route: &Route| {
        route
            .scope()
            .filter(|scope| scope.is_mirror() && context.mirror(scope).is_none())
            .cloned()
    };
    let route = match &address.route {
        Ok(route) => route,
        Err(why) => {
            explanation.what = "nothing that larder serves".to_owned();
            explanation.deny(refused(why));
            return explanation;
        }
    };
    let peek = Peek::at(&context.cache_dir);
    if peek.is_none() {
        explanation
            .stored
            .push(format!("{} is not there yet", context.cache_dir.display()));
    }
    if context.offline {
        offline::explain(&mut explanation, route, context, peek.as_ref());
        return explanation;
    }
    if let Some(mirror) = unknown(route) {
        explanation.what = "nothing that larder serves".to_owned();
        explanation.deny(format!(
            "there is no [mirrors.{mirror}] in the configuration (404)"
        ));
        return explanation;
    }
    rules::apply(&mut explanation, route, format, context);
    if let Some(peek) = peek {
        stored::look(&mut explanation, route, context, &peek);
    }
    explanation
}

fn notes(address: &Address) -> Vec<String> {
    let whose = match &address.given {
        Given::Larder => None,
        Given::GitLab => Some("GitLab's URL; larder serves it under this path".to_owned()),
        Given::Mirror(name) => Some(format!(
            "the mirror {name}'s URL; larder serves it under this path"
        )),
    };
    let credential = "the credential in the URL was left out: give it with --token-file";
    whose
        .into_iter()
        .chain(address.had_credential.then(|| credential.to_owned()))
        .collect()
}

fn refused(why: &RouteError) -> String {
    let status = Refusal::from(why.clone()).status();
    format!("{why} ({})", status.as_u16())
}

/// What was given, without what may be a password or a token in it.
fn shown(text: &str) -> &str {
    let text = text.rsplit('@').next().unwrap_or_default();
    text.split(['?', '#']).next().unwrap_or_default()
}
