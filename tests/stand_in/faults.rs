//! Each fault does what it says, in each storage mode.

use std::io::Read;

use super::*;

/// Plans one act for file bodies in each storage mode and hands the answer to a check.
fn in_every_mode(act: &Act, check: impl Fn(&Artifact, &Reply)) {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let big = big(&gitlab);
        let planned = gitlab.plan(act.clone().at(Site::FileBody).containing("big-1.0").once());
        let reply = fetch(&gitlab, &big, &[]);
        assert_eq!(planned.hits(), 1, "{storage:?} {act:?}");
        check(&big, &reply);
        assert_eq!(
            fetch(&gitlab, &big, &[]).expect(200),
            &big.bytes[..],
            "once is once"
        );
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn a_body_is_cut_by_fin_or_rst_at_the_byte_asked_for() {
    in_every_mode(&Act::Close { after: 1000 }, |big, reply| {
        assert_eq!(
            reply.ending,
            Ending::CutShort {
                got: 1000,
                expected: Some(300_000)
            }
        );
        assert_eq!(reply.body, &big.bytes[..1000]);
    });
    in_every_mode(&Act::Reset { after: 1000 }, |_, reply| {
        assert_eq!(reply.ending, Ending::Reset { got: 1000 })
    });
    in_every_mode(&Act::CutHead { after: 0 }, |_, reply| {
        assert_eq!(
            (reply.status, &reply.ending),
            (
                0,
                &Ending::CutShort {
                    got: 0,
                    expected: None
                }
            )
        );
    });
}

#[test]
fn one_bit_is_wrong_and_nothing_else() {
    in_every_mode(&Act::Flip { at: 299_999 }, |big, reply| {
        let wrong: Vec<usize> = (0..300_000)
            .filter(|&at| reply.expect(200)[at] != big.bytes[at])
            .collect();
        assert_eq!(wrong, [299_999]);
    });
    let gitlab = GitLab::start();
    let big = big(&gitlab);
    gitlab.plan(Act::Flip { at: 150 }.at(Site::FileBody));
    assert_ne!(
        fetch(&gitlab, &big, &[("Range", "bytes=100-199")]).expect(206)[50],
        big.bytes[150]
    );
    assert_eq!(
        fetch(&gitlab, &big, &[("Range", "bytes=200-299")]).expect(206),
        &big.bytes[200..300]
    );
}

#[test]
fn framing_is_broken_in_four_ways() {
    in_every_mode(&Act::Chunked, |big, reply| {
        assert_eq!(reply.header("Content-Length"), None);
        assert_eq!(reply.expect(200), &big.bytes[..]);
    });
    in_every_mode(&Act::ChunkedWithoutEnd, |_, reply| {
        assert_eq!(
            reply.ending,
            Ending::CutShort {
                got: 300_000,
                expected: None
            }
        );
    });
    in_every_mode(&Act::UntilClose, |big, reply| {
        assert_eq!(
            (&reply.ending, reply.body == big.bytes),
            (&Ending::Closed, true)
        );
        assert_eq!(
            (
                reply.header("Content-Length"),
                reply.header("Transfer-Encoding")
            ),
            (None, None)
        );
    });
    let gitlab = GitLab::start();
    let big = big(&gitlab);
    gitlab.plan(Act::Extra(5).at(Kind::File));
    let client = reader(&gitlab);
    let mut wire = client.connect();
    wire.send(
        client
            .head_text("GET", &path::project_file(42, &big), &[])
            .as_bytes(),
    );
    assert_eq!(wire.reply_to("GET").expect(200), &big.bytes[..]);
    assert!(!wire.closes_within(Duration::from_millis(50)));
    assert!(!wire.leftover().is_empty() && b"+++++".starts_with(wire.leftover()));
}

#[test]
fn headers_lie_or_are_missing() {
    in_every_mode(&Act::Encoding("gzip"), |_, reply| {
        assert_eq!(reply.header("Content-Encoding"), Some("gzip"))
    });
    in_every_mode(&Act::NoAcceptRanges, |_, reply| {
        assert_eq!(reply.header("Accept-Ranges"), None)
    });
    in_every_mode(&Act::NoValidators, |_, reply| {
        assert_eq!(
            (reply.header("ETag"), reply.header("Last-Modified")),
            (None, None)
        );
    });
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let big = big(&gitlab);
        gitlab.plan(Act::IgnoreRange.at(Site::FileBody));
        assert_eq!(
            fetch(&gitlab, &big, &[("Range", "bytes=0-9")]).expect(200),
            &big.bytes[..]
        );
        gitlab.behave();
        gitlab.plan(Act::AnotherRange("bytes=5-9").at(Site::FileBody));
        for asked in [&[("Range", "bytes=0-9")][..], &[]] {
            assert_eq!(fetch(&gitlab, &big, asked).expect(206), &big.bytes[5..10]);
        }
        gitlab.plan(Act::NoContentRange.at(Site::FileBody));
        assert_eq!(fetch(&gitlab, &big, &[]).header("Content-Range"), None);
        gitlab.behave();
        gitlab.plan(Act::RefuseRangesFromTheEnd(501).at(Site::FileBody));
        assert_eq!(fetch(&gitlab, &big, &[("Range", "bytes=-9")]).status, 501);
        assert_eq!(fetch(&gitlab, &big, &[("Range", "bytes=0-9")]).status, 206);
        gitlab.plan(Act::RefuseRanges(400).at(Site::FileBody));
        assert_eq!(fetch(&gitlab, &big, &[("Range", "bytes=0-9")]).status, 400);
        assert_eq!(fetch(&gitlab, &big, &[]).status, 200);
        gitlab.behave();
        gitlab.plan(Act::Gzipped.at(Site::FileBody));
        let coded = fetch(&gitlab, &big, &[]);
        assert_eq!(coded.header("Content-Encoding"), Some("gzip"));
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&coded.body[..])
            .read_to_end(&mut plain)
            .expect("gzip");
        assert!(plain == big.bytes);
    }
}

