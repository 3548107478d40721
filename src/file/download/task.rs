//! The task that fetches one file: asks upstream, writes the body down, checks and stores it.
//!
//! A break in mid body is mended once by a range request with a validator, and at the next parent if
//! there are several; a wrong body is fetched
//! once more on a fresh connection, as long as no client has seen a byte of it. The task goes on
//! without readers if what is left is worth it. Must not know who reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;
use tokio::time::timeout;

use super::counts::DownloadEnd;
use super::pump::{BodyEnd, make_room, pump};
use super::shared_answer::SharedAnswer;
use super::{DownloadStart, DownloadTask, Handover};
use crate::file::error::FileError;
use crate::file::metadata::generator::{VerifiedWheel, log_failure};
use crate::file::shared::{LookupEnd, SharedFiles};
use crate::file::stored::is_stored;
use crate::store::{CatalogEntry, Cause, Checked, Reservation, Spool, StoreError, VerifiedSpool};
use crate::upstream::{
    FileAnswer, Peer, UpstreamRequest, UpstreamResponse, Validators, WantedRange,
};
use crate::values::byte_range::ByteRange;
use crate::values::{clock, correlation};

/// What upstream said of the body that is being written, and which remedies were tried.
struct Attempt {
    size: Option<u64>,
    validators: Validators,
    resumed: usize,
    refetched: bool,
    /// The parent that the body comes from.
    parent: Option<Peer>,
    origin: BodyOrigin,
    /// Until it is told how its body ended, which is counted once.
    shared: Option<Arc<SharedFiles>>,
}

impl Attempt {
    fn shared_ended(&mut self, how: LookupEnd) {
        if let Some(shared) = self.shared.take() {
            shared.ended(how);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.shared_ended(LookupEnd::Unused);
    }
}

/// Where the bytes that are written come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyOrigin {
    Upstream,
    SharedStore,
    /// The shared store's beginning, and upstream's rest.
    Both,
}

impl Drop for DownloadTask {
    fn drop(&mut self) {
        self.end(DownloadStart::Failed(FileError::Internal));
    }
}

