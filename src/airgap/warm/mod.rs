//! Fetching what a plan names through the daemon: pages first, then files, several at once.
//!
//! What is cached already is seen on the disk (`store::Peek`) rather than asked for: that costs no
//! request, and needs no right, because no byte leaves the folder. Whether all of it is still cached
//! is looked at once more at the end, so that success means that everything is there. Resumable by construction: what is there stays. Must not know how anything is printed.

pub mod fetcher;
mod locked_file;
pub mod need;
pub mod page;
pub mod plan;
pub mod record;
pub mod sdist;
pub mod selection;
pub mod tags;
pub mod target;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::registry::{FileRef, PageRef, Route, Scope};
use crate::simple::ProjectName;
use crate::store::Peek;
use crate::values::correlation;
use crate::values::digest::Digest;
use fetcher::{DaemonFetcher, FetchError, FetchedBody, FetchedFrom};
use page::{MetadataOffer, ServedPage};
use plan::{Absence, Missing, PageLookup, Planned, ProjectPages};

/// Bytes of files are kept just after they were given: so often and so long is it waited for.
const KEPT_EVERY: Duration = Duration::from_millis(25);
const KEPT_LOOKS_MAX: usize = 400;

/// Pieces of a body on their way to the reader of an archive.
const PIECES_MAX: usize = 16;

/// News while files are fetched.
#[derive(Clone, Debug)]
pub enum Event {
    /// So many bytes more were read.
    Bytes(u64),
    /// So many of them did not count: the attempt failed.
    Lost(u64),
    Done(Box<FetchedFile>),
}

/// What became of one file.
#[derive(Clone, Debug)]
pub struct FetchedFile {
    pub file: Planned,
    pub result: Result<FetchedBody, Absence>,
}

/// What a warm run works with.
pub struct Warm {
    pub asker: DaemonFetcher,
    /// Requests at once.
    pub jobs: usize,
    /// The folder, to see what is cached.
    pub cache_dir: PathBuf,
}

impl Warm {
    /// Asks for each project's page in each of its scopes.
    pub async fn pages(
        self: &Arc<Self>,
        asked: &BTreeMap<ProjectName, Vec<Scope>>,
    ) -> ProjectPages {
        let mut questions = Vec::new();
        for (project, scopes) in asked {
            for scope in scopes {
                questions.push((project.clone(), scope.clone()));
            }
        }
        let looked = each(
            self,
            questions,
            self.jobs,
            |warm, (project, scope)| async move {
                let page = warm.page(&project, scope).await;
                (project, page)
            },
        );
        let mut pages = ProjectPages::new();
        for (project, page) in looked.await {
            pages.entry(project).or_default().push(page);
        }
        pages
    }

    async fn page(&self, project: &ProjectName, scope: Scope) -> PageLookup {
        let route = Route::Page(PageRef {
            scope: scope.clone(),
            name: Some(project.clone()),
        });
        let body = match self.asker.page(&route).await {
            Ok(body) => body,
            Err(FetchError::NotThere) => return PageLookup::NotThere(scope),
            Err(why) => return PageLookup::Failed(scope, why.to_string()),
        };
        match ServedPage::read(scope.clone(), project, &body, self.asker.prefix()) {
            Ok(listing) => PageLookup::Page(listing),
            Err(why) => PageLookup::Failed(scope, why.to_string()),
        }
    }

    /// Which files are cached whole, with their metadata, and which are to be fetched.
    pub async fn sort(self: &Arc<Self>, files: Vec<Planned>) -> (Vec<FetchedFile>, Vec<Planned>) {
        let looked = each(self, files, self.jobs, |warm, file| async move {
            let mut here = None;
            if warm.metadata_is_cached(&file).await {
                here = warm.cached(&file).await;
            }
            (file, here)
        });
        let mut cached = Vec::new();
        let mut absent = Vec::new();
        for (file, here) in looked.await {
            match here {
                Some(here) => cached.push(FetchedFile {
                    file,
                    result: Ok(here),
                }),
                None => absent.push(file),
            }
        }
        (cached, absent)
    }

