//! Files that an index lists without a sha256: relayed, and kept only where the operator says so.

use std::time::{Duration, Instant};

use crate::support::{
    Act, Artifact, Distribution, GitLab, Hashes, Kind, Larder, Offer, PublicIndex, StoreListing,
};

fn start(lines: &str, hashes: Hashes) -> (PublicIndex, GitLab, Larder, Artifact, String) {
    let file = Distribution::new("bare", "1.0").payload(300_000).wheel();
    let index = PublicIndex::builder()
        .offering(Offer::from(&file).hashes(hashes))
        .start();
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .mirror_with("pypi", &index, lines)
        .start();
    let address = format!(
        "/pypi/{}",
        index.file_path(&file.filename).trim_start_matches('/')
    );
    (index, gitlab, larder, file, address)
}

#[test]
fn r1_without_a_sha256_nothing_is_promised_nor_kept() {
    for hashes in [Hashes::None, Hashes::Md5] {
        let (index, _gitlab, larder, file, address) = start("", hashes);
        for round in 1..=2 {
            let reply = larder.client().get(&address);
            assert_eq!(reply.expect(200), &file.bytes[..], "{hashes:?}");
            assert_eq!(reply.header("ETag"), None, "{hashes:?}: {reply:?}");
            assert_eq!(
                reply.header("Cache-Control"),
                Some("private, no-store"),
                "{hashes:?}"
            );
            assert_eq!(index.log().count(Kind::File), round, "{hashes:?}");
        }
        let head = larder.client().head(&address);
        assert_eq!(
            head.header("Content-Length"),
            Some(file.bytes.len().to_string().as_str()),
            "{head:?}"
        );
        let part = larder.client().get_range(&address, "bytes=100-199");
        assert_eq!(part.expect(206), &file.bytes[100..200]);
        let beyond = larder.client().get_range(&address, "bytes=900000-");
        assert_eq!(beyond.status, 416, "{beyond:?}");
        assert!(
            !StoreListing::of(&larder.cache_dir()).holds(&file.sha256),
            "{hashes:?}"
        );
        index.log().assert_nothing_unexpected();
    }
}

#[test]
fn r2_a_file_without_a_sha256_is_kept_whole_or_not_at_all() {
    let (index, _gitlab, larder, file, address) = start("unhashed_files = \"store\"", Hashes::None);
    let kept = || StoreListing::of(&larder.cache_dir()).holds(&file.sha256);
    // The client gets what it may, and what is kept behind it breaks off as well.
    index.plan(Act::Close { after: 150_000 }.at(Kind::File));
    assert_ne!(larder.client().get(&address).body, file.bytes);
    larder.wait_for_log("is not kept");
    assert!(!kept());
    index.behave();

    assert_eq!(larder.client().get(&address).expect(200), &file.bytes[..]);
    let until = Instant::now() + Duration::from_secs(20);
    while !kept() {
        assert!(Instant::now() < until, "never kept: {}", larder.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let etag = format!("\"{}\"", file.sha256);
    let until = Instant::now() + Duration::from_secs(20);
    // The address is written down right behind the bytes.
    while larder.client().head(&address).header("ETag") != Some(&etag) {
        assert!(Instant::now() < until, "never known by its address");
    }
    index.log().clear();
    assert_eq!(larder.client().get(&address).expect(200), &file.bytes[..]);
    assert_eq!(
        larder.client().get_range(&address, "bytes=-10").expect(206),
        &file.bytes[file.bytes.len() - 10..]
    );
    let again = larder.restart();
    assert_eq!(again.client().get(&address).expect(200), &file.bytes[..]);
    assert_eq!(index.log().count(Kind::File), 0, "asked for again");
    index.log().assert_nothing_unexpected();
}
