//! File hosts that a mirror's own page names, where the configuration says nothing of them.
//!
//! A page is rewritten with what is known of its hosts. Those that are new are looked at, and with
//! one that was taken the page is rewritten once more, so that the first caller is given links
//! through larder too. Must not judge an address: the network does, and again at each connection.

use std::sync::Arc;

use bytes::Bytes;
use url::Url;

use super::Fetcher;
use crate::index::cache::page::RewrittenPage;
use crate::index::error::PageError;
use crate::index::rewrite::{RewriteJob, Rewriting};
use crate::registry::Scope;
use crate::values::correlation;

impl Fetcher {
    /// The page as it was rewritten, or once more if its file hosts are known only now.
    pub(super) async fn with_file_hosts(
        &self,
        rewritten: RewrittenPage,
        job: RewriteJob,
        body: Bytes,
    ) -> Result<RewrittenPage, PageError> {
        let new_hosts = &rewritten.collected.new_hosts;
        if new_hosts.is_empty() || !self.take_hosts(&job.page.scope, new_hosts).await {
            return Ok(rewritten);
        }
        let validators = rewritten.validators;
        let again = move || Rewriting::whole(&job, &body, &validators);
        let again = correlation::spawn_blocking(again).await;
        again.map_err(|_| PageError::Internal)?
    }

    /// Whether any of these hosts is taken now, be it for another page meanwhile.
    pub(super) async fn take_hosts(&self, mirror: &Scope, new_hosts: &[Url]) -> bool {
        let upstream = &self.dependencies.upstream;
        let Some(source) = self.sources.mirror(mirror) else {
            return false;
        };
        let Some(hosts) = source.base.hosts() else {
            return false;
        };
        let Some(index) = source.base.index() else {
            return false;
        };
        if upstream.is_offline() {
            return false;
        }
        let mut is_one_new = false;
        for host in new_hosts {
            if hosts.has(host) {
                continue;
            }
            if upstream.is_public_host(mirror, host).await {
                if hosts.take(host) {
                    is_one_new = true;
                    tracing::info!(upstream = %mirror, %host, "the index names this host for its files: they lead through larder");
                }
            } else {
                hosts.refuse(host);
                tracing::warn!(
                    upstream = %mirror, %host,
                    "the index names a host for its files that has no public address, so these links go past larder; the line to \
                     add it to is the mirror's file_urls"
                );
            }
        }
        if is_one_new {
            let mut taken = Vec::new();
            for host in hosts.taken() {
                taken.push(host.to_string());
            }
            self.note_hosts(index.to_string(), taken).await;
        }
        new_hosts.iter().any(|host| hosts.has(host))
    }

    async fn note_hosts(&self, index: String, taken: Vec<String>) {
        let learned = Arc::clone(&self.dependencies.learned);
        let note = move || learned.note_hosts(&index, taken);
        if let Ok(Err(why)) = correlation::spawn_blocking(note).await {
            tracing::warn!(error = %why, "the file hosts of an index cannot be noted: they are learned again");
        }
    }
}
