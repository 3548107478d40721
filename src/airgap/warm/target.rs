//! The machines that files are fetched for: Python releases, implementation, ABIs, platforms. Pure.
//!
//! Owns which wheels one of them could install. Must not know any project, page or lock file. What
//! is not said does not restrict: with no filter at all every file counts.

use std::fmt;

use pep440_rs::{Version, VersionSpecifiers};

use super::tags::{self, BadPlatform, Platform, WheelTags};
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

/// One kind of machine, as far as it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    python: Option<Python>,
    platform: Option<Platform>,
    /// The first letters of the tag: `cp`, `pp`, `py`.
    implementation: Option<String>,
    abis: Vec<String>,
}

/// The machines that were asked for: each Python with each platform, and at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetEnvironment {
    machines: Vec<Machine>,
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
        let mut numbers = Vec::new();
        for part in text.trim().split('.') {
            match tags::number(part) {
                Some(number) if part.len() <= 4 => numbers.push(number),
                _ => return Err(BadTarget::Python(text.to_owned())),
            }
        }
        let (major, minor, micro) = match *numbers {
            [major, minor] => (major, minor, None),
            [major, minor, micro] => (major, minor, Some(micro)),
            _ => return Err(BadTarget::Python(text.to_owned())),
        };
        Ok(Self {
            major,
            minor,
            micro,
        })
    }

    /// Whether a release of it may be among these.
    fn may_be(self, specifiers: &VersionSpecifiers) -> bool {
        let mut micros = match self.micro {
            Some(micro) => micro..=micro,
            None => 0..=MICRO_RELEASES,
        };
        micros.any(|micro| specifiers.contains(&Version::new([self.major, self.minor, micro])))
    }

    /// `312`, as tags have it.
    fn digits(self) -> String {
        format!("{}{}", self.major, self.minor)
    }
}

impl Default for TargetEnvironment {
    fn default() -> Self {
        let machines = vec![Machine::default()];
        Self { machines }
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
        if let Some(other) = implementation
            && !matches!(other, "cp" | "pp" | "py")
        {
            return Err(BadTarget::Implementation(other.to_owned()));
        }
        for abi in abis {
            let is_tag = abi.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if abi.is_empty() || !is_tag {
                return Err(BadTarget::Abi(abi.clone()));
            }
        }
        let pythons = known_or_unsaid(pythons, Python::parse)?;
        let platforms = known_or_unsaid(platforms, |text| Ok(Platform::parse(text)?))?;
        let mut machines = Vec::new();
        for python in &pythons {
            for platform in &platforms {
                machines.push(Machine {
                    python: *python,
                    platform: platform.clone(),
                    implementation: implementation.map(str::to_owned),
                    abis: abis.iter().map(|abi| abi.to_ascii_lowercase()).collect(),
                });
            }
        }
        Ok(Self { machines })
    }

    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// Whether what a marker asks for is certainly false on every machine.
    pub fn rules_out(&self, marker: &Marker) -> bool {
        self.machines.iter().all(|one| one.rules_out(marker))
    }
}

/// Each of them, or one that was not said.
fn known_or_unsaid<T>(
    words: &[String],
    parse: impl Fn(&str) -> Result<T, BadTarget>,
) -> Result<Vec<Option<T>>, BadTarget> {
    let mut known = Vec::new();
    for word in words {
        known.push(Some(parse(word)?));
    }
    if known.is_empty() {
        known.push(None);
    }
    Ok(known)
}

impl Machine {
    /// With the implementation that is meant when only a release was said, as for wheels: CPython.
    pub fn with_implementation(&self) -> Self {
        let mut meant = self.clone();
        if meant.python.is_some() && meant.implementation.is_none() {
            meant.implementation = Some("cp".to_owned());
        }
        meant
    }

    /// Whether its Python may be among these. Text that is no specifier restricts nothing, as in
    /// pip.
    pub fn may_be(&self, requires_python: &str) -> bool {
        match requires_python.parse() {
            Ok(specifiers) => self.may_be_among(&specifiers),
            Err(_) => true,
        }
    }

    pub fn may_be_among(&self, specifiers: &VersionSpecifiers) -> bool {
        self.python.is_none_or(|python| python.may_be(specifiers))
    }

    /// Whether what a marker asks for is certainly false on it.
    pub fn rules_out(&self, marker: &Marker) -> bool {
        let value = |variable| Some(vec![self.value(variable)?]);
        marker.truth(&value) == Truth::No
    }

    /// What a marker's variable is; `None`: not known.
    fn value(&self, variable: MarkerVariable) -> Option<String> {
        let platform = self.platform.as_ref();
        let environment = platform.and_then(Platform::environment);
        let implementation = self.implementation.as_deref();
        let value = match variable {
            MarkerVariable::PythonVersion => {
                let python = self.python?;
                return Some(format!("{}.{}", python.major, python.minor));
            }
            MarkerVariable::PythonFullVersion => {
                let python = self.python?;
                python.micro?;
                return Some(python.to_string());
            }
            MarkerVariable::SysPlatform => environment?.0,
            MarkerVariable::PlatformMachine => environment?.1,
            MarkerVariable::PlatformSystem => match environment?.0 {
                "linux" => "Linux",
                "darwin" => "Darwin",
                _ => "Windows",
            },
            MarkerVariable::OsName => match environment?.0 {
                "linux" | "darwin" => "posix",
                _ => "nt",
            },
            MarkerVariable::ImplementationName => match implementation? {
                "cp" => "cpython",
                "pp" => "pypy",
                _ => return None,
            },
            MarkerVariable::PlatformPythonImplementation => match implementation? {
                "cp" => "CPython",
                "pp" => "PyPy",
                _ => return None,
            },
            _ => return None,
        };
        Some(value.to_owned())
    }

