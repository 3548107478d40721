//! One file's two addresses: upstream's URL and larder's, swapped as text, so that what follows the
//! prefix stays byte for byte.
//!
//! For files that record absolute URLs. A URL is changed only if the way back would give the same
//! text again; the exceptions are a further external URL of GitLab's, and one of a further parent,
//! which come back below the URL that is asked. A user name in a URL stays with GitLab's addresses, because larder passes it
//! on; one at a mirror is left alone. Must not know what the URLs stand in.

use url::{Host, Url};

use super::{Base, Bases, LinkTarget, MirrorBase, Route, Scope};

/// The configuration, as far as it decides whose URL one is.
#[derive(Clone, Debug)]
pub struct Swap {
    pub bases: Bases,
    pub mirrors: Vec<MirrorBase>,
    /// Where larder is known to listen. On a loopback address it is recognised on any port.
    pub own_bases: Vec<Base>,
}

/// What became of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    To(String),
    /// It leads where it should.
    Already,
    /// On no configured base.
    Foreign,
}

impl Swap {
    /// From upstream, or from another address of larder's, to larder at `own_base`.
    pub fn to_larder(&self, url: &str, own_base: &Base) -> Swapped {
        let Some(parts) = UrlParts::of(url) else {
            return Swapped::Foreign;
        };
        if let Some(path) = parts.path_below(own_base)
            && self.serves(path)
        {
            return Swapped::Already;
        }
        let own_path = || self.own_path(&parts).map(str::to_owned);
        match self.upstream_path(&parts).or_else(own_path) {
            Some(path) if parts.may_move(&path) => parts.moved(&own_base.to_string(), &path),
            _ => Swapped::Foreign,
        }
    }

    /// From larder to where it asks.
    pub fn to_upstream(&self, url: &str) -> Swapped {
        let Some(parts) = UrlParts::of(url) else {
            return Swapped::Foreign;
        };
        if self.upstream_path(&parts).is_some() {
            return Swapped::Already;
        }
        if let Some(path) = self.own_path(&parts)
            && parts.may_move(path)
            && let Some((base, rest)) = self.upstream_url(path)
        {
            return parts.moved(&base, &rest);
        }
        Swapped::Foreign
    }

    /// Whether the path of a URL looks like larder's, on whatever host: worth a hint.
    pub fn looks_like_ours(&self, url: &str) -> bool {
        UrlParts::of(url).is_some_and(|parts| self.serves(parts.path))
    }

    /// larder's path for a URL of GitLab's or a mirror's.
    fn upstream_path(&self, parts: &UrlParts<'_>) -> Option<String> {
        let bare = self.at_first_parent(parts.bare());
        let url = Url::parse(&bare).ok()?;
        if let LinkTarget::Ours { path, .. } = self.bases.recognise(&url) {
            let asked = self.bases.asked().to_string();
            let exact = bare.strip_prefix(&asked) == Some(&path) || !bare.starts_with(&asked);
            if exact && parts.path.ends_with(&path) {
                return Some(path);
            }
            return None;
        }
        let mut mirrors = self.mirrors.iter();
        let path = mirrors.find_map(|mirror| mirror_path(mirror, &bare, &url))?;
        let (base, rest) = self.upstream_url(&path)?;
        if format!("{base}{rest}") == bare && self.serves(&path) {
            Some(path)
        } else {
            None
        }
    }

    /// A URL of a mirror that several parents serve, as the first of them has it; any other stays.
    fn at_first_parent(&self, bare: String) -> String {
        let mut mirrors = self.mirrors.iter();
        let found = mirrors.find_map(|mirror| mirror.written_at_first(&bare));
        found.unwrap_or(bare)
    }

