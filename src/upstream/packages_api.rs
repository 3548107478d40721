//! GitLab's packages API, which tells when a file was uploaded and how large it is.
//!
//! Owns the reading of its answers: GitLab's `lib/api/project_packages.rb`, `group_packages.rb` and
//! `package_files.rb` with their entities. It is asked on connections of its own, and neither counts
//! towards GitLab's circuit breaker nor makes a caller wait: nothing but dates hangs on it. Must not
//! know what the answers are used for.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::config::GitLabConfig;
use super::connect::{ConnectTarget, PeerConnector, Transport};
use super::counts::PeerStats;
use super::error::UpstreamError;
use super::peer::Peer;
use super::peer_client::PeerClient;
use super::request::{PeerRequest, UpstreamRequest};
use super::response::PassThrough;
use super::retry::retry_after;
use crate::access::Credential;
use crate::registry::PACKAGES_PER_PAGE;
use crate::values::clock;

/// Largest page of a list that is read. An entry of GitLab's has some 500 bytes; a package that was
/// published by many pipelines has more.
const LIST_BYTES_MAX: usize = 16 << 20;

/// For how long GitLab is left alone that says "later" without saying when.
const DEFAULT_PAUSE: Duration = Duration::from_secs(60);

/// A longer pause than this is not kept, whatever GitLab asks for.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// The end of the year 9998, in seconds since the epoch. A date has to be writable by RFC 3339,
/// which ends with the year 9999 and which humantime writes from the epoch on: what lies outside
/// is no date of an upload.
const LAST_SECOND: u64 = 253_370_764_799;

