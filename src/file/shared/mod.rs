//! The shared store as downloads use it: asked before upstream is, filled behind the answers.
//!
//! Nothing here is ever in a client's way but the questions of a cold file, and those have limits
//! with names: whatever goes wrong is a miss. Must not know who may have a file: the download asks
//! that before the first byte is read.

mod counts;
mod distrusted;
mod upload;
mod upload_queue;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use counts::{LookupEnd, SharedStoreCounts, UploadEnd};
pub use distrusted::Distrusted;
use upload_queue::UploadQueue;

use crate::registry::FileRef;
use crate::store::{LookupCache, Store};
use crate::upstream::{AddressFact, SharedStore, SharedStoreError, Upstream, UpstreamResponse};
use crate::values::clock;
use crate::values::digest::Digest;

/// A client that asks for a file's head, a range or the metadata asks for the file next.
const FACT_REMEMBERED_FOR: Duration = Duration::from_secs(30);

const FACTS_REMEMBERED_MAX: u64 = 4096;

pub struct SharedFiles {
    remote: Arc<SharedStore>,
    upstream: Arc<Upstream>,
    /// What the fleet knew lately. One that another larder took back meanwhile leads to the same
    /// bytes as the local copies of other larders do.
    facts: LookupCache<FileRef, (AddressFact, Instant)>,
    counts: Arc<SharedStoreCounts>,
    distrusted: Arc<Distrusted>,
    queue: Arc<UploadQueue>,
}

