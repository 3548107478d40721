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
pub(super) fn upstreams(
    config: &Config,
    bases: &Bases,
    via: &HeaderValue,
    service_token: bool,
) -> Result<Upstream, StartError> {
    let environment = ProxyEnvironment::of_process();
    if config.offline {
        let nowhere = transport("gitlab", &TransportConfig::UNUSED, &environment)?;
        return Ok(upstream(config, &nowhere, bases.clone(), via, service_token)?.offline(true));
    }
    let open = |section: &str, config: &TransportConfig<'_>, url: &Url| {
        let transport = transport(section, config, &environment)?;
        announce(section, &transport, url);
        Ok::<_, StartError>(transport)
    };
    let mut mirrors = Vec::new();
    for (name, section) in &config.mirrors {
        let base = mirror_base(name, section)?;
        let title = format!("mirrors.{name}");
        let transport = open(&title, &section.transport(), base.index())?;
        mirrors.push(mirror(name, section, &transport, via)?);
    }
    let transport = open("gitlab", &config.gitlab.transport(), &gitlab_url(bases)?)?;
    Ok(upstream(config, &transport, bases.clone(), via, service_token)?.with_mirrors(mirrors))
}

/// How the peer of a section is reached; its files are opened.
pub(super) fn transport(
    section: &str,
    config: &TransportConfig<'_>,
    environment: &ProxyEnvironment,
) -> Result<Transport, StartError> {
    let credential = match config.proxy_credential_file {
        "" => None,
        path => Some(read_token(
            &format!("{section}.proxy_credential_file"),
            Path::new(path),
        )?),
    };
    let credential = credential.map(|pair| Secret::new(pair.as_slice()));
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

pub(super) fn gitlab_url(bases: &Bases) -> Result<Url, StartError> {
    let url = bases.asked().to_string();
    Url::parse(&url).map_err(|why| StartError::Setting(format!("gitlab.url: {why}")))
}

/// GitLab alone, without mirrors.
fn upstream(
    config: &Config,
    transport: &Transport,
    bases: Bases,
    via: &HeaderValue,
    service_token: bool,
) -> Result<Upstream, StartError> {
    let stores =
        StoreOrigins::parse(&config.gitlab.object_storage_origins).map_err(StartError::Setting)?;
    Upstream::new(
        &config.gitlab,
        transport,
        bases,
        stores,
        via.clone(),
        service_token,
    )
    .map_err(|why| StartError::Setting(format!("gitlab: {why}")))
}

fn mirror(
    name: &str,
    section: &MirrorConfig,
    transport: &Transport,
    via: &HeaderValue,
) -> Result<Mirror, StartError> {
    let token = token(&format!("mirrors.{name}"), &section.token_file)?;
    let username = Some(section.username.as_str()).filter(|name| !name.is_empty());
    let credential = token
        .map(|token| Credential::mirror(username, &token))
        .unwrap_or_default();
    Mirror::new(
        mirror_scope(name)?,
        section,
        transport,
        credential,
        via.clone(),
    )
    .map_err(|why| StartError::Setting(format!("mirrors.{name}.{why}")))
}

pub(super) fn mirror_scope(name: &str) -> Result<Scope, StartError> {
    Scope::mirror(name).ok_or_else(|| StartError::Setting(format!("mirrors.{name}: no such name")))
}

pub(super) fn mirror_base(name: &str, section: &MirrorConfig) -> Result<MirrorBase, StartError> {
    MirrorBase::parse(mirror_scope(name)?, &section.url, &section.file_urls)
        .map_err(|(url, why)| StartError::Setting(format!("mirrors.{name}: \"{url}\": {why}")))
}
