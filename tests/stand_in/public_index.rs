//! The stand-in for a public index: formats, links, attributes, and what it reports.

use super::*;
use crate::support::wheel::md5_hex;
use crate::support::{
    CoreMetadata, Door, Formats, Hashes, Links, Offer, ProjectStatus, PublicIndex, Validators,
};

const JSON: &str = "application/vnd.pypi.simple.v1+json";

fn gizmo() -> Artifact {
    Distribution::new("Gizmo", "1.0")
        .requires_python(">=3.8")
        .wheel()
}

fn page(index: &PublicIndex, headers: &[(&str, &str)]) -> Reply {
    Client::new(index.address()).get_with("/simple/gizmo/", headers)
}

/// Follows a link as a client does, at whichever of the two addresses it leads to.
fn follow(index: &PublicIndex, link: &str) -> Reply {
    let base = url::Url::parse(&index.url())
        .expect("a URL")
        .join("gizmo/")
        .expect("a URL");
    let url = base.join(link).expect("a link");
    let doors = [
        (index.origin(), index.address()),
        (index.files_origin(), index.files_address()),
    ];
    let door = doors
        .iter()
        .find(|(origin, _)| url.origin().ascii_serialization() == *origin);
    Client::new(door.expect("one of its two addresses").1).get(url.path())
}

#[test]
fn both_formats_say_the_same_of_a_file() {
    let wheel = gizmo();
    let offer = Offer::from(&wheel)
        .yanked("broken \"on\" <3.9 & worse")
        .gpg_sig(false)
        .provenance("https://index.example/integrity/gizmo");
    let index = PublicIndex::builder().offering(offer).start();
    index.change(|catalogue| {
        let status = ProjectStatus {
            status: "archived",
            reason: Some("done".to_owned()),
        };
        catalogue.status.insert("gizmo".to_owned(), status)
    });

    let json = page(&index, &[("Accept", &format!("text/html;q=0.1, {JSON}"))]);
    assert_eq!(json.header("Content-Type"), Some(JSON));
    let value = json.json();
    let file = &value["files"][0];
    assert_eq!(file["size"], wheel.bytes.len());
    assert_eq!(file["hashes"]["sha256"], wheel.sha256.as_str());
    assert_eq!(
        file["core-metadata"]["sha256"],
        sha256_hex(&wheel.metadata).as_str()
    );
    assert_eq!(file["yanked"], "broken \"on\" <3.9 & worse");
    assert_eq!(file["requires-python"], ">=3.8");
    assert_eq!(
        (&value["project-status"]["status"], &value["versions"][0]),
        (&"archived".into(), &"1.0".into())
    );

    let html = page(&index, &[("Accept", "text/html")]);
    assert_eq!(
        html.header("Content-Type"),
        Some("text/html; charset=UTF-8")
    );
    let link = file["url"].as_str().expect("a URL");
    let metadata = sha256_hex(&wheel.metadata);
    let anchor = format!(
        "<a href=\"{link}#sha256={}\" data-requires-python=\"&gt;=3.8\" data-dist-info-metadata=\"sha256={metadata}\" \
         data-core-metadata=\"sha256={metadata}\" data-yanked=\"broken &quot;on&quot; &lt;3.9 &amp; worse\" \
         data-gpg-sig=\"false\" data-provenance=\"https://index.example/integrity/gizmo\">{}</a><br />\n",
        wheel.sha256, wheel.filename
    );
    assert!(html.text().contains(&anchor), "{html:?}");
    assert!(
        html.text()
            .contains("<meta name=\"pypi:project-status-reason\" content=\"done\">")
    );
    assert_eq!(follow(&index, link).expect(200), &wheel.bytes[..]);
    assert_eq!(
        follow(&index, &format!("{link}.metadata")).expect(200),
        &wheel.metadata[..]
    );
    index.log().assert_nothing_unexpected();
}

#[test]
fn an_old_version_of_the_api_has_fewer_facts() {
    let index = PublicIndex::builder()
        .offering(gizmo())
        .set(|settings| settings.api_version = "1.0")
        .start();
    let value = page(&index, &[("Accept", JSON)]).json();
    assert_eq!(value["meta"]["api-version"], "1.0");
    for absent in [
        &value["versions"],
        &value["files"][0]["size"],
        &value["files"][0]["upload-time"],
    ] {
        assert!(absent.is_null(), "{value}");
    }
}

