//! The rules of `access`, as facts about sequences of GitLab's words.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::registry::Route;
use crate::values::clock;
use crate::values::digest::Digest;

const SHA: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OTHER_SHA: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

fn scope(path: &str) -> Scope {
    match Route::from_path(&format!("/api/v4/{path}/packages/pypi/simple/")) {
        Ok(Route::Page(page)) => page.scope,
        other => panic!("{path}: {other:?}"),
    }
}

fn file(path: &str, sha: &str) -> FileRef {
    match Route::from_path(&format!(
        "/api/v4/{path}/packages/pypi/files/{sha}/my_pkg-1.0-py3-none-any.whl"
    )) {
        Ok(Route::File(file)) => file,
        other => panic!("{path}: {other:?}"),
    }
}

fn page(path: &str, name: &str) -> PageRef {
    PageRef {
        scope: scope(path),
        name: Some(ProjectName::parse(name).unwrap()),
    }
}

struct World {
    access: Access,
    ann: Fingerprint,
    bob: Fingerprint,
    now: Instant,
}

fn world() -> World {
    let access = Access::new(&AuthConfig::default());
    let caller = |token: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("private-token", HeaderValue::from_static(token));
        access
            .identify(Credential::read(&headers).unwrap())
            .fingerprint()
    };
    World {
        ann: caller("ann"),
        bob: caller("bob"),
        access,
        now: clock::now(),
    }
}

fn proven(standing: Authorization) -> bool {
    standing.permit().is_some()
}

/// A page of `asked` whose links name `linked`, listing one file.
fn admit(world: &World, who: Fingerprint, asked: &str, linked: &str) {
    let listing = Arc::new(ListedFiles::new([&file(linked, SHA)]));
    let listings = [(scope(linked), listing)];
    world
        .access
        .admit_page(who, &page(asked, "my-pkg"), &listings, world.now);
}

#[test]
fn a_project_page_proves_the_project_and_the_files_under_the_addresses_it_lists() {
    let world = world();
    admit(&world, world.ann, "projects/acme%2Fwidgets", "projects/42");
    let sees = |who, path: &str| proven(world.access.page(who, &page(path, "other"), world.now));
    assert!(sees(world.ann, "projects/acme%2Fwidgets"));
    assert!(
        !sees(world.ann, "projects/42"),
        "another spelling is another question"
    );
    assert!(!sees(world.bob, "projects/acme%2Fwidgets"));
    let has =
        |who, path: &str, sha: &str| proven(world.access.file(who, &file(path, sha), world.now));
    assert!(has(world.ann, "projects/42", SHA));
    assert!(
        !has(world.ann, "projects/42", OTHER_SHA),
        "a file that no page listed"
    );
    assert!(
        !has(world.ann, "projects/43", SHA),
        "the same bytes in another project"
    );
    assert!(!has(world.bob, "projects/42", SHA));
}

#[test]
fn a_right_to_a_project_needs_a_witness_for_each_file() {
    let world = world();
    admit(&world, world.ann, "projects/42", "projects/42");
    world
        .access
        .admit_file(world.bob, &file("projects/42", OTHER_SHA), world.now);
    let has = |who, sha| proven(world.access.file(who, &file("projects/42", sha), world.now));
    assert!(has(world.bob, OTHER_SHA));
    assert!(
        has(world.bob, SHA),
        "ann's page is the witness that the file is in the project"
    );
    assert!(has(world.ann, OTHER_SHA), "bob's answer is the witness");
    let third = "1".repeat(64);
    assert!(!has(world.ann, third.as_str()));
}

#[test]
fn a_group_page_proves_itself_and_its_files_and_nothing_more() {
    let world = world();
    admit(&world, world.ann, "groups/acme/-", "groups/7/-");
    let sees = |page: &PageRef| proven(world.access.page(world.ann, page, world.now));
    assert!(sees(&page("groups/acme/-", "my-pkg")));
    assert!(!sees(&page("groups/acme/-", "other")));
    assert!(!sees(&PageRef::index(scope("groups/acme/-"))));
    assert!(proven(world.access.file(
        world.ann,
        &file("groups/7/-", SHA),
        world.now
    )));
    assert!(!proven(world.access.file(
        world.ann,
        &file("groups/7/-", OTHER_SHA),
        world.now
    )));
    assert!(!proven(world.access.file(
        world.bob,
        &file("groups/7/-", SHA),
        world.now
    )));
}

