//! Installs that fail, by pip and by uv: for each what the client says last, the line in larder's
//! log, what `larder explain` answers, and what the status page says. The line alone tells the
//! cause.
//!
//! What was found is written as a table to `target/failed-installs.md`.

use std::any::Any;
use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::common::delivery::eventually;
use crate::store::failing_disk::binary_with_mount;
use crate::support::larder::Builder;
use crate::support::python::program;
use crate::support::{
    Act, Artifact, Authority, Distribution, FOR_EVER, GitLab, Kind, Larder, Outcome, PublicIndex,
    Site, Storage, Tls, Workbench, logfmt, token,
};

const PROJECT: &str = "/api/v4/projects/42/packages/pypi/simple/";
const PACKAGE: &str = "kestrel";

const TABLE_HEAD: &str = "| the install | client | it says last | log line | `explain` | status page |\n\
                          | --- | --- | --- | --- | --- | --- |\n";

/// An install that is to fail.
struct Case {
    what: &'static str,
    /// The word in the log line and on the status page.
    cause: &'static str,
    /// A part of the sentence in the log line, from which a person can tell what is wrong.
    says: &'static str,
    set_up: fn() -> Failing,
}

/// The servers of a case, and what is asked of them.
struct Failing {
    larder: Larder,
    index: String,
    secret: Option<String>,
    /// Live as long as the case.
    _others: Vec<Box<dyn Any>>,
}

impl Failing {
    fn new(larder: Larder, others: Vec<Box<dyn Any>>) -> Self {
        Self {
            larder,
            index: PROJECT.to_owned(),
            secret: Some(token::READER.to_owned()),
            _others: others,
        }
    }

    fn at(mut self, index: &str) -> Self {
        self.index = index.to_owned();
        self
    }

    fn with(mut self, secret: Option<&str>) -> Self {
        self.secret = secret.map(str::to_owned);
        self
    }
}

fn wheel(bytes: usize) -> Artifact {
    Distribution::new(PACKAGE, "1.0").payload(bytes).wheel()
}

fn gitlab_with(bytes: usize) -> GitLab {
    let gitlab = GitLab::builder().storage(Storage::Disk).start();
    gitlab.publish(42, wheel(bytes));
    gitlab
}

/// One try for each request, and short patience.
fn hasty(gitlab: &GitLab) -> Builder {
    Larder::builder(gitlab)
        .gitlab_setting("retries = 0\nbreaker_failures = 0\nidle_timeout = \"2s\"")
        .gitlab_setting("header_timeout = \"3s\"")
}

fn plain(gitlab: GitLab) -> Failing {
    Failing::new(hasty(&gitlab).start(), vec![Box::new(gitlab)])
}

/// With the wheel on a GitLab that misbehaves.
fn misbehaving(act: Act, site: impl Into<Site>, bytes: usize) -> Failing {
    let gitlab = gitlab_with(bytes);
    gitlab.plan(act.at(site));
    plain(gitlab)
}

/// With a mirror called `public`.
fn mirrored(change: impl FnOnce(Builder) -> Builder) -> Failing {
    let gitlab = gitlab_with(1_000);
    let index = PublicIndex::start();
    let larder = change(hasty(&gitlab)).mirror("public", &index).start();
    Failing::new(larder, vec![Box::new(gitlab), Box::new(index)]).at("/public/simple/")
}

