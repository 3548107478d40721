//! The machines that files are fetched for: Python releases, implementation, ABIs, platforms. Pure.
//!
//! Owns which wheels one of them could install. Must not know any project, page or lock file. What
//! is not said does not restrict: with no filter at all every file counts.

use std::fmt;

use pep440_rs::{Version, VersionSpecifiers};

use super::tags::{BadPlatform, Platform, WheelTags};
use crate::airgap::lockfile::marker::{Marker, MarkerVariable, Truth};

/// Micro releases that are tried when only `3.12` was said: `>=3.12.4` may mean a later one of it.
const MICRO_RELEASES: u64 = 64;

/// ABIs carried a letter for pymalloc until this release.
const ABI_WITH_M_LAST: (u64, u64) = (3, 7);

/// A release of Python, with or without its micro number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Python {
    pub major: u64,
    pub minor: u64,
    pub micro: Option<u64>,
}

/// What was asked for; empty lists do not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetEnvironment {
    pub pythons: Vec<Python>,
    pub platforms: Vec<Platform>,
    /// The first letters of the tag: `cp`, `pp`, `py`.
    pub implementation: Option<String>,
    pub abis: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    #[error("\"{0}\" is no Python release such as 3.12 or 3.12.4")]
    Python(String),
    #[error("\"{0}\" is no implementation: cp (CPython), pp (PyPy) or py (any)")]
    Implementation(String),
    #[error("\"{0}\" is no ABI tag such as cp313t or abi3")]
    Abi(String),
    #[error(transparent)]
    Platform(#[from] BadPlatform),
}

impl Python {
    /// Reads `3.12` or `3.12.4`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, BadTarget> {
        let bad = || BadTarget::Python(text.to_owned());
        let number = |part: &str| {
            let digits =
                !part.is_empty() && part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit());
            digits
                .then(|| part.parse::<u64>().ok())
                .flatten()
                .ok_or_else(bad)
        };
        let parts: Vec<&str> = text.trim().split('.').collect();
        match parts.as_slice() {
            [major, minor] => Ok(Self {
                major: number(major)?,
                minor: number(minor)?,
                micro: None,
            }),
            [major, minor, micro] => Ok(Self {
                major: number(major)?,
                minor: number(minor)?,
                micro: Some(number(micro)?),
            }),
            _ => Err(bad()),
        }
    }

    /// Whether a release of it may be among these.
    pub fn may_be(self, specifiers: &VersionSpecifiers) -> bool {
        self.releases().any(|release| specifiers.contains(&release))
    }

    /// The full releases that it may be.
    pub fn releases(self) -> impl Iterator<Item = Version> {
        let micros = self.micro.map_or(0..=MICRO_RELEASES, |micro| micro..=micro);
        micros.map(move |micro| Version::new([self.major, self.minor, micro]))
    }

    /// `312`, as tags have it.
    fn digits(self) -> String {
        format!("{}{}", self.major, self.minor)
    }
}

