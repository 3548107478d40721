//! Every client that people publish with, at GitLab directly and through larder: the same form
//! arrives, as often, and the client ends the same way, whatever GitLab answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use crate::support::{
    Act, Artifact, Distribution, GitLab, Kind, Larder, Outcome, Workbench, path, python, token,
};

/// What GitLab is made to answer.
const ANSWERS: [u16; 6] = [201, 400, 403, 409, 413, 503];

/// Publishes the wheel that lies in the folder `dist` of the bench.
type Uploader = fn(&Workbench, url: &str, file: &Artifact) -> Outcome;

fn user() -> Workbench {
    Workbench::new()
        .environment("COLUMNS", "300")
        .environment("NO_COLOR", "1")
        .environment("TERM", "dumb")
        .environment("SOURCE_DATE_EPOCH", "1700000000")
        .environment("PDM_CHECK_UPDATE", "false")
}

fn file_in_dist(file: &Artifact) -> String {
    format!("dist/{}", file.filename)
}

fn twine(user: &Workbench, url: &str, file: &Artifact) -> Outcome {
    let options = [
        "upload",
        "--non-interactive",
        "--disable-progress-bar",
        "--verbose",
    ];
    let whom = [
        "--repository-url",
        url,
        "-u",
        "__token__",
        "-p",
        token::DEVELOPER,
    ];
    user.twine(&[&options[..], &whom, &[&file_in_dist(file)]].concat())
}

fn uv(user: &Workbench, url: &str, file: &Artifact) -> Outcome {
    let whom = [
        "publish",
        "--publish-url",
        url,
        "--username",
        "__token__",
        "--password",
        token::DEVELOPER,
    ];
    user.uv(&[&whom[..], &[&file_in_dist(file)]].concat())
}

fn project(user: &Workbench, file: &Artifact, build: &str) {
    let (name, version) = (&file.name, &file.version);
    let text = format!(
        "[project]\nname = \"{name}\"\nversion = \"{version}\"\ndescription = \"x\"\nrequires-python = \">=3.9\"\n{build}"
    );
    user.write("pyproject.toml", text);
}

fn poetry(user: &Workbench, url: &str, file: &Artifact) -> Outcome {
    project(user, file, "");
    let poetry = python::poetry();
    user.run(&poetry, &["config", "--local", "repositories.ours", url])
        .expect_success();
    let whom = [
        "--repository",
        "ours",
        "--username",
        "__token__",
        "--password",
        token::DEVELOPER,
    ];
    user.run(
        &poetry,
        &[&["publish", "--no-interaction"][..], &whom].concat(),
    )
}

fn pdm(user: &Workbench, url: &str, file: &Artifact) -> Outcome {
    project(user, file, "");
    let whom = [
        "--repository",
        url,
        "--username",
        "__token__",
        "--password",
        token::DEVELOPER,
    ];
    let pdm = python::tool(&["pdm==2.29.4", "hishel==1.4.0"], "pdm");
    user.run(&pdm, &[&["publish", "--no-build"][..], &whom].concat())
}

fn hatch(user: &Workbench, url: &str, file: &Artifact) -> Outcome {
    project(user, file, "");
    let whom = [
        "--repo",
        url,
        "--user",
        "__token__",
        "--auth",
        token::DEVELOPER,
    ];
    let hatch = python::tool(&["hatch==1.18.2"], "hatch");
    user.run(
        &hatch,
        &[
            &["publish", "--no-prompt"][..],
            &whom,
            &[&file_in_dist(file)],
        ]
        .concat(),
    )
}

/// Builds what it publishes, always.
fn flit(user: &Workbench, url: &str, file: &Artifact) -> Outcome {
    project(
        user,
        file,
        "[build-system]\nrequires = [\"flit_core>=3.2,<5\"]\nbuild-backend = \"flit_core.buildapi\"\n",
    );
    user.write(&format!("{}.py", file.name), "\"\"\"x\"\"\"\n");
    // None of these is known when the bench is made.
    let script = "FLIT_INDEX_URL=\"$1\" FLIT_USERNAME=__token__ FLIT_PASSWORD=\"$2\" exec \"$3\" publish --format wheel";
    let flit = python::tool(&["flit==4.2.0"], "flit")
        .to_string_lossy()
        .into_owned();
    user.run(
        Path::new("sh"),
        &["-c", script, "sh", url, token::DEVELOPER, &flit],
    )
}

