//! The questions put to the shared store: whether it is reached, and whether an object can be
//! written, read and removed there; where larder only reads, whether one could be read.
//!
//! What is written is a fact about an address that no index has, another one each time, so that two
//! doctors at once do not take each other's away. Must not touch another object.

use super::finding::Finding;
use super::peers::Prober;
use crate::upstream::{AddressFact, SharedStore, SharedStoreConfig, SharedStoreError, Transport};
use crate::values::digest::Digest;

pub struct SharedStoreCheck {
    pub prober: Prober,
    pub config: SharedStoreConfig,
    pub way: Transport,
}

/// How far the questions came.
enum Step {
    Bucket,
    Write,
    ReadBack,
    Remove,
}

impl SharedStoreCheck {
    pub async fn examine(self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let Some(store) = self.prober.upstream.shared_store() else {
            return findings;
        };
        let url = match self.config.origin() {
            Ok(url) => url,
            Err(why) => {
                findings.push(Finding::problem("endpoint", why, "correct it"));
                return findings;
            }
        };
        let reached = self
            .prober
            .reach(&url, &self.way, "shared_store", &mut findings);
        if reached.await {
            let asked = ask(store).await;
            findings.push(judge(&self.config, asked));
        }
        findings
    }
}

async fn ask(store: &SharedStore) -> Result<(), (Step, SharedStoreError)> {
    let probe = Digest::of(&rand::random::<[u8; 32]>());
    let name = probe.to_string();
    // Before anything is written: some engines make a bucket that is not there.
    match store.fact(&name).await {
        Ok(_) | Err(SharedStoreError::Absent) => {}
        Err(why) => return Err((Step::Bucket, why)),
    }
    if store.config.concurrent_writes == 0 {
        return Ok(());
    }
    let fact = AddressFact {
        sha256: probe,
        size: 0,
        etag: None,
        last_modified: None,
        metadata: None,
    };
    let written = store.put_fact(&name, &fact).await;
    written.map_err(|why| (Step::Write, why))?;
    let read = store.fact(&name).await;
    read.map_err(|why| (Step::ReadBack, why))?;
    let removed = store.remove_fact(&name).await;
    removed.map_err(|why| (Step::Remove, why))
}

fn judge(config: &SharedStoreConfig, asked: Result<(), (Step, SharedStoreError)>) -> Finding {
    let check = "bucket";
    let url = &config.url;
    let Err((step, why)) = asked else {
        let found = match config.concurrent_writes {
            0 => format!(
                "{url} can be read; this larder writes nothing there (shared_store.concurrent_writes = 0)"
            ),
            _ => format!("an object can be written to {url}, read and removed"),
        };
        return Finding::ok(check, found);
    };
    match (step, why) {
        (Step::Remove, why) => Finding::warning(
            check,
            format!("an object that was written to {url} could not be removed: {why}"),
            "let its key delete objects too: larder purge takes back what it said of a file",
        ),
        (Step::Bucket, SharedStoreError::NoBucket) => Finding::problem(
            check,
            format!("there is no bucket at {url}"),
            "check shared_store.url and endpoint, or make the bucket",
        ),
        (Step::Bucket, SharedStoreError::Refused) => Finding::problem(
            check,
            format!("larder may not read {url}"),
            "check the access key, this machine's clock, and that the key may read and list the bucket \
             (without the right to list, AWS answers 403 for what is not there)",
        ),
        (Step::Write, SharedStoreError::Refused) => Finding::problem(
            check,
            format!("larder may read {url} and not write to it"),
            "let its key put objects below the prefix, or set shared_store.concurrent_writes = 0",
        ),
        (Step::Bucket, why @ SharedStoreError::Misdirected(_)) => Finding::problem(
            check,
            format!("{url}: {why}"),
            "set both to the bucket's own, and check the access key and this machine's clock",
        ),
        (_, why) => Finding::problem(check, format!("{url}: {why}"), "look at the engine's log"),
    }
}
