//! The OSV service, by its API and with the real uv: what it answers, and what it says when there is
//! nothing to answer from.

use serde_json::{Value, json};

use crate::common::advisories::{Records, of_all, rated, record};
use crate::support::{GitLab, Kind, Larder, Workbench, python};

const QUERY: &str = "/-/osv/v1/query";
const BATCH: &str = "/-/osv/v1/querybatch";

fn records() -> Records {
    Records::new(&[
        record("MAL-2026-1", "evil-lib", &["1.0", "1.1"]),
        of_all("MAL-2026-2", "evil-all"),
        rated(record("GHSA-aaaa-bbbb-cccc", "old_lib", &["2.0"]), "HIGH"),
        json!({"id": "MAL-2026-3", "modified": "2026-11-01T10:00:00Z", "affected": [
            {"package": {"ecosystem": "npm", "name": "evil-npm"}, "versions": ["1.0"]}]}),
    ])
}

fn larder(gitlab: &GitLab, records: &Records, more: &str) -> Larder {
    Larder::builder(gitlab)
        .sections(&records.section(more))
        .start()
}

fn ask(larder: &Larder, path: &str, question: &Value) -> Value {
    let text = question.to_string();
    let reply = larder
        .client()
        .post(path, "application/json", text.as_bytes());
    reply.expect(200);
    assert_eq!(reply.header("Content-Type"), Some("application/json"));
    reply.json()
}

fn ids(result: &Value) -> Vec<String> {
    let vulns = result["vulns"].as_array().cloned().unwrap_or_default();
    let id = |vuln: &Value| vuln["id"].as_str().expect("an id").to_owned();
    vulns.iter().map(id).collect()
}

fn package(name: &str, version: &str) -> Value {
    json!({"package": {"name": name, "ecosystem": "PyPI"}, "version": version})
}

#[test]
fn questions_are_answered_as_an_osv_service_answers_them() {
    let gitlab = GitLab::start();
    let records = records();
    let larder = larder(&gitlab, &records, "");
    let answer = ask(
        &larder,
        BATCH,
        &json!({"queries": [
            package("evil-lib", "1.0"),
            package("Evil_Lib", "1.0.0"),
            package("evil-lib", "1.2"),
            package("evil-all", "99"),
            package("kestrel", "1.0"),
            {"package": {"name": "evil-npm", "ecosystem": "npm"}, "version": "1.0"},
            {"package": {"purl": "pkg:pypi/old-lib@2.0"}},
            {"commit": "6879efc2c1596d11a6a6ad296f80063b558d5e0f"},
        ]}),
    );
    let results = answer["results"].as_array().expect("results");
    let found: Vec<Vec<String>> = results.iter().map(ids).collect();
    let expected = [
        vec!["MAL-2026-1"],
        vec!["MAL-2026-1"],
        vec![],
        vec!["MAL-2026-2"],
        vec![],
        vec![],
        vec!["GHSA-aaaa-bbbb-cccc"],
        vec![],
    ];
    assert_eq!(found, expected, "{answer}");
    assert_eq!(results[0]["vulns"][0]["modified"], "2026-11-01T10:00:00Z");

    let whole = ask(&larder, QUERY, &package("evil-lib", "1.1"));
    assert_eq!(ids(&whole), ["MAL-2026-1"]);
    assert_eq!(whole["vulns"][0]["summary"], "What is known of evil-lib");
    let every = ask(
        &larder,
        QUERY,
        &json!({"package": {"name": "evil-lib", "ecosystem": "PyPI"}}),
    );
    assert_eq!(ids(&every), ["MAL-2026-1"]);

    let one = larder.client().get("/-/osv/v1/vulns/GHSA-aaaa-bbbb-cccc");
    assert_eq!(one.json()["id"], "GHSA-aaaa-bbbb-cccc");
    larder
        .client()
        .get("/-/osv/v1/vulns/MAL-2026-9")
        .expect(404);
    larder.client().get("/-/osv/v1/vulns/a%2Fb").expect(404);
    larder.client().get(BATCH).expect(405);
    let odd = larder.client().post(BATCH, "application/json", b"{");
    odd.expect(400);
    // Not a name that was asked for has left, nor is one in the log.
    assert_eq!(gitlab.log().count(Kind::Page), 0);
    assert!(!larder.log().contains("kestrel"), "{}", larder.log());
}

#[test]
fn without_records_to_go_by_the_answer_is_an_error() {
    let gitlab = GitLab::start();
    let question = json!({"queries": [package("evil-lib", "1.0")]}).to_string();
    let ask = |larder: &Larder| {
        let client = larder.client();
        client.post(BATCH, "application/json", question.as_bytes())
    };
    let without = Larder::start(&gitlab);
    assert!(ask(&without).text().contains("policy.advisories"));
    ask(&without).expect(404);

    let records = records();
    records.grow_old();
    let stale = larder(&gitlab, &records, "advisories_max_age = \"10m\"");
    ask(&stale).expect(503);
    let served = larder(
        &gitlab,
        &records,
        "advisories_max_age = \"10m\"\nadvisories_on_stale = \"serve\"",
    );
    ask(&served).expect(200);
    let absent = Larder::builder(&gitlab)
        .sections("[policy]\nadvisories = \"/nowhere/all.zip\"")
        .start();
    ask(&absent).expect(503);
    absent.wait_for_log("/nowhere/all.zip");
}