    /// Fetches what is not cached, and tells of each file when it is done. The outcome of each, in
    /// the plan's order.
    pub async fn fetch(
        self: &Arc<Self>,
        files: &[Planned],
        news: &mpsc::Sender<Event>,
    ) -> Vec<FetchedFile> {
        let work = |warm: Arc<Self>, file: Planned| {
            let news = news.clone();
            async move {
                let result = warm.one(&file, &news).await;
                let fetched = FetchedFile { file, result };
                // The listener may have gone; what was fetched stays fetched.
                let _ = news.send(Event::Done(Box::new(fetched.clone()))).await;
                fetched
            }
        };
        let mut fetched = each(self, files.to_vec(), self.jobs, work).await;
        for one in &mut fetched {
            if one.result.is_ok() && !self.is_kept(&one.file).await {
                one.result = Err(Absence::Fetch(not_kept(&one.file)));
            }
        }
        fetched
    }

    async fn one(
        &self,
        file: &Planned,
        news: &mpsc::Sender<Event>,
    ) -> Result<FetchedBody, Absence> {
        let here = match self.cached(file).await {
            Some(here) => here,
            None => self.get(file, news).await?,
        };
        if !self.metadata_is_cached(file).await
            && let Some(metadata_route) = metadata_route(file)
        {
            let metadata = self.asker.file(&metadata_route, |_| (), |_| ()).await;
            metadata.map_err(|why| Absence::Fetch(format!("its metadata: {why}")))?;
        }
        Ok(here)
    }

    async fn get(
        &self,
        file: &Planned,
        news: &mpsc::Sender<Event>,
    ) -> Result<FetchedBody, Absence> {
        // A bar that misses a piece is put right by the end of the file.
        let piece = |bytes: &Bytes| drop(news.try_send(Event::Bytes(bytes.len() as u64)));
        let lost = |bytes: u64| drop(news.try_send(Event::Lost(bytes)));
        let got = match self.asker.file(&file.route, piece, lost).await {
            Ok(got) => got,
            Err(why) => return Err(Absence::Fetch(why.to_string())),
        };
        match file.sha256 {
            Some(expected) if expected != got.sha256 => {
                let why = format!("its sha256 is {}, not {expected}", got.sha256);
                Err(Absence::Fetch(why))
            }
            _ => Ok(got),
        }
    }

    /// The file, if it is cached at this address. A look that fails is answered by fetching.
    async fn cached(&self, file: &Planned) -> Option<FetchedBody> {
        let sha256 = file.sha256;
        self.look(&file.route, move |peek, route| {
            let file = file_ref(peek, route, sha256)?;
            let found = peek.file(&file).ok()??;
            if !found.is_here {
                return None;
            }
            Some(FetchedBody {
                size: found.entry.size,
                sha256: file.digest,
                from: FetchedFrom::Cache,
            })
        })
        .await
    }

    /// Whether the metadata that the page offers is cached; true if it offers none.
    async fn metadata_is_cached(&self, file: &Planned) -> bool {
        if file.metadata == MetadataOffer::Absent {
            return true;
        }
        let sha256 = file.sha256;
        let metadata = file.metadata;
        let found = self.look(&file.route, move |peek, route| {
            let wheel = file_ref(peek, route, sha256)?;
            if let Ok(Some(found)) = peek.metadata(&wheel)
                && found.is_here
            {
                return Some(true);
            }
            let MetadataOffer::Hashed(digest) = metadata else {
                return None;
            };
            let own = FileRef::mirrored(&wheel.mirror_path()?.metadata()?, digest);
            Some(peek.file(&own).ok()??.is_here)
        });
        found.await == Some(true)
    }

    /// Looks into the folder.
    async fn look<T: Send + 'static>(
        &self,
        route: &Route,
        look: impl FnOnce(&Peek, &Route) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let dir = self.cache_dir.clone();
        let route = route.clone();
        let looking = correlation::spawn_blocking(move || look(&Peek::at(&dir)?, &route));
        looking.await.ok()?
    }

    /// Whether a file that was given just now comes to be cached.
    async fn is_kept(&self, file: &Planned) -> bool {
        for _ in 0..KEPT_LOOKS_MAX {
            if self.cached(file).await.is_some() {
                return true;
            }
            if file.sha256.is_none() {
                return false;
            }
            sleep(KEPT_EVERY).await;
        }
        false
    }

    /// What each source distribution says that it is built with. Reads it from the daemon once
    /// more, from the cache.
    pub async fn build_requires(
        self: &Arc<Self>,
        sdists: &[Planned],
    ) -> Vec<(Planned, Result<Vec<String>, String>)> {
        each(self, sdists.to_vec(), self.jobs, |warm, file| async move {
            let read = warm.requires_of(&file).await;
            (file, read)
        })
        .await
    }

    async fn requires_of(&self, file: &Planned) -> Result<Vec<String>, String> {
        sdist::check_name(&file.filename).map_err(|why| why.to_string())?;
        let (sender, pieces) = std::sync::mpsc::sync_channel::<Bytes>(PIECES_MAX);
        let reader = PieceReader {
            pieces,
            rest: Bytes::new(),
        };
        let reading = correlation::spawn_blocking(move || sdist::requires(reader));
        // The reader goes when it has seen enough; what comes then is dropped. It only computes, so
        // waiting for room is short.
        let piece =
            |bytes: &Bytes| drop(tokio::task::block_in_place(|| sender.send(bytes.clone())));
        let got = self.asker.file_once(&file.route, piece).await;
        drop(sender);
        let read = reading.await.map_err(|why| why.to_string())?;
        got.map_err(|why| why.to_string())?;
        read.map_err(|why| why.to_string())
    }
}

