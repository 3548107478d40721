//! The only place where concrete parts meet.
//!
//! Owns the order of construction and of stopping. Must not contain behaviour of its own.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::access::{Access, Credential, Keys};
use crate::airgap::Exchange;
use crate::cli::Ground;
use crate::clock;
use crate::config::{Config, ConfigError};
use crate::control::{Client, ClientError};
use crate::digest;
use crate::file::Files;
use crate::index::{MirrorPages, Pages, Parts, Sources};
use crate::registry::{Base, Bases, MirrorBase, PrivateNames, Scope};
use crate::server::{ControlDoor, Listener, NetworkDoor, Occupancy, ServerLimits, Services, Shutdown};
use crate::store::{Store, StoreError};
use crate::telemetry::{Gauges, Metrics};
use crate::upkeep::Upkeep;
use crate::upload::Uploads;
use crate::upstream::{GitLabConfig, Hashless, Mirror, MirrorConfig, State, StoreOrigins, Upstream};

/// For a daemon that holds the folder to answer: one may be starting or stopping.
const REACH_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two attempts to find it.
const REACH_PAUSE: Duration = Duration::from_millis(50);

/// For pages that were answered with to be put on the disk, when the daemon stops.
const PUT_BY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a daemon that is about to end looks whether another command still needs it.
const DESERTED_LOOK_EVERY: Duration = Duration::from_millis(20);

/// So many looks before it says what it waits for.
const LOOKS_IN_SILENCE: u32 = 50;

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
    #[error("cannot make the control socket in the cache folder: {0}")]
    ControlSocket(std::io::Error),
    #[error(
        "the cache folder {} is held by another process, and it cannot be asked: {why}; \
         stop it, or set another cache_dir",
        folder.display()
    )]
    Unreachable { folder: PathBuf, why: ClientError },
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
    gitlab: Option<String>,
    daemon: Daemon,
}

impl App {
    /// Opens the store, binds the address and begins to serve, over the control socket too.
    ///
    /// # Errors
    /// What kept it from starting; nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let services = services(&config)?;
        let refused = |source| StartError::Listen { address: config.listen.clone(), source };
        let door = NetworkDoor::bind(&config.listen).await.map_err(refused)?;
        let address = door.address().map_err(refused)?;
        let cache_dir = config.cache_dir()?;
        let gitlab =
            (!config.offline).then(|| bases(&config)).transpose()?.map(|bases| bases.asked().to_string());
        let mut daemon = Daemon::of(&services);
        match ControlDoor::bind(&cache_dir) {
            Ok(door) => daemon.obey(door, config.limits, &services),
            Err(why) => {
                tracing::warn!(%why, "no control socket: commands cannot reach this daemon while it runs");
            }
        }
        let listener = Listener::new(door, config.limits);
        daemon.serving.spawn(listener.serve(services, daemon.shutdown.clone()));
        Ok(Self { address, cache_dir, gitlab, daemon })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn cache_dir(&self) -> &PathBuf {
        &self.cache_dir
    }

    /// The GitLab that is asked; none offline.
    pub fn gitlab(&self) -> Option<&str> {
        self.gitlab.as_deref()
    }

    /// Accepts no more, and returns when the last connection is done or the drain limit is over.
    pub async fn stop(self) {
        self.daemon.stop().await;
    }
}

/// What serves, over whichever ways in.
pub struct Daemon {
    pages: Arc<Pages>,
    shutdown: Shutdown,
    serving: JoinSet<()>,
    control: Option<Occupancy>,
}

impl Daemon {
    /// For a command of this process: over the control socket alone.
    fn embedded(config: &Config) -> Result<Self, StartError> {
        let services = services(config)?;
        let door = ControlDoor::bind(&config.cache_dir()?).map_err(StartError::ControlSocket)?;
        let mut daemon = Self::of(&services);
        daemon.obey(door, config.limits, &services);
        Ok(daemon)
    }

    fn of(services: &Services) -> Self {
        let pages = Arc::clone(&services.pages);
        Self { pages, shutdown: Shutdown::default(), serving: JoinSet::new(), control: None }
    }

    fn obey(&mut self, door: ControlDoor, limits: ServerLimits, services: &Arc<Services>) {
        let listener = Listener::new(door, limits);
        self.control = Some(listener.occupancy());
        self.serving.spawn(listener.serve(Arc::clone(services), self.shutdown.clone()));
    }

