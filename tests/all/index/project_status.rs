//! What an index says of a project as a whole (PEP 792): nothing of a quarantined one is given, by
//! whatever address, whether it is cached or not; any other word is passed on and refuses nothing.

use std::time::SystemTime;

use crate::common::delivery::{eventually, kept};
use crate::common::mirror::{FORMATS, HTML, JSON, NEVER_FRESH, file, get_as, names, page};
use crate::support::larder::Builder;
use crate::support::{
    Artifact, Client, Distribution, Formats, GitLab, Larder, Offer, ProjectStatus, PublicIndex,
    Reply, path, token,
};

const PROJECT: &str = "some-lib";

/// Pages are upstream's word of now.
const NOW: &str = "[index]\nttl = \"0s\"\nstale_while_revalidate = \"0s\"\n";

/// More than is shown of a reason, with what must not reach a terminal.
const REASON: &str = "steals\r\n\u{1b}[31m tokens \u{202e}on import";
const SHOWN: &str = "(steals [31m tokens on import)";

fn wheel() -> Artifact {
    Distribution::new("some.lib", "1.0").payload(20_000).wheel()
}

fn status(word: &'static str) -> ProjectStatus {
    ProjectStatus {
        status: word,
        reason: Some(REASON.to_owned()),
    }
}

struct World {
    gitlab: GitLab,
    index: PublicIndex,
}

impl World {
    fn new(formats: Formats) -> Self {
        let gitlab = GitLab::start();
        gitlab.publish(42, wheel());
        let index = PublicIndex::builder()
            .offering(wheel())
            .set(|settings| settings.formats = formats)
            .start();
        Self { gitlab, index }
    }

    /// What both say of the project from now on.
    fn say(&self, word: &'static str) {
        let said = (PROJECT.to_owned(), status(word));
        self.index
            .change(|catalogue| catalogue.status.insert(said.0.clone(), said.1.clone()));
        self.gitlab
            .change(|universe| universe.status.insert(said.0, said.1));
    }

    fn lift(&self) {
        self.index
            .change(|catalogue| catalogue.status.remove(PROJECT));
        self.gitlab
            .change(|universe| universe.status.remove(PROJECT));
    }

    fn larder(&self, top: &str) -> Builder {
        Larder::builder(&self.gitlab)
            .setting(top)
            .forward("pypi")
            .mirror_with("pypi", &self.index, NEVER_FRESH)
            .sections(NOW)
    }

    /// Each page with the file on it.
    fn places(&self) -> [(String, String); 3] {
        let wheel = wheel();
        [
            (
                path::project_page(42, PROJECT),
                path::project_file(42, &wheel),
            ),
            (path::group_page(7, PROJECT), path::group_file(7, &wheel)),
            (page(PROJECT), file(&self.index, &wheel.filename)),
        ]
    }
}

fn reader(larder: &Larder) -> Client {
    larder.client().token(token::READER)
}

/// Every way to ask for a file or its metadata.
fn asked(client: &Client, wheel: &str) -> Vec<(String, Reply)> {
    let mut replies = Vec::new();
    for address in [wheel.to_owned(), format!("{wheel}.metadata")] {
        for (how, reply) in [
            ("GET", client.get(&address)),
            ("HEAD", client.head(&address)),
            ("a range", client.get_range(&address, "bytes=0-9")),
            ("its end", client.get_range(&address, "bytes=-9")),
            ("what it has", client.get_if_none_match(&address, "*")),
        ] {
            replies.push((format!("{how} {address}"), reply));
        }
    }
    replies
}

#[track_caller]
fn assert_quarantined(reply: &Reply, case: &str) {
    assert_eq!(reply.status, 403, "{case}: {reply:?}");
    let denied = reply.header("Cache-Status");
    assert_eq!(denied, Some("larder; detail=denied"), "{case}: {reply:?}");
    let text = reply.text();
    let is_told = text.contains("the project is quarantined") && text.contains(SHOWN);
    assert!(reply.body.is_empty() || is_told, "{case}: {text}");
}

