//! Views: several sources under one URL. The first that has the name answers for it, by name and
//! never by version; one that does not tell whether it has it ends the walk.

use std::time::Duration;

use crate::common::mirror::{FORMATS, HTML, JSON, NEVER_FRESH, get_as, listed, names};
use crate::support::gitlab::{Place, Role, Visibility};
use crate::support::larder::Builder;
use crate::support::{
    Act, Answer, Artifact, Client, Distribution, GitLab, Kind, Larder, PublicIndex, Reply, path,
    token,
};

const VIEW: &str =
    "[[views]]\nname = \"all\"\nsources = [\"groups/7\", \"gitlab:groups/20\", \"pypi\"]";

fn wheel(name: &str, version: &str) -> Artifact {
    Distribution::new(name, version).payload(5_000).wheel()
}

/// Two groups of GitLab's and an index, with packages of the same names.
struct Street {
    gitlab: GitLab,
    index: PublicIndex,
}

impl Street {
    /// `gear`: in all three. `spanner`: in the second group and the index. `left.pad`: in the index
    /// alone.
    fn new() -> Self {
        let index = PublicIndex::builder()
            .offering(wheel("left.pad", "1.3"))
            .offering(wheel("gear", "99.0"))
            .offering(wheel("spanner", "99.0"))
            .offering(wheel("acme-tool", "99.0"))
            .start();
        index.declare_private(&["acme-*"]);
        let gitlab = GitLab::start();
        gitlab.change(|universe| {
            universe.add_group(20, "tools", Visibility::Private);
            universe.add_project(60, "tools/hand", Visibility::Private);
            universe.publish(60, wheel("Span_ner", "0.1"));
            universe.publish(60, wheel("spanner", "1.0"));
            universe.publish(60, wheel("gear", "9.0"));
            for reader in [token::READER, token::WIDGETS_READER] {
                universe.grant(reader, Place::Group(20), Role::Reporter);
            }
        });
        Self { gitlab, index }
    }

    fn builder(&self, view: &str, lines: &str) -> Builder {
        Larder::builder(&self.gitlab)
            .mirror_with("pypi", &self.index, lines)
            .forward("deny")
            .private_names(&["acme-*"])
            .sections(view)
    }

    fn larder(&self) -> Larder {
        self.builder(VIEW, NEVER_FRESH).start()
    }

    fn assert_innocent(&self) {
        self.gitlab.log().assert_nothing_unexpected();
        self.index.log().assert_nothing_unexpected();
        self.index
            .assert_never_told(&[token::READER, token::WIDGETS_READER, token::STRANGER]);
    }
}

fn page(name: &str) -> String {
    format!("/all/simple/{name}/")
}

fn reader(larder: &Larder) -> Client {
    larder.client().token(token::READER)
}

fn source(reply: &Reply) -> Option<&str> {
    reply.header("Larder-Source")
}

#[track_caller]
fn assert_refused(reply: &Reply, status: u16, case: &str) {
    assert_eq!(
        (reply.status, source(reply)),
        (status, None),
        "{case}: {reply:?}"
    );
}

