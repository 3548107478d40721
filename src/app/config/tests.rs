//! Of the sections together; values that mean nothing are tested where they are read.

use std::io::Write;

use super::dotted::flatten;
use super::*;

fn load(toml: &str) -> Result<Config, ConfigError> {
    let mut file = tempfile::Builder::new()
        .prefix("larder")
        .suffix(".toml")
        .tempfile()
        .map_err(|_| ConfigError(vec![]))?;
    file.write_all(toml.as_bytes())
        .map_err(|_| ConfigError(vec![]))?;
    Config::load(Some(file.path()), &Overrides::default())
}

pub(super) fn fault(toml: &str) -> String {
    load(toml)
        .err()
        .map(|why| why.to_string())
        .unwrap_or_default()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads the example")]
fn the_example_is_the_default() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml");
    let mut loaded = Config::load(Some(Path::new(example)), &Overrides::default());
    if let Ok(config) = &mut loaded {
        // Where each value was written is not among them.
        config.provenance = Provenance::default();
    }
    assert_eq!(loaded, Ok(Config::default()));
    let text = std::fs::read_to_string(example).unwrap_or_default();
    let mut keys = Vec::new();
    flatten("", &serde_json::json!(Config::default()), &mut keys);
    for (key, _) in keys {
        let last = key.rsplit('.').next().unwrap_or_default();
        let list_of_sections = format!("# [[{key}]]");
        let named = text.lines().any(|line| {
            let name = line.split('=').next();
            line == list_of_sections || name.is_some_and(|name| name.trim() == last)
        });
        assert!(named, "config.example.toml does not mention {key}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads the example")]
fn the_examples_mirror_is_the_default() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml"));
    let text = text.unwrap_or_default();
    let lines = text.lines().skip_while(|line| *line != "# [mirrors.pypi]");
    let section: String = lines
        .map_while(|line| line.strip_prefix("# "))
        .flat_map(|line| [line, "\n"])
        .collect();
    let url = "https://index.example/simple/".to_owned();
    let expected = MirrorConfig {
        url,
        ..MirrorConfig::default()
    };
    assert_eq!(
        load(&section).map(|config| config.mirrors.get("pypi").cloned()),
        Ok(Some(expected))
    );
    let mut keys = Vec::new();
    flatten("", &serde_json::json!(MirrorConfig::default()), &mut keys);
    for (key, _) in keys {
        assert!(
            section
                .lines()
                .any(|line| line.starts_with(&format!("{key} ="))),
            "{key}"
        );
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads the example")]
fn the_examples_exception_is_one() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml"));
    let text = text.unwrap_or_default();
    let lines = text.lines().skip_while(|line| *line != "# [[exceptions]]");
    let section: String = lines
        .map_while(|line| line.strip_prefix("# "))
        .flat_map(|line| [line, "\n"])
        .collect();
    let exceptions = load(&section).map(|config| config.exceptions().len());
    assert_eq!(exceptions, Ok(1), "{section}");
}

#[test]
fn a_bad_exception_says_which_and_what() {
    let good = "package = 'a'\nversion = '==1'\nuntil = '2027-01-31'\nreason = 'x'\n";
    let with = |line: &str| {
        let key = line.split('=').next().unwrap_or_default();
        let kept: Vec<&str> = good
            .lines()
            .filter(|other| !other.starts_with(key))
            .collect();
        fault(&format!(
            "[[exceptions]]\n{good}[[exceptions]]\n{}\n{line}\n",
            kept.join("\n")
        ))
    };
    assert_eq!(with("reason = 'y'"), "");
    for (line, words) in [
        ("package = ''", "number 2 (): package is missing"),
        ("package = '-'", "no name of a project"),
        ("version = '1'", "write \"==2.6.1\""),
        ("until = 'soon'", "neither a day"),
        ("until = ''", "until is missing"),
        ("reason = ''", "reason is missing"),
    ] {
        let why = with(line);
        assert!(
            why.starts_with("exceptions: number 2") && why.contains(words),
            "{line}: {why}"
        );
    }
    for line in ["untill = '2027-01-31'", "reason = 7"] {
        let why = with(line);
        assert!(why.starts_with("exceptions: "), "{line}: {why}");
    }
    assert!(fault("exceptions = 'x'\n").starts_with("exceptions: "));
}

#[test]
fn a_minimum_age_needs_dates() {
    let with = |lines: &str| fault(&format!("{lines}[gitlab]\nmin_age = '7d'\n"));
    assert_eq!(with(""), "");
    let off = "[index]\nupload_dates = false\n";
    assert!(with(off).starts_with("gitlab.min_age: index.upload_dates"));
    assert_eq!(with(&format!("offline = true\n{off}")), "");
    let shown = fault(&format!(
        "{off}[gitlab]\nmin_age = '7d'\nundated = 'first-seen'\n"
    ));
    assert_eq!(shown, "");
    let word = fault("[gitlab]\nundated = 'hidden'\n");
    assert!(word.contains("gitlab.undated"), "{word}");
}

#[test]
fn faults_name_the_key_the_value_and_the_file() {
    let unknown = fault("[gitlab]\nurll = 'x'\n");
    assert!(
        unknown.contains("urll") && unknown.contains("larder") && unknown.contains(".toml"),
        "{unknown}"
    );
    let unit = fault("[index]\nttl = '30 parsecs'\n");
    assert!(
        unit.contains("index.ttl") && unit.contains("30 parsecs") && unit.contains(".toml"),
        "{unit}"
    );
    let url = fault("[gitlab]\nurl = 'gitlab.example.com'\n");
    assert!(
        url.contains("gitlab.url")
            && url.contains("\"gitlab.example.com\"")
            && url.contains(".toml"),
        "{url}"
    );
    assert!(fault("[auth]\ncache_ttl = '10m'\n").contains("auth.cache_ttl"));
    assert!(
        fault("[gitlab]\nobject_storage_origins = ['x']\n")
            .contains("gitlab.object_storage_origins")
    );
}

#[test]
fn a_service_token_stays_on_loopback_unless_the_network_is_trusted() {
    let with = |listen: &str, trust: bool| {
        fault(&format!(
            "listen = '{listen}'\ntrust_network = {trust}\n[gitlab]\ntoken_file = '/etc/token'\n"
        ))
    };
    assert!(with("0.0.0.0:3141", false).contains("trust_network"));
    assert!(with("[::]:3141", false).contains("trust_network"));
    for listen in ["127.0.0.1:3141", "[::1]:3141", "localhost:3141"] {
        assert_eq!(with(listen, false), "");
    }
    assert_eq!(with("0.0.0.0:3141", true), "");
}

#[test]
fn offline_open_means_open_and_stays_on_loopback() {
    let with = |listen: &str, top: &str, auth: &str| {
        fault(&format!(
            "listen = '{listen}'\n{top}\n[auth]\noffline = 'open'\n{auth}"
        ))
    };
    assert!(with("0.0.0.0:3141", "offline = true", "").starts_with("auth.offline: "));
    assert_eq!(
        with("0.0.0.0:3141", "offline = true\ntrust_network = true", ""),
        ""
    );
    assert_eq!(with("0.0.0.0:3141", "", ""), "", "it waits for offline");
    assert_eq!(with("127.0.0.1:3141", "offline = true", ""), "");
    assert!(with("127.0.0.1:3141", "", "offline_users = '/users'").contains("offline_users"));
    assert!(fault("[auth]\noffline = 'maybe'\n").contains("auth.offline"));
}

#[test]
fn a_parent_stands_in_gitlabs_place_and_is_not_the_larder_itself() {
    let with = |text: &str| fault(&format!("parent = 'https://larder.site.example'\n{text}"));
    assert_eq!(with(""), "");
    assert_eq!(
        with(
            "[gitlab]\nca_file = '/ca.pem'\n[mirrors.own]\nurl = 'https://index.example/simple/'\n"
        ),
        ""
    );
    assert!(
        with("[gitlab]\nurl = 'https://gitlab.com'\n").starts_with("gitlab.url: parent is set")
    );
    let own =
        |listen: &str, parent: &str| fault(&format!("listen = '{listen}'\nparent = '{parent}'\n"));
    for (listen, parent) in [
        ("127.0.0.1:3141", "http://localhost:3141"),
        ("0.0.0.0:3141", "http://127.0.0.1:3141/"),
        ("larder.example:80", "http://larder.example"),
    ] {
        let why = own(listen, parent);
        assert!(
            why.starts_with("parent: ") && why.contains("itself"),
            "{why}"
        );
    }
    for (listen, parent) in [
        ("127.0.0.1:3141", "http://localhost:3142"),
        ("0.0.0.0:3141", "http://larder.site.example:3141"),
        ("unix:/run/larder.sock", "http://localhost:3141"),
    ] {
        assert_eq!(own(listen, parent), "", "{listen} {parent}");
    }
    for parent in [
        "larder.site.example",
        "https://u:p@larder.site.example",
        "ftp://larder.site.example",
    ] {
        let why = fault(&format!("parent = '{parent}'\n"));
        assert!(why.starts_with("parent: ") && !why.contains("u:p"), "{why}");
    }
}

#[test]
fn a_mirrors_faults_name_its_key() {
    let with = |name: &str, lines: &str| {
        fault(&format!(
            "[mirrors.{name}]\nurl = 'https://index.example/simple'\n{lines}"
        ))
    };
    assert_eq!(with("pypi", ""), "");
    for name in ["PyPI", "api", "pass", "deny", "-x"] {
        assert!(
            with(&format!("'{name}'"), "").starts_with(&format!("mirrors.{name}: ")),
            "{name}"
        );
    }
    for (lines, key) in [
        (
            "file_urls = ['https://u:p@files.example/']",
            "mirrors.pypi.file_urls: ",
        ),
        ("file_urls = ['files.example']", "mirrors.pypi.file_urls: "),
        (
            "redirects = ['https://files.example/x']",
            "mirrors.pypi.redirects: ",
        ),
        ("username = 'ann'", "mirrors.pypi.username: "),
        ("fresh = '1m'", "fresh"),
        ("min_age = '7'", "mirrors.pypi.min_age"),
        ("unhashed_files = 'keep'", "mirrors.pypi.unhashed_files"),
    ] {
        let why = with("pypi", lines);
        assert!(why.contains(key), "{lines}: {why}");
        assert!(!why.contains("u:p"), "{why}");
    }
    assert!(fault("[mirrors.pypi]\nurl = ''\n").starts_with("mirrors.pypi.url: "));
    let secret = "listen = '0.0.0.0:3141'\n[mirrors.pypi]\nurl = 'https://index.example/'\ntoken_file = '/t'\n";
    assert!(fault(secret).starts_with("mirrors.pypi.token_file: "));
    assert_eq!(fault(&format!("trust_network = true\n{secret}")), "");
}

#[test]
fn what_would_serve_nobody_is_a_fault() {
    for (toml, key) in [
        ("[limits]\nconnections = 0\n", "limits.connections: "),
        ("[limits]\nheader_size = '2MiB'\n", "limits.header_size: "),
        ("[log]\nlevel = 'verbose'\n", "log.level: "),
        ("cache_size = '20'\n", "cache_size: "),
        (
            "listen = '127.0.0.1:3141'\n[tls]\nlisten = '127.0.0.1:3141'\n",
            "tls.",
        ),
        (
            "[gitlab]\nurl = 'https://gitlab.example/api/v4/'\n",
            "gitlab.url: ",
        ),
    ] {
        let why = fault(toml);
        assert!(why.starts_with(key), "{toml}: {why}");
    }
}

#[test]
fn how_a_peer_is_reached_is_checked_in_either_section() {
    let mirror = "[mirrors.pypi]\nurl = 'https://index.example/simple'\n";
    for (line, key) in [
        ("proxy = 'http://u:p4ss@proxy.example:3128'", "proxy"),
        ("proxy = 'socks5://proxy.example:1080'", "proxy"),
        ("proxy_credential_file = '/f'", "proxy_credential_file"),
        ("client_key = '/f'", "client_key"),
        ("pin_sha256 = ['ab']", "pin_sha256"),
    ] {
        for (section, prefix) in [("[gitlab]\n", "gitlab"), (mirror, "mirrors.pypi")] {
            let why = fault(&format!("{section}{line}\n"));
            assert!(
                why.starts_with(&format!("{prefix}.{key}: ")),
                "{line}: {why}"
            );
            assert!(!why.contains("p4ss"), "{why}");
        }
    }
    let identity = "client_certificate = '/c'\nclient_key = '/k'\n";
    let open = "listen = '0.0.0.0:3141'\n";
    let why = fault(&format!("{open}{mirror}{identity}"));
    assert!(
        why.starts_with("mirrors.pypi.client_certificate: "),
        "{why}"
    );
    assert_eq!(
        fault(&format!("{open}[gitlab]\n{identity}")),
        "",
        "GitLab asks for each caller's token as well"
    );
}

#[test]
fn a_forward_leads_to_a_mirror_that_is_there() {
    let mirror = "[mirrors.pypi]\nurl = 'https://index.example/simple/'\n";
    assert_eq!(fault(&format!("[gitlab]\nforward = 'pypi'\n{mirror}")), "");
    let why = fault("[gitlab]\nforward = 'pypi'\n");
    assert!(
        why.contains("gitlab.forward") && why.contains("[mirrors.pypi]"),
        "{why}"
    );
    assert_eq!(fault("[gitlab]\nforward = 'deny'\n"), "");
}

#[test]
fn a_glob_that_matches_nothing_is_a_fault() {
    assert_eq!(fault("private_packages = ['acme-*', 'Acme?']\n"), "");
    for glob in ["", "acme/*"] {
        assert!(
            fault(&format!("private_packages = ['{glob}']\n")).contains("private_packages"),
            "{glob}"
        );
    }
}

#[test]
fn later_layers_win_and_say_so() {
    let overrides = Overrides {
        listen: vec!["127.0.0.1:1".to_owned()],
        ..Overrides::default()
    };
    let config = Config::load(None, &overrides).unwrap_or_default();
    let shown = config.values().unwrap_or_default();
    let lines: Vec<String> = shown.iter().map(ToString::to_string).collect();
    for line in [
        "listen = \"127.0.0.1:1\" (on the command line)",
        "index.ttl = \"30s\" (default)",
    ] {
        assert!(
            lines.iter().any(|shown| shown == line),
            "{line} in {lines:?}"
        );
    }
}

#[test]
fn a_view_names_mirrors_that_are_there_and_is_called_like_none() {
    let mirror = "[mirrors.pypi]\nurl = 'https://index.example/simple/'\n";
    let with = |top: &str, view: &str| fault(&format!("{top}\n{mirror}[[views]]\n{view}"));
    let good = "name = 'all'\nsources = ['groups/7', 'gitlab:projects/42', 'pypi']";
    assert_eq!(with("", good), "");
    for (view, says) in [
        ("name = 'pypi'\nsources = ['groups/7']", "is taken"),
        ("name = 'follow'\nsources = ['groups/7']", "is taken"),
        ("name = 'public-index'\nsources = ['groups/7']", "is taken"),
        ("name = 'All'\nsources = ['groups/7']", "is no name"),
        ("name = 'all'", "has no sources"),
        (
            "name = 'all'\nsources = ['pypi']\nprivate_only = true",
            "private_packages is empty",
        ),
        (
            "name = 'all'\nsources = ['other']",
            "there is no [mirrors.other]",
        ),
        (
            "name = 'all'\nsources = ['pypi', 'pypi']",
            "names pypi twice",
        ),
        (
            "name = 'all'\nsources = ['users/7']",
            "is none of groups/ID",
        ),
    ] {
        let found = with("", view);
        assert!(
            found.starts_with("views: ") && found.contains(says),
            "{view}: {found}"
        );
    }
    let twice = format!("{good}\n[[views]]\n{good}");
    assert!(with("", &twice).contains("is taken"));
    let parent = "parent = 'https://larder.site.example'";
    assert!(with(parent, good).contains("parent is set"));
}

#[test]
fn a_mirror_with_an_audience_need_not_stay_on_loopback() {
    let with = |top: &str, gitlab: &str, audience: &str| {
        fault(&format!(
            "listen = '0.0.0.0:3141'\n{top}\n[gitlab]\n{gitlab}\n[mirrors.pypi]\n\
             url = 'https://index.example/simple/'\ntoken_file = '/t'\naudience = '{audience}'\n"
        ))
    };
    assert_eq!(with("", "", "groups/acme/licensed"), "");
    assert!(with("", "", "").contains("trust_network"));
    for wrong in ["pypi", "users/1", "groups/"] {
        assert!(with("", "", wrong).starts_with("mirrors.pypi.audience: "));
    }
    let token = with("trust_network = true", "token_file = '/t'", "groups/7");
    assert!(token.contains("every caller would be let in"), "{token}");
    let parent = with("parent = 'https://larder.site.example'", "", "groups/7");
    assert!(
        parent.contains("mirrors.pypi.audience: parent is set"),
        "{parent}"
    );
    let alone = fault("[gitlab]\nforward_not_found = true\n");
    assert!(alone.starts_with("gitlab.forward_not_found: "), "{alone}");
}
