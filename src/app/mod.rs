//! The only place where concrete parts meet.
//!
//! Owns the order of construction and of stopping. Must not contain behaviour of its own.

pub mod address;
pub mod config;
mod doctor_input;
mod error;
mod foundation;
mod ground;
mod peers;
mod readings;
mod reload;
mod snapshot;
mod tokens;

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::task::JoinSet;
use url::Url;

use crate::access::{Access, Credential, OfflineKeys};
use crate::admin::Gauges;
use crate::admin::Upkeep;
use crate::airgap::Exchange;
use crate::app::config::Config;
use crate::control::Client;
use crate::file::{self, Files};
use crate::index::{MirrorPages, Pages, Parts, Sources};
use crate::registry::{Base, Bases, PrivateNames, Scope};
use crate::server::{
    ActiveServices, Admission, Certificates, ControlAcceptor, ListenAddress, ListenConfig,
    Listener, NetworkAcceptor, Occupancy, PassedSockets, ServerLimits, Services, Shutdown,
};
use crate::store::StoreError;
use crate::upload::Uploads;
use crate::upstream::{MirrorConfig, ProxyEnvironment, TransportConfig, UnhashedFiles};
use crate::values::clock;
use crate::values::secret_file::SecretFile;
use crate::values::validity::Validity;
pub use doctor_input::{Patient, Ways};
pub use error::StartError;
use foundation::Foundation;
pub use ground::Ground;
use peers::{gitlab_url, mirror_base, transport, upstreams};
use snapshot::Looked;
use tokens::{read_token, token};

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

/// A running daemon.
pub struct App {
    address: Option<SocketAddr>,
    urls: Vec<String>,
    certificates: Option<Arc<Certificates>>,
    cache_dir: PathBuf,
    gitlab: Option<String>,
    /// Where clients really come in.
    opened: Vec<ListenAddress>,
    config: Config,
    foundation: Arc<Foundation>,
    daemon: Daemon,
}

impl App {
    /// Opens the store, opens the addresses, or takes the sockets that were passed on in their place, and begins to serve,
    /// over the control socket too.
    ///
    /// # Errors
    /// What kept it from starting; nothing is left running then.
    pub async fn start(config: Config, passed: PassedSockets) -> Result<Self, StartError> {
        let foundation = Foundation::lay(&config)?;
        let certificates = certificates(&config)?;
        let opening = ListenConfig {
            listen: &config.listen,
            mode: config.listen_mode,
            tls: &config.tls.listen,
            certificates: certificates.as_deref(),
            passed,
        };
        let door = NetworkAcceptor::open(opening).await?;
        config.check_opened(door.addresses())?;
        warn_of_the_unopened(&config, &door);
        let (address, urls) = (door.tcp_address(), door.urls());
        let cache_dir = config.cache_dir()?;
        let gitlab = asked_gitlab(&config)?;
        let opened: Vec<_> = door.addresses().cloned().collect();
        let mut daemon = Daemon::of(ActiveServices::new(services(
            &foundation,
            &config,
            (&opened, certificates.clone()),
            None,
        )?));
        match ControlAcceptor::bind(&cache_dir) {
            Ok(door) => daemon.obey(door, config.limits),
            Err(why) => {
                tracing::warn!(error = %why, "no control socket: commands cannot reach this daemon while it runs");
            }
        }
        if let Some(certificates) = &certificates {
            daemon
                .serving
                .spawn(Arc::clone(certificates).keep_up(daemon.shutdown.clone()));
        }
        let listener = Listener::new(door, config.limits);
        daemon
            .serving
            .spawn(listener.serve(Arc::clone(&daemon.active), daemon.shutdown.clone()));
        Ok(Self {
            address,
            urls,
            certificates,
            cache_dir,
            gitlab,
            opened,
            config,
            foundation,
            daemon,
        })
    }

    /// The first address that speaks HTTP over TCP, with the port it was given.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where it listens, as URLs, or `unix:` and a path; first what most clients can use.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// What is shown to clients that speak TLS.
    pub fn certificates(&self) -> Option<&Arc<Certificates>> {
        self.certificates.as_ref()
    }