const CASES: &[Case] = &[
    Case {
        what: "a wrong token",
        cause: "unauthorized",
        says: "GitLab answered 401: the token that came is unknown",
        set_up: || plain(gitlab_with(1_000)).with(Some("wrong-token")),
    },
    Case {
        what: "an expired token",
        cause: "unauthorized",
        says: "expired",
        set_up: || plain(gitlab_with(1_000)).with(Some(token::EXPIRED)),
    },
    Case {
        what: "a right that was revoked",
        cause: "unauthorized",
        says: "revoked",
        set_up: || {
            let gitlab = gitlab_with(1_000);
            let larder = hasty(&gitlab)
                .sections("[auth]\ncache_ttl = \"0s\"")
                .start();
            let reader = larder.client().token(token::READER);
            reader.get(&format!("{PROJECT}{PACKAGE}/")).expect(200);
            gitlab.revoke(token::READER);
            Failing::new(larder, vec![Box::new(gitlab)])
        },
    },
    Case {
        what: "no token",
        cause: "no_credential",
        says: "no credential came with the request",
        set_up: || plain(gitlab_with(1_000)).with(None),
    },
    Case {
        what: "a token of too narrow a scope",
        cause: "forbidden",
        says: "GitLab answered 403: the caller's token may not read this",
        set_up: || plain(gitlab_with(1_000)).with(Some(token::NARROW)),
    },
    Case {
        what: "a token of a stranger",
        cause: "not_found",
        says: "GitLab answered 404: no such project or package, or none that this caller may see",
        set_up: || plain(gitlab_with(1_000)).with(Some(token::STRANGER)),
    },
    Case {
        what: "an unknown package",
        cause: "not_found",
        says: "GitLab answered 404: no such project or package",
        set_up: || {
            let gitlab = GitLab::start();
            gitlab.set(|settings| settings.forwarding = false);
            plain(gitlab)
        },
    },
    Case {
        what: "a path that is not escaped",
        cause: "unknown_address",
        says: "/api/v4/projects/acme%2Fwidgets/packages/pypi/simple/",
        set_up: || {
            plain(gitlab_with(1_000)).at("/api/v4/projects/acme/widgets/packages/pypi/simple/")
        },
    },
    Case {
        what: "the address of another index server",
        cause: "unknown_address",
        says: "an index is at /api/v4/projects/ID/packages/pypi/simple/",
        set_up: || plain(gitlab_with(1_000)).at("/simple/"),
    },
    Case {
        what: "a mirror that is not configured",
        cause: "unknown_address",
        says: "no mirror is called public",
        set_up: || plain(gitlab_with(1_000)).at("/public/simple/"),
    },
    Case {
        what: "GitLab is down",
        cause: "connect",
        says: "GitLab cannot be reached: nothing listens at its address",
        set_up: || {
            let failing = misbehaving(Act::Status(500), Kind::Page, 1_000);
            let gitlab = failing._others[0].downcast_ref::<GitLab>();
            gitlab.expect("a GitLab").stop();
            failing
        },
    },
    Case {
        what: "GitLab's name does not resolve",
        cause: "name",
        says: "GitLab cannot be reached: its name does not resolve",
        set_up: || {
            let larder = Larder::in_front_of("http://gitlab.invalid")
                .gitlab_setting("retries = 0\nbreaker_failures = 0")
                .start();
            Failing::new(larder, Vec::new())
        },
    },
    Case {
        what: "GitLab times out",
        cause: "timeout",
        says: "GitLab did not answer within 3s",
        set_up: || misbehaving(Act::StallBeforeHead(FOR_EVER), Kind::Page, 1_000),
    },
    Case {
        what: "GitLab answers 500",
        cause: "upstream_status",
        says: "GitLab answered 500",
        set_up: || misbehaving(Act::Status(500), Kind::Page, 1_000),
    },
    Case {
        what: "GitLab failed several times in a row",
        cause: "circuit_open",
        says: "GitLab could not be reached several times in a row; next try in",
        set_up: || {
            let gitlab = gitlab_with(1_000);
            gitlab.stop();
            let larder = Larder::builder(&gitlab)
                .gitlab_setting("retries = 0\nbreaker_failures = 1\nbreaker_open_for = \"5m\"")
                .start();
            // Each time it is left alone for twice as long: in the end for as long as a client takes.
            let reader = larder.client().token(token::READER);
            let until = Instant::now() + Duration::from_secs(60);
            while !reader.get(PROJECT).text().contains("next try in 8s") {
                assert!(Instant::now() < until, "{}", larder.log());
                std::thread::sleep(Duration::from_millis(100));
            }
            Failing::new(larder, vec![Box::new(gitlab)])
        },
    },
    Case {
        what: "TLS fails",
        cause: "tls",
        says: "gitlab.ca_file",
        set_up: || {
            let pair = Authority::new("unknown").server(&["127.0.0.1", "localhost"]);
            let gitlab = GitLab::builder().tls(Tls::new(&pair)).start();
            plain(gitlab)
        },
    },
    Case {
        what: "GitLab's page breaks off",
        cause: "broken",
        says: "before the end of its answer",
        set_up: || misbehaving(Act::CutHead { after: 20 }, Kind::Page, 1_000),
    },
    Case {
        what: "a small file with wrong bytes",
        cause: "wrong_digest",
        says: "sha256",
        set_up: || misbehaving(Act::Flip { at: 300 }, Site::FileBody, 1_000),
    },
    Case {
        what: "a large file with wrong bytes",
        cause: "cut",
        says: "the bytes do not have the promised sha256",
        set_up: || misbehaving(Act::Flip { at: 300_000 }, Site::FileBody, 900_000),
    },
    Case {
        what: "a file that breaks off",
        cause: "cut",
        says: "upstream broke off",
        set_up: || misbehaving(Act::Close { after: 300_000 }, Site::FileBody, 900_000),
    },
    Case {
        what: "a file that stalls",
        cause: "cut",
        says: "upstream sent nothing for too long",
        set_up: || misbehaving(Act::stall_for_ever_after(300_000), Site::FileBody, 900_000),
    },
    Case {
        what: "a private name at a mirror",
        cause: "private_package",
        says: "kestrel is a private name (private_packages)",
        set_up: || mirrored(|builder| builder.private_names(&[PACKAGE])),
    },
    Case {
        what: "a package that the mirror has not",
        cause: "not_found",
        says: "the mirror public answered 404: it has no such package",
        set_up: || mirrored(|builder| builder),
    },
    Case {
        what: "too many requests of one client",
        cause: "rate_limited",
        says: "limits.requests_per_second",
        set_up: || {
            let gitlab = gitlab_with(1_000);
            let limits = "[limits]\nrequests_per_second = 1\nrequests_burst = 1";
            let larder = hasty(&gitlab).sections(limits).start();
            larder.client().token(token::READER).get(PROJECT);
            Failing::new(larder, vec![Box::new(gitlab)])
        },
    },
    Case {
        what: "offline, and nothing of it here",
        cause: "offline",
        says: "larder is offline",
        set_up: || {
            let gitlab = gitlab_with(1_000);
            let auth = "[auth]\noffline = \"open\"";
            let larder = hasty(&gitlab)
                .setting("offline = true")
                .sections(auth)
                .start();
            Failing::new(larder, vec![Box::new(gitlab)])
        },
    },
];