/// The numbers of the shared store at a moment.
#[derive(Clone, Debug, Default)]
pub struct SharedStoreReading {
    pub lookups: Vec<(&'static str, u64)>,
    pub uploads: Vec<(&'static str, u64)>,
    pub uploaded_bytes: u64,
    /// Files that wait to be uploaded, or are being.
    pub queue: u64,
    /// Why it is of no use although it answers, and for how long.
    pub fault: Option<(String, Duration)>,
}

impl SharedFiles {
    /// If there is a shared store. Its queue is not at work yet.
    pub fn new(
        upstream: &Arc<Upstream>,
        store: &Arc<Store>,
        counts: &Arc<SharedStoreCounts>,
        distrusted: &Arc<Distrusted>,
    ) -> Option<Arc<Self>> {
        let remote = upstream.shared_store()?;
        let queue = Arc::new(UploadQueue::new(
            Arc::clone(remote),
            Arc::clone(upstream),
            Arc::clone(store),
            Arc::clone(counts),
            Arc::clone(distrusted),
        ));
        let facts = LookupCache::new(FACTS_REMEMBERED_MAX);
        Some(Arc::new(Self {
            remote: Arc::clone(remote),
            upstream: Arc::clone(upstream),
            facts,
            counts: Arc::clone(counts),
            distrusted: Arc::clone(distrusted),
            queue,
        }))
    }

    /// Begins to upload what waits, and what comes.
    pub fn start_uploads(&self) {
        self.queue.start();
    }

    pub fn reading(&self, now: Instant) -> SharedStoreReading {
        SharedStoreReading {
            lookups: self.counts.lookups(),
            uploads: self.counts.uploads(),
            uploaded_bytes: self.counts.uploaded_bytes(),
            queue: self.queue.len() as u64,
            fault: self.remote.fault(now),
        }
    }

    /// What the fleet knows of this address, if anything.
    pub async fn fact(&self, file: &FileRef) -> Option<AddressFact> {
        match self.look_up(file).await {
            Ok(fact) => Some(fact),
            Err(why) => {
                self.missed(file, &why);
                None
            }
        }
    }

    /// How long the file at this address is, if the fleet knows it. Not counted: it is looked up
    /// again when its bytes are wanted.
    pub async fn size(&self, file: &FileRef) -> Option<u64> {
        let fact = self.look_up(file).await.ok()?;
        Some(fact.size)
    }

    async fn look_up(&self, file: &FileRef) -> Result<AddressFact, SharedStoreError> {
        if self.distrusted.contains(file.digest) {
            return Err(SharedStoreError::Absent);
        }
        let now = clock::now();
        if let Some((fact, found)) = self.facts.get(file)
            && now.saturating_duration_since(found) < FACT_REMEMBERED_FOR
        {
            return Ok(fact);
        }
        let before = self.facts.generation();
        let name = self.upstream.shared_name(&self.remote, file);
        let fact = self.remote.fact(&name).await?;
        if fact.sha256 != file.digest {
            return Err(SharedStoreError::Wrong("a fact is about another sha256"));
        }
        let found = (fact.clone(), now);
        self.facts.remember(file.clone(), found, before);
        Ok(fact)
    }

    /// The bytes of a fact, as upstream's answer would be.
    pub async fn body(&self, file: &FileRef, fact: &AddressFact) -> Option<UpstreamResponse> {
        match self.remote.file(fact).await {
            Ok(answer) => Some(answer),
            Err(why) => {
                self.missed(file, &why);
                None
            }
        }
    }

    fn missed(&self, file: &FileRef, why: &SharedStoreError) {
        let end = match why {
            SharedStoreError::None | SharedStoreError::ReadsOnly | SharedStoreError::Absent => {
                LookupEnd::Miss
            }
            SharedStoreError::Busy
            | SharedStoreError::LeftAlone
            | SharedStoreError::NoCredential => LookupEnd::Skipped,
            SharedStoreError::Wrong(_) => LookupEnd::Wrong,
            SharedStoreError::NoBucket
            | SharedStoreError::Refused
            | SharedStoreError::Rejected(_)
            | SharedStoreError::Answered(_)
            | SharedStoreError::Misdirected(_)
            | SharedStoreError::Failed(_) => LookupEnd::Failed,
        };
        if end == LookupEnd::Wrong {
            self.distrusted.insert(file.digest);
            tracing::warn!(file = %file.filename, error = %why, "what the shared store holds is not used");
        } else if end == LookupEnd::Failed {
            tracing::debug!(file = %file.filename, error = %why, "the shared store gives nothing");
        }
        self.counts.looked_up(end);
    }

    /// A download's bytes came from here, as far as this.
    pub fn ended(&self, how: LookupEnd) {
        self.counts.looked_up(how);
        // What larder itself did not read to the end says nothing of it.
        if how != LookupEnd::Unused {
            self.remote.body_ended(how != LookupEnd::Broken);
        }
    }

    /// The bytes were not those of their name. They are asked for no more, and written anew if this
    /// larder writes.
    pub fn was_wrong(&self, digest: Digest) {
        self.distrusted.insert(digest);
        self.ended(LookupEnd::Wrong);
        let object = self.remote.blob_name(digest);
        let remedy = self.remedy();
        tracing::error!(%object, "the shared store holds other bytes than this object's name says: the file comes from upstream, and {remedy}");
    }

    /// What becomes of an object with wrong bytes.
    fn remedy(&self) -> &'static str {
        match self.writes() {
            Ok(()) => "the object is written anew",
            Err(_) => {
                "this larder only reads (shared_store.concurrent_writes = 0): delete the object, and run `larder share` at a larder that holds the file and writes"
            }
        }
    }

    /// Whether a body of this length is given only when all of it is known to be right.
    pub fn verifies_first(&self, size: u64) -> bool {
        size <= self.remote.config.verify_first.0
    }

    /// Metadata that another larder made of the verified wheel, if it is there.
    pub async fn metadata(&self, wheel: &FileRef, bytes_max: usize) -> Option<Bytes> {
        let fact = self.look_up(wheel).await.ok()?;
        let metadata = fact.metadata?;
        if self.distrusted.contains(metadata) {
            return None;
        }
        match self.remote.blob(metadata, bytes_max).await {
            Ok(bytes) => Some(bytes),
            Err(why) => {
                if matches!(why, SharedStoreError::Wrong(_)) {
                    self.distrusted.insert(metadata);
                    // So that the wheel comes from upstream, and its upload writes both anew.
                    self.distrusted.insert(wheel.digest);
                    let object = self.remote.blob_name(metadata);
                    let remedy = self.remedy();
                    tracing::error!(%object, wheel = %wheel.filename, "the shared store holds other bytes than this object's name says: the wheel and its metadata come from upstream, and {remedy}");
                }
                None
            }
        }
    }

    /// Notes that a file which comes from upstream is to be uploaded; false if it is not. Blocks.
    pub fn note(&self, file: &FileRef) -> bool {
        self.queue.note(file)
    }

    /// A file that was noted is in the local store.
    pub fn upload(&self, file: &FileRef) {
        self.queue.put(file.clone());
    }

    /// A file that was noted is not in the local store after all.
    pub fn give_up(&self, file: &FileRef) {
        self.queue.done(file, UploadEnd::Lost);
    }

    /// Whether this larder writes to the shared store.
    ///
    /// # Errors
    /// When it only reads.
    pub fn writes(&self) -> Result<(), SharedStoreError> {
        match self.remote.config.concurrent_writes {
            0 => Err(SharedStoreError::ReadsOnly),
            _ => Ok(()),
        }
    }

    /// Uploads a file of the local store now, if it is not there.
    ///
    /// # Errors
    /// What kept it from being there.
    pub async fn upload_now(&self, file: &FileRef) -> Result<UploadEnd, SharedStoreError> {
        self.writes()?;
        let end = self.queue.uploader.upload(file).await?;
        self.counts.upload_ended(end);
        Ok(end)
    }

    /// Takes back what was said of an address.
    ///
    /// # Errors
    /// When it may still be there.
    pub async fn take_back(&self, file: &FileRef) -> Result<(), SharedStoreError> {
        self.writes()?;
        let name = self.upstream.shared_name(&self.remote, file);
        let removed = self.remote.remove_fact(&name).await;
        // What was looked up before, or is being, was there still.
        self.facts.change(file.clone(), None, true);
        removed
    }

    /// Uploads no more. What waits is uploaded after the next start.
    pub fn close(&self) {
        self.queue.close();
    }
}
