//! One digest, many addresses: what is held at one is not thereby held at another. And where bytes
//! are fetched from.

use std::collections::HashSet;

use crate::common::delivery::{MODES, eventually, right};
use crate::support::{
    Act, Answer, Artifact, GitLab, Kind, Larder, NewFile, Place, Role, Site, Storage, StoreListing,
    Token, Visibility, path, token,
};

const ATTACKER: &str = "test-attacker";
/// The attacker's own project.
const LAIR: u64 = 99;

/// A GitLab with somebody who has a project of his own and is a member of nothing else.
fn with_an_attacker(storage: Storage) -> GitLab {
    let gitlab = GitLab::builder().storage(storage).start();
    gitlab.change(|universe| {
        universe.add_project(LAIR, "mallory/lair", Visibility::Private);
        universe
            .tokens
            .push(Token::personal(ATTACKER).member(Place::Project(LAIR), Role::Developer));
    });
    gitlab
}

/// Every run of sixteen bytes in a file.
fn runs(file: &Artifact) -> HashSet<&[u8]> {
    file.bytes.windows(16).collect()
}

#[test]
fn r22_a_digest_that_is_held_for_others_opens_nothing_at_an_address_that_never_yielded_it() {
    for storage in MODES {
        for state in ["hot", "restarted", "in flight"] {
            let case = format!("{storage:?}, {state}");
            let gitlab = with_an_attacker(storage);
            let mut larder = Larder::start(&gitlab);
            let secret = publish(&gitlab, 42, "secret", 200_000);
            let victim = path::project_file(42, &secret);
            let runs = runs(&secret);
            // The attacker publishes bytes of his own under the digest and name that he knows from
            // a lock file.
            let lure = Artifact::noise("lure", "1.0", 180_000);
            let declared = NewFile {
                filename: secret.filename.clone(),
                ..NewFile::from(&lure).declared_sha256(&secret.sha256)
            };
            gitlab.publish(LAIR, declared);
            let same_but_named_otherwise = NewFile::from(&lure).declared_sha256(&secret.sha256);
            gitlab.publish(LAIR, same_but_named_otherwise);

            let gate = gitlab.hold(Site::FileBody, 150_000);
            let mut flying = larder
                .client()
                .token(token::READER)
                .start("GET", &victim, &[]);
            if state == "in flight" {
                flying.read_body(100_000);
                // Only what the attacker asks for runs on.
                gitlab.behave();
            } else {
                gate.open();
                assert_eq!(flying.finish().expect(200), &secret.bytes[..]);
                flying = larder
                    .client()
                    .token(token::READER)
                    .start("GET", &victim, &[]);
            }
            if state == "restarted" {
                larder = larder.restart();
            }

            let attacker = larder.client().token(ATTACKER);
            let tag = format!("\"{}\"", secret.sha256);
            let lairs = [secret.filename.as_str(), lure.filename.as_str()].map(|name| {
                format!(
                    "/api/v4/projects/{LAIR}/packages/pypi/files/{}/{name}",
                    secret.sha256
                )
            });
            for _ in 0..2 {
                for address in &lairs {
                    let tries = [
                        attacker.head(address),
                        attacker.get_range(address, "bytes=0-999"),
                        attacker.get_range(address, "bytes=150000-"),
                        attacker
                            .get_with(address, &[("Range", "bytes=150000-"), ("If-Range", &tag)]),
                        attacker.get_range(address, "bytes=190000-199999"),
                        attacker.get_range(address, "bytes=-100"),
                        attacker.get_range(address, "bytes=0-"),
                        attacker.get(address),
                        attacker.get_if_none_match(address, "\"other\""),
                    ];
                    for reply in &tries {
                        let revealed = reply.body.chunks_exact(16).any(|part| runs.contains(part));
                        assert!(
                            !revealed,
                            "{case}: somebody else's bytes at {address}: {reply:?}"
                        );
                        let told = reply.header("Content-Length");
                        assert_ne!(
                            told,
                            Some("200000"),
                            "{case}: somebody else's length: {reply:?}"
                        );
                        let whole =
                            reply.is_complete() && reply.status == 200 && !reply.body.is_empty();
                        assert!(
                            !whole,
                            "{case}: his own bytes under a digest that is not theirs: {reply:?}"
                        );
                    }
                }
            }
            // And the victim's own address: refused to him, whole for its members, at once and
            // without a transfer.
            for reply in [
                attacker.get(&victim),
                attacker.head(&victim),
                attacker.get_range(&victim, "bytes=0-9"),
            ] {
                assert_eq!(reply.status, 404, "{case}: {reply:?}");
            }
            gate.open();
            let reply = flying.finish();
            assert!(
                state == "restarted" || right(&reply, &secret, &case),
                "{case}: {reply:?}"
            );
            let transfers = gitlab.log().file_bodies().transfers;
            let member = larder.client().token(token::READER).get(&victim);
            assert!(right(&member, &secret, &case), "{case}: {member:?}");
            assert_eq!(
                gitlab.log().file_bodies().transfers,
                transfers,
                "{case}: the attack cost the victim his blob"
            );
            StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
        }
    }
}

