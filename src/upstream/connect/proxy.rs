//! Which proxy is asked for whom.
//!
//! Owns the key `proxy`, the environment's variables for it, and the choice, pure. The variables
//! are read as curl and pip read them: lower case before upper case, an empty one is none,
//! `ALL_PROXY` for what has no variable of its own, and no `HTTP_PROXY` in a CGI, where it is a
//! field of the request. `NO_PROXY` counts for a configured proxy as well, as it does for curl's
//! `--proxy`. A credential is kept apart from the address, so that the address can be shown. Must
//! not connect.
//!
//! By hand, and not hyper-util's proxy matcher: that one has no ports in `NO_PROXY`, takes a
//! variable that it cannot read for "no proxy", so that traffic silently goes out directly, and
//! drops every variable in a CGI.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::no_proxy::NoProxy;

/// `proxy`: every peer is reached directly, whatever the environment says.
const NONE: &str = "none";

/// What the environment says about proxies.
#[derive(Clone, Default)]
pub struct ProxyEnvironment {
    http: Option<ProxyVariable>,
    https: Option<ProxyVariable>,
    no_proxy: NoProxy,
}

/// A variable's name, and its value.
#[derive(Clone)]
struct ProxyVariable(&'static str, String);

impl ProxyEnvironment {
    /// `value_of` gives a variable's value, if it is set.
    pub fn read(value_of: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &'static str| {
            let value = value_of(name).filter(|value| !value.trim().is_empty())?;
            Some(ProxyVariable(name, value.trim().to_owned()))
        };
        let first = |names: [&'static str; 2]| names.into_iter().find_map(set);
        let is_cgi = set("REQUEST_METHOD").is_some();
        let all = || first(["all_proxy", "ALL_PROXY"]);
        let http = set("http_proxy").or_else(|| set("HTTP_PROXY").filter(|_| !is_cgi));
        Self {
            http: http.or_else(all),
            https: first(["https_proxy", "HTTPS_PROXY"]).or_else(all),
            no_proxy: first(["no_proxy", "NO_PROXY"])
                .map(|list| NoProxy::parse(&list.1))
                .unwrap_or_default(),
        }
    }

    /// That of this process.
    pub fn of_process() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }
}

impl fmt::Debug for ProxyEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may hold passwords.
        f.write_str("ProxyEnvironment")
    }
}

/// What is wrong with a proxy's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    #[error("is no proxy's URL such as http://proxy.example:3128")]
    NotAUrl,
    #[error("only http:// and https:// proxies are spoken to, not SOCKS and the like")]
    Scheme,
    #[error(
        "a user and a password do not belong here: put them into proxy_credential_file, as user:password"
    )]
    Userinfo,
}

/// One proxy.
#[derive(Clone)]
pub struct Proxy {
    /// Scheme, host and port; never a user or a password.
    address: Uri,
    /// The value of `Proxy-Authorization`.
    authorization: Option<HeaderValue>,
    source: &'static str,
}

impl Proxy {
    /// Without a scheme, http is meant.
    fn parse(text: &str, source: &'static str) -> Result<(Self, Url), ProxyUrlError> {
        let whole = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let url = Url::parse(&whole).map_err(|_| ProxyUrlError::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ProxyUrlError::Scheme);
        }
        let is_bare =
            matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        if !is_bare {
            return Err(ProxyUrlError::NotAUrl);
        }
        let address = url.origin().ascii_serialization();
        let address = address.parse().map_err(|_| ProxyUrlError::NotAUrl)?;
        Ok((
            Self {
                address,
                authorization: None,
                source,
            },
            url,
        ))
    }

    fn of_variable(variable: &ProxyVariable) -> Result<Self, ProxyUrlError> {
        let ProxyVariable(name, text) = variable;
        let (proxy, url) = Self::parse(text, name)?;
        let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
        let user = decoded(url.username());
        let password = decoded(url.password().unwrap_or_default());
        if user.is_empty() && password.is_empty() {
            return Ok(proxy);
        }
        Ok(proxy.with_credential(&Zeroizing::new([user.as_slice(), b":", &password].concat())))
    }

    fn of_setting(text: &str) -> Result<Self, ProxyUrlError> {
        let (proxy, url) = Self::parse(text, "proxy")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ProxyUrlError::Userinfo);
        }
        if !text.contains("://") {
            return Err(ProxyUrlError::NotAUrl);
        }
        Ok(proxy)
    }

    /// `pair` is a user, a colon and a password (RFC 7617).
    fn with_credential(self, pair: &[u8]) -> Self {
        let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair)));
        let mut value = HeaderValue::from_str(&text).ok();
        if let Some(value) = &mut value {
            value.set_sensitive(true);
        }
        Self {
            authorization: value,
            ..self
        }
    }

    pub fn address(&self) -> &Uri {
        &self.address
    }

    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address.to_string();
        write!(
            f,
            "{} (from {})",
            address.trim_end_matches('/'),
            self.source
        )
    }
}

/// The proxies of one peer.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    no_proxy: NoProxy,
}

