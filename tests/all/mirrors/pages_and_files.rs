//! Mirrors: pages whose links lead here and back by a swap of prefixes, and files that the pages
//! vouch for.

use crate::common::delivery::{kept, right};
use crate::common::mirror::{
    FORMATS, HTML, JSON, NEVER_FRESH, file, get_as, larder, listed, names, page,
};
use crate::support::{
    Act, Answer, Artifact, Distribution, Formats, GitLab, Hashes, Kind, Larder, Links, Offer,
    ProjectStatus, PublicIndex, Reply, Site, StoreListing, token,
};

/// A wheel and a source distribution of one project.
fn both() -> [Artifact; 2] {
    let project = Distribution::new("Some.Lib", "1.2")
        .requires_python(">=3.8")
        .payload(100_000);
    [project.wheel(), project.sdist()]
}

fn index(links: Links, formats: Formats) -> PublicIndex {
    let [wheel, sdist] = both();
    PublicIndex::builder()
        .offering(wheel)
        .offering(sdist)
        .set(|settings| (settings.links, settings.formats) = (links, formats))
        .start()
}

fn stored(larder: &Larder, artifact: &Artifact) -> bool {
    StoreListing::of(&larder.cache_dir()).holds(&artifact.sha256)
}

fn assert_withheld(reply: &Reply, status: u16, case: &str) {
    assert_eq!(reply.status, status, "{case}: {reply:?}");
    assert!(reply.is_complete(), "{case}: {reply:?}");
    let told = reply.header("Cache-Status").unwrap_or_default();
    assert_eq!(told, "larder; detail=denied", "{case}: {reply:?}");
}

#[test]
fn links_of_every_shape_lead_to_larder_and_back_by_a_swap_of_prefixes() {
    let gitlab = GitLab::start();
    for links in [
        Links::Absolute,
        Links::Relative,
        Links::RootRelative,
        Links::Beside,
    ] {
        for formats in [Formats::Html, Formats::Json, Formats::Both] {
            let index = index(links, formats);
            let larder = larder(&gitlab, &index, "");
            for accept in FORMATS {
                let case = format!("{links:?} {formats:?} {accept}");
                let shown = listed(&get_as(&larder.client(), &page("some-lib"), accept));
                assert_eq!(shown.len(), 2, "{case}");
                for (link, artifact) in shown.iter().zip(both()) {
                    assert_eq!(link.filename, artifact.filename, "{case}");
                    assert_eq!(link.url, file(&index, &artifact.filename), "{case}");
                    assert_eq!(
                        larder.client().get(&link.url).expect(200),
                        &artifact.bytes[..],
                        "{case}"
                    );
                    kept(&larder, &artifact);
                    // As a tool does that turns a lock file's addresses into those of the index
                    // itself.
                    let swapped = link.url.replacen("/pypi/", &index.files_prefix(), 1);
                    let original = swapped.strip_prefix(index.files_origin());
                    let original = original.or_else(|| swapped.strip_prefix(index.origin()));
                    let door = if links == Links::Absolute {
                        index.files_address()
                    } else {
                        index.address()
                    };
                    let direct =
                        crate::support::Client::new(door).get(original.expect("an origin of its"));
                    assert_eq!(direct.expect(200), &artifact.bytes[..], "{case}");
                }
            }
            assert_eq!(larder.client().get(&page("nowhere")).status, 404);
            index.log().assert_nothing_unexpected();
        }
    }
    assert!(gitlab.log().is_empty(), "GitLab has no part in it");
}

