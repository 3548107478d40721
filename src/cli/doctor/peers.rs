//! The questions put to GitLab and to the mirrors, in their order: each one only where the one
//! before it was answered.
//!
//! Asked as the daemon asks. Must not judge.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use url::Url;

use super::beginning::{api_version, first_project};
use super::finding::Finding;
use super::judgement::LarderPlace;
use super::page_links::{self, PageLink};
use super::{agreement, connection, judgement, machine};
use crate::access::Credential;
use crate::cli::deadline::in_time;
use crate::registry::{
    AdminEndpoint, LinkTarget, MirrorBase, PackagesAddress, PageRef, Route, Scope,
};
use crate::simple::{Format, ProjectName};
use crate::upstream::{
    FileAnswer, Inquiry, ListedPackage, ProbeResponse, Transport, Upstream, UpstreamRequest,
    WantedRange, examine_connection, read_status,
};
use crate::values::byte_range::ByteRange;
use crate::values::clock;

/// Read of an index: enough for its head and its first project.
const INDEX_BYTES_MAX: usize = 256 << 10;

/// Read of a project's page; a larger one is not looked into.
const PAGE_BYTES_MAX: usize = 4 << 20;

const WORDS_BYTES_MAX: usize = 4 << 10;

/// Asks, and waits for each answer no longer than the limit.
#[derive(Clone)]
pub struct Prober {
    pub upstream: Arc<Upstream>,
    pub limit: Duration,
}

impl Prober {
    /// Looks whether there is a way, and says so; without one nothing more is asked.
    pub async fn reach(
        &self,
        url: &Url,
        way: &Transport,
        section: &str,
        findings: &mut Vec<Finding>,
    ) -> bool {
        let check = "connection";
        if let Some(proxy) = way.proxy(url) {
            let found = format!("by way of the proxy {proxy}, which looks up names");
            findings.push(Finding::ok(check, found));
            return true;
        }
        match examine_connection(url, way, self.limit).await {
            Ok(facts) => {
                // A parent is reached as [gitlab] says.
                let keys = match section {
                    "parent" => "gitlab",
                    section => section,
                };
                findings.extend(connection::judge(&facts, keys, clock::wall()));
                facts.connected.is_some() && !matches!(facts.tls, Some(Err(_)))
            }
            Err(why) => {
                let advice = match section {
                    "parent" => "check parent and the keys of [gitlab]".to_owned(),
                    section => format!("check the URL and the keys of [{section}]"),
                };
                findings.push(Finding::problem(check, why, advice));
                false
            }
        }
    }

    async fn hear(
        &self,
        inquiry: Inquiry,
        request: &UpstreamRequest<'_>,
        bytes_max: usize,
    ) -> Result<ProbeResponse, String> {
        let heard = self.upstream.examine(inquiry, request, bytes_max);
        in_time(self.limit, heard).await
    }

    /// What a larder that was met says of itself.
    async fn larder(&self, route: &Route, place: LarderPlace) -> Option<Finding> {
        let anonymous = Credential::anonymous();
        let request = UpstreamRequest::plain(route, &anonymous);
        let heard = self.hear(Inquiry::Status, &request, PAGE_BYTES_MAX).await;
        Some(judgement::larder(&heard.ok()?, place))
    }

    /// Asks for a page, for JSON first.
    async fn page(
        &self,
        page: &PageRef,
        credential: &Credential,
        bytes_max: usize,
    ) -> Result<ProbeResponse, String> {
        let route = Route::Page(page.clone());
        let request = UpstreamRequest {
            accept: Format::Json,
            ..UpstreamRequest::plain(&route, credential)
        };
        self.hear(Inquiry::Page, &request, bytes_max).await
    }

    /// Asks for the first byte of a file, by the way that a client's bytes take.
    async fn first_byte(&self, request: UpstreamRequest<'_>) -> Result<StatusCode, String> {
        let range = ByteRange::From {
            first: 0,
            last: Some(0),
        };
        let request = UpstreamRequest {
            range: Some(WantedRange {
                range,
                if_range: None,
            }),
            fresh_connection: true,
            ..request
        };
        let answer = in_time(self.limit, self.upstream.file(&request)).await?;
        Ok(match answer {
            FileAnswer::Whole(_) => StatusCode::OK,
            FileAnswer::Refused(word) => word.status,
            FileAnswer::Admitted(status) | FileAnswer::RangeRefused(status) => status,
            // An empty file has no first byte.
            FileAnswer::Part(..) | FileAnswer::NotModified | FileAnswer::Unsatisfiable(_) => {
                StatusCode::PARTIAL_CONTENT
            }
        })
    }
}

