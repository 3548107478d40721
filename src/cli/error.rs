//! Why a command did not come to its end, and the exit code that says so.
//!
//! Owns the exit codes. Must not know any command.

use std::fmt::Display;
use std::io;

use crate::airgap::SignatureError;
use crate::airgap::bundle::{BundleError, PartError};
use crate::app::StartError;
use crate::control::ClientError;

/// The answer is no, or the work failed.
pub const NO: u8 = 1;

/// Arguments that mean nothing, as clap has it.
const BAD_USAGE: u8 = 2;

/// Bad configuration, `EX_CONFIG` of sysexits(3): scripts tell it from a daemon that could not
/// start.
const BAD_CONFIG: u8 = 78;

/// Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// The reader of the output left before its end, as shells have it for SIGPIPE.
const CLOSED_OUTPUT: u8 = 141;

/// The exit code of a command that came to its end.
pub type CommandResult = Result<u8, CommandError>;

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Parts(#[from] PartError),
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The answer is no, and why.
    #[error("{0}")]
    Refused(String),
    /// The arguments are to blame.
    #[error("{0}")]
    Usage(String),
    #[error("bad configuration\n{0}")]
    Config(String),
    /// Ctrl-C or SIGTERM; what was done by then.
    #[error("interrupted: {0}")]
    Interrupted(String),
}

impl CommandError {
    pub fn usage(why: impl Display) -> Self {
        Self::Usage(why.to_string())
    }

    pub fn config(why: impl Display) -> Self {
        Self::Config(why.to_string())
    }

    pub fn refused(why: impl Display) -> Self {
        Self::Refused(why.to_string())
    }

    /// Of a command that fails only by what the arguments name.
    pub fn of_arguments(why: ClientError) -> Self {
        match why {
            ClientError::Failed(why) => Self::Usage(why),
            why => why.into(),
        }
    }

    /// Whether standard output takes no more, because its reader has gone.
    pub fn is_closed_output(&self) -> bool {
        matches!(self, Self::Output(why) if why.kind() == io::ErrorKind::BrokenPipe)
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            _ if self.is_closed_output() => CLOSED_OUTPUT,
            Self::Usage(_) => BAD_USAGE,
            Self::Config(_) => BAD_CONFIG,
            Self::Start(why) if why.is_config() => BAD_CONFIG,
            Self::Interrupted(_) => INTERRUPTED,
            _ => NO,
        }
    }
}
