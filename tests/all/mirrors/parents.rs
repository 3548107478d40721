//! Several parents that stand in for each other: each project has one as its home, and the next is asked where that one
//! is away.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::common::delivery::{eventually, kept, patiently};
use crate::common::mirror::{FORMATS, JSON, get_as, listed};
use crate::common::pace::Pace;
use crate::support::installer::Installer;
use crate::support::wheel::{real_wheels, sha256_hex};
use crate::support::{
    Artifact, Distribution, Entry, FaultyRelay, GitLab, HeldPort, Kind, Larder, Place, RelayFault,
    Role, Storage, Token, path, token,
};
use crate::upload::pass_through::upload;

/// Nothing is tried again, and no breaker hides who is asked.
pub const PLAIN: &str = "retries = 0\nbreaker_failures = 0";

/// Each request is asked for anew.
pub const ASKING: &str =
    "[auth]\ncache_ttl = \"0s\"\n[index]\nttl = \"0s\"\nstale_while_revalidate = \"0s\"";

/// A GitLab, and parents at ports of their own.
pub struct World {
    pub gitlab: GitLab,
    ports: Vec<HeldPort>,
    pub parents: Vec<Option<Larder>>,
    sections: String,
}

impl World {
    pub fn new(parents: usize) -> Self {
        Self::with(GitLab::start(), parents, "")
    }

    pub fn with(gitlab: GitLab, parents: usize, sections: &str) -> Self {
        let mut world = Self {
            gitlab,
            ports: Vec::new(),
            parents: Vec::new(),
            sections: sections.to_owned(),
        };
        for number in 0..parents {
            world.ports.push(HeldPort::new());
            let parent = world.start_parent(number);
            world.parents.push(Some(parent));
        }
        world
    }

    pub fn start_parent(&self, number: usize) -> Larder {
        Larder::builder(&self.gitlab)
            .port(self.ports[number].address().port())
            .sections(&self.sections)
            .start()
    }

    pub fn urls(&self) -> Vec<String> {
        let url = |port: &HeldPort| format!("http://{}", port.address());
        self.ports.iter().map(url).collect()
    }

    pub fn agent(&self) -> Larder {
        Larder::under_all(&self.urls())
            .gitlab_setting(PLAIN)
            .start()
    }

    pub fn parent(&self, number: usize) -> &Larder {
        self.parents[number].as_ref().expect("it runs")
    }

    pub fn kill(&mut self, number: usize) {
        drop(self.parents[number].take());
    }

    /// Which parents hold a file.
    fn holders(&self, wheel: &Artifact) -> Vec<usize> {
        let mut holders = Vec::new();
        for (number, parent) in self.parents.iter().enumerate() {
            let listing =
                crate::support::StoreListing::of(&parent.as_ref().expect("it runs").cache_dir());
            if listing.holds(&wheel.sha256) {
                holders.push(number);
            }
        }
        holders
    }
}

/// Files that GitLab, or its object store, began to send.
fn transfers(gitlab: &GitLab) -> usize {
    gitlab.log().file_bodies().transfers
}

pub fn wheels(count: usize) -> Vec<Artifact> {
    let wheel = |number| {
        Distribution::new(&format!("part-{number}"), "1.0")
            .payload(4_000)
            .wheel()
    };
    (0..count).map(wheel).collect()
}

/// The number of the parent that is the home of a project: every version of larder agrees.
pub fn home_of(urls: &[String], name: &str) -> usize {
    let weight = |number: &usize| sha256_hex(format!("{} {name}", urls[*number]).as_bytes());
    (0..urls.len()).max_by_key(weight).expect("one at least")
}

pub fn status(larder: &Larder) -> Value {
    larder.client().get("/-/status").json()
}

pub fn readiness(larder: &Larder) -> Value {
    get_as(&larder.client(), "/-/health/ready", "application/json").json()
}

pub fn words(readiness: &Value) -> Vec<&str> {
    let reasons = readiness["reasons"].as_array().expect("a list");
    let words = reasons.iter().map(|reason| reason["reason"].as_str());
    words.map(Option::unwrap_or_default).collect()
}