/// Reads pieces as one stream.
struct PieceReader {
    pieces: std::sync::mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl Read for PieceReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.pieces.recv() {
                Ok(piece) => self.rest = piece,
                Err(_) => return Ok(0),
            }
        }
        let count = self.rest.len().min(into.len());
        let into = into.get_mut(..count).unwrap_or_default();
        self.rest.split_to(count).copy_to_slice(into);
        Ok(count)
    }
}

/// A route with the digest that a page gives it, or that a hashless file was seen to have.
fn file_ref(peek: &Peek, route: &Route, sha256: Option<Digest>) -> Option<FileRef> {
    match route {
        Route::File(file) => Some(file.clone()),
        Route::Mirrored(path) => {
            let digest = sha256.or_else(|| peek.digest_at(path).ok().flatten())?;
            Some(FileRef::mirrored(path, digest))
        }
        _ => None,
    }
}

fn metadata_route(file: &Planned) -> Option<Route> {
    match &file.route {
        Route::File(wheel) => Some(Route::Metadata(wheel.clone())),
        Route::Mirrored(path) => path.metadata().map(Route::Mirrored),
        _ => None,
    }
}

fn not_kept(file: &Planned) -> String {
    let why = match file.sha256 {
        None => "its page gives no sha256 (see `unhashed_files` of the mirror)",
        Some(_) => "is `cache_size` large enough, and the disk not full?",
    };
    format!("it came, and is not kept: {why}")
}

impl FetchedFile {
    /// For the list of what is missing.
    pub fn missing(&self) -> Option<Missing> {
        let why = self.result.as_ref().err()?.clone();
        Some(Missing {
            project: self.file.project.clone(),
            version: self.file.version.clone(),
            item: self.file.filename.clone(),
            why,
            target: None,
            place: String::new(),
        })
    }
}

/// Does the work of each item, so many at once; results in the items' order. Dropping it ends what
/// is under way.
async fn each<S, T, R, F>(
    shared: &Arc<S>,
    items: Vec<T>,
    jobs: usize,
    work: impl Fn(Arc<S>, T) -> F,
) -> Vec<R>
where
    F: Future<Output = R> + Send + 'static,
    R: Send + 'static,
{
    let mut results: BTreeMap<usize, R> = BTreeMap::new();
    let mut running = JoinSet::new();
    for (at, item) in items.into_iter().enumerate() {
        if running.len() >= jobs.max(1)
            && let Some(Ok((at, result))) = running.join_next().await
        {
            results.insert(at, result);
        }
        let work = work(Arc::clone(shared), item);
        running.spawn(async move { (at, work.await) });
    }
    while let Some(done) = running.join_next().await {
        if let Ok((at, result)) = done {
            results.insert(at, result);
        }
    }
    results.into_values().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn no_more_than_so_many_work_at_once_and_the_order_stays() {
        let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let results = each(&counts, (0..40).collect(), 4, |counts, n: u64| async move {
            let (running, peak) = &*counts;
            peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(n % 3)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            n
        })
        .await;
        assert_eq!(results, (0..40).collect::<Vec<u64>>());
        assert_eq!(counts.1.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn pieces_are_one_stream() {
        let (sender, pieces) = std::sync::mpsc::sync_channel(3);
        for piece in ["ab", "", "cde"] {
            sender.send(Bytes::from_static(piece.as_bytes())).unwrap();
        }
        drop(sender);
        let mut text = String::new();
        PieceReader {
            pieces,
            rest: Bytes::new(),
        }
        .read_to_string(&mut text)
        .unwrap();
        assert_eq!(text, "abcde");
    }
}
