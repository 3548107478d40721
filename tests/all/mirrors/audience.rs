//! A mirror for callers whom GitLab lets read a group or a project: on every path, by the caller's own credential,
//! for as long as GitLab's answers count.

use crate::common::mirror::{FORMATS, HTML, JSON, file, get_as, metadata, page};
use crate::support::larder::Builder;
use crate::support::{
    Act, Answer, Artifact, Client, Distribution, GitLab, Kind, Larder, Place, PublicIndex, Reply,
    Role, Visibility, path, token,
};

const GROUP: &str = "audience = \"groups/20\"\nttl = \"0s\"";

fn licensed() -> Artifact {
    Distribution::new("left.pad", "1.3").payload(20_000).wheel()
}

/// An index with a licence, and the group of those who have it: `READER` is in it.
struct Street {
    gitlab: GitLab,
    index: PublicIndex,
}

impl Street {
    fn new() -> Self {
        let index = PublicIndex::builder().offering(licensed()).start();
        let gitlab = GitLab::start();
        gitlab.change(|universe| {
            universe.add_group(20, "licensed", Visibility::Private);
            universe.add_project(60, "licensed/seat", Visibility::Private);
            universe.grant(token::READER, Place::Group(20), Role::Reporter);
        });
        Self { gitlab, index }
    }

    fn builder(&self, lines: &str) -> Builder {
        Larder::builder(&self.gitlab)
            .mirror_with("pypi", &self.index, lines)
            .forward("pypi")
            .sections("[[views]]\nname = \"all\"\nsources = [\"groups/7\", \"pypi\"]")
    }

    /// Every address that gives something of the mirror.
    fn addresses(&self) -> [String; 7] {
        [
            page("left.pad"),
            "/pypi/simple/".to_owned(),
            file(&self.index, &licensed().filename),
            metadata(&self.index, &licensed().filename),
            "/-/mirrors/pypi/left-pad".to_owned(),
            "/all/simple/left-pad/".to_owned(),
            path::group_page(7, "left-pad"),
        ]
    }
}

/// Every way to ask for an address.
fn sweep(client: &Client, address: &str, mut check: impl FnMut(&str, &Reply)) {
    for method in ["GET", "HEAD"] {
        for headers in [
            vec![("Accept", HTML)],
            vec![("Accept", JSON)],
            vec![("Range", "bytes=0-99")],
            vec![("Cache-Control", "no-cache")],
            vec![("If-None-Match", "*")],
        ] {
            let reply = client.request(method, address, &headers);
            check(&format!("{method} {address} {headers:?}"), &reply);
        }
    }
}

