//! Tests of markers.

use proptest::prelude::*;

use super::*;

fn of(text: &str, known: &[(MarkerVariable, &[&str])]) -> Option<Truth> {
    let environment = |variable| {
        let (_, values) = known.iter().find(|(name, _)| *name == variable)?;
        Some(values.iter().map(|value| (*value).to_owned()).collect())
    };
    Marker::parse(text)
        .ok()
        .map(|marker| marker.truth(&environment))
}

const LINUX: [(MarkerVariable, &[&str]); 3] = [
    (MarkerVariable::SysPlatform, &["linux"]),
    (MarkerVariable::PythonVersion, &["3.12"]),
    (MarkerVariable::PlatformMachine, &["x86_64", "aarch64"]),
];

#[test]
fn a_condition_is_no_only_where_it_is_certain() {
    for (text, truth) in [
        ("sys_platform == 'win32'", Truth::No),
        ("'win32' == sys_platform", Truth::No),
        ("sys_platform != \"win32\"", Truth::Yes),
        ("'lin' in sys_platform", Truth::Yes),
        ("sys_platform in 'linux darwin'", Truth::Yes),
        ("sys_platform not in 'linux darwin'", Truth::No),
        ("sys.platform == 'linux'", Truth::Yes),
        ("platform_machine == 'x86_64'", Truth::Unknown),
        ("platform_machine == 's390x'", Truth::No),
        ("os_name == 'nt'", Truth::Unknown),
        ("os_name == 'nt' and sys_platform == 'win32'", Truth::No),
        ("os_name == 'nt' or sys_platform == 'linux'", Truth::Yes),
        ("extra == 'socks'", Truth::Unknown),
        ("'dev' in dependency_groups", Truth::Unknown),
        (
            "sys_platform == 'win32' and (extra == 'a' or extra == 'b')",
            Truth::No,
        ),
        (
            "sys_platform == 'linux' or sys_platform == 'win32' and os_name == 'nt'",
            Truth::Yes,
        ),
        (
            "(sys_platform == 'linux' or sys_platform == 'win32') and os_name == 'nt'",
            Truth::Unknown,
        ),
        ("'a' == 'b'", Truth::Unknown),
        ("sys_platform == os_name", Truth::Unknown),
    ] {
        assert_eq!(of(text, &LINUX), Some(truth), "{text}");
    }
}

#[test]
fn versions_are_ordered_as_versions() {
    for (text, truth) in [
        ("python_version < '3.9'", Truth::No),
        ("python_version >= '3.9'", Truth::Yes),
        ("'3.9' <= python_version", Truth::Yes),
        ("python_version ~= '3.8'", Truth::Yes),
        ("python_version == '3.*'", Truth::Yes),
        ("python_version in '3.8 3.12'", Truth::Yes),
        ("python_version in '3.8, 3.9'", Truth::No),
        ("python_full_version < '3.11'", Truth::No),
        ("python_full_version >= '3.12'", Truth::Yes),
        ("python_full_version < '3.12.4'", Truth::Unknown),
        ("python_full_version == '3.12.4'", Truth::Unknown),
        ("python_full_version != '3.12.4'", Truth::Unknown),
        ("python_full_version == '3.12.*'", Truth::Yes),
        ("python_full_version == '3.12.4.*'", Truth::Unknown),
        ("python_full_version == '3.13.*'", Truth::No),
        ("python_full_version != '3.13.*'", Truth::Yes),
        ("python_full_version == '3.11.2'", Truth::No),
        ("implementation_version >= '3.9'", Truth::Unknown),
    ] {
        assert_eq!(of(text, &LINUX), Some(truth), "{text}");
    }
    let two = [(MarkerVariable::PythonVersion, &["3.8", "3.12"][..])];
    assert_eq!(
        of("python_full_version < '3.9'", &two),
        Some(Truth::Unknown)
    );
    assert_eq!(of("python_full_version < '3.8'", &two), Some(Truth::No));
    let kernel = [(MarkerVariable::PlatformRelease, &["6.1.0-generic"][..])];
    assert_eq!(
        of("platform_release >= '5'", &kernel),
        Some(Truth::Yes),
        "as text, for it is no version"
    );
}

#[test]
fn what_is_no_marker_is_refused_with_its_place() {
    for (text, at) in [
        ("", 0),
        ("python == '3'", 0),
        ("os_name", 7),
        ("os_name = 'nt'", 8),
        ("os_name == 'nt", 11),
        ("os_name == 'nt' os_name", 16),
        ("(os_name == 'nt'", 16),
        ("os_name not 'nt'", 12),
    ] {
        let told = Marker::parse(text).err();
        assert_eq!(told.as_ref().map(|why| why.at), Some(at), "{text}");
        assert!(
            told.is_some_and(|why| why.to_string().contains(text)),
            "{text}"
        );
    }
    let deep = format!("{}os_name == 'nt'{}", "(".repeat(5000), ")".repeat(5000));
    assert!(Marker::parse(&deep).is_err());
}

#[test]
fn conditions_are_put_together() {
    let marker = |text: &str| Marker::parse(text).ok();
    let (windows, old) = (marker("os_name == 'nt'"), marker("python_version < '3.9'"));
    assert!(windows.is_some() && old.is_some());
    assert_eq!(Marker::any([windows.clone(), None]), None);
    assert_eq!(Marker::all([windows.clone(), None]), windows);
    assert_eq!(Marker::any([windows.clone(), windows.clone()]), windows);
    let both = Marker::any([windows, Marker::all([old, marker("extra == 'a'")])]);
    assert_eq!(
        both.map(|both| both.to_string()).as_deref(),
        Some("os_name == 'nt' or (python_version < '3.9' and extra == 'a')")
    );
}

const WORDS: &str =
    "(os_name|python_version|extra|'3.8'|\"nt\"|and|or|not|in|==|<|>=|~=|\\(|\\)| ){0,12}";

proptest! {
    #[test]
    fn no_text_makes_it_stumble(text in "\\PC{0,60}") {
        let _ = Marker::parse(&text);
    }

    #[test]
    fn what_is_written_is_read_as_the_same(text in WORDS) {
        if let Ok(marker) = Marker::parse(&text) {
            let written = marker.to_string();
            let again = Marker::parse(&written);
            prop_assert_eq!(again.map(|again| again.to_string()), Ok(written));
        }
    }

    #[test]
    fn to_know_more_never_turns_a_certain_answer(text in WORDS, more in prop::collection::vec("(3.8|3.12|nt|posix)", 1..3)) {
        let Ok(marker) = Marker::parse(&text) else { return Ok(()) };
        let nothing = marker.truth(&|_| None);
        let known = marker.truth(&|_| Some(more.clone()));
        prop_assert!(nothing == Truth::Unknown || nothing == known);
        let one = marker.truth(&|_| more.first().cloned().map(|value| vec![value]));
        prop_assert!(known == Truth::Unknown || known == one);
    }
}