/// Callers with tokens of their own, and a larder for each, want one cold file at once.
fn herd(agents: usize, bytes: usize) {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    let secret = |number: usize| format!("test-agent-{number}");
    gitlab.change(|universe| {
        for number in 0..agents {
            let caller = Token::personal(&secret(number)).member(Place::Group(7), Role::Reporter);
            universe.tokens.push(caller);
        }
    });
    let wheel = Artifact::noise("large", "1.0", bytes);
    gitlab.publish(42, &wheel);
    let world = World::with(gitlab, 2, "");
    // Half of them know the parents in the other order.
    let mut urls = world.urls();
    let mut larders = Vec::new();
    for _ in 0..agents {
        larders.push(Larder::under_all(&urls).start());
        urls.reverse();
    }
    let file = path::project_file(42, &wheel);
    thread::scope(|scope| {
        for (number, larder) in larders.iter().enumerate() {
            let client = larder.client().token(&secret(number));
            let client = client.patience(Duration::from_secs(60));
            let file = &file;
            let wheel = &wheel;
            scope.spawn(move || {
                let got = client.get(file);
                assert!(got.expect(200) == &wheel.bytes[..], "agent {number}");
            });
        }
    });
    assert_eq!(transfers(&world.gitlab), 1, "one for all");
    for number in 0..agents {
        let credential = crate::support::basic::basic("__token__", &secret(number));
        let is_its = |entry: &&Entry| {
            entry.kind == Kind::File && entry.head.header("Authorization") == Some(&credential)
        };
        let asked = world.gitlab.log().entries().iter().filter(is_its).count();
        assert!(
            asked >= 1,
            "the right of caller {number} is GitLab's to say"
        );
    }
    for larder in &larders {
        kept(larder, &wheel);
    }
    world.gitlab.log().assert_nothing_unexpected();
}

#[test]
fn r37_a_herd_of_larders_under_two_parents_is_one_transfer() {
    herd(20, 20 << 20);
}

#[test]
#[ignore = "20 larders with 100 MB each: 2 GB of disk"]
fn a_herd_of_larders_under_two_parents_is_one_transfer_of_a_large_wheel() {
    herd(20, 100 << 20);
}

#[test]
fn r37_a_parent_that_comes_or_goes_moves_its_own_share_alone() {
    const FILES: usize = 60;
    let lasting = "[auth]\ncache_ttl = \"5m\"\n[index]\nttl = \"10m\"";
    let world = World::with(GitLab::start(), 3, lasting);
    let wheels = wheels(FILES);
    for wheel in &wheels {
        world.gitlab.publish(42, wheel);
    }
    let urls = world.urls();
    let read_by = |parents: &[String]| {
        let agent = Larder::under_all(parents).start();
        let reader = agent.client().token(token::READER);
        for wheel in &wheels {
            reader.get(&path::project_page(42, &wheel.name)).expect(200);
            reader.get(&path::project_file(42, wheel)).expect(200);
        }
        for parent in world.parents.iter().flatten() {
            eventually("what was read is stored", || {
                parent.metric("larder_downloads") == Some(0.0)
            });
        }
    };
    read_by(&urls[..2]);
    assert_eq!(transfers(&world.gitlab), FILES);
    let before: Vec<_> = wheels.iter().map(|wheel| world.holders(wheel)).collect();
    let mut shares = [0, 0];
    for holders in &before {
        assert_eq!(holders.len(), 1, "each has one home: {before:?}");
        shares[holders[0]] += 1;
    }
    assert!(shares.iter().all(|share| *share > FILES / 5), "{shares:?}");

    // A third one, and another order: what it takes over is fetched there, and nothing else is fetched.
    let other_order = [urls[2].clone(), urls[1].clone(), urls[0].clone()];
    read_by(&other_order);
    let moved: BTreeSet<usize> = (0..FILES)
        .filter(|number| world.holders(&wheels[*number]).contains(&2))
        .collect();
    assert_eq!(transfers(&world.gitlab), FILES + moved.len());
    assert!(
        (FILES / 10..FILES * 2 / 3).contains(&moved.len()),
        "{moved:?}"
    );
    for (number, holders) in before.iter().enumerate() {
        let mut expected = holders.clone();
        if moved.contains(&number) {
            expected.push(2);
        }
        assert_eq!(world.holders(&wheels[number]), expected, "{number}");
    }

    // Without the first again its share alone moves, and the pages' homes are those of their files.
    let left = [urls[1].clone(), urls[2].clone()];
    read_by(&left);
    for (number, holders) in before.iter().enumerate() {
        let is_moved = holders == &[0] && !moved.contains(&number);
        let now = world.holders(&wheels[number]);
        assert_eq!(
            now.len(),
            before[number].len() + usize::from(moved.contains(&number)) + usize::from(is_moved)
        );
    }
    let pages = world.gitlab.log().count(Kind::Page);
    let newly = before
        .iter()
        .enumerate()
        .filter(|(number, holders)| holders.as_slice() == [0] && !moved.contains(number));
    assert_eq!(
        pages,
        FILES + moved.len() + newly.count(),
        "a page of each home"
    );
}

