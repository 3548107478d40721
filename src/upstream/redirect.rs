//! Where a redirect leads, and whether larder goes there.
//!
//! Pure. A signed link into the object store is followed without a credential, to listed origins
//! only, or, with none listed, to any https origin with a public address; by the same rule larder
//! goes to the public index that GitLab points to. A mirror's redirect is followed to origins that
//! the operator named for it, and from a file host that its own pages named to any https origin
//! with a public address. Everything else is data for the client or an error. Must not resolve
//! names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Origin, Url};

use super::connect::is_public_name;
use crate::registry::Bases;
use crate::simple::ProjectName;

/// Origins that an operator listed: `gitlab.object_storage_origins`, `gitlab.forward_origins`, a
/// mirror's `redirects`.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins(Vec<Url>);

impl AllowedOrigins {
    /// # Errors
    /// The text that is not an http or https origin.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        let origin = |text: &String| match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.path() == "/" => Ok(url),
            _ => Err(text.clone()),
        };
        texts.iter().map(origin).collect::<Result<_, _>>().map(Self)
    }

    /// Those of URLs that an operator wrote.
    pub fn of(urls: Vec<Url>) -> Self {
        Self(urls)
    }

    /// As URLs.
    pub fn urls(&self) -> &[Url] {
        &self.0
    }

    pub(super) fn list(&self, origin: &Origin) -> bool {
        self.0.iter().any(|listed| listed.origin() == *origin)
    }

    pub(super) fn origins(&self) -> impl Iterator<Item = Origin> {
        self.0.iter().map(Url::origin)
    }

    /// Whether the operator named this host, so that it may live at a private address.
    pub(super) fn names_host(&self, host: &str) -> bool {
        self.0.iter().any(|listed| listed.host_str() == Some(host))
    }

    /// May larder go to this URL, as far as the URL tells? Addresses behind names are checked when
    /// connecting.
    pub fn allow(&self, url: &Url) -> bool {
        self.list(&url.origin()) || (self.0.is_empty() && may_be_public(url))
    }
}

/// Whether larder may follow GitLab to an index at this URL: by the rule of signed links, but a
/// name that cannot be public is not even looked up.
pub fn may_follow(url: &Url, origins: &AllowedOrigins) -> bool {
    origins.list(&url.origin()) || (origins.allow(url) && is_public_host_name(url))
}

/// Whether a file host that an index's page named may be taken, as far as its URL tells.
pub fn may_take(host: &Url) -> bool {
    may_be_public(host) && is_public_host_name(host)
}

fn is_public_host_name(url: &Url) -> bool {
    match url.host() {
        Some(host @ Host::Domain(_)) => is_public_name(&host),
        _ => true,
    }
}

/// Whether a URL is https and, as far as it tells, leads to the public Internet.
pub(super) fn may_be_public(url: &Url) -> bool {
    let public = match url.host() {
        Some(Host::Ipv4(address)) => is_public(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_public(IpAddr::V6(address)),
        Some(Host::Domain(_)) => true,
        None => false,
    };
    public && url.scheme() == "https"
}

/// A file's redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileRedirect {
    /// Into the object store.
    Store(Url),
    /// GitLab says that it lives elsewhere.
    Elsewhere,
    /// To an origin that is not allowed, named without path and query (the query is a signature).
    Forbidden(String),
    Unreadable,
}

pub(super) fn file_redirect(
    from: &Url,
    location: &str,
    bases: &Bases,
    stores: &AllowedOrigins,
) -> FileRedirect {
    let Ok(url) = from.join(location) else {
        return FileRedirect::Unreadable;
    };
    if !matches!(url.scheme(), "http" | "https")
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return FileRedirect::Unreadable;
    }
    let listed = stores.list(&url.origin());
    let own_host = bases.include_host(url.host_str()) && !listed;
    // The same path at another port or scheme: "use https", "use the other name".
    if own_host && (bases.include(&url.origin()) || url.path() == from.path()) {
        FileRedirect::Elsewhere
    } else if own_host {
        // A store on another port of GitLab's machine is for the operator to name.
        FileRedirect::Forbidden(url.origin().ascii_serialization())
    } else if stores.allow(&url) {
        FileRedirect::Store(url)
    } else {
        FileRedirect::Forbidden(url.origin().ascii_serialization())
    }
}