#[test]
fn files_of_a_further_prefix_lie_below_a_place_of_their_own() {
    let (gitlab, index) = (GitLab::start(), index(Links::Relative, Formats::Both));
    let sections = format!(
        "[mirrors.pypi]\nurl = {:?}\nfile_urls = [\"{}/\", \"{}/\"]",
        index.url(),
        index.files_origin(),
        index.origin()
    );
    let larder = Larder::builder(&gitlab).sections(&sections).start();
    for accept in FORMATS {
        for (link, artifact) in listed(&get_as(&larder.client(), &page("some-lib"), accept))
            .iter()
            .zip(both())
        {
            let origin = index.address().to_string().replace(':', "~");
            let place = format!("/pypi/~{origin}/{}", index.file_path(&artifact.filename));
            assert_eq!(link.url, place, "{accept}");
            assert_eq!(larder.client().get(&place).expect(200), &artifact.bytes[..]);
            // pip spells every path anew.
            let escaped = place.replace('~', "%7E").replace('+', "%2B");
            assert_eq!(
                larder.client().get(&escaped).expect(200),
                &artifact.bytes[..],
                "{accept}"
            );
        }
    }
    index.log().assert_nothing_unexpected();
}

#[test]
fn links_to_places_that_nobody_configured_stay_as_they_are() {
    let (gitlab, index) = (GitLab::start(), index(Links::Absolute, Formats::Both));
    let sections = format!("[mirrors.pypi]\nurl = {:?}", index.url());
    let larder = Larder::builder(&gitlab).sections(&sections).start();
    for accept in FORMATS {
        for link in listed(&get_as(&larder.client(), &page("some-lib"), accept)) {
            assert!(
                link.url.starts_with(index.files_origin()),
                "{accept}: {link:?}"
            );
        }
    }
    larder.wait_for_log("mirrors.pypi.file_urls");
}

#[test]
fn the_list_of_projects_leads_to_pages_here() {
    let gitlab = GitLab::start();
    for formats in [Formats::Html, Formats::Json, Formats::Both] {
        let index = index(Links::Absolute, formats);
        let larder = larder(&gitlab, &index, "");
        let html = get_as(&larder.client(), "/pypi/simple/", HTML);
        html.expect(200);
        assert!(
            html.text().contains("href=\"/pypi/simple/some-lib/\""),
            "{formats:?}: {html:?}"
        );
        let json = get_as(&larder.client(), "/pypi/simple/", JSON).json();
        assert_eq!(json["projects"][0]["name"], "some-lib", "{formats:?}");
        index.log().assert_nothing_unexpected();
    }
}

#[test]
fn r13_one_transfer_serves_everybody_and_outlasts_a_restart() {
    let (gitlab, index) = (GitLab::start(), index(Links::Absolute, Formats::Both));
    let [wheel, _] = both();
    let larder = larder(&gitlab, &index, "");
    let address = file(&index, &wheel.filename);
    let gate = index.hold(Site::FileBody, 50_000);
    let readers: Vec<_> = [token::READER, token::STRANGER, "", "nobody"]
        .map(|secret| {
            let client = if secret.is_empty() {
                larder.client()
            } else {
                larder.client().token(secret)
            };
            let address = address.clone();
            std::thread::spawn(move || client.get(&address))
        })
        .into();
    gate.wait_for(1);
    gate.open();
    for reader in readers {
        assert_eq!(
            reader.join().expect("no panic").expect(200),
            &wheel.bytes[..]
        );
    }
    kept(&larder, &wheel);
    let larder = larder.restart();
    let client = larder.client();
    assert_eq!(client.get(&address).expect(200), &wheel.bytes[..]);
    assert_eq!(
        client.get_range(&address, "bytes=10-19").expect(206),
        &wheel.bytes[10..20]
    );
    assert_eq!(index.log().file_bodies().transfers, 1);
    index.log().assert_nothing_unexpected();
    index.assert_never_told(&[token::READER, token::STRANGER, "nobody"]);
}

