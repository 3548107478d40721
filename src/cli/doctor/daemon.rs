//! A daemon that runs on the cache folder, and the address that it listens on, or would.
//!
//! Owns these two looks. Must not change anything: an address is taken for a moment and given back.

use std::time::Duration;

use http::{Request, Uri};
use http_body_util::{BodyExt, Limited};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::finding::Finding;
use crate::app::CommandContext;
use crate::control::{About, Client, ClientError, Identity, empty};
use crate::values::version::version;

/// What is read of its answer.
const WORDS_BYTES_MAX: usize = 4 << 10;

pub(super) async fn examine(context: &CommandContext, limit: Duration) -> Vec<Finding> {
    match timeout(limit, Client::connect(&context.cache_dir)).await {
        Ok(Ok(client)) => {
            let spoken = timeout(limit, speak(&client)).await;
            let silent = || {
                Err(format!(
                    "it does not answer within {}",
                    humantime::format_duration(limit)
                ))
            };
            spoken.unwrap_or_else(|_| silent()).map_or_else(
                |why| {
                    vec![Finding::problem(
                        "daemon",
                        why,
                        "its log says what it is at; restart it",
                    )]
                },
                |(identity, status, words)| judge(&identity, status, &words, &version()),
            )
        }
        Ok(Err(_)) | Err(_) => {
            let none = "none runs on this cache folder (as far as this user can see)";
            vec![
                Finding::ok("daemon", none),
                address(&context.listen, limit).await,
            ]
        }
    }
}

async fn speak(client: &Client) -> Result<(Identity, u16, String), String> {
    let told = |why: ClientError| why.to_string();
    let mut events = client.run(&About {}).await.map_err(told)?;
    let identity = events
        .next()
        .await
        .map_err(told)?
        .ok_or("it says nothing")?;
    let mut request = Request::new(empty());
    *request.uri_mut() = Uri::from_static("/-/health/ready");
    let answer = client.send(request).await.map_err(told)?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), WORDS_BYTES_MAX)
        .collect()
        .await;
    let words = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned());
    Ok((identity, status, words.unwrap_or_default()))
}

/// `own` is the version of this program.
fn judge(identity: &Identity, status: u16, words: &str, own: &str) -> Vec<Finding> {
    let running = format!("process {}, larder {}", identity.process, identity.version);
    let version = match identity.version == own {
        true => Finding::ok("daemon", running),
        false => {
            let advice =
                format!("this program is larder {own}: restart the daemon to have it run that");
            Finding::warning("daemon", running, advice)
        }
    };
    let readiness = match (status, words) {
        (200, "ok" | "ok, offline") => Finding::ok("readiness", words),
        (200, degraded) => Finding::warning(
            "readiness",
            degraded,
            "it serves what it has; the cause is named",
        ),
        (_, not) => Finding::problem("readiness", format!("{not} ({status})"), "its log says why"),
    };
    vec![version, readiness]
}

/// Whether a daemon could listen there.
async fn address(listen: &str, limit: Duration) -> Finding {
    let check = "listen";
    let refused = match timeout(limit, TcpListener::bind(listen)).await {
        Ok(Ok(_)) => return Finding::ok(check, format!("{listen} is free")),
        Ok(Err(why)) => why,
        Err(_) => {
            return Finding::problem(
                check,
                format!("{listen}: its name is not found in time"),
                "use an address",
            );
        }
    };
    match refused.kind() {
        std::io::ErrorKind::AddrInUse => Finding::problem(
            check,
            format!("{listen} is taken by another process"),
            "`ss -ltnp` names it; stop it, or set another listen address",
        ),
        std::io::ErrorKind::PermissionDenied => Finding::warning(
            check,
            format!("{listen} is not for this user"),
            "ports below 1024 are for root, or for a unit's socket: larder.socket, or AmbientCapabilities",
        ),
        _ => Finding::problem(
            check,
            format!("{listen}: {refused}"),
            "set an address that this machine has",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_daemon_is_judged_by_its_version_and_its_readiness() {
        let identity = Identity {
            version: "1.2.3".to_owned(),
            process: 7,
        };
        let verdicts = |status, words, own: &str| {
            let findings = judge(&identity, status, words, own);
            findings
                .iter()
                .map(|finding| finding.verdict)
                .collect::<Vec<_>>()
        };
        assert_eq!(verdicts(200, "ok", "1.2.3"), [Verdict::Ok, Verdict::Ok]);
        assert_eq!(
            verdicts(200, "ok", "1.2.4"),
            [Verdict::Warning, Verdict::Ok]
        );
        assert_eq!(
            verdicts(200, "degraded: x", "1.2.3"),
            [Verdict::Ok, Verdict::Warning]
        );
        assert_eq!(
            verdicts(503, "stopping", "1.2.3"),
            [Verdict::Ok, Verdict::Problem]
        );
    }
}
