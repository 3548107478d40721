//! The walk of one request: parse, admit, identify, read the conditions, match the route, respond.
//!
//! 1. The request line becomes a [`Route`], or is refused.
//! 2. `admission` refuses what may not come in, before it is known who sent it.
//! 3. `access` makes the [`Caller`]; offline, it lets the caller in or refuses it.
//! 4. [`Conditions`] says which answer the client wants.
//! 5. The service that owns the route answers; it settles the caller's right with GitLab.
//! 6. [`reply`] turns what was found into HTTP, and the access log has its entry when the body has ended.
//!
//! Must not decide anything itself.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{Method, Request, Response};
use hyper::body::{Body, Incoming};

use super::access_log::AccessLogEntry;
use super::body::ReplyBody;
use super::conditions::{Conditions, metadata_request};
use super::failure::{Asked, Failure};
use super::ingress::Ingress;
use super::reply::{self, Refusal, Reply};
use super::request_head::RequestHead;
use super::services::Services;
use super::{file_reply, log_entry, page_reply, target};
use crate::access::Caller;
use crate::file::{FileReply, FileRequest, Files};
use crate::index::{AheadReader, FileNotice, Located, PageError, PageReply, PageRequest};
use crate::registry::{AdminEndpoint, FileRef, ListedFile, MirrorPath, Route, RouteError, Scope};
use crate::simple::MediaType;
use crate::upstream::UpstreamError;
use crate::values::clock;
use crate::values::correlation::{self, Correlation};

