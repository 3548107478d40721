//! HTTP/2, which is spoken over TLS only: what is promised over HTTP/1.1 holds over it too.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::server::tls::{Secured, fetch};
use crate::support::tls::{in_time, read, run};
use crate::support::{Act, Artifact, GitLab, Larder, Site, Storage, StoreListing, path, token};
use crate::upload::pass_through::{content_type, form};

#[test]
fn r1_a_wrong_body_over_http2_is_a_broken_stream() {
    for storage in [Storage::Disk, Storage::Redirect] {
        let gitlab = GitLab::builder().storage(storage).start();
        let secured = Secured::start(&gitlab, "");
        for (number, size) in [3_000, 300_000, 2_000_000].into_iter().enumerate() {
            let (middle, last) = ((size / 2) as u64, size as u64 - 1);
            let cases = [
                vec![Act::Flip { at: last }],
                vec![Act::Flip { at: last }, Act::Chunked],
                vec![Act::Close { after: middle }, Act::UntilClose],
                vec![Act::Reset { after: middle }, Act::NoValidators],
            ];
            for (case, acts) in cases.into_iter().enumerate() {
                let file = Artifact::noise(&format!("noise-{number}-{case}"), "1.0", size);
                gitlab.publish(42, &file);
                for act in acts {
                    gitlab.plan(act.at(Site::FileBody).containing(&file.filename));
                }
                let found = run(fetch(&secured.http2(), &path::project_file(42, &file)));
                let whole = found.status == 200 && found.is_complete();
                assert!(
                    !whole,
                    "{storage:?} {size} {case}: {} bytes came as a whole",
                    found.body.len()
                );
                assert!(
                    found.body.len() < size,
                    "{storage:?} {size} {case}: every byte came"
                );
                let held = StoreListing::of(&secured.larder.cache_dir()).holds(&file.sha256);
                assert!(!held, "{storage:?} {size} {case}");
                gitlab.behave();
            }
        }
        // The connection of a broken stream, and the daemon, go on.
        secured.larder.client().get("/-/health/ready").expect(200);
    }
}

