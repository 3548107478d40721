//! The configuration as a whole: loaded, composed, cross-checked.
//!
//! Defaults < TOML file < `LARDER_…` environment (`__` between levels) < command line. Each section
//! is a struct beside the code that uses it; this file knows how they hang together, and nothing of
//! what they do. Unknown keys are errors that name the key and the file.

mod continuing;
mod credentials;
mod dotted;
mod effective;
mod environment;
mod overrides;
mod renamed;
#[cfg(test)]
mod tests;
mod toml_file;
mod value_lines;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::{Actual, Kind};
use figment::providers::Serialized;
use serde::{Deserialize, Serialize};
use url::Url;

pub use effective::{Effective, Source};
use effective::{Sources, without_secret};
use environment::Environment;
pub use overrides::{GitLabOverrides, Overrides};
use renamed::renamed_keys;
use toml_file::TomlFile;

use crate::access::{AuthConfig, OfflineRule};
use crate::airgap::ImportConfig;
use crate::file::{FilesConfig, MetadataConfig};
use crate::index::IndexConfig;
use crate::log::LogConfig;
use crate::registry::{Base, MirrorBase, PrivateNames, Scope};
use crate::server::{Addresses, ListenAddress, OwnNames, ServerLimits, SocketMode, TlsConfig};
use crate::upstream::{Forward, GitLabConfig, MirrorConfig, StoreOrigins};
use crate::values::quantity::Size;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where clients come in. Sockets that a service manager passes on stand in place of these.
    pub listen: Addresses,
    /// Of the unix sockets among them.
    pub listen_mode: SocketMode,
    /// Empty: found by [`Config::cache_dir`].
    pub cache_dir: String,
    /// Hard budget, bytes in flight included.
    pub cache_size: Size,
    /// Only if a proxy in front adds a path prefix.
    pub public_url: String,
    /// Allows a service token, or `auth.offline = "open"`, together with a listener that others can
    /// reach.
    pub trust_network: bool,
    /// Nobody is asked: what is here is all there is.
    pub offline: bool,
    /// Globs of project names that are never asked at, nor accepted from, a mirror.
    pub private_packages: Vec<String>,
    pub gitlab: GitLabConfig,
    /// By name.
    pub mirrors: BTreeMap<String, MirrorConfig>,
    pub index: IndexConfig,
    pub files: FilesConfig,
    pub metadata: MetadataConfig,
    pub auth: AuthConfig,
    pub import: ImportConfig,
    pub tls: TlsConfig,
    pub limits: ServerLimits,
    pub log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: ListenAddress::Tcp("127.0.0.1:3141".to_owned()).into(),
            listen_mode: SocketMode::default(),
            cache_dir: String::new(),
            cache_size: Size::gibibytes(20),
            public_url: String::new(),
            trust_network: false,
            offline: false,
            private_packages: Vec::new(),
            gitlab: GitLabConfig::default(),
            mirrors: BTreeMap::new(),
            index: IndexConfig::default(),
            files: FilesConfig::default(),
            metadata: MetadataConfig::default(),
            auth: AuthConfig::default(),
            import: ImportConfig::default(),
            tls: TlsConfig::default(),
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
    /// Loads and checks. Names of systemd's credentials have become paths.
    ///
    /// # Errors
    /// Every fault found, one a line, with its key and where it was written.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        let mut config = Self::read(file, overrides)?;
        credentials::find(config.secret_files(), credentials::directory().as_deref());
        Ok(config)
    }

    /// Every value that may name a credential of systemd's.
    fn secret_files(&mut self) -> Vec<&mut String> {
        let Self {
            gitlab,
            mirrors,
            auth,
            tls,
            ..
        } = self;
        let mut values = vec![
            &mut gitlab.token_file,
            &mut gitlab.client_certificate,
            &mut gitlab.client_key,
            &mut gitlab.proxy_credential_file,
            &mut auth.offline_users,
            &mut auth.offline_tokens,
            &mut tls.certificate,
            &mut tls.key,
        ];
        for mirror in mirrors.values_mut() {
            values.extend([
                &mut mirror.token_file,
                &mut mirror.client_certificate,
                &mut mirror.client_key,
                &mut mirror.proxy_credential_file,
            ]);
        }
        values
    }

    /// As it was written, checked.
    fn read(file: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        let figment = Self::figment(file, overrides)?;
        let sources = Sources::new(&figment, file);
        let renamed = renamed_faults(&figment, &sources);
        if !renamed.is_empty() {
            return Err(ConfigError(renamed));
        }
        let told = |why: figment::Error| {
            ConfigError(why.into_iter().map(|why| told(&why, &sources)).collect())
        };
        let config: Self = figment.extract().map_err(told)?;
        let faults = config.faults();
        if faults.is_empty() {
            return Ok(config);
        }
        let sourced = |(key, fault): Fault| {
            let from = written(sources.of(&key));
            format!("{key}: {fault}{from}")
        };
        Err(ConfigError(faults.into_iter().map(sourced).collect()))
    }

    /// The effective values, each with where it came from.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn effective(
        file: Option<&Path>,
        overrides: &Overrides,
    ) -> Result<Vec<Effective>, ConfigError> {
        let config = Self::read(file, overrides)?;
        let figment = Self::figment(file, overrides)?;
        let written = |config: &Self| {
            serde_json::to_value(config).map_err(|why| ConfigError(vec![why.to_string()]))
        };
        let values = written(&config)?;
        let defaults = written(&Self::default())?;
        let mut effective = Sources::new(&figment, file).effective(&values, &defaults);
        for value in effective
            .iter_mut()
            .filter(|value| value.key == "cache_dir" && config.cache_dir.is_empty())
        {
            value.means = config
                .cache_dir()
                .ok()
                .map(|folder| folder.display().to_string());
        }
        Ok(effective)
    }

    fn figment(file: Option<&Path>, overrides: &Overrides) -> Result<Figment, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(path) = file {
            figment = figment.merge(TomlFile::read(path).map_err(|why| ConfigError(vec![why]))?);
        }
        let environment = Self::environment();
        if !environment.faults.is_empty() {
            return Err(ConfigError(environment.faults));
        }
        Ok(figment
            .merge(environment)
            .merge(Serialized::defaults(overrides)))
    }

    fn environment() -> Environment {
        let (shape, entry) = Self::shape();
        Environment::of_process(&shape, &entry)
    }

    /// A configuration that has every key, and a section below `mirrors`.
    fn shape() -> (serde_json::Value, serde_json::Value) {
        // Both take a list as well as a single address, and nothing else tells that they do.
        let addresses = || Addresses(Vec::new());
        let tls = TlsConfig {
            listen: addresses(),
            ..TlsConfig::default()
        };
        let shape = Self {
            listen: addresses(),
            tls,
            ..Self::default()
        };
        let entry = MirrorConfig::default();
        (serde_json::json!(shape), serde_json::json!(entry))
    }

    /// What the environment says to larder and larder does not take, each a sentence.
    pub fn environment_remarks() -> Vec<String> {
        Self::environment().remarks
    }

    /// Where the cache lives, whatever else may be wrong with the configuration; and what is wrong
    /// with it.
    ///
    /// # Errors
    /// When there is no home to put it into.
    pub fn folder(
        file: Option<&Path>,
        overrides: &Overrides,
    ) -> Result<(PathBuf, Option<ConfigError>), ConfigError> {
        let why = match Self::load(file, overrides) {
            Ok(config) => return Ok((config.cache_dir()?, None)),
            Err(why) => why,
        };
        // Of a file that is no TOML nothing is known.
        let told = |file| {
            Self::figment(file, overrides)
                .ok()?
                .extract_inner("cache_dir")
                .ok()
        };
        let cache_dir = told(file).or_else(|| told(None)).unwrap_or_default();
        Ok((
            Self {
                cache_dir,
                ..Self::default()
            }
            .cache_dir()?,
            Some(why),
        ))
    }

    /// Where the cache lives: as configured, else systemd's folder, else the user's.
    ///
    /// # Errors
    /// When there is no home to put it into.
    pub fn cache_dir(&self) -> Result<PathBuf, ConfigError> {
        let var = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        if !self.cache_dir.is_empty() {
            return Ok(PathBuf::from(&self.cache_dir));
        }
        var("CACHE_DIRECTORY")
            .or_else(|| {
                var("XDG_CACHE_HOME").map(|cache| [cache, "larder".into()].iter().collect())
            })
            .or_else(|| {
                var("HOME").map(|home| [home, ".cache".into(), "larder".into()].iter().collect())
            })
            .ok_or_else(|| {
                ConfigError(vec![
                    "cache_dir: not set, and there is no home folder".to_owned(),
                ])
            })
    }

    /// The path that a proxy in front of larder adds.
    pub fn path_prefix(&self) -> String {
        Base::parse(&self.public_url)
            .map(|base| base.root().to_owned())
            .unwrap_or_default()
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults = self.gitlab_faults();
        for (name, mirror) in &self.mirrors {
            for (key, why) in self.mirror_faults(name, mirror) {
                faults.push((format!("mirrors.{name}{key}"), why));
            }
        }
        let mut fault = |key: &str, why: String| faults.push((key.to_owned(), why));
        if let Err(why) = PrivateNames::parse(&self.private_packages) {
            fault("private_packages", why.to_string());
        }
        if !self.public_url.is_empty()
            && let Some(why) = base_fault(&self.public_url)
        {
            fault("public_url", why);
        }
        if let Some(why) = self.log.level_fault() {
            fault("log.level", why);
        }
        if self.cache_size.0 == 0 {
            fault("cache_size", "nothing could be cached".to_owned());
        }
        faults.extend(self.auth_faults());
        faults.extend(self.limits_faults());
        faults.extend(self.listen_faults());
        faults.extend(self.exposures(self.listen.iter().chain(&self.tls.listen)));
        faults
    }

    fn auth_faults(&self) -> Vec<Fault> {
        let auth = &self.auth;
        let mut faults = Vec::new();
        if auth.cache_ttl > AuthConfig::CACHE_TTL_MAX {
            let most = AuthConfig::CACHE_TTL_MAX;
            let ttl = auth.cache_ttl;
            let why =
                format!("{ttl} is more than {most}: a withdrawn right would live on for too long");
            faults.push(("auth.cache_ttl".to_owned(), why));
        }
        let has_files = !auth.offline_users.is_empty() || !auth.offline_tokens.is_empty();
        if auth.offline == OfflineRule::Open && has_files {
            let why = "\"open\" needs no user and no token: remove it, or remove offline_users and offline_tokens";
            faults.push(("auth.offline".to_owned(), why.to_owned()));
        }
        faults
    }

    fn limits_faults(&self) -> Vec<Fault> {
        let limits = &self.limits;
        let mut faults = Vec::new();
        let mut fault =
            |key: &str, why: &str| faults.push((format!("limits.{key}"), why.to_owned()));
        if limits.requests_per_second > 0 && limits.requests_burst == 0 {
            fault("requests_burst", "0 would refuse every request");
        }
        if limits.connections == 0 {
            fault("connections", "0 would refuse every connection");
        }
        if limits.header_size > ServerLimits::HEADER_SIZE_MAX {
            let most = ServerLimits::HEADER_SIZE_MAX;
            let size = limits.header_size;
            fault(
                "header_size",
                &format!("{size} is more than {most}, for each connection"),
            );
        }
        faults
    }

    fn gitlab_faults(&self) -> Vec<Fault> {
        let gitlab = &self.gitlab;
        let mut faults = Vec::new();
        let mut fault = |key: &str, why: String| faults.push((format!("gitlab.{key}"), why));
        if let Some(why) = base_fault(&gitlab.url) {
            fault("url", why);
        } else if gitlab.url.trim_end_matches('/').ends_with("/api/v4") {
            fault(
                "url",
                format!(
                    "\"{}\": GitLab's own address is wanted, without /api/v4",
                    without_secret(&gitlab.url)
                ),
            );
        }
        for why in gitlab
            .external_urls
            .iter()
            .filter_map(|url| base_fault(url))
        {
            fault("external_urls", why);
        }
        if let Some(why) = origins_fault(&gitlab.object_storage_origins) {
            fault("object_storage_origins", why);
        }
        for (key, why) in gitlab.transport().faults() {
            fault(key, why);
        }
        if let Forward::Mirror(name) = &gitlab.forward
            && !self.mirrors.contains_key(name)
        {
            fault(
                "forward",
                format!(
                    "\"{name}\" is neither \"pass\" nor \"deny\", nor is there a [mirrors.{name}]"
                ),
            );
        }
        faults
    }

    /// What is wrong with a mirror, each with the rest of its key.
    fn mirror_faults(&self, name: &str, mirror: &MirrorConfig) -> Vec<(String, String)> {
        let of_transport = mirror.transport().faults().into_iter();
        let mut faults: Vec<_> = of_transport
            .map(|(key, why)| (format!(".{key}"), why))
            .collect();
        let mut fault = |key: &str, why| faults.push((key.to_owned(), why));
        let scope = if Forward::is_taken(name) {
            None
        } else {
            Scope::mirror(name)
        };
        match scope.map(|scope| MirrorBase::parse(scope, &mirror.url, &mirror.file_urls)) {
            None => fault(
                "",
                "a mirror's name is made of a to z, 0 to 9 and -, and is not api, pass or deny"
                    .to_owned(),
            ),
            Some(Err((url, why))) => {
                let key = if url == mirror.url {
                    ".url"
                } else {
                    ".file_urls"
                };
                fault(key, format!("\"{}\": {why}", without_secret(&url)));
            }
            Some(Ok(_)) => {}
        }
        if let Some(why) = origins_fault(&mirror.redirects) {
            fault(".redirects", why);
        }
        if mirror
            .username
            .contains(|c: char| c == ':' || c.is_control())
        {
            fault(
                ".username",
                "a colon or a control character has no place in it".to_owned(),
            );
        }
        if !mirror.username.is_empty() && mirror.token_file.is_empty() {
            fault(
                ".username",
                "set without token_file, where its password would be".to_owned(),
            );
        }
        faults
    }

    fn listen_faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, why: &str| faults.push((key.to_owned(), why.to_owned()));
        if self.listen.is_empty() && self.tls.listen.is_empty() {
            fault(
                "listen",
                "there is no address to connect to: set it, or tls.listen",
            );
        }
        if let Some(twice) = self.tls.listen.iter().find(|address| {
            let port_is_free =
                matches!(address, ListenAddress::Tcp(address) if address.ends_with(":0"));
            !port_is_free && self.listen.iter().any(|plain| plain == *address)
        }) {
            let why = format!("\"{twice}\" is in listen too: one address speaks TLS or does not");
            faults.push(("tls.listen".to_owned(), why));
        }
        let mut fault = |key: &str, why: &str| faults.push((key.to_owned(), why.to_owned()));
        let tls = &self.tls;
        match (tls.certificate.is_empty(), tls.key.is_empty()) {
            (true, true) if !tls.listen.is_empty() => {
                fault(
                    "tls.certificate",
                    "tls.listen is set, and nothing to show its clients: set this and tls.key",
                );
            }
            (true, false) => fault("tls.certificate", "tls.key is set without it"),
            (false, true) => fault("tls.key", "tls.certificate is set without it"),
            _ => {}
        }
        faults
    }

    /// The keys that give whoever can connect rights, each with its value and what that means.
    fn giveaways(&self) -> Vec<(String, &'static str, &'static str)> {
        let gitlab = ("gitlab.token_file".to_owned(), &self.gitlab.token_file);
        let mirrors = self.mirrors.iter().flat_map(|(name, mirror)| {
            let key = |key| format!("mirrors.{name}.{key}");
            [
                (key("token_file"), &mirror.token_file),
                (key("client_certificate"), &mirror.client_certificate),
            ]
        });
        // With a credential of the operator's every caller has its rights.
        let tokens = std::iter::once(gitlab)
            .chain(mirrors)
            .filter(|(_, file)| !file.is_empty());
        let mut found: Vec<_> = tokens
            .map(|(key, _)| (key, "set", "with it every caller has its rights"))
            .collect();
        if self.offline && self.auth.offline == OfflineRule::Open {
            let why = "every client that can connect gets GitLab's packages";
            found.push(("auth.offline".to_owned(), "\"open\"", why));
        }
        found
    }

    /// What must stay on this machine, while one of these addresses is open to the network.
    fn exposures<'a>(&self, addresses: impl Iterator<Item = &'a ListenAddress>) -> Vec<Fault> {
        let mut addresses = addresses;
        let Some(address) = addresses.find(|address| !self.trust_network && !address.is_local())
        else {
            return Vec::new();
        };
        let remedy = "listen on loopback or a unix socket, or set trust_network = true";
        let told = |(key, is, why)| {
            (
                key,
                format!(
                    "{is}, while listen = \"{address}\" is open to the network; {why}: {remedy}"
                ),
            )
        };
        self.giveaways().into_iter().map(told).collect()
    }

    /// The names by which larder must be called because whoever can connect has rights; none if it
    /// may be called by any. What it listens on are loopback addresses then.
    pub fn own_names(&self) -> Option<OwnNames> {
        let matters = !self.trust_network && !self.giveaways().is_empty();
        let url = Url::parse(&self.public_url).ok();
        matters.then(|| OwnNames::new(url.as_ref().and_then(Url::host_str)))
    }

    /// Whether the addresses that were really opened, which may be a service manager's, are as good
    /// as those that were configured.
    ///
    /// # Errors
    /// What must stay on this machine and would not.
    pub fn check_opened<'a>(
        &self,
        addresses: impl Iterator<Item = &'a ListenAddress>,
    ) -> Result<(), ConfigError> {
        let faults = self.exposures(addresses);
        if faults.is_empty() {
            return Ok(());
        }
        Err(ConfigError(
            faults
                .into_iter()
                .map(|(key, why)| format!("{key}: {why}"))
                .collect(),
        ))
    }

    /// Where a command looks for the daemon: the first address that HTTP clients can use.
    pub fn first_address(&self) -> String {
        let mut all = self.listen.iter().chain(&self.tls.listen);
        let tcp = all.clone().find(|address| address.is_tcp());
        tcp.or_else(|| all.next())
            .map(ToString::to_string)
            .unwrap_or_default()
    }
}

