//! GitLab's "not here, ask the public index": passed on, denied, or answered in place by a mirror.
//! And never more than that: who fails, refuses or is busy is not made up for by anybody else.

use std::time::Duration;

use crate::common::mirror::{FORMATS, HTML, JSON, NEVER_FRESH, file, get_as, listed, names};
use crate::support::{
    Act, Answer, Artifact, Client, Distribution, GitLab, Kind, Larder, PublicIndex, Reply, path,
    token,
};

const PUBLIC: &str = "left-pad";

fn public() -> Artifact {
    Distribution::new("left.pad", "1.3").payload(20_000).wheel()
}

/// GitLab, an index that has `left.pad`, and what stands between them and the clients.
struct Street {
    gitlab: GitLab,
    index: PublicIndex,
}

impl Street {
    fn new() -> Self {
        let index = PublicIndex::builder().offering(public()).start();
        index.declare_private(&["acme-*", "my-pkg"]);
        Self {
            gitlab: GitLab::start(),
            index,
        }
    }

    fn larder(&self, forward: &str, sections: &str) -> Larder {
        Larder::builder(&self.gitlab)
            .mirror_with("pypi", &self.index, NEVER_FRESH)
            .forward(forward)
            .private_names(&["acme-*", "my-pkg"])
            .sections(sections)
            .start()
    }

    fn forget(&self) {
        self.gitlab.log().clear();
        self.index.log().clear();
    }

    /// Requests to GitLab, and to the public index.
    fn asked(&self) -> (usize, usize) {
        (self.gitlab.log().len(), self.index.log().len())
    }

    fn assert_innocent(&self) {
        self.gitlab.log().assert_nothing_unexpected();
        self.index.log().assert_nothing_unexpected();
        self.index
            .assert_never_told(&[token::READER, token::WIDGETS_READER, token::STRANGER]);
    }
}

fn reader(larder: &Larder) -> Client {
    larder.client().token(token::READER)
}

fn ask(client: &Client, method: &str, path: &str, accept: &str) -> Reply {
    client.request(method, path, &[("Accept", accept)])
}

#[test]
fn each_choice_asks_whom_it_says_whatever_the_route_method_and_format() {
    let street = Street::new();
    for forward in ["pass", "deny", "pypi"] {
        let larder = street.larder(forward, "");
        let client = reader(&larder);
        for method in ["GET", "HEAD"] {
            for accept in FORMATS {
                for page in [path::group_page(7, PUBLIC), path::project_page(42, PUBLIC)] {
                    let case = format!("{forward} {method} {accept} {page}");
                    street.forget();
                    let reply = ask(&client, method, &page, accept);
                    assert!(reply.is_complete(), "{case}: {reply:?}");
                    let at_the_index = street.asked().1;
                    match forward {
                        "pass" => {
                            assert!(matches!(reply.status, 302 | 303), "{case}: {reply:?}");
                            let place = reply.header("Location").unwrap_or_default();
                            assert!(
                                place.ends_with(&format!(".invalid/simple/{PUBLIC}/")),
                                "{case}: {reply:?}"
                            );
                            assert_eq!((street.gitlab.log().len(), at_the_index), (1, 0), "{case}");
                        }
                        "deny" => {
                            assert_eq!(reply.status, 404, "{case}: {reply:?}");
                            assert_eq!(reply.header("Location"), None, "{case}: {reply:?}");
                            assert_eq!((street.gitlab.log().len(), at_the_index), (1, 0), "{case}");
                        }
                        _ => {
                            assert_eq!(reply.status, 200, "{case}: {reply:?}");
                            let content_type = reply.header("Content-Type").unwrap_or_default();
                            assert!(content_type.starts_with(accept), "{case}: {reply:?}");
                            if method == "GET" {
                                let link = file(&street.index, &public().filename);
                                assert_eq!(listed(&reply)[0].url, link, "{case}");
                            }
                            assert!(at_the_index <= 1, "{case}");
                        }
                    }
                }
                // What GitLab has, it has.
                for page in [
                    path::group_page(7, "gear"),
                    path::project_page(42, "my-pkg"),
                    path::group_index(7),
                    path::project_index(42),
                ] {
                    street.forget();
                    let reply = ask(&client, method, &page, accept);
                    assert_eq!(
                        reply.status, 200,
                        "{forward} {method} {accept} {page}: {reply:?}"
                    );
                    assert_eq!(street.asked().1, 0, "{forward} {method} {accept} {page}");
                }
                // A private name that GitLab does not have is nobody's.
                for page in [
                    path::group_page(7, "acme-tool"),
                    path::project_page(42, "Acme_Tool"),
                ] {
                    let case = format!("{forward} {method} {accept} {page}");
                    street.forget();
                    let reply = ask(&client, method, &page, accept);
                    assert_eq!(
                        (reply.status, reply.header("Location")),
                        (404, None),
                        "{case}: {reply:?}"
                    );
                    assert_eq!(street.asked(), (1, 0), "{case}");
                }
            }
        }
        street.assert_innocent();
    }
}