#[test]
fn a_file_asked_for_before_its_page_finds_its_page_by_itself() {
    let gitlab = GitLab::start();
    let dashed = Artifact::opaque(
        "old-dashed-2",
        "1.0-1",
        "old-dashed-2-1.0-1.tar.gz",
        vec![7; 5000],
    );
    let [wheel, sdist] = both();
    for formats in [Formats::Html, Formats::Json, Formats::Both] {
        let index = index(Links::Absolute, formats);
        index.publish(&dashed);
        for artifact in [&wheel, &sdist, &dashed] {
            let case = format!("{formats:?} {}", artifact.filename);
            let larder = larder(&gitlab, &index, "");
            let address = file(&index, &artifact.filename);
            assert_eq!(
                larder.client().get(&address).expect(200),
                &artifact.bytes[..],
                "{case}"
            );
            kept(&larder, artifact);
            let larder = larder.restart();
            index.log().clear();
            assert_eq!(
                larder.client().get(&address).expect(200),
                &artifact.bytes[..],
                "{case}"
            );
            assert_eq!(
                index.log().file_bodies().transfers,
                0,
                "{case}: it was here"
            );
            // A page that lists nothing of the kind is asked for, and the path never is.
            let elsewhere = address.replacen("/pypi/packages/", "/pypi/packages/zz/", 1);
            index.log().clear();
            assert_withheld(&larder.client().get(&elsewhere), 404, &case);
            assert_eq!(
                index.log().count(Kind::File) + index.log().count(Kind::Unknown),
                0,
                "{case}"
            );
        }
        index.log().assert_nothing_unexpected();
    }
}

#[test]
fn files_without_a_sha256_pass_through_and_are_kept_nowhere() {
    let gitlab = GitLab::start();
    let [wheel, sdist] = both();
    for hashes in [Hashes::Md5, Hashes::None] {
        for formats in [Formats::Html, Formats::Json] {
            let index = index(Links::Absolute, formats);
            for artifact in [&wheel, &sdist] {
                index.change(|catalogue| catalogue.offer_mut(&artifact.filename).hashes = hashes);
            }
            let larder = larder(&gitlab, &index, "");
            for artifact in [&wheel, &sdist] {
                let case = format!("{hashes:?} {formats:?} {}", artifact.filename);
                let address = file(&index, &artifact.filename);
                for _ in 0..2 {
                    let reply = larder.client().get(&address);
                    assert_eq!(reply.expect(200), &artifact.bytes[..], "{case}");
                    assert_eq!(reply.header("ETag"), None, "{case}");
                    assert_eq!(
                        reply.header("Cache-Control"),
                        Some("private, no-store"),
                        "{case}"
                    );
                }
                let part = larder.client().get_range(&address, "bytes=100-199");
                assert_eq!(part.expect(206), &artifact.bytes[100..200], "{case}");
                let head = larder.client().head(&address);
                let length = artifact.bytes.len().to_string();
                assert_eq!(
                    (head.status, head.header("Content-Length")),
                    (200, Some(length.as_str())),
                    "{case}"
                );
                assert!(!stored(&larder, artifact), "{case}");
            }
            index.log().assert_nothing_unexpected();
        }
    }
}

#[test]
fn r1_r2_wrong_bytes_of_a_mirror_are_cut_and_never_kept() {
    let gitlab = GitLab::start();
    let [wheel, _] = both();
    let acts = [
        Act::Flip { at: 0 },
        Act::Flip { at: 60_000 },
        Act::Flip {
            at: wheel.bytes.len() as u64 - 1,
        },
        Act::Close { after: 60_000 },
        Act::Reset { after: 60_000 },
        Act::ChunkedWithoutEnd,
        Act::Encoding("gzip"),
    ];
    for act in acts {
        let index = index(Links::Absolute, Formats::Both);
        let larder = larder(&gitlab, &index, "");
        let (case, address) = (format!("{act:?}"), file(&index, &wheel.filename));
        index.plan(act.at(Site::FileBody));
        // One that broke off may be taken up again, and is whole only if all of it is right.
        let whole = right(&larder.client().get(&address), &wheel, &case);
        assert!(whole || !stored(&larder, &wheel), "{case}");
        assert!(!(whole && case.starts_with("Flip")), "{case}");
        StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
    }
    // The page itself is wrong about the file.
    let index = index(Links::Absolute, Formats::Both);
    index.change(|catalogue| catalogue.offer_mut(&wheel.filename).hashes = Hashes::Wrong);
    let larder = larder(&gitlab, &index, "");
    for _ in 0..2 {
        let reply = larder.client().get(&file(&index, &wheel.filename));
        assert!(!(reply.status == 200 && reply.is_complete()), "{reply:?}");
    }
    assert!(!stored(&larder, &wheel));
}

