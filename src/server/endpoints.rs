//! larder's own endpoints: the admin service answers, the server carries the answer.
//!
//! Must not judge how larder is, or who may read a page.

use std::time::Instant;

use http::request::Parts;
use hyper::body::Incoming;

use super::conditions::Conditions;
use super::osv::Question;
use super::reply::{self, Refusal, Reply};
use super::request_head::RequestHead;
use super::services::Services;
use crate::access::Caller;
use crate::admin::{AdminRequest, ProjectReply};
use crate::index::PageRequest;
use crate::registry::{AdminEndpoint, OsvRequest, PageRef};
use crate::simple::Format;

impl Services {
    pub(super) async fn endpoint(
        &self,
        endpoint: AdminEndpoint,
        head: &RequestHead,
    ) -> Result<Reply, Refusal> {
        let request = AdminRequest {
            query: head.parts.uri.query().unwrap_or_default(),
            headers: head.headers(),
            secure: head.ingress.over_tls,
        };
        let answer = self.admin.respond(endpoint, &request).await?;
        Ok(reply::internal(answer))
    }

    pub(super) async fn rewrite_lock(
        &self,
        parts: &Parts,
        body: Incoming,
    ) -> Result<Reply, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        let answer = self.lock_rewriter.rewrite(query, body).await?;
        Ok(reply::internal(answer))
    }

    pub(super) async fn osv(&self, request: OsvRequest, body: Incoming) -> Result<Reply, Refusal> {
        let answer = match request {
            OsvRequest::Query => self.osv.answer(Question::One, body).await?,
            OsvRequest::QueryBatch => self.osv.answer(Question::Batch, body).await?,
            OsvRequest::Record(id) => self.osv.record(&id).await?,
        };
        Ok(reply::internal(answer))
    }

    pub(super) async fn project_page(
        &self,
        caller: Caller,
        page: PageRef,
        conditions: &Conditions<'_>,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let request = PageRequest {
            caller,
            page,
            format: Format::Json,
            insists: conditions.no_cache,
            ahead: false,
        };
        let as_json = conditions.accept_json();
        Ok(match self.admin.project(request, as_json, now).await? {
            ProjectReply::Shown(page, status) => (reply::internal(page).0, status),
            ProjectReply::PassThrough(answer) => reply::relayed(answer),
        })
    }
}