impl TargetEnvironment {
    /// From the words of the command line.
    ///
    /// # Errors
    /// The first word that means nothing.
    pub fn parse(
        pythons: &[String],
        platforms: &[String],
        implementation: Option<&str>,
        abis: &[String],
    ) -> Result<Self, BadTarget> {
        if let Some(other) = implementation.filter(|word| !matches!(*word, "cp" | "pp" | "py")) {
            return Err(BadTarget::Implementation(other.to_owned()));
        }
        let tag = |text: &&String| {
            text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if let Some(bad) = abis.iter().find(tag) {
            return Err(BadTarget::Abi(bad.clone()));
        }
        Ok(Self {
            pythons: pythons
                .iter()
                .map(|text| Python::parse(text))
                .collect::<Result<_, _>>()?,
            platforms: platforms
                .iter()
                .map(|text| Platform::parse(text))
                .collect::<Result<_, _>>()?,
            implementation: implementation.map(str::to_owned),
            abis: abis.iter().map(|abi| abi.to_ascii_lowercase()).collect(),
        })
    }

    /// The single machines that it means: each Python with each platform. What was not said stays
    /// unsaid, so that there is always one.
    pub fn machines(&self) -> Vec<Self> {
        let platforms = some_or_unknown(&self.platforms);
        let with = |python: Option<Python>| {
            platforms.iter().map(move |platform| Self {
                pythons: python.into_iter().collect(),
                platforms: platform.clone().into_iter().collect(),
                ..self.clone()
            })
        };
        some_or_unknown(&self.pythons)
            .into_iter()
            .flat_map(with)
            .collect()
    }

    /// With the implementation that is meant when only a release was said, as for wheels: CPython.
    pub fn with_implementation(&self) -> Self {
        let meant = (!self.pythons.is_empty()).then(|| "cp".to_owned());
        Self {
            implementation: self.implementation.clone().or(meant),
            ..self.clone()
        }
    }

    /// Whether one of the Pythons may be among these. Text that is no specifier restricts nothing,
    /// as in pip.
    pub fn may_be(&self, requires_python: &str) -> bool {
        self.pythons.is_empty()
            || requires_python
                .parse::<VersionSpecifiers>()
                .map_or(true, |specifiers| self.may_be_among(&specifiers))
    }

    pub fn may_be_among(&self, specifiers: &VersionSpecifiers) -> bool {
        self.pythons.is_empty() || self.pythons.iter().any(|python| python.may_be(specifiers))
    }

    /// Whether what a marker asks for is certainly false on every machine.
    pub fn rules_out(&self, marker: &Marker) -> bool {
        let pythons: Vec<Option<Python>> = some_or_unknown(&self.pythons);
        let platforms: Vec<Option<&Platform>> =
            some_or_unknown(&self.platforms.iter().collect::<Vec<_>>());
        pythons.iter().all(|python| {
            platforms.iter().all(|platform| {
                let environment =
                    |variable: MarkerVariable| self.value(variable, *python, *platform);
                marker.truth(&environment) == Truth::No
            })
        })
    }

    /// What a marker's variable may be on one machine; `None`: not known.
    fn value(
        &self,
        variable: MarkerVariable,
        python: Option<Python>,
        platform: Option<&Platform>,
    ) -> Option<Vec<String>> {
        let (system, machine) = platform.map_or((None, None), Platform::environment);
        let by_system = |linux: &str, darwin: &str, windows: &str| {
            let value = match system? {
                "linux" => linux,
                "darwin" => darwin,
                _ => windows,
            };
            Some(vec![value.to_owned()])
        };
        match variable {
            MarkerVariable::PythonVersion => {
                python.map(|python| vec![format!("{}.{}", python.major, python.minor)])
            }
            MarkerVariable::PythonFullVersion => {
                let python = python.filter(|python| python.micro.is_some())?;
                Some(
                    python
                        .releases()
                        .map(|release| release.to_string())
                        .collect(),
                )
            }
            MarkerVariable::SysPlatform => system.map(|system| vec![system.to_owned()]),
            MarkerVariable::PlatformSystem => by_system("Linux", "Darwin", "Windows"),
            MarkerVariable::OsName => by_system("posix", "posix", "nt"),
            MarkerVariable::PlatformMachine => machine.map(|machine| vec![machine]),
            MarkerVariable::ImplementationName => self.named("cpython", "pypy"),
            MarkerVariable::PlatformPythonImplementation => self.named("CPython", "PyPy"),
            _ => None,
        }
    }

    fn named(&self, cpython: &str, pypy: &str) -> Option<Vec<String>> {
        match self.implementation.as_deref()? {
            "cp" => Some(vec![cpython.to_owned()]),
            "pp" => Some(vec![pypy.to_owned()]),
            _ => None,
        }
    }

    /// Whether one of the machines takes a wheel with these tags.
    pub fn accepts(&self, tags: &WheelTags) -> bool {
        tags.platforms.iter().any(|platform| {
            let here =
                self.platforms.is_empty() || self.platforms.iter().any(|own| own.accepts(platform));
            here && tags.pythons.iter().any(|python| {
                tags.abis
                    .iter()
                    .any(|abi| self.accepts_python(python, abi, platform == "any"))
            })
        })
    }

    fn accepts_python(&self, python: &str, abi: &str, is_anywhere: bool) -> bool {
        if self.pythons.is_empty() {
            let (name, _) = split(python);
            let named = self
                .implementation
                .as_deref()
                .is_none_or(|own| name == own || name == "py");
            let abi_fits =
                self.abis.is_empty() || abi == "none" || self.abis.iter().any(|own| own == abi);
            return named && abi_fits;
        }
        self.pythons
            .iter()
            .any(|own| self.runs(*own, python, abi, is_anywhere))
    }

    /// The order of `sys_tags` does not matter here, only what is among them.
    fn runs(&self, own: Python, python: &str, abi: &str, is_anywhere: bool) -> bool {
        let implementation = self.implementation.as_deref().unwrap_or("cp");
        let (name, digits) = split(python);
        let newer = release_of(digits).is_none_or(|(major, minor)| {
            major != own.major || minor.is_some_and(|minor| minor > own.minor)
        });
        if newer {
            return false;
        }
        let is_own_release = digits == own.digits();
        match name {
            "py" => abi == "none",
            "cp" if implementation == "cp" => match abi {
                "none" => is_own_release,
                "abi3" => self.takes_abi3() && !is_anywhere,
                _ => is_own_release && self.takes_abi(own, abi) && !is_anywhere,
            },
            "pp" if implementation == "pp" => {
                let by_default = abi.starts_with(&format!("pypy{}_", own.digits()));
                let listed = self.abis.iter().any(|own| own == abi);
                let taken = if self.abis.is_empty() {
                    by_default
                } else {
                    listed
                };
                is_own_release && (abi == "none" || (taken && !is_anywhere))
            }
            _ => false,
        }
    }

    fn takes_abi(&self, own: Python, abi: &str) -> bool {
        if self.abis.is_empty() {
            let digits = own.digits();
            let with_m = (own.major, own.minor) <= ABI_WITH_M_LAST;
            return abi == format!("cp{digits}") || (with_m && abi == format!("cp{digits}m"));
        }
        self.abis.iter().any(|own| own == abi)
    }

    /// The stable ABI is every build's but that of a free-threaded one.
    fn takes_abi3(&self) -> bool {
        self.abis.is_empty()
            || self
                .abis
                .iter()
                .any(|abi| abi == "abi3" || !abi.ends_with('t'))
    }
}

/// As it was asked for: `3.12 manylinux_2_28_x86_64`.
impl fmt::Display for TargetEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pythons = self.pythons.iter().map(Python::to_string);
        let platforms = self.platforms.iter().map(Platform::to_string);
        let words = pythons
            .chain(self.implementation.clone())
            .chain(self.abis.clone())
            .chain(platforms);
        let words: Vec<String> = words.collect();
        f.write_str(if words.is_empty() {
            "every machine"
        } else {
            ""
        })?;
        f.write_str(&words.join(" "))
    }
}

