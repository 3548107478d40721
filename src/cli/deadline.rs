//! How long a command waits for an answer.
//!
//! Must not know what was asked.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::timeout;

/// # Errors
/// A sentence: the answer's own fault, or that none came in time.
pub async fn in_time<T, E: Display>(
    limit: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match timeout(limit, answer).await {
        Ok(answered) => answered.map_err(|why| why.to_string()),
        Err(_) => {
            let limit = humantime::format_duration(limit);
            Err(format!("no answer within {limit}"))
        }
    }
}
