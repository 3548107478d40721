//! Whether a request may come in, before anything is known of its caller.
//!
//! In this order: a place in time, an address that answers it, the client's rate, the name that larder is called by, a body on
//! a read, a loop, and an upload that a page in a browser had sent. Must not know credentials, and
//! must not answer.

use std::sync::Arc;
use std::time::Instant;

use http::header::{HeaderMap, HeaderValue};
use http::{Method, Request, Version};

use super::ServerLimits;
use super::browser::{self, OwnNames};
use super::rate::RequestRate;
use super::reply::Refusal;
use super::request_head::{Field, RequestHead};
use crate::registry::{AdminEndpoint, Route};

pub struct Admission {
    /// How often one client may ask.
    rate: Arc<RequestRate>,
    /// Set where every client that can connect has rights: only called by one of these names is
    /// anything but larder's own shown.
    own_names: Option<OwnNames>,
    /// This process's name in `Via`.
    via: HeaderValue,
}

impl Admission {
    /// `before` is the admission of the configuration before, whose clients keep what is left of
    /// their rate.
    pub fn new(
        limits: &ServerLimits,
        own_names: Option<OwnNames>,
        via: HeaderValue,
        before: Option<&Self>,
    ) -> Self {
        Self {
            rate: RequestRate::following(limits, before.map(|before| &before.rate)),
            own_names,
            via,
        }
    }

    /// `body_ended` says whether no bytes of a body are to come.
    pub(super) fn check(
        &self,
        head: &RequestHead,
        route: &Route,
        body_ended: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        let ingress = &head.ingress;
        if ingress.has_no_place {
            return Err(Refusal::TooManyRequests);
        }
        if ingress.health_only && !is_probe(route) {
            return Err(Refusal::HealthOnly);
        }
        if !is_probe(route) {
            let admitted = self.rate.admit(ingress.client, now);
            admitted.map_err(Refusal::RateLimited)?;
        }
        if ingress.client.is_some() && route.scope().is_some() {
            self.check_name(head.headers())?;
        }
        // Over HTTP/2 a body needs no field that announces it.
        let goes_on = head.parts.version == Version::HTTP_2 && !body_ended;
        if head.parts.method != Method::POST && (goes_on || has_body(head)) {
            return Err(Refusal::BodyOnRead);
        }
        if self.came_from_here(head) {
            return Err(Refusal::Loop);
        }
        let takes_a_body = matches!(
            route,
            Route::Upload { .. } | Route::Osv(_) | Route::Admin(AdminEndpoint::RewriteLock)
        );
        if takes_a_body && browser::is_sent_by_a_page(head.headers()) {
            return Err(Refusal::CrossSite);
        }
        Ok(())
    }

    fn check_name(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(own_names) = &self.own_names else {
            return Ok(());
        };
        match own_names.unknown(headers) {
            Some(name) => Err(Refusal::UnknownHost(name)),
            None => Ok(()),
        }
    }

    fn came_from_here(&self, head: &RequestHead) -> bool {
        for list in head.all(Field::Via) {
            let mut hops = list.as_bytes().split(|b| *b == b',');
            if hops.any(|hop| hop.trim_ascii() == self.via.as_bytes()) {
                return true;
            }
        }
        false
    }
}

/// Whether it is asked how larder is, which a monitor must hear also when no other request is
/// served.
fn is_probe(route: &Route) -> bool {
    matches!(
        route,
        Route::Admin(AdminEndpoint::Live | AdminEndpoint::Ready | AdminEndpoint::Metrics)
    )
}

/// The same of a request that was not taken apart yet.
pub(super) fn is_probe_request<B>(request: &Request<B>) -> bool {
    Route::parse(request.method(), request.uri()).is_ok_and(|route| is_probe(&route))
}

