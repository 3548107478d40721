//! Who gets which answer.

use super::*;

#[test]
fn everyone_gets_the_answer_of_the_table() {
    let gitlab = GitLab::start();
    let anonymous = || anonymous(&gitlab);
    let wrong = || anonymous().token("nobody-knows");
    let dead_job = || anonymous().job_token("dead");
    let cases = [
        ("anonymous", anonymous(), [200, 401, 404]),
        ("wrong Basic", wrong(), [200, 401, 404]),
        ("dead job", dead_job(), [401, 401, 404]),
        (
            "expired",
            anonymous().token(token::EXPIRED),
            [401, 401, 404],
        ),
        (
            "revoked",
            anonymous().private_token(token::REVOKED),
            [401, 401, 404],
        ),
        ("narrow", anonymous().token(token::NARROW), [403, 403, 404]),
        (
            "unknown PRIVATE-TOKEN",
            anonymous().private_token("nobody-knows"),
            [401, 401, 404],
        ),
        (
            "unknown Bearer",
            anonymous().bearer("nobody-knows"),
            [401, 401, 404],
        ),
        (
            "stranger",
            anonymous().token(token::STRANGER),
            [200, 404, 404],
        ),
        ("guest", anonymous().token(token::GUEST), [200, 200, 404]),
        (
            "reader, Basic",
            anonymous().token(token::READER),
            [200, 200, 404],
        ),
        (
            "reader, Bearer",
            anonymous().bearer(token::READER),
            [200, 200, 404],
        ),
        (
            "reader, PRIVATE-TOKEN",
            anonymous().private_token(token::READER),
            [200, 200, 404],
        ),
        ("OAuth", anonymous().bearer(token::OAUTH), [200, 200, 404]),
        (
            "deploy, Basic",
            anonymous().basic("any", token::DEPLOY),
            [200, 200, 404],
        ),
        (
            "deploy, header",
            anonymous().deploy_token(token::DEPLOY),
            [200, 200, 404],
        ),
        (
            "deploy, Bearer",
            anonymous().bearer(token::DEPLOY),
            [200, 200, 404],
        ),
        ("job", anonymous().job_token(token::JOB), [403, 200, 404]),
        (
            "JOB-TOKEN header",
            anonymous().header("JOB-TOKEN", token::JOB),
            [200, 401, 404],
        ),
    ];
    for (who, client, expected) in cases {
        let unknown = "/api/v4/projects/999/packages/pypi/simple";
        assert_eq!(
            [OPEN_PAGE, PAGE, unknown].map(|path| client.get(path).status),
            expected,
            "{who}"
        );
    }
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn refusals_are_worded_as_gitlab_words_them() {
    let gitlab = GitLab::start();
    let reply = anonymous(&gitlab).get(PAGE);
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (401, r#"{"message":"401 Unauthorized"}"#)
    );
    assert_eq!(reply.header("WWW-Authenticate"), Some(BASIC_CHALLENGE));
    assert_eq!(reply.header("Content-Type"), Some("application/json"));

    let reply = anonymous(&gitlab).token(token::EXPIRED).get(PAGE);
    assert_eq!(
        reply.text(),
        r#"{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization or token refresh."}"#
    );
    assert!(
        reply
            .header("WWW-Authenticate")
            .expect("a challenge")
            .starts_with("Bearer realm=")
    );

    let reply = anonymous(&gitlab).token(token::NARROW).get(PAGE);
    assert_eq!(
        reply.text(),
        r#"{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":"api read_api"}"#
    );
    let closed = anonymous(&gitlab).get("/api/v4/projects/45/packages/pypi/simple");
    assert_eq!(
        (closed.status, closed.text().as_str()),
        (403, r#"{"message":"403 Forbidden"}"#)
    );
    assert_eq!(closed.header("WWW-Authenticate"), None);
}

#[test]
fn groups_projects_and_registries_have_doors_of_their_own() {
    let gitlab = GitLab::start();
    let status = |client: Client, path: &str| client.get(path).status;
    assert_eq!(status(anonymous(&gitlab), GROUP_INDEX), 401);
    assert_eq!(
        status(anonymous(&gitlab).token(token::STRANGER), GROUP_INDEX),
        404
    );
    assert_eq!(
        status(
            reader(&gitlab),
            "/api/v4/groups/acme%2Fsub/-/packages/pypi/simple"
        ),
        200
    );
    assert_eq!(
        status(
            reader(&gitlab),
            "/api/v4/groups/someone/-/packages/pypi/simple"
        ),
        404
    );

    gitlab.change(|universe| universe.project_mut(42).registry = Registry::Public);
    assert_eq!(status(anonymous(&gitlab), PAGE), 200);
    gitlab.change(|universe| universe.project_mut(42).registry = Registry::Off);
    assert_eq!(status(reader(&gitlab), PAGE), 403);
    gitlab.change(|universe| universe.project_mut(43).visibility = Visibility::Private);
    assert_eq!(status(anonymous(&gitlab), OPEN_PAGE), 401);
}

#[test]
fn rights_change_while_it_runs() {
    let gitlab = GitLab::start();
    let status = |secret: &str| anonymous(&gitlab).token(secret).get(PAGE).status;
    assert_eq!(status(token::GUEST), 200);
    gitlab.set(|settings| settings.guest_pull = false);
    assert_eq!(status(token::GUEST), 403);

    assert_eq!(status(token::READER), 200);
    gitlab.revoke(token::READER);
    assert_eq!(status(token::READER), 401);

    assert_eq!(status(token::STRANGER), 404);
    gitlab.change(|universe| universe.grant(token::STRANGER, Place::Project(42), Role::Reporter));
    assert_eq!(status(token::STRANGER), 200);
    gitlab.change(|universe| universe.withdraw(token::STRANGER, Place::Project(42)));
    assert_eq!(status(token::STRANGER), 404);

    gitlab.change(|universe| {
        universe
            .tokens
            .push(Token::new(TokenKind::Job, "new").member(Place::Project(42), Role::Developer))
    });
    assert_eq!(anonymous(&gitlab).job_token("new").get(PAGE).status, 200);
}
