//! A poor index becomes a rich one: pages of a GitLab without metadata come to advertise that of
//! their wheels, and never what cannot be delivered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::common::delivery::{MODES, eventually, kept};
use crate::metadata::generated::hostile;
use crate::support::wheel::sha256_hex;
use crate::support::{
    Act, Artifact, Client, Distribution, GitLab, Larder, NewFile, PublicIndex, Reply, Site,
    Storage, path, token,
};
use crate::upload::pass_through::{content_type, form};

const HTML: &str = "text/html";
const JSON: &str = "application/vnd.pypi.simple.v1+json";
const FORMATS: [&str; 2] = [HTML, JSON];

/// Nothing expires by itself while a test runs, and wheels are read ahead.
const AHEAD: &str = "[metadata]\nprefetch = 8\nprefetch_delay = \"0s\"\n[auth]\ncache_ttl = \"300s\"\n[index]\nttl = \"300s\"";
/// The same, but nothing is read before somebody asks.
const NOT_AHEAD: &str =
    "[metadata]\nprefetch = 0\n[auth]\ncache_ttl = \"300s\"\n[index]\nttl = \"300s\"";

/// Longer than a page may take to show what has become known of its wheels.
const A_WHILE: Duration = Duration::from_millis(1500);

fn rich(version: &str) -> Artifact {
    let requirement = format!("other>={version}");
    Distribution::new("Rich.Pkg", version)
        .depends_on(&requirement)
        .payload(200_000)
        .wheel()
}

/// Two releases as wheels, and an sdist, which has no metadata of its own.
fn publish(gitlab: &GitLab) -> [Artifact; 2] {
    let wheels = [rich("1.0"), rich("2.0")];
    for wheel in &wheels {
        gitlab.publish(42, NewFile::from(wheel).requires_python(">=3.8"));
    }
    gitlab.publish(42, Distribution::new("Rich.Pkg", "2.0").sdist());
    wheels
}

fn get_as(client: &Client, address: &str, accept: &str) -> Reply {
    client.get_with(address, &[("Accept", accept)])
}

/// The digests of metadata that a page advertises, by the address of the file.
#[track_caller]
fn advertised(page: &Reply) -> BTreeMap<String, String> {
    page.expect(200);
    let address = |url: &str| url.split('#').next().unwrap_or_default().to_owned();
    if page.header("Content-Type") == Some(JSON) {
        let page = page.json();
        let files = page["files"].as_array().expect("a project page");
        let told = files.iter().filter_map(|file| {
            let digest = file.get("core-metadata")?["sha256"]
                .as_str()
                .expect("a table of digests");
            Some((
                address(file["url"].as_str().expect("a link")),
                digest.to_owned(),
            ))
        });
        return told.collect();
    }
    let text = page.text();
    let anchors = text
        .split("<a ")
        .skip(1)
        .map(|rest| rest.split_once('>').expect("a whole tag").0);
    let value = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!("{name}=\""))?;
        Some(rest.split_once('"').expect("a whole value").0.to_owned())
    };
    let told = anchors.filter_map(|tag| {
        let (new, old) = (
            value(tag, "data-core-metadata"),
            value(tag, "data-dist-info-metadata"),
        );
        assert_eq!(new, old, "PEP 714 asks for both: {tag}");
        let digest = new?.strip_prefix("sha256=").expect("a sha256").to_owned();
        Some((address(&value(tag, "href").expect("a link")), digest))
    });
    told.collect()
}

/// What the page must come to say of these wheels.
fn all_of(wheels: &[Artifact], address: impl Fn(&Artifact) -> String) -> BTreeMap<String, String> {
    wheels
        .iter()
        .map(|wheel| (address(wheel), sha256_hex(&wheel.metadata)))
        .collect()
}