impl Services {
    pub(super) fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        ingress: Ingress,
    ) -> impl Future<Output = Response<ReplyBody>> + Send {
        let now = clock::now();
        let (mut parts, body) = request.into_parts();
        let route = self.route(&mut parts);
        let head = RequestHead::new(parts, ingress);
        let correlation = log_entry::correlation(&head);
        // Dropped before it is told of an answer if the client leaves meanwhile.
        let entry = self.log_entry(&head, &route, &correlation, now);
        // The future holds what is needed from here on, and no more.
        async move {
            let answered = match route {
                Ok(route) => {
                    // By its place: handed on, it would be copied.
                    let walk = pin!(self.walk(&head, route, body, now));
                    correlation::scope(Arc::clone(&correlation), walk).await
                }
                Err(why) => Err(why),
            };
            self.finish(answered, &head, &correlation, entry)
        }
    }

    /// What is sent of an answer, which the entry goes along with.
    fn finish(
        &self,
        answered: Result<Reply, Refusal>,
        head: &RequestHead,
        correlation: &Correlation,
        entry: Option<Box<AccessLogEntry>>,
    ) -> Response<ReplyBody> {
        let refused = answered.as_ref().err().map(Failure::from);
        let (mut response, status) =
            answered.unwrap_or_else(|why| reply::refusal(&why, correlation.id()));
        let words = response.extensions_mut().remove();
        let failure = match words {
            Some(words) => {
                let scope = entry.as_ref().and_then(|entry| entry.scope());
                let of = scope.map(|scope| (self.pages.peer_of(scope), scope.is_mirror()));
                let asked = Asked::of(&head.parts, of);
                Failure::of_answer(words, response.status(), &asked)
            }
            None => refused,
        };
        let is_head = head.parts.method == Method::HEAD;
        reply::finish(&mut response, status, is_head, correlation.id());
        let Some(mut entry) = entry else {
            return response;
        };
        let scope = entry.scope();
        if scope.is_some_and(|scope| self.pages.view(scope).is_some()) {
            entry.source(response.headers().get(&reply::LARDER_SOURCE));
        }
        entry.answered(response.status(), status, failure);
        response.body_mut().log_with(entry);
        response
    }

    /// Each way is a future of its own on the heap: together they would make every request as large
    /// as the largest of them, and move it with every hand-over.
    fn walk<'w>(
        &'w self,
        head: &'w RequestHead,
        route: Route,
        body: Incoming,
        now: Instant,
    ) -> impl Future<Output = Result<Reply, Refusal>> + Send + 'w {
        let body_ended = body.is_end_stream();
        // An async fn would have room for each argument twice.
        async move {
            self.admission.check(head, &route, body_ended, now)?;
            if route.read_scope().is_some() {
                self.pages.check_open()?;
            }
            let scope = self.pages.scope_of_right(&route);
            let caller = self.access.caller(head.headers(), scope, now).await?;
            let conditions = Conditions::read(head);
            match route {
                Route::Page(page) => {
                    let media = conditions.media_type()?;
                    let request = PageRequest {
                        caller,
                        page,
                        format: media.format(),
                        insists: conditions.no_cache,
                        ahead: false,
                    };
                    match self.pages.page_at_once(&request, now) {
                        Some(found) => self.page_reply(&request, found, media, &conditions),
                        None => Box::pin(self.page(request, media, &conditions, now)).await,
                    }
                }
                Route::File(file) => {
                    let reader = self.ahead_reader(&caller, &file, now);
                    Box::pin(self.file(caller, file, reader, &conditions, now)).await
                }
                Route::Metadata(wheel) => {
                    let reader = self.ahead_reader(&caller, &wheel, now);
                    Box::pin(self.metadata(caller, wheel, reader, &conditions, now)).await
                }
                Route::Mirrored(path) => {
                    Box::pin(self.mirrored(&caller, &path, &conditions, now)).await
                }
                Route::Upload { scope } => {
                    let credential = caller.credential();
                    let sent = self.uploads.pass_on(scope, credential, &head.parts, body);
                    Ok(reply::relayed(Box::pin(sent).await?))
                }
                Route::ProjectPage(page) => {
                    Box::pin(self.project_page(caller, page, &conditions, now)).await
                }
                Route::Osv(request) => Box::pin(self.osv(request, body)).await,
                Route::Admin(AdminEndpoint::RewriteLock) => {
                    Box::pin(self.rewrite_lock(&head.parts, body)).await
                }
                Route::Admin(endpoint) => Box::pin(self.endpoint(endpoint, head)).await,
            }
        }
    }

    fn route(&self, parts: &mut Parts) -> Result<Route, Refusal> {
        target::settle(parts)?;
        let route = match Route::parse(&parts.method, &parts.uri) {
            Err(why) => return Err(self.without_route(parts, why).into()),
            Ok(route) => route,
        };
        // A mirror that is not configured is no address.
        if self.pages.has_address(&route) {
            return Ok(route);
        }
        match route.scope() {
            Some(scope) if self.pages.view(scope).is_some() => Err(RouteError::OfView.into()),
            Some(scope) if scope.is_mirror() => Err(match self.pages.awaited_parent(scope) {
                Some(parent) => UpstreamError::ParentUnknown(parent).into(),
                None => RouteError::NoMirror(scope.clone()).into(),
            }),
            _ => Err(RouteError::Unknown.into()),
        }
    }

    /// What is said of a request line that is no route's: of a view it is known what was meant.
    fn without_route(&self, parts: &Parts, why: RouteError) -> RouteError {
        let mut segments = parts.uri.path().split('/').skip(1);
        let first = segments.next().unwrap_or_default();
        let Some(scope) = Scope::mirror(first) else {
            return why;
        };
        if parts.method != Method::POST || self.pages.view(&scope).is_none() {
            return why;
        }
        RouteError::ViewUpload
    }

    async fn page(
        &self,
        request: PageRequest,
        media: MediaType,
        conditions: &Conditions<'_>,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let Some(view) = self.pages.view(&request.page.scope) else {
            let found = self.pages.page(&request, now).await?;
            return self.page_reply(&request, found, media, conditions);
        };
        let answer = self.pages.view_page(view, &request, now).await?;
        let mut reply = self.page_reply(&request, answer.reply, media, conditions)?;
        if let Some(source) = answer.source {
            reply::put_source(&mut reply, &source);
        }
        Ok(reply)
    }

    fn page_reply(
        &self,
        request: &PageRequest,
        found: PageReply,
        media: MediaType,
        conditions: &Conditions<'_>,
    ) -> Result<Reply, Refusal> {
        if let PageReply::Page { page, .. } = &found
            && let Some(wheels) = page.take_prefetch()
        {
            self.files.prefetch(&request.caller, wheels);
        }
        page_reply::page(found, media, conditions)
    }

    /// What reads pages ahead for a client that takes this file.
    fn ahead_reader(&self, client: &Caller, file: &FileRef, now: Instant) -> Option<AheadReader> {
        self.pages.ahead_reader(client, file, now)
    }

    async fn file(
        &self,
        caller: Caller,
        file: FileRef,
        reader: Option<AheadReader>,
        conditions: &Conditions<'_>,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let conditions = conditions.for_file(file.digest);
        let wheel = reader.as_ref().map(|_| file.clone());
        let request = conditions.file_request(caller, file);
        if let Some(refusal) = self.refused_by_policy(&request, now).await? {
            return Ok(refusal);
        }
        let notice = self.pages.notice(&request.file);
        let found = self.files.file(request, now).await?;
        self.note_given(notice, &found);
        if let Some(reader) = reader
            && let Some(wheel) = wheel
            && let Some(required) = self.files.required_by_wheel(&wheel, &found, reader.most())
        {
            reader.read(required);
        }
        file_reply::file(found, &conditions)
    }

    /// The answer in place of a file of GitLab's that a policy refuses: GitLab's own, if this caller
    /// may not see the file.
    ///
    /// # Errors
    /// The policy's refusal.
    async fn refused_by_policy(
        &self,
        request: &FileRequest,
        now: Instant,
    ) -> Result<Option<Reply>, Refusal> {
        if request.file.scope.is_mirror() {
            return Ok(None);
        }
        let Err(refusal) = self.pages.judge(&request.caller, &request.file, now).await else {
            return Ok(None);
        };
        match Box::pin(self.files.refusal(request, now)).await? {
            Some(answer) => Ok(Some(reply::relayed(answer))),
            None => {
                self.pages.count_refusal(&refusal);
                Err(PageError::Policy(refusal).into())
            }
        }
    }

    /// Says what is to be said of a file, if this answer gives it.
    fn note_given(&self, notice: Option<FileNotice>, found: &FileReply) {
        if let Some(notice) = notice
            && !matches!(found, FileReply::PassThrough(_))
        {
            self.pages.note_given(&notice);
        }
    }

    async fn metadata(
        &self,
        caller: Caller,
        wheel: FileRef,
        reader: Option<AheadReader>,
        conditions: &Conditions<'_>,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let request = metadata_request(caller, wheel);
        if let Some(refusal) = self.refused_by_policy(&request, now).await? {
            return Ok(refusal);
        }
        let notice = self.pages.notice(&request.file);
        let found = self.files.metadata(request, now).await?;
        self.note_given(notice, &found);
        self.read_ahead(reader, &found);
        let conditions = conditions.for_metadata(&found);
        file_reply::file(found, &conditions)
    }

    /// Reads ahead the pages of what a wheel requires whose metadata was found.
    fn read_ahead(&self, reader: Option<AheadReader>, metadata: &FileReply) {
        if let Some(reader) = reader
            && let Some(required) = self.files.required_by_metadata(metadata, reader.most())
        {
            reader.read(required);
        }
    }

    /// A path below a mirror, whose digest the mirror's own page tells.
    async fn mirrored(
        &self,
        client: &Caller,
        path: &MirrorPath,
        conditions: &Conditions<'_>,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        self.pages.admit(client, path.scope(), now).await?;
        let (located, age) = self.pages.locate(path, now).await?;
        let found = self.located(client, located, conditions, now).await?;
        Ok(match age {
            Some(age) => file_reply::found_by_stale_page(found, age),
            None => found,
        })
    }

    /// A mirror is shown no client: the file is asked for anonymously.
    async fn located(
        &self,
        client: &Caller,
        located: Located,
        conditions: &Conditions<'_>,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let anonymous = Caller::anonymous();
        match located {
            Located::File(file) => match self.files.known(file).await? {
                ListedFile::Hashed(file) => {
                    let reader = self.ahead_reader(client, &file, now);
                    self.file(anonymous, file, reader, conditions, now).await
                }
                ListedFile::Unhashed(path) => {
                    let unverified = conditions.for_unverified();
                    let found = self.files.unverified(&path, unverified.wanted()).await?;
                    file_reply::file(found, &unverified)
                }
            },
            Located::Metadata { wheel, offered } => {
                let reader = self.ahead_reader(client, &wheel, now);
                match offered {
                    Some(ListedFile::Hashed(metadata)) => {
                        let conditions = conditions.for_file(metadata.digest);
                        let request = conditions.file_request(anonymous, metadata);
                        let found = self.files.offered_metadata(request, wheel, now).await?;
                        self.read_ahead(reader, &found);
                        file_reply::file(found, &conditions)
                    }
                    Some(ListedFile::Unhashed(path)) => {
                        let unverified = conditions.for_unverified();
                        let found = self.files.unverified(&path, unverified.wanted()).await;
                        if Files::is_lacking(&found) {
                            return self
                                .metadata(anonymous, wheel, reader, conditions, now)
                                .await;
                        }
                        file_reply::file(found?, &unverified)
                    }
                    None => {
                        self.metadata(anonymous, wheel, reader, conditions, now)
                            .await
                    }
                }
            }
            Located::PassThrough(answer) => Ok(reply::relayed(answer)),
        }
    }
}
