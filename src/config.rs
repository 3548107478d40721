//! The configuration as a whole: loaded, composed, cross-checked.
//!
//! Defaults < TOML file < `LARDER_…` environment (`__` between levels) < command line. Each section is a struct beside
//! the code that uses it; this file knows how they hang together, and nothing of what they do. Unknown keys are errors
//! that name the key and the file.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};

use crate::access::{AccessConfig, OfflineRule};
use crate::airgap::ImportConfig;
use crate::cli::Overrides;
use crate::file::{FilesConfig, MetadataConfig};
use crate::index::IndexConfig;
use crate::quantity::Size;
use crate::registry::{Base, MirrorBase, NamesConfig, PrivateNames, Scope};
use crate::server::ServerLimits;
use crate::telemetry::LogConfig;
use crate::upstream::{Forward, GitLabConfig, MirrorConfig, StoreOrigins};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: String,
    /// Empty: found by [`Config::cache_dir`].
    pub cache_dir: String,
    /// Hard budget, bytes in flight included.
    pub cache_size: Size,
    /// Only if a proxy in front adds a path prefix.
    pub public_url: String,
    /// Allows a service token, or `access.offline = "open"`, together with a listener that others can reach.
    pub trust_network: bool,
    /// Nobody is asked: what is here is all there is.
    pub offline: bool,
    pub gitlab: GitLabConfig,
    /// By name.
    pub mirrors: BTreeMap<String, MirrorConfig>,
    pub names: NamesConfig,
    pub index: IndexConfig,
    pub files: FilesConfig,
    pub metadata: MetadataConfig,
    pub access: AccessConfig,
    pub import: ImportConfig,
    pub limits: ServerLimits,
    pub log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:3141".to_owned(),
            cache_dir: String::new(),
            cache_size: Size::gibibytes(20),
            public_url: String::new(),
            trust_network: false,
            offline: false,
            gitlab: GitLabConfig::default(),
            mirrors: BTreeMap::new(),
            names: NamesConfig::default(),
            index: IndexConfig::default(),
            files: FilesConfig::default(),
            metadata: MetadataConfig::default(),
            access: AccessConfig::default(),
            import: ImportConfig::default(),
            limits: ServerLimits::default(),
            log: LogConfig::default(),
        }
    }
}

/// Everything that is wrong with a configuration, each line naming its key.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// A key, and what is wrong with its value.
type Fault = (String, String);

