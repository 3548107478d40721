//! Two tiers: agents' larders that ask a central one, their parent, in place of GitLab and of the
//! mirrors that it serves.

use std::time::Duration;

use serde_json::Value;

use crate::common::delivery::{eventually, kept};
use crate::common::mirror::{self, FORMATS, HTML, JSON, get_as, listed};
use crate::support::{
    Artifact, Authority, Client, Distribution, Entry, GitLab, HeldPort, Larder, Place, PublicIndex,
    path, token,
};

/// Nothing is tried again, so that a test need not wait.
const PLAIN: &str = "retries = 0\nbreaker_failures = 0";

/// Each request is GitLab's, or the mirror's, to answer.
const ASKING: &str = "[auth]\ncache_ttl = \"0s\"\n[index]\nttl = \"0s\"";

struct World {
    gitlab: GitLab,
    index: PublicIndex,
    private: Artifact,
    public: Artifact,
}

impl World {
    fn new() -> Self {
        let private = Distribution::new("acme-app", "1.0").payload(60_000).wheel();
        let public = Distribution::new("some.lib", "1.2").payload(60_000).wheel();
        let gitlab = GitLab::start();
        gitlab.publish(42, &private);
        Self {
            index: PublicIndex::builder().offering(&public).start(),
            gitlab,
            private,
            public,
        }
    }

    /// The parent, at a port of its own.
    fn parent(&self, port: u16, sections: &str) -> Larder {
        Larder::builder(&self.gitlab)
            .mirror_with("pypi", &self.index, PLAIN)
            .forward("pypi")
            .gitlab_setting(PLAIN)
            .private_names(&["acme-*"])
            .sections(sections)
            .port(port)
            .start()
    }

    fn public_file(&self) -> String {
        mirror::file(&self.index, &self.public.filename)
    }

    /// Whole files that GitLab and the index have sent.
    fn transfers(&self) -> usize {
        let is_whole = |entry: &&Entry| entry.is_file_body() && entry.status == Some(200);
        let gitlab = self.gitlab.log().entries();
        let index = self.index.log().entries();
        gitlab.iter().chain(&index).filter(is_whole).count()
    }

    /// Everything that a job asks for, with its pages in both formats.
    fn is_served_whole(&self, client: &Client) {
        for accept in FORMATS {
            for page in [
                path::project_page(42, "acme-app"),
                path::group_page(7, "acme-app"),
                path::group_page(7, "some-lib"),
                mirror::page("some-lib"),
            ] {
                let shown = get_as(client, &page, accept);
                shown.expect(200);
                assert_eq!(listed(&shown).len(), 1, "{page}: {shown:?}");
            }
        }
        let shown = get_as(client, &path::group_page(7, "some-lib"), HTML);
        assert_eq!(listed(&shown)[0].url, self.public_file(), "under its name");
        let private = client.get(&path::project_file(42, &self.private));
        assert_eq!(private.expect(200), &self.private.bytes[..]);
        let public = client.get(&self.public_file());
        assert_eq!(public.expect(200), &self.public.bytes[..]);
    }
}

fn status(larder: &Larder) -> Value {
    larder.client().get("/-/status").json()
}

fn reasons(larder: &Larder) -> Vec<String> {
    let ready = get_as(&larder.client(), "/-/health/ready", "application/json").json();
    let reasons = ready["reasons"].as_array().cloned().unwrap_or_default();
    let words = reasons.iter().map(|reason| reason["reason"].to_string());
    words
        .map(|word| word.trim_matches('"').to_owned())
        .collect()
}

