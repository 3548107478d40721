//! The files that the configuration names, opened to see whether they can be used.
//!
//! Must not keep anything of them.

use std::fs;

use url::Url;

use super::error::StartError;
use super::mirrors::mirror_base;
use super::settings::{
    bases, certificate_validity, dates_credential, offline_keys, service_credential,
};
use super::token_file::token;
use super::upstreams::{gitlab_url, shared_store, transport};
use crate::app::config::Config;
use crate::upstream::{MirrorConfig, ProxyEnvironment, SystemRoots, TransportConfig};

/// Opens the files that the configuration names.
///
/// # Errors
/// What is wrong with them, a line each.
pub fn check_files(config: &Config) -> Result<(), StartError> {
    let mut faults = Vec::new();
    let mut note = |checked: Result<(), StartError>| {
        if let Err(error) = checked {
            faults.push(error.to_string());
        }
    };
    // Offline no upstream is asked: what only it would need is not even opened.
    if !config.offline {
        let surroundings = Surroundings {
            proxies: ProxyEnvironment::of_process(),
            roots: SystemRoots::default(),
        };
        note(service_credential(config).map(drop));
        note(dates_credential(config).map(drop));
        let url = bases(config).and_then(|bases| gitlab_url(&bases));
        let transport = config.gitlab.transport();
        note(check_transport("gitlab", &transport, url, &surroundings));
        for (name, section) in &config.mirrors {
            let title = format!("mirrors.{name}");
            note(token(&title, &section.token_file).map(drop));
            let url = mirror_url(name, section);
            let transport = section.transport();
            note(check_transport(&title, &transport, url, &surroundings));
        }
        note(check_shared_store(config, &surroundings));
    }
    note(check_signers(config));
    note(offline_keys(config).map(drop));
    note(certificate_validity(config).map(drop));
    if faults.is_empty() {
        return Ok(());
    }
    Err(StartError::Setting(faults.join("\n")))
}

/// What the process has of its system.
struct Surroundings {
    proxies: ProxyEnvironment,
    roots: SystemRoots,
}

fn check_shared_store(config: &Config, surroundings: &Surroundings) -> Result<(), StartError> {
    let section = &config.shared_store;
    if !section.is_set() {
        return Ok(());
    }
    shared_store(config, &surroundings.roots)?;
    let origin = section.origin();
    let url = origin.map_err(|why| StartError::Setting(format!("shared_store.endpoint: {why}")));
    check_transport("shared_store", &section.transport(), url, surroundings)
}

fn mirror_url(name: &str, section: &MirrorConfig) -> Result<Url, StartError> {
    let base = mirror_base(name, section)?;
    let missing = || StartError::Setting(format!("mirrors.{name}.url: it is not set"));
    base.index().cloned().ok_or_else(missing)
}

fn check_transport(
    section: &str,
    config: &TransportConfig<'_>,
    url: Result<Url, StartError>,
    surroundings: &Surroundings,
) -> Result<(), StartError> {
    let Surroundings { proxies, roots } = surroundings;
    let transport = transport(section, config, proxies, roots)?;
    match transport.lack(&url?) {
        Some(lack) => Err(StartError::Setting(format!("{section}.ca_file: {lack}"))),
        None => Ok(()),
    }
}

/// The file of allowed signers, if one is named.
fn check_signers(config: &Config) -> Result<(), StartError> {
    let path = &config.import.allowed_signers;
    if path.is_empty() {
        return Ok(());
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "a setting that lives in a file of its own"
    )]
    match fs::read(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(StartError::Setting(format!(
            "import.allowed_signers: {path}: {error}"
        ))),
    }
}
