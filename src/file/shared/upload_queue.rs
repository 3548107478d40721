//! The files that are yet to be uploaded, behind everything that clients wait for.
//!
//! Bounded; what is in it is noted on the disk, so that a restart goes on with it. A store that
//! cannot be reached or takes nothing keeps its files waiting; a file that it refuses as it is, or
//! that does not come through time and again while others do, is given up and named. Must not know
//! how a file is uploaded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::counts::{SharedStoreCounts, UploadEnd};
use super::distrusted::Distrusted;
use super::upload::Uploader;
use crate::registry::FileRef;
use crate::store::{Store, UploadJournal, UploadNote};
use crate::upstream::{SharedStore, SharedStoreError, Upstream};
use crate::values::correlation;
use crate::values::shutdown::Shutdown;

/// Between two tries of a file while the shared store is of no use: at first, and at last.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LAST: Duration = Duration::from_secs(30);

/// So often a file that does not come through is tried.
const TRIES_MAX: u32 = 3;

pub struct UploadQueue {
    pub uploader: Uploader,
    journal: Arc<UploadJournal>,
    waiting: Mutex<VecDeque<Waiting>>,
    /// Waiting, or being uploaded.
    length: AtomicUsize,
    came: Notify,
    closing: Shutdown,
    /// Files that the shared store took.
    taken: AtomicU64,
    /// The log was told that the queue is full.
    is_full: AtomicBool,
}

struct Waiting {
    file: FileRef,
    /// That count against the file, not against the shared store.
    tries: u32,
    /// How many others the shared store had taken at the last of these, or when it was queued.
    taken: u64,
}

impl Waiting {
    fn new(file: FileRef, taken: u64) -> Self {
        Self {
            file,
            tries: 0,
            taken,
        }
    }

    /// After a try that failed. What may be about the moment, or about larder, counts against this
    /// file only if the shared store took another one since: one that is away takes none.
    fn tried(self, why: &SharedStoreError, taken: u64) -> Self {
        let others_came = self.taken < taken;
        let is_about_file = match why {
            SharedStoreError::Failed(_) => others_came,
            _ if !why.may_pass() => true,
            _ => why.is_answer() && (self.tries == 0 || others_came),
        };
        if !is_about_file {
            return self;
        }
        Self {
            tries: self.tries + 1,
            taken,
            ..self
        }
    }
}

impl UploadQueue {
    pub fn new(
        remote: Arc<SharedStore>,
        upstream: Arc<Upstream>,
        store: Arc<Store>,
        counts: Arc<SharedStoreCounts>,
        distrusted: Arc<Distrusted>,
    ) -> Self {
        Self {
            journal: Arc::clone(&store.upload_journal),
            uploader: Uploader {
                remote,
                upstream,
                store,
                counts,
                distrusted,
            },
            waiting: Mutex::default(),
            length: AtomicUsize::default(),
            came: Notify::new(),
            closing: Shutdown::default(),
            taken: AtomicU64::default(),
            is_full: AtomicBool::default(),
        }
    }

    fn limit(&self) -> usize {
        self.uploader.remote.config.queue
    }

