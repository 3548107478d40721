//! TLS on the way out: whom larder trusts, what it shows of itself, and what it says when there is
//! no TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::delivery::kept;
use crate::support::larder::Builder;
use crate::support::{
    Artifact, Authority, Distribution, GitLab, IDENTIFIED, Kind, Larder, PROTOCOL, Pair,
    PublicIndex, Reply, Storage, StoreListing, Tls, path, token,
};
use crate::upload::pass_through::{content_type, form};

const HERE: [&str; 2] = ["127.0.0.1", "localhost"];

fn wheel(name: &str) -> Artifact {
    Distribution::new(name, "1.0").payload(200_000).wheel()
}

/// A page of GitLab's, whatever it is worth.
fn page(larder: &Larder) -> Reply {
    larder
        .client()
        .token(token::READER)
        .get(&path::project_page(42, "widget"))
}

fn ca(path: &Path) -> String {
    format!("ca_file = {path:?}")
}

/// One try for each request, and no rest.
fn once(builder: Builder) -> Builder {
    builder
        .gitlab_setting("retries = 0")
        .gitlab_setting("breaker_failures = 0")
}

/// The answer names the fault, is no word of GitLab's, and gives no address away.
#[track_caller]
fn assert_fault(larder: &Larder, reply: &Reply, words: &str) {
    assert_eq!(reply.status, 504, "{words}: {reply:?}");
    let text = reply.text();
    assert!(text.contains(words), "{words}: {text}");
    assert!(
        !text.contains("127.0.0.1") && !text.contains("localhost"),
        "{text}"
    );
    larder.wait_for_log(words);
}

#[test]
fn pages_files_of_the_store_and_uploads_pass_over_tls_of_a_private_ca() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("private");
    let ca_file = authority.write(folder.path(), "ca");
    for only_http1 in [false, true] {
        let (wheel, new) = (wheel("widget"), wheel("gadget"));
        let tls = Tls::new(&authority.server(&HERE));
        let tls = if only_http1 { tls.only_http1() } else { tls };
        let gitlab = GitLab::builder()
            .storage(Storage::Redirect)
            .tls(tls.clone())
            .store_tls(tls)
            .start();
        gitlab.publish(42, &wheel);
        let larder = Larder::builder(&gitlab)
            .gitlab_setting(&ca(&ca_file))
            .start();
        let client = larder.client().token(token::DEVELOPER);
        client.get(&path::project_page(42, "widget")).expect(200);
        assert_eq!(
            client.get(&path::project_file(42, &wheel)).expect(200),
            &wheel.bytes[..]
        );
        kept(&larder, &wheel);
        client
            .post(&path::upload(42), &content_type(), &form(&new))
            .expect(201);
        assert_eq!(
            client.get(&path::project_file(42, &new)).expect(200),
            &new.bytes[..]
        );
        let spoken = if only_http1 { "http/1.1" } else { "h2" };
        for entry in gitlab.log().entries() {
            let expected = if entry.kind == Kind::Upload {
                "http/1.1"
            } else {
                spoken
            };
            assert_eq!(
                entry.head.header(PROTOCOL),
                Some(expected),
                "{:?}",
                entry.kind
            );
        }
        assert!(
            gitlab.log().count(Kind::Object) > 0,
            "the store has a part in it"
        );
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn a_mirrors_pages_and_files_pass_over_tls_of_a_private_ca() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("private");
    let ca_file = authority.write(folder.path(), "ca");
    let wheel = wheel("some-lib");
    let index = PublicIndex::builder()
        .offering(&wheel)
        .tls(Tls::new(&authority.server(&HERE)))
        .start();
    let larder = Larder::builder(&GitLab::start())
        .mirror_with("pypi", &index, &ca(&ca_file))
        .start();
    larder.client().get("/pypi/simple/some-lib/").expect(200);
    let file = format!("/pypi/{}", index.file_path(&wheel.filename));
    assert_eq!(larder.client().get(&file).expect(200), &wheel.bytes[..]);
    index.log().assert_nothing_unexpected();
}

#[test]
fn a_certificate_that_will_not_do_is_named_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("private");
    let ca_file = authority.write(folder.path(), "ca");
    let self_signed = Authority::self_signed_server(&HERE);
    let (self_signed_file, _) = self_signed.write(folder.path(), "self-signed");
    for (pair, trusted, words) in [
        (
            Authority::new("other").server(&HERE),
            &ca_file,
            "gitlab.ca_file",
        ),
        (authority.server_expired(&HERE), &ca_file, "has expired"),
        (
            authority.server_of_tomorrow(&HERE),
            &ca_file,
            "is not valid yet",
        ),
        (
            authority.server(&["gitlab.example"]),
            &ca_file,
            "is not for the name or address",
        ),
        (self_signed, &self_signed_file, "gitlab.pin_sha256"),
    ] {
        let gitlab = GitLab::builder().tls(Tls::new(&pair)).start();
        let larder = once(Larder::builder(&gitlab))
            .gitlab_setting(&ca(trusted))
            .start();
        assert_fault(&larder, &page(&larder), words);
        let client = larder.client().token(token::DEVELOPER);
        let upload = client.post(&path::upload(42), &content_type(), &form(&wheel("gadget")));
        assert_fault(&larder, &upload, words);
        assert!(gitlab.log().is_empty(), "{words}: nothing was asked");
    }
}

