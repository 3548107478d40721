//! Proxies on the way out: who goes through them, with what, and what is said when they fail.

use std::time::Duration;

use crate::common::delivery::kept;
use crate::support::larder::Builder;
use crate::support::proxy::Manner;
use crate::support::{
    Act, Answer, Artifact, Authority, Distribution, GitLab, Kind, Larder, Proxy, PublicIndex,
    Reply, Storage, Tls, path, token,
};
use crate::upload::pass_through::{content_type, form};

const HERE: [&str; 3] = ["127.0.0.1", "localhost", "gitlab.test"];

fn wheel(name: &str) -> Artifact {
    Distribution::new(name, "1.0").payload(200_000).wheel()
}

fn page(larder: &Larder) -> Reply {
    larder
        .client()
        .token(token::READER)
        .get(&path::project_page(42, "widget"))
}

fn once(builder: Builder) -> Builder {
    builder
        .gitlab_setting("retries = 0")
        .gitlab_setting("breaker_failures = 0")
}

fn by_way_of(url: &str) -> String {
    format!("proxy = {url:?}")
}

#[track_caller]
fn assert_fault(larder: &Larder, reply: &Reply, words: &str) {
    assert_eq!(reply.status, 504, "{words}: {reply:?}");
    let text = reply.text();
    assert!(
        text.contains("the proxy on the way") && text.contains(words),
        "{words}: {text}"
    );
    assert!(!text.contains("127.0.0.1"), "{text}");
    larder.wait_for_log(words);
}

/// A GitLab with a store and a mirror, in front of which everything is asked for: pages, files, an
/// upload.
fn visit_all(larder: &Larder, gitlab: &GitLab, index: &PublicIndex) {
    let (wheel, lib) = (wheel("widget"), wheel("some-lib"));
    gitlab.publish(42, &wheel);
    index.publish(&lib);
    let client = larder.client().token(token::DEVELOPER);
    client.get(&path::project_page(42, "widget")).expect(200);
    assert_eq!(
        client.get(&path::project_file(42, &wheel)).expect(200),
        &wheel.bytes[..]
    );
    kept(larder, &wheel);
    client
        .post(
            &path::upload(42),
            &content_type(),
            &form(&self::wheel("gadget")),
        )
        .expect(201);
    client.get("/pypi/simple/some-lib/").expect(200);
    let file = format!("/pypi/{}", index.file_path(&lib.filename));
    assert_eq!(client.get(&file).expect(200), &lib.bytes[..]);
    assert!(gitlab.log().count(Kind::Object) > 0 && gitlab.log().count(Kind::Upload) == 1);
    gitlab.log().assert_nothing_unexpected();
    index.log().assert_nothing_unexpected();
}

#[test]
fn https_goes_through_a_tunnel_and_names_are_the_proxys_to_find() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("private");
    let ca_file = authority.write(folder.path(), "ca");
    let credential = folder.path().join("credential");
    std::fs::write(&credential, "ann:s3cret:word\n").expect("a writable folder");
    let tls = Tls::new(&authority.server(&HERE));
    let gitlab = GitLab::builder()
        .storage(Storage::Redirect)
        .tls(tls.clone())
        .store_tls(tls.clone())
        .start();
    let index = PublicIndex::builder().tls(tls).start();
    let proxy = Proxy::for_user("ann", "s3cret:word");
    let named = format!("gitlab.test:{}", gitlab.address().port());
    proxy.finds(&named, gitlab.address());
    let lines = format!(
        "ca_file = {ca_file:?}\n{}\nproxy_credential_file = {credential:?}\n",
        by_way_of(&proxy.url())
    );
    let larder = Larder::in_front_of(&format!("https://{named}"))
        .gitlab_setting(&format!(
            "object_storage_origins = [{:?}]",
            gitlab.store_url()
        ))
        .gitlab_setting(&lines)
        .mirror_with("pypi", &index, &lines)
        .start();
    visit_all(&larder, &gitlab, &index);
    let asked = proxy.asked();
    let origins = [
        named.clone(),
        gitlab.store_address().to_string(),
        index.address().to_string(),
        index.files_address().to_string(),
    ];
    for origin in &origins {
        assert!(
            asked.contains(&format!("CONNECT {origin}")),
            "{origin}: {asked:?}"
        );
    }
    let tunnels = asked
        .iter()
        .filter(|line| **line == format!("CONNECT {named}"))
        .count();
    assert!(tunnels >= 2, "the upload has one of its own: {asked:?}");
    assert!(
        asked.iter().all(|line| line.starts_with("CONNECT ")),
        "{asked:?}"
    );
    let log = larder.log();
    assert!(
        log.contains("through a proxy") && !log.contains("s3cret"),
        "{log}"
    );
}

