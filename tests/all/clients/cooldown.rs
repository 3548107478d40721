//! The real clients, each told to take nothing younger than some days, at a private package in
//! GitLab: alone, where they find nothing because its pages tell no dates, and through larder; at a
//! public one of a mirror; and at both by a view.

use std::time::{Duration, SystemTime};

use crate::common::delivery::eventually;
use crate::common::mirror::{JSON, get_as};
use crate::support::larder::Builder;
use crate::support::{
    Distribution, GitLab, Larder, NewFile, Offer, Outcome, PublicIndex, Workbench, path, python,
    token,
};

const SIMPLE: &str = "/api/v4/projects/42/packages/pypi/simple/";

/// The private package, and the public one.
const OURS: &str = "acme-lib";
const PUBLIC: &str = "left-pad";

fn days_ago(days: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(days * 86_400)
}

/// A week before now, as clients are told it.
fn cutoff() -> String {
    humantime::format_rfc3339_seconds(days_ago(7)).to_string()
}

/// 1.0 is a month old, 2.0 a day.
fn gitlab() -> GitLab {
    let gitlab = GitLab::start();
    for (version, age) in [("1.0", 30), ("2.0", 1)] {
        let wheel = Distribution::new("acme-lib", version).wheel();
        gitlab.publish(42, NewFile::from(wheel).uploaded(days_ago(age)));
    }
    gitlab.set(|settings| settings.forwarding = false);
    gitlab
}

/// A larder that has learned the dates, as it has soon after its first page.
fn larder(gitlab: &GitLab, more: impl FnOnce(Builder) -> Builder) -> Larder {
    let builder = Larder::builder(gitlab).sections("[index]\nupload_dates = true");
    let larder = more(builder).start();
    let client = larder.client().token(token::READER);
    eventually("the files have their dates", || {
        let page = get_as(&client, &path::project_page(42, "acme-lib"), JSON).json();
        page["meta"]["api-version"] == "1.1"
    });
    larder
}

fn index(authority: &str) -> String {
    format!("http://__token__:{}@{authority}{SIMPLE}", token::READER)
}

fn authority(gitlab: &GitLab) -> String {
    gitlab.url().trim_start_matches("http://").to_owned()
}

fn user() -> Workbench {
    Workbench::new().environment("COLUMNS", "300")
}

fn read(user: &Workbench, name: &str) -> String {
    std::fs::read_to_string(user.folder().join(name)).expect("a lock file")
}

fn uv_compile(user: &Workbench, index: &str, package: &str, cutoff: Option<&str>) -> Outcome {
    user.write("wanted.in", format!("{package}\n"));
    let interpreter = python::program("python").to_string_lossy().into_owned();
    let mut arguments = vec!["pip", "compile", "wanted.in", "--python", &interpreter];
    arguments.extend(["--default-index", index]);
    if let Some(cutoff) = cutoff {
        arguments.extend(["--exclude-newer", cutoff]);
    }
    user.uv(&arguments)
}

#[test]
fn uv_pip_compile_takes_nothing_newer_of_a_private_package() {
    let gitlab = gitlab();
    let cutoff = cutoff();
    let alone = uv_compile(&user(), &index(&authority(&gitlab)), OURS, Some(&cutoff));
    assert!(
        !alone.succeeded(),
        "GitLab's pages tell no dates: {alone:#?}"
    );

    let larder = larder(&gitlab, |builder| builder);
    let index = index(&larder.address().to_string());
    let held = uv_compile(&user(), &index, OURS, Some(&cutoff));
    assert!(
        held.expect_success().stdout.contains("acme-lib==1.0"),
        "{held:#?}"
    );
    let newest = uv_compile(&user(), &index, OURS, None);
    assert!(
        newest.expect_success().stdout.contains("acme-lib==2.0"),
        "{newest:#?}"
    );
}

#[test]
fn uv_lock_takes_nothing_newer_of_a_private_package() {
    let gitlab = gitlab();
    let larder = larder(&gitlab, |builder| builder);
    let user = user();
    user.write(
        "pyproject.toml",
        "[project]\nname = \"consumer\"\nversion = \"0.1\"\nrequires-python = \">=3.9\"\n\
         dependencies = [\"acme-lib\"]\n",
    );
    let index = index(&larder.address().to_string());
    let interpreter = python::program("python").to_string_lossy().into_owned();
    let cutoff = cutoff();
    let given = ["lock", "--python", &interpreter, "--default-index", &index];
    user.uv(&[&given[..], &["--exclude-newer", &cutoff]].concat())
        .expect_success();
    let lock = read(&user, "uv.lock");
    assert!(
        lock.contains("name = \"acme-lib\"\nversion = \"1.0\""),
        "{lock}"
    );
    assert!(lock.contains("upload-time = \""), "with the date: {lock}");
    assert!(lock.contains("size = "), "and the size: {lock}");
}

