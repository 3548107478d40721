//! Why there is no answer to use.
//!
//! Messages go to clients: they name the peer and the key to look at, and no addresses but a
//! parent's; the log has the rest. Must not know what status a client gets.

use std::time::Duration;

use http::StatusCode;

use super::body::BodyError;
use super::connect::ConnectError;
use super::connect::ConnectFault;
use super::connect::ProxyFault;
use super::connect::TlsFault;
use super::counts::PeerFault;
use super::peer::Peer;
use crate::values::error_chain;

#[derive(Clone, Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("{0} cannot be reached: {why}", why = .1.words())]
    Unreachable(Peer, ConnectFault),
    #[error("TLS with {0} failed: {why}", why = .1.words(&.0.section()))]
    Tls(Peer, TlsFault),
    #[error("{0} cannot be reached: the proxy on the way {why}", why = .1.words(&.0.section()))]
    Proxy(Peer, ProxyFault),
    #[error("{0} did not answer within {limit}", limit = humantime::format_duration(*.1))]
    Silent(Peer, Duration),
    #[error("{0} closed the connection before the end of its answer")]
    Broken(Peer),
    #[error("{0} answered {1}")]
    Failed(Peer, StatusCode),
    #[error("{0} could not be reached several times in a row; next try in {wait}", wait = in_seconds(*.1))]
    BreakerOpen(Peer, Duration),
    #[error("request loop: gitlab.url, parent or a mirror's url points back at this larder")]
    Loop,
    #[error("{0} refused larder's own token ({1}): check gitlab.token_file")]
    ServiceToken(Peer, StatusCode),
    #[error("{0} refused larder ({1}): check that mirror's username and token_file")]
    MirrorCredential(Peer, StatusCode),
    #[error(
        "{0} redirected to another address of its own or to a sign-in page: check {key}, and https in it",
        key = .0.url_key()
    )]
    Elsewhere(Peer),
    #[error("the object store refused the signed link ({0})")]
    StoreRefused(StatusCode),
    #[error(
        "{0} redirected a file to an origin that is not allowed; the log says which line to add to gitlab.object_storage_origins"
    )]
    StoreForbidden(Peer),
    #[error(
        "{0} redirected to an origin that is not allowed; the log says which line to add to its redirects"
    )]
    RedirectForbidden(Peer),
    #[error("{0} redirected too often, or to something that is not a URL")]
    Redirects(Peer),
    #[error("{0} sent another part of the file than was asked for")]
    WrongPart(Peer),
    #[error("{0}'s answer is larger than limits allow")]
    TooLarge(Peer),
    #[error("{0} has not answered yet, so that its mirrors are not known here")]
    ParentUnknown(Peer),
    #[error("no parent can be asked: each that serves this is no larder, or this larder itself")]
    NoParent,
    #[error("larder is offline and asks no upstream")]
    Offline,
    #[error("{0}")]
    Unusable(&'static str),
}

impl UpstreamError {
    /// No peer answered, as opposed to a bad answer.
    pub fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(..)
                | Self::Tls(..)
                | Self::Proxy(..)
                | Self::Silent(..)
                | Self::BreakerOpen(..)
                | Self::Offline
                | Self::ParentUnknown(_)
                | Self::NoParent
        )
    }

    /// Whether another parent is asked in the place of the one that this came of: one that is away,
    /// or whose gateway says so, or that turns out to be this larder, or to ask it.
    pub(super) fn is_absence(&self) -> bool {
        match self {
            Self::Unreachable(..)
            | Self::Tls(..)
            | Self::Proxy(..)
            | Self::Silent(..)
            | Self::Broken(_)
            | Self::BreakerOpen(..)
            | Self::Loop => true,
            Self::Failed(_, status) => matches!(
                *status,
                StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            ),
            _ => false,
        }
    }

    /// Whether it took a time limit, here or behind the peer.
    pub(super) fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::Silent(..) | Self::Failed(_, StatusCode::GATEWAY_TIMEOUT)
        )
    }

    /// Whether it is an answer about what was asked for, though told as larder's own trouble: a 403
    /// to a credential of larder's may be meant for either, and what an index took back must not be
    /// shown on the chance.
    pub fn is_refusal_of_what_was_asked(&self) -> bool {
        matches!(self, Self::MirrorCredential(_, StatusCode::FORBIDDEN))
    }

    /// What an error on the way to a peer, or while talking to it, comes to; `is_connect` says that
    /// nothing was asked yet.
    pub(super) fn of_way(
        peer: Peer,
        why: &(dyn std::error::Error + 'static),
        is_connect: bool,
    ) -> Self {
        match error_chain::find(why) {
            Some(ConnectError::Proxy { fault, .. }) => Self::Proxy(peer, *fault),
            _ => match TlsFault::within(why) {
                Some(fault) => Self::Tls(peer, fault),
                None if is_connect => Self::Unreachable(peer, ConnectFault::within(why)),
                None => Self::Broken(peer),
            },
        }
    }

    /// What is counted as to blame; none where no peer was asked, or a head came that was not to be
    /// used.
    pub(super) fn fault(&self) -> Option<PeerFault> {
        match self {
            Self::Unreachable(..) => Some(PeerFault::Connect),
            Self::Tls(..) => Some(PeerFault::Tls),
            Self::Proxy(..) => Some(PeerFault::Proxy),
            Self::Silent(..) => Some(PeerFault::Timeout),
            Self::Broken(_) => Some(PeerFault::Broken),
            _ => None,
        }
    }

    /// In one word, for the log and the status page.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Unreachable(_, why) => why.cause(),
            Self::Tls(..) => "tls",
            Self::Proxy(..) => "proxy",
            Self::Silent(..) => "timeout",
            Self::Broken(_) => "broken",
            Self::Failed(..) => "upstream_status",
            Self::BreakerOpen(..) => "circuit_open",
            Self::Loop => "loop",
            Self::ServiceToken(..) | Self::MirrorCredential(..) => "larder_credential",
            Self::Elsewhere(_) => "gitlab_url",
            Self::StoreRefused(_) => "refused",
            Self::StoreForbidden(_) | Self::RedirectForbidden(_) | Self::Redirects(_) => "redirect",
            Self::WrongPart(_) | Self::Unusable(_) => "bad_answer",
            Self::TooLarge(_) => "too_large",
            Self::ParentUnknown(_) | Self::NoParent => "parent_unknown",
            Self::Offline => "offline",
        }
    }

    /// Whether another try may end better.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Tls(..) => false,
            Self::Proxy(_, fault) => fault.may_pass(),
            _ => true,
        }
    }

    pub fn of_body(peer: &Peer, why: &BodyError) -> Self {
        let peer = peer.clone();
        match why {
            BodyError::Stalled(limit) => Self::Silent(peer, *limit),
            BodyError::Broken(_) | BodyError::Object(_) => Self::Broken(peer),
            BodyError::TooLarge(_) => Self::TooLarge(peer),
        }
    }
}

/// Rounded up: who comes back then is not too early.
fn in_seconds(wait: Duration) -> humantime::FormattedDuration {
    let seconds = u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
    humantime::format_duration(Duration::from_secs(seconds.max(1)))
}
