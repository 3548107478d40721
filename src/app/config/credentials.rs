//! Files of the configuration that hold secrets, handed over by systemd: `LoadCredential=NAME:PATH`
//! puts a copy that only the service can read at `$CREDENTIALS_DIRECTORY/NAME`.
//!
//! Owns when a value is the name of a credential. Must not know which keys there are, nor what the
//! files hold.

use std::path::{Path, PathBuf};

/// Where systemd put the service's credentials, if it did.
pub fn directory() -> Option<PathBuf> {
    match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(value) if !value.is_empty() => Some(PathBuf::from(value)),
        _ => None,
    }
}

/// The path of the credential that a value names: one without a slash, of which there is a file in
/// the directory. None if the value is a path like any other.
fn path_of(
    value: &str,
    directory: Option<&Path>,
    is_file: impl Fn(&Path) -> bool,
) -> Option<String> {
    if value.is_empty() || value.contains('/') {
        return None;
    }
    let path: PathBuf = [directory?, Path::new(value)].iter().collect();
    if !is_file(&path) {
        return None;
    }
    path.into_os_string().into_string().ok()
}

/// Puts paths in place of the names of credentials.
pub fn find<'v>(values: impl IntoIterator<Item = &'v mut String>, directory: Option<&Path>) {
    for value in values {
        if let Some(path) = path_of(value, directory, Path::is_file) {
            *value = path;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::config::Config;
    use crate::upstream::MirrorConfig;

    #[test]
    fn a_name_is_a_credential_if_there_is_one_of_that_name() {
        let directory = Path::new("/run/credentials/larder.service");
        let here = |path: &Path| path == directory.join("token");
        let found = |value| path_of(value, Some(directory), here);
        assert_eq!(
            found("token").as_deref(),
            Some("/run/credentials/larder.service/token")
        );
        for path in [
            "",
            "other",
            "/etc/token",
            "./token",
            "../larder.service/token",
            "x/token",
            "..",
            ".",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
        assert_eq!(path_of("token", None, |_| true), None);
    }

    #[test]
    fn every_key_that_names_a_secret_may_name_a_credential() {
        let mut config = Config::default();
        config
            .mirrors
            .insert("pypi".to_owned(), MirrorConfig::default());
        for value in config.secret_files() {
            *value = "token".to_owned();
        }
        let shown = serde_json::to_string(&config).unwrap_or_default();
        let named = shown.matches("\"token\"").count();
        let secret = |key: &str| shown.matches(&format!("\"{key}\":\"token\"")).count();
        let keys = [
            "token_file",
            "client_certificate",
            "client_key",
            "proxy_credential_file",
        ];
        assert_eq!(keys.map(secret), [2; 4]);
        assert_eq!(secret("dates_token_file"), 1);
        assert_eq!(
            ["offline_users", "offline_tokens", "certificate", "key"].map(secret),
            [1; 4]
        );
        let of_shared_store = [
            "access_key_id_file",
            "secret_access_key_file",
            "fleet_key_file",
        ];
        assert_eq!(of_shared_store.map(secret), [1; 3]);
        assert_eq!(named, 16);
        // A key that is added with such a name is to be added above.
        let all = shown.matches("_file\":\"\"").count() + shown.matches("_key\":\"\"").count();
        assert_eq!(all, shown.matches("\"ca_file\":\"\"").count());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a folder of the test's own")]
    fn paths_take_the_place_of_names() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("gitlab-token");
        std::fs::write(&path, "x")?;
        let mut config = Config::default();
        config.gitlab.token_file = "gitlab-token".to_owned();
        config.tls.key = "absent".to_owned();
        find(config.secret_files(), Some(folder.path()));
        assert_eq!(Path::new(&config.gitlab.token_file), path);
        assert_eq!(config.tls.key, "absent");
        Ok(())
    }
}
