//! The walk of one request.
//!
//! 1. The request line becomes a [`Route`], or is refused.
//! 2. The credential is read, and known from here on by its fingerprint.
//! 3. Offline, it is the operator's word that lets the caller in; otherwise GitLab's, which the service asks for.
//! 4. The service that owns the route answers; it settles the caller's right with GitLab.
//! 5. [`reply`] turns what was found into HTTP.
//! 6. One line is logged and one counter moves, when the body has ended.
//!
//! Must not decide anything itself.

use std::sync::Arc;
use std::time::Instant;

use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, IF_RANGE,
    TRANSFER_ENCODING, VIA,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};

use super::ServerLimits;
use super::access_log::{Line, Tally};
use super::body::ReplyBody;
use super::browser::{self, OwnNames};
use super::rate::RequestRate;
use super::reply::{self, Refusal, Reply};
use super::shutdown::Shutdown;
use super::target;
use super::wire::clients::ClientAddress;
use super::wire::connection_counts::ConnectionCounts;
use super::{conditional, health};
use crate::access::{Access, Caller};
use crate::admin::Upkeep;
use crate::admin::status::{self, Snapshot, Visit};
use crate::admin::{Gauges, Health, Metrics};
use crate::airgap::Exchange;
use crate::file::{FileError, FileReply, FileRequest, Files, Source, Wanted};
use crate::index::{Offered, PageError, PageReply, PageRequest, Pages, Resolved};
use crate::registry::{FileRef, House, MirrorPath, PageRef, Route, RouteError};
use crate::simple::{Format, negotiate};
use crate::store::Holdings;
use crate::upload::Uploads;
use crate::values::byte_range::ByteRange;
use crate::values::clock;
use crate::values::correlation::{self, Correlation};
use crate::values::request_id::RequestId;

/// In the extensions of a request that came over TLS.
#[derive(Clone, Copy)]
pub(super) struct OverTls;

/// In the extensions of a request for which there was no place in time: it is refused, and logged like any other.
#[derive(Clone, Copy)]
pub(super) struct NoPlace;

/// In the extensions of a request that larder sends to itself: it is neither logged nor counted.
#[derive(Clone, Copy)]
pub(super) struct OwnRequest;

/// Everything a request may need.
pub struct Services {
    pub access: Arc<Access>,
    pub pages: Arc<Pages>,
    pub files: Arc<Files>,
    pub uploads: Uploads,
    /// Of connections that begin while these are in force.
    pub limits: ServerLimits,
    /// How often one client may ask.
    pub rate: Arc<RequestRate>,
    pub upkeep: Arc<Upkeep>,
    pub exchange: Arc<Exchange>,
    pub metrics: Arc<Metrics>,
    /// Reads the numbers that are not counted but looked at.
    pub gauges: Box<dyn Fn() -> Gauges + Send + Sync>,
    pub connections: Arc<ConnectionCounts>,
    /// Tells whether the daemon is about to end.
    pub shutdown: Shutdown,
    /// Looks at everything that the status page shows. Blocks.
    pub snapshot: Arc<dyn Fn(&Gauges) -> Snapshot + Send + Sync>,
    /// What is here, for who may see which files there are.
    pub holdings: Holdings,
    /// Stands before every link of ours.
    pub path_prefix: String,
    /// This process's name in `Via`.
    pub via: HeaderValue,
    /// Set where whoever can connect has rights: only called by one of these is anything but larder's own shown.
    pub own_names: Option<OwnNames>,
}

/// Whether it is asked how larder is, which whoever watches it must hear also when nobody else is served.
pub(super) fn is_probe<B>(request: &Request<B>) -> bool {
    let route = Route::parse(request.method(), request.uri());
    matches!(
        route,
        Ok(Route::House(House::Live | House::Ready | House::Metrics))
    )
}

