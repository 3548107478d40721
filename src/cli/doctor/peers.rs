//! The questions put to GitLab and to the mirrors, in their order: each one only where the one
//! before it was answered.
//!
//! Asked as the daemon asks. Must not judge.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::timeout;
use url::Url;

use super::beginning::{api_version, first_project};
use super::finding::Finding;
use super::{connection, judgement, machine};
use crate::access::Credential;
use crate::registry::{AdminEndpoint, LinkTarget, MirrorBase, PageRef, Route, Scope, Stranger};
use crate::simple::{Format, ProjectName, read_entries};
use crate::upstream::{
    ConnectionFacts, FileAnswer, Inquiry, ProbeResponse, Transport, Upstream, UpstreamError,
    UpstreamRequest, WantedRange, examine_connection,
};
use crate::values::byte_range::ByteRange;
use crate::values::clock;

/// Read of an index: enough for its head and its first project.
const INDEX_BYTES_MAX: usize = 256 << 10;

/// Read of a project's page; a larger one is not looked into.
const PAGE_BYTES_MAX: usize = 4 << 20;

const WORDS_BYTES_MAX: usize = 4 << 10;

pub(super) struct GitLabCheck {
    pub upstream: Arc<Upstream>,
    pub url: Url,
    pub way: Transport,
    pub credential: Credential,
    pub project: Option<Scope>,
    pub limit: Duration,
}

impl GitLabCheck {
    pub(super) async fn examine(self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if reach(&self.url, &self.way, "gitlab", self.limit, &mut findings).await {
            self.questions(&mut findings).await;
        }
        findings
            .into_iter()
            .map(|finding| finding.of("gitlab"))
            .collect()
    }

    async fn questions(&self, findings: &mut Vec<Finding>) {
        let with_token = !self.credential.is_anonymous();
        // An address of larder's own has no scope: GitLab is meant.
        let any = Route::Admin(AdminEndpoint::Live);
        let request = UpstreamRequest::plain(&any, &self.credential);
        match self.hear(Inquiry::Version, &request, WORDS_BYTES_MAX).await {
            Ok(heard) => {
                findings.push(judgement::version(&heard, with_token));
                findings.extend(clock_finding(&heard));
            }
            Err(why) => return findings.push(silent("version", &why)),
        }
        if let Some(scope) = &self.project {
            self.ask_about_project(scope, findings).await;
        }
    }

    async fn ask_about_project(&self, scope: &Scope, findings: &mut Vec<Finding>) {
        let with_token = !self.credential.is_anonymous();
        let index = Route::Page(PageRef::index(scope.clone()));
        let request = json(&index, &self.credential);
        let heard = match self.hear(Inquiry::Page, &request, INDEX_BYTES_MAX).await {
            Ok(heard) => heard,
            Err(why) => return findings.push(silent("credential", &why)),
        };
        findings.extend(judgement::registry(&heard, with_token));
        let Some(name) = first_listed(&heard) else {
            return;
        };
        let page = Route::Page(PageRef {
            scope: scope.clone(),
            name: Some(name.clone()),
        });
        let request = json(&page, &self.credential);
        let Ok(heard) = self.hear(Inquiry::Page, &request, PAGE_BYTES_MAX).await else {
            return;
        };
        let links = links(&heard, &name, &self.upstream.bases().asked().url(&page));
        let Some(file) = self.first_file(&links) else {
            return;
        };
        let request = UpstreamRequest::plain(&file, &self.credential);
        match self.hear(Inquiry::File, &request, 0).await {
            Ok(heard) => {
                let ranges = first_byte(&self.upstream, request, self.limit).await;
                findings.push(judgement::file(&heard, ranges));
            }
            Err(why) => findings.push(silent("files", &why)),
        }
    }

    /// The first link that is a file of GitLab's own.
    fn first_file(&self, links: &[Url]) -> Option<Route> {
        for link in links {
            if let LinkTarget::Ours { route, .. } = self.upstream.bases().recognise(link)
                && matches!(route, Route::File(_))
            {
                return Some(route);
            }
        }
        None
    }

    async fn hear(
        &self,
        inquiry: Inquiry,
        ask: &UpstreamRequest<'_>,
        bytes_max: usize,
    ) -> Result<ProbeResponse, String> {
        hear(&self.upstream, inquiry, ask, bytes_max, self.limit).await
    }
}

pub(super) struct MirrorCheck {
    pub upstream: Arc<Upstream>,
    pub base: MirrorBase,
    pub way: Transport,
    pub limit: Duration,
}

impl MirrorCheck {
    pub(super) async fn examine(self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let name = self.base.scope().to_string();
        let section = format!("mirrors.{name}");
        findings.extend(judgement::mirror_paths(self.base.places(), &name));
        if reach(
            self.base.index(),
            &self.way,
            &section,
            self.limit,
            &mut findings,
        )
        .await
        {
            self.questions(&name, &mut findings).await;
        }
        findings
            .into_iter()
            .map(|finding| finding.of(&section))
            .collect()
    }