pub struct GitLabCheck {
    pub prober: Prober,
    pub url: Url,
    pub way: Transport,
    pub credential: Credential,
    pub project: Option<Scope>,
    /// Whether it stands for the parent.
    pub is_parent: bool,
    /// Whether it is asked for upload dates.
    pub asks_dates: bool,
    /// Of `gitlab.dates_token_file`.
    pub dates_token: Option<Credential>,
}

impl GitLabCheck {
    pub async fn examine(self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let section = match self.is_parent {
            true => "parent",
            false => "gitlab",
        };
        let reached = self
            .prober
            .reach(&self.url, &self.way, section, &mut findings);
        if reached.await {
            self.questions(&mut findings).await;
        }
        findings
    }

    async fn questions(&self, findings: &mut Vec<Finding>) {
        let with_token = !self.credential.is_anonymous();
        // An address of larder's own has no scope: GitLab is meant.
        let any = Route::Admin(AdminEndpoint::Live);
        let request = UpstreamRequest::plain(&any, &self.credential);
        let heard = self
            .prober
            .hear(Inquiry::Version, &request, WORDS_BYTES_MAX);
        match heard.await {
            Ok(heard) => {
                let place = match self.is_parent {
                    true => LarderPlace::Parent,
                    false => LarderPlace::GitLab,
                };
                if heard.is_of_larder {
                    findings.extend(self.prober.larder(&any, place).await);
                } else if self.is_parent {
                    findings.push(judgement::no_larder(&heard));
                } else {
                    findings.push(judgement::version(&heard, with_token));
                }
                findings.extend(clock_finding(&heard));
            }
            Err(why) => return findings.push(silent("version", why)),
        }
        if let Some(scope) = &self.project {
            self.ask_about_project(scope, findings).await;
        }
    }

    async fn ask_about_project(&self, scope: &Scope, findings: &mut Vec<Finding>) {
        let with_token = !self.credential.is_anonymous();
        let mut page = PageRef::index(scope.clone());
        let heard = self.prober.page(&page, &self.credential, INDEX_BYTES_MAX);
        let heard = match heard.await {
            Ok(heard) => heard,
            Err(why) => return findings.push(silent("credential", why)),
        };
        findings.extend(judgement::registry(&heard, with_token));
        let Some(name) = first_listed(&heard) else {
            return;
        };
        page.name = Some(name.clone());
        if self.asks_dates && !self.is_parent {
            findings.push(self.ask_for_dates(scope, &name).await);
        }
        let heard = self.prober.page(&page, &self.credential, PAGE_BYTES_MAX);
        let Ok(heard) = heard.await else {
            return;
        };
        let url = self.prober.upstream.bases().asked().url(&Route::Page(page));
        let Some(file) = self.first_file(&links(&heard, &name, &url)) else {
            return;
        };
        let request = UpstreamRequest::plain(&file, &self.credential);
        match self.prober.hear(Inquiry::File, &request, 0).await {
            Ok(heard) => {
                let ranges = self.prober.first_byte(request).await;
                findings.push(judgement::file(&heard, ranges));
            }
            Err(why) => findings.push(silent("files", why)),
        }
    }

    async fn ask_for_dates(&self, scope: &Scope, name: &ProjectName) -> Finding {
        let address = PackagesAddress::Packages {
            scope,
            name,
            page: 1,
        };
        let upstream = &self.prober.upstream;
        let mut told = [None, None];
        let own = self.credential.for_packages_api();
        for (credential, told) in [&own, &self.dates_token].into_iter().zip(&mut told) {
            if let Some(credential) = credential {
                let asked = upstream.packages::<ListedPackage>(address, credential);
                *told = Some(in_time(self.prober.limit, asked).await.map(drop));
            }
        }
        let [own, operators] = &told;
        judgement::upload_dates(own.as_ref(), operators.as_ref())
    }

    /// The first link that is a file of GitLab's own.
    fn first_file(&self, links: &[PageLink]) -> Option<Route> {
        let bases = self.prober.upstream.bases();
        for link in links {
            if let LinkTarget::Ours { route, .. } = bases.recognise(&link.url)
                && matches!(route, Route::File(_))
            {
                return Some(route);
            }
        }
        None
    }
}

