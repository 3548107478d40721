//! All services of one configuration, put together and idle.
//!
//! The only place where concrete parts meet. Must not contain behaviour of its own.

use std::path::PathBuf;
use std::sync::Arc;

use super::advisories::rule;
use super::error::StartError;
use super::mirrors::{KnownMirror, awaits_parent, known_mirrors};
use super::settings::{
    bases, dates_credential, mirrors_kept_unhashed, offline_keys, service_credential, sources,
    status_settings, swap,
};
use super::shared::Shared;
use super::upstreams::upstreams;
use crate::access::Access;
use crate::admin::{Admin, Maintenance, Observed};
use crate::airgap::BundleService;
use crate::app::config::Config;
use crate::file::{FileDependencies, Files};
use crate::index::{DatesDependencies, PageDependencies, Pages, UploadDates};
use crate::server::{Admission, Certificates, ListenAddress, LockRewriter, OsvService, Services};
use crate::store::AdvisoryRecords;
use crate::upload::Uploads;
use crate::upstream::Upstream;

/// Where clients come in.
pub struct Entrances<'a> {
    pub opened: &'a [ListenAddress],
    /// Shown to clients that speak TLS.
    pub certificates: Option<Arc<Certificates>>,
}

impl Entrances<'_> {
    /// A daemon inside a command is reached over its control socket alone.
    pub const NONE: Self = Self {
        opened: &[],
        certificates: None,
    };
}

/// The parts that the services share.
struct Parts<'a> {
    shared: &'a Shared,
    config: &'a Config,
    mirrors: Vec<KnownMirror>,
    upstream: Arc<Upstream>,
    access: Arc<Access>,
    advisories: Option<Arc<AdvisoryRecords>>,
}

/// Builds the services on what outlives a configuration; `before` are those that they follow.
///
/// # Errors
/// What is wrong with the configuration.
pub fn services(
    shared: &Shared,
    config: &Config,
    entrances: Entrances<'_>,
    before: Option<&Services>,
) -> Result<Services, StartError> {
    let parts = Parts::new(shared, config)?;
    let pages = parts.pages()?;
    let files = parts.files();
    if !entrances.opened.is_empty() {
        files.start_uploads();
    }
    let uploads = Uploads::new(
        Arc::clone(&parts.upstream),
        Arc::clone(&pages),
        config.limits.body_timeout.0,
        config.path_prefix(),
    );
    let admission = Admission::new(
        &config.limits,
        config.own_names(),
        shared.via.clone(),
        before.map(|before| &before.admission),
    );
    let configuration = Arc::new(config.in_force(entrances.opened)?);
    Ok(Services {
        admission,
        configuration,
        admin: Arc::new(parts.admin(&pages, &files, entrances)),
        exchange: Arc::new(parts.exchange(&pages)),
        access: parts.access,
        pages,
        files,
        uploads,
        lock_rewriter: LockRewriter::new(swap(config, &parts.mirrors)?, &config.limits),
        osv: OsvService::new(parts.advisories, &config.limits),
        limits: config.limits,
    })
}

impl<'a> Parts<'a> {
    fn new(shared: &'a Shared, config: &'a Config) -> Result<Self, StartError> {
        // Offline GitLab is not asked, and the operator's files judge each caller by its own
        // credential.
        let service = service_credential(config)?;
        let facts = shared.store.learned.facts();
        let mirrors = known_mirrors(config, &facts)?;
        let has_service = service.is_some();
        let upstream = upstreams(config, &bases(config)?, &shared.via, has_service, &mirrors)?
            .awaiting_parent(awaits_parent(config, &facts))
            .judging_parents_by(Arc::clone(&shared.parents));
        let access = if config.offline {
            Access::offline(&config.auth, offline_keys(config)?)
        } else {
            Access::new(&config.auth).with_service_credential(service)
        };
        Ok(Self {
            shared,
            config,
            mirrors,
            upstream: Arc::new(upstream.counting(&shared.peer_counts)),
            access: Arc::new(access.counting(Arc::clone(&shared.grant_counts))),
            advisories: shared.advisories.of(config),
        })
    }