    async fn questions(&self, name: &str, findings: &mut Vec<Finding>) {
        let anonymous = Credential::anonymous();
        let index = Route::Page(PageRef::index(self.base.scope().clone()));
        let heard = match self.hear(&json(&index, &anonymous), INDEX_BYTES_MAX).await {
            Ok(heard) => heard,
            Err(why) => return findings.push(silent("index", &why)),
        };
        findings.extend(clock_finding(&heard));
        let mut version = None;
        if let Some(format) = page_format(&heard) {
            version = api_version(&heard.body, format);
        }
        findings.push(judgement::mirror_index(&heard, version.as_deref(), name));
        let Some(first) = first_listed(&heard) else {
            return;
        };
        let page = Route::Page(PageRef {
            scope: self.base.scope().clone(),
            name: Some(first.clone()),
        });
        let Some(url) = self.base.url(&page) else {
            return;
        };
        let Ok(heard) = self.hear(&json(&page, &anonymous), PAGE_BYTES_MAX).await else {
            return;
        };
        let links = links(&heard, &first, &url);
        findings.push(self.judge_links(&links, name));
        let Some(path) = links.iter().find_map(|link| self.base.recognise(link)) else {
            return;
        };
        let file = Route::Mirrored(path);
        let request = UpstreamRequest::plain(&file, &anonymous);
        let ranges = first_byte(&self.upstream, request, self.limit).await;
        findings.push(judgement::ranges(ranges));
    }

    fn judge_links(&self, links: &[Url], name: &str) -> Finding {
        let mut foreign = Vec::new();
        let mut unfit = Vec::new();
        for link in links {
            match self.base.judge(link) {
                Ok(_) => {}
                Err(Stranger::Elsewhere) => foreign.push(link.origin().ascii_serialization()),
                Err(Stranger::Unfit(why)) => unfit.push(why.to_owned()),
            }
        }
        judgement::mirror_files(links.len(), &foreign, &unfit, name)
    }

    async fn hear(
        &self,
        ask: &UpstreamRequest<'_>,
        bytes_max: usize,
    ) -> Result<ProbeResponse, String> {
        hear(&self.upstream, Inquiry::Page, ask, bytes_max, self.limit).await
    }
}

/// Looks whether there is a way, and says so; without one nothing more is asked.
async fn reach(
    url: &Url,
    way: &Transport,
    section: &str,
    limit: Duration,
    findings: &mut Vec<Finding>,
) -> bool {
    if let Some(proxy) = way.proxy(url) {
        findings.push(Finding::ok(
            "connection",
            format!("by way of the proxy {proxy}, which looks up names"),
        ));
        return true;
    }
    let facts: ConnectionFacts = match examine_connection(url, way, limit).await {
        Ok(facts) => facts,
        Err(why) => {
            findings.push(Finding::problem(
                "connection",
                why,
                format!("check the URL and the keys of [{section}]"),
            ));
            return false;
        }
    };
    findings.extend(connection::judge(&facts, section, clock::wall()));
    facts.connected.is_some() && !matches!(facts.tls, Some(Err(_)))
}

async fn hear(
    upstream: &Upstream,
    inquiry: Inquiry,
    ask: &UpstreamRequest<'_>,
    bytes_max: usize,
    limit: Duration,
) -> Result<ProbeResponse, String> {
    match timeout(limit, upstream.examine(inquiry, ask, bytes_max)).await {
        Ok(heard) => heard.map_err(|why: UpstreamError| why.to_string()),
        Err(_) => Err(format!(
            "no answer within {}",
            humantime::format_duration(limit)
        )),
    }
}

/// Asks for the first byte of a file, by the way that a client's bytes take.
async fn first_byte(
    upstream: &Upstream,
    ask: UpstreamRequest<'_>,
    limit: Duration,
) -> Result<StatusCode, String> {
    let range = WantedRange {
        range: ByteRange::From {
            first: 0,
            last: Some(0),
        },
        if_range: None,
    };
    let ask = UpstreamRequest {
        range: Some(range),
        fresh_connection: true,
        ..ask
    };
    match timeout(limit, upstream.file(&ask)).await {
        Ok(Ok(FileAnswer::Whole(_))) => Ok(StatusCode::OK),
        Ok(Ok(FileAnswer::Refused(word))) => Ok(word.status),
        Ok(Ok(FileAnswer::Admitted(status) | FileAnswer::RangeRefused(status))) => Ok(status),
        // An empty file has no first byte.
        Ok(Ok(FileAnswer::Part(..) | FileAnswer::NotModified | FileAnswer::Unsatisfiable(_))) => {
            Ok(StatusCode::PARTIAL_CONTENT)
        }
        Ok(Err(why)) => Err(why.to_string()),
        Err(_) => Err(format!(
            "no answer within {}",
            humantime::format_duration(limit)
        )),
    }
}

/// A request for a page, for JSON first.
fn json<'a>(route: &'a Route, credential: &'a Credential) -> UpstreamRequest<'a> {
    UpstreamRequest {
        accept: Format::Json,
        ..UpstreamRequest::plain(route, credential)
    }
}

/// How the upstream's clock differs from ours, where its answer has a date.
fn clock_finding(heard: &ProbeResponse) -> Option<Finding> {
    Some(machine::judge_clock(heard.at, heard.date?))
}

/// The format of a page that was given.
fn page_format(heard: &ProbeResponse) -> Option<Format> {
    if heard.status != StatusCode::OK {
        return None;
    }
    Format::of_content_type(&heard.content_type)
}

/// The first project that an index lists.
fn first_listed(heard: &ProbeResponse) -> Option<ProjectName> {
    first_project(&heard.body, page_format(heard)?)
}

/// Where the files of a page that came whole lie.
fn links(heard: &ProbeResponse, name: &ProjectName, url: &Url) -> Vec<Url> {
    let Some(format) = page_format(heard) else {
        return Vec::new();
    };
    if !heard.is_whole {
        return Vec::new();
    }
    let read = read_entries(format, name, url.clone(), &heard.body, |entry| {
        Some(entry.url.clone())
    });
    read.map(|(links, _)| links).unwrap_or_default()
}

fn silent(check: &str, why: &str) -> Finding {
    Finding::problem(
        check,
        why.to_owned(),
        "a connection stands and no answer comes: look at the peer's log, or a proxy before it",
    )
}
