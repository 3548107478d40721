//! Pages on a real disk: whose body is whose, how old each is, and what is left of one that was
//! taken back.

use super::*;

type Checked = Result<(), Box<dyn std::error::Error>>;

fn page_store(dir: &tempfile::TempDir) -> Result<PageStore, StoreError> {
    let layout = Layout::make(dir.path())?;
    Ok(PageStore::new(Folder::new(layout, 1 << 20)))
}

fn meta() -> PageMeta {
    PageMeta {
        etag: None,
        last_modified: None,
        url: "https://gitlab.example/".to_owned(),
    }
}

#[tokio::test]
async fn two_lines_with_one_body_lose_nothing_when_one_of_them_changes() -> Checked {
    let dir = tempfile::tempdir()?;
    let page_store = page_store(&dir)?;
    let names = ["42", "acme%2Fapp", "7"];
    let route =
        |name: &str| Route::from_path(&format!("/api/v4/projects/{name}/packages/pypi/simple/a/"));
    let body = Bytes::from_static(b"{\"the same\": 1}");
    for name in names {
        page_store
            .store(
                &route(name)?,
                Format::Json,
                meta(),
                body.clone(),
                clock::wall(),
            )
            .await?;
    }
    // Again: it stays where it is.
    let taken = page_store.folder.ledger.taken();
    page_store
        .store(
            &route("42")?,
            Format::Json,
            meta(),
            body.clone(),
            clock::wall(),
        )
        .await?;
    assert_eq!(
        (taken, page_store.folder.ledger.taken()),
        (3 * 15 + 3, 3 * 15 + 3)
    );
    for (changed, name) in names.iter().enumerate() {
        for (other, name) in names.iter().enumerate() {
            let (_, found) = page_store
                .load(&route(name)?, Format::Json)
                .await?
                .ok_or("a page")?;
            assert_eq!(
                &found[..],
                if other < changed { b"new" } else { &body[..] },
                "{name}"
            );
        }
        page_store
            .store(
                &route(name)?,
                Format::Json,
                meta(),
                Bytes::from_static(b"new"),
                clock::wall(),
            )
            .await?;
    }
    // "new", "new\n" and "new\n\n": what was replaced is gone.
    assert_eq!(page_store.folder.ledger.taken(), 3 + 4 + 5);
    Ok(())
}

#[tokio::test]
async fn a_body_that_others_may_refer_to_stays_and_one_that_was_evicted_is_not_missed() -> Checked {
    let dir = tempfile::tempdir()?;
    let page_store = page_store(&dir)?;
    let route = Route::from_path("/pypi/simple/a/")?;
    let [old, new, third] = [b"old".as_slice(), b"new", b"third"].map(Bytes::from_static);
    let integrity = cacache::write_hash_sync(dir.path(), &old)?;
    // As an earlier version wrote it.
    let line = cacache::WriteOpts::new()
        .integrity(integrity)
        .metadata(serde_json::json!(meta()));
    cacache::index::insert(dir.path(), &key(&route, Format::Html), line)?;
    assert_eq!(
        page_store.load(&route, Format::Html).await?,
        Some((meta(), old.clone()))
    );
    page_store
        .store(&route, Format::Html, meta(), new.clone(), clock::wall())
        .await?;
    assert!(page_store.folder.layout.blob(Digest::of(&old)).exists());
    fs::remove_file(page_store.folder.layout.blob(Digest::of(&new)))?;
    page_store
        .store(&route, Format::Html, meta(), third.clone(), clock::wall())
        .await?;
    assert_eq!(
        page_store.load(&route, Format::Html).await?,
        Some((meta(), third.clone()))
    );
    page_store
        .store_to_last(&route, Format::Html, meta(), new.clone(), clock::wall())
        .await?;
    assert_eq!(
        page_store.load(&route, Format::Html).await?,
        Some((meta(), new))
    );
    assert!(
        page_store.folder.layout.blob(Digest::of(&third)).exists(),
        "a power loss may bring it back"
    );
    Ok(())
}