    pub fn len(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// What waits, and what still comes, goes to the queue of the next configuration.
    pub fn close(&self) {
        self.closing.begin();
        for left in self.waiting.lock().drain(..) {
            self.journal.hand_over(left.file);
        }
    }

    fn wait(&self, next: Waiting) {
        let mut waiting = self.waiting.lock();
        if self.closing.has_begun() {
            self.journal.hand_over(next.file);
        } else {
            waiting.push_back(next);
        }
    }

    /// Goes on with what an earlier process left, and takes what comes.
    pub fn start(self: &Arc<Self>) {
        if self.uploader.remote.config.concurrent_writes == 0 {
            return;
        }
        let this = Arc::clone(self);
        #[expect(
            clippy::disallowed_methods,
            reason = "uploads are behind all answers; what is cut is noted on the disk"
        )]
        tokio::spawn(async move {
            this.take_up().await;
            this.follow().await;
        });
        for _ in 0..self.uploader.remote.config.concurrent_writes {
            let this = Arc::clone(self);
            #[expect(
                clippy::disallowed_methods,
                reason = "uploads are behind all answers; what is cut is noted on the disk"
            )]
            tokio::spawn(async move { this.work().await });
        }
    }

    async fn take_up(&self) {
        let journal = Arc::clone(&self.journal);
        let read = correlation::spawn_blocking(move || journal.read()).await;
        let (notes, unreadable) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(why)) => {
                tracing::warn!(error = %why, "cannot read which files are yet to be uploaded to the shared store: they are not");
                return;
            }
            Err(_) => return,
        };
        if unreadable > 0 {
            tracing::warn!(
                files = unreadable,
                "notes of files that were to be uploaded to the shared store are damaged: these files are not"
            );
        }
        if !notes.is_empty() {
            tracing::info!(
                files = notes.len(),
                "goes on to upload files to the shared store"
            );
        }
        for UploadNote { file, anew } in notes {
            if anew {
                self.uploader.distrusted.recall(file.digest);
            }
            if self.len() >= self.limit() {
                self.dropped(&file);
                // Or it would be left out again at each start.
                self.forget(file);
                continue;
            }
            self.length.fetch_add(1, Ordering::Relaxed);
            self.put(file);
        }
    }

    /// Takes what the queue of an earlier configuration leaves, and what its downloads bring to it.
    async fn follow(self: Arc<Self>) {
        loop {
            let files = tokio::select! {
                files = self.journal.handed_over() => files,
                () = self.closing.begun() => return,
            };
            for file in files {
                let journal = Arc::clone(&self.journal);
                let asked = file.clone();
                let noted = correlation::spawn_blocking(move || journal.contains(&asked)).await;
                let is_uploaded = matches!(noted, Ok(Ok(false)));
                let is_waiting = self.waiting.lock().iter().any(|known| known.file == file);
                if !is_uploaded && !is_waiting {
                    self.length.fetch_add(1, Ordering::Relaxed);
                    self.put(file);
                }
            }
        }
    }

    /// Keeps a place for a file, and notes it on the disk; false if there is no place. Blocks.
    pub fn note(&self, file: &FileRef) -> bool {
        if self.uploader.remote.config.concurrent_writes == 0 {
            return false;
        }
        if self.len() >= self.limit() {
            self.dropped(file);
            return false;
        }
        self.length.fetch_add(1, Ordering::Relaxed);
        let note = UploadNote {
            file: file.clone(),
            anew: self.uploader.distrusted.is_wrong(file.digest),
        };
        if let Err(why) = self.journal.add(&note) {
            tracing::warn!(error = %why, "cannot note that a file is to be uploaded to the shared store: a restart would lose it");
        }
        true
    }

    /// Puts a file at the end. Its place is counted already.
    pub fn put(&self, file: FileRef) {
        let taken = self.taken.load(Ordering::Relaxed);
        self.wait(Waiting::new(file, taken));
        self.came.notify_one();
    }

    fn dropped(&self, file: &FileRef) {
        self.uploader.counts.upload_ended(UploadEnd::Dropped);
        if self.is_full.swap(true, Ordering::Relaxed) {
            tracing::debug!(file = %file.filename, "not uploaded to the shared store: the queue is full");
        } else {
            tracing::warn!(file = %file.filename, queue = self.limit(), "as many files as may be wait to be uploaded to the shared store (shared_store.queue): this one and further ones are not");
        }
    }

    async fn work(&self) {
        let mut pause = PAUSE_FIRST;
        loop {
            let next = tokio::select! {
                next = self.next() => next,
                () = self.closing.begun() => return,
            };
            let tried = tokio::select! {
                tried = self.uploader.upload(&next.file) => tried,
                () = self.closing.begun() => return self.wait(next),
            };
            match tried {
                Ok(end) => {
                    pause = PAUSE_FIRST;
                    match end {
                        UploadEnd::Completed => {
                            self.taken.fetch_add(1, Ordering::Relaxed);
                        }
                        UploadEnd::Lost => {
                            tracing::warn!(file = %next.file.filename, "a file is not uploaded to the shared store: it is no longer here");
                        }
                        UploadEnd::Present | UploadEnd::Dropped => {}
                    }
                    self.done(&next.file, end);
                }
                Err(why) => {
                    let next = next.tried(&why, self.taken.load(Ordering::Relaxed));
                    if next.tries >= TRIES_MAX {
                        self.lost(&next.file, &why);
                        continue;
                    }
                    tracing::info!(file = %next.file.filename, error = %why, wait = ?pause, "a file is yet to be uploaded to the shared store");
                    // Behind the others, which it may be that the shared store takes.
                    self.wait(next);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.closing.begun() => return,
                    }
                    pause = PAUSE_LAST.min(pause * 2);
                    self.came.notify_one();
                }
            }
        }
    }

    async fn next(&self) -> Waiting {
        loop {
            let came = self.came.notified();
            if let Some(next) = self.take() {
                return next;
            }
            came.await;
        }
    }

    fn take(&self) -> Option<Waiting> {
        let mut waiting = self.waiting.lock();
        let next = waiting.pop_front();
        // Of several that come at once one worker alone may have been told.
        if !waiting.is_empty() {
            self.came.notify_one();
        }
        next
    }

    fn lost(&self, file: &FileRef, why: &SharedStoreError) {
        tracing::warn!(file = %file.filename, error = %why, "a file is not uploaded to the shared store");
        self.done(file, UploadEnd::Lost);
    }

    /// This file's upload is over.
    pub fn done(&self, file: &FileRef, end: UploadEnd) {
        self.uploader.counts.upload_ended(end);
        self.length.fetch_sub(1, Ordering::Relaxed);
        self.is_full.store(false, Ordering::Relaxed);
        self.forget(file.clone());
    }

    fn forget(&self, file: FileRef) {
        let journal = Arc::clone(&self.journal);
        drop(correlation::spawn_blocking(move || {
            if let Err(why) = journal.remove(&file) {
                tracing::warn!(error = %why, "cannot take back the note of a file that is to be uploaded no more: it is looked at again after a restart");
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::registry::Route;

    fn waiting(taken: u64) -> Waiting {
        let digest = "0123456789abcdef".repeat(4);
        let path = format!("/api/v4/projects/42/packages/pypi/files/{digest}/demo-1.0.tar.gz");
        match Route::from_path(&path) {
            Ok(Route::File(file)) => Waiting::new(file, taken),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_breaks_counts_against_a_file_while_others_are_taken() {
        let broken = SharedStoreError::Failed("it broke off".to_owned());
        let mut next = waiting(5);
        for taken in [5, 5, 5] {
            next = next.tried(&broken, taken);
            assert_eq!(next.tries, 0, "it is away: it takes none");
        }
        let mut tries = Vec::new();
        for taken in [6, 6, 7, 9] {
            next = next.tried(&broken, taken);
            tries.push(next.tries);
        }
        assert_eq!(tries, [1, 1, 2, 3]);
    }

    #[test]
    fn a_refusal_counts_once_and_then_while_others_are_taken() {
        let refused = SharedStoreError::Answered(StatusCode::INTERNAL_SERVER_ERROR);
        let mut next = waiting(5);
        let mut tries = Vec::new();
        for taken in [5, 5, 6, 6] {
            next = next.tried(&refused, taken);
            tries.push(next.tries);
        }
        assert_eq!(tries, [1, 1, 2, 2]);
        let away = waiting(5).tried(&SharedStoreError::LeftAlone, 9);
        assert_eq!(away.tries, 0);
        let rejected = SharedStoreError::Rejected(StatusCode::BAD_REQUEST);
        assert_eq!(waiting(5).tried(&rejected, 5).tries, 1);
    }
}
