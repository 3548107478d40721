//! The configuration as a whole: loaded, composed, cross-checked.
//!
//! Defaults < TOML file < `LARDER_…` environment (`__` between levels) < command line. Each section
//! is a struct beside the code that uses it; this file knows how they hang together, and nothing of
//! what they do. Unknown keys are errors that name the key and the file.

mod continuing;
mod credentials;
mod cross_checks;
mod default_file;
mod dotted;
mod effective;
mod environment;
mod in_force;
mod overrides;
mod parents;
mod reading;
mod renamed;
mod secrets;
mod spelling;
#[cfg(test)]
mod tests;
mod toml_file;
mod value_lines;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use figment::Figment;
use figment::providers::Serialized;
use serde::{Deserialize, Serialize};

pub use default_file::{default_file, named_file};
pub use effective::{Effective, Provenance, Source};
use effective::{Sources, effective};
use environment::{Environment, Keys};
pub use overrides::{GitLabOverrides, LogOverrides, MirrorOverrides, Overrides};
pub use parents::Parents;
use reading::Reading;
use toml_file::TomlFile;

use crate::access::AuthConfig;
use crate::airgap::ImportConfig;
use crate::file::{FilesConfig, MetadataConfig};
use crate::index::{IndexConfig, ViewConfig};
use crate::log::LogConfig;
use crate::registry::policy::{ExceptionConfig, PolicyException};
use crate::registry::{Base, PolicyConfig};
use crate::server::{Addresses, ListenAddress, ServerLimits, SocketMode, TlsConfig};
use crate::upstream::{Forward, GitLabConfig, MirrorConfig, SharedStoreConfig};
use crate::values::clock;
use crate::values::quantity::Size;