fn pip_download(index: &str, package: &str, cutoff: Option<&str>) -> Outcome {
    let user = user();
    let prior = cutoff.map(|cutoff| format!("--uploaded-prior-to={cutoff}"));
    let mut arguments = vec!["download", "--no-deps", "--index-url", index];
    arguments.extend(prior.as_deref());
    arguments.push(package);
    user.run(&python::program("pip"), &arguments)
}

#[test]
fn pip_takes_nothing_newer_of_a_private_package() {
    let gitlab = gitlab();
    let cutoff = cutoff();
    let alone = pip_download(&index(&authority(&gitlab)), OURS, Some(&cutoff));
    assert!(
        !alone.succeeded(),
        "GitLab's pages tell no dates: {alone:#?}"
    );

    let larder = larder(&gitlab, |builder| builder);
    let index = index(&larder.address().to_string());
    let held = pip_download(&index, OURS, Some(&cutoff));
    assert!(
        held.expect_success().stdout.contains("acme_lib-1.0"),
        "{held:#?}"
    );
    assert!(!held.stdout.contains("acme_lib-2.0"), "{held:#?}");
}

/// A project that wants a package of this index, as poetry and pdm read it.
fn consumer(package: &str, sources: &str) -> String {
    format!(
        "[project]\nname = \"consumer\"\nversion = \"0.1\"\nrequires-python = \">=3.9\"\n\
         dependencies = [\"{package}\"]\n\n{sources}"
    )
}

/// `url` is without a credential.
fn poetry_lock(url: &str, package: &str, age: &str) -> (Outcome, String) {
    let user = user()
        .environment("POETRY_HTTP_BASIC_OURS_USERNAME", "__token__")
        .environment("POETRY_HTTP_BASIC_OURS_PASSWORD", token::READER)
        .environment("POETRY_SOLVER_MIN_RELEASE_AGE", age);
    let sources = format!(
        "[tool.poetry]\npackage-mode = false\n\n\
         [[tool.poetry.source]]\nname = \"ours\"\nurl = \"{url}\"\npriority = \"primary\"\n"
    );
    user.write("pyproject.toml", consumer(package, &sources));
    let done = user.run(&python::poetry(), &["lock", "--no-interaction"]);
    let lock = std::fs::read_to_string(user.folder().join("poetry.lock"));
    (done, lock.unwrap_or_default())
}

fn pdm_lock(index: &str, package: &str, cutoff: Option<&str>) -> (Outcome, String) {
    let user = user();
    let sources = format!("[[tool.pdm.source]]\nname = \"pypi\"\nurl = \"{index}\"\n");
    user.write("pyproject.toml", consumer(package, &sources));
    let interpreter = python::program("python").to_string_lossy().into_owned();
    user.run(&python::pdm(), &["use", "-f", &interpreter]);
    let mut arguments = vec!["lock"];
    if let Some(cutoff) = cutoff {
        arguments.extend(["--exclude-newer", cutoff]);
    }
    let done = user.run(&python::pdm(), &arguments);
    let lock = std::fs::read_to_string(user.folder().join("pdm.lock"));
    (done, lock.unwrap_or_default())
}

#[test]
fn poetry_takes_nothing_newer_of_a_private_package() {
    let gitlab = gitlab();
    let larder = larder(&gitlab, |builder| builder);
    let url = format!("http://{}{SIMPLE}", larder.address());
    let lock = |age: &str| {
        let (done, lock) = poetry_lock(&url, OURS, age);
        done.expect_success();
        lock
    };
    let newest = lock("0");
    assert!(newest.contains("version = \"2.0\""), "{newest}");
    let held = lock("7");
    assert!(held.contains("version = \"1.0\""), "{held}");
}

/// What a client took, in a cell of the table.
fn taken(done: &Outcome, text: &str) -> &'static str {
    match (text.contains("2.0"), text.contains("1.0")) {
        _ if !done.succeeded() => "nothing",
        (true, _) => "2.0",
        (false, true) => "1.0",
        (false, false) => "nothing",
    }
}

