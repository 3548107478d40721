//! The only place where concrete parts meet.
//!
//! Owns the order of construction and of stopping. Must not contain behaviour of its own.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderValue;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::access::{Access, Credential};
use crate::cli::{Explain, Ground};
use crate::config::{Config, ConfigError};
use crate::digest;
use crate::file::Files;
use crate::index::{MirrorPages, Pages, Parts, Sources};
use crate::registry::{Base, Bases, MirrorBase, PrivateNames, Scope};
use crate::server::{Listener, Services, Shutdown};
use crate::store::{Store, StoreError};
use crate::telemetry::{Gauges, Metrics};
use crate::upload::Uploads;
use crate::upstream::{Hashless, Mirror, MirrorConfig, State, StoreOrigins, Upstream};

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Setting(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: std::io::Error },
    #[error("sha256 computes wrong sums on this machine: nothing could be verified")]
    Arithmetic,
}

impl StartError {
    /// Whether the operator's configuration is to blame.
    pub fn is_config(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Setting(_))
    }
}

/// A running daemon.
pub struct App {
    address: SocketAddr,
    cache_dir: PathBuf,
    gitlab: String,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
}

impl App {
    /// Opens the store, binds the address and begins to serve.
    ///
    /// # Errors
    /// What kept it from starting; nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        if !digest::self_test() {
            return Err(StartError::Arithmetic);
        }
        let cache_dir = config.cache_dir()?;
        let store = Arc::new(Store::open(&cache_dir, config.cache_size.0)?);
        let blobs = Arc::clone(&store.blobs);
        let stock = tokio::task::spawn_blocking(move || blobs.take_stock());
        #[expect(clippy::disallowed_methods, reason = "counting goes on behind the start")]
        tokio::spawn(async move {
            if let Ok(Err(why)) = stock.await {
                tracing::warn!(%why, "cannot count what is stored");
            }
        });

        let bases = bases(&config)?;
        let gitlab = bases.asked().to_string();
        let via = HeaderValue::try_from(format!("1.1 larder-{:08x}", rand::random::<u32>()))
            .map_err(|why| StartError::Setting(why.to_string()))?;
        let service = service(&config)?;
        let mirrors = config.mirrors.iter().map(|(name, section)| mirror(name, section, &via));
        let mirrors = mirrors.collect::<Result<Vec<_>, _>>()?;
        let upstream = upstream(&config, bases.clone(), &via, service.is_some())?;
        let upstream = Arc::new(upstream.with_mirrors(mirrors));

        let access = Arc::new(Access::new(&config.access));
        let sources = sources(&config, bases, private_names(&config)?)?;
        let parts = Parts {
            upstream: Arc::clone(&upstream),
            access: Arc::clone(&access),
            shelf: store.pages.clone(),
            sidecars: Arc::clone(&store.sidecars),
            ahead: config.metadata.ahead,
        };
        let pages = Pages::new(config.index.clone(), sources, parts);
        let (line, rights) = (Arc::clone(&upstream), Arc::clone(&access));
        let files =
            Files::new(config.files, config.metadata, adopting(&config), line, rights, Arc::clone(&store));
        let uploads = Uploads::new(Arc::clone(&upstream), Arc::clone(&pages), config.limits.body_timeout.0);
        let gauges = {
            let (pages, files, access) = (Arc::clone(&pages), Arc::clone(&files), Arc::clone(&access));
            let (ledger, peers) = (Arc::clone(store.blobs.ledger()), Arc::clone(&upstream));
            move || Gauges {
                resting: peers.peers().map(|(name, state)| (name, state != State::Closed)).collect(),
                wheels_ahead: files.reading_ahead() as u64,
                downloads: files.downloading() as u64,
                page_loads: pages.loading() as u64,
                grants: access.count(),
                store_bytes: ledger.taken(),
                store_budget_bytes: ledger.budget(),
            }
        };
        let services = Arc::new(Services {
            access,
            pages,
            files,
            uploads,
            metrics: Arc::new(Metrics::default()),
            gauges: Box::new(gauges),
            via,
            service,
        });

        let refused = |source| StartError::Listen { address: config.listen.clone(), source };
        let listener = Listener::bind(&config.listen, config.limits).await.map_err(refused)?;
        let address = listener.address().map_err(refused)?;
        let shutdown = Shutdown::default();
        #[expect(clippy::disallowed_methods, reason = "stop() waits for it")]
        let serving = tokio::spawn(listener.serve(services, shutdown.clone()));
        Ok(Self { address, cache_dir, gitlab, shutdown, serving })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn cache_dir(&self) -> &PathBuf {
        &self.cache_dir
    }

    /// The GitLab that is asked.
    pub fn gitlab(&self) -> &str {
        &self.gitlab
    }

    /// Accepts no more, and returns when the last connection is done or the drain limit is over.
    pub async fn stop(self) {
        self.shutdown.begin();
        // A panic of the accept loop was logged where it happened.
        let _ = self.serving.await;
    }
}

/// What `larder explain` stands on.
///
/// # Errors
/// What is wrong with the configuration.
pub fn ground(config: &Config) -> Result<Ground, StartError> {
    let bases = bases(config)?;
    let mirrors =
        config.mirrors.iter().map(|(name, section)| Ok((mirror_base(name, section)?, section.clone())));
    Ok(Ground {
        listen: config.listen.clone(),
        path_prefix: config.path_prefix(),
        cache_dir: config.cache_dir()?,
        gitlab: config.gitlab.clone(),
        mirrors: mirrors.collect::<Result<_, StartError>>()?,
        private: private_names(config)?,
        sources: sources(config, bases.clone(), private_names(config)?)?,
        bases,
        index: config.index.clone(),
        metadata: config.metadata,
        access: config.access.clone(),
    })
}

