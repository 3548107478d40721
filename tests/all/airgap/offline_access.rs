//! Offline the operator says who gets GitLab's packages: nobody, everybody, or who shows a user or
//! a token.

use crate::airgap::offline::{Town, detail, not_held};
use crate::common::mirror::{JSON, page};
use crate::support::{Client, GitLab, Larder, path, token};

const SECRET: &str = "open sesame";

/// Starts offline with these lines in `[auth]`, and users and tokens in their files if the lines
/// name them.
fn offline(town: &Town, filled: &Larder, lines: &str) -> Larder {
    let users = filled.home().join("users");
    let hash = bcrypt::hash(SECRET, 4).expect("a hash");
    std::fs::write(&users, format!("# CI\nann:{hash}\n")).expect("a folder");
    let tokens = filled.home().join("tokens");
    std::fs::write(&tokens, format!("# agents\n{}\n", token::READER)).expect("a folder");
    let lines = lines
        .replace("USERS", &format!("{users:?}"))
        .replace("TOKENS", &format!("{tokens:?}"));
    town.offline(filled, &format!("[auth]\n{lines}"))
}

#[test]
fn the_rule_and_what_is_shown_decide_about_gitlab_and_mirrors_are_for_everybody() {
    let town = Town::new();
    let filled = town.filled(JSON);
    let callers = |larder: &Larder| -> Vec<(&str, Client)> {
        let client = || larder.client();
        vec![
            ("nobody", client()),
            ("user", client().basic("ann", SECRET)),
            ("wrong password", client().basic("ann", "guess")),
            ("wrong user", client().basic("bob", SECRET)),
            ("token", client().token(token::READER)),
            ("bearer", client().bearer(token::READER)),
            ("private token", client().private_token(token::READER)),
            ("deploy token", client().deploy_token(token::READER)),
            ("wrong token", client().private_token(token::STRANGER)),
        ]
    };
    let token = ["token", "bearer", "private token", "deploy token"];
    let both = ["user", "token", "bearer", "private token", "deploy token"];
    for (lines, let_in, others) in [
        ("", vec![], 403),
        ("offline = \"deny\"", vec![], 403),
        ("offline_users = USERS", vec!["user"], 401),
        ("offline_tokens = TOKENS", token.to_vec(), 401),
        (
            "offline_users = USERS\noffline_tokens = TOKENS",
            both.to_vec(),
            401,
        ),
        (
            "offline = \"open\"",
            callers(&filled).iter().map(|(name, _)| *name).collect(),
            200,
        ),
    ] {
        let larder = offline(&town, &filled, lines);
        for (name, client) in callers(&larder) {
            let admitted = let_in.contains(&name);
            let held = [
                path::project_page(42, "acme-app"),
                path::project_index(42),
                path::project_file(42, &town.private[0]),
                format!("{}.metadata", path::project_file(42, &town.private[0])),
                // By way of GitLab, a mirror's page is GitLab's business too.
                path::project_page(42, "left-pad"),
            ];
            let absent = [
                path::project_page(42, "no-such"),
                path::project_file(42, &town.private[1]),
            ];
            for (path, status) in held
                .iter()
                .map(|path| (path, 200))
                .chain(absent.iter().map(|path| (path, 404)))
            {
                let case = format!("{lines:?} {name} {path}");
                for method in ["GET", "HEAD"] {
                    let reply = client.request(method, path, &[]);
                    assert_eq!(
                        reply.status,
                        if admitted { status } else { others },
                        "{case}: {reply:?}"
                    );
                    if admitted || method == "HEAD" {
                        continue;
                    }
                    let key = if others == 403 {
                        "auth.offline"
                    } else {
                        "auth.offline_"
                    };
                    assert!(detail(&reply).contains(key), "{case}: {reply:?}");
                    let challenge = reply.header("WWW-Authenticate");
                    assert_eq!(
                        challenge,
                        (others == 401).then_some("Basic realm=\"larder\""),
                        "{case}"
                    );
                }
            }
            client.get(&page("left-pad")).expect(200);
            client.get("/-/health/ready").expect(200);
        }
        let absent = &town.public[1].filename;
        let reply = larder
            .client()
            .get(&crate::common::mirror::file(&town.index, absent));
        assert_eq!((reply.status, detail(&reply)), (404, not_held(absent)));
    }
}

