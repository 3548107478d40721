//! Which files of the configuration hold secrets, each by its key, and which of them every user of
//! the machine can read.
//!
//! Must not know what they hold.

use std::path::Path;

use super::Config;
use crate::values::secret_file;

impl Config {
    /// Certificates and the half of an access key that is its name are no secrets.
    fn secrets(&self) -> Vec<(String, &str)> {
        let Self {
            gitlab,
            mirrors,
            shared_store,
            auth,
            tls,
            ..
        } = self;
        let secret_access_key = &shared_store.secret_access_key_file;
        let mut secrets: Vec<(String, &str)> = Vec::new();
        let mut add = |section: &str, key: &str, path| {
            secrets.push((format!("{section}.{key}"), path));
        };
        add("gitlab", "token_file", &gitlab.token_file);
        add("gitlab", "dates_token_file", &gitlab.dates_token_file);
        add("gitlab", "client_key", &gitlab.client_key);
        add(
            "gitlab",
            "proxy_credential_file",
            &gitlab.proxy_credential_file,
        );
        for (name, mirror) in mirrors {
            let section = format!("mirrors.{name}");
            add(&section, "token_file", &mirror.token_file);
            add(&section, "client_key", &mirror.client_key);
            add(
                &section,
                "proxy_credential_file",
                &mirror.proxy_credential_file,
            );
        }
        add("shared_store", "secret_access_key_file", secret_access_key);
        add(
            "shared_store",
            "fleet_key_file",
            &shared_store.fleet_key_file,
        );
        add("auth", "offline_users", &auth.offline_users);
        add("auth", "offline_tokens", &auth.offline_tokens);
        add("tls", "key", &tls.key);
        secrets
    }

    /// The secrets that every user of this machine can read, each a sentence.
    pub fn open_secrets(&self) -> Vec<String> {
        let mut open = Vec::new();
        for (key, path) in self.secrets() {
            if secret_file::is_open(Path::new(path)) {
                open.push(format!("{key}: every user of this machine can read {path}"));
            }
        }
        open
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::MirrorConfig;

    #[test]
    fn every_file_that_systemd_may_hand_over_is_a_secret_but_for_what_is_shown() {
        let mut config = Config::default();
        let mirror = MirrorConfig::default();
        config.mirrors.insert("pypi".to_owned(), mirror);
        let handed_over = config.secret_files().len();
        let certificates = 3;
        let key_ids = 1;
        let secrets = config.secrets();
        assert_eq!(secrets.len(), handed_over - certificates - key_ids);
        assert!(secrets.iter().all(|(_, path)| path.is_empty()));
        assert_eq!(config.open_secrets(), [""; 0]);
    }
}
