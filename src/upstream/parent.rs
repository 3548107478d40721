//! The parent: a larder that stands before GitLab and the mirrors, in whose place it is asked.
//!
//! Asks it which mirrors it serves, at the address that any client may read, and tells what became
//! of that. Packages are asked for as of any GitLab and any mirror. Must not remember what it
//! learned.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{ACCEPT, HeaderMap, HeaderValue, USER_AGENT, VIA};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::timeout;
use url::Url;

use super::config::{Forward, GitLabConfig};
use super::connect::{ConnectTarget, PeerConnector, Transport};
use super::error::UpstreamError;
use super::peer::{PUBLIC_INDEX, Peer};
use super::peer_client::PeerClient;
use super::request::PeerRequest;
use super::response::PassThrough;
use crate::registry::{AdminEndpoint, Base, Route, Scope};
use crate::values::quantity::Span;

/// For the whole of a question: an agent's start waits for it.
const PARENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest status that is read.
pub(super) const STATUS_BYTES_MAX: usize = 4 << 20;

/// The form of the status that is understood.
const SCHEMA: u32 = 1;

/// Mirrors that are taken over; more are a sign that it is no larder.
const MIRRORS_MAX: usize = 256;

/// What a larder says of itself to any client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LarderStatus {
    pub version: String,
    /// `ok`, `degraded`, `offline` or `stopping`.
    pub word: String,
    /// Their names.
    pub mirrors: Vec<String>,
    /// Whether links of its pages may lead to files of the index that GitLab points to.
    pub has_public_index: bool,
}

/// Why a parent's mirrors are not known from it now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParentFault {
    #[error("{0}")]
    Away(String),
    #[error("it is no larder: {0}")]
    NoLarder(String),
    #[error(
        "it is a larder {0}, whose status this version cannot read: give both the same version"
    )]
    OtherVersion(String),
    #[error("it is this larder itself, or one that asks it: set parent to another larder's URL")]
    Loop,
}

impl ParentFault {
    /// Whether the answer itself is wrong: waiting does not heal it.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Away(_))
    }

    /// Whether no word of what answers there is GitLab's. A larder of another form of the status
    /// answers for GitLab all the same.
    pub fn is_no_parent(&self) -> bool {
        matches!(self, Self::NoLarder(_) | Self::Loop)
    }
}

/// How the parent stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentReading {
    pub url: String,
    /// Whether its mirrors were ever told.
    pub is_known: bool,
    /// The names of what it serves beside GitLab's packages, as it told them last.
    pub serves: Vec<String>,
    /// Of its last answer.
    pub version: Option<String>,
    /// Of the last question, if that was in vain.
    pub fault: Option<ParentFault>,
}

impl ParentReading {
    /// What became of the last question, if it was in vain.
    pub fn fault_in_words(&self) -> Option<String> {
        let fault = self.fault.as_ref()?;
        // An error on the way names the parent itself.
        Some(match fault {
            ParentFault::Away(why) if why.contains(&self.url) => why.clone(),
            _ => format!("the parent at {}: {fault}", self.url),
        })
    }
}

/// How each parent stood when it was last asked.
#[derive(Debug, Default)]
pub struct ParentState(Mutex<Vec<ParentReading>>);

impl ParentState {
    /// In the order of their URLs.
    pub fn read(&self) -> Vec<ParentReading> {
        self.0.lock().clone()
    }

    /// Of one of them, if it is known.
    pub fn of(&self, url: &str) -> Option<ParentReading> {
        let readings = self.0.lock();
        readings.iter().find(|known| known.url == url).cloned()
    }

    /// Whether what answers at a URL was found to be no parent when it was last asked.
    pub(super) fn is_no_parent(&self, url: &str) -> bool {
        for known in self.0.lock().iter() {
            if let Some(fault) = &known.fault
                && known.url == url
            {
                return fault.is_no_parent();
            }
        }
        false
    }

    /// In place of all.
    pub fn replace(&self, readings: Vec<ParentReading>) {
        *self.0.lock() = readings;
    }

    /// In place of the one of the same URL.
    pub fn set(&self, reading: ParentReading) {
        let mut readings = self.0.lock();
        readings.retain(|known| known.url != reading.url);
        readings.push(reading);
        readings.sort_by(|one, other| one.url.cmp(&other.url));
    }

    /// Forgets all but these.
    pub fn keep(&self, urls: &[String]) {
        self.0.lock().retain(|known| urls.contains(&known.url));
    }
}

/// Asks a larder for its status, one try at a time.
pub struct ParentClient {
    url: Url,
    client: PeerClient,
    via: HeaderValue,
}

impl ParentClient {
    /// `transport` is that of `[gitlab]`.
    ///
    /// # Errors
    /// A sentence about the TLS set-up.
    pub fn new(
        config: &GitLabConfig,
        parent: &str,
        base: &Base,
        transport: &Transport,
        via: HeaderValue,
    ) -> Result<Self, String> {
        let at_most = |span: Span| Span(span.0.min(PARENT_TIMEOUT));
        let config = GitLabConfig {
            retries: 0,
            connect_timeout: at_most(config.connect_timeout),
            header_timeout: at_most(config.header_timeout),
            idle_timeout: at_most(config.idle_timeout),
            ..config.clone()
        };
        let limits = config.limits().client;
        let connector = PeerConnector::new(transport, ConnectTarget::Own, limits.connect, true)?;
        Ok(Self {
            url: base.url(&Route::Admin(AdminEndpoint::Status)),
            client: PeerClient::new(Peer::Parent(Arc::from(parent)), connector, limits),
            via,
        })
    }