    /// Returns when nobody is connected to the control socket. However long that takes: another command would be cut
    /// in its middle otherwise, and a second Ctrl-C ends the wait.
    async fn deserted(&self) {
        let mut looks = 0;
        while self.control.as_ref().is_some_and(|control| !control.is_idle()) {
            looks += 1;
            if looks == LOOKS_IN_SILENCE {
                tracing::warn!("another command uses the cache by way of this one: waiting for it to end");
            }
            tokio::time::sleep(DESERTED_LOOK_EVERY).await;
        }
    }

    async fn stop(mut self) {
        self.shutdown.begin();
        // A panic of an accept loop was logged where it happened.
        while self.serving.join_next().await.is_some() {}
        // A disk that does not answer must not keep the process.
        let _ = tokio::time::timeout(PUT_BY_TIMEOUT, self.pages.put_by()).await;
    }
}

/// The daemon that holds the cache folder, for a command that needs one.
pub enum Reached {
    /// It runs by itself.
    Running(Client),
    /// Nobody held the folder: it runs inside this process, for as long as the command does.
    Embedded(Client, Daemon),
}

impl Reached {
    pub fn client(&self) -> &Client {
        match self {
            Self::Running(client) | Self::Embedded(client, _) => client,
        }
    }

    /// Ends a daemon inside this process, when the other commands that have found it meanwhile are done. All clones of
    /// the client must be gone.
    pub async fn stop(self) {
        if let Self::Embedded(client, daemon) = self {
            drop(client);
            daemon.deserted().await;
            daemon.stop().await;
        }
    }
}

/// Finds the daemon that holds the cache folder, or becomes it.
///
/// # Errors
/// What keeps one from starting; [`StartError::Unreachable`] when the folder is held by one that does not answer.
pub async fn reach(config: &Config) -> Result<Reached, StartError> {
    let folder = config.cache_dir()?;
    let until = clock::now() + REACH_TIMEOUT;
    // Again, because one that starts or stops holds the folder for a moment without answering.
    loop {
        match Daemon::embedded(config) {
            Ok(daemon) => {
                let client = Client::connect(&folder).await;
                return match client {
                    Ok(client) => Ok(Reached::Embedded(client, daemon)),
                    Err(why) => Err(StartError::Unreachable { folder, why }),
                };
            }
            Err(StartError::Store(StoreError::InUse(_))) => {}
            Err(why) => return Err(why),
        }
        match Client::connect(&folder).await {
            Ok(client) => return Ok(Reached::Running(client)),
            Err(why) if clock::now() >= until => return Err(StartError::Unreachable { folder, why }),
            Err(_) => tokio::time::sleep(REACH_PAUSE).await,
        }
    }
}

/// All parts, put together and idle.
fn services(config: &Config) -> Result<Arc<Services>, StartError> {
    if !digest::self_test() {
        return Err(StartError::Arithmetic);
    }
    let store = Arc::new(Store::open(&config.cache_dir()?, config.cache_size.0)?);
    if config.offline {
        store.blobs.keep_everything();
    }
    take_stock(&store);

    let bases = bases(config)?;
    let via = HeaderValue::try_from(format!("1.1 larder-{:08x}", rand::random::<u32>()))
        .map_err(|why| StartError::Setting(why.to_string()))?;
    // Offline nobody is shown a credential, nor is anybody's own put aside for it.
    let service = if config.offline { None } else { service(config)? };
    let upstream = Arc::new(upstreams(config, &bases, &via, service.is_some())?);
    let access = Arc::new(match config.offline {
        true => Access::offline(&config.access, keys(config)?),
        false => Access::new(&config.access),
    });
    let sources = sources(config, bases, private_names(config)?)?;
    let parts = Parts {
        upstream: Arc::clone(&upstream),
        access: Arc::clone(&access),
        shelf: store.pages.clone(),
        sidecars: Arc::clone(&store.sidecars),
        ahead: if config.offline { 0 } else { config.metadata.ahead },
        held: config.offline.then(|| store.holdings()),
    };
    let pages = Pages::new(config.index.clone(), sources, parts);
    let (line, rights) = (Arc::clone(&upstream), Arc::clone(&access));
    let files = Files::new(config.files, config.metadata, adopting(config), line, rights, Arc::clone(&store));
    let uploads = Uploads::new(Arc::clone(&upstream), Arc::clone(&pages), config.limits.body_timeout.0);
    let upkeep = Arc::new(Upkeep::new(Arc::clone(&store), Arc::clone(&pages)));
    let signers = Some(&config.import.allowed_signers).filter(|path| !path.is_empty()).map(PathBuf::from);
    let exchange = Arc::new(Exchange::new(Arc::clone(&store), Arc::clone(&pages), signers));
    let gauges = {
        let (pages, files, access) = (Arc::clone(&pages), Arc::clone(&files), Arc::clone(&access));
        let (ledger, peers) = (Arc::clone(store.blobs.ledger()), Arc::clone(&upstream));
        move || Gauges {
            offline: peers.is_offline(),
            resting: peers.peers().map(|(name, state)| (name, state != State::Closed)).collect(),
            wheels_ahead: files.reading_ahead() as u64,
            downloads: files.downloading() as u64,
            page_loads: pages.loading() as u64,
            grants: access.count(),
            store_bytes: ledger.taken(),
            store_budget_bytes: ledger.budget(),
        }
    };
    Ok(Arc::new(Services {
        access,
        pages,
        files,
        uploads,
        upkeep,
        exchange,
        metrics: Arc::new(Metrics::default()),
        gauges: Box::new(gauges),
        via,
        service,
    }))
}

