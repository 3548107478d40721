//! larder in front of larder in front of GitLab and of a public index: agents chain.

use crate::common::delivery::{eventually, kept};
use crate::common::mirror::{self, AHEAD, FORMATS, JSON, get_as, listed, names};
use crate::support::wheel::sha256_hex;
use crate::support::{
    Artifact, CoreMetadata, Distribution, Entry, GitLab, Larder, Offer, PublicIndex, Storage, path,
    token,
};

fn is_whole(entry: &&Entry) -> bool {
    entry.is_file_body() && entry.status == Some(200)
}

#[test]
fn a_chain_of_two_serves_the_same_bytes_by_the_same_rights() {
    for storage in [Storage::Disk, Storage::Redirect, Storage::Proxied] {
        let wheel = Distribution::new("big", "1.0").payload(300_000).wheel();
        let gitlab = GitLab::builder().storage(storage).start();
        gitlab.publish(42, &wheel);
        let inner = Larder::start(&gitlab);
        let outer = Larder::in_front_of(&inner.url()).start();
        let reader = outer.client().token(token::READER);
        for round in ["cold", "warm"] {
            for (page, file) in [
                (
                    path::project_page(42, "big"),
                    path::project_file(42, &wheel),
                ),
                (path::group_page(7, "big"), path::group_file(7, &wheel)),
            ] {
                let case = format!("{storage:?}, {round}: {page}");
                let shown = reader.get(&page);
                shown.expect(200);
                // Links stay root-relative, however many have rewritten them.
                assert!(
                    shown
                        .text()
                        .contains(&format!("href=\"{file}#sha256={}\"", wheel.sha256)),
                    "{case}: {shown:?}"
                );
                assert_eq!(reader.get(&file).expect(200), &wheel.bytes[..], "{case}");
                assert_eq!(
                    reader.get_range(&file, "bytes=-100").expect(206).len(),
                    100,
                    "{case}"
                );
            }
        }
        // One for each of its two addresses, besides the ranges that metadata is read by.
        assert_eq!(
            gitlab.log().entries().iter().filter(is_whole).count(),
            2,
            "{storage:?}"
        );
        for larder in [&inner, &outer] {
            kept(larder, &wheel);
        }

        // The outer one has the bytes, but only GitLab's word opens them.
        let file = path::project_file(42, &wheel);
        for (client, status) in [
            (outer.client(), 401),
            (outer.client().token(token::STRANGER), 404),
            (outer.client().token(token::NARROW), 403),
        ] {
            for address in [&file, &path::project_page(42, "big")] {
                let (mine, direct) = (client.get(address), inner.client().get(address));
                assert_eq!(mine.status, status, "{storage:?} {address}: {mine:?}");
                assert_eq!(
                    mine.header("WWW-Authenticate").is_some(),
                    status == 401,
                    "{direct:?}"
                );
            }
        }
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn an_upload_through_a_chain_arrives_as_it_was_and_shows_at_both() {
    let gitlab = GitLab::start();
    let inner = Larder::start(&gitlab);
    let outer = Larder::in_front_of(&inner.url()).start();
    let pages = [
        path::project_page(42, "fresh"),
        path::group_page(7, "fresh"),
    ];
    for larder in [&inner, &outer] {
        for page in &pages {
            larder.client().token(token::DEVELOPER).get(page);
        }
    }
    let file = Artifact::noise("fresh", "1.0", 400_000);
    let mut body = Vec::new();
    for (name, value) in [
        ("name", "fresh"),
        ("version", "1.0"),
        ("sha256_digest", &file.sha256),
    ] {
        body.extend(
            format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .into_bytes(),
        );
    }
    let head = format!(
        "--xyz\r\nContent-Disposition: form-data; name=\"content\"; filename=\"{}\"\r\n\r\n",
        file.filename
    );
    body.extend(head.into_bytes());
    body.extend(&file.bytes);
    body.extend(b"\r\n--xyz--\r\n");

    let developer = outer.client().token(token::DEVELOPER);
    developer
        .post(
            &path::upload(42),
            "multipart/form-data; boundary=xyz",
            &body,
        )
        .expect(201);

    assert_eq!(gitlab.uploads()[0].body.as_deref(), Some(&body[..]));
    assert_eq!(gitlab.log().posts(), 1);
    for larder in [&outer, &inner] {
        for page in &pages {
            let shown = larder.client().token(token::DEVELOPER).get(page);
            assert!(shown.text().contains(&file.filename), "{page}: {shown:?}");
        }
    }
}

/// In front of another, for GitLab's part and for that one's mirror, by a name of its own.
fn second(inner: &Larder, forward: &str) -> Larder {
    let sections = format!(
        "[mirrors.public]\nurl = \"{0}/pypi/simple/\"\nfile_urls = [\"{0}/pypi/\"]\nttl = \"0s\"",
        inner.url()
    );
    Larder::in_front_of(&inner.url())
        .forward(forward)
        .sections(&sections)
        .start()
}

#[test]
fn a_mirror_behind_a_mirror_has_the_same_pages_and_files() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("some.lib", "1.2")
        .payload(100_000)
        .wheel();
    let bare = Distribution::new("some.lib", "1.3")
        .payload(100_000)
        .wheel();
    let index = PublicIndex::builder()
        .offering(&wheel)
        .offering(
            Offer::from(&bare)
                .core_metadata(CoreMetadata::None)
                .yanked("why not"),
        )
        .start();
    let inner = Larder::builder(&gitlab)
        .mirror("pypi", &index)
        .forward("pypi")
        .sections(AHEAD)
        .start();
    for forward in ["public", "pass"] {
        let outer = second(&inner, forward);
        for accept in FORMATS {
            // In place of GitLab's page, links lead to the mirror that they come from, whoever put
            // them there.
            for (page, far_page) in [
                (
                    "/public/simple/some-lib/".to_owned(),
                    mirror::page("some-lib"),
                ),
                (
                    path::group_page(7, "some-lib"),
                    path::group_page(7, "some-lib"),
                ),
            ] {
                let case = format!("{forward} {accept} {page}");
                let (near, far) = (
                    outer.client().token(token::READER),
                    inner.client().token(token::READER),
                );
                eventually(
                    "both say the same, the inner one's metadata included",
                    || {
                        let (ours, theirs) = (
                            get_as(&near, &page, accept),
                            get_as(&far, &far_page, accept),
                        );
                        let same = ours.text() == theirs.text().replace("\"/pypi/", "\"/public/");
                        same && listed(&ours)[1].metadata.is_some()
                    },
                );
                let shown = listed(&get_as(&near, &page, accept));
                for (link, artifact) in shown.iter().zip([&wheel, &bare]) {
                    let place = format!("/public/{}", index.file_path(&artifact.filename));
                    assert_eq!(link.url, place, "{case}");
                    assert_eq!(
                        link.metadata,
                        Some(sha256_hex(&artifact.metadata)),
                        "{case}"
                    );
                    assert_eq!(
                        near.get(&link.url).expect(200),
                        &artifact.bytes[..],
                        "{case}"
                    );
                    let core_metadata = near.get(&format!("{}.metadata", link.url));
                    assert_eq!(core_metadata.expect(200), &artifact.metadata[..], "{case}");
                    for larder in [&inner, &outer] {
                        kept(larder, artifact);
                    }
                }
            }
        }
        assert_eq!(
            outer
                .client()
                .get("/public/packages/no/such-1.0.tar.gz")
                .status,
            404,
            "{forward}"
        );
        inner.client().get(&mirror::page("nowhere")).expect(404);
        outer.client().get("/public/simple/nowhere/").expect(404);
    }
    // Each byte once, though the end of one was read ahead.
    let wheels = [&wheel, &bare].map(|wheel| wheel.bytes.len() as u64);
    assert_eq!(index.log().file_bodies().bytes, wheels.iter().sum::<u64>());
    index.log().assert_nothing_unexpected();
    index.assert_never_told(&[token::READER]);
}

#[test]
fn what_the_inner_one_adds_to_gitlabs_pages_goes_through_to_the_entitled() {
    let wheel = Distribution::new("rich", "1.0")
        .depends_on("other>=2")
        .payload(50_000)
        .wheel();
    let gitlab = GitLab::start();
    gitlab.publish(42, &wheel);
    let inner = Larder::builder(&gitlab).sections(AHEAD).start();
    let outer = Larder::in_front_of(&inner.url())
        .sections("[index]\nttl = \"0s\"")
        .start();
    let reader = outer.client().token(token::READER);
    for page in [path::project_page(42, "rich"), path::group_page(7, "rich")] {
        for accept in FORMATS {
            eventually("metadata is advertised", || {
                listed(&get_as(&reader, &page, accept))[0].metadata
                    == Some(sha256_hex(&wheel.metadata))
            });
        }
    }
    for file in [path::project_file(42, &wheel), path::group_file(7, &wheel)] {
        let address = format!("{file}.metadata");
        assert_eq!(
            reader.get(&address).expect(200),
            &wheel.metadata[..],
            "{address}"
        );
        assert_eq!(
            outer.client().token(token::STRANGER).get(&address).status,
            404,
            "{address}"
        );
        assert_eq!(outer.client().get(&address).status, 401, "{address}");
    }
    let narrow = outer.client().token(token::WIDGETS_READER);
    assert_eq!(
        names(&get_as(&narrow, &path::group_page(7, "rich"), JSON)),
        [wheel.filename.as_str()]
    );
    gitlab.log().assert_nothing_unexpected();
}
