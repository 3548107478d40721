//! An index that GitLab points to, before it is learned: whether it gives a page at all.
//!
//! GitLab's redirect alone teaches nothing. The index is asked for the very page that the redirect
//! names, as the mirror will be asked that it may become: at allowed origins, without a credential.
//! The page has to list a file of that project: a page about maintenance does not. A page that is
//! missing, or lists no file, tells nothing of the index. Must not remember what came of it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::write::MultiGzDecoder;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use url::Url;

use super::connect::Transport;
use super::mirror::Mirror;
use super::mirror_config::MirrorConfig;
use super::redirect::AllowedOrigins;
use super::request::{PageAnswer, UpstreamRequest};
use super::response::UpstreamResponse;
use crate::access::Credential;
use crate::registry::{MirrorBase, PageRef, Route, Scope};
use crate::simple::{
    Decision, Entry, Format, PageSubject, ProjectName, RewriteError, Rewriter, project_candidates,
};

/// So much of a page is read until it lists a file of its project.
const BYTES_MAX: usize = 1 << 20;

/// Compressed bytes inflated at a time.
const GZIP_STEP_BYTES: usize = 4096;

/// Why an index is not learned.
#[derive(Debug)]
pub enum TrialError {
    /// It has no such page, or no file on it: another page may tell.
    Untold,
    Unfit(String),
}

/// How an index is reached that no operator named.
pub struct IndexTrial {
    pub scope: Scope,
    pub config: MirrorConfig,
    pub transport: Transport,
    /// `gitlab.forward_origins`.
    pub origins: Arc<AllowedOrigins>,
    /// This process's name in `Via`.
    pub via: HeaderValue,
}

impl IndexTrial {
    pub(super) fn mirror(&self, base: MirrorBase) -> Result<Mirror, String> {
        self.mirror_with(base, &self.config)
    }

    fn mirror_with(&self, base: MirrorBase, config: &MirrorConfig) -> Result<Mirror, String> {
        let origins = Arc::clone(&self.origins);
        Mirror::public_index(base, config, &self.transport, origins, self.via.clone())
    }

    pub(super) async fn run(&self, index: &Url, name: &ProjectName) -> Result<(), TrialError> {
        let base = MirrorBase::unknown(self.scope.clone(), Vec::new());
        base.learn(index);
        // A client waits, and gets GitLab's redirect if this fails.
        let config = MirrorConfig {
            retries: 0,
            ..self.config.clone()
        };
        let mirror = self.mirror_with(base, &config).map_err(unfit)?;
        let route = Route::Page(PageRef {
            scope: self.scope.clone(),
            name: Some(name.clone()),
        });
        let anonymous = Credential::anonymous();
        let request = UpstreamRequest {
            accept: Format::Json,
            ..UpstreamRequest::plain(&route, &anonymous)
        };
        let (answer, url) = match mirror.page(&request).await {
            Ok(PageAnswer::Page { answer, url }) => (answer, url),
            Ok(PageAnswer::Refused(answer)) if is_missing(answer.status) => {
                return Err(TrialError::Untold);
            }
            Ok(PageAnswer::Refused(answer)) => {
                return Err(unfit(format!("it answered {}", answer.status)));
            }
            Ok(_) => return Err(unfit("its answer is no page")),
            Err(why) => return Err(unfit(why)),
        };
        let of_type = answer.headers.get(CONTENT_TYPE);
        let text = of_type.and_then(|value| value.to_str().ok());
        let Some(format) = text.and_then(Format::of_content_type) else {
            return Err(unfit("its answer is no page of the Simple API"));
        };
        if lists_a_file(answer, url, format, name).await? {
            Ok(())
        } else {
            Err(TrialError::Untold)
        }
    }
}

fn unfit(why: impl ToString) -> TrialError {
    TrialError::Unfit(why.to_string())
}

/// Of one project. Of an index it says nothing.
fn is_missing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS
    )
}

/// Whether a page lists a file of the project; it is read as far as that takes.
async fn lists_a_file(
    answer: UpstreamResponse,
    url: Url,
    format: Format,
    name: &ProjectName,
) -> Result<bool, TrialError> {
    let is_coded = answer.is_coded();
    let mut body = answer.body;
    let is_listed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_listed);
    let project = name.clone();
    let note = move |entry: &Entry<'_>| {
        if project_candidates(&entry.name).contains(&project) {
            seen.store(true, Ordering::Relaxed);
        }
        Decision::Drop
    };
    // In the other format: what is kept in kind would also be given links that are no entries.
    let target = match format {
        Format::Html => Format::Json,
        Format::Json => Format::Html,
    };
    let subject = PageSubject::Project(name.clone());
    let mut reader = Rewriter::new(format, target, subject, url, note);
    let mut inflated = MultiGzDecoder::new(Vec::new());
    let mut read = 0;
    while let Some(piece) = body.piece().await.map_err(unfit)? {
        read += piece.len();
        if read > BYTES_MAX {
            return Err(unfit("its page lists no file for too long"));
        }
        // The one encoding that is asked for.
        if is_coded {
            for part in piece.chunks(GZIP_STEP_BYTES) {
                inflated.write_all(part).map_err(unfit)?;
                let text = std::mem::take(inflated.get_mut());
                reader.write(&text).map_err(no_page)?;
            }
        } else {
            reader.write(&piece).map_err(no_page)?;
        }
        reader.take_output();
        if is_listed.load(Ordering::Relaxed) {
            return Ok(true);
        }
    }
    let rest = match is_coded {
        true => inflated.finish().map_err(unfit)?,
        false => Vec::new(),
    };
    reader.write(&rest).map_err(no_page)?;
    reader.finish().map_err(no_page)?;
    Ok(is_listed.load(Ordering::Relaxed))
}

fn no_page(why: RewriteError) -> TrialError {
    unfit(format!("its answer is no page of the Simple API: {why}"))
}