/// Answers each connection's first bytes with these, and closes.
fn answering(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("a listening socket");
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(bytes);
        }
    });
    address
}

#[test]
fn what_speaks_no_tls_of_today_is_named_in_words() {
    for (bytes, words) in [
        // The alert "protocol_version" of a server that goes up to TLS 1.0.
        (&[0x15, 3, 1, 0, 2, 2, 70][..], "neither TLS 1.2 nor 1.3"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is no TLS"),
    ] {
        let larder = once(Larder::in_front_of(&format!(
            "https://{}",
            answering(bytes)
        )))
        .start();
        assert_fault(&larder, &page(&larder), words);
    }
}

#[test]
fn a_handshake_that_stands_still_is_within_the_limit_on_connecting() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let url = format!(
        "https://{}",
        listener.local_addr().expect("a listening socket")
    );
    let builder = Larder::in_front_of(&url).gitlab_setting("connect_timeout = \"300ms\"");
    let larder = once(builder.gitlab_setting("header_timeout = \"60s\"")).start();
    let begun = Instant::now();
    assert_eq!(page(&larder).status, 504);
    let client = larder.client().token(token::DEVELOPER);
    let upload = client.post(&path::upload(42), &content_type(), &form(&wheel("gadget")));
    assert_eq!(upload.status, 504);
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
    larder.wait_for_log("no connection within 300ms");
}

/// As `openssl x509 -fingerprint -sha256` prints it.
fn fingerprint(pair: &Pair) -> String {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let certificate =
        CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("a certificate");
    let digits = crate::support::wheel::sha256_hex(&certificate).to_uppercase();
    let pairs: Vec<&str> = (0..64).step_by(2).map(|at| &digits[at..at + 2]).collect();
    pairs.join(":")
}

#[test]
fn a_pinned_certificate_will_do_and_no_other_will() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("private");
    let ca_file = authority.write(folder.path(), "ca");
    let own = Authority::self_signed_server(&["gitlab.example"]);
    let pin = format!("pin_sha256 = [{:?}]", fingerprint(&own));
    let wheel = wheel("widget");
    let store = authority.server(&HERE);
    let builder = || {
        GitLab::builder()
            .storage(Storage::Redirect)
            .store_tls(Tls::new(&store))
    };
    let gitlab = builder().tls(Tls::new(&own)).start();
    gitlab.publish(42, &wheel);
    let larder = Larder::builder(&gitlab)
        .gitlab_setting(&pin)
        .gitlab_setting(&ca(&ca_file))
        .start();
    page(&larder).expect(200);
    let client = larder.client().token(token::READER);
    assert_eq!(
        client.get(&path::project_file(42, &wheel)).expect(200),
        &wheel.bytes[..],
        "pins are not for the store"
    );

    // Signed by a CA that is trusted: not the one that was pinned.
    let gitlab = builder().tls(Tls::new(&authority.server(&HERE))).start();
    let larder = once(Larder::builder(&gitlab))
        .gitlab_setting(&pin)
        .gitlab_setting(&ca(&ca_file))
        .start();
    assert_fault(&larder, &page(&larder), "none of gitlab.pin_sha256");
}

#[test]
fn the_systems_store_can_be_named_in_the_environment_and_may_not_be_empty() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("private");
    let ca_file = authority.write(folder.path(), "ca");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").expect("a writable folder");
    let gitlab = GitLab::builder()
        .tls(Tls::new(&authority.server(&HERE)))
        .start();
    gitlab.publish(42, wheel("widget"));
    let trusting = |file: &Path| {
        Larder::builder(&gitlab).environment("SSL_CERT_FILE", &file.to_string_lossy())
    };

    let larder = trusting(&ca_file).start();
    page(&larder).expect(200);

    let larder = once(trusting(&empty)).start();
    larder.wait_for_log("no CA is trusted");
    let checked = larder
        .start_command(&["check-config"])
        .env("SSL_CERT_FILE", &empty)
        .output();
    let checked = checked.expect("the binary runs");
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(
        !checked.status.success() && said.contains("gitlab.ca_file: no CA is trusted"),
        "{said}"
    );
    let checked = larder
        .start_command(&["check-config"])
        .env("SSL_CERT_FILE", &ca_file)
        .output();
    assert!(checked.expect("the binary runs").status.success());
}

