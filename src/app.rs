//! The only place where concrete parts meet.
//!
//! Owns the order of construction and of stopping. Must not contain behaviour of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderValue;
use tokio::task::JoinHandle;

use crate::access::{Access, Credential};
use crate::config::{Config, ConfigError};
use crate::digest;
use crate::file::Files;
use crate::index::Pages;
use crate::registry::{Base, Bases};
use crate::server::{Listener, Services, Shutdown};
use crate::store::{Store, StoreError};
use crate::telemetry::{Gauges, Metrics};
use crate::upload::Uploads;
use crate::upstream::{StoreOrigins, Upstream};

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

        let base = |url: &str| Base::parse(url).map_err(|why| StartError::Setting(format!("{url}: {why}")));
        let asked = base(&config.gitlab.url)?;
        let gitlab = asked.to_string();
        let others = config.gitlab.external_urls.iter().map(|url| base(url)).collect::<Result<_, _>>()?;
        let stores = StoreOrigins::parse(&config.gitlab.store_origins).map_err(StartError::Setting)?;
        let via = HeaderValue::try_from(format!("1.1 larder-{:08x}", rand::random::<u32>()))
            .map_err(|why| StartError::Setting(why.to_string()))?;
        let service = service_token(&config)?;
        let upstream =
            Upstream::new(&config.gitlab, Bases::new(asked, others), stores, via.clone(), service.is_some())
                .map_err(StartError::Setting)?;
        let upstream = Arc::new(upstream);

        let access = Arc::new(Access::new(&config.access));
        let pages = Pages::new(
            config.index.clone(),
            Arc::clone(&upstream),
            Arc::clone(&access),
            Some(store.pages.clone()),
            &config.path_prefix(),
        );
        let files = Files::new(config.files, Arc::clone(&upstream), Arc::clone(&access), Arc::clone(&store));
        let uploads = Uploads::new(Arc::clone(&upstream), Arc::clone(&pages), config.limits.body_timeout.0);
        let gauges = {
            let (pages, files, access) = (Arc::clone(&pages), Arc::clone(&files), Arc::clone(&access));
            let ledger = Arc::clone(store.blobs.ledger());
            move || Gauges {
                downloads: files.downloading() as u64,
                page_loads: pages.loading() as u64,
                grants: access.count(),
                store_bytes: ledger.taken(),
                store_budget_bytes: ledger.budget(),
            }
        };
        let services = Arc::new(Services {
            access,
            upstream,
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

fn service_token(config: &Config) -> Result<Option<Credential>, StartError> {
    let path = &config.gitlab.token_file;
    if path.is_empty() {
        return Ok(None);
    }
    let fault = |why: &str| StartError::Setting(format!("gitlab.token_file: {path}: {why}"));
    #[expect(clippy::disallowed_methods, reason = "a setting that lives in a file of its own")]
    let text = fs::read(path).map_err(|why| fault(&why.to_string()))?;
    let token = text.trim_ascii();
    if token.is_empty() || HeaderValue::from_bytes(token).is_err() {
        return Err(fault("is not a token"));
    }
    Ok(Some(Credential::service(token)))
}
