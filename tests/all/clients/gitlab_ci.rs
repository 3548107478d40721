//! The recipes of `docs/gitlab-ci.md` without their containers: the variables that each gives a
//! job, with real clients. The containers are in `system_tools`.

use crate::common::runner::{
    PAGE, PROJECT, RECIPES, authority, every_wheel_once, expanded, gitlab, new_job, runner_table,
    strings,
};
use crate::support::{Distribution, GitLab, Kind, Larder, Workbench, path, real_wheels};

/// A job with the variables of a recipe, this larder in the place of the recipe's.
fn job(recipe: &[String], gitlab: &GitLab, larder: &Larder) -> Workbench {
    let mut job = Workbench::new();
    let named = authority(&recipe[0]);
    let real = larder.address().to_string();
    for (name, value) in expanded(recipe, &new_job(gitlab)) {
        let value = value.replace(named, &real).replace("https://", "http://");
        // Of the recipe with an authority of its own, which there is none of here.
        if !value.starts_with("/etc/ssl/") {
            job = job.environment(&name, &value);
        }
    }
    job
}

fn installs(gitlab: &GitLab, larder: &Larder, recipe: &[String]) {
    let pip = job(recipe, gitlab, larder);
    pip.pip(&[
        "install",
        "--no-compile",
        "--target",
        "site",
        "requests",
        "python-dateutil",
    ])
    .expect_success();
    assert!(pip.folder().join("site/requests").exists());
    assert_eq!(gitlab.log().file_bodies(), every_wheel_once());
    gitlab.log().clear();
    let uv = job(recipe, gitlab, larder);
    uv.uv(&[
        "pip",
        "install",
        "--target",
        "site",
        "requests",
        "python-dateutil",
    ])
    .expect_success();
    assert!(uv.folder().join("site/requests").exists());
    assert_eq!(gitlab.log().file_bodies().bytes, 0, "fetched again");
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn every_recipe_gives_pip_and_uv_an_index_that_works() {
    for title in RECIPES {
        let gitlab = gitlab();
        let larder = Larder::start(&gitlab);
        let recipe = strings(&runner_table(title), "environment");
        installs(&gitlab, &larder, &recipe);
    }
}

#[test]
fn every_recipe_gives_pip_and_uv_the_same_index_and_trusts_plain_http() {
    for title in RECIPES {
        let environment = strings(&runner_table(title), "environment");
        let value = |name: &str| {
            let begin = format!("{name}=");
            let line = environment
                .iter()
                .find_map(|line| line.strip_prefix(&begin));
            line.map(str::to_owned)
        };
        let index = value("PIP_INDEX_URL").unwrap_or_else(|| panic!("{title}: no index"));
        assert_eq!(value("UV_DEFAULT_INDEX").as_ref(), Some(&index), "{title}");
        let (scheme, rest) = index.split_once("://").expect("a URL");
        let authority = authority(&index);
        let (login, path) = rest.split_once(&format!("@{authority}/")).expect("a login");
        assert_eq!(login, "gitlab-ci-token:${CI_JOB_TOKEN}", "{title}");
        assert_eq!(
            path,
            "api/v4/projects/${CI_PROJECT_ID}/packages/pypi/simple/"
        );
        let is_trusted = scheme == "https" || authority.starts_with("127.0.0.1:");
        let trusted = value("PIP_TRUSTED_HOST");
        assert_eq!(
            trusted.as_deref(),
            (!is_trusted).then_some(authority),
            "{title}"
        );
    }
}

#[test]
fn a_projects_own_lines_and_those_of_the_readme_are_the_shell_executors() {
    let runner = strings(&runner_table("Shell executor"), "environment");
    let [yaml] = &PAGE.blocks("Shell executor", "yaml")[..] else {
        panic!("one block of a project's lines");
    };
    let own: Vec<String> = yaml
        .lines()
        .filter_map(|line| {
            Some(line.trim().split_once(": ")?).map(|(name, value)| format!("{name}={value}"))
        })
        .collect();
    assert_eq!(own, runner);
    let readme = include_str!("../../../README.md");
    for line in &runner {
        assert!(readme.contains(&format!("\"{line}\"")), "{line}");
    }
}

#[test]
fn the_line_that_publishes_does() {
    let gitlab = gitlab();
    let larder = Larder::start(&gitlab);
    let [yaml] = &PAGE.blocks("Which URL, and which token", "yaml")[..] else {
        panic!("one job that publishes");
    };
    let line = yaml.lines().find_map(|line| line.trim().strip_prefix("- "));
    let line = line
        .expect("its script")
        .replace("127.0.0.1:3141", &larder.address().to_string());
    let job = Workbench::new()
        .environment("CI_PROJECT_ID", &PROJECT.to_string())
        .environment("CI_JOB_TOKEN", &new_job(&gitlab));
    let wheel = Distribution::new("published-by-a-job", "1.0").wheel();
    std::fs::create_dir(job.folder().join("dist")).expect("a fresh folder");
    job.write(&format!("dist/{}", wheel.filename), &wheel.bytes);
    let twine = crate::support::python::program("twine");
    let line = line.replacen("twine", &twine.display().to_string(), 1);
    job.run("sh".as_ref(), &["-ec", &line]).expect_success();
    assert_eq!(gitlab.uploads().len(), 1);
    let page = larder.client().job_token(&new_job(&gitlab));
    let page = page.get(&path::project_page(PROJECT, "published-by-a-job"));
    assert!(page.text().contains(&wheel.filename), "{page:?}");
}

#[test]
fn a_new_token_costs_a_request_for_each_project_or_for_each_package_of_a_group() {
    let gitlab = gitlab();
    let larder = Larder::start(&gitlab);
    let wheels = real_wheels();
    for (base, expected) in [
        (path::project_index(PROJECT), 1),
        (path::group_index(7), wheels.len()),
    ] {
        for round in ["the first job", "a new one"] {
            gitlab.log().clear();
            let client = larder.client().job_token(&new_job(&gitlab));
            for wheel in &wheels {
                client.get(&format!("{base}{}/", wheel.name)).expect(200);
            }
            if round == "a new one" {
                assert_eq!(gitlab.log().count(Kind::Page), expected, "{base}");
            }
        }
    }
}
