//! The lines of `docs/clients.md` for each tool, as they stand there, typed by a new user of the real
//! tool. What a lock file needs besides is in `lock_files`.

use super::lock_files::{PROJECT, User};
use crate::support::guide::Page;
use crate::support::wheel::real_wheels;
use crate::support::{GitLab, Larder, PublicIndex, python, token};

const PAGE: Page = Page(include_str!("../../../docs/clients.md"));

/// A GitLab with the real wheels, and a larder in front of it.
fn scene() -> (GitLab, Larder) {
    let gitlab = GitLab::start();
    // A name that is nowhere is one that may be published.
    gitlab.set(|settings| settings.forwarding = false);
    for wheel in real_wheels() {
        gitlab.publish(42, wheel);
    }
    let larder = Larder::start(&gitlab);
    (gitlab, larder)
}

/// The page's words, of this larder and of a project or a group of the stand-in.
fn spoken(text: &str, larder: &Larder) -> String {
    text.replace("127.0.0.1:3141", &larder.address().to_string())
        .replace("/projects/ID/", "/projects/42/")
        .replace("/groups/ID/", "/groups/7/")
        .replace("TOKEN", token::READER)
        .replace("PACKAGE", "requests")
}

#[track_caller]
fn assert_all_came_through(gitlab: &GitLab) {
    let entries = gitlab.log().entries();
    assert!(!entries.is_empty(), "GitLab was not asked");
    for entry in entries {
        // An upload goes on with its own name.
        if entry.head.method == "POST" {
            continue;
        }
        let by_larder = entry.head.header_contains("user-agent", "larder/");
        assert!(by_larder, "past larder: {}", entry.head.target);
    }
}

#[test]
fn pip_takes_the_line_and_the_configuration() {
    let (gitlab, larder) = scene();
    let [line, configuration] = &PAGE.commands("pip")[..] else {
        panic!("two lines for pip");
    };
    let user = User::new().with("PIP_TARGET", "site");
    user.shell(&spoken(line, &larder));
    assert!(user.has("site/requests"));

    // /dev/null would have pip read no file of its own either.
    let user = User::new()
        .with("PIP_TARGET", "site")
        .with("PIP_CONFIG_FILE", "/dev/zero/none");
    let login = format!(
        "machine 127.0.0.1 login __token__ password {}\n",
        token::READER
    );
    user.write("../.netrc", &login);
    user.shell(&spoken(configuration, &larder));
    user.shell("pip install requests");
    assert!(user.has("site/requests"));
    assert_all_came_through(&gitlab);
}

#[test]
fn uv_takes_the_line_and_the_project() {
    let (gitlab, larder) = scene();
    let [line] = &PAGE.commands("uv")[..] else {
        panic!("one line for uv");
    };
    let user = User::new();
    user.shell(&format!("uv venv\n{}", spoken(line, &larder)));
    user.assert_installed(".venv");

    let [project] = &PAGE.blocks("uv", "toml")[..] else {
        panic!("one file for uv");
    };
    let user = User::new()
        .with("UV_INDEX_LARDER_USERNAME", "__token__")
        .with("UV_INDEX_LARDER_PASSWORD", token::DEVELOPER)
        .with("UV_PUBLISH_USERNAME", "__token__")
        .with("UV_PUBLISH_PASSWORD", token::DEVELOPER);
    user.write(
        "pyproject.toml",
        &format!("{PROJECT}{}\n", spoken(project, &larder)),
    );
    user.shell("uv lock\nuv sync --locked");
    user.assert_installed(".venv");
    user.build("published-by-uv");
    user.shell("uv publish --index larder dist/*");
    assert_eq!(gitlab.uploads().len(), 1);
    assert_all_came_through(&gitlab);
}

#[test]
fn poetry_takes_the_lines() {
    let (gitlab, larder) = scene();
    let user = User::new();
    user.write(
        "pyproject.toml",
        &format!("{PROJECT}[tool.poetry]\npackage-mode = false\n"),
    );
    let lines = PAGE.commands("poetry").join("\n");
    user.shell(&spoken(&lines, &larder));
    user.shell("poetry lock\npoetry install");
    user.assert_installed(".venv");
    assert_all_came_through(&gitlab);
}

#[test]
fn pdm_and_pipenv_take_the_variables() {
    let (gitlab, larder) = scene();
    let [pdm, pipenv] = &PAGE.commands("pdm, pipenv and others")[..] else {
        panic!("a line for pdm and one for pipenv");
    };
    let user = User::new();
    user.links(
        "pdm",
        python::tool(&["pdm==2.29.4", "hishel==1.4.0"], "pdm"),
    );
    user.links("python3", python::program("python"));
    user.write(
        "pyproject.toml",
        &format!("{PROJECT}[tool.pdm]\ndistribution = false\n"),
    );
    let variable = spoken(pdm, &larder);
    user.shell(&format!(
        "{variable}\npdm venv create --with venv python3\npdm lock\npdm sync"
    ));
    user.assert_installed(".venv");

    let user = User::new().with("PIPENV_VENV_IN_PROJECT", "1");
    user.links("pipenv", python::pipenv());
    user.write("Pipfile", "[packages]\nrequests = \"*\"\n");
    let variable = spoken(pipenv, &larder);
    user.shell(&format!("{variable}\npipenv lock\npipenv sync"));
    user.assert_installed(".venv");
    assert_all_came_through(&gitlab);
}

#[test]
fn twine_and_uv_publish_by_the_lines() {
    let (gitlab, larder) = scene();
    let lines = PAGE.commands("Uploads");
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (number, line) in lines.iter().enumerate() {
        let user = User::new();
        user.build(&format!("published-{number}"));
        let line = line.replace("TOKEN", token::DEVELOPER);
        user.shell(&spoken(&line, &larder));
        assert_eq!(gitlab.uploads().len(), number + 1, "{line}");
    }
    assert_all_came_through(&gitlab);
}

#[test]
fn a_mirror_takes_the_same_line_with_its_own_address_and_no_token() {
    let index = PublicIndex::start();
    for wheel in real_wheels() {
        index.publish(wheel);
    }
    let larder = Larder::builder(&GitLab::start())
        .mirror("pypi", &index)
        .start();
    let section = PAGE.section("Mirrors");
    let mut quoted = section.split('`').skip(1).step_by(2);
    let address = quoted.find(|word| word.starts_with("http://"));
    let address = address.expect("the mirror's address");
    let line = &PAGE.commands("pip")[0];
    let mut words: Vec<&str> = line.split(' ').collect();
    let place = words.iter().position(|word| word.starts_with("http://"));
    let address = address.replace("/NAME/", "/pypi/");
    words[place.expect("an index")] = &address;
    let user = User::new().with("PIP_TARGET", "site");
    user.shell(&spoken(&words.join(" "), &larder));
    assert!(user.has("site/requests"));
}
