//! The configuration as a whole: loaded, composed, cross-checked.
//!
//! Defaults < TOML file < `LARDER_…` environment (`__` between levels) < command line. Each section is a struct beside
//! the code that uses it; this file knows how they hang together, and nothing of what they do. Unknown keys are errors
//! that name the key and the file.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};

use crate::access::AccessConfig;
use crate::cli::Overrides;
use crate::file::FilesConfig;
use crate::index::IndexConfig;
use crate::quantity::Size;
use crate::registry::Base;
use crate::server::ServerLimits;
use crate::telemetry::LogConfig;
use crate::upstream::{GitLabConfig, StoreOrigins};

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
    /// Allows a service token together with a listener that others can reach.
    pub trust_network: bool,
    pub gitlab: GitLabConfig,
    pub index: IndexConfig,
    pub files: FilesConfig,
    pub access: AccessConfig,
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
            gitlab: GitLabConfig::default(),
            index: IndexConfig::default(),
            files: FilesConfig::default(),
            access: AccessConfig::default(),
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
        let sourced = |(key, fault): (&str, String)| {
            let from = figment.find_metadata(key).map(origin).unwrap_or_default();
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

    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let mut base = |key: &'static str, url: &str| {
            if let Err(why) = Base::parse(url) {
                faults.push((key, format!("\"{}\": {why}", without_secret(url))));
            }
        };
        base("gitlab.url", &self.gitlab.url);
        for url in &self.gitlab.external_urls {
            base("gitlab.external_urls", url);
        }
        if !self.public_url.is_empty() {
            base("public_url", &self.public_url);
        }
        if let Err(text) = StoreOrigins::parse(&self.gitlab.store_origins) {
            faults.push((
                "gitlab.store_origins",
                format!("\"{}\" is not an origin such as https://objects.example.net", without_secret(&text)),
            ));
        }
        if self.access.grant_for > AccessConfig::GRANT_FOR_MAX {
            let why = "a withdrawn right would live on for too long";
            faults.push((
                "access.grant_for",
                format!("{} is more than {}: {why}", self.access.grant_for, AccessConfig::GRANT_FOR_MAX),
            ));
        }
        if !is_address(&self.listen) {
            faults.push(("listen", format!("\"{}\" is not an address such as 127.0.0.1:3141", self.listen)));
        }
        if self.cache_size.0 == 0 {
            faults.push(("cache_size", "nothing could be cached".to_owned()));
        }
        if !self.gitlab.token_file.is_empty() && !self.trust_network && !is_loopback(&self.listen) {
            let why = "with it every caller has its rights: listen on loopback, or set trust_network = true";
            faults.push((
                "gitlab.token_file",
                format!("set, while listen = \"{}\" is open to the network; {why}", self.listen),
            ));
        }
        faults
    }
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
    fn later_layers_win_and_say_so() {
        let overrides = Overrides { listen: Some("127.0.0.1:1".to_owned()), ..Overrides::default() };
        let shown = Config::show(None, &overrides).unwrap_or_default();
        assert!(shown.contains("listen = \"127.0.0.1:1\" (on the command line)"), "{shown}");
        assert!(shown.contains("index.fresh_for = \"30s\" (default)"), "{shown}");
    }
}
