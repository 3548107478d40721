//! The pages for people in a real browser: they load, change by themselves, copy, ask nobody else,
//! and axe-core finds nothing against them, by day, by night and on a phone. Pictures of them are
//! left in `target/screenshots/`; `guide.png` there, with its colours reduced, is `docs/status.png`.

use std::path::PathBuf;

use serde_json::json;

use crate::common::delivery::kept;
use crate::common::mirror::file;
use crate::support::{
    Artifact, Browser, Distribution, GitLab, Larder, PublicIndex, Site, path, python, token,
};

/// A larder that has seen some use.
struct Scene {
    gitlab: GitLab,
    index: PublicIndex,
    larder: Larder,
    public: Artifact,
}

fn scene() -> Scene {
    let public = Distribution::new("left.pad", "1.3")
        .payload(3_000_000)
        .wheel();
    let private = ["1.9.0", "1.10.0", "2.0.0rc1"].map(|version| {
        Distribution::new("acme-widgets", version)
            .requires_python(">=3.9")
            .payload(900_000)
            .wheel()
    });
    let (gitlab, index) = (GitLab::start(), PublicIndex::start());
    private.iter().for_each(|wheel| gitlab.publish(42, wheel));
    index.publish(public.clone());
    let larder = Larder::builder(&gitlab).mirror("pypi", &index).start();
    let reader = larder.client().token(token::READER);
    for wheel in &private[..2] {
        for _ in 0..10 {
            reader.get(&path::project_file(42, wheel)).expect(200);
            kept(&larder, wheel);
        }
    }
    Scene {
        gitlab,
        index,
        larder,
        public,
    }
}

fn picture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "target", "screenshots", name]
        .iter()
        .collect()
}

/// What axe-core has against the page as it is.
fn violations(browser: &Browser, axe: &str) -> Vec<String> {
    browser.run(axe);
    let found = browser.run_until_done(
        "axe.run(document).then(found => done(found.violations), why => done(String(why)));",
    );
    let Some(found) = found.as_array() else {
        panic!("axe-core did not run: {found}")
    };
    let told = |violation: &serde_json::Value| {
        let nodes = violation["nodes"]
            .as_array()
            .map(|nodes| nodes.iter().map(|node| node["html"].to_string()).collect());
        let nodes: Vec<String> = nodes.unwrap_or_default();
        format!(
            "{}: {} at {}",
            violation["id"],
            violation["help"],
            nodes.join(" ")
        )
    };
    found.iter().map(told).collect()
}

/// What the browser asked anybody but this larder since the last look; its own empty tab is nobody.
fn asked_elsewhere(browser: &Browser, larder: &Larder) -> Vec<String> {
    let own = larder.address().to_string();
    let asked = browser.requested().into_iter();
    asked
        .filter(|url| {
            !url.contains(&own) && !["chrome:", "data:"].iter().any(|own| url.starts_with(own))
        })
        .collect()
}

/// Looks at one address by day, by night and on a phone.
fn look(browser: &Browser, axe: &str, url: &str, name: &str) {
    for (scheme, width) in [
        ("light", 1280),
        ("dark", 1280),
        ("light", 390),
        ("dark", 390),
    ] {
        browser.prefer(scheme);
        browser.resize(width, 900);
        browser.open(url);
        let case = format!("{name}, {scheme}, {width}");
        assert_eq!(violations(browser, axe), [] as [String; 0], "{case}");
        let overflow = browser.run("return document.documentElement.scrollWidth - innerWidth;");
        assert!(
            overflow.as_i64().is_some_and(|pixels| pixels <= 0),
            "{case}: {overflow} pixels too wide"
        );
        let size = if width < 600 { "-phone" } else { "" };
        browser.screenshot(&picture(&format!("{name}-{scheme}{size}.png")));
    }
    browser.prefer("light");
    browser.resize(1280, 900);
}