/// Asks until the page advertises this; gives that page.
#[track_caller]
fn becomes(
    client: &Client,
    address: &str,
    accept: &str,
    wanted: &BTreeMap<String, String>,
) -> Reply {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let page = get_as(client, address, accept);
        let told = advertised(&page);
        if told == *wanted {
            return page;
        }
        assert!(
            told.iter().all(|it| wanted.get(it.0) == Some(it.1)),
            "{told:?} of {wanted:?}"
        );
        assert!(
            Instant::now() < until,
            "{address} as {accept} has only {told:?} of {wanted:?}: {page:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Asks for a while, and sees that the page never says more than this.
#[track_caller]
fn stays(client: &Client, address: &str, wanted: &BTreeMap<String, String>, case: &str) {
    let until = Instant::now() + A_WHILE;
    while Instant::now() < until {
        for accept in FORMATS {
            assert_eq!(
                advertised(&get_as(client, address, accept)),
                *wanted,
                "{case}, {accept}"
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The page without what larder added.
fn bare(page: &Reply) -> String {
    let mut text = page.text();
    for digest in advertised(page).values() {
        for added in [
            format!(
                " data-core-metadata=\"sha256={digest}\" data-dist-info-metadata=\"sha256={digest}\""
            ),
            format!(",\"core-metadata\":{{\"sha256\":\"{digest}\"}}"),
        ] {
            text = text.replace(&added, "");
        }
    }
    text
}

#[track_caller]
fn delivers(client: &Client, address: &str, wheel: &Artifact) {
    let reply = client.get(&format!("{address}.metadata"));
    assert_eq!(reply.expect(200), &wheel.metadata[..], "{address}");
    let etag = format!("\"{}\"", sha256_hex(&wheel.metadata));
    assert_eq!(reply.header("ETag"), Some(etag.as_str()), "{address}");
}

fn bytes_moved(gitlab: &GitLab) -> u64 {
    gitlab
        .log()
        .entries()
        .iter()
        .filter(|entry| entry.is_file_body())
        .map(|entry| entry.body_sent)
        .sum()
}

/// A page, and the addresses of its files.
type Place = (String, fn(&Artifact) -> String);

fn places() -> [Place; 2] {
    [
        (path::project_page(42, "rich-pkg"), |wheel| {
            path::project_file(42, wheel)
        }),
        (path::group_page(7, "rich-pkg"), |wheel| {
            path::group_file(7, wheel)
        }),
    ]
}

#[test]
fn a_poor_page_becomes_rich_behind_its_first_answer() {
    for storage in MODES {
        for pep691 in [false, true] {
            let gitlab = GitLab::builder()
                .storage(storage)
                .set(|settings| settings.pep691 = pep691)
                .start();
            let wheels = publish(&gitlab);
            let larder = Larder::builder(&gitlab).sections(AHEAD).start();
            let client = larder.client().token(token::READER);
            for (page, file) in places() {
                let wanted = all_of(&wheels, file);
                for accept in FORMATS {
                    let case = format!("{storage:?}, JSON at GitLab: {pep691}, {page} as {accept}");
                    let first = get_as(&client, &page, accept);
                    let full = becomes(&client, &page, accept, &wanted);
                    assert_eq!(
                        bare(&full),
                        bare(&first),
                        "{case}: nothing else has changed"
                    );
                    let tag =
                        |page: &Reply| page.header("ETag").expect("pages have one").to_owned();
                    let conditional = |etag: &str| {
                        client
                            .get_with(&page, &[("Accept", accept), ("If-None-Match", etag)])
                            .status
                    };
                    // In the second format it may be there at once.
                    if first.body != full.body {
                        assert_ne!(tag(&first), tag(&full), "{case}");
                        assert_eq!(conditional(&tag(&first)), 200, "{case}");
                    }
                    assert_eq!(conditional(&tag(&full)), 304, "{case}");
                }
                for wheel in &wheels {
                    delivers(&client, &file(wheel), wheel);
                }
                assert!(
                    bytes_moved(&gitlab) < 300_000,
                    "{storage:?}: no wheel was fetched whole"
                );
            }
            gitlab.log().assert_nothing_unexpected();

            // What was learned outlasts the process, and is on the first page of the next one.
            let larder = larder.restart();
            gitlab.log().clear();
            let client = larder.client().token(token::READER);
            for (page, file) in places() {
                for accept in FORMATS {
                    let first = get_as(&client, &page, accept);
                    assert_eq!(
                        advertised(&first),
                        all_of(&wheels, file),
                        "{storage:?} {page} as {accept}"
                    );
                }
                delivers(&client, &file(&wheels[0]), &wheels[0]);
            }
            assert_eq!(bytes_moved(&gitlab), 0, "{storage:?}: read once");
        }
    }
}

#[test]
fn r22_each_caller_is_told_of_the_wheels_on_his_own_page() {
    let gitlab = GitLab::start();
    let wheels = publish(&gitlab);
    // On the group's page for those who see all of the group.
    let hidden = Distribution::new("Rich.Pkg", "3.0")
        .depends_on("secret")
        .payload(200_000)
        .wheel();
    gitlab.publish(44, &hidden);
    let larder = Larder::builder(&gitlab).sections(AHEAD).start();
    let page = path::group_page(7, "rich-pkg");
    let file = |wheel: &Artifact| path::group_file(7, wheel);
    let everything: Vec<Artifact> = wheels.iter().chain([&hidden]).cloned().collect();
    for accept in FORMATS {
        becomes(
            &larder.client().token(token::READER),
            &page,
            accept,
            &all_of(&everything, file),
        );
        // Somebody who sees less profits from what is known, and learns of nothing else.
        let narrower = larder.client().token(token::WIDGETS_READER);
        let shown = becomes(&narrower, &page, accept, &all_of(&wheels, file));
        assert!(!shown.text().contains(&hidden.sha256), "{shown:?}");
        assert_eq!(
            shown.text().matches(&sha256_hex(&hidden.metadata)).count(),
            0
        );
        delivers(&narrower, &file(&wheels[1]), &wheels[1]);
        let stranger = larder.client().token(token::STRANGER);
        assert_eq!(get_as(&stranger, &page, accept).status, 404);
    }
    // Another with the same rights finds it there at once.
    let deploy = larder.client().token(token::DEVELOPER);
    assert_eq!(
        advertised(&get_as(&deploy, &page, JSON)),
        all_of(&everything, file)
    );
}

#[test]
fn pages_stay_poor_where_that_is_wanted() {
    for switch in [
        "generate = false",
        "generate = false\nprefetch = 8",
        "prefetch = 0",
    ] {
        let gitlab = GitLab::start();
        let wheels = publish(&gitlab);
        let sections = AHEAD.replace("prefetch = 8", switch);
        let larder = Larder::builder(&gitlab).sections(&sections).start();
        let client = larder.client().token(token::READER);
        let (page, file) = &places()[0];
        stays(&client, page, &BTreeMap::new(), switch);
        assert_eq!(
            gitlab.log().file_bodies().transfers,
            0,
            "{switch}: nothing is read ahead"
        );
        assert_eq!(
            client.get(&file(&wheels[0])).expect(200),
            &wheels[0].bytes[..]
        );
        kept(&larder, &wheels[0]);
        if switch == "prefetch = 0" {
            becomes(&client, page, HTML, &all_of(&wheels[..1], file));
        } else {
            stays(&client, page, &BTreeMap::new(), switch);
        }
    }
}

/// A pip takes its wheels right after their page: reading them ahead as well would only cost.
#[test]
fn wheels_that_the_pages_reader_takes_at_once_are_not_read_ahead() {
    let gitlab = GitLab::start();
    let wheels = publish(&gitlab);
    let sections = AHEAD.replace("prefetch_delay = \"0s\"", "prefetch_delay = \"1s\"");
    let larder = Larder::builder(&gitlab).sections(&sections).start();
    let client = larder.client().token(token::READER);
    let (page, file) = &places()[0];
    get_as(&client, page, JSON).expect(200);
    // One is there before its turn comes, the other is still on its way.
    assert_eq!(
        client.get(&file(&wheels[0])).expect(200),
        &wheels[0].bytes[..]
    );
    let gate = gitlab.hold(Site::FileBody, 100_000);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| client.get(&file(&wheels[1])));
        gate.wait_for(1);
        eventually("each wheel had its turn", || {
            larder.metric("larder_prefetch_queue") == Some(0.0)
        });
        gate.open();
        assert_eq!(
            slow.join().expect("a reader").expect(200),
            &wheels[1].bytes[..]
        );
    });
    assert_eq!(
        gitlab.log().file_bodies().transfers,
        2,
        "each wheel once, and nothing of it by ranges"
    );
    becomes(&client, page, JSON, &all_of(&wheels, file));
}

/// One wheel of a page, by default: the one that a resolver would look at first.
#[test]
fn only_the_likeliest_wheel_of_a_page_is_read_ahead() {
    let gitlab = GitLab::start();
    let versions = ["0.9", "1.0", "2.0", "2.0.dev1", "3.0rc1"];
    let wheels = versions.map(rich);
    for wheel in &wheels {
        gitlab.publish(42, NewFile::from(wheel).requires_python(">=3.8"));
    }
    let needs_new = NewFile::from(&rich("2.1")).requires_python(">=3.99");
    gitlab.publish(42, needs_new);
    let foreign = Distribution::new("Rich.Pkg", "2.2")
        .payload(200_000)
        .tagged("cp312-cp312-win_amd64")
        .wheel();
    gitlab.publish(42, foreign);
    let larder = Larder::builder(&gitlab)
        .sections("[metadata]\nprefetch_delay = \"0s\"\n[index]\nttl = \"300s\"")
        .start();
    let client = larder.client().token(token::READER);
    let (page, file) = &places()[0];
    get_as(&client, page, JSON).expect(200);
    becomes(&client, page, JSON, &all_of(&wheels[2..3], file));
    stays(
        &client,
        page,
        &all_of(&wheels[2..3], file),
        "nothing else is read",
    );
    assert_eq!(gitlab.log().file_bodies().transfers, 1);
}

/// Whoever takes another file of the project has made its choice.
#[test]
fn nothing_is_read_ahead_of_a_project_whose_file_the_pages_reader_takes() {
    let gitlab = GitLab::start();
    let wheels = publish(&gitlab);
    let larder = Larder::builder(&gitlab)
        .sections("[metadata]\nprefetch = 8\nprefetch_delay = \"1s\"")
        .start();
    let client = larder.client().token(token::READER);
    let (page, file) = &places()[0];
    get_as(&client, page, JSON).expect(200);
    assert_eq!(
        client.get(&file(&wheels[0])).expect(200),
        &wheels[0].bytes[..]
    );
    eventually("each wheel had its turn", || {
        larder.metric("larder_prefetch_queue") == Some(0.0)
    });
    let size = wheels[0].bytes.len() as u64;
    gitlab.log().wait_until("the wheel was sent whole", |log| {
        log.file_bodies().bytes >= size
    });
    let bodies = gitlab.log().file_bodies();
    assert_eq!((bodies.transfers, bodies.bytes), (1, size), "{bodies:?}");
}

/// A client that is at work may yet come for a wheel whose page it has read.
#[test]
fn nothing_is_read_ahead_while_the_pages_reader_is_at_work() {
    let gitlab = GitLab::start();
    let wheels = publish(&gitlab);
    let busy = Distribution::new("busy", "1.0").wheel();
    gitlab.publish(42, &busy);
    let larder = Larder::builder(&gitlab)
        .sections("[metadata]\nprefetch_delay = \"2s\"")
        .start();
    let client = larder.client().token(token::READER);
    client.get(&path::project_file(42, &busy)).expect(200);
    gitlab.log().clear();
    let (page, file) = &places()[0];
    get_as(&client, page, JSON).expect(200);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(4) {
        client.get(&path::project_file(42, &busy)).expect(200);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(gitlab.log().file_bodies().transfers, 0);
    becomes(&client, page, JSON, &all_of(&wheels[1..], file));
    assert_eq!(gitlab.log().file_bodies().transfers, 1);
}

/// Whether the wheel comes while its end is being read, or later; a small one is all end.
#[test]
fn no_byte_of_a_wheel_is_asked_for_twice() {
    for storage in MODES {
        for payload in [0, 70_000, 200_000] {
            for meanwhile in [true, false] {
                let case = format!("{storage:?}, {payload} bytes, meanwhile: {meanwhile}");
                let gitlab = GitLab::builder().storage(storage).start();
                let wheel = Distribution::new("Rich.Pkg", "1.0")
                    .payload(payload)
                    .wheel();
                gitlab.publish(42, &wheel);
                let larder = Larder::builder(&gitlab)
                    .sections("[metadata]\nprefetch_delay = \"0s\"")
                    .start();
                let client = larder.client().token(token::READER);
                let (page, file) = &places()[0];
                let gate = meanwhile.then(|| gitlab.hold(Site::FileBody, 500));
                get_as(&client, page, JSON).expect(200);
                let whole = std::thread::scope(|scope| match gate {
                    Some(gate) => {
                        gate.wait_for(1);
                        let whole = scope.spawn(|| client.get(&file(&wheel)));
                        std::thread::sleep(Duration::from_millis(200));
                        gate.open();
                        whole.join().expect("a reader")
                    }
                    None => {
                        becomes(
                            &client,
                            page,
                            JSON,
                            &all_of(std::slice::from_ref(&wheel), file),
                        );
                        client.get(&file(&wheel))
                    }
                });
                assert_eq!(whole.expect(200), &wheel.bytes[..], "{case}");
                kept(&larder, &wheel);
                let bodies = gitlab.log().file_bodies();
                assert_eq!(
                    bodies.bytes,
                    wheel.bytes.len() as u64,
                    "{case}: {:#?}",
                    gitlab.log().entries()
                );
                delivers(&client, &file(&wheel), &wheel);
                gitlab.log().assert_nothing_unexpected();
            }
        }
    }
}

#[test]
fn r1_an_end_that_was_read_ahead_is_not_put_to_the_beginning_of_another_file() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let wheel = rich("1.0");
        gitlab.publish(42, &wheel);
        let put = |bytes: bytes::Bytes, later: u64| {
            gitlab.change(|universe| {
                for stored in universe.files_mut(42, &wheel.filename) {
                    stored.bytes = bytes.clone();
                    stored.modified += Duration::from_secs(later);
                }
            });
        };
        // For a while upstream has another file in its place.
        let other = Distribution::new("Rich.Pkg", "1.0")
            .depends_on("evil")
            .payload(210_000)
            .wheel();
        put(other.bytes.clone(), 60);
        let larder = Larder::builder(&gitlab)
            .sections("[metadata]\nprefetch_delay = \"0s\"")
            .start();
        let client = larder.client().token(token::READER);
        let (page, file) = &places()[0];
        get_as(&client, page, JSON).expect(200);
        eventually("the end was read", || {
            gitlab.log().file_bodies().transfers == 1
                && larder.metric("larder_prefetch_queue") == Some(0.0)
        });
        put(wheel.bytes.clone(), 60);
        assert_eq!(
            client.get(&file(&wheel)).expect(200),
            &wheel.bytes[..],
            "{storage:?}"
        );
        kept(&larder, &wheel);
        delivers(&client, &file(&wheel), &wheel);
    }
}

#[test]
fn without_ranges_a_wheel_is_told_of_once_it_was_downloaded() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let wheels = publish(&gitlab);
        gitlab.plan(Act::IgnoreRange.at(Site::FileBody));
        let larder = Larder::builder(&gitlab).sections(AHEAD).start();
        let client = larder.client().token(token::READER);
        let (page, file) = &places()[0];
        stays(&client, page, &BTreeMap::new(), "cold");
        for count in 1..=wheels.len() {
            assert_eq!(
                client.get(&file(&wheels[count - 1])).expect(200),
                &wheels[count - 1].bytes[..]
            );
            for accept in FORMATS {
                becomes(&client, page, accept, &all_of(&wheels[..count], file));
            }
            delivers(&client, &file(&wheels[count - 1]), &wheels[count - 1]);
        }
    }
}

