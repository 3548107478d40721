//! `larder doctor`: what is well is called well, and each fault is named together with what to do.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Act, Distribution, GitLab, Kind, Larder, PublicIndex, Storage, path, public_index, token,
};

/// A folder with a configuration that no daemon runs by.
struct Bench(TempDir);

impl Bench {
    fn new(config: &str) -> Self {
        let bench = Self(TempDir::with_prefix("larder-doctor-").expect("a temporary folder"));
        std::fs::write(
            bench.config(),
            format!(
                "cache_dir = {:?}\nlisten = \"127.0.0.1:0\"\n{config}",
                bench.cache()
            ),
        )
        .expect("a writable folder");
        bench
    }

    fn in_front_of(gitlab: &GitLab, more: &str) -> Self {
        let (url, store) = (gitlab.url(), gitlab.store_url());
        Self::new(&format!(
            "cache_size = \"1MiB\"\n[gitlab]\nurl = {url:?}\nobject_storage_origins = [{store:?}]\n{more}"
        ))
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("larder.toml")
    }

    fn cache(&self) -> PathBuf {
        self.0.path().join("cache")
    }

    fn token(&self, secret: &str) -> String {
        let file = self.0.path().join(format!("{}.token", secret.len()));
        std::fs::write(&file, secret).expect("a writable folder");
        file.to_string_lossy().into_owned()
    }

    fn examine(&self, more: &[&str]) -> Findings {
        let mut command = Command::new(crate::support::larder::binary());
        command
            .env_clear()
            .args(["doctor", "--json", "--config"])
            .arg(self.config())
            .args(more);
        Findings::of(
            &command
                .stdin(Stdio::null())
                .output()
                .expect("the binary runs"),
        )
    }
}

struct Findings {
    code: Option<i32>,
    all: Vec<Value>,
}

impl Findings {
    fn of(output: &Output) -> Self {
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        for secret in [token::READER, token::STRANGER, "Signature", "panicked"] {
            assert!(
                !out.contains(secret) && !err.contains(secret),
                "{secret} in {out:.600} {err:.600}"
            );
        }
        let all = out
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"));
        Self {
            code: output.status.code(),
            all: all.collect(),
        }
    }

    #[track_caller]
    fn says(&self, check: &str, verdict: &str, part: &str) {
        let found = self.all.iter().find(|finding| finding["check"] == check);
        let found =
            found.unwrap_or_else(|| panic!("no {check} in {:.1500}", format!("{:?}", self.all)));
        let text = found.to_string();
        assert_eq!(found["verdict"], verdict, "{text:.600}");
        assert!(text.contains(part), "no {part:?} in {text:.600}");
        assert_eq!(found["advice"].is_string(), verdict != "ok", "{text:.600}");
    }

    fn has(&self, check: &str) -> bool {
        self.all.iter().any(|finding| finding["check"] == check)
    }
}

#[test]
fn what_is_well_is_called_well_and_nothing_is_left_behind() {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    gitlab.publish(42, Distribution::new("big", "1.0").wheel());
    let index = PublicIndex::start();
    index.publish(Distribution::new("small", "1.0").wheel());
    let mirror = format!(
        "[mirrors.pypi]\nurl = {:?}\nfile_urls = [{:?}]\n",
        index.url(),
        index.files_prefix()
    );
    let bench = Bench::in_front_of(&gitlab, &mirror);
    let reader = bench.token(token::READER);
    let found = bench.examine(&["--project", "42", "--token-file", &reader]);
    assert_eq!(found.code, Some(0), "{:?}", found.all);
    for (check, part) in [
        ("configuration", "read"),
        ("cache folder", "not there yet"),
        ("open files", "limits.connections"),
        ("daemon", "none runs"),
        ("gitlab: name", "127.0.0.1"),
        ("gitlab: connection", "127.0.0.1"),
        ("gitlab: version", "17.5.0-ee"),
        ("gitlab: clock", "0 s"),
        ("gitlab: credential", "accepted"),
        ("gitlab: upload dates", "to this token"),
        ("gitlab: files", "by a signed link to http://127.0.0.1"),
        ("mirrors.pypi: index", "API 1."),
        ("mirrors.pypi: files", "all 1"),
        ("mirrors.pypi: ranges", "answered"),
    ] {
        let of = |finding: &&Value| finding["check"] == check;
        if check == "gitlab: clock" {
            // A second may turn over in between.
            assert_eq!(
                found.all.iter().find(of).map(|finding| &finding["verdict"]),
                Some(&"ok".into())
            );
            continue;
        }
        found.says(check, "ok", part);
    }
    assert!(
        found
            .all
            .iter()
            .any(|finding| finding["check"] == "disk speed")
    );
    assert!(!bench.cache().exists(), "it only looks");
    index.assert_never_told(&[token::READER]);
    gitlab.log().assert_nothing_unexpected();

    let mut plain = Command::new(crate::support::larder::binary());
    plain
        .env_clear()
        .args(["doctor", "--config"])
        .arg(bench.config());
    let text =
        String::from_utf8_lossy(&plain.output().expect("the binary runs").stdout).into_owned();
    assert!(
        text.contains("ok       configuration: ") && text.contains("gitlab: version"),
        "{text:.800}"
    );
}