#[test]
fn a_file_of_the_page_in_place_comes_through_larder_for_whoever_has_its_address() {
    let street = Street::new();
    let larder = street.larder("pypi", "");
    for accept in FORMATS {
        let shown = get_as(&reader(&larder), &path::group_page(7, PUBLIC), accept);
        let link = &listed(&shown)[0];
        assert_eq!(
            reader(&larder).get(&link.url).expect(200),
            &public().bytes[..],
            "{accept}"
        );
        assert_eq!(
            larder
                .client()
                .get(&format!("{}.metadata", link.url))
                .expect(200),
            &public().metadata[..],
            "{accept}"
        );
    }
    street.assert_innocent();
}

#[test]
fn r23_a_forward_is_one_callers_and_never_crosses_to_another() {
    let street = Street::new();
    // Only members of the whole group see `gear`; to the member of one project GitLab says "ask
    // elsewhere".
    let lookalike = Distribution::new("gear", "9.9").wheel();
    street.index.publish(&lookalike);
    for accept in FORMATS {
        let larder = street.larder("pypi", "");
        let page = path::group_page(7, "gear");
        let (insider, outsider) = (
            reader(&larder),
            larder.client().token(token::WIDGETS_READER),
        );
        for round in 0..3 {
            let case = format!("{accept} {round}");
            let shown = names(&get_as(&outsider, &page, accept));
            assert_eq!(shown, [lookalike.filename.as_str()], "{case}: outsider");
            let shown = names(&get_as(&insider, &page, accept));
            assert_eq!(shown, ["gear-0.3-py3-none-any.whl"], "{case}: insider");
            let refused = get_as(&larder.client().token(token::REVOKED), &page, accept);
            assert_eq!(refused.status, 401, "{case}: {refused:?}");
            let refused = get_as(&larder.client(), &page, accept);
            assert!(matches!(refused.status, 401 | 404), "{case}: {refused:?}");
        }
    }
}

#[test]
fn r31_a_gitlab_that_fails_is_never_papered_over_by_the_mirror() {
    let words = [400, 401, 403, 404, 429, 500, 502, 503];
    for word in words {
        for remembered in [false, true] {
            let street = Street::new();
            let larder = street.larder("pypi", "[index]\nttl = \"0s\"");
            let page = path::group_page(7, PUBLIC);
            if remembered {
                get_as(&reader(&larder), &page, HTML).expect(200);
            }
            street.index.log().clear();
            let mut answer = Answer::new(word)
                .header("Content-Type", "application/json")
                .body("{}");
            if word == 429 {
                answer = answer.header("Retry-After", "120");
            }
            street.gitlab.plan(Act::Answer(answer).at(Kind::Page));
            for accept in FORMATS {
                let reply = get_as(&reader(&larder), &page, accept);
                let expected = if word >= 500 { 502 } else { word };
                assert_eq!(
                    reply.status, expected,
                    "{word} {remembered} {accept}: {reply:?}"
                );
            }
            assert_eq!(street.index.log().len(), 0, "{word} {remembered}");
        }
    }
    let street = Street::new();
    let larder = street.larder("pypi", "[index]\nttl = \"0s\"");
    get_as(&reader(&larder), &path::group_page(7, PUBLIC), HTML).expect(200);
    street.index.log().clear();
    street.gitlab.stop();
    for accept in FORMATS {
        let reply = get_as(&reader(&larder), &path::group_page(7, PUBLIC), accept);
        assert_eq!(reply.status, 504, "{accept}: {reply:?}");
    }
    assert_eq!(street.index.log().len(), 0);
}

