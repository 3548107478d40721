//! Compatibility tags of wheels (PEP 425, 600, 656): what a file name claims, and what a machine
//! takes. Pure.
//!
//! Owns the families of platforms and which of their releases include which. Must not know Python
//! releases that files require, nor any page.

use std::fmt;

use crate::simple::WheelFilename;

/// Levels of the names that came before PEP 600.
const LEGACY_LEVELS: [(&str, (u32, u32)); 3] = [
    ("manylinux1_", (2, 5)),
    ("manylinux2010_", (2, 12)),
    ("manylinux2014_", (2, 17)),
];

/// The last macOS that counted 10.x, and the first whose x86_64 programs still run on 11 and later.
const MACOS_10_LAST: u32 = 16;
const MACOS_10_FIRST: u32 = 4;

/// The three tag sets of a wheel's file name, each a set because PEP 425 lets them be compressed:
/// `py2.py3-none-any`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelTags {
    pub pythons: Vec<String>,
    pub abis: Vec<String>,
    pub platforms: Vec<String>,
}

impl WheelTags {
    /// The tags in a wheel's file name; `None` if it is not a wheel's.
    pub fn of(filename: &str) -> Option<Self> {
        let wheel = WheelFilename::parse(filename)?;
        let set = |text: &str| {
            text.to_ascii_lowercase()
                .split('.')
                .map(str::to_owned)
                .collect()
        };
        Some(Self {
            pythons: set(wheel.pythons),
            abis: set(wheel.abis),
            platforms: set(wheel.platforms),
        })
    }
}

/// A kind of machine, as the newest platform tag that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platform {
    /// glibc of at least this release.
    Manylinux { level: (u32, u32), machine: String },
    /// musl of at least this release.
    Musllinux { level: (u32, u32), machine: String },
    MacOs {
        release: (u32, u32),
        machine: String,
    },
    /// Any other tag, which only means itself: `win_amd64`, `linux_armv7l`.
    Exactly(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no platform tag such as manylinux_2_28_x86_64, musllinux_1_2_aarch64, macosx_14_0_arm64 or win_amd64"
)]
pub struct BadPlatform(pub String);

impl Platform {
    /// Reads a platform tag.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, BadPlatform> {
        let tag = text.trim().to_ascii_lowercase();
        if let Some((level, machine)) = manylinux(&tag) {
            return Ok(Self::Manylinux {
                level,
                machine: machine.to_owned(),
            });
        }
        if let Some((level, machine)) = released(&tag, "musllinux_") {
            return Ok(Self::Musllinux {
                level,
                machine: machine.to_owned(),
            });
        }
        if let Some((release, machine)) = released(&tag, "macosx_") {
            return Ok(Self::MacOs {
                release,
                machine: machine.to_owned(),
            });
        }
        let family = ["manylinux", "musllinux", "macosx"]
            .iter()
            .any(|family| tag.starts_with(family));
        let plain = tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if family || !plain || (!tag.contains('_') && tag != "win32") {
            return Err(BadPlatform(text.to_owned()));
        }
        Ok(Self::Exactly(tag))
    }

    /// Whether this machine takes a wheel of this platform tag; `any` is everybody's.
    pub fn accepts(&self, tag: &str) -> bool {
        if tag == "any" {
            return true;
        }
        match self {
            // An index of one's own may have wheels of the plain tag, which the public one refuses.
            Self::Manylinux { level, machine } => {
                manylinux(tag).is_some_and(|(of, on)| of <= *level && on == machine)
                    || is_plain_linux(tag, machine)
            }
            Self::Musllinux { level, machine } => {
                released(tag, "musllinux_")
                    .is_some_and(|(of, on)| of.0 == level.0 && of <= *level && on == machine)
                    || is_plain_linux(tag, machine)
            }
            Self::MacOs { release, machine } => released(tag, "macosx_")
                .is_some_and(|(of, binary)| macos(*release, machine, of, binary)),
            Self::Exactly(own) => own == tag,
        }
    }

    /// What `sys_platform` and `platform_machine` are there, where the tag tells.
    pub fn environment(&self) -> (Option<&'static str>, Option<String>) {
        match self {
            Self::Manylinux { machine, .. } | Self::Musllinux { machine, .. } => {
                (Some("linux"), Some(machine.clone()))
            }
            Self::MacOs { machine, .. } => (Some("darwin"), Some(machine.clone())),
            Self::Exactly(tag) => match tag.as_str() {
                "win32" => (Some("win32"), Some("x86".to_owned())),
                "win_amd64" => (Some("win32"), Some("AMD64".to_owned())),
                "win_arm64" => (Some("win32"), Some("ARM64".to_owned())),
                other => match other.strip_prefix("linux_") {
                    Some(machine) => (Some("linux"), Some(machine.to_owned())),
                    None => (None, None),
                },
            },
        }
    }
}

