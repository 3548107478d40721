//! The public index that GitLab's own redirect names, which no operator configured: learned from
//! it, asked without a credential at public addresses alone, and given in GitLab's place.

use std::time::Duration;

use crate::common::delivery::{eventually, kept};
use crate::common::mirror::{FORMATS, HTML, JSON, get_as, listed, names};
use crate::common::world::{FILES, INDEX, World, left_pad};
use crate::mirrors::parents::home_of;
use crate::support::http::Answer;
use crate::support::wheel::real_wheels;
use crate::support::{
    Act, Artifact, Client, CoreMetadata, Distribution, GitLab, Hashes, Kind, Larder, Offer,
    Outcome, PublicIndex, Workbench, path, python, token,
};

const OTHER: &str = "https://other.example";

/// Where a file of the index is at larder.
const PLACE: &str = "/public-index/~files.example/";

fn reader(larder: &Larder) -> Client {
    larder.client().token(token::READER)
}

fn page() -> String {
    path::group_page(7, "left-pad")
}

/// Where the file of a page in place is.
fn address(index: &PublicIndex, file: &Artifact) -> String {
    format!("{PLACE}{}", index.file_path(&file.filename))
}

fn ready(larder: &Larder) -> serde_json::Value {
    let reply = larder
        .client()
        .get_with("/-/health/ready", &[("Accept", "application/json")]);
    serde_json::from_slice(&reply.body).expect("it is JSON")
}

#[test]
fn a_public_package_is_given_in_place_and_its_file_fetched_once() {
    let world = World::new();
    let larder = world.larder();
    for accept in FORMATS {
        for page in [page(), path::project_page(42, "left-pad")] {
            let shown = listed(&get_as(&reader(&larder), &page, accept));
            assert_eq!(shown[0].url, address(&world.index, &left_pad()), "{page}");
            let file = reader(&larder).get(&shown[0].url);
            assert_eq!(file.expect(200), &left_pad().bytes[..], "{page}");
            let metadata = reader(&larder).get(&format!("{}.metadata", shown[0].url));
            assert_eq!(metadata.expect(200), &left_pad().metadata[..], "{page}");
            kept(&larder, &left_pad());
        }
    }
    let files = world.index.log().file_bodies();
    let whole = left_pad().bytes.len() as u64;
    assert_eq!(files.bytes, whole, "each byte once: {files:?}");
    assert_eq!(ready(&larder)["status"], "ok", "{}", ready(&larder));
    larder.wait_for_log("GitLab points to this index");
    world.assert_innocent();
}

#[test]
fn what_was_learned_is_shown_and_outlives_a_restart() {
    let world = World::new();
    let larder = world.larder();
    let shown = world.says(&larder, &["config", "show"]);
    assert!(shown.contains("not known yet"), "{shown}");
    get_as(&reader(&larder), &page(), JSON).expect(200);
    let learned = format!("{INDEX}/simple/");
    let mut larder = larder.restart();
    for said in [
        world.says(&larder, &["config", "show"]),
        world.says(&larder, &["doctor"]),
        larder.client().get("/-/status").text(),
        larder.client().get("/-/").text(),
    ] {
        assert!(said.contains(&learned), "{said}");
    }
    // Its files have an address from the first moment, whoever asks.
    world.gitlab.log().clear();
    let file = larder.client().get(&address(&world.index, &left_pad()));
    assert_eq!(file.expect(200), &left_pad().bytes[..]);
    assert_eq!(world.gitlab.log().len(), 0);
    // Another GitLab may point elsewhere.
    let url = world.gitlab.url().replace("127.0.0.1", "localhost");
    larder.terminate();
    let another = Larder::in_front_of(&url).at_home_of(&larder).start();
    let file = another.client().get(&address(&world.index, &left_pad()));
    assert_eq!(file.status, 404, "{file:?}");
}

