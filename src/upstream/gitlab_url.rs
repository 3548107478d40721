//! Whether what answers at `gitlab.url` is a GitLab.
//!
//! Asked when the daemon starts, and again until it is one: an address that is wrong in the
//! configuration is to be said there, not found by the first build. The question goes without a
//! credential, to the one address that every GitLab has. Nothing but what an operator is told
//! depends on the answer. Must not know who is told.

use http::StatusCode;

use super::client::Upstream;
use super::examination::ProbeResponse;
use super::gitlab_check::GitLabState;
use super::parent::{STATUS_BYTES_MAX, read_status};
use super::request::{Inquiry, UpstreamRequest};
use crate::access::Credential;
use crate::registry::{PageRef, Route, Scope, ScopeKind};

/// As much of the answer as is read.
const ANSWER_BYTES_MAX: usize = 4096;

impl Upstream {
    /// Asks whether `gitlab.url` leads to a GitLab, unless that is known; whether it does. Offline
    /// nothing is asked.
    pub async fn check_gitlab(&self) -> bool {
        if self.is_offline() || self.check.present() == GitLabState::Well {
            return true;
        }
        let now = match self.ask_gitlab().await {
            Some(why) => GitLabState::Fault(why),
            None => GitLabState::Well,
        };
        let before = self.check.note(now.clone());
        match &now {
            GitLabState::Fault(why) if before != now => {
                tracing::warn!(error = %why, "gitlab.url: GitLab does not answer there as it should");
            }
            GitLabState::Well if before != GitLabState::Unknown => {
                tracing::info!("gitlab.url: GitLab answers there now");
            }
            _ => {}
        }
        now == GitLabState::Well
    }

    /// What is wrong with `gitlab.url`, as far as is known.
    pub fn gitlab_fault(&self) -> Option<String> {
        match self.check.present() {
            GitLabState::Fault(why) => Some(why),
            GitLabState::Unknown | GitLabState::Well => None,
        }
    }

    async fn ask_gitlab(&self) -> Option<String> {
        // Any route of GitLab's: its version is asked for.
        let scope = Scope::parse(ScopeKind::Project, "0")?;
        let route = Route::Page(PageRef::index(scope));
        let anonymous = Credential::anonymous();
        let request = UpstreamRequest::plain(&route, &anonymous);
        let heard = self.examine(Inquiry::Version, &request, ANSWER_BYTES_MAX);
        match heard.await {
            Ok(heard) if heard.is_of_larder => self.larder_fault(&request).await,
            Ok(heard) => fault(&heard),
            Err(why) => Some(why.to_string()),
        }
    }

    /// Another larder stands for the GitLab behind it. What it serves besides has no address here:
    /// only of a parent's is that known.
    async fn larder_fault(&self, request: &UpstreamRequest<'_>) -> Option<String> {
        let heard = self.examine(Inquiry::Status, request, STATUS_BYTES_MAX);
        let status = read_status(&heard.await.ok()?.body).ok()?;
        if !status.serves_more_than_gitlab() {
            return None;
        }
        Some(
            "this is another larder: set parent to its URL in place of gitlab.url; without that \
             links to its mirrors and to the public index lead past this larder"
                .to_owned(),
        )
    }
}

/// What is wrong with an answer to the question for the version. GitLab tells it to callers with a
/// token alone, and says so in JSON.
fn fault(heard: &ProbeResponse) -> Option<String> {
    let code = heard.status.as_u16();
    let is_json = heard.content_type.starts_with("application/json");
    match heard.status {
        StatusCode::OK | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if is_json => None,
        status if status.is_redirection() => Some(format!(
            "it redirects elsewhere ({code}): put GitLab's own address there, with https if it has \
             it; a sign-in page in front of GitLab must let /api/v4 pass"
        )),
        status if status.is_server_error() => Some(format!(
            "GitLab, or what stands in front of it, answered {code}"
        )),
        StatusCode::NOT_FOUND => Some(format!(
            "there is no GitLab API ({code}): a relative root, as in https://host/gitlab, belongs to \
             the URL, and /api/v4 does not"
        )),
        _ if heard.content_type.starts_with("text/html") => Some(format!(
            "a web page came ({code}) where GitLab's API answers in JSON: this is no GitLab, or a \
             sign-in page stands in front of it"
        )),
        _ => Some(format!("the answer ({code}) does not look like GitLab's")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_gitlab_is_known_by_its_json() {
        let heard = |status: u16, content_type: &str| ProbeResponse {
            status: StatusCode::from_u16(status).unwrap(),
            date: None,
            content_type: content_type.to_owned(),
            location: None,
            body: Bytes::new(),
            is_whole: true,
            is_of_larder: false,
            at: SystemTime::UNIX_EPOCH,
        };
        for status in [200, 401, 403] {
            assert_eq!(
                fault(&heard(status, "application/json; charset=utf-8")),
                None
            );
        }
        for (status, content_type, part) in [
            (302, "text/html", "redirects elsewhere (302)"),
            (200, "text/html; charset=utf-8", "a web page came (200)"),
            (401, "text/html", "a web page came (401)"),
            (404, "application/json", "a relative root"),
            (502, "text/html", "answered 502"),
            (200, "application/xml", "does not look like GitLab's"),
        ] {
            let said = fault(&heard(status, content_type)).unwrap_or_default();
            assert!(said.contains(part), "{status} {content_type}: {said}");
        }
    }
}
