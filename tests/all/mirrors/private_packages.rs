//! R31: a private name is never asked for at a mirror, nor accepted from one, by any route, method
//! or format.

use crate::common::mirror::{FORMATS, HTML, JSON, NEVER_FRESH, file, get_as, names, page};
use crate::support::{
    Artifact, Client, Distribution, Formats, GitLab, Kind, Larder, PublicIndex, path, token,
};

/// What an attacker has published under a private name, and a package that is in order.
struct Lures {
    wheel: Artifact,
    sdist: Artifact,
    public: Artifact,
    index: PublicIndex,
}

fn lures(formats: Formats) -> Lures {
    let acme = Distribution::new("Acme.Tool", "99.0").payload(10_000);
    let (wheel, sdist) = (acme.wheel(), acme.sdist());
    let public = Distribution::new("left.pad", "1.3").wheel();
    let hidden = Distribution::new("acme-hidden", "1.0");
    let index = PublicIndex::builder()
        .offering(&wheel)
        .offering(&sdist)
        .offering(&public)
        // On the page of another project.
        .offering(Artifact {
            name: "left.pad".to_owned(),
            ..hidden.wheel()
        })
        .offering(Artifact {
            name: "left.pad".to_owned(),
            ..hidden.sdist()
        })
        .set(|settings| settings.formats = formats)
        .start();
    index.declare_private(&["acme-*"]);
    Lures {
        wheel,
        sdist,
        public,
        index,
    }
}

fn larder(gitlab: &GitLab, index: &PublicIndex) -> Larder {
    Larder::builder(gitlab)
        .mirror_with("pypi", index, NEVER_FRESH)
        .forward("pypi")
        .private_names(&["Acme_*"])
        .start()
}

/// Every way to ask for an address.
fn sweep(client: &Client, address: &str, mut check: impl FnMut(&str, &crate::support::Reply)) {
    for method in ["GET", "HEAD"] {
        for headers in [
            vec![("Accept", HTML)],
            vec![("Accept", JSON)],
            vec![("Range", "bytes=0-99")],
            vec![("Range", "bytes=-100"), ("Cache-Control", "no-cache")],
            vec![("If-None-Match", "*")],
        ] {
            let reply = client.request(method, address, &headers);
            check(&format!("{method} {address} {headers:?}"), &reply);
        }
    }
}