/// A page's redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PageRedirect {
    /// "Not here": GitLab points at a public index.
    Forward,
    /// GitLab says that it lives elsewhere, or wants a sign-in.
    Elsewhere,
}

/// GitLab forwards to `…/simple/NAME/` of another host; a redirect to itself is never a forward.
pub(super) fn page_redirect(from: &Url, location: &str, bases: &Bases) -> PageRedirect {
    let Ok(url) = from.join(location) else {
        return PageRedirect::Elsewhere;
    };
    let index_page = url
        .path_segments()
        .is_some_and(|mut segments| segments.any(|segment| segment == "simple"));
    if index_page && !bases.include_host(url.host_str()) {
        PageRedirect::Forward
    } else {
        PageRedirect::Elsewhere
    }
}

/// The index of which a forward names the page of this project: `…/simple/NAME/`, and nothing
/// else, of which NAME is what was asked for. The path that GitLab was asked by, or another one of
/// its API, is no index: that is GitLab moving, or a page about its maintenance.
pub(super) fn forwarded_index(from: &Url, location: &str, name: &ProjectName) -> Option<Url> {
    let mut url = from.join(location).ok()?;
    let says_more = url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some();
    let is_gitlabs = url.path() == from.path() || url.path().contains("/api/v4/");
    if says_more || is_gitlabs {
        return None;
    }
    let path = url.path().to_owned();
    let page = path.strip_suffix('/').unwrap_or(&path);
    let index = page.strip_suffix(name.as_str())?;
    if !index.ends_with("/simple/") {
        return None;
    }
    url.set_path(index);
    Some(url)
}

/// A mirror's redirect, of a page or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MirrorRedirect {
    Follow(Url),
    /// To an origin that is not listed, or from https to http; named without path and query.
    Forbidden(String),
    Unreadable,
}

/// `listed` are the origins that the operator named. `is_open`: a file host that the mirror's pages
/// named may lead anywhere on the public Internet, because what comes is checked by its digest.
pub(super) fn mirror_redirect(
    from: &Url,
    location: &str,
    listed: &[Origin],
    is_open: bool,
) -> MirrorRedirect {
    let Ok(mut url) = from.join(location) else {
        return MirrorRedirect::Unreadable;
    };
    url.set_fragment(None);
    if !matches!(url.scheme(), "http" | "https")
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return MirrorRedirect::Unreadable;
    }
    let downgrade = from.scheme() == "https" && url.scheme() == "http";
    let is_allowed = listed.contains(&url.origin()) || (is_open && may_be_public(&url));
    if is_allowed && !downgrade {
        MirrorRedirect::Follow(url)
    } else {
        MirrorRedirect::Forbidden(url.origin().ascii_serialization())
    }
}

/// Whether an address belongs to the public Internet (IANA special-purpose registries, RFC 6890).
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped().or_else(|| embedded_v4(v6)) {
            Some(v4) => is_public_v4(v4),
            None => {
                let first = v6.segments()[0];
                let second = v6.segments()[1];
                // 2000::/3 is all that is global unicast; documentation and Teredo are carved out
                // of it.
                first & 0xe000 == 0x2000
                    && !(first == 0x2001 && (second == 0x0db8 || second == 0))
                    && first != 0x3fff
            }
        },
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && (c == 0 || c == 2);
    let benchmark = a == 198 && (b == 18 || b == 19);
    let documentation = (a == 198 && b == 51 && c == 100) || (a == 203 && b == 0 && c == 113);
    !(v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_unspecified()
        || a == 0
        || a >= 224
        || shared
        || protocol
        || benchmark
        || documentation)
}