impl Proxies {
    /// `setting` is the key `proxy`: empty for the environment's, "none", or a URL. `credential` is
    /// what stands in `proxy_credential_file`.
    ///
    /// # Errors
    /// What is to blame, and why. What may be a password is not in it.
    pub fn choose(
        setting: &str,
        credential: Option<&[u8]>,
        environment: &ProxyEnvironment,
    ) -> Result<Self, String> {
        if setting == NONE {
            return Ok(Self::default());
        }
        let no_proxy = environment.no_proxy.clone();
        if setting.is_empty() {
            let read = |variable: &Option<ProxyVariable>| {
                let read = variable.as_ref().map(|variable| {
                    let told = |why| {
                        format!(
                            "{} in the environment: {why}; or set proxy = \"none\"",
                            variable.0
                        )
                    };
                    Proxy::of_variable(variable).map_err(told)
                });
                read.transpose()
            };
            return Ok(Self {
                http: read(&environment.http)?,
                https: read(&environment.https)?,
                no_proxy,
            });
        }
        let mut proxy = Proxy::of_setting(setting).map_err(|why| why.to_string())?;
        if let Some(pair) = credential {
            proxy = proxy.with_credential(pair);
        }
        Ok(Self {
            http: Some(proxy.clone()),
            https: Some(proxy),
            no_proxy,
        })
    }

    /// What is wrong with the key by itself.
    pub fn fault(setting: &str) -> Option<String> {
        if setting.is_empty() || setting == NONE {
            return None;
        }
        Proxy::of_setting(setting).err().map(|why| why.to_string())
    }

    /// Whether the key names a proxy, so that it can have a credential.
    pub fn is_named(setting: &str) -> bool {
        !setting.is_empty() && setting != NONE
    }

    /// The proxy that this URL is asked by way of; path and query do not matter.
    pub fn towards(&self, url: &Url) -> Option<&Proxy> {
        let proxy = match url.scheme() {
            "http" => self.http.as_ref(),
            "https" => self.https.as_ref(),
            _ => None,
        }?;
        if self
            .no_proxy
            .lists(&url.host()?, url.port_or_known_default()?)
        {
            return None;
        }
        Some(proxy)
    }
}

/// The proxy towards a URL, as it may be shown, by the key `proxy` and the environment; none if
/// they make no sense.
pub fn proxy_towards(url: &Url, setting: &str, environment: &ProxyEnvironment) -> Option<String> {
    Proxies::choose(setting, None, environment)
        .ok()?
        .towards(url)
        .map(ToString::to_string)
}

