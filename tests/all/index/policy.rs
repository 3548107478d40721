//! R34: when a policy refuses a file, to whom it is told, and what ends it. That it does on every
//! path is swept in `policy_sweep.rs`, by the same [`FILES`].

use std::time::{Duration, SystemTime};

use crate::common::advisories::{Records, rated, record};
use crate::common::delivery::{eventually, patiently};
use crate::common::mirror::{FORMATS, HTML, JSON, file, get_as, names, page};
use crate::support::larder::Builder;
use crate::support::{
    Artifact, Client, Distribution, GitLab, Larder, NewFile, Offer, PublicIndex, Reply, path, token,
};

pub(super) const PROJECT: &str = "some-lib";

/// The dates that GitLab tells are learned; pages are upstream's word of now.
const DATES: &str = "[index]\nttl = \"0s\"\nstale_while_revalidate = \"0s\"\nupload_dates = true\n";

/// A policy's word for one file, where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Given,
    Refused(&'static str),
}

/// Each version with what policies say of it: at GitLab, which has told all dates, and at a mirror.
pub(super) const FILES: [(&str, Word, Word); 7] = [
    ("1.0", Word::Given, Word::Given),
    // A day old.
    (
        "2.0",
        Word::Refused("gitlab.min_age"),
        Word::Refused("mirrors.pypi.min_age"),
    ),
    // The mirror tells no date of it; at GitLab it is a day old.
    (
        "3.0",
        Word::Refused("gitlab.min_age"),
        Word::Refused("mirrors.pypi.undated"),
    ),
    // A day old, with an exception, and with one that is over.
    ("4.0", Word::Given, Word::Given),
    (
        "5.0",
        Word::Refused("gitlab.min_age"),
        Word::Refused("mirrors.pypi.min_age"),
    ),
    // What is known to be bad is said before anything of its age.
    (
        "6.0",
        Word::Refused("MAL-2026-6: "),
        Word::Refused("MAL-2026-6: "),
    ),
    (
        "7.0",
        Word::Refused("GHSA-7777-7777-7777: "),
        Word::Refused("GHSA-7777-7777-7777: "),
    ),
];

const EXCEPTIONS: &str = "[[exceptions]]\npackage = \"Some.Lib\"\nversion = \"==4.0\"\n\
     until = \"2999-01-01\"\nreason = \"wanted now\"\n\
     [[exceptions]]\npackage = \"some-lib\"\nversion = \"==5.0\"\n\
     until = \"2020-01-01\"\nreason = \"was wanted\"\n";

pub(super) fn artifact(version: &str) -> Artifact {
    Distribution::new("some.lib", version)
        .payload(20_000)
        .wheel()
}

pub(super) fn days_ago(days: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(days * 86_400)
}

fn age(version: &str) -> u64 {
    if version == "1.0" { 30 } else { 1 }
}

/// As a mirror's index has it.
pub(super) fn offer(version: &str) -> Offer {
    let offer = Offer::from(artifact(version));
    let uploaded = humantime::format_rfc3339_seconds(days_ago(age(version)));
    match version {
        "3.0" => offer.without_upload_time(),
        _ => offer.uploaded(&uploaded.to_string()),
    }
}

pub(super) struct World {
    pub(super) gitlab: GitLab,
    pub(super) index: PublicIndex,
    records: Records,
}

impl World {
    /// The same files at GitLab's project 42 and at the mirror.
    pub(super) fn new() -> Self {
        let gitlab = GitLab::start();
        let index = PublicIndex::start();
        for (version, ..) in FILES {
            let file = NewFile::from(artifact(version)).uploaded(days_ago(age(version)));
            gitlab.publish(42, file);
            index.publish(offer(version));
        }
        let vulnerable = record("GHSA-7777-7777-7777", PROJECT, &["7.0"]);
        Self {
            gitlab,
            index,
            records: Records::new(&[
                record("MAL-2026-6", "Some_Lib", &["6"]),
                rated(vulnerable, "LOW"),
            ]),
        }
    }