#[test]
fn r37_a_refusal_is_gitlabs_word_and_no_other_parent_is_asked() {
    let world = World::with(GitLab::start(), 2, ASKING);
    let wheel = Distribution::new("acme-app", "1.0").payload(4_000).wheel();
    world.gitlab.publish(42, &wheel);
    let agent = world.agent();
    let file = path::project_file(42, &wheel);
    for (client, status) in [
        (agent.client(), 401),
        (agent.client().token(token::STRANGER), 404),
        (agent.client().token(token::NARROW), 403),
    ] {
        for address in [file.clone(), path::project_page(42, "acme-app")] {
            world.gitlab.log().clear();
            assert_eq!(client.get(&address).status, status, "{address}");
            assert_eq!(world.gitlab.log().len(), 1, "{address}: one parent asked");
        }
    }
    let reader = agent.client().token(token::READER);
    reader.get(&file).expect(200);
}

#[test]
fn r37_whatever_keeps_the_home_from_answering_the_next_one_answers() {
    let world = World::with(GitLab::start(), 2, ASKING);
    let relays: Vec<_> = [0, 1]
        .map(|number| FaultyRelay::start(world.parent(number).address()))
        .into();
    let urls: Vec<_> = relays
        .iter()
        .map(|relay| format!("http://{}", relay.address()))
        .collect();
    let agent = Larder::under_all(&urls)
        .gitlab_setting(PLAIN)
        .gitlab_setting("header_timeout = \"1s\"\nidle_timeout = \"1s\"")
        .sections(ASKING)
        .start();
    let faults = [
        RelayFault::Closed,
        RelayFault::Stalls { after: 0 },
        RelayFault::Answers {
            status: "502 Bad Gateway",
            body: "",
        },
        RelayFault::Answers {
            status: "503 Service Unavailable",
            body: "",
        },
        RelayFault::Answers {
            status: "504 Gateway Timeout",
            body: "",
        },
        // In the middle of a body of which the client has seen nothing, or a part.
        RelayFault::Cuts { after: 2_000 },
        RelayFault::Stalls { after: 2_000 },
    ];
    let reader = agent.client().token(token::READER);
    for (number, fault) in faults.into_iter().enumerate() {
        for away in [0, 1] {
            let mut names = (0..).map(|which| format!("part-{number}-{which}"));
            let name = names.find(|name| home_of(&urls, name) == away);
            let name = name.expect("one of many");
            let wheel = Distribution::new(&name, "1.0")
                .payload(100_000)
                .stored()
                .wheel();
            world.gitlab.publish(42, &wheel);
            for other in 0..60 {
                let small = Distribution::new(&name, &format!("0.{other}")).wheel();
                world.gitlab.publish(42, &small);
            }
            relays[away].fails(fault);
            let case = format!("{fault:?} at {away}, {name}");
            for accept in FORMATS {
                let page = get_as(&reader, &path::project_page(42, &name), accept);
                assert_eq!(listed(&page).len(), 61, "{case}, {accept}");
            }
            let got = reader.get(&path::project_file(42, &wheel));
            assert!(got.expect(200) == &wheel.bytes[..], "{case}");
            relays[away].fails(RelayFault::None);
        }
    }
    world.gitlab.log().assert_nothing_unexpected();
}

