//! One request to the daemon, until it is answered: how often, how long, how patiently.
//!
//! Asks by GET as any client does, so that the daemon's own services fetch, verify and keep. Owns
//! the waits: a throttled upstream is waited for, a failure is tried again twice, and what then
//! fails is named. Must not know what is asked for.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use crate::control::{Client, empty};
use crate::registry::Route;
use crate::upstream::retry_after;
use crate::values::cache_status::{CacheStatus, Outcome};
use crate::values::clock;
use crate::values::digest::{Digest, Hasher};

/// For an answer to begin: the daemon may have to look at a large page, or wait in its turn.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(180);

/// Between two pieces of a body.
const PIECE_TIMEOUT: Duration = Duration::from_secs(120);

/// The largest page that is read.
const PAGE_BYTES_MAX: usize = 256 << 20;

/// The largest body of an error that is read.
const PROBLEM_BYTES_MAX: usize = 64 << 10;

/// Pauses before a failed request is sent again, so twice.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// The longest `Retry-After` that is waited out, what an answer without one means, and how often
/// for one request.
const WAIT_MAX: Duration = Duration::from_secs(120);
const WAIT_BY_DEFAULT: Duration = Duration::from_secs(2);
const WAITS_MAX: usize = 20;

const JSON: HeaderValue = HeaderValue::from_static("application/vnd.pypi.simple.v1+json");

/// Why a request failed, when nothing more is tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("not there (404)")]
    NotThere,
    #[error("{}", refusal(.status, .detail.as_deref()))]
    Refused { status: u16, detail: Option<String> },
    #[error("throttled: upstream asks to come back in {}", humantime::format_duration(*.0))]
    Throttled(Duration),
    #[error("{0}")]
    Broken(String),
}

fn refusal(status: &u16, detail: Option<&str>) -> String {
    match detail {
        Some(detail) => format!("the index refused: {status} ({detail})"),
        None => format!("the index refused: {status}"),
    }
}

/// A body that was read to its end, or that is cached already.
#[derive(Clone, Copy, Debug)]
pub struct FetchedBody {
    pub size: u64,
    pub sha256: Digest,
    pub from: FetchedFrom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchedFrom {
    Cache,
    Upstream,
}

impl FetchedFrom {
    pub fn word(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Upstream => "upstream",
        }
    }
}

/// Asks in one caller's name.
#[derive(Clone)]
pub struct DaemonFetcher {
    daemon: Client,
    /// The fields of the caller's credential.
    credential: HeaderMap,
    /// What a proxy in front adds to larder's paths.
    prefix: String,
}

/// One attempt that failed.
#[derive(Debug)]
enum AttemptError {
    Final(FetchError),
    Busy(Duration),
    Again(String),
}

impl DaemonFetcher {
    pub fn new(daemon: Client, credential: HeaderMap, prefix: String) -> Self {
        Self {
            daemon,
            credential,
            prefix,
        }
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A page in JSON.
    ///
    /// # Errors
    /// What went wrong in the end.
    pub async fn page(&self, route: &Route) -> Result<Bytes, FetchError> {
        self.patiently(|| async {
            let answer = self.ask(route, true).await?;
            let body = Limited::new(answer.into_body(), PAGE_BYTES_MAX).collect();
            match within(PIECE_TIMEOUT, body).await? {
                Ok(body) => Ok(body.to_bytes()),
                Err(why) => Err(AttemptError::Again(format!("the page broke off: {why}"))),
            }
        })
        .await
    }

    /// Reads a file to its end; `piece` is given each piece. A second attempt begins with
    /// `restart`.
    ///
    /// # Errors
    /// What went wrong in the end.
    pub async fn file(
        &self,
        route: &Route,
        piece: impl Fn(&Bytes) + Send + Sync,
        restart: impl Fn(u64) + Send + Sync,
    ) -> Result<FetchedBody, FetchError> {
        self.patiently(|| async {
            let mut size = 0;
            let read = self.read(route, &mut size, &piece).await;
            if read.is_err() {
                restart(size);
            }
            read
        })
        .await
    }

    /// The same without a second attempt: pieces that were given cannot be taken back.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn file_once(
        &self,
        route: &Route,
        piece: impl Fn(&Bytes) + Send + Sync,
    ) -> Result<FetchedBody, FetchError> {
        match self.read(route, &mut 0, piece).await {
            Ok(read) => Ok(read),
            Err(AttemptError::Final(failure)) => Err(failure),
            Err(AttemptError::Busy(wait)) => Err(FetchError::Throttled(wait)),
            Err(AttemptError::Again(why)) => Err(FetchError::Broken(why)),
        }
    }

    async fn read(
        &self,
        route: &Route,
        size: &mut u64,
        piece: impl Fn(&Bytes),
    ) -> Result<FetchedBody, AttemptError> {
        let answer = self.ask(route, false).await?;
        let status = header(&answer, "cache-status").and_then(CacheStatus::read);
        let from = match status.map(|status| status.outcome) {
            Some(Outcome::Miss | Outcome::Collapsed | Outcome::Bypass | Outcome::Error) | None => {
                FetchedFrom::Upstream
            }
            Some(_) => FetchedFrom::Cache,
        };
        let mut body = answer.into_body();
        let mut hasher = Hasher::new();
        while let Some(frame) = within(PIECE_TIMEOUT, body.frame()).await? {
            let Ok(frame) = frame else {
                let why = "the body broke off: upstream's did, or it was not what was promised";
                return Err(AttemptError::Again(why.to_owned()));
            };
            if let Ok(data) = frame.into_data() {
                *size += data.len() as u64;
                hasher.update(&data);
                piece(&data);
            }
        }
        Ok(FetchedBody {
            size: *size,
            sha256: hasher.finish(),
            from,
        })
    }

