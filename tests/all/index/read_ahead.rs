//! Pages that are fetched before the client asks for them: of what the wheel requires that it
//! takes.

use std::time::Duration;

use crate::common::delivery::eventually;
use crate::common::mirror;
use crate::support::{
    Act, Artifact, Client, Distribution, GitLab, Kind, Larder, PublicIndex, path, token,
};
use crate::upload::pass_through::{content_type, form};

/// Nothing expires by itself while a test runs.
const LASTING: &str = "[auth]\ncache_ttl = \"300s\"\n[index]\nttl = \"300s\"\nread_ahead = 8";

/// Longer than larder takes to begin.
const A_WHILE: Duration = Duration::from_millis(300);

fn needing(name: &str, requirements: &[&str]) -> Artifact {
    let mut wheel = Distribution::new(name, "1.0").payload(150_000);
    for requirement in requirements {
        wheel = wheel.depends_on(requirement);
    }
    wheel.wheel()
}

fn publish(gitlab: &GitLab, names: &[&str]) {
    for name in names {
        gitlab.publish(42, Distribution::new(name, "1.0").wheel());
    }
}

/// The names of the pages that GitLab was asked for, in their order.
fn pages(gitlab: &GitLab) -> Vec<String> {
    let entries = gitlab.log().of(Kind::Page);
    let name = |path: &str| {
        path.trim_end_matches('/')
            .rsplit('/')
            .next()
            .map(str::to_owned)
    };
    let names = entries.iter().filter_map(|entry| name(entry.head.path()));
    names.collect()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[track_caller]
fn take(client: &Client, wheel: &Artifact) {
    client.get(&path::project_page(42, &wheel.name)).expect(200);
    let got = client.get(&path::project_file(42, wheel));
    assert_eq!(got.expect(200), &wheel.bytes[..]);
}

/// All that larder does by itself is done.
fn settle(gitlab: &GitLab) {
    std::thread::sleep(A_WHILE);
    gitlab.log().answered();
}

#[test]
fn the_pages_of_what_a_wheel_requires_are_fetched_once_and_before_they_are_asked_for() {
    let gitlab = GitLab::start();
    publish(&gitlab, &["part-one", "part-two", "extra", "for-windows"]);
    let whole = needing(
        "whole",
        &[
            "Part.One>=1",
            "part_two[fast]",
            "extra ; extra == 'more'",
            "for-windows ; sys_platform == 'win32'",
        ],
    );
    gitlab.publish(42, &whole);
    let larder = Larder::builder(&gitlab).sections(LASTING).start();
    let client = larder.client().private_token(token::READER);
    take(&client, &whole);
    eventually("two pages are read ahead", || pages(&gitlab).len() == 3);
    settle(&gitlab);
    assert_eq!(sorted(pages(&gitlab)), ["part-one", "part-two", "whole"]);
    let own = gitlab.log().of(Kind::Page);
    let credential = own[0].head.header("PRIVATE-TOKEN").map(str::to_owned);
    assert!(credential.is_some());
    for entry in &own {
        let shown = entry.head.header("PRIVATE-TOKEN").map(str::to_owned);
        assert_eq!(shown, credential, "in the client's own name");
    }
    for name in ["part-one", "part-two"] {
        client.get(&path::project_page(42, name)).expect(200);
    }
    assert_eq!(pages(&gitlab).len(), 3, "nothing is asked twice");
    // In the other format it is another page.
    client
        .get_with(
            &path::project_page(42, "part-one"),
            &[("Accept", mirror::JSON)],
        )
        .expect(200);
    assert_eq!(pages(&gitlab).len(), 4);
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn pages_are_read_ahead_of_a_wheel_whose_metadata_is_taken() {
    let gitlab = GitLab::start();
    publish(&gitlab, &["part"]);
    let whole = needing("whole", &["part"]);
    gitlab.publish(42, &whole);
    let larder = Larder::builder(&gitlab)
        .sections("[metadata]\nprefetch = 0\n[auth]\ncache_ttl = \"300s\"\n[index]\nttl = \"2s\"\nstale_while_revalidate = \"0s\"\nread_ahead = 8")
        .start();
    let client = larder.client().private_token(token::READER);
    take(&client, &whole);
    eventually("the page is read ahead", || pages(&gitlab).len() == 2);
    client.get(&path::project_page(42, "part")).expect(200);
    std::thread::sleep(Duration::from_millis(2500));
    // Both pages have lapsed.
    gitlab.log().clear();
    client.get(&path::project_page(42, "whole")).expect(200);
    let metadata = format!("{}.metadata", path::project_file(42, &whole));
    client.get(&metadata).expect(200);
    eventually("the page is asked for again", || pages(&gitlab).len() == 2);
    client.get(&path::project_page(42, "part")).expect(200);
    settle(&gitlab);
    assert_eq!(pages(&gitlab), ["whole", "part"]);
}

#[test]
fn a_caller_that_does_not_resolve_or_may_not_read_has_nothing_read_ahead() {
    let gitlab = GitLab::start();
    publish(&gitlab, &["part"]);
    let (whole, other) = (needing("whole", &["part"]), needing("other", &["part"]));
    gitlab.publish(42, &whole);
    gitlab.publish(42, &other);
    let larder = Larder::builder(&gitlab).sections(LASTING).start();
    let stranger = larder.client().private_token(token::STRANGER);
    let reader = larder.client().private_token(token::READER);
    // Without its page, as from a lock file.
    let got = reader.get(&path::project_file(42, &other));
    assert_eq!(got.expect(200), &other.bytes[..]);
    // With a page that larder had: another caller resolves.
    let colleague = larder.client().private_token(token::DEVELOPER);
    colleague.get(&path::project_page(42, "whole")).expect(200);
    reader.get(&path::project_page(42, "whole"));
    for address in [
        path::project_page(42, "whole"),
        path::project_file(42, &whole),
    ] {
        let refused = stranger.get(&address).status;
        assert!(matches!(refused, 401 | 403 | 404), "{refused}");
    }
    settle(&gitlab);
    gitlab.log().clear();
    // A download of the colleague's, along which the stranger may not read.
    let gate = gitlab.hold(Kind::File, 10_000);
    let address = path::project_file(42, &whole);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| colleague.get(&address));
        gate.wait_for(1);
        let refused = stranger.get(&address).status;
        assert!(matches!(refused, 401 | 403 | 404), "{refused}");
        gate.open();
        assert_eq!(reading.join().expect("no panic").status, 200);
    });
    eventually("the colleague's page is read ahead", || {
        pages(&gitlab) == ["part"]
    });
    settle(&gitlab);
    assert_eq!(pages(&gitlab), ["part"], "for the colleague alone");
    let asked = gitlab.log().last(Kind::Page);
    assert_eq!(asked.head.header("PRIVATE-TOKEN"), Some(token::DEVELOPER));
    let refused = stranger.get(&path::project_page(42, "part")).status;
    assert!(matches!(refused, 401 | 403 | 404), "{refused}");
}