    pub(super) fn larder(&self, has_policies: bool, top: &str) -> Builder {
        let rule = if has_policies { "min_age = \"7d\"" } else { "" };
        let mut sections = DATES.to_owned();
        if has_policies {
            sections += EXCEPTIONS;
            sections += &self
                .records
                .section("vulnerable = \"refuse\"\nmin_severity = \"low\"");
        }
        Larder::builder(&self.gitlab)
            .setting(top)
            .gitlab_setting(rule)
            .forward("pypi")
            .mirror_with("pypi", &self.index, &format!("ttl = \"0s\"\n{rule}"))
            .sections(&sections)
    }
}

/// Every way to ask for a file.
pub(super) fn asked(client: &Client, address: &str, tag: &str) -> Vec<(&'static str, Reply)> {
    let tag = format!("\"{tag}\"");
    vec![
        ("GET", client.get(address)),
        ("HEAD", client.head(address)),
        ("a range", client.get_range(address, "bytes=0-9")),
        ("its end", client.get_range(address, "bytes=-9")),
        ("what it has", client.get_if_none_match(address, &tag)),
        (
            "the rest",
            client.get_with(address, &[("Range", "bytes=5-"), ("If-Range", &tag)]),
        ),
    ]
}

#[track_caller]
fn assert_refused(reply: &Reply, words: &str, case: &str) {
    assert_eq!(reply.status, 403, "{case}: {reply:?}");
    let denied = reply.header("Cache-Status");
    assert_eq!(denied, Some("larder; detail=denied"), "{case}: {reply:?}");
    let is_told = reply.body.is_empty() || reply.text().contains(words);
    assert!(is_told, "{case}: {reply:?}");
}

/// A mirror's page in GitLab's place goes by the mirror's rules.
#[test]
fn r34_a_page_in_gitlabs_place_goes_by_the_mirrors_rules() {
    let world = World::new();
    let larder = world.larder(true, "").start();
    let client = larder.client().token(token::READER);
    let old = Distribution::new("left.pad", "1.0").wheel();
    let young = Distribution::new("left.pad", "2.0").wheel();
    world.index.publish(Offer::from(&old));
    let yesterday = humantime::format_rfc3339_seconds(days_ago(1)).to_string();
    world
        .index
        .publish(Offer::from(&young).uploaded(&yesterday));
    for address in [
        path::project_page(42, "left-pad"),
        path::group_page(7, "left-pad"),
    ] {
        for accept in FORMATS {
            let shown = get_as(&client, &address, accept);
            assert_eq!(
                names(&shown),
                [old.filename.as_str()],
                "{accept}: {shown:?}"
            );
        }
    }
}

/// A stranger is told what GitLab tells it, and nothing of a policy.
#[test]
fn r34_a_policy_is_told_to_callers_that_may_see_the_file() {
    let world = World::new();
    let larder = world.larder(true, "").start();
    let address = path::project_file(42, &artifact("2.0"));
    let reader = larder.client().token(token::READER);
    assert_refused(&reader.get(&address), "gitlab.min_age", "a reader");
    for stranger in [
        larder.client(),
        larder.client().token("glpat-of-no-one-at-all"),
    ] {
        for address in [address.clone(), format!("{address}.metadata")] {
            let reply = stranger.get(&address);
            assert!(matches!(reply.status, 401 | 404), "{reply:?}");
            assert!(!reply.text().contains("min_age"), "{reply:?}");
        }
    }
}