#[test]
fn r9_heads_and_ranges_agree_cold_and_hot() {
    let gitlab = GitLab::start();
    let [wheel, _] = both();
    let length = wheel.bytes.len().to_string();
    for ranges in [true, false] {
        let index = index(Links::Absolute, Formats::Both);
        index.set(|settings| settings.ranges = ranges);
        let address = file(&index, &wheel.filename);
        for first in ["HEAD", "range", "suffix"] {
            let larder = larder(&gitlab, &index, "");
            let client = larder.client();
            for round in ["cold", "hot"] {
                let case = format!("ranges: {ranges}, {first} {round}");
                match first {
                    "HEAD" => {
                        let head = client.head(&address);
                        let etag = format!("\"{}\"", wheel.sha256);
                        assert_eq!(head.status, 200, "{case}: {head:?}");
                        assert_eq!(head.header("ETag"), Some(etag.as_str()), "{case}");
                        assert_eq!(
                            head.header("Content-Length"),
                            Some(length.as_str()),
                            "{case}"
                        );
                    }
                    _ => {
                        let wanted = if first == "range" {
                            "bytes=500-999"
                        } else {
                            "bytes=-500"
                        };
                        let part = client.get_range(&address, wanted);
                        let start = if first == "range" {
                            500
                        } else {
                            wheel.bytes.len() - 500
                        };
                        assert_eq!(part.expect(206), &wheel.bytes[start..start + 500], "{case}");
                    }
                }
                if round == "cold" {
                    assert_eq!(client.get(&address).expect(200), &wheel.bytes[..], "{case}");
                    kept(&larder, &wheel);
                    index.log().clear();
                }
            }
            assert_eq!(index.log().file_bodies().transfers, 0, "{first}: hot");
            let unsatisfiable = client.get_range(&address, "bytes=9999999-");
            assert_eq!(unsatisfiable.status, 416, "{unsatisfiable:?}");
        }
        index.log().assert_nothing_unexpected();
    }
}

#[test]
fn what_is_no_mirror_is_no_address_and_nobody_is_asked() {
    let (gitlab, index) = (GitLab::start(), index(Links::Absolute, Formats::Both));
    let larder = larder(&gitlab, &index, "");
    for path in [
        "/other/simple/",
        "/other/simple/some-lib/",
        "/other/packages/aa/some_lib-1.2-py3-none-any.whl",
    ] {
        assert_eq!(larder.client().get(path).status, 404, "{path}");
    }
    for path in [
        "/pypi/simple/..%2f..%2fsecret/",
        "/pypi/packages/../../simple/x-1.whl",
        "//pypi/a/b-1.whl",
    ] {
        assert!(
            matches!(larder.client().get(path).status, 400 | 404),
            "{path}"
        );
    }
    assert!(gitlab.log().is_empty() && index.log().is_empty());
}

#[test]
fn a_file_taken_off_its_page_is_gone_by_its_address_too() {
    let (gitlab, index) = (GitLab::start(), index(Links::Absolute, Formats::Both));
    let [wheel, sdist] = both();
    let larder = larder(&gitlab, &index, NEVER_FRESH);
    let [kept_on, gone] = [&wheel, &sdist].map(|artifact| file(&index, &artifact.filename));
    for accept in FORMATS {
        get_as(&larder.client(), &page("some-lib"), accept).expect(200);
    }
    larder.client().get(&gone).expect(200);
    kept(&larder, &sdist);

    index.withdraw(&sdist.filename);

    for accept in FORMATS {
        let shown = get_as(&larder.client(), &page("some-lib"), accept);
        assert_eq!(names(&shown), [wheel.filename.as_str()], "{accept}");
    }
    assert_withheld(&larder.client().get(&gone), 404, "its bytes are still here");
    assert_withheld(
        &larder.client().get_range(&gone, "bytes=0-9"),
        404,
        "a range",
    );
    assert_eq!(larder.client().head(&gone).status, 404);
    larder.client().get(&kept_on).expect(200);
}

