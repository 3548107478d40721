//! What changed between a page and the one before it: the status of its project, and files that are
//! not what they were. Each is said once, and counted.

use crate::common::delivery::eventually;
use crate::common::mirror::{FORMATS, HTML, JSON, NEVER_FRESH, get_as, larder, names, page};
use crate::support::{
    Artifact, Distribution, GitLab, Larder, Offer, ProjectStatus, PublicIndex, path, token,
};

const PROJECT: &str = "some-lib";

fn sdist(version: &str, payload: usize) -> Artifact {
    Distribution::new("some-lib", version)
        .payload(payload)
        .sdist()
}

fn say(index: &PublicIndex, word: &'static str) {
    index.change(|catalogue| {
        let said = ProjectStatus {
            status: word,
            reason: Some("no more".to_owned()),
        };
        catalogue.status.insert(PROJECT.to_owned(), said)
    });
}

fn changed(larder: &Larder, change: &str) -> Option<f64> {
    let name = format!("larder_page_file_changes_total{{change=\"{change}\"}}");
    larder.metric(&name)
}

/// Has the page asked for in both formats.
fn see(larder: &Larder) {
    for accept in FORMATS {
        get_as(&larder.client(), &page(PROJECT), accept).expect(200);
    }
}

/// The lines of the log with these words.
fn said(larder: &Larder, words: &str) -> Vec<String> {
    let log = larder.log();
    let lines = log.lines().filter(|line| line.contains(words));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_change_of_a_projects_status_is_said_once_and_counted() {
    let gitlab = GitLab::start();
    let index = PublicIndex::builder().offering(sdist("1.0", 10)).start();
    let larder = larder(&gitlab, &index, NEVER_FRESH);
    let count = |family: &str, status: &str| {
        larder.metric(&format!(
            "larder_{family}_total{{project_status=\"{status}\"}}"
        ))
    };
    see(&larder);
    assert_eq!(count("project_pages", "active"), Some(2.0));
    assert_eq!(count("project_status_changes", "active"), Some(0.0));
    for (from, to, label) in [
        ("active", "archived", "archived"),
        ("archived", "deprecated", "deprecated"),
        ("deprecated", "later", "other"),
    ] {
        say(&index, to);
        see(&larder);
        larder.wait_for_log(&format!("from={from} to={to} reason=\"no more\""));
        assert_eq!(count("project_pages", label), Some(2.0), "{to}");
        assert_eq!(count("project_status_changes", label), Some(1.0), "{to}");
    }
    // Unchanged.
    see(&larder);
    let lines = said(&larder, "an index has changed the status of a project");
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines
            .iter()
            .all(|line| line.contains("/pypi/simple/some-lib/"))
    );
    let status = larder
        .client()
        .get_with("/-/status", &[("Accept", "application/json")]);
    let projects = &status.json()["projects"];
    assert_eq!(
        projects["status_changes"][0]["label"], "archived",
        "{projects}"
    );
    let sentence = projects["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.contains("became archived: 1, deprecated: 1, other: 1"),
        "{sentence}"
    );
}

#[test]
fn explain_says_what_an_index_calls_a_project_and_what_follows() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("some.lib", "1.0").wheel();
    gitlab.publish(42, &wheel);
    let index = PublicIndex::builder().offering(&wheel).start();
    let larder = larder(&gitlab, &index, NEVER_FRESH);
    let explain = |address: &str| {
        let told = larder.command(&["explain", address]);
        String::from_utf8_lossy(&told.stdout).into_owned()
    };
    say(&index, "archived");
    see(&larder);
    let is_said =
        |address: &str, words: &str| eventually(words, || explain(address).contains(words));
    is_said(
        &page(PROJECT),
        "its index calls the project archived: no more",
    );
    say(&index, "quarantined");
    gitlab.change(|universe| {
        let said = ProjectStatus {
            status: "quarantined",
            reason: Some("no more".to_owned()),
        };
        universe.status.insert(PROJECT.to_owned(), said)
    });
    see(&larder);
    let reader = larder.client().token(token::READER);
    get_as(&reader, &path::project_page(42, PROJECT), JSON).expect(200);
    is_said(&page(PROJECT), "quarantined: no more (no file of it");
    let mirrored = crate::common::mirror::file(&index, &wheel.filename);
    for file in [mirrored, path::project_file(42, &wheel)] {
        is_said(&file, "no file of it is given (no more) (403)");
    }
}