#[test]
fn what_was_forwarded_once_is_gitlabs_from_the_upload_on() {
    let street = Street::new();
    let larder = street.larder("pypi", "[index]\nttl = \"300s\"");
    let developer = larder.client().token(token::DEVELOPER);
    let pages = [path::group_page(7, PUBLIC), path::project_page(42, PUBLIC)];
    for page in &pages {
        for accept in FORMATS {
            assert_eq!(
                names(&get_as(&developer, page, accept)),
                [public().filename],
                "{page}"
            );
        }
    }
    let own = Distribution::new("left.pad", "0.1+own").wheel();
    let mut body = Vec::new();
    for (name, value) in [
        ("name", "left.pad"),
        ("version", "0.1+own"),
        ("sha256_digest", &own.sha256),
    ] {
        let part =
            format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.into_bytes());
    }
    let head = format!(
        "--xyz\r\nContent-Disposition: form-data; name=\"content\"; filename=\"{}\"\r\n\r\n",
        own.filename
    );
    body.extend(head.into_bytes());
    body.extend(&own.bytes);
    body.extend(b"\r\n--xyz--\r\n");
    developer
        .post(
            &path::upload(42),
            "multipart/form-data; boundary=xyz",
            &body,
        )
        .expect(201);
    for page in &pages {
        for accept in FORMATS {
            let shown = names(&get_as(&developer, page, accept));
            assert_eq!(shown, [own.filename.as_str()], "{page} {accept}");
        }
    }
    street.assert_innocent();
}

#[test]
fn a_forward_is_remembered_as_long_as_a_page_is_fresh() {
    let street = Street::new();
    let larder = street.larder("pypi", "[index]\nttl = \"2s\"");
    let page = path::group_page(7, PUBLIC);
    for accept in [JSON, HTML, JSON] {
        get_as(&reader(&larder), &page, accept).expect(200);
    }
    assert_eq!(street.gitlab.log().count(Kind::Page), 1);
    std::thread::sleep(Duration::from_millis(2_100));
    street
        .gitlab
        .publish(42, Distribution::new("left.pad", "0.2").wheel());
    let shown = names(&get_as(&reader(&larder), &page, JSON));
    assert_eq!(
        shown,
        ["left_pad-0.2-py3-none-any.whl"],
        "somebody uploaded it past larder"
    );
}

#[test]
fn the_mirrors_failure_is_said_and_is_not_a_missing_package() {
    let street = Street::new();
    let larder = street.larder("pypi", "");
    street.index.plan(Act::Status(500).at(Kind::Page));
    for accept in FORMATS {
        let reply = get_as(&reader(&larder), &path::group_page(7, PUBLIC), accept);
        assert_eq!(reply.status, 502, "{accept}: {reply:?}");
    }
    street.index.stop();
    let reply = get_as(&reader(&larder), &path::group_page(7, "another"), HTML);
    assert_eq!(reply.status, 504, "{reply:?}");
    street.index.resume();
    street.index.behave();
    let reply = get_as(
        &reader(&larder),
        &path::group_page(7, "not-there-either"),
        HTML,
    );
    assert_eq!(reply.status, 404, "{reply:?}");
}

/// GitLab says so to one caller, and its word to a caller counts for `auth.cache_ttl`, however long
/// pages are fresh.
#[test]
fn r22_a_forward_is_remembered_no_longer_than_gitlabs_word_counts() {
    let street = Street::new();
    let page = path::project_page(42, PUBLIC);
    for (cache_ttl, questions) in [("0s", 2), ("60s", 1)] {
        let sections = format!("[auth]\ncache_ttl = {cache_ttl:?}\n[index]\nttl = \"60s\"");
        let larder = street.larder("pypi", &sections);
        street.forget();
        for _ in 0..2 {
            get_as(&reader(&larder), &page, JSON).expect(200);
        }
        let asked = street.gitlab.log().count(Kind::Page);
        assert_eq!(asked, questions, "{cache_ttl}");
    }
    street.assert_innocent();
}