    pub fn cache_dir(&self) -> &PathBuf {
        &self.cache_dir
    }

    /// The GitLab that is asked; none offline.
    pub fn gitlab(&self) -> Option<&str> {
        self.gitlab.as_deref()
    }

    /// The services that requests are given to.
    pub fn active(&self) -> &Arc<ActiveServices> {
        &self.daemon.active
    }

    /// Accepts no more, and returns when the last connection is done or the drain limit is over.
    pub async fn stop(self) {
        self.daemon.stop().await;
    }
}

/// What serves, over whichever ways in.
pub struct Daemon {
    active: Arc<ActiveServices>,
    shutdown: Shutdown,
    serving: JoinSet<()>,
    control: Option<Occupancy>,
}

impl Daemon {
    /// For a command of this process: over the control socket alone.
    fn embedded(config: &Config) -> Result<Self, StartError> {
        let active = ActiveServices::new(services(
            &*Foundation::lay(config)?,
            config,
            (&[], None),
            None,
        )?);
        let door =
            ControlAcceptor::bind(&config.cache_dir()?).map_err(StartError::ControlSocket)?;
        let mut daemon = Self::of(active);
        daemon.obey(door, config.limits);
        Ok(daemon)
    }

    fn of(active: Arc<ActiveServices>) -> Self {
        let shutdown = active.services().shutdown.clone();
        Self {
            active,
            shutdown,
            serving: JoinSet::new(),
            control: None,
        }
    }

    fn obey(&mut self, door: ControlAcceptor, limits: ServerLimits) {
        let listener = Listener::new(door, limits);
        self.control = Some(listener.occupancy());
        self.serving
            .spawn(listener.serve(Arc::clone(&self.active), self.shutdown.clone()));
    }

    /// Returns when nobody is connected to the control socket. However long that takes: another command would be cut
    /// in its middle otherwise, and a second Ctrl-C ends the wait.
    async fn deserted(&self) {
        let mut looks = 0;
        while self
            .control
            .as_ref()
            .is_some_and(|control| !control.is_idle())
        {
            looks += 1;
            if looks == LOOKS_IN_SILENCE {
                tracing::warn!(
                    "another command uses the cache through this one: waiting for it to end"
                );
            }
            tokio::time::sleep(DESERTED_LOOK_EVERY).await;
        }
    }

    async fn stop(mut self) {
        self.shutdown.begin();
        // A panic of an accept loop was logged where it happened.
        while self.serving.join_next().await.is_some() {}
        // A disk that does not answer must not keep the process.
        let services = self.active.services();
        let _ = tokio::time::timeout(PUT_BY_TIMEOUT, services.pages.put_by()).await;
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
            Err(why) if clock::now() >= until => {
                return Err(StartError::Unreachable { folder, why });
            }
            Err(_) => tokio::time::sleep(REACH_PAUSE).await,
        }
    }
}

/// Sockets that were passed on stand in place of what is configured, which is easily overlooked.
fn warn_of_the_unopened(config: &Config, door: &NetworkAcceptor) {
    let usual = Config::default().listen;
    let listen = config
        .listen
        .iter()
        .filter(|address| !usual.iter().any(|usual| usual == *address));
    let keys = listen.map(|address| ("listen", address)).chain(
        config
            .tls
            .listen
            .iter()
            .map(|address| ("tls.listen", address)),
    );
    for (key, address) in keys.filter(|(_, address)| door.stands_aside(address)) {
        tracing::warn!(
            key,
            %address,
            "nothing listens there: the sockets that were passed on stand in place of it; let their unit open it (and name a \
             socket that is to speak TLS: FileDescriptorName=tls)"
        );
    }
}

/// The GitLab that is asked; none offline.
fn asked_gitlab(config: &Config) -> Result<Option<String>, StartError> {
    Ok((!config.offline)
        .then(|| bases(config))
        .transpose()?
        .map(|bases| bases.asked().to_string()))
}