#[test]
fn whoever_may_not_cannot_tell_what_is_here() {
    let town = Town::new();
    let filled = town.filled(JSON);
    for lines in ["", "offline_users = USERS"] {
        let larder = offline(&town, &filled, lines);
        let client = larder.client().basic("ann", "guess");
        let answers: Vec<_> = [
            path::project_page(42, "acme-app"),
            path::project_page(42, "no-such"),
            path::project_page(99, "x"),
        ]
        .iter()
        .map(|path| {
            let reply = client.get(path);
            let text = reply
                .text()
                .replace(reply.header("X-Request-Id").unwrap_or("none"), "ID");
            (
                reply.status,
                text,
                reply.header("Cache-Status").map(str::to_owned),
            )
        })
        .collect();
        assert!(
            answers.windows(2).all(|pair| pair[0] == pair[1]),
            "{answers:?}"
        );
    }
}

#[test]
fn open_stays_on_loopback_unless_the_network_is_trusted() {
    let gitlab = GitLab::start();
    let told = larder_said(
        &gitlab,
        "listen = \"0.0.0.0:0\"\noffline = true\n[auth]\noffline = \"open\"\n",
    );
    assert!(
        told.contains("auth.offline: ") && told.contains("trust_network"),
        "{told}"
    );
    let told = larder_said(
        &gitlab,
        "listen = \"0.0.0.0:0\"\n[auth]\noffline = \"open\"\n",
    );
    assert!(told.contains("good"), "it waits for offline: {told}");
    let told = larder_said(
        &gitlab,
        "listen = \"0.0.0.0:0\"\ntrust_network = true\noffline = true\n[auth]\noffline = \"open\"\n",
    );
    assert!(told.contains("good"), "{told}");
}

#[test]
fn a_file_that_opens_nothing_is_named() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let users = larder.home().join("users");
    std::fs::write(&users, "ann:$apr1$x$secrethash\n").expect("a folder");
    let told = larder_said(&gitlab, &format!("[auth]\noffline_users = {users:?}\n"));
    assert!(
        told.contains("auth.offline_users: ")
            && told.contains("line 1")
            && told.contains("htpasswd -B"),
        "{told}"
    );
    assert!(!told.contains("secrethash"), "{told}");
    let told = larder_said(&gitlab, "[auth]\noffline_tokens = \"nowhere/tokens\"\n");
    assert!(
        told.contains("auth.offline_tokens: nowhere/tokens: "),
        "{told}"
    );
    let offline = Larder::builder(&gitlab)
        .sections(&format!("[auth]\noffline_users = {users:?}"))
        .argument("--offline");
    assert!(offline.start_in_vain().contains("htpasswd -B"));
}

#[test]
fn a_byte_order_mark_disables_neither_the_first_user_nor_the_first_token() {
    let town = Town::new();
    let filled = town.filled(JSON);
    let hash = bcrypt::hash(SECRET, 4).expect("a hash");
    let [users, tokens] = ["users", "tokens"].map(|name| filled.home().join(name));
    std::fs::write(&users, format!("\u{feff}ann:{hash}\n")).expect("a folder");
    std::fs::write(&tokens, format!("\u{feff}{}\n", token::READER)).expect("a folder");
    let lines = format!("[auth]\noffline_users = {users:?}\noffline_tokens = {tokens:?}");
    let larder = town.offline(&filled, &lines);
    let page = path::project_page(42, "acme-app");
    larder.client().basic("ann", SECRET).get(&page).expect(200);
    larder
        .client()
        .private_token(token::READER)
        .get(&page)
        .expect(200);
    larder
        .client()
        .basic("\u{feff}ann", SECRET)
        .get(&page)
        .expect(401);
}

/// What `check-config` says of a file.
fn larder_said(gitlab: &GitLab, toml: &str) -> String {
    let larder = Larder::start(gitlab);
    std::fs::write(larder.config_file(), toml).expect("a folder");
    let said = larder.command(&["check-config"]);
    String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned()
}
