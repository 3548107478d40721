//! What `larder doctor` examines.
//!
//! Must not judge.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::command_context::{CommandContext, command_context};
use super::error::StartError;
use super::file_check::check_files;
use super::mirrors::{known_mirrors, learned_facts, public_index_in_words};
use super::settings::{bases, certificate_validity, dates_credential, service_credential};
use super::upstreams::{Transports, transport, transports, upstreams};
use crate::access::Credential;
use crate::app::config::Config;
use crate::upstream::{ProxyEnvironment, SystemRoots, Transport, Upstream};
use crate::values::validity::Validity;

/// What is examined.
pub struct DoctorInput {
    pub context: CommandContext,
    /// All peers that the daemon would ask, with little patience.
    pub upstream: Arc<Upstream>,
    /// Each parent alone, by its URL.
    pub parents: Vec<(String, Arc<Upstream>)>,
    /// None offline.
    pub transports: Option<Transports>,
    /// The way to the shared store, if it is asked.
    pub shared_store: Option<Transport>,
    /// Where GitLab's redirects lead, in words, if they are followed.
    pub followed: Option<String>,
    /// In whose name GitLab is asked.
    pub credential: Credential,
    /// What GitLab's packages API alone is shown.
    pub dates_token: Option<Credential>,
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

/// How long `larder doctor` waits for each step.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// What `larder doctor` looks at. `credential` is the operator's, with which GitLab is asked.
///
/// # Errors
/// What is wrong with the configuration.
pub fn doctor_input(config: &Config, credential: Credential) -> Result<DoctorInput, StartError> {
    check_files(config)?;
    let hurried = hurried(config);
    let via = HeaderValue::from_static("1.1 larder-doctor");
    let known = known_mirrors(&hurried, &learned_facts(&hurried))?;
    let upstream = upstreams(&hurried, &bases(&hurried)?, &via, false, &known)?;
    let mut parents = Vec::new();
    for url in config.parents() {
        let alone = hurried.clone().with_parent(&url);
        let known = known_mirrors(&alone, &learned_facts(&alone))?;
        let upstream = upstreams(&alone, &bases(&alone)?, &via, false, &known)?;
        parents.push((url, Arc::new(upstream)));
    }
    let credential = if credential.is_anonymous() {
        service_credential(config)?.unwrap_or_default()
    } else {
        credential
    };
    let system = SystemRoots::default();
    let mut shared_store = None;
    if upstream.shared_store().is_some() {
        let environment = ProxyEnvironment::of_process();
        let section = config.shared_store.transport();
        shared_store = Some(transport("shared_store", &section, &environment, &system)?);
    }
    Ok(DoctorInput {
        shared_store,
        transports: if config.offline {
            None
        } else {
            Some(transports(config, &known, &system)?)
        },
        context: command_context(config)?,
        upstream: Arc::new(upstream),
        parents,
        followed: public_index_in_words(config)?,
        credential,
        dates_token: dates_credential(config)?,
        limit: STEP_TIMEOUT,
        cache_size: config.cache_size.0,
        connections: config.limits.connections,
        page_memory: config.index.memory.0,
        certificate: certificate_validity(config)?,
    })
}

/// The same configuration with shorter waits and a single try.
fn hurried(config: &Config) -> Config {
    let mut config = config.clone();
    let gitlab = &mut config.gitlab;
    gitlab.retries = 0;
    let mut waits = vec![
        &mut gitlab.connect_timeout,
        &mut gitlab.header_timeout,
        &mut gitlab.idle_timeout,
    ];
    for mirror in config.mirrors.values_mut() {
        mirror.retries = 0;
        waits.extend([
            &mut mirror.connect_timeout,
            &mut mirror.header_timeout,
            &mut mirror.idle_timeout,
        ]);
    }
    for wait in waits {
        wait.0 = wait.0.min(STEP_TIMEOUT);
    }
    config
}