impl DownloadTask {
    pub fn spawn(self) {
        #[expect(
            clippy::disallowed_methods,
            reason = "a download belongs to no client; what is left at the end is swept at the next start"
        )]
        tokio::spawn(correlation::carried(self.run()));
    }

    /// The first start stands.
    fn tell(&self, start: DownloadStart) {
        self.download.start.send_if_modified(|told| {
            let first = told.is_none();
            if first {
                *told = Some(start);
            }
            first
        });
    }

    /// Says how it ended. Out of the table first: a request that comes from here on starts anew.
    pub fn end(&self, start: DownloadStart) {
        self.downloads.retire(&self.file, &self.download);
        self.tell(start);
    }

    pub fn ask(&self, fresh_connection: bool) -> UpstreamRequest<'_> {
        UpstreamRequest {
            fresh_connection,
            ..UpstreamRequest::by(&self.route, &self.caller)
        }
    }

    async fn run(self) {
        let downloads = &self.downloads;
        let turn = timeout(downloads.config.queue_timeout.0, downloads.slots.acquire());
        let Ok(_slot) = turn.await else {
            return self.end(DownloadStart::Failed(FileError::Busy));
        };
        if downloads.slots.available_permits() == 0
            && downloads.retire_deserted(&self.file, &self.download)
        {
            // Every client that wanted it left while it waited for its turn.
            return;
        }
        // Asked while this download is in the table, and a download leaves the table only after its
        // file is in the store, so that no file is fetched twice.
        let now = clock::now();
        if is_stored(&downloads.store, &self.file, now).await {
            return self.tell(DownloadStart::Stored);
        }
        let fresh_connection = downloads.bad_digests.is_suspect(&self.file, now);
        if !fresh_connection {
            match self.ask_shared_store().await {
                SharedAnswer::Body(answer) => {
                    return self.finish(*answer, BodyOrigin::SharedStore).await;
                }
                SharedAnswer::Over => return,
                SharedAnswer::Nothing => {}
            }
        }
        if let Some(answer) = self.start(fresh_connection).await {
            self.finish(answer, BodyOrigin::Upstream).await;
        }
    }

    /// Asks upstream, and tells the waiting clients what came of it if it is not a body.
    async fn start(&self, fresh_connection: bool) -> Option<UpstreamResponse> {
        let (asked, answered) = self.request_body(fresh_connection).await;
        match answered {
            Ok(FileAnswer::Whole(answer)) => {
                // Before the clients are told: one that waits with the same credential finds its
                // right proven.
                let who = self.caller.fingerprint();
                self.downloads.access.admit_file(who, &self.file, asked);
                return Some(answer);
            }
            Ok(FileAnswer::Refused(answer)) => {
                self.downloads.counts.ended(DownloadEnd::Rejected);
                self.end(DownloadStart::Refused(answer));
            }
            Ok(_) => self.end(DownloadStart::Failed(FileError::Internal)),
            Err(why) => {
                self.downloads.counts.ended(DownloadEnd::Unanswered);
                self.end(DownloadStart::Failed(why.into()));
            }
        }
        None
    }

    /// Writes the body down, and what mends it, until the file is stored or given up.
    async fn finish(&self, first: UpstreamResponse, origin: BodyOrigin) {
        let shared = match origin {
            BodyOrigin::SharedStore => self.downloads.shared.clone(),
            BodyOrigin::Upstream | BodyOrigin::Both => None,
        };
        let mut attempt = Attempt {
            size: first.length(),
            validators: Validators::of(&first.headers),
            resumed: 0,
            refetched: false,
            parent: first.parent.clone(),
            origin,
            shared,
        };
        let room = make_room(&self.downloads.store, attempt.size).await;
        let (mut spool, mut reservation) = match room {
            Ok(room) => room,
            Err(why) => {
                self.downloads.counts.ended(DownloadEnd::Unstorable);
                tracing::warn!(error = %why, "the store cannot take a file: it is proxied uncached");
                return self.hand_over(first, origin).await;
            }
        };
        self.tell(DownloadStart::Streaming {
            partial: Arc::clone(spool.partial()),
            validators: attempt.validators.clone(),
            verified_first: self.is_verified_first(&attempt),
        });
        let mut answer = first;
        let cause = loop {
            let coded = answer.is_coded();
            let pumped = self.pump(answer, spool, reservation).await;
            let Some((written, room, end)) = pumped else {
                return;
            };
            spool = written;
            reservation = room;
            let wrong = match end {
                BodyEnd::Complete => match spool.check(self.file.digest) {
                    Checked::Whole(whole) => {
                        return self.seal(whole, reservation, &mut attempt).await;
                    }
                    Checked::Wrong(back, cause) => {
                        spool = back;
                        cause.of_coded(coded)
                    }
                },
                BodyEnd::Broke(cause) => cause,
                BodyEnd::Abandoned => break Cause::Abandoned,
            };
            match self.retry(wrong, &mut spool, &mut attempt).await {
                Some(next) => answer = next,
                None => break wrong,
            }
        };
        self.downloads.counts.ended(DownloadEnd::of(cause));
        tracing::warn!(file = %self.route, error = %cause, "a download failed");
        self.downloads.retire(&self.file, &self.download);
        spool.fail(cause);
    }

    /// Gives the first caller upstream's own answer, which nothing here can keep.
    async fn hand_over(&self, first: UpstreamResponse, origin: BodyOrigin) {
        let answer = match origin {
            BodyOrigin::Upstream => Some(first),
            BodyOrigin::SharedStore | BodyOrigin::Both => self.start(false).await,
        };
        if let Some(answer) = answer {
            self.end(DownloadStart::Unstorable(Handover::new(answer)));
        }
    }

    async fn pump(
        &self,
        answer: UpstreamResponse,
        spool: Spool,
        reservation: Reservation,
    ) -> Option<(Spool, Reservation, BodyEnd)> {
        let skip = if answer.status == StatusCode::OK {
            spool.written()
        } else {
            0
        };
        let give_up = || self.is_deserted();
        let store = &self.downloads.store;
        pump(store, answer.body, spool, reservation, skip, give_up).await
    }

    /// No client reads, and what is left is not worth fetching without one.
    fn is_deserted(&self) -> bool {
        if self.download.readers.load(Ordering::Acquire) > 0 {
            return false;
        }
        let alone_max = self.downloads.config.finish_after_abort_max.0;
        let written = self.download.written();
        !worth_finishing(written, self.download.size(), alone_max)
            && self.downloads.retire_deserted(&self.file, &self.download)
    }

    fn is_verified_first(&self, attempt: &Attempt) -> bool {
        let Some(shared) = &self.downloads.shared else {
            return false;
        };
        let is_small = attempt.size.is_some_and(|size| shared.verifies_first(size));
        attempt.origin == BodyOrigin::SharedStore && is_small
    }

    /// Asks again after a body that broke off or was wrong: after either once. Of what the shared
    /// store sent upstream is not to blame.
    async fn retry(
        &self,
        wrong: Cause,
        spool: &mut Spool,
        attempt: &mut Attempt,
    ) -> Option<UpstreamResponse> {
        match wrong {
            Cause::Upstream | Cause::Short | Cause::Stalled
                if attempt.origin == BodyOrigin::SharedStore =>
            {
                attempt.origin = BodyOrigin::Both;
                attempt.shared_ended(LookupEnd::Broken);
                if let Some(rest) = self.resume(spool.written(), attempt).await {
                    return Some(rest);
                }
                // Upstream alone may still give the whole: the break is not its own.
                attempt.origin = BodyOrigin::Upstream;
                self.start_over(spool, attempt).await
            }
            Cause::WrongDigest | Cause::Coded | Cause::Long
                if attempt.origin != BodyOrigin::Upstream =>
            {
                attempt.origin = BodyOrigin::Upstream;
                // After a break that upstream mended, either's bytes may be the wrong ones.
                if let Some(shared) = attempt.shared.take() {
                    shared.was_wrong(self.file.digest);
                }
                self.start_over(spool, attempt).await
            }
            Cause::Upstream | Cause::Short | Cause::Stalled
                if attempt.resumed < self.resumes_max() =>
            {
                attempt.resumed += 1;
                self.resume(spool.written(), attempt).await
            }
            Cause::WrongDigest | Cause::Coded | Cause::Long => {
                self.downloads.bad_digests.record(&self.file, clock::now());
                tracing::error!(file = %self.route, cause = %wrong, "checksum mismatch: upstream sent other bytes than the address names");
                let again = !attempt.refetched;
                attempt.refetched = true;
                if !again {
                    return None;
                }
                self.start_over(spool, attempt).await
            }
            _ => None,
        }
    }

    /// Asks upstream for the whole, unless a client has seen a byte of what was wrong.
    async fn start_over(
        &self,
        spool: &mut Spool,
        attempt: &mut Attempt,
    ) -> Option<UpstreamResponse> {
        if !spool.start_over().unwrap_or(false) {
            return None;
        }
        let answer = self.refetch().await?;
        attempt.validators = Validators::of(&answer.headers);
        attempt.parent.clone_from(&answer.parent);
        attempt.size = answer.length();
        spool.announce(attempt.size);
        Some(answer)
    }

    /// Asks for what is missing after a break, with a validator so that two bodies are never
    /// spliced.
    async fn resume(&self, written: u64, attempt: &mut Attempt) -> Option<UpstreamResponse> {
        let mut if_range = attempt.validators.for_resume().cloned();
        // Without one, what the shared store began is compared with the whole.
        if if_range.is_none() && attempt.origin == BodyOrigin::Upstream {
            return None;
        }
        let mut ask = self.ask(true);
        ask.broke_off.clone_from(&attempt.parent);
        let is_range = written > 0 && if_range.is_some();
        // A parent that has not got as far itself makes a range under the validator wait for its own
        // download, and passes one without it on to GitLab: the digest judges the sum.
        if attempt.resumed > 1 {
            if_range = None;
        }
        if is_range {
            let range = ByteRange::From {
                first: written,
                last: None,
            };
            ask.range = Some(WantedRange { range, if_range });
        }
        let (answer, fits) = match self.downloads.upstream.file(&ask).await.ok()? {
            FileAnswer::Part(part, answer) => {
                let fits = attempt.size.is_none() || part.whole == attempt.size;
                (answer, fits)
            }
            // The whole again: what is there already is skipped, and the digest judges the sum.
            FileAnswer::Whole(answer) => {
                let length = answer.length();
                let fits = length.is_none() || length == attempt.size;
                (answer, fits)
            }
            _ => return None,
        };
        tracing::info!(file = %self.route, written, resumed = fits, "a download broke off");
        attempt.parent.clone_from(&answer.parent);
        if fits { Some(answer) } else { None }
    }

    /// How often a body that broke off is gone on with: once, and of several parents once more for
    /// each, because one after another may be started anew while a large file is on its way.
    fn resumes_max(&self) -> usize {
        match self.downloads.upstream.peers_of(&self.file.scope) {
            0 | 1 => 1,
            parents => 1 + parents,
        }
    }

    async fn refetch(&self) -> Option<UpstreamResponse> {
        match self.downloads.upstream.file(&self.ask(true)).await {
            Ok(FileAnswer::Whole(answer)) => Some(answer),
            Ok(_) | Err(_) => None,
        }
    }

    /// Makes the file lasting: blob first, then the address, so that no address ever names bytes
    /// that are not there.
    async fn seal(&self, whole: VerifiedSpool, reservation: Reservation, attempt: &mut Attempt) {
        self.downloads.bad_digests.clear(&self.file);
        let (etag, last_modified) = attempt.validators.to_text();
        let entry = CatalogEntry {
            size: whole.size(),
            etag,
            last_modified,
        };
        let store = Arc::clone(&self.downloads.store);
        let file = self.file.clone();
        let generator = Arc::clone(&self.downloads.generator);
        let generates = generator.config.generate && file.filename.is_wheel();
        // What came from the shared store is there.
        let shared = match attempt.origin {
            BodyOrigin::Upstream => self.downloads.shared.clone(),
            BodyOrigin::SharedStore | BodyOrigin::Both => None,
        };
        let seal = move || {
            let wheel = VerifiedWheel {
                file: Arc::clone(whole.file()),
                size: whole.size(),
            };
            let mut noted = false;
            let record = || {
                noted = shared.as_ref().is_some_and(|shared| shared.note(&file));
                store.catalog.record(&file, entry)
            };
            let kept = whole.seal(&store.blobs, reservation, record);
            let noted = if noted { shared } else { None };
            if let Err(why) = kept {
                if let Some(shared) = noted {
                    shared.give_up(&file);
                }
                return Err(why);
            }
            // The readers have everything by now; what fails here is tried again when the metadata
            // is asked for.
            if generates && let Err(why) = generator.generate(&file, &wheel) {
                log_failure(&file, &why);
            }
            // With the metadata.
            if let Some(shared) = noted {
                shared.upload(&file);
            }
            Ok(())
        };
        let sealed: Result<Result<(), StoreError>, _> = correlation::spawn_blocking(seal).await;
        let end = match &sealed {
            Ok(Ok(())) => DownloadEnd::Completed,
            Ok(Err(_)) | Err(_) => DownloadEnd::Unstorable,
        };
        attempt.shared_ended(LookupEnd::Hit);
        self.downloads.counts.ended(end);
        if let Ok(Err(why)) = sealed {
            tracing::error!(file = %self.route, error = %why, "a download could not be stored");
        }
    }
}

/// Whether a download without readers is carried to its end.
fn worth_finishing(written: u64, size: Option<u64>, alone_max: u64) -> bool {
    match size {
        Some(size) => size <= alone_max || written > size / 2,
        None => written <= alone_max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_or_half_done_downloads_are_finished_without_readers() {
        assert!(worth_finishing(0, Some(100), 100));
        assert!(!worth_finishing(50, Some(101), 100));
        assert!(worth_finishing(51, Some(101), 100));
        assert!(worth_finishing(100, None, 100));
        assert!(!worth_finishing(101, None, 100));
    }
}