/// All parts of one configuration, put together and idle, on what outlives it. `opened` is where clients come in, and what
/// those are shown who speak TLS; `before` are those they follow.
fn services(
    foundation: &Foundation,
    config: &Config,
    (opened, certificates): (&[ListenAddress], Option<Arc<Certificates>>),
    before: Option<&Services>,
) -> Result<Services, StartError> {
    let (store, via) = (Arc::clone(&foundation.store), foundation.via.clone());
    let bases = bases(config)?;
    // Offline GitLab is not asked, and the operator's files judge each caller by its own credential.
    let service = if config.offline {
        None
    } else {
        service(config)?
    };
    let upstream = upstreams(config, &bases, &via, service.is_some())?;
    let upstream = Arc::new(upstream.counting(&foundation.peer_counts));
    let access = match config.offline {
        true => Access::offline(&config.auth, keys(config)?),
        false => Access::new(&config.auth).with_service_credential(service),
    };
    let access = Arc::new(access.counting(Arc::clone(&foundation.grant_counts)));
    let sources = sources(config, bases, private_names(config)?)?;
    let parts = Parts {
        upstream: Arc::clone(&upstream),
        access: Arc::clone(&access),
        page_store: store.pages.clone(),
        sidecars: Arc::clone(&store.sidecars),
        ahead: if config.offline {
            0
        } else {
            config.metadata.prefetch
        },
        written: Arc::clone(&foundation.written),
        held: config.offline.then(|| store.holdings()),
    };
    let pages = Pages::new(config.index.clone(), sources, parts);
    let parts = file::Parts {
        upstream: Arc::clone(&upstream),
        access: Arc::clone(&access),
        store: Arc::clone(&store),
        running: Arc::clone(&foundation.running_flights),
        counts: Arc::clone(&foundation.flight_counts),
    };
    let files = Files::new(config.files, config.metadata, adopting(config), parts);
    let idle = config.limits.body_timeout.0;
    let uploads = Uploads::new(
        Arc::clone(&upstream),
        Arc::clone(&pages),
        idle,
        config.path_prefix(),
    );
    let upkeep = Arc::new(Upkeep::new(
        Arc::clone(&store),
        Arc::clone(&pages),
        Arc::clone(&foundation.taking),
    ));
    let signers = Some(&config.import.allowed_signers)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    let exchange = Arc::new(Exchange::new(
        Arc::clone(&store),
        Arc::clone(&pages),
        signers,
    ));
    let readings = readings::Sources {
        access: Arc::clone(&access),
        files: Arc::clone(&files),
        pages: Arc::clone(&pages),
        store: Arc::clone(&store),
        upstream: Arc::clone(&upstream),
        certificates,
    };
    let snapshot = {
        let looked = Looked {
            begun: foundation.begun,
            opened: opened.to_vec(),
            pages: Arc::clone(&pages),
            files: Arc::clone(&files),
            store: Arc::clone(&store),
            metrics: Arc::clone(&foundation.metrics),
        };
        let config = config.clone();
        move |gauges: &Gauges| snapshot::take(&config, gauges, &looked)
    };
    let admission = Admission::new(
        &config.limits,
        config.own_names(),
        via,
        before.map(|before| &before.admission),
    );
    Ok(Services {
        admission,
        access,
        pages,
        files,
        uploads,
        limits: config.limits,
        upkeep,
        exchange,
        metrics: Arc::clone(&foundation.metrics),
        gauges: Box::new(move || readings.look()),
        connections: Arc::clone(&foundation.connections),
        shutdown: foundation.shutdown.clone(),
        snapshot: Arc::new(snapshot),
        holdings: store.holdings(),
        path_prefix: config.path_prefix(),
    })
}

/// What `larder explain` stands on.
///
/// # Errors
/// What is wrong with the configuration.
pub fn ground(config: &Config) -> Result<Ground, StartError> {
    let bases = bases(config)?;
    let mirrors = config
        .mirrors
        .iter()
        .map(|(name, section)| Ok((mirror_base(name, section)?, section.clone())));
    Ok(Ground {
        listen: config.first_address(),
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
        auth: config.auth.clone(),
        proxies: ProxyEnvironment::of_process(),
    })
}

/// For how long `larder doctor` waits for anybody.
const EXAMINED_FOR: Duration = Duration::from_secs(5);