/// Nothing is listed, and no file is given, at these places.
#[track_caller]
fn assert_nothing_given(client: &Client, places: &[(String, String)], case: &str) {
    for (page, file) in places {
        for accept in FORMATS {
            let shown = get_as(client, page, accept);
            assert!(names(&shown).is_empty(), "{case}: {page}: {shown:?}");
            let is_said = shown.text().contains("quarantined");
            assert!(is_said, "{case}: {page}: {shown:?}");
        }
        for (how, reply) in asked(client, file) {
            assert_quarantined(&reply, &format!("{case}: {how}"));
        }
    }
}

/// Everything is listed and given.
#[track_caller]
fn assert_all_given(client: &Client, places: &[(String, String)], case: &str) {
    for (page, file) in places {
        for accept in FORMATS {
            let shown = get_as(client, page, accept);
            assert_eq!(names(&shown), [wheel().filename], "{case}: {page}");
        }
        for (how, reply) in asked(client, file) {
            assert!(reply.status < 400, "{case}: {how}: {reply:?}");
        }
    }
}

#[test]
fn r34_nothing_of_a_quarantined_project_is_given_cold_warm_stale_and_offline() {
    for formats in [Formats::Both, Formats::Html, Formats::Json] {
        let world = World::new(formats);
        let places = world.places();
        let case = |state: &str| format!("{formats:?}, {state}");
        world.say("quarantined");
        let cold = world.larder("").start();
        assert_nothing_given(&reader(&cold), &places, &case("cold"));
        assert_nothing_given(&reader(&cold), &places, &case("again"));
        drop(cold);

        // It is quarantined when everything is cached.
        world.lift();
        let mut warm = world.larder("").start();
        assert_all_given(&reader(&warm), &places, &case("before"));
        kept(&warm, &wheel());
        world.say("quarantined");
        assert_nothing_given(&reader(&warm), &places, &case("warm"));
        warm.wait_for_log("an index has quarantined a project");
        warm.terminate();
        let mut warm = world.larder("").at_home_of(&warm).start();
        let client = reader(&warm);
        for (_, file) in &places {
            for (how, reply) in asked(&client, file) {
                assert_quarantined(&reply, &case(&format!("started anew: {how}")));
            }
        }
        world.index.stop();
        assert_nothing_given(&warm.client(), &places[2..], &case("stale"));
        warm.terminate();

        world.gitlab.stop();
        let offline = world
            .larder("offline = true")
            .sections("[auth]\noffline = \"open\"")
            .at_home_of(&warm)
            .start();
        assert_nothing_given(&reader(&offline), &places, &case("offline"));
    }
}

#[test]
fn r34_what_is_quarantined_no_more_is_given_again() {
    let world = World::new(Formats::Both);
    let places = world.places();
    let mut larder = world.larder("").start();
    assert_all_given(&reader(&larder), &places, "before");
    kept(&larder, &wheel());
    world.say("quarantined");
    assert_nothing_given(&reader(&larder), &places, "quarantined");
    world.lift();
    assert_all_given(&reader(&larder), &places, "lifted");
    larder.wait_for_log("an index has changed the status of a project");
    larder.terminate();
    let again = world.larder("").at_home_of(&larder).start();
    assert_all_given(&reader(&again), &places, "started anew");
}

/// A quarantine is its index's word and no rule of the operator's.
#[test]
fn r34_no_exception_lifts_a_quarantine() {
    let world = World::new(Formats::Both);
    world.say("quarantined");
    let larder = world
        .larder("")
        .sections(
            "[[exceptions]]\npackage = \"some-lib\"\nversion = \"==1.0\"\n\
             until = \"2999-01-01\"\nreason = \"it is fine\"",
        )
        .start();
    assert_nothing_given(&reader(&larder), &world.places(), "excepted");
}

