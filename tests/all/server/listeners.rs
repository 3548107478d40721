//! Where clients come in: several addresses at once, unix sockets, sockets that were passed on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::larder::binary;
use crate::support::tls::run;
use crate::support::{
    Activated, Authority, Client, Distribution, GitLab, Larder, TlsClient, path, token,
};

const LIVE: &str = "GET /-/health/live HTTP/1.1\r\nhost: larder\r\nconnection: close\r\n\r\n";

fn over_socket(socket: &Path, head: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("a daemon that listens");
    stream
        .write_all(head.as_bytes())
        .expect("a daemon that reads");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("a daemon that answers");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Runs `serve` to its end, which must come by itself.
fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary());
    command
        .arg("serve")
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null());
    command.output().expect("the binary runs")
}

#[test]
fn all_addresses_serve_and_all_are_told() {
    let wheel = Distribution::new("demo", "1.0").wheel();
    let gitlab = GitLab::start();
    gitlab.publish(42, &wheel);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("larder.sock");
    let mut larder = Larder::builder(&gitlab)
        .argument("--listen=127.0.0.1:0")
        .argument(&format!("--listen=unix:{}", socket.display()))
        .setting("listen_mode = \"0600\"")
        .start();
    let told = larder.listens_on();
    let [_, second, unix] = told.as_slice() else {
        panic!("three addresses, not {told:?}");
    };
    assert_eq!(*unix, format!("unix:{}", socket.display()));
    let second: SocketAddr = second
        .strip_prefix("http://")
        .expect("an address")
        .parse()
        .expect("an address");
    assert_ne!(second, larder.address());

    let file = path::project_file(42, &wheel);
    for client in [larder.client(), Client::new(second)] {
        assert_eq!(
            client.token(token::READER).get(&file).expect(200),
            wheel.bytes
        );
    }
    let bearer = token::READER;
    let head = format!("GET {file} HTTP/1.0\r\nprivate-token: {bearer}\r\n\r\n");
    let answer = over_socket(&socket, &head);
    assert!(
        answer.starts_with("HTTP/1.0 200 ") && answer.contains("content-length"),
        "{}",
        &answer[..200]
    );
    let mode = std::fs::metadata(&socket)
        .expect("a socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);

    // No commands are taken there, whoever may connect.
    let command = LIVE.replace("GET /-/health/live", "POST /-/control/stats");
    assert!(over_socket(&socket, &command).starts_with("HTTP/1.1 404 "));

    assert!(larder.terminate().success());
    assert!(!socket.exists(), "removed at the end");
    assert!(TcpStream::connect(second).is_err());
}

#[test]
fn a_dead_owners_socket_is_replaced_and_a_living_ones_is_not() {
    let gitlab = GitLab::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("larder.sock");
    let listen = format!("--listen=unix:{}", socket.display());
    let mut first = Larder::builder(&gitlab).argument(&listen).start();
    let said = Larder::builder(&gitlab).argument(&listen).start_in_vain();
    assert!(
        said.contains("larder.sock") && said.contains("another process listens there"),
        "{said}"
    );
    assert!(
        over_socket(&socket, LIVE).starts_with("HTTP/1.1 200 "),
        "the first goes on"
    );

    first.kill();
    assert!(socket.exists(), "what a killed daemon leaves");
    let mut second = Larder::builder(&gitlab).argument(&listen).start();
    assert!(over_socket(&socket, LIVE).starts_with("HTTP/1.1 200 "));
    second.terminate();

    std::fs::write(&socket, "precious").expect("a writable folder");
    let said = Larder::builder(&gitlab).argument(&listen).start_in_vain();
    assert!(said.contains("not a socket"), "{said}");
    assert_eq!(std::fs::read(&socket).expect("still there"), b"precious");
}

#[test]
fn the_addresses_are_checked_one_by_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("larder.toml");
    let told = |toml: &str| {
        std::fs::write(&file, toml).expect("a writable folder");
        let output = Command::new(binary())
            .arg("--config")
            .arg(&file)
            .arg("check-config")
            .output();
        let output = output.expect("the binary runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let token = "[gitlab]\ntoken_file = \"/nowhere/token\"\n";
    let (code, said) = told(&format!(
        "listen = [\"127.0.0.1:1\", \"0.0.0.0:1\"]\n{token}"
    ));
    assert_eq!(code, Some(78));
    assert!(
        said.contains("gitlab.token_file: set, while listen = \"0.0.0.0:1\""),
        "{said}"
    );
    let (_, said) = told(&format!(
        "listen = [\"127.0.0.1:1\", \"unix:/run/larder.sock\"]\n{token}"
    ));
    assert!(
        !said.contains("trust_network"),
        "a unix socket is this machine's: {said}"
    );
    let health = "listen = \"127.0.0.1:1\"\nhealth_listen";
    let (_, said) = told(&format!("{health} = \"0.0.0.0:2\"\n{token}"));
    assert!(
        !said.contains("trust_network"),
        "it gives no rights: {said}"
    );
    let (code, said) = told(&format!("{health} = \"127.0.0.1:1\"\n"));
    assert_eq!(code, Some(78));
    let shared = "health_listen: \"127.0.0.1:1\" is in listen too: take another port";
    assert!(said.contains(shared), "{said}");
    for (listen, part) in [
        (
            "[]",
            "listen: there is no address to connect to: set it, or tls.listen",
        ),
        ("[\"nonsense\"]", "listen: a text is not an address"),
        ("[\"127.0.0.1:1\", \"127.0.0.1:1\"]", "twice"),
        ("\"unix:larder.sock\"", "must be absolute"),
        ("3141", "or a list of them"),
    ] {
        let (code, said) = told(&format!("listen = {listen}\n"));
        assert_eq!(code, Some(78), "{listen}");
        assert!(
            said.contains(part) && said.contains("larder.toml"),
            "{listen}: {said}"
        );
    }
}

#[test]
fn the_environment_takes_a_list_too() {
    let show = |listen: &str| {
        let mut command = Command::new(binary());
        let output = command
            .args(["config", "show"])
            .env("LARDER_LISTEN", listen)
            .output();
        String::from_utf8_lossy(&output.expect("the binary runs").stdout).into_owned()
    };
    let several = show("[\"127.0.0.1:1\", \"unix:/run/larder.sock\"]");
    assert!(
        several.contains("listen = [\"127.0.0.1:1\",\"unix:/run/larder.sock\"] (in the env"),
        "{several}"
    );
    for single in ["127.0.0.1:1", "[::1]:1", "unix:/run/larder.sock"] {
        let shown = show(single);
        assert!(
            shown.contains(&format!("listen = \"{single}\" (in the environment")),
            "{shown}"
        );
    }
}

#[test]
fn a_socket_that_was_passed_on_stands_in_place_of_listen() {
    let gitlab = GitLab::start();
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("a listening socket");
    let decoy = TcpListener::bind("127.0.0.1:0").expect("a free port");
    // Taken: it would not start if it tried to open this.
    let listen = format!(
        "--listen={}",
        decoy.local_addr().expect("a listening socket")
    );
    let dup = || socket.try_clone().expect("a descriptor").into();

    let mut first = Activated::start(&gitlab, dup(), "larder.socket", &[&listen]);
    Client::new(address).get("/-/health/live").expect(200);
    first.terminate();
    let log = first.log();
    let aside = &listen["--listen=".len()..];
    assert!(
        log.contains("nothing listens there") && log.contains(aside),
        "{aside}: {log}"
    );

    // Between two daemons the kernel keeps who comes.
    let mut waiting = Client::new(address).connect();
    waiting.send(LIVE.as_bytes());
    let _second = Activated::start(&gitlab, dup(), "larder.socket", &[&listen]);
    waiting.reply_to("GET").expect(200);
}

#[test]
fn a_unix_socket_that_was_passed_on_stays_where_it_is() {
    let gitlab = GitLab::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("passed.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let mut larder = Activated::start(&gitlab, listener.into(), "", &[]);
    assert!(over_socket(&socket, LIVE).starts_with("HTTP/1.1 200 "));
    larder.terminate();
    assert!(socket.exists(), "it is the service manager's to remove");
}

#[test]
fn a_passed_socket_of_the_name_tls_speaks_tls() {
    let gitlab = GitLab::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::new("larder's tests");
    let (certificate, key) = authority
        .server(&["127.0.0.1"])
        .write(folder.path(), "larder");
    let config = folder.path().join("larder.toml");
    std::fs::write(
        &config,
        format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n"),
    )
    .expect("a folder");
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let client = TlsClient::new(
        socket.local_addr().expect("an address"),
        &authority.pem(),
        &["h2"],
    );
    let config = format!("--config={}", config.display());
    let _larder = Activated::start(&gitlab, socket.into(), "tls", &[&config]);
    run(async {
        let answer = client
            .http2()
            .await
            .send_request(client.get("/-/health/live", token::READER))
            .await;
        assert_eq!(answer.expect("an answer").status(), 200);
    });
}

#[test]
fn what_was_passed_on_is_checked() {
    let gitlab = GitLab::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "glpat-x").expect("a writable folder");
    let token = token.display().to_string();
    let run = |socket: OwnedFd, environment: &[(&str, &str)]| {
        let mut command = Command::new("sh");
        let output = command
            .args(["-c", "exec 3<&0 </dev/null; LISTEN_FDS=1 exec \"$@\"", "sh"])
            .arg(binary())
            .args(["serve", "--gitlab", gitlab.url(), "--cache-dir"])
            .arg(folder.path().join("cache"))
            .envs(environment.iter().copied())
            .stdin(Stdio::from(socket))
            .output()
            .expect("the binary runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let everywhere = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let (code, said) = run(everywhere.into(), &[("LARDER_GITLAB__TOKEN_FILE", &token)]);
    assert_eq!(code, Some(78), "{said}");
    assert!(
        said.contains("gitlab.token_file: set, while listen = \"0.0.0.0:"),
        "{said}"
    );

    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let (code, said) = run(datagrams.into(), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("LISTEN_FDS") && said.contains("stream sockets"),
        "{said}"
    );

    let (connected, _other) = UnixStream::pair().expect("two sockets");
    let (code, said) = run(connected.into(), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not listening"), "{said}");

    let secure = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (code, said) = run(secure.into(), &[("LISTEN_FDNAMES", "tls")]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("tls.certificate"), "{said}");

    // Another process's are left alone.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = format!(
        "--listen={}",
        taken.local_addr().expect("a listening socket")
    );
    let said = refused(
        &["--gitlab", gitlab.url(), &listen],
        &[("LISTEN_PID", "1"), ("LISTEN_FDS", "1")],
    );
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(
        said.contains(&format!("cannot listen on {}", &listen[9..])),
        "{said}"
    );
}
