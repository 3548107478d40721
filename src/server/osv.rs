//! The questions that clients of an OSV service ask, answered from the records that are in force:
//! `POST /-/osv/v1/query`, `POST /-/osv/v1/querybatch` and `GET /-/osv/v1/vulns/ID`.
//!
//! uv asks the second one before it installs (`UV_MALWARE_CHECK_URL`), `uv audit --service-url` the
//! last two, pip-audit (`--osv-url`) the first. For every client, without a credential: an answer is
//! made of the question and of public records, and tells nothing of what is stored here or of who
//! may read it. A name that is asked for goes nowhere, neither to an upstream nor to the log. While
//! there are no records that may be gone by, the answer is an error, which clients take for what it
//! is; an empty one would say that all is well. What one request costs is bounded in bytes, in time
//! and in number. Must not judge what may be had.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::ServerLimits;
use crate::registry::{Advisory, FeedState, Release};
use crate::simple::ProjectName;
use crate::store::{AdvisoryRecords, LoadedAdvisories};
use crate::values::clock;
use crate::values::correlation;

/// Questions that are answered at one time.
const AT_ONCE: usize = 8;

/// The largest question; one of a thousand packages has some 100 KB.
const QUESTION_BYTES_MAX: usize = 4 << 20;

/// Packages in one question. uv asks for 1,000 at most.
const QUERIES_MAX: usize = 10_000;

/// Records in one answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

const ECOSYSTEM: &str = "PyPI";

/// Which question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    One,
    Batch,
}

/// Answers questions by one configuration.
pub struct OsvService {
    records: Option<Arc<AdvisoryRecords>>,
    body_timeout: Duration,
    queue_timeout: Duration,
    room: Semaphore,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum OsvError {
    #[error("larder has no advisories to answer from (policy.advisories)")]
    NotConfigured,
    #[error(
        "larder's advisories are too old to answer from, or cannot be read: its log and /-/health/ready say why"
    )]
    Closed,
    #[error("no advisory of this id is known here")]
    Unknown,
    #[error("a question is at most {QUESTION_BYTES_MAX} bytes here, about {QUERIES_MAX} packages")]
    TooLarge,
    #[error(
        "the answer would have more than {ANSWER_BYTES_MAX} bytes: ask for a version, or with querybatch"
    )]
    LongAnswer,
    #[error("other questions are being answered: retry in a moment")]
    Busy,
    #[error("the question did not come whole")]
    BrokeOff,
    #[error("the question came too slowly (limits.body_timeout)")]
    TooSlow,
    #[error("this is no question to an OSV service: {0}")]
    Shape(String),
    #[error("a record cannot be read any more; it is read anew when its file has changed")]
    Unreadable,
}

impl OsvError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NotConfigured | Self::Unknown => StatusCode::NOT_FOUND,
            Self::Closed | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BrokeOff | Self::Shape(_) => StatusCode::BAD_REQUEST,
            Self::LongAnswer | Self::Unreadable => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl OsvService {
    pub fn new(records: Option<Arc<AdvisoryRecords>>, limits: &ServerLimits) -> Self {
        Self {
            records,
            body_timeout: limits.body_timeout.0,
            queue_timeout: limits.queue_timeout.0,
            room: Semaphore::new(AT_ONCE),
        }
    }

    /// The answer to the question in `body`.
    pub(super) async fn answer(
        &self,
        question: Question,
        body: Incoming,
    ) -> Result<Response<String>, OsvError> {
        let loaded = self.loaded()?;
        let room = timeout(self.queue_timeout, self.room.acquire()).await;
        // It is never closed.
        let _room = room.map_err(|_| OsvError::Busy)?;
        let text = self.text_of(body).await?;
        let work = correlation::spawn_blocking(move || match question {
            Question::One => one(&loaded, &text),
            Question::Batch => batch(&loaded, &text),
        });
        Ok(json(work.await.map_err(|_| OsvError::BrokeOff)??))
    }

    /// One record as it was published.
    pub(super) async fn record(&self, id: &str) -> Result<Response<String>, OsvError> {
        let loaded = self.loaded()?;
        let id = id.to_owned();
        let work = correlation::spawn_blocking(move || loaded.record(&id));
        let read = work.await.map_err(|_| OsvError::Unreadable)?;
        let record = read.map_err(|_| OsvError::Unreadable)?;
        Ok(json(text(record.ok_or(OsvError::Unknown)?)?))
    }

    /// The records in force, while they may be gone by.
    fn loaded(&self) -> Result<Arc<LoadedAdvisories>, OsvError> {
        let records = self.records.as_ref().ok_or(OsvError::NotConfigured)?;
        match records.feed.closed(clock::wall()) {
            None | Some(FeedState::Current) => records.loaded().ok_or(OsvError::Closed),
            Some(FeedState::Stale(_) | FeedState::Missing) => Err(OsvError::Closed),
        }
    }

    async fn text_of(&self, body: Incoming) -> Result<Vec<u8>, OsvError> {
        if body.size_hint().lower() > QUESTION_BYTES_MAX as u64 {
            return Err(OsvError::TooLarge);
        }
        let limited = Limited::new(body, QUESTION_BYTES_MAX);
        let collected = timeout(self.body_timeout, limited.collect()).await;
        match collected.map_err(|_| OsvError::TooSlow)? {
            Ok(whole) => Ok(whole.to_bytes().into()),
            Err(why) if why.is::<LengthLimitError>() => Err(OsvError::TooLarge),
            Err(_) => Err(OsvError::BrokeOff),
        }
    }
}

