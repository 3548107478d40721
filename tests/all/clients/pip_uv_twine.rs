//! The real clients: pip, uv and twine, as people run them.

#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at what a client has installed"
)]

use crate::support::wheel::real_wheels;
use crate::support::{
    Artifact, Distribution, GitLab, Kind, Larder, Outcome, Storage, Workbench, path, token,
};

/// What an install of `requests` and `python-dateutil` brings.
const INSTALLED: [&str; 7] = [
    "certifi",
    "charset_normalizer",
    "dateutil",
    "idna",
    "requests",
    "six.py",
    "urllib3",
];

/// The four ways to name where the packages are; by group, they come from two projects.
const INDEXES: [&str; 4] = [
    "/api/v4/projects/42/packages/pypi/simple/",
    "/api/v4/projects/acme%2Fwidgets/packages/pypi/simple/",
    "/api/v4/groups/7/-/packages/pypi/simple/",
    "/api/v4/groups/acme/-/packages/pypi/simple",
];

/// A GitLab with the real wheels in project 42.
fn gitlab(storage: Storage) -> GitLab {
    let gitlab = GitLab::builder().storage(storage).start();
    let wheels = real_wheels();
    assert_eq!(wheels.len(), 7, "tests/wheels");
    for wheel in &wheels {
        gitlab.publish(42, wheel);
    }
    gitlab
}

fn index(larder: &Larder, secret: &str, index: &str) -> String {
    format!("http://__token__:{secret}@{}{index}", larder.address())
}

/// A user with a home and caches of his own.
fn user() -> Workbench {
    // Wide enough that no message is broken into lines.
    Workbench::new().environment("COLUMNS", "300")
}

fn target(user: &Workbench) -> String {
    user.folder().join("site").to_string_lossy().into_owned()
}

fn pip_install(user: &Workbench, index: &str, packages: &[&str]) -> Outcome {
    let target = target(user);
    let arguments = [
        "install",
        "--no-compile",
        "--target",
        &target,
        "--index-url",
        index,
    ];
    user.pip(&[&arguments, packages].concat())
}

fn uv_install(user: &Workbench, index: &str, packages: &[&str]) -> Outcome {
    let target = target(user);
    let python = crate::support::python::program("python")
        .to_string_lossy()
        .into_owned();
    let arguments = [
        "pip",
        "install",
        "--python",
        &python,
        "--target",
        &target,
        "--default-index",
        index,
    ];
    user.uv(&[&arguments, packages].concat())
}

fn assert_installed(user: &Workbench, case: &str) {
    for name in INSTALLED {
        assert!(
            user.folder().join("site").join(name).exists(),
            "{case}: {name} is not there"
        );
    }
}

/// What uv reads at a wheel's end, and a little more for what that leaves out.
const UV_END_BYTES: u64 = 18 << 10;

/// GitLab has sent each file once, whole or in pieces. uv reads the ends of its first wheels for
/// their metadata before it is known to do so, as without larder: these come twice.
fn assert_each_file_sent_once(gitlab: &GitLab, case: &str) {
    let all: u64 = real_wheels()
        .iter()
        .map(|wheel| wheel.bytes.len() as u64)
        .sum();
    let sent = gitlab.log().file_bodies().bytes;
    let most = all + 7 * UV_END_BYTES;
    assert!(
        (all..=most).contains(&sent),
        "{case}: {sent} bytes for {all}"
    );
}

type Install = fn(&Workbench, &str, &[&str]) -> Outcome;