#[test]
fn r22_a_group_and_its_project_are_two_addresses() {
    for storage in MODES {
        let gitlab = with_an_attacker(storage);
        let larder = Larder::start(&gitlab);
        let file = publish(&gitlab, 42, "shared", 100_000);
        let client = larder.client().token(token::READER);
        assert!(right(
            &client.get(&path::project_file(42, &file)),
            &file,
            "project"
        ));
        for (address, transfers) in [
            (path::group_file(7, &file), 2),
            (path::group_file(7, &file), 2),
            (path::project_file(42, &file), 2),
        ] {
            assert!(right(&client.get(&address), &file, &address), "{storage:?}");
            assert_eq!(
                gitlab.log().file_bodies().transfers,
                transfers,
                "{storage:?} {address}"
            );
        }
        let stranger = larder.client().token(ATTACKER);
        for address in [path::group_file(7, &file), path::project_file(42, &file)] {
            assert_eq!(stranger.get(&address).status, 404, "{storage:?} {address}");
        }
        eventually("one blob for both", || {
            StoreListing::of(&larder.cache_dir()).blobs.len() == 1
        });
    }
}

fn publish(gitlab: &GitLab, project: u64, name: &str, size: usize) -> Artifact {
    let file = Artifact::noise(name, "1.0", size);
    gitlab.publish(project, &file);
    file
}

#[test]
fn a_digest_in_upper_case_goes_upstream_as_written_and_means_the_same_bytes() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let larder = Larder::start(&gitlab);
        let client = larder.client().token(token::READER);
        let file = Artifact::noise("shout", "1.0", 100_000);
        let upper = file.sha256.to_uppercase();
        gitlab.publish(42, NewFile::from(&file).declared_sha256(&upper));
        let address = format!(
            "/api/v4/projects/42/packages/pypi/files/{upper}/{}",
            file.filename
        );
        for _ in 0..2 {
            let reply = client.get(&address);
            assert!(right(&reply, &file, "upper case"), "{storage:?}: {reply:?}");
            assert_eq!(
                reply.header("ETag"),
                Some(format!("\"{}\"", file.sha256).as_str())
            );
        }
        assert_eq!(gitlab.log().file_bodies().transfers, 1, "{storage:?}");
        assert!(
            gitlab.log().last(Kind::File).head.target.contains(&upper),
            "{storage:?}: GitLab compares text"
        );
        assert_eq!(
            client.get(&path::project_file(42, &file)).status,
            404,
            "{storage:?}: as GitLab has it"
        );
        let wrong = Artifact::noise("wrong", "1.0", 100_000);
        gitlab.publish(42, NewFile::from(&wrong).declared_sha256(&upper));
        let address = format!(
            "/api/v4/projects/42/packages/pypi/files/{upper}/{}",
            wrong.filename
        );
        assert!(
            !right(&client.get(&address), &wrong, "another file's digest"),
            "{storage:?}"
        );
    }
}