/// address × method × format × cold and warm × caller.
#[test]
fn r34_only_its_audience_is_given_anything_of_a_mirror() {
    for lines in [GROUP, "audience = \"projects/60\"\nttl = \"0s\""] {
        let street = Street::new();
        let larder = street.builder(lines).start();
        let refused = |round: &str| {
            street.index.log().clear();
            let anonymous = larder.client();
            let developer = larder.client().token(token::DEVELOPER);
            let unknown = larder.client().token("no-such-token");
            for address in street.addresses() {
                sweep(&anonymous, &address, |case, reply| {
                    assert_eq!(reply.status, 401, "{round} {case}: {reply:?}");
                    let challenge = reply.header("WWW-Authenticate");
                    assert!(challenge.is_some(), "{round} {case}: {reply:?}");
                });
                // In group 7, and in no audience.
                sweep(&developer, &address, |case, reply| {
                    assert_eq!(reply.status, 403, "{round} {case}: {reply:?}");
                });
                sweep(&unknown, &address, |case, reply| {
                    assert!(
                        matches!(reply.status, 401 | 403),
                        "{round} {case}: {reply:?}"
                    );
                });
            }
            assert_eq!(street.index.log().len(), 0, "{round}");
        };
        refused("cold");
        let reader = larder.client().token(token::READER);
        for address in street.addresses() {
            for accept in [HTML, JSON] {
                let reply = reader.get_with(&address, &[("Accept", accept)]);
                let is_given = reply.status == 200 || (reply.status == 406 && accept == HTML);
                assert!(is_given, "{address} {accept}: {reply:?}");
            }
        }
        refused("warm");
        street
            .index
            .assert_never_told(&[token::READER, token::DEVELOPER]);
        street.gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn r22_a_place_in_the_audience_ends_with_gitlabs_word() {
    for (cache_ttl, asked) in [("0s", 3), ("60s", 1)] {
        let street = Street::new();
        let larder = street
            .builder("audience = \"groups/20\"")
            .sections(&format!("[auth]\ncache_ttl = {cache_ttl:?}"))
            .start();
        let reader = larder.client().token(token::READER);
        for _ in 0..3 {
            get_as(&reader, &page("left.pad"), JSON).expect(200);
        }
        // One more tells that the group is not for everyone.
        let found = street.gitlab.log().count(Kind::Page);
        let most = if asked == 3 { 6 } else { 2 };
        assert!((asked..=most).contains(&found), "{cache_ttl}: {found}");
        street
            .gitlab
            .change(|universe| universe.withdraw(token::READER, Place::Group(20)));
        let wheel = file(&street.index, &licensed().filename);
        let expected = if cache_ttl == "0s" { 403 } else { 200 };
        assert_eq!(get_as(&reader, &page("left.pad"), JSON).status, expected);
        assert_eq!(reader.get(&wheel).status, expected);
        let flushed = larder.command(&["auth", "flush"]);
        assert!(flushed.status.success(), "{flushed:?}");
        assert_eq!(get_as(&reader, &page("left.pad"), JSON).status, 403);
        assert_eq!(reader.get(&wheel).status, 403);
    }
}

#[test]
fn r22_without_gitlabs_word_nothing_of_a_mirror_is_given() {
    let street = Street::new();
    let larder = street
        .builder("audience = \"groups/20\"")
        .sections("[auth]\ncache_ttl = \"0s\"")
        .start();
    let reader = larder.client().token(token::READER);
    let wheel = file(&street.index, &licensed().filename);
    get_as(&reader, &page("left.pad"), JSON).expect(200);
    reader.get(&wheel).expect(200);
    for status in [429, 500, 503] {
        street
            .gitlab
            .plan(Act::Answer(Answer::new(status).header("Retry-After", "0")).at(Kind::Page));
        for address in [page("left.pad"), wheel.clone()] {
            let reply = reader.get(&address);
            assert!(
                matches!(reply.status, 502 | 504),
                "{status} {address}: {reply:?}"
            );
        }
        street.gitlab.behave();
    }
    street.gitlab.stop();
    for address in street.addresses() {
        let reply = reader.get(&address);
        assert!(matches!(reply.status, 502 | 504), "{address}: {reply:?}");
    }
}

#[test]
fn r34_a_group_that_anyone_may_see_is_no_audience_for_callers_that_gitlab_may_not_know() {
    let street = Street::new();
    street.gitlab.change(|universe| {
        universe.add_group(30, "open", Visibility::Public);
        universe.add_project(70, "open/tool", Visibility::Public);
    });
    for audience in ["groups/30", "projects/70"] {
        let larder = street.builder(&format!("audience = {audience:?}")).start();
        for accept in FORMATS {
            let stranger = larder.client().token("no-such-token");
            let reply = get_as(&stranger, &page("left.pad"), accept);
            assert_eq!(reply.status, 403, "{audience}: {reply:?}");
            // A right to the project's own pages is none to the mirror.
            get_as(&stranger, &path::project_index(70), accept).expect(200);
            let reply = get_as(&stranger, &page("left.pad"), accept);
            assert_eq!(reply.status, 403, "{audience}: {reply:?}");
            let known = larder.client().private_token(token::STRANGER);
            get_as(&known, &page("left.pad"), accept).expect(200);
        }
    }
}

#[test]
fn r34_offline_the_operators_files_decide_about_a_mirror_with_an_audience() {
    let street = Street::new();
    let mut larder = street.builder(GROUP).start();
    let reader = larder.client().token(token::READER);
    let wheel = file(&street.index, &licensed().filename);
    get_as(&reader, &page("left.pad"), JSON).expect(200);
    reader.get(&wheel).expect(200);
    larder.terminate();
    for (rule, status) in [("deny", 403), ("open", 200)] {
        let offline = street
            .builder(GROUP)
            .at_home_of(&larder)
            .argument("--offline")
            .sections("[[views]]\nname = \"mirrors\"\nsources = [\"pypi\"]")
            .sections(&format!("[auth]\noffline = {rule:?}"))
            .start();
        // A view of mirrors alone is no way around it.
        for address in [page("left.pad"), "/mirrors/simple/left-pad/".to_owned()] {
            for accept in FORMATS {
                let reply = get_as(&offline.client(), &address, accept);
                assert_eq!(reply.status, status, "{rule} {address}: {reply:?}");
            }
        }
        let list = get_as(&offline.client(), "/mirrors/simple/", JSON);
        assert_eq!(list.status, status, "{rule}: {list:?}");
        let reply = offline.client().get(&wheel);
        assert_eq!(reply.status, status, "{rule}: {reply:?}");
    }
}