    /// # Errors
    /// Why its mirrors are not known from it now.
    pub async fn ask(&self) -> Result<LarderStatus, ParentFault> {
        match timeout(PARENT_TIMEOUT, self.answer()).await {
            Ok(Ok(answer)) => read(&answer),
            Ok(Err(error)) => Err(ParentFault::Away(error.to_string())),
            Err(_) => {
                let limit = humantime::format_duration(PARENT_TIMEOUT);
                Err(ParentFault::Away(format!("no answer within {limit}")))
            }
        }
    }

    async fn answer(&self) -> Result<PassThrough, UpstreamError> {
        let mut headers = HeaderMap::new();
        let agent = concat!("larder/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(VIA, self.via.clone());
        let reading = PeerRequest {
            kind: "status",
            url: &self.url,
            headers: &headers,
            fresh: true,
            once: true,
            ahead: false,
        };
        let answer = self.client.read(None, reading).await?;
        let whole = answer.pass_through(STATUS_BYTES_MAX).await;
        whole.map_err(|error| UpstreamError::of_body(self.client.peer(), &error))
    }
}

/// What a parent's answer comes to.
fn read(answer: &PassThrough) -> Result<LarderStatus, ParentFault> {
    let status = answer.status;
    if status == StatusCode::LOOP_DETECTED {
        return Err(ParentFault::Loop);
    }
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(ParentFault::Away(format!("it answered {status}")));
    }
    if status != StatusCode::OK {
        let why = format!("its /-/status answered {status}");
        return Err(ParentFault::NoLarder(why));
    }
    read_status(&answer.body)
}

#[derive(Deserialize)]
struct Told {
    schema: u32,
    version: String,
    state: ToldState,
    mirrors: Option<Vec<String>>,
    public_index: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct ToldState {
    word: String,
}

/// What a larder says of itself, as it stands at `/-/status`.
///
/// # Errors
/// When it is no larder's status, or of a form that is not understood.
pub fn read_status(body: &[u8]) -> Result<LarderStatus, ParentFault> {
    let no_status = || ParentFault::NoLarder("its /-/status is not a larder's".to_owned());
    let told: Told = serde_json::from_slice(body).map_err(|_| no_status())?;
    let mut version = told.version;
    version.retain(|letter| letter.is_ascii_graphic());
    version.truncate(40);
    let Some(names) = told.mirrors else {
        return Err(ParentFault::OtherVersion(version));
    };
    if told.schema != SCHEMA || names.len() > MIRRORS_MAX {
        return Err(ParentFault::OtherVersion(version));
    }
    let mut mirrors = Vec::new();
    for name in names {
        if Scope::mirror(&name).is_some() && name != PUBLIC_INDEX && !Forward::is_taken(&name) {
            mirrors.push(name);
        }
    }
    Ok(LarderStatus {
        version,
        word: told.state.word,
        mirrors,
        has_public_index: told.public_index.is_some(),
    })
}

impl LarderStatus {
    /// Whether links of its pages may lead to addresses that no GitLab has.
    pub fn serves_more_than_gitlab(&self) -> bool {
        self.has_public_index || !self.mirrors.is_empty()
    }

    /// Whether its version differs from this one's in the first number.
    pub fn is_of_another_major(&self) -> bool {
        let major = |version: &str| version.split('.').next().map(ToOwned::to_owned);
        major(&self.version) != major(env!("CARGO_PKG_VERSION"))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(status: StatusCode, body: &str) -> Result<LarderStatus, ParentFault> {
        read(&PassThrough {
            status,
            reason: None,
            headers: HeaderMap::new(),
            body: Bytes::from(body.to_owned()),
        })
    }

    fn told(schema: u32, mirrors: &str) -> String {
        format!(
            r#"{{"schema":{schema},"version":"9.1.0","state":{{"word":"ok"}}{mirrors},"public_index":null}}"#
        )
    }

    #[test]
    fn a_larder_is_told_from_what_is_none_and_from_what_is_away() {
        let good = answer(
            StatusCode::OK,
            &told(1, r#","mirrors":["pypi","api","follow","A b"]"#),
        );
        let Ok(good) = good else {
            panic!("{good:?}");
        };
        assert_eq!(good.mirrors, ["pypi"], "no other name can be a mirror's");
        assert!(good.is_of_another_major() && !good.has_public_index);
        for (status, body, is_final) in [
            (StatusCode::OK, "<html>", true),
            (StatusCode::OK, "{}", true),
            (StatusCode::OK, told(2, r#","mirrors":[]"#).as_str(), true),
            (StatusCode::OK, told(1, "").as_str(), true),
            (StatusCode::NOT_FOUND, "", true),
            (StatusCode::FOUND, "", true),
            (StatusCode::LOOP_DETECTED, "", true),
            (StatusCode::BAD_GATEWAY, "", false),
            (StatusCode::TOO_MANY_REQUESTS, "", false),
        ] {
            let fault = answer(status, body).err();
            let found = fault.as_ref().map(ParentFault::is_final);
            assert_eq!(found, Some(is_final), "{status} {body}: {fault:?}");
            let is_other = matches!(fault, Some(ParentFault::OtherVersion(_)));
            let is_no_parent = fault.map(|fault| fault.is_no_parent());
            assert_eq!(is_no_parent, Some(is_final && !is_other), "{status} {body}");
        }
    }
}