#[test]
fn r20_a_running_download_over_http2_is_finished_at_a_stop() {
    let gitlab = GitLab::start();
    let file = Artifact::noise("big", "1.0", 3_000_000);
    gitlab.publish(42, &file);
    let mut secured = Secured::start(&gitlab, "");
    let gate = gitlab.hold(Site::FileBody, 1_000_000);
    let client = secured.http2();
    run(async {
        let mut sender = client.http2().await;
        let request = client.get(&path::project_file(42, &file), token::READER);
        let answer = in_time(sender.send_request(request))
            .await
            .expect("an answer");
        secured.larder.signal(rustix::process::Signal::TERM);
        secured.larder.wait_for_log("stopping");
        // The farewell takes a round trip; until then requests are still taken.
        let until = Instant::now() + Duration::from_secs(10);
        while in_time(sender.send_request(client.get("/-/health/live", token::READER)))
            .await
            .is_ok()
        {
            assert!(Instant::now() < until, "new requests are still taken");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        gate.open();
        let found = read(answer).await;
        assert!(
            found.is_complete() && found.body == file.bytes,
            "{:?}",
            found.broken
        );
    });
    assert!(
        secured
            .larder
            .wait(Duration::from_secs(10))
            .is_some_and(|status| status.success())
    );
}

#[test]
fn an_http2_client_that_neither_asks_nor_takes_is_ended() {
    let gitlab = GitLab::start();
    let file = Artifact::noise("big", "1.0", 5_000_000);
    gitlab.publish(42, &file);
    let secured = Secured::start(
        &gitlab,
        "[limits]\nheader_timeout = \"500ms\"\nwrite_timeout = \"1s\"",
    );
    let client = secured.http2();
    let closed = async |stream: &mut tokio_rustls::client::TlsStream<tokio::net::TcpStream>| {
        let mut bytes = [0; 1024];
        while matches!(
            in_time(tokio::io::AsyncReadExt::read(stream, &mut bytes)).await,
            Ok(1..)
        ) {}
    };
    run(async {
        // Silent after the handshake.
        let mut silent = client.connect().await.expect("a handshake");
        closed(&mut silent).await;

        // Alive, and without a wish.
        let mut sender = client.http2().await;
        let live = in_time(sender.send_request(client.get("/-/health/live", token::READER))).await;
        assert_eq!(live.expect("an answer").status(), 200);
        let until = Instant::now() + Duration::from_secs(10);
        while !sender.is_closed() {
            assert!(Instant::now() < until, "an idle connection was kept");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }

        // Alive, and with a stream whose window stays shut.
        let mut sender = client
            .http2_with(http2::Builder::new(TokioExecutor::new()))
            .await;
        let request = client.get(&path::project_file(42, &file), token::READER);
        let held = in_time(sender.send_request(request))
            .await
            .expect("an answer");
        let until = Instant::now() + Duration::from_secs(10);
        while !sender.is_closed() {
            assert!(
                Instant::now() < until,
                "a client that takes nothing was kept"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let found = read(held).await;
        assert!(
            !found.is_complete(),
            "{} bytes came as a whole",
            found.body.len()
        );

        // One that takes something now and then is not.
        let mut narrow = http2::Builder::new(TokioExecutor::new());
        narrow.initial_stream_window_size(1 << 16);
        let mut sender = client.http2_with(narrow).await;
        let request = client.get(&path::project_file(42, &file), token::READER);
        let mut slow = in_time(sender.send_request(request))
            .await
            .expect("an answer")
            .into_body();
        let (started, mut taken) = (Instant::now(), 0);
        while let Some(frame) = in_time(http_body_util::BodyExt::frame(&mut slow)).await {
            taken += frame.expect("it goes on").data_ref().map_or(0, Bytes::len);
            if started.elapsed() < Duration::from_secs(3) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        assert_eq!(taken, 5_000_000);
    });
}

/// One frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a short frame")
        .to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A whole request without a body. Every field is a literal (RFC 7541 §6.2.2).
fn headers(stream: u32, request: &http::Request<http_body_util::Full<Bytes>>) -> Vec<u8> {
    let text = |text: &str| match u8::try_from(text.len()).expect("a short text") {
        length @ ..127 => [&[length], text.as_bytes()].concat(),
        length => [&[127, length - 127], text.as_bytes()].concat(),
    };
    let uri = request.uri();
    let authorization = request.headers()["authorization"].to_str().expect("a text");
    let fields = [
        (":method", request.method().as_str()),
        (":scheme", "https"),
        (
            ":authority",
            uri.authority().expect("an authority").as_str(),
        ),
        (":path", uri.path()),
        ("authorization", authorization),
    ];
    let block: Vec<u8> = fields
        .iter()
        .flat_map(|(name, value)| [vec![0], text(name), text(value)].concat())
        .collect();
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What comes up to the first frame of this kind and with these flags: the data in it, all in one.
async fn data_until(stream: &mut (impl AsyncRead + Unpin), kind: u8, flags: u8) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let mut head = [0; 9];
        in_time(stream.read_exact(&mut head))
            .await
            .expect("the connection goes on");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        in_time(stream.read_exact(&mut payload))
            .await
            .expect("a whole frame");
        if head[3] == DATA {
            data.extend(payload);
        }
        if head[3] == kind && head[4] & flags == flags {
            return data;
        }
    }
}

/// The client answers no ping, so that it may ask until it is cut off.
#[test]
fn a_request_that_crosses_the_farewell_is_answered_to_its_end() {
    let gitlab = GitLab::start();
    let file = Artifact::noise("big", "1.0", 40_000);
    gitlab.publish(42, &file);
    let secured = Secured::start(&gitlab, "[limits]\nconnections = 1");
    let client = secured.http2();
    let page = path::project_page(42, "big");
    let gate = gitlab.hold(Site::FileBody, 1_000);
    run(async {
        let mut held = client.connect().await.expect("a handshake");
        let hello = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(SETTINGS, 0, 0, &[]),
        ]
        .concat();
        let first = headers(1, &client.get(&page, token::READER));
        in_time(held.write_all(&[hello, first].concat()))
            .await
            .expect("a request is taken");
        data_until(&mut held, DATA, END_STREAM).await;
        let crosses = async {
            data_until(&mut held, GOAWAY, 0).await;
            let late = headers(
                3,
                &client.get(&path::project_file(42, &file), token::READER),
            );
            in_time(held.write_all(&late))
                .await
                .expect("a request is taken");
            // For longer than the farewell of a connection that stays idle.
            tokio::time::sleep(Duration::from_secs(3)).await;
            gate.open();
            data_until(&mut held, DATA, END_STREAM).await
        };
        let (found, waited) = tokio::join!(crosses, fetch(&client, &page));
        assert!(found == file.bytes, "{} bytes came", found.len());
        assert_eq!(waited.status, 200, "{waited:?}");
    });
}

#[test]
fn a_large_head_is_refused_over_http2_too() {
    let gitlab = GitLab::start();
    let secured = Secured::start(&gitlab, "[limits]\nheader_size = \"8KiB\"");
    let client = secured.http2();
    run(async {
        let mut sender = client.http2().await;
        for (bytes, fits) in [(4_000, true), (12_000, false)] {
            let mut request = client.get("/-/health/live", token::READER);
            request
                .headers_mut()
                .insert("x-much", "x".repeat(bytes).parse().expect("a value"));
            let answer = in_time(sender.send_request(request)).await;
            match answer {
                Ok(answer) => assert_eq!(answer.status(), if fits { 200 } else { 431 }, "{bytes}"),
                // The client may have heard of the limit and keep to it.
                Err(why) => assert!(!fits, "{bytes}: {why:?}"),
            }
        }
    });
}

#[test]
fn r32_an_early_answer_to_an_upload_comes_over_http2_too() {
    let gitlab = GitLab::start();
    let secured = Secured::start(&gitlab, "");
    let client = secured.http2();
    let body = Bytes::from(form(&Artifact::noise("huge", "1.0", 30_000_000)));
    let mut request = client.request("POST", &path::upload(42), "nobody-knows", body);
    request
        .headers_mut()
        .insert("content-type", content_type().parse().expect("a value"));
    run(async {
        let mut sender = client.http2().await;
        let found = read(
            in_time(sender.send_request(request))
                .await
                .expect("an answer"),
        )
        .await;
        assert!(found.status == 401 && found.is_complete(), "{found:?}");
        let live = in_time(sender.send_request(client.get("/-/health/live", token::READER))).await;
        assert_eq!(live.expect("the connection goes on").status(), 200);
    });
    let received = gitlab
        .log()
        .entries()
        .iter()
        .map(|entry| entry.body_received)
        .max();
    assert!(
        received < Some(10_000_000),
        "the refused body was passed on all the same: {received:?}"
    );
}

#[test]
fn the_lines_to_copy_name_what_the_browser_called() {
    let gitlab = GitLab::start();
    let secured = Secured::start(&gitlab, "");
    let client = secured.http2();
    run(async {
        let home = fetch(&client, "/-/").await;
        let text = String::from_utf8(home.body).expect("a page");
        let own = format!("https://{}/api/v4/", secured.address);
        assert!(
            home.status == 200 && text.contains(&own),
            "no {own} in\n{text}"
        );
        let plain = format!("{}/api/v4/", secured.larder.address());
        assert!(
            !text.contains(&plain),
            "the other address, without TLS, as https://"
        );

        let mut sender = client.http2().await;
        let mut asked = client.get("/-/", token::READER);
        asked
            .headers_mut()
            .insert("host", "other.example".parse().expect("a value"));
        let named = read(
            in_time(sender.send_request(asked))
                .await
                .expect("an answer"),
        )
        .await;
        assert!(
            !String::from_utf8_lossy(&named.body).contains("other.example"),
            "the authority counts"
        );
    });
}

/// What one connection can hold is bounded by its streams, and what all of them can by
/// `limits.connections`.
#[test]
fn clients_that_take_nothing_cost_little_and_leave_the_others_room() {
    const CONNECTIONS: usize = 8;
    const STREAMS: usize = 60;
    let gitlab = GitLab::start();
    let file = Artifact::noise("big", "1.0", 4_000_000);
    gitlab.publish(42, &file);
    let builder = Larder::builder(&gitlab);
    let room = CONNECTIONS * STREAMS;
    let limits = format!(
        "[limits]\nconnections = {room}\nqueue_timeout = \"500ms\"\nwrite_timeout = \"3s\""
    );
    let secured = Secured::with(builder, &limits);
    let client = secured.http2();
    run(async {
        fetch(&client, &path::project_file(42, &file)).await;
        let before = secured.larder.resident_bytes();
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut narrow = http2::Builder::new(TokioExecutor::new());
            narrow
                .initial_stream_window_size(1 << 10)
                .initial_connection_window_size(1 << 17);
            let mut sender = client.http2_with(narrow).await;
            for _ in 0..STREAMS {
                let request = client.get(&path::project_file(42, &file), token::READER);
                held.push(
                    in_time(sender.send_request(request))
                        .await
                        .expect("an answer"),
                );
            }
        }
        assert!(held.iter().all(|answer| answer.status() == 200));
        let each = secured.larder.resident_bytes().saturating_sub(before) / room as u64;
        assert!(
            each < 300 << 10,
            "{} KiB for each answer that nobody takes",
            each >> 10
        );

        // Whoever comes now is told so over HTTP/2, and served over HTTP/1.1, which has its own
        // count.
        let crowded = fetch(&client, "/-/health/live").await;
        assert_eq!(crowded.status, 503, "{crowded:?}");
        secured.larder.client().get("/-/health/live").expect(200);

        // Their time is over after write_timeout, once and not twice.
        let until = Instant::now() + Duration::from_secs(15);
        while fetch(&client, "/-/health/live").await.status != 200 {
            assert!(Instant::now() < until, "they hold their room for ever");
        }
        drop(held);
    });
}
