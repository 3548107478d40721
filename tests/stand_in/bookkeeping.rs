//! The log, the connections, stopping and resuming.

use super::*;

#[test]
fn every_request_is_in_the_log_and_strange_ones_stand_out() {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    let (wheel, _) = my_pkg();
    fetch(&gitlab, &wheel, &[("User-Agent", "test")]);
    reader(&gitlab).get(PAGE);
    let log = gitlab.log();
    assert_eq!(
        [Kind::File, Kind::Object, Kind::Page, Kind::Index].map(|kind| log.count(kind)),
        [1, 1, 1, 0]
    );
    assert_eq!(
        (log.file_bodies().transfers, log.file_bodies().bytes),
        (1, wheel.bytes.len() as u64)
    );
    assert_eq!(
        log.last(Kind::Object).head.header("user-agent"),
        Some("test")
    );
    log.wait_until("the last answer is out", |log| {
        log.last(Kind::Page).ended == Ended::Whole
    });
    log.assert_nothing_unexpected();

    assert_eq!(anonymous(&gitlab).get("/api/v4/user").status, 404);
    assert_eq!(anonymous(&gitlab).request("DELETE", PAGE, &[]).status, 405);
    assert_eq!(
        anonymous(&gitlab)
            .raw(b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
            .status,
        400
    );
    assert_eq!(
        anonymous(&gitlab).raw(b"GET /a b HTTP/1.1\r\n\r\n").status,
        400
    );
    assert!(log.unexpected().len() >= 4, "{:?}", log.unexpected());
    log.clear();
    assert!(log.is_empty());
    log.assert_nothing_unexpected();
}

#[test]
fn one_connection_carries_many_requests() {
    let gitlab = GitLab::start();
    let client = reader(&gitlab);
    let mut wire = client.connect();
    for method in ["GET", "HEAD", "GET"] {
        let (wheel, _) = my_pkg();
        wire.send(
            client
                .head_text(method, &path::project_file(42, &wheel), &[])
                .as_bytes(),
        );
        wire.reply_to(method)
            .is_complete()
            .then_some(())
            .expect("a complete answer");
    }
    assert_eq!(
        (
            gitlab.log().connections_opened(),
            gitlab.log().connections_used()
        ),
        (1, 1)
    );
}

#[test]
fn it_can_be_stopped_and_resumed_at_the_same_address() {
    let gitlab = GitLab::start();
    gitlab.stop();
    assert!(std::net::TcpStream::connect(gitlab.address()).is_err());
    assert!(std::net::TcpStream::connect(gitlab.store_address()).is_err());
    gitlab.resume();
    reader(&gitlab).get(PAGE).expect(200);
}

#[test]
fn a_slow_reader_and_one_that_leaves_are_seen() {
    let gitlab = GitLab::start();
    let big = Artifact::noise("bigger", "1.0", 30_000_000);
    gitlab.publish(42, &big);
    let mut exchange = reader(&gitlab).start("GET", &path::project_file(42, &big), &[]);
    assert_eq!((exchange.status(), exchange.read_body(1000)), (200, 1000));
    drop(exchange);
    gitlab.log().wait_until("the reader has left", |log| {
        log.last(Kind::File).ended == Ended::PeerLeft
    });
    assert!(gitlab.log().file_bodies().bytes < 30_000_000);

    let (wheel, _) = my_pkg();
    let start = Instant::now();
    let exchange = reader(&gitlab).start("GET", &path::project_file(42, &wheel), &[]);
    let reply = exchange.read_slowly(wheel.bytes.len().div_ceil(5), Duration::from_millis(5));
    assert_eq!(reply.expect(200), &wheel.bytes[..]);
    assert!(start.elapsed() >= Duration::from_millis(25));
}