/// Counts what is stored, behind the start.
fn take_stock(store: &Store) {
    let blobs = Arc::clone(&store.blobs);
    let stock = tokio::task::spawn_blocking(move || blobs.take_stock());
    #[expect(clippy::disallowed_methods, reason = "counting goes on behind the start")]
    tokio::spawn(async move {
        if let Ok(Err(why)) = stock.await {
            tracing::warn!(%why, "cannot count what is stored");
        }
    });
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
        offline: config.offline,
        public_url: config.public_url.clone(),
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

/// In whose name a command asks the daemon.
///
/// # Errors
/// What is wrong with the token's file.
pub fn caller(user: Option<&str>, token_file: Option<&Path>) -> Result<Credential, StartError> {
    let Some(path) = token_file else { return Ok(Credential::anonymous()) };
    let token = read_token("--token-file", path)?;
    Ok(match user {
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
    let signers = unreadable_signers(config);
    let faults = [service(config).err(), gitlab, signers, keys(config).err()].into_iter().chain(mirrors);
    faults.flatten().map(|why| why.to_string()).collect()
}

/// What is wrong with the file of allowed signers, if one is named.
fn unreadable_signers(config: &Config) -> Option<StartError> {
    let path = Some(&config.import.allowed_signers).filter(|path| !path.is_empty())?;
    #[expect(clippy::disallowed_methods, reason = "a setting that lives in a file of its own")]
    let why = fs::read(path).err()?;
    Some(StartError::Setting(format!("import.allowed_signers: {path}: {why}")))
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

/// Who gets GitLab's packages offline.
fn keys(config: &Config) -> Result<Keys, StartError> {
    let access = &config.access;
    let mut keys = Keys::new(access.offline);
    for (key, path, add) in [
        ("access.offline_users", &access.offline_users, Keys::with_users as fn(Keys, &[u8]) -> _),
        ("access.offline_tokens", &access.offline_tokens, Keys::with_tokens),
    ] {
        if path.is_empty() {
            continue;
        }
        let fault = |why: &dyn std::fmt::Display| StartError::Setting(format!("{key}: {path}: {why}"));
        #[expect(clippy::disallowed_methods, reason = "a setting that lives in a file of its own")]
        let text = Zeroizing::new(fs::read(path).map_err(|why| fault(&why))?);
        keys = add(keys, &text).map_err(|why| fault(&why))?;
    }
    Ok(keys)
}

/// Everybody who can be asked; offline nobody, and what only they would need is not even opened.
fn upstreams(
    config: &Config,
    bases: &Bases,
    via: &HeaderValue,
    service_token: bool,
) -> Result<Upstream, StartError> {
    if config.offline {
        let gitlab = GitLabConfig { ca_file: String::new(), ..config.gitlab.clone() };
        let config = Config { gitlab, ..config.clone() };
        return Ok(upstream(&config, bases.clone(), via, service_token)?.offline(true));
    }
    let mirrors = config.mirrors.iter().map(|(name, section)| mirror(name, section, via));
    let mirrors = mirrors.collect::<Result<Vec<_>, _>>()?;
    Ok(upstream(config, bases.clone(), via, service_token)?.with_mirrors(mirrors))
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
