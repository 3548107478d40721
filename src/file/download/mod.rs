//! One download of one address, read by any number of clients.
//!
//! A download is a task of its own: it belongs to no client, so that none can stop or slow it. The
//! task asks upstream in the first caller's name and writes a spool file on a blocking thread;
//! every client reads that file behind its watermark. Must not know who may read: that is asked
//! before joining.

pub mod continuation;
pub mod counts;
mod gathered;
pub mod progress;
pub mod pump;
mod shared_answer;
pub mod tail;
pub mod tail_first;
mod task;

use std::collections::HashMap;
use std::collections::hash_map::{Entry as Slot, VacantEntry};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use self::continuation::Continuation;
use self::counts::DownloadCounts;
use self::progress::DownloadProgress;
use self::tail::{Tail, TailCache};
use super::bad_digests::BadDigests;
use super::config::FilesConfig;
use super::error::FileError;
use super::metadata::generator::MetadataGenerator;
use super::ranges::Ranges;
use super::shared::{Distrusted, SharedFiles, SharedStoreCounts};
use crate::access::{Access, Caller};
use crate::registry::{FileRef, Route};
use crate::store::{PartialFile, Store};
use crate::upstream::{PassThrough, Upstream, UpstreamResponse, Validators};
use crate::values::correlation::Correlation;
use crate::values::{clock, correlation};

/// How upstream's first answer to a download turned out.
#[derive(Clone)]
pub enum DownloadStart {
    Streaming {
        partial: Arc<PartialFile>,
        validators: Validators,
        /// No byte is given before all of them are known to be right.
        verified_first: bool,
    },
    /// The file was stored between a caller's look into the store and the start of this download:
    /// nothing is to be fetched.
    Stored,
    Refused(PassThrough),
    /// There is a body, but no place to put it.
    Unstorable(Handover),
    Failed(FileError),
}

/// An answer that the first caller may take over.
#[derive(Clone)]
pub struct Handover(Arc<Mutex<Option<UpstreamResponse>>>);

impl Handover {
    fn new(answer: UpstreamResponse) -> Self {
        Self(Arc::new(Mutex::new(Some(answer))))
    }

    pub fn take(&self) -> Option<UpstreamResponse> {
        self.0.lock().take()
    }
}

pub struct Download {
    start: watch::Sender<Option<DownloadStart>>,
    readers: AtomicUsize,
    /// The request that began it.
    begun_by: Option<Arc<Correlation>>,
    begun: Instant,
}

impl Download {
    /// Waits for upstream's first answer.
    pub async fn started(&self) -> DownloadStart {
        let mut watch = self.start.subscribe();
        match watch.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(start)) => start.clone(),
            Ok(None) | Err(_) => DownloadStart::Failed(FileError::Internal),
        }
    }

    fn partial(&self) -> Option<Arc<PartialFile>> {
        match &*self.start.borrow() {
            Some(DownloadStart::Streaming { partial, .. }) => Some(Arc::clone(partial)),
            _ => None,
        }
    }

    /// The file, once every byte is here and right, though the disk may still be busy with it; and
    /// its validators.
    pub fn complete(&self) -> Option<(Arc<PartialFile>, Validators)> {
        match &*self.start.borrow() {
            Some(DownloadStart::Streaming {
                partial,
                validators,
                ..
            }) if partial.is_sealed() => Some((Arc::clone(partial), validators.clone())),
            _ => None,
        }
    }

    fn is_complete(&self) -> bool {
        self.partial().is_some_and(|partial| partial.is_sealed())
    }

    /// Waits until every byte is here and right, if there are no more than so many.
    pub async fn wait_if_short(&self, bytes_max: u64) {
        let DownloadStart::Streaming { partial, .. } = self.started().await else {
            return;
        };
        if partial.size().is_some_and(|size| size <= bytes_max) {
            // What breaks is told to the client that reads it.
            let _waited_for = partial.begin(true).await;
        }
    }

    pub fn written(&self) -> u64 {
        self.partial().map_or(0, |partial| partial.written())
    }

    pub fn size(&self) -> Option<u64> {
        self.partial()?.size()
    }
}

/// A client's hold on a download: as long as one is held, the download goes on.
pub struct DownloadHandle {
    download: Arc<Download>,
    continuation: Option<Box<Continuation>>,
}