    /// Whether it takes a wheel with these tags.
    pub fn accepts(&self, tags: &WheelTags) -> bool {
        for platform in &tags.platforms {
            if let Some(own) = &self.platform
                && !own.accepts(platform)
            {
                continue;
            }
            for python in &tags.pythons {
                let mut abis = tags.abis.iter();
                if abis.any(|abi| self.runs(python, abi, platform == "any")) {
                    return true;
                }
            }
        }
        false
    }

    /// The order of `sys_tags` does not matter here, only what is among them.
    fn runs(&self, python: &str, abi: &str, is_anywhere: bool) -> bool {
        let digits = python.trim_start_matches(|c: char| !c.is_ascii_digit());
        let name = python.strip_suffix(digits).unwrap_or_default();
        let implementation = self.implementation.as_deref();
        let Some(own) = self.python else {
            let is_named = name == "py" || implementation.is_none_or(|own| own == name);
            return is_named && (abi == "none" || self.takes_abi(abi, true));
        };
        let Some((major, minor)) = release_of(digits) else {
            return false;
        };
        if major != own.major || minor > own.minor {
            return false;
        }
        let is_own_release = digits == own.digits();
        match (name, implementation.unwrap_or("cp"), abi) {
            ("py", _, _) => abi == "none",
            ("cp", "cp", "none") | ("pp", "pp", "none") => is_own_release,
            ("cp", "cp", "abi3") => self.takes_abi3() && !is_anywhere,
            ("cp", "cp", _) => {
                let with_m = (own.major, own.minor) <= ABI_WITH_M_LAST;
                let by_default =
                    abi == format!("cp{digits}") || (with_m && abi == format!("cp{digits}m"));
                is_own_release && !is_anywhere && self.takes_abi(abi, by_default)
            }
            ("pp", "pp", _) => {
                let by_default = abi.starts_with(&format!("pypy{digits}_"));
                is_own_release && !is_anywhere && self.takes_abi(abi, by_default)
            }
            _ => false,
        }
    }

    fn takes_abi(&self, abi: &str, by_default: bool) -> bool {
        if self.abis.is_empty() {
            return by_default;
        }
        self.abis.iter().any(|own| own == abi)
    }

    /// The stable ABI is every build's but that of a free-threaded one.
    fn takes_abi3(&self) -> bool {
        let mut abis = self.abis.iter();
        self.abis.is_empty() || abis.any(|abi| abi == "abi3" || !abi.ends_with('t'))
    }
}

/// As it was asked for: `3.12 manylinux_2_28_x86_64`.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        words.extend(self.python.map(|python| python.to_string()));
        words.extend(self.implementation.clone());
        words.extend(self.abis.clone());
        words.extend(self.platform.as_ref().map(|own| own.tag().to_owned()));
        if words.is_empty() {
            return f.write_str("every machine");
        }
        f.write_str(&words.join(" "))
    }
}

impl fmt::Display for Python {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        match self.micro {
            Some(micro) => write!(f, ".{micro}"),
            None => Ok(()),
        }
    }
}

/// `312` → 3, 12; `3` → 3 and the oldest.
fn release_of(digits: &str) -> Option<(u64, u64)> {
    let (major, minor) = digits.split_at_checked(1)?;
    let minor = if minor.is_empty() {
        0
    } else {
        minor.parse().ok()?
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
        let tags = WheelTags::of(&format!("a-1-{tags}.whl")).unwrap();
        target.machines().iter().any(|one| one.accepts(&tags))
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
        assert!(all.machines()[0].may_be(">=9"));
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
            assert_eq!(python.machines()[0].may_be(text), expected, "{text}");
        }
        assert!(!target("3.11.3", "", None, "").machines()[0].may_be(">=3.11.4"));
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
        let names: Vec<String> = two.machines().iter().map(Machine::to_string).collect();
        assert_eq!(names.len(), 6);
        assert_eq!(names[0], "3.11 manylinux_2_17_x86_64");
        assert_eq!(names[5], "3.12.4 macosx_14_0_arm64");
        assert_eq!(
            TargetEnvironment::default().machines(),
            [Machine::default()]
        );
        assert_eq!(Machine::default().to_string(), "every machine");
        assert_eq!(
            target("3.13", "musllinux_1_2_aarch64", Some("cp"), "cp313t").machines()[0].to_string(),
            "3.13 cp cp313t musllinux_1_2_aarch64"
        );
        let pypy = Marker::parse("implementation_name == 'pypy'").unwrap();
        for machine in two.machines() {
            assert!(!machine.rules_out(&pypy) && machine.with_implementation().rules_out(&pypy));
        }
        let unsaid = target("", "win_amd64", None, "");
        assert!(!unsaid.machines()[0].with_implementation().rules_out(&pypy));
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