impl Config {
    /// Loads and checks.
    ///
    /// # Errors
    /// Every fault found, one a line, with its key and where it was written.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        let figment = Self::figment(file, overrides)?;
        let config: Self =
            figment.extract().map_err(|why| ConfigError(why.into_iter().map(|why| told(&why)).collect()))?;
        let faults = config.faults();
        if faults.is_empty() {
            return Ok(config);
        }
        let sourced = |(key, fault): Fault| {
            let from = figment.find_metadata(&key).map(origin).unwrap_or_default();
            format!("{key}: {fault}{from}")
        };
        Err(ConfigError(faults.into_iter().map(sourced).collect()))
    }

    /// The effective values, `key = value` a line, each with where it came from.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn show(file: Option<&Path>, overrides: &Overrides) -> Result<String, ConfigError> {
        let config = Self::load(file, overrides)?;
        let figment = Self::figment(file, overrides)?;
        let values = serde_json::to_value(&config).map_err(|why| ConfigError(vec![why.to_string()]))?;
        let mut lines = Vec::new();
        flatten("", &values, &mut lines);
        let shown = lines.into_iter().map(|(key, value)| {
            let from = figment.find_metadata(&key).map(origin).unwrap_or_default();
            let from = if from.is_empty() { " (default)".to_owned() } else { from };
            format!("{key} = {value}{from}\n")
        });
        Ok(shown.collect())
    }

    fn figment(file: Option<&Path>, overrides: &Overrides) -> Result<Figment, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(path) = file {
            if !path.is_file() {
                return Err(ConfigError(vec![format!("{}: there is no such file", path.display())]));
            }
            figment = figment.merge(Toml::file_exact(path));
        }
        Ok(figment.merge(Env::prefixed("LARDER_").split("__")).merge(Serialized::defaults(overrides)))
    }

    /// Where the cache lives: as configured, else systemd's folder, else the user's.
    ///
    /// # Errors
    /// When there is no home to put it into.
    pub fn cache_dir(&self) -> Result<PathBuf, ConfigError> {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if !self.cache_dir.is_empty() {
            return Ok(PathBuf::from(&self.cache_dir));
        }
        var("CACHE_DIRECTORY")
            .or_else(|| var("XDG_CACHE_HOME").map(|cache| [cache, "larder".into()].iter().collect()))
            .or_else(|| var("HOME").map(|home| [home, ".cache".into(), "larder".into()].iter().collect()))
            .ok_or_else(|| ConfigError(vec!["cache_dir: not set, and there is no home folder".to_owned()]))
    }

    /// The path that a proxy in front of larder adds.
    pub fn path_prefix(&self) -> String {
        Base::parse(&self.public_url).map(|base| base.root().to_owned()).unwrap_or_default()
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults = self.gitlab_faults();
        for (name, mirror) in &self.mirrors {
            let of_mirror = self.mirror_faults(name, mirror);
            faults.extend(of_mirror.into_iter().map(|(key, why)| (format!("mirrors.{name}{key}"), why)));
        }
        let mut fault = |key: &str, why: String| faults.push((key.to_owned(), why));
        if let Err(why) = PrivateNames::parse(&self.names.private) {
            fault("names.private", why.to_string());
        }
        if let Some(why) = base_fault(&self.public_url).filter(|_| !self.public_url.is_empty()) {
            fault("public_url", why);
        }
        if self.access.grant_for > AccessConfig::GRANT_FOR_MAX {
            let why = "a withdrawn right would live on for too long";
            let most = AccessConfig::GRANT_FOR_MAX;
            fault("access.grant_for", format!("{} is more than {most}: {why}", self.access.grant_for));
        }
        let open = self.access.offline == OfflineRule::Open;
        if open && !(self.access.offline_users.is_empty() && self.access.offline_tokens.is_empty()) {
            let why = "with \"open\" nobody is asked for a user or a token: leave it, or offline_users and offline_tokens, out";
            fault("access.offline", why.to_owned());
        }
        if open && self.offline && !self.trust_network && !is_loopback(&self.listen) {
            let why =
                "whoever can connect gets GitLab's packages: listen on loopback, or set trust_network = true";
            fault(
                "access.offline",
                format!("\"open\", while listen = \"{}\" is open to the network; {why}", self.listen),
            );
        }
        if !is_address(&self.listen) {
            fault("listen", format!("\"{}\" is not an address such as 127.0.0.1:3141", self.listen));
        }
        if self.cache_size.0 == 0 {
            fault("cache_size", "nothing could be cached".to_owned());
        }
        faults
    }

    fn gitlab_faults(&self) -> Vec<Fault> {
        let gitlab = &self.gitlab;
        let mut faults = Vec::new();
        let mut fault = |key: &str, why: String| faults.push((format!("gitlab.{key}"), why));
        if let Some(why) = base_fault(&gitlab.url) {
            fault("url", why);
        }
        for why in gitlab.external_urls.iter().filter_map(|url| base_fault(url)) {
            fault("external_urls", why);
        }
        if let Some(why) = origins_fault(&gitlab.store_origins) {
            fault("store_origins", why);
        }
        if let Some(why) = self.open_credential(&gitlab.token_file) {
            fault("token_file", why);
        }
        if let Forward::Mirror(name) = &gitlab.forward
            && !self.mirrors.contains_key(name)
        {
            fault(
                "forward",
                format!("\"{name}\" is neither \"pass\" nor \"deny\", nor is there a [mirrors.{name}]"),
            );
        }
        faults
    }

    /// What is wrong with a mirror, each with the rest of its key.
    fn mirror_faults(&self, name: &str, mirror: &MirrorConfig) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let mut fault = |key, why| faults.push((key, why));
        let scope = Scope::mirror(name).filter(|_| !Forward::is_taken(name));
        match scope.map(|scope| MirrorBase::parse(scope, &mirror.url, &mirror.files)) {
            None => fault(
                "",
                "a mirror's name is made of a to z, 0 to 9 and -, and is not api, pass or deny".to_owned(),
            ),
            Some(Err((url, why))) => {
                let key = if url == mirror.url { ".url" } else { ".files" };
                fault(key, format!("\"{}\": {why}", without_secret(&url)));
            }
            Some(Ok(_)) => {}
        }
        if let Some(why) = origins_fault(&mirror.redirects) {
            fault(".redirects", why);
        }
        if let Some(why) = self.open_credential(&mirror.token_file) {
            fault(".token_file", why);
        }
        if mirror.username.contains(|c: char| c == ':' || c.is_control()) {
            fault(".username", "a colon or a control character has no place in it".to_owned());
        }
        if !mirror.username.is_empty() && mirror.token_file.is_empty() {
            fault(".username", "set without token_file, where its password would be".to_owned());
        }
        faults
    }

    /// With a credential of the operator's every caller has its rights.
    fn open_credential(&self, token_file: &str) -> Option<String> {
        let open = !token_file.is_empty() && !self.trust_network && !is_loopback(&self.listen);
        let why = "with it every caller has its rights: listen on loopback, or set trust_network = true";
        open.then(|| format!("set, while listen = \"{}\" is open to the network; {why}", self.listen))
    }
}