#[test]
fn yanks_and_the_status_of_a_project_are_kept() {
    let gitlab = GitLab::start();
    let [wheel, sdist] = both();
    for formats in [Formats::Html, Formats::Json] {
        let index = index(Links::Absolute, formats);
        index.change(|catalogue| {
            catalogue.offer_mut(&wheel.filename).yanked = Some("broke <things> & more".to_owned());
            catalogue.offer_mut(&sdist.filename).yanked = Some(String::new());
            let archived = ProjectStatus {
                status: "archived",
                reason: Some("no more".to_owned()),
            };
            catalogue.status.insert("some-lib".to_owned(), archived);
        });
        let larder = larder(&gitlab, &index, "");
        let json = get_as(&larder.client(), &page("some-lib"), JSON).json();
        assert_eq!(
            json["files"][0]["yanked"], "broke <things> & more",
            "{formats:?}"
        );
        assert_eq!(json["files"][1]["yanked"], true, "{formats:?}");
        assert_eq!(
            json["project-status"]["status"], "archived",
            "{formats:?}: {json}"
        );
        assert_eq!(json["project-status"]["reason"], "no more", "{formats:?}");
        let html = get_as(&larder.client(), &page("some-lib"), HTML).text();
        assert!(
            html.contains("pypi:project-status\" content=\"archived\""),
            "{formats:?}: {html}"
        );
        assert_eq!(
            html.matches("data-yanked=").count(),
            2,
            "{formats:?}: {html}"
        );
        // Yanked files are still to be had.
        larder
            .client()
            .get(&file(&index, &wheel.filename))
            .expect(200);
    }
}

#[test]
fn a_quarantined_project_has_no_files() {
    let gitlab = GitLab::start();
    let [wheel, _] = both();
    for formats in [Formats::Html, Formats::Json] {
        let index = index(Links::Absolute, formats);
        let larder = larder(&gitlab, &index, NEVER_FRESH);
        let address = file(&index, &wheel.filename);
        larder.client().get(&address).expect(200);
        kept(&larder, &wheel);
        index.change(|catalogue| {
            let quarantined = ProjectStatus {
                status: "quarantined",
                reason: None,
            };
            catalogue.status.insert("some-lib".to_owned(), quarantined);
        });
        for accept in [JSON, HTML] {
            let shown = get_as(&larder.client(), &page("some-lib"), accept);
            assert!(names(&shown).is_empty(), "{formats:?} {accept}: {shown:?}");
            assert!(
                shown.text().contains("quarantined"),
                "{formats:?} {accept}: {shown:?}"
            );
        }
        for sought in [address.clone(), format!("{address}.metadata")] {
            assert_withheld(
                &larder.client().get(&sought),
                403,
                &format!("{formats:?} {sought}"),
            );
        }
    }
}