#[test]
fn r31_the_first_source_that_has_the_name_answers_for_it_wholly() {
    for forwarding in [true, false] {
        let street = Street::new();
        street
            .gitlab
            .set(|settings| settings.forwarding = forwarding);
        let larder = street.larder();
        let client = reader(&larder);
        for (name, answers, versions) in [
            ("gear", "groups/7", vec!["gear-0.3-py3-none-any.whl"]),
            ("Gear", "groups/7", vec!["gear-0.3-py3-none-any.whl"]),
            ("spanner", "groups/20", vec!["spanner-1.0-py3-none-any.whl"]),
            (
                "span.ner",
                "groups/20",
                vec!["Span_ner-0.1-py3-none-any.whl"],
            ),
            ("Left__Pad", "pypi", vec!["left_pad-1.3-py3-none-any.whl"]),
        ] {
            for accept in FORMATS {
                let case = format!("{forwarding} {name} {accept}");
                let reply = get_as(&client, &page(name), accept);
                let shown = names(&reply);
                assert_eq!(shown.len(), versions.len(), "{case}: {shown:?}");
                assert_eq!(
                    shown[0].to_lowercase(),
                    versions[0].to_lowercase(),
                    "{case}"
                );
                assert_eq!(source(&reply), Some(answers), "{case}: {reply:?}");
                let head = client.request("HEAD", &page(name), &[("Accept", accept)]);
                assert_eq!(head.status, 200, "{case}: {head:?}");
                assert_eq!(source(&head), Some(answers), "{case}: {head:?}");
                assert_eq!(head.header("ETag"), reply.header("ETag"), "{case}");
                let tag = reply.header("ETag").unwrap_or_default();
                let again = [("Accept", accept), ("If-None-Match", tag)];
                let again = client.get_with(&page(name), &again);
                assert_eq!(
                    (again.status, source(&again)),
                    (304, Some(answers)),
                    "{case}"
                );
                // The files are where the source has them, by the rights that it has for them.
                let link = &listed(&reply)[0].url;
                assert!(client.get(link).is_complete(), "{case} {link}");
                let bare = larder.client().get(link).status;
                assert_eq!(bare == 200, answers == "pypi", "{case} {link}: {bare}");
            }
        }
        for accept in FORMATS {
            let reply = get_as(&client, &page("nowhere"), accept);
            assert_refused(&reply, 404, accept);
        }
        larder.wait_for_log("source=groups/20");
        street.assert_innocent();
    }
}