fn install(client: &str, failing: &Failing) -> Outcome {
    // Wide enough that no message is broken into lines, and one try: what a client says last does
    // not change with the next.
    let user = Workbench::new()
        .environment("COLUMNS", "300")
        .environment("PIP_RETRIES", "0")
        .environment("UV_HTTP_RETRIES", "0");
    let login = match &failing.secret {
        Some(secret) => format!("__token__:{secret}@"),
        None => String::new(),
    };
    let index = format!(
        "http://{login}{}{}",
        failing.larder.address(),
        failing.index
    );
    let python = program("python").to_string_lossy().into_owned();
    let target = ["--no-deps", "--target", "site", PACKAGE];
    if client == "pip" {
        user.pip(&[&["install", "--index-url", &index][..], &target].concat())
    } else {
        let into = [
            "pip",
            "install",
            "--python",
            &python,
            "--default-index",
            &index,
        ];
        user.uv(&[&into[..], &target].concat())
    }
}

/// The last line that a client says which is about the fault.
fn last_words(outcome: &Outcome) -> String {
    let said = format!("{}\n{}", outcome.stdout, outcome.stderr);
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.next_back().unwrap_or_default().to_owned()
}

/// The first request's line that has this cause.
fn log_line(larder: &Larder, cause: &str) -> Option<(String, String)> {
    let log = larder.log();
    let of_requests = log
        .lines()
        .filter(|line| line.contains("target=larder::request"));
    for line in of_requests {
        let pairs = logfmt::read(line).expect("logfmt");
        if pairs.get("cause").is_some_and(|told| told == cause) {
            return Some((line.to_owned(), pairs["error"].clone()));
        }
    }
    None
}