/// How an upload went, at GitLab and at the client.
#[derive(Debug, PartialEq, Eq)]
struct Went {
    /// The fields of each form that came, and the length of its body.
    forms: Vec<(BTreeMap<String, String>, bool)>,
    code: Option<i32>,
    /// Those of GitLab's answers that the client tells its user of.
    told: Vec<String>,
}

/// What a client might pass on to its user of each answer.
fn tellings(status: u16) -> Vec<String> {
    let more: &[&str] = match status {
        400 => &["Bad Request", "already been taken", "Validation failed"],
        403 => &["Forbidden"],
        409 => &["Conflict"],
        413 => &["Too Large", "Too large"],
        503 => &["Service Unavailable", "Unavailable"],
        _ => &[],
    };
    more.iter()
        .map(|&part| part.to_owned())
        .chain([status.to_string()])
        .collect()
}

fn published(uploader: Uploader, status: u16, gitlab: &GitLab, address: SocketAddr) -> Went {
    let file = Distribution::new("smith", "1.0").payload(20_000).wheel();
    let user = user();
    std::fs::create_dir(user.folder().join("dist")).expect("a fresh folder");
    user.write(&file_in_dist(&file), &file.bytes);
    match status {
        201 => {}
        // GitLab's own refusal of a name that is there.
        400 => gitlab.publish(42, &file),
        status => drop(gitlab.plan(Act::Status(status).at(Kind::Upload))),
    }
    let before = gitlab.uploads().len();
    let done = uploader(
        &user,
        &format!("http://{address}{}", path::upload(42)),
        &file,
    );
    let uploads = gitlab.uploads();
    let forms = uploads[before..].iter().map(|upload| {
        let body = upload
            .body
            .as_ref()
            .map(|body| body.as_ref())
            .unwrap_or_default();
        let has_file = body
            .windows(file.bytes.len())
            .any(|window| window == file.bytes);
        (upload.fields.clone(), has_file)
    });
    let said = format!("{}{}", done.stdout, done.stderr);
    let told = tellings(status)
        .into_iter()
        .filter(|part| said.contains(part))
        .collect();
    assert!(done.status.is_some(), "{status}: it hangs: {said}");
    Went {
        forms: forms.collect(),
        code: done.status.and_then(|status| status.code()),
        told,
    }
}

fn publishes_as_without_larder(uploader: Uploader) {
    for status in ANSWERS {
        let [direct, through] = [false, true].map(|by_larder| {
            let gitlab = GitLab::start();
            let larder = by_larder.then(|| Larder::start(&gitlab));
            let address = larder
                .as_ref()
                .map_or_else(|| gitlab.address(), Larder::address);
            published(uploader, status, &gitlab, address)
        });
        assert_eq!(
            direct.code == Some(0),
            status == 201,
            "without larder, {status}: {direct:?}"
        );
        assert_eq!(through, direct, "{status}");
    }
}

#[test]
fn r32_twine_publishes_as_without_larder() {
    publishes_as_without_larder(twine);
}

#[test]
fn r32_uv_publishes_as_without_larder() {
    publishes_as_without_larder(uv);
}

#[test]
fn r32_poetry_publishes_as_without_larder() {
    publishes_as_without_larder(poetry);
}

#[test]
fn r32_pdm_publishes_as_without_larder() {
    publishes_as_without_larder(pdm);
}

#[test]
fn r32_hatch_publishes_as_without_larder() {
    publishes_as_without_larder(hatch);
}

#[test]
fn r32_flit_publishes_as_without_larder() {
    publishes_as_without_larder(flit);
}
