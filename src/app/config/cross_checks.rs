//! What is wrong with a configuration that could be read: values that cannot be used, and keys that
//! do not go together.
//!
//! Pure. Must not know where a value was written.

use url::Url;

use super::effective::without_secret;
use super::{Config, ConfigError};
use crate::access::{AuthConfig, OfflineRule};
use crate::index::IndexConfig;
use crate::registry::policy::{PolicyException, Undated};
use crate::registry::{Base, MirrorBase, PrivateNames, Scope};
use crate::server::{Addresses, ListenAddress, OwnNames, ServerLimits};
use crate::upstream::{AllowedOrigins, Forward, MirrorConfig};

/// A key, and what is wrong with its value.
type Fault = (String, String);

impl Config {
    /// Every fault, with its key.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = self.gitlab_faults();
        faults.extend(self.parent_faults());
        for (name, mirror) in &self.mirrors {
            for (key, why) in self.mirror_faults(name, mirror) {
                faults.push((format!("mirrors.{name}{key}"), why));
            }
            if let Some(why) = self.audience_fault(mirror) {
                faults.push((format!("mirrors.{name}.audience"), why));
            }
        }
        for why in self.view_faults() {
            faults.push(("views".to_owned(), why));
        }
        for (key, why) in self.shared_store.faults() {
            faults.push((format!("shared_store.{key}"), why));
        }
        let mut fault = |key: &str, why: String| faults.push((key.to_owned(), why));
        if let Err(why) = PrivateNames::parse(&self.private_packages) {
            fault("private_packages", why.to_string());
        }
        let mut bad = Vec::new();
        for (number, written) in self.exceptions.iter().enumerate() {
            if let Err(why) = PolicyException::parse(written) {
                bad.push(format!(
                    "number {} ({}): {why}",
                    number + 1,
                    written.package
                ));
            }
        }
        if !bad.is_empty() {
            fault("exceptions", bad.join("; "));
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
        let most = IndexConfig::READ_AHEAD_MAX;
        if self.index.read_ahead > most {
            let why = format!(
                "{} pages for one client are more than {most}",
                self.index.read_ahead
            );
            fault("index.read_ahead", why);
        }
        faults.extend(self.auth_faults());
        faults.extend(self.limits_faults());
        faults.extend(self.listen_faults());
        faults.extend(self.exposures(self.listen.iter().chain(&self.tls.listen)));
        faults
    }

