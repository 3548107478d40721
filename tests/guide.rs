//! The documents: every link leads somewhere, the guide in `docs/` is whole, and its chart draws what was measured.
//!
//! Needs no network: addresses of other hosts are not looked at. `.ci/guide` builds the guide itself.

#![expect(
    clippy::disallowed_methods,
    reason = "a test reads the documents of the repository"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// "README in two screens": what is longer belongs into the guide.
const README_LINES_MAX: usize = 150;
const README_BYTES_MAX: usize = 9_000;

/// The blocks of code of the pages whose every recipe is run, in their order: the heading, the language (of
/// indented lines: `commands`), and the test that reads the block from the page and does what it says.
type Recipe = (&'static str, &'static str, &'static str);

const RUNNERS: [Recipe; 15] = [
    (
        "Shell executor",
        "toml",
        "clients/gitlab_ci.rs: every_recipe_gives_pip_and_uv_an_index_that_works",
    ),
    (
        "Shell executor",
        "yaml",
        "clients/gitlab_ci.rs: a_projects_own_lines_and_those_of_the_readme_are_the_shell_executors",
    ),
    (
        "Docker executor, larder on the host",
        "ini",
        "system_tools/docker_runners.rs: the_docker_executor_reaches_the_service_of_the_host",
    ),
    (
        "Docker executor, larder on the host",
        "commands",
        "system_tools/docker_runners.rs: the_docker_executor_reaches_the_service_of_the_host",
    ),
    (
        "Docker executor, larder on the host",
        "toml",
        "system_tools/docker_runners.rs: the_docker_executor_reaches_a_larder_on_the_host",
    ),
    (
        "Docker executor, larder on the host",
        "toml",
        "system_tools/docker_runners.rs: the_docker_executor_reaches_a_larder_on_the_host",
    ),
    (
        "Docker executor, larder as a container",
        "commands",
        "system_tools/docker_runners.rs: the_docker_executor_reaches_a_larder_in_a_container",
    ),
    (
        "Docker executor, larder as a container",
        "toml",
        "system_tools/docker_runners.rs: the_docker_executor_reaches_a_larder_in_a_container",
    ),
    (
        "A committed uv.lock",
        "commands",
        "clients/lock_files.rs: a_job_with_a_committed_uv_lock_installs_by_the_lines_of_the_runners_page",
    ),
    (
        "docker build in a job",
        "dockerfile",
        "system_tools/docker_runners.rs: docker_build_in_a_job_gets_the_index_and_keeps_no_token",
    ),
    (
        "docker build in a job",
        "commands",
        "system_tools/docker_runners.rs: docker_build_in_a_job_gets_the_index_and_keeps_no_token",
    ),
    (
        "Kubernetes executor",
        "toml",
        "clients/gitlab_ci.rs: every_recipe_gives_pip_and_uv_an_index_that_works",
    ),
    (
        "One central larder, with TLS",
        "toml",
        "system_tools/docker_runners.rs: the_docker_executor_reaches_a_central_larder_over_tls",
    ),
    (
        "One central larder, with TLS",
        "toml",
        "system_tools/docker_runners.rs: the_docker_executor_reaches_a_central_larder_over_tls",
    ),
    (
        "Which URL, and which token",
        "yaml",
        "clients/gitlab_ci.rs: the_line_that_publishes_does",
    ),
];

const CLIENTS: [Recipe; 15] = [
    (
        "One name for all",
        "toml",
        "clients/lock_files.rs: uv_locks_and_syncs_by_one_name",
    ),
    (
        "One name for all",
        "commands",
        "clients/lock_files.rs: uv_locks_and_syncs_by_one_name",
    ),
    (
        "One name for all",
        "commands",
        "clients/lock_files.rs: poetry_locks_and_installs_by_one_name",
    ),
    (
        "Rewrite the lock in the job",
        "commands",
        "clients/lock_files.rs: uv_syncs_a_lock_that_larder_rewrote",
    ),
    (
        "Rewrite the lock in the job",
        "commands",
        "clients/lock_files.rs: uv_syncs_a_lock_that_larder_rewrote",
    ),
    (
        "Rewrite the lock in the job",
        "commands",
        "clients/lock_files.rs: poetry_locks_anew_for_another_source_and_installs",
    ),
    (
        "Rewrite the lock in the job",
        "commands",
        "clients/lock_files.rs: uv_syncs_a_lock_that_larder_rewrote",
    ),
    (
        "Export the lock in the job",
        "commands",
        "clients/lock_files.rs: uv_installs_what_it_exports",
    ),
    (
        "Export the lock in the job",
        "commands",
        "clients/lock_files.rs: pip_installs_what_poetry_exports",
    ),
    (
        "pip",
        "commands",
        "clients/page_lines.rs: pip_takes_the_line_and_the_configuration",
    ),
    (
        "uv",
        "commands",
        "clients/page_lines.rs: uv_takes_the_line_and_the_project",
    ),
    (
        "uv",
        "toml",
        "clients/page_lines.rs: uv_takes_the_line_and_the_project",
    ),
    (
        "poetry",
        "commands",
        "clients/page_lines.rs: poetry_takes_the_lines",
    ),
    (
        "pdm, pipenv and others",
        "commands",
        "clients/page_lines.rs: pdm_and_pipenv_take_the_variables",
    ),
    (
        "Uploads",
        "commands",
        "clients/page_lines.rs: twine_and_uv_publish_by_the_lines",
    ),
];

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let documents = documents(&root());
    assert!(documents.len() > 20, "{documents:?}");
    let mut faults = Vec::new();
    for document in &documents {
        let text = read(document);
        for target in links(&text) {
            if let Some(fault) = fault(document, &text, &target) {
                faults.push(format!("{}: {target}: {fault}", document.display()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_page_is_in_the_summary_once_and_links_only_within_the_guide() {
    let docs = root().join("docs");
    let summary = docs.join("SUMMARY.md");
    let listed = links(&read(&summary));
    let unique: BTreeSet<&String> = listed.iter().collect();
    assert_eq!(listed.len(), unique.len(), "a page is listed twice");

    for page in documents(&docs) {
        if page == summary {
            continue;
        }
        let name = page.strip_prefix(&docs).expect("a page of the guide");
        let name = name.to_string_lossy().into_owned();
        assert!(
            listed.contains(&name),
            "docs/SUMMARY.md does not list {name}"
        );
        for target in links(&read(&page)) {
            // The built guide has nothing else.
            assert!(
                !target.starts_with(".."),
                "docs/{name} leads out of the guide: {target}"
            );
        }
    }
}

#[test]
fn the_readme_fits_two_screens() {
    let readme = read(&root().join("README.md"));
    let lines = readme.lines().count();
    assert!(lines <= README_LINES_MAX, "{lines} lines");
    assert!(readme.len() <= README_BYTES_MAX, "{} bytes", readme.len());
}

#[test]
fn the_chart_draws_figures_of_the_benchmarks_and_of_the_readme() {
    let chart = read(&root().join("docs/benefit.svg"));
    let benchmarks = read(&root().join("docs/benchmarks.md"));
    let (_, table) = benchmarks.split_once("## A day of CI").expect("a section");
    let (table, _) = table.split_once("\n## ").expect("another section");
    let cells: BTreeSet<&str> = table.split('|').map(str::trim).collect();
    let readme = read(&root().join("README.md"));
    let (_, shown) = readme
        .split_once("A day of CI:")
        .expect("what the demo says");
    let (shown, _) = shown.split_once("```").expect("a fence that is closed");
    let words: BTreeSet<&str> = shown.split_whitespace().collect();

    // XML allows no two hyphens in a comment; browsers show an error in the chart's place.
    for begun in chart.split("<!--").skip(1) {
        let (comment, _) = begun.split_once("-->").expect("a comment that is closed");
        assert!(!comment.contains("--"), "{comment}");
    }
    let drawn: Vec<&str> = chart
        .split("<tspan font-weight=\"600\">")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap_or_default())
        .collect();
    assert_eq!(drawn.len(), 6, "{drawn:?}");
    for figure in drawn {
        assert!(cells.contains(figure), "{figure} is not in the table");
        assert!(words.contains(figure), "{figure} is not in the README");
    }
}

#[test]
fn every_source_file_that_the_architecture_page_names_is_there() {
    let page = read(&root().join("docs/architecture.md"));
    let mut rooms: Vec<&str> = Vec::new();
    let mut named = 0;
    let mut missing = Vec::new();
    for line in prose(&page) {
        if line.starts_with('#') {
            rooms = quoted(line).collect();
        }
        for name in quoted(line) {
            if !name.ends_with(".rs") {
                continue;
            }
            named += 1;
            if !is_source(name, &rooms) {
                missing.push(format!("{name} (below {rooms:?})"));
            }
        }
    }
    assert!(named > 100, "{named} files are named");
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn every_recipe_of_the_runners_and_of_the_clients_has_a_test_that_runs_it() {
    for (page, recipes) in [("gitlab-ci.md", &RUNNERS[..]), ("clients.md", &CLIENTS)] {
        let text = read(&root().join("docs").join(page));
        let mut listed = Vec::new();
        for (heading, language, test) in recipes {
            listed.push(((*heading).to_owned(), (*language).to_owned()));
            let (file, name) = test.split_once(": ").expect("a file and a test");
            let tests = read(&root().join("tests/all").join(file));
            let (before, _) = tests
                .split_once(&format!("\nfn {name}() {{"))
                .unwrap_or_else(|| panic!("there is no {test}"));
            let attributes = before.rsplit("\n\n").next().unwrap_or_default();
            assert!(attributes.contains("#[test]"), "{test} is no test");
        }
        assert_eq!(code_blocks(&text), listed, "docs/{page}");
    }
}

#[test]
fn every_block_of_code_is_found_with_its_heading() {
    let text = "# A page\n\n## One\n\n    first\n    second\n\ntext\n\n    third\n\n\
                ```toml\n# no heading\n    no command\n```\n\n### Two\n\n```yaml\n```\n";
    let found = code_blocks(text);
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(heading, language)| (heading.as_str(), language.as_str()))
        .collect();
    let expected = [
        ("One", "commands"),
        ("One", "commands"),
        ("One", "toml"),
        ("Two", "yaml"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_missing_file_a_missing_heading_and_a_link_in_code_are_told_apart() {
    let text = "# A guide\n\n## One, two: `three`\n\n[a](#one-two-three) [b](#four) [c\nd](none.md)\n\
                `[e](code.md)` [f](https://index.example/)\n\n```text\n[g](fence.md)\n# no heading\n```\n\n    [h](indented.md)\n";
    assert_eq!(
        links(text),
        [
            "#one-two-three",
            "#four",
            "none.md",
            "https://index.example/"
        ]
    );
    let here = root().join("README.md");
    assert_eq!(fault(&here, text, "#one-two-three"), None);
    assert!(fault(&here, text, "#four").is_some() && fault(&here, text, "#no-heading").is_some());
    assert!(fault(&here, text, "none.md").is_some());
    assert_eq!(fault(&here, text, "LICENSE"), None);
    assert!(fault(&here, text, "CHANGELOG.md#nothing").is_some());
    assert_eq!(fault(&here, text, "https://index.example/"), None);
}

/// Whether a file is named by its path in the repository, in `src/`, or in one of these rooms or a folder of theirs.
fn is_source(name: &str, rooms: &[&str]) -> bool {
    let sources = root().join("src");
    if root().join(name).exists() || sources.join(name).exists() {
        return true;
    }
    rooms.iter().any(|room| {
        let room = sources.join(room);
        let folders = fs::read_dir(&room).into_iter().flatten().flatten();
        room.join(name).exists()
            || folders
                .map(|entry| entry.path().join(name))
                .any(|path| path.exists())
    })
}

/// The words in backquotes.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The blocks of code of a page, each with its heading and its language.
fn code_blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut heading = String::new();
    let mut is_fenced = false;
    let mut is_indented = false;
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            is_fenced = !is_fenced;
            if is_fenced {
                blocks.push((heading.clone(), language.to_owned()));
            }
        } else if !is_fenced && line.starts_with('#') {
            line.trim_start_matches(['#', ' ']).clone_into(&mut heading);
        }
        let was_indented = is_indented;
        is_indented = !is_fenced && line.starts_with("    ");
        if is_indented && !was_indented {
            blocks.push((heading.clone(), "commands".to_owned()));
        }
    }
    blocks
}

/// Why this target of a link leads nowhere, if it does.
fn fault(document: &Path, text: &str, target: &str) -> Option<&'static str> {
    if target.contains("://") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() {
        document.to_owned()
    } else {
        document.with_file_name("").join(path)
    };
    if !file.exists() {
        return Some("there is no such file");
    }
    if anchor.is_empty() {
        return None;
    }
    let headings = if path.is_empty() {
        anchors(text)
    } else {
        anchors(&read(&file))
    };
    if headings.contains(anchor) {
        None
    } else {
        Some("there is no such heading")
    }
}

/// The targets of the links and pictures of a text, in their order, without those in code.
fn links(text: &str) -> Vec<String> {
    let prose: Vec<&str> = prose(text)
        .filter(|line| !line.starts_with("    "))
        .collect();
    let joined = prose.join("\n");
    let outside_of_code: Vec<&str> = joined.split('`').step_by(2).collect();
    let text = outside_of_code.join("`");
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// The addresses of the headings, as GitLab, GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let mut anchor = String::new();
        for letter in title.trim().to_lowercase().chars() {
            if letter.is_alphanumeric() || letter == '_' || letter == '-' {
                anchor.push(letter);
            } else if letter == ' ' {
                anchor.push('-');
            }
        }
        anchors.insert(anchor);
    }
    anchors
}

/// The lines outside of fenced code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_fenced = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        if is_fence {
            is_fenced = !is_fenced;
        }
        !is_fence && !is_fenced
    })
}

/// Every document below a folder, without what is built and what is hidden.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("a folder of the repository");
        for entry in entries {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') || name == "target" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