    fn pages(&self) -> Result<Arc<Pages>, StartError> {
        let Self { shared, config, .. } = self;
        let store = &shared.store;
        let dependencies = PageDependencies {
            upstream: Arc::clone(&self.upstream),
            access: Arc::clone(&self.access),
            page_store: store.pages.clone(),
            metadata_index: Arc::clone(&store.metadata_index),
            learned: Arc::clone(&store.learned),
            prefetch: if config.offline {
                0
            } else {
                config.metadata.prefetch
            },
            changes: Arc::clone(&shared.changes),
            dates: self.dates()?,
            policy_counts: Arc::clone(&shared.policy_counts),
            page_counts: Arc::clone(&shared.page_counts),
            view_counts: Arc::clone(&shared.view_counts),
            held: config.offline.then(|| store.holdings()),
        };
        Ok(Pages::new(
            config.index.clone(),
            sources(
                config,
                &self.mirrors,
                &store.learned.facts(),
                rule(config, self.advisories.as_deref()),
            )?,
            dependencies,
        ))
    }

    fn dates(&self) -> Result<Arc<UploadDates>, StartError> {
        let config = self.config;
        // A parent's pages tell what it was told.
        let asks = config.index.upload_dates && !config.offline && !config.has_parent();
        let dependencies = DatesDependencies {
            upstream: Arc::clone(&self.upstream),
            access: Arc::clone(&self.access),
            store: Arc::clone(&self.shared.store.dates),
            token: dates_credential(config)?,
            asks,
            by_file: !config.gitlab.min_age.0.is_zero(),
            counts: Arc::clone(&self.shared.dates_counts),
        };
        Ok(UploadDates::new(&config.index, dependencies))
    }

    fn files(&self) -> Arc<Files> {
        let Self { shared, config, .. } = self;
        let dependencies = FileDependencies {
            upstream: Arc::clone(&self.upstream),
            access: Arc::clone(&self.access),
            store: Arc::clone(&shared.store),
            running: Arc::clone(&shared.running_downloads),
            counts: Arc::clone(&shared.download_counts),
            shared_store_counts: Arc::clone(&shared.shared_store_counts),
            distrusted: Arc::clone(&shared.distrusted),
        };
        let unhashed = mirrors_kept_unhashed(config);
        Files::new(config.files, config.metadata, unhashed, dependencies)
    }

    fn exchange(&self, pages: &Arc<Pages>) -> BundleService {
        let signers = match self.config.import.allowed_signers.as_str() {
            "" => None,
            path => Some(PathBuf::from(path)),
        };
        let remaking = Arc::clone(&self.shared.remaking);
        BundleService::new(
            Arc::clone(&self.shared.store),
            Arc::clone(pages),
            signers,
            Box::new(move || remaking.wait()),
        )
    }

    fn admin(&self, pages: &Arc<Pages>, files: &Arc<Files>, entrances: Entrances<'_>) -> Admin {
        let shared = self.shared;
        let certificates = entrances.certificates;
        let observed = Observed {
            access: Arc::clone(&self.access),
            files: Arc::clone(files),
            pages: Arc::clone(pages),
            store: Arc::clone(&shared.store),
            upstream: Arc::clone(&self.upstream),
            metrics: Arc::clone(&shared.metrics),
            parents: Arc::clone(&shared.parents),
            advisories: self.advisories.clone(),
            certificate: Box::new(move || certificates.as_ref()?.validity()),
            shutdown: shared.shutdown.clone(),
        };
        let remaking = Arc::clone(&shared.remaking);
        let maintenance = Arc::new(Maintenance::new(
            Arc::clone(&shared.store),
            Arc::clone(pages),
            Arc::clone(files),
            Arc::clone(&shared.taking),
            Box::new(move || remaking.wait()),
        ));
        let settings = status_settings(self.config, &self.mirrors, shared.begun, entrances.opened);
        Admin::new(observed, settings, maintenance)
    }
}
