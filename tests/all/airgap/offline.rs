//! Offline: what is here is served to whoever may have it, what is not is a 404 at once, and nobody
//! is asked anything.
//!
//! Each larder is filled online by real requests, ended, and started again on the same folder with
//! `--offline`, while the upstreams go on listening and count who comes.

use std::sync::Arc;

use bytes::Bytes;
use larder::access::{Access, AuthConfig, Caller, OfflineKeys, OfflineRule};
use larder::index::{
    DatesDependencies, IndexConfig, PageDependencies, PageReply, PageRequest, PageSources, Pages,
    UploadDates,
};
use larder::registry::policy::Policies;
use larder::registry::{Base, Bases, FileRef, PORTABLE_BASE, PrivateNames, Route};
use larder::simple::Format;
use larder::store::{CatalogEntry, Checked, PageMeta, Store};
use larder::upstream::{
    AllowedOrigins, GitLabConfig, ProxyEnvironment, SystemRoots, Transport, TransportConfig,
    Upstream,
};
use larder::values::clock;
use larder::values::digest::Digest;

use crate::common::delivery::{eventually, kept};
use crate::common::mirror::{FORMATS, HTML, JSON, file, get_as, listed, metadata, names, page};
use crate::support::larder::Builder;
use crate::support::{
    Artifact, Client, Distribution, GitLab, Larder, PublicIndex, Reply, StoreListing, Workbench,
    path, python, token,
};

/// The sentence about a file.
pub fn not_held(filename: &str) -> String {
    format!("{filename} is not in the cache, and larder is offline")
}