#[test]
fn r31_a_private_name_is_never_asked_for_at_a_mirror_by_any_route() {
    for formats in [Formats::Html, Formats::Json, Formats::Both] {
        let lures = lures(formats);
        let gitlab = GitLab::start();
        let larder = larder(&gitlab, &lures.index);
        let mut addresses: Vec<String> = [
            "acme-tool",
            "Acme.Tool",
            "ACME__tool",
            "acme-hidden",
            "acme-",
        ]
        .into_iter()
        .map(page)
        .collect();
        addresses.push("/pypi/simple/acme-tool".to_owned());
        for artifact in [&lures.wheel, &lures.sdist] {
            let address = file(&lures.index, &artifact.filename);
            let spelled = address.replace("acme", "%61cme");
            let shouted = address.replace("acme_tool", "ACME.Tool");
            addresses.extend([format!("{address}.metadata"), address, spelled, shouted]);
        }
        addresses.extend(["acme-tool", "ACME.tool"].map(|name| path::group_page(7, name)));
        addresses.push(path::project_page(42, "acme-tool"));
        for client in [
            larder.client().token(token::READER),
            larder.client().token(token::WIDGETS_READER),
        ] {
            for address in &addresses {
                sweep(&client, address, |case, reply| {
                    assert!(reply.is_complete(), "{case}: {reply:?}");
                    assert!(
                        matches!(reply.status, 400 | 404),
                        "{formats:?} {case}: {reply:?}"
                    );
                    assert_eq!(reply.header("Location"), None, "{case}: {reply:?}");
                });
            }
        }
        assert_eq!(
            lures.index.log().len(),
            0,
            "{formats:?}: {:?}",
            lures.index.log().entries()
        );
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn r31_nothing_that_bears_a_private_name_is_accepted_from_a_mirrors_pages() {
    for formats in [Formats::Html, Formats::Json, Formats::Both] {
        let lures = lures(formats);
        let gitlab = GitLab::start();
        let larder = larder(&gitlab, &lures.index);
        let reader = larder.client().token(token::READER);
        for accept in FORMATS {
            for address in [page("left-pad"), path::group_page(7, "left-pad")] {
                let shown = get_as(&reader, &address, accept);
                assert_eq!(
                    names(&shown),
                    [lures.public.filename.as_str()],
                    "{formats:?} {accept} {address}"
                );
                assert!(
                    !shown.text().contains("acme"),
                    "{formats:?} {accept} {address}: {shown:?}"
                );
            }
            let listing = get_as(&reader, "/pypi/simple/", accept);
            listing.expect(200);
            assert!(listing.text().contains("left-pad"), "{listing:?}");
            assert!(
                !listing.text().to_lowercase().contains("acme"),
                "{formats:?} {accept}: {listing:?}"
            );
        }
        // Even somebody who knows where it lies gets nothing, now that a page that lists it is
        // here.
        for filename in ["acme_hidden-1.0-py3-none-any.whl", "acme_hidden-1.0.tar.gz"] {
            let address = file(&lures.index, filename);
            for address in [address.clone(), format!("{address}.metadata")] {
                sweep(&reader, &address, |case, reply| {
                    assert_eq!(reply.status, 404, "{formats:?} {case}: {reply:?}");
                });
            }
        }
        lures.index.log().assert_nothing_unexpected();
        assert_eq!(lures.index.log().count(Kind::File), 0);
    }
}

/// Clients read a file's name from its address, or from JSON's word beside it: neither may be a
/// private one. The text of an HTML link is read by nobody.
#[test]
fn r31_a_link_is_judged_by_its_address_as_well_as_by_its_name() {
    let gitlab = GitLab::start();
    let index = PublicIndex::start();
    let larder = larder(&gitlab, &index);
    let digest = "0".repeat(64);
    let pairs = [
        ("left_pad-1.0.tar.gz", "acme_tool-1.0.tar.gz"),
        ("acme_tool-1.0.tar.gz", "left_pad-1.0.tar.gz"),
    ];
    for (name, place) in pairs {
        let url = format!("{}/packages/{place}", index.files_origin());
        let html = format!(
            "<!DOCTYPE html><html><body><a href=\"{url}#sha256={digest}\">{name}</a></body></html>"
        );
        let json = serde_json::json!({
            "meta": {"api-version": "1.0"},
            "name": "left-pad",
            "files": [{"filename": name, "url": url, "hashes": {"sha256": digest}}],
        });
        for (media_type, body) in [(HTML, html), (JSON, json.to_string())] {
            if media_type == HTML && !place.starts_with("acme") {
                continue;
            }
            index.serve_verbatim("left-pad", media_type, body);
            for accept in FORMATS {
                let shown = get_as(&larder.client(), &page("left-pad"), accept);
                assert!(
                    names(&shown).is_empty(),
                    "{name} at {place}, {media_type} as {accept}: {shown:?}"
                );
            }
        }
    }
}

#[test]
fn r31_gitlab_keeps_its_private_names() {
    let lures = lures(Formats::Both);
    let gitlab = GitLab::start();
    gitlab.set(|settings| settings.pep691 = true);
    let own = Distribution::new("Acme.Tool", "1.0").wheel();
    gitlab.publish(42, &own);
    let larder = larder(&gitlab, &lures.index);
    let reader = larder.client().token(token::READER);
    for accept in FORMATS {
        for address in [
            path::group_page(7, "acme-tool"),
            path::project_page(42, "acme-tool"),
        ] {
            assert_eq!(
                names(&get_as(&reader, &address, accept)),
                [own.filename.as_str()],
                "{accept}"
            );
        }
    }
    assert_eq!(
        reader.get(&path::group_file(7, &own)).expect(200),
        &own.bytes[..]
    );
    // It is taken out of GitLab: now nobody has it.
    gitlab.change(|universe| universe.delete_package(42, "acme-tool"));
    for accept in FORMATS {
        let headers = [("Accept", accept), ("Cache-Control", "no-cache")];
        let reply = reader.get_with(&path::group_page(7, "acme-tool"), &headers);
        assert_eq!(reply.status, 404, "{accept}: {reply:?}");
    }
    assert_eq!(lures.index.log().len(), 0);
}

#[test]
fn r31_the_rule_holds_for_what_was_cached_before_it_was_set() {
    let lures = lures(Formats::Both);
    lures.index.set(|settings| settings.private.clear());
    let gitlab = GitLab::start();
    let mut before = Larder::builder(&gitlab)
        .mirror_with("pypi", &lures.index, "")
        .start();
    let addresses = [page("acme-tool"), file(&lures.index, &lures.wheel.filename)];
    for address in &addresses {
        before.client().get(address).expect(200);
    }
    get_as(&before.client(), &page("left-pad"), JSON).expect(200);
    crate::common::delivery::kept(&before, &lures.wheel);
    let after = Larder::builder(&gitlab)
        .mirror_with("pypi", &lures.index, "")
        .private_names(&["acme-*"])
        .at_home_of(&before);
    // Ended in order, so that all pages are put by.
    before.terminate();
    let after = after.start();
    for address in &addresses {
        sweep(&after.client(), address, |case, reply| {
            assert_eq!(reply.status, 404, "{case}: {reply:?}")
        });
    }
    lures.index.stop();
    let shown = get_as(&after.client(), &page("left-pad"), JSON);
    assert_eq!(
        names(&shown),
        [lures.public.filename.as_str()],
        "stored when nothing was private"
    );
}
