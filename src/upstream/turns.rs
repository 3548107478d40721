//! Several parents that stand in for each other, asked one after another until one answers.
//!
//! A lone peer is asked as ever. Of several each but the last is tried once, because the next one is
//! a better try than the same again; the last is tried as often as a lone one. Two time limits end a
//! question: where it is GitLab that says nothing, each parent would wait for it, and ask it once
//! more. Must not know in which order (`rendezvous.rs`).

use http::StatusCode;

use super::error::UpstreamError;
use super::gitlab::GitLab;
use super::mirror::Mirror;
use super::peer::Peer;
use super::request::{FileAnswer, UpstreamRequest};

/// Who is asked.
#[derive(Clone, Copy)]
pub(super) enum ChosenPeer<'a> {
    GitLab(&'a GitLab),
    Mirror(&'a Mirror),
}

impl<'a> ChosenPeer<'a> {
    pub(super) fn peer(self) -> &'a Peer {
        match self {
            Self::GitLab(gitlab) => gitlab.peer(),
            Self::Mirror(mirror) => mirror.peer(),
        }
    }

    /// The URL of the parent that it is; of no other peer.
    pub(super) fn url(self) -> &'a str {
        match self.peer() {
            Peer::Parent(url) => url,
            _ => "",
        }
    }
}

/// The peers that may be asked, and how far down them a question has come.
pub(super) struct Turns<'a> {
    now: ChosenPeer<'a>,
    next: std::vec::IntoIter<ChosenPeer<'a>>,
    /// One time limit is over already.
    has_waited: bool,
}

impl<'a> Turns<'a> {
    /// In the order in which they are asked, but for the one whose answer has just broken off, which
    /// is the last; none if there are none.
    pub(super) fn new(mut peers: Vec<ChosenPeer<'a>>, broke_off: Option<&Peer>) -> Option<Self> {
        if broke_off.is_some() {
            // Stable: the others stay in their order.
            peers.sort_by_key(|chosen| Some(chosen.peer()) == broke_off);
        }
        let mut next = peers.into_iter();
        let now = next.next()?;
        Some(Self {
            now,
            next,
            has_waited: false,
        })
    }

    /// Whose turn it is.
    pub(super) fn peer(&self) -> ChosenPeer<'a> {
        self.now
    }

    /// The request as this turn makes it.
    pub(super) fn request<'r>(&self, request: &UpstreamRequest<'r>) -> UpstreamRequest<'r> {
        UpstreamRequest {
            once: self.has_waited || self.next.len() > 0,
            ..request.clone()
        }
    }

    /// The answer, unless it is the next one's turn.
    pub(super) fn settle<A>(
        &mut self,
        answered: Result<A, UpstreamError>,
    ) -> Option<Result<A, UpstreamError>> {
        if let Err(why) = &answered
            && why.is_absence()
            && !(self.has_waited && why.is_timeout())
            && let Some(next) = self.next.next()
        {
            tracing::info!(error = %why, "{} is asked in its place", next.peer());
            self.has_waited |= why.is_timeout();
            self.now = next;
            return None;
        }
        Some(answered)
    }

    /// The same of a file. A parent that has not learned yet where GitLab's redirects lead says 404
    /// of every file of that index, and the next one may have learned it.
    pub(super) fn settle_file(
        &mut self,
        answered: Result<FileAnswer, UpstreamError>,
    ) -> Option<Result<FileAnswer, UpstreamError>> {
        if let ChosenPeer::Mirror(mirror) = self.now
            && !mirror.base().has_pages()
            && let Ok(FileAnswer::Refused(refusal)) = &answered
            && refusal.status == StatusCode::NOT_FOUND
            && let Some(next) = self.next.next()
        {
            self.now = next;
            return None;
        }
        self.settle(answered)
    }
}