#[test]
fn a_refused_credential_and_a_hidden_project_are_told_apart() {
    let gitlab = GitLab::start();
    gitlab.publish(42, Distribution::new("big", "1.0").wheel());
    let bench = Bench::in_front_of(&gitlab, "");
    let nobody = bench.examine(&["--project", "projects/42"]);
    assert_eq!(nobody.code, Some(1));
    nobody.says("gitlab: version", "ok", "--token-file");
    nobody.says("gitlab: credential", "problem", "--token-file");
    let stranger = bench.token(token::STRANGER);
    let hidden = bench.examine(&["--project", "42", "--token-file", &stranger]);
    hidden.says("gitlab: version", "ok", "17.5.0-ee");
    hidden.says("gitlab: credential", "problem", "404");
    gitlab.revoke(token::READER);
    let reader = bench.token(token::READER);
    let revoked = bench.examine(&["--project", "42", "--token-file", &reader]);
    revoked.says("gitlab: credential", "problem", "revoked");
    assert_eq!(bench.examine(&["--project", "a b"]).code, Some(2));
    assert!(
        !bench.examine(&[]).has("gitlab: credential"),
        "without a project there is nothing to try it on"
    );
}

#[test]
fn a_token_that_is_told_no_upload_dates_is_said() {
    let gitlab = GitLab::start();
    let check = "gitlab: upload dates";
    let examine = |lines: &str| {
        let bench = Bench::in_front_of(&gitlab, lines);
        let deploy = bench.token(token::DEPLOY);
        let user = "gitlab+deploy-token-1";
        bench.examine(&["--project", "42", "--user", user, "--token-file", &deploy])
    };
    examine("").says(check, "warning", "gitlab.dates_token_file");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("token");
    let line = format!("dates_token_file = {file:?}");
    std::fs::write(&file, token::READER).expect("a writable folder");
    examine(&line).says(check, "ok", "gitlab.dates_token_file");
    std::fs::write(&file, token::STRANGER).expect("a writable folder");
    examine(&line).says(check, "problem", "404");
    let off = examine("[index]\nupload_dates = false");
    assert!(!off.has(check), "no client is given any");
}

#[test]
fn a_host_without_an_address_and_a_port_without_a_listener_are_told_apart() {
    // Longer than a name may be: refused by the resolver itself, without asking anybody.
    let nameless = Bench::new(&format!(
        "[gitlab]\nurl = \"http://{}.invalid\"\n",
        "a".repeat(64)
    ));
    let found = nameless.examine(&[]);
    assert_eq!(found.code, Some(1));
    found.says("gitlab: name", "problem", "DNS");
    assert!(!found.has("gitlab: connection"));
    let gitlab = GitLab::start();
    gitlab.stop();
    let deaf = Bench::in_front_of(&gitlab, "").examine(&[]);
    assert_eq!(deaf.code, Some(1));
    deaf.says("gitlab: name", "ok", "127.0.0.1");
    deaf.says("gitlab: connection", "problem", "refused");
    assert!(!deaf.has("gitlab: version"));
}

#[test]
fn a_clock_that_is_off_is_seen_by_the_peers_own_date() {
    let gitlab = GitLab::start();
    let past = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(3600));
    gitlab.plan(Act::Header("Date", past).at(Kind::Version));
    let bench = Bench::in_front_of(&gitlab, "");
    let reader = bench.token(token::READER);
    let found = bench.examine(&["--token-file", &reader]);
    found.says("gitlab: clock", "warning", "ahead of the peer's");
    assert_eq!(found.code, Some(0), "a warning is no problem");
}