/// Installs by every index: cold, again as somebody new, and again after a restart of larder. By
/// the second time no file byte comes from GitLab any more.
fn install_everywhere(install: Install, storage: Storage) {
    for address in INDEXES {
        let gitlab = gitlab(storage);
        let larder = Larder::start(&gitlab);
        let fresh = |install: Install, larder: &Larder, round: &str, secret: &str| {
            let (case, user) = (format!("{storage:?} {address} {round}"), user());
            let done = install(
                &user,
                &index(larder, secret, address),
                &["requests", "python-dateutil"],
            );
            assert!(done.succeeded(), "{case}: {done:#?}\n{}", larder.log());
            assert_installed(&user, &case);
        };
        fresh(install, &larder, "cold", token::READER);
        assert_each_file_sent_once(&gitlab, &format!("{storage:?} {address}"));

        gitlab.log().clear();
        fresh(install, &larder, "warm, somebody else", token::DEVELOPER);
        assert_eq!(
            gitlab.log().file_bodies().bytes,
            0,
            "{storage:?} {address}: fetched again"
        );
        assert!(
            gitlab.log().count(Kind::Page) > 0,
            "{storage:?} {address}: his right was never asked about"
        );

        let larder = larder.restart();
        gitlab.log().clear();
        // uv in any case: it takes a tenth of pip's time, and asks for ranges besides.
        fresh(uv_install, &larder, "after a restart", token::READER);
        assert_eq!(
            gitlab.log().file_bodies().bytes,
            0,
            "{storage:?} {address}: fetched again after a restart"
        );
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn pip_installs_by_every_index_from_disk_and_the_second_time_from_larder() {
    install_everywhere(pip_install, Storage::Disk);
}

#[test]
fn pip_installs_by_every_index_from_an_object_store_and_the_second_time_from_larder() {
    install_everywhere(pip_install, Storage::Redirect);
}

#[test]
fn pip_installs_by_every_index_from_a_proxied_store_and_the_second_time_from_larder() {
    install_everywhere(pip_install, Storage::Proxied);
}

#[test]
fn uv_installs_by_every_index_and_storage_and_the_second_time_from_larder() {
    for storage in [Storage::Disk, Storage::Redirect, Storage::Proxied] {
        install_everywhere(uv_install, storage);
    }
}

#[test]
fn clients_install_through_a_chain_of_two() {
    let gitlab = gitlab(Storage::Redirect);
    let inner = Larder::start(&gitlab);
    let outer = Larder::in_front_of(&inner.url()).start();
    for (word, install) in [("uv", uv_install as Install), ("pip", pip_install)] {
        let user = user();
        let done = install(
            &user,
            &index(&outer, token::READER, INDEXES[2]),
            &["requests", "python-dateutil"],
        );
        assert!(done.succeeded(), "{word}: {done:#?}\n{}", outer.log());
        assert_installed(&user, word);
    }
    assert_each_file_sent_once(&gitlab, "a chain of two");
    gitlab.log().assert_nothing_unexpected();
}

/// Who is refused reads through larder exactly what GitLab itself would have made the client say.
#[test]
fn a_wrong_token_is_reported_as_if_gitlab_had_been_asked_directly() {
    let gitlab = gitlab(Storage::Disk);
    let larder = Larder::start(&gitlab);
    // Warm, so that the refusal is not for want of the bytes.
    uv_install(
        &user(),
        &index(&larder, token::READER, INDEXES[0]),
        &["six"],
    )
    .expect_success();
    gitlab.log().clear();
    for (secret, word) in [
        ("wrong-token", "401"),
        (token::EXPIRED, "401"),
        (token::NARROW, "403"),
        (token::STRANGER, "No matching distribution"),
    ] {
        for (tool, install) in [("pip", pip_install as Install), ("uv", uv_install)] {
            let direct = format!(
                "http://__token__:{secret}@{}{}",
                gitlab.address(),
                INDEXES[0]
            );
            let [ours, theirs] = [index(&larder, secret, INDEXES[0]), direct].map(|index| {
                let user = user();
                let done = install(&user, &index, &["six"]);
                assert!(
                    !done.succeeded() && !user.folder().join("site/six.py").exists(),
                    "{tool}: {done:#?}"
                );
                format!("{}{}", done.stdout, done.stderr)
            });
            let ours = ours.replace(&larder.address().to_string(), &gitlab.address().to_string());
            assert_eq!(ours, theirs, "{tool} {secret}");
            // pip keeps a 403 to itself, and uv says of a 404 that there is no such package.
            let silent =
                (tool, word) == ("pip", "403") || (tool, secret) == ("uv", token::STRANGER);
            assert!(silent || ours.contains(word), "{tool} {secret}: {ours}");
        }
    }
    assert_eq!(gitlab.log().file_bodies().bytes, 0);
}

/// Without forwarding, a package that is not there is a plain "no such package"; with it larder
/// sends the client to the public index, whose name here leads nowhere.
#[test]
fn a_package_that_is_not_there_is_no_failure_of_larders() {
    let gitlab = gitlab(Storage::Disk);
    gitlab.set(|settings| settings.forwarding = false);
    let larder = Larder::start(&gitlab);
    for (word, install) in [("pip", pip_install as Install), ("uv", uv_install)] {
        let done = install(
            &user(),
            &index(&larder, token::READER, INDEXES[0]),
            &["no-such-package"],
        );
        let said = format!("{}{}", done.stdout, done.stderr);
        assert!(!done.succeeded(), "{word}: {said}");
        assert!(
            said.contains("No matching distribution") || said.contains("not found"),
            "{word}: {said}"
        );
        for alarm in ["50", "Traceback", "retry", "Retry"] {
            assert!(
                !said.contains(&format!(" {alarm}")),
                "{word}: {alarm} in {said}"
            );
        }
    }
    let denies = Larder::builder(&gitlab)
        .gitlab_setting("forward = \"deny\"")
        .start();
    gitlab.set(|settings| settings.forwarding = true);
    let done = pip_install(
        &user(),
        &index(&denies, token::READER, INDEXES[0]),
        &["no-such-package"],
    );
    assert!(
        done.stderr.contains("No matching distribution"),
        "{done:#?}"
    );
    assert!(!done.stderr.contains("public-index"), "{done:#?}");
}

/// A pinned and hashed requirements file, `pip download`, `pip index versions`: the other ways to
/// read an index.
#[test]
fn pip_checks_hashes_downloads_and_lists_versions() {
    let gitlab = gitlab(Storage::Redirect);
    let older = Distribution::new("six", "1.0").wheel();
    gitlab.publish(42, &older);
    let larder = Larder::start(&gitlab);
    let user = user();
    let index = index(&larder, token::READER, INDEXES[1]);

    let hashed: String = real_wheels()
        .iter()
        .map(|wheel| {
            let name = wheel.name.replace('_', "-");
            format!("{name}=={} --hash=sha256:{}\n", wheel.version, wheel.sha256)
        })
        .collect();
    user.write("requirements.txt", &hashed);
    let done = pip_install(
        &user,
        &index,
        &["--require-hashes", "-r", "requirements.txt"],
    );
    done.expect_success();
    assert_installed(&user, "with hashes");
    let wrong = hashed.replace(&real_wheels()[0].sha256, &older.sha256);
    user.write("wrong.txt", wrong);
    let refused = pip_install(&user, &index, &["--require-hashes", "-r", "wrong.txt"]);
    assert!(
        !refused.succeeded() && refused.stderr.contains("DO NOT MATCH"),
        "{refused:#?}"
    );

    let done = user.pip(&[
        "download",
        "--dest",
        "down",
        "--index-url",
        &index,
        "requests",
    ]);
    done.expect_success();
    for wheel in real_wheels()
        .iter()
        .filter(|wheel| !["python_dateutil", "six"].contains(&wheel.name.as_str()))
    {
        let got = std::fs::read(user.folder().join("down").join(&wheel.filename))
            .expect("a downloaded wheel");
        assert!(got == wheel.bytes, "{}: other bytes", wheel.filename);
    }

    let done = user.pip(&["index", "versions", "--index-url", &index, "six"]);
    done.expect_success();
    assert!(done.stdout.contains("1.17.0, 1.0"), "{done:#?}");
    assert_eq!(
        gitlab.log().file_bodies().transfers,
        7,
        "more than each file once"
    );
    gitlab.log().assert_nothing_unexpected();
}

fn dist(user: &Workbench, file: &Artifact) -> String {
    user.write(&file.filename, &file.bytes)
        .to_string_lossy()
        .into_owned()
}

fn twine(user: &Workbench, larder: &Larder, secret: &str, file: &str) -> Outcome {
    let url = format!("{}{}", larder.url(), path::upload(42));
    user.twine(&[
        "upload",
        "--non-interactive",
        "--disable-progress-bar",
        "--verbose",
        "--repository-url",
        &url,
        "-u",
        "__token__",
        "-p",
        secret,
        file,
    ])
}

fn uv_publish(
    user: &Workbench,
    larder: &Larder,
    secret: &str,
    file: &str,
    more: &[&str],
) -> Outcome {
    let url = format!("{}{}", larder.url(), path::upload(42));
    let arguments = [
        "publish",
        "--publish-url",
        &url,
        "--username",
        "__token__",
        "--password",
        secret,
    ];
    user.uv(&[&arguments, more, &[file]].concat())
}

/// The last upload at GitLab against the form in it: each client's own file, whole, in one POST.
fn assert_uploaded(gitlab: &GitLab, file: &Artifact, case: &str) {
    let uploads = gitlab.uploads();
    let upload = uploads.last().expect("an upload");
    assert!(
        upload.complete && upload.status == 201,
        "{case}: {:?}",
        upload.head
    );
    let body = upload.body.as_ref().expect("the whole body");
    let announced = upload
        .head
        .header("Content-Length")
        .and_then(|length| length.parse().ok());
    assert!(
        announced.is_none_or(|length: usize| length == body.len()),
        "{case}: {:?}",
        upload.head
    );
    assert!(
        body.windows(file.bytes.len())
            .any(|window| window == file.bytes),
        "{case}: not the file's bytes"
    );
    assert_eq!(upload.fields["sha256_digest"], file.sha256, "{case}");
    assert_eq!(
        upload.fields["name"].to_lowercase(),
        file.name.to_lowercase(),
        "{case}"
    );
    let kind = upload.head.header("Content-Type").unwrap_or_default();
    assert!(
        kind.starts_with("multipart/form-data; boundary="),
        "{case}: {kind}"
    );
}

#[test]
fn r32_twine_and_uv_publish_and_pip_installs_at_once() {
    let gitlab = gitlab(Storage::Disk);
    let larder = Larder::start(&gitlab);
    let user = user();
    let reader = index(&larder, token::READER, INDEXES[2]);
    let check = index(&larder, token::DEVELOPER, INDEXES[0]);
    let known = Distribution::new("fresh-thing", "0.9").wheel();
    gitlab.publish(42, &known);
    for (round, tool) in ["twine", "uv", "uv --check-url"].into_iter().enumerate() {
        // Read before, so that a page without the new version is cached.
        let before = user.pip(&["index", "versions", "--index-url", &reader, "fresh-thing"]);
        let version = format!("1.{round}");
        assert!(
            !before.expect_success().stdout.contains(&version),
            "{before:#?}"
        );
        let file = Distribution::new("fresh-thing", &version)
            .payload(200_000)
            .wheel();
        let name = dist(&user, &file);
        gitlab.log().clear();

        let done = match tool {
            "twine" => twine(&user, &larder, token::DEVELOPER, &name),
            "uv" => uv_publish(&user, &larder, token::DEVELOPER, &name, &[]),
            _ => uv_publish(
                &user,
                &larder,
                token::DEVELOPER,
                &name,
                &["--check-url", &check],
            ),
        };

        assert!(done.succeeded(), "{tool}: {done:#?}\n{}", larder.log());
        assert_eq!(gitlab.log().posts(), 1, "{tool}");
        assert_uploaded(&gitlab, &file, tool);
        let wanted = format!("fresh-thing=={version}");
        pip_install(&user, &reader, &["--upgrade", &wanted]).expect_success();
        let module = std::fs::read_to_string(user.folder().join("site/fresh_thing/__init__.py"));
        assert!(
            module
                .expect("installed")
                .contains(&format!("VERSION = \"{version}\"")),
            "{tool}"
        );
    }
    // The same file again: uv sees by the page that it is there, and sends nothing.
    let again = Distribution::new("fresh-thing", "1.2")
        .payload(200_000)
        .wheel();
    let name = dist(&user, &again);
    gitlab.log().clear();
    uv_publish(
        &user,
        &larder,
        token::DEVELOPER,
        &name,
        &["--check-url", &check],
    )
    .expect_success();
    assert_eq!(gitlab.log().posts(), 0);
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn r32_a_refused_upload_of_thirty_megabytes_says_why() {
    let gitlab = gitlab(Storage::Disk);
    let larder = Larder::start(&gitlab);
    let user = user();
    let big = Distribution::new("huge-thing", "1.0")
        .payload(30_000_000)
        .wheel();
    let name = dist(&user, &big);
    for (secret, status, word) in [
        ("wrong-token", "401", "Unauthorized"),
        (token::READER, "403", "Forbidden"),
        (token::STRANGER, "404", "Not Found"),
    ] {
        for tool in ["twine", "uv"] {
            gitlab.log().clear();
            let done = match tool {
                "twine" => twine(&user, &larder, secret, &name),
                _ => uv_publish(&user, &larder, secret, &name, &[]),
            };
            let said = format!("{}{}", done.stdout, done.stderr);
            assert!(
                !done.succeeded() && said.contains(status) && said.contains(word),
                "{tool} {secret}: {said}"
            );
            assert!(
                gitlab.log().posts() >= 1
                    && gitlab.uploads().iter().all(|upload| upload.status != 201)
            );
        }
    }
    // And the one who may can.
    gitlab.log().clear();
    twine(&user, &larder, token::DEVELOPER, &name).expect_success();
    assert_uploaded(&gitlab, &big, "twine");
    assert_eq!(gitlab.log().posts(), 1);
    let taken = twine(&user, &larder, token::DEVELOPER, &name);
    let said = format!("{}{}", taken.stdout, taken.stderr);
    assert!(
        !taken.succeeded() && said.contains("already been taken"),
        "{said}"
    );
}