#[test]
fn a_caller_that_leaves_pages_unasked_for_has_no_more_read_ahead() {
    let gitlab = GitLab::start();
    let names = ["one", "two", "three", "four", "five", "six"];
    publish(&gitlab, &names);
    let (first, second) = (needing("first", &names), needing("second", &names));
    gitlab.publish(42, &first);
    gitlab.publish(42, &second);
    let sections = LASTING.replace("read_ahead = 8", "read_ahead = 2");
    let larder = Larder::builder(&gitlab).sections(&sections).start();
    let client = larder.client().private_token(token::READER);
    take(&client, &first);
    eventually("two pages are read ahead", || pages(&gitlab).len() == 3);
    take(&client, &second);
    settle(&gitlab);
    assert_eq!(pages(&gitlab).len(), 4, "the two, and the wheels' own");
    // One is asked for after all: there is room for another.
    client.get(&path::project_page(42, "one")).expect(200);
    let third = needing("third", &["five", "six"]);
    gitlab.publish(42, &third);
    take(&client, &third);
    eventually("one more is read ahead", || pages(&gitlab).len() == 6);
    settle(&gitlab);
    assert_eq!(pages(&gitlab)[4..], ["third", "five"]);

    let off = LASTING.replace("read_ahead = 8", "read_ahead = 0");
    let larder = Larder::builder(&gitlab).sections(&off).start();
    gitlab.log().clear();
    take(&larder.client().private_token(token::READER), &first);
    settle(&gitlab);
    assert_eq!(pages(&gitlab), ["first"]);
}