#[test]
fn a_release_is_told_of_after_its_upload_and_first_download() {
    for sections in [AHEAD, NOT_AHEAD] {
        let gitlab = GitLab::start();
        let larder = Larder::builder(&gitlab).sections(sections).start();
        let developer = larder.client().token(token::DEVELOPER);
        let wheel = rich("1.0");
        developer
            .post(&path::upload(42), &content_type(), &form(&wheel))
            .expect(201);
        for (page, file) in places() {
            let first = get_as(&developer, &page, JSON);
            assert!(first.text().contains(&wheel.filename), "{first:?}");
            assert_eq!(developer.get(&file(&wheel)).expect(200), &wheel.bytes[..]);
            for accept in FORMATS {
                becomes(
                    &developer,
                    &page,
                    accept,
                    &all_of(std::slice::from_ref(&wheel), file),
                );
            }
            delivers(&developer, &file(&wheel), &wheel);
        }
        // A release that takes its place is another file, of which nothing is known yet.
        let next = rich("2.0");
        developer
            .post(&path::upload(42), &content_type(), &form(&next))
            .expect(201);
        let (page, file) = &places()[0];
        let text = developer.get(page).text();
        assert!(
            text.contains(&next.filename) && text.contains(&wheel.filename),
            "{text}"
        );
        developer.get(&file(&next)).expect(200);
        becomes(&developer, page, HTML, &all_of(&[wheel, next], file));
    }
}