impl Services {
    pub(super) async fn handle(&self, request: Request<Incoming>) -> Response<ReplyBody> {
        let now = clock::now();
        let (mut parts, body) = request.into_parts();
        let settled = target::settle(&mut parts).map_err(Refusal::from);
        let route =
            settled.and_then(|()| Ok(self.served(Route::parse(&parts.method, &parts.uri)?)?));
        let word = route.as_ref().map_or("unknown", Route::word);
        let path = route
            .as_ref()
            .map_or_else(|_| parts.uri.path().to_owned(), Route::path);
        let head = parts.method == Method::HEAD;
        let own = parts.extensions.get::<OwnRequest>().is_some();
        let correlation = Correlation::new(request_id(&parts.headers));
        // Dropped before it is told of an answer if the client leaves meanwhile.
        let tally = (!own).then(|| {
            let (method, correlation) = (parts.method.clone(), Arc::clone(&correlation));
            let line = Line {
                client: parts.extensions.get::<ClientAddress>().copied(),
                method,
                route: word,
                path,
                since: now,
                correlation,
            };
            Tally::new(Arc::clone(&self.metrics), line)
        });
        let walked = match route {
            Ok(route) => {
                let walk = self.walk(&parts, route, body, now);
                correlation::scope(Arc::clone(&correlation), walk).await
            }
            Err(why) => Err(why),
        };
        let (mut response, status) =
            walked.unwrap_or_else(|why| reply::refusal(&why, correlation.id()));
        reply::finish(&mut response, status, head, correlation.id());
        let Some(mut tally) = tally else {
            return response;
        };
        tally.answered(response.status(), status);
        response.map(|body| body.tallied(tally))
    }

    /// A mirror that is not configured is no address.
    fn served(&self, route: Route) -> Result<Route, RouteError> {
        let known = route.scope().is_none_or(|scope| self.pages.serves(scope));
        if known {
            Ok(route)
        } else {
            Err(RouteError::Unknown)
        }
    }

    async fn walk(
        &self,
        parts: &Parts,
        route: Route,
        body: Incoming,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        if parts.extensions.get::<NoPlace>().is_some() {
            return Err(Refusal::Crowded);
        }
        // None over a unix socket, where no browser comes in.
        let client = parts.extensions.get::<ClientAddress>().copied();
        if !matches!(
            route,
            Route::House(House::Live | House::Ready | House::Metrics)
        ) {
            self.rate.admit(client, now).map_err(Refusal::Hasty)?;
        }
        let own_names = self
            .own_names
            .as_ref()
            .filter(|_| client.is_some() && route.scope().is_some());
        if let Some(name) = own_names.and_then(|names| names.foreign(&parts.headers)) {
            return Err(Refusal::ForeignName(name));
        }
        // Over HTTP/2 a body needs no field that announces it.
        let goes_on = parts.version == Version::HTTP_2 && !body.is_end_stream();
        if parts.method != Method::POST && (goes_on || has_body(&parts.headers)) {
            return Err(Refusal::BodyOnRead);
        }
        if self.came_from_here(&parts.headers) {
            return Err(Refusal::Loop);
        }
        let read = match route {
            Route::Upload { .. } => None,
            _ => route.scope(),
        };
        let caller = self.access.caller(&parts.headers, read, now).await?;
        match route {
            Route::Page(page) => self.page(parts, caller, page, now).await,
            Route::File(file) => self.file(parts, caller, file, None, now).await,
            Route::Mirrored(path) => self.mirrored(parts, path, now).await,
            Route::Sidecar(wheel) => self.sidecar(parts, caller, wheel, now).await,
            Route::Upload { .. } if browser::is_sent_by_a_page(&parts.headers) => {
                Err(Refusal::FromAPage)
            }
            Route::Upload { scope } => {
                let word = self
                    .uploads
                    .pass_on(scope, caller.credential(), parts, body)
                    .await?;
                Ok(reply::relayed(word))
            }
            Route::View(page) => self.view(parts, caller, page, now).await,
            Route::House(house) => self.house(house, parts).await,
        }
    }

    async fn page(
        &self,
        parts: &Parts,
        caller: Caller,
        page: PageRef,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let accept = parts
            .headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let media = negotiate(accept).ok_or(Refusal::NotAcceptable)?;
        let insists = insists(&parts.headers);
        let request = PageRequest {
            caller,
            page,
            format: media.format(),
            insists,
        };
        let found = self.pages.page(&request, now).await?;
        if parts.version < Version::HTTP_11 && matches!(found, PageReply::Stream(_)) {
            return Err(Refusal::NoLength);
        }
        if let PageReply::Page { page, .. } = &found {
            self.files.read_ahead(&request.caller, page.take_ahead());
        }
        Ok(reply::page(found, media, &parts.headers))
    }

    /// A path below a mirror, whose digest the mirror's own page tells.
    async fn mirrored(
        &self,
        parts: &Parts,
        path: MirrorPath,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let (resolved, age) = self.pages.resolve(&path, now).await?;
        let found = self.resolved(parts, resolved, now).await?;
        Ok(match age {
            Some(age) => reply::found_by_stale_page(found, age),
            None => found,
        })
    }