#[test]
fn files_that_vanish_or_are_replaced_and_yanks_undone_are_said_once_and_counted() {
    let gitlab = GitLab::start();
    let [gone, moved, yanked, kept] =
        ["1.0", "1.1", "1.2", "1.3"].map(|version| sdist(version, 10));
    let index = PublicIndex::builder()
        .offering(&gone)
        .offering(&moved)
        .offering(Offer::from(&yanked).yanked("broken"))
        .offering(&kept)
        .start();
    let larder = larder(&gitlab, &index, NEVER_FRESH);
    see(&larder);
    let larder = larder.restart();
    let other = sdist("1.1", 20);
    assert_eq!(other.filename, moved.filename);
    index.withdraw(&gone.filename);
    index.withdraw(&moved.filename);
    index.publish(Offer::from(&other));
    index.change(|catalogue| catalogue.offer_mut(&yanked.filename).yanked = None);
    // And what is no loss.
    index.publish(Offer::from(&sdist("2.0", 10)));
    index.change(|catalogue| catalogue.offer_mut(&kept.filename).yanked = Some(String::new()));
    see(&larder);
    for words in [
        "no longer on its index's page",
        "has another sha256",
        "yanked no more",
    ] {
        larder.wait_for_log(words);
    }
    see(&larder);
    let log = larder.log();
    let replaced = said(&larder, "has another sha256");
    assert_eq!(replaced.len(), 1, "{log}");
    let digests = format!("was={} now={}", moved.sha256, other.sha256);
    assert!(replaced[0].contains(&digests), "{replaced:?}");
    assert!(
        replaced[0].contains("WARN") || replaced[0].contains("warn"),
        "{replaced:?}"
    );
    assert!(replaced[0].contains(&moved.filename), "{replaced:?}");
    let withdrawn = said(&larder, "no longer on its index's page");
    assert_eq!(withdrawn.len(), 1, "{log}");
    assert!(withdrawn[0].contains(&gone.filename), "{withdrawn:?}");
    assert_eq!(said(&larder, "yanked no more").len(), 1, "{log}");
    for change in ["withdrawn", "replaced", "unyanked"] {
        assert_eq!(changed(&larder, change), Some(1.0), "{change}: {log}");
    }
    let told = larder
        .client()
        .get_with("/-/status", &[("Accept", "application/json")]);
    let projects = &told.json()["projects"];
    assert_eq!(
        projects["file_changes"][1]["label"], "replaced",
        "{projects}"
    );
}

/// What policies leave out of a page is no change of upstream's; nor is what is only seen anew.
#[test]
fn neither_policies_nor_a_first_sight_nor_a_quarantine_are_changes_of_files() {
    let gitlab = GitLab::start();
    let young = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let index = PublicIndex::builder()
        .offering(sdist("1.0", 10))
        .offering(Offer::from(&sdist("1.1", 10)).uploaded(&young))
        .start();
    let before = larder(&gitlab, &index, NEVER_FRESH);
    see(&before);
    let next = |mut before: Larder| {
        // What was asked for is on the disk then, and compared with what was there.
        before.terminate();
        let lines = said(&before, "index's page");
        assert!(lines.is_empty(), "{lines:?}");
        Larder::builder(&gitlab)
            .mirror_with("pypi", &index, &format!("{NEVER_FRESH}\nmin_age = \"7d\""))
            .at_home_of(&before)
            .start()
    };
    let cut = next(before);
    index.publish(Offer::from(&sdist("2.0", 10)));
    for accept in [HTML, JSON] {
        let shown = get_as(&cut.client(), &page(PROJECT), accept);
        assert_eq!(names(&shown).len(), 2, "{shown:?}");
    }
    let cut = next(cut);
    // Its page lists nothing, as the public index's does.
    index.withdraw(&sdist("1.0", 10).filename);
    index.withdraw(&sdist("1.1", 10).filename);
    index.withdraw(&sdist("2.0", 10).filename);
    say(&index, "quarantined");
    see(&cut);
    cut.wait_for_log("an index has quarantined a project");
    let cut = next(cut);
    say(&index, "archived");
    index.publish(Offer::from(&sdist("3.0", 10)));
    see(&cut);
    let cut = next(cut);
    index.withdraw(&sdist("3.0", 10).filename);
    index.publish(Offer::from(&sdist("3.1", 10)));
    see(&cut);
    cut.wait_for_log("a file is no longer on its index's page");
    let lines = said(&cut, "no longer on its index's page");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("some_lib-3.0") || lines[0].contains("some-lib-3.0"),
        "{lines:?}"
    );
    assert_eq!(changed(&cut, "withdrawn"), Some(1.0));
    assert_eq!(changed(&cut, "replaced"), Some(0.0));
}

#[test]
fn of_many_changes_ten_are_said_and_all_are_counted() {
    let gitlab = GitLab::start();
    let files: Vec<Artifact> = (0..25).map(|n| sdist(&format!("1.{n}"), 10)).collect();
    let mut index = PublicIndex::builder().offering(sdist("2.0", 10));
    for file in &files {
        index = index.offering(file);
    }
    let index = index.start();
    let larder = larder(&gitlab, &index, NEVER_FRESH);
    see(&larder);
    let larder = larder.restart();
    for file in &files {
        index.withdraw(&file.filename);
    }
    get_as(&larder.client(), &page(PROJECT), JSON).expect(200);
    larder.wait_for_log("further files of this page");
    let log = larder.log();
    assert!(log.contains("files=15"), "{log}");
    let lines = said(&larder, "a file is no longer on its index's page");
    assert_eq!(lines.len(), 10, "{log}");
    assert_eq!(changed(&larder, "withdrawn"), Some(25.0));
}

/// A project's page is compared; a group's, which lists what its caller may see, is not.
#[test]
fn pages_of_gitlabs_projects_are_compared_and_those_of_groups_are_not() {
    let gitlab = GitLab::start();
    gitlab.publish(42, sdist("1.0", 10));
    gitlab.publish(42, sdist("1.1", 10));
    let larder = Larder::builder(&gitlab)
        .sections("[index]\nttl = \"0s\"\nstale_while_revalidate = \"0s\"\n")
        .start();
    let client = larder.client().token(token::READER);
    let group = path::group_page(7, PROJECT);
    let project = path::project_page(42, PROJECT);
    for page in [&group, &project] {
        get_as(&client, page, HTML).expect(200);
    }
    let larder = larder.restart();
    let client = larder.client().token(token::READER);
    gitlab.change(|universe| universe.delete_file(42, &sdist("1.0", 10).filename));
    for page in [&group, &project] {
        assert_eq!(names(&get_as(&client, page, HTML)).len(), 1);
    }
    larder.wait_for_log("no longer on its index's page");
    let lines = said(&larder, "no longer on its index's page");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("projects/42"), "{lines:?}");
}