#[test]
fn formats_are_negotiated_by_weight_or_fixed() {
    let index = PublicIndex::builder().offering(gizmo()).start();
    let kind = |accept: &str| {
        let reply = page(&index, &[("Accept", accept)]);
        reply
            .header("Content-Type")
            .filter(|_| reply.status == 200)
            .map(str::to_owned)
    };
    for (accept, wanted) in [
        ("*/*", Some("text/html; charset=UTF-8")),
        (JSON, Some(JSON)),
        ("application/vnd.pypi.simple.latest+json", Some(JSON)),
        (
            "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01",
            Some(JSON),
        ),
        (
            "application/vnd.pypi.simple.v1+html, text/html;q=0.9",
            Some("application/vnd.pypi.simple.v1+html"),
        ),
        (
            "application/vnd.pypi.simple.v1+json;q=0, text/html",
            Some("text/html; charset=UTF-8"),
        ),
        ("application/vnd.pypi.simple.v2+json", None),
    ] {
        assert_eq!(kind(accept).as_deref(), wanted, "{accept}");
    }
    assert_eq!(page(&index, &[("Accept", "image/png")]).status, 406);
    index.set(|settings| settings.formats = Formats::Json);
    assert_eq!(kind("text/html").as_deref(), Some(JSON));
    index.set(|settings| settings.formats = Formats::Html);
    assert_eq!(kind(JSON).as_deref(), Some("text/html; charset=UTF-8"));
}

#[test]
fn every_kind_of_link_leads_to_its_file() {
    let wheel = gizmo();
    for (path, folder) in [("/simple/", "packages"), ("/team/pypi/+simple/", "+f")] {
        let index = PublicIndex::builder()
            .offering(&wheel)
            .at(path)
            .files_in(folder)
            .start();
        for links in [
            Links::Absolute,
            Links::Relative,
            Links::RootRelative,
            Links::Beside,
        ] {
            index.set(|settings| settings.links = links);
            let reply = Client::new(index.address())
                .get_with(&index.page_path("gizmo"), &[("Accept", JSON)])
                .json();
            let link = reply["files"][0]["url"].as_str().expect("a URL");
            assert_eq!(
                follow(&index, link).expect(200),
                &wheel.bytes[..],
                "{path} {links:?} {link}"
            );
            let whole = format!(
                "{}{}",
                index.files_prefix(),
                index.file_path(&wheel.filename)
            );
            assert_eq!(
                follow(&index, &whole).expect(200),
                &wheel.bytes[..],
                "{whole}"
            );
        }
        index.log().assert_nothing_unexpected();
    }
}

#[test]
fn hashes_and_core_metadata_are_as_wanted() {
    let wheel = gizmo();
    let index = PublicIndex::builder()
        .offering(Offer::from(&wheel).hashes(Hashes::Md5))
        .start();
    let file = || page(&index, &[("Accept", JSON)]).json()["files"][0].clone();
    assert_eq!(
        file()["hashes"],
        serde_json::json!({"md5": md5_hex(&wheel.bytes)})
    );
    assert_eq!(md5_hex(b"abc"), "900150983cd24fb0d6963f7d28e17f72");
    let link = file()["url"].as_str().expect("a URL").to_owned();
    for (core_metadata, there, said) in [
        (CoreMetadata::None, 404, serde_json::json!(false)),
        (CoreMetadata::True, 200, serde_json::json!(true)),
        (
            CoreMetadata::WrongHash,
            200,
            serde_json::json!({"sha256": sha256_hex(b"something else")}),
        ),
        (
            CoreMetadata::Missing,
            404,
            serde_json::json!({"sha256": sha256_hex(&wheel.metadata)}),
        ),
    ] {
        index
            .change(|catalogue| catalogue.offer_mut(&wheel.filename).core_metadata = core_metadata);
        assert_eq!(
            follow(&index, &format!("{link}.metadata")).status,
            there,
            "{core_metadata:?}"
        );
        assert_eq!(file()["core-metadata"], said, "{core_metadata:?}");
    }
    index.change(|catalogue| catalogue.offer_mut(&wheel.filename).hashes = Hashes::None);
    assert_eq!(file()["hashes"], serde_json::json!({}));
}

#[test]
fn pages_are_validated_and_names_redirected_as_set() {
    let index = PublicIndex::builder().offering(gizmo()).start();
    for (validators, name, condition) in [
        (Validators::Strong, "ETag", "If-None-Match"),
        (Validators::Weak, "ETag", "If-None-Match"),
        (Validators::Date, "Last-Modified", "If-Modified-Since"),
    ] {
        index.set(|settings| settings.validators = validators);
        let known = page(&index, &[])
            .header(name)
            .expect("a validator")
            .to_owned();
        assert_eq!(
            page(&index, &[(condition, &known)]).status,
            304,
            "{validators:?}"
        );
    }
    let client = Client::new(index.address());
    for path in ["/simple/Gizmo/", "/simple/gizmo"] {
        assert_eq!(
            client.get(path).header("Location"),
            Some("/simple/gizmo/"),
            "{path}"
        );
    }
    index.set(|settings| settings.redirects = false);
    assert_eq!(
        [
            client.get("/simple/Gizmo/").status,
            client.get("/simple/gizmo").status
        ],
        [404, 200]
    );
}