/// Any client reads the metrics: a stranger's own request moves none of them by what a policy says.
#[test]
fn r34_a_stranger_counts_nothing_that_a_policy_says() {
    let world = World::new();
    let vulnerable = rated(record("GHSA-1111-1111-1111", PROJECT, &["1.0"]), "HIGH");
    let records = Records::new(&[record("MAL-2026-6", "Some_Lib", &["6"]), vulnerable]);
    let larder = Larder::builder(&world.gitlab)
        .gitlab_setting("min_age = \"7d\"")
        .sections(DATES)
        .sections(&records.section(""))
        .start();
    let reader = larder.client().token(token::READER);
    get_as(&reader, &path::project_page(42, PROJECT), JSON).expect(200);
    let counted = || {
        let text = larder.metrics();
        let mut counted = Vec::new();
        for line in text.lines() {
            let is_policys = [
                "larder_policy_refusals_total",
                "larder_vulnerable_files_total",
            ]
            .iter()
            .any(|name| line.starts_with(name));
            if is_policys && !line.ends_with(" 0") {
                counted.push(line.to_owned());
            }
        }
        counted
    };
    let addresses = ["1.0", "2.0", "6.0"].map(|version| path::project_file(42, &artifact(version)));
    for stranger in [
        larder.client(),
        larder.client().token("glpat-of-no-one-at-all"),
        larder.client().token(token::STRANGER),
    ] {
        for address in &addresses {
            for address in [address.clone(), format!("{address}.metadata")] {
                for (how, reply) in asked(&stranger, &address, &"0".repeat(64)) {
                    assert!(matches!(reply.status, 401 | 403 | 404), "{how}: {reply:?}");
                }
            }
        }
    }
    assert_eq!(counted(), Vec::<String>::new(), "by strangers");
    reader.get(&addresses[0]).expect(200);
    for refused in &addresses[1..] {
        assert_eq!(reader.get(refused).status, 403);
    }
    let by_reader = [
        "larder_policy_refusals_total{policy=\"malware\"} 1",
        "larder_policy_refusals_total{policy=\"min_age\"} 1",
        "larder_vulnerable_files_total{severity=\"high\"} 1",
    ];
    let mut found = counted();
    found.sort();
    assert_eq!(found, by_reader);
}

/// GitLab tells no date: what `undated` says counts, from the first page on.
#[test]
fn r34_files_of_gitlabs_without_a_date_go_by_undated() {
    for (undated, lines, listed) in [
        ("hide", "", 0),
        ("show", "undated = \"show\"", 7),
        ("first-seen", "undated = \"first-seen\"", 0),
    ] {
        let world = World::new();
        let larder = Larder::builder(&world.gitlab)
            .gitlab_setting(&format!("min_age = \"7d\"\n{lines}"))
            .sections(DATES)
            .start();
        // A deploy token is told nothing by the packages API.
        let client = larder.client().token(token::DEPLOY);
        for accept in FORMATS {
            let shown = get_as(&client, &path::project_page(42, PROJECT), accept);
            assert_eq!(names(&shown).len(), listed, "{undated} {accept}");
        }
        let file = client.get(&path::project_file(42, &artifact("1.0")));
        match undated {
            "show" => assert_eq!(file.expect(200), &artifact("1.0").bytes[..]),
            "hide" => assert_refused(&file, "gitlab.undated", undated),
            _ => assert_refused(&file, "first seen here", undated),
        }
    }
}

