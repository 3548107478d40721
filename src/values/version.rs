//! Which larder this is.
//!
//! The commit is what the build is told in `LARDER_COMMIT`, and nothing that it finds out by
//! itself: the same source gives the same bytes, with or without a repository around it. It is no
//! key of the configuration.

/// `0.1.0`, or `0.1.0 (COMMIT)`.
pub fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("LARDER_COMMIT") {
        None | Some("") => version.to_owned(),
        Some(commit) => format!("{version} ({commit})"),
    }
}