#[test]
fn r29_nothing_is_served_of_it_but_what_its_pages_list_with_a_sha256() {
    let world = World::new();
    let unhashed = Distribution::new("left.pad", "1.2").payload(5_000).wheel();
    let md5 = Distribution::new("left.pad", "1.1").payload(5_000).wheel();
    for (file, hashes) in [(&unhashed, Hashes::None), (&md5, Hashes::Md5)] {
        world.index.publish(Offer::from(file).hashes(hashes));
    }
    let unlisted = Distribution::new("left.pad", "9.9").wheel();
    let larder = world.larder();
    let client = reader(&larder);
    // Nothing is known: nothing is an address.
    for path in [
        address(&world.index, &left_pad()),
        "/public-index/simple/".to_owned(),
        "/public-index/simple/left-pad/".to_owned(),
    ] {
        assert_eq!(client.get(&path).status, 404, "{path}");
    }
    assert_eq!(world.index.log().len(), 0);
    for accept in FORMATS {
        let shown = listed(&get_as(&client, &page(), accept));
        let link = |file: &Artifact| {
            let found = shown.iter().find(|link| link.filename == file.filename);
            found.expect("it is listed").url.clone()
        };
        assert_eq!(
            link(&left_pad()),
            address(&world.index, &left_pad()),
            "{accept}"
        );
        for file in [&unhashed, &md5] {
            let there = format!("{FILES}/{}", world.index.file_path(&file.filename));
            assert_eq!(link(file), there, "{accept}: it cannot be checked");
        }
    }
    world.index.log().clear();
    for path in [
        address(&world.index, &unhashed),
        address(&world.index, &md5),
        format!("{PLACE}packages/{}", unlisted.filename),
        format!(
            "/public-index/{}",
            world.index.file_path(&left_pad().filename)
        ),
        format!(
            "/public-index/~other.example/{}",
            world.index.file_path(&left_pad().filename)
        ),
        format!("/public-index/~127.0.0.1/packages/{}", left_pad().filename),
        "/public-index/simple/".to_owned(),
        "/public-index/simple/left-pad/".to_owned(),
        "/-/mirrors/public-index/left-pad".to_owned(),
    ] {
        let reply = client.get(&path);
        assert_eq!(reply.status, 404, "{path}: {reply:?}");
    }
    assert_eq!(
        world.index.log().file_bodies().bytes,
        0,
        "no file was asked for"
    );
    // The links that were left alone are said.
    let ready = ready(&larder);
    assert_eq!(
        ready["reasons"][0]["reason"], "links_past_larder",
        "{ready}"
    );
    let past = "larder_pages_leading_past{upstream=\"public-index\"}";
    assert_eq!(larder.metric(past), Some(1.0));
    world.assert_innocent();
}

#[test]
fn r23_a_page_in_place_is_for_the_callers_whom_gitlab_sends_there() {
    let world = World::new();
    let lookalike = Distribution::new("gear", "9.9").wheel();
    world.index.publish(&lookalike);
    let larder = world.larder();
    let page = path::group_page(7, "gear");
    for accept in FORMATS {
        for _ in 0..2 {
            let outsider = larder.client().token(token::WIDGETS_READER);
            let shown = names(&get_as(&outsider, &page, accept));
            assert_eq!(shown, [lookalike.filename.as_str()]);
            let shown = names(&get_as(&reader(&larder), &page, accept));
            assert_eq!(shown, ["gear-0.3-py3-none-any.whl"]);
            let refused = get_as(&larder.client().token(token::REVOKED), &page, accept);
            assert_eq!(refused.status, 401, "{refused:?}");
            let refused = get_as(&larder.client(), &page, accept);
            assert!(matches!(refused.status, 401 | 404), "{refused:?}");
        }
    }
    world.assert_innocent();
}

#[test]
fn r31_a_private_name_is_never_asked_for_there() {
    let world = World::new();
    world.index.declare_private(&["acme-*"]);
    let trap = Distribution::new("acme-tool", "99.0").wheel();
    world.index.publish(&trap);
    let larder = world.builder().private_names(&["acme-*"]).start();
    get_as(&reader(&larder), &page(), JSON).expect(200);
    for path in [
        path::group_page(7, "acme-tool"),
        path::project_page(42, "Acme_Tool"),
        address(&world.index, &trap),
    ] {
        let reply = reader(&larder).get(&path);
        assert_eq!(
            (reply.status, reply.header("Location")),
            (404, None),
            "{path}"
        );
    }
    world.assert_innocent();
}

#[test]
fn r28_an_index_at_an_internal_address_is_not_followed() {
    let world = World::new();
    let port = world.index.address().port();
    let plain = PublicIndex::builder().offering(left_pad()).start();
    for (origin, is_direct) in [
        (plain.origin().to_owned(), true),
        (format!("https://127.0.0.1:{port}"), true),
        (format!("https://[::1]:{port}"), true),
        // By name: nothing is looked up, and no proxy is asked.
        (format!("https://a.localhost:{port}"), true),
        (format!("https://a.localhost:{port}"), false),
        ("http://index.example".to_owned(), false),
        ("https://ann:word@index.example".to_owned(), false),
    ] {
        world.points_to(&origin);
        let mut builder = world.builder_by_name();
        if is_direct {
            builder = builder.environment("HTTPS_PROXY", "");
        }
        let larder = builder.start();
        for accept in FORMATS {
            let reply = get_as(&reader(&larder), &page(), accept);
            assert_eq!(reply.status, 302, "{origin}: {reply:?}");
            let there = format!("{origin}/simple/left-pad/");
            assert_eq!(reply.header("Location"), Some(there.as_str()), "{origin}");
        }
        let ready = ready(&larder);
        assert_eq!(
            ready["reasons"][0]["reason"], "links_past_larder",
            "{ready}"
        );
        assert!(
            !larder.cache_dir().join("learned.json").exists(),
            "{origin}"
        );
    }
    assert_eq!(world.index.log().len() + plain.log().len(), 0);
    assert_eq!(world.proxy.asked().len(), 0, "{:?}", world.proxy.asked());
}

