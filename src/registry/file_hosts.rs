//! Hosts that a mirror's own pages named as where its files are.
//!
//! Owns the two lists, those that were taken and those that were refused, and their bounds: a page
//! is text that an index writes, and must not make larder remember without end. Must not judge
//! whether a host may be asked.

use std::collections::HashSet;

use parking_lot::RwLock;
use url::{Host, Url};

/// Hosts that are taken of one mirror's pages.
const TAKEN_MAX: usize = 32;

/// Hosts that are remembered as refused; further ones are refused without being looked up.
const REFUSED_MAX: usize = 256;

#[derive(Debug, Default)]
pub struct FileHosts(RwLock<KnownHosts>);

#[derive(Debug, Default)]
struct KnownHosts {
    /// Origins, each with the root as its path.
    taken: Vec<Url>,
    refused: HashSet<String>,
}

impl FileHosts {
    /// Whether this link's host may be taken and was not judged yet: https, and a host that can
    /// stand in a path.
    pub fn is_new(&self, link: &Url) -> bool {
        if link.scheme() != "https" || !matches!(link.host(), Some(Host::Domain(_) | Host::Ipv4(_)))
        {
            return false;
        }
        let known = self.0.read();
        let origin = link.origin();
        known.taken.len() < TAKEN_MAX
            && known.refused.len() < REFUSED_MAX
            && !known.taken.iter().any(|taken| taken.origin() == origin)
            && !known.refused.contains(&origin.ascii_serialization())
    }

    /// Whether the host of a URL was taken.
    pub fn has(&self, host: &Url) -> bool {
        let origin = host.origin();
        let known = self.0.read();
        known.taken.iter().any(|taken| taken.origin() == origin)
    }

    /// Takes the host of a URL. False if there is no room for it, or it is no host to take.
    pub fn take(&self, host: &Url) -> bool {
        if !self.is_new(host) {
            return false;
        }
        let Ok(origin) = Url::parse(&host.origin().ascii_serialization()) else {
            return false;
        };
        self.0.write().taken.push(origin);
        true
    }

    pub fn refuse(&self, host: &Url) {
        let origin = host.origin().ascii_serialization();
        self.0.write().refused.insert(origin);
    }

    /// The origins that were taken.
    pub fn taken(&self) -> Vec<Url> {
        self.0.read().taken.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn only_https_hosts_that_can_stand_in_a_path_are_taken_and_each_is_judged_once() {
        let hosts = FileHosts::default();
        for odd in [
            "http://a.example/",
            "https://[2606:4700::1]/a.whl",
            "larder:/a",
        ] {
            assert!(!hosts.is_new(&url(odd)) && !hosts.take(&url(odd)), "{odd}");
        }
        assert!(hosts.take(&url("https://a.example/x/a-1.whl?sig=1")));
        assert!(!hosts.is_new(&url("https://a.example/y/")));
        assert!(hosts.is_new(&url("https://a.example:8443/y/")));
        hosts.refuse(&url("https://a.example:8443/z"));
        assert!(!hosts.take(&url("https://a.example:8443/")));
        assert_eq!(hosts.taken(), [url("https://a.example/")]);
    }

    #[test]
    fn there_is_an_end_to_both_lists() {
        let hosts = FileHosts::default();
        for number in 0..2 * TAKEN_MAX {
            hosts.take(&url(&format!("https://h{number}.example/")));
        }
        assert_eq!(hosts.taken().len(), TAKEN_MAX);
        let hosts = FileHosts::default();
        for number in 0..REFUSED_MAX {
            hosts.refuse(&url(&format!("https://h{number}.example/")));
        }
        assert!(!hosts.is_new(&url("https://one-more.example/")));
    }
}
