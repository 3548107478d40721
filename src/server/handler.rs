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
    ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, HeaderMap, HeaderValue, IF_RANGE, TRANSFER_ENCODING, VIA,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;

use super::body::ReplyBody;
use super::conditional;
use super::reply::{self, Refusal, Reply};
use crate::access::{Access, Credential};
use crate::airgap::Exchange;
use crate::clock;
use crate::file::{FileReply, FileRequest, Files, Source, Wanted};
use crate::index::{PageReply, PageRequest, Pages, Resolved};
use crate::registry::{FileRef, House, MirrorPath, PageRef, Route, RouteError};
use crate::simple::negotiate;
use crate::telemetry::{Gauges, Line, Metrics, Tally};
use crate::upkeep::Upkeep;
use crate::upload::Uploads;

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// Everything a request may need.
pub struct Services {
    pub access: Arc<Access>,
    pub pages: Arc<Pages>,
    pub files: Arc<Files>,
    pub uploads: Uploads,
    pub upkeep: Arc<Upkeep>,
    pub exchange: Arc<Exchange>,
    pub metrics: Arc<Metrics>,
    /// Reads the numbers that are not counted but looked at.
    pub gauges: Box<dyn Fn() -> Gauges + Send + Sync>,
    /// This process's name in `Via`.
    pub via: HeaderValue,
    /// The operator's own credential, which then stands for every caller's.
    pub service: Option<Credential>,
}

impl Services {
    pub(super) async fn handle(&self, request: Request<Incoming>) -> Response<ReplyBody> {
        let now = clock::now();
        let (parts, body) = request.into_parts();
        let route = Route::parse(&parts.method, &parts.uri).and_then(|route| self.served(route));
        let word = route.as_ref().map_or("none", Route::word);
        let path = route.as_ref().map_or_else(|_| parts.uri.path().to_owned(), Route::path);
        let head = parts.method == Method::HEAD;
        let walked = match route {
            Ok(route) => self.walk(&parts, route, body, now).await,
            Err(why) => Err(why.into()),
        };
        let (mut response, status) = walked.unwrap_or_else(|why| reply::refusal(&why));
        reply::finish(&mut response, status, head);
        let line = Line {
            method: parts.method,
            route: word,
            path,
            status: response.status(),
            cache: status,
            since: now,
        };
        let tally = Tally::new(Arc::clone(&self.metrics), line);
        response.map(|body| body.tallied(tally))
    }

    /// A mirror that is not configured is no address.
    fn served(&self, route: Route) -> Result<Route, RouteError> {
        let known = route.scope().is_none_or(|scope| self.pages.serves(scope));
        if known { Ok(route) } else { Err(RouteError::Unknown) }
    }

    async fn walk(
        &self,
        parts: &Parts,
        route: Route,
        body: Incoming,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        if parts.method != Method::POST && has_body(&parts.headers) {
            return Err(Refusal::BodyOnRead);
        }
        if self.came_from_here(&parts.headers) {
            return Err(Refusal::Loop);
        }
        let own = Credential::read(&parts.headers)?;
        let credential = self.service.clone().unwrap_or(own);
        let read = route.scope().filter(|_| !matches!(route, Route::Upload { .. }));
        self.access.let_in(&credential, read, now).await?;
        match route {
            Route::Page(page) => self.page(parts, credential, page, now).await,
            Route::File(file) => self.file(parts, credential, file, now).await,
            Route::Mirrored(path) => self.mirrored(parts, path, now).await,
            Route::Sidecar(wheel) => self.sidecar(parts, credential, wheel, now).await,
            Route::Upload { scope } => {
                let word = self.uploads.pass_on(scope, &credential, &parts.headers, body).await?;
                Ok(reply::relayed(word))
            }
            Route::House(house) => Ok(self.house(house)),
        }
    }

    async fn page(
        &self,
        parts: &Parts,
        credential: Credential,
        page: PageRef,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let who = self.access.fingerprint(&credential);
        let accept = parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let media = negotiate(accept).ok_or(Refusal::NotAcceptable)?;
        let insists = insists(&parts.headers);
        let request = PageRequest { credential, who, page, format: media.format(), insists };
        let found = self.pages.page(&request, now).await?;
        if parts.version < Version::HTTP_11 && matches!(found, PageReply::Stream(_)) {
            return Err(Refusal::NoLength);
        }
        if let PageReply::Page { page, .. } = &found {
            let wheels = page.take_ahead();
            if !wheels.is_empty() {
                self.files.read_ahead(&request.credential, who, wheels);
            }
        }
        Ok(reply::page(found, media, &parts.headers))
    }

