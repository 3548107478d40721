//! Why larder refused a request, in the two forms of a [`Failure`].
//!
//! Owns the table from refusals to causes. Must not choose a status.

use super::failure::Failure;
use super::osv::OsvError;
use super::reply::Refusal;
use super::rewrite_lock::LockRewriteError;
use crate::access::{CallerError, OfflineAuthError};
use crate::file::FileError;
use crate::index::PageError;
use crate::registry::RouteError;
use crate::store::Cause;
use crate::upload::UploadError;

impl From<&Refusal> for Failure {
    fn from(why: &Refusal) -> Self {
        let said = why.to_string();
        Self {
            cause: cause(why),
            shown: match without_names(why) {
                Some(words) => words.to_owned(),
                None => said.clone(),
            },
            said,
        }
    }
}

fn cause(why: &Refusal) -> &'static str {
    match why {
        Refusal::Route(RouteError::Malformed(_) | RouteError::CredentialInQuery(_))
        | Refusal::Target(_)
        | Refusal::BodyOnRead
        | Refusal::Plaintext
        | Refusal::Command(_)
        | Refusal::NoLength
        | Refusal::NotAcceptable
        | Refusal::Route(RouteError::Method(_) | RouteError::ViewUpload)
        | Refusal::Caller(CallerError::Credential(_)) => "bad_request",
        Refusal::Route(_) | Refusal::HealthOnly => "unknown_address",
        Refusal::LockRewrite(LockRewriteError::Busy) | Refusal::Osv(OsvError::Busy) => "busy",
        Refusal::Osv(OsvError::Closed) => "advisories",
        Refusal::Osv(_) => "osv",
        Refusal::LockRewrite(_) => "lock_rewrite",
        Refusal::Loop => "loop",
        Refusal::CrossSite => "cross_site",
        Refusal::UnknownHost(_) => "unknown_host",
        Refusal::TooManyRequests | Refusal::RateLimited(_) => "rate_limited",
        Refusal::Caller(CallerError::Offline(OfflineAuthError::Busy))
        | Refusal::File(FileError::Busy) => "busy",
        Refusal::Caller(CallerError::Offline(_)) => "offline_access",
        Refusal::Page(why) => of_page(why),
        Refusal::File(why) => of_file(why),
        Refusal::Upload(UploadError::Paused(_) | UploadError::BrokeOff) => "client_disconnected",
        Refusal::Upload(UploadError::Offline) => "offline",
        Refusal::Upload(UploadError::Upstream(why)) | Refusal::Upstream(why) => why.cause(),
    }
}

fn of_page(why: &PageError) -> &'static str {
    match why {
        PageError::Upstream(why) => why.cause(),
        PageError::NotAPage(_) => "not_a_page",
        PageError::Broken(_) => "broken",
        PageError::TooLarge | PageError::ListTooLarge(..) => "too_large",
        PageError::PrivateName(_) => "private_package",
        PageError::NotListed => "not_listed",
        PageError::Policy(why) => why.reason.label(),
        PageError::Closed => "advisories",
        PageError::NotPrivate(_)
        | PageError::CredentialWanted
        | PageError::UnknownCaller(_)
        | PageError::Hidden(_)
        | PageError::SourceRefused(..) => "view",
        PageError::NotInAudience(..) | PageError::AudienceUnknown(_) => "audience",
        PageError::NoPackage(_)
        | PageError::NothingOf(_)
        | PageError::NotHeld(_)
        | PageError::SourceUnknown(_) => "offline",
        PageError::Internal => "internal",
    }
}

fn of_file(why: &FileError) -> &'static str {
    match why {
        FileError::Upstream(why) => why.cause(),
        FileError::Body(Cause::WrongDigest | Cause::Coded) | FileError::Blocked => "wrong_digest",
        FileError::Body(Cause::Stalled) => "stalled",
        FileError::Body(Cause::Disk | Cause::Full) => "store",
        FileError::Body(_) => "broken",
        FileError::Busy => "busy",
        FileError::NotHeld(_) => "offline",
        FileError::Internal => "internal",
    }
}

/// In place of a sentence that names what a client asked for, or what upstream wrote.
fn without_names(why: &Refusal) -> Option<&'static str> {
    Some(match why {
        Refusal::Target(_) | Refusal::Route(RouteError::Malformed(_)) => "malformed address",
        Refusal::Route(RouteError::Method(_) | RouteError::ViewUpload) => {
            "method not allowed there"
        }
        Refusal::Route(RouteError::CredentialInQuery(_)) => "a credential in the query string",
        Refusal::Route(RouteError::NoMirror(_)) => "no mirror of that name is configured",
        Refusal::Route(RouteError::Unknown | RouteError::Elsewhere(_) | RouteError::OfView) => {
            "no such address here"
        }
        Refusal::UnknownHost(_) => "larder was called by an unknown host name",
        Refusal::Command(_) => "a command that cannot be read",
        Refusal::LockRewrite(_) => "a lock file could not be rewritten",
        Refusal::Osv(OsvError::Shape(_)) => "a question to the OSV service that is none",
        Refusal::RateLimited(_) => "too many requests of one client (limits.requests_per_second)",
        Refusal::Page(PageError::NotAPage(_)) => "upstream's answer is not an index page",
        Refusal::Page(PageError::Broken(_)) => "upstream's page broke off",
        Refusal::Page(PageError::PrivateName(_)) => {
            "a private name (private_packages) was asked for at a mirror"
        }
        Refusal::Page(PageError::Policy(why)) => why.reason.kind(),
        Refusal::Page(
            PageError::NotPrivate(_)
            | PageError::CredentialWanted
            | PageError::UnknownCaller(_)
            | PageError::Hidden(_)
            | PageError::SourceRefused(..),
        ) => "a source of a view may hide what was asked for, so that no other source answered",
        Refusal::Page(PageError::ListTooLarge(..)) => {
            "the list of a view's source is larger than index.page_size"
        }
        Refusal::Page(PageError::NotInAudience(..)) => {
            "a mirror was asked for by a caller that is not in its audience"
        }
        Refusal::Page(
            PageError::NoPackage(_)
            | PageError::NothingOf(_)
            | PageError::NotHeld(_)
            | PageError::SourceUnknown(_),
        )
        | Refusal::File(FileError::NotHeld(_)) => "not in the cache, and larder is offline",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Scope;
    use crate::simple::ProjectName;

    #[test]
    fn the_status_page_is_told_no_name() {
        let name = ProjectName::parse("kestrel").unwrap();
        let group = || Scope::named("groups/kestrel").unwrap();
        let mirror = Scope::mirror("pypi").unwrap();
        let refusals = [
            Refusal::Page(PageError::ListTooLarge(group(), 1)),
            Refusal::Page(PageError::NotInAudience(mirror, group())),
            Refusal::Page(PageError::SourceUnknown(group())),
            Refusal::Page(PageError::PrivateName(name)),
            Refusal::Page(PageError::NotAPage("kestrel".into())),
            Refusal::File(FileError::NotHeld("kestrel-1.0.tar.gz".into())),
            Refusal::UnknownHost("kestrel".to_owned()),
            Refusal::Route(RouteError::Elsewhere("kestrel".to_owned())),
        ];
        for why in refusals {
            let failure = Failure::from(&why);
            assert!(!failure.shown.contains("kestrel"), "{}", failure.shown);
        }
    }
}