/// The tag that it was read from, an old name by its new one.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, (major, minor), machine) = match self {
            Self::Manylinux { level, machine } => ("manylinux", level, machine),
            Self::Musllinux { level, machine } => ("musllinux", level, machine),
            Self::MacOs { release, machine } => ("macosx", release, machine),
            Self::Exactly(tag) => return f.write_str(tag),
        };
        write!(f, "{family}_{major}_{minor}_{machine}")
    }
}

/// glibc's release and the machine of a manylinux tag, by its new name or an old one.
fn manylinux(tag: &str) -> Option<((u32, u32), &str)> {
    let legacy = LEGACY_LEVELS
        .iter()
        .find_map(|(name, level)| Some((*level, tag.strip_prefix(name)?)));
    legacy
        .filter(|(_, machine)| !machine.is_empty())
        .or_else(|| released(tag, "manylinux_"))
}

/// `FAMILY_MAJOR_MINOR_MACHINE`.
fn released<'a>(tag: &'a str, family: &str) -> Option<((u32, u32), &'a str)> {
    let (major, rest) = tag.strip_prefix(family)?.split_once('_')?;
    let (minor, machine) = rest.split_once('_')?;
    let number = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| text.parse().ok())
            .flatten()
    };
    (!machine.is_empty()).then_some(((number(major)?, number(minor)?), machine))
}

fn is_plain_linux(tag: &str, machine: &str) -> bool {
    tag.strip_prefix("linux_") == Some(machine)
}

