//! The packages API: which tokens it takes, how it searches, and how it counts pages.

use super::*;

fn list(client: &Client, path: &str) -> (Vec<serde_json::Value>, String) {
    let reply = client.get(path);
    reply.expect(200);
    let next = reply.header("X-Next-Page").expect("a field").to_owned();
    let list = reply.json();
    (list.as_array().expect("a list").clone(), next)
}

/// For the list of project 42, of a version's files, and of group 7.
#[test]
fn each_token_gets_what_the_api_gives_it() {
    let gitlab = GitLab::start();
    let anonymous = || anonymous(&gitlab);
    let cases = [
        ("anonymous", anonymous(), [404, 404, 404]),
        ("Basic", anonymous().token(token::READER), [404, 404, 404]),
        (
            "PRIVATE-TOKEN",
            anonymous().private_token(token::READER),
            [200, 200, 200],
        ),
        ("Bearer", anonymous().bearer(token::OAUTH), [200, 200, 200]),
        (
            "JOB-TOKEN",
            anonymous().header("JOB-TOKEN", token::JOB),
            [200, 200, 404],
        ),
        (
            "a dead JOB-TOKEN",
            anonymous().header("JOB-TOKEN", "dead"),
            [401, 401, 404],
        ),
        (
            "Deploy-Token",
            anonymous().deploy_token(token::DEPLOY),
            [404, 404, 404],
        ),
        (
            "a deploy token as PRIVATE-TOKEN",
            anonymous().private_token(token::DEPLOY),
            [401, 401, 401],
        ),
        (
            "stranger",
            anonymous().private_token(token::STRANGER),
            [404, 404, 404],
        ),
        (
            "narrow",
            anonymous().private_token(token::NARROW),
            [403, 403, 403],
        ),
    ];
    let paths = [
        "/api/v4/projects/42/packages",
        "/api/v4/projects/acme%2Fwidgets/packages/1/package_files",
        "/api/v4/groups/7/packages",
    ];
    for (case, client, expected) in cases {
        for (path, status) in paths.into_iter().zip(expected) {
            assert_eq!(client.get(path).status, status, "{case}: {path}");
        }
    }
    assert_eq!(anonymous().get("/api/v4/projects/43/packages").status, 200);
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn a_list_is_searched_by_words_and_given_in_pages() {
    let gitlab = GitLab::start();
    for number in 0..45 {
        gitlab.publish(
            42,
            Distribution::new("My.Other_pkg", &format!("1.{number}")).wheel(),
        );
    }
    let client = anonymous(&gitlab).private_token(token::READER);
    let all = "/api/v4/projects/42/packages?package_type=pypi";
    assert_eq!(list(&client, all).0.len(), 20);
    let (other, next) = list(
        &client,
        &format!("{all}&package_name=other+PKG&per_page=40"),
    );
    assert_eq!((other.len(), next.as_str()), (40, "2"));
    let (rest, next) = list(
        &client,
        &format!("{all}&package_name=other+PKG&per_page=40&page=2"),
    );
    assert_eq!((rest.len(), next.as_str()), (5, ""));
    assert!(
        list(&client, &format!("{all}&package_name=my-other"))
            .0
            .is_empty()
    );

    let (files, _) = list(&client, "/api/v4/projects/42/packages/1/package_files");
    assert_eq!(files.len(), 2, "wheel and sdist");
    for file in &files {
        assert_eq!(
            file["file_sha256"].as_str().map(str::len),
            Some(64),
            "{file}"
        );
        assert_eq!(file["created_at"], "2024-01-02T03:04:05.000Z");
        assert!(file["size"].as_u64() > Some(100), "{file}");
    }
    let (of_group, _) = list(&client, "/api/v4/groups/7/packages?package_name=gear");
    assert_eq!(of_group[0]["project_id"], 44);
}
