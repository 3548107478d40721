//! R25: no credential, signed link or cookie is ever in a log, a metric, an answer, a file or at
//! another origin.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{
    Act, Artifact, Client, Distribution, Door, GitLab, Kind, Larder, Place, Reply, Role, Site,
    Storage, StoreListing, Token, TokenKind, TokenState, path, token,
};

/// Secrets that occur nowhere else, by the form they are sent in.
const SECRETS: [&str; 12] = [
    "canary-basic-0f3c",
    "canary-user-77aa",
    "canary-bearer-51d2",
    "canary-private-9b7e",
    "canary-deploy-c4a0",
    "canary-job-2e86",
    "canary-expired-6f10",
    "canary-wrong-d83b",
    "canary-query-7a95",
    "canary-cookie-14cc",
    "canary-proxy-e2b9",
    "canary-userinfo-8d41",
];

fn wheel() -> Artifact {
    Distribution::new("big", "1.0").payload(200_000).wheel()
}

/// Every spelling in which a secret may turn up.
fn spellings(gitlab: &GitLab) -> Vec<String> {
    let mut spellings: Vec<String> = Vec::new();
    for secret in SECRETS {
        spellings.push(secret.to_owned());
        // Base64 of the secret alone and behind any user name: three alignments, the ends cut off.
        for before in ["", "x", "xx"] {
            let text = STANDARD.encode(format!("{before}{secret}"));
            spellings.push(text[4..text.len() - 4].to_owned());
        }
    }
    for entry in gitlab.log().of(Kind::Object) {
        spellings.extend(entry.head.query("X-Amz-Signature"));
    }
    spellings.push("X-Amz-Signature".to_owned());
    spellings
}

fn callers(bare: &Client) -> Vec<Client> {
    let bare = || {
        bare.clone()
            .header("Cookie", "_gitlab_session=canary-cookie-14cc")
    };
    vec![
        bare().basic("canary-user-77aa", "canary-basic-0f3c"),
        bare().bearer("canary-bearer-51d2"),
        bare().private_token("canary-private-9b7e"),
        bare().deploy_token("canary-deploy-c4a0"),
        bare().job_token("canary-job-2e86"),
        bare().token("canary-expired-6f10"),
        bare().token("canary-wrong-d83b"),
        bare().bearer("canary-wrong-d83b"),
        bare().header("Proxy-Authorization", "Basic canary-proxy-e2b9"),
        bare().header("Authorization", "canary-wrong-d83b"),
        bare()
            .header("Authorization", "Basic canary-wrong-d83b")
            .header("Authorization", "Basic canary-basic-0f3c"),
    ]
}

fn whole(reply: &Reply) -> String {
    format!("{} {:?} {}", reply.reason, reply.headers, reply.text())
}

/// Everything that can be asked, well and badly.
fn ask_everything(larder: &Larder, gitlab: &GitLab) -> Vec<String> {
    let wheel = wheel();
    let mut said = Vec::new();
    for client in callers(&larder.client()) {
        let addresses = [
            path::project_page(42, "big"),
            path::project_file(42, &wheel),
            path::group_page(7, "big"),
            path::group_file(7, &wheel),
            path::project_page(42, "missing"),
            format!(
                "{}?private_token=canary-query-7a95",
                path::project_page(42, "big")
            ),
            format!("{}?x=canary-query-7a95", path::project_page(42, "big")),
            format!("{}#canary-query-7a95", path::project_page(42, "big")),
        ];
        for address in &addresses {
            for method in ["GET", "HEAD"] {
                said.push(whole(&client.request(method, address, &[])));
            }
            said.push(whole(&client.get_range(address, "bytes=5-9")));
        }
        said.push(whole(&client.post(
            &path::upload(42),
            "multipart/form-data; boundary=b",
            b"--b--\r\n",
        )));
        let absolute = "http://u:canary-userinfo-8d41@elsewhere.example/canary-free-path";
        said.push(whole(&client.get(absolute)));
        for act in [
            Act::Flip { at: 10 },
            Act::Close { after: 1000 },
            Act::ExpiredSignature,
            Act::Status(500),
            Act::CutHead { after: 5 },
        ] {
            let fault = gitlab.plan(act.at(Site::FileBody));
            let other = Distribution::new("other", "1.0").payload(5000).wheel();
            said.push(whole(&client.get(&path::project_file(42, &other))));
            fault.remove();
        }
    }
    said
}

