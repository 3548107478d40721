//! The configuration that counts for a command, and whose it is: of the larder that runs on the
//! cache folder, else of the file.
//!
//! A file that the command line or the environment names comes before that of a larder that runs by
//! another one. Must not know what a command does with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::daemon::runtime;
use super::error::CommandError;
use super::invocation::Invocation;
use crate::app::config::{Config, Effective};
use crate::control::{Client, ConfigurationInForce, ShowConfiguration};

/// For a daemon on this machine to tell.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The configuration that counts.
pub struct ConfigInForce {
    pub config: Config,
    pub values: Vec<Effective>,
    /// As `of /etc/larder/config.toml; no larder runs`.
    pub whose: String,
    /// What is wrong with the file, or what it says otherwise by now, and what to do.
    pub remark: Option<(String, &'static str)>,
}

/// # Errors
/// Every fault of the file, if no larder runs on the cache folder.
pub fn config_in_force(invocation: &Invocation) -> Result<ConfigInForce, CommandError> {
    let file = invocation.file.as_deref();
    let written = invocation.config();
    let source = invocation.source();
    // Without a home there is no folder that a larder could run on.
    let mut running = None;
    if let Ok((folder, _)) = Config::folder(file, &invocation.overrides) {
        let told = runtime()?.block_on(ask(&folder));
        running = told.map(|told| (told, folder));
    }
    // A daemon inside a command opens no address.
    let Some((told, folder)) = running.filter(|(told, _)| !told.opened.is_empty()) else {
        let whose = format!("of {source}; no larder runs on its cache folder");
        return of_file(written?, whose);
    };
    let process = told.process;
    let other = match &told.file {
        Some(other) => other.display().to_string(),
        None => "no file".to_owned(),
    };
    if invocation.is_named && !is_same(file, told.file.as_deref()) {
        let whose = format!("of {source}; the larder that runs, process {process}, has {other}");
        return of_file(written?, whose);
    }
    let Some(running) = Config::of_running(&told) else {
        let whose = format!(
            "of {source}; that of the larder that runs, process {process}, is of another version"
        );
        return of_file(written?, whose);
    };
    let remark = match written {
        Err(why) => Some((
            why.to_string(),
            "mend the file: a reload or restart would fail",
        )),
        Ok(written) => {
            let keys = written.written_otherwise(&running);
            let keys = keys.map_err(CommandError::config)?;
            let found = format!("{source} says otherwise by now: {}", keys.join(", "));
            let advice = "reload the larder that runs (SIGHUP), or restart it";
            if keys.is_empty() {
                None
            } else {
                Some((found, advice))
            }
        }
    };
    let whose = format!("of the larder that runs, process {process}, read of {other}");
    of_running(running, told, folder, invocation, (whose, remark))
}

fn of_file(config: Config, whose: String) -> Result<ConfigInForce, CommandError> {
    Ok(ConfigInForce {
        values: config.values().map_err(CommandError::config)?,
        config,
        whose,
        remark: None,
    })
}

fn of_running(
    mut config: Config,
    told: ConfigurationInForce,
    folder: PathBuf,
    invocation: &Invocation,
    (whose, remark): (String, Option<(String, &'static str)>),
) -> Result<ConfigInForce, CommandError> {
    let folder = folder.display().to_string();
    let mut values = config.values().map_err(CommandError::config)?;
    for value in &mut values {
        if value.key == "cache_dir" && config.cache_dir.is_empty() {
            value.means = Some(folder.clone());
        }
    }
    config.cache_dir = folder;
    // Where clients really come in, unless the command line knows better.
    let mut addresses = invocation.overrides.listen.clone();
    if addresses.is_empty() {
        addresses = told.opened;
    }
    let addresses = serde_json::from_value(serde_json::json!(addresses));
    if let Ok(addresses) = addresses {
        config.listen = addresses;
    }
    config.offline |= invocation.overrides.offline == Some(true);
    Ok(ConfigInForce {
        config,
        values,
        whose,
        remark,
    })
}

async fn ask(folder: &Path) -> Option<ConfigurationInForce> {
    let answer = async {
        let client = Client::connect(folder).await.ok()?;
        let mut events = client.run(&ShowConfiguration {}).await.ok()?;
        events.next().await.ok()?
    };
    timeout(ANSWER_TIMEOUT, answer).await.ok()?
}

fn is_same(one: Option<&Path>, other: Option<&Path>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}