#[test]
fn r25_a_mirrors_own_credential_goes_to_its_index_and_a_callers_to_nobody() {
    let gitlab = GitLab::start();
    let [wheel, _] = both();
    for links in [Links::Absolute, Links::Relative] {
        let index = index(links, Formats::Both);
        index.set(|settings| {
            settings.credential = Some(("reader".to_owned(), "mirror-secret".to_owned()))
        });
        let secret = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(secret.path(), "mirror-secret\n").expect("writable");
        let lines = format!("username = \"reader\"\ntoken_file = {:?}", secret.path());
        let larder = larder(&gitlab, &index, &lines);
        for client in [
            larder.client(),
            larder.client().token(token::READER),
            larder.client().private_token(token::READER),
            larder.client().bearer(token::OAUTH),
            larder
                .client()
                .header("Cookie", "session=abc")
                .header("Referer", "http://intranet.example/"),
        ] {
            get_as(&client, &page("some-lib"), JSON).expect(200);
            assert_eq!(
                client.get(&file(&index, &wheel.filename)).expect(200),
                &wheel.bytes[..],
                "{links:?}"
            );
        }
        index.log().assert_nothing_unexpected();
        index.assert_never_told(&[token::READER, token::OAUTH, "session=abc", "intranet"]);
        for secret in ["mirror-secret", token::READER] {
            assert!(!larder.log().contains(secret), "{links:?}");
            assert!(
                StoreListing::of(&larder.cache_dir())
                    .containing(secret)
                    .is_empty(),
                "{links:?}"
            );
        }
        // A wrong one is the operator's affair: no client is asked for a password.
        index.set(|settings| {
            settings.credential = Some(("reader".to_owned(), "another".to_owned()))
        });
        let refused = get_as(&larder.client(), &page("never-seen"), HTML);
        assert_eq!(
            (refused.status, refused.header("WWW-Authenticate")),
            (502, None),
            "{refused:?}"
        );
        assert!(refused.text().contains("token_file"), "{refused:?}");
    }
}

#[test]
fn redirects_are_followed_to_configured_origins_only() {
    let (gitlab, index) = (GitLab::start(), index(Links::Absolute, Formats::Both));
    let stranger = PublicIndex::start();
    let [wheel, _] = both();
    let larder = larder(&gitlab, &index, NEVER_FRESH);
    let to = |location: String| Act::Answer(Answer::new(302).header("Location", location));
    index.plan(
        to(index.page_path("some-lib"))
            .at(Kind::Page)
            .containing("/other-name/"),
    );
    let shown = get_as(&larder.client(), &page("other-name"), JSON);
    assert_eq!(names(&shown).len(), 2, "{shown:?}");
    let _moved = index.plan(
        to(format!("{}/elsewhere/", stranger.origin()))
            .at(Kind::Page)
            .containing("/away/"),
    );
    let away = get_as(&larder.client(), &page("away"), HTML);
    assert_eq!(away.status, 502, "{away:?}");
    assert!(
        away.text().contains("redirects") && !away.text().contains(stranger.origin()),
        "{away:?}"
    );
    index.plan(
        to(index.page_path("circle"))
            .at(Kind::Page)
            .containing("/circle/"),
    );
    assert_eq!(get_as(&larder.client(), &page("circle"), HTML).status, 502);
    index.plan(to(format!("{}/file.whl", stranger.origin())).at(Kind::File));
    let file = larder.client().get(&file(&index, &wheel.filename));
    assert_eq!(file.status, 502, "{file:?}");
    assert!(stranger.log().is_empty(), "nobody named it");
}

#[test]
fn a_compressed_page_is_the_same_page() {
    let gitlab = GitLab::start();
    for formats in [Formats::Html, Formats::Json] {
        let index = index(Links::Absolute, formats);
        index.set(|settings| settings.gzip = true);
        let larder = larder(&gitlab, &index, "");
        for accept in FORMATS {
            let ask = |coding: &str| {
                larder.client().get_with(
                    &page("some-lib"),
                    &[("Accept", accept), ("Accept-Encoding", coding)],
                )
            };
            let (plain, packed) = (ask("identity"), ask("gzip"));
            assert_eq!(names(&plain).len(), 2, "{formats:?} {accept}");
            let text = match packed.header("Content-Encoding") {
                Some("gzip") => packed.gunzipped(),
                _ => packed.body.clone(),
            };
            assert_eq!(text, plain.body, "{formats:?} {accept}: {packed:?}");
        }
    }
}

