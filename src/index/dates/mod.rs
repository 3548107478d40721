//! Sizes and upload dates of the files of GitLab's pages, which GitLab tells by its packages API
//! alone.
//!
//! Owns what is known of them, and the questions: which page is asked about, in whose name, and how
//! often. A page whose files lack dates is answered as it is; GitLab is asked behind the answer, in
//! the name of the caller that was given the page, and with `gitlab.dates_token_file` for what that
//! caller's token is not told. What is learned is kept for as long as the page lists the file, and is
//! shown on a page only for files that the page lists by itself, so that no caller learns of a file
//! it does not see. A date is GitLab's or there is none. Must not know how a page is written.

mod rate;
mod run;
mod token;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, Semaphore, watch};
use tokio::time::timeout;

use self::rate::RequestRate;
use self::run::{DatesRun, RunError, RunTools};
use self::token::{Asker, AskingToken};
use super::config::IndexConfig;
use crate::access::{Access, Caller, Credential};
use crate::registry::{FileRef, PageRef, Scope, ScopeKind};
use crate::store::{DateStore, PageDates, PageNews};
use crate::upstream::Upstream;
use crate::values::digest::Digest;
use crate::values::{clock, correlation};

/// A page of which GitLab told a credential nothing, or not all, is left alone for so long.
const LEFT_ALONE_FOR: Duration = Duration::from_secs(3600);

/// A page about which a credential was refused rests for so long, whoever is given it.
const REFUSED_REST: Duration = Duration::from_secs(60);

/// First-seen days that are kept of one page, whether it lists their files or not.
const SEEN_MAX: usize = 2000;

/// Pages and credentials remembered to be left alone.
const LEFT_ALONE_MAX: u64 = 65_536;

/// What is known of pages' files, in memory.
const KNOWN_BYTES_MAX: u64 = 16 << 20;

/// Of so many pages what is known is replaced at once.
const CHANGES_AT_ONCE: usize = 16;

/// What the service works with.
pub struct DatesDependencies {
    pub upstream: Arc<Upstream>,
    pub access: Arc<Access>,
    pub store: Arc<DateStore>,
    /// Of `gitlab.dates_token_file`.
    pub token: Option<Credential>,
    /// Whether GitLab is asked at all.
    pub asks: bool,
    /// Whether dates are looked up by files' own addresses too.
    pub by_file: bool,
    pub counts: Arc<DatesCounts>,
}

pub struct UploadDates {
    dependencies: DatesDependencies,
    requests_max: u32,
    queue_max: usize,
    known: Cache<PageRef, Arc<PageDates>>,
    /// One is held while what is known of a page is replaced, here and on the disk: the same for the
    /// same page.
    changing: [AsyncMutex<()>; CHANGES_AT_ONCE],
    queue: Mutex<HashMap<PageRef, Asking>>,
    wait: Duration,
    left_alone: Cache<(PageRef, Asker), ()>,
    /// Pages of which GitLab told what there is, and the mark of the files that had no date then.
    exhausted: Cache<(PageRef, Audience), u64>,
    resting: Cache<PageRef, ()>,
    turns: Semaphore,
    rate: RequestRate,
    paused_until: Mutex<Option<Instant>>,
}

/// A page that GitLab is, or is to be, asked about.
#[derive(Clone)]
struct Asking {
    since: Instant,
    /// Closed when that is over.
    done: watch::Receiver<()>,
}

/// What became of files whose date GitLab was asked for, for as long as the process lives.
#[derive(Debug, Default)]
pub struct DatesCounts {
    told: AtomicU64,
    untold: AtomicU64,
}

/// For whose pages it counts that GitLab told what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Audience {
    AllCallers,
    /// Another's token may be told more: of a group, or where some of it was refused.
    One(Asker),
}

/// The service's numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct DatesReading {
    /// Files whose date was learned.
    pub told: u64,
    /// Files of which GitLab told nothing to any credential that could be used.
    pub untold: u64,
    /// Pages that wait for their files' dates.
    pub queue: u64,
}

