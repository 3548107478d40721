//! Compatibility tags of wheels (PEP 425, 600, 656): what a file name claims, and what a machine
//! takes. Pure.
//!
//! Owns the families of platforms and which of their releases include which. Must not know Python
//! releases that files require, nor any page.

use crate::simple::WheelFilename;

/// Of at least a release of glibc, of musl, of macOS.
const MANYLINUX: &str = "manylinux";
const MUSLLINUX: &str = "musllinux";
const MACOS: &str = "macosx";

/// Levels of the names that came before PEP 600.
const LEGACY_LEVELS: [(&str, (u64, u64)); 3] = [
    ("manylinux1_", (2, 5)),
    ("manylinux2010_", (2, 12)),
    ("manylinux2014_", (2, 17)),
];

/// The last macOS that counted 10.x, and the first whose x86_64 programs still run on 11 and later.
const MACOS_10_LAST: u64 = 16;
const MACOS_10_FIRST: u64 = 4;

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
            let text = text.to_ascii_lowercase();
            text.split('.').map(str::to_owned).collect()
        };
        Some(Self {
            pythons: set(wheel.pythons),
            abis: set(wheel.abis),
            platforms: set(wheel.platforms),
        })
    }
}

/// A kind of machine, as the newest platform tag that it takes; an old name by its new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform(String);

/// A tag that includes those of older releases: `FAMILY_MAJOR_MINOR_MACHINE`. Any other tag only
/// means itself: `win_amd64`, `linux_armv7l`.
struct ReleasedTag<'t> {
    family: &'t str,
    release: (u64, u64),
    machine: &'t str,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no platform tag such as manylinux_2_28_x86_64, musllinux_1_2_aarch64, \
     macosx_14_0_arm64 or win_amd64"
)]
pub struct BadPlatform(pub String);

impl Platform {
    /// Reads a platform tag.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, BadPlatform> {
        let tag = text.trim().to_ascii_lowercase();
        if let Some(released) = ReleasedTag::read(&tag) {
            let (major, minor) = released.release;
            let family = released.family;
            let machine = released.machine;
            return Ok(Self(format!("{family}_{major}_{minor}_{machine}")));
        }
        let families = [MANYLINUX, MUSLLINUX, MACOS];
        let is_of_family = families.iter().any(|family| tag.starts_with(family));
        let is_plain = tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let has_machine = tag.contains('_') || tag == "win32";
        if is_of_family || !is_plain || !has_machine {
            return Err(BadPlatform(text.to_owned()));
        }
        Ok(Self(tag))
    }

    pub fn tag(&self) -> &str {
        &self.0
    }

    /// Whether this machine takes a wheel of this platform tag; every machine takes `any`.
    pub fn accepts(&self, tag: &str) -> bool {
        if tag == "any" {
            return true;
        }
        let Some(own) = ReleasedTag::read(&self.0) else {
            return tag == self.0;
        };
        let Some(wheel) = ReleasedTag::read(tag) else {
            // An index of one's own may have wheels of the plain tag, which the public one refuses.
            return own.family != MACOS && tag.strip_prefix("linux_") == Some(own.machine);
        };
        if wheel.family != own.family {
            return false;
        }
        match own.family {
            MACOS => own.runs_macos(&wheel),
            MUSLLINUX if wheel.release.0 != own.release.0 => false,
            _ => wheel.machine == own.machine && wheel.release <= own.release,
        }
    }

    /// What `sys_platform` and `platform_machine` are there, where the tag tells.
    pub fn environment(&self) -> Option<(&'static str, &str)> {
        if let Some(own) = ReleasedTag::read(&self.0) {
            let system = match own.family {
                MACOS => "darwin",
                _ => "linux",
            };
            return Some((system, own.machine));
        }
        Some(match self.tag() {
            "win32" => ("win32", "x86"),
            "win_amd64" => ("win32", "AMD64"),
            "win_arm64" => ("win32", "ARM64"),
            other => ("linux", other.strip_prefix("linux_")?),
        })
    }
}

impl<'t> ReleasedTag<'t> {
    fn read(tag: &'t str) -> Option<Self> {
        for (name, release) in LEGACY_LEVELS {
            if let Some(machine) = tag.strip_prefix(name)
                && !machine.is_empty()
            {
                return Some(Self {
                    family: MANYLINUX,
                    release,
                    machine,
                });
            }
        }
        let mut parts = tag.splitn(4, '_');
        let family = parts.next()?;
        let release = (number(parts.next()?)?, number(parts.next()?)?);
        let machine = parts.next()?;
        if machine.is_empty() || ![MANYLINUX, MUSLLINUX, MACOS].contains(&family) {
            return None;
        }
        Some(Self {
            family,
            release,
            machine,
        })
    }

    /// Whether a macOS of this release on this machine runs binaries made for that release in that
    /// format.
    fn runs_macos(&self, wheel: &ReleasedTag<'_>) -> bool {
        // Until 10.16 each year was a minor release; since 11 it is a major one, and tags are made
        // for `.0` only.
        let (major, minor) = wheel.release;
        let runs_release = match (self.release.0, major) {
            (10, 10) => minor <= self.release.1,
            (11.., 11..) => major <= self.release.0 && minor == 0,
            (11.., 10) => (MACOS_10_FIRST..=MACOS_10_LAST).contains(&minor),
            _ => false,
        };
        let runs_binary = match (self.machine, wheel.machine) {
            ("x86_64", "x86_64" | "universal2" | "intel" | "fat64" | "fat32" | "universal") => {
                wheel.release >= (10, MACOS_10_FIRST)
            }
            ("arm64", "universal2") => true,
            // An arm64 program is of 11 or later, unless its other half is older.
            (own, binary) => own != "x86_64" && own == binary && major >= 11,
        };
        runs_release && runs_binary
    }
}

/// Digits alone.
pub fn number(text: &str) -> Option<u64> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
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