pub fn detail(reply: &Reply) -> String {
    assert_eq!(
        reply.header("Content-Type"),
        Some("application/problem+json"),
        "{reply:?}"
    );
    reply.json()["detail"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Two upstreams, each with a release that is fetched and one that is not.
pub struct Town {
    pub gitlab: GitLab,
    pub index: PublicIndex,
    pub private: [Artifact; 2],
    pub public: [Artifact; 2],
}

impl Town {
    pub fn new() -> Self {
        let private = ["1.0", "2.0"].map(|version| {
            Distribution::new("acme-app", version)
                .depends_on("left-pad>=1")
                .payload(20_000)
                .wheel()
        });
        let public = ["1.3", "1.4"].map(|version| {
            Distribution::new("left.pad", version)
                .payload(20_000)
                .wheel()
        });
        let (gitlab, index) = (GitLab::start(), PublicIndex::start());
        private.iter().for_each(|wheel| gitlab.publish(42, wheel));
        public.iter().for_each(|wheel| index.publish(wheel.clone()));
        Self {
            gitlab,
            index,
            private,
            public,
        }
    }

    pub fn builder(&self) -> Builder {
        Larder::builder(&self.gitlab)
            .mirror("pypi", &self.index)
            .forward("pypi")
    }

    /// Fetches the older release of each, the pages in `format`, and ends.
    pub fn filled(&self, format: &str) -> Larder {
        let mut larder = self.builder().start();
        let client = larder.client().token(token::READER);
        for page in [
            path::project_page(42, "acme-app"),
            path::group_page(7, "acme-app"),
            page("left-pad"),
        ] {
            get_as(&client, &page, format).expect(200);
        }
        for (path, file) in [
            (path::project_file(42, &self.private[0]), &self.private[0]),
            (file(&self.index, &self.public[0].filename), &self.public[0]),
        ] {
            client.get(&path).expect(200);
            kept(&larder, file);
        }
        // Pages are put away behind the answer.
        let pages = [
            path::project_page(42, "acme-app"),
            path::group_page(7, "acme-app"),
            page("left-pad"),
        ];
        eventually("the pages are stored", || {
            let told = |page: &String| larder.command(&["explain", page]).stdout;
            pages
                .iter()
                .all(|page| !String::from_utf8_lossy(&told(page)).contains("no page"))
        });
        larder.terminate();
        self.forget();
        larder
    }

    /// The same folder again, with nobody to ask.
    pub fn offline(&self, filled: &Larder, sections: &str) -> Larder {
        self.builder()
            .sections(sections)
            .argument("--offline")
            .at_home_of(filled)
            .start()
    }

    fn connections(&self) -> u64 {
        self.gitlab.log().connections_opened() + self.index.log().connections_opened()
    }

    fn forget(&self) {
        self.gitlab.log().clear();
        self.index.log().clear();
    }

    /// Nobody came.
    #[track_caller]
    pub fn assert_left_alone(&self, before: u64) {
        assert_eq!(
            (self.gitlab.log().len(), self.index.log().len()),
            (0, 0),
            "asked"
        );
        assert_eq!(self.connections(), before, "connected");
    }
}

const OPEN: &str = "[auth]\noffline = \"open\"";

#[test]
fn r33_every_route_says_what_is_held_and_asks_nobody() {
    for stored in FORMATS {
        let town = Town::new();
        let filled = town.filled(stored);
        let before = town.connections();
        let larder = town.offline(&filled, OPEN);
        let client = larder.client();
        let [private, private_new] = &town.private;
        let [public, public_new] = &town.public;
        for accept in FORMATS {
            let pages = [
                (
                    path::project_page(42, "acme-app"),
                    vec![(&private.filename, path::project_file(42, private))],
                ),
                (
                    page("left-pad"),
                    vec![(&public.filename, file(&town.index, &public.filename))],
                ),
                // In place, as online; and the group was never asked about a file of its own.
                (
                    path::project_page(42, "left-pad"),
                    vec![(&public.filename, file(&town.index, &public.filename))],
                ),
                (path::group_page(7, "acme-app"), vec![]),
            ];
            for (page, files) in pages {
                let case = format!("{stored} {accept} {page}");
                let reply = get_as(&client, &page, accept);
                let links: Vec<_> = listed(&reply)
                    .into_iter()
                    .map(|link| (link.filename, link.url))
                    .collect();
                let files: Vec<_> = files
                    .into_iter()
                    .map(|(name, url)| (name.clone(), url))
                    .collect();
                assert_eq!(links, files, "{case}");
                assert!(
                    reply
                        .header("Cache-Status")
                        .is_some_and(|status| status.contains("; hit")),
                    "{case}: {reply:?}"
                );
                let head = client.request("HEAD", &page, &[("Accept", accept)]);
                assert_eq!((head.status, head.body.len()), (200, 0), "{case}");
                let etag = reply.header("ETag").expect("a tag");
                let again = client.get_with(&page, &[("Accept", accept), ("If-None-Match", etag)]);
                assert_eq!(again.status, 304, "{case}");
            }
            for (page, why) in [
                (
                    page("acme-app"),
                    "no package acme-app here, and larder is offline",
                ),
                (
                    path::project_page(42, "No.Such"),
                    "no package no-such here, and larder is offline",
                ),
                (
                    path::group_page(8, "acme-app"),
                    "no package acme-app here, and larder is offline",
                ),
                (
                    "/other/simple/left-pad/".to_owned(),
                    "no package left-pad here, and larder is offline",
                ),
                (
                    "/other/simple/".to_owned(),
                    "nothing of other is here, and larder is offline",
                ),
                (
                    path::project_index(43),
                    "nothing of projects/43 is here, and larder is offline",
                ),
            ] {
                let reply = client.get_with(&page, &[("Accept", accept)]);
                reply.expect(404);
                assert_eq!(detail(&reply), why, "{page}");
                assert_eq!(reply.reason, why, "{page}");
                assert_eq!(
                    client.request("HEAD", &page, &[("Accept", accept)]).status,
                    404,
                    "{page}"
                );
            }
            for (index, name, url) in [
                ("/pypi/simple/".to_owned(), "left-pad", page("left-pad")),
                (
                    path::project_index(42),
                    "acme-app",
                    path::project_page(42, "acme-app"),
                ),
            ] {
                let reply = get_as(&client, &index, accept);
                if accept == JSON {
                    assert_eq!(
                        reply.json()["projects"],
                        serde_json::json!([{ "name": name }]),
                        "{index}"
                    );
                } else {
                    let links: Vec<_> = listed(&reply)
                        .into_iter()
                        .map(|link| (link.filename, link.url))
                        .collect();
                    assert_eq!(links, [(name.to_owned(), url)], "{index}");
                }
            }
        }
        for (path, artifact) in [
            (path::project_file(42, private), private),
            (file(&town.index, &public.filename), public),
        ] {
            assert_eq!(client.get(&path).expect(200), &artifact.bytes[..], "{path}");
            assert_eq!(
                client.head(&path).header("Content-Length"),
                Some(&*artifact.bytes.len().to_string())
            );
            assert_eq!(
                client.get_range(&path, "bytes=100-199").expect(206),
                &artifact.bytes[100..200]
            );
            assert_eq!(
                client
                    .get_if_none_match(&path, &format!("\"{}\"", artifact.sha256))
                    .status,
                304
            );
            assert_eq!(client.get_range(&path, "bytes=9999999-").status, 416);
            let core_metadata = client.get(&format!("{path}.metadata"));
            assert!(
                core_metadata.expect(200).starts_with(b"Metadata-Version"),
                "{path}"
            );
        }
        for (path, filename) in [
            (
                path::project_file(42, private_new),
                private_new.filename.clone(),
            ),
            (
                file(&town.index, &public_new.filename),
                public_new.filename.clone(),
            ),
            (
                metadata(&town.index, &public_new.filename),
                format!("{}.metadata", public_new.filename),
            ),
            (
                format!("{}.metadata", path::project_file(42, private_new)),
                format!("{}.metadata", private_new.filename),
            ),
            (
                "/pypi/packages/zz/nowhere-1.0.tar.gz".to_owned(),
                "nowhere-1.0.tar.gz".to_owned(),
            ),
            (
                "/other/packages/zz/nowhere-1.0.tar.gz".to_owned(),
                "nowhere-1.0.tar.gz".to_owned(),
            ),
            // The same bytes at an address that never yielded them.
            (path::group_file(7, private), private.filename.clone()),
        ] {
            for reply in [client.get(&path), client.get_range(&path, "bytes=0-9")] {
                reply.expect(404);
                assert_eq!(detail(&reply), not_held(&filename), "{path}");
            }
            let head = client.head(&path);
            assert_eq!(
                (head.status, head.reason),
                (404, not_held(&filename)),
                "{path}"
            );
        }
        let refused = client.post(
            &path::upload(42),
            "multipart/form-data; boundary=x",
            &vec![b'x'; 1 << 20],
        );
        refused.expect(403);
        assert_eq!(
            detail(&refused),
            "larder is offline: nothing can be published"
        );
        town.assert_left_alone(before);
    }
}

#[test]
fn it_says_everywhere_that_it_is_offline() {
    let town = Town::new();
    let filled = town.filled(JSON);
    let larder = town.offline(&filled, OPEN);
    assert!(larder.log().contains("offline=true"), "{}", larder.log());
    assert_eq!(
        larder.client().get("/-/health/ready").expect(200),
        b"ok, offline\n"
    );
    assert_eq!(larder.metric("larder_offline"), Some(1.0));
    for (address, held) in [
        (page("left-pad"), true),
        (file(&town.index, &town.public[0].filename), true),
        (metadata(&town.index, &town.public[0].filename), true),
        (path::project_file(42, &town.private[0]), true),
        (page("no-such"), false),
        (file(&town.index, &town.public[1].filename), false),
        (path::project_file(42, &town.private[1]), false),
        (path::upload(42), false),
    ] {
        let told = larder.command(&["explain", "--offline", &address]);
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        assert_eq!(
            told.status.code(),
            Some(i32::from(!held)),
            "{address}: {text}"
        );
        assert!(
            text.contains("offline = true") && !text.contains("asks "),
            "{text}"
        );
        let word = if held { "yes: held" } else { "offline (40" };
        assert!(text.contains(word), "{address}: {text}");
    }
}

#[test]
fn what_is_damaged_is_cut_and_then_not_held() {
    let town = Town::new();
    let filled = town.filled(JSON);
    let wheel = &town.public[0];
    let listing = StoreListing::of(&filled.cache_dir());
    let place = &listing.blob(&wheel.sha256).expect("it is stored").path;
    let mut bytes = std::fs::read(place).expect("a blob");
    bytes[50] ^= 1;
    std::fs::write(place, bytes).expect("a blob");
    let larder = town.offline(&filled, "");
    let client = larder.client();
    assert_eq!(
        names(&get_as(&client, &page("left-pad"), JSON)),
        std::slice::from_ref(&wheel.filename)
    );
    let path = file(&town.index, &wheel.filename);
    let first = client.get(&path);
    assert!(first.status == 404 || !first.is_complete(), "{first:?}");
    let reply = client.get(&path);
    reply.expect(404);
    assert_eq!(detail(&reply), not_held(&wheel.filename));
    assert!(
        names(&get_as(&client, &page("left-pad"), JSON)).is_empty(),
        "it is off the page"
    );
}

#[test]
fn a_rule_on_mirrors_holds_offline() {
    let town = Town::new();
    let filled = town.filled(JSON);
    let builder =
        Larder::builder(&town.gitlab).mirror_with("pypi", &town.index, "min_age = \"36500d\"");
    let larder = builder
        .sections(OPEN)
        .argument("--offline")
        .at_home_of(&filled)
        .start();
    let client = larder.client();
    assert!(names(&get_as(&client, &page("left-pad"), JSON)).is_empty());
    client
        .get(&file(&town.index, &town.public[0].filename))
        .expect(403);
    drop(larder);
    let builder = town
        .builder()
        .private_names(&["left-*"])
        .sections(OPEN)
        .argument("--offline");
    let larder = builder.at_home_of(&filled).start();
    for path in [
        page("left-pad"),
        path::project_page(42, "left-pad"),
        file(&town.index, &town.public[0].filename),
    ] {
        let reply = larder.client().get(&path);
        reply.expect(404);
        assert!(
            detail(&reply).contains("private_packages"),
            "{path}: {reply:?}"
        );
    }
    larder
        .client()
        .get(&path::project_page(42, "acme-app"))
        .expect(200);
}

/// Puts bytes at an address, as an import does.
fn carry_file(store: &Store, address: &str, artifact: &Artifact) {
    let sha256 = Digest::parse(&artifact.sha256).expect("a digest");
    let file = match Route::from_path(address) {
        Ok(Route::File(file)) => file,
        Ok(Route::Mirrored(path)) => FileRef::mirrored(&path, sha256),
        other => panic!("{other:?}"),
    };
    let bytes = artifact.bytes.len() as u64;
    let mut spool = store.spool(clock::now()).expect("a spool");
    spool
        .write(std::slice::from_ref(&artifact.bytes))
        .expect("room");
    let Checked::Whole(whole) = spool.check(sha256) else {
        panic!("a wrong digest")
    };
    let room = store.blobs.reserve(bytes).expect("room");
    let entry = CatalogEntry {
        size: bytes,
        ..CatalogEntry::default()
    };
    whole
        .seal(&store.blobs, room, || store.catalog.record(&file, entry))
        .expect("a disk");
}

/// Puts a page that lists these files by their addresses, and some that are not here.
fn carry_page(
    runtime: &tokio::runtime::Runtime,
    store: &Store,
    page: &str,
    files: &[(&str, &Artifact)],
) {
    let route = Route::from_path(page).expect("a page");
    let mut links: Vec<_> = files
        .iter()
        .map(|(address, file)| {
            let hashes = serde_json::json!({ "sha256": file.sha256 });
            serde_json::json!({ "filename": file.filename, "url": address, "hashes": hashes, "size": file.bytes.len() })
        })
        .collect();
    links.extend(["/pypi/absent-1.0.tar.gz", "https://files.example/absent-1.0.tar.gz"].map(|url| {
        serde_json::json!({ "filename": "absent-1.0.tar.gz", "url": url, "hashes": { "sha256": "0".repeat(64) } })
    }));
    let name = route.path().rsplit('/').nth(1).map(str::to_owned);
    let body =
        serde_json::json!({ "meta": { "api-version": "1.1" }, "name": name, "files": links });
    let meta = PageMeta {
        etag: None,
        last_modified: None,
        url: PORTABLE_BASE.to_owned(),
    };
    let shelved = store.pages.store(
        &route,
        Format::Json,
        meta,
        Bytes::from(body.to_string()),
        std::time::SystemTime::now(),
    );
    runtime.block_on(shelved).expect("a disk");
}

/// A folder into which things were carried, and nothing was ever fetched.
fn carried(things: &[(&str, &str, &Artifact)]) -> (GitLab, Larder) {
    let gitlab = GitLab::start();
    let mut larder = Larder::start(&gitlab);
    larder.terminate();
    let store = Store::open(&larder.cache_dir(), 1 << 30).expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for (page, address, artifact) in things {
        carry_file(&store, address, artifact);
        carry_page(&runtime, &store, page, &[(address, artifact)]);
    }
    (gitlab, larder)
}

/// What is carried here, or taken away, while it runs.
#[test]
fn a_page_follows_the_store() {
    let home = tempfile::tempdir().expect("a folder");
    let store = Store::open(home.path(), 1 << 30).expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bases = Bases::new(
        Base::parse("https://gitlab.example").expect("a base"),
        Vec::new(),
    );
    let stores = AllowedOrigins::parse(&[]).expect("no origin");
    let via = http::HeaderValue::from_static("1.1 larder-test");
    let environment = ProxyEnvironment::default();
    let roots = SystemRoots::default();
    let direct = Transport::open(&TransportConfig::UNUSED, None, &environment, &roots);
    let direct = direct.expect("no files");
    let upstream = Upstream::new(
        &GitLabConfig::default(),
        &direct,
        bases.clone(),
        stores,
        via,
        false,
    );
    let upstream = upstream.expect("a client");
    let access = Access::offline(&AuthConfig::default(), OfflineKeys::new(OfflineRule::Deny));
    let upstream = Arc::new(upstream.offline(true));
    let access = Arc::new(access);
    let dates = DatesDependencies {
        upstream: Arc::clone(&upstream),
        access: Arc::clone(&access),
        store: Arc::clone(&store.dates),
        token: None,
        asks: false,
        by_file: false,
        counts: Arc::default(),
    };
    let dependencies = PageDependencies {
        upstream,
        access,
        page_store: store.pages.clone(),
        metadata_index: Arc::clone(&store.metadata_index),
        learned: Arc::clone(&store.learned),
        prefetch: 0,
        changes: Arc::default(),
        dates: UploadDates::new(&IndexConfig::default(), dates),
        policy_counts: Arc::default(),
        page_counts: Arc::default(),
        view_counts: Arc::default(),
        held: Some(store.holdings()),
    };
    let private = PrivateNames::parse(&[]).expect("none");
    let pages = Pages::new(
        IndexConfig::default(),
        PageSources::new(bases, [], private, Policies::default(), ""),
        dependencies,
    );
    let lists = |address: &str| -> Vec<String> {
        let Ok(Route::Page(page)) = Route::from_path(address) else {
            panic!("a page")
        };
        let request = PageRequest {
            caller: Caller::anonymous(),
            page,
            format: Format::Html,
            insists: false,
            ahead: false,
        };
        match runtime.block_on(pages.page(&request, clock::now())) {
            Ok(PageReply::Page { page, .. }) => {
                let text = String::from_utf8_lossy(&page.forms().choose([]).body).into_owned();
                let links = text
                    .split("</a>")
                    .filter_map(|link| link.rsplit_once('>'))
                    .map(|(_, name)| name.to_owned());
                links.filter(|name| !name.trim().is_empty()).collect()
            }
            Ok(_) => panic!("no page"),
            Err(why) => vec![why.to_string()],
        }
    };
    let [old, new] = ["1.0", "1.1"].map(|version| Distribution::new("pad", version).wheel());
    let [at_old, at_new] = [&old, &new].map(|file| format!("/pypi/packages/aa/{}", file.filename));
    let both = [(&*at_old, &old), (&*at_new, &new)];
    assert_eq!(
        lists("/pypi/simple/pad/"),
        ["no package pad here, and larder is offline"]
    );
    assert_eq!(
        lists("/pypi/simple/"),
        ["nothing of pypi is here, and larder is offline"]
    );
    carry_file(&store, &at_old, &old);
    carry_page(&runtime, &store, "/pypi/simple/pad/", &both);
    assert_eq!(lists("/pypi/simple/pad/"), [&*old.filename]);
    assert_eq!(lists("/pypi/simple/"), ["pad"]);
    carry_file(&store, &at_new, &new);
    assert_eq!(lists("/pypi/simple/pad/"), [&*old.filename, &*new.filename]);
    carry_page(&runtime, &store, "/pypi/simple/pad/", &both[1..]);
    assert_eq!(lists("/pypi/simple/pad/"), [&*new.filename]);
}

/// GitLab answers both with the same bytes.
#[test]
fn a_page_asked_for_by_number_and_by_path_outlives_a_change_of_either() {
    let gitlab = GitLab::start();
    let [old, new] = ["1.0", "2.0"].map(|version| Distribution::new("wrench", version).wheel());
    gitlab.publish(42, &old);
    let by_number = path::project_page(42, "wrench");
    let by_path = by_number.replace("42", "acme%2Fwidgets");
    let larder = Larder::start(&gitlab);
    let told = |larder: &Larder, page: &str| {
        String::from_utf8_lossy(&larder.command(&["explain", page]).stdout).into_owned()
    };
    let client = larder.client().token(token::READER);
    assert_eq!(
        client.get(&by_number).expect(200),
        client.get(&by_path).expect(200),
        "one body"
    );
    client.get(&path::project_file(42, &old)).expect(200);
    kept(&larder, &old);
    eventually("both are stored", || {
        [&by_number, &by_path]
            .iter()
            .all(|page| !told(&larder, page).contains("no page"))
    });

    gitlab.publish(42, &new);
    let mut larder = larder.restart();
    let before = told(&larder, &by_number);
    let page = larder.client().token(token::READER).get(&by_number);
    assert!(page.text().contains(&new.filename), "{page:?}");
    let stored = |text: &str| {
        text.lines()
            .find(|line| line.contains("as upstream sent it"))
            .map(str::to_owned)
    };
    eventually("the change is stored", || {
        stored(&told(&larder, &by_number)) != stored(&before)
    });
    larder.terminate();

    let larder = Larder::builder(&gitlab)
        .sections(OPEN)
        .argument("--offline")
        .at_home_of(&larder)
        .start();
    for page in [&by_number, &by_path] {
        let reply = larder.client().get(page);
        assert!(
            reply.status == 200 && reply.text().contains(&old.filename),
            "{page}: {reply:?}"
        );
    }
}

#[test]
fn what_was_carried_here_is_served_with_no_mirror_configured() {
    let public = Distribution::new("left.pad", "1.3").payload(20_000).wheel();
    let local = Distribution::new("torch", "1.0+cu118").wheel();
    let private = Distribution::new("acme-app", "1.0")
        .depends_on("left-pad")
        .wheel();
    let (at_public, at_local) = (
        format!("/pypi/packages/aa/bb/{}", public.filename),
        "/pypi/whl/torch-1.0%2Bcu118-py3-none-any.whl",
    );
    let at_private = path::project_file(42, &private);
    let acme = path::project_page(42, "acme-app");
    let (gitlab, filled) = carried(&[
        ("/pypi/simple/left-pad/", &at_public, &public),
        ("/pypi/simple/torch/", at_local, &local),
        (&acme, &at_private, &private),
    ]);
    gitlab.log().clear();
    let before = gitlab.log().connections_opened();
    let larder = Larder::builder(&gitlab)
        .forward("deny")
        .sections(OPEN)
        .argument("--offline")
        .at_home_of(&filled)
        .start();
    let client = larder.client();
    for accept in FORMATS {
        for (page, url, artifact) in [
            ("/pypi/simple/left-pad/", &*at_public, &public),
            ("/pypi/simple/torch/", at_local, &local),
            (&*acme, &*at_private, &private),
        ] {
            let links = listed(&get_as(&client, page, accept));
            let links: Vec<_> = links
                .iter()
                .map(|link| (&*link.filename, &*link.url))
                .collect();
            assert_eq!(links, [(&*artifact.filename, url)], "{accept}");
            assert_eq!(client.get(url).expect(200), &artifact.bytes[..]);
            assert!(
                client
                    .get(&format!("{url}.metadata"))
                    .expect(200)
                    .starts_with(b"Metadata-Version")
            );
            // Known by now, it is advertised as any other.
            eventually("metadata is advertised", || {
                listed(&get_as(&client, page, accept))
                    .iter()
                    .all(|link| link.metadata.is_some())
            });
        }
        let index = get_as(&client, "/pypi/simple/", accept).text();
        assert!(
            index.contains("left-pad") && index.contains("torch") && !index.contains("acme-app"),
            "{index}"
        );
    }
    // A client spells it anew.
    client
        .get("/pypi/whl/torch-1.0+cu118-py3-none-any.whl")
        .expect(200);
    assert_eq!(
        (gitlab.log().len(), gitlab.log().connections_opened()),
        (0, before)
    );
}

#[test]
fn clients_install_offline_and_say_why_they_cannot() {
    let town = Town::new();
    let filled = town.filled(JSON);
    let before = town.connections();
    let larder = town.offline(&filled, OPEN);
    let index = format!("{}/api/v4/projects/42/packages/pypi/simple/", larder.url());
    let interpreter = python::program("python").to_string_lossy().into_owned();
    let user = || Workbench::new().environment("COLUMNS", "300");

    let by_pip = user();
    let arguments = [
        "install",
        "--no-compile",
        "--target",
        "site",
        "--index-url",
        &index,
        "acme-app",
    ];
    by_pip.pip(&arguments).expect_success();
    let by_uv = user();
    let arguments = [
        "pip",
        "install",
        "--python",
        &interpreter,
        "--target",
        "site",
        "--default-index",
        &index,
        "acme-app",
    ];
    by_uv.uv(&arguments).expect_success();
    for user in [&by_pip, &by_uv] {
        for name in ["acme_app-1.0.dist-info", "left_pad-1.3.dist-info"] {
            assert!(user.folder().join("site").join(name).is_dir(), "{name}");
        }
    }

    let absent = &town.private[1];
    let link = format!("{}{}", larder.url(), path::project_file(42, absent));
    let pip = user().pip(&["install", "--no-deps", "--target", "site", &link]);
    assert!(
        !pip.succeeded() && pip.stderr.contains(&not_held(&absent.filename)),
        "{}",
        pip.stderr
    );
    let arguments = [
        "pip",
        "install",
        "--no-deps",
        "--python",
        &interpreter,
        "--target",
        "site",
        &link,
    ];
    let uv = user().uv(&arguments);
    assert!(
        !uv.succeeded() && uv.stderr.contains(&not_held(&absent.filename)),
        "{}",
        uv.stderr
    );
    let pip = user().pip(&[
        "install",
        "-vv",
        "--target",
        "site",
        "--index-url",
        &index,
        "no-such",
    ]);
    let why = "no package no-such here, and larder is offline";
    assert!(
        !pip.succeeded() && (pip.stdout.clone() + &pip.stderr).contains(why),
        "{pip:?}"
    );

    // Once, and not again and again.
    let sdist = Distribution::new("acme-app", "3.0").sdist();
    let bench = user();
    bench.write(&sdist.filename, &sdist.bytes);
    let address = format!("{}{}", larder.url(), path::upload(42));
    let arguments = [
        "upload",
        "--non-interactive",
        "-u",
        "x",
        "-p",
        "y",
        "--repository-url",
        &address,
        &sdist.filename,
    ];
    let twine = bench.twine(&arguments);
    let said = twine.stdout + &twine.stderr;
    assert!(
        said.contains("larder is offline: nothing can be published"),
        "{said}"
    );
    larder.wait_for_log("method=POST");
    assert_eq!(larder.log().matches("method=POST").count(), 1, "{said}");
    town.assert_left_alone(before);
}

/// What the kernel saw, where it can be asked; that the upstreams saw nobody is checked everywhere.
#[test]
fn r33_not_one_connection_is_opened() {
    let probe = std::process::Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no strace, or it may not trace");
        return;
    }
    let town = Town::new();
    let filled = town.filled(HTML);
    let (trace, script) = (filled.home().join("trace"), filled.home().join("traced"));
    // Beside it and not above it, so that the process that is ended is larder.
    let line = format!(
        "#!/bin/sh\nexec strace -D -f -e trace=connect,socket -o '{}' '{}' \"$@\"\n",
        trace.display(),
        crate::support::larder::binary().display()
    );
    std::fs::write(&script, line).expect("a folder");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("a script");
    let builder = town
        .builder()
        .binary(&script)
        .sections(OPEN)
        .argument("--offline")
        .at_home_of(&filled);
    let mut larder = builder.start();
    let client = larder.client();
    walk(&client, &town);
    larder.terminate();
    eventually("the trace is written", || {
        std::fs::read_to_string(&trace).is_ok_and(|text| text.contains("exited with"))
    });
    let trace = std::fs::read_to_string(&trace).expect("a trace");
    let sockets = trace.lines().filter(|line| line.contains("socket(AF_INET"));
    assert_eq!(sockets.count(), 1, "the one that listens:\n{trace}");
    let connects: Vec<_> = trace
        .lines()
        .filter(|line| line.contains("connect(") && !line.contains("AF_UNIX"))
        .collect();
    assert!(connects.is_empty(), "{connects:?}");
}

/// Everything that would have asked somebody.
fn walk(client: &Client, town: &Town) {
    for accept in FORMATS {
        for page in [
            page("left-pad"),
            page("no-such"),
            path::group_page(7, "acme-app"),
            path::project_index(42),
        ] {
            client.get_with(&page, &[("Accept", accept), ("Cache-Control", "no-cache")]);
        }
    }
    for wheel in &town.public {
        client.get(&file(&town.index, &wheel.filename));
        client.get(&metadata(&town.index, &wheel.filename));
    }
    for wheel in &town.private {
        client.head(&path::project_file(42, wheel));
        client.get_range(&path::project_file(42, wheel), "bytes=-10");
        client.get(&format!("{}.metadata", path::project_file(42, wheel)));
    }
    client.post(&path::upload(42), "multipart/form-data; boundary=x", b"x");
    client.get("/-/health/ready").expect(200);
}