#[derive(Deserialize)]
struct Batch {
    queries: Vec<Query>,
}

/// About one package; by commit nothing of PyPI's can be asked.
#[derive(Deserialize)]
struct Query {
    package: Option<Package>,
    version: Option<String>,
}

#[derive(Deserialize)]
struct Package {
    name: Option<String>,
    ecosystem: Option<String>,
    purl: Option<String>,
}

/// A package as it is asked about.
struct Asked {
    name: ProjectName,
    version: Option<String>,
}

impl Query {
    /// What it asks about, if that can be on PyPI at all.
    fn asked(self) -> Option<Asked> {
        let package = self.package?;
        if let Some(purl) = package.purl {
            let (name, version) = of_purl(&purl)?;
            return Some(Asked {
                name: ProjectName::parse(&name).ok()?,
                version: self.version.or(version),
            });
        }
        let ecosystem = package.ecosystem?;
        if ecosystem.split(':').next() != Some(ECOSYSTEM) {
            return None;
        }
        Some(Asked {
            name: ProjectName::parse(&package.name?).ok()?,
            version: self.version,
        })
    }
}

/// Name and version of a package URL: `pkg:pypi/django@1.2?q#s`.
fn of_purl(purl: &str) -> Option<(String, Option<String>)> {
    let rest = purl.strip_prefix("pkg:pypi/")?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let decoded = percent_encoding::percent_decode_str(rest)
        .decode_utf8()
        .ok()?;
    match decoded.split_once('@') {
        Some((name, version)) => Some((name.to_owned(), Some(version.to_owned()))),
        None => Some((decoded.into_owned(), None)),
    }
}

/// The records of a package that affect the version, or all of them without one.
fn hits<'l>(loaded: &'l LoadedAdvisories, asked: Option<&Asked>) -> Vec<&'l Advisory> {
    let Some(asked) = asked else {
        return Vec::new();
    };
    let all = loaded.set.of(&asked.name);
    let Some(version) = asked.version.as_deref().filter(|text| !text.is_empty()) else {
        return all.iter().collect();
    };
    let release = Release::parse(version);
    let mut found = Vec::new();
    for advisory in all {
        if advisory.affects(Some(&release)) {
            found.push(advisory);
        }
    }
    // A record may name a package twice.
    found.dedup_by(|one, other| one.id == other.id);
    found
}

#[derive(Serialize)]
struct BatchAnswer<'l> {
    results: Vec<BatchResult<'l>>,
}

#[derive(Serialize)]
struct BatchResult<'l> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vulns: Vec<Summary<'l>>,
}

#[derive(Serialize)]
struct Summary<'l> {
    id: &'l str,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
}

fn batch(loaded: &LoadedAdvisories, text: &[u8]) -> Result<String, OsvError> {
    let batch: Batch = read(text)?;
    if batch.queries.len() > QUERIES_MAX {
        return Err(OsvError::TooLarge);
    }
    let mut results = Vec::with_capacity(batch.queries.len());
    for query in batch.queries {
        let mut vulns = Vec::new();
        for advisory in hits(loaded, query.asked().as_ref()) {
            let modified = loaded.set.modified(&advisory.id);
            vulns.push(Summary {
                id: &advisory.id,
                modified: modified.map(|time| humantime::format_rfc3339_seconds(time).to_string()),
            });
        }
        results.push(BatchResult { vulns });
    }
    written(&BatchAnswer { results })
}

#[derive(Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vulns: Vec<Box<RawValue>>,
}

fn one(loaded: &LoadedAdvisories, question: &[u8]) -> Result<String, OsvError> {
    let query: Query = read(question)?;
    let mut vulns = Vec::new();
    let mut bytes = 0;
    for advisory in hits(loaded, query.asked().as_ref()) {
        let record = loaded.record(&advisory.id);
        let record = record.map_err(|_| OsvError::Unreadable)?;
        let record = text(record.ok_or(OsvError::Unreadable)?)?;
        bytes += record.len();
        if bytes > ANSWER_BYTES_MAX {
            return Err(OsvError::LongAnswer);
        }
        vulns.push(RawValue::from_string(record).map_err(|_| OsvError::Unreadable)?);
    }
    written(&Answer { vulns })
}

fn read<'t, T: Deserialize<'t>>(text: &'t [u8]) -> Result<T, OsvError> {
    serde_json::from_slice(text).map_err(|why| OsvError::Shape(why.to_string()))
}

fn written(answer: &impl Serialize) -> Result<String, OsvError> {
    serde_json::to_string(answer).map_err(|_| OsvError::Unreadable)
}

fn text(record: Vec<u8>) -> Result<String, OsvError> {
    String::from_utf8(record).map_err(|_| OsvError::Unreadable)
}

fn json(text: String) -> Response<String> {
    let mut response = Response::new(text);
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/json");
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