impl UploadDates {
    pub fn new(config: &IndexConfig, dependencies: DatesDependencies) -> Arc<Self> {
        let concurrency = config.upload_dates_concurrency;
        let weigh =
            |_: &PageRef, dates: &Arc<PageDates>| u32::try_from(dates.weight()).unwrap_or(u32::MAX);
        Arc::new(Self {
            requests_max: config.upload_dates_requests,
            queue_max: config.upload_dates_queue,
            known: Cache::builder()
                .max_capacity(KNOWN_BYTES_MAX)
                .weigher(weigh)
                .build(),
            changing: Default::default(),
            queue: Mutex::default(),
            wait: config.upload_dates_wait.0,
            left_alone: remembered(LEFT_ALONE_FOR),
            exhausted: remembered(LEFT_ALONE_FOR),
            resting: remembered(REFUSED_REST),
            turns: Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS)),
            rate: RequestRate::per_minute(config.upload_dates_rate),
            paused_until: Mutex::new(None),
            dependencies,
        })
    }

    /// Forgets what memory knows of the disk: it may say otherwise now.
    pub fn forget(&self) {
        self.known.invalidate_all();
    }

    /// Asks no more: a page that waits for its turn gets none, and one that is asked about has had
    /// its last request.
    pub fn close(&self) {
        self.turns.close();
    }

    pub fn reading(&self) -> DatesReading {
        let counts = &self.dependencies.counts;
        DatesReading {
            told: counts.told.load(Ordering::Relaxed),
            untold: counts.untold.load(Ordering::Relaxed),
            queue: self.queue.lock().len() as u64,
        }
    }

    /// What is known of the files of a page.
    pub async fn of(self: &Arc<Self>, page: &PageRef) -> Arc<PageDates> {
        if page.name.is_none() {
            return Arc::default();
        }
        if let Some(known) = self.known.get(page)
            && !known.is_unreadable()
        {
            return known;
        }
        let this = Arc::clone(self);
        let of = page.clone();
        let read = correlation::spawn_blocking(move || this.stored(&of)).await;
        let dates = Arc::new(read.unwrap_or_else(|_| PageDates::unreadable()));
        // What was learned meanwhile is more. What cannot be read is read again the next time.
        if dates.is_unreadable() {
            return self.known.get(page).unwrap_or(dates);
        }
        let entry = self.known.entry_by_ref(page);
        let known = entry.or_insert(Arc::clone(&dates)).into_value();
        if !known.is_unreadable() {
            return known;
        }
        self.known.insert(page.clone(), Arc::clone(&dates));
        dates
    }

    /// What the disk has of the files of a page; marked if it cannot be read. Blocks.
    pub fn stored(&self, page: &PageRef) -> PageDates {
        let read = self.dependencies.store.read(page);
        read.unwrap_or_else(|why| {
            tracing::warn!(error = %why, page = %page.path(), "the upload dates of a page cannot be read");
            PageDates::unreadable()
        })
    }

    /// The mark of what is known of the files of a page, as far as memory tells.
    pub fn mark(&self, page: &PageRef) -> Option<u64> {
        let known = self.known.get(page)?;
        Some(known.mark())
    }

    /// This caller was given this page, whose files lack dates: has GitLab asked, unless it is being
    /// asked, or there is no credential that would be told more.
    pub fn want(self: &Arc<Self>, caller: &Caller, page: &PageRef, undated: &Arc<[FileRef]>) {
        if undated.is_empty() || !self.dependencies.asks || self.is_paused(clock::now()) {
            return;
        }
        let is_known = |audience| self.is_exhausted(page, audience, undated);
        if self.resting.contains_key(page) || is_known(Audience::AllCallers) {
            return;
        }
        let may = |asker| {
            let is_left_alone = self.left_alone.contains_key(&(page.clone(), asker));
            !is_left_alone && !is_known(Audience::One(asker))
        };
        let askers = self.askers(caller, page, may);
        if askers.is_empty() {
            return;
        }
        let Some(slot) = self.slot(page) else {
            return;
        };
        let undated = Arc::clone(undated);
        #[expect(
            clippy::disallowed_methods,
            reason = "no client waits for it; lost without harm"
        )]
        tokio::spawn(correlation::carried(async move {
            slot.dates.learn(&slot.page, askers, &undated).await;
        }));
    }

    /// Returns when GitLab has been asked about this page, or when it was asked for as long as an
    /// answer may wait for that; at once if nothing is under way.
    pub async fn settled(&self, page: &PageRef) {
        let asking = self.queue.lock().get(page).cloned();
        let Some(Asking { since, mut done }) = asking else {
            return;
        };
        let waited = clock::now().saturating_duration_since(since);
        // It never changes, and is closed when the slot is given up.
        let _ = timeout(self.wait.saturating_sub(waited), done.changed()).await;
    }

    /// Whether GitLab told what there is of these very files: as many others are new ones.
    fn is_exhausted(&self, page: &PageRef, audience: Audience, undated: &[FileRef]) -> bool {
        let Some(missing) = self.exhausted.get(&(page.clone(), audience)) else {
            return false;
        };
        let files = undated.iter();
        missing == mark_of_files(files.map(|file| (file.digest, file.filename.as_str())))
    }

    /// The tokens that GitLab may yet tell something, the caller's first.
    fn askers(
        &self,
        caller: &Caller,
        page: &PageRef,
        may: impl Fn(Asker) -> bool,
    ) -> Vec<AskingToken> {
        let mut askers = Vec::new();
        let since = clock::now();
        let own = Asker::Caller(caller.fingerprint());
        if may(own)
            && let Some(credential) = caller.credential().for_packages_api()
            // GitLab takes none for the list of a group.
            && !(credential.is_job_token() && page.scope.kind() == ScopeKind::Group)
        {
            askers.push(AskingToken {
                asker: own,
                credential,
                since,
            });
        }
        if may(Asker::Operator)
            && let Some(token) = &self.dependencies.token
        {
            askers.push(AskingToken {
                asker: Asker::Operator,
                credential: token.clone(),
                since,
            });
        }
        askers
    }

    /// A slot in the queue, if there is one and the page has none.
    fn slot(self: &Arc<Self>, page: &PageRef) -> Option<QueueSlot> {
        let mut queue = self.queue.lock();
        if queue.len() >= self.queue_max || queue.contains_key(page) {
            return None;
        }
        let (closing, done) = watch::channel(());
        let since = clock::now();
        queue.insert(page.clone(), Asking { since, done });
        Some(QueueSlot {
            dates: Arc::clone(self),
            page: page.clone(),
            _closing: closing,
        })
    }

    /// Asks each in turn for what those before were not told.
    async fn learn(
        self: &Arc<Self>,
        page: &PageRef,
        askers: Vec<AskingToken>,
        undated: &[FileRef],
    ) {
        let Ok(_turn) = self.turns.acquire().await else {
            return;
        };
        // The page may be from before the last questions about it ended.
        let known = self.of(page).await;
        let unknown = undated
            .iter()
            .filter(|file| known.find(file.digest, file.filename.as_str()).is_none());
        let tools = RunTools {
            upstream: &self.dependencies.upstream,
            access: &self.dependencies.access,
            rate: &self.rate,
            turns: &self.turns,
        };
        let Some(mut run) = DatesRun::new(tools, self.requests_max, page, unknown) else {
            return;
        };
        let mut told = Vec::new();
        let mut goes_on = false;
        let written = undated.first().map(|file| &file.scope);
        for token in askers {
            if run.is_done() {
                return;
            }
            match self.ask_for_all(&mut run, page, written, &token).await {
                Ok(()) => told.push(audience(page, token.asker, run.take_is_partial())),
                Err(RunError::Refused(status)) => self.refused(page, token.asker, status),
                // The next caller's page goes on where this one stopped.
                Err(RunError::Lapsed) => goes_on = true,
                Err(RunError::Died(status)) => {
                    self.refused(page, token.asker, status);
                    goes_on = true;
                }
                Err(RunError::Enough) => return,
                Err(RunError::Closed) => {
                    tracing::info!(page = %page.path(), "GitLab is asked for no more upload dates by settings that were replaced");
                    return;
                }
                Err(RunError::Pause(wait, why)) => {
                    self.pause(wait, clock::now());
                    tracing::warn!(error = %why, "GitLab is asked for no upload dates for a while");
                    return;
                }
            }
        }
        if !run.is_done() {
            self.note_untold(page, told, &run, goes_on);
        }
    }

    /// Remembers that files have no date although GitLab was asked.
    fn note_untold(&self, page: &PageRef, told: Vec<Audience>, run: &DatesRun<'_>, goes_on: bool) {
        let untold = &self.dependencies.counts.untold;
        untold.fetch_add(run.missing() as u64, Ordering::Relaxed);
        let missing = mark_of_files(run.missing_files());
        if told.is_empty() && !goes_on {
            self.resting.insert(page.clone(), ());
        }
        for audience in told {
            self.exhausted.insert((page.clone(), audience), missing);
        }
    }

    /// Asks with this credential until every file has its date or the list has ended. What was
    /// learned is kept, however it ends.
    async fn ask_for_all(
        self: &Arc<Self>,
        run: &mut DatesRun<'_>,
        page: &PageRef,
        written: Option<&Scope>,
        token: &AskingToken,
    ) -> Result<(), RunError> {
        let before = run.requests_left();
        let mut files = 0;
        let mut next = Some(1);
        while let Some(part) = next
            && !run.is_done()
        {
            let missing = run.missing();
            let asked = run.ask_for_part(part, token).await;
            let told = missing - run.missing();
            files += told;
            let counts = &self.dependencies.counts;
            counts.told.fetch_add(told as u64, Ordering::Relaxed);
            let news = PageNews {
                dated: run.take_found(),
                seen: Vec::new(),
            };
            self.keep_by_file(page, written, news).await;
            next = asked?;
        }
        tracing::info!(
            page = %page.path(), files, missing = run.missing(), requests = before - run.requests_left(),
            "GitLab was asked when the files of a page were uploaded"
        );
        Ok(())
    }

    fn refused(&self, page: &PageRef, asker: Asker, status: http::StatusCode) {
        if asker == Asker::Operator {
            tracing::warn!(
                %status, page = %page.path(),
                "GitLab tells no upload dates of this page to gitlab.dates_token_file"
            );
        } else {
            tracing::debug!(%status, page = %page.path(), "GitLab tells no upload dates to this caller's token");
        }
        self.left_alone.insert((page.clone(), asker), ());
    }

    /// GitLab has just said that a page lists these files: forgets the dates of others, which may
    /// be uploaded again one day, and gives what their mark was. What one caller is shown of a group
    /// says nothing of what the group has.
    pub async fn keep_listed(self: &Arc<Self>, page: &PageRef, listed: &[FileRef]) -> u64 {
        if page.scope.kind() != ScopeKind::Project {
            return 0;
        }
        // Mostly there is nothing to forget, and nothing is waited for.
        if !self.of(page).await.has_others(listed.iter()) {
            return 0;
        }
        let _one_at_a_time = self.change(page).await;
        let known = self.of(page).await;
        let mut dates = PageDates::clone(&known);
        if dates.keep_listed(listed.iter()) == 0 {
            return 0;
        }
        let forgotten = known.mark().wrapping_sub(dates.mark());
        self.known.insert(page.clone(), Arc::new(dates));
        let store = Arc::clone(&self.dependencies.store);
        let of = page.clone();
        let listed = listed.to_vec();
        let kept = correlation::spawn_blocking(move || store.keep_listed(&of, &listed)).await;
        if let Ok(Err(why)) = kept {
            tracing::warn!(error = %why, page = %page.path(), "upload dates of files that are gone cannot be removed from the disk");
        }
        forgotten
    }

    /// A page has just come that lists these files without a date. What was first seen of a page is
    /// bounded: of more files than that, those that it lists no more are forgotten. Sooner nothing is,
    /// because a day that is lost cannot be learned again, and a page may lack files for a moment, or
    /// for one caller.
    pub async fn bound_seen(self: &Arc<Self>, page: &PageRef, listed: Vec<(Digest, String)>) {
        if self.of(page).await.seen_len() <= SEEN_MAX {
            return;
        }
        let _one_at_a_time = self.change(page).await;
        let mut dates = PageDates::clone(&*self.of(page).await);
        if dates.keep_seen(&listed) == 0 {
            return;
        }
        self.known.insert(page.clone(), Arc::new(dates));
        let store = Arc::clone(&self.dependencies.store);
        let of = page.clone();
        let kept = correlation::spawn_blocking(move || store.keep_seen(&of, &listed)).await;
        if let Ok(Err(why)) = kept {
            tracing::warn!(error = %why, page = %page.path(), "first-seen days of files that are gone cannot be removed from the disk");
        }
    }

    /// Keeps what was learned, for the page, and where it is looked up by file, for the page of the
    /// scope that the page's links write.
    pub async fn keep_by_file(
        self: &Arc<Self>,
        page: &PageRef,
        written: Option<&Scope>,
        news: PageNews,
    ) {
        if self.dependencies.by_file
            && let Some(written) = written
            && *written != page.scope
        {
            let own = PageRef {
                scope: written.clone(),
                name: page.name.clone(),
            };
            self.keep(&own, news.clone()).await;
        }
        self.keep(page, news).await;
    }

    /// Keeps what was learned, here and on the disk.
    async fn keep(self: &Arc<Self>, page: &PageRef, news: PageNews) {
        if news.is_empty() {
            return;
        }
        let _one_at_a_time = self.change(page).await;
        let mut dates = PageDates::clone(&*self.of(page).await);
        dates.learn(news.clone());
        let store = Arc::clone(&self.dependencies.store);
        let of = page.clone();
        let kept = correlation::spawn_blocking(move || store.add(&of, news)).await;
        if let Ok(Err(why)) = kept {
            tracing::warn!(error = %why, page = %page.path(), "upload dates cannot be kept: they are asked for again after a restart");
        }
        self.known.insert(page.clone(), Arc::new(dates));
    }

    /// Returns when this page is changed by none else.
    async fn change(&self, page: &PageRef) -> AsyncMutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        page.hash(&mut hasher);
        let place = hasher.finish() as usize % CHANGES_AT_ONCE;
        self.changing[place].lock().await
    }

    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.lock().is_some_and(|until| now < until)
    }

    fn pause(&self, wait: Duration, now: Instant) {
        *self.paused_until.lock() = now.checked_add(wait);
    }
}

/// One number for a set of files, in whichever order they come.
fn mark_of_files<'f>(files: impl Iterator<Item = (Digest, &'f str)>) -> u64 {
    let mut mark: u64 = 0;
    for file in files {
        let mut hasher = DefaultHasher::new();
        file.hash(&mut hasher);
        mark = mark.wrapping_add(hasher.finish());
    }
    mark
}

/// For whom it counts that this asker was told what there is.
fn audience(page: &PageRef, asker: Asker, is_partial: bool) -> Audience {
    if is_partial || page.scope.kind() == ScopeKind::Group {
        Audience::One(asker)
    } else {
        Audience::AllCallers
    }
}

/// What is remembered for so long, in bounded number.
fn remembered<K, V>(time: Duration) -> Cache<K, V>
where
    K: Eq + std::hash::Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder()
        .max_capacity(LEFT_ALONE_MAX)
        .time_to_live(time)
        .build()
}

/// A page's slot in the queue, given up in whatever way its questions end.
struct QueueSlot {
    dates: Arc<UploadDates>,
    page: PageRef,
    _closing: watch::Sender<()>,
}

impl Drop for QueueSlot {
    fn drop(&mut self) {
        self.dates.queue.lock().remove(&self.page);
    }
}
