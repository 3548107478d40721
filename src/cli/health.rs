//! `larder health`: whether the daemon is ready, for a container's HEALTHCHECK or a script.
//!
//! Asked over the control socket in the cache folder: that needs no address, no certificate and no
//! free connection, and no proxy variable leads it astray. With `--url` an address is asked
//! instead, as a client would. Must not know what being ready means.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::daemon::{runtime, unanswered};
use super::deadline::in_time;
use super::output::print_event;
use super::{CommandError, CommandResult, Invocation};
use crate::control::{Client, ClientError, empty};

/// For everything together: a health check runs every few seconds.
const LIMIT: Duration = Duration::from_secs(3);

const READY: &str = "/-/health/ready";

/// What is read of an answer.
const WORDS_BYTES_MAX: usize = 64 << 10;

#[derive(Debug, Args)]
pub struct HealthArguments {
    /// Query this address, such as `http://127.0.0.1:3141`, instead of the control socket in the
    /// cache folder.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct HealthAnswer {
    is_ready: bool,
    /// The daemon's own words, or why there are none.
    says: String,
}

/// 0: ready, which it may be in a degraded way; 1: not, or no answer in time.
///
/// # Errors
/// When the URL is none, or standard output does not take the answer.
pub fn run(arguments: &HealthArguments, invocation: &Invocation) -> CommandResult {
    let asked = match &arguments.url {
        Some(url) => {
            let uri = address(url).map_err(CommandError::Usage)?;
            runtime()?.block_on(in_time(LIMIT, over_http(uri)))
        }
        None => {
            let cache_dir = invocation.cache_dir()?;
            runtime()?.block_on(in_time(LIMIT, over_socket(&cache_dir)))
        }
    };
    let health = match asked {
        Ok((status, says)) => HealthAnswer {
            is_ready: status.is_success(),
            says,
        },
        Err(says) => HealthAnswer {
            is_ready: false,
            says,
        },
    };
    print_event(&health, arguments.json, |health| {
        format!("{}\n", health.says)
    })?;
    Ok(u8::from(!health.is_ready))
}

/// Where readiness is asked for at a URL.
fn address(url: &str) -> Result<Uri, String> {
    let fault = || format!("\"{url}\" is not an address such as http://127.0.0.1:3141");
    if url.starts_with("https://") {
        return Err("over TLS the control socket is the way: leave --url out".to_owned());
    }
    let below = url.strip_prefix("http://").ok_or_else(fault)?;
    let (host, path) = below.split_once('/').unwrap_or((below, ""));
    if host.is_empty() {
        return Err(fault());
    }
    let uri = if path.is_empty() {
        format!("http://{host}{READY}")
    } else {
        url.to_owned()
    };
    uri.parse().map_err(|_| fault())
}

async fn over_socket(cache_dir: &Path) -> Result<(StatusCode, String), String> {
    let client = Client::connect(cache_dir)
        .await
        .map_err(|why| unanswered(cache_dir, "none runs there, or it is silent", &why))?;
    readiness(&client).await.map_err(|why| why.to_string())
}

/// What a daemon says of its readiness.
pub async fn readiness(client: &Client) -> Result<(StatusCode, String), ClientError> {
    let mut request = Request::new(empty());
    *request.uri_mut() = Uri::from_static(READY);
    Ok(words(client.send(request).await?).await)
}

/// By itself: a proxy that the environment names is for other hosts.
async fn over_http(uri: Uri) -> Result<(StatusCode, String), String> {
    let client =
        HttpClient::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(HttpConnector::new());
    match client.get(uri.clone()).await {
        Ok(answer) => Ok(words(answer).await),
        Err(why) if why.is_connect() => Err(format!("nothing listens at {uri}")),
        Err(why) => Err(why.to_string()),
    }
}

async fn words(answer: Response<Incoming>) -> (StatusCode, String) {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), WORDS_BYTES_MAX).collect();
    if let Ok(body) = body.await {
        let bytes = body.to_bytes();
        let text = String::from_utf8_lossy(&bytes);
        if !text.trim().is_empty() {
            return (status, text.trim().to_owned());
        }
    }
    (status, status.to_string())
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
