//! Several larders behind one name: whichever is given a request, of whatever the others have said before, nothing sticks
//! to one.

use std::time::{Duration, Instant};

use crate::common::delivery::{eventually, kept};
use crate::common::mirror::{self, FORMATS, JSON, get_as, listed};
use crate::common::pace::Pace;
use crate::support::balancer::Balancer;
use crate::support::installer::Installer;
use crate::support::wheel::real_wheels;
use crate::support::{
    Artifact, Client, Distribution, Engine, Fleet, GitLab, Larder, PublicIndex, path, token,
};
use crate::upload::pass_through::upload;

/// As larder runs by itself, with pages that count for a second.
const SETTINGS: &str = "[metadata]\n[index]\nttl = \"1s\"\nstale_while_revalidate = \"0s\"\n[auth]\ncache_ttl = \"1s\"";

/// What stands behind the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Alone,
    SharedStore,
    Parents,
    /// Parents that share a store.
    Both,
}

const LAYOUTS: [Layout; 4] = [
    Layout::Alone,
    Layout::SharedStore,
    Layout::Parents,
    Layout::Both,
];

struct Fleetful {
    gitlab: GitLab,
    index: PublicIndex,
    larders: Vec<Larder>,
    parents: Vec<Larder>,
    _fleet: Option<Fleet>,
}

impl Fleetful {
    fn new(layout: Layout) -> Self {
        let gitlab = GitLab::start();
        let index = PublicIndex::start();
        let fleet = match layout {
            Layout::SharedStore | Layout::Both => Some(Fleet::new(Engine::SeaweedFs)),
            Layout::Alone | Layout::Parents => None,
        };
        let before_gitlab = |prefix: &str| {
            let builder = Larder::builder(&gitlab)
                .mirror("pypi", &index)
                .sections(prefix);
            match &fleet {
                Some(fleet) => fleet.member(builder).start(),
                None => builder.start(),
            }
        };
        let mut parents = Vec::new();
        let mut larders = Vec::new();
        match layout {
            Layout::Alone | Layout::SharedStore => {
                larders.extend((0..3).map(|_| before_gitlab(SETTINGS)));
            }
            Layout::Parents | Layout::Both => {
                parents.extend((0..2).map(|_| before_gitlab(SETTINGS)));
                let urls: Vec<String> = parents.iter().map(Larder::url).collect();
                let agent = || Larder::under_all(&urls).sections(SETTINGS).start();
                larders.extend((0..3).map(|_| agent()));
            }
        }
        Self {
            gitlab,
            index,
            larders,
            parents,
            _fleet: fleet,
        }
    }

    fn addresses(&self) -> Vec<std::net::SocketAddr> {
        self.larders.iter().map(Larder::address).collect()
    }

    fn each(&self) -> Vec<Client> {
        let client = |larder: &Larder| larder.client().token(token::READER);
        self.larders.iter().map(client).collect()
    }
}

/// A file by pieces, each from the next larder: the head, the end, the middle, and the rest under the first one's tag.
fn read_in_pieces(clients: &[Client], address: &str, wheel: &Artifact, case: &str) {
    let length = wheel.bytes.len();
    let head = clients[0].head(address);
    head.expect(200);
    assert_eq!(
        head.header("Content-Length"),
        Some(length.to_string().as_str()),
        "{case}"
    );
    assert_eq!(
        head.header("Last-Modified"),
        None,
        "{case}: only what every larder says alike"
    );
    let end = clients[1].get_range(address, "bytes=-100");
    assert_eq!(end.expect(206), &wheel.bytes[length - 100..], "{case}");
    let middle = clients[2].get_range(address, "bytes=50-149");
    assert_eq!(middle.expect(206), &wheel.bytes[50..150], "{case}");
    let first = clients[0].get_range(address, "bytes=0-49");
    assert_eq!(first.expect(206), &wheel.bytes[..50], "{case}");
    let whole = clients[1].get(address);
    assert!(whole.expect(200) == &wheel.bytes[..], "{case}");
    let tag = whole.header("ETag").expect("a tag").to_owned();
    for client in clients {
        let rest = client.get_with(address, &[("Range", "bytes=150-"), ("If-Range", &tag)]);
        assert!(rest.expect(206) == &wheel.bytes[150..], "{case}");
        assert_eq!(
            client.get_if_none_match(address, &tag).status,
            304,
            "{case}"
        );
        assert_eq!(
            client.get_if_none_match(address, "\"other\"").status,
            200,
            "{case}"
        );
    }
}