/// The mirrors whose files without a sha256 are kept.
fn adopting(config: &Config) -> HashSet<Scope> {
    let kept = config.mirrors.iter().filter(|(_, mirror)| mirror.hashless == Hashless::Store);
    kept.filter_map(|(name, _)| Scope::mirror(name)).collect()
}

/// In whose name `larder explain` asks the daemon.
///
/// # Errors
/// What is wrong with the token's file.
pub fn caller(asked: &Explain) -> Result<Credential, StartError> {
    let Some(path) = &asked.token_file else { return Ok(Credential::anonymous()) };
    let token = read_token("--token-file", path)?;
    Ok(match &asked.user {
        Some(user) => Credential::basic(user, &token),
        None => Credential::service(&token),
    })
}

/// What is wrong with the files that the configuration names, a line each.
pub fn unusable_files(config: &Config) -> Vec<String> {
    let via = HeaderValue::from_static("1.1 larder");
    let gitlab = bases(config).and_then(|bases| upstream(config, bases, &via, false)).err();
    let mirrors = config.mirrors.iter().flat_map(|(name, section)| {
        let without_token = MirrorConfig { token_file: String::new(), ..section.clone() };
        let token = token(&format!("mirrors.{name}"), &section.token_file).err();
        [token, mirror(name, &without_token, &via).err()]
    });
    let faults = [service(config).err(), gitlab].into_iter().chain(mirrors);
    faults.flatten().map(|why| why.to_string()).collect()
}

fn bases(config: &Config) -> Result<Bases, StartError> {
    let base = |url: &str| Base::parse(url).map_err(|why| StartError::Setting(format!("{url}: {why}")));
    let others = config.gitlab.external_urls.iter().map(|url| base(url)).collect::<Result<_, _>>()?;
    Ok(Bases::new(base(&config.gitlab.url)?, others))
}

fn private_names(config: &Config) -> Result<PrivateNames, StartError> {
    PrivateNames::parse(&config.names.private).map_err(|why| StartError::Setting(why.to_string()))
}

/// The operator's own credential, if there is one.
fn service(config: &Config) -> Result<Option<Credential>, StartError> {
    Ok(token("gitlab", &config.gitlab.token_file)?.map(|token| Credential::service(&token)))
}

/// GitLab alone, without mirrors.
fn upstream(
    config: &Config,
    bases: Bases,
    via: &HeaderValue,
    service_token: bool,
) -> Result<Upstream, StartError> {
    let stores = StoreOrigins::parse(&config.gitlab.store_origins).map_err(StartError::Setting)?;
    Upstream::new(&config.gitlab, bases, stores, via.clone(), service_token)
        .map_err(|why| StartError::Setting(format!("gitlab.ca_file: {why}")))
}

fn mirror(name: &str, section: &MirrorConfig, via: &HeaderValue) -> Result<Mirror, StartError> {
    let token = token(&format!("mirrors.{name}"), &section.token_file)?;
    let username = Some(section.username.as_str()).filter(|name| !name.is_empty());
    let credential = token.map(|token| Credential::mirror(username, &token)).unwrap_or_default();
    Mirror::new(mirror_scope(name)?, section, credential, via.clone())
        .map_err(|why| StartError::Setting(format!("mirrors.{name}.{why}")))
}

fn mirror_scope(name: &str) -> Result<Scope, StartError> {
    Scope::mirror(name).ok_or_else(|| StartError::Setting(format!("mirrors.{name}: no such name")))
}

fn mirror_base(name: &str, section: &MirrorConfig) -> Result<MirrorBase, StartError> {
    MirrorBase::parse(mirror_scope(name)?, &section.url, &section.files)
        .map_err(|(url, why)| StartError::Setting(format!("mirrors.{name}: \"{url}\": {why}")))
}

/// What the index room has to know of GitLab and of each mirror.
fn sources(config: &Config, bases: Bases, private: PrivateNames) -> Result<Sources, StartError> {
    let pages = |(name, section): (&String, &MirrorConfig)| {
        let base = mirror_base(name, section)?;
        Ok(MirrorPages { base, fresh_for: section.fresh_for.0, min_age: section.min_age.0 })
    };
    let mirrors = config.mirrors.iter().map(pages).collect::<Result<Vec<_>, StartError>>()?;
    Ok(Sources::new(bases, mirrors, private, &config.path_prefix()))
}

/// The token in a section's `token_file`, if it has one.
fn token(section: &str, path: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StartError> {
    if path.is_empty() {
        return Ok(None);
    }
    read_token(&format!("{section}.token_file"), Path::new(path)).map(Some)
}

/// The token in a file; `key` is where the file was named.
fn read_token(key: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, StartError> {
    let fault = |why: &str| StartError::Setting(format!("{key}: {}: {why}", path.display()));
    #[expect(clippy::disallowed_methods, reason = "a setting that lives in a file of its own")]
    let text = Zeroizing::new(fs::read(path).map_err(|why| fault(&why.to_string()))?);
    let token = text.trim_ascii();
    if token.is_empty() || HeaderValue::from_bytes(token).is_err() {
        return Err(fault("is not a token"));
    }
    Ok(Zeroizing::new(token.to_vec()))
}
