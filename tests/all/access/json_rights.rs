//! R11, R22 and R24 for JSON pages and metadata: what is kept here is nobody's who may not have it,
//! in any format.

use crate::common::delivery::kept;
use crate::common::mirror::{HTML, JSON, get_as, names};
use crate::support::{Artifact, Client, Distribution, GitLab, Larder, Reply, path, token};

fn wheel() -> Artifact {
    Distribution::new("secret.tool", "1.0")
        .depends_on("another-secret")
        .payload(50_000)
        .wheel()
}

/// What anybody might be told of it.
const TELLING: [&str; 3] = ["secret_tool", "another-secret", "gear"];

fn addresses() -> Vec<String> {
    let wheel = wheel();
    let mut all = Vec::new();
    for page in [
        path::project_page(42, "secret-tool"),
        path::group_page(7, "secret-tool"),
    ] {
        all.push(page);
    }
    all.extend([
        path::project_index(42),
        path::group_index(7),
        path::group_page(7, "gear"),
    ]);
    for file in [path::project_file(42, &wheel), path::group_file(7, &wheel)] {
        all.extend([format!("{file}.metadata"), file]);
    }
    all
}

/// A larder that has all of it, because the reader has asked for it; `sections` may set lifetimes.
fn warm(pep691: bool, sections: &str) -> (GitLab, Larder) {
    let gitlab = GitLab::builder()
        .set(|settings| (settings.pep691, settings.forwarding) = (pep691, false))
        .start();
    gitlab.publish(42, wheel());
    let larder = Larder::builder(&gitlab).sections(sections).start();
    let reader = larder.client().token(token::READER);
    for round in 0..2 {
        for address in addresses() {
            for accept in [JSON, HTML] {
                let reply = reader.get_with(&address, &[("Accept", accept)]);
                // The first metadata may be asked for before its wheel.
                assert!(reply.status == 200 || round == 0, "{address}: {reply:?}");
            }
        }
        kept(&larder, &wheel());
    }
    (gitlab, larder)
}

fn assert_tells_nothing(reply: &Reply, case: &str) {
    assert!(
        reply.is_complete() && reply.status >= 400,
        "{case}: {reply:?}"
    );
    let said = format!("{reply:?}");
    for word in TELLING {
        assert!(!said.contains(word), "{case}: {reply:?}");
    }
    assert_eq!(reply.header("ETag"), None, "{case}: {reply:?}");
}

#[test]
fn r22_r24_the_never_entitled_get_gitlabs_refusal_in_every_format_warm_as_cold() {
    for pep691 in [false, true] {
        let (gitlab, larder) = warm(pep691, "[auth]\ncache_ttl = \"300s\"");
        let cold = Larder::start(&gitlab);
        let nobody: [fn(Client) -> Client; 7] = [
            |client| client,
            |client| client.token("nobody"),
            |client| client.token(token::STRANGER),
            |client| client.private_token(token::REVOKED),
            |client| client.token(token::EXPIRED),
            |client| client.bearer(token::NARROW),
            |client| client.job_token("nobody"),
        ];
        for address in addresses() {
            for (number, dress) in nobody.into_iter().enumerate() {
                for headers in [
                    vec![("Accept", JSON)],
                    vec![("Accept", HTML)],
                    vec![("Accept", JSON), ("If-None-Match", "*")],
                    vec![("Range", "bytes=0-99")],
                ] {
                    for method in ["GET", "HEAD"] {
                        let case =
                            format!("{method} {address} {headers:?} as {number}, pep691: {pep691}");
                        let [ours, theirs] = [&larder, &cold].map(|larder| {
                            dress(larder.client()).request(method, &address, &headers)
                        });
                        assert_tells_nothing(&ours, &case);
                        assert_eq!(
                            (ours.status, ours.text()),
                            (theirs.status, theirs.text()),
                            "{case}"
                        );
                        let fields = |reply: &Reply| {
                            let mut fields: Vec<String> =
                                reply.headers.iter().map(|(name, _)| name.clone()).collect();
                            fields.sort();
                            fields
                        };
                        assert_eq!(fields(&ours), fields(&theirs), "{case}");
                        assert_eq!(
                            ours.header("Cache-Status"),
                            theirs.header("Cache-Status"),
                            "{case}"
                        );
                    }
                }
            }
        }
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn r11_with_gitlab_down_json_and_metadata_go_to_the_entitled_alone() {
    for pep691 in [false, true] {
        let (gitlab, larder) = warm(
            pep691,
            "[auth]\ncache_ttl = \"300s\"\n[index]\nttl = \"0s\"",
        );
        gitlab.stop();
        for address in addresses() {
            for accept in [JSON, HTML] {
                let case = format!("{address} {accept}, pep691: {pep691}");
                let mine = larder
                    .client()
                    .token(token::READER)
                    .get_with(&address, &[("Accept", accept)]);
                assert_eq!(mine.status, 200, "{case}: {mine:?}");
                for secret in ["", token::STRANGER, token::DEVELOPER, token::WIDGETS_READER] {
                    let client = if secret.is_empty() {
                        larder.client()
                    } else {
                        larder.client().token(secret)
                    };
                    let reply = client.get_with(&address, &[("Accept", accept)]);
                    assert_eq!(reply.status, 504, "{case} {secret}: {reply:?}");
                    assert_tells_nothing(&reply, &case);
                }
            }
        }
    }
}

#[test]
fn r22_a_revoked_caller_loses_json_and_metadata_within_the_grant() {
    let (gitlab, larder) = warm(true, "[auth]\ncache_ttl = \"1s\"\n[index]\nttl = \"300s\"");
    gitlab.revoke(token::READER);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    for address in addresses() {
        for accept in [JSON, HTML] {
            let reply = larder
                .client()
                .token(token::READER)
                .get_with(&address, &[("Accept", accept)]);
            assert_eq!(reply.status, 401, "{address}: {reply:?}");
            assert_tells_nothing(&reply, &address);
        }
    }
}

#[test]
fn r23_a_groups_page_in_json_is_each_callers_own() {
    for pep691 in [false, true] {
        let (_gitlab, larder) = warm(pep691, "");
        let lists = |secret: &str| {
            let index = get_as(&larder.client().token(secret), &path::group_index(7), JSON).json();
            let projects = index["projects"].as_array().expect("a list").clone();
            projects
                .iter()
                .map(|project| project["name"].to_string())
                .collect::<Vec<_>>()
        };
        for _ in 0..2 {
            assert!(
                lists(token::READER)
                    .iter()
                    .any(|name| name.contains("gear"))
            );
            assert!(
                !lists(token::WIDGETS_READER)
                    .iter()
                    .any(|name| name.contains("gear"))
            );
        }
        let narrow = larder.client().token(token::WIDGETS_READER);
        assert_eq!(
            get_as(&narrow, &path::group_page(7, "gear"), JSON).status,
            404
        );
        assert_eq!(
            names(&get_as(&narrow, &path::group_page(7, "secret-tool"), JSON)).len(),
            1
        );
    }
}