/// First-seen files ripen, outlive a restart, have no upload time, and are carried.
#[test]
fn r34_first_seen_files_ripen_and_are_carried() {
    let gitlab = GitLab::start();
    let index = PublicIndex::start();
    let wheel = artifact("3.0");
    index.publish(Offer::from(&wheel).without_upload_time());
    let lines = |min_age: &str| {
        format!("ttl = \"0s\"\nmin_age = \"{min_age}\"\nundated = \"first-seen\"\n")
    };
    let mut near = Larder::builder(&gitlab)
        .mirror_with("pypi", &index, &lines("1h"))
        .start();
    assert!(names(&get_as(&near.client(), &page(PROJECT), JSON)).is_empty());
    let address = file(&index, &wheel.filename);
    assert_refused(&near.client().get(&address), "first seen here", "new");
    let older = Larder::builder(&gitlab)
        .mirror_with("pypi", &index, &lines("1s"))
        .at_home_of(&near);
    near.terminate();
    let mut near = older.start();
    eventually("it is old enough", || {
        !names(&get_as(&near.client(), &page(PROJECT), JSON)).is_empty()
    });
    let shown = get_as(&near.client(), &page(PROJECT), JSON);
    assert!(!shown.text().contains("upload-time"), "{shown:?}");
    assert_eq!(near.client().get(&address).expect(200), &wheel.bytes[..]);
    crate::common::delivery::kept(&near, &wheel);

    let bundle = near.home().join("bundle.tar");
    let bundle = bundle.to_string_lossy().into_owned();
    let exported = near.command(&["export", &bundle]);
    assert!(exported.status.success(), "{exported:?}");
    near.terminate();
    index.stop();
    // By the near side's clock it is old enough there too, and not by another rule.
    for (min_age, given) in [("1s", true), ("1h", false)] {
        let far = Larder::builder(&gitlab)
            .setting("offline = true")
            .mirror_with("pypi", &index, &lines(min_age))
            .start();
        let imported = far.command(&["import", &bundle]);
        assert!(imported.status.success(), "{imported:?}");
        let shown = get_as(&far.client(), &page(PROJECT), JSON);
        assert_eq!(names(&shown).is_empty(), !given, "{min_age}: {shown:?}");
        let reply = far.client().get(&address);
        if given {
            assert_eq!(reply.expect(200), &wheel.bytes[..]);
        } else {
            assert_refused(&reply, "first seen here", min_age);
        }
    }
}

/// Files come and go on an index without dates: what is remembered of them is bounded, and what is
/// listed keeps its day.
#[test]
fn r34_first_seen_days_of_files_that_are_gone_are_bounded() {
    const FILES_EACH: usize = 1500;
    let gitlab = GitLab::start();
    let index = PublicIndex::start();
    let larder = Larder::builder(&gitlab)
        .mirror_with(
            "pypi",
            &index,
            "ttl = \"0s\"\nmin_age = \"1s\"\nundated = \"first-seen\"",
        )
        .start();
    let list = |generation: usize| {
        let mut body = String::from("<!DOCTYPE html>\n<html><body>\n");
        let mut add = |version: &str, digest: usize| {
            let name = format!("{PROJECT}-{version}.tar.gz");
            let href = format!("{}{name}#sha256={digest:064x}", index.files_prefix());
            body += &format!("<a href=\"{href}\">{name}</a><br>\n");
        };
        add("0.1", 1);
        for file in 0..FILES_EACH {
            add(&format!("{generation}.{file}"), generation * 10_000 + file);
        }
        body += "</body></html>";
        index.serve_verbatim(PROJECT, "text/html", body);
        get_as(&larder.client(), &page(PROJECT), HTML).expect(200);
    };
    let kept = || {
        let mut days = Vec::new();
        for file in walk(&larder.cache_dir().join("dates")) {
            let text = std::fs::read_to_string(file).expect("text");
            days.extend(
                text.lines()
                    .filter(|line| line.contains("first_seen"))
                    .map(str::to_owned),
            );
        }
        days
    };
    list(1);
    let first = kept();
    assert_eq!(first.len(), FILES_EACH + 1);
    let old = first
        .iter()
        .find(|line| line.contains("-0.1.tar.gz"))
        .expect("it is listed");
    for generation in 2..6 {
        list(generation);
        let now = kept();
        assert!(
            now.len() <= 2000 + FILES_EACH,
            "{generation}: {}",
            now.len()
        );
        assert!(
            now.contains(old),
            "{generation}: what is listed keeps its day"
        );
    }
}

/// Every file below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        match entry.path() {
            path if path.is_dir() => files.extend(walk(&path)),
            path => files.push(path),
        }
    }
    files
}

