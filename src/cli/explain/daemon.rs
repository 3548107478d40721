//! The running daemon's own word: one HEAD, and one GET for the sentence in an error's body.
//!
//! Sent to the address that the configuration says larder listens on, and nowhere else, so that no
//! URL can lead a credential astray. Must not know what the answer should be.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AGE, CONTENT_TYPE, HeaderMap};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::explanation::Daemon;
use crate::access::Credential;
use crate::cli::deadline::in_time;
use crate::simple::{Format, MediaType};
use crate::values::cache_status::{CacheStatus, Outcome};

/// For a daemon on this machine to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// For its answer, which may have to wait for upstream.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest body of an error that is read.
const PROBLEM_BYTES_MAX: usize = 64 << 10;

/// What the daemon is asked for.
pub struct Question<'a> {
    pub listen: &'a str,
    /// A path of larder's.
    pub path: &'a str,
    pub format: Format,
    pub credential: &'a Credential,
}

/// Asks the daemon.
///
/// # Errors
/// A sentence about why there is no answer.
pub async fn ask(question: &Question<'_>) -> Result<Daemon, String> {
    let address = reachable(question.listen);
    let head = send(question, &address, Method::HEAD)
        .await
        .map_err(|why| format!("none answers at {address}: {why}"))?;
    let status = head.status();
    let reason = match head.extensions().get::<ReasonPhrase>() {
        Some(phrase) => String::from_utf8_lossy(phrase.as_bytes()).into_owned(),
        None => status.canonical_reason().unwrap_or_default().to_owned(),
    };
    let mut detail = None;
    if status.is_client_error() || status.is_server_error() {
        detail = problem_detail(question, &address).await;
    }
    let field = |name: &str| head.headers().get(name)?.to_str().ok();
    let cache_status = field("cache-status");
    Ok(Daemon {
        cache: cache_status
            .and_then(CacheStatus::read)
            .map(|cache| in_words(cache.outcome)),
        cache_status: cache_status.map(str::to_owned),
        age_seconds: field(AGE.as_str()).and_then(|age| age.parse().ok()),
        source: field("larder-source").map(str::to_owned),
        asked_as: if question.credential.is_anonymous() {
            "without a credential (--token-file gives one)"
        } else {
            "with the token of --token-file"
        },
        status: status.as_u16(),
        reason,
        detail,
        address,
    })
}

/// What the body of an error says (RFC 9457). Nothing is lost without it.
async fn problem_detail(question: &Question<'_>, address: &str) -> Option<String> {
    let answer = send(question, address, Method::GET).await.ok()?;
    if answer.headers().get(CONTENT_TYPE)? != "application/problem+json" {
        return None;
    }
    let body = Limited::new(answer.into_body(), PROBLEM_BYTES_MAX).collect();
    let body = in_time(ANSWER_TIMEOUT, body).await.ok()?;
    let problem: Value = serde_json::from_slice(&body.to_bytes()).ok()?;
    problem.get("detail")?.as_str().map(str::to_owned)
}

async fn send(
    question: &Question<'_>,
    address: &str,
    method: Method,
) -> Result<Response<Incoming>, String> {
    let uri = format!("http://{address}{}", question.path);
    let uri: Uri = uri.parse().map_err(|_| "no such address")?;
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let media = match question.format {
        Format::Html => MediaType::TextHtml,
        Format::Json => MediaType::V1Json,
    };
    // Without its parameters: this is a wish, not a body's type.
    let accept = media.as_str().split(';').next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    question.credential.apply(&mut headers);
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header(ACCEPT, accept)
        .body(Empty::new());
    let mut request = request.map_err(|why| why.to_string())?;
    request.headers_mut().extend(headers);
    let answer = async {
        match client.request(request).await {
            Err(why) if why.is_connect() => Err("nothing listens there".to_owned()),
            answer => answer.map_err(|why| why.to_string()),
        }
    };
    in_time(ANSWER_TIMEOUT, answer).await
}

/// Where a daemon that listens on all addresses can be reached from here.
fn reachable(listen: &str) -> String {
    match listen.parse::<SocketAddr>() {
        Ok(mut all) if all.ip().is_unspecified() => {
            all.set_ip(match all {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
            all.to_string()
        }
        _ => listen.to_owned(),
    }
}

fn in_words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Hit => "from the cache; upstream was not asked",
        Outcome::Updating => {
            "from the cache, just past its lifetime; upstream is asked after the answer \
             (stale-while-revalidate)"
        }
        Outcome::Stale => {
            "from the cache, past its lifetime, because upstream failed (stale-if-error)"
        }
        Outcome::Revalidated => "from the cache, after upstream confirmed that it is still right",
        Outcome::Authorized => "from the cache, after upstream let this caller in",
        Outcome::Miss => "fetched from upstream for this request",
        Outcome::Collapsed => "fetched from upstream for this request and others at once",
        Outcome::Bypass => "upstream's own answer, passed through; nothing of it is kept",
        Outcome::Error => {
            "larder's own error: upstream or the store failed, and nothing stored could stand in"
        }
        Outcome::Denied => "refused by the rules of this configuration, whatever upstream has",
        Outcome::Internal => "larder's own answer; upstream was not asked",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_on_all_addresses_is_reached_on_this_machine() {
        let table = [
            ("0.0.0.0:3141", "127.0.0.1:3141"),
            ("[::]:3141", "[::1]:3141"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("localhost:3141", "localhost:3141"),
        ];
        for (listen, address) in table {
            assert_eq!(reachable(listen), address);
        }
    }
}
