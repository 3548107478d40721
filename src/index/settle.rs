//! What a load means for one caller who waited for it.
//!
//! Owns the rule that an answer speaks for the caller in whose name it was asked, and what a refusal ends. Must not ask
//! upstream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::PageError;
use super::loader::{Loaded, Loader};
use super::memory::{View, ViewKey};
use super::page::Page;
use super::request::{PageReply, PageRequest};
use crate::access::{AuthVerdict, Authorization, Permit, verdict};
use crate::registry::{Scope, ScopeKind};
use crate::upstream::PassThrough;
use crate::values::cache_status::{CacheStatus, Outcome};
use crate::values::single_flight::Landed;

pub(super) enum Settled {
    Reply(PageReply),
    Failed(PageError),
    /// GitLab has no such package, for this caller.
    Forward {
        relayed: PassThrough,
        mirror: Option<Scope>,
    },
    /// GitLab's word is to come back later.
    Throttled(PassThrough),
    /// Said to somebody else.
    NotOurs,
    /// Given to somebody else.
    Taken,
}

/// Draws the conclusions of a load for one caller.
pub(super) fn settle(
    loader: &Loader,
    request: &PageRequest,
    key: &ViewKey,
    landed: Landed<Loaded>,
    before: Authorization,
    now: Instant,
) -> Settled {
    // Whose word is this? Ours, unless we shared the load of callers whose right stood already.
    let ours = !landed.joined || before.permit().is_none();
    match landed.value {
        Loaded::Page {
            page,
            variant,
            asked,
            not_modified,
        } => {
            let permit = if ours {
                loader.access().admit_page(
                    request.caller.fingerprint(),
                    &request.page,
                    page.listings(),
                    asked,
                )
            } else {
                match loader.standing(request, now) {
                    Authorization::Proven(permit) => permit,
                    Authorization::Unproven => return Settled::NotOurs,
                }
            };
            loader.memory().show(key, View::new(variant, asked));
            let outcome = match (not_modified, before) {
                _ if landed.joined => CacheStatus::new(Outcome::Collapsed),
                (true, Authorization::Proven(_)) => {
                    CacheStatus::answered(Outcome::Revalidated, 304)
                }
                (true, Authorization::Unproven) => CacheStatus::answered(Outcome::Authorized, 304),
                (false, _) => CacheStatus::answered(Outcome::Miss, 200),
            };
            Settled::Reply(reply(loader, request, permit, page, outcome, None))
        }
        Loaded::Fresh(page) => match loader.standing(request, now) {
            Authorization::Proven(permit) => {
                Settled::Reply(reply(loader, request, permit, page, CacheStatus::HIT, None))
            }
            Authorization::Unproven => Settled::NotOurs,
        },
        Loaded::Oversize(stream) => {
            // A shared load's stream belongs to whoever began it, in whose name it was asked for.
            let stream = if ours { stream.lock().take() } else { None };
            stream.map_or(Settled::Taken, |stream| {
                Settled::Reply(PageReply::Stream(stream))
            })
        }
        Loaded::Forward { .. } | Loaded::Refused(_) if !ours => Settled::NotOurs,
        Loaded::Forward { relayed, mirror } => {
            gone(loader, request, key, before);
            Settled::Forward { relayed, mirror }
        }
        Loaded::Refused(relayed) if relayed.asks_for_a_pause() => Settled::Throttled(relayed),
        Loaded::Refused(relayed) => {
            match verdict::verdict(relayed.status, false) {
                // A mirror is asked in nobody's name, and its word says nothing of anybody's rights.
                _ if request.page.scope.is_mirror() => {}
                AuthVerdict::TurnedAway => {
                    loader.access().turn_away(request.caller.fingerprint(), now)
                }
                AuthVerdict::NotThere => {
                    loader
                        .access()
                        .forget_page(request.caller.fingerprint(), &request.page, now);
                    gone(loader, request, key, before);
                }
                AuthVerdict::Admitted | AuthVerdict::NoWord => {}
            }
            Settled::Reply(PageReply::PassThrough(relayed))
        }
        Loaded::Failed(why) => Settled::Failed(why),
    }
}

/// A caller who was let in is told by GitLab that there is no such page: what was shown of it is over, in both formats. What
/// lies on the disk stays, because it is a word to one caller, and nobody is shown it without a word of his own. (What a
/// mirror takes back ends in the load, once and for everybody.)
fn gone(loader: &Loader, request: &PageRequest, key: &ViewKey, before: Authorization) {
    if before.permit().is_some() || request.page.scope.kind() == ScopeKind::Group {
        loader.memory().hide(key);
    }
}

pub(super) fn reply(
    loader: &Loader,
    request: &PageRequest,
    permit: Permit,
    page: Arc<Page>,
    status: CacheStatus,
    age: Option<Duration>,
) -> PageReply {
    loader.access().admit_listed(
        request.caller.fingerprint(),
        &request.page,
        page.listings(),
        permit,
    );
    PageReply::Page {
        permit,
        page,
        status,
        age,
    }
}