/// What `explain` answers of the page, or of the file where that is what failed.
fn explained(failing: &Failing) -> String {
    let token_file = failing.larder.home().join("token");
    std::fs::write(&token_file, failing.secret.as_deref().unwrap_or("")).expect("writable");
    let token_file = token_file.to_string_lossy().into_owned();
    let url = format!(
        "http://{}{}{PACKAGE}/",
        failing.larder.address(),
        failing.index
    );
    let listen = failing.larder.address().to_string();
    let mut arguments = vec!["explain", "--listen", &listen, &url];
    if failing.secret.is_some() {
        arguments.extend(["--token-file", &token_file]);
    }
    let output = failing.larder.command(&arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let answer = said.lines().rev().find(|line| {
        line.starts_with("answers") || line.starts_with("answer") || line.contains('(')
    });
    answer.unwrap_or_default().trim().to_owned()
}

/// The status page as JSON, once this client may ask again.
fn status(larder: &Larder) -> serde_json::Value {
    loop {
        let reply = larder.client().get("/-/status");
        if reply.status == 200 {
            return reply.json();
        }
        assert_eq!(reply.status, 429, "{reply:?}");
        std::thread::sleep(Duration::from_millis(1_100));
    }
}

/// What a client, the log, `explain` and the status page say of a case.
fn row(case: &Case, client: &str) -> String {
    let failing = (case.set_up)();
    let outcome = install(client, &failing);
    let what = format!("{}, {client}", case.what);
    assert!(!outcome.succeeded(), "{what}: {outcome:#?}");
    eventually("its line is written", || {
        log_line(&failing.larder, case.cause).is_some()
    });
    let (line, error) = log_line(&failing.larder, case.cause).expect("it was waited for");
    assert!(error.contains(case.says), "{what}: {line}");
    for secret in [token::READER, "wrong-token"] {
        assert!(!line.contains(secret), "{what}: {line}");
    }
    let status = status(&failing.larder);
    let failures = status["failures"].as_array().expect("a list").clone();
    let shown = failures
        .iter()
        .find(|failure| failure["cause"] == case.cause);
    let shown = shown.unwrap_or_else(|| panic!("{what}: not on the status page: {status}"));
    let reason = shown["reason"].as_str().expect("a sentence");
    assert!(
        !reason.is_empty() && !reason.contains(PACKAGE),
        "{what}: {reason}"
    );
    let explained = explained(&failing);
    assert!(!explained.is_empty(), "{what}: explain says nothing");
    let host = failing.larder.address().to_string();
    let cell = |text: &str| text.replace(&host, "LARDER").replace('|', "\\|");
    format!(
        "| {} | {client} | {} | `cause={}` {} | {} | {} |\n",
        case.what,
        cell(&last_words(&outcome)),
        case.cause,
        cell(&error),
        cell(&explained),
        cell(reason)
    )
}

#[test]
fn the_line_in_the_log_tells_why_an_install_failed() {
    assert!(CASES.len() >= 20);
    let rows = Mutex::new(vec![String::new(); CASES.len() * 2]);
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(case) = CASES.get(at / 2) else {
                        return;
                    };
                    let row = row(case, ["pip", "uv"][at % 2]);
                    rows.lock().expect("no panic holds it")[at] = row;
                }
            });
        }
    });
    let mut table = TABLE_HEAD.to_owned();
    for row in rows.into_inner().expect("no panic holds it") {
        let _ = write!(table, "{row}");
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    std::fs::write(target.join("failed-installs.md"), table).expect("a writable target");
}