impl fmt::Display for Python {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.micro.map_or(Ok(()), |micro| write!(f, ".{micro}"))
    }
}

/// Each of them, or one that nothing is known of.
fn some_or_unknown<T: Clone>(known: &[T]) -> Vec<Option<T>> {
    if known.is_empty() {
        vec![None]
    } else {
        known.iter().cloned().map(Some).collect()
    }
}

/// `cp312` → `cp`, `312`.
fn split(tag: &str) -> (&str, &str) {
    tag.split_at(tag.find(|c: char| c.is_ascii_digit()).unwrap_or(tag.len()))
}

/// `312` → 3, 12; `3` → 3 and whichever.
fn release_of(digits: &str) -> Option<(u64, Option<u64>)> {
    let (major, minor) = digits.split_at_checked(1)?;
    let minor = if minor.is_empty() {
        None
    } else {
        Some(minor.parse().ok()?)
    };
    Some((major.parse().ok()?, minor))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(',')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn target(
        pythons: &str,
        platforms: &str,
        implementation: Option<&str>,
        abis: &str,
    ) -> TargetEnvironment {
        TargetEnvironment::parse(
            &words(pythons),
            &words(platforms),
            implementation,
            &words(abis),
        )
        .unwrap()
    }

    fn takes(target: &TargetEnvironment, tags: &str) -> bool {
        target.accepts(&WheelTags::of(&format!("a-1-{tags}.whl")).unwrap())
    }

    #[test]
    fn wheels_are_taken_as_pip_takes_them() {
        let linux = target("3.11", "manylinux_2_28_x86_64", None, "");
        let table = [
            ("py3-none-any", true),
            ("py2.py3-none-any", true),
            ("py2-none-any", false),
            ("py311-none-any", true),
            ("py312-none-any", false),
            ("py39-none-any", true),
            ("cp311-none-any", true),
            ("cp310-none-any", false),
            (
                "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
                true,
            ),
            ("cp310-cp310-manylinux_2_17_x86_64", false),
            ("cp312-cp312-manylinux_2_17_x86_64", false),
            ("cp37-abi3-manylinux_2_17_x86_64", true),
            ("cp312-abi3-manylinux_2_17_x86_64", false),
            ("cp311-cp311-win_amd64", false),
            ("cp311-cp311d-linux_x86_64", false),
            ("pp311-pypy311_pp73-manylinux_2_17_x86_64", false),
            ("py3-none-manylinux_2_17_x86_64", true),
            ("py3-none-macosx_11_0_arm64", false),
        ];
        for (tags, expected) in table {
            assert_eq!(takes(&linux, tags), expected, "{tags}");
        }
        let threads = target("3.13", "", None, "cp313t");
        assert!(
            takes(&threads, "cp313-cp313t-win_amd64") && !takes(&threads, "cp313-cp313-win_amd64")
        );
        assert!(!takes(&threads, "cp39-abi3-win_amd64") && takes(&threads, "py3-none-any"));
        let pypy = target("3.11", "", Some("pp"), "");
        assert!(
            takes(&pypy, "pp311-pypy311_pp73-win_amd64") && !takes(&pypy, "cp311-cp311-win_amd64")
        );
        assert!(takes(&target("3.7", "", None, ""), "cp37-cp37m-win_amd64"));
    }

    #[test]
    fn what_is_not_said_does_not_restrict() {
        let all = TargetEnvironment::default();
        let mac = target("", "macosx_14_0_arm64", None, "");
        let cpython = target("", "", Some("cp"), "");
        for tags in [
            "cp27-cp27mu-manylinux1_i686",
            "py3-none-any",
            "pp39-pypy39_pp73-win_amd64",
        ] {
            assert!(takes(&all, tags), "{tags}");
        }
        assert!(takes(&mac, "cp38-cp38-macosx_11_0_arm64") && !takes(&mac, "cp38-cp38-win_amd64"));
        assert!(
            takes(&cpython, "cp38-cp38-win_amd64")
                && !takes(&cpython, "pp39-pypy39_pp73-win_amd64")
        );
        assert!(all.may_be(">=9"));
    }

    #[test]
    fn a_release_without_a_micro_number_may_be_any_of_it() {
        let python = target("3.11", "", None, "");
        for (text, expected) in [
            (">=3.9", true),
            (">=3.11.4", true),
            ("<3.11", false),
            (">=3.12", false),
            ("!=3.11.*", false),
            ("==3.11.*", true),
            ("~=3.11.2", true),
            ("nonsense", true),
        ] {
            assert_eq!(python.may_be(text), expected, "{text}");
        }
        assert!(!target("3.11.3", "", None, "").may_be(">=3.11.4"));
    }

    #[test]
    fn a_marker_rules_out_only_what_is_false_everywhere() {
        let marker = |text: &str| Marker::parse(text).unwrap();
        let two = target("3.11,3.12", "manylinux_2_28_x86_64,win_amd64", None, "");
        for (text, expected) in [
            ("sys_platform == 'win32'", false),
            ("sys_platform == 'darwin'", true),
            ("os_name == 'nt' and python_version < '3.11'", true),
            ("platform_machine == 'aarch64'", true),
            ("extra == 'x'", false),
            ("implementation_name == 'pypy'", false),
            ("python_version >= '3.12'", false),
            ("python_version >= '3.13'", true),
        ] {
            assert_eq!(two.rules_out(&marker(text)), expected, "{text}");
            assert!(
                !TargetEnvironment::default().rules_out(&marker(text)),
                "{text}"
            );
        }
    }

    #[test]
    fn each_python_with_each_platform_is_a_machine() {
        let two = target(
            "3.11,3.12.4",
            "manylinux2014_x86_64,win_amd64,macosx_14_0_arm64",
            None,
            "",
        );
        let names: Vec<String> = two
            .machines()
            .iter()
            .map(TargetEnvironment::to_string)
            .collect();
        assert_eq!(names.len(), 6);
        assert_eq!(names[0], "3.11 manylinux_2_17_x86_64");
        assert_eq!(names[5], "3.12.4 macosx_14_0_arm64");
        assert_eq!(
            TargetEnvironment::default().machines(),
            [TargetEnvironment::default()]
        );
        assert_eq!(TargetEnvironment::default().to_string(), "every machine");
        assert_eq!(
            target("3.13", "musllinux_1_2_aarch64", Some("cp"), "cp313t").machines()[0].to_string(),
            "3.13 cp cp313t musllinux_1_2_aarch64"
        );
        let pypy = Marker::parse("implementation_name == 'pypy'").unwrap();
        assert!(!two.rules_out(&pypy) && two.with_implementation().rules_out(&pypy));
        assert!(
            !target("", "win_amd64", None, "")
                .with_implementation()
                .rules_out(&pypy)
        );
    }

    #[test]
    fn words_that_mean_nothing_are_named() {
        for (python, platform, implementation, abi) in [
            ("3", "", None, ""),
            ("3.x", "", None, ""),
            ("", "linux", None, ""),
            ("", "", Some("jython"), ""),
            ("", "", None, "a-b"),
        ] {
            let parsed = TargetEnvironment::parse(
                &words(python),
                &words(platform),
                implementation,
                &words(abi),
            );
            assert!(
                parsed.is_err(),
                "{python} {platform} {implementation:?} {abi}"
            );
        }
    }

    proptest! {
        #[test]
        fn more_machines_take_more(minor in 6..16u64, wheel in 0..20u64, level in 5..40u32, of in 5..40u32, shape in 0..4usize) {
            let one = target(&format!("3.{minor}"), &format!("manylinux_2_{level}_x86_64"), None, "");
            let two = target(&format!("3.{minor},3.20"), &format!("manylinux_2_{level}_x86_64,win_amd64"), None, "");
            let tags = [
                format!("cp3{wheel}-cp3{wheel}-manylinux_2_{of}_x86_64"),
                format!("cp3{wheel}-abi3-manylinux_2_{of}_x86_64"),
                format!("py3{wheel}-none-any"),
                format!("cp3{wheel}-none-manylinux_2_{of}_x86_64"),
            ];
            let tags = &tags[shape];
            prop_assert!(!takes(&one, tags) || takes(&two, tags));
            prop_assert!(!takes(&two, tags) || takes(&TargetEnvironment::default(), tags));
            let expected = [wheel == minor && of <= level, wheel <= minor && of <= level, wheel <= minor, wheel == minor && of <= level];
            prop_assert_eq!(takes(&one, tags), expected[shape]);
        }
    }
}