#[test]
fn another_answer_stands_in_for_the_right_one() {
    for status in [500, 502, 503, 504] {
        in_every_mode(&Act::Status(status), |_, reply| {
            assert_eq!(
                (reply.status, reply.header("Content-Type")),
                (status, Some("text/html"))
            );
        });
    }
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    let big = big(&gitlab);
    gitlab.plan(Act::ExpiredSignature.at(Kind::Object).once());
    assert_eq!(
        [
            fetch(&gitlab, &big, &[]).status,
            fetch(&gitlab, &big, &[]).status
        ],
        [403, 200]
    );
    gitlab.plan(
        Act::Answer(Answer::throttled(3))
            .at(Kind::Page)
            .method("GET")
            .skipping(1)
            .times(1),
    );
    assert_eq!(
        [0; 3].map(|_| reader(&gitlab).get(PAGE).status),
        [200, 429, 200]
    );
}

#[test]
fn answers_stall_and_trickle() {
    let start = Instant::now();
    in_every_mode(
        &Act::StallBeforeHead(Duration::from_millis(40)),
        |_, reply| {
            assert!(
                reply.first_byte >= Some(Duration::from_millis(40)),
                "{reply:?}"
            );
        },
    );
    in_every_mode(
        &Act::StallAfter {
            bytes: 10,
            time: Duration::from_millis(40),
        },
        |_, reply| {
            assert!(
                reply.is_complete() && reply.took >= Duration::from_millis(40),
                "{reply:?}"
            );
        },
    );
    in_every_mode(&Act::bandwidth(6_000_000), |_, reply| {
        assert!(
            reply.is_complete() && reply.took >= Duration::from_millis(40),
            "{reply:?}"
        );
    });
    assert!(start.elapsed() < Duration::from_secs(30));
    let gitlab = GitLab::start();
    let big = big(&gitlab);
    gitlab.plan(Act::stall_for_ever_after(100_000).at(Site::FileBody));
    let client = reader(&gitlab).patience(Duration::from_secs(1));
    assert_eq!(
        client.get(&path::project_file(42, &big)).ending,
        Ending::TimedOut { got: 100_000 }
    );
    gitlab
        .log()
        .wait_until("the stall ends with the client", |log| {
            log.last(Kind::File).ended == Ended::PeerLeft
        });
    gitlab
        .log()
        .wait_until("nothing stays open", |log| log.connections_open() == 0);
}

#[test]
fn a_gate_holds_answers_until_the_test_opens_it() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let big = big(&gitlab);
        let gate = gitlab.hold(Site::FileBody, 100_000);
        std::thread::scope(|scope| {
            let readers = [0; 3].map(|_| scope.spawn(|| fetch(&gitlab, &big, &[])));
            gate.wait_for(3);
            let bodies = gitlab.log().file_bodies();
            assert_eq!(
                (bodies.transfers, bodies.bytes),
                (3, 300_000),
                "{storage:?}"
            );
            gate.open();
            for reader in readers {
                assert_eq!(reader.join().expect("no panic").expect(200), &big.bytes[..]);
            }
        });
        gitlab.log().wait_until("all of it is counted", |log| {
            log.file_bodies().bytes == 900_000
        });
    }
}

#[test]
fn uploads_stall_break_and_lose_their_answer() {
    let gitlab = GitLab::start();
    let file = Distribution::new("fresh", "2.0").payload(500_000).wheel();
    let client = anonymous(&gitlab).token(token::DEVELOPER);
    let form = |file: &Artifact| {
        let head = format!(
            "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\n{}\r\n--b\r\nContent-Disposition: form-data; \
             name=\"version\"\r\n\r\n{}\r\n--b\r\nContent-Disposition: form-data; name=\"content\"; filename=\"{}\"\r\n\r\n",
            file.name, file.version, file.filename
        );
        [head.as_bytes(), &file.bytes, b"\r\n--b--\r\n"].concat()
    };
    let post = || {
        client.post(
            &path::upload(42),
            "multipart/form-data; boundary=b",
            &form(&file),
        )
    };
    gitlab.plan(Act::ResetUpload { after: 200_000 }.at(Kind::Upload).once());
    assert!(matches!(
        post().ending,
        Ending::Reset { .. } | Ending::CutShort { .. }
    ));
    gitlab.plan(Act::CutHead { after: 0 }.at(Kind::Upload).once());
    assert_eq!(post().status, 0);
    assert_eq!(
        post().status,
        400,
        "the upload whose answer was lost has been stored"
    );
    gitlab.plan(
        Act::StallUpload {
            after: 1000,
            time: Duration::from_millis(40),
        }
        .at(Kind::Upload)
        .once(),
    );
    let start = Instant::now();
    assert_eq!(post().status, 400);
    assert!(start.elapsed() >= Duration::from_millis(40));
    gitlab.plan(Act::Status(502).at(Kind::Upload).once());
    assert_eq!(post().status, 502);
    let complete: Vec<bool> = gitlab
        .uploads()
        .iter()
        .map(|upload| upload.complete)
        .collect();
    assert_eq!(complete, [false, true, true, true]);
}
