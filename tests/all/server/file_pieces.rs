//! Files and large compressed pages that the kernel sends (`sendfile`): the right bytes in the right
//! answer on a connection that is used for many, over TCP and a unix socket, to slow readers, and
//! when the file is cut on the disk meanwhile.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::common::delivery::{eventually, kept};
use crate::support::{
    Act, Answer, Artifact, Client, Ending, GitLab, Kind, Larder, Reply, StoreListing, path, token,
};

/// Several pieces long, and no multiple of one.
const LARGE: usize = 5_000_123;

struct Stored {
    larder: Larder,
    files: Vec<Artifact>,
}

/// A larder that holds a large file, one of a single piece and a small one.
fn stored(builder: impl FnOnce(&GitLab) -> Larder) -> Stored {
    let gitlab = GitLab::start();
    let mut files = Vec::new();
    for (name, bytes) in [("large", LARGE), ("middling", 200_000), ("small", 3_000)] {
        let file = Artifact::noise(name, "1.0", bytes);
        gitlab.publish(42, &file);
        files.push(file);
    }
    let larder = builder(&gitlab);
    for file in &files {
        client(&larder)
            .get(&path::project_file(42, file))
            .expect(200);
        kept(&larder, file);
    }
    Stored { larder, files }
}

fn client(larder: &Larder) -> Client {
    larder.client().token(token::READER)
}

/// Has a page that is large when it is compressed, too.
fn with_large_page(gitlab: &GitLab) -> String {
    let mut page =
        "<!DOCTYPE html><html><head><title>Links for large</title></head><body>".to_owned();
    for version in 0..4_000_u32 {
        let sha256 = hex(&version.to_string());
        let name = format!("large-1.0.{version}-py3-none-any.whl");
        let link = format!("https://files.example/{sha256}/{name}#sha256={sha256}");
        page.push_str(&format!("<a href=\"{link}\">{name}</a><br>\n"));
    }
    page.push_str("</body></html>");
    let answer = Answer::new(200).header("Content-Type", "text/html");
    gitlab.plan(Act::Answer(answer.body(page)).at(Kind::Page));
    path::project_page(42, "large")
}

fn hex(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

const GZIP: [(&str, &str); 1] = [("Accept-Encoding", "gzip")];

/// Asks for a page as it is, and compressed.
fn page_in_two_forms(larder: &Larder, address: &str) -> (Reply, Reply) {
    let plain = client(larder).get(address);
    plain.expect(200);
    let packed = client(larder).get_with(address, &GZIP);
    packed.expect(200);
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    assert!(packed.gunzipped() == plain.body, "another page");
    assert!(packed.body.len() > 100_000, "{}", packed.body.len());
    (plain, packed)
}

#[test]
fn one_connection_gets_each_answer_its_own_bytes() {
    let Stored { larder, files } = stored(Larder::start);
    let client = client(&larder);
    let mut asked = Vec::new();
    for round in 0..3 {
        for file in &files {
            let whole = 0..file.bytes.len();
            let middle = round + 1..file.bytes.len() - 100 * round - 1;
            asked.push(("GET", file, whole, 200));
            asked.push(("HEAD", file, 0..0, 200));
            asked.push(("GET", file, middle, 206));
        }
    }
    let head = |(method, file, bytes, status): &(&str, &Artifact, std::ops::Range<usize>, u16)| {
        let range = format!("bytes={}-{}", bytes.start, bytes.end.saturating_sub(1));
        let headers = [("Range", range.as_str())];
        let headers = if *status == 206 { &headers[..] } else { &[] };
        client.head_text(method, &path::project_file(42, file), headers)
    };
    // One after another, then all of them at once.
    for at_once in [false, true] {
        let mut wire = client.connect();
        if at_once {
            let heads: String = asked.iter().map(head).collect();
            assert!(wire.send(heads.as_bytes()));
        }
        for request in &asked {
            if !at_once {
                assert!(wire.send(head(request).as_bytes()));
            }
            let (method, file, bytes, status) = request;
            let reply = wire.reply_to(method);
            let case = format!("{method} {bytes:?} of {} at once: {at_once}", file.filename);
            assert_eq!(reply.status, *status, "{case}: {reply:?}");
            assert!(reply.is_complete(), "{case}");
            assert!(
                reply.body == file.bytes[bytes.clone()],
                "{case}: wrong bytes"
            );
        }
        assert!(wire.leftover().is_empty());
    }
}

#[test]
fn a_unix_socket_gets_them_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("larder.sock");
    let listen = format!("--listen=unix:{}", socket.display());
    let own = "--listen=127.0.0.1:0";
    let Stored { files, larder } = stored(|gitlab| {
        let builder = Larder::builder(gitlab);
        builder.argument(own).argument(&listen).start()
    });
    for file in &files {
        let body = over_socket(&larder, &socket, &path::project_file(42, file));
        assert!(body == file.bytes, "{}", file.filename);
    }
}

