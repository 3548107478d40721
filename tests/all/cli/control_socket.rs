//! The control socket: who may give commands, where, and that a command finds the daemon or becomes
//! it.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use crate::support::gitlab::GitLab;
use crate::support::larder::Larder;

/// One request over the socket, and all that comes back.
fn over_socket(larder: &Larder, head: &str) -> String {
    let mut stream =
        UnixStream::connect(larder.cache_dir().join(".control")).expect("a daemon that listens");
    stream
        .write_all(head.as_bytes())
        .expect("a daemon that reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("a daemon that answers");
    answer
}

#[test]
fn orders_are_taken_over_the_socket_and_nowhere_else() {
    let larder = Larder::start(&GitLab::start());
    let command = "POST /-/control/stats HTTP/1.1\r\nhost: larder\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    let answer = over_socket(&larder, command);
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"budget_bytes\""),
        "{answer}"
    );
    assert!(
        answer.contains("{\"end\":\"done\"}"),
        "the last line says how it ended: {answer}"
    );

    let reply = larder
        .client()
        .post("/-/control/stats", "application/json", b"{}");
    assert_eq!(reply.status, 404, "{}", reply.text());

    let unknown = over_socket(&larder, &command.replace("stats", "nothing"));
    assert!(unknown.starts_with("HTTP/1.1 404 "), "{unknown}");
    let unread = over_socket(&larder, &command.replace("{}", "{x"));
    assert!(unread.starts_with("HTTP/1.1 400 "), "{unread}");
    let looked = over_socket(
        &larder,
        "GET /-/control/stats HTTP/1.1\r\nhost: larder\r\nconnection: close\r\n\r\n",
    );
    assert!(looked.starts_with("HTTP/1.1 405 "), "{looked}");
    let live = over_socket(
        &larder,
        "GET /-/health/live HTTP/1.1\r\nhost: larder\r\nconnection: close\r\n\r\n",
    );
    assert!(
        live.starts_with("HTTP/1.1 200 ") && live.contains("ok"),
        "{live}"
    );
}

#[test]
fn the_socket_is_the_owners_alone_and_goes_with_the_daemon() {
    let mut larder = Larder::start(&GitLab::start());
    let socket = larder.cache_dir().join(".control");
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(&larder.cache_dir()), 0o700);
    larder.kill();
    assert!(socket.exists(), "a killed daemon leaves it");
    let mut larder = larder.restart();
    let stats = larder.command(&["stats"]);
    assert!(stats.status.success(), "{stats:?}");
    larder.terminate();
    assert!(!socket.exists(), "removed at the end");
}

#[test]
fn a_command_says_the_same_with_a_daemon_and_without() {
    let mut larder = Larder::start(&GitLab::start());
    let running = larder.command(&["stats", "--json"]);
    assert!(running.status.success(), "{running:?}");
    larder.terminate();
    let resting = larder.command(&["stats", "--json"]);
    assert!(resting.status.success(), "{resting:?}");
    assert_eq!(
        String::from_utf8_lossy(&running.stdout),
        String::from_utf8_lossy(&resting.stdout)
    );
    assert!(
        !larder.cache_dir().join(".control").exists(),
        "the embedded daemon cleans up"
    );
}

#[test]
fn a_folder_that_is_held_by_somebody_who_is_silent_is_said_to_be() {
    let larder = Larder::start(&GitLab::start());
    std::fs::remove_file(larder.cache_dir().join(".control")).expect("a socket");
    let stats = larder.command(&["stats"]);
    assert_eq!(stats.status.code(), Some(1), "{stats:?}");
    let why = String::from_utf8_lossy(&stats.stderr);
    assert!(
        why.contains("held by another process") && why.contains("no answer on the control socket"),
        "{why}"
    );
}