#[test]
fn http_goes_in_absolute_form_and_the_credential_ends_at_the_proxy() {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    let index = PublicIndex::start();
    let proxy = Proxy::for_user("ann", "s3cret");
    let url = proxy.url().replace("http://", "http://ann:s3cret@");
    let larder = Larder::builder(&gitlab)
        .environment("http_proxy", &url)
        .mirror("pypi", &index)
        .start();
    visit_all(&larder, &gitlab, &index);
    let asked = proxy.asked();
    for origin in [
        gitlab.url(),
        gitlab.store_url(),
        index.origin(),
        index.files_origin(),
    ] {
        assert!(
            asked
                .iter()
                .any(|line| line.starts_with(&format!("GET {origin}/"))),
            "{origin}: {asked:?}"
        );
    }
    assert!(
        asked.contains(&format!("POST {}{}", gitlab.url(), path::upload(42))),
        "{asked:?}"
    );
    let entries = gitlab
        .log()
        .entries()
        .into_iter()
        .chain(index.log().entries());
    for entry in entries {
        assert_eq!(
            entry.head.header("Proxy-Authorization"),
            None,
            "{:?}",
            entry.head
        );
    }
    assert!(!larder.log().contains("s3cret"), "{}", larder.log());
}

#[test]
fn the_environment_no_proxy_and_none_say_who_is_asked_directly() {
    let gitlab = GitLab::start();
    gitlab.publish(42, wheel("widget"));
    let port = gitlab.address().port();
    for (variables, setting, direct) in [
        (vec![], "", true),
        (vec!["HTTP_PROXY"], "", false),
        (vec!["ALL_PROXY"], "", false),
        (vec!["HTTPS_PROXY"], "", true),
        (vec!["HTTP_PROXY"], "proxy = \"none\"", true),
        (vec!["HTTP_PROXY", "NO_PROXY=127.0.0.0/8"], "", true),
        (vec!["HTTP_PROXY", "no_proxy=127.0.0.1:1"], "", false),
        (vec!["HTTP_PROXY", "REQUEST_METHOD=GET"], "", true),
    ] {
        let proxy = Proxy::start();
        let mut builder = Larder::builder(&gitlab).gitlab_setting(setting);
        for variable in &variables {
            let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
            let value = if value.is_empty() {
                proxy.url()
            } else {
                value.to_owned()
            };
            builder = builder.environment(name, &value);
        }
        let larder = builder.start();
        page(&larder).expect(200);
        assert_eq!(
            proxy.heads().is_empty(),
            direct,
            "{variables:?} {setting} {port}"
        );
        assert_eq!(
            larder.log().contains("through a proxy"),
            !direct,
            "{variables:?} {setting}"
        );
    }
}

#[test]
fn a_proxy_is_spoken_to_over_tls_if_its_url_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("private");
    let ca_file = authority.write(folder.path(), "ca");
    let tls = Tls::new(&authority.server(&HERE));
    let proxy = Proxy::over_tls(&tls.clone().only_http1());
    for gitlab in [GitLab::start(), GitLab::builder().tls(tls).start()] {
        gitlab.publish(42, wheel("widget"));
        let builder = Larder::builder(&gitlab).gitlab_setting(&by_way_of(&proxy.url()));
        let larder = builder
            .gitlab_setting(&format!("ca_file = {ca_file:?}"))
            .start();
        page(&larder).expect(200);
        let distrustful =
            once(Larder::builder(&gitlab).gitlab_setting(&by_way_of(&proxy.url()))).start();
        assert_fault(&distrustful, &page(&distrustful), "gitlab.ca_file");
    }
    assert_eq!(proxy.asked().len(), 2, "{:?}", proxy.asked());
}

#[test]
fn what_a_proxy_does_wrong_is_its_own_and_not_gitlabs() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("private");
    let ca_file = authority.write(folder.path(), "ca");
    let gitlab = GitLab::builder()
        .tls(Tls::new(&authority.server(&HERE)))
        .start();
    let proxy = Proxy::start();
    let builder = Larder::builder(&gitlab)
        .gitlab_setting(&by_way_of(&proxy.url()))
        .gitlab_setting(&format!(
            "ca_file = {ca_file:?}\nconnect_timeout = \"400ms\"\nheader_timeout = \"60s\""
        ));
    let larder = once(builder).start();
    for (manner, words) in [
        (Manner::Refuses(407), "gitlab.proxy_credential_file"),
        (Manner::Refuses(403), "answered 403"),
        (Manner::Refuses(502), "answered 502"),
        (Manner::Silent, "did not answer in time"),
        (Manner::Babbles, "did not answer as a proxy does"),
    ] {
        proxy.behave(manner);
        assert_fault(&larder, &page(&larder), words);
        let client = larder
            .client()
            .token(token::DEVELOPER)
            .patience(Duration::from_secs(20));
        let upload = client.post(&path::upload(42), &content_type(), &form(&wheel("gadget")));
        assert_fault(&larder, &upload, words);
    }
    drop(proxy);
    assert_fault(&larder, &page(&larder), "cannot be reached");
    assert!(gitlab.log().is_empty());
}

