//! Where a larder that has no key asks for its own, and by which way.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::common::delivery::patiently;
use crate::common::fleet::{lookups, published, uploaded};
use crate::support::larder::Builder;
use crate::support::{Distribution, Engine, Fleet, GitLab, Larder, Proxy, path, token};

const CREDENTIAL: &str = r#"{"AccessKeyId":"pods-own","SecretAccessKey":"secret","Token":"session","Expiration":"2099-01-01T00:00:00Z"}"#;

/// The service of a pod's or a container's credential, beside larder.
struct CredentialService {
    url: String,
    asked: Arc<AtomicUsize>,
    /// It takes connections, and answers nothing, until this is set.
    answers: Arc<AtomicBool>,
}

impl CredentialService {
    fn start(answers: bool) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a listening socket");
        let service = Self {
            url: format!("http://{address}/v1/credentials"),
            asked: Arc::default(),
            answers: Arc::new(AtomicBool::new(answers)),
        };
        let asked = Arc::clone(&service.asked);
        let answers = Arc::clone(&service.answers);
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for mut client in listener.incoming().flatten() {
                asked.fetch_add(1, Ordering::SeqCst);
                if !answers.load(Ordering::SeqCst) {
                    silent.push(client);
                    continue;
                }
                let _ = client.read(&mut [0; 4096]);
                let length = CREDENTIAL.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                let _ = client.write_all((head + CREDENTIAL).as_bytes());
            }
        });
        service
    }

    /// A larder without a key of its own, which asks here.
    fn asked_by(&self, builder: Builder, folder: &Path) -> Builder {
        let token_file = folder.join("token");
        std::fs::write(&token_file, "token").expect("a writable folder");
        let token_file = token_file.to_string_lossy();
        builder
            .environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", &self.url)
            .environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token_file)
    }
}

/// The section without the key, and with a proxy.
fn proxied(fleet: &Fleet, folder: &Path, proxy: &Proxy) -> String {
    keyless(fleet, folder, &format!("proxy = {:?}", proxy.url()))
}

/// The section without the key, and with more lines.
fn keyless(fleet: &Fleet, folder: &Path, lines: &str) -> String {
    let section = fleet.bucket.section(None, folder, lines);
    let lines = section
        .lines()
        .filter(|line| !line.contains("key_id_file") && !line.contains("access_key_file"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_credential_beside_larder_is_asked_of_directly_and_the_bucket_by_way_of_the_proxy() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("demo", "1.0").payload(20_000).wheel();
    gitlab.publish(42, &wheel);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let proxy = Proxy::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let service = CredentialService::start(true);
    let section = proxied(&fleet, folder.path(), &proxy);
    let builder = Larder::builder(&gitlab).sections(&section);
    let larder = service.asked_by(builder, folder.path()).start();
    let reader = larder.client().token(token::READER);
    reader.get(&path::project_file(42, &wheel)).expect(200);
    uploaded(&larder, 1.0);
    let asked = proxy.asked();
    assert!(!asked.is_empty(), "the bucket is behind the proxy");
    for line in &asked {
        assert!(line.contains(&fleet.bucket.address.to_string()), "{line}");
    }
    assert!(
        proxy
            .heads()
            .iter()
            .all(|head| head.contains("Credential=pods-own/"))
    );
}

#[test]
fn a_web_identity_is_exchanged_by_way_of_the_proxy() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("demo", "1.0").payload(20_000).wheel();
    gitlab.publish(42, &wheel);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let proxy = Proxy::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "token").expect("a writable folder");
    let larder = Larder::builder(&gitlab)
        .sections(&proxied(&fleet, folder.path(), &proxy))
        .environment("AWS_WEB_IDENTITY_TOKEN_FILE", &token_file.to_string_lossy())
        .environment("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/larder")
        .start();
    let reader = larder.client().token(token::READER);
    reader.get(&path::project_file(42, &wheel)).expect(200);
    patiently("the exchange is asked for", || {
        let asked = proxy.asked();
        asked
            .iter()
            .any(|line| line == "CONNECT sts.us-east-1.amazonaws.com:443")
    });
    larder.wait_for_log("no credential for the shared store");
}

#[test]
fn a_credential_that_does_not_come_is_waited_for_once_said_and_asked_for_again() {
    let gitlab = GitLab::start();
    let wheels = published(&gitlab, 4);
    let fleet = Fleet::new(Engine::SeaweedFs);
    for (rest, is_short) in [("10m", false), ("1s", true)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let service = CredentialService::start(false);
        let lines = format!("read_timeout = \"500ms\"\nbreaker_open_for = {rest:?}");
        let section = keyless(&fleet, folder.path(), &lines);
        let builder = Larder::builder(&gitlab).sections(&section);
        let larder = service.asked_by(builder, folder.path()).start();
        let reader = larder.client().token(token::READER);
        let download = |wheel| {
            let reply = reader.get(&path::project_file(42, wheel));
            assert_eq!(reply.expect(200), &wheel.bytes[..]);
        };
        download(&wheels[0]);
        let ready = || larder.client().get("/-/health/ready").text();
        let said = ready();
        assert!(
            said.starts_with("degraded") && said.contains("no credential"),
            "{said}"
        );
        if is_short {
            service.answers.store(true, Ordering::SeqCst);
            uploaded(&larder, 1.0);
            assert!(ready().starts_with("ok"), "{}", ready());
            continue;
        }
        for wheel in &wheels[1..] {
            download(wheel);
        }
        assert_eq!(service.asked.load(Ordering::SeqCst), 1);
        assert_eq!(lookups(&larder, "error"), 1.0);
        assert_eq!(lookups(&larder, "skipped"), 3.0);
    }
}