#[test]
fn r25_no_secret_is_ever_written_shown_or_carried_elsewhere() {
    for (storage, format) in [
        (Storage::Redirect, "text"),
        (Storage::Redirect, "json"),
        (Storage::Disk, "text"),
    ] {
        let active =
            |kind, secret| Token::new(kind, secret).member(Place::Group(7), Role::Developer);
        let gitlab = GitLab::builder()
            .storage(storage)
            .holding(|universe| {
                universe.tokens.extend([
                    active(TokenKind::Personal, "canary-basic-0f3c"),
                    active(TokenKind::OAuth, "canary-bearer-51d2"),
                    active(TokenKind::Personal, "canary-private-9b7e"),
                    active(TokenKind::Deploy, "canary-deploy-c4a0"),
                    active(TokenKind::Job, "canary-job-2e86"),
                    active(TokenKind::Personal, "canary-expired-6f10").state(TokenState::Expired),
                ]);
                universe.publish(42, wheel());
                universe.publish(42, Distribution::new("other", "1.0").payload(5000).wheel());
            })
            .start();
        let larder = Larder::builder(&gitlab)
            .gitlab_setting("retries = 0")
            .sections(&format!("[log]\nlevel = \"trace\"\nformat = \"{format}\""))
            .start();
        let said = ask_everything(&larder, &gitlab);
        let spellings = spellings(&gitlab);
        let case = format!("{storage:?}, {format}");

        // The search finds what is there: GitLab was sent the credentials, and it signed links.
        let at = |door: Door| -> String {
            let entries = gitlab.log().entries();
            let heads = entries.iter().filter(|entry| entry.door == door);
            heads.map(|entry| format!("{:?}", entry.head)).collect()
        };
        let found = spellings
            .iter()
            .filter(|spelling| at(Door::GitLab).contains(*spelling))
            .count();
        assert!(found >= 9, "{case}: only {found} spellings reached GitLab");
        let sends = |door, secret: &str| at(door).contains(secret);
        for own in [
            "canary-cookie-14cc",
            "canary-query-7a95",
            "canary-proxy-e2b9",
            "canary-userinfo-8d41",
        ] {
            assert!(
                !sends(Door::GitLab, own),
                "{case}: {own} is no credential for GitLab"
            );
        }
        if storage == Storage::Redirect {
            assert!(
                sends(Door::Store, "X-Amz-Signature"),
                "{case}: the store was never asked"
            );
        }

        larder.client().get("/-/the-end-of-the-log");
        larder.wait_for_log("the-end-of-the-log");
        let log = larder.log();
        assert!(
            log.contains("DEBUG") || log.contains("TRACE"),
            "{case}: the log is not at its loudest"
        );
        let metrics = larder.metrics();
        let store = StoreListing::of(&larder.cache_dir());
        assert!(
            store.files.len() > 3,
            "{case}: nothing was stored: {store:?}"
        );
        let process = |what: &str| {
            let bytes =
                std::fs::read(format!("/proc/{}/{what}", larder.pid())).expect("a running process");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (arguments, environment) = (process("cmdline"), process("environ"));
        for spelling in &spellings {
            let line = log.lines().find(|line| line.contains(spelling));
            assert_eq!(line, None, "{case}: {spelling} in the log");
            assert!(
                !metrics.contains(spelling),
                "{case}: {spelling} in the metrics"
            );
            assert!(
                store.containing(spelling).is_empty(),
                "{case}: {spelling} in {:?}",
                store.containing(spelling)
            );
            assert!(
                !arguments.contains(spelling) && !environment.contains(spelling),
                "{case}: {spelling}"
            );
            let answer = said.iter().find(|said| said.contains(spelling));
            assert_eq!(answer, None, "{case}: {spelling} in an answer");
        }
        let elsewhere = gitlab
            .log()
            .entries()
            .into_iter()
            .filter(|entry| entry.door == Door::Store);
        for entry in elsewhere {
            let head = format!("{:?}", entry.head.headers);
            let leaked: Vec<_> = spellings
                .iter()
                .filter(|spelling| head.contains(*spelling))
                .collect();
            assert!(
                leaked.is_empty(),
                "{case}: {leaked:?} at the object store: {head}"
            );
        }
        // Neither package names nor callers are in the metrics, which anybody may read.
        for private in ["big", "widgets", "acme", "projects/42"] {
            assert!(!metrics.contains(private), "{case}: {private} in {metrics}");
        }
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn r25_the_operators_own_token_stays_with_gitlab() {
    let secret = "canary-service-3f7a";
    let gitlab = GitLab::builder()
        .storage(Storage::Redirect)
        .holding(|universe| {
            let service = Token::personal(secret).member(Place::Group(7), Role::Reporter);
            universe.tokens.push(service);
        })
        .start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{secret}\n")).expect("a writable folder");
    let larder = Larder::builder(&gitlab)
        .gitlab_setting(&format!("token_file = {:?}", file.display().to_string()))
        .sections("[log]\nlevel = \"trace\"")
        .start();
    let wheel = Distribution::new("My.Pkg", "1.0.0")
        .requires_python(">=3.8")
        .wheel();
    for client in [larder.client(), larder.client().token(token::STRANGER)] {
        for address in [
            path::project_page(42, "my-pkg"),
            path::project_file(42, &wheel),
        ] {
            let reply = client.get(&address);
            reply.expect(200);
            assert!(!whole(&reply).contains(secret), "{reply:?}");
        }
    }
    for entry in gitlab.log().entries() {
        let carries = entry.head.header("PRIVATE-TOKEN") == Some(secret);
        assert_eq!(carries, entry.door == Door::GitLab, "{:#?}", entry.head);
        assert_eq!(
            entry.head.header("Authorization"),
            None,
            "a caller's own credential went along"
        );
    }
    let store = StoreListing::of(&larder.cache_dir());
    let shown = format!("{}{}", larder.log(), larder.metrics());
    assert!(
        !shown.contains(secret) && store.containing(secret).is_empty(),
        "{shown}"
    );
    let told = larder.command(&["config", "show"]);
    assert!(!String::from_utf8_lossy(&told.stdout).contains(secret));
    // A token that GitLab no longer takes is larder's fault, not the caller's.
    gitlab.revoke(secret);
    let reply = larder.client().get(&path::project_page(42, "no-such"));
    assert_eq!(
        (reply.status, reply.header("WWW-Authenticate")),
        (502, None),
        "{reply:?}"
    );
}