/// A mirror of the parent's: whether the parent gives its list of projects. How the parent is
/// reached is told of the parent, and how the index is, by the parent's own doctor.
pub struct ParentsMirrorCheck {
    pub prober: Prober,
    pub scope: Scope,
}

impl ParentsMirrorCheck {
    pub async fn examine(self) -> Vec<Finding> {
        let anonymous = Credential::anonymous();
        let page = PageRef::index(self.scope);
        let heard = self.prober.page(&page, &anonymous, INDEX_BYTES_MAX).await;
        vec![judgement::parents_mirror(heard.map(|heard| heard.status))]
    }
}

/// Whether several parents serve the same. Those that do not answer are told of by themselves.
pub struct AgreementCheck {
    /// By the URL of each.
    pub probers: Vec<(String, Prober)>,
}

impl AgreementCheck {
    pub async fn examine(self) -> Vec<Finding> {
        let any = Route::Admin(AdminEndpoint::Live);
        let anonymous = Credential::anonymous();
        let request = UpstreamRequest::plain(&any, &anonymous);
        let mut told = Vec::new();
        for (url, prober) in self.probers {
            let heard = prober.hear(Inquiry::Status, &request, PAGE_BYTES_MAX).await;
            if let Ok(heard) = heard
                && let Ok(status) = read_status(&heard.body)
            {
                told.push((url, status));
            }
        }
        Vec::from_iter(agreement::judge(&told))
    }
}

pub struct MirrorCheck {
    pub prober: Prober,
    pub base: MirrorBase,
    pub way: Transport,
    /// Its section in the configuration.
    pub section: String,
}

impl MirrorCheck {
    pub async fn examine(self) -> Vec<Finding> {
        let name = self.base.scope().to_string();
        let mut findings = Vec::new();
        findings.extend(judgement::mirror_paths(&self.base.places(), &name));
        let Some(url) = self.base.index() else {
            return findings;
        };
        let reached = self
            .prober
            .reach(url, &self.way, &self.section, &mut findings);
        if reached.await {
            self.questions(&name, &mut findings).await;
        }
        findings
    }

    async fn questions(&self, name: &str, findings: &mut Vec<Finding>) {
        let anonymous = Credential::anonymous();
        let mut page = PageRef::index(self.base.scope().clone());
        let heard = match self.prober.page(&page, &anonymous, INDEX_BYTES_MAX).await {
            Ok(heard) => heard,
            Err(why) => return findings.push(silent("index", why)),
        };
        findings.extend(clock_finding(&heard));
        let mut version = None;
        if let Some(format) = page_format(&heard) {
            version = api_version(&heard.body, format);
        }
        findings.push(judgement::mirror_index(&heard, version.as_deref(), name));
        if heard.is_of_larder {
            let index = Route::Page(page.clone());
            findings.extend(self.prober.larder(&index, LarderPlace::Mirror).await);
        }
        let Some(first) = first_listed(&heard) else {
            return;
        };
        page.name = Some(first.clone());
        let Some(url) = self.base.url(&Route::Page(page.clone())) else {
            return;
        };
        let Ok(heard) = self.prober.page(&page, &anonymous, PAGE_BYTES_MAX).await else {
            return;
        };
        let links = links(&heard, &first, &url);
        page_links::take_hosts(&links, &self.base, &self.prober.upstream).await;
        let sorted = page_links::sort(&links, &self.base);
        findings.push(judgement::mirror_files(&sorted, name));
        let mut recognised = links
            .iter()
            .filter_map(|link| self.base.recognise(&link.url));
        let Some(path) = recognised.next() else {
            return;
        };
        let file = Route::Mirrored(path);
        let request = UpstreamRequest::plain(&file, &anonymous);
        let ranges = self.prober.first_byte(request).await;
        findings.push(judgement::ranges(ranges));
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
fn links(heard: &ProbeResponse, name: &ProjectName, url: &Url) -> Vec<PageLink> {
    let Some(format) = page_format(heard) else {
        return Vec::new();
    };
    if !heard.is_whole {
        return Vec::new();
    }
    page_links::read(format, name, url, &heard.body)
}

fn silent(check: &str, why: String) -> Finding {
    Finding::problem(
        check,
        why,
        "a connection stands and no answer comes: look at the peer's log, or a proxy before it",
    )
}
