//! The word that the daemon stops, for all who serve.
//!
//! Must not know what they do about it.

use std::sync::Arc;

use tokio::sync::watch;

/// Tells a listener to stop.
#[derive(Clone)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Shutdown {
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    pub async fn begun(&self) {
        // The sender lives in self: waiting can only end well.
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }
}
