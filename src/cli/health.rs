//! `larder health`: whether the daemon is ready, for a container's HEALTHCHECK or a script.
//!
//! Asked over the control socket in the cache folder: that needs no address, no certificate and no
//! free connection, and no proxy variable leads it astray. With `--url` an address is asked
//! instead, as a client would. Must not know what being ready means.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::daemon::runtime;
use super::error::CommandError;
use super::invocation::Invocation;
use super::output::print_event;
use crate::control::{Client, empty};

/// For everything together: who asks does it every few seconds.
const LIMIT: Duration = Duration::from_secs(3);

const READY: &str = "/-/health/ready";

/// What is read of an answer.
const WORDS_BYTES_MAX: usize = 64 << 10;

#[derive(Debug, Args)]
pub struct HealthArguments {
    /// Query this address, such as `http://127.0.0.1:3141`, instead of the control socket in the
    /// cache folder.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(serde::Serialize)]
struct HealthAnswer {
    is_ready: bool,
    /// The daemon's own words, or why there are none.
    says: String,
}

/// # Errors
/// When the URL is none, or standard output does not take the answer.
pub fn run(arguments: &HealthArguments, invocation: &Invocation) -> Result<u8, CommandError> {
    // An address needs no folder.
    let cache_dir = match &arguments.url {
        Some(_) => PathBuf::new(),
        None => invocation.cache_dir()?,
    };
    runtime()?.block_on(health(arguments, &cache_dir))
}

/// Prints what was answered. 0: ready, which it may be in a degraded way; 1: not, or no answer in
/// time.
async fn health(arguments: &HealthArguments, cache_dir: &Path) -> Result<u8, CommandError> {
    let answer = async {
        match &arguments.url {
            Some(url) => over_http(&address(url).map_err(CommandError::Usage)?).await,
            None => over_socket(cache_dir).await,
        }
        .map_err(CommandError::Refused)
    };
    let late = || {
        Err(CommandError::Refused(format!(
            "no answer within {}",
            humantime::format_duration(LIMIT)
        )))
    };
    let health = match timeout(LIMIT, answer).await.unwrap_or_else(|_| late()) {
        Ok((status, says)) => HealthAnswer {
            is_ready: status.is_success(),
            says,
        },
        Err(CommandError::Refused(says)) => HealthAnswer {
            is_ready: false,
            says,
        },
        Err(why) => return Err(why),
    };
    print_event(&health, arguments.json, |health| {
        format!("{}\n", health.says)
    })?;
    Ok(u8::from(!health.is_ready))
}

/// Where readiness is asked for at a URL.
fn address(url: &str) -> Result<Uri, String> {
    let fault = || format!("\"{url}\" is not an address such as http://127.0.0.1:3141");
    let below = url
        .strip_prefix("http://")
        .ok_or_else(|| match url.starts_with("https://") {
            true => "over TLS the control socket is the way: leave --url out".to_owned(),
            false => fault(),
        })?;
    let (host, path) = below.split_once('/').unwrap_or((below, ""));
    let path = if path.is_empty() {
        READY.trim_start_matches('/')
    } else {
        path
    };
    if host.is_empty() {
        return Err(fault());
    }
    let uri = format!("http://{host}/{path}");
    uri.parse().map_err(|_| fault())
}

async fn over_socket(cache_dir: &Path) -> Result<(StatusCode, String), String> {
    let none = |why: String| format!("no daemon answers for {}: {why}", cache_dir.display());
    let client = Client::connect(cache_dir)
        .await
        .map_err(|why| none(why.to_string()))?;
    let mut request = Request::new(empty());
    *request.uri_mut() = Uri::from_static(READY);
    let answer = client.send(request).await.map_err(|why| why.to_string())?;
    Ok(words(answer).await)
}

/// By itself: a proxy that the environment names is for other hosts.
async fn over_http(uri: &Uri) -> Result<(StatusCode, String), String> {
    let client =
        HttpClient::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(HttpConnector::new());
    let answer = client
        .get(uri.clone())
        .await
        .map_err(|why| match why.is_connect() {
            true => format!("nothing listens at {uri}"),
            false => why.to_string(),
        })?;
    Ok(words(answer).await)
}

async fn words(answer: http::Response<Incoming>) -> (StatusCode, String) {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), WORDS_BYTES_MAX)
        .collect()
        .await;
    let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned());
    let text = text
        .ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| status.to_string());
    (status, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_asked_for_readiness_unless_it_names_a_path() {
        let asked = |url: &str| address(url).map(|uri| uri.to_string()).map_err(|_| ());
        assert_eq!(
            asked("http://127.0.0.1:3141"),
            Ok("http://127.0.0.1:3141/-/health/ready".to_owned())
        );
        assert_eq!(
            asked("http://[::1]:3141/"),
            Ok("http://[::1]:3141/-/health/ready".to_owned())
        );
        assert_eq!(
            asked("http://h/-/health/live"),
            Ok("http://h/-/health/live".to_owned())
        );
        for bad in ["127.0.0.1:3141", "https://h/", "http://", "http:///x"] {
            assert_eq!(asked(bad), Err(()), "{bad}");
        }
    }
}