impl DownloadHandle {
    pub fn new(download: &Arc<Download>) -> Self {
        download.readers.fetch_add(1, Ordering::AcqRel);
        Self {
            download: Arc::clone(download),
            continuation: None,
        }
    }

    /// The same with a way to go on alone.
    pub fn with(mut self, continuation: Continuation) -> Self {
        self.continuation = Some(Box::new(continuation));
        self
    }

    /// The way to go on alone, once.
    pub fn take_continuation(&mut self) -> Option<Box<Continuation>> {
        self.continuation.take()
    }
}

impl Drop for DownloadHandle {
    fn drop(&mut self) {
        self.download.readers.fetch_sub(1, Ordering::AcqRel);
    }
}

impl std::fmt::Debug for DownloadHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DownloadHandle")
    }
}

/// The downloads under way. It outlives the services of one configuration, as they do.
#[derive(Default)]
pub struct RunningDownloads(Mutex<HashMap<FileRef, Arc<Download>>>);

impl RunningDownloads {
    fn table(&self) -> MutexGuard<'_, HashMap<FileRef, Arc<Download>>> {
        self.0.lock()
    }
}

/// What the file room works with.
#[derive(Clone)]
pub struct FileDependencies {
    pub upstream: Arc<Upstream>,
    pub access: Arc<Access>,
    pub store: Arc<Store>,
    /// Downloads that were begun under an earlier configuration go on, and are joined by new
    /// requests.
    pub running: Arc<RunningDownloads>,
    pub counts: Arc<DownloadCounts>,
    pub shared_store_counts: Arc<SharedStoreCounts>,
    /// What the shared store was found to hold wrong bytes of.
    pub distrusted: Arc<Distrusted>,
}

pub struct Downloads {
    pub config: FilesConfig,
    pub upstream: Arc<Upstream>,
    pub access: Arc<Access>,
    pub store: Arc<Store>,
    pub bad_digests: Arc<BadDigests>,
    /// Makes the metadata of a wheel that is complete.
    pub generator: Arc<MetadataGenerator>,
    /// The ends of wheels of which no more was wanted.
    tails: TailCache,
    running: Arc<RunningDownloads>,
    slots: Semaphore,
    pub counts: Arc<DownloadCounts>,
    /// Asked before upstream is, if there is one.
    pub shared: Option<Arc<SharedFiles>>,
    ranges: Arc<Ranges>,
}

impl Downloads {
    pub fn new(
        config: FilesConfig,
        dependencies: FileDependencies,
        bad_digests: Arc<BadDigests>,
        generator: Arc<MetadataGenerator>,
        ranges: Arc<Ranges>,
    ) -> Arc<Self> {
        let shared = SharedFiles::new(
            &dependencies.upstream,
            &dependencies.store,
            &dependencies.shared_store_counts,
            &dependencies.distrusted,
        );
        Arc::new(Self {
            shared,
            ranges,
            slots: Semaphore::new(config.max_downloads.clamp(1, Semaphore::MAX_PERMITS)),
            config,
            upstream: dependencies.upstream,
            access: dependencies.access,
            store: dependencies.store,
            bad_digests,
            generator,
            tails: TailCache::new(),
            running: dependencies.running,
            counts: dependencies.counts,
        })
    }