    /// The path of a URL of larder's.
    fn own_path<'u>(&self, parts: &UrlParts<'u>) -> Option<&'u str> {
        let mut own_bases = self.own_bases.iter();
        let path = match own_bases.find_map(|base| parts.path_below(base)) {
            Some(path) => path,
            None if parts.is_loopback() => self.below_own_root(parts.path),
            None => return None,
        };
        if self.serves(path) { Some(path) } else { None }
    }

    /// The path below the first root of larder's that it begins with.
    fn below_own_root<'u>(&self, path: &'u str) -> &'u str {
        let mut own_bases = self.own_bases.iter();
        match own_bases.find_map(|base| path.strip_prefix(base.root())) {
            Some(below) if below.starts_with('/') => below,
            _ => path,
        }
    }

    /// Whether it is an address of pages or files here.
    fn serves(&self, path: &str) -> bool {
        match Route::from_path(path) {
            Ok(Route::Page(page)) if !page.scope.is_mirror() => true,
            Ok(Route::Page(page)) => self.mirror(&page.scope).is_some_and(MirrorBase::has_pages),
            Ok(Route::Mirrored(path)) => self.mirror(path.scope()).is_some(),
            Ok(Route::File(_)) => true,
            _ => false,
        }
    }

    fn mirror(&self, scope: &Scope) -> Option<&MirrorBase> {
        self.mirrors.iter().find(|mirror| mirror.scope() == scope)
    }

    /// Upstream's URL for a path of larder's, in two parts.
    fn upstream_url(&self, path: &str) -> Option<(String, String)> {
        let route = Route::from_path(path).ok()?;
        let scope = route.scope()?;
        if !scope.is_mirror() {
            return Some((self.bases.asked().to_string(), path.to_owned()));
        }
        let mirror = self.mirror(scope)?;
        if let Route::Mirrored(path) = &route
            && mirror.is_at_unknown_host(path)
        {
            return None;
        }
        if matches!(route, Route::Page(_))
            && let Some(rest) = path.strip_prefix(&format!("/{mirror}/simple"))
        {
            let index = mirror.index()?.as_str().trim_end_matches('/');
            return Some((index.to_owned(), rest.to_owned()));
        }
        Some((mirror.url(&route)?.into(), String::new()))
    }
}

/// larder's path for a URL of this mirror's, which is also given as it was written.
fn mirror_path(mirror: &MirrorBase, written: &str, url: &Url) -> Option<String> {
    let index = mirror.index()?.as_str();
    let index = index.strip_suffix('/').unwrap_or(index);
    if let Some(rest) = written.strip_prefix(index)
        && (rest.is_empty() || mirror.recognise_page(url).is_some())
    {
        return Some(format!("/{mirror}/simple{rest}"));
    }
    Some(mirror.recognise(url)?.path())
}

/// An http URL as text.
#[derive(Clone, Copy, Debug)]
struct UrlParts<'u> {
    scheme: &'u str,
    /// With the `@`; mostly empty.
    user: &'u str,
    host: &'u str,
    /// With its slash.
    path: &'u str,
    /// With the `#`; mostly empty.
    fragment: &'u str,
}

impl<'u> UrlParts<'u> {
    /// `None` if it is none, or has a query or an empty segment: no address of ours has one.
    fn of(url: &'u str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (rest, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        if !matches!(scheme, "http" | "https")
            || rest.contains('?')
            || path.contains("//")
            || host.is_empty()
        {
            return None;
        }
        Some(Self {
            scheme,
            user,
            host,
            path,
            fragment,
        })
    }

    /// Without user and fragment.
    fn bare(&self) -> String {
        format!("{}://{}{}", self.scheme, self.host, self.path)
    }