#[test]
fn an_answer_that_is_no_page_waits_for_its_caller_once_and_for_no_upload() {
    let gitlab = GitLab::start();
    let whole = needing("whole", &["part", "left-pad"]);
    gitlab.publish(42, &whole);
    let larder = Larder::builder(&gitlab)
        .forward("pass")
        .sections(LASTING)
        .start();
    let client = larder.client().private_token(token::DEVELOPER);
    take(&client, &whole);
    eventually("both are asked for", || pages(&gitlab).len() == 3);
    settle(&gitlab);
    let direct = Client::new(gitlab.address()).private_token(token::DEVELOPER);
    let theirs = direct.get(&path::project_page(42, "left-pad"));
    gitlab.log().clear();
    let held = client.get(&path::project_page(42, "left-pad"));
    assert_eq!(held.status, theirs.status);
    assert_eq!(held.header("Location"), theirs.header("Location"));
    assert_eq!(
        pages(&gitlab),
        [""; 0],
        "what was asked ahead is the answer"
    );
    client.get(&path::project_page(42, "left-pad"));
    assert_eq!(pages(&gitlab), ["left-pad"], "once");
    gitlab.log().clear();
    let part = Distribution::new("part", "1.0").wheel();
    let uploaded = client.post(&path::upload(42), &content_type(), &form(&part));
    uploaded.expect(201);
    client.get(&path::project_page(42, "part")).expect(200);
    assert_eq!(
        pages(&gitlab),
        ["part"],
        "an upload ends what was said before"
    );
}

/// How often the page of this project was asked for.
fn count(gitlab: &GitLab, name: &str) -> usize {
    let mut pages = pages(gitlab);
    pages.retain(|page| page == name);
    pages.len()
}

#[test]
fn a_failure_ahead_is_not_told_and_ends_it_for_the_caller() {
    for act in [
        Act::Status(500),
        Act::Status(503),
        Act::Status(429),
        Act::CutHead { after: 0 },
    ] {
        let gitlab = GitLab::start();
        publish(&gitlab, &["part", "other"]);
        let (whole, more) = (needing("whole", &["part"]), needing("more", &["other"]));
        gitlab.publish(42, &whole);
        gitlab.publish(42, &more);
        let larder = Larder::builder(&gitlab)
            .gitlab_setting("retries = 2")
            .gitlab_setting("breaker_failures = 1")
            .sections(LASTING)
            .start();
        let client = larder.client().private_token(token::READER);
        let fault = gitlab.plan(act.clone().at(Kind::Page).containing("/part"));
        take(&client, &whole);
        eventually("it is asked for in vain", || count(&gitlab, "part") == 1);
        // Longer than the pause before another try.
        std::thread::sleep(Duration::from_millis(500));
        settle(&gitlab);
        assert_eq!(count(&gitlab, "part"), 1, "{act:?}: tried once");
        fault.remove();
        // No breaker is open.
        client.get(&path::project_page(42, "part")).expect(200);
        assert_eq!(count(&gitlab, "part"), 2, "{act:?}");
        take(&client, &more);
        settle(&gitlab);
        assert_eq!(count(&gitlab, "other"), 0, "{act:?}: no more for it");
    }
}

