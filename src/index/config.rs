//! `[index]`: how long pages count, and how much is kept of them.
//!
//! Owns the section. Must not know pages.

use serde::{Deserialize, Serialize};

use crate::values::quantity::{Size, Span};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexConfig {
    /// A page younger than this is answered without asking.
    pub ttl: Span,
    /// For so long after that, it is answered once more while it is asked for again behind the
    /// answer.
    pub stale_while_revalidate: Span,
    /// So many uses since it was last asked for, and a page is renewed before it lapses. Zero never
    /// renews ahead.
    pub refresh_ahead_hits: u32,
    /// A page not older than this is served when upstream fails, to callers whose right still
    /// stands.
    pub stale_if_error: Span,
    /// A page larger than this passes through rewritten, but is kept nowhere.
    pub page_size: Size,
    /// Page requests to upstream at one time; further ones wait.
    pub max_fetches: usize,
    /// Prepared pages kept in memory.
    pub memory: Size,
    /// Pages read ahead of a caller's question that it has not asked for, at most. Zero reads none.
    pub read_ahead: usize,
    /// Whether GitLab is asked when the files of its pages were uploaded, and how large they are.
    pub upload_dates: bool,
    /// For so long an answer waits for them where `gitlab.min_age` is set.
    pub upload_dates_wait: Span,
    /// Requests for that in a minute; half of them may come at once.
    pub upload_dates_rate: u32,
    /// Pages whose files GitLab is asked about at one time.
    pub upload_dates_concurrency: usize,
    /// Pages that wait for it; further ones are left for the next time they are asked for.
    pub upload_dates_queue: usize,
    /// Requests for one page in one go; the next time it is asked for goes on from there.
    pub upload_dates_requests: u32,
}

impl IndexConfig {
    /// Of one caller: more than a wheel requires.
    pub const READ_AHEAD_MAX: usize = 64;
}

impl Default for IndexConfig {
    fn default() -> Self {
        Self {
            ttl: Span::seconds(30),
            stale_while_revalidate: Span::seconds(10),
            refresh_ahead_hits: 3,
            stale_if_error: Span::seconds(7 * 24 * 3600),
            page_size: Size::mebibytes(8),
            max_fetches: 64,
            memory: Size::mebibytes(32),
            read_ahead: 8,
            upload_dates: true,
            upload_dates_wait: Span::seconds(10),
            upload_dates_rate: 60,
            upload_dates_concurrency: 2,
            upload_dates_queue: 1024,
            upload_dates_requests: 2000,
        }
    }
}