#[test]
fn a_page_vouches_for_its_own_scope_only() {
    for (asked, links, vouched) in [
        (
            "projects/42",
            &["projects/42", "projects/44"][..],
            &["projects/42"][..],
        ),
        ("projects/42", &["projects/44"], &[]),
        (
            "projects/acme%2Fwidgets",
            &["projects/42"],
            &["projects/42"],
        ),
        (
            "projects/acme%2Fwidgets",
            &["projects/42", "projects/44"],
            &[],
        ),
        ("groups/acme/-", &["groups/7/-"], &["groups/7/-"]),
        ("groups/acme/-", &["projects/44"], &[]),
        ("groups/7/-", &["groups/8/-", "groups/7/-"], &["groups/7/-"]),
    ] {
        let world = world();
        let listing = |linked: &&str| {
            (
                scope(linked),
                Arc::new(ListedFiles::new([&file(linked, SHA)])),
            )
        };
        let listings: Vec<_> = links.iter().map(listing).collect();
        world
            .access
            .admit_page(world.ann, &page(asked, "my-pkg"), &listings, world.now);
        for link in links {
            let has = proven(world.access.file(world.ann, &file(link, SHA), world.now));
            assert_eq!(
                has,
                vouched.contains(link),
                "{asked} links to {links:?}: {link}"
            );
        }
    }
}

#[test]
fn being_turned_away_voids_every_earlier_word_and_none_that_follow() {
    let world = world();
    admit(&world, world.ann, "projects/42", "projects/42");
    admit(&world, world.bob, "projects/42", "projects/42");
    world.access.turn_away(world.ann, world.now);
    let has = |who, now| proven(world.access.file(who, &file("projects/42", SHA), now));
    assert!(!has(world.ann, world.now));
    assert!(has(world.bob, world.now));
    let later = world.now + Duration::from_secs(1);
    world
        .access
        .admit_file(world.ann, &file("projects/42", SHA), later);
    assert!(has(world.ann, later));
}

#[test]
fn with_no_grant_time_every_request_is_a_question() {
    let access = Access::new(&AuthConfig {
        cache_ttl: Span::seconds(0),
        ..AuthConfig::default()
    });
    let who = access.identify(Credential::default()).fingerprint();
    let now = clock::now();
    access.admit_file(who, &file("projects/42", SHA), now);
    assert!(!proven(access.file(who, &file("projects/42", SHA), now)));
}

#[test]
fn a_revocation_ends_every_right_and_says_how_many() {
    let world = world();
    for who in [world.ann, world.bob] {
        admit(&world, who, "projects/42", "projects/42");
    }
    let wanted = page("projects/42", "my-pkg");
    assert!(proven(world.access.page(world.ann, &wanted, world.now)));
    assert!(world.access.revoke_all(world.now) >= 2);
    assert_eq!(world.access.count(), 0);
    for who in [world.ann, world.bob] {
        assert!(!proven(world.access.page(who, &wanted, world.now)));
        assert!(!proven(world.access.file(
            who,
            &file("projects/42", SHA),
            world.now
        )));
    }
}