/// 6to4 and NAT64 carry an IPv4 address that the packet finally goes to.
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = v6.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        [0x2002, high, low, ..] => Some(join(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Base;

    fn follow(location: &str, stores: &[&str]) -> Option<FileRedirect> {
        let bases = Bases::new(Base::parse("https://gitlab.example.com").ok()?, Vec::new());
        let from = Url::parse("https://gitlab.example.com/api/v4/projects/42/x").ok()?;
        let stores: Vec<String> = stores.iter().map(ToString::to_string).collect();
        Some(file_redirect(
            &from,
            location,
            &bases,
            &AllowedOrigins::parse(&stores).ok()?,
        ))
    }

    fn goes(location: &str, stores: &[&str]) -> bool {
        matches!(follow(location, stores), Some(FileRedirect::Store(_)))
    }

    #[test]
    fn with_no_list_any_public_https_origin_will_do() {
        assert!(goes(
            "https://objects.example.net/bucket/x?X-Amz-Signature=1",
            &[]
        ));
        for location in [
            "http://objects.example.net/x",
            "https://127.0.0.1/x",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://user@objects.example.net/x",
            "file:///etc/passwd",
            "https://gitlab.example.com/users/sign_in",
            "https://gitlab.example.com:8443/api/v4/projects/42/x",
        ] {
            assert!(!goes(location, &[]), "{location}");
        }
    }

    #[test]
    fn a_list_is_the_whole_list() {
        assert!(goes(
            "https://minio.internal:9000/x",
            &["https://minio.internal:9000"]
        ));
        assert!(goes("https://10.1.2.3/x", &["https://10.1.2.3"]));
        assert!(!goes(
            "https://objects.example.net/x",
            &["https://minio.internal:9000"]
        ));
        assert!(!goes(
            "https://minio.internal/x",
            &["https://minio.internal:9000"]
        ));
    }

    #[test]
    fn a_store_on_gitlabs_own_host_wants_its_line_in_the_list() {
        let store = "http://gitlab.example.com:9000/bucket/x";
        let origin = "http://gitlab.example.com:9000";
        assert_eq!(
            follow(store, &[]),
            Some(FileRedirect::Forbidden(origin.to_owned()))
        );
        assert!(goes(store, &[origin]));
        let moved = "http://gitlab.example.com/api/v4/projects/42/x";
        assert_eq!(follow(moved, &[]), Some(FileRedirect::Elsewhere));
    }

    #[test]
    fn a_forward_leads_to_another_hosts_index() -> Result<(), Box<dyn std::error::Error>> {
        let bases = Bases::new(Base::parse("https://gitlab.example.com")?, Vec::new());
        let from =
            Url::parse("https://gitlab.example.com/api/v4/projects/42/packages/pypi/simple/x/")?;
        assert_eq!(
            page_redirect(&from, "https://index.example/simple/x/", &bases),
            PageRedirect::Forward
        );
        for elsewhere in [
            "/users/sign_in",
            "http://gitlab.example.com/simple/x/",
            "https://sso.example/login",
        ] {
            assert_eq!(
                page_redirect(&from, elsewhere, &bases),
                PageRedirect::Elsewhere,
                "{elsewhere}"
            );
        }
        Ok(())
    }

    #[test]
    fn a_forward_tells_the_index_if_it_is_the_page_that_was_asked_for()
    -> Result<(), Box<dyn std::error::Error>> {
        let from =
            Url::parse("https://gitlab.example.com/api/v4/projects/42/packages/pypi/simple/x-y/")?;
        let name = ProjectName::parse("x-y")?;
        let index =
            |location: &str| forwarded_index(&from, location, &name).map(|index| index.to_string());
        for page in [
            "https://index.example/simple/x-y/",
            "https://index.example/simple/x-y",
        ] {
            assert_eq!(
                index(page).as_deref(),
                Some("https://index.example/simple/")
            );
        }
        for other in [
            "https://index.example/simple/z/",
            "https://index.example/simple/x-y/?a=b",
            "https://index.example/simple/x-y/#a",
            "https://u:p@index.example/simple/x-y/",
            "https://index.example/simple/",
            "https://index.example/x-y/",
            "https://index.example/simple/a-x-y/",
            "https://index.example/simple/../x-y/",
            // GitLab's own: it moved, or is being maintained.
            "https://status.example/api/v4/projects/42/packages/pypi/simple/x-y/",
            "https://status.example/api/v4/groups/7/-/packages/pypi/simple/x-y",
            "https://status.example/gitlab/api/v4/projects/42/packages/pypi/simple/x-y/",
        ] {
            assert_eq!(index(other), None, "{other}");
        }
        Ok(())
    }

    #[test]
    fn an_index_is_followed_to_the_public_internet_or_to_what_is_listed()
    -> Result<(), Box<dyn std::error::Error>> {
        let follows = |url: &str, listed: &[&str]| -> Result<bool, Box<dyn std::error::Error>> {
            let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
            Ok(may_follow(
                &Url::parse(url)?,
                &AllowedOrigins::parse(&listed)?,
            ))
        };
        assert!(follows("https://index.example/simple/", &[])?);
        assert!(follows("https://1.1.1.1/simple/", &[])?);
        for inside in [
            "http://index.example/simple/",
            "https://localhost/simple/",
            "https://index.internal/simple/",
            "https://10.0.0.1/simple/",
            "https://index/simple/",
        ] {
            assert!(!follows(inside, &[])?, "{inside}");
        }
        assert!(follows(
            "http://10.0.0.1:81/simple/",
            &["http://10.0.0.1:81"]
        )?);
        assert!(follows(
            "https://index.internal/simple/",
            &["https://index.internal"]
        )?);
        assert!(!follows(
            "https://index.example/simple/",
            &["https://index.internal"]
        )?);
        Ok(())
    }

    #[test]
    fn a_mirror_leads_to_listed_origins_only_and_never_from_https_to_http()
    -> Result<(), Box<dyn std::error::Error>> {
        let from = Url::parse("https://index.example/simple/Foo/")?;
        let listed = [
            "https://index.example",
            "https://files.example",
            "http://files.example",
        ]
        .map(|origin| Url::parse(origin).map(|url| url.origin()))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
        let follow = |location: &str| mirror_redirect(&from, location, &listed, false);
        let to = |url: &str| Url::parse(url).map(MirrorRedirect::Follow);
        assert_eq!(
            follow("/simple/foo/#x"),
            to("https://index.example/simple/foo/")?
        );
        assert_eq!(
            follow("https://files.example/a?sig=1"),
            to("https://files.example/a?sig=1")?
        );
        let forbidden = |origin: &str| MirrorRedirect::Forbidden(origin.to_owned());
        assert_eq!(
            follow("http://files.example/a?sig=1"),
            forbidden("http://files.example")
        );
        assert_eq!(
            follow("//evil.example/a?sig=1"),
            forbidden("https://evil.example")
        );
        assert_eq!(
            follow("https://index.example:8443/a"),
            forbidden("https://index.example:8443")
        );
        for odd in [
            "https://u:p@files.example/a",
            "file:///etc/passwd",
            "https://",
        ] {
            assert_eq!(follow(odd), MirrorRedirect::Unreadable, "{odd}");
        }
        // A file host that the index's pages named.
        let open = |location: &str| mirror_redirect(&from, location, &listed, true);
        assert_eq!(
            open("https://cdn.example/a?sig=1"),
            to("https://cdn.example/a?sig=1")?
        );
        for inside in [
            "http://cdn.example/a",
            "https://10.0.0.1/a",
            "https://[::1]/a",
        ] {
            assert!(
                matches!(open(inside), MirrorRedirect::Forbidden(_)),
                "{inside}"
            );
        }
        Ok(())
    }

    #[test]
    fn addresses_that_are_not_the_internet() -> Result<(), std::net::AddrParseError> {
        for private in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.1.2.3",
            "169.254.1.1",
            "172.16.0.1",
            "192.168.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "2002:7f00:1::",
            "64:ff9b::10.0.0.1",
            "2001:db8::1",
        ] {
            assert!(!is_public(private.parse()?), "{private}");
        }
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "172.32.0.1",
            "2606:4700::1111",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(is_public(public.parse()?), "{public}");
        }
        Ok(())
    }
}
