//! The way to a peer: its name, TCP, TLS.
//!
//! Owns the verdicts, which are pure. Must not connect.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::finding::{Finding, took};
use crate::upstream::{ConnectionFacts, TlsFacts, TlsFault};

/// A resolver that takes longer delays every new connection.
const SLOW_NAME: Duration = Duration::from_millis(500);

/// So long before its end a certificate should have been renewed.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// `section` is the peer's in the configuration, as `gitlab`.
pub(super) fn judge(facts: &ConnectionFacts, section: &str, now: SystemTime) -> Vec<Finding> {
    let mut findings = vec![name(facts)];
    if facts.addresses.is_err() {
        return findings;
    }
    findings.push(tcp(facts));
    findings.extend(facts.tls.as_ref().map(|tls| match tls {
        Ok(tls) => certificate(tls, now),
        Err(why) => refused(*why, section),
    }));
    findings
}

fn name(facts: &ConnectionFacts) -> Finding {
    let addresses = match &facts.addresses {
        Ok(addresses) => addresses,
        Err(why) => {
            let found = format!("{} has no address: {why}", facts.host);
            return Finding::problem(
                "name",
                found,
                "check the host in the configuration, and this machine's DNS (resolv.conf)",
            );
        }
    };
    let list = |wanted: fn(&IpAddr) -> bool| {
        let some: Vec<String> = addresses
            .iter()
            .filter(|ip| wanted(ip))
            .map(ToString::to_string)
            .collect();
        if some.is_empty() {
            "none".to_owned()
        } else {
            some.join(" ")
        }
    };
    let found = format!(
        "{} in {}: IPv4 {}, IPv6 {}",
        facts.host,
        took(facts.resolved_in),
        list(IpAddr::is_ipv4),
        list(IpAddr::is_ipv6)
    );
    if facts.resolved_in > SLOW_NAME {
        return Finding::warning(
            "name",
            found,
            "each new connection waits for it: look at this machine's DNS",
        );
    }
    Finding::ok("name", found)
}

fn tcp(facts: &ConnectionFacts) -> Finding {
    let deaf: Vec<String> = facts
        .deaf
        .iter()
        .map(|(address, why)| format!("{address}: {why}"))
        .collect();
    let deaf = deaf.join("; ");
    match &facts.connected {
        Some((address, time)) if deaf.is_empty() => {
            Finding::ok("connection", format!("{address} in {}", took(*time)))
        }
        Some((address, time)) => Finding::warning(
            "connection",
            format!(
                "{address} in {}, after others had not answered ({deaf})",
                took(*time)
            ),
            "a name should lead only to addresses that answer: a broken IPv6 route is a common cause",
        ),
        None => Finding::problem(
            "connection",
            deaf,
            "nothing answers there: check host and port, a firewall between, and whether it runs",
        ),
    }
}

fn certificate(tls: &TlsFacts, now: SystemTime) -> Finding {
    let protocol = tls.protocol.as_deref().unwrap_or("no protocol agreed on");
    let left = tls
        .expires
        .map(|expires| expires.duration_since(now).unwrap_or_default());
    let days = left.map_or_else(String::new, |left| {
        format!(", {} days left", left.as_secs() / (24 * 3600))
    });
    let found = format!(
        "{}, {protocol}, in {}; certificate of {}{days}",
        tls.version,
        took(tls.took),
        // Whoever made the certificate wrote this.
        tls.issuer.escape_debug()
    );
    match left {
        Some(left) if left < EXPIRES_SOON => Finding::warning(
            "TLS",
            found,
            "the operator of the upstream should renew its certificate",
        ),
        _ => Finding::ok("TLS", found),
    }
}

