//! Where the files of a page lie that doctor looked at.
//!
//! Must not judge.

use url::Url;

use crate::registry::{MirrorBase, Stranger};
use crate::simple::{Format, ProjectName, read_entries};
use crate::upstream::Upstream;

/// A file's link.
pub struct PageLink {
    pub url: Url,
    /// Whether the page gives its sha256.
    pub is_hashed: bool,
}

/// The files of a page, by where their links lead.
#[derive(Default)]
pub struct PageLinks {
    /// The origins of those that lead through larder.
    pub through: Vec<String>,
    /// The origins of those that lead elsewhere.
    pub foreign: Vec<String>,
    /// Why others have no address at larder.
    pub unfit: Vec<String>,
}

/// The links of a page that came whole.
pub fn read(format: Format, name: &ProjectName, url: &Url, body: &[u8]) -> Vec<PageLink> {
    let read = read_entries(format, name, url.clone(), body, |entry| {
        Some(PageLink {
            url: entry.url.clone(),
            is_hashed: entry.sha256.is_some(),
        })
    });
    read.map(|(links, _)| links).unwrap_or_default()
}

/// Takes the hosts of a mirror's page that the daemon would take.
pub async fn take_hosts(links: &[PageLink], base: &MirrorBase, upstream: &Upstream) {
    let Some(hosts) = base.hosts() else {
        return;
    };
    for link in links {
        if !link.is_hashed || base.judge(&link.url).is_ok() || !hosts.is_new(&link.url) {
            continue;
        }
        if upstream.is_public_host(base.scope(), &link.url).await {
            hosts.take(&link.url);
        } else {
            hosts.refuse(&link.url);
        }
    }
}

pub fn sort(links: &[PageLink], base: &MirrorBase) -> PageLinks {
    let mut sorted = PageLinks::default();
    for link in links {
        let origin = link.url.origin().ascii_serialization();
        match base.judge(&link.url) {
            Ok(path) if !link.is_hashed && base.is_at_taken_host(&path) => {
                sorted.foreign.push(origin);
            }
            Ok(_) => sorted.through.push(origin),
            Err(Stranger::Elsewhere) => sorted.foreign.push(origin),
            Err(Stranger::Unfit(why)) => sorted.unfit.push(why.to_owned()),
        }
    }
    sorted
}