#[test]
fn r30_nothing_a_client_says_of_its_host_gets_into_a_page() {
    let (gitlab, index) = (GitLab::start(), index(Links::Relative, Formats::Both));
    gitlab.set(|settings| settings.pep691 = true);
    let larder = larder(&gitlab, &index, "");
    let lies = [
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "gopher"),
        ("X-Forwarded-Prefix", "/evil.example"),
        ("Forwarded", "host=evil.example;proto=http"),
        ("X-Original-URL", "http://evil.example/"),
        ("X-Forwarded-Server", "evil.example"),
    ];
    let addresses = [
        page("some-lib"),
        "/pypi/simple/".to_owned(),
        crate::support::path::group_page(7, "my-pkg"),
    ];
    for accept in FORMATS {
        for address in &addresses {
            let mut liar = larder.client().token(token::READER);
            for (name, value) in lies {
                liar = liar.header(name, value);
            }
            let host = format!(
                "GET {address} HTTP/1.1\r\nHost: evil.example\r\nAccept: {accept}\r\nPRIVATE-TOKEN: {}\r\nConnection: close\r\n\r\n",
                token::READER
            );
            let poisoned = [
                liar.get_with(address, &[("Accept", accept)]),
                larder.client().raw(host.as_bytes()),
            ];
            let honest = get_as(&larder.client().token(token::READER), address, accept);
            for reply in poisoned {
                assert_eq!(reply.status, 200, "{accept} {address}: {reply:?}");
                assert!(
                    !format!("{reply:?}").contains("evil"),
                    "{accept} {address}: {reply:?}"
                );
                assert_eq!(reply.text(), honest.text(), "{accept} {address}");
            }
        }
    }
}

#[test]
fn an_offer_of_another_projects_file_does_no_harm() {
    // A page may list whatever it likes; a path leads to the page of the project that the file's
    // name tells.
    let gitlab = GitLab::start();
    let index = PublicIndex::start();
    let wheel = Distribution::new("victim", "1.0").wheel();
    let lure = Artifact {
        name: "lure".to_owned(),
        ..wheel.clone()
    };
    index.publish(Offer::from(lure).hashes(Hashes::Wrong));
    let larder = larder(&gitlab, &index, "");
    get_as(&larder.client(), &page("lure"), JSON).expect(200);
    let reply = larder.client().get(&file(&index, &wheel.filename));
    assert_eq!(reply.status, 404, "{reply:?}");
    assert_eq!(index.log().count(Kind::File), 0);
}

#[test]
fn the_files_of_a_page_too_large_to_keep_are_to_be_had_all_the_same() {
    let gitlab = GitLab::start();
    for formats in [Formats::Html, Formats::Json] {
        let index = index(Links::Absolute, formats);
        // More than a page may have below.
        for number in 0..200 {
            index.publish(Artifact::opaque(
                "Some.Lib",
                "0",
                &format!("some_lib-0.{number}.tar.gz"),
                "old",
            ));
        }
        let [wheel, sdist] = both();
        let larder = Larder::builder(&gitlab)
            .mirror("pypi", &index)
            .sections("[index]\npage_size = \"16KiB\"\n[metadata]\nprefetch = 0")
            .start();
        let accept = if formats == Formats::Html { HTML } else { JSON };
        assert_eq!(
            names(&get_as(&larder.client(), &page("some-lib"), accept)).len(),
            202,
            "{formats:?}"
        );
        index.log().clear();
        for artifact in [&wheel, &sdist] {
            let address = file(&index, &artifact.filename);
            assert_eq!(
                larder.client().get(&address).expect(200),
                &artifact.bytes[..],
                "{formats:?}"
            );
            kept(&larder, artifact);
            assert_eq!(
                larder.client().get_range(&address, "bytes=5-9").expect(206),
                &artifact.bytes[5..10]
            );
        }
        let core_metadata = larder
            .client()
            .get(&format!("{}.metadata", file(&index, &wheel.filename)));
        assert_eq!(
            core_metadata.expect(200),
            &wheel.metadata[..],
            "{formats:?}"
        );
        let last = file(&index, "some_lib-0.199.tar.gz");
        assert_eq!(
            larder.client().get(&last).expect(200),
            b"old",
            "{formats:?}"
        );
        assert_eq!(
            index.log().count(Kind::Page),
            1,
            "{formats:?}: read through once for all of them"
        );
        assert_withheld(
            &larder.client().get("/pypi/packages/some_lib-9.9.tar.gz"),
            404,
            "not listed",
        );
    }
}