/// The far side of an air gap decides as the near one does: by GitLab's dates, at the files' own
/// addresses too, which say nothing of the page that was carried.
#[test]
fn r34_the_far_side_of_an_air_gap_decides_alike() {
    let world = World::new();
    let mut near = world.larder(false, "").start();
    let client = near.client().token(token::READER);
    let by_path = format!("/api/v4/projects/acme%2Fwidgets/packages/pypi/simple/{PROJECT}/");
    eventually("the files have their dates", || {
        get_as(&client, &by_path, JSON).json()["meta"]["api-version"] == "1.1"
    });
    for (version, ..) in FILES {
        let artifact = artifact(version);
        client.get(&path::project_file(42, &artifact)).expect(200);
        crate::common::delivery::kept(&near, &artifact);
    }
    let bundle = near.home().join("bundle.tar");
    let bundle = bundle.to_string_lossy().into_owned();
    let exported = near.command(&["export", &bundle]);
    assert!(exported.status.success(), "{exported:?}");
    near.terminate();
    let far = world
        .larder(true, "offline = true")
        .sections("[auth]\noffline = \"open\"")
        .start();
    let imported = far.command(&["import", &bundle]);
    assert!(imported.status.success(), "{imported:?}");
    let client = far.client();
    for accept in FORMATS {
        let shown = get_as(&client, &by_path, accept);
        assert_eq!(names(&shown).len(), 2, "{accept}: {shown:?}");
    }
    for (version, word, _) in FILES {
        let artifact = artifact(version);
        let address = path::project_file(42, &artifact);
        for (how, reply) in asked(&client, &address, &artifact.sha256) {
            match word {
                Word::Given => assert!(reply.status < 400, "{how} {version}: {reply:?}"),
                Word::Refused(words) => assert_refused(&reply, words, how),
            }
        }
    }
}

/// An exception that ends while larder runs takes its files along, from pages in memory as well.
#[test]
fn r34_an_exception_ends_while_larder_runs() {
    let world = World::new();
    let until = SystemTime::now() + Duration::from_secs(20);
    let until = humantime::format_rfc3339_seconds(until);
    let exception = format!(
        "[[exceptions]]\npackage = \"some-lib\"\nversion = \"==2.0\"\nuntil = \"{until}\"\nreason = \"a test\"\n"
    );
    let larder = Larder::builder(&world.gitlab)
        .gitlab_setting("min_age = \"7d\"")
        .sections(&format!(
            "[index]\nttl = \"1h\"\nupload_dates = true\n{exception}"
        ))
        .start();
    let client = larder.client().token(token::READER);
    let address = path::project_page(42, PROJECT);
    for accept in FORMATS {
        assert_eq!(names(&get_as(&client, &address, accept)).len(), 2);
    }
    let young = path::project_file(42, &artifact("2.0"));
    client.get(&young).expect(200);
    for accept in FORMATS {
        patiently("it is over", || {
            names(&get_as(&client, &address, accept)).len() == 1
        });
    }
    assert_refused(&client.get(&young), "gitlab.min_age", "over");
}