fn refused(why: TlsFault, section: &str) -> Finding {
    let advice = match why {
        TlsFault::UnknownAuthority => {
            format!(
                "a private CA? name its certificate (PEM) in {section}.ca_file; it is trusted beside the system's"
            )
        }
        TlsFault::Expired | TlsFault::NotYetValid => {
            "check this machine's clock; if that is right, the peer's certificate has to be renewed"
                .to_owned()
        }
        TlsFault::OtherName => {
            "use the name that the certificate is for, or have the certificate made for this one"
                .to_owned()
        }
        TlsFault::AuthorityAsServer
        | TlsFault::Unpinned
        | TlsFault::TooOld
        | TlsFault::NotTls
        | TlsFault::WantsCertificate
        | TlsFault::RefusesCertificate
        | TlsFault::Other => {
            "is it TLS that is spoken at this port? A firewall in between may have answered"
                .to_owned()
        }
    };
    Finding::problem("TLS", why.words(section), advice)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::finding::Verdict;
    use super::*;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn facts() -> ConnectionFacts {
        ConnectionFacts {
            host: "gitlab.example".to_owned(),
            resolved_in: Duration::from_millis(3),
            addresses: Ok(vec![HOME]),
            deaf: Vec::new(),
            connected: Some((HOME, Duration::from_millis(1))),
            tls: None,
        }
    }

    fn verdicts(facts: &ConnectionFacts) -> Vec<(String, Verdict)> {
        let findings = judge(facts, "gitlab", SystemTime::UNIX_EPOCH);
        findings
            .into_iter()
            .map(|finding| (finding.check, finding.verdict))
            .collect()
    }

    #[test]
    fn each_step_has_its_verdict_and_ends_the_way_when_it_fails() {
        let of = |check: &str, verdict| (check.to_owned(), verdict);
        assert_eq!(
            verdicts(&facts()),
            [of("name", Verdict::Ok), of("connection", Verdict::Ok)]
        );
        let nameless = ConnectionFacts {
            addresses: Err("unknown".to_owned()),
            connected: None,
            ..facts()
        };
        assert_eq!(verdicts(&nameless), [of("name", Verdict::Problem)]);
        let slow = ConnectionFacts {
            resolved_in: Duration::from_secs(2),
            ..facts()
        };
        assert_eq!(verdicts(&slow)[0], of("name", Verdict::Warning));
        let half = ConnectionFacts {
            deaf: vec![(HOME, "refused".to_owned())],
            ..facts()
        };
        assert_eq!(verdicts(&half)[1], of("connection", Verdict::Warning));
        let deaf = ConnectionFacts {
            connected: None,
            ..half
        };
        assert_eq!(verdicts(&deaf)[1], of("connection", Verdict::Problem));
    }

    #[test]
    fn a_certificate_is_judged_by_its_issuer_its_name_and_its_time() {
        let day = Duration::from_secs(24 * 3600);
        let tls = |days| TlsFacts {
            version: "TLSv1_3".to_owned(),
            protocol: Some("h2".to_owned()),
            issuer: "CN=Example".to_owned(),
            expires: SystemTime::UNIX_EPOCH.checked_add(day * days),
            took: Duration::from_millis(9),
        };
        let judged = |tls| {
            judge(
                &ConnectionFacts {
                    tls: Some(tls),
                    ..facts()
                },
                "gitlab",
                SystemTime::UNIX_EPOCH,
            )
        };
        let last = |tls| judged(tls).pop().unwrap();
        assert_eq!(last(Ok(tls(15))).verdict, Verdict::Ok);
        assert!(last(Ok(tls(15))).found.contains("15 days"));
        assert_eq!(last(Ok(tls(13))).verdict, Verdict::Warning);
        for (fault, part) in [
            (TlsFault::UnknownAuthority, "gitlab.ca_file"),
            (TlsFault::Expired, "clock"),
            (TlsFault::OtherName, "name"),
            (TlsFault::Other, "TLS"),
        ] {
            let finding = last(Err(fault));
            assert_eq!(finding.verdict, Verdict::Problem);
            assert!(finding.advice.unwrap().contains(part), "{part}");
        }
    }
}