/// Whether a macOS of this release on this machine runs binaries made for that release in that
/// format.
fn macos(release: (u32, u32), machine: &str, of: (u32, u32), binary: &str) -> bool {
    // Until 10.16 each year was a minor release; since 11 it is a major one, and tags are made for
    // `.0` only.
    let runs_release = match (release.0, of.0) {
        (10, 10) => of.1 <= release.1,
        (11.., 11..) => of.0 <= release.0 && of.1 == 0,
        (11.., 10) => (MACOS_10_FIRST..=MACOS_10_LAST).contains(&of.1),
        _ => false,
    };
    // An arm64 program is of 11 or later, unless its other half is older.
    let own_binary = binary == machine && (machine == "x86_64" || of.0 >= 11);
    let fat = match machine {
        "x86_64" => matches!(
            binary,
            "universal2" | "intel" | "fat64" | "fat32" | "universal"
        ),
        "arm64" => binary == "universal2",
        _ => false,
    };
    let x86_begins = machine != "x86_64" || of >= (10, MACOS_10_FIRST);
    runs_release && x86_begins && (own_binary || fat)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn takes(platform: &str, tag: &str) -> bool {
        Platform::parse(platform).is_ok_and(|platform| platform.accepts(tag))
    }

    #[test]
    fn a_platform_takes_what_older_ones_do() {
        let table = [
            ("manylinux_2_28_x86_64", "manylinux_2_28_x86_64", true),
            ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", true),
            ("manylinux_2_28_x86_64", "manylinux2014_x86_64", true),
            ("manylinux_2_28_x86_64", "manylinux2010_x86_64", true),
            ("manylinux_2_28_x86_64", "manylinux1_x86_64", true),
            ("manylinux_2_28_x86_64", "linux_x86_64", true),
            ("manylinux_2_28_x86_64", "any", true),
            ("manylinux_2_28_x86_64", "manylinux_2_34_x86_64", false),
            ("manylinux_2_28_x86_64", "manylinux_2_17_aarch64", false),
            ("manylinux_2_28_x86_64", "musllinux_1_1_x86_64", false),
            ("manylinux_2_28_x86_64", "win_amd64", false),
            ("manylinux2014_x86_64", "manylinux_2_17_x86_64", true),
            ("manylinux2014_x86_64", "manylinux_2_28_x86_64", false),
            ("musllinux_1_2_x86_64", "musllinux_1_1_x86_64", true),
            ("musllinux_1_2_x86_64", "musllinux_2_0_x86_64", false),
            ("musllinux_1_2_x86_64", "manylinux1_x86_64", false),
            ("macosx_14_0_arm64", "macosx_11_0_arm64", true),
            ("macosx_14_0_arm64", "macosx_14_0_universal2", true),
            ("macosx_14_0_arm64", "macosx_10_9_universal2", true),
            ("macosx_14_0_arm64", "macosx_10_9_x86_64", false),
            ("macosx_14_0_arm64", "macosx_15_0_arm64", false),
            ("macosx_14_0_x86_64", "macosx_10_9_x86_64", true),
            ("macosx_14_0_x86_64", "macosx_10_9_intel", true),
            ("macosx_14_0_x86_64", "macosx_11_0_arm64", false),
            ("macosx_10_9_x86_64", "macosx_10_6_intel", true),
            ("macosx_10_9_x86_64", "macosx_10_12_x86_64", false),
            ("win_amd64", "win_amd64", true),
            ("win_amd64", "win32", false),
            ("win32", "win32", true),
        ];
        for (platform, tag, expected) in table {
            assert_eq!(takes(platform, tag), expected, "{platform} {tag}");
        }
    }

    #[test]
    fn a_misspelled_family_is_refused() {
        for text in [
            "",
            "manylinux_x86_64",
            "manylinux",
            "macosx_14_arm64",
            "musllinux_1_x86_64",
            "windows",
            "a-b_c",
        ] {
            assert!(Platform::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn compressed_sets_are_read() {
        let tags =
            WheelTags::of("a-1-2build-py2.py3-none-manylinux1_x86_64.Manylinux2014_x86_64.whl");
        let tags = tags.unwrap();
        assert_eq!(tags.pythons, ["py2", "py3"]);
        assert_eq!(
            tags.platforms,
            ["manylinux1_x86_64", "manylinux2014_x86_64"]
        );
        assert!(WheelTags::of("a-1.tar.gz").is_none() && WheelTags::of("a-1.whl").is_none());
    }

    proptest! {
        #[test]
        fn a_newer_level_takes_all_that_an_older_one_does(older in 0..60u32, newer in 0..60u32, of in 0..60u32) {
            let (older, newer) = (older.min(newer), older.max(newer));
            let tag = format!("manylinux_2_{of}_x86_64");
            let (by_older, by_newer) = (takes(&format!("manylinux_2_{older}_x86_64"), &tag), takes(&format!("manylinux_2_{newer}_x86_64"), &tag));
            prop_assert_eq!(by_older, of <= older);
            prop_assert!(!by_older || by_newer);
        }

        #[test]
        fn no_text_makes_it_stumble(text in "\\PC{0,30}", tag in "[a-z0-9_]{0,30}") {
            let _ = Platform::parse(&text).map(|platform| platform.accepts(&tag));
            let _ = Platform::parse(&tag).map(|platform| platform.accepts(&text));
            let _ = WheelTags::of(&format!("{text}.whl"));
        }
    }
}
