//! What may be asked of the daemon.
//!
//! Each command is a type of its own beside its events. Must not know how it is sent.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Commands are below this path, on the control socket only.
pub const CONTROL_PATH: &str = "/-/control/";

/// One command: `POST /-/control/NAME` with this as its JSON body.
pub trait Command: Serialize + DeserializeOwned + Send + 'static {
    const NAME: &'static str;
    /// What is told while it is carried out.
    type Event: Serialize + DeserializeOwned + Send + 'static;
}
