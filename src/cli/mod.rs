//! The command line.
//!
//! Owns the arguments and what commands print. Must not know how the daemon is put together: a command is handed what
//! it needs.

mod arguments;
mod banner;
mod bytes;
mod commands;
mod completions;
mod config;
mod doctor;
mod explain;
mod export;
mod gc;
mod health;
mod import;
mod lines;
mod log_level;
mod ls;
mod man;
mod progress;
mod purge;
mod refresh;
mod revoke;
mod rewrite_lock;
mod serve;
mod stats;
mod verify;
mod warm;

pub use arguments::{Cli, Command, ServeArguments};
pub use banner::banner;
pub use bytes::in_units;
pub use commands::run as run_command;
pub use completions::{CompletionsArguments, completions};
pub use config::{ConfigCommand, ConfigInitArguments, ConfigShowArguments, config_init};
pub use doctor::{DoctorArguments, doctor};
pub use explain::{ExplainArguments, Told, explain};
pub use export::{ExportArguments, export};
pub use gc::{GcArguments, gc};
pub use health::{HealthArguments, health};
pub use import::{ImportArguments, import};
pub use lines::{CommandError, json_line, say};
pub use log_level::{LogLevelArguments, log_level};
pub use ls::{LsArguments, ls};
pub use man::{ManArguments, man};
pub use progress::HowFar;
pub use purge::{PurgeArguments, purge};
pub use refresh::{RefreshArguments, refresh};
pub use revoke::{RevokeArguments, revoke};
pub use rewrite_lock::{RewriteLockArguments, RewrittenLock, rewrite_lock};
pub use serve::run as serve;
pub use stats::{StatsArguments, stats};
pub use verify::{VerifyArguments, verify};
pub use warm::{Prepared, WarmArguments, prepare, record, warm};
