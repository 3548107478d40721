//! larder in front of larder in front of GitLab: agents chain.

use crate::support::{Artifact, Distribution, GitLab, Larder, Storage, StoreListing, path, token};

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
                (path::project_page(42, "big"), path::project_file(42, &wheel)),
                (path::group_page(7, "big"), path::group_file(7, &wheel)),
            ] {
                let case = format!("{storage:?}, {round}: {page}");
                let shown = reader.get(&page);
                shown.expect(200);
                // Links stay root-relative, however many have rewritten them.
                assert!(
                    shown.text().contains(&format!("href=\"{file}#sha256={}\"", wheel.sha256)),
                    "{case}: {shown:?}"
                );
                assert_eq!(reader.get(&file).expect(200), &wheel.bytes[..], "{case}");
                assert_eq!(reader.get_range(&file, "bytes=-100").expect(206).len(), 100, "{case}");
            }
        }
        // One for each of its two addresses.
        assert_eq!(gitlab.log().file_bodies().transfers, 2, "{storage:?}");
        for larder in [&inner, &outer] {
            assert!(
                StoreListing::of(&larder.cache_dir()).holds(&wheel.sha256),
                "{storage:?}: not kept by both"
            );
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
                assert_eq!(mine.header("WWW-Authenticate").is_some(), status == 401, "{direct:?}");
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
    let pages = [path::project_page(42, "fresh"), path::group_page(7, "fresh")];
    for larder in [&inner, &outer] {
        for page in &pages {
            larder.client().token(token::DEVELOPER).get(page);
        }
    }
    let file = Artifact::noise("fresh", "1.0", 400_000);
    let mut body = Vec::new();
    for (name, value) in [("name", "fresh"), ("version", "1.0"), ("sha256_digest", &file.sha256)] {
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
    developer.post(&path::upload(42), "multipart/form-data; boundary=xyz", &body).expect(201);

    assert_eq!(gitlab.uploads()[0].body.as_deref(), Some(&body[..]));
    assert_eq!(gitlab.log().posts(), 1);
    for larder in [&outer, &inner] {
        for page in &pages {
            let shown = larder.client().token(token::DEVELOPER).get(page);
            assert!(shown.text().contains(&file.filename), "{page}: {shown:?}");
        }
    }
}