fn has_body(head: &RequestHead) -> bool {
    if head.has(Field::TransferEncoding) {
        return true;
    }
    match head.first(Field::ContentLength) {
        Some(length) => length.as_bytes() != b"0",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http::header::{CONTENT_LENGTH, HOST, HeaderName, ORIGIN, VIA};

    use super::*;
    use crate::server::ingress::Ingress;
    use crate::server::wire::ClientAddress;
    use crate::values::clock;

    const PAGE: &str = "/api/v4/projects/42/packages/pypi/simple/a/";
    const UPLOAD: &str = "/api/v4/projects/42/packages/pypi";
    const LIVE: &str = "/-/health/live";

    fn admission(limits: ServerLimits, own_names: Option<OwnNames>) -> Admission {
        let via = HeaderValue::from_static("1.1 larder-1234");
        Admission::new(&limits, own_names, via, None)
    }

    fn request(method: Method, path: &str, fields: &[(HeaderName, &str)]) -> RequestHead {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(name, *value);
        }
        let mut head = RequestHead::of(request);
        head.ingress.client = Some(ClientAddress::of(IpAddr::from([192, 0, 2, 1])));
        head
    }

    fn checked(admission: &Admission, head: &RequestHead) -> Result<(), Refusal> {
        let route = Route::parse(&head.parts.method, &head.parts.uri).unwrap();
        admission.check(head, &route, true, clock::now())
    }

    #[test]
    fn a_request_without_a_place_is_refused_whatever_it_asks() {
        let admission = admission(ServerLimits::default(), None);
        let mut live = request(Method::GET, LIVE, &[]);
        assert!(checked(&admission, &live).is_ok());
        live.ingress.has_no_place = true;
        let refused = checked(&admission, &live);
        assert!(matches!(refused, Err(Refusal::TooManyRequests)));
    }

    #[test]
    fn by_the_health_listener_only_health_and_metrics_come_in() {
        let admission = admission(ServerLimits::default(), None);
        let asked = |path| {
            let mut head = request(Method::GET, path, &[]);
            head.ingress.health_only = true;
            checked(&admission, &head)
        };
        for probe in [LIVE, "/-/health/ready", "/-/metrics"] {
            assert!(asked(probe).is_ok(), "{probe}");
        }
        for other in [PAGE, "/-/", "/-/status"] {
            assert!(matches!(asked(other), Err(Refusal::HealthOnly)), "{other}");
        }
    }

    #[test]
    fn a_probe_does_not_count_against_the_rate() {
        let limits = ServerLimits {
            requests_per_second: 1,
            requests_burst: 1,
            ..ServerLimits::default()
        };
        let admission = admission(limits, None);
        let page = request(Method::GET, PAGE, &[]);
        assert!(checked(&admission, &page).is_ok());
        let refused = checked(&admission, &page);
        assert!(matches!(refused, Err(Refusal::RateLimited(_))));
        assert!(checked(&admission, &request(Method::GET, LIVE, &[])).is_ok());
    }

    #[test]
    fn packages_are_shown_under_a_known_name_only() {
        let admission = admission(ServerLimits::default(), Some(OwnNames::new(None)));
        let named = |path, host| request(Method::GET, path, &[(HOST, host)]);
        assert!(checked(&admission, &named(PAGE, "localhost:3141")).is_ok());
        assert!(checked(&admission, &named("/-/", "other.example")).is_ok());
        let mut other = named(PAGE, "other.example");
        let refused = checked(&admission, &other);
        assert!(matches!(refused, Err(Refusal::UnknownHost(name)) if name == "other.example"));
        other.ingress = Ingress::default();
        assert!(checked(&admission, &other).is_ok(), "over a unix socket");
    }

    #[test]
    fn a_read_has_no_body() {
        let admission = admission(ServerLimits::default(), None);
        let sized = |method, path, length| request(method, path, &[(CONTENT_LENGTH, length)]);
        assert!(checked(&admission, &sized(Method::GET, PAGE, "0")).is_ok());
        assert!(checked(&admission, &sized(Method::POST, UPLOAD, "5")).is_ok());
        let refused = checked(&admission, &sized(Method::GET, PAGE, "5"));
        assert!(matches!(refused, Err(Refusal::BodyOnRead)));
        let mut page = request(Method::GET, PAGE, &[]);
        page.parts.version = Version::HTTP_2;
        let route = Route::parse(&page.parts.method, &page.parts.uri).unwrap();
        let refused = admission.check(&page, &route, false, clock::now());
        assert!(matches!(refused, Err(Refusal::BodyOnRead)));
    }

    #[test]
    fn a_request_that_was_here_before_is_a_loop() {
        let admission = admission(ServerLimits::default(), None);
        let via = |via| request(Method::GET, PAGE, &[(VIA, via)]);
        assert!(checked(&admission, &via("1.1 larder-9999")).is_ok());
        let refused = checked(&admission, &via("1.1 other, 1.1 larder-1234"));
        assert!(matches!(refused, Err(Refusal::Loop)));
    }

    #[test]
    fn a_page_in_a_browser_reads_but_does_not_upload() {
        let admission = admission(ServerLimits::default(), None);
        let sent = |method, path| request(method, path, &[(ORIGIN, "https://other.example")]);
        assert!(checked(&admission, &sent(Method::GET, PAGE)).is_ok());
        let refused = checked(&admission, &sent(Method::POST, UPLOAD));
        assert!(matches!(refused, Err(Refusal::CrossSite)));
    }
}