#[test]
fn a_proxys_407_to_an_http_url_is_no_word_of_gitlabs() {
    let gitlab = GitLab::start();
    let proxy = Proxy::for_user("ann", "s3cret");
    let larder = once(Larder::builder(&gitlab).gitlab_setting(&by_way_of(&proxy.url()))).start();
    assert_fault(&larder, &page(&larder), "gitlab.proxy_credential_file");
    let client = larder.client().token(token::DEVELOPER);
    let upload = client.post(&path::upload(42), &content_type(), &form(&wheel("gadget")));
    assert_fault(&larder, &upload, "gitlab.proxy_credential_file");
    assert!(gitlab.log().is_empty());
}

#[test]
fn a_peer_behind_a_proxy_that_fails_rests() {
    let gitlab = GitLab::start();
    let proxy = Proxy::for_user("ann", "s3cret");
    let builder = Larder::builder(&gitlab).gitlab_setting(&by_way_of(&proxy.url()));
    let larder = builder
        .gitlab_setting("breaker_failures = 2\nbreaker_open_for = \"60s\"")
        .start();
    for _ in 0..2 {
        assert_fault(&larder, &page(&larder), "the proxy on the way");
    }
    let reply = page(&larder);
    assert!(
        reply.status == 504 && reply.text().contains("several times in a row"),
        "{}",
        reply.text()
    );
    assert_eq!(
        proxy.heads().len(),
        2,
        "a 407 is not tried again, and who rests is not asked"
    );
}

#[test]
fn r28_a_proxy_is_not_asked_for_a_store_that_cannot_be_public() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("private");
    let ca_file = authority.write(folder.path(), "ca");
    let tls = Tls::new(&authority.server(&HERE));
    let gitlab = GitLab::builder().tls(tls).start();
    let wheel = wheel("widget");
    gitlab.publish(42, &wheel);
    let proxy = Proxy::start();
    let larder = once(Larder::in_front_of(gitlab.url()))
        .gitlab_setting(&by_way_of(&proxy.url()))
        .gitlab_setting(&format!("ca_file = {ca_file:?}"))
        .start();
    let own = format!("CONNECT {}", gitlab.address());
    for host in [
        "localhost",
        "metadata",
        "metadata.google.internal",
        "127.0.0.1",
        "[::1]",
        "0x7f.1",
        "10.0.0.1",
    ] {
        let location = format!("https://{host}/bucket/x");
        gitlab.plan(Act::Answer(Answer::new(302).header("Location", location)).at(Kind::File));
        let reply = larder
            .client()
            .token(token::READER)
            .get(&path::project_file(42, &wheel));
        assert!(matches!(reply.status, 502 | 504), "{host}: {reply:?}");
        gitlab.behave();
        assert!(
            proxy.asked().iter().all(|line| *line == own),
            "{host}: {:?}",
            proxy.asked()
        );
    }
    let location = "https://objects.example.net/bucket/x".to_owned();
    gitlab.plan(Act::Answer(Answer::new(302).header("Location", location)).at(Kind::File));
    larder
        .client()
        .token(token::READER)
        .get(&path::project_file(42, &wheel));
    assert!(
        proxy
            .asked()
            .contains(&"CONNECT objects.example.net:443".to_owned()),
        "{:?}",
        proxy.asked()
    );
}

#[test]
fn a_proxy_that_larder_cannot_speak_to_is_refused_at_the_start_but_not_offline() {
    let gitlab = GitLab::start();
    let with =
        || Larder::builder(&gitlab).environment("ALL_PROXY", "socks5://ann:s3cret@127.0.0.1:1080");
    let said = with().start_in_vain();
    assert!(
        said.contains("ALL_PROXY") && said.contains("SOCKS") && !said.contains("s3cret"),
        "{said}"
    );
    let proxy = Proxy::start();
    let larder = with()
        .environment("http_proxy", &proxy.url())
        .setting("offline = true")
        .start();
    page(&larder);
    assert!(proxy.heads().is_empty() && gitlab.log().is_empty());
    assert!(!larder.log().contains("through a proxy"));
}

#[test]
fn explain_names_the_proxy_without_its_credential() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let mut command = larder.start_command(&["explain", &path::project_page(42, "widget")]);
    let told = command
        .env("http_proxy", "http://ann:s3cret@proxy.example:3128")
        .output();
    let told = String::from_utf8(told.expect("the binary runs").stdout).expect("text");
    assert!(
        told.contains("http://proxy.example:3128 (from http_proxy)"),
        "{told}"
    );
    assert!(!told.contains("s3cret"), "{told}");
}