/// A project with a lock of one package, from this index.
fn project(index: &str, name: &str, version: &str) -> Workbench {
    let user = Workbench::new();
    user.write(
        "pyproject.toml",
        format!(
            "[project]\nname = \"consumer\"\nversion = \"0.1\"\nrequires-python = \">=3.9\"\n\
             dependencies = [\"{name}=={version}\"]\n"
        ),
    );
    let wheel = name.replace('-', "_");
    let hash = "0".repeat(64);
    user.write(
        "uv.lock",
        format!(
            "version = 1\nrevision = 3\nrequires-python = \">=3.9\"\n\n[[package]]\nname = \"consumer\"\n\
             version = \"0.1\"\nsource = {{ virtual = \".\" }}\ndependencies = [{{ name = \"{name}\" }}]\n\n\
             [package.metadata]\nrequires-dist = [{{ name = \"{name}\", specifier = \"=={version}\" }}]\n\n\
             [[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = {{ registry = \"{index}\" }}\n\
             wheels = [{{ url = \"http://127.0.0.1:9/{wheel}-{version}-py3-none-any.whl\", hash = \"sha256:{hash}\" }}]\n"
        ),
    );
    user
}

/// uv checks packages of the public index alone; its URL is put together here, because no registry
/// is named in these files.
fn public_index() -> String {
    format!("https://{}.{}/simple", "pypi", "org")
}

#[test]
fn uv_refuses_to_sync_what_the_records_know_as_malware() {
    let gitlab = GitLab::start();
    let records = records();
    let larder = larder(&gitlab, &records, "");
    let service = format!("{}/-/osv/", larder.url());
    let interpreter = python::program("python").to_string_lossy().into_owned();
    let sync = |user: Workbench| {
        let user = user
            .environment("UV_MALWARE_CHECK", "1")
            .environment("UV_MALWARE_CHECK_URL", &service);
        user.uv(&["sync", "--frozen", "--python", &interpreter])
    };
    let refused = sync(project(&public_index(), "evil-lib", "1.0"));
    assert!(!refused.succeeded(), "{refused:#?}");
    assert!(refused.stderr.contains("MAL-2026-1"), "{refused:#?}");
    assert!(refused.stderr.contains("Malware detected"), "{refused:#?}");
    // What is not known as malware goes on to its download, of which there is none here.
    let taken = sync(project(&public_index(), "old-lib", "2.0"));
    assert!(!taken.stderr.contains("Malware detected"), "{taken:#?}");
    assert!(!taken.stderr.contains("OSV"), "{taken:#?}");
    // Of another index uv asks about nothing: there larder's own refusal is what stops it.
    let other = sync(project("http://index.example/simple/", "evil-lib", "1.0"));
    assert!(!other.stderr.contains("Malware detected"), "{other:#?}");
}

#[test]
fn uv_fails_where_the_records_are_too_old() {
    let gitlab = GitLab::start();
    let records = records();
    records.grow_old();
    let larder = larder(&gitlab, &records, "advisories_max_age = \"10m\"");
    let service = format!("{}/-/osv/", larder.url());
    let interpreter = python::program("python").to_string_lossy().into_owned();
    let user = project(&public_index(), "kestrel", "1.0")
        .environment("UV_MALWARE_CHECK", "1")
        .environment("UV_HTTP_RETRIES", "0")
        .environment("UV_MALWARE_CHECK_URL", &service);
    let outcome = user.uv(&["sync", "--frozen", "--python", &interpreter]);
    assert!(
        outcome.stderr.contains("Malware check failed"),
        "{outcome:#?}"
    );
}

#[test]
fn uv_audits_a_lock_of_any_index() {
    let gitlab = GitLab::start();
    let records = records();
    let larder = larder(&gitlab, &records, "");
    let service = format!("{}/-/osv/", larder.url());
    let audit = |name: &str, version: &str| {
        let user = project("http://index.example/simple/", name, version);
        user.uv(&[
            "audit",
            "--frozen",
            "--service-format",
            "osv",
            "--service-url",
            &service,
        ])
    };
    let found = audit("old-lib", "2.0");
    assert!(!found.succeeded(), "{found:#?}");
    let said = format!("{}{}", found.stdout, found.stderr);
    assert!(said.contains("GHSA-aaaa-bbbb-cccc"), "{found:#?}");
    assert!(said.contains("What is known of old_lib"), "{found:#?}");
    audit("old-lib", "2.1").expect_success();
}
