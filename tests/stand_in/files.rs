//! File downloads in the three storage modes.

use super::*;

#[test]
fn a_file_from_disk_has_the_headers_of_workhorse() {
    let gitlab = GitLab::start();
    let (wheel, _) = my_pkg();
    let reply = reader(&gitlab).get(&path::project_file(42, &wheel));
    assert_eq!(reply.expect(200), &wheel.bytes[..]);
    let name = &wheel.filename;
    let disposition = format!("attachment; filename=\"{name}\"; filename*=UTF-8''{name}");
    assert_eq!(
        reply.header("Content-Disposition"),
        Some(disposition.as_str())
    );
    assert_eq!(
        reply.header("Content-Type"),
        Some("application/octet-stream")
    );
    assert_eq!(
        (reply.header("Accept-Ranges"), reply.header("ETag")),
        (Some("bytes"), None)
    );
    assert_eq!(
        (reply.header("Last-Modified"), reply.header("Cache-Control")),
        (Some(LAST_MODIFIED), Some("no-cache"))
    );
    assert_eq!(reply.header("Content-Transfer-Encoding"), Some("binary"));
    let known = reader(&gitlab).get_with(
        &path::project_file(42, &wheel),
        &[("If-Modified-Since", LAST_MODIFIED)],
    );
    assert_eq!(known.status, 304);
}

#[test]
fn ranges_work_in_every_mode() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let big = big(&gitlab);
        let range = |value: &str| fetch(&gitlab, &big, &[("Range", value)]);
        for (value, bytes) in [
            ("bytes=0-99", 0..100),
            ("bytes=299900-", 299_900..300_000),
            ("bytes=-10", 299_990..300_000),
            ("bytes=-999999", 0..300_000),
            ("bytes=299990-999999", 299_990..300_000),
        ] {
            let reply = range(value);
            assert_eq!(
                reply.expect(206),
                &big.bytes[bytes.clone()],
                "{storage:?} {value}"
            );
            let told = format!("bytes {}-{}/300000", bytes.start, bytes.end - 1);
            assert_eq!(reply.header("Content-Range"), Some(told.as_str()));
        }
        let beyond = range("bytes=300000-");
        assert_eq!(
            (beyond.status, beyond.header("Content-Range")),
            (416, Some("bytes */300000"))
        );
        let parts = range("bytes=0-1,5-6");
        assert_eq!(parts.status, 206);
        assert!(
            parts
                .header("Content-Type")
                .expect("a type")
                .starts_with("multipart/byteranges")
        );
        let whole = fetch(&gitlab, &big, &[]);
        let validator = whole
            .header("ETag")
            .or(whole.header("Last-Modified"))
            .expect("one of them")
            .to_owned();
        assert_eq!(
            fetch(
                &gitlab,
                &big,
                &[("Range", "bytes=0-9"), ("If-Range", &validator)]
            )
            .status,
            206
        );
        assert_eq!(
            fetch(
                &gitlab,
                &big,
                &[("Range", "bytes=0-9"), ("If-Range", "\"other\"")]
            )
            .status,
            200
        );
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn a_signed_url_is_good_for_one_method_for_a_while_and_without_credentials() {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    let (wheel, _) = my_pkg();
    let file = path::project_file(42, &wheel);
    let store = Client::new(gitlab.store_address());
    let target = |reply: &Reply| {
        let location = reply.header("Location").expect("a redirect has one");
        location
            .strip_prefix(gitlab.store_url())
            .expect("it leads to the store")
            .to_owned()
    };
    let redirect = reader(&gitlab).get(&file);
    assert_eq!(
        (redirect.status, redirect.header("Cache-Control")),
        (302, Some("no-cache"))
    );
    let signed = target(&redirect);
    assert!(
        signed.contains("X-Amz-Expires=600") && signed.contains(&wheel.filename),
        "{signed}"
    );

    let reply = store.get(&signed);
    assert_eq!(reply.expect(200), &wheel.bytes[..]);
    assert_eq!(
        (
            reply.header("Content-Disposition"),
            reply.header("Accept-Ranges")
        ),
        (None, Some("bytes"))
    );
    assert_eq!(store.head(&signed).status, 403);
    assert_eq!(
        store
            .get(&signed.replace("X-Amz-Signature=", "X-Amz-Signature=0"))
            .status,
        403
    );
    gitlab.log().assert_nothing_unexpected();
    let refused = store.clone().token(token::READER).get(&signed);
    assert_eq!(
        (refused.status, refused.header("Content-Type")),
        (400, Some("application/xml"))
    );
    assert_eq!(gitlab.log().unexpected().len(), 1);

    let head = reader(&gitlab).head(&file);
    assert_eq!((head.status, store.head(&target(&head)).status), (303, 200));
    gitlab.set(|settings| settings.sign_head = false);
    assert_eq!(
        store.head(&target(&reader(&gitlab).head(&file))).status,
        403
    );

    gitlab.expire_signed_urls();
    let expired = store.get(&signed);
    assert_eq!(expired.status, 403);
    assert!(expired.text().contains("Request has expired"));
}