/// What is told of it: the status page, the metrics, `explain`, the checks of the configuration.
#[test]
fn policies_and_exceptions_are_told() {
    let world = World::new();
    let larder = world.larder(true, "").start();
    larder.wait_for_log("some-lib ==5.0 until 2020-01-01 (was wanted) is over and void");
    let client = larder.client().token(token::READER);
    get_as(&client, &path::project_page(42, PROJECT), JSON).expect(200);
    let young = path::project_file(42, &artifact("2.0"));
    assert_eq!(client.get(&young).status, 403);
    let refusals = larder.metric("larder_policy_refusals_total{policy=\"min_age\"}");
    assert_eq!(refusals, Some(1.0));
    let left_out = larder.metric("larder_policy_left_out_files_total{policy=\"min_age\"}");
    assert!(left_out >= Some(3.0), "{left_out:?}");
    let status = larder.client().get("/-/status").json();
    let policies = &status["policies"];
    assert_eq!(policies["min_age"][0]["source"], "gitlab", "{status}");
    assert_eq!(policies["min_age"][1]["min_age_seconds"], 604_800);
    assert_eq!(policies["exceptions"]["in_force"], 1);
    assert_eq!(policies["exceptions"]["over"], serde_json::json!([2]));
    assert!(
        !status.to_string().contains("some-lib"),
        "no name: {status}"
    );
    assert_eq!(status["upload_dates"]["told"], 7);
    let explained = larder.command(&["explain", &path::project_page(42, PROJECT)]);
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    for part in [
        "gitlab.min_age = 7days",
        "some-lib ==5.0 until 2020-01-01 (was wanted) is over and void",
        "Some.Lib ==4.0 until 2999-01-01 (wanted now) is let through",
    ] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    let explained = larder.command(&["explain", &young]);
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(
        explained.contains("younger than gitlab.min_age"),
        "{explained}"
    );
    let checked = larder.command(&["check-config"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(said.contains("is over and void"), "{said}");
}

/// Exceptions cross the gap with a bundle, and count where a key signed it that the far side allows.
#[test]
fn r34_exceptions_of_a_signed_bundle_count_on_the_far_side() {
    let world = World::new();
    let near = world.larder(true, "").start();
    let client = near.client().token(token::READER);
    for accept in FORMATS {
        let page = path::project_page(42, PROJECT);
        assert_eq!(names(&get_as(&client, &page, accept)).len(), 2);
    }
    let excepted = artifact("4.0");
    let address = path::project_file(42, &excepted);
    client.get(&address).expect(200);
    crate::common::delivery::kept(&near, &excepted);
    let path_of = |name: &str| near.home().join(name).to_string_lossy().into_owned();
    let key = path_of("key");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-t", "ed25519", "-f", &key])
        .status();
    assert!(made.expect("ssh-keygen").success());
    let public = std::fs::read_to_string(format!("{key}.pub")).expect("a public key");
    let signers = path_of("signers");
    std::fs::write(&signers, format!("larder {public}")).expect("a writable folder");
    let bundle = path_of("signed.tar");
    let exported = near.command(&["export", "--sign", &key, &bundle]);
    assert!(exported.status.success(), "{exported:?}");
    for (allowed, given) in [(true, true), (false, false)] {
        let import = match allowed {
            true => format!("[import]\nallowed_signers = {signers:?}\n"),
            false => String::new(),
        };
        let far = Larder::builder(&world.gitlab)
            .setting("offline = true")
            .gitlab_setting("min_age = \"7d\"")
            .sections(&format!("{import}[auth]\noffline = \"open\""))
            .start();
        let imported = far.command(&["import", &bundle]);
        let said = String::from_utf8_lossy(&imported.stdout).into_owned();
        assert!(imported.status.success(), "{imported:?}");
        assert!(said.contains("1 exception"), "{said}");
        let mut far = Some(far);
        for case in ["at once", "after a restart"] {
            let running = far.take().expect("it runs");
            let running = match case {
                "at once" => running,
                _ => running.restart(),
            };
            let client = running.client();
            let reply = client.get(&address);
            let shown = get_as(&client, &path::project_page(42, PROJECT), JSON);
            if given {
                assert_eq!(reply.expect(200), &excepted.bytes[..], "{case}");
                assert_eq!(names(&shown), [excepted.filename.as_str()], "{case}");
            } else {
                assert_refused(&reply, "gitlab.min_age", case);
                assert!(names(&shown).is_empty(), "{case}: {shown:?}");
            }
            let status = client.get("/-/status").json();
            let in_force = &status["policies"]["exceptions"]["in_force"];
            assert_eq!(*in_force, usize::from(given), "{case}");
            far = Some(running);
        }
    }
}