fn over_socket(larder: &Larder, socket: &Path, address: &str) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    let head = client(larder).head_text("GET", address, &[("Connection", "close")]);
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    answer.split_off(end.expect("a head") + 4)
}

#[test]
fn slow_readers_get_all_of_it() {
    let Stored { larder, files } = stored(Larder::start);
    let large = &files[0];
    let readers: Vec<_> = (0..4)
        .map(|number| {
            let exchange = client(&larder).start("GET", &path::project_file(42, large), &[]);
            let piece = 300_000 + 50_000 * number;
            std::thread::spawn(move || exchange.read_slowly(piece, Duration::from_millis(20)))
        })
        .collect();
    for reader in readers {
        let reply = reader.join().expect("a reader");
        assert!(reply.expect(200) == large.bytes);
    }
}

/// The announced length is not reached, so that the client knows; what came is right.
#[test]
fn a_file_that_is_cut_under_its_reader_ends_the_connection() {
    let gitlab = GitLab::start();
    let file = Artifact::noise("huge", "1.0", 40_000_000);
    gitlab.publish(42, &file);
    let larder = Larder::start(&gitlab);
    let address = path::project_file(42, &file);
    client(&larder).get(&address).expect(200);
    kept(&larder, &file);
    let mut exchange = client(&larder).start("GET", &address, &[]);
    assert_eq!(exchange.status(), 200);
    let listing = StoreListing::of(&larder.cache_dir());
    let blob = &listing.blob(&file.sha256).expect("it is stored").path;
    let cut = std::fs::File::options().write(true).open(blob);
    cut.and_then(|blob| blob.set_len(20_000_000))
        .expect("a shorter file");
    let reply = exchange.finish();
    // At once: a connection that goes on would leave the client to wait.
    let is_cut = matches!(reply.ending, Ending::CutShort { .. } | Ending::Reset { .. });
    assert!(is_cut, "{:?}", reply.ending);
    assert!(reply.body.len() <= 20_000_000, "{}", reply.body.len());
    assert!(file.bytes.starts_with(&reply.body), "wrong bytes");
    client(&larder).get("/-/health/live").expect(200);
}