    async fn resolved(
        &self,
        parts: &Parts,
        resolved: Resolved,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let nobody = Caller::anonymous();
        match resolved {
            Resolved::File(file) => self.file(parts, nobody, file, None, now).await,
            Resolved::Offered {
                metadata: Offered::File(own),
                wheel,
            } => self.file(parts, nobody, own, Some(wheel), now).await,
            Resolved::Offered {
                metadata: Offered::Unverifiable(path),
                wheel,
            } => {
                let (found, range) = self.unverified(parts, &path).await;
                if Files::is_lacking(&found) {
                    return self.sidecar(parts, nobody, wheel, now).await;
                }
                Self::unverifiable(parts, found?, range)
            }
            Resolved::Sidecar(wheel) => self.sidecar(parts, nobody, wheel, now).await,
            Resolved::PassThrough(word) => Ok(reply::relayed(word)),
            Resolved::Unverifiable(path) => {
                if let Some(file) = self.files.adopted(&path).await? {
                    return self.file(parts, nobody, file, None, now).await;
                }
                let (found, range) = self.unverified(parts, &path).await;
                Self::unverifiable(parts, found?, range)
            }
        }
    }

    /// What upstream has at a path that no page gives a sha256 of, and the range that is wanted of it.
    async fn unverified(
        &self,
        parts: &Parts,
        path: &MirrorPath,
    ) -> (Result<FileReply, FileError>, Option<ByteRange>) {
        let range = conditional::range(&parts.headers, b"");
        let wanted = match range {
            _ if parts.method == Method::HEAD => Wanted::Head,
            Some(range) => Wanted::Range(range),
            None => Wanted::Whole,
        };
        (self.files.unverified(path, wanted).await, range)
    }

    fn unverifiable(
        parts: &Parts,
        found: FileReply,
        range: Option<ByteRange>,
    ) -> Result<Reply, Refusal> {
        let endless = matches!(
            found,
            FileReply::Unverified {
                size: None,
                body: Some(_)
            }
        );
        if parts.version < Version::HTTP_11 && endless {
            return Err(Refusal::NoLength);
        }
        Ok(reply::file(found, "", false, range))
    }

    /// A file; one that is metadata which upstream's page offers may be made of its wheel.
    async fn file(
        &self,
        parts: &Parts,
        caller: Caller,
        file: FileRef,
        wheel: Option<FileRef>,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let etag = reply::file_etag(file.digest);
        let unchanged = conditional::not_modified(&parts.headers, etag.as_bytes());
        let range = conditional::range(&parts.headers, etag.as_bytes());
        // A head, and a file that the client has, need no bytes; a range means something to a GET only (§14.2).
        let wanted = match range {
            _ if unchanged || parts.method == Method::HEAD => Wanted::Head,
            Some(range) => Wanted::Range(range),
            None => Wanted::Whole,
        };
        let needs_length = parts.version < Version::HTTP_11;
        let resumes = range.is_some() && parts.headers.contains_key(IF_RANGE);
        let request = FileRequest {
            caller,
            file,
            wanted,
            resumes,
            needs_length,
        };
        let found = match wheel {
            Some(wheel) => self.files.offered(request, wheel, now).await?,
            None => self.files.file(request, now).await?,
        };
        let endless = matches!(
            found,
            FileReply::Open { size: None, .. } | FileReply::Checked { size: None, .. }
        );
        if parts.version < Version::HTTP_11 && endless {
            return Err(Refusal::NoLength);
        }
        let range = range.filter(|_| parts.method == Method::GET);
        Ok(reply::file(found, &etag, unchanged, range))
    }

    async fn sidecar(
        &self,
        parts: &Parts,
        caller: Caller,
        wheel: FileRef,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let request = FileRequest {
            caller,
            file: wheel,
            wanted: Wanted::Whole,
            resumes: false,
            needs_length: true,
        };
        let found = self.files.sidecar(request, now).await?;
        let FileReply::Open {
            source: Source::Blob(metadata),
            ..
        } = &found
        else {
            return Ok(reply::file(found, "", false, None));
        };
        let etag = reply::file_etag(metadata.digest());
        let unchanged = conditional::not_modified(&parts.headers, etag.as_bytes());
        let found = if unchanged { found.head() } else { found };
        let range = conditional::range(&parts.headers, etag.as_bytes());
        let range = range.filter(|_| parts.method == Method::GET);
        Ok(reply::file(found, &etag, unchanged, range))
    }

