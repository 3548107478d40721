//! A view's list of projects: the names that its sources list, each once.
//!
//! Every source gives its list to this caller, or there is none: a list that lacks a source would
//! look whole. Bounded by `index.page_size` for each source. Must not ask for a project's page.

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::Bytes;
use serde::Deserialize;

use super::{View, at_source};
use crate::access::Permit;
use crate::index::Pages;
use crate::index::cache::page::Page;
use crate::index::error::PageError;
use crate::index::offline::list_of;
use crate::index::request::{PageReply, PageRequest};
use crate::index::rewrite::RewriteJob;
use crate::registry::{PORTABLE_BASE, Route, Scope, portable_url};
use crate::simple::{Format, ProjectName};
use crate::upstream::Validators;
use crate::values::cache_status::CacheStatus;

/// A list of projects as PEP 691 has it.
#[derive(Deserialize)]
struct ProjectList {
    projects: Vec<ListedProject>,
}

#[derive(Deserialize)]
struct ListedProject {
    name: String,
}

impl Pages {
    /// The list of a view in the format that the client wants.
    ///
    /// # Errors
    /// When a source gives no list, or one that is too large.
    pub(super) async fn view_list(
        &self,
        view: &View,
        request: &PageRequest,
        now: Instant,
    ) -> Result<PageReply, PageError> {
        let mut names = BTreeSet::new();
        let mut proof = None;
        for source in &view.sources {
            let of_source = PageRequest {
                format: Format::Json,
                ..at_source(request, source)
            };
            let reply = match Box::pin(self.page(&of_source, now)).await {
                Err(PageError::NothingOf(scope)) => return Err(PageError::SourceUnknown(scope)),
                reply => reply?,
            };
            match reply {
                PageReply::Page {
                    page,
                    permit,
                    status,
                    ..
                } => {
                    names.extend(self.names_on(view, source, &page)?);
                    proof = Some((permit, status));
                }
                PageReply::Stream(_) => {
                    let max = self.fetcher.config.page_size.bytes() as u64;
                    return Err(PageError::ListTooLarge(source.clone(), max));
                }
                PageReply::PassThrough(answer) if answer.is_for_caller() => {
                    return Ok(PageReply::PassThrough(answer));
                }
                PageReply::PassThrough(answer) => {
                    return Err(PageError::SourceRefused(source.clone(), answer.status));
                }
            }
        }
        let Some((permit, status)) = proof else {
            return Err(PageError::NothingOf(view.scope.clone()));
        };
        self.list_page(request, &names, (permit, status)).await
    }

    /// The names that a source's list has and the view would show of it.
    fn names_on(
        &self,
        view: &View,
        source: &Scope,
        page: &Page,
    ) -> Result<Vec<ProjectName>, PageError> {
        let forms = page.forms();
        let body = &forms.choose([]).body;
        let list: ProjectList = serde_json::from_slice(body).map_err(PageError::not_a_page)?;
        let private = self.fetcher.sources.private();
        let mut names = Vec::new();
        for project in list.projects {
            let Ok(name) = ProjectName::parse(&project.name) else {
                continue;
            };
            if view.sources_of(&name, private).contains(&source) {
                names.push(name);
            }
        }
        Ok(names)
    }

    async fn list_page(
        &self,
        request: &PageRequest,
        names: &BTreeSet<ProjectName>,
        (permit, status): (Permit, CacheStatus),
    ) -> Result<PageReply, PageError> {
        let page = &request.page;
        let url = portable_url(&Route::Page(page.clone())).ok_or(PageError::Internal)?;
        let links = self.fetcher.sources.links_of(&page.scope, PORTABLE_BASE);
        let links = links.ok_or(PageError::Internal)?.with_judged_names();
        let job = RewriteJob {
            page: page.clone(),
            source: Format::Json,
            target: request.format,
            url,
            links,
            dates: std::sync::Arc::default(),
        };
        let body = Bytes::from(list_of(names));
        let prepared = self
            .fetcher
            .prepare_stored(job, Validators::default(), body);
        Ok(PageReply::Page {
            permit,
            page: prepared.await?,
            status,
            age: None,
        })
    }
}
