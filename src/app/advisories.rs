//! The records of advisories that a configuration names: read, and looked at for as long as
//! services use them.
//!
//! Must not know what follows from a record.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::app::config::Config;
use crate::registry::{AdvisoryFeed, AdvisoryRule, PolicyConfig};
use crate::store::{AdvisoryError, AdvisoryPaths, AdvisoryRecords, imported_advisories};
use crate::values::correlation;

/// In place of a path: what a bundle brought.
const IMPORTED: &str = "imported";

/// The records in use, which outlive a reload that leaves them as they are.
#[derive(Default)]
pub struct ActiveAdvisories(Mutex<Option<(PolicyConfig, Arc<AdvisoryRecords>)>>);

impl ActiveAdvisories {
    /// The records of a configuration, read if they are not yet. What cannot be read is said in the
    /// log, and there are no records until it can. Blocks.
    pub(super) fn of(&self, config: &Config) -> Option<Arc<AdvisoryRecords>> {
        let mut active = self.0.lock();
        if let Some((policy, records)) = &*active
            && is_same_feed(policy, &config.policy)
        {
            return Some(Arc::clone(records));
        }
        *active = None;
        let records = records(config)?;
        if let Err(why) = records.load() {
            tracing::error!(error = %why, "the advisories cannot be read");
        }
        look_after(&records);
        *active = Some((config.policy.clone(), Arc::clone(&records)));
        Some(records)
    }
}

fn is_same_feed(one: &PolicyConfig, other: &PolicyConfig) -> bool {
    one.advisories == other.advisories
        && one.own_advisories == other.own_advisories
        && one.advisories_max_age == other.advisories_max_age
        && one.advisories_on_stale == other.advisories_on_stale
}

/// The records that a configuration names, not read yet.
pub fn records(config: &Config) -> Option<Arc<AdvisoryRecords>> {
    let policy = &config.policy;
    let feed = match policy.advisories.as_str() {
        "" => None,
        IMPORTED => Some(imported_advisories(&config.cache_dir().ok()?)),
        path => Some(PathBuf::from(path)),
    };
    let own = match policy.own_advisories.as_str() {
        "" => None,
        path => Some(PathBuf::from(path)),
    };
    let paths = AdvisoryPaths { feed, own };
    if paths.is_empty() {
        return None;
    }
    let feed = AdvisoryFeed::new(policy.advisories_max_age.0, policy.advisories_on_stale);
    Some(Arc::new(AdvisoryRecords::new(paths, Arc::new(feed))))
}

/// What follows from these records by a configuration.
pub fn rule(config: &Config, records: Option<&AdvisoryRecords>) -> AdvisoryRule {
    AdvisoryRule {
        feed: records.map(|records| Arc::clone(&records.feed)),
        vulnerable: config.policy.vulnerable,
        min_severity: config.policy.min_severity,
    }
}

/// Reads the records of a configuration for a command.
///
/// # Errors
/// When they cannot be read.
pub fn read_records(config: &Config) -> Result<Option<Arc<AdvisoryRecords>>, AdvisoryError> {
    let Some(records) = records(config) else {
        return Ok(None);
    };
    records.load()?;
    Ok(Some(records))
}

/// Looks whether the records change, until nothing uses them.
fn look_after(records: &Arc<AdvisoryRecords>) {
    let records = Arc::downgrade(records);
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with the records, and holds nothing up"
    )]
    tokio::spawn(async move {
        loop {
            let Some(looking) = records.upgrade() else {
                return;
            };
            let looked = correlation::spawn_blocking(move || looking.look()).await;
            // A panic was logged where it happened.
            let Ok(wait) = looked else { return };
            tokio::time::sleep(wait).await;
        }
    });
}