#[test]
fn r28_a_file_host_at_an_internal_address_keeps_its_links() {
    let world = World::new();
    let port = world.index.files_address().port();
    let sha256 = left_pad().sha256;
    let hosts = [
        format!("https://localhost:{port}"),
        format!("https://127.0.0.1:{port}"),
        "https://169.254.169.254".to_owned(),
        "https://10.0.0.7".to_owned(),
        "http://files.example".to_owned(),
    ];
    let mut links = String::new();
    for (number, host) in hosts.iter().enumerate() {
        links += &format!(
            "<a href=\"{host}/left_pad-{number}.zip#sha256={sha256}\">left_pad-{number}.zip</a>\n"
        );
    }
    let body = format!("<!DOCTYPE html><html><body>{links}</body></html>");
    world.index.serve_verbatim("left-pad", "text/html", body);
    let larder = world.larder();
    for accept in FORMATS {
        let shown = listed(&get_as(&reader(&larder), &page(), accept));
        assert_eq!(shown.len(), hosts.len());
        for (number, (link, host)) in shown.iter().zip(&hosts).enumerate() {
            assert_eq!(
                link.url,
                format!("{host}/left_pad-{number}.zip"),
                "{accept}"
            );
        }
    }
    for host in [
        "localhost",
        "127.0.0.1",
        "169.254.169.254",
        "10.0.0.7",
        "files.example",
    ] {
        for place in [
            format!("~{host}"),
            format!("~{host}~{port}"),
            format!("~{host}~80"),
        ] {
            let path = format!("/public-index/{place}/left_pad-0.zip");
            assert_eq!(reader(&larder).get(&path).status, 404, "{path}");
        }
    }
    let asked = world.proxy.asked();
    assert!(
        asked.iter().all(|line| line == "CONNECT index.example:443"),
        "{asked:?}"
    );
}

#[test]
fn r28_what_was_learned_is_not_switched_by_another_redirect() {
    let world = World::new();
    let larder = world.larder();
    get_as(&reader(&larder), &page(), JSON).expect(200);
    world.points_to(OTHER);
    let other = path::group_page(7, "another");
    for accept in FORMATS {
        let reply = get_as(&reader(&larder), &other, accept);
        assert_eq!(reply.status, 302, "{reply:?}");
        let there = format!("{OTHER}/simple/another/");
        assert_eq!(reply.header("Location"), Some(there.as_str()));
    }
    larder.wait_for_log("it is another one than was learned");
    let ready = ready(&larder);
    assert_eq!(
        ready["reasons"][0]["reason"], "links_past_larder",
        "{ready}"
    );
    let status = larder.client().get("/-/status").json();
    let known = &status["public_index"];
    assert_eq!(known["url"], format!("{INDEX}/simple/"), "{known}");
    assert_eq!(known["other"], format!("{OTHER}/simple/"), "{known}");
    let asked = world.proxy.asked();
    assert!(
        !asked.iter().any(|line| line.contains("other.example")),
        "{asked:?}"
    );
    world.points_to(INDEX);
    let larder = larder.restart();
    get_as(&reader(&larder), &page(), JSON).expect(200);
    world.assert_innocent();
}

#[test]
fn an_index_that_gives_no_page_is_not_learned_and_the_client_goes_there_itself() {
    let world = World::new();
    let missing = path::group_page(7, "not-there");
    world
        .index
        .serve_verbatim("odd", "application/octet-stream", "no page");
    let empty = "<!DOCTYPE html><html><body><h1>Links for no-files</h1></body></html>";
    world.index.serve_verbatim("no-files", "text/html", empty);
    let larder = world.larder();
    for (page, asked) in [
        (path::group_page(7, "odd"), 1),
        // It is not tried again at once: a client would wait for it each time.
        (path::group_page(7, "odd"), 1),
        (missing.clone(), 1),
        (page(), 1),
    ] {
        let reply = get_as(&reader(&larder), &page, HTML);
        assert_eq!(reply.status, 302, "{page}: {reply:?}");
        assert_eq!(world.index.log().len(), asked, "{page}");
    }
    let larder = world.larder();
    // A package that is not there, or has no files, says nothing of the index.
    for page in [missing, path::group_page(7, "no-files")] {
        let reply = get_as(&reader(&larder), &page, HTML);
        assert_eq!(reply.status, 302, "{page}: {reply:?}");
        assert_eq!(ready(&larder)["status"], "ok", "{page}");
    }
    assert!(
        !larder.log().contains("does not follow"),
        "{}",
        larder.log()
    );
    get_as(&reader(&larder), &page(), HTML).expect(200);
    let larder = world.larder();
    let reply = get_as(&reader(&larder), &path::group_page(7, "odd"), HTML);
    assert_eq!(reply.status, 302, "{reply:?}");
    larder.wait_for_log("no page of the Simple API");
}