    fn view_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut names = Vec::new();
        for config in &self.views {
            let view = match config.view() {
                Ok(view) => view,
                Err(why) => {
                    faults.push(why);
                    continue;
                }
            };
            let name = view.scope.to_string();
            if self.mirrors.contains_key(&name) || Forward::is_taken(&name) || names.contains(&name)
            {
                faults.push(format!(
                    "\"{name}\" is taken: a view has a name that no mirror and no other view has, and is \
                     none of follow, pass, deny and public-index"
                ));
            }
            if view.is_private_only() && self.private_packages.is_empty() {
                faults.push(format!(
                    "the view {name}: private_only is set and private_packages is empty: no source of \
                     GitLab's would be asked for any name. Name your packages there"
                ));
            }
            for source in &view.sources {
                let mirror = source.to_string();
                if source.is_mirror() && !self.mirrors.contains_key(&mirror) {
                    faults.push(format!("the view {name}: there is no [mirrors.{mirror}]"));
                }
            }
            names.push(name);
        }
        if !self.views.is_empty() && self.has_parent() {
            let why = "parent is set, whose pages do not tell which source answered: set the views of the \
                       parent, or gitlab.url here";
            faults.push(why.to_owned());
        }
        faults
    }

    /// What is wrong with a mirror's audience.
    fn audience_fault(&self, mirror: &MirrorConfig) -> Option<String> {
        let audience = mirror.audience.as_str();
        if audience.is_empty() {
            return None;
        }
        if Scope::named(audience).is_none_or(|scope| scope.is_mirror()) {
            return Some(format!(
                "\"{audience}\" is neither groups/ID nor projects/ID"
            ));
        }
        if !self.gitlab.token_file.is_empty() {
            let why = "gitlab.token_file is set, with which every caller would be let in: remove one of the two";
            return Some(why.to_owned());
        }
        if self.has_parent() {
            let why = "parent is set: name the audience in the parent's own configuration";
            return Some(why.to_owned());
        }
        None
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
            let why = "\"open\" needs no user and no token: \
                       remove it, or remove offline_users and offline_tokens";
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

    fn parent_faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |why: String| faults.push(("parent".to_owned(), why));
        for parent in &self.parent.0 {
            let parent = parent.trim_end_matches('/');
            if let Some(why) = base_fault(parent) {
                fault(why);
            } else if let Ok(url) = Url::parse(parent)
                && let Some(address) = self.own_address(&url)
            {
                fault(format!(
                    "\"{parent}\" is this larder itself (it listens on {address}): set another larder's URL"
                ));
            }
        }
        if faults.is_empty() && self.parents().len() < self.parent.0.len() {
            let why = "the same larder is named twice: name each once";
            faults.push(("parent".to_owned(), why.to_owned()));
        }
        faults
    }

    /// The address among those that are listened on to which a URL plainly leads.
    fn own_address(&self, url: &Url) -> Option<&ListenAddress> {
        let port = url.port_or_known_default()?.to_string();
        let host = url.host_str()?;
        for address in self.listen.iter().chain(&self.tls.listen) {
            let ListenAddress::Tcp(text) = address else {
                continue;
            };
            let Some((own_host, own_port)) = text.rsplit_once(':') else {
                continue;
            };
            let is_everywhere = matches!(own_host, "0.0.0.0" | "[::]");
            let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
            let is_met = own_host == host || (is_here && (is_everywhere || address.is_local()));
            if own_port == port && is_met {
                return Some(address);
            }
        }
        None
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
        if let Some(why) = origins_fault(&gitlab.forward_origins) {
            fault("forward_origins", why);
        }
        let has_dates = self.index.upload_dates || self.offline || self.has_parent();
        if !gitlab.min_age.0.is_zero() && gitlab.undated == Undated::Hide && !has_dates {
            let why = "index.upload_dates is false, so that no file of GitLab's has a date, and none \
                       would be old enough: set it to true, or gitlab.undated";
            fault("min_age", why.to_owned());
        }
        for (key, why) in gitlab.transport().faults() {
            fault(key, why);
        }
        if gitlab.forward_not_found && !matches!(gitlab.forward, Forward::Mirror(_)) {
            fault(
                "forward_not_found",
                "a GitLab that does not forward tells no index to follow: name a mirror in gitlab.forward"
                    .to_owned(),
            );
        }
        if let Forward::Mirror(name) = &gitlab.forward
            && !self.mirrors.contains_key(name)
        {
            fault(
                "forward",
                format!(
                    "\"{name}\" is none of \"follow\", \"pass\" and \"deny\", nor is there a [mirrors.{name}]"
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
                "a mirror's name is made of a to z, 0 to 9 and -, and is none of api, follow, pass, \
                 deny and public-index"
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
        if let Some(twice) = shared(&self.tls.listen, &self.listen) {
            let why = "is in listen too: one address speaks TLS or does not";
            fault("tls.listen", &format!("\"{twice}\" {why}"));
        }
        for (key, clients) in [("listen", &self.listen), ("tls.listen", &self.tls.listen)] {
            if let Some(twice) = shared(&self.health_listen, clients) {
                let why = format!("\"{twice}\" is in {key} too: take another port");
                fault("health_listen", &why);
            }
        }
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

    /// The keys that give every client that can connect rights, each with its value and what that
    /// means.
    fn giveaways(&self) -> Vec<(String, &'static str, &'static str)> {
        let mut found = Vec::new();
        if self.has_parent() && !self.gitlab.client_certificate.is_empty() {
            let why = "with it every caller has the parent's mirrors";
            found.push(("gitlab.client_certificate".to_owned(), "set", why));
        }
        let mut credential = |key: String, file: &str| {
            if !file.is_empty() {
                found.push((key, "set", "with it every caller has its rights"));
            }
        };
        credential("gitlab.token_file".to_owned(), &self.gitlab.token_file);
        for (name, mirror) in &self.mirrors {
            if !mirror.audience.is_empty() {
                continue;
            }
            let section = format!("mirrors.{name}");
            credential(format!("{section}.token_file"), &mirror.token_file);
            let key = format!("{section}.client_certificate");
            credential(key, &mirror.client_certificate);
        }
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
        let mut faults = Vec::new();
        for (key, is, why) in self.giveaways() {
            let fault = format!(
                "{is}, while listen = \"{address}\" is open to the network; {why}: \
                 listen on loopback or a unix socket, or set trust_network = true"
            );
            faults.push((key, fault));
        }
        faults
    }

    /// The names by which larder must be called because every client that can connect has rights;
    /// none if it may be called by any. What it listens on are loopback addresses then.
    pub fn own_names(&self) -> Option<OwnNames> {
        if self.trust_network || self.giveaways().is_empty() {
            return None;
        }
        let url = Url::parse(&self.public_url).ok();
        Some(OwnNames::new(url.as_ref().and_then(Url::host_str)))
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
        let mut faults = Vec::new();
        for (key, why) in self.exposures(addresses) {
            faults.push(format!("{key}: {why}"));
        }
        if faults.is_empty() {
            return Ok(());
        }
        Err(ConfigError(faults))
    }
}

/// An address that is in both lists. Port 0 is another one each time.
fn shared<'a>(some: &'a Addresses, others: &Addresses) -> Option<&'a ListenAddress> {
    some.iter().find(|address| {
        let port_is_free =
            matches!(address, ListenAddress::Tcp(address) if address.ends_with(":0"));
        !port_is_free && others.iter().any(|other| other == *address)
    })
}

fn base_fault(url: &str) -> Option<String> {
    let why = Base::parse(url).err()?;
    Some(format!("\"{}\": {why}", without_secret(url)))
}

fn origins_fault(origins: &[String]) -> Option<String> {
    let text = AllowedOrigins::parse(origins).err()?;
    Some(format!(
        "\"{}\" is not an origin such as https://objects.example.net",
        without_secret(&text)
    ))
}
