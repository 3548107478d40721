//! What is said of several parents, and what they serve: readiness, status, metrics, doctor, and the mirrors of
//! whichever is there.

use crate::common::delivery::eventually;
use crate::common::mirror::{self, FORMATS, get_as, listed};
use crate::mirrors::parents::{ASKING, PLAIN, World, home_of, readiness, status, wheels, words};
use crate::support::{
    Artifact, Distribution, FaultyRelay, GitLab, HeldPort, Kind, Larder, PublicIndex, path, token,
};

/// Agents, with mirrors that the parents serve.
struct Mirrored {
    gitlab: GitLab,
    index: PublicIndex,
    public: Artifact,
}

impl Mirrored {
    fn new() -> Self {
        let public = Distribution::new("some.lib", "1.2").payload(60_000).wheel();
        Self {
            gitlab: GitLab::start(),
            index: PublicIndex::builder().offering(&public).start(),
            public,
        }
    }

    fn parent(&self, port: u16) -> Larder {
        Larder::builder(&self.gitlab)
            .mirror_with("pypi", &self.index, PLAIN)
            .forward("pypi")
            .gitlab_setting(PLAIN)
            .port(port)
            .start()
    }
}

#[test]
fn mirrors_of_the_parents_are_served_by_whichever_is_there() {
    let world = Mirrored::new();
    let ports = [HeldPort::new(), HeldPort::new()];
    let urls = ports
        .each_ref()
        .map(|port| format!("http://{}", port.address()));
    let mut parents = ports
        .each_ref()
        .map(|port| Some(world.parent(port.address().port())));
    let agent = Larder::under_all(&urls).gitlab_setting(PLAIN).start();
    let file = mirror::file(&world.index, &world.public.filename);
    let served = |agent: &Larder| {
        let reader = agent.client().token(token::READER);
        for accept in FORMATS {
            for page in [mirror::page("some-lib"), path::group_page(7, "some-lib")] {
                let shown = get_as(&reader, &page, accept);
                assert_eq!(listed(&shown)[0].url, file, "{page}");
            }
        }
        let got = reader.get(&file);
        assert_eq!(got.expect(200), &world.public.bytes[..]);
    };
    served(&agent);
    assert_eq!(world.index.log().file_bodies().transfers, 1);
    for away in [0, 1] {
        parents[away] = None;
        let fresh = Larder::under_all(&urls).gitlab_setting(PLAIN).start();
        served(&fresh);
        let told = status(&fresh);
        assert_eq!(
            told["mirrors"],
            serde_json::json!(["pypi"]),
            "learned of the other"
        );
        assert_eq!(told["parents"].as_array().map(Vec::len), Some(2), "{told}");
        let ready = readiness(&fresh);
        assert!(words(&ready).contains(&"parent_unusable"), "{ready}");
        let said = ready.to_string();
        let names_it = said.contains(&format!("the parent at {}", urls[away]));
        assert!(
            names_it && said.contains("the other parents stand in for it"),
            "{ready}"
        );
        parents[away] = Some(world.parent(ports[away].address().port()));
        eventually("it is known again", || words(&readiness(&fresh)).is_empty());
    }
    // Pages that are stored here are no stranger's after a parent has gone from the list.
    let mut agent = agent;
    agent.terminate();
    for url in &urls {
        let shorter = Larder::under(url)
            .at_home_of(&agent)
            .gitlab_setting(PLAIN)
            .start();
        served(&shorter);
        let past = shorter.metrics();
        assert!(!past.contains("larder_pages_leading_past{"), "{past}");
    }
}

