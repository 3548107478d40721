//! Keys that have another name now, so that an old file or environment is told the new one.
//!
//! Pure. Owns the list. Must not accept an old name: each is a fault.

/// Old and new name of each key; `*` is the name of any mirror.
const KEYS: [(&str, &str); 28] = [
    ("index.fresh_for", "index.ttl"),
    ("index.stale_for", "index.stale_if_error"),
    ("index.renew_from_uses", "index.refresh_ahead_hits"),
    ("index.loads", "index.max_fetches"),
    ("files.downloads", "files.max_downloads"),
    ("files.fetch_behind", "files.background_fetch_max"),
    ("files.finish_alone", "files.finish_after_abort_max"),
    ("metadata.make", "metadata.generate"),
    ("metadata.ahead", "metadata.prefetch"),
    ("metadata.delay", "metadata.prefetch_delay"),
    ("access.grant_for", "auth.cache_ttl"),
    ("access.grants", "auth.cache_entries"),
    ("access.offline", "auth.offline"),
    ("access.offline_users", "auth.offline_users"),
    ("access.offline_tokens", "auth.offline_tokens"),
    ("names.private", "private_packages"),
    ("gitlab.store_origins", "gitlab.object_storage_origins"),
    ("gitlab.failures", "gitlab.breaker_failures"),
    ("gitlab.rest", "gitlab.breaker_open_for"),
    ("gitlab.certificate_sha256", "gitlab.pin_sha256"),
    ("mirrors.*.fresh_for", "mirrors.*.ttl"),
    ("mirrors.*.files", "mirrors.*.file_urls"),
    ("mirrors.*.hashless", "mirrors.*.unhashed_files"),
    ("mirrors.*.failures", "mirrors.*.breaker_failures"),
    ("mirrors.*.rest", "mirrors.*.breaker_open_for"),
    ("mirrors.*.certificate_sha256", "mirrors.*.pin_sha256"),
    // Sections, for a key that they never had.
    ("access", "auth"),
    ("names", "private_packages"),
];

/// The dotted key that this one is called by now.
pub fn new_name(key: &[String]) -> Option<String> {
    KEYS.iter().find_map(|(old, new)| {
        let old: Vec<&str> = old.split('.').collect();
        if old.len() != key.len() {
            return None;
        }
        let same = |(old, part): (&&str, &String)| *old == "*" || *old == part;
        if !old.iter().zip(key).all(same) {
            return None;
        }
        match key {
            [mirrors, name, _] if mirrors == "mirrors" => Some(new.replace('*', name)),
            _ => Some((*new).to_owned()),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::dotted::flatten;
    use super::super::environment::variable_of;
    use super::super::tests::fault;
    use super::super::{Config, Environment};
    use super::*;
    use crate::upstream::MirrorConfig;

    /// The table's rows, of the mirror `pypi`.
    fn rows() -> Vec<(String, String)> {
        let of_pypi = |key: &str| key.replace('*', "pypi");
        KEYS.iter()
            .map(|(old, new)| (of_pypi(old), of_pypi(new)))
            .collect()
    }

    /// A file in which the key, or the section, stands.
    fn file_with(key: &str) -> String {
        match key.rsplit_once('.') {
            Some((section, last)) if section.starts_with("mirrors.") => {
                format!("[{section}]\nurl = 'https://index.example/'\n{last} = 1\n")
            }
            Some((section, last)) => format!("[{section}]\n{last} = 1\n"),
            None => format!("[{key}]\n"),
        }
    }

    #[test]
    fn every_old_key_in_a_file_is_a_fault_that_names_the_new_one_and_the_line() {
        for (old, new) in rows() {
            let said = fault(&file_with(&old));
            let expected = format!("{old}: this key is called {new} now (in ");
            assert!(said.starts_with(&expected), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }

    #[test]
    fn every_old_key_in_the_environment_is_a_fault_that_names_the_new_variable() {
        let keys = Config::keys();
        for (old, new) in rows().into_iter().filter(|(old, _)| old.contains('.')) {
            let variable = variable_of(&old);
            let set = [(variable.clone(), Some("1".to_owned()))];
            let found = Environment::read(set.into_iter(), &keys);
            let expected = format!(
                "{variable}: this variable is called {} now",
                variable_of(&new)
            );
            assert_eq!(found.faults, [expected]);
        }
    }

    #[test]
    fn every_new_key_is_there_and_no_old_one() {
        let mut config = Config::default();
        config
            .mirrors
            .insert("pypi".to_owned(), MirrorConfig::default());
        let mut keys = Vec::new();
        flatten("", &json!(config), &mut keys);
        let has = |wanted: &str| keys.iter().any(|(key, _)| key == wanted);
        for (old, new) in rows() {
            assert!(has(&new) || new == "auth", "{new}");
            assert!(!has(&old), "{old}");
        }
    }

    #[test]
    fn every_old_key_of_a_file_is_named_at_once() {
        let said = fault("[access]\ngrants = 1\noffline = 'deny'\n[index]\nloads = 3\n");
        assert_eq!(said.lines().count(), 3, "{said}");
    }
}
