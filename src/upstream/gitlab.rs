//! GitLab, asked in a caller's name.
//!
//! Owns the reading of GitLab's answers: pages and its forward to a public index, files and the signed links to the object
//! store, refusals that are its word to the caller. Uploads go on a connection of their own and are never sent twice. Must
//! not know mirrors, nor what the answer will be used for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, USER_AGENT, VIA};
use http::{Method, StatusCode};

use super::answer::{Answer, Relayed, unsatisfied};
use super::ask::{Ask, FileAnswer, Inquiry, PageAnswer, Reading};
use super::breaker::{Breaker, Condition, Limits};
use super::config::{Forward, GitLabConfig};
use super::connect::connector::{Connector, Target};
use super::connect::dial;
use super::connect::transport::Transport;
use super::counts::{PeerCounts, PeerReading};
use super::error::UpstreamError;
use super::line::{Line, Patience};
use super::peer::Peer;
use super::redirect::{FileRedirect, PageRedirect, StoreOrigins, file_redirect, page_redirect};
use super::retry::Policy;
use super::sending::{Outgoing, Sending};
use super::throttle::{Throttles, Word};
use crate::access::Credential;
use crate::registry::{Bases, Route, Scope};
use crate::values::clock;
use crate::values::error_chain::BoxError;

/// Redirects followed for one file.
const HOPS_MAX: usize = 5;

/// The names of the two peers, as operators see them; no mirror can have either.
const GITLAB: &str = "gitlab";
const OBJECT_STORE: &str = "object_store";

pub(super) struct GitLab {
    bases: Bases,
    stores: Arc<StoreOrigins>,
    line: Line,
    store: Line,
    breaker: Breaker,
    throttles: Throttles,
    /// To GitLab, for one upload each.
    uploads: Connector,
    forward: Forward,
    upload_timeout: Duration,
    refusal_bytes_max: usize,
    via: HeaderValue,
    /// Whether the credentials it is given are the operator's own.
    service_token: bool,
}

impl GitLab {
    pub(super) fn new(
        config: &GitLabConfig,
        transport: &Transport,
        bases: Bases,
        stores: StoreOrigins,
        via: HeaderValue,
        service_token: bool,
    ) -> Result<Self, String> {
        let stores = Arc::new(stores);
        let patience = Patience {
            connect: config.connect_timeout.0,
            header: config.header_timeout.0,
            idle: config.idle_timeout.0,
            retry: Policy {
                retries: config.retries,
                retry_after_max: config.retry_after.0,
            },
            idle_connections: config.idle_connections,
        };
        let limits = Limits {
            failures: config.breaker_failures,
            rest: config.breaker_open_for.0,
            probe: patience.probe(),
        };
        let connector = |target, http2| Connector::new(transport, target, patience.connect, http2);
        let to_store = Target::Store(Arc::clone(&stores));
        Ok(Self {
            uploads: connector(Target::Own, false)?,
            line: Line::new(Peer::GitLab, connector(Target::Own, true)?, patience)
                .with_own_credential(service_token),
            store: Line::new(Peer::Store, connector(to_store, true)?, patience),
            breaker: Breaker::new(limits),
            throttles: Throttles::new(),
            bases,
            stores,
            forward: config.forward.clone(),
            upload_timeout: config.upload_timeout.0,
            refusal_bytes_max: config.refusal_size.bytes(),
            via,
            service_token,
        })
    }

    pub(super) fn bases(&self) -> &Bases {
        &self.bases
    }

    /// The mirror that answers in its place.
    pub(super) fn forward(&self) -> Option<Scope> {
        match &self.forward {
            Forward::Mirror(name) => Scope::mirror(name),
            Forward::Pass | Forward::Deny => None,
        }
    }

    pub(super) fn count_on(&mut self, counts: &PeerCounts) {
        self.line.count_on(counts.of(GITLAB.to_owned()));
        self.store.count_on(counts.of(OBJECT_STORE.to_owned()));
    }

    /// GitLab's numbers, and those of the object store, which never rests.
    pub(super) fn readings(&self, now: Instant) -> [PeerReading; 2] {
        [
            self.line
                .reading(GITLAB.to_owned(), self.breaker.condition(now), now),
            self.store
                .reading(OBJECT_STORE.to_owned(), Condition::WELL, now),
        ]
    }

    pub(super) async fn page(&self, ask: &Ask<'_>) -> Result<PageAnswer, UpstreamError> {
        if let Some(word) = self.told(ask) {
            return word.map(PageAnswer::Refused);
        }
        let url = self.bases.asked().url(ask.route);
        let mut headers = self.headers(ask);
        ask.put_page_types(&mut headers);
        let answer = self
            .line
            .read(Some(&self.breaker), ask.reading(&url, &headers))
            .await?;
        match answer.status {
            StatusCode::OK => Ok(PageAnswer::Page { answer, url }),
            StatusCode::NOT_MODIFIED if !ask.validators.is_empty() => Ok(PageAnswer::NotModified),
            status if status.is_redirection() => {
                match page_redirect(&url, answer.location(), &self.bases) {
                    PageRedirect::Forward => self.forwarded(answer).await,
                    PageRedirect::Elsewhere => Err(UpstreamError::Elsewhere),
                }
            }
            _ => Ok(PageAnswer::Refused(self.refusal(ask, answer).await?)),
        }
    }