/// In the middle of a file, of which every client has seen a part.
#[test]
fn r37_a_parent_that_dies_in_mid_body_costs_no_byte() {
    const BYTES: usize = 6 << 20;
    let mut world = World::new(2);
    let wheel = Artifact::noise("large", "1.0", BYTES);
    world.gitlab.publish(42, &wheel);
    let agent = world.agent();
    let file = path::project_file(42, &wheel);
    let home = home_of(&world.urls(), "large");
    let gate = world.gitlab.hold(Kind::File, BYTES as u64 / 2);
    let reader = agent.client().token(token::READER);
    let mut exchanges = Vec::new();
    for _ in 0..3 {
        let mut exchange = reader.start("GET", &file, &[]);
        assert!(exchange.read_body(BYTES / 4) >= BYTES / 4);
        exchanges.push(exchange);
    }
    world.kill(home);
    gate.open();
    for exchange in exchanges {
        let reply = exchange.finish();
        assert!(reply.expect(200) == &wheel.bytes[..]);
    }
    kept(&agent, &wheel);
    kept(world.parent(1 - home), &wheel);
    assert_eq!(
        transfers(&world.gitlab),
        2,
        "and one more, of the parent that stood in"
    );
}

#[test]
fn r37_one_of_two_parents_is_killed_and_started_again_under_load() {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    for wheel in real_wheels() {
        gitlab.publish(42, &wheel);
    }
    let large: Vec<_> = (0..4)
        .map(|number| Artifact::noise(&format!("large-{number}"), "1.0", 3 << 20))
        .collect();
    for wheel in &large {
        gitlab.publish(42, wheel);
    }
    let mut world = World::with(gitlab, 2, ASKING);
    let urls = world.urls();
    let over = AtomicBool::new(false);
    let rounds = AtomicUsize::new(0);
    let installed = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (over, rounds, installed, urls, large) = (&over, &rounds, &installed, &urls, &large);
        for installer in [Installer::Pip, Installer::Uv] {
            scope.spawn(move || {
                let index = path::project_index(42);
                while !over.load(Ordering::Acquire) {
                    // New each time, as on a machine that lives for one job.
                    let agent = Larder::under_all(urls).start();
                    let packages = ["requests", "python-dateutil"];
                    let done = installer.install(agent.address(), &index, token::READER, &packages);
                    assert!(
                        done.has(&["requests", "dateutil"]),
                        "{installer:?}: {:#?}\n{}",
                        done.outcome,
                        agent.log()
                    );
                    installed.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
        scope.spawn(move || {
            while !over.load(Ordering::Acquire) {
                let agent = Larder::under_all(urls).sections(ASKING).start();
                let reader = agent.client().token(token::READER);
                for wheel in large {
                    let page = reader.get(&path::project_page(42, &wheel.name));
                    assert_eq!(page.status, 200, "{page:?}\n{}", agent.log());
                    let got = reader.get(&path::project_file(42, wheel));
                    assert_eq!(got.status, 200, "{got:?}\n{}", agent.log());
                    assert!(got.expect(200) == &wheel.bytes[..]);
                }
                rounds.fetch_add(1, Ordering::AcqRel);
            }
        });
        let until = Instant::now() + Duration::from_secs(60);
        let mut number = 0;
        let mut deaths = 0;
        while (deaths < 6 || installed.load(Ordering::Acquire) < 4) && Instant::now() < until {
            world.kill(number % 2);
            thread::sleep(Duration::from_millis(700));
            let again = world.start_parent(number % 2);
            world.parents[number % 2] = Some(again);
            thread::sleep(Duration::from_millis(700));
            number += 1;
            deaths += 1;
        }
        over.store(true, Ordering::Release);
    });
    assert!(installed.load(Ordering::Acquire) >= 2 && rounds.load(Ordering::Acquire) >= 1);
}

#[test]
fn an_upload_goes_to_one_parent_and_is_seen_at_once_whoever_is_asked() {
    let mut world = World::new(2);
    let agents = [world.agent(), world.agent()];
    for number in 0..6 {
        let name = format!("part-{number}");
        let first = Distribution::new(&name, "1.0").wheel();
        world.gitlab.publish(42, &first);
        let page = path::project_page(42, &name);
        for agent in &agents {
            let reader = agent.client().token(token::DEVELOPER);
            assert_eq!(listed(&reader.get(&page)).len(), 1);
        }
        let second = Distribution::new(&name, "2.0").wheel();
        let agent = &agents[number % 2];
        let publisher = agent.client().token(token::DEVELOPER);
        assert_eq!(upload(&publisher, 42, &second).status, 201, "{name}");
        for accept in FORMATS {
            let shown = get_as(&publisher, &page, accept);
            assert_eq!(listed(&shown).len(), 2, "{name}, {accept}: as it is now");
        }
        let got = publisher.get(&path::project_file(42, &second));
        assert_eq!(got.expect(200), &second.bytes[..]);
    }
    assert_eq!(world.gitlab.log().posts(), 6, "each once");

    // The one that would take it first is away: nothing has set out, and the next one takes it.
    for number in [0, 1] {
        world.kill(number);
        let wheel = Distribution::new("late", &format!("{number}.0")).wheel();
        let publisher = agents[0].client().token(token::DEVELOPER);
        assert_eq!(upload(&publisher, 42, &wheel).status, 201);
        let again = world.start_parent(number);
        world.parents[number] = Some(again);
    }
    assert_eq!(world.gitlab.log().posts(), 8);
}

#[test]
fn an_upload_that_may_have_arrived_is_not_sent_again() {
    let world = World::new(2);
    let relays: Vec<_> = [0, 1]
        .map(|number| FaultyRelay::start(world.parent(number).address()))
        .into();
    let urls: Vec<_> = relays
        .iter()
        .map(|relay| format!("http://{}", relay.address()))
        .collect();
    let agent = Larder::under_all(&urls).gitlab_setting(PLAIN).start();
    for relay in &relays {
        // The request goes through, and the answer does not.
        relay.fails(RelayFault::Cuts { after: 0 });
    }
    let wheel = Distribution::new("late", "1.0").payload(50_000).wheel();
    let publisher = agent.client().token(token::DEVELOPER);
    let reply = upload(&publisher, 42, &wheel);
    assert_eq!(reply.status, 502, "{reply:?}");
    thread::sleep(Duration::from_millis(300));
    assert!(world.gitlab.log().posts() <= 1, "never twice");
}

#[test]
fn a_parent_that_hangs_is_waited_for_no_longer_than_the_limit() {
    let world = World::new(2);
    let wheels = wheels(8);
    for wheel in &wheels {
        world.gitlab.publish(42, wheel);
    }
    let agent = Larder::under_all(&world.urls())
        .gitlab_setting("retries = 0\nheader_timeout = \"1s\"\nbreaker_failures = 2")
        .start();
    world.parent(0).signal(Signal::STOP);
    let reader = agent.client().token(token::READER);
    let pace = Pace::new(&world.gitlab);
    let begun = Instant::now();
    for wheel in &wheels {
        reader.get(&path::project_page(42, &wheel.name)).expect(200);
        reader.get(&path::project_file(42, wheel)).expect(200);
    }
    let waits = "two waits and the breaker's probes";
    pace.within(Duration::from_secs(9), begun, waits);
    drop(pace);
    world.parent(0).signal(Signal::CONT);
    patiently("its breaker closes again", || {
        for wheel in &wheels {
            reader
                .get_with(
                    &path::project_page(42, &wheel.name),
                    &[("Cache-Control", "no-cache"), ("Accept", JSON)],
                )
                .expect(200);
        }
        words(&readiness(&agent)).is_empty()
    });
}