#[test]
fn one_name_under_two_digests_is_two_files() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let larder = Larder::start(&gitlab);
        let client = larder.client().token(token::READER);
        let name = "same-1.0-py3-none-any.whl";
        let one = Artifact::opaque(
            "same",
            "1.0",
            name,
            Artifact::noise("one", "1.0", 80_000).bytes,
        );
        let two = Artifact::opaque(
            "same",
            "1.0",
            name,
            Artifact::noise("two", "1.0", 90_000).bytes,
        );
        gitlab.publish(42, &one);
        gitlab.publish(43, &two);
        for _ in 0..2 {
            for file in [&one, &two] {
                let reply = client.get(&path::group_file(7, file));
                assert!(right(&reply, file, "in a group"), "{storage:?}: {reply:?}");
            }
        }
        assert_eq!(gitlab.log().file_bodies().transfers, 2, "{storage:?}");

        // Uploaded twice into one package: GitLab gives the last one for both digests.
        let three = Artifact::opaque(
            "same",
            "1.0",
            name,
            Artifact::noise("three", "1.0", 70_000).bytes,
        );
        gitlab.publish(42, &three);
        assert!(
            right(
                &client.get(&path::project_file(42, &three)),
                &three,
                "the last"
            ),
            "{storage:?}"
        );
        let first = client.get(&path::project_file(42, &one));
        assert!(
            !right(&first, &one, "the first of two"),
            "{storage:?}: it is not to be had from GitLab: {first:?}"
        );
        assert!(
            right(
                &client.get(&path::project_file(42, &three)),
                &three,
                "the last, again"
            ),
            "{storage:?}"
        );
    }
}

#[test]
fn an_expired_link_is_renewed_once() {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    let larder = Larder::builder(&gitlab)
        .sections("[files]\nbackground_fetch_max = \"0\"")
        .start();
    let client = larder.client().token(token::READER);
    for range in [None, Some("bytes=100-199")] {
        let file = publish(&gitlab, 42, &format!("renewed{}", range.is_some()), 100_000);
        gitlab.log().clear();
        gitlab.plan(Act::ExpiredSignature.at(Kind::Object).once());
        let headers: Vec<_> = range.into_iter().map(|range| ("Range", range)).collect();
        let reply = client.get_with(&path::project_file(42, &file), &headers);
        assert!(
            reply.is_complete() && matches!(reply.status, 200 | 206),
            "{range:?}: {reply:?}"
        );
        let signed: Vec<_> = gitlab
            .log()
            .of(Kind::Object)
            .into_iter()
            .map(|entry| entry.head.target)
            .collect();
        assert!(
            signed.len() >= 2 && signed[0] != signed[1],
            "{range:?}: the same link again: {signed:?}"
        );
    }
    let file = publish(&gitlab, 42, "expired", 100_000);
    gitlab.log().clear();
    gitlab.plan(Act::ExpiredSignature.at(Kind::Object));
    let reply = client.get(&path::project_file(42, &file));
    assert_eq!(
        (reply.status, reply.header("Content-Type")),
        (502, Some("application/problem+json"))
    );
    assert_eq!(
        (
            gitlab.log().count(Kind::File),
            gitlab.log().count(Kind::Object)
        ),
        (2, 2),
        "renewed once, not for ever"
    );
    let text = format!("{reply:?}");
    assert!(
        !text.contains("X-Amz") && !text.contains(gitlab.store_url()),
        "no address for the client: {text}"
    );
}