fn ago(seconds: u64) -> SystemTime {
    // As the index has it: in milliseconds.
    let now = u64::try_from(since_epoch(clock::wall()).as_millis()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_millis(now - 1_000 * seconds)
}

#[tokio::test]
async fn a_page_is_confirmed_when_it_was_stored_or_later_and_the_index_does_not_grow_by_it()
-> Checked {
    let dir = tempfile::tempdir()?;
    let page_store = page_store(&dir)?;
    let route = Route::from_path("/pypi/simple/a/")?;
    let body = Bytes::from_static(b"{}");
    let tagged = PageMeta {
        etag: Some("\"1\"".to_owned()),
        ..meta()
    };
    assert_eq!(page_store.last_confirmed(&route, Format::Json).await?, None);
    let decade = ago(10 * 365 * 24 * 3600);
    page_store
        .store(&route, Format::Json, tagged.clone(), body.clone(), decade)
        .await?;
    assert_eq!(
        page_store.last_confirmed(&route, Format::Json).await?,
        Some(decade),
        "not when it came here"
    );
    let index = || -> Result<u64, StoreError> {
        let mut bytes = 0;
        crate::store::index_file::every_line(&page_store.folder.layout, |file| {
            bytes += file.bytes;
            Ok::<_, StoreError>(())
        })?;
        Ok(bytes)
    };
    let bytes = index()?;
    let hour = ago(3600);
    let whole = SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch(hour).as_secs());
    let other = (Some("\"2\"".to_owned()), None);
    page_store
        .confirm(&route, Format::Json, other, hour)
        .await?;
    assert_eq!(
        page_store.last_confirmed(&route, Format::Json).await?,
        Some(decade),
        "that was another page"
    );
    page_store
        .confirm(&route, Format::Json, (tagged.etag.clone(), None), hour)
        .await?;
    assert_eq!(
        page_store.last_confirmed(&route, Format::Json).await?,
        Some(whole)
    );
    let minute = ago(60);
    page_store
        .store(&route, Format::Json, tagged.clone(), body.clone(), minute)
        .await?;
    let noted = page_store
        .last_confirmed(&route, Format::Json)
        .await?
        .ok_or("a time")?;
    assert!(noted > whole && noted <= minute, "the same page again");
    assert_eq!(index()?, bytes);
    // As a copy of the folder has it.
    let copied = File::open(page_store.folder.layout.blob(Digest::of(&body)))?;
    copied
        .set_modified(SystemTime::UNIX_EPOCH + Duration::from_nanos(1_900_000_000_123_456_789))?;
    assert_eq!(
        page_store.last_confirmed(&route, Format::Json).await?,
        Some(decade)
    );
    let to_come = ago(0) + Duration::from_secs(3600);
    page_store
        .store(
            &route,
            Format::Json,
            tagged,
            Bytes::from_static(b"{ }"),
            to_come,
        )
        .await?;
    assert_eq!(
        page_store.last_confirmed(&route, Format::Json).await?,
        Some(to_come),
        "for others to disbelieve"
    );
    Ok(())
}

#[tokio::test]
async fn a_page_that_was_taken_back_is_gone_in_every_format_and_known_to_be() -> Checked {
    let dir = tempfile::tempdir()?;
    let page_store = page_store(&dir)?;
    let route = Route::from_path("/pypi/simple/a/")?;
    assert!(!page_store.withdraw(&route, false).await? && !page_store.is_withdrawn(&route).await?);
    for format in [Format::Html, Format::Json] {
        page_store
            .store(
                &route,
                format,
                meta(),
                Bytes::from(word_of(format)),
                clock::wall(),
            )
            .await?;
    }
    assert!(page_store.withdraw(&route, false).await? && page_store.is_withdrawn(&route).await?);
    assert!(!page_store.withdraw(&route, false).await?, "written once");
    for format in [Format::Html, Format::Json] {
        assert_eq!(page_store.load(&route, format).await?, None);
        assert_eq!(page_store.last_confirmed(&route, format).await?, None);
        assert!(
            !page_store
                .folder
                .layout
                .blob(Digest::of(word_of(format).as_bytes()))
                .exists()
        );
    }
    assert_eq!(
        (
            page_store.formats(&route).await?,
            page_store.folder.ledger.taken()
        ),
        (vec![], 0)
    );
    page_store
        .store(
            &route,
            Format::Html,
            meta(),
            Bytes::from_static(b"again"),
            clock::wall(),
        )
        .await?;
    assert!(!page_store.is_withdrawn(&route).await?);
    assert_eq!(page_store.formats(&route).await?, [Format::Html]);
    let passed_by = Route::from_path("/pypi/simple/large/")?;
    assert!(
        page_store.withdraw(&passed_by, true).await? && page_store.is_withdrawn(&passed_by).await?
    );
    Ok(())
}

#[tokio::test]
async fn a_body_that_a_power_cut_emptied_is_no_page_and_no_damage() -> Checked {
    let dir = tempfile::tempdir()?;
    let page_store = page_store(&dir)?;
    let route = Route::from_path("/pypi/simple/a/")?;
    let body = Bytes::from_static(b"body");
    let other = Bytes::from_static(b"other");
    page_store
        .store(&route, Format::Html, meta(), body.clone(), clock::wall())
        .await?;
    page_store
        .store(&route, Format::Json, meta(), other.clone(), clock::wall())
        .await?;
    fs::write(page_store.folder.layout.blob(Digest::of(&body)), b"")?;
    fs::write(page_store.folder.layout.blob(Digest::of(&other)), b"0ther")?;
    assert_eq!(page_store.load(&route, Format::Html).await?, None);
    assert!(
        page_store.load(&route, Format::Json).await.is_err(),
        "that is damage"
    );
    let read = page_store
        .folder
        .health
        .read(&page_store.folder.ledger, clock::now());
    assert_eq!((read.emptied, read.quarantined), (1, 0));
    page_store
        .store(&route, Format::Html, meta(), body.clone(), clock::wall())
        .await?;
    assert_eq!(
        page_store.load(&route, Format::Html).await?,
        Some((meta(), body))
    );
    Ok(())
}

#[tokio::test]
async fn a_page_that_was_ended_while_it_was_on_its_way_is_not_stored() -> Checked {
    let dir = tempfile::tempdir()?;
    let page_store = page_store(&dir)?;
    let route = Route::from_path("/api/v4/projects/42/packages/pypi/simple/a/")?;
    let body = Bytes::from_static(b"{}");
    let second = Duration::from_secs(1);
    for (asked, format, is_stored) in [
        (clock::wall() - second, Format::Html, false),
        (clock::wall() - second, Format::Json, true),
        (clock::wall() + second, Format::Html, true),
    ] {
        page_store.end(&route, Format::Html)?;
        let body = body.clone();
        page_store
            .store(&route, format, meta(), body, asked)
            .await?;
        let stored = page_store.load(&route, format).await?;
        assert_eq!(stored.is_some(), is_stored, "{format:?}");
    }
    Ok(())
}