    /// A path below a mirror, whose digest the mirror's own page tells.
    async fn mirrored(&self, parts: &Parts, path: MirrorPath, now: Instant) -> Result<Reply, Refusal> {
        let nobody = Credential::anonymous();
        let who = self.access.fingerprint(&nobody);
        match self.pages.resolve(&path, who, now).await? {
            Resolved::File(file) => self.file(parts, nobody, file, now).await,
            Resolved::Sidecar(wheel) => self.sidecar(parts, nobody, wheel, now).await,
            Resolved::Relayed(word) => Ok(reply::relayed(word)),
            Resolved::Unverifiable(path) => {
                if let Some(file) = self.files.adopted(&path).await? {
                    return self.file(parts, nobody, file, now).await;
                }
                let range = conditional::range(&parts.headers, b"");
                let wanted = match range {
                    _ if parts.method == Method::HEAD => Wanted::Head,
                    Some(range) => Wanted::Range(range),
                    None => Wanted::Whole,
                };
                let found = self.files.unverified(&path, wanted).await?;
                let endless = matches!(found, FileReply::Unverified { size: None, body: Some(_) });
                if parts.version < Version::HTTP_11 && endless {
                    return Err(Refusal::NoLength);
                }
                Ok(reply::file(found, "", false, range))
            }
        }
    }

    async fn file(
        &self,
        parts: &Parts,
        credential: Credential,
        file: FileRef,
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
        let who = self.access.fingerprint(&credential);
        let needs_length = parts.version < Version::HTTP_11;
        let resumes = range.is_some() && parts.headers.contains_key(IF_RANGE);
        let request = FileRequest { credential, who, file, wanted, resumes, needs_length };
        let found = self.files.file(request, now).await?;
        let endless =
            matches!(found, FileReply::Open { size: None, .. } | FileReply::Checked { size: None, .. });
        if parts.version < Version::HTTP_11 && endless {
            return Err(Refusal::NoLength);
        }
        let range = range.filter(|_| parts.method == Method::GET);
        Ok(reply::file(found, &etag, unchanged, range))
    }

    async fn sidecar(
        &self,
        parts: &Parts,
        credential: Credential,
        wheel: FileRef,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let who = self.access.fingerprint(&credential);
        let request = FileRequest {
            credential,
            who,
            file: wheel,
            wanted: Wanted::Whole,
            resumes: false,
            needs_length: true,
        };
        let found = self.files.sidecar(request, now).await?;
        let FileReply::Open { source: Source::Blob(metadata), .. } = &found else {
            return Ok(reply::file(found, "", false, None));
        };
        let etag = reply::file_etag(metadata.digest());
        let unchanged = conditional::not_modified(&parts.headers, etag.as_bytes());
        let found = if unchanged { found.head() } else { found };
        let range = conditional::range(&parts.headers, etag.as_bytes());
        let range = range.filter(|_| parts.method == Method::GET);
        Ok(reply::file(found, &etag, unchanged, range))
    }

    fn house(&self, house: House) -> Reply {
        match house {
            House::Live => reply::own(StatusCode::OK, PLAIN_TEXT, "ok\n".to_owned()),
            // Without an upstream there is still what is here: ready, and less than well.
            House::Ready => reply::own(StatusCode::OK, PLAIN_TEXT, readiness(&(self.gauges)())),
            House::Metrics => {
                let text = self.metrics.encode(&(self.gauges)());
                reply::own(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text)
            }
        }
    }

    fn came_from_here(&self, headers: &HeaderMap) -> bool {
        let own = self.via.as_bytes();
        let lists = headers.get_all(VIA).iter().map(HeaderValue::as_bytes);
        lists.into_iter().any(|list| list.split(|b| *b == b',').any(|hop| hop.trim_ascii() == own))
    }
}

/// One line that says `ok`, or what is not.
fn readiness(gauges: &Gauges) -> String {
    let resting: Vec<&str> =
        gauges.resting.iter().filter(|(_, resting)| *resting).map(|(peer, _)| peer.as_str()).collect();
    match resting.as_slice() {
        _ if gauges.offline => "ok, offline\n".to_owned(),
        [] => "ok\n".to_owned(),
        peers => format!("degraded: cannot reach {}\n", peers.join(", ")),
    }
}

/// `no-cache` on a page is a person or a tool that means it (uv `--refresh`); `max-age=0` is pip's habit.
fn insists(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(CACHE_CONTROL).iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
}