#[test]
fn what_is_said_of_several_parents_names_each() {
    let world = World::new(2);
    let wheels = wheels(12);
    for wheel in &wheels {
        world.gitlab.publish(42, wheel);
    }
    let urls = world.urls();
    let mut world = world;
    let agent = Larder::under_all(&urls)
        .gitlab_setting("retries = 0\nbreaker_failures = 1\nbreaker_open_for = \"5m\"")
        .sections(ASKING)
        .start();
    agent.wait_for_log(&format!("parent={}", urls[0]));
    agent.wait_for_log(&format!("parent={}", urls[1]));
    let reader = agent.client().token(token::READER);
    let read_all = || {
        for wheel in &wheels {
            reader.get(&path::project_page(42, &wheel.name)).expect(200);
        }
    };
    read_all();
    let asked = |url: &str| {
        let labels = format!("upstream=\"gitlab\",parent=\"{url}\",kind=\"page\",result=\"ok\"");
        agent.metric(&format!("larder_upstream_requests_total{{{labels}}}"))
    };
    let counts = [asked(&urls[0]), asked(&urls[1])].map(Option::unwrap_or_default);
    assert!(counts[0] > 0.0 && counts[1] > 0.0, "{counts:?}");
    assert_eq!(counts[0] + counts[1], 12.0, "{counts:?}");

    world.kill(0);
    read_all();
    let ready = readiness(&agent);
    assert_eq!(ready["status"], "degraded", "{ready}");
    let said = ready["reasons"][0]["detail"].as_str().expect("a sentence");
    assert!(
        said.starts_with(&format!("cannot reach the parent at {}", urls[0])),
        "{said}"
    );
    assert!(
        said.ends_with("the other parents stand in for it"),
        "{said}"
    );
    let open = |url: &str| {
        let labels = format!("upstream=\"gitlab\",parent=\"{url}\"");
        agent.metric(&format!("larder_upstream_circuit_open{{{labels}}}"))
    };
    assert_eq!((open(&urls[0]), open(&urls[1])), (Some(1.0), Some(0.0)));
    let told = status(&agent);
    let upstream = |url: &str| {
        let upstreams = told["upstreams"].as_array().expect("a list");
        let found = upstreams.iter().find(|upstream| upstream["parent"] == *url);
        found.expect("each parent")["state"].clone()
    };
    assert_eq!(upstream(&urls[0]), "circuit_open", "{told}");
    assert_eq!(upstream(&urls[1]), "reachable", "{told}");
    let home = agent.client().get("/-/").text();
    assert!(home.contains(&urls[0]) && home.contains(&urls[1]), "{home}");

    let output = agent.command(&["doctor"]);
    let doctor = String::from_utf8_lossy(&output.stdout).into_owned();
    let well = format!("parent {}: larder: this is larder", urls[1]);
    assert!(doctor.contains(&well), "{doctor}");
    assert!(
        doctor.contains(&format!("parent {}: connection:", urls[0])),
        "{doctor}"
    );
    let explained = agent.command(&["explain", &path::project_page(42, "part-1")]);
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    let home = &urls[home_of(&urls, "part-1")];
    assert!(
        explained.contains(&format!("parent: {home} is asked first")),
        "{explained}"
    );
    let values = agent.command(&["config", "show"]);
    let values = String::from_utf8_lossy(&values.stdout).into_owned();
    assert!(
        values.contains(&urls[0]) && values.contains(&urls[1]),
        "{values}"
    );
}

/// A wheel of a project whose home is this one of the parents.
fn wheel_at(urls: &[String], home: usize) -> Artifact {
    let mut names = (0..).map(|number| format!("part-{number}"));
    let name = names.find(|name| home_of(urls, name) == home);
    Distribution::new(&name.expect("one of many"), "1.0").wheel()
}

