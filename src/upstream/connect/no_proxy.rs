//! `NO_PROXY`: the hosts that are reached without a proxy.
//!
//! Owns the reading of the list and the judgement, pure. The rules are curl's: a name stands for
//! itself and everything below it, with or without a dot (or `*.`) before it; an address or a
//! network in CIDR notation stands for literal addresses only, because no name is resolved for it;
//! `*` stands for every host. A port after a colon narrows an entry to that port. By hand, because
//! no crate at hand knows the ports. Must not know proxies.

use std::net::IpAddr;

use ipnet::IpNet;
use url::Host;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<NoProxyEntry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct NoProxyEntry {
    whom: NoProxyHost,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum NoProxyHost {
    Every,
    Network(IpNet),
    /// In lower case, without dots around it.
    Domain(String),
}

impl NoProxy {
    /// Entries stand between commas or white space. What cannot be understood names no host.
    pub fn parse(list: &str) -> Self {
        let texts = list
            .split([',', ' ', '\t', '\n', '\r'])
            .filter(|text| !text.is_empty());
        Self(texts.filter_map(NoProxyEntry::parse).collect())
    }

    pub fn lists(&self, host: &Host<&str>, port: u16) -> bool {
        let mut entries = self.0.iter();
        entries.any(|entry| entry.port.is_none_or(|of| of == port) && entry.whom.is(host))
    }
}

impl NoProxyEntry {
    fn parse(text: &str) -> Option<Self> {
        if let Some(whom) = NoProxyHost::parse(text) {
            return Some(Self { whom, port: None });
        }
        let (whom, port) = text.rsplit_once(':')?;
        Some(Self {
            whom: NoProxyHost::parse(whom)?,
            port: Some(port.parse().ok()?),
        })
    }
}

impl NoProxyHost {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Every);
        }
        let inside = text.strip_prefix('[');
        let inside = inside.and_then(|text| text.strip_suffix(']'));
        let bare = inside.unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self::Network(address.into()));
        }
        if let Ok(network) = bare.parse() {
            return Some(Self::Network(network));
        }
        let name = text.strip_prefix('*').unwrap_or(text);
        let name = name.trim_matches('.').to_ascii_lowercase();
        let is_name = !name.is_empty() && !name.contains(['*', ':', '/', '[', ']', '@']);
        is_name.then_some(Self::Domain(name))
    }

    fn is(&self, host: &Host<&str>) -> bool {
        match (self, host) {
            (Self::Every, _) => true,
            (Self::Network(network), Host::Ipv4(address)) => {
                network.contains(&IpAddr::V4(*address))
            }
            (Self::Network(network), Host::Ipv6(address)) => {
                network.contains(&IpAddr::V6(*address))
            }
            (Self::Domain(domain), Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let above = name.strip_suffix(domain.as_str());
                above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lists(list: &str, host: &str, port: u16) -> bool {
        let host = Host::parse(host).unwrap();
        let host = match &host {
            Host::Domain(name) => Host::Domain(name.as_str()),
            Host::Ipv4(address) => Host::Ipv4(*address),
            Host::Ipv6(address) => Host::Ipv6(*address),
        };
        NoProxy::parse(list).lists(&host, port)
    }

    #[test]
    fn names_suffixes_networks_ports_and_the_star() {
        for (list, host, port, held) in [
            ("", "gitlab.example.com", 443, false),
            ("gitlab.example.com", "gitlab.example.com", 443, true),
            ("GitLab.Example.COM", "gitlab.example.com", 443, true),
            ("example.com", "gitlab.example.com", 443, true),
            (".example.com", "gitlab.example.com", 443, true),
            ("*.example.com", "gitlab.example.com", 443, true),
            (".example.com", "example.com", 443, true),
            ("example.com.", "gitlab.example.com", 443, true),
            ("example.com", "gitlab.example.com.", 443, true),
            ("example.com", "notexample.com", 443, false),
            ("gitlab.example.com", "example.com", 443, false),
            ("a.example, b.example", "b.example", 80, true),
            ("a.example b.example", "b.example", 80, true),
            ("example.com:8443", "gitlab.example.com", 8443, true),
            ("example.com:8443", "gitlab.example.com", 443, false),
            ("10.0.0.0/8", "10.1.2.3", 443, true),
            ("10.0.0.0/8", "11.1.2.3", 443, false),
            ("10.1.2.3", "10.1.2.3", 443, true),
            ("10.1.2.3:80", "10.1.2.3", 443, false),
            ("fd00::/8", "[fd00::1]", 443, true),
            ("[::1]", "[::1]", 443, true),
            ("[::1]:80", "[::1]", 443, false),
            ("::1", "[::2]", 443, false),
            ("*", "anything.example", 1, true),
            ("a.example,*", "[::1]", 1, true),
            ("10.0.0.0/8", "ten.example", 443, false),
            (",, ,:80,/8,@", "a.example", 80, false),
        ] {
            assert_eq!(lists(list, host, port), held, "{list:?} {host} {port}");
        }
    }

    proptest! {
        #[test]
        fn a_name_holds_what_is_below_it_and_nothing_beside_it(
            domain in "[a-z]{1,8}(\\.[a-z]{1,8}){0,2}", label in "[a-z]{1,8}", port in 1..u16::MAX
        ) {
            let below = format!("{label}.{domain}");
            let beside = format!("{label}{domain}");
            prop_assert!(lists(&domain, &domain, port));
            prop_assert!(lists(&domain, &below, port));
            prop_assert!(!lists(&domain, &beside, port));
            let narrow = format!("{domain}:{port}");
            prop_assert!(lists(&narrow, &below, port));
            prop_assert!(!lists(&narrow, &below, port - 1));
        }

        #[test]
        fn no_list_is_too_strange(list in "\\PC{0,60}", name in "[a-z]{1,8}\\.example") {
            let _ = lists(&list, &name, 443);
        }
    }
}
