//! What the tests of a bucket that a fleet shares look at: what GitLab sent, what larders found there
//! and put there.

use std::io::Read;
use std::time::Duration;

use crate::common::delivery::patiently;
use crate::support::{Artifact, Client, Distribution, Entry, GitLab, Larder};

/// Publishes so many wheels of their own projects' names.
pub fn published(gitlab: &GitLab, count: usize) -> Vec<Artifact> {
    (0..count)
        .map(|number| {
            let wheel = Distribution::new(&format!("demo{number}"), "1.0");
            let wheel = wheel.payload(20_000).wheel();
            gitlab.publish(42, &wheel);
            wheel
        })
        .collect()
}

/// Files that GitLab, or its object store, sent whole.
pub fn wholes(gitlab: &GitLab) -> usize {
    let is_whole = |entry: &&Entry| entry.is_file_body() && entry.status == Some(200);
    gitlab.log().entries().iter().filter(is_whole).count()
}

/// Cold files that a larder looked up with this result.
pub fn lookups(larder: &Larder, result: &str) -> f64 {
    let name = format!("larder_shared_store_lookups_total{{result=\"{result}\"}}");
    larder.metric(&name).unwrap_or_default()
}

/// Files that a larder was to upload, with this result.
pub fn uploads(larder: &Larder, result: &str) -> f64 {
    let name = format!("larder_shared_store_uploads_total{{result=\"{result}\"}}");
    larder.metric(&name).unwrap_or_default()
}

/// Files that wait to be uploaded, or are being.
pub fn queue(larder: &Larder) -> f64 {
    larder
        .metric("larder_shared_store_queue")
        .expect("a shared store")
}

/// Blocks until so many downloads came from the bucket: counted when the clients have theirs.
#[track_caller]
pub fn came_shared(larder: &Larder, files: f64) {
    patiently("it came from the bucket", || {
        lookups(larder, "hit") == files
    });
}

/// Blocks until a larder has uploaded so many files, and has no more to upload.
#[track_caller]
pub fn uploaded(larder: &Larder, files: f64) {
    patiently("it is uploaded", || {
        uploads(larder, "completed") == files && queue(larder) == 0.0
    });
}

/// Compares an answer with the file as it comes: many large ones together are more than this process
/// should hold.
pub fn assert_reads(client: &Client, address: &str, file: &Artifact) {
    let client = client.clone().patience(Duration::from_secs(60));
    let mut wire = client.connect();
    wire.send(
        client
            .head_text("GET", address, &[("Connection", "close")])
            .as_bytes(),
    );
    let mut stream = wire.stream();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut read = 0;
    let mut piece = vec![0; 64 << 10];
    loop {
        let length = stream.read(&mut piece).expect("a body without a break");
        if length == 0 {
            break;
        }
        let expected = file.bytes.get(read..read + length);
        assert!(
            expected == Some(&piece[..length]),
            "other bytes from {read} on"
        );
        read += length;
    }
    assert_eq!(read, file.bytes.len());
}
