//! A sign of life for the service manager, given only while the daemon really answers.
//!
//! Owns how often. A daemon that hangs stays silent, and the manager starts another one. Must not
//! know what an answer is.

use std::sync::Arc;
use std::time::Duration;

use super::manager;
use crate::server::{ActiveServices, answers};

/// Of the time that the daemon may be silent: after this part it is asked again, and so much it has
/// to answer.
const PARTS: u32 = 3;

/// Gives a sign of life again and again; `silence` is the longest that the manager bears.
pub async fn keep_content(active: Arc<ActiveServices>, silence: Duration) {
    let part = silence / PARTS;
    loop {
        if answers(Arc::clone(&active), part).await {
            manager::alive();
            tokio::time::sleep(part).await;
        } else {
            tracing::error!(
                "the daemon does not answer itself: its service manager is not told that it lives"
            );
            // Soon again: what was said last is a good part of the silence ago.
            tokio::time::sleep(part / PARTS).await;
        }
    }
}
