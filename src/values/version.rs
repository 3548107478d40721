//! Which larder this is.
//!
//! The commit is what whoever builds says in `LARDER_COMMIT`, and nothing that a build finds out by itself: the same
//! source gives the same bytes, with or without a repository around it. It is no key of the configuration.

/// `0.1.0`, or `0.1.0 (COMMIT)`.
pub fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    option_env!("LARDER_COMMIT")
        .filter(|commit| !commit.is_empty())
        .map_or_else(
            || version.to_owned(),
            |commit| format!("{version} ({commit})"),
        )
}