#[test]
fn r25_the_object_store_never_sees_a_credential() {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    let larder = Larder::start(&gitlab);
    let clients = [
        larder.client().token(token::READER),
        larder.client().private_token(token::DEVELOPER),
        larder.client().bearer(token::OAUTH),
        larder.client().deploy_token(token::DEPLOY),
        larder.client().job_token(token::JOB),
    ];
    for (number, client) in clients.iter().enumerate() {
        let client = client
            .clone()
            .header("Cookie", "session=1")
            .header("Proxy-Authorization", "Basic eDp5");
        let file = publish(&gitlab, 42, &format!("cred{number}"), 100_000);
        let address = path::project_file(42, &file);
        gitlab.plan(Act::Close { after: 50_000 }.at(Kind::Object).once());
        assert_eq!(client.get_range(&address, "bytes=9-18").status, 206);
        client.head(&address).expect(200);
        let reply = client.get(&address);
        assert!(
            right(&reply, &file, "by any credential"),
            "{number}: {reply:?}"
        );
    }
    let log = gitlab.log();
    assert!(log.count(Kind::Object) >= 2 * clients.len());
    for entry in log.of(Kind::Object) {
        for name in [
            "Authorization",
            "Private-Token",
            "Deploy-Token",
            "Job-Token",
            "Cookie",
            "Proxy-Authorization",
        ] {
            assert_eq!(entry.head.header(name), None, "{entry:#?}");
        }
    }
    log.assert_nothing_unexpected();
    let said = larder.log();
    assert!(
        !said.contains("X-Amz-Signature"),
        "a signed link is in the log: {said}"
    );
    let listing = StoreListing::of(&larder.cache_dir());
    for secret in [
        token::READER,
        token::DEVELOPER,
        token::OAUTH,
        token::DEPLOY,
        token::JOB,
        "X-Amz-Signature",
    ] {
        assert_eq!(listing.containing(secret), Vec::<&std::path::Path>::new());
    }
}

#[test]
fn a_store_that_is_not_listed_is_not_followed_and_the_log_says_what_to_add() {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    for origins in ["[]", "[\"https://objects.example.net\"]"] {
        let larder = Larder::in_front_of(gitlab.url())
            .gitlab_setting(&format!("object_storage_origins = {origins}"))
            .start();
        let client = larder.client().token(token::READER);
        let file = publish(&gitlab, 42, "far", 10_000);
        let address = path::project_file(42, &file);
        for reply in [
            client.get(&address),
            client.get_range(&address, "bytes=0-9"),
            client.head(&address),
        ] {
            assert_eq!(reply.status, 502, "{origins}: {reply:?}");
            let text = format!("{} {reply:?}", reply.text());
            assert!(
                !text.contains(gitlab.store_url()) && !text.contains("X-Amz"),
                "{origins}: {text}"
            );
            assert!(
                reply.reason.contains("gitlab.object_storage_origins"),
                "{origins}: {reply:?}"
            );
        }
        larder.wait_for_log("add it to gitlab.object_storage_origins");
        let log = larder.log();
        assert!(
            log.contains(gitlab.store_url()) && !log.contains("X-Amz-Signature"),
            "{log}"
        );
        assert_eq!(
            gitlab.log().count(Kind::Object),
            0,
            "{origins}: it was asked all the same"
        );
    }
}

#[test]
fn a_redirect_that_leads_astray_is_not_followed() {
    let canary = GitLab::start();
    for (number, location) in [
        format!("{}/api/v4/projects/42/packages/pypi/simple/", canary.url()),
        "file:///etc/passwd".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "/users/sign_in".to_owned(),
        "http://user:word@127.0.0.1/x".to_owned(),
        String::new(),
    ]
    .into_iter()
    .enumerate()
    {
        let gitlab = GitLab::builder().storage(Storage::Redirect).start();
        let larder = Larder::start(&gitlab);
        let file = publish(&gitlab, 42, &format!("astray{number}"), 10_000);
        gitlab.plan(
            Act::Answer(Answer::new(302).header("Location", location.clone())).at(Kind::File),
        );
        let reply = larder
            .client()
            .token(token::READER)
            .get(&path::project_file(42, &file));
        assert_eq!(reply.status, 502, "{location}: {reply:?}");
        assert!(
            location.is_empty() || !reply.text().contains(&location),
            "{location}: {reply:?}"
        );
        assert!(canary.log().is_empty(), "{location}: it was asked");
    }
}