/// A compressed page leaves by the same way as a file, a plain one does not.
#[test]
fn a_page_in_each_form_among_files_is_the_right_one() {
    let gitlab = GitLab::start();
    let file = Artifact::noise("middling", "1.0", 200_000);
    gitlab.publish(42, &file);
    let larder = Larder::start(&gitlab);
    let file_address = path::project_file(42, &file);
    client(&larder).get(&file_address).expect(200);
    kept(&larder, &file);
    let address = with_large_page(&gitlab);
    let (plain, packed) = page_in_two_forms(&larder, &address);
    let tag = packed.header("ETag").expect("pages have one");
    let unchanged = [GZIP[0], ("If-None-Match", tag)];
    let nothing = &[][..];
    let asked = [
        ("GET", &address, &GZIP[..], 200, &packed.body[..]),
        ("GET", &file_address, &[], 200, &file.bytes),
        ("HEAD", &address, &GZIP, 200, nothing),
        ("GET", &address, &unchanged, 304, nothing),
        ("GET", &address, &[], 200, &plain.body),
        ("GET", &address, &GZIP, 200, &packed.body),
    ];
    let client = client(&larder);
    let mut wire = client.connect();
    for _ in 0..2 {
        for (method, address, headers, _, _) in asked {
            let head = client.head_text(method, address, headers);
            assert!(wire.send(head.as_bytes()));
        }
        for (method, address, headers, status, body) in asked {
            let reply = wire.reply_to(method);
            let case = format!("{method} {address} {headers:?}");
            assert_eq!(reply.status, status, "{case}: {reply:?}");
            assert!(reply.is_complete(), "{case}");
            assert!(reply.body[..] == *body, "{case}: wrong bytes");
        }
    }
    assert!(wire.leftover().is_empty());
}

/// What the kernel was asked to do, where it can be seen.
#[test]
fn a_large_file_is_sent_by_the_kernel_and_a_small_one_with_its_head() {
    let Some(tracer) = Tracer::new() else { return };
    let Stored { mut larder, files } =
        stored(|gitlab| Larder::builder(gitlab).binary(&tracer.script).start());
    let mut sent = Sha256::new();
    for file in &files {
        let reply = client(&larder).get(&path::project_file(42, file));
        sent.update(reply.expect(200));
    }
    let mut expected = Sha256::new();
    for file in &files {
        expected.update(&file.bytes);
    }
    assert_eq!(sent.finalize(), expected.finalize());
    larder.terminate();
    // The hot answers come from the page cache.
    tracer.expect_sent(LARGE + 200_000);
}

#[test]
fn a_large_compressed_page_is_sent_by_the_kernel() {
    let Some(tracer) = Tracer::new() else { return };
    let gitlab = GitLab::start();
    let address = with_large_page(&gitlab);
    let mut larder = Larder::builder(&gitlab).binary(&tracer.script).start();
    let (_, packed) = page_in_two_forms(&larder, &address);
    let again = client(&larder).get_with(&address, &GZIP);
    assert!(again.expect(200) == packed.body);
    larder.terminate();
    tracer.expect_sent(2 * packed.body.len());
}

/// Notes what larder has the kernel send.
struct Tracer {
    folder: tempfile::TempDir,
    /// In place of larder's program.
    script: PathBuf,
}

impl Tracer {
    /// None where processes cannot be traced.
    fn new() -> Option<Self> {
        let probe = std::process::Command::new("strace")
            .args(["-o", "/dev/null", "true"])
            .status();
        if !probe.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no strace, or it may not trace");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let script = folder.path().join("traced");
        let line = format!(
            "#!/bin/sh\nexec strace -D -f -e trace=sendfile -o '{}' '{}' \"$@\"\n",
            folder.path().join("trace").display(),
            crate::support::larder::binary().display()
        );
        std::fs::write(&script, line).expect("a folder");
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o700)).expect("a script");
        Some(Self { folder, script })
    }

    /// Fails if it was less, once larder has ended.
    fn expect_sent(&self, least: usize) {
        let trace = self.folder.path().join("trace");
        eventually("the trace is written", || {
            std::fs::read_to_string(&trace).is_ok_and(|text| text.contains("exited with"))
        });
        let trace = std::fs::read_to_string(&trace).expect("a trace");
        let mut bytes = 0;
        for line in trace.lines() {
            if let Some((_, result)) = line.rsplit_once(" = ") {
                bytes += result.trim().parse::<usize>().unwrap_or(0);
            }
        }
        assert!(bytes >= least, "{bytes} of {least}\n{trace}");
    }
}