#[test]
fn a_caller_that_waits_for_what_fails_ahead_asks_for_itself() {
    let gitlab = GitLab::start();
    publish(&gitlab, &["part"]);
    let whole = needing("whole", &["part"]);
    gitlab.publish(42, &whole);
    let larder = Larder::builder(&gitlab)
        .gitlab_setting("retries = 0")
        .gitlab_setting("header_timeout = \"1s\"")
        .sections(LASTING)
        .start();
    let client = larder.client().private_token(token::READER);
    let stall = Act::StallBeforeHead(Duration::from_secs(2));
    let fault = gitlab.plan(stall.at(Kind::Page).containing("/part").once());
    take(&client, &whole);
    eventually("it is asked for", || count(&gitlab, "part") == 1);
    client.get(&path::project_page(42, "part")).expect(200);
    assert_eq!(count(&gitlab, "part"), 2);
    fault.remove();
}

#[test]
fn nothing_is_read_ahead_after_upstream_failed_until_it_answers() {
    let gitlab = GitLab::start();
    publish(&gitlab, &["part", "failing"]);
    let whole = needing("whole", &["part"]);
    gitlab.publish(42, &whole);
    let larder = Larder::builder(&gitlab)
        .gitlab_setting("retries = 0")
        .sections("[metadata]\nprefetch = 0\n[auth]\ncache_ttl = \"300s\"\n[index]\nttl = \"2s\"\nstale_while_revalidate = \"0s\"\nread_ahead = 8")
        .start();
    let client = larder.client().private_token(token::READER);
    take(&client, &whole);
    eventually("the page is read ahead", || count(&gitlab, "part") == 1);
    client.get(&path::project_page(42, "part")).expect(200);
    std::thread::sleep(Duration::from_millis(2500));
    // Both pages have lapsed.
    gitlab.log().clear();
    client.get(&path::project_page(42, "whole")).expect(200);
    let fault = gitlab.plan(Act::CutHead { after: 0 }.at(Kind::Page));
    let failed = client.get(&path::project_page(42, "failing")).status;
    assert_eq!(failed, 502);
    fault.remove();
    // Which GitLab is not asked for.
    let metadata = format!("{}.metadata", path::project_file(42, &whole));
    client.get(&metadata).expect(200);
    settle(&gitlab);
    assert_eq!(pages(&gitlab), ["whole", "failing"]);
    client.get(&path::project_page(42, "part")).expect(200);
    assert_eq!(count(&gitlab, "part"), 1);
}

#[test]
fn a_page_too_large_to_keep_is_read_ahead_once() {
    let gitlab = GitLab::start();
    for version in 0..40 {
        let wheel = Distribution::new("part", &format!("1.{version}")).wheel();
        gitlab.publish(42, wheel);
    }
    let (whole, more) = (needing("whole", &["part"]), needing("more", &["part"]));
    gitlab.publish(42, &whole);
    gitlab.publish(42, &more);
    let sections = format!("{LASTING}\npage_size = \"4KiB\"");
    let larder = Larder::builder(&gitlab).sections(&sections).start();
    let client = larder.client().private_token(token::READER);
    take(&client, &whole);
    eventually("it is read ahead", || count(&gitlab, "part") == 1);
    settle(&gitlab);
    client.get(&path::project_page(42, "part")).expect(200);
    assert_eq!(count(&gitlab, "part"), 2);
    take(&client, &more);
    settle(&gitlab);
    assert_eq!(count(&gitlab, "part"), 2, "not again");
}