#[test]
fn agents_take_over_their_parents_gitlab_and_mirrors() {
    let world = World::new();
    let parent = world.parent(0, "");
    assert_eq!(status(&parent)["mirrors"], serde_json::json!(["pypi"]));
    assert_eq!(status(&parent)["parents"], serde_json::json!([]));
    let first = Larder::under(&parent.url()).start();
    let second = Larder::under(&parent.url()).start();
    for (agent, secret) in [(&first, token::READER), (&second, token::DEVELOPER)] {
        world.is_served_whole(&agent.client().token(secret));
        kept(agent, &world.private);
        kept(agent, &world.public);
        let told = status(agent);
        assert_eq!(told["parents"][0]["state"], "known", "{told}");
        assert_eq!(told["mirrors"], serde_json::json!(["pypi"]), "{told}");
        assert_eq!(reasons(agent), [""; 0], "{}", agent.log());
    }
    assert_eq!(world.transfers(), 2, "each file once for both");
    world.gitlab.log().assert_nothing_unexpected();
    world.index.log().assert_nothing_unexpected();
    world
        .index
        .assert_never_told(&[token::READER, token::DEVELOPER, "acme"]);

    // The parent's rules hold: the index is never asked for a private name.
    let refused = first.client().get(&mirror::page("acme-app"));
    assert_eq!(refused.status, 404, "{refused:?}");
    assert_eq!(first.client().get("/other/simple/some-lib/").status, 404);
}

#[test]
fn rights_stay_gitlabs_through_two_tiers() {
    let world = World::new();
    let parent = world.parent(0, ASKING);
    let agent = Larder::under(&parent.url()).sections(ASKING).start();
    world.is_served_whole(&agent.client().token(token::READER));
    let file = path::project_file(42, &world.private);
    for (client, status) in [
        (agent.client(), 401),
        (agent.client().token(token::STRANGER), 404),
        (agent.client().token(token::NARROW), 403),
    ] {
        assert_eq!(client.get(&file).status, status);
        let page = client.get(&path::project_page(42, "acme-app"));
        assert_eq!(page.status, status);
    }
    let reader = agent.client().token(token::READER);
    reader.get(&file).expect(200);
    world
        .gitlab
        .change(|universe| universe.withdraw(token::READER, Place::Group(7)));
    assert_eq!(reader.get(&file).status, 404, "{}", agent.log());
    world.gitlab.revoke(token::DEVELOPER);
    let revoked = agent.client().token(token::DEVELOPER);
    assert_eq!(revoked.get(&file).status, 401);
    assert_eq!(revoked.get(&path::project_page(42, "acme-app")).status, 401);
    // What is public is for every client.
    reader.get(&world.public_file()).expect(200);
}

#[test]
fn an_agent_starts_and_serves_while_its_parent_is_away() {
    let world = World::new();
    let port = HeldPort::new();
    let mut parent = world.parent(port.address().port(), "");
    let agent = Larder::under(&parent.url()).gitlab_setting(PLAIN).start();
    world.is_served_whole(&agent.client().token(token::READER));
    kept(&agent, &world.private);
    kept(&agent, &world.public);
    parent.kill();

    // While its minute runs, and for what is public at any time.
    let reader = agent.client().token(token::READER);
    reader
        .get(&path::project_file(42, &world.private))
        .expect(200);
    let agent = agent.restart();
    agent.wait_for_log("as it told them last");
    let told = status(&agent);
    assert_eq!(told["parents"][0]["state"], "away", "{told}");
    let client = agent.client();
    for accept in FORMATS {
        get_as(&client, &mirror::page("some-lib"), accept).expect(200);
    }
    client.get(&world.public_file()).expect(200);
    let reader = agent.client().token(token::READER);
    let private = reader.get(&path::project_file(42, &world.private));
    assert_eq!(private.status, 504, "GitLab cannot be asked: {private:?}");

    let parent = world.parent(port.address().port(), "");
    eventually("the parent is asked again", || {
        status(&agent)["parents"][0]["state"] == "known"
    });
    world.is_served_whole(&reader);
    drop(parent);
}