/// What `larder doctor` looks at. `credential` is the operator's, in whose name GitLab is asked.
///
/// # Errors
/// What is wrong with the configuration.
pub fn patient(config: &Config, credential: Credential) -> Result<Patient, StartError> {
    let faults = unusable_files(config);
    if !faults.is_empty() {
        return Err(StartError::Setting(faults.join("\n")));
    }
    let impatient = impatient(config);
    let bases = bases(&impatient)?;
    let via = HeaderValue::from_static("1.1 larder-doctor");
    let own = if config.offline {
        None
    } else {
        service(config)?
    };
    let ways = (!config.offline).then(|| ways(config)).transpose()?;
    Ok(Patient {
        ways,
        ground: ground(config)?,
        upstream: Arc::new(upstreams(&impatient, &bases, &via, false)?),
        credential: if credential.is_anonymous() {
            own.unwrap_or_default()
        } else {
            credential
        },
        limit: EXAMINED_FOR,
        cache_size: config.cache_size.0,
        connections: config.limits.connections,
        page_memory: config.index.memory.0,
        certificate: certificate_validity(config)?,
    })
}

fn ways(config: &Config) -> Result<Ways, StartError> {
    let environment = ProxyEnvironment::of_process();
    let mirror = |(name, section): (&String, &MirrorConfig)| {
        transport(
            &format!("mirrors.{name}"),
            &section.transport(),
            &environment,
        )
    };
    Ok(Ways {
        gitlab: transport("gitlab", &config.gitlab.transport(), &environment)?,
        mirrors: config
            .mirrors
            .iter()
            .map(mirror)
            .collect::<Result<_, _>>()?,
    })
}

/// The same configuration, waiting less and trying once.
fn impatient(config: &Config) -> Config {
    let mut config = config.clone();
    let at_most = |span: &mut crate::values::quantity::Span| span.0 = span.0.min(EXAMINED_FOR);
    let gitlab = &mut config.gitlab;
    gitlab.retries = 0;
    [
        &mut gitlab.connect_timeout,
        &mut gitlab.header_timeout,
        &mut gitlab.idle_timeout,
    ]
    .into_iter()
    .for_each(at_most);
    for mirror in config.mirrors.values_mut() {
        mirror.retries = 0;
        [
            &mut mirror.connect_timeout,
            &mut mirror.header_timeout,
            &mut mirror.idle_timeout,
        ]
        .into_iter()
        .for_each(at_most);
    }
    config
}

/// The mirrors whose files without a sha256 are kept.
fn adopting(config: &Config) -> HashSet<Scope> {
    let kept = config
        .mirrors
        .iter()
        .filter(|(_, mirror)| mirror.unhashed_files == UnhashedFiles::Store);
    kept.filter_map(|(name, _)| Scope::mirror(name)).collect()
}

/// In whose name a command asks the daemon.
///
/// # Errors
/// What is wrong with the token's file.
pub fn caller(user: Option<&str>, token_file: Option<&Path>) -> Result<Credential, StartError> {
    let Some(path) = token_file else {
        return Ok(Credential::anonymous());
    };
    let token = read_token("--token-file", path)?;
    Ok(match user {
        Some(user) => Credential::basic(user, &token),
        None => Credential::service(&token),
    })
}

/// What is wrong with the files that the configuration names, a line each.
pub fn unusable_files(config: &Config) -> Vec<String> {
    let environment = ProxyEnvironment::of_process();
    let unusable = |section: &str, config: TransportConfig<'_>, url: Result<Url, StartError>| {
        let transport = match transport(section, &config, &environment) {
            Ok(transport) => transport,
            Err(why) => return Some(why),
        };
        let lack = url.map(|url| transport.lack(&url));
        lack.map_or_else(Some, |lack| {
            lack.map(|why| StartError::Setting(format!("{section}.ca_file: {why}")))
        })
    };
    let url = bases(config).and_then(|bases| gitlab_url(&bases));
    let gitlab = unusable("gitlab", config.gitlab.transport(), url);
    let mirrors = config.mirrors.iter().flat_map(|(name, section)| {
        let title = format!("mirrors.{name}");
        let url = mirror_base(name, section).map(|base| base.index().clone());
        [
            token(&title, &section.token_file).err(),
            unusable(&title, section.transport(), url),
        ]
    });
    // Offline nobody is asked: what only they would need is not even opened.
    let asked = if config.offline {
        Vec::new()
    } else {
        vec![service(config).err(), gitlab]
    };
    let asked = asked.into_iter().chain(mirrors.filter(|_| !config.offline));
    let signers = unreadable_signers(config);
    let faults = asked.chain([
        signers,
        keys(config).err(),
        certificate_validity(config).err(),
    ]);
    faults.flatten().map(|why| why.to_string()).collect()
}