fn identity(folder: &Path, authority: &Authority) -> String {
    let (certificate, key) = authority.client("larder").write(folder, "client");
    format!("client_certificate = {certificate:?}\nclient_key = {key:?}\n")
}

#[test]
fn r25_a_client_certificate_is_shown_to_gitlab_and_never_to_its_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("private");
    let ca_file = authority.write(folder.path(), "ca");
    let wheel = wheel("widget");
    let server = authority.server(&HERE);
    let gitlab = GitLab::builder()
        .storage(Storage::Redirect)
        .tls(Tls::for_clients_of(&server, &authority))
        .store_tls(Tls::noticing_clients_of(&server, &authority))
        .start();
    gitlab.publish(42, &wheel);
    let stranger = once(Larder::builder(&gitlab))
        .gitlab_setting(&ca(&ca_file))
        .start();
    // In TLS 1.3 the refusal comes after the handshake, when the connection may be in use already:
    // it has no words then.
    let reply = page(&stranger);
    assert!(matches!(reply.status, 502 | 504), "{reply:?}");
    assert!(gitlab.log().is_empty());

    let builder = Larder::builder(&gitlab).gitlab_setting(&ca(&ca_file));
    let larder = builder
        .gitlab_setting(&identity(folder.path(), &authority))
        .start();
    let client = larder.client().token(token::DEVELOPER);
    client.get(&path::project_page(42, "widget")).expect(200);
    assert_eq!(
        client.get(&path::project_file(42, &wheel)).expect(200),
        &wheel.bytes[..]
    );
    let gadget = self::wheel("gadget");
    client
        .post(&path::upload(42), &content_type(), &form(&gadget))
        .expect(201);
    let entries = gitlab.log().entries();
    for entry in &entries {
        let is_own = entry.kind != Kind::Object;
        assert_eq!(
            entry.head.header(IDENTIFIED).is_some(),
            is_own,
            "{:?}",
            entry.kind
        );
    }
    assert!(entries.iter().any(|entry| entry.kind == Kind::Object));
    kept(&larder, &wheel);
    assert!(StoreListing::of(&larder.cache_dir()).holds(&wheel.sha256));
}

#[test]
fn r25_a_mirror_sees_the_client_certificate_at_its_index_and_nowhere_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("private");
    let ca_file = authority.write(folder.path(), "ca");
    let wheel = wheel("some-lib");
    let tls = Tls::noticing_clients_of(&authority.server(&HERE), &authority);
    let index = PublicIndex::builder().offering(&wheel).tls(tls).start();
    let lines = format!("{}\n{}", ca(&ca_file), identity(folder.path(), &authority));
    let larder = Larder::builder(&GitLab::start())
        .mirror_with("pypi", &index, &lines)
        .start();
    larder.client().get("/pypi/simple/some-lib/").expect(200);
    let file = format!("/pypi/{}", index.file_path(&wheel.filename));
    assert_eq!(larder.client().get(&file).expect(200), &wheel.bytes[..]);
    let entries = index.log().entries();
    assert!(entries.len() >= 2);
    for entry in entries {
        let is_index = entry.door == crate::support::Door::Index;
        assert_eq!(
            entry.head.header(IDENTIFIED).is_some(),
            is_index,
            "{:?}",
            entry.door
        );
    }
}

#[test]
fn check_config_opens_the_files_of_the_way_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("private");
    let (certificate, _) = authority.client("one").write(folder.path(), "one");
    let (_, other_key) = authority.client("two").write(folder.path(), "two");
    let nothing = folder.path().join("nothing.pem");
    std::fs::write(&nothing, "nothing\n").expect("a writable folder");
    let missing = folder.path().join("missing");
    for (lines, words) in [
        (
            format!("client_certificate = {certificate:?}\nclient_key = {other_key:?}"),
            "gitlab.client_key: ",
        ),
        (
            format!("client_certificate = {nothing:?}\nclient_key = {other_key:?}"),
            "gitlab.client_certificate: ",
        ),
        (ca(&nothing), "gitlab.ca_file: "),
        (
            format!("proxy = \"http://proxy.example:3128\"\nproxy_credential_file = {missing:?}"),
            "gitlab.proxy_credential_file: ",
        ),
        (
            format!("proxy = \"http://proxy.example:3128\"\nproxy_credential_file = {nothing:?}"),
            "must hold user:password",
        ),
    ] {
        let said = Larder::in_front_of("http://127.0.0.1:1")
            .gitlab_setting(&lines)
            .start_in_vain();
        assert!(said.contains(words), "{words}: {said}");
    }
}