#[test]
#[ignore = "needs chromium, chromium-driver"]
fn the_status_page_lives_copies_and_asks_nobody_else() {
    let axe = python::axe();
    let Scene {
        gitlab: _gitlab,
        index,
        larder,
        public,
    } = scene();
    let browser = Browser::start();
    let url = format!("{}/-/", larder.url());
    look(&browser, &axe, &url, "status");
    browser.open(&url);
    browser.screenshot_down_to("#failures", &picture("guide.png"));

    // It changes by itself: a download begins, and is seen.
    browser.open(&url);
    browser.run("window.before = document; getSelection().removeAllRanges(); return true;");
    assert_eq!(
        browser.run("return document.querySelector('#downloads table') === null;"),
        true
    );
    let gate = index.hold(Site::FileBody, 1_000_000);
    larder.client().get("/pypi/simple/left-pad/").expect(200);
    std::thread::scope(|scope| {
        let (client, address) = (larder.client(), file(&index, &public.filename));
        scope.spawn(move || {
            client
                .patience(std::time::Duration::from_secs(60))
                .get(&address)
                .expect(200)
                .len()
        });
        gate.wait_for(1);
        let seen = format!(
            "return document.querySelector('#downloads').textContent.includes({:?});",
            public.filename
        );
        browser.wait_for("the download is seen", &seen);
        assert_eq!(
            violations(&browser, &axe),
            [] as [String; 0],
            "with a download"
        );
        browser.screenshot(&picture("status-download-light.png"));
        gate.open();
    });
    browser.wait_for(
        "its end is seen",
        "return document.querySelector('#downloads table') === null;",
    );
    assert_eq!(
        browser.run("return window.before === document;"),
        true,
        "it was not loaded anew"
    );

    // A tool is chosen, an ID filled in, and the lines are copied.
    let origin = larder.url();
    let rights = json!({ "origin": origin, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    browser.devtools("Browser.grantPermissions", &rights);
    browser.run(
        "const id = document.getElementById('choose-id'); id.value = 'acme/widgets'; \
         id.dispatchEvent(new Event('change', { bubbles: true })); document.getElementById('tool-uv').click(); return true;",
    );
    let address = format!("{origin}/api/v4/projects/acme%2Fwidgets/packages/pypi/simple/");
    let shown =
        format!("return document.getElementById('uv-0').textContent.includes({address:?});");
    browser.wait_for("the lines have the chosen project", &shown);
    assert_eq!(
        browser.run("return document.querySelector('#panel-uv').checkVisibility();"),
        true
    );
    assert_eq!(
        browser.run("return document.querySelector('#panel-pip').checkVisibility();"),
        false
    );
    browser.run("document.querySelector('[data-copy=uv-0]').click(); return true;");
    browser.wait_for(
        "it says so",
        "return document.getElementById('said').textContent === 'Copied';",
    );
    let copied = browser
        .run_until_done("navigator.clipboard.readText().then(done, why => done(String(why)));");
    assert_eq!(
        copied,
        browser.run("return document.getElementById('uv-0').textContent;")
    );
    assert!(
        copied.as_str().is_some_and(|text| text.contains(&address)),
        "{copied}"
    );

    // Nothing was asked of anybody else, and nothing was forbidden or failed.
    assert_eq!(asked_elsewhere(&browser, &larder), [] as [String; 0]);
    assert_eq!(browser.console(), [] as [String; 0]);

    // larder goes away, and the page says so.
    drop(larder);
    browser.wait_for(
        "it is missed",
        "return !document.getElementById('lost').hidden;",
    );
    browser.screenshot(&picture("status-lost-light.png"));
}

#[test]
#[ignore = "needs chromium, chromium-driver"]
fn with_upstream_down_the_page_says_so_to_everybody() {
    let axe = python::axe();
    let Scene { gitlab, larder, .. } = scene();
    let reader = larder.client().token(token::READER);
    gitlab.stop();
    for _ in 0..20 {
        reader.get(&path::project_page(42, "never-seen"));
    }
    let browser = Browser::start();
    look(
        &browser,
        &axe,
        &format!("{}/-/", larder.url()),
        "status-degraded",
    );
    let sentence = browser.run("return document.querySelector('#state .sentence').textContent;");
    assert!(
        sentence
            .as_str()
            .is_some_and(|text| text.contains("cannot reach gitlab")),
        "{sentence}"
    );
    assert_eq!(browser.console(), [] as [String; 0]);

    // A phone shows each failure whole.
    browser.resize(390, 900);
    browser.open(&format!("{}/-/", larder.url()));
    let hidden = "const table = document.querySelector('#failures .scroll'); \
                  return table.scrollWidth - table.clientWidth;";
    assert_eq!(browser.run(hidden), 0, "pixels that are out of sight");
}

#[test]
#[ignore = "needs chromium, chromium-driver"]
fn a_project_is_readable_and_its_digests_can_be_copied() {
    let axe = python::axe();
    let Scene {
        gitlab: _gitlab,
        larder,
        ..
    } = scene();
    let browser = Browser::start();
    let origin = larder.url();
    let url = format!(
        "{}/-/projects/42/acme-widgets",
        origin.replace("://", &format!("://u:{}@", token::READER))
    );
    look(&browser, &axe, &url, "project");
    browser.open(&url);
    let versions = browser.run(
        "return [...document.querySelectorAll('.version h2')].map(one => one.textContent.trim());",
    );
    assert_eq!(versions, json!(["2.0.0rc1", "1.10.0", "1.9.0"]));
    browser.run("document.querySelector('details').open = true; document.querySelector('[data-copy]').click(); return true;");
    browser.wait_for(
        "it says so",
        "return document.getElementById('said').textContent !== '';",
    );
    assert_eq!(asked_elsewhere(&browser, &larder), [] as [String; 0]);
    assert_eq!(browser.console(), [] as [String; 0]);
}
