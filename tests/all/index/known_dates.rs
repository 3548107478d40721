//! R34: a minimum age goes by the latest word on a file's date on every path, and what cannot be
//! known of it lets no file pass.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::common::delivery::eventually;
use crate::common::mirror::{FORMATS, HTML, JSON, get_as, names};
use crate::support::{
    Act, Answer, Artifact, Client, Distribution, GitLab, Kind, Larder, NewFile, path, token,
};

const RULE: &str = "min_age = \"7d\"";
const NOW: &str = "[index]\nttl = \"0s\"\nstale_while_revalidate = \"0s\"\nupload_dates = true\n";
const BY_PATH: &str = "/api/v4/projects/acme%2Fwidgets/packages/pypi/simple/some-lib/";

fn wheel(version: &str) -> Artifact {
    Distribution::new("some.lib", version).wheel()
}

fn file(version: &str, days: u64) -> NewFile {
    let uploaded = SystemTime::now() - Duration::from_secs(days * 86_400);
    NewFile::from(wheel(version)).uploaded(uploaded)
}

/// 1.0 from a month ago, and 2.0 from so many days ago.
fn gitlab(days: u64) -> GitLab {
    let gitlab = GitLab::start();
    gitlab.publish(42, file("1.0", 30));
    gitlab.publish(42, file("2.0", days));
    gitlab
}

fn page() -> String {
    path::project_page(42, "some-lib")
}

fn shown(client: &Client, accept: &str) -> usize {
    names(&get_as(client, &page(), accept)).len()
}

fn status_of(client: &Client, version: &str) -> u16 {
    client.get(&path::project_file(42, &wheel(version))).status
}

/// Blocks until all files of a page have a date.
fn dated(client: &Client, page: &str, count: usize) {
    eventually("every file has its date", || {
        let shown = get_as(client, page, JSON).json();
        let files = shown["files"].as_array().cloned().unwrap_or_default();
        let dated = files.iter().filter(|file| !file["upload-time"].is_null());
        dated.count() == count
    });
}

fn settled(larder: &Larder) {
    eventually("no page waits for dates", || {
        larder.metric("larder_upload_dates_queue") == Some(0.0)
    });
}

#[test]
fn r34_behind_a_parent_html_goes_by_the_dates_that_its_json_tells() {
    let gitlab = gitlab(1);
    let parent = Larder::builder(&gitlab).sections(NOW).start();
    dated(&parent.client().token(token::READER), &page(), 2);
    for undated in ["hide", "show"] {
        let agent = Larder::under(&parent.url())
            .gitlab_setting(&format!("{RULE}\nundated = {undated:?}"))
            .start();
        let client = agent.client().token(token::READER);
        let html = get_as(&client, &page(), HTML);
        let listed = names(&html);
        assert_eq!(listed, [wheel("1.0").filename], "{undated}: {html:?}");
        assert_eq!(status_of(&client, "1.0"), 200, "{undated}");
        assert_eq!(status_of(&client, "2.0"), 403, "{undated}");
    }
}

#[test]
fn r34_behind_a_parent_the_later_date_counts_on_every_path() {
    let gitlab = gitlab(29);
    let parent = Larder::builder(&gitlab).sections(NOW).start();
    let above = parent.client().token(token::READER);
    dated(&above, &page(), 2);
    let agent = Larder::under(&parent.url())
        .gitlab_setting(RULE)
        .sections(NOW)
        .start();
    let client = agent.client().token(token::READER);
    for accept in FORMATS {
        assert_eq!(shown(&client, accept), 2, "{accept}");
    }
    assert_eq!(status_of(&client, "2.0"), 200);
    // Deleted, and uploaded again: the agent sees nothing of the moment between.
    gitlab.change(|universe| universe.delete_file(42, &wheel("2.0").filename));
    assert_eq!(shown(&above, JSON), 1);
    gitlab.publish(42, file("2.0", 1));
    dated(&above, &page(), 2);
    for accept in [JSON, HTML] {
        assert_eq!(shown(&client, accept), 1, "{accept}");
    }
    assert_eq!(status_of(&client, "2.0"), 403);
}

#[test]
fn r34_the_date_of_a_deleted_package_is_forgotten_by_whichever_name_its_page_was_asked_for() {
    let gitlab = gitlab(29);
    gitlab.set(|settings| settings.forwarding = false);
    let larder = Larder::builder(&gitlab)
        .gitlab_setting(RULE)
        .sections(NOW)
        .start();
    let client = larder.client().token(token::READER);
    dated(&client, BY_PATH, 2);
    assert_eq!(status_of(&client, "2.0"), 200);
    gitlab.change(|universe| universe.delete_package(42, "some.lib"));
    assert_eq!(get_as(&client, BY_PATH, JSON).status, 404);
    gitlab.publish(42, file("2.0", 1));
    assert_eq!(status_of(&client, "2.0"), 403);
}