#[test]
fn a_proxied_file_has_the_stores_validators() {
    let gitlab = GitLab::builder().storage(Storage::Proxied).start();
    let (wheel, _) = my_pkg();
    let file = path::project_file(42, &wheel);
    let reply = reader(&gitlab).get(&file);
    assert_eq!(reply.expect(200), &wheel.bytes[..]);
    assert_eq!(
        (
            reply.header("Content-Disposition"),
            reply.header("Cache-Control")
        ),
        (None, Some("no-cache"))
    );
    let etag = reply.header("ETag").expect("the store's").to_owned();
    assert_eq!(reader(&gitlab).get_if_none_match(&file, &etag).status, 304);
    assert_eq!(
        reader(&gitlab)
            .get_with(&file, &[("If-Match", "\"other\"")])
            .status,
        412
    );
    let head = reader(&gitlab).head(&file);
    assert_eq!(
        (
            head.status,
            head.header("Content-Length").map(str::to_owned)
        ),
        (200, Some(wheel.bytes.len().to_string()))
    );
}

#[test]
fn what_is_not_there_is_spelt_in_three_ways() {
    let gitlab = GitLab::start();
    let (wheel, _) = my_pkg();
    let text = |path: &str| reader(&gitlab).get(path).text();
    let absent = Artifact::noise("absent", "1", 10);
    assert_eq!(
        text(&path::project_file(42, &absent)),
        r#"{"message":"404 Package Not Found"}"#
    );
    assert_eq!(
        text(&path::group_file(7, &absent)),
        r#"{"message":"404 Not found"}"#
    );
    assert_eq!(
        text(&format!("{}.metadata", path::project_file(42, &wheel))),
        r#"{"message":"404 Package Not Found"}"#
    );
    gitlab.change(|universe| {
        universe
            .files_mut(42, &wheel.filename)
            .for_each(|file| file.lost = true)
    });
    assert_eq!(
        text(&path::project_file(42, &wheel)),
        r#"{"message":"404 Not Found"}"#
    );
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn declared_digests_are_taken_as_they_are() {
    let gitlab = GitLab::start();
    let odd = Artifact::opaque("torch", "1.0", "torch-1.0+cu118-py3-none-any.whl", "bytes");
    let declared = sha256_hex(b"something else").to_uppercase();
    gitlab.publish(42, NewFile::from(&odd).declared_sha256(&declared));
    let file = |sha: &str, name: &str| {
        reader(&gitlab).get(&format!(
            "/api/v4/projects/42/packages/pypi/files/{sha}/{name}"
        ))
    };
    file(&declared, &odd.filename).expect(200);
    file(&declared, &odd.filename.replace('+', "%2B")).expect(200);
    assert_eq!(file(&declared.to_lowercase(), &odd.filename).status, 404);

    gitlab.publish(
        42,
        NewFile::from(Artifact::noise("bare", "1", 10)).declared_sha256(""),
    );
    let page = reader(&gitlab).get(&path::project_page(42, "bare")).text();
    assert!(
        page.contains("/files//bare-1-py3-none-any.whl#sha256=\""),
        "{page}"
    );
    assert_eq!(file("", "bare-1-py3-none-any.whl").status, 404);
}
