//! What `larder doctor` examines.
//!
//! Must not judge.

use std::sync::Arc;
use std::time::Duration;

use super::command_context::{CommandContext, command_context};
use super::error::StartError;
use super::file_check::unusable_files;
use super::settings::{bases, certificate_validity, service_credential};
use super::upstreams::{transport, upstreams};
use http::HeaderValue;

use crate::access::Credential;
use crate::app::config::Config;
use crate::upstream::{ProxyEnvironment, Transport, Upstream};
use crate::values::quantity::Span;
use crate::values::validity::Validity;

/// What is examined.
pub struct DoctorInput {
    pub context: CommandContext,
    /// Everybody that the daemon would ask, with little patience.
    pub upstream: Arc<Upstream>,
    /// None offline.
    pub transports: Option<Transports>,
    /// In whose name GitLab is asked.
    pub credential: Credential,
    /// For each step.
    pub limit: Duration,
    /// In bytes.
    pub cache_size: u64,
    pub connections: usize,
    /// What prepared pages may take, in bytes.
    pub page_memory: u64,
    /// Of the certificate that TLS clients are shown.
    pub certificate: Option<Validity>,
}

/// How each peer is reached.
pub struct Transports {
    pub gitlab: Transport,
    /// In the order of [`CommandContext::mirrors`].
    pub mirrors: Vec<Transport>,
}

/// How long `larder doctor` waits for each step.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// What `larder doctor` looks at. `credential` is the operator's, with which GitLab is asked.
///
/// # Errors
/// What is wrong with the configuration.
pub fn doctor_input(config: &Config, credential: Credential) -> Result<DoctorInput, StartError> {
    let faults = unusable_files(config);
    if !faults.is_empty() {
        return Err(StartError::Setting(faults.join("\n")));
    }
    let hurried = hurried(config);
    let via = HeaderValue::from_static("1.1 larder-doctor");
    let upstream = upstreams(&hurried, &bases(&hurried)?, &via, false)?;
    let credential = if credential.is_anonymous() {
        service_credential(config)?.unwrap_or_default()
    } else {
        credential
    };
    Ok(DoctorInput {
        transports: transports(config)?,
        context: command_context(config)?,
        upstream: Arc::new(upstream),
        credential,
        limit: STEP_TIMEOUT,
        cache_size: config.cache_size.0,
        connections: config.limits.connections,
        page_memory: config.index.memory.0,
        certificate: certificate_validity(config)?,
    })
}

fn transports(config: &Config) -> Result<Option<Transports>, StartError> {
    if config.offline {
        return Ok(None);
    }
    let environment = ProxyEnvironment::of_process();
    let mut mirrors = Vec::new();
    for (name, section) in &config.mirrors {
        let title = format!("mirrors.{name}");
        mirrors.push(transport(&title, &section.transport(), &environment)?);
    }
    let gitlab = transport("gitlab", &config.gitlab.transport(), &environment)?;
    Ok(Some(Transports { gitlab, mirrors }))
}

/// The same configuration with shorter waits and a single try.
fn hurried(config: &Config) -> Config {
    let mut config = config.clone();
    let at_most = |spans: [&mut Span; 3]| {
        for span in spans {
            span.0 = span.0.min(STEP_TIMEOUT);
        }
    };
    let gitlab = &mut config.gitlab;
    gitlab.retries = 0;
    at_most([
        &mut gitlab.connect_timeout,
        &mut gitlab.header_timeout,
        &mut gitlab.idle_timeout,
    ]);
    for mirror in config.mirrors.values_mut() {
        mirror.retries = 0;
        at_most([
            &mut mirror.connect_timeout,
            &mut mirror.header_timeout,
            &mut mirror.idle_timeout,
        ]);
    }
    config
}