/// A page that was told in one format is no longer fresh in the other.
#[test]
fn r34_a_quarantine_told_in_one_format_holds_in_the_other() {
    for (first, second) in [(HTML, JSON), (JSON, HTML)] {
        let world = World::new(Formats::Both);
        let larder = Larder::builder(&world.gitlab)
            .mirror_with("pypi", &world.index, "ttl = \"1h\"")
            .sections("[index]\nstale_while_revalidate = \"0s\"")
            .start();
        let client = larder.client();
        let file = file(&world.index, &wheel().filename);
        get_as(&client, &page(PROJECT), second).expect(200);
        client.get(&file).expect(200);
        world.say("quarantined");
        let still = get_as(&client, &page(PROJECT), second);
        assert_eq!(names(&still).len(), 1, "it is fresh: {still:?}");
        let told = client.request(
            "GET",
            &page(PROJECT),
            &[("Accept", first), ("Cache-Control", "no-cache")],
        );
        assert!(names(&told).is_empty(), "{told:?}");
        // It is on the disk behind the answer; without it there is nothing to show.
        eventually("the page is on the disk", || {
            let told = larder.command(&["explain", &page(PROJECT)]);
            String::from_utf8_lossy(&told.stdout).contains("calls the project quarantined")
        });
        world.index.stop();
        let shown = get_as(&client, &page(PROJECT), second);
        assert!(names(&shown).is_empty(), "after {first}: {shown:?}");
        assert_quarantined(&client.get(&file), &format!("after {first}"));
    }
}

/// As the public index does it: a quarantined project's page lists nothing.
#[test]
fn r34_a_quarantined_page_refuses_what_it_does_not_list_and_no_other_project() {
    let world = World::new(Formats::Both);
    let [short, long] = ["some", "some-lib"].map(|name| Distribution::new(name, "2.0").sdist());
    world.index.publish(Offer::from(&short));
    world.index.publish(Offer::from(&long));
    let larder = Larder::builder(&world.gitlab)
        .mirror_with("pypi", &world.index, "ttl = \"1h\"")
        .start();
    let client = larder.client();
    // Its name may be read as one of each project.
    let path = file(&world.index, &long.filename);
    let withdrawn = file(&world.index, &short.filename);
    world.index.withdraw(&short.filename);
    world.index.change(|catalogue| {
        catalogue
            .status
            .insert("some".to_owned(), status("quarantined"))
    });
    assert!(names(&get_as(&client, &page("some"), JSON)).is_empty());
    assert_quarantined(&client.get(&withdrawn), "listed no more");
    client.get(&path).expect(200);
}

#[test]
fn a_view_and_a_page_in_gitlabs_place_are_as_quarantined_as_their_source() {
    let world = World::new(Formats::Both);
    let other = Distribution::new("left.pad", "1.0").wheel();
    world.index.publish(Offer::from(&other));
    world.index.change(|catalogue| {
        catalogue
            .status
            .insert("left-pad".to_owned(), status("quarantined"))
    });
    let larder = world
        .larder("")
        .sections("[[views]]\nname = \"all\"\nsources = [\"groups/7\", \"pypi\"]")
        .start();
    let client = reader(&larder);
    for address in [
        "/all/simple/left-pad/".to_owned(),
        path::project_page(42, "left-pad"),
        path::group_page(7, "left-pad"),
    ] {
        for accept in FORMATS {
            let shown = get_as(&client, &address, accept);
            assert!(names(&shown).is_empty(), "{address}: {shown:?}");
            assert!(shown.text().contains("quarantined"), "{address}: {shown:?}");
        }
    }
    assert_quarantined(&client.get(&file(&world.index, &other.filename)), "a file");
    // The first source that has the name answers, and its word counts, for worse and for better.
    world.gitlab.change(|universe| {
        universe
            .status
            .insert(PROJECT.to_owned(), status("quarantined"))
    });
    let shown = get_as(&client, "/all/simple/some-lib/", JSON);
    assert!(names(&shown).is_empty(), "{shown:?}");
    assert_eq!(shown.header("Larder-Source"), Some("groups/7"), "{shown:?}");
    world.lift();
    world.index.change(|catalogue| {
        catalogue
            .status
            .insert(PROJECT.to_owned(), status("quarantined"))
    });
    let shown = get_as(&client, "/all/simple/some-lib/", JSON);
    assert_eq!(names(&shown).len(), 1, "{shown:?}");
}