    async fn forwarded(&self, answer: Answer) -> Result<PageAnswer, UpstreamError> {
        let (relayed, mirror) = match &self.forward {
            Forward::Pass => (self.relayed(answer).await?, None),
            Forward::Deny => (no_such_package(), None),
            Forward::Mirror(_) => (no_such_package(), self.forward()),
        };
        Ok(PageAnswer::Forward { relayed, mirror })
    }

    pub(super) async fn file(&self, ask: &Ask<'_>) -> Result<FileAnswer, UpstreamError> {
        if let Some(word) = self.told(ask) {
            return word.map(FileAnswer::Refused);
        }
        let mut answered = self.file_once(ask).await;
        // A signed link that has expired: GitLab signs another one, once.
        if let Err(UpstreamError::StoreRefused(StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST)) =
            answered
        {
            answered = self.file_once(ask).await;
        }
        match answered {
            Err(UpstreamError::StoreRefused(status)) if ask.is_refused_by(status) => {
                Ok(FileAnswer::RangeRefused(status))
            }
            other => other,
        }
    }

    async fn file_once(&self, ask: &Ask<'_>) -> Result<FileAnswer, UpstreamError> {
        let mut url = self.bases.asked().url(ask.route);
        let mut headers = self.headers(ask);
        Ask::put_file_types(&mut headers);
        let (mut line, mut breaker) = (&self.line, Some(&self.breaker));
        for _ in 0..HOPS_MAX {
            let in_store = breaker.is_none();
            let answer = line.read(breaker, ask.reading(&url, &headers)).await?;
            if answer.status.is_redirection() && answer.status != StatusCode::NOT_MODIFIED {
                match file_redirect(&url, answer.location(), &self.bases, &self.stores) {
                    FileRedirect::Store(_) if !ask.validators.is_empty() => {
                        return Ok(FileAnswer::Admitted(answer.status));
                    }
                    FileRedirect::Store(next) => url = next,
                    FileRedirect::Elsewhere => return Err(UpstreamError::Elsewhere),
                    FileRedirect::Forbidden(origin) => {
                        tracing::warn!(%origin, "GitLab redirected a file to this origin; to allow it, add it to gitlab.object_storage_origins");
                        return Err(UpstreamError::StoreForbidden);
                    }
                    FileRedirect::Unreadable => return Err(UpstreamError::Redirects(Peer::GitLab)),
                }
                // Never a credential, and a store that fails says nothing of GitLab.
                (line, breaker) = (&self.store, None);
                headers = ask.fields();
                continue;
            }
            return match answer.status {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                    ask.success(line.peer().clone(), answer)
                }
                StatusCode::NOT_MODIFIED if !ask.validators.is_empty() => {
                    Ok(FileAnswer::NotModified)
                }
                StatusCode::RANGE_NOT_SATISFIABLE if ask.range.is_some() => {
                    Ok(FileAnswer::Unsatisfiable(unsatisfied(&answer.headers)))
                }
                status if in_store => Err(UpstreamError::StoreRefused(status)),
                status if ask.is_refused_by(status) => Ok(FileAnswer::RangeRefused(status)),
                _ => Ok(FileAnswer::Refused(self.refusal(ask, answer).await?)),
            };
        }
        Err(UpstreamError::Redirects(Peer::GitLab))
    }

    pub(super) async fn pass(&self, ask: &Ask<'_>) -> Result<Relayed, UpstreamError> {
        if let Some(word) = self.told(ask) {
            return word;
        }
        let url = self.bases.asked().url(ask.route);
        let headers = self.headers(ask);
        let answer = self
            .line
            .read(Some(&self.breaker), ask.reading(&url, &headers))
            .await?;
        if answer.status == StatusCode::OK {
            self.relayed(answer.uncoded()?).await
        } else {
            self.refusal(ask, answer).await
        }
    }

    pub(super) async fn upload<B>(
        &self,
        route: &Route,
        credential: &Credential,
        upload: Outgoing<B>,
    ) -> Result<Relayed, UpstreamError>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let answered = self.upload_once(route, credential, upload).await;
        let status = match &answered {
            Ok(relayed) => Some(relayed.status),
            Err(UpstreamError::ServiceToken(status)) => Some(*status),
            Err(_) => None,
        };
        self.line.tally_upload(&answered, status);
        answered
    }

    async fn upload_once<B>(
        &self,
        route: &Route,
        credential: &Credential,
        upload: Outgoing<B>,
    ) -> Result<Relayed, UpstreamError>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let url = self.bases.asked().url(route);
        let Outgoing {
            mut headers,
            body,
            wanted,
        } = upload;
        headers.insert(VIA, self.via.clone());
        Ask::put_request_id(&mut headers);
        credential.apply(&mut headers);
        let (body, patience) = Sending::new(body);
        let mut whole = self.line.request(Method::POST, &url, headers, body)?;
        hyper::ext::on_informational(&mut whole, move |word| {
            if word.status() == StatusCode::CONTINUE {
                wanted.notify_one();
            }
        });
        let late = UpstreamError::Silent(Peer::GitLab, self.upload_timeout);
        let dialled = self.uploads.open(whole.uri()).await;
        let stream = dialled.map_err(|why| self.line.told(&why, true, &url))?;
        let for_proxy = stream.is_for_proxy();
        let broken = |why: hyper::Error| self.line.told(&why, false, &url);
        let (mut line, connection) = dial::shake_hands(stream).await.map_err(broken)?;
        dial::beside(connection, async {
            // There is no limit on the whole: a large body may take its time.
            let response = tokio::select! {
                response = line.send_request(dial::in_form(whole, &url, for_proxy)) => response.map_err(broken)?,
                () = patience.runs_out(self.upload_timeout) => return Err(late),
            };
            self.uploaded(self.line.answer(response, &url)?).await
        })
        .await
    }

    /// Asks once, whether or not it rests, and follows nothing.
    pub(super) async fn hear(
        &self,
        inquiry: Inquiry,
        ask: &Ask<'_>,
    ) -> Result<Answer, UpstreamError> {
        let mut headers = self.headers(ask);
        let url = match inquiry {
            Inquiry::Version => self.bases.asked().version_url(),
            Inquiry::Page | Inquiry::File => self.bases.asked().url(ask.route),
        };
        ask.put_types_of(inquiry, &mut headers);
        self.line
            .read(
                None,
                Reading {
                    kind: ask.route.word(),
                    url: &url,
                    headers: &headers,
                    fresh: true,
                },
            )
            .await
    }

    async fn uploaded(&self, answer: Answer) -> Result<Relayed, UpstreamError> {
        self.judge_dismissal(&answer)?;
        self.relayed(answer).await
    }

    /// A refusal of larder's own token is no word to the caller.
    fn judge_dismissal(&self, answer: &Answer) -> Result<(), UpstreamError> {
        match answer.status {
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) if self.service_token => {
                Err(UpstreamError::ServiceToken(status))
            }
            _ => Ok(()),
        }
    }

    fn headers(&self, ask: &Ask<'_>) -> HeaderMap {
        let mut headers = ask.fields();
        headers.insert(VIA, self.via.clone());
        Ask::put_request_id(&mut headers);
        ask.put_validators(&mut headers);
        ask.credential.apply(&mut headers);
        headers
    }

    /// What this caller is told without asking, because GitLab told it to wait.
    fn told(&self, ask: &Ask<'_>) -> Option<Word> {
        self.throttles.told(Some(ask.who?), clock::now())
    }

    /// An answer that is no success: GitLab's word to the caller, or a failure that is not the caller's.
    async fn refusal(&self, ask: &Ask<'_>, answer: Answer) -> Result<Relayed, UpstreamError> {
        self.judge_dismissal(&answer)?;
        let wait = self.line.long_wait(&answer);
        let status = answer.status;
        let word = if status == StatusCode::LOOP_DETECTED {
            Err(UpstreamError::Loop)
        } else if status.is_client_error() {
            self.relayed(answer).await
        } else {
            Err(UpstreamError::Failed(Peer::GitLab, status))
        };
        if let (Some(wait), Some(who)) = (wait, ask.who) {
            self.throttles.hold(Some(who), &word, wait, clock::now());
        }
        word
    }

    async fn relayed(&self, answer: Answer) -> Result<Relayed, UpstreamError> {
        let relayed = answer.relayed(self.refusal_bytes_max).await;
        relayed.map_err(|why| UpstreamError::of_body(&Peer::GitLab, &why))
    }
}

/// What GitLab says when it does not forward.
fn no_such_package() -> Relayed {
    let mut headers = HeaderMap::new();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        http::header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache"),
    );
    Relayed {
        status: StatusCode::NOT_FOUND,
        reason: None,
        headers,
        body: Bytes::from_static(b"{\"message\":\"404 Package Not Found\"}"),
    }
}

/// Fields of an upload that go on: what describes the body, and who sends it.
pub(crate) fn upload_headers(from: &HeaderMap) -> HeaderMap {
    const PASSED: [HeaderName; 5] = [
        http::header::CONTENT_TYPE,
        CONTENT_LENGTH,
        USER_AGENT,
        ACCEPT,
        http::header::CONTENT_ENCODING,
    ];
    let passed = from.iter().filter(|(name, _)| PASSED.contains(name));
    passed
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