#[test]
fn an_agent_that_never_met_its_parent_waits_for_it_and_says_so() {
    let world = World::new();
    let port = HeldPort::new();
    let agent = Larder::under(&format!("http://{}/", port.address()))
        .gitlab_setting(PLAIN)
        .start();
    agent.wait_for_log("no mirror is known before the parent has answered once");
    let waiting = agent.client().get(&mirror::page("some-lib"));
    assert_eq!(waiting.status, 504, "no 404, which would be an answer");
    assert!(waiting.text().contains("parent"), "{waiting:?}");
    assert_eq!(reasons(&agent), ["parent_unusable"]);
    let ready = agent.client().get("/-/health/ready");
    assert_eq!(
        ready.status, 200,
        "GitLab's addresses are served: {ready:?}"
    );

    let _parent = world.parent(port.address().port(), "");
    eventually("the parent has told its mirrors", || {
        agent.client().get(&mirror::page("some-lib")).status == 200
    });
    world.is_served_whole(&agent.client().token(token::READER));
    assert_eq!(reasons(&agent), [""; 0], "{}", agent.log());
}

/// No token of a caller's has a part in it, and GitLab none.
#[test]
fn a_404_of_a_parents_mirror_is_told_as_the_mirrors() {
    let world = World::new();
    let parent = world.parent(0, "");
    let agent = Larder::under(&parent.url()).start();
    let client = agent.client().token(token::READER);
    client.get(&mirror::page("nowhere")).expect(404);
    agent.wait_for_log("answered 404: it has no such package or file");
    assert!(
        !agent.log().contains("none that this caller may see"),
        "{}",
        agent.log()
    );
    let failures = status(&agent)["failures"].to_string();
    assert!(
        failures.contains("it has no such package or file"),
        "{failures}"
    );
}

#[test]
fn what_a_parent_serves_anew_is_learned_at_a_reload() {
    let world = World::new();
    let port = HeldPort::new();
    let first = Larder::builder(&world.gitlab)
        .port(port.address().port())
        .start();
    let agent = Larder::under(&first.url()).start();
    agent.client().get(&mirror::page("some-lib")).expect(404);
    drop(first);
    let _second = world.parent(port.address().port(), "");
    agent.signal(rustix::process::Signal::HUP);
    agent.wait_for_log("the configuration was read again and is in force");
    world.is_served_whole(&agent.client().token(token::READER));
}

#[test]
fn an_agent_offline_serves_what_it_has_of_its_parents_mirrors() {
    let world = World::new();
    let mut parent = world.parent(0, "");
    let mut agent = Larder::under(&parent.url()).start();
    world.is_served_whole(&agent.client().token(token::READER));
    kept(&agent, &world.public);
    agent.terminate();
    parent.kill();
    world.gitlab.log().clear();
    let offline = Larder::under(&parent.url())
        .at_home_of(&agent)
        .argument("--offline")
        .start();
    let client = offline.client();
    get_as(&client, &mirror::page("some-lib"), JSON).expect(200);
    let public = client.get(&world.public_file());
    assert_eq!(public.expect(200), &world.public.bytes[..]);
    let asked = &status(&offline)["parents"];
    assert_eq!(*asked, serde_json::json!([]), "it is not asked");
    assert_eq!(reasons(&offline), [""; 0]);
}

#[test]
fn a_stale_page_of_the_parents_is_no_fresher_at_the_agent() {
    let world = World::new();
    let mut parent = world.parent(0, "[index]\nttl = \"0s\"");
    let agent = Larder::under(&parent.url())
        .gitlab_setting(PLAIN)
        .sections("[index]\nttl = \"0s\"\nstale_if_error = \"3s\"")
        .start();
    let near = agent.client().token(token::READER);
    let page = path::project_page(42, "acme-app");
    let central = parent.client().token(token::READER);
    central.get(&page).expect(200);
    drop(world.gitlab);
    std::thread::sleep(Duration::from_millis(3_500));
    let stale = central.get(&page);
    stale.expect(200);
    assert!(stale.header("Age").is_some(), "{stale:?}");
    for round in ["page", "confirmation"] {
        let shown = near.get(&page);
        assert_eq!(shown.status, 200, "{round}: {shown:?}");
    }
    parent.kill();
    let late = near.get(&page);
    assert_eq!(late.status, 504, "older than stale_if_error: {late:?}");
}