proptest! {
    /// A question that is under way while everything is revoked was answered by a GitLab that may
    /// not have known yet.
    #[test]
    fn no_word_asked_for_before_a_revocation_counts_after_it(asked in 0..50_u64, revoked in 0..50_u64, late: bool) {
        let world = world();
        let at = |seconds| world.now + Duration::from_secs(seconds);
        if late {
            world.access.revoke_all(at(revoked));
        }
        world.access.admit_page(world.ann, &page("projects/42", "my-pkg"), &[], at(asked));
        world.access.admit_file(world.bob, &file("projects/42", SHA), at(asked));
        if !late {
            world.access.revoke_all(at(revoked));
        }
        let counts = late && asked > revoked;
        let now = at(50);
        prop_assert_eq!(proven(world.access.page(world.ann, &page("projects/42", "my-pkg"), now)), counts);
        prop_assert_eq!(proven(world.access.file(world.bob, &file("projects/42", SHA), now)), counts);
    }

    /// Questions overlap, and their answers come in any order: no answer brings back what GitLab,
    /// or the operator, ended after it was asked for. One that was asked for after all of that
    /// counts.
    #[test]
    fn no_late_answer_brings_back_what_ended_after_its_question(
        events in prop::collection::vec((0..5_u8, 1..40_u64, any::<bool>()), 1..30),
    ) {
        let world = world();
        let at = |seconds| world.now + Duration::from_secs(seconds);
        let wanted = page("projects/42", "my-pkg");
        let held = file("projects/42", SHA);
        // When ann last heard a no to the page, and to everything.
        let mut no_page = 0;
        let mut no = 0;
        for (what, second, is_ann) in events {
            let who = if is_ann { world.ann } else { world.bob };
            let counts = |last: &mut u64| *last = second.max(*last);
            match what {
                0 => drop(world.access.admit_page(who, &wanted, &[], at(second))),
                1 => drop(world.access.admit_file(who, &held, at(second))),
                2 => {
                    world.access.forget_page(who, &wanted, at(second));
                    if is_ann { counts(&mut no_page) }
                }
                3 => world.access.forget_file(who, &held, at(second)),
                _ if is_ann => {
                    world.access.turn_away(who, at(second));
                    counts(&mut no);
                }
                _ => {
                    world.access.revoke_all(at(second));
                    counts(&mut no);
                }
            }
            let now = at(41);
            if let Some(permit) = world.access.page(world.ann, &wanted, now).permit() {
                prop_assert!(permit.given() > at(no.max(no_page)), "{:?}", permit);
            }
            if let Some(permit) = world.access.file(world.ann, &held, now).permit() {
                prop_assert!(permit.given() > at(no), "{:?}", permit);
            }
        }
        world.access.admit_file(world.ann, &held, at(41));
        world.access.admit_page(world.ann, &wanted, &[], at(41));
        prop_assert!(proven(world.access.page(world.ann, &wanted, at(41))));
        prop_assert!(proven(world.access.file(world.ann, &held, at(41))));
    }

    #[test]
    fn a_word_holds_for_its_time_and_use_does_not_prolong_it(uses in prop::collection::vec(0..90u64, 0..20)) {
        let world = world();
        admit(&world, world.ann, "projects/42", "projects/42");
        let project = page("projects/42", "my-pkg");
        let wanted = file("projects/42", SHA);
        let listings = [(scope("projects/42"), Arc::new(ListedFiles::new([&wanted])))];
        let mut uses = uses;
        uses.sort_unstable();
        for second in uses {
            let now = world.now + Duration::from_secs(second);
            let standing = world.access.page(world.ann, &project, now);
            prop_assert_eq!(proven(standing), second < 60);
            if let Authorization::Proven(permit) = standing {
                world.access.admit_listed(world.ann, &project, &listings, permit);
            }
            prop_assert_eq!(proven(world.access.file(world.ann, &wanted, now)), second < 60);
        }
    }
}

#[test]
fn a_mirror_is_open_to_whoever_can_connect_and_opens_nothing_else() {
    let world = world();
    let mirrored = PageRef {
        scope: Scope::mirror("pypi").unwrap(),
        name: Some(ProjectName::parse("my-pkg").unwrap()),
    };
    let Ok(Route::Mirrored(path)) = Route::from_path("/pypi/packages/my_pkg-1.0-py3-none-any.whl")
    else {
        panic!("no file of a mirror")
    };
    let on_mirror = FileRef::mirrored(&path, Digest::parse(SHA).unwrap());
    assert!(
        world
            .access
            .page(world.ann, &mirrored, world.now)
            .permit()
            .is_some()
    );
    assert!(
        world
            .access
            .file(world.ann, &on_mirror, world.now)
            .permit()
            .is_some()
    );
    // Its page may link into GitLab as it likes.
    let gitlabs = file("projects/42", SHA);
    let listing = Arc::new(ListedFiles::new([&gitlabs]));
    let listings = [(gitlabs.scope.clone(), listing)];
    let permit = world
        .access
        .admit_page(world.ann, &mirrored, &listings, world.now);
    world
        .access
        .admit_listed(world.ann, &mirrored, &listings, permit);
    world.access.admit_file(world.ann, &on_mirror, world.now);
    assert!(
        world
            .access
            .file(world.ann, &gitlabs, world.now)
            .permit()
            .is_none()
    );
    assert_eq!(world.access.count(), 0);
    // A GitLab that turns the caller away has no say over a mirror.
    world.access.turn_away(world.ann, world.now);
    assert!(
        world
            .access
            .page(world.ann, &mirrored, world.now)
            .permit()
            .is_some()
    );
}
