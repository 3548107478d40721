//! What the recipes of `docs/gitlab-ci.md` tell a GitLab runner, and what it makes of that for a
//! job.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::guide::Page;
use crate::support::{FileBodies, GitLab, Place, Role, Token, TokenKind, real_wheels};

pub const PAGE: Page = Page(include_str!("../../../docs/gitlab-ci.md"));

/// The sections that have a runner's `config.toml`.
pub const RECIPES: [&str; 5] = [
    "Shell executor",
    "Docker executor, larder on the host",
    "Docker executor, larder as a container",
    "Kubernetes executor",
    "One central larder, with TLS",
];

/// Of the stand-in, and of the jobs.
pub const PROJECT: u64 = 42;

/// Holding the real wheels, whose files it sends itself.
pub fn gitlab() -> GitLab {
    let gitlab = GitLab::start();
    for wheel in &real_wheels() {
        gitlab.publish(PROJECT, wheel);
    }
    gitlab
}

pub fn every_wheel_once() -> FileBodies {
    let wheels = real_wheels();
    FileBodies {
        transfers: wheels.len(),
        bytes: wheels.iter().map(|wheel| wheel.bytes.len() as u64).sum(),
    }
}

/// The token of a job that has just begun.
pub fn new_job(gitlab: &GitLab) -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(1);
    let secret = format!("glcbt-job-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let token = Token::new(TokenKind::Job, &secret);
    let token = token.member(Place::Project(PROJECT), Role::Developer);
    gitlab.change(|universe| universe.tokens.push(token));
    secret
}

/// The runner that a section's `config.toml` describes.
#[track_caller]
pub fn runner_table(title: &str) -> toml::Table {
    for block in PAGE.blocks(title, "toml") {
        let table: toml::Table = block.parse().expect("the page's TOML");
        if let Some(runners) = table.get("runners") {
            let runners = runners.as_array().expect("[[runners]]");
            assert_eq!(runners.len(), 1, "{title}");
            return runners[0].as_table().expect("a table").clone();
        }
    }
    panic!("no runner below {title}");
}

/// A list of texts, or one text; empty where the key is not there.
pub fn strings(table: &toml::Table, key: &str) -> Vec<String> {
    match table.get(key) {
        None => Vec::new(),
        Some(toml::Value::String(text)) => vec![text.clone()],
        Some(toml::Value::Array(texts)) => {
            let text = |value: &toml::Value| value.as_str().expect("a text").to_owned();
            texts.iter().map(text).collect()
        }
        Some(other) => panic!("{key} = {other}"),
    }
}

/// `NAME=VALUE` lines as a runner hands them to a job: each reference to a variable of the job
/// replaced by its value.
pub fn expanded(lines: &[String], token: &str) -> Vec<(String, String)> {
    let mut expanded = Vec::new();
    for line in lines {
        let line = line
            .replace("${CI_JOB_TOKEN}", token)
            .replace("${CI_PROJECT_ID}", &PROJECT.to_string());
        assert!(!line.contains('$'), "an unknown reference: {line}");
        let (name, value) = line.split_once('=').expect("NAME=VALUE");
        expanded.push((name.to_owned(), value.to_owned()));
    }
    expanded
}

/// Host and port of the index that the recipe names.
pub fn authority(index: &str) -> &str {
    let (_, rest) = index.split_once('@').expect("a login");
    let (authority, _) = rest.split_once('/').expect("a path");
    authority
}