/// With a wheel that does not fit on the disk; none where no disk can be made.
fn with_a_full_disk(folder: &Path) -> Option<Failing> {
    let gitlab = gitlab_with(4_000_000);
    let first = Larder::start(&gitlab);
    let tiny = "mount -t tmpfs -o size=1m tmpfs \"$0\"";
    let binary = binary_with_mount(folder, &first.cache_dir(), tiny)?;
    let home = hasty(&gitlab).at_home_of(&first).binary(binary);
    drop(first);
    Some(Failing::new(home.start(), vec![Box::new(gitlab)]))
}

/// The warning of a file that is not kept, and the line of the request that got it.
fn lines_of_a_full_disk(larder: &Larder) -> [String; 2] {
    let uncached = "the store cannot take a file: it is proxied uncached";
    larder.wait_for_log(uncached);
    eventually("its line is written", || {
        larder.log().contains(".whl status=200")
    });
    let log = larder.log();
    let line_with = |parts: [&str; 2]| {
        let mut lines = log.lines();
        let found = lines.find(|line| parts.iter().all(|part| line.contains(part)));
        found
            .unwrap_or_else(|| panic!("{parts:?}: {log}"))
            .to_owned()
    };
    let warned = line_with([uncached, "level=WARN"]);
    let told = logfmt::read(&warned).expect("logfmt");
    assert!(told["error"].contains("no storage space"), "{warned}");
    // Its request is found by the id.
    let id = format!(" id={}", told["id"]);
    line_with(["target=larder::request", &id]);
    let given = line_with([".whl status=200", "cache=bypass"]);
    assert!(!given.contains("cause="), "{given}");
    [warned, given]
}

/// A disk that is full is no cause of a failure: the client gets its bytes without the disk, and
/// what is told of it is told to operators alone.
#[test]
fn a_full_disk_fails_no_install_and_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let reason = "the disk of the cache folder is full";
    let mut table = TABLE_HEAD.to_owned();
    for client in ["pip", "uv"] {
        let Some(failing) = with_a_full_disk(folder.path()) else {
            return;
        };
        let outcome = install(client, &failing);
        assert!(outcome.succeeded(), "{client}: {outcome:#?}");
        let larder = &failing.larder;
        let [warned, given] = lines_of_a_full_disk(larder);
        let ready = larder.client().get("/-/health/ready").text();
        assert!(ready.starts_with("degraded: "), "{ready}");
        assert!(ready.contains(reason), "{ready}");
        let full = "larder_degraded{reason=\"disk_full\"}";
        assert_eq!(larder.metric(full), Some(1.0));
        let status = status(larder);
        let sentence = status["state"]["sentence"].as_str().expect("a sentence");
        assert!(sentence.contains(reason), "{status}");
        let shown = larder.client().get("/-/").text();
        assert!(shown.contains(reason), "{shown}");
        assert_eq!(status["failures"].as_array().map(Vec::len), Some(0));
        let explained = explained(&failing);
        assert!(explained.contains("200"), "{explained}");
        let _ = writeln!(
            table,
            "| a full disk | {client} | {} | {warned} {given} | {explained} | {sentence} |",
            last_words(&outcome)
        );
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    std::fs::write(target.join("full-disk-installs.md"), table).expect("a writable target");
}

/// Each cause that can be told is in the table of the documentation.
#[test]
fn every_cause_is_documented() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/troubleshooting.md");
    let page = std::fs::read_to_string(page).expect("a document");
    for case in CASES {
        assert!(
            page.contains(&format!("`{}`", case.cause)),
            "{}",
            case.cause
        );
    }
}