    /// One project for people: whoever is given its page is shown what is on it, and everybody else gets what the page's
    /// clients would get.
    async fn view(
        &self,
        parts: &Parts,
        caller: Caller,
        page: PageRef,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let insists = insists(&parts.headers);
        let request = PageRequest {
            caller,
            page: page.clone(),
            format: Format::Json,
            insists,
        };
        match self.pages.page(&request, now).await? {
            PageReply::Page {
                page: body,
                age,
                permit: _,
                status: outcome,
            } => {
                let (holdings, prefix) = (self.holdings.clone(), self.path_prefix.clone());
                let (stale, as_json) = (age.map(|age| age.as_secs()), takes_json(&parts.headers));
                let shown = tokio::task::spawn_blocking(move || {
                    status::project(&page, &body, stale, &prefix, as_json, |file| {
                        holdings.size(file)
                    })
                });
                let shown = shown.await.ok().flatten().ok_or(PageError::Internal)?;
                Ok((reply::document(StatusCode::OK, shown).0, outcome))
            }
            PageReply::Stream(_) => Ok(reply::document(StatusCode::OK, status::too_large(&page))),
            PageReply::PassThrough(word) if word.status.is_redirection() => Ok(reply::document(
                StatusCode::NOT_FOUND,
                status::elsewhere(&page),
            )),
            PageReply::PassThrough(word) => Ok(reply::relayed(word)),
        }
    }

    /// How it is with larder. A look at the disk is part of it.
    async fn snapshot(&self) -> Result<Snapshot, Refusal> {
        let (snapshot, gauges) = (Arc::clone(&self.snapshot), self.gauges());
        Ok(tokio::task::spawn_blocking(move || snapshot(&gauges))
            .await
            .map_err(|_| PageError::Internal)?)
    }

    async fn house(&self, house: House, parts: &Parts) -> Result<Reply, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(match house {
            House::Home => {
                let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
                let secure = parts.extensions.get::<OverTls>().is_some();
                let visit = Visit {
                    query,
                    host,
                    secure,
                };
                reply::document(StatusCode::OK, status::home(&self.snapshot().await?, visit))
            }
            House::Status => {
                // A browser that comes here by itself takes more than HTML; the page's script does not.
                let as_parts = parts
                    .headers
                    .get(ACCEPT)
                    .is_some_and(|accept| accept == "text/html");
                reply::document(
                    StatusCode::OK,
                    status::status(&self.snapshot().await?, as_parts),
                )
            }
            House::Find => reply::see_other(&status::find(query)?),
            House::Everything => reply::able(),
            House::Live => health::live(),
            House::Ready => health::ready(&self.health(), &parts.headers),
            House::Metrics => {
                let accept = parts
                    .headers
                    .get_all(ACCEPT)
                    .iter()
                    .filter_map(|field| field.to_str().ok());
                let (kind, text) = self.metrics.encode(self.gauges(), accept);
                reply::own(StatusCode::OK, kind, text)
            }
        })
    }

    /// Everything that can be looked at, at this moment.
    pub fn gauges(&self) -> Gauges {
        let looked = Gauges {
            stopping: self.shutdown.has_begun(),
            connections: self.connections.read(),
            ..(self.gauges)()
        };
        self.metrics.completed(looked, clock::now())
    }

    /// Whether all is well, and if not, why.
    pub fn health(&self) -> Health {
        Health::of(&self.gauges())
    }

    fn came_from_here(&self, headers: &HeaderMap) -> bool {
        let own = self.via.as_bytes();
        let lists = headers.get_all(VIA).iter().map(HeaderValue::as_bytes);
        lists.into_iter().any(|list| {
            list.split(|b| *b == b',')
                .any(|hop| hop.trim_ascii() == own)
        })
    }
}

/// The client's own name for the request, if it is one and well-formed, or else a new one.
fn request_id(headers: &HeaderMap) -> RequestId {
    let mut given = headers.get_all(reply::X_REQUEST_ID).iter();
    match (given.next(), given.next()) {
        (Some(given), None) => RequestId::parse(given.as_bytes()).unwrap_or_else(RequestId::random),
        _ => RequestId::random(),
    }
}

/// A reader of a page for people who wants it for a machine.
fn takes_json(headers: &HeaderMap) -> bool {
    let lists = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|list| list.to_str().ok());
    let mut types = lists
        .flat_map(|list| list.split(','))
        .map(|kind| kind.split(';').next().unwrap_or(kind).trim());
    types.any(|kind| kind.eq_ignore_ascii_case("application/json"))
}

/// `no-cache` on a page is a person or a tool that means it (uv `--refresh`); `max-age=0` is pip's habit.
fn insists(headers: &HeaderMap) -> bool {
    let lists = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|list| list.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes() != b"0")
}
