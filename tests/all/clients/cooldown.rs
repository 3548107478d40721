//! The real clients, each told to take nothing younger than some days, at a private package in
//! GitLab: alone, where they find nothing because its pages tell no dates, and through larder.

use std::time::{Duration, SystemTime};

use crate::common::delivery::eventually;
use crate::common::mirror::{JSON, get_as};
use crate::support::{
    Distribution, GitLab, Larder, NewFile, Outcome, Workbench, path, python, token,
};

const SIMPLE: &str = "/api/v4/projects/42/packages/pypi/simple/";

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
fn larder(gitlab: &GitLab) -> Larder {
    let larder = Larder::builder(gitlab)
        .sections("[index]\nupload_dates = true")
        .start();
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

fn uv_compile(user: &Workbench, index: &str, cutoff: Option<&str>) -> Outcome {
    user.write("wanted.in", "acme-lib\n");
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
    let alone = uv_compile(&user(), &index(&authority(&gitlab)), Some(&cutoff));
    assert!(
        !alone.succeeded(),
        "GitLab's pages tell no dates: {alone:#?}"
    );

    let larder = larder(&gitlab);
    let index = index(&larder.address().to_string());
    let held = uv_compile(&user(), &index, Some(&cutoff));
    assert!(
        held.expect_success().stdout.contains("acme-lib==1.0"),
        "{held:#?}"
    );
    let newest = uv_compile(&user(), &index, None);
    assert!(
        newest.expect_success().stdout.contains("acme-lib==2.0"),
        "{newest:#?}"
    );
}

#[test]
fn uv_lock_takes_nothing_newer_of_a_private_package() {
    let gitlab = gitlab();
    let larder = larder(&gitlab);
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

#[test]
fn pip_takes_nothing_newer_of_a_private_package() {
    let gitlab = gitlab();
    let cutoff = format!("--uploaded-prior-to={}", cutoff());
    let download = |index: &str| {
        let user = user();
        let arguments = [
            "download",
            "--no-deps",
            &cutoff,
            "--index-url",
            index,
            "acme-lib",
        ];
        user.run(&python::program("pip"), &arguments)
    };
    let alone = download(&index(&authority(&gitlab)));
    assert!(
        !alone.succeeded(),
        "GitLab's pages tell no dates: {alone:#?}"
    );

    let larder = larder(&gitlab);
    let held = download(&index(&larder.address().to_string()));
    assert!(
        held.expect_success().stdout.contains("acme_lib-1.0"),
        "{held:#?}"
    );
    assert!(!held.stdout.contains("acme_lib-2.0"), "{held:#?}");
}

#[test]
fn poetry_takes_nothing_newer_of_a_private_package() {
    let gitlab = gitlab();
    let larder = larder(&gitlab);
    let lock = |age: &str| {
        let user = user()
            .environment("POETRY_HTTP_BASIC_OURS_USERNAME", "__token__")
            .environment("POETRY_HTTP_BASIC_OURS_PASSWORD", token::READER)
            .environment("POETRY_SOLVER_MIN_RELEASE_AGE", age);
        user.write(
            "pyproject.toml",
            format!(
                "[project]\nname = \"consumer\"\nversion = \"0.1\"\nrequires-python = \">=3.9\"\n\
                 dependencies = [\"acme-lib\"]\n\n[tool.poetry]\npackage-mode = false\n\n\
                 [[tool.poetry.source]]\nname = \"ours\"\nurl = \"http://{}{SIMPLE}\"\npriority = \"primary\"\n",
                larder.address()
            ),
        );
        user.run(&python::poetry(), &["lock", "--no-interaction"])
            .expect_success();
        read(&user, "poetry.lock")
    };
    let newest = lock("0");
    assert!(newest.contains("version = \"2.0\""), "{newest}");
    let held = lock("7");
    assert!(held.contains("version = \"1.0\""), "{held}");
}
