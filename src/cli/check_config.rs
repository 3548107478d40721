//! `larder check-config`: the configuration and the files it names, checked.
//!
//! Must not know how either is read.

use clap::Args;
use url::Url;

use super::doctor;
use super::output::{print, remark};
use super::socket_units::contradictions;
use super::{CommandError, CommandResult, Invocation};
use crate::app;
use crate::app::config::Config;
use crate::values::clock;
use crate::values::validity::Judgement;

/// What a line about a file begins with.
const FILE_SECTIONS: [&str; 6] = ["gitlab.", "mirrors.", "auth.", "tls.", "import.", "policy."];

#[derive(Debug, Args)]
pub struct CheckConfigArguments {
    /// Ask each upstream for a page as well, and say which hosts its files are on.
    #[arg(long)]
    online: bool,
}

/// # Errors
/// Every fault of the configuration and of the files it names.
pub fn run(arguments: &CheckConfigArguments, invocation: &Invocation) -> CommandResult {
    remark_on_the_environment();
    let (config, mut faults) = invocation.examine()?;
    if let Err(why) = app::check_files(&config) {
        add_new(&mut faults, &why.to_string());
    }
    if !faults.is_empty() {
        return Err(CommandError::Config(faults.join("\n")));
    }
    for contradiction in contradictions(&config, invocation.file.as_deref()) {
        let found = contradiction.found;
        remark(&format!("warning: {found}: {}", contradiction.advice));
    }
    remark_on_mirrors(&config);
    for expired in config.expired_exceptions() {
        remark(&format!("warning: {expired}"));
    }
    for open in config.open_secrets() {
        remark(&format!("warning: {open}: chmod o-r"));
    }
    judge_certificate(&config)?;
    judge_advisories(&config)?;
    let source = invocation.source();
    print(&format!("the configuration is good: {source}\n"))?;
    if arguments.online {
        return doctor::check_upstreams(&config);
    }
    Ok(0)
}

/// Says of which mirror the URL is no list of projects, by its look: most indexes have theirs in a
/// folder of this name, and some do not.
fn remark_on_mirrors(config: &Config) {
    for (name, mirror) in &config.mirrors {
        let Ok(url) = Url::parse(&mirror.url) else {
            continue;
        };
        let folder = url.path().trim_end_matches('/').rsplit('/').next();
        if !matches!(folder, Some("simple" | "+simple")) {
            remark(&format!(
                "warning: mirrors.{name}.url: it does not end in /simple/, where most indexes have \
                 their list of projects; `larder check-config --online` asks it"
            ));
        }
    }
}

/// Adds what is wrong with files, but for what follows from a value that is a fault itself.
fn add_new(faults: &mut Vec<String>, lines: &str) {
    let known: Vec<String> = faults.clone();
    for line in lines.lines() {
        let of_file = FILE_SECTIONS
            .iter()
            .any(|section| line.starts_with(section));
        let key = line.split(": ").next().unwrap_or_default();
        let below = format!("{key}.");
        let is_known = known.iter().any(|fault| {
            let known = fault.split(": ").next().unwrap_or_default();
            known == key || known.starts_with(&below)
        });
        if known.is_empty() || of_file && !is_known {
            faults.push(line.to_owned());
        }
    }
}

/// Says which variables of the environment mean nothing to larder.
pub fn remark_on_the_environment() {
    for text in Config::environment_remarks() {
        remark(&text);
    }
}

/// Says what the records of advisories hold; none that can be read are a fault.
fn judge_advisories(config: &Config) -> Result<(), CommandError> {
    let read = app::advisory_records(config);
    let read = read.map_err(|why| CommandError::config(format!("policy.advisories: {why}")))?;
    let Some(loaded) = read.and_then(|records| records.loaded()) else {
        return Ok(());
    };
    for why in &loaded.unreadable {
        remark(&format!("warning: policy.advisories: {why}"));
    }
    let counts = loaded.set.counts;
    Ok(print(&format!(
        "policy.advisories: {} records of malware, {} of vulnerabilities, {} that cannot be read\n",
        counts.malware, counts.vulnerabilities, counts.unreadable
    ))?)
}

/// Says until when larder's own certificate is good, and that it ends soon; one that clients refuse
/// is a fault.
fn judge_certificate(config: &Config) -> Result<(), CommandError> {
    let dates = app::certificate_validity(config).map_err(CommandError::config)?;
    let Some(validity) = dates else {
        return Ok(());
    };
    let judgement = validity.judge(clock::wall());
    let until = humantime::format_rfc3339_seconds(validity.until());
    let text = format!("tls.certificate: it {judgement} ({until})");
    match judgement {
        Judgement::Good { .. } => Ok(print(&format!("{text}\n"))?),
        Judgement::EndsSoon { .. } => {
            remark(&format!("warning: {text}: renew it"));
            Ok(())
        }
        Judgement::Expired { .. } | Judgement::NotYet { .. } => {
            Err(CommandError::Config(format!("{text}: clients refuse it")))
        }
    }
}