#[test]
fn r31_a_private_name_is_not_read_ahead_at_a_mirror() {
    let left = Distribution::new("left-pad", "1.3")
        .depends_on("acme-tool")
        .depends_on("right-pad")
        .payload(150_000)
        .wheel();
    let index = PublicIndex::builder()
        .offering(&left)
        .offering(Distribution::new("right-pad", "1.0").wheel())
        .offering(Distribution::new("acme-tool", "99.0").wheel())
        .start();
    index.declare_private(&["acme-*"]);
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .mirror("pypi", &index)
        .forward("pypi")
        .private_names(&["acme-*"])
        .sections(LASTING)
        .start();
    let client = larder.client().private_token(token::READER);
    // By the mirror's own address, and in GitLab's place.
    for page in [mirror::page("left-pad"), path::project_page(42, "left-pad")] {
        client.get(&page).expect(200);
        let file = mirror::file(&index, &left.filename);
        assert_eq!(client.get(&file).expect(200), &left.bytes[..]);
        eventually("the public one is read ahead", || {
            let entries = index.log().entries();
            entries
                .iter()
                .any(|entry| entry.head.path().contains("right-pad"))
        });
        settle(&gitlab);
    }
    for entry in index.log().entries() {
        assert!(!entry.head.path().contains("acme"), "{entry:?}");
    }
    index.log().assert_nothing_unexpected();
    index.assert_never_told(&[token::READER]);
}

/// The names of the pages that an index was asked for.
fn asked_of(index: &PublicIndex) -> Vec<String> {
    let mut names = Vec::new();
    for entry in index.log().entries() {
        let path = entry.head.path().trim_end_matches('/');
        if let Some((_, name)) = path.rsplit_once("/simple/") {
            names.push(name.to_owned());
        }
    }
    names
}

#[test]
fn r31_what_a_private_wheel_requires_reaches_no_index_that_did_not_give_the_wheel() {
    let index = PublicIndex::builder()
        .offering(Distribution::new("numpy", "2.0").wheel())
        .start();
    let gitlab = GitLab::start();
    let numpy = needing("numpy", &["acme-mkl"]);
    gitlab.publish(42, &numpy);
    publish(&gitlab, &["acme-mkl"]);
    let larder = Larder::builder(&gitlab)
        .mirror("pypi", &index)
        .forward("pypi")
        .sections(LASTING)
        .start();
    let client = larder.client().private_token(token::DEVELOPER);
    // The page of the same project that was given last is another index's.
    client.get(&path::project_page(42, "numpy")).expect(200);
    client.get(&mirror::page("numpy")).expect(200);
    client.get(&path::project_file(42, &numpy)).expect(200);
    eventually("it is read ahead where the wheel is from", || {
        pages(&gitlab) == ["numpy", "acme-mkl"]
    });
    settle(&gitlab);
    assert_eq!(asked_of(&index), ["numpy"]);
    let colleague = larder.client().private_token(token::READER);
    colleague.get(&mirror::page("numpy"));
    colleague.get(&path::project_file(42, &numpy)).expect(200);
    settle(&gitlab);
    assert_eq!(asked_of(&index), ["numpy"], "a page that lists it not");
}

#[test]
fn r31_a_redirect_that_was_read_ahead_is_followed_when_the_caller_asks() {
    let index = PublicIndex::builder()
        .offering(Distribution::new("right-pad", "1.0").wheel())
        .start();
    let gitlab = GitLab::start();
    // The one is kept in another project, which the client will ask.
    let acme = needing("acme-a", &["acme-b", "right-pad"]);
    gitlab.publish(42, &acme);
    let larder = Larder::builder(&gitlab)
        .mirror("pypi", &index)
        .forward("pypi")
        .sections(LASTING)
        .start();
    let client = larder.client().private_token(token::DEVELOPER);
    take(&client, &acme);
    eventually("both are read ahead", || pages(&gitlab).len() == 3);
    settle(&gitlab);
    assert_eq!(asked_of(&index), [""; 0], "no redirect is followed");
    client.get(&path::project_page(42, "right-pad")).expect(200);
    assert_eq!(asked_of(&index), ["right-pad"]);
    assert_eq!(pages(&gitlab).len(), 3, "GitLab's redirect waited");
    client.get(&path::project_page(42, "right-pad")).expect(200);
    assert_eq!(pages(&gitlab).len(), 3, "and counts from then on");
}