#[test]
fn what_cannot_be_a_parent_is_refused_with_what_to_do() {
    let world = World::new();
    let said = Larder::under(world.gitlab.url()).start_in_vain();
    assert!(said.contains("it is no larder"), "{said}");

    let said = Larder::in_front_of(world.gitlab.url())
        .setting("parent = \"http://127.0.0.1:9\"")
        .start_in_vain();
    assert!(said.contains("gitlab.url: parent is set too"), "{said}");
    let both = Larder::under("http://127.0.0.1:9")
        .argument("--gitlab=https://gitlab.example")
        .start_in_vain();
    assert!(both.contains("remove one of the two"), "{both}");

    let port = HeldPort::new();
    let own = format!("http://localhost:{}", port.address().port());
    let said = Larder::under(&own)
        .port(port.address().port())
        .start_in_vain();
    assert!(said.contains("is this larder itself"), "{said}");
}

#[test]
fn larders_that_are_each_others_parents_say_that_it_is_a_loop() {
    let ports = [HeldPort::new(), HeldPort::new()];
    let url = |port: &HeldPort| format!("http://{}", port.address());
    let start = |own: &HeldPort, parent: &HeldPort| {
        Larder::under(&url(parent))
            .gitlab_setting(PLAIN)
            .port(own.address().port())
            .start()
    };
    let first = start(&ports[0], &ports[1]);
    let _second = start(&ports[1], &ports[0]);
    let caller = first.client().token(token::READER);
    let refused = caller.get(&path::project_page(42, "acme-app"));
    assert_eq!(refused.status, 508, "{refused:?}");
    assert!(refused.text().contains("loop"), "{refused:?}");
}

