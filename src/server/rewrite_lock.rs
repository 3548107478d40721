//! `POST /-/rewrite-lock?to=URL`: a lock file with its addresses led to larder, for a machine that
//! has no binary of larder's.
//!
//! For every client, without a credential, because the answer has nothing that was not sent: `to`,
//! and the lock's own text with the beginnings of its URLs swapped. The other direction is the
//! command's alone (`larder rewrite-lock --to upstream`): it would tell where mirrors are. What one
//! request costs is bounded in bytes, in time and in number. Must not ask upstream, and must not
//! touch the store.

use std::fmt::Write as _;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::ServerLimits;
use crate::airgap::rewrite::{RewrittenUrls, form_of, rewrite};
use crate::registry::{Base, Swap, Swapped};
use crate::values::correlation;
use crate::values::quantity::Size;

/// Lock files in memory at one time.
const AT_ONCE: usize = 4;

/// An address of larder's; each URL of a lock may begin with it.
const ADDRESS_BYTES_MAX: usize = 255;

/// Hosts that a refusal names.
const HOSTS_NAMED: usize = 3;

/// How many URLs were changed, how many led to larder before, and how many were left alone.
const REWRITTEN_URLS: HeaderName = HeaderName::from_static("larder-rewritten-urls");

/// Rewrites lock files by one configuration.
pub struct LockRewriter {
    swap: Swap,
    size: Size,
    body_timeout: Duration,
    queue_timeout: Duration,
    room: Semaphore,
}

/// Why a lock file is not rewritten.
#[derive(Debug, thiserror::Error)]
pub enum LockRewriteError {
    #[error(
        "say where the lock's addresses are to lead, which is larder's address as the installing machine has it: ?to=http://larder.example:3141"
    )]
    NoAddress,
    #[error("`{0}` is larder's address without a path of an index, of at most 255 bytes: {1}")]
    Address(&'static str, String),
    #[error(
        "`to` is an address of larder's here: the way back is `larder rewrite-lock --to upstream`"
    )]
    Upstream,
    #[error("a lock file is at most {0} here (limits.lock_size)")]
    TooLarge(Size),
    #[error("other lock files are being rewritten: retry in a moment")]
    Busy,
    #[error("the lock file did not come whole")]
    BrokeOff,
    #[error("the lock file came too slowly (limits.body_timeout)")]
    TooSlow,
    #[error(
        "this is not text in UTF-8: send the lock file as it is, with curl --data-binary @uv.lock"
    )]
    NotText,
    #[error(
        "no URL in this lock is GitLab's or a mirror's, as larder is configured: they lead to {0}"
    )]
    AllForeign(String),
}

impl LockRewriteError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::AllForeign(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NoAddress
            | Self::Address(..)
            | Self::Upstream
            | Self::BrokeOff
            | Self::NotText => StatusCode::BAD_REQUEST,
        }
    }
}

impl LockRewriter {
    pub fn new(swap: Swap, limits: &ServerLimits) -> Self {
        Self {
            swap,
            size: limits.lock_size,
            body_timeout: limits.body_timeout.0,
            queue_timeout: limits.queue_timeout.0,
            room: Semaphore::new(AT_ONCE),
        }
    }

    /// The lock file in `body`, led to where `query` says.
    pub(super) async fn rewrite(
        &self,
        query: &str,
        body: Incoming,
    ) -> Result<Response<String>, LockRewriteError> {
        let addresses = Addresses::read(query)?;
        let room = timeout(self.queue_timeout, self.room.acquire()).await;
        // It is never closed.
        let _room = room.map_err(|_| LockRewriteError::Busy)?;
        let text = self.text_of(body).await?;
        let swap = self.swap.clone();
        let most = self.size;
        let work = correlation::spawn_blocking(move || addresses.rewrite(&text, swap, most));
        let done = work.await.map_err(|_| LockRewriteError::BrokeOff)?;
        Ok(answer(done?))
    }

    /// The text, unless it is too large, comes too slowly, or is none.
    async fn text_of(&self, body: Incoming) -> Result<String, LockRewriteError> {
        let most = self.size.bytes();
        if body.size_hint().lower() > self.size.0 {
            return Err(LockRewriteError::TooLarge(self.size));
        }
        let collected = timeout(self.body_timeout, Limited::new(body, most).collect()).await;
        let bytes = match collected.map_err(|_| LockRewriteError::TooSlow)? {
            Ok(whole) => whole.to_bytes(),
            Err(why) if why.is::<LengthLimitError>() => {
                return Err(LockRewriteError::TooLarge(self.size));
            }
            Err(_) => return Err(LockRewriteError::BrokeOff),
        };
        String::from_utf8(bytes.into()).map_err(|_| LockRewriteError::NotText)
    }
}

/// Where URLs are to lead, and an address of larder's that they may have now.
struct Addresses {
    to: Base,
    from: Option<Base>,
}

