//! Where a larder that has no key asks for its own, and by which way.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use crate::common::delivery::patiently;
use crate::common::fleet::uploaded;
use crate::support::{Distribution, Engine, Fleet, GitLab, Larder, Proxy, path, token};

const CREDENTIAL: &str = r#"{"AccessKeyId":"pods-own","SecretAccessKey":"secret","Token":"session","Expiration":"2099-01-01T00:00:00Z"}"#;

/// The service of a pod's or a container's credential, at this address beside larder.
fn credential_service() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("a listening socket");
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 4096]);
            let length = CREDENTIAL.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = client.write_all((head + CREDENTIAL).as_bytes());
        }
    });
    format!("http://{address}/v1/credentials")
}

/// The section without the key, and with a proxy.
fn keyless(fleet: &Fleet, folder: &Path, proxy: &Proxy) -> String {
    let proxied = format!("proxy = {:?}", proxy.url());
    let section = fleet.bucket.section(None, folder, &proxied);
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
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "token").expect("a writable folder");
    let larder = Larder::builder(&gitlab)
        .sections(&keyless(&fleet, folder.path(), &proxy))
        .environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", &credential_service())
        .environment(
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            &token_file.to_string_lossy(),
        )
        .start();
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
        .sections(&keyless(&fleet, folder.path(), &proxy))
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