#[test]
fn ranges_latency_throttling_and_faults_are_switches() {
    let big = Artifact::noise("gizmo", "2.0", 300_000);
    let index = PublicIndex::builder().offering(&big).start();
    let path = format!("/{}", index.file_path(&big.filename));
    let files = Client::new(index.files_address());
    assert_eq!(
        files.get_range(&path, "bytes=-10").expect(206),
        &big.bytes[299_990..]
    );
    index.set(|settings| settings.ranges = false);
    let whole = files.get_range(&path, "bytes=-10");
    assert_eq!(
        (
            whole.status,
            whole.header("Accept-Ranges"),
            whole.body.len()
        ),
        (200, None, 300_000)
    );
    index.set(|settings| settings.latency = Duration::from_millis(40));
    assert!(page(&index, &[]).first_byte >= Some(Duration::from_millis(40)));
    index.plan(Act::Close { after: 1000 }.at(Kind::File).once());
    assert!(matches!(
        files.get(&path).ending,
        Ending::CutShort { got: 1000, .. }
    ));
    index.set(|settings| settings.throttle = Some(7));
    let throttled = page(&index, &[]);
    assert_eq!(
        (throttled.status, throttled.header("Retry-After")),
        (429, Some("7"))
    );
    let doors: Vec<Door> = index
        .log()
        .entries()
        .iter()
        .map(|entry| entry.door)
        .collect();
    assert_eq!(
        doors,
        [
            Door::Files,
            Door::Files,
            Door::Index,
            Door::Files,
            Door::Index
        ]
    );
}

#[test]
fn what_must_not_come_is_reported() {
    let index = PublicIndex::builder().offering(gizmo()).start();
    index.declare_private(&["acme-*", "secret.thing"]);
    let client = Client::new(index.address());
    let complaints = |what: &str, ask: &dyn Fn() -> Reply| {
        ask();
        let said = index.log().unexpected();
        index.log().clear();
        assert_eq!(said.len(), 1, "{what}: {said:?}");
    };
    complaints("a token", &|| {
        client.clone().token("glpat-1").get("/simple/gizmo/")
    });
    complaints("a header", &|| {
        client
            .clone()
            .private_token("glpat-1")
            .get("/simple/gizmo/")
    });
    complaints("a query", &|| {
        client.get("/simple/gizmo/?private_token=glpat-1")
    });
    complaints("a private page", &|| client.get("/simple/acme-widgets/"));
    complaints("spelled otherwise", &|| {
        client.head("/simple/Secret_Thing/")
    });
    complaints("a private file", &|| {
        Client::new(index.files_address())
            .get("/packages/aa/bb/cc/acme_widgets-1.0-py3-none-any.whl.metadata")
    });
    client.get("/simple/gizmo/");
    index.log().assert_nothing_unexpected();
    index.assert_never_told(&["glpat-1"]);

    index.set(|settings| settings.credential = Some(("reader".to_owned(), "right".to_owned())));
    assert_eq!(client.get("/simple/gizmo/").status, 401);
    client
        .clone()
        .basic("reader", "right")
        .get("/simple/gizmo/")
        .expect(200);
    index.log().assert_nothing_unexpected();
    client
        .clone()
        .basic("reader", "wrong")
        .get("/simple/gizmo/");
    assert_eq!(index.log().unexpected().len(), 1);
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        index.assert_never_told(&["wrong"])
    }));
    assert!(told.is_err(), "a secret within Basic is seen");
}

#[test]
fn a_page_is_served_as_it_is_given() {
    let index = PublicIndex::start();
    for body in ["<a href=gizmo-1.0.zip>gizmo</a>", "\u{feff} anything <"] {
        index.serve_verbatim("gizmo", "text/html; charset=utf-16", body);
        let reply = page(&index, &[]);
        assert_eq!(
            (reply.text().as_str(), reply.header("Content-Type")),
            (body, Some("text/html; charset=utf-16"))
        );
    }
}

#[test]
fn a_huge_root_page_is_made_while_it_is_sent() {
    let index = PublicIndex::builder()
        .set(|settings| settings.generated_projects = Some(2_500))
        .start();
    let client = Client::new(index.address());
    let html = client.get("/simple/").text();
    assert_eq!(html.matches("<a href=\"/simple/project-").count(), 2_500);
    assert!(html.ends_with("</html>\n<!--SERIAL 7-->"), "{html}");
    let json = client.get_with("/simple/", &[("Accept", JSON)]);
    assert_eq!(
        json.json()["projects"].as_array().map(Vec::len),
        Some(2_500)
    );
    assert_eq!(json.json()["projects"][2_499]["name"], "project-002499");

    let gate = index.hold(Kind::Index, 10_000);
    let mut slow = client.start("GET", "/simple/", &[]);
    gate.wait_for(1);
    assert_eq!((slow.status(), slow.read_body(10_000)), (200, 10_000));
    gate.open();
    assert_eq!(slow.finish().text(), html);
}