/// GitLab knows the files of a release by their names.
fn hostile_with_names_of_their_own() -> Vec<(&'static str, Artifact)> {
    let mut cases = hostile();
    for (build, (_, wheel)) in cases.iter_mut().enumerate() {
        wheel.filename = wheel.filename.replace("-py3-", &format!("-{build}-py3-"));
    }
    cases
}

#[test]
fn core_metadata_of_a_hostile_wheel_is_never_advertised() {
    for storage in [Storage::Disk, Storage::Redirect] {
        let gitlab = GitLab::builder().storage(storage).start();
        let cases = hostile_with_names_of_their_own();
        // On one page with a good one, whose metadata shows when the others have had their turn.
        let good = Distribution::new("hostile", "0.1")
            .depends_on("friendly")
            .payload(100_000)
            .wheel();
        gitlab.publish(42, &good);
        for (_, wheel) in &cases {
            let file = NewFile {
                name: "hostile".to_owned(),
                ..NewFile::from(wheel)
            };
            gitlab.publish(42, file);
        }
        let sections = AHEAD.replace("prefetch = 8", "prefetch = 100\nrate = 1000");
        let larder = Larder::builder(&gitlab).sections(&sections).start();
        let client = larder.client().token(token::READER);
        let page = path::project_page(42, "hostile");
        let file = |wheel: &Artifact| path::project_file(42, wheel);
        let wanted = all_of(std::slice::from_ref(&good), file);
        larder.forget_peak();
        let before = larder.peak_resident_bytes();
        becomes(&client, &page, HTML, &wanted);
        eventually("all wheels were read", || {
            larder.metric("larder_prefetch_queue") == Some(0.0)
        });
        stays(&client, &page, &wanted, "read ahead");
        let ahead = larder.peak_resident_bytes().saturating_sub(before);
        // Nor once they are here, whole and of the digest that GitLab tells.
        let direct = Client::new(gitlab.address()).token(token::READER);
        for (case, wheel) in &cases {
            assert_eq!(
                client.get(&file(wheel)).expect(200),
                &wheel.bytes[..],
                "{case}"
            );
            kept(&larder, wheel);
            let core_metadata = format!("{}.metadata", file(wheel));
            let (reply, word) = (client.get(&core_metadata), direct.get(&core_metadata));
            assert_eq!(
                (reply.status, reply.text()),
                (404, word.text()),
                "{case}: {reply:?}"
            );
        }
        stays(&client, &page, &wanted, "downloaded");
        let grown = larder.peak_resident_bytes().saturating_sub(before);
        let larder = larder.restart();
        stays(
            &larder.client().token(token::READER),
            &page,
            &wanted,
            "after a restart",
        );
        println!(
            "{storage:?}: {} hostile wheels cost {} KiB, read ahead {} KiB",
            cases.len(),
            grown >> 10,
            ahead >> 10
        );
        assert!(
            grown < 32 << 20,
            "{grown} bytes more, {ahead} of them by reading ahead"
        );
    }
}