    fn path_below(&self, base: &Base) -> Option<&'u str> {
        let root = format!("{}://{}{}", self.scheme, self.host, base.root());
        let path = self.path.strip_prefix(base.root())?;
        if path.starts_with('/') && root == base.to_string() {
            Some(path)
        } else {
            None
        }
    }

    fn is_loopback(&self) -> bool {
        let Ok(url) = Url::parse(&self.bare()) else {
            return false;
        };
        match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    /// A credential for a mirror is not larder's business.
    fn may_move(&self, path: &str) -> bool {
        let route = Route::from_path(path);
        self.user.is_empty() || route.is_ok_and(|route| !route.is_of_mirror())
    }

    /// The same below another base.
    fn moved(&self, base: &str, path: &str) -> Swapped {
        let Some((scheme, rest)) = base.split_once("://") else {
            return Swapped::Foreign;
        };
        Swapped::To(format!(
            "{scheme}://{}{rest}{path}{}",
            self.user, self.fragment
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registry::Scope;

    const SHA: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn swap() -> Swap {
        let base = |text: &str| Base::parse(text).expect("a base");
        let mirror = |name: &str, index: &str, files: &[&str]| {
            let files: Vec<String> = files.iter().map(|text| (*text).to_owned()).collect();
            MirrorBase::parse(Scope::mirror(name).expect("a name"), index, &files)
                .expect("a mirror")
        };
        Swap {
            bases: Bases::new(
                base("https://host.example/gitlab"),
                vec![base("https://gitlab.example")],
            ),
            mirrors: vec![
                mirror(
                    "pypi",
                    "https://index.example/simple/",
                    &["https://files.example/"],
                ),
                mirror(
                    "torch",
                    "https://wheels.example/team/+simple/",
                    &[
                        "https://wheels.example/team/",
                        "https://cdn.example:8443/x/",
                    ],
                ),
            ],
            own_bases: vec![base("https://larder.example/cache")],
        }
    }

    fn there(url: &str) -> Swapped {
        swap().to_larder(url, &Base::parse("http://localhost:3141").expect("a base"))
    }

    fn to(text: &str) -> Swapped {
        Swapped::To(text.to_owned())
    }

    #[test]
    fn upstreams_urls_become_larders_and_come_back_as_they_were() {
        let file = format!(
            "/api/v4/projects/42/packages/pypi/files/{SHA}/a-1%2Bcpu-py3-none-any.whl#sha256={SHA}"
        );
        for (upstream, path) in [
            (format!("https://host.example/gitlab{file}"), file.as_str()),
            (
                "https://host.example/gitlab/api/v4/groups/a%2Fb/-/packages/pypi/simple".into(),
                "/api/v4/groups/a%2Fb/-/packages/pypi/simple",
            ),
            ("https://index.example/simple/".into(), "/pypi/simple/"),
            ("https://index.example/simple".into(), "/pypi/simple"),
            (
                "https://index.example/simple/anvil/".into(),
                "/pypi/simple/anvil/",
            ),
            (
                "https://files.example/packages/aa/bb/a-1.whl".into(),
                "/pypi/packages/aa/bb/a-1.whl",
            ),
            (
                "https://wheels.example/team/+simple/".into(),
                "/torch/simple/",
            ),
            (
                "https://wheels.example/team/+f/a-1.whl".into(),
                "/torch/+f/a-1.whl",
            ),
            (
                "https://cdn.example:8443/x/a-1.whl".into(),
                "/torch/~cdn.example~8443/x/a-1.whl",
            ),
        ] {
            assert_eq!(
                there(&upstream),
                to(&format!("http://localhost:3141{path}")),
                "{upstream}"
            );
            for larder in [
                "http://localhost:3141",
                "http://127.0.0.1:1",
                "https://larder.example/cache",
            ] {
                assert_eq!(
                    swap().to_upstream(&format!("{larder}{path}")),
                    to(&upstream),
                    "{larder}{path}"
                );
            }
            assert_eq!(
                there(&format!("http://localhost:3141{path}")),
                Swapped::Already
            );
            assert_eq!(
                there(&format!("https://larder.example/cache{path}")),
                to(&format!("http://localhost:3141{path}"))
            );
            assert_eq!(swap().to_upstream(&upstream), Swapped::Already);
        }
    }

    #[test]
    fn what_is_nobodys_stays() {
        for url in [
            "https://elsewhere.example/simple/".to_owned(),
            format!(
                "https://elsewhere.example/api/v4/projects/42/packages/pypi/files/{SHA}/a-1.whl"
            ),
            "https://elsewhere.example/pypi/simple/".to_owned(),
            "https://index.example/simple/?x=y".to_owned(),
            "https://user:word@localhost:3141/pypi/simple/".to_owned(),
            "http://localhost/other/simple/".to_owned(),
            "http://localhost".to_owned(),
            "https://INDEX.example/simple/".to_owned(),
            "git+https://host.example/gitlab/x".to_owned(),
        ] {
            assert_eq!(there(&url), Swapped::Foreign, "{url}");
            assert_eq!(swap().to_upstream(&url), Swapped::Foreign, "{url}");
        }
        assert_eq!(
            there("https://user:word@index.example/simple/"),
            Swapped::Foreign,
            "a mirror's credential"
        );
    }

    #[test]
    fn an_index_that_was_learned_has_files_and_no_pages() {
        let mut swap = swap();
        let scope = Scope::mirror("public-index").expect("a name");
        let learned = MirrorBase::unknown(scope, Vec::new()).without_pages();
        let url = |text: &str| Url::parse(text).expect("a URL");
        learned.learn(&url("https://public.example/simple/"));
        let hosts = learned.hosts().expect("its pages may name hosts");
        assert!(hosts.take(&url("https://host-of-files.example/")));
        swap.mirrors.push(learned);
        let larder = Base::parse("http://localhost:3141").expect("a base");

        let file = "https://host-of-files.example/aa/a-1.whl";
        let there = "http://localhost:3141/public-index/~host-of-files.example/aa/a-1.whl";
        assert_eq!(swap.to_larder(file, &larder), to(there));
        assert_eq!(swap.to_upstream(there), to(file));
        for page in ["/simple", "/simple/", "/simple/anvil/"] {
            let upstream = format!("https://public.example{page}");
            let there = format!("http://localhost:3141/public-index{page}");
            assert_eq!(
                swap.to_larder(&upstream, &larder),
                Swapped::Foreign,
                "{page}"
            );
            assert_eq!(swap.to_larder(&there, &larder), Swapped::Foreign, "{page}");
            assert_eq!(swap.to_upstream(&there), Swapped::Foreign, "{page}");
        }
    }

    #[test]
    fn a_path_at_a_host_that_is_not_known_stays() {
        let mut swap = swap();
        let scope = Scope::mirror("open").expect("a name");
        let open = MirrorBase::parse(scope, "https://open.example/simple/", &[]);
        swap.mirrors.push(open.expect("a mirror"));
        let larder = "http://localhost:3141/open/~host-of-files.example/aa/a-1.whl";
        assert_eq!(swap.to_upstream(larder), Swapped::Foreign);
        let hosts = swap.mirrors.last().and_then(MirrorBase::hosts);
        let file = Url::parse("https://host-of-files.example/").expect("a URL");
        assert!(hosts.expect("its pages may name hosts").take(&file));
        let upstream = to("https://host-of-files.example/aa/a-1.whl");
        assert_eq!(swap.to_upstream(larder), upstream);
        // What is at the index's own origin, below a person's folder.
        let page = "http://localhost:3141/open/~ann/a-1.whl";
        let upstream = to("https://open.example/~ann/a-1.whl");
        assert_eq!(swap.to_upstream(page), upstream);
    }

    #[test]
    fn a_user_stays_with_gitlabs_urls_and_an_external_url_comes_back_as_the_one_that_is_asked() {
        let page = "/api/v4/projects/42/packages/pypi/simple";
        let larder = format!("http://__token__:word@localhost:3141{page}");
        assert_eq!(
            there(&format!("https://__token__:word@host.example/gitlab{page}")),
            to(&larder)
        );
        assert_eq!(
            swap().to_upstream(&larder),
            to(&format!("https://__token__:word@host.example/gitlab{page}"))
        );
        assert_eq!(
            there(&format!("https://gitlab.example{page}")),
            to(&format!("http://localhost:3141{page}"))
        );
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same_text(
            host in prop::sample::select(vec![
                "https://host.example/gitlab/api/v4/projects/42/packages/pypi/", "https://index.example/simple", "https://files.example/",
                "https://wheels.example/team/", "https://cdn.example:8443/x/", "https://user@index.example/", "http://localhost:3141/pypi/",
            ]),
            rest in "[a-zA-Z0-9/.%+_~:@#?-]{0,24}",
        ) {
            let url = format!("{host}{rest}");
            if !host.contains("localhost") && let Swapped::To(larder) = there(&url) {
                prop_assert_eq!(swap().to_upstream(&larder), Swapped::To(url));
            }
        }
    }
}