/// A column of the table: an index, what a client wants of it, and whether it asks its question.
struct Column {
    title: &'static str,
    url: String,
    package: &'static str,
    asks: bool,
}

/// What a client takes.
fn cell(client: &str, column: &Column) -> &'static str {
    let with_token = format!("://__token__:{}@", token::READER);
    let with_token = column.url.replacen("://", &with_token, 1);
    let package = column.package;
    let cutoff = cutoff();
    let cutoff = if column.asks {
        Some(cutoff.as_str())
    } else {
        None
    };
    match client {
        "uv" => {
            let done = uv_compile(&user(), &with_token, package, cutoff);
            taken(&done, &done.stdout)
        }
        "pip" => {
            let done = pip_download(&with_token, package, cutoff);
            // Only the line that says what was saved.
            let saved = done.stdout.lines().find(|line| line.starts_with("Saved"));
            taken(&done, saved.unwrap_or_default())
        }
        "poetry" => {
            let age = if column.asks { "7" } else { "0" };
            let (done, lock) = poetry_lock(&column.url, package, age);
            taken(&done, locked(&lock, package))
        }
        _ => {
            let (done, lock) = pdm_lock(&with_token, package, cutoff);
            taken(&done, locked(&lock, package))
        }
    }
}

/// The line with the package's version in a lock file.
fn locked<'l>(lock: &'l str, package: &str) -> &'l str {
    let name = format!("name = \"{package}\"");
    let of = lock.split(name.as_str()).nth(1).unwrap_or_default();
    of.lines().nth(1).unwrap_or_default()
}

/// An index with the public package, and with a lookalike of the private one that no view gives.
fn public_index() -> PublicIndex {
    let index = PublicIndex::start();
    for (name, version, age) in [(OURS, "9.0", 30), (PUBLIC, "1.0", 30), (PUBLIC, "2.0", 1)] {
        let uploaded = humantime::format_rfc3339_seconds(days_ago(age)).to_string();
        let wheel = Distribution::new(name, version).wheel();
        index.publish(Offer::from(wheel).uploaded(&uploaded));
    }
    index
}

#[test]
fn the_table_of_clients_is_the_guides() {
    let gitlab = gitlab();
    let index = public_index();
    let with = larder(&gitlab, |builder| {
        let view = "[[views]]\nname = \"all\"\nsources = [\"projects/42\", \"pypi\"]";
        builder.mirror("pypi", &index).sections(view)
    });
    let ruled = Larder::builder(&gitlab)
        .gitlab_setting("min_age = \"7d\"")
        .sections("[index]\nupload_dates = true")
        .start();
    let column = |title, url, package, asks| Column {
        title,
        url,
        package,
        asks,
    };
    let alone = format!("{}{SIMPLE}", gitlab.url());
    let through = format!("{}{SIMPLE}", with.url());
    let mirror = format!("{}/pypi/simple/", with.url());
    let view = format!("{}/all/simple/", with.url());
    let aged = format!("{}{SIMPLE}", ruled.url());
    let columns = [
        column("GitLab without larder", alone, OURS, true),
        column("GitLab through larder", through, OURS, true),
        column("a mirror of larder's", mirror, PUBLIC, true),
        column("a view: GitLab's package", view.clone(), OURS, true),
        column("a view: the mirror's package", view, PUBLIC, true),
        column("`gitlab.min_age`, no question", aged, OURS, false),
    ];
    let mut table = String::from("| client | its question |");
    for column in &columns {
        table += &format!(" {} |", column.title);
    }
    table += &format!("\n|{}\n", " --- |".repeat(columns.len() + 2));
    for (client, version, question) in [
        ("uv", "0.13.9", "`--exclude-newer`"),
        ("pip", "26.3", "`--uploaded-prior-to`"),
        ("poetry", "2.5.1", "`solver.min-release-age`"),
        ("pdm", "2.29.3", "`--exclude-newer`"),
    ] {
        table += &format!("| {client} {version} | {question} |");
        for column in &columns {
            table += &format!(" {} |", cell(client, column));
        }
        table.push('\n');
    }
    // What the view gave was of the source that it should be.
    with.wait_for_log("source=projects/42");
    with.wait_for_log("source=pypi");
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/target/cooldown-clients.md");
    std::fs::write(place, &table).expect("a writable folder");
    let guide = include_str!("../../../docs/cooldown.md");
    assert!(
        guide.contains(&table),
        "docs/cooldown.md has another table than:\n{table}"
    );
}