#[test]
fn ranges_tags_and_conditions_mean_the_same_to_every_larder() {
    for layout in LAYOUTS {
        let town = Fleetful::new(layout);
        let private = Distribution::new("acme-app", "1.0").payload(90_000).wheel();
        let public = Distribution::new("some-lib", "1.0").payload(90_000).wheel();
        town.gitlab.publish(42, &private);
        town.index.publish(&public);
        let clients = town.each();
        for (page, file, wheel) in [
            (
                path::project_page(42, "acme-app"),
                path::project_file(42, &private),
                &private,
            ),
            (
                mirror::page("some-lib"),
                mirror::file(&town.index, &public.filename),
                &public,
            ),
        ] {
            for start in 0..3 {
                let mut turned = clients.clone();
                turned.rotate_left(start);
                let case = format!("{layout:?}, {file}, {start}");
                get_as(&turned[0], &page, JSON).expect(200);
                read_in_pieces(&turned, &file, wheel, &case);
            }
            // What one advertises is had of any, under the digest that the page tells.
            for from in &clients {
                for accept in FORMATS {
                    for link in listed(&get_as(from, &page, accept)) {
                        let Some(digest) = link.metadata else {
                            continue;
                        };
                        for client in &clients {
                            let metadata = client.get(&format!("{file}.metadata"));
                            let told = crate::support::wheel::sha256_hex(metadata.expect(200));
                            assert_eq!(told, digest, "{layout:?}");
                        }
                    }
                }
            }
        }
        town.gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn a_tag_of_one_larder_is_no_304_of_another_for_a_page_that_has_changed() {
    for layout in LAYOUTS {
        let town = Fleetful::new(layout);
        let clients = town.each();
        for round in 1..4 {
            let wheel = Distribution::new("acme-app", &format!("{round}.0")).wheel();
            town.gitlab.publish(42, &wheel);
            let page = path::project_page(42, "acme-app");
            for accept in FORMATS {
                // The tags of before, of whichever had the page by then.
                let mut tags = Vec::new();
                for client in &clients {
                    let shown = get_as(client, &page, accept);
                    let tag = shown.header("ETag").expect("a tag").to_owned();
                    tags.push((tag, mirror::names(&shown)));
                }
                for client in &clients {
                    for (tag, names) in &tags {
                        let before = mirror::names(&get_as(client, &page, accept));
                        let fields = [("Accept", accept), ("If-None-Match", tag.as_str())];
                        let shown = client.get_with(&page, &fields);
                        let after = mirror::names(&get_as(client, &page, accept));
                        // Otherwise it may have been asked for anew meanwhile.
                        if before == after {
                            match shown.status {
                                304 => assert_eq!(before, *names, "{layout:?}"),
                                _ => assert_eq!(before, mirror::names(&shown), "{layout:?}"),
                            }
                        }
                    }
                }
            }
            // All have it after a lifetime of theirs and one of what is below.
            eventually("every larder shows what was published", || {
                clients
                    .iter()
                    .all(|client| listed(&get_as(client, &page, JSON)).len() == round)
            });
        }
    }
}

#[test]
fn an_upload_through_one_is_seen_through_any_within_the_lifetimes() {
    for layout in LAYOUTS {
        let town = Fleetful::new(layout);
        let first = Distribution::new("acme-app", "1.0").wheel();
        town.gitlab.publish(42, &first);
        let page = path::project_page(42, "acme-app");
        let pace = Pace::new(&town.gitlab);
        let clients: Vec<Client> = town
            .larders
            .iter()
            .map(|larder| larder.client().token(token::DEVELOPER))
            .collect();
        for (number, client) in clients.iter().enumerate() {
            for other in &clients {
                get_as(other, &page, JSON).expect(200);
            }
            let wheel = Distribution::new("acme-app", &format!("{}.0", number + 2)).wheel();
            assert_eq!(upload(client, 42, &wheel).status, 201, "{layout:?}");
            let begun = Instant::now();
            let shown = get_as(client, &page, JSON);
            assert_eq!(
                listed(&shown).len(),
                number + 2,
                "{layout:?}: at once where it went"
            );
            for other in &clients {
                eventually("it is seen", || {
                    listed(&get_as(other, &page, JSON)).len() == number + 2
                });
                let got = other.get(&path::project_file(42, &wheel));
                assert_eq!(got.expect(200), &wheel.bytes[..], "{layout:?}");
            }
            // One second at each of the two tiers.
            pace.within(Duration::from_secs(8), begun, &format!("{layout:?}"));
        }
        assert_eq!(town.gitlab.log().posts(), 3, "{layout:?}: each once");
    }
}

#[test]
fn a_lock_is_rewritten_alike_by_any_of_them() {
    for layout in [Layout::Alone, Layout::Parents] {
        let town = Fleetful::new(layout);
        let public = Distribution::new("some-lib", "1.0").wheel();
        town.index.publish(&public);
        // What is asked for it: the index, or each of the parents.
        let mut upstreams = vec![(town.index.url(), town.index.files_prefix())];
        if layout == Layout::Parents {
            let below = |parent: &Larder| {
                let mirror = format!("{}/pypi/", parent.url());
                (format!("{mirror}simple/"), mirror)
            };
            upstreams = town.parents.iter().map(below).collect();
        }
        for (index, files) in upstreams {
            let path = town.index.file_path(&public.filename);
            let lock = format!(
                "--index-url {index}\nsome-lib @ {files}{path} --hash=sha256:{}\n",
                public.sha256
            );
            for client in town.each() {
                client.get(&mirror::page("some-lib")).expect(200);
                let reply = client.post(
                    "/-/rewrite-lock?to=http://larder.example",
                    "application/octet-stream",
                    lock.as_bytes(),
                );
                let rewritten = format!(
                    "--index-url http://larder.example/pypi/simple/\nsome-lib @ \
                     http://larder.example/pypi/{path} --hash=sha256:{}\n",
                    public.sha256
                );
                assert_eq!(reply.status, 200, "{layout:?}: {reply:?}");
                assert_eq!(reply.text(), rewritten, "{layout:?}");
            }
        }
    }
}

fn installs(layout: Layout, installer: Installer) {
    const INSTALLED: [&str; 3] = ["requests", "dateutil", "urllib3"];
    let town = Fleetful::new(layout);
    for wheel in real_wheels() {
        town.gitlab.publish(42, &wheel);
    }
    let servers = town.addresses();
    let index = path::project_index(42);
    // Cold, and then with what came.
    for (by, balancer) in [
        ("request", Balancer::start(&servers)),
        ("connection", Balancer::by_connection(&servers)),
    ] {
        let packages = ["requests", "python-dateutil"];
        let done = installer.install(balancer.address(), &index, token::READER, &packages);
        let passed = balancer.take();
        assert!(
            done.has(&INSTALLED),
            "{layout:?}, {installer:?}, by {by}: {:#?}\n{passed:#?}",
            done.outcome
        );
    }
    town.gitlab.log().assert_nothing_unexpected();
}

#[test]
fn pip_installs_by_three_larders_whatever_is_behind_them() {
    for layout in LAYOUTS {
        installs(layout, Installer::Pip);
    }
}

#[test]
fn uv_installs_by_three_larders_whatever_is_behind_them() {
    for layout in LAYOUTS {
        installs(layout, Installer::Uv);
    }
}

#[test]
fn poetry_installs_by_three_larders_under_two_parents() {
    installs(Layout::Parents, Installer::Poetry);
}

#[test]
fn a_herd_behind_one_name_is_one_transfer_with_two_parents() {
    let town = Fleetful::new(Layout::Parents);
    let wheel = Artifact::noise("large", "1.0", 3 << 20);
    town.gitlab.publish(42, &wheel);
    let file = path::project_file(42, &wheel);
    let balancer = Balancer::start(&town.addresses());
    let client = Client::new(balancer.address()).token(token::READER);
    std::thread::scope(|scope| {
        for _ in 0..9 {
            scope.spawn(|| assert!(client.get(&file).expect(200) == &wheel.bytes[..]));
        }
    });
    for larder in &town.larders {
        kept(larder, &wheel);
    }
    assert_eq!(town.gitlab.log().file_bodies().transfers, 1);
}