impl Addresses {
    fn read(query: &str) -> Result<Self, LockRewriteError> {
        let mut to = None;
        let mut from = None;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "to" if value == "upstream" => return Err(LockRewriteError::Upstream),
                "to" => to = Some(address("to", &value)?),
                "from" => from = Some(address("from", &value)?),
                _ => {}
            }
        }
        let to = to.ok_or(LockRewriteError::NoAddress)?;
        Ok(Self { to, from })
    }

    /// The lock, which may grow by as much as a lock may have.
    fn rewrite(
        self,
        text: &str,
        mut swap: Swap,
        most: Size,
    ) -> Result<RewrittenUrls, LockRewriteError> {
        swap.own_bases.extend(self.from);
        let mut grown = 0;
        let done = rewrite(form_of(text), text, &mut |url| {
            if grown > most.bytes() {
                return Swapped::Foreign;
            }
            let swapped = swap.to_larder(url, &self.to);
            if let Swapped::To(other) = &swapped {
                grown += other.len().saturating_sub(url.len());
            }
            swapped
        });
        if grown > most.bytes() {
            return Err(LockRewriteError::TooLarge(most));
        }
        if done.changed == 0 && done.already == 0 && !done.foreign.is_empty() {
            return Err(LockRewriteError::AllForeign(hosts(&done)));
        }
        Ok(done)
    }
}

fn address(name: &'static str, value: &str) -> Result<Base, LockRewriteError> {
    let why = match Base::parse(value) {
        _ if value.len() > ADDRESS_BYTES_MAX => "it is longer".to_owned(),
        Ok(base) if base.root().contains("/api/v4") || base.root().ends_with("/simple") => {
            "it has the path of an index".to_owned()
        }
        Ok(base) => return Ok(base),
        Err(why) => why.to_string(),
    };
    Err(LockRewriteError::Address(name, why))
}

/// Where the URLs of a lock lead, the first few of them.
fn hosts(done: &RewrittenUrls) -> String {
    let mut text = String::new();
    for (host, count) in done.foreign.iter().take(HOSTS_NAMED) {
        let separator = if text.is_empty() { "" } else { ", " };
        // To a text nothing can go wrong.
        let _ = write!(text, "{separator}{host} ({count})");
    }
    if done.foreign.len() > HOSTS_NAMED {
        text.push_str(", …");
    }
    text
}

fn answer(done: RewrittenUrls) -> Response<String> {
    let foreign: usize = done.foreign.values().sum();
    let counts = format!(
        "changed={}, already={}, foreign={foreign}",
        done.changed, done.already
    );
    let mut response = Response::new(done.text);
    let headers = response.headers_mut();
    // A browser shows it, and makes nothing of it.
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, plain);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(counts) = HeaderValue::try_from(counts) {
        headers.insert(REWRITTEN_URLS, counts);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Bases;

    fn swap() -> Swap {
        let gitlab = Base::parse("https://gitlab.example").expect("a base");
        Swap {
            bases: Bases::new(gitlab, Vec::new()),
            mirrors: Vec::new(),
            own_bases: Vec::new(),
        }
    }

    fn rewritten(query: &str, text: &str, most: u64) -> Result<String, String> {
        let addresses = Addresses::read(query).map_err(|why| why.to_string())?;
        match addresses.rewrite(text, swap(), Size(most)) {
            Ok(done) => Ok(done.text),
            Err(why) => Err(why.to_string()),
        }
    }

    #[test]
    fn an_address_is_checked_before_anything_is_read() {
        for (query, part) in [
            ("", "say where"),
            ("x=1", "say where"),
            ("to=upstream", "the way back"),
            ("to=larder", "not an absolute URL"),
            ("to=ftp://larder.example", "only http and https"),
            (
                "to=http://user:word@larder.example",
                "a credential does not belong",
            ),
            (
                "to=http://larder.example/pypi/simple/",
                "the path of an index",
            ),
            ("to=http://l.example&from=x", "`from` is"),
        ] {
            let refused = rewritten(query, "", 1 << 20).expect_err(query);
            assert!(refused.contains(part), "{query}: {refused}");
        }
        let long = format!("to=http://{}.example", "x".repeat(300));
        assert!(rewritten(&long, "", 1 << 20).is_err());
    }

    #[test]
    fn a_lock_grows_by_no_more_than_a_lock_may_have() {
        let page = "\"https://gitlab.example/api/v4/projects/1/packages/pypi/simple\"\n";
        let lock = format!("version = 1\nurl = {}", page.repeat(1000));
        let to = "to=http%3A%2F%2Fa.rather.long.name.of.a.larder.example%3A3141";
        assert!(rewritten(to, &lock, 20 << 10).is_err());
        let done = rewritten(to, &lock, 1 << 20).expect("it fits");
        assert!(!done.contains("gitlab.example"));
    }

    #[test]
    fn where_all_urls_lead_past_larder_is_said() {
        let text = "a @ https://a.example/a.whl\nb @ https://b.example/b.whl";
        let refused = rewritten("to=http://l.example", text, 1 << 20).expect_err("foreign");
        assert!(
            refused.ends_with("a.example (1), b.example (1)"),
            "{refused}"
        );
        assert_eq!(
            rewritten("to=http://l.example", "anvil==1.0\n", 1 << 20).as_deref(),
            Ok("anvil==1.0\n")
        );
    }
}
