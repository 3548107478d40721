//! The only place where concrete parts meet.
//!
//! Owns the order of construction and of stopping. Must not contain behaviour of its own.

pub mod address;
mod command_context;
pub mod config;
mod doctor_input;
mod error;
mod file_check;
mod lifecycle;
mod reach;
mod settings;
mod shared;
mod token_file;
mod upstreams;

use std::path::PathBuf;
use std::sync::Arc;

use crate::access::Access;
use crate::admin::{Admin, Maintenance, Observed};
use crate::airgap::Exchange;
use crate::app::config::Config;
use crate::file::{self, Files};
use crate::index::{PageDependencies, Pages};
use crate::server::{Admission, Certificates, ListenAddress, Services};
use crate::upload::Uploads;
pub use command_context::{CommandContext, command_context};
pub use doctor_input::{DoctorInput, Transports, doctor_input};
pub use error::StartError;
pub use file_check::unusable_files;
pub use lifecycle::App;
pub use reach::{Reached, reach};
pub use settings::certificate_validity;
use settings::{
    bases, mirrors_kept_unhashed, offline_keys, service_credential, sources, status_settings,
};
use shared::Shared;
pub use token_file::command_credential;
use upstreams::upstreams;

/// All parts of one configuration, put together and idle, on what outlives it. `opened` is where clients come in, and what
/// those are shown who speak TLS; `before` are those they follow.
fn services(
    shared: &Shared,
    config: &Config,
    (opened, certificates): (&[ListenAddress], Option<Arc<Certificates>>),
    before: Option<&Services>,
) -> Result<Services, StartError> {
    let store = Arc::clone(&shared.store);
    let via = shared.via.clone();
    let bases = bases(config)?;
    // Offline GitLab is not asked, and the operator's files judge each caller by its own credential.
    let service = service_credential(config)?;
    let upstream = upstreams(config, &bases, &via, service.is_some())?;
    let upstream = Arc::new(upstream.counting(&shared.peer_counts));
    let access = match config.offline {
        true => Access::offline(&config.auth, offline_keys(config)?),
        false => Access::new(&config.auth).with_service_credential(service),
    };
    let access = Arc::new(access.counting(Arc::clone(&shared.grant_counts)));
    let sources = sources(config)?;
    let dependencies = PageDependencies {
        upstream: Arc::clone(&upstream),
        access: Arc::clone(&access),
        page_store: store.pages.clone(),
        sidecars: Arc::clone(&store.sidecars),
        prefetch: if config.offline {
            0
        } else {
            config.metadata.prefetch
        },
        changes: Arc::clone(&shared.changes),
        held: config.offline.then(|| store.holdings()),
    };
    let pages = Pages::new(config.index.clone(), sources, dependencies);
    let dependencies = file::FileDependencies {
        upstream: Arc::clone(&upstream),
        access: Arc::clone(&access),
        store: Arc::clone(&store),
        running: Arc::clone(&shared.running_downloads),
        counts: Arc::clone(&shared.download_counts),
    };
    let files = Files::new(
        config.files,
        config.metadata,
        mirrors_kept_unhashed(config),
        dependencies,
    );
    let idle = config.limits.body_timeout.0;
    let uploads = Uploads::new(
        Arc::clone(&upstream),
        Arc::clone(&pages),
        idle,
        config.path_prefix(),
    );
    let maintenance = Arc::new(Maintenance::new(
        Arc::clone(&store),
        Arc::clone(&pages),
        Arc::clone(&shared.taking),
    ));
    let signers = Some(&config.import.allowed_signers)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    let exchange = Arc::new(Exchange::new(
        Arc::clone(&store),
        Arc::clone(&pages),
        signers,
    ));
    let observed = Observed {
        access: Arc::clone(&access),
        files: Arc::clone(&files),
        pages: Arc::clone(&pages),
        store,
        upstream,
        metrics: Arc::clone(&shared.metrics),
        certificate: Box::new(move || certificates.as_ref()?.validity()),
        shutdown: shared.shutdown.clone(),
    };
    let settings = status_settings(config, shared.begun, opened);
    let admin = Admin::new(observed, settings, maintenance);
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
        admin: Arc::new(admin),
        exchange,
    })
}
