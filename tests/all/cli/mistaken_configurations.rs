//! Forty configurations with a mistake in them, and what `larder check-config` says of each: which
//! key, on which line, and what to write in its place.
//!
//! What it said is written to `target/mistaken-configurations.md`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::larder::binary;

/// A file with a mistake, the key that is named, and a part of what is said to do.
struct Mistake(&'static str, &'static str, &'static str);

const MISTAKES: &[Mistake] = &[
    // Keys that there are not.
    Mistake(
        "[gitlab]\nurll = 'https://gitlab.example'",
        "gitlab.urll",
        "did you mean gitlab.url?",
    ),
    Mistake("lisen = '127.0.0.1:3141'", "lisen", "did you mean listen?"),
    Mistake(
        "cachesize = '3GiB'",
        "cachesize",
        "did you mean cache_size?",
    ),
    Mistake(
        "[gitlabb]\nurl = 'https://gitlab.example'",
        "gitlabb",
        "did you mean gitlab?",
    ),
    Mistake(
        "[mirror.pypi]\nurl = 'https://index.example/simple/'",
        "mirror",
        "did you mean mirrors?",
    ),
    Mistake(
        "url = 'https://gitlab.example'",
        "url",
        "did you mean gitlab.url?",
    ),
    Mistake(
        "token_file = '/etc/token'",
        "token_file",
        "did you mean gitlab.token_file?",
    ),
    Mistake(
        "[mirrors.pypi]\nurl = 'https://index.example/simple/'\nfile_url = []",
        "mirrors.pypi.file_url",
        "did you mean mirrors.pypi.file_urls?",
    ),
    Mistake(
        "[index]\nstale_if_eror = '1d'",
        "index.stale_if_eror",
        "did you mean index.stale_if_error?",
    ),
    Mistake("frobnicate = true", "frobnicate", "there is no such key"),
    // Keys that have another name now.
    Mistake(
        "[index]\nfresh_for = '30s'",
        "index.fresh_for",
        "is called index.ttl now",
    ),
    Mistake(
        "[access]\ngrant_for = '60s'",
        "access.grant_for",
        "is called auth.cache_ttl now",
    ),
    Mistake(
        "[names]\nprivate = ['a-*']",
        "names.private",
        "is called private_packages now",
    ),
    // Values of the wrong kind.
    Mistake("offline = 'yes'", "offline", "true or false"),
    Mistake(
        "[gitlab]\nretries = 'many'",
        "gitlab.retries",
        "a whole number, 0 or more",
    ),
    Mistake(
        "[gitlab]\nretries = -1",
        "gitlab.retries",
        "a whole number, 0 or more",
    ),
    Mistake(
        "[gitlab]\nexternal_urls = 'https://gitlab.example'",
        "gitlab.external_urls",
        "a list",
    ),
    Mistake(
        "gitlab = 'https://gitlab.example'",
        "gitlab",
        "write [gitlab]",
    ),
    Mistake("public_url = 7", "public_url", "a text in quotes"),
    // Words that are none.
    Mistake(
        "[log]\nformat = 'jsn'",
        "log.format",
        "did you mean \"json\"?",
    ),
    Mistake(
        "[log]\nlevel = 'verbose'",
        "log.level",
        "off, error, warn, info, debug",
    ),
    Mistake(
        "[auth]\noffline = 'opne'",
        "auth.offline",
        "did you mean \"open\"?",
    ),
    Mistake(
        "[mirrors.pypi]\nurl = 'https://index.example/simple/'\nunhashed_files = 'keep'",
        "mirrors.pypi.unhashed_files",
        "\"relay\" or \"store\"",
    ),
    Mistake(
        "[gitlab]\nforward = 'pypi'",
        "gitlab.forward",
        "[mirrors.pypi]",
    ),
    // Amounts.
    Mistake("cache_size = '20'", "cache_size", "needs its unit"),
    Mistake(
        "cache_size = '20 parsecs'",
        "cache_size",
        "such as \"64KiB\" or \"20GiB\"",
    ),
    Mistake("cache_size = 20", "cache_size", "a size with its unit"),
    Mistake(
        "[index]\nttl = '30 parsecs'",
        "index.ttl",
        "such as \"30s\" or \"7d\"",
    ),
    Mistake("[index]\nttl = 30", "index.ttl", "a duration with its unit"),
    Mistake("[auth]\ncache_ttl = '1h'", "auth.cache_ttl", "is more than"),
    Mistake(
        "[index]\nread_ahead = 65",
        "index.read_ahead",
        "more than 64",
    ),
    // Addresses.
    Mistake(
        "[gitlab]\nurl = 'gitlab.example.com'",
        "gitlab.url",
        "https://",
    ),
    Mistake(
        "[gitlab]\nurl = 'https://gitlab.example.com/api/v4'",
        "gitlab.url",
        "without /api/v4",
    ),
    Mistake("listen = '3141'", "listen", "127.0.0.1:3141"),
    Mistake("listen = 'unix:larder.sock'", "listen", "must be absolute"),
    Mistake(
        "[mirrors.PyPI]\nurl = 'https://index.example/simple/'",
        "mirrors.PyPI",
        "a to z, 0 to 9 and -",
    ),
    Mistake("[mirrors.pypi]\nurl = ''", "mirrors.pypi.url", "https://"),
    // Keys that do not go together.
    Mistake(
        "[tls]\nlisten = '127.0.0.1:3142'",
        "tls.certificate",
        "set this and tls.key",
    ),
    Mistake(
        "listen = '0.0.0.0:3141'\n[gitlab]\ntoken_file = '/etc/token'",
        "gitlab.token_file",
        "trust_network = true",
    ),
    Mistake(
        "[limits]\nconnections = 0",
        "limits.connections",
        "would refuse every connection",
    ),
    // Files.
    Mistake(
        "[gitlab]\nca_file = '/nonexistent/ca.pem'",
        "gitlab.ca_file",
        "/nonexistent/ca.pem",
    ),
    Mistake(
        "[auth]\noffline_users = '/nonexistent/users'",
        "auth.offline_users",
        "/nonexistent/users",
    ),
    // No TOML.
    Mistake(
        "[gitlab]\nurl = https://gitlab.example",
        "line 2, column 7",
        "this is not TOML",
    ),
];

/// Words of the libraries that read a configuration, which tell its author nothing.
const JARGON: &[&str] = &[
    "u32",
    "u64",
    "usize",
    "invalid type",
    "invalid value",
    "unknown field",
    "unknown variant",
    "expected one of",
    "for key",
    "map",
    "struct",
    "serde",
    "figment",
];

fn write(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("larder.toml");
    std::fs::write(&path, text).expect("a writable folder");
    path
}

/// The exit code of `check-config` and what it says, the path of the file left out.
fn checked(text: &str, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = write(folder.path(), text);
    let mut command = Command::new(binary());
    command.args(["check-config", "--config"]).arg(&path);
    command.env_clear().env("HOME", folder.path());
    let output = command.envs(environment.iter().copied()).output();
    let output = output.expect("the binary runs");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    let shown = said.replace(&*path.to_string_lossy(), "larder.toml");
    (output.status.code(), shown)
}

#[test]
fn each_of_forty_mistakes_is_named_with_what_to_do() {
    assert!(MISTAKES.len() >= 40);
    let mut table = "| the file says | `check-config` says |\n| --- | --- |\n".to_owned();
    for Mistake(text, key, advice) in MISTAKES {
        let (code, said) = checked(text, &[]);
        assert_eq!(code, Some(78), "{text}: {said}");
        let faults: Vec<&str> = said.lines().skip(1).collect();
        let [fault] = faults.as_slice() else {
            panic!("not one fault for one mistake: {text}: {said}");
        };
        let begins = fault.starts_with(&format!("{key}: "))
            || fault.contains(&format!("larder.toml: {key}: "));
        assert!(begins, "{text} does not name {key}: {said}");
        assert!(
            fault.contains(advice),
            "{text} does not say {advice:?}: {said}"
        );
        for word in JARGON {
            assert!(!fault.contains(word), "{text}: {word:?} in {said}");
        }
        let shown = |text: &str| text.replace('|', "\\|");
        let file = shown(&text.replace('\n', "` `"));
        let _ = writeln!(table, "| `{file}` | {} |", shown(fault));
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    std::fs::write(target.join("mistaken-configurations.md"), table).expect("a writable target");
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_line() {
    let text = "lisen = 'x'\ncache_size = '20'\n[gitlab]\nurl = 'gitlab.example'\nretries = 'many'\n\
                ca_file = '/nonexistent/ca.pem'\n[index]\nfresh_for = '1s'\n[log]\nformat = 'jsn'\n\
                [auth]\noffline_users = '/nonexistent/users'\n";
    let (code, said) = checked(text, &[("LARDER_LISTN", "127.0.0.1:1")]);
    assert_eq!(code, Some(78), "{said}");
    for (key, line) in [
        ("lisen", 1),
        ("cache_size", 2),
        ("gitlab.url", 4),
        ("gitlab.retries", 5),
        ("index.fresh_for", 8),
        ("log.format", 10),
    ] {
        let fault = said
            .lines()
            .find(|fault| fault.starts_with(&format!("{key}: ")));
        let fault = fault.unwrap_or_else(|| panic!("nothing of {key}: {said}"));
        assert!(
            fault.ends_with(&format!("(in larder.toml:{line})")),
            "{fault}"
        );
    }
    for part in ["LARDER_LISTN: ", "auth.offline_users: "] {
        assert_eq!(said.matches(part).count(), 1, "{part}: {said}");
    }
    // A good one says nothing of the kind.
    let (code, said) = checked("[gitlab]\nurl = 'https://gitlab.example'\n", &[]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

/// The daemon says the same, and so does a reload.
#[test]
fn serve_tells_all_of_them_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = write(folder.path(), "lisen = 'x'\n[log]\nformat = 'jsn'\n");
    let output = Command::new(binary())
        .arg("serve")
        .arg("--config")
        .arg(&path)
        .output();
    let output = output.expect("the binary runs");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(
        said.contains("lisen: ") && said.contains("log.format: "),
        "{said}"
    );
}

/// A password in the wrong place is not shown.
#[test]
fn what_may_be_a_secret_is_not_repeated() {
    for text in [
        "offline = 's3cret'",
        "[gitlab]\nretries = 's3cret'",
        "gitlab = 's3cret'",
        "[gitlab]\nurl = 'https://u:s3cret@gitlab.example/api/v4'",
        "[gitlab]\nexternal_urls = 's3cret'",
    ] {
        let (code, said) = checked(text, &[]);
        assert!(
            code == Some(78) && !said.contains("s3cret"),
            "{text}: {said}"
        );
    }
}
