//! The upstreams that the configuration names, constructed.
//!
//! Must not know what they are asked.

use std::path::Path;

use http::HeaderValue;
use url::Url;

use super::error::StartError;
use super::token_file::{read_token, token};
use crate::access::Credential;
use crate::app::config::Config;
use crate::registry::{Bases, MirrorBase, Scope};
use crate::upstream::{
    Mirror, MirrorConfig, ProxyEnvironment, StoreOrigins, Transport, TransportConfig, Upstream,
};
use crate::values::secret::Secret;

/// All upstreams; offline none can be asked, and what only they would need is not even opened.
pub fn upstreams(
    config: &Config,
    bases: &Bases,
    via: &HeaderValue,
    service_token: bool,
) -> Result<Upstream, StartError> {
    let mut mirrors = Vec::new();
    let gitlab = if config.offline {
        let environment = ProxyEnvironment::of_process();
        transport("gitlab", &TransportConfig::UNUSED, &environment)?
    } else {
        let opened = transports(config)?;
        for ((name, section), transport) in config.mirrors.iter().zip(&opened.mirrors) {
            let base = mirror_base(name, section)?;
            announce(&format!("mirrors.{name}"), transport, base.index());
            mirrors.push(mirror(name, section, transport, via)?);
        }
        announce("gitlab", &opened.gitlab, &gitlab_url(bases)?);
        opened.gitlab
    };
    let stores =
        StoreOrigins::parse(&config.gitlab.object_storage_origins).map_err(StartError::Setting)?;
    let upstream = Upstream::new(
        &config.gitlab,
        &gitlab,
        bases.clone(),
        stores,
        via.clone(),
        service_token,
    )
    .map_err(|why| StartError::Setting(format!("gitlab: {why}")))?;
    Ok(upstream.offline(config.offline).with_mirrors(mirrors))
}

/// How each peer is reached.
pub struct Transports {
    pub gitlab: Transport,
    /// In the order of the configuration.
    pub mirrors: Vec<Transport>,
}

pub fn transports(config: &Config) -> Result<Transports, StartError> {
    let environment = ProxyEnvironment::of_process();
    let mut mirrors = Vec::new();
    for (name, section) in &config.mirrors {
        let title = format!("mirrors.{name}");
        mirrors.push(transport(&title, &section.transport(), &environment)?);
    }
    let gitlab = transport("gitlab", &config.gitlab.transport(), &environment)?;
    Ok(Transports { gitlab, mirrors })
}

/// How the peer of a section is reached; its files are opened.
pub fn transport(
    section: &str,
    config: &TransportConfig<'_>,
    environment: &ProxyEnvironment,
) -> Result<Transport, StartError> {
    let mut credential = None;
    if !config.proxy_credential_file.is_empty() {
        let key = format!("{section}.proxy_credential_file");
        let pair = read_token(&key, Path::new(config.proxy_credential_file))?;
        credential = Some(Secret::new(pair.as_slice()));
    }
    Transport::open(config, credential.as_ref(), environment)
        .map_err(|why| StartError::Setting(format!("{section}.{why}")))
}

/// What an operator has to know of the way to a peer, once.
fn announce(section: &str, transport: &Transport, url: &Url) {
    if let Some(proxy) = transport.proxy(url) {
        tracing::info!(upstream = section, %proxy, "this upstream is reached through a proxy");
    }
    if let Some(why) = transport.lack(url) {
        tracing::warn!(upstream = section, error = %why, "this upstream cannot be reached");
    }
}

pub fn gitlab_url(bases: &Bases) -> Result<Url, StartError> {
    let url = bases.asked().to_string();
    Url::parse(&url).map_err(|why| StartError::Setting(format!("gitlab.url: {why}")))
}

fn mirror(
    name: &str,
    section: &MirrorConfig,
    transport: &Transport,
    via: &HeaderValue,
) -> Result<Mirror, StartError> {
    let username = match section.username.as_str() {
        "" => None,
        username => Some(username),
    };
    let credential = match token(&format!("mirrors.{name}"), &section.token_file)? {
        Some(token) => Credential::mirror(username, &token),
        None => Credential::default(),
    };
    let scope = mirror_scope(name)?;
    Mirror::new(scope, section, transport, credential, via.clone())
        .map_err(|why| StartError::Setting(format!("mirrors.{name}.{why}")))
}

pub fn mirror_scope(name: &str) -> Result<Scope, StartError> {
    Scope::mirror(name).ok_or_else(|| StartError::Setting(format!("mirrors.{name}: no such name")))
}

pub fn mirror_base(name: &str, section: &MirrorConfig) -> Result<MirrorBase, StartError> {
    MirrorBase::parse(mirror_scope(name)?, &section.url, &section.file_urls)
        .map_err(|(url, why)| StartError::Setting(format!("mirrors.{name}: \"{url}\": {why}")))
}