#[test]
fn r28_a_redirect_of_gitlabs_own_pages_teaches_nothing() {
    let world = World::new();
    // As during maintenance: every address leads to the same path elsewhere, and to a page there.
    let larder = world.larder();
    let status_page = "<!DOCTYPE html><html><body><p>We are back soon.</p></body></html>";
    let answer = Answer::new(302).header("Location", format!("{OTHER}{}", page()));
    world.gitlab.plan(Act::Answer(answer).at(Kind::Page).once());
    let reply = get_as(&reader(&larder), &page(), HTML);
    assert_ne!(reply.status, 200, "{reply:?}");
    world
        .index
        .serve_verbatim("left-pad", "text/html", status_page);
    let reply = get_as(&reader(&larder), &page(), HTML);
    assert_eq!(reply.status, 302, "{reply:?}");
    assert!(!larder.cache_dir().join("learned.json").exists());
    world
        .index
        .change(|catalogue| catalogue.raw.remove("left-pad"));
    // It is not tried again at once.
    let larder = larder.restart();
    get_as(&reader(&larder), &page(), HTML).expect(200);
}

/// A larder for each way to a file host that no operator named: by the index that GitLab points to,
/// and by a mirror without `file_urls`; and the place of that host's files.
fn unnamed_hosts(world: &World) -> [(Larder, &'static str); 2] {
    let cold = "[files]\nbackground_fetch_max = \"0\"";
    let mirror = format!("{cold}\n[mirrors.pypi]\nurl = \"{INDEX}/simple/\"");
    [
        (world.builder().sections(cold).start(), PLACE),
        (
            world.builder().sections(&mirror).start(),
            "/pypi/~files.example/",
        ),
    ]
}

#[test]
fn r29_metadata_without_a_digest_is_made_of_the_verified_wheel() {
    for offered in [CoreMetadata::True, CoreMetadata::None] {
        let world = World::new();
        world.index.change(|catalogue| {
            let forged = catalogue.offer_mut(&left_pad().filename);
            forged.core_metadata = offered;
            forged.metadata = "Metadata-Version: 2.1\nName: evil\nVersion: 1\n".into();
        });
        for (larder, place) in unnamed_hosts(&world) {
            get_as(&reader(&larder), &page(), JSON).expect(200);
            world.index.log().clear();
            let address = format!("{place}{}", world.index.file_path(&left_pad().filename));
            let reply = larder.client().get(&format!("{address}.metadata"));
            assert_eq!(
                reply.expect(200),
                &left_pad().metadata[..],
                "{offered:?} {place}"
            );
            let read = world.index.log().file_bodies().bytes;
            assert!(read >= left_pad().bytes.len() as u64, "{offered:?} {place}");
            for entry in world.index.log().entries() {
                let part = entry.head.header("Range");
                assert_eq!(
                    part, None,
                    "{offered:?} {place}: no end of it is read alone"
                );
            }
        }
    }
}

#[test]
fn r3_a_range_of_a_host_that_no_operator_named_is_cut_from_verified_bytes() {
    let world = World::new();
    let range = "bytes=100-299";
    for (larder, place) in unnamed_hosts(&world) {
        get_as(&reader(&larder), &page(), JSON).expect(200);
        let address = format!("{place}{}", world.index.file_path(&left_pad().filename));
        let mut wrong = Act::Flip { at: 200 }.at(Kind::File);
        wrong = wrong.containing(&left_pad().filename).times(2);
        let plan = world.index.plan(wrong);
        let reply = larder.client().get_range(&address, range);
        let is_given = reply.is_complete() && reply.status < 300;
        assert!(!is_given, "{place}: {reply:?}");
        drop(plan);
    }
}

#[test]
fn r25_a_file_host_that_a_page_named_cannot_borrow_the_mirrors_credential() {
    let world = World::new();
    world.index.set(|settings| {
        settings.credential = Some(("reader".to_owned(), "mirror-secret".to_owned()));
    });
    let secret = world.folder.path().join("secret");
    std::fs::write(&secret, "mirror-secret\n").expect("writable");
    let section = format!(
        "[mirrors.pypi]\nurl = \"{INDEX}/simple/\"\nusername = \"reader\"\ntoken_file = {secret:?}"
    );
    let larder = world.builder().sections(&section).start();
    let client = larder.client();
    get_as(&client, "/pypi/simple/left-pad/", JSON).expect(200);
    let answer = Answer::new(302).header("Location", format!("{INDEX}/any/path.whl"));
    let fault = Act::Answer(answer).at(Kind::File);
    world.index.plan(fault.containing(&left_pad().filename));
    let place = format!(
        "/pypi/~files.example/{}",
        world.index.file_path(&left_pad().filename)
    );
    let reply = client.get(&place);
    assert!(reply.status >= 400, "{reply:?}");
    let mut led = 0;
    for entry in world.index.log().entries() {
        if entry.head.path() == "/any/path.whl" {
            led += 1;
            assert_eq!(entry.head.header("Authorization"), None, "{entry:?}");
        }
    }
    assert!(led > 0, "the redirect is followed");
}

#[test]
fn a_page_that_is_too_large_to_keep_names_hosts_too_and_says_what_leads_past() {
    let world = World::new();
    for number in 0..200 {
        let name = format!("left_pad-0.{number}.tar.gz");
        world
            .index
            .publish(Artifact::opaque("left.pad", "0", &name, "old"));
    }
    let larder = world
        .builder()
        .sections("[index]\npage_size = \"16KiB\"")
        .start();
    let past = listed(&get_as(&reader(&larder), &page(), JSON));
    assert!(past[0].url.starts_with(FILES), "{:?}", past[0]);
    let said = ready(&larder);
    assert_eq!(said["reasons"][0]["reason"], "links_past_larder", "{said}");
    let shown = listed(&get_as(&reader(&larder), &page(), JSON));
    assert!(shown[0].url.starts_with(PLACE), "{:?}", shown[0]);
}

#[test]
fn a_mirror_of_the_same_index_answers_by_its_own_rules() {
    let world = World::new();
    let young = Distribution::new("left.pad", "2.0").wheel();
    let offer = Offer::from(&young).uploaded("2999-01-01T00:00:00Z");
    world.index.publish(offer);
    let section = format!("[mirrors.pypi]\nurl = \"{INDEX}/simple/\"\nmin_age = \"7d\"");
    let larder = world.builder().sections(&section).start();
    for accept in FORMATS {
        let shown = listed(&get_as(&reader(&larder), &page(), accept));
        assert_eq!(shown.len(), 1, "{shown:?}");
        // Where its files are its pages tell, as of any mirror.
        let place = format!(
            "/pypi/~files.example/{}",
            world.index.file_path(&left_pad().filename)
        );
        assert_eq!(shown[0].url, place, "{accept}");
        let file = larder.client().get(&place);
        assert_eq!(file.expect(200), &left_pad().bytes[..]);
    }
    let file = larder.client().get(&address(&world.index, &left_pad()));
    assert_eq!(file.status, 404, "{file:?}");
    world.assert_innocent();
}

#[test]
fn origins_that_are_listed_are_the_only_ones_and_may_be_internal() {
    let gitlab = GitLab::start();
    let index = PublicIndex::builder().offering(left_pad()).start();
    let origin = index.origin().replace("127.0.0.1", "localhost");
    gitlab.set(|settings| settings.public_index = origin.clone());
    for (listed_origins, status, is_past) in [
        (vec![origin.as_str(), index.files_origin()], 200, false),
        (vec![origin.as_str()], 200, true),
        (vec![index.files_origin()], 302, true),
        (vec![INDEX], 302, true),
    ] {
        let larder = Larder::builder(&gitlab)
            .gitlab_setting(&format!("forward_origins = {listed_origins:?}"))
            .start();
        let case = format!("{listed_origins:?}");
        let reply = get_as(&reader(&larder), &page(), JSON);
        assert_eq!(reply.status, status, "{case}: {reply:?}");
        if status == 200 {
            let link = &listed(&reply)[0].url;
            assert_eq!(link.starts_with("http://"), is_past, "{case}: {link}");
            if !is_past {
                let file = reader(&larder).get(link);
                assert_eq!(file.expect(200), &left_pad().bytes[..], "{case}");
            }
        }
        let word = if is_past { "degraded" } else { "ok" };
        assert_eq!(ready(&larder)["status"], word, "{case}");
    }
    index.log().assert_nothing_unexpected();
}

#[test]
fn offline_the_pages_in_place_are_those_that_were_kept() {
    let world = World::new();
    let mut larder = world.larder();
    let link = listed(&get_as(&reader(&larder), &page(), JSON))[0]
        .url
        .clone();
    reader(&larder).get(&link).expect(200);
    kept(&larder, &left_pad());
    larder.terminate();
    let offline = world
        .builder()
        .setting("offline = true")
        .sections("[auth]\noffline = \"open\"")
        .at_home_of(&larder)
        .start();
    world.index.stop();
    world.gitlab.stop();
    for accept in FORMATS {
        let shown = listed(&get_as(&offline.client(), &page(), accept));
        assert_eq!(shown[0].url, link, "{accept}");
    }
    assert_eq!(
        offline.client().get(&link).expect(200),
        &left_pad().bytes[..]
    );
}

/// Installs the private package by one URL.
type Install = fn(&Larder, &str) -> (Outcome, Workbench);

fn by_pip(larder: &Larder, secret: &str) -> (Outcome, Workbench) {
    let user = Workbench::new().environment("COLUMNS", "300");
    let site = user.folder().join("site").to_string_lossy().into_owned();
    let index = index_url(larder, secret);
    let arguments = [
        "install",
        "--no-compile",
        "--target",
        &site,
        "--index-url",
        &index,
        "acme-app",
    ];
    (user.pip(&arguments), user)
}

fn by_uv(larder: &Larder, secret: &str) -> (Outcome, Workbench) {
    let user = Workbench::new().environment("COLUMNS", "300");
    let site = user.folder().join("site").to_string_lossy().into_owned();
    let interpreter = python::program("python").to_string_lossy().into_owned();
    let index = index_url(larder, secret);
    let arguments = [
        "pip",
        "install",
        "--python",
        &interpreter,
        "--target",
        &site,
        "--default-index",
        &index,
        "acme-app",
    ];
    (user.uv(&arguments), user)
}

fn index_url(larder: &Larder, secret: &str) -> String {
    let page = "/api/v4/groups/7/-/packages/pypi/simple/";
    format!("http://__token__:{secret}@{}{page}", larder.address())
}

fn installs_with_nothing_configured(install: Install) {
    let world = World::new();
    let private = world.offer_an_app();
    let larder = world.larder();
    for (round, secret) in [("cold", token::READER), ("warm", token::DEVELOPER)] {
        world.forget();
        let (done, user) = install(&larder, secret);
        assert!(done.succeeded(), "{round}: {done:#?}\n{}", larder.log());
        for name in ["acme_app", "requests", "six.py", "urllib3"] {
            let installed = user.folder().join("site").join(name);
            assert!(
                installed.exists(),
                "{round}: {name} is not there: {done:#?}"
            );
        }
        let bytes = world.file_bytes();
        assert_eq!(bytes == 0, round == "warm", "{round}: {bytes} bytes");
        world.assert_innocent();
        for wheel in real_wheels() {
            kept(&larder, &wheel);
        }
        kept(&larder, &private);
        eventually("nothing is read ahead any more", || {
            larder.metric("larder_prefetch_queue") == Some(0.0)
        });
    }
    assert_eq!(ready(&larder)["status"], "ok", "{}", ready(&larder));
}

#[test]
fn pip_installs_private_and_public_packages_with_nothing_configured() {
    installs_with_nothing_configured(by_pip);
}

#[test]
fn uv_installs_private_and_public_packages_with_nothing_configured() {
    installs_with_nothing_configured(by_uv);
}

#[test]
fn it_is_asked_again_when_its_page_lapses_and_gitlab_each_time_it_must() {
    let world = World::new();
    let larder = world.builder().sections("[index]\nttl = \"1s\"").start();
    for _ in 0..3 {
        get_as(&reader(&larder), &page(), JSON).expect(200);
    }
    let asked = |log: &crate::support::RequestLog| log.count(Kind::Page);
    // The trial, and the page.
    assert_eq!(asked(world.index.log()), 2);
    assert_eq!(asked(world.gitlab.log()), 1);
    std::thread::sleep(Duration::from_millis(1_100));
    get_as(&reader(&larder), &page(), JSON).expect(200);
    assert_eq!(asked(world.gitlab.log()), 2);
    assert_eq!(asked(world.index.log()), 2);
}

#[test]
fn a_mirror_is_named_on_the_command_line() {
    let gitlab = GitLab::start();
    let index = PublicIndex::builder().offering(left_pad()).start();
    let builder = |value: &str| {
        Larder::builder(&gitlab)
            .argument("--mirror")
            .argument(value)
    };
    let larder = builder(&format!("pypi={}", index.url())).start();
    let shown = names(&get_as(&larder.client(), "/pypi/simple/left-pad/", JSON));
    assert_eq!(shown, [left_pad().filename]);
    for (value, word) in [
        (index.url(), "NAME=URL"),
        (
            "public-index=https://index.example/simple/".to_owned(),
            "public-index",
        ),
        ("pypi=index.example".to_owned(), "mirrors.pypi.url"),
    ] {
        let said = builder(&value).start_in_vain();
        assert!(said.contains(word), "{value}: {said}");
    }
}

#[test]
fn a_check_of_the_configuration_says_which_hosts_a_page_names() {
    let gitlab = GitLab::start();
    let index = PublicIndex::builder()
        .at("/whl/")
        .offering(left_pad())
        .start();
    let section = format!("[mirrors.wheels]\nurl = {:?}", index.url());
    let larder = Larder::builder(&gitlab).sections(&section).start();
    let said = |arguments: &[&str]| {
        let done = larder.command(arguments);
        let said = [done.stdout, done.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    };
    let offline = said(&["check-config"]);
    assert!(
        offline.contains("mirrors.wheels.url: it does not end in /simple/"),
        "{offline}"
    );
    assert_eq!(index.log().len(), 0);
    let online = said(&["check-config", "--online"]);
    let past = format!("lead past larder, to {}", index.files_origin());
    assert!(online.contains(&past), "{online}");
}

#[test]
fn pages_that_are_asked_for_at_once_all_lead_through_larder() {
    let world = World::new();
    let mut wheels = Vec::new();
    for number in 0..12 {
        wheels.push(Distribution::new(&format!("many-{number}"), "1.0").wheel());
    }
    for wheel in &wheels {
        world.index.publish(wheel);
    }
    let larder = world.larder();
    std::thread::scope(|scope| {
        for wheel in &wheels {
            scope.spawn(|| {
                let page = path::group_page(7, &wheel.name);
                let shown = listed(&get_as(&reader(&larder), &page, JSON));
                assert_eq!(shown[0].url, address(&world.index, wheel));
            });
        }
    });
    world.assert_innocent();
}

#[test]
fn what_a_parent_learned_of_the_public_index_is_served_by_its_agents() {
    let world = World::new();
    let parent = world.larder();
    // Before the parent has learned anything, and after.
    for round in ["first", "second"] {
        let agent = Larder::under(&parent.url()).start();
        for accept in FORMATS {
            let shown = get_as(&reader(&agent), &page(), accept);
            let link = &listed(&shown)[0];
            let place = address(&world.index, &left_pad());
            assert_eq!(link.url, place, "{round}: {shown:?}");
            let file = agent.client().get(&place);
            assert_eq!(file.expect(200), &left_pad().bytes[..], "{round}");
        }
        for larder in [&agent, &parent] {
            kept(larder, &left_pad());
        }
        let stranger = agent.client().token(token::STRANGER).get(&page());
        assert_eq!(
            stranger.status, 404,
            "{round}: GitLab decides: {stranger:?}"
        );
    }
    // Without a page, as by a lock file; then offline.
    let mut lone = Larder::under(&parent.url()).start();
    let place = address(&world.index, &left_pad());
    let file = lone.client().get(&place);
    assert_eq!(file.expect(200), &left_pad().bytes[..]);
    kept(&lone, &left_pad());
    let unlisted = place.replace("left_pad-1.3", "left_pad-9.9");
    assert_eq!(lone.client().get(&unlisted).status, 404);
    let page_below = lone.client().get("/public-index/simple/left-pad/");
    assert_eq!(page_below.status, 404, "in GitLab's place alone");
    lone.terminate();
    let offline = Larder::under(&parent.url())
        .at_home_of(&lone)
        .argument("--offline")
        .start();
    let file = offline.client().get(&place);
    assert_eq!(file.expect(200), &left_pad().bytes[..]);
    assert_eq!(offline.client().get(&unlisted).status, 404);
    let bytes = world.index.log().file_bodies().bytes;
    assert_eq!(bytes, left_pad().bytes.len() as u64, "fetched once");
    world.assert_innocent();
}

/// As after the disk of one of them is gone, while pages that it gave before are still known.
#[test]
fn r37_a_parent_that_has_not_learned_the_index_has_a_stand_in_that_has() {
    let world = World::new();
    let parents = [world.larder(), world.larder()];
    let urls = parents.each_ref().map(Larder::url);
    let home = home_of(&urls, "left-pad");
    get_as(&reader(&parents[1 - home]), &page(), JSON).expect(200);
    let agent = Larder::under_all(&urls).start();
    let place = address(&world.index, &left_pad());
    let direct = parents[home].client().get(&place);
    assert_eq!(direct.status, 404, "it has not learned it: {direct:?}");
    let file = agent.client().get(&place);
    assert_eq!(file.expect(200), &left_pad().bytes[..]);
    let metadata = agent.client().get(&format!("{place}.metadata"));
    assert_eq!(metadata.expect(200), &left_pad().metadata[..]);
    kept(&agent, &left_pad());
    let unlisted = place.replace("left_pad-1.3", "left_pad-9.9");
    assert_eq!(agent.client().get(&unlisted).status, 404, "of both");
    world.assert_innocent();
}

#[test]
fn commands_know_that_it_has_files_and_neither_pages_nor_keys() {
    let world = World::new();
    let larder = world.larder();
    let file = address(&world.index, &left_pad());
    let said = world.says(&larder, &["explain", &file]);
    assert!(said.contains("its first redirect tells"), "{said}");
    get_as(&reader(&larder), &page(), JSON).expect(200);
    let said = world.says(&larder, &["explain", &file]);
    assert!(said.contains("the mirror public-index"), "{said}");
    let said = world.says(&larder, &["explain", "/public-index/simple/left-pad/"]);
    assert!(said.contains("are given in GitLab's place"), "{said}");

    let link = format!("{FILES}/{}", world.index.file_path(&left_pad().filename));
    let lock = format!(
        "[[package]]\nname = \"left-pad\"\nsource = {{ registry = \"{INDEX}/simple/\" }}\n\
         wheels = [{{ url = \"{link}\" }}]\n"
    );
    let path = world.folder.path().join("uv.lock");
    std::fs::write(&path, &lock).expect("a folder of ours");
    let path = path.to_string_lossy();
    let there = "http://larder.example:3141";
    let expected = lock.replace(&link, &format!("{there}{file}"));
    let said = world.says(&larder, &["rewrite-lock", &path, "--to", there]);
    assert!(said.starts_with(&expected), "{said}");
    assert!(said.contains("configure it as a mirror"), "{said}");
    let by_the_daemon = larder.client().post(
        &format!("/-/rewrite-lock?to={there}"),
        "text/plain",
        lock.as_bytes(),
    );
    assert_eq!(by_the_daemon.text(), expected);

    for from in [&[][..], &["--from", "public-index"]] {
        let said = world.says(
            &larder,
            &[&["warm", "left-pad", "--dry-run"], from].concat(),
        );
        assert!(said.contains("(none is configured)"), "{said}");
    }
    world.assert_innocent();
}

#[test]
fn the_public_index_alone_is_forgotten_and_taught_again_by_the_next_redirect() {
    let world = World::new();
    let larder = world.larder();
    let said = larder.command(&["purge", "public-index"]);
    assert_eq!(said.status.code(), Some(1), "nothing is known: {said:?}");
    let said = larder.command(&["refresh", "left-pad", "--from", "public-index"]);
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(words.contains("not known yet"), "{words}");

    let gear = Distribution::new("acme-gear", "0.3").wheel();
    world.gitlab.publish(42, &gear);
    let private = path::project_file(42, &gear);
    reader(&larder).get(&private).expect(200);
    get_as(&reader(&larder), &page(), JSON).expect(200);
    let file = address(&world.index, &left_pad());
    reader(&larder).get(&file).expect(200);
    kept(&larder, &left_pad());
    kept(&larder, &gear);
    let listing = world.says(&larder, &["ls", "public-index"]);
    assert!(listing.contains(&left_pad().filename), "{listing}");
    assert!(!listing.contains(&gear.filename), "{listing}");
    // A page is stored behind its answer.
    let unchanged = "/public-index/simple/left-pad/  unchanged";
    eventually("its stored page is asked for again", || {
        let said = world.says(&larder, &["refresh", "public-index"]);
        said.contains(unchanged)
    });

    // GitLab points elsewhere by now, and larder keeps to what it learned.
    world.points_to(OTHER);
    let name = "the public index https://index.example/simple/";
    let planned = world.says(&larder, &["purge", "public-index", "--dry-run"]);
    assert!(planned.contains(name), "{planned}");
    reader(&larder).get(&file).expect(200);
    let purged = larder.command(&["purge", "public-index"]);
    let words = String::from_utf8_lossy(&purged.stdout).into_owned();
    assert!(purged.status.success(), "{purged:?}");
    assert!(words.contains(name), "{words}");

    // At once: it has no address, its files are gone, and nothing else is.
    world.index.log().clear();
    assert_eq!(reader(&larder).get(&file).status, 404);
    let shown = world.says(&larder, &["config", "show"]);
    assert!(shown.contains("not known yet"), "{shown}");
    let listing = world.says(&larder, &["ls"]);
    assert!(!listing.contains(&left_pad().filename), "{listing}");
    assert!(listing.contains(&gear.filename), "{listing}");
    assert_eq!(world.index.log().len(), 0);

    // The next redirect teaches the other one.
    let shown = listed_at(&larder, &page());
    assert_eq!(shown, file);
    reader(&larder).get(&file).expect(200);
    let status = larder.client().get("/-/status").json();
    let known = &status["public_index"];
    assert_eq!(known["url"], format!("{OTHER}/simple/"), "{known}");
    let asked = world.proxy.asked();
    assert!(
        asked.iter().any(|line| line.contains("other.example")),
        "{asked:?}"
    );

    // With everything it is forgotten as well, and without a restart.
    larder.command(&["purge", "--all"]);
    let status = larder.client().get("/-/status").json();
    assert_eq!(status["public_index"]["url"], serde_json::Value::Null);
}

/// Where the first file of a page in place is.
fn listed_at(larder: &Larder, page: &str) -> String {
    listed(&get_as(&reader(larder), page, JSON))[0].url.clone()
}

/// An agent's larder whose `gitlab.url` is a central larder, which is not said to be its parent.
#[test]
fn links_of_a_larder_that_stands_for_gitlab_are_said_to_lead_past_and_do_not_under_a_parent() {
    let world = World::new();
    let central = world.larder();
    get_as(&reader(&central), &page(), JSON).expect(200);
    let agent = Larder::in_front_of(&central.url())
        .gitlab_setting("check_at_start = true")
        .start();
    // The file's link leads past the agent, to the central larder.
    let place = address(&world.index, &left_pad());
    let link = listed_at(&agent, &page());
    let central_url = central.url();
    assert_eq!(
        link,
        format!("{}{place}", central_url.trim_end_matches('/'))
    );
    assert_eq!(reader(&agent).get(&place).status, 404);
    let advice = "this is another larder: set parent to its URL in place of gitlab.url";
    agent.wait_for_log(advice);
    let ready = ready(&agent);
    for (at, reason) in ["gitlab_unusable", "links_past_larder"].iter().enumerate() {
        assert_eq!(ready["reasons"][at]["reason"], *reason, "{ready}");
    }
    assert!(ready.to_string().contains(advice), "{ready}");
    for arguments in [&["doctor"][..], &["check-config", "--online"]] {
        let said = world.says(&agent, arguments);
        assert!(
            said.contains("set parent to its URL, and remove gitlab.url"),
            "{said}"
        );
    }

    let under = Larder::under(&central.url()).start();
    let file = reader(&under).get(&listed_at(&under, &page()));
    assert_eq!(file.expect(200), &left_pad().bytes[..]);

    // One that serves nothing but GitLab's may be chained so.
    let lone = Larder::builder(&world.gitlab)
        .gitlab_setting("forward = \"deny\"")
        .start();
    let agent = Larder::in_front_of(&lone.url())
        .gitlab_setting("check_at_start = true")
        .start();
    reader(&agent)
        .get(&path::project_page(42, "my-pkg"))
        .expect(200);
    let said = world.says(&agent, &["doctor"]);
    assert!(said.contains("this is larder"), "{said}");
    assert!(!said.contains("set parent to its URL"), "{said}");
}