fn base_fault(url: &str) -> Option<String> {
    Base::parse(url).err().map(|why| format!("\"{}\": {why}", without_secret(url)))
}

fn origins_fault(origins: &[String]) -> Option<String> {
    let text = StoreOrigins::parse(origins).err()?;
    Some(format!("\"{}\" is not an origin such as https://objects.example.net", without_secret(&text)))
}

/// A URL as it may be shown: what stands before an `@` may be a password.
fn without_secret(url: &str) -> String {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    match url.rfind('@') {
        Some(at) if at >= after_scheme => format!("{}…{}", &url[..after_scheme], &url[at..]),
        _ => url.to_owned(),
    }
}

/// A name or an IP address, and a port.
fn is_address(listen: &str) -> bool {
    let named = |(host, port): (&str, &str)| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        !host.is_empty() && host.chars().all(plain) && port.parse::<u16>().is_ok()
    };
    listen.parse::<SocketAddr>().is_ok() || listen.rsplit_once(':').is_some_and(named)
}

fn is_loopback(listen: &str) -> bool {
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host).trim_matches(['[', ']']);
    let address =
        listen.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| host.parse::<IpAddr>());
    address.map_or(host == "localhost", |address| address.is_loopback())
}

fn told(why: &figment::Error) -> String {
    let from = why.metadata.as_ref().map(origin).unwrap_or_default();
    match why.path.as_slice() {
        [] => format!("{}{from}", why.kind),
        path => format!("{}: {}{from}", path.join("."), why.kind),
    }
}

/// Where a value was written, for people; nothing for a default.
fn origin(metadata: &figment::Metadata) -> String {
    match &metadata.source {
        Some(figment::Source::File(path)) => format!(" (in {})", path.display()),
        Some(figment::Source::Code(_)) if metadata.name.contains("Overrides") => {
            " (on the command line)".to_owned()
        }
        Some(figment::Source::Code(_)) => String::new(),
        _ if metadata.name.contains("environment") => " (in the environment, LARDER_…)".to_owned(),
        _ => format!(" ({})", metadata.name),
    }
}