/// The certificate and key of `[tls]`, if there are any.
fn certificates(config: &Config) -> Result<Option<Arc<Certificates>>, StartError> {
    let wanted = config
        .tls
        .has_certificate()
        .then(|| Certificates::open(&config.tls));
    wanted
        .transpose()
        .map_err(|why| StartError::Setting(why.to_string()))
}

/// The dates of the certificate of `[tls]`, if there is one and they can be read.
///
/// # Errors
/// When it or its key is no good.
pub fn certificate_validity(config: &Config) -> Result<Option<Validity>, StartError> {
    let checked = config
        .tls
        .has_certificate()
        .then(|| Certificates::check(&config.tls));
    Ok(checked
        .transpose()
        .map_err(|why| StartError::Setting(why.to_string()))?
        .flatten())
}

/// What is wrong with the file of allowed signers, if one is named.
fn unreadable_signers(config: &Config) -> Option<StartError> {
    let path = Some(&config.import.allowed_signers).filter(|path| !path.is_empty())?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a setting that lives in a file of its own"
    )]
    let why = fs::read(path).err()?;
    Some(StartError::Setting(format!(
        "import.allowed_signers: {path}: {why}"
    )))
}

fn bases(config: &Config) -> Result<Bases, StartError> {
    let base =
        |url: &str| Base::parse(url).map_err(|why| StartError::Setting(format!("{url}: {why}")));
    let others = config
        .gitlab
        .external_urls
        .iter()
        .map(|url| base(url))
        .collect::<Result<_, _>>()?;
    Ok(Bases::new(base(&config.gitlab.url)?, others))
}

fn private_names(config: &Config) -> Result<PrivateNames, StartError> {
    PrivateNames::parse(&config.private_packages)
        .map_err(|why| StartError::Setting(why.to_string()))
}

/// The operator's own credential, if there is one.
fn service(config: &Config) -> Result<Option<Credential>, StartError> {
    Ok(token("gitlab", &config.gitlab.token_file)?.map(|token| Credential::service(&token)))
}

/// Who gets GitLab's packages offline.
fn keys(config: &Config) -> Result<OfflineKeys, StartError> {
    let auth = &config.auth;
    let mut keys = OfflineKeys::new(auth.offline);
    for (key, path, add) in [
        (
            "auth.offline_users",
            &auth.offline_users,
            OfflineKeys::with_users as fn(OfflineKeys, &[u8]) -> _,
        ),
        (
            "auth.offline_tokens",
            &auth.offline_tokens,
            OfflineKeys::with_tokens,
        ),
    ] {
        if path.is_empty() {
            continue;
        }
        let fault =
            |why: &dyn std::fmt::Display| StartError::Setting(format!("{key}: {path}: {why}"));
        let file = SecretFile::read(Path::new(path)).map_err(|why| fault(&why))?;
        keys = add(keys, &file.text).map_err(|why| fault(&why))?;
    }
    Ok(keys)
}

/// What the index room has to know of GitLab and of each mirror.
fn sources(config: &Config, bases: Bases, private: PrivateNames) -> Result<Sources, StartError> {
    let pages = |(name, section): (&String, &MirrorConfig)| {
        let base = mirror_base(name, section)?;
        Ok(MirrorPages {
            base,
            ttl: section.ttl.0,
            min_age: section.min_age.0,
        })
    };
    let mirrors = config
        .mirrors
        .iter()
        .map(pages)
        .collect::<Result<Vec<_>, StartError>>()?;
    Ok(Sources::new(bases, mirrors, private, &config.path_prefix()))
}
