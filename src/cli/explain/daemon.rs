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

use super::explanation::Daemon;
use crate::access::Credential;
use crate::simple::{Format, MediaType};
use crate::values::cache_status::{CacheStatus, Outcome};

/// For a daemon on this machine to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// For its answer, which may have to wait for upstream.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest body of an error that is read.
const PROBLEM_BYTES_MAX: usize = 64 << 10;

/// What the daemon is asked for.
pub(super) struct Question<'a> {
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
pub(super) async fn ask(question: &Question<'_>) -> Result<Daemon, String> {
    let address = reachable(question.listen);
    let no_answer = |why: String| format!("none answers at {address}: {why}");
    let head = send(question, &address, Method::HEAD)
        .await
        .map_err(no_answer)?;
    let status = head.status();
    let text = |name: &str| Some(head.headers().get(name)?.to_str().ok()?.to_owned());
    let cache_status = text("cache-status");
    let phrase = head.extensions().get::<ReasonPhrase>();
    let reason = phrase.map(|phrase| String::from_utf8_lossy(phrase.as_bytes()).into_owned());
    let reason = reason
        .or_else(|| status.canonical_reason().map(str::to_owned))
        .unwrap_or_default();
    let refused = status.is_client_error() || status.is_server_error();
    let detail = if refused {
        detail(question, &address).await
    } else {
        None
    };
    Ok(Daemon {
        cache: cache_status
            .as_deref()
            .and_then(CacheStatus::read)
            .map(|cache| in_words(cache.outcome)),
        cache_status,
        age_seconds: text(AGE.as_str()).and_then(|age| age.parse().ok()),
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
async fn detail(question: &Question<'_>, address: &str) -> Option<String> {
    let answer = send(question, address, Method::GET).await.ok()?;
    let problem = answer.headers().get(CONTENT_TYPE)?.as_bytes() == b"application/problem+json";
    let body = Limited::new(answer.into_body(), PROBLEM_BYTES_MAX).collect();
    let body = tokio::time::timeout(ANSWER_TIMEOUT, body)
        .await
        .ok()?
        .ok()?
        .to_bytes();
    if !problem {
        return None;
    }
    let body: serde_json::Value = serde_json::from_slice(&body).ok()?;
    body.get("detail")?.as_str().map(str::to_owned)
}

async fn send(
    question: &Question<'_>,
    address: &str,
    method: Method,
) -> Result<Response<Incoming>, String> {
    let uri: Uri = format!("http://{address}{}", question.path)
        .parse()
        .map_err(|_| "no such address")?;
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let mut headers = HeaderMap::new();
    question.credential.apply(&mut headers);
    let media = match question.format {
        Format::Html => MediaType::TextHtml,
        Format::Json => MediaType::V1Json,
    };
    // Without its parameters: this is a wish, not a body's type.
    let accept = media.as_str().split(';').next().unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header(ACCEPT, accept);
    let mut request = request.body(Empty::new()).map_err(|why| why.to_string())?;
    request.headers_mut().extend(headers);
    match tokio::time::timeout(ANSWER_TIMEOUT, client.request(request)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(why)) if why.is_connect() => Err("nothing listens there".to_owned()),
        Ok(Err(why)) => Err(why.to_string()),
        Err(_) => Err(format!(
            "no answer within {}",
            humantime::format_duration(ANSWER_TIMEOUT)
        )),
    }
}

/// Where a daemon that listens on all addresses can be reached from here.
fn reachable(listen: &str) -> String {
    match listen.parse::<SocketAddr>() {
        Ok(SocketAddr::V4(all)) if all.ip().is_unspecified() => {
            format!("{}:{}", Ipv4Addr::LOCALHOST, all.port())
        }
        Ok(SocketAddr::V6(all)) if all.ip().is_unspecified() => {
            format!("[{}]:{}", Ipv6Addr::LOCALHOST, all.port())
        }
        _ => listen.to_owned(),
    }
}

fn in_words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Hit => "from the cache; upstream was not asked",
        Outcome::Updating => {
            "from the cache, just past its lifetime; upstream is asked after the answer (stale-while-revalidate)"
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
