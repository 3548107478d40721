//! `larder check-config`: the configuration and the files it names, checked.
//!
//! Must not know how either is read.

use super::output::{print, remark};
use super::socket_units::contradictions;
use super::{CommandError, CommandResult, Invocation};
use crate::app;
use crate::app::config::Config;
use crate::values::clock;
use crate::values::validity::Judgement;

pub fn run(invocation: &Invocation) -> CommandResult {
    let config = invocation.config()?;
    app::check_files(&config).map_err(CommandError::config)?;
    remark_on_the_environment();
    for contradiction in contradictions(&config, invocation.file.as_deref()) {
        let found = contradiction.found;
        remark(&format!("warning: {found}: {}", contradiction.advice));
    }
    judge_certificate(&config)?;
    let source = match &invocation.file {
        Some(file) => file.display().to_string(),
        None => "no file was given (--config): the defaults".to_owned(),
    };
    print(&format!("the configuration is good: {source}\n"))?;
    Ok(0)
}

/// Says which variables of the environment mean nothing to larder.
pub fn remark_on_the_environment() {
    for text in Config::environment_remarks() {
        remark(&text);
    }
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