fn flatten(prefix: &str, value: &serde_json::Value, lines: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&path, value, lines);
            }
        }
        value => lines.push((prefix.to_owned(), value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn load(toml: &str) -> Result<Config, ConfigError> {
        let mut file = tempfile::Builder::new()
            .prefix("larder")
            .suffix(".toml")
            .tempfile()
            .map_err(|_| ConfigError(vec![]))?;
        file.write_all(toml.as_bytes()).map_err(|_| ConfigError(vec![]))?;
        Config::load(Some(file.path()), &Overrides::default())
    }

    fn fault(toml: &str) -> String {
        load(toml).err().map(|why| why.to_string()).unwrap_or_default()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "reads the example")]
    fn the_example_is_the_default() {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml");
        assert_eq!(Config::load(Some(Path::new(example)), &Overrides::default()), Ok(Config::default()));
        let text = std::fs::read_to_string(example).unwrap_or_default();
        let mut keys = Vec::new();
        flatten("", &serde_json::json!(Config::default()), &mut keys);
        for (key, _) in keys {
            let last = key.rsplit('.').next().unwrap_or_default();
            let named =
                text.lines().any(|line| line.split('=').next().is_some_and(|name| name.trim() == last));
            assert!(named, "config.example.toml does not mention {key}");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "reads the example")]
    fn the_examples_mirror_is_the_default() {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml"));
        let text = text.unwrap_or_default();
        let lines = text.lines().skip_while(|line| *line != "# [mirrors.pypi]");
        let section: String =
            lines.map_while(|line| line.strip_prefix("# ")).flat_map(|line| [line, "\n"]).collect();
        let url = "https://index.example/simple/".to_owned();
        let expected = MirrorConfig { url, ..MirrorConfig::default() };
        assert_eq!(load(&section).map(|config| config.mirrors.get("pypi").cloned()), Ok(Some(expected)));
        let mut keys = Vec::new();
        flatten("", &serde_json::json!(MirrorConfig::default()), &mut keys);
        for (key, _) in keys {
            assert!(section.lines().any(|line| line.starts_with(&format!("{key} ="))), "{key}");
        }
    }

    #[test]
    fn faults_name_the_key_the_value_and_the_file() {
        let unknown = fault("[gitlab]\nurll = 'x'\n");
        assert!(
            unknown.contains("urll") && unknown.contains("larder") && unknown.contains(".toml"),
            "{unknown}"
        );
        let unit = fault("[index]\nfresh_for = '30 parsecs'\n");
        assert!(
            unit.contains("index.fresh_for") && unit.contains("30 parsecs") && unit.contains(".toml"),
            "{unit}"
        );
        let url = fault("[gitlab]\nurl = 'gitlab.example.com'\n");
        assert!(
            url.contains("gitlab.url") && url.contains("\"gitlab.example.com\"") && url.contains(".toml"),
            "{url}"
        );
        assert!(fault("[access]\ngrant_for = '10m'\n").contains("access.grant_for"));
        assert!(fault("[gitlab]\nstore_origins = ['x']\n").contains("gitlab.store_origins"));
    }

    #[test]
    fn a_service_token_stays_on_loopback_unless_the_network_is_trusted() {
        let with = |listen: &str, trust: bool| {
            fault(&format!(
                "listen = '{listen}'\ntrust_network = {trust}\n[gitlab]\ntoken_file = '/etc/token'\n"
            ))
        };
        assert!(with("0.0.0.0:3141", false).contains("trust_network"));
        assert!(with("[::]:3141", false).contains("trust_network"));
        for listen in ["127.0.0.1:3141", "[::1]:3141", "localhost:3141"] {
            assert_eq!(with(listen, false), "");
        }
        assert_eq!(with("0.0.0.0:3141", true), "");
    }

    #[test]
    fn offline_open_means_open_and_stays_on_loopback() {
        let with = |listen: &str, top: &str, access: &str| {
            fault(&format!("listen = '{listen}'\n{top}\n[access]\noffline = 'open'\n{access}"))
        };
        assert!(with("0.0.0.0:3141", "offline = true", "").starts_with("access.offline: "));
        assert_eq!(with("0.0.0.0:3141", "offline = true\ntrust_network = true", ""), "");
        assert_eq!(with("0.0.0.0:3141", "", ""), "", "it waits for offline");
        assert_eq!(with("127.0.0.1:3141", "offline = true", ""), "");
        assert!(with("127.0.0.1:3141", "", "offline_users = '/users'").contains("offline_users"));
        assert!(fault("[access]\noffline = 'maybe'\n").contains("access.offline"));
    }

    #[test]
    fn a_mirrors_faults_name_its_key() {
        let with = |name: &str, lines: &str| {
            fault(&format!("[mirrors.{name}]\nurl = 'https://index.example/simple'\n{lines}"))
        };
        assert_eq!(with("pypi", ""), "");
        for name in ["PyPI", "api", "pass", "deny", "-x"] {
            assert!(with(&format!("'{name}'"), "").starts_with(&format!("mirrors.{name}: ")), "{name}");
        }
        for (lines, key) in [
            ("files = ['https://u:p@files.example/']", "mirrors.pypi.files: "),
            ("files = ['files.example']", "mirrors.pypi.files: "),
            ("redirects = ['https://files.example/x']", "mirrors.pypi.redirects: "),
            ("username = 'ann'", "mirrors.pypi.username: "),
            ("fresh = '1m'", "fresh"),
            ("min_age = '7'", "mirrors.pypi.min_age"),
            ("hashless = 'keep'", "mirrors.pypi.hashless"),
        ] {
            let why = with("pypi", lines);
            assert!(why.contains(key), "{lines}: {why}");
            assert!(!why.contains("u:p"), "{why}");
        }
        assert!(fault("[mirrors.pypi]\nurl = ''\n").starts_with("mirrors.pypi.url: "));
        let secret =
            "listen = '0.0.0.0:3141'\n[mirrors.pypi]\nurl = 'https://index.example/'\ntoken_file = '/t'\n";
        assert!(fault(secret).starts_with("mirrors.pypi.token_file: "));
        assert_eq!(fault(&format!("trust_network = true\n{secret}")), "");
    }

    #[test]
    fn a_forward_leads_to_a_mirror_that_is_there() {
        let mirror = "[mirrors.pypi]\nurl = 'https://index.example/simple/'\n";
        assert_eq!(fault(&format!("[gitlab]\nforward = 'pypi'\n{mirror}")), "");
        let why = fault("[gitlab]\nforward = 'pypi'\n");
        assert!(why.contains("gitlab.forward") && why.contains("[mirrors.pypi]"), "{why}");
        assert_eq!(fault("[gitlab]\nforward = 'deny'\n"), "");
    }

    #[test]
    fn a_glob_that_matches_nothing_is_a_fault() {
        assert_eq!(fault("[names]\nprivate = ['acme-*', 'Acme?']\n"), "");
        for glob in ["", "acme/*"] {
            assert!(fault(&format!("[names]\nprivate = ['{glob}']\n")).contains("names.private"), "{glob}");
        }
    }

    #[test]
    fn later_layers_win_and_say_so() {
        let overrides = Overrides { listen: Some("127.0.0.1:1".to_owned()), ..Overrides::default() };
        let shown = Config::show(None, &overrides).unwrap_or_default();
        assert!(shown.contains("listen = \"127.0.0.1:1\" (on the command line)"), "{shown}");
        assert!(shown.contains("index.fresh_for = \"30s\" (default)"), "{shown}");
    }
}