#[test]
fn r37_what_is_no_parent_is_asked_nothing_and_its_404_is_not_gitlabs_word() {
    let world = World::new(1);
    let other = GitLab::start();
    let urls = [world.urls()[0].clone(), other.url().to_owned()];
    let wheel = wheel_at(&urls, 1);
    world.gitlab.publish(42, &wheel);
    let agent = Larder::under_all(&urls)
        .gitlab_setting(PLAIN)
        .sections(ASKING)
        .start();
    let reader = agent.client().token(token::READER);
    reader.get(&path::project_page(42, &wheel.name)).expect(200);
    let got = reader.get(&path::project_file(42, &wheel));
    assert_eq!(got.expect(200), &wheel.bytes[..]);
    let asked = other.log().count(Kind::Page) + other.log().count(Kind::File);
    assert_eq!(asked, 0, "no token goes there");
    agent.wait_for_log("this is no parent: nothing is asked of it");
}

#[test]
fn a_larder_among_its_own_parents_asks_the_others() {
    let world = World::new(1);
    let port = HeldPort::new();
    // By a name by which it cannot know itself.
    let itself = FaultyRelay::start(port.address());
    let urls = [
        world.urls()[0].clone(),
        format!("http://{}", itself.address()),
    ];
    let wheel = wheel_at(&urls, 1);
    world.gitlab.publish(42, &wheel);
    let agent = Larder::under_all(&urls)
        .gitlab_setting(PLAIN)
        .sections(ASKING)
        .port(port.address().port())
        .start();
    let reader = agent.client().token(token::READER);
    let page = path::project_page(42, &wheel.name);
    reader.get(&page).expect(200);
    agent.wait_for_log("this is no parent: nothing is asked of it");
    reader.get(&page).expect(200);
}

#[test]
fn parents_that_serve_different_mirrors_are_said() {
    let world = Mirrored::new();
    let one = world.parent(0);
    let other = Larder::builder(&world.gitlab).start();
    let agent = Larder::under_all(&[one.url(), other.url()])
        .gitlab_setting(PLAIN)
        .start();
    let ready = readiness(&agent);
    assert_eq!(words(&ready), ["parents_differ"], "{ready}");
    let output = agent.command(&["doctor"]);
    let doctor = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        doctor.contains("parent: agreement: the parents do not serve the same"),
        "{doctor}"
    );
    // What one has is asked of that one.
    agent.client().get(&mirror::page("some-lib")).expect(200);
}

#[test]
fn a_list_of_parents_is_read_from_everywhere_and_checked() {
    let world = World::new(2);
    let urls = world.urls();
    let wheel = Distribution::new("acme-app", "1.0").wheel();
    world.gitlab.publish(42, &wheel);
    let list = format!("[{:?}, {:?}]", urls[1], urls[0]);
    for agent in [
        Larder::under(&urls[0]).environment("LARDER_PARENT", &list),
        Larder::under(&urls[0])
            .argument(&format!("--parent={}", urls[0]))
            .argument(&format!("--parent={}", urls[1])),
    ] {
        let agent = agent.start();
        assert_eq!(status(&agent)["parents"].as_array().map(Vec::len), Some(2));
        let reader = agent.client().token(token::READER);
        reader.get(&path::project_page(42, "acme-app")).expect(200);
    }
    let twice = Larder::under_all(&[urls[0].clone(), format!("{}/", urls[0])]).start_in_vain();
    assert!(twice.contains("the same larder is named twice"), "{twice}");
    let port = HeldPort::new();
    let own = format!("http://localhost:{}", port.address().port());
    let own = Larder::under_all(&[urls[0].clone(), own])
        .port(port.address().port())
        .start_in_vain();
    assert!(own.contains("is this larder itself"), "{own}");
    let none = Larder::under_all(&[
        world.gitlab.url().to_owned(),
        world.gitlab.url().replace("127.0.0.1", "localhost"),
    ])
    .start_in_vain();
    assert!(none.contains("it is no larder"), "{none}");
    // One that cannot be a parent keeps nothing from starting beside one that is.
    let mixed = Larder::under_all(&[urls[0].clone(), world.gitlab.url().to_owned()]).start();
    assert_eq!(
        words(&readiness(&mixed)),
        ["parent_unusable"],
        "{}",
        mixed.log()
    );
}
