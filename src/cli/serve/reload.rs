//! SIGHUP: the configuration is read again, from where it was read at the start.
//!
//! Owns what the log and the numbers are told of it. Must not know how a configuration comes into
//! force.

use crate::app::App;
use crate::cli::error::CommandError;
use crate::cli::invocation::Invocation;
use crate::values::clock;
use crate::values::correlation;

/// Brings the configuration as it is now into force, or leaves everything as it is.
pub async fn reload(app: &mut App, invocation: &Invocation) {
    let invocation = invocation.looked_for_again();
    let loaded = correlation::spawn_blocking(move || invocation.config()).await;
    let done = match loaded {
        Ok(Ok(config)) => app.reload(config).await.map_err(|why| why.to_string()),
        Ok(Err(CommandError::Config(faults))) => Err(faults),
        Ok(Err(why)) => Err(why.to_string()),
        Err(why) => Err(format!("larder failed at reading it: {why}")),
    };
    let services = app.active().services();
    let metrics = &services.admin.metrics;
    match done {
        Ok(waiting) => {
            metrics.config_taken(clock::wall());
            for key in waiting {
                tracing::warn!(
                    key,
                    "this key has changed and needs a restart: until then it stays as it was"
                );
            }
            tracing::info!("the configuration was read again and is in force");
        }
        Err(faults) => {
            metrics.config_refused(clock::now());
            for fault in faults.lines() {
                tracing::error!(
                    error = fault,
                    "the new configuration is no good: the one before stays in force"
                );
            }
        }
    }
}