    /// A turn to download, if there is one to be had at once.
    pub fn try_slot(&self) -> Option<SemaphorePermit<'_>> {
        self.slots.try_acquire().ok()
    }

    pub fn len(&self) -> usize {
        self.running.table().len()
    }

    /// All downloads, and how far each has come.
    pub fn progress(&self, now: Instant) -> Vec<DownloadProgress> {
        let running: Vec<_> = {
            let running = self.running.table();
            let pairs = running.iter();
            pairs
                .map(|(file, download)| (file.clone(), Arc::clone(download)))
                .collect()
        };
        let progress = |(file, download): (FileRef, Arc<Download>)| DownloadProgress {
            file,
            written_bytes: download.written(),
            size_bytes: download.size(),
            readers: download.readers.load(Ordering::Relaxed),
            since: now.saturating_duration_since(download.begun),
        };
        running.into_iter().map(progress).collect()
    }

    pub fn running(&self, file: &FileRef) -> Option<Arc<Download>> {
        self.running.table().get(file).cloned()
    }

    /// Returns when every file whose bytes are all here and right is in the store, before the
    /// process stops: clients have been told that they have all of it.
    pub async fn flush(&self) {
        let complete: Vec<_> = {
            let running = self.running.table();
            let complete = running.values().filter(|download| download.is_complete());
            complete
                .map(|download| download.start.subscribe())
                .collect()
        };
        for mut download in complete {
            // Its sender goes with the download, which its task holds until the file is stored.
            while download.changed().await.is_ok() {}
        }
    }

    /// Takes a download out of the table, if it is still this one that stands there.
    fn retire(&self, file: &FileRef, download: &Arc<Download>) {
        remove(&mut self.running.table(), file, download);
    }

    /// Takes a download out of the table, if no client holds it. Handles are given out under the
    /// same lock: no client joins a download that is being given up.
    fn retire_deserted(&self, file: &FileRef, download: &Arc<Download>) -> bool {
        let mut running = self.running.table();
        let deserted = download.readers.load(Ordering::Acquire) == 0;
        if deserted {
            remove(&mut running, file, download);
        }
        deserted
    }

    /// The download of this file and a hold on it; true if this call started it, in this caller's
    /// name.
    pub fn join_or_start(
        self: &Arc<Self>,
        file: &FileRef,
        caller: &Caller,
    ) -> (Arc<Download>, DownloadHandle, bool) {
        let mut running = self.running.table();
        match running.entry(file.clone()) {
            Slot::Occupied(slot) => {
                let download = slot.get();
                self.counts.joined();
                if let Some(current) = correlation::current()
                    && let Some(begun_by) = &download.begun_by
                {
                    current.shares(begun_by);
                }
                (Arc::clone(download), DownloadHandle::new(download), false)
            }
            Slot::Vacant(slot) => {
                let task = self.task(slot, caller);
                let download = Arc::clone(&task.download);
                let handle = DownloadHandle::new(&download);
                task.spawn();
                (download, handle, true)
            }
        }
    }

    /// The task for a download of this file that is yet to run; nothing, if there is one already.
    pub fn claim(self: &Arc<Self>, file: &FileRef, caller: &Caller) -> Option<DownloadTask> {
        match self.running.table().entry(file.clone()) {
            Slot::Occupied(_) => None,
            Slot::Vacant(slot) => Some(self.task(slot, caller)),
        }
    }

    /// Downloads this file from an answer for the whole that came to another question, asked in this
    /// caller's name at `asked`. It is dropped if there is a download already, or no slot free: a
    /// connection to upstream would stay open in a queue that no client waits in.
    pub fn start_from(
        self: &Arc<Self>,
        answer: UpstreamResponse,
        file: &FileRef,
        caller: &Caller,
        asked: Instant,
    ) {
        if self.slots.available_permits() == 0 {
            return;
        }
        if let Some(mut task) = self.claim(file, caller) {
            task.given = Some((Handover::new(answer), asked));
            task.spawn();
        }
    }

    fn task(
        self: &Arc<Self>,
        slot: VacantEntry<'_, FileRef, Arc<Download>>,
        caller: &Caller,
    ) -> DownloadTask {
        let download = Arc::new(Download {
            start: watch::Sender::new(None),
            readers: AtomicUsize::new(0),
            begun_by: correlation::current(),
            begun: clock::now(),
        });
        let file = slot.key().clone();
        slot.insert(Arc::clone(&download));
        DownloadTask {
            downloads: Arc::clone(self),
            download,
            route: Route::File(file.clone()),
            file,
            caller: caller.clone(),
            tail: None,
            given: None,
        }
    }
}

fn remove(running: &mut HashMap<FileRef, Arc<Download>>, file: &FileRef, download: &Arc<Download>) {
    if let Some(known) = running.get(file)
        && Arc::ptr_eq(known, download)
    {
        running.remove(file);
    }
}

/// The task that fetches one file. Dropped in whatever way, it takes its download out of the table.
pub struct DownloadTask {
    downloads: Arc<Downloads>,
    download: Arc<Download>,
    file: FileRef,
    route: Route,
    caller: Caller,
    /// The end of the file and when it was asked for, if it was read first.
    tail: Option<(Arc<Tail>, Instant)>,
    /// Upstream's answer for the whole and when it was asked for, if it came to another question.
    given: Option<(Handover, Instant)>,
}