/// Some caches give less than was asked. What they have of the whole they give all the same.
#[test]
fn an_end_that_was_read_ahead_costs_no_download_of_an_upstream_that_gives_other_parts() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let wheel = rich("1.0");
        gitlab.publish(42, &wheel);
        let larder = Larder::builder(&gitlab).sections(AHEAD).start();
        let client = larder.client().token(token::READER);
        let (page, file) = &places()[0];
        get_as(&client, page, JSON).expect(200);
        becomes(
            &client,
            page,
            JSON,
            &all_of(std::slice::from_ref(&wheel), file),
        );
        gitlab.plan(Act::AnotherRange("bytes=0-9").at(Site::FileBody).once());
        assert_eq!(
            client.get(&file(&wheel)).expect(200),
            &wheel.bytes[..],
            "{storage:?}"
        );
    }
}

/// A mirror is asked in nobody's name, whoever was shown its page in GitLab's place.
#[test]
fn nothing_is_read_ahead_of_a_mirrors_project_whose_file_the_pages_reader_takes() {
    let (gitlab, index) = (GitLab::start(), PublicIndex::start());
    let wheels = ["1.0", "2.0"].map(|version| {
        Distribution::new("public", version)
            .payload(200_000)
            .wheel()
    });
    for wheel in &wheels {
        index.publish(wheel);
    }
    let larder = Larder::builder(&gitlab)
        .mirror("pypi", &index)
        .forward("pypi")
        .sections("[metadata]\nprefetch = 8\nprefetch_delay = \"1s\"")
        .start();
    let client = larder.client().token(token::READER);
    client.get(&path::project_page(42, "public")).expect(200);
    let address = format!(
        "/pypi/{}",
        index.file_path(&wheels[0].filename).trim_start_matches('/')
    );
    assert_eq!(client.get(&address).expect(200), &wheels[0].bytes[..]);
    eventually("each wheel had its turn", || {
        larder.metric("larder_prefetch_queue") == Some(0.0)
    });
    let size = wheels[0].bytes.len() as u64;
    index.log().wait_until("the wheel was sent whole", |log| {
        log.file_bodies().bytes >= size
    });
    let bodies = index.log().file_bodies();
    assert_eq!((bodies.transfers, bodies.bytes), (1, size), "{bodies:?}");
}