/// One version of a project.
#[derive(Debug, Deserialize)]
pub struct ListedPackage {
    pub id: u64,
    /// As it was uploaded.
    pub name: String,
    #[serde(default)]
    pub version: Option<String>,
    /// Told in the list of a group only.
    #[serde(default)]
    pub project_id: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub struct PackageFile {
    pub file_name: String,
    #[serde(default)]
    pub file_sha256: Option<String>,
    #[serde(default)]
    pub size: Option<u64>,
    created_at: String,
}

impl PackageFile {
    /// When it was uploaded; `None` if that cannot be read.
    pub fn uploaded(&self) -> Option<SystemTime> {
        utc(&self.created_at)
    }
}

/// A part of a list.
#[derive(Debug)]
pub struct ListPage<T> {
    pub entries: Vec<T>,
    pub next: Option<u32>,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// GitLab does not tell it for this credential.
    #[error("GitLab answered {0}")]
    Refused(StatusCode),
    /// GitLab is not to be asked for so long.
    #[error("GitLab asks for a pause")]
    Later(Duration),
    #[error(transparent)]
    Failed(#[from] UpstreamError),
    #[error("the list cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// Connections to GitLab's packages API.
pub(super) struct PackagesClient {
    client: PeerClient,
    via: HeaderValue,
}

impl PackagesClient {
    /// `transport` is that of `[gitlab]`.
    ///
    /// # Errors
    /// A sentence about the TLS set-up.
    pub(super) fn new(
        config: &GitLabConfig,
        transport: &Transport,
        via: HeaderValue,
    ) -> Result<Self, String> {
        // What is not told now is asked for again later.
        let config = GitLabConfig {
            retries: 0,
            ..config.clone()
        };
        let limits = config.limits().client;
        let connector = PeerConnector::new(transport, ConnectTarget::Own, limits.connect, true)?;
        Ok(Self {
            client: PeerClient::new(Peer::GitLab, connector, limits),
            via,
        })
    }

    pub(super) fn count_on(&mut self, counts: Arc<PeerStats>) {
        self.client.count_on(counts);
    }

    /// Asks for one page of a list, at the URL of [`PackagesAddress`].
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        url: &Url,
        page: u32,
        credential: &Credential,
    ) -> Result<ListPage<T>, PackagesError> {
        let reading = PeerRequest {
            kind: "dates",
            url,
            headers: &self.headers(credential),
            fresh: false,
            once: false,
            ahead: false,
        };
        let answer = self.client.read(None, reading).await?;
        let next = answer.headers.get("x-next-page").cloned();
        let answer = answer.pass_through(LIST_BYTES_MAX).await;
        let answer = answer.map_err(|why| UpstreamError::of_body(&Peer::GitLab, &why))?;
        let next = next.as_ref().map(HeaderValue::as_bytes);
        read(&answer, next, page)
    }

    fn headers(&self, credential: &Credential) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let agent = concat!("larder/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        UpstreamRequest::put_via(&mut headers, &self.via);
        UpstreamRequest::put_request_id(&mut headers);
        credential.apply(&mut headers);
        headers
    }
}

/// What an answer comes to. `next` is what it says of the next page.
fn read<T: DeserializeOwned>(
    answer: &PassThrough,
    next: Option<&[u8]>,
    page: u32,
) -> Result<ListPage<T>, PackagesError> {
    match answer.status {
        StatusCode::OK => {}
        StatusCode::TOO_MANY_REQUESTS => return Err(PackagesError::Later(pause(&answer.headers))),
        status if status.is_server_error() => return Err(PackagesError::Later(DEFAULT_PAUSE)),
        status => return Err(PackagesError::Refused(status)),
    }
    let entries: Vec<T> = serde_json::from_slice(&answer.body)?;
    let next = match next {
        Some(written) => number(written),
        // A proxy before GitLab may keep the field back.
        None if entries.len() >= PACKAGES_PER_PAGE => page.checked_add(1),
        None => None,
    };
    Ok(ListPage {
        // One that is not ahead would be asked for again and again.
        next: next.filter(|next| *next > page),
        entries,
    })
}

fn number(written: &[u8]) -> Option<u32> {
    std::str::from_utf8(written).ok()?.trim().parse().ok()
}

fn pause(headers: &HeaderMap) -> Duration {
    let told = headers.get(RETRY_AFTER);
    let told = told.and_then(|value| retry_after(value.to_str().ok()?, clock::wall()));
    let told = told.unwrap_or(DEFAULT_PAUSE);
    told.clamp(Duration::from_secs(1), PAUSE_MAX)
}

/// A date by RFC 3339, if it is from the epoch up to [`LAST_SECOND`].
fn utc(text: &str) -> Option<SystemTime> {
    let time = instant(text)?;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since.as_secs() <= LAST_SECOND).then_some(time)
}

/// The moment that is written: Rails writes it in the time zone that GitLab is configured with.
fn instant(text: &str) -> Option<SystemTime> {
    if let Ok(time) = humantime::parse_rfc3339(text) {
        return Some(time);
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub("+00:00".len())?)?;
    let time = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let minutes = hours.parse::<u64>().ok()? * 60 + minutes.parse::<u64>().ok()?;
    let ahead = Duration::from_secs(minutes * 60);
    match offset.as_bytes().first()? {
        b'+' => time.checked_sub(ahead),
        b'-' => time.checked_add(ahead),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn dates_are_read_in_any_time_zone() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_millis(seconds));
        let table = [
            ("2024-01-02T03:04:05.123Z", at(1_704_164_645_123)),
            ("2024-01-02T05:04:05.123+02:00", at(1_704_164_645_123)),
            ("2024-01-01T21:34:05.123-05:30", at(1_704_164_645_123)),
            ("2024-01-02T03:04:05.123+00:00", at(1_704_164_645_123)),
            ("1970-01-01T00:00:00Z", at(0)),
            ("1970-01-01T00:00:00+01:00", None),
            ("1969-12-31T23:59:59Z", None),
            ("9998-12-31T23:59:59.999Z", at(253_370_764_799_999)),
            ("9999-01-01T00:00:00Z", None),
            ("9999-12-31T23:59:59-01:00", None),
            ("2024-01-02T03:04:05", None),
            ("2024-01-02", None),
            ("yesterday", None),
            ("é", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(utc(text), expected, "{text}");
        }
    }

    fn list(status: StatusCode, body: &str, next: Option<&str>) -> Result<ListPage<u32>, String> {
        let answer = PassThrough {
            status,
            reason: None,
            headers: HeaderMap::new(),
            body: Bytes::from(body.to_owned()),
        };
        read(&answer, next.map(str::as_bytes), 3).map_err(|why| why.to_string())
    }

    #[test]
    fn the_next_page_is_the_one_that_gitlab_names() {
        let full = format!("[{}1]", "1,".repeat(PACKAGES_PER_PAGE - 1));
        let table = [
            ("[1]", Some("4"), Some(4)),
            ("[1]", Some(""), None),
            ("[1]", Some("3"), None),
            ("[1]", None, None),
            (full.as_str(), None, Some(4)),
            (full.as_str(), Some(""), None),
        ];
        for (body, written, expected) in table {
            let next = list(StatusCode::OK, body, written).map(|page| page.next);
            assert_eq!(next, Ok(expected), "{written:?}");
        }
    }

    #[test]
    fn a_pause_is_a_second_at_least_and_an_hour_at_most() {
        let table = [
            (None, 60),
            (Some("0"), 1),
            (Some("120"), 120),
            (Some("18446744073709551615"), 3600),
            (Some("Fri, 31 Dec 9999 23:59:59 GMT"), 3600),
            (Some("soon"), 60),
        ];
        for (written, expected) in table {
            let mut headers = HeaderMap::new();
            if let Some(written) = written {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(written));
            }
            assert_eq!(
                pause(&headers),
                Duration::from_secs(expected),
                "{written:?}"
            );
        }
    }

    #[test]
    fn a_refusal_is_told_from_a_failure() {
        let refused = list(StatusCode::NOT_FOUND, "{}", None);
        assert_eq!(
            refused.err().as_deref(),
            Some("GitLab answered 404 Not Found")
        );
        for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_GATEWAY] {
            let later = list(status, "", None).err();
            assert_eq!(later.as_deref(), Some("GitLab asks for a pause"));
        }
        assert!(list(StatusCode::OK, "<html>", None).is_err());
    }
}