#[test]
fn doctor_knows_a_larder_when_it_meets_one() {
    let world = World::new();
    let parent = world.parent(0, "");
    let mut agent = Larder::under(&parent.url()).start();
    let said = |larder: &Larder| {
        let output = larder.command(&["doctor"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let version = env!("CARGO_PKG_VERSION");
    let under = said(&agent);
    let line =
        format!("parent: larder: this is larder {version}, ready; it serves the mirrors pypi");
    assert!(under.contains(&line), "{under}");
    let line = "the parent's mirror pypi: index: the parent serves it";
    assert!(under.contains(line), "{under}");
    assert!(!under.contains("version:"), "no GitLab was asked: {under}");

    let before = said(&Larder::in_front_of(&parent.url()).start());
    let line = format!("gitlab: larder: this is larder {version}, ready; with parent");
    assert!(before.contains(&line), "{before}");
    let lone = said(&parent);
    assert!(!lone.contains(": larder:"), "{lone}");
    let config = agent.config_file();
    let text = std::fs::read_to_string(&config).expect("its configuration");
    std::fs::write(&config, text.replace(&parent.url(), world.gitlab.url())).expect("writable");
    // As long as it runs, its own configuration counts.
    agent.terminate();
    let wrong = said(&agent);
    assert!(wrong.contains("is no larder's"), "{wrong}");
}

/// Everything that tells of a parent's fault names the parent and its URL, and neither GitLab nor a
/// section that the operator did not write.
#[test]
fn what_fails_on_the_way_to_the_parent_names_the_parent() {
    let world = World::new();
    let port = HeldPort::new();
    let mut parent = world.parent(port.address().port(), "");
    let url = parent.url();
    let url = url.trim_end_matches('/');
    let agent = Larder::under(url)
        .gitlab_setting("retries = 0\nbreaker_failures = 1\nbreaker_open_for = \"5m\"")
        .sections(ASKING)
        .start();
    world.is_served_whole(&agent.client().token(token::READER));
    let unknown = agent.client().token("nothing-known");
    let refused = unknown.get(&path::project_page(42, "acme-app"));
    assert_eq!(refused.status, 401, "{refused:?}");
    agent.wait_for_log(&format!("the parent at {url} answered 401"));
    parent.kill();

    let named = format!("the parent at {url}");
    let pages = [path::project_page(42, "acme-other"), mirror::page("other")];
    for page in &pages {
        let reply = agent.client().token(token::READER).get(page);
        assert_eq!(reply.status, 504, "{reply:?}");
        assert!(reply.text().contains(&named), "{reply:?}");
        assert!(!reply.text().contains("GitLab"), "{reply:?}");
        let again = agent.client().token(token::READER).get(page);
        let said = again.text();
        assert!(
            said.contains(&named) && said.contains("several times in a row"),
            "{said}"
        );
    }
    let ready = agent.client().get("/-/health/ready").text();
    assert!(
        ready.contains(&format!("cannot reach {named}")),
        "readiness: {ready}"
    );
    assert!(
        ready.contains(&format!("cannot reach pypi of {named}")),
        "readiness: {ready}"
    );
    let told = status(&agent);
    let failures = told["failures"].as_array().expect("failures");
    assert!(!failures.is_empty(), "{told}");
    for failure in failures {
        let reason = failure["reason"].as_str().expect("a sentence");
        assert!(reason.contains(&named), "{failure}");
    }
    let shown = agent.client().get("/-/").text();
    assert!(shown.contains(&named), "{shown}");
    let doctor = agent.command(&["doctor"]);
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("parent: connection:"), "{doctor}");
    for said in [&ready, &doctor, &agent.log()] {
        for line in said.lines() {
            let is_of_fault = line.contains("error=") || line.contains("problem");
            assert!(
                !is_of_fault || !line.contains("mirrors.pypi") && !line.contains("GitLab cannot"),
                "{line}"
            );
        }
    }
}

#[test]
fn tls_faults_towards_the_parent_name_it_and_the_keys_of_gitlab() {
    let world = World::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::new("central");
    authority.write(folder.path(), "ca");
    let pair = authority.server(&["localhost", "127.0.0.1"]);
    let certificate = folder.path().join("server.pem");
    let key = folder.path().join("server.key");
    std::fs::write(&certificate, &pair.certificate).expect("writable");
    std::fs::write(&key, &pair.key).expect("writable");
    let port = HeldPort::new();
    let tls = format!(
        "[tls]\nlisten = {:?}\ncertificate = {certificate:?}\nkey = {key:?}",
        port.address().to_string()
    );
    let _parent = world.parent(0, &tls);
    let url = format!("https://localhost:{}", port.address().port());
    let trusted = folder.path().join("ca.pem");
    let mut agent = Larder::under(&url)
        .gitlab_setting(&format!("{PLAIN}\nca_file = {trusted:?}"))
        .start();
    world.is_served_whole(&agent.client().token(token::READER));
    // Known from then on; and then the authority is not trusted any more.
    agent.terminate();
    let agent = Larder::under(&url)
        .at_home_of(&agent)
        .gitlab_setting(PLAIN)
        .start();
    for page in [path::project_page(42, "acme-other"), mirror::page("other")] {
        let reply = agent.client().token(token::READER).get(&page);
        let said = reply.text();
        assert!(
            said.contains(&format!("TLS with the parent at {url} failed")),
            "{page}: {reply:?}"
        );
        assert!(said.contains("gitlab.ca_file"), "{page}: {reply:?}");
    }
    let doctor = agent.command(&["doctor"]);
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    for said in [agent.log(), doctor] {
        assert!(said.contains("gitlab.ca_file"), "{said}");
        assert!(!said.contains("mirrors.pypi"), "{said}");
    }
}