/// The cache folder of the package's unit (`CacheDirectory=larder`).
const SERVICE_CACHE: &str = "/var/cache/larder";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where clients come in. Sockets that a service manager passes on stand in place of these.
    pub listen: Addresses,
    /// Of the unix sockets among them.
    pub listen_mode: SocketMode,
    /// Further addresses, where only health and metrics are answered.
    pub health_listen: Addresses,
    /// Empty: found by [`Config::cache_dir`].
    pub cache_dir: String,
    /// Hard budget, bytes in flight included.
    pub cache_size: Size,
    /// Only if a proxy in front adds a path prefix.
    pub public_url: String,
    /// Allows a service token, or `auth.offline = "open"`, together with a listener that others can
    /// reach.
    pub trust_network: bool,
    /// No upstream is asked: what is here is all there is.
    pub offline: bool,
    /// URL of a larder that is asked in place of GitLab and of the mirrors it serves, or of several
    /// that stand in for each other; empty: none.
    pub parent: Parents,
    /// Globs of project names that are never asked at, nor accepted from, a mirror.
    pub private_packages: Vec<String>,
    /// Versions that may be had although a policy would refuse them, each for a while.
    pub exceptions: Vec<ExceptionConfig>,
    /// Several sources under one URL each.
    pub views: Vec<ViewConfig>,
    pub gitlab: GitLabConfig,
    /// By name.
    pub mirrors: BTreeMap<String, MirrorConfig>,
    pub index: IndexConfig,
    pub files: FilesConfig,
    pub metadata: MetadataConfig,
    pub shared_store: SharedStoreConfig,
    pub auth: AuthConfig,
    pub import: ImportConfig,
    pub policy: PolicyConfig,
    pub tls: TlsConfig,
    pub limits: ServerLimits,
    pub log: LogConfig,
    #[serde(skip)]
    pub provenance: Provenance,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: ListenAddress::Tcp("127.0.0.1:3141".to_owned()).into(),
            listen_mode: SocketMode::default(),
            health_listen: Addresses(Vec::new()),
            cache_dir: String::new(),
            cache_size: Size::gibibytes(20),
            public_url: String::new(),
            trust_network: false,
            offline: false,
            parent: Parents::default(),
            private_packages: Vec::new(),
            exceptions: Vec::new(),
            views: Vec::new(),
            gitlab: GitLabConfig::default(),
            mirrors: BTreeMap::new(),
            index: IndexConfig::default(),
            files: FilesConfig::default(),
            metadata: MetadataConfig::default(),
            shared_store: SharedStoreConfig::default(),
            auth: AuthConfig::default(),
            import: ImportConfig::default(),
            policy: PolicyConfig::default(),
            tls: TlsConfig::default(),
            limits: ServerLimits::default(),
            log: LogConfig::default(),
            provenance: Provenance::default(),
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
    /// Loads and checks. Names of systemd's credentials have become paths.
    ///
    /// # Errors
    /// Every fault found, one a line, with its key and where it was written.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        let mut config = Self::read(file, overrides)?;
        credentials::find(config.secret_files(), credentials::directory().as_deref());
        Ok(config.under_parents())
    }

    /// The larders that are asked in place of GitLab, without a trailing slash.
    pub fn parents(&self) -> Vec<String> {
        self.parent.urls()
    }

    pub fn has_parent(&self) -> bool {
        !self.parent.0.is_empty()
    }

    /// The same with this parent alone.
    #[must_use]
    pub fn with_parent(self, url: &str) -> Self {
        let config = Self {
            parent: Parents(vec![url.to_owned()]),
            ..self
        };
        config.under_parents()
    }

    /// With the first parent in GitLab's place. What GitLab does not have is the parents' to follow,
    /// unless this configuration denies it or names a mirror of its own.
    fn under_parents(mut self) -> Self {
        let Some(first) = self.parents().into_iter().next() else {
            return self;
        };
        self.gitlab.url = first;
        if self.gitlab.forward == Forward::Follow {
            self.gitlab.forward = Forward::Pass;
        }
        self
    }

    /// The addresses that were chosen, each with its key: all but the default one.
    pub fn chosen_addresses(&self) -> Vec<(&'static str, &ListenAddress)> {
        let default = Self::default().listen;
        let mut chosen = Vec::new();
        for address in &self.listen {
            if !default.0.contains(address) {
                chosen.push(("listen", address));
            }
        }
        for address in &self.tls.listen {
            chosen.push(("tls.listen", address));
        }
        chosen
    }

    /// Every value that may name a credential of systemd's.
    fn secret_files(&mut self) -> Vec<&mut String> {
        let Self {
            gitlab,
            mirrors,
            shared_store,
            auth,
            tls,
            ..
        } = self;
        let mut values = vec![
            &mut gitlab.token_file,
            &mut gitlab.dates_token_file,
            &mut gitlab.client_certificate,
            &mut gitlab.client_key,
            &mut gitlab.proxy_credential_file,
            &mut shared_store.access_key_id_file,
            &mut shared_store.secret_access_key_file,
            &mut shared_store.fleet_key_file,
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
        let (config, faults) = Self::look_over(file, overrides)?;
        if faults.is_empty() {
            return Ok(config);
        }
        Err(ConfigError(faults))
    }

    /// What is good of the configuration, and everything that is wrong with it, each a line with
    /// its key and where it was written. Names of systemd's credentials have become paths.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub fn examine(
        file: Option<&Path>,
        overrides: &Overrides,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let (mut config, faults) = Self::look_over(file, overrides)?;
        credentials::find(config.secret_files(), credentials::directory().as_deref());
        Ok((config, faults))
    }

    fn look_over(
        file: Option<&Path>,
        overrides: &Overrides,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let keys = Self::keys();
        let environment = Environment::of_process(&keys);
        let mut lines = environment.faults.clone();
        let figment = match Self::layers(file, environment, overrides) {
            Ok(figment) => figment,
            Err(why) => {
                lines.insert(0, why);
                return Err(ConfigError(lines));
            }
        };
        let sources = Sources::new(&figment, file);
        let reading = match figment.extract::<Self>() {
            Ok(config) => Reading {
                config,
                faults: Vec::new(),
            },
            Err(_) => {
                let values = figment.extract::<serde_json::Value>();
                let values = values.map_err(|why| ConfigError(vec![why.to_string()]))?;
                reading::read(&values, &keys)
            }
        };
        let mut faults = reading.faults;
        for (key, why) in reading.config.faults() {
            // Of what a default stands in for nothing is known.
            if faults.iter().all(|(known, _)| *known != key) {
                faults.push((key, why));
            }
        }
        if reading.config.has_parent() && sources.of("gitlab.url") != Source::Default {
            let fault = "parent is set too, and is asked in place of GitLab: remove one of the two \
                         (gitlab.url belongs into the parent's own configuration)";
            faults.push(("gitlab.url".to_owned(), fault.to_owned()));
        }
        for (key, why) in faults {
            let from = written(sources.of(&key));
            lines.push(format!("{key}: {why}{from}"));
        }
        let mut config = reading.config;
        if lines.is_empty() {
            config.provenance = sources.provenance(&written_out(&config)?, file);
        }
        Ok((config, lines))
    }

    /// The effective values, each with where it came from.
    ///
    /// # Errors
    /// When it is no JSON, which is a mistake in its type.
    pub fn values(&self) -> Result<Vec<Effective>, ConfigError> {
        let values = written_out(self)?;
        let mut effective = effective(&values, &written_out(&Self::default())?, &self.provenance);
        for value in &mut effective {
            if value.key == "gitlab.url" && self.has_parent() {
                let asked = match self.parents().as_slice() {
                    [_] => "the parent is",
                    _ => "the parents are",
                };
                value.means = Some(format!("not asked: {asked}"));
            }
            if value.key == "cache_dir"
                && self.cache_dir.is_empty()
                && let Ok(folder) = self.cache_dir()
            {
                value.means = Some(folder.display().to_string());
            }
        }
        Ok(effective)
    }

    fn figment(file: Option<&Path>, overrides: &Overrides) -> Result<Figment, ConfigError> {
        let environment = Environment::of_process(&Self::keys());
        Self::layers(file, environment, overrides).map_err(|why| ConfigError(vec![why]))
    }

    fn layers(
        file: Option<&Path>,
        environment: Environment,
        overrides: &Overrides,
    ) -> Result<Figment, String> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(path) = file {
            figment = figment.merge(TomlFile::read(path)?);
        }
        Ok(figment
            .merge(environment)
            .merge(Serialized::defaults(overrides)))
    }

    /// The keys that the environment may set.
    fn keys() -> Keys {
        // These take a list as well as a single value, and nothing else tells that they do.
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
        let mut shape = serde_json::json!(shape);
        shape["parent"] = Parents::list();
        Keys {
            shape,
            entry: serde_json::json!(MirrorConfig::default()),
        }
    }

    /// What the environment says to larder and larder does not take, each a sentence.
    pub fn environment_remarks() -> Vec<String> {
        Environment::of_process(&Self::keys()).remarks
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
            let figment = Self::figment(file, overrides).ok()?;
            figment.extract_inner("cache_dir").ok()
        };
        let config = Self {
            cache_dir: told(file).or_else(|| told(None)).unwrap_or_default(),
            ..Self::default()
        };
        Ok((config.cache_dir()?, Some(why)))
    }

    /// Where the cache lives: as configured, else systemd's folder, else the user's; for root, who
    /// asks about the service, the service's if it is there.
    ///
    /// # Errors
    /// When there is no home to put it into.
    pub fn cache_dir(&self) -> Result<PathBuf, ConfigError> {
        if !self.cache_dir.is_empty() {
            return Ok(PathBuf::from(&self.cache_dir));
        }
        for (variable, below) in [
            ("CACHE_DIRECTORY", &[][..]),
            ("XDG_CACHE_HOME", &["larder"]),
            ("HOME", &[".cache", "larder"]),
        ] {
            if variable == "HOME" && is_of_service() {
                return Ok(PathBuf::from(SERVICE_CACHE));
            }
            if let Some(above) = std::env::var_os(variable)
                && !above.is_empty()
            {
                let mut folder = PathBuf::from(above);
                folder.extend(below);
                return Ok(folder);
            }
        }
        let fault = "cache_dir: not set, and there is no home folder";
        Err(ConfigError(vec![fault.to_owned()]))
    }

    /// Those of `[[exceptions]]` that are no faults.
    pub fn exceptions(&self) -> Vec<Arc<PolicyException>> {
        let mut parsed = Vec::new();
        for written in &self.exceptions {
            if let Ok(exception) = PolicyException::parse(written) {
                parsed.push(Arc::new(exception));
            }
        }
        parsed
    }

    /// The exceptions that are over, each a sentence.
    pub fn expired_exceptions(&self) -> Vec<String> {
        let now = clock::wall();
        let mut expired = Vec::new();
        for exception in self.exceptions() {
            if exception.is_over(now) {
                expired.push(format!(
                    "exceptions: {exception} is over and void: remove it"
                ));
            }
        }
        expired
    }

    /// The path that a proxy in front of larder adds.
    pub fn path_prefix(&self) -> String {
        Base::parse(&self.public_url)
            .map(|base| base.root().to_owned())
            .unwrap_or_default()
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

/// The keys as a table.
fn written_out(config: &Config) -> Result<serde_json::Value, ConfigError> {
    serde_json::to_value(config).map_err(|why| ConfigError(vec![why.to_string()]))
}

/// Whether the process is root's, on a machine with a larder that runs as a service.
fn is_of_service() -> bool {
    rustix::process::geteuid().is_root() && Path::new(SERVICE_CACHE).is_dir()
}

/// Where a value was written, for people; nothing for a default.
fn written(source: Source) -> String {
    if source == Source::Default {
        String::new()
    } else {
        format!(" ({source})")
    }
}