#[test]
fn a_file_in_the_place_of_one_that_gitlab_told_nothing_of_is_asked_for() {
    let gitlab = gitlab(29);
    let nothing = Answer::new(200)
        .header("Content-Type", "application/json")
        .body("[]");
    gitlab.plan(Act::Answer(nothing).at(Kind::Packages));
    let larder = Larder::builder(&gitlab).sections(NOW).start();
    let client = larder.client().token(token::READER);
    for _ in 0..2 {
        assert_eq!(shown(&client, JSON), 2);
        settled(&larder);
    }
    let asked = gitlab.log().count(Kind::Packages);
    assert_eq!(shown(&client, JSON), 2);
    settled(&larder);
    assert_eq!(gitlab.log().count(Kind::Packages), asked, "it told all");
    gitlab.behave();
    gitlab.change(|universe| universe.delete_file(42, &wheel("2.0").filename));
    gitlab.publish(42, file("3.0", 1));
    dated(&client, &page(), 2);
}

/// The files below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn r34_dates_that_cannot_be_read_let_no_file_pass_and_are_read_again() {
    let gitlab = gitlab(1);
    let lines = format!("{RULE}\nundated = \"show\"");
    let builder = || {
        Larder::builder(&gitlab)
            .gitlab_setting(&lines)
            .sections(NOW)
    };
    let mut larder = builder().start();
    let client = larder.client().token(token::READER);
    assert_eq!(shown(&client, JSON), 1);
    settled(&larder);
    larder.terminate();
    let known = files_below(&larder.cache_dir().join("dates"));
    assert!(!known.is_empty());
    let aside = |path: &Path| path.with_extension("aside");
    for path in &known {
        fs::rename(path, aside(path)).expect("a writable folder");
        fs::create_dir(path).expect("a writable folder");
    }
    let larder = builder().at_home_of(&larder).start();
    // The packages API tells a deploy token nothing.
    let client = larder.client().token(token::DEPLOY);
    for accept in FORMATS {
        assert_eq!(shown(&client, accept), 0, "{accept}");
    }
    for version in ["1.0", "2.0"] {
        assert_eq!(status_of(&client, version), 403, "{version}");
    }
    for path in &known {
        fs::remove_dir(path).expect("a writable folder");
        fs::rename(aside(path), path).expect("a writable folder");
    }
    assert_eq!(status_of(&client, "1.0"), 200);
    assert_eq!(status_of(&client, "2.0"), 403);
    for accept in FORMATS {
        assert_eq!(shown(&client, accept), 1, "{accept}");
    }
}

#[test]
fn r34_a_stale_page_that_cannot_be_made_again_shows_nothing_by_dates_of_before() {
    let gitlab = gitlab(1);
    let larder = Larder::builder(&gitlab)
        .gitlab_setting(&format!("{RULE}\nundated = \"show\"\nretries = 0"))
        .sections(&format!("{NOW}upload_dates_wait = \"0s\"\n"))
        .start();
    let client = larder.client().token(token::READER);
    let gate = gitlab.hold(Kind::Packages, 0);
    for accept in FORMATS {
        assert_eq!(shown(&client, accept), 2, "{accept}: not known yet");
    }
    gate.open();
    settled(&larder);
    assert_eq!(
        larder.metric("larder_upload_dates_total{result=\"told\"}"),
        Some(2.0)
    );
    let stored = || {
        let mut found = files_below(&larder.cache_dir().join("content-v2"));
        found.extend(files_below(&larder.cache_dir().join("index-v5")));
        found
    };
    eventually("the page is stored", || !stored().is_empty());
    for path in stored() {
        fs::remove_file(path).expect("a writable folder");
    }
    gitlab.stop();
    for accept in FORMATS {
        let reply = get_as(&client, &page(), accept);
        let is_named = reply.text().contains(&wheel("2.0").filename);
        assert!(!is_named, "{accept}: {reply:?}");
    }
}

#[test]
fn explain_names_the_exceptions_of_the_package_that_it_is_asked_about() {
    let gitlab = gitlab(1);
    let exception = |package: &str| {
        format!(
            "[[exceptions]]\npackage = \"{package}\"\nversion = \"==2.0\"\nuntil = \"2999-01-01\"\nreason = \"a fix\"\n"
        )
    };
    let larder = Larder::builder(&gitlab)
        .gitlab_setting(RULE)
        .sections(&format!(
            "{NOW}{}{}",
            exception("Some_Lib"),
            exception("other")
        ))
        .start();
    for address in [page(), path::project_file(42, &wheel("2.0"))] {
        let explained = larder.command(&["explain", &address]);
        let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
        assert!(explained.contains("Some_Lib ==2.0 until"), "{explained}");
        assert!(!explained.contains("other ==2.0"), "{explained}");
    }
}