/// Whether a name can be one of the public Internet, as far as the name tells: a proxy looks it up,
/// and larder does not see what it finds.
pub fn is_public_name(host: &Host<&str>) -> bool {
    const SPECIAL: [&str; 7] = [
        "localhost",
        "local",
        "internal",
        "intranet",
        "invalid",
        "lan",
        "arpa",
    ];
    let Host::Domain(name) = host else {
        return false;
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.rsplit_once('.')
        .is_some_and(|(_, last)| !SPECIAL.contains(&last))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> ProxyEnvironment {
        let of = |name: &str| variables.iter().find(|(known, _)| *known == name);
        ProxyEnvironment::read(|name| of(name).map(|(_, value)| (*value).to_owned()))
    }

    fn towards(setting: &str, variables: &[(&str, &str)], url: &str) -> String {
        match Proxies::choose(setting, None, &environment(variables)) {
            Ok(proxies) => {
                let url = Url::parse(url).unwrap();
                proxies
                    .towards(&url)
                    .map_or_else(|| "direct".to_owned(), ToString::to_string)
            }
            Err(why) => why,
        }
    }

    #[test]
    fn the_environment_is_read_as_curl_and_pip_read_it() {
        let (http, https) = ("http://gitlab.example/", "https://gitlab.example/");
        for (variables, url, expected) in [
            (&[][..], https, "direct"),
            (
                &[("HTTPS_PROXY", "http://up:3128")],
                https,
                "http://up:3128 (from HTTPS_PROXY)",
            ),
            (
                &[("HTTPS_PROXY", "up:3128")],
                https,
                "http://up:3128 (from HTTPS_PROXY)",
            ),
            (&[("HTTPS_PROXY", "http://up:3128")], http, "direct"),
            (
                &[
                    ("HTTPS_PROXY", "http://up:1"),
                    ("https_proxy", "http://low:2"),
                ],
                https,
                "http://low:2 (from https_proxy)",
            ),
            (
                &[("https_proxy", ""), ("HTTPS_PROXY", "http://up:1")],
                https,
                "http://up:1 (from HTTPS_PROXY)",
            ),
            (
                &[("HTTP_PROXY", "http://up:1")],
                http,
                "http://up:1 (from HTTP_PROXY)",
            ),
            (
                &[("HTTP_PROXY", "http://up:1"), ("REQUEST_METHOD", "GET")],
                http,
                "direct",
            ),
            (
                &[("http_proxy", "http://low:1"), ("REQUEST_METHOD", "GET")],
                http,
                "http://low:1 (from http_proxy)",
            ),
            (
                &[("ALL_PROXY", "https://all:1")],
                http,
                "https://all:1 (from ALL_PROXY)",
            ),
            (
                &[
                    ("ALL_PROXY", "socks5://all:1"),
                    ("https_proxy", "low:2"),
                    ("http_proxy", "low:2"),
                ],
                https,
                "http://low:2 (from https_proxy)",
            ),
            (
                &[("https_proxy", "http://low:2"), ("no_proxy", ".example")],
                https,
                "direct",
            ),
            (
                &[
                    ("https_proxy", "http://low:2"),
                    ("NO_PROXY", "gitlab.example:80"),
                ],
                https,
                "http://low:2 (from https_proxy)",
            ),
            (
                &[("https_proxy", "http://ann:pa%3Ass@low:2/")],
                https,
                "http://low:2 (from https_proxy)",
            ),
        ] {
            assert_eq!(towards("", variables, url), expected, "{variables:?} {url}");
        }
    }

    #[test]
    fn the_key_goes_before_the_environment_but_for_no_proxy() {
        let variables = [
            ("https_proxy", "http://low:2"),
            ("no_proxy", "near.example"),
        ];
        let url = "https://gitlab.example/";
        assert_eq!(towards("none", &variables, url), "direct");
        assert_eq!(
            towards("http://own:3", &variables, url),
            "http://own:3 (from proxy)"
        );
        assert_eq!(
            towards("https://own:3/", &variables, "http://gitlab.example/"),
            "https://own:3 (from proxy)"
        );
        assert_eq!(
            towards("http://own:3", &variables, "https://near.example/"),
            "direct"
        );
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_its_password() {
        for (setting, part) in [
            ("http://ann:s3cret@own:3", "proxy_credential_file"),
            ("ann:s3cret@own:3", "proxy_credential_file"),
            ("socks5://ann:s3cret@own:3", "SOCKS"),
            ("own:3", "http://proxy.example:3128"),
            ("http://own:3/path", "http://proxy.example:3128"),
            ("http://", "http://proxy.example:3128"),
        ] {
            let why = Proxies::fault(setting).unwrap_or_default();
            assert!(
                why.contains(part) && !why.contains("s3cret"),
                "{setting}: {why}"
            );
        }
        let why = towards(
            "",
            &[("ALL_PROXY", "socks5://ann:s3cret@all:1")],
            "https://gitlab.example/",
        );
        assert!(
            why.contains("ALL_PROXY") && why.contains("SOCKS") && !why.contains("s3cret"),
            "{why}"
        );
    }

    #[test]
    fn a_credential_is_decoded_sent_as_basic_and_never_shown() {
        let environment = environment(&[("https_proxy", "http://ann:pa%3Ass@low:2")]);
        let own = Proxies::choose("http://own:3", Some(b"ann:pa:ss"), &environment).unwrap();
        let of_environment = Proxies::choose("", None, &environment).unwrap();
        for proxies in [own, of_environment] {
            let url = Url::parse("https://gitlab.example/").unwrap();
            let proxy = proxies.towards(&url).unwrap();
            let value = proxy.authorization().unwrap();
            assert_eq!(value, "Basic YW5uOnBhOnNz");
            assert!(value.is_sensitive());
            assert!(
                !proxy.to_string().contains("ann") && !proxy.address().to_string().contains("ann")
            );
        }
    }

    #[test]
    fn a_name_tells_whether_it_may_be_public() {
        for (host, public) in [
            ("objects.example.net", true),
            ("objects.example.net.", true),
            ("localhost", false),
            ("metadata", false),
            ("metadata.google.internal", false),
            ("store.LOCAL", false),
            ("db.lan", false),
        ] {
            assert_eq!(is_public_name(&Host::Domain(host)), public, "{host}");
        }
        assert!(!is_public_name(&Host::Ipv4([10, 0, 0, 1].into())));
    }

    proptest! {
        #[test]
        fn path_query_and_case_choose_nothing(
            path in "[a-z/]{0,12}", query in "[a-z=]{0,8}", port in 1..u16::MAX, secure: bool
        ) {
            let variables = [("https_proxy", "http://s:1"), ("http_proxy", "http://p:1"), ("no_proxy", "x.example:7")];
            let scheme = if secure { "https" } else { "http" };
            let plain = towards("", &variables, &format!("{scheme}://x.example:{port}/"));
            let other = towards("", &variables, &format!("{scheme}://X.Example:{port}/{path}?{query}"));
            prop_assert_eq!(&plain, &other);
            prop_assert_eq!(plain == "direct", port == 7);
        }

        #[test]
        fn nothing_is_ever_shown_of_a_password(password in "[a-zA-Z0-9]{12,20}", tail in "\\PC{0,10}") {
            for text in [format!("http://u:{password}@h:1/{tail}"), format!("u:{password}@h{tail}")] {
                let shown = towards("", &[("https_proxy", text.as_str())], "https://gitlab.example/");
                prop_assert!(!shown.contains(&password), "{}", shown);
                prop_assert!(!Proxies::fault(&text).unwrap_or_default().contains(&password));
            }
        }
    }
}