/// answer of the first source × what is asked for.
#[test]
fn r31_a_source_that_fails_or_refuses_is_no_miss() {
    let json = |status: u16| {
        Answer::new(status)
            .header("Content-Type", "application/json")
            .body(r#"{"message":"404 Not Found"}"#)
    };
    for (status, expected) in [
        (400, 403),
        (401, 401),
        (403, 403),
        (404, 403),
        (410, 403),
        (451, 403),
        (429, 429),
        (500, 502),
        (502, 502),
        (503, 502),
    ] {
        let street = Street::new();
        let larder = street.larder();
        let mut answer = json(status);
        if status == 429 {
            answer = answer.header("Retry-After", "120");
        }
        street.gitlab.plan(Act::Answer(answer).at(Kind::Page));
        for accept in FORMATS {
            for name in ["left.pad", "spanner", "nowhere"] {
                let reply = get_as(&reader(&larder), &page(name), accept);
                // After a few failures the circuit breaker answers.
                let is_said = reply.status == expected || (status >= 500 && reply.status == 504);
                assert!(is_said, "{status} {accept} {name}: {reply:?}");
            }
        }
        assert_eq!(street.index.log().len(), 0, "{status}");
    }
    let street = Street::new();
    let larder = street.larder();
    get_as(&reader(&larder), &page("left.pad"), JSON).expect(200);
    street.index.log().clear();
    street.gitlab.stop();
    // What GitLab said is remembered as long as a page is fresh; of another name nothing is known.
    let reply = get_as(&reader(&larder), &page("spanner"), JSON);
    assert_refused(&reply, 504, "away");
    assert_eq!(street.index.log().len(), 0);
}

#[test]
fn r31_a_mirror_that_fails_or_took_a_name_back_is_no_miss() {
    let street = Street::new();
    let other = PublicIndex::builder()
        .offering(wheel("left.pad", "9.9"))
        .start();
    let view = "[[views]]\nname = \"all\"\nsources = [\"pypi\", \"other\"]";
    let larder = street
        .builder(view, NEVER_FRESH)
        .mirror_with("other", &other, NEVER_FRESH)
        .start();
    for (status, expected, asks_on) in [
        (404, 200, true),
        (410, 200, true),
        (403, 403, false),
        (451, 451, false),
        (500, 502, false),
    ] {
        other.log().clear();
        street.index.plan(Act::Status(status).at(Kind::Page));
        let reply = get_as(&larder.client(), &page("left.pad"), JSON);
        assert_eq!(reply.status, expected, "{status}: {reply:?}");
        assert_eq!(!other.log().is_empty(), asks_on, "{status}");
        street.index.behave();
    }
    street.index.stop();
    other.log().clear();
    let reply = get_as(&larder.client(), &page("another"), JSON);
    assert_refused(&reply, 504, "away");
    assert_eq!(other.log().len(), 0);
}

#[test]
fn r31_a_right_that_ended_at_one_source_opens_no_other() {
    let street = Street::new();
    let larder = street
        .builder(VIEW, NEVER_FRESH)
        .sections("[auth]\ncache_ttl = \"0s\"")
        .start();
    for accept in FORMATS {
        get_as(&reader(&larder), &page("spanner"), accept).expect(200);
    }
    street.index.log().clear();
    let withdraw = |place| {
        street
            .gitlab
            .change(|universe| universe.withdraw(token::READER, place));
    };
    // The whole group.
    withdraw(Place::Group(20));
    for accept in FORMATS {
        for name in ["spanner", "left.pad"] {
            let reply = get_as(&reader(&larder), &page(name), accept);
            assert_refused(&reply, 403, name);
        }
    }
    withdraw(Place::Group(7));
    for name in ["gear", "spanner", "left.pad"] {
        assert_refused(&get_as(&reader(&larder), &page(name), JSON), 403, name);
    }
    street.gitlab.revoke(token::READER);
    let reply = get_as(&reader(&larder), &page("left.pad"), JSON);
    assert_refused(&reply, 401, "revoked");
    assert_eq!(street.index.log().len(), 0);
    street.assert_innocent();
}

/// GitLab says "no such package" of what a caller may not see of a group.
#[test]
fn r31_a_name_that_a_group_hides_from_a_caller_is_looked_for_no_further() {
    let street = Street::new();
    let view = "[[views]]\nname = \"all\"\nsources = [\"groups/7\", \"pypi\"]";
    let larder = street
        .builder(view, NEVER_FRESH)
        .sections("[index]\nttl = \"0s\"")
        .start();
    let narrow = larder.client().token(token::WIDGETS_READER);
    get_as(&reader(&larder), &page("gear"), JSON).expect(200);
    for accept in FORMATS {
        let reply = get_as(&narrow, &page("gear"), accept);
        assert_refused(&reply, 403, accept);
        assert!(
            reply.json()["detail"].to_string().contains("larder purge"),
            "{reply:?}"
        );
    }
    assert_eq!(street.index.log().len(), 0);
    // What the group never had goes on.
    get_as(&narrow, &page("left.pad"), JSON).expect(200);
    // As does what was deleted, once that is said.
    street
        .gitlab
        .change(|universe| universe.delete_package(44, "gear"));
    assert_refused(
        &get_as(&reader(&larder), &page("gear"), JSON),
        403,
        "deleted",
    );
    assert!(larder.command(&["purge", "groups/7/gear"]).status.success());
    let reply = get_as(&reader(&larder), &page("gear"), JSON);
    assert_eq!(
        (reply.status, source(&reply)),
        (200, Some("pypi")),
        "{reply:?}"
    );
}

/// What GitLab said to one caller is remembered; since then the group gave the name to another.
#[test]
fn r31_a_remembered_absence_ends_when_the_group_gives_the_name_to_another() {
    for forwarding in [true, false] {
        let street = Street::new();
        street
            .gitlab
            .set(|settings| settings.forwarding = forwarding);
        let view = "[[views]]\nname = \"all\"\nsources = [\"groups/7\", \"pypi\"]";
        let remembering = format!("{view}\n[index]\nttl = \"300s\"\n[auth]\ncache_ttl = \"300s\"");
        let viewed = street.builder(&remembering, "").start();
        let in_place = Larder::builder(&street.gitlab)
            .mirror("pypi", &street.index)
            .forward("pypi")
            .gitlab_setting("forward_not_found = true")
            .sections("[index]\nttl = \"300s\"\n[auth]\ncache_ttl = \"300s\"")
            .start();
        for (larder, address) in [
            (&viewed, page("gear")),
            (&in_place, path::group_page(7, "gear")),
        ] {
            let narrow = larder.client().token(token::WIDGETS_READER);
            for accept in FORMATS {
                let case = format!("{forwarding} {address} {accept}");
                let reply = get_as(&narrow, &address, accept);
                assert_eq!(names(&reply), ["gear-99.0-py3-none-any.whl"], "{case}");
            }
            let reply = get_as(&reader(larder), &address, JSON);
            assert_eq!(names(&reply), ["gear-0.3-py3-none-any.whl"], "{address}");
            for accept in FORMATS {
                let reply = get_as(&narrow, &address, accept);
                // GitLab's own redirect is its own word at its own address.
                let is_redirect = forwarding && address.starts_with("/api/");
                let expected = if is_redirect { 200 } else { 403 };
                assert_eq!(reply.status, expected, "{forwarding} {address}: {reply:?}");
            }
        }
    }
}

#[test]
fn r31_a_group_that_anyone_may_see_lacks_a_name_for_callers_that_gitlab_knows() {
    let street = Street::new();
    street.gitlab.change(|universe| {
        universe.add_group(30, "open", Visibility::Public);
        universe.add_project(70, "open/tool", Visibility::Public);
    });
    let view = "[[views]]\nname = \"all\"\nsources = [\"groups/30\", \"pypi\"]\n\
                [[views]]\nname = \"exact\"\nsources = [\"projects/70\", \"pypi\"]";
    let larder = street.builder(view, NEVER_FRESH).start();
    let client = || larder.client();
    for accept in FORMATS {
        let reply = get_as(&client(), &page("left.pad"), accept);
        assert_refused(&reply, 401, accept);
        assert!(reply.header("WWW-Authenticate").is_some(), "{reply:?}");
        // GitLab makes a caller without a credential of each of these.
        for unknown in [
            client().token("no-such-token"),
            client().deploy_token("no-such-token"),
            // And would of this one, if it did not know it, which it does not tell.
            client().token(token::STRANGER),
        ] {
            let reply = get_as(&unknown, &page("left.pad"), accept);
            assert_refused(&reply, 403, accept);
        }
    }
    assert_eq!(street.index.log().len(), 0);
    for known in [
        client().private_token(token::STRANGER),
        client().bearer(token::OAUTH),
        client().job_token(token::JOB),
    ] {
        let reply = get_as(&known, &page("left.pad"), JSON);
        assert_eq!(
            (reply.status, source(&reply)),
            (200, Some("pypi")),
            "{reply:?}"
        );
    }
    // A project is seen wholly or not at all.
    let reply = get_as(&client(), "/exact/simple/left-pad/", JSON);
    assert_eq!(
        (reply.status, source(&reply)),
        (200, Some("pypi")),
        "{reply:?}"
    );
}

/// What a reply says, without its own request's id.
fn said(reply: &Reply) -> String {
    let id = reply.header("X-Request-Id").unwrap_or_default();
    reply.text().replace(id, "")
}

/// That a group gave a name before is told to callers alone whom GitLab knows and lets read it.
#[test]
fn r24_a_caller_that_may_not_read_a_group_learns_no_name_of_it() {
    let street = Street::new();
    street.gitlab.change(|universe| {
        universe.add_group(30, "open", Visibility::Public);
        universe.add_project(71, "open/own", Visibility::Private);
        universe.publish(71, wheel("gear", "7.0"));
        universe.grant(token::READER, Place::Group(30), Role::Reporter);
    });
    for group in ["groups/7", "groups/30"] {
        let view = format!("[[views]]\nname = \"all\"\nsources = [\"{group}\", \"pypi\"]");
        let larder = street.builder(&view, NEVER_FRESH).start();
        let client = || larder.client();
        let member = client().private_token(token::READER);
        let reply = get_as(&member, &page("gear"), JSON);
        assert_eq!(source(&reply), Some(group), "{reply:?}");
        for outsider in [
            client(),
            client().token("no-such-token"),
            client().private_token("no-such-token"),
            client().deploy_token("no-such-token"),
            client().token(token::STRANGER),
        ] {
            for accept in FORMATS {
                let given = get_as(&outsider, &page("gear"), accept);
                let never = get_as(&outsider, &page("nowhere"), accept);
                assert!(matches!(given.status, 401 | 403), "{group}: {given:?}");
                assert_refused(&given, never.status, group);
                assert_eq!(said(&given), said(&never), "{group}");
            }
        }
    }
    street.assert_innocent();
}

#[test]
fn r31_a_private_name_is_gitlabs_alone_and_with_private_only_no_other_is() {
    let street = Street::new();
    // A public name that was uploaded inside, and a private one that GitLab has.
    street.gitlab.publish(42, wheel("left.pad", "666.0"));
    street.gitlab.publish(60, wheel("acme_own", "1.0"));
    for (private_only, left_pad) in [(false, "groups/7"), (true, "pypi")] {
        let view = format!("{VIEW}\nprivate_only = {private_only}");
        let larder = street.builder(&view, NEVER_FRESH).start();
        for accept in FORMATS {
            let case = format!("{private_only} {accept}");
            let reply = get_as(&reader(&larder), &page("left.pad"), accept);
            assert_eq!(source(&reply), Some(left_pad), "{case}: {reply:?}");
            let reply = get_as(&reader(&larder), &page("Acme.Own"), accept);
            assert_eq!(source(&reply), Some("groups/20"), "{case}: {reply:?}");
            street.index.log().clear();
            for spelling in ["acme-tool", "ACME_Tool", "acme.tool"] {
                for method in ["GET", "HEAD"] {
                    let headers = [("Accept", accept)];
                    let reply = reader(&larder).request(method, &page(spelling), &headers);
                    assert_refused(&reply, 404, &case);
                }
            }
            assert_eq!(street.index.log().len(), 0, "{case}");
        }
        if private_only {
            // Nor is GitLab asked for what is not its.
            street.gitlab.log().clear();
            get_as(&larder.client(), &page("left.pad"), JSON).expect(200);
            assert_eq!(street.gitlab.log().len(), 0);
        }
    }
    street.assert_innocent();
}

#[test]
fn r34_a_mirrors_rules_hold_in_a_view() {
    let street = Street::new();
    let larder = street.builder(VIEW, "min_age = \"10000d\"").start();
    for accept in FORMATS {
        let reply = get_as(&reader(&larder), &page("left.pad"), accept);
        assert_eq!(names(&reply), Vec::<String>::new(), "{accept}");
        let at_home = get_as(&larder.client(), "/pypi/simple/left-pad/", accept);
        assert_eq!(reply.body, at_home.body, "{accept}");
    }
}

#[test]
fn r23_what_one_caller_is_told_by_a_source_is_no_others() {
    let street = Street::new();
    let larder = street.larder();
    for round in 0..2 {
        for accept in FORMATS {
            let case = format!("{round} {accept}");
            get_as(&reader(&larder), &page("left.pad"), accept).expect(200);
            get_as(&reader(&larder), &page("spanner"), accept).expect(200);
            let stranger = larder.client().token(token::STRANGER);
            for name in ["left.pad", "spanner", "nowhere"] {
                assert_refused(&get_as(&stranger, &page(name), accept), 403, &case);
                assert_refused(&get_as(&larder.client(), &page(name), accept), 401, &case);
            }
        }
    }
}

#[test]
fn gitlabs_own_forwarding_is_no_name_of_its_but_at_the_last_source() {
    let street = Street::new();
    let larder = street
        .builder(
            "[[views]]\nname = \"all\"\nsources = [\"projects/42\", \"projects/60\"]\n\
             [[views]]\nname = \"own\"\nsources = [\"projects/42\", \"groups/20\", \"pypi\"]",
            NEVER_FRESH,
        )
        .start();
    // With "deny" there is nothing behind the last source.
    assert_refused(
        &get_as(&reader(&larder), &page("left.pad"), JSON),
        404,
        "deny",
    );
    let forwarding = Larder::builder(&street.gitlab)
        .mirror("pypi", &street.index)
        .forward("pypi")
        .sections("[[views]]\nname = \"all\"\nsources = [\"projects/42\", \"projects/60\"]")
        .start();
    for accept in FORMATS {
        let reply = get_as(&reader(&forwarding), &page("left.pad"), accept);
        assert_eq!(names(&reply), ["left_pad-1.3-py3-none-any.whl"], "{accept}");
        let reply = get_as(&reader(&forwarding), &page("spanner"), accept);
        assert_eq!(source(&reply), Some("projects/60"), "{accept}: {reply:?}");
    }
    // EE's Dependency Firewall forwards by a page of its own.
    street.gitlab.set(|settings| settings.firewall = true);
    let reply = get_as(&reader(&larder), "/own/simple/spanner/", HTML);
    assert_eq!(source(&reply), Some("groups/20"), "{reply:?}");
    let reply = get_as(&reader(&larder), "/own/simple/left-pad/", HTML);
    assert_eq!(source(&reply), Some("pypi"), "{reply:?}");
}

#[test]
fn a_gitlab_that_does_not_forward_may_be_answered_for_all_the_same() {
    let street = Street::new();
    street.gitlab.set(|settings| settings.forwarding = false);
    let start = |setting: &str| {
        Larder::builder(&street.gitlab)
            .mirror_with("pypi", &street.index, NEVER_FRESH)
            .forward("pypi")
            .gitlab_setting(setting)
            .private_names(&["acme-*"])
            .start()
    };
    let pages = [
        path::group_page(7, "left-pad"),
        path::project_page(42, "left-pad"),
    ];
    let off = start("");
    let on = start("forward_not_found = true");
    for page in &pages {
        for accept in FORMATS {
            let case = format!("{page} {accept}");
            assert_eq!(get_as(&reader(&off), page, accept).status, 404, "{case}");
            let shown = names(&get_as(&reader(&on), page, accept));
            assert_eq!(shown, ["left_pad-1.3-py3-none-any.whl"], "{case}");
            let stranger = on.client().token(token::STRANGER);
            assert_eq!(get_as(&stranger, page, accept).status, 404, "{case}");
            assert_eq!(get_as(&on.client(), page, accept).status, 401, "{case}");
        }
    }
    street.index.log().clear();
    for page in [
        path::group_page(7, "acme-tool"),
        path::project_page(42, "acme-tool"),
        path::project_page(42, "acme-tool"),
    ] {
        assert_eq!(get_as(&reader(&on), &page, JSON).status, 404, "{page}");
    }
    // What another caller was given is hidden, not missing.
    get_as(&reader(&on), &path::group_page(7, "gear"), JSON).expect(200);
    let narrow = on.client().token(token::WIDGETS_READER);
    let reply = get_as(&narrow, &path::group_page(7, "gear"), JSON);
    assert_eq!(reply.status, 403, "{reply:?}");
    assert_eq!(street.index.log().len(), 0);
    street.assert_innocent();
}

#[test]
fn r11_stale_pages_stand_in_at_their_own_source_alone() {
    let street = Street::new();
    let larder = street
        .builder(VIEW, NEVER_FRESH)
        .sections("[index]\nttl = \"0s\"")
        .start();
    for name in ["gear", "spanner", "left.pad"] {
        get_as(&reader(&larder), &page(name), JSON).expect(200);
    }
    street.index.stop();
    let reply = get_as(&reader(&larder), &page("left.pad"), JSON);
    assert_eq!(
        (reply.status, source(&reply)),
        (200, Some("pypi")),
        "{reply:?}"
    );
    assert!(reply.header("Age").is_some(), "{reply:?}");
    street.index.resume();
    street.gitlab.stop();
    let reply = get_as(&reader(&larder), &page("gear"), JSON);
    assert_eq!(
        (reply.status, source(&reply)),
        (200, Some("groups/7")),
        "{reply:?}"
    );
    for name in ["spanner", "left.pad"] {
        let reply = get_as(&reader(&larder), &page(name), JSON);
        assert_refused(&reply, 504, name);
    }
}

#[test]
fn r33_offline_each_source_is_what_is_here_of_it_and_nothing_is_no_miss() {
    let street = Street::new();
    let mut larder = street.larder();
    for name in ["gear", "spanner", "left.pad"] {
        let reply = get_as(&reader(&larder), &page(name), JSON);
        reader(&larder).get(&listed(&reply)[0].url).expect(200);
    }
    larder.terminate();
    let offline = |auth: &str, view: &str| {
        street
            .builder(view, "")
            .at_home_of(&larder)
            .argument("--offline")
            .sections(&format!("[auth]\n{auth}"))
            .start()
    };
    let open = "offline = \"open\"";
    let mut running = offline(open, VIEW);
    for (name, answers) in [
        ("gear", "groups/7"),
        ("spanner", "groups/20"),
        ("left.pad", "pypi"),
    ] {
        for accept in FORMATS {
            let reply = get_as(&running.client(), &page(name), accept);
            assert_eq!(source(&reply), Some(answers), "{name} {accept}: {reply:?}");
            running.client().get(&listed(&reply)[0].url).expect(200);
        }
    }
    assert_refused(
        &get_as(&running.client(), &page("nowhere"), JSON),
        404,
        "nowhere",
    );
    running.terminate();
    // A source of which nothing is here may have any name.
    let unknown = "[[views]]\nname = \"all\"\nsources = [\"groups/7\", \"projects/77\", \"pypi\"]";
    let mut running = offline(open, unknown);
    for accept in FORMATS {
        get_as(&running.client(), &page("gear"), accept).expect(200);
        assert_refused(
            &get_as(&running.client(), &page("left.pad"), accept),
            504,
            accept,
        );
    }
    running.terminate();
    // The operator's files decide in GitLab's place, before any source is looked at.
    let running = offline("offline = \"deny\"", VIEW);
    for name in ["gear", "left.pad"] {
        assert_refused(&get_as(&running.client(), &page(name), JSON), 403, name);
    }
}

#[test]
fn a_view_takes_no_uploads_and_has_pages_alone() {
    let street = Street::new();
    let larder = street.larder();
    for address in [
        "/all/",
        "/all",
        "/all/simple/",
        "/all/legacy/",
        "/all/simple/gear/",
    ] {
        let reply = reader(&larder).post(address, "text/plain", b"x");
        assert_eq!(reply.status, 405, "{address}: {reply:?}");
        assert_eq!(reply.header("Allow"), Some("GET, HEAD"), "{address}");
        assert!(
            reply.text().contains("takes no uploads"),
            "{address}: {reply:?}"
        );
    }
    for address in ["/all/gear-0.3-py3-none-any.whl", "/all/packages/x-1.tar.gz"] {
        let reply = reader(&larder).get(address);
        assert_refused(&reply, 404, address);
        assert!(
            reply.text().contains("a view has its pages alone"),
            "{reply:?}"
        );
    }
    assert_eq!(street.gitlab.log().len(), 0);
}

#[test]
fn a_views_list_has_each_name_of_each_source_once() {
    let street = Street::new();
    street.gitlab.publish(60, wheel("acme_own", "1.0"));
    let larder = street.larder();
    for accept in FORMATS {
        let reply = get_as(&reader(&larder), "/all/simple/", accept);
        let text = reply.text();
        for name in [
            "gear",
            "span-ner",
            "spanner",
            "left-pad",
            "my-pkg",
            "open-thing",
            "acme-own",
        ] {
            let link = format!("/all/simple/{name}/");
            let listed = match accept {
                JSON => format!("\"name\":\"{name}\""),
                _ => format!("\"{link}\""),
            };
            assert_eq!(text.matches(&listed).count(), 1, "{accept} {name}: {text}");
        }
        assert!(!text.contains("acme-tool"), "{accept}: {text}");
        // A list that lacks a source would look whole.
        let stranger = larder.client().token(token::STRANGER);
        assert_refused(&get_as(&stranger, "/all/simple/", accept), 403, accept);
    }
    street.index.stop();
    let quick = Duration::from_secs(20);
    let reply = reader(&larder).patience(quick).get("/all/simple/");
    assert!(matches!(reply.status, 200 | 504), "{reply:?}");
    let small = street
        .builder(VIEW, "")
        .sections("[index]\npage_size = \"64B\"")
        .start();
    street.index.resume();
    let reply = get_as(&reader(&small), "/all/simple/", JSON);
    assert_refused(&reply, 502, "too large");
    let said = reply.text();
    assert!(said.contains("index.page_size (64 B)"), "{said}");
}

/// Warms a larder by its view, and gives what it said of each file.
fn warm(larder: &Larder, wanted: &str) -> String {
    let token = larder.home().join("token");
    std::fs::write(&token, token::READER).expect("a file");
    let token = token.to_str().expect("a path");
    let arguments = [
        "warm",
        wanted,
        "--from",
        "all",
        "--json",
        "--token-file",
        token,
    ];
    let done = larder.command(&arguments);
    assert!(done.status.success(), "{wanted}: {done:?}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// As pip would: each package from the first source that has it, and of no name a source hears that
/// may not answer for it.
#[test]
fn r31_warming_by_a_view_asks_no_source_more_than_a_client_would() {
    let street = Street::new();
    street.gitlab.publish(60, wheel("acme_own", "1.0"));
    let view = format!("{VIEW}\nprivate_only = true");
    let larder = street.builder(&view, NEVER_FRESH).start();
    assert!(warm(&larder, "left.pad").contains("left_pad-1.3"));
    assert_eq!(street.gitlab.log().count(Kind::Page), 0, "a public name");
    street.index.log().clear();
    assert!(warm(&larder, "acme.own").contains("acme_own-1.0"));
    assert_eq!(street.index.log().len(), 0, "a private name");
    // Without `private_only` the first source that has the name answers, and the mirror hears nothing.
    let larder = street.larder();
    assert!(warm(&larder, "gear").contains("gear-0.3"));
    assert_eq!(street.index.log().len(), 0, "what a group has");
    street.assert_innocent();
}

#[test]
fn explain_tells_a_views_sources_and_which_one_answers() {
    let street = Street::new();
    let larder = street.larder();
    let token = larder.home().join("token");
    std::fs::write(&token, token::READER).expect("a file");
    let address = format!("{}{}", larder.url(), page("spanner"));
    let token = token.to_str().expect("a path");
    let arguments = ["explain", &address, "--token-file", token];
    let said = larder.command(&arguments);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    for part in [
        "the page of spanner in the view all",
        "groups/7, groups/20, pypi",
        "groups/20 answered",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let address = page("acme-tool");
    let said = larder.command(&["explain", &address]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("groups/7, groups/20\n"), "{said}");
}