#[test]
fn a_silent_peer_is_not_waited_for() {
    let gitlab = GitLab::start();
    gitlab.plan(Act::StallBeforeHead(Duration::from_secs(60)).at(Kind::Version));
    let index = PublicIndex::start();
    index.plan(Act::StallBeforeHead(Duration::from_secs(60)).at(Kind::Index));
    let mirror = format!("[mirrors.pypi]\nurl = {:?}\n", index.url());
    let since = Instant::now();
    let found = Bench::in_front_of(&gitlab, &mirror).examine(&[]);
    // 5 s each, side by side; the rest is for a loaded machine.
    assert!(
        since.elapsed() < Duration::from_secs(20),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(found.code, Some(1));
    found.says("gitlab: version", "problem", "5s");
    found.says("mirrors.pypi: index", "problem", "5s");
}

#[test]
fn a_mirror_that_leads_past_larder_or_wants_a_credential_is_seen() {
    let gitlab = GitLab::start();
    let index = PublicIndex::start();
    index.publish(Distribution::new("small", "1.0").wheel());
    // Without `files` only the index's own origin counts, and the files lie elsewhere.
    let mirror = format!("[mirrors.pypi]\nurl = {:?}\n", index.url());
    let bench = Bench::in_front_of(&gitlab, &mirror);
    bench
        .examine(&[])
        .says("mirrors.pypi: files", "warning", "mirrors.pypi.file_urls");
    index.set(|settings| settings.formats = public_index::Formats::Html);
    bench
        .examine(&[])
        .says("mirrors.pypi: index", "ok", "HTML alone");
    index.set(|settings| settings.credential = Some(("ann".to_owned(), "s3cret".to_owned())));
    let refused = bench.examine(&[]);
    assert_eq!(refused.code, Some(1));
    refused.says("mirrors.pypi: index", "problem", "mirrors.pypi.token_file");
}

#[test]
fn a_mirrors_path_that_looks_like_a_secret_is_pointed_at() {
    let gitlab = GitLab::start();
    let secret = "9fK2xLq7Zr4TnB8wQ1";
    for (path, verdict) in [
        (format!("/api/pypi/{secret}/simple/"), Some("warning")),
        ("/simple/".to_owned(), None),
    ] {
        let index = PublicIndex::builder().at(&path).start();
        index.publish(Distribution::new("small", "1.0").wheel());
        let bench = Bench::in_front_of(
            &gitlab,
            &format!("[mirrors.pypi]\nurl = {:?}\n", index.url()),
        );
        let found = bench.examine(&[]);
        match verdict {
            Some(verdict) => found.says("mirrors.pypi: path", verdict, "9fK2… (18 characters)"),
            None => assert!(
                !format!("{:?}", found.all).contains("mirrors.pypi: path"),
                "{:?}",
                found.all
            ),
        }
        assert!(
            !format!("{:?}", found.all).contains(secret),
            "{:?}",
            found.all
        );
    }
}

#[test]
fn a_bad_configuration_and_an_unwritable_folder_are_problems() {
    let bad = Bench::new("[index]\nttl = \"30 parsecs\"\n").examine(&[]);
    assert_eq!((bad.code, bad.all.len()), (Some(1), 1));
    bad.says("configuration", "problem", "larder.toml:4");
    let tokenless = Bench::new("[gitlab]\ntoken_file = \"/nonexistent/token\"\n").examine(&[]);
    tokenless.says("configuration", "problem", "/nonexistent/token");

    // /proc takes no files, not even root's.
    let file = Bench::new("offline = true\n");
    let found = file.examine(&["--cache-dir", "/proc/larder"]);
    assert_eq!(found.code, Some(1));
    found.says("disk speed", "problem", "cache_dir");
    found.says("upstreams", "ok", "offline");
}

#[test]
fn a_running_daemon_and_a_taken_address_are_seen() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .setting("cache_size = \"1MiB\"")
        .start();
    let found = Findings::of(&larder.command(&["doctor", "--json"]));
    found.says("daemon", "ok", &format!("process {}", larder.pid()));
    found.says("readiness", "ok", "ok");
    assert_eq!(found.code, Some(0), "{:?}", found.all);
    larder.client().get(&path::project_page(42, "none"));

    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");
    let bench = Bench::in_front_of(&gitlab, "");
    let config = std::fs::read_to_string(bench.config())
        .expect("a file")
        .replace("127.0.0.1:0", &address.to_string());
    std::fs::write(bench.config(), config).expect("writable");
    let found = bench.examine(&[]);
    assert_eq!(found.code, Some(1));
    found.says("listen", "problem", "another process");
}

/// A GitLab that speaks TLS by a certificate of its own, and says 401 to everything.
fn over_tls(folder: &Path) -> (SocketAddr, PathBuf) {
    let own =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let ca_file = folder.join("ca.pem");
    std::fs::write(&ca_file, own.cert.pem()).expect("a writable folder");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into());
    let config = Arc::new(config.expect("a certificate and its key"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    // Ends with the process of the tests.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(session) = rustls::ServerConnection::new(Arc::clone(&config)) else {
                return;
            };
            let mut stream = BufReader::new(rustls::StreamOwned::new(session, stream));
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let _ = stream.get_mut().write_all(
                b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    (address, ca_file)
}

#[test]
fn a_certificate_that_nobody_vouches_for_leads_to_ca_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (address, ca_file) = over_tls(folder.path());
    let found = Bench::new(&format!("[gitlab]\nurl = \"https://{address}\"\n")).examine(&[]);
    assert_eq!(found.code, Some(1));
    found.says("gitlab: TLS", "problem", "gitlab.ca_file");
    assert!(!found.has("gitlab: version"));
    let trusting = Bench::new(&format!(
        "[gitlab]\nurl = \"https://{address}\"\nca_file = {ca_file:?}\n"
    ));
    let found = trusting.examine(&[]);
    found.says("gitlab: TLS", "ok", "TLSv1_3");
    found.says("gitlab: TLS", "ok", "days left");
    found.says("gitlab: version", "ok", "401");
    assert_eq!(found.code, Some(0), "{:?}", found.all);
}