    async fn ask(&self, route: &Route, is_page: bool) -> Result<Response<Incoming>, AttemptError> {
        let mut request = Request::get(route.path())
            .header(http::header::HOST, "larder")
            .body(empty())
            .map_err(|why| AttemptError::Final(FetchError::Broken(why.to_string())))?;
        request.headers_mut().extend(self.credential.clone());
        if is_page {
            request.headers_mut().insert(ACCEPT, JSON);
        }
        let answer = within(ANSWER_TIMEOUT, self.daemon.send(request)).await?;
        let answer = answer.map_err(|why| AttemptError::Again(why.to_string()))?;
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok(answer);
        }
        let after = header(&answer, RETRY_AFTER.as_str());
        let after = after.and_then(|text| retry_after(text, clock::wall()));
        Err(match judged(status, after) {
            AttemptError::Final(FetchError::Refused { status, .. }) => {
                let detail = detail(answer).await;
                AttemptError::Final(FetchError::Refused { status, detail })
            }
            AttemptError::Again(why) => match detail(answer).await {
                Some(detail) => AttemptError::Again(format!("{detail} ({})", status.as_u16())),
                None => AttemptError::Again(why),
            },
            other => other,
        })
    }

    async fn patiently<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, FetchError>
    where
        F: Future<Output = Result<T, AttemptError>>,
    {
        let mut pauses = PAUSES.iter();
        let mut waits = 0;
        loop {
            match attempt().await {
                Ok(got) => return Ok(got),
                Err(AttemptError::Final(failure)) => return Err(failure),
                Err(AttemptError::Busy(wait)) if wait > WAIT_MAX || waits >= WAITS_MAX => {
                    return Err(FetchError::Throttled(wait));
                }
                Err(AttemptError::Busy(wait)) => {
                    waits += 1;
                    sleep(wait).await;
                }
                Err(AttemptError::Again(why)) => match pauses.next() {
                    Some(pause) => sleep(*pause).await,
                    None => return Err(FetchError::Broken(why)),
                },
            }
        }
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, AttemptError> {
    let done = timeout(limit, work).await;
    done.map_err(|_| {
        let limit = humantime::format_duration(limit);
        AttemptError::Again(format!("timed out: nothing came for {limit}"))
    })
}

fn header<'a>(answer: &'a Response<Incoming>, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

/// What a status other than 200 means.
fn judged(status: StatusCode, after: Option<Duration>) -> AttemptError {
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => AttemptError::Final(FetchError::NotThere),
        // GitLab's word that it has none, and that a public index might.
        _ if status.is_redirection() => AttemptError::Final(FetchError::NotThere),
        StatusCode::TOO_MANY_REQUESTS => AttemptError::Busy(after.unwrap_or(WAIT_BY_DEFAULT)),
        StatusCode::SERVICE_UNAVAILABLE if after.is_some() => {
            AttemptError::Busy(after.unwrap_or_default())
        }
        _ if status.is_server_error() => {
            AttemptError::Again(format!("the daemon answered {}", status.as_u16()))
        }
        _ => AttemptError::Final(FetchError::Refused {
            status: status.as_u16(),
            detail: None,
        }),
    }
}

/// The sentence in larder's own answers (RFC 9457).
async fn detail(answer: Response<Incoming>) -> Option<String> {
    #[derive(Deserialize)]
    struct ProblemDetail {
        detail: String,
    }
    let body = Limited::new(answer.into_body(), PROBLEM_BYTES_MAX).collect();
    let body = timeout(PIECE_TIMEOUT, body).await.ok()?.ok()?.to_bytes();
    let problem: ProblemDetail = serde_json::from_slice(&body).ok()?;
    Some(problem.detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_is_final_or_waited_for_or_tried_again() {
        let judge = |status: u16, after: Option<u64>| {
            judged(
                StatusCode::from_u16(status).unwrap(),
                after.map(Duration::from_secs),
            )
        };
        assert!(matches!(
            judge(404, None),
            AttemptError::Final(FetchError::NotThere)
        ));
        assert!(matches!(
            judge(302, None),
            AttemptError::Final(FetchError::NotThere)
        ));
        assert!(matches!(
            judge(403, None),
            AttemptError::Final(FetchError::Refused { status: 403, .. })
        ));
        assert!(matches!(judge(429, Some(7)), AttemptError::Busy(wait) if wait.as_secs() == 7));
        assert!(matches!(
            judge(429, None),
            AttemptError::Busy(WAIT_BY_DEFAULT)
        ));
        assert!(matches!(judge(503, Some(1)), AttemptError::Busy(_)));
        assert!(matches!(judge(503, None), AttemptError::Again(_)));
        assert!(matches!(judge(502, Some(1)), AttemptError::Again(_)));
        let refused = FetchError::Refused {
            status: 403,
            detail: None,
        }
        .to_string();
        assert_eq!(refused, "the index refused: 403");
    }
}
