//! The configuration file that is read where no flag names one.
//!
//! Owns the places and their order. One file is read, and none is laid over another: the user's own
//! comes before the machine's, as the XDG Base Directory Specification ranks them. Must not read
//! it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The variable that names the file.
pub const VARIABLE: &str = "LARDER_CONFIG";

/// Stands for an empty file, so that `LARDER_CONFIG=/dev/null` means: none.
pub const NO_FILE: &str = "/dev/null";

const OF_THE_MACHINE: &str = "/etc/larder/config.toml";

/// The file that the environment names.
pub fn named_file() -> Option<PathBuf> {
    filled(VARIABLE)
}

/// The first file that is there, of the user and of the machine. One that is there and cannot be
/// read is chosen too: reading it says why, and no configuration is passed over in silence.
pub fn default_file() -> Option<PathBuf> {
    let mut places = Vec::new();
    places.extend(user_file());
    places.push(PathBuf::from(OF_THE_MACHINE));
    places.into_iter().find(|place| may_be_there(place))
}

fn user_file() -> Option<PathBuf> {
    let (mut file, below) = match filled("XDG_CONFIG_HOME") {
        // A relative path is invalid there (XDG Base Directory Specification, "Basics").
        Some(folder) if folder.is_absolute() => (folder, &["larder", "config.toml"][..]),
        _ => (filled("HOME")?, &[".config", "larder", "config.toml"][..]),
    };
    file.extend(below);
    Some(file)
}

fn filled(variable: &str) -> Option<PathBuf> {
    let value = std::env::var_os(variable)?;
    if value.is_empty() {
        return None;
    }
    Some(PathBuf::from(value))
}

fn may_be_there(place: &Path) -> bool {
    match place.symlink_metadata() {
        Ok(_) => true,
        Err(why) => !matches!(why.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}
