//! An index that GitLab points to, before it is learned: whether it gives a page at all.
//!
//! GitLab's redirect alone teaches nothing. The index is asked for the very page that the redirect
//! names, as the mirror will be asked that it may become: at allowed origins, without a credential.
//! Must not remember what came of it.

use std::sync::Arc;

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use url::Url;

use super::connect::Transport;
use super::mirror::Mirror;
use super::mirror_config::MirrorConfig;
use super::redirect::AllowedOrigins;
use super::request::{PageAnswer, UpstreamRequest};
use crate::access::Credential;
use crate::registry::{MirrorBase, PageRef, Route, Scope};
use crate::simple::{Format, ProjectName};

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

    pub(super) async fn run(&self, index: &Url, name: &ProjectName) -> Result<(), String> {
        let base = MirrorBase::unknown(self.scope.clone(), Vec::new());
        base.learn(index);
        // A client waits, and gets GitLab's redirect if this fails.
        let config = MirrorConfig {
            retries: 0,
            ..self.config.clone()
        };
        let mirror = self.mirror_with(base, &config)?;
        let route = Route::Page(PageRef {
            scope: self.scope.clone(),
            name: Some(name.clone()),
        });
        let anonymous = Credential::anonymous();
        let request = UpstreamRequest {
            accept: Format::Json,
            ..UpstreamRequest::plain(&route, &anonymous)
        };
        match mirror.page(&request).await {
            Ok(PageAnswer::Page { answer, .. }) => {
                let of_type = answer.headers.get(CONTENT_TYPE);
                let text = of_type.and_then(|value| value.to_str().ok());
                match text.and_then(Format::of_content_type) {
                    Some(_) => Ok(()),
                    None => Err("its answer is no page of the Simple API".to_owned()),
                }
            }
            Ok(PageAnswer::Refused(answer)) => Err(format!("it answered {}", answer.status)),
            Ok(_) => Err("its answer is no page".to_owned()),
            Err(why) => Err(why.to_string()),
        }
    }
}