/// An agent's larder under a parent's refuses alike, whatever it has itself.
#[test]
fn r34_below_a_parent_a_quarantine_holds_too() {
    let world = World::new(Formats::Both);
    let places = world.places();
    let parent = world.larder("").start();
    let agent = Larder::under(&parent.url()).sections(NOW).start();
    assert_all_given(&reader(&agent), &places[..2], "before");
    kept(&agent, &wheel());
    let client = reader(&agent);
    let mirrored = &places[2].1;
    get_as(&client, &page(PROJECT), JSON).expect(200);
    client.get(mirrored).expect(200);
    world.say("quarantined");
    assert_nothing_given(&client, &places[..2], "of GitLab's");
    assert_quarantined(&client.get(mirrored), "of the mirror");
}

/// Blocks until the wall clock shows another second: bundles are dated by it.
fn next_second() {
    let second = || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.expect("after the epoch").as_secs()
    };
    let before = second();
    eventually("a second passes", || second() > before);
}

#[test]
fn r34_bundles_carry_a_quarantine_and_its_end() {
    let world = World::new(Formats::Both);
    let near = world.larder("").start();
    let folder = near.home().to_owned();
    let bundle = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let export = |name: &str| {
        get_as(&near.client(), &page(PROJECT), JSON).expect(200);
        // It is on the disk behind the answer.
        let told = |words: &str| {
            let told = near.command(&["explain", &page(PROJECT)]);
            String::from_utf8_lossy(&told.stdout).contains(words)
        };
        match name {
            "quarantined" => eventually(name, || told("calls the project quarantined")),
            _ => eventually(name, || told("on disk") && !told("calls the project")),
        }
        next_second();
        let done = near.command(&["export", &bundle(name)]);
        assert!(done.status.success(), "{done:?}");
        next_second();
    };
    // A bundle needs a file.
    let other = Distribution::new("left.pad", "1.0").wheel();
    world.index.publish(Offer::from(&other));
    for wheel in [&wheel(), &other] {
        let address = file(&world.index, &wheel.filename);
        near.client().get(&address).expect(200);
        kept(&near, wheel);
    }
    export("before");
    world.say("quarantined");
    export("quarantined");
    world.lift();
    export("lifted");
    let far = world
        .larder("offline = true")
        .sections("[auth]\noffline = \"open\"")
        .start();
    let client = far.client();
    let place = [world.places()[2].clone()];
    for (name, is_given) in [
        ("before", true),
        ("quarantined", false),
        ("before", false),
        ("lifted", true),
        ("quarantined", true),
    ] {
        let done = far.command(&["import", &bundle(name)]);
        assert!(done.status.success(), "{name}: {done:?}");
        match is_given {
            true => assert_all_given(&client, &place, name),
            false => assert_nothing_given(&client, &place, name),
        }
    }
}

#[test]
fn any_other_word_is_passed_on_and_refuses_nothing() {
    for word in ["active", "archived", "deprecated", "quarantine", "later"] {
        let world = World::new(Formats::Both);
        world.say(word);
        let larder = world.larder("").start();
        let client = reader(&larder);
        let places = world.places();
        assert_all_given(&client, &places, word);
        for (page, _) in &places {
            let json = get_as(&client, page, JSON).json();
            assert_eq!(json["project-status"]["status"], word, "{page}: {json}");
            assert_eq!(json["project-status"]["reason"], REASON, "{page}: {json}");
            let html = get_as(&client, page, HTML).text();
            let meta = format!("<meta name=\"pypi:project-status\" content=\"{word}\">");
            assert!(html.contains(&meta), "{page}: {html}");
        }
    }
}
