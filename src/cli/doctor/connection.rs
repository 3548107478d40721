//! The way to a peer: its name, TCP, TLS.
//!
//! Owns the verdicts, which are pure. Must not connect.

use std::time::{Duration, SystemTime};

use super::finding::{Finding, took};
use crate::upstream::{ConnectionFacts, TlsFacts, TlsFault};

/// A resolver that takes longer delays every new connection.
const SLOW_NAME: Duration = Duration::from_millis(500);

/// So long before its end a certificate should have been renewed.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// `section` is the peer's in the configuration, as `gitlab`.
pub fn judge(facts: &ConnectionFacts, section: &str, now: SystemTime) -> Vec<Finding> {
    let mut findings = vec![name(facts)];
    if facts.addresses.is_err() {
        return findings;
    }
    findings.push(tcp(facts));
    match &facts.tls {
        Some(Ok(tls)) => findings.push(certificate(tls, now)),
        Some(Err(why)) => findings.push(refused(*why, section)),
        None => {}
    }
    findings
}

fn name(facts: &ConnectionFacts) -> Finding {
    let check = "name";
    let host = &facts.host;
    let addresses = match &facts.addresses {
        Ok(addresses) => addresses,
        Err(why) => {
            return Finding::problem(
                check,
                format!("{host} has no address: {why}"),
                "check the host in the configuration, and this machine's DNS (resolv.conf)",
            );
        }
    };
    let mut v4 = String::new();
    let mut v6 = String::new();
    for address in addresses {
        let list = if address.is_ipv4() { &mut v4 } else { &mut v6 };
        list.push_str(&format!(" {address}"));
    }
    for list in [&mut v4, &mut v6] {
        if list.is_empty() {
            list.push_str(" none");
        }
    }
    let took = took(facts.resolved_in);
    let found = format!("{host} in {took}: IPv4{v4}, IPv6{v6}");
    if facts.resolved_in > SLOW_NAME {
        let advice = "each new connection waits for it: look at this machine's DNS";
        return Finding::warning(check, found, advice);
    }
    Finding::ok(check, found)
}

fn tcp(facts: &ConnectionFacts) -> Finding {
    let check = "connection";
    let mut deaf = Vec::new();
    for (address, why) in &facts.deaf {
        deaf.push(format!("{address}: {why}"));
    }
    let deaf = deaf.join("; ");
    let Some((address, time)) = &facts.connected else {
        return Finding::problem(
            check,
            deaf,
            "nothing answers there: check host and port, a firewall between, and whether it runs",
        );
    };
    let took = took(*time);
    if deaf.is_empty() {
        return Finding::ok(check, format!("{address} in {took}"));
    }
    Finding::warning(
        check,
        format!("{address} in {took}, after others had not answered ({deaf})"),
        "a name should lead only to addresses that answer: \
         a broken IPv6 route is a common cause",
    )
}

fn certificate(tls: &TlsFacts, now: SystemTime) -> Finding {
    let check = "TLS";
    let version = &tls.version;
    let protocol = tls.protocol.as_deref().unwrap_or("no protocol agreed on");
    let took = took(tls.took);
    // The certificate's maker wrote this.
    let issuer = tls.issuer.escape_debug();
    let found = format!("{version}, {protocol}, in {took}; certificate of {issuer}");
    let Some(expires) = tls.expires else {
        return Finding::ok(check, found);
    };
    let left = expires.duration_since(now).unwrap_or_default();
    let days = left.as_secs() / (24 * 3600);
    let found = format!("{found}, {days} days left");
    if left >= EXPIRES_SOON {
        return Finding::ok(check, found);
    }
    let advice = "the operator of the upstream should renew its certificate";
    Finding::warning(check, found, advice)
}

fn refused(why: TlsFault, section: &str) -> Finding {
    let check = "TLS";
    let found = why.words(section);
    let advice = match why {
        TlsFault::UnknownAuthority => {
            let advice = format!(
                "a private CA? name its certificate (PEM) in {section}.ca_file; \
                 it is trusted beside the system's"
            );
            return Finding::problem(check, found, advice);
        }
        TlsFault::Expired | TlsFault::NotYetValid => {
            "check this machine's clock; if that is right, the peer's certificate has to be renewed"
        }
        TlsFault::OtherName => {
            "use the name that the certificate is for, or have the certificate made for this one"
        }
        TlsFault::AuthorityAsServer
        | TlsFault::Unpinned
        | TlsFault::TooOld
        | TlsFault::NotTls
        | TlsFault::WantsCertificate
        | TlsFault::RefusesCertificate
        | TlsFault::Other => {
            "is it TLS that is spoken at this port? A firewall in between may have answered"
        }
    };
    Finding::problem(check, found, advice)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

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