fn base_fault(url: &str) -> Option<String> {
    Base::parse(url)
        .err()
        .map(|why| format!("\"{}\": {why}", without_secret(url)))
}

fn origins_fault(origins: &[String]) -> Option<String> {
    let text = StoreOrigins::parse(origins).err()?;
    Some(format!(
        "\"{}\" is not an origin such as https://objects.example.net",
        without_secret(&text)
    ))
}

/// The keys that have another name now, each with where it was written.
fn renamed_faults(figment: &Figment, sources: &Sources<'_>) -> Vec<String> {
    // What cannot be read as any value at all is told by the reading that follows.
    let Ok(values) = figment.extract::<serde_json::Value>() else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    for (old, new) in renamed_keys(&values) {
        let from = written(sources.of(&old));
        faults.push(format!("{old}: this key is called {new} now{from}"));
    }
    faults
}

fn told(why: &figment::Error, sources: &Sources<'_>) -> String {
    let key = why.path.join(".");
    let from = why
        .metadata
        .as_ref()
        .map(|metadata| sources.source(&key, metadata));
    let from = from.map(written).unwrap_or_default();
    let fault = in_words(&why.kind);
    if key.is_empty() {
        format!("{fault}{from}")
    } else {
        format!("{key}: {fault}{from}")
    }
}

/// What is wrong with a value, without the value where only its kind matters: a password may stand
/// in the wrong place.
fn in_words(kind: &Kind) -> String {
    match kind {
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            let found = match found {
                Actual::Char(_) | Actual::Str(_) => "a text".to_owned(),
                Actual::Seq => "a list".to_owned(),
                Actual::Map => "a section".to_owned(),
                other => other.to_string(),
            };
            format!("{found} is not {expected}")
        }
        kind => without_secret(&kind.to_string()),
    }
}

/// Where a value was written, for people; nothing for a default.
fn written(source: Source) -> String {
    if source == Source::Default {
        String::new()
    } else {
        format!(" ({source})")
    }
}
