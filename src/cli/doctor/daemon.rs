//! A daemon that runs on the cache folder, and the address that it listens on, or would.
//!
//! Owns these two looks. Must not change anything: an address is taken for a moment and given back.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;

use super::finding::Finding;
use crate::app::CommandContext;
use crate::cli::health::readiness;
use crate::control::{About, Client, ClientError, Identity};
use crate::values::version::version;

pub async fn examine(context: &CommandContext, limit: Duration) -> Vec<Finding> {
    let Ok(Ok(client)) = timeout(limit, Client::connect(&context.cache_dir)).await else {
        let none = "none runs on this cache folder (as far as this user can see)";
        return vec![
            Finding::ok("daemon", none),
            address(&context.listen, limit).await,
        ];
    };
    let why = match timeout(limit, speak(&client)).await {
        Ok(Ok((identity, status, words))) => {
            return judge(&identity, status, &words, &version());
        }
        Ok(Err(why)) => why,
        Err(_) => {
            let limit = humantime::format_duration(limit);
            format!("it does not answer within {limit}")
        }
    };
    let advice = "its log says what it is at; restart it";
    vec![Finding::problem("daemon", why, advice)]
}

async fn speak(client: &Client) -> Result<(Identity, u16, String), String> {
    let told = |why: ClientError| why.to_string();
    let mut events = client.run(&About {}).await.map_err(told)?;
    let identity = events.next().await.map_err(told)?;
    let identity = identity.ok_or("it says nothing")?;
    let (status, words) = readiness(client).await.map_err(told)?;
    Ok((identity, status.as_u16(), words))
}

/// `own` is the version of this program.
fn judge(identity: &Identity, status: u16, words: &str, own: &str) -> Vec<Finding> {
    let running = format!("process {}, larder {}", identity.process, identity.version);
    let version = if identity.version == own {
        Finding::ok("daemon", running)
    } else {
        let advice =
            format!("this program is larder {own}: restart the daemon to have it run that");
        Finding::warning("daemon", running, advice)
    };
    let check = "readiness";
    let readiness = match (status, words) {
        (200, "ok" | "ok, offline") => Finding::ok(check, words),
        (200, _) => Finding::warning(check, words, "it serves what it has; the cause is named"),
        _ => Finding::problem(check, format!("{words} ({status})"), "its log says why"),
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
            let found = format!("{listen}: its name is not found in time");
            return Finding::problem(check, found, "use an address");
        }
    };
    match refused.kind() {
        ErrorKind::AddrInUse => Finding::problem(
            check,
            format!("{listen} is taken by another process"),
            "`ss -ltnp` names it; stop it, or set another listen address",
        ),
        ErrorKind::PermissionDenied => Finding::warning(
            check,
            format!("{listen} is not for this user"),
            "ports below 1024 are for root, or for a unit's socket: \
             larder.socket, or AmbientCapabilities",
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
