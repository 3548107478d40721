//! The stored lock files lock what the stand-in offers; and how they are made.

use std::path::Path;

use crate::support::locks::{FILES, INDEX, Lock, PROJECT, offers, publish_to};
use crate::support::{PublicIndex, Workbench, python};

/// What every lock must name: files for all platforms, or at least one of each project.
#[test]
fn every_stored_lock_names_files_that_the_stand_in_offers_and_no_real_host() {
    let offered: Vec<String> = offers().into_iter().map(|offer| offer.sha256).collect();
    for lock in Lock::ALL {
        let text = lock.text();
        let locked: Vec<&str> = text
            .split(|c: char| !c.is_ascii_hexdigit())
            .filter(|word| word.len() == 64)
            .filter(|digest| !is_hash_of_the_input(lock, &text, digest))
            .collect();
        let name = lock.stored_name();
        assert!(!locked.is_empty(), "{name}");
        for digest in &locked {
            assert!(
                offered.iter().any(|known| known == digest),
                "{name}: {digest} is offered by nobody"
            );
        }
        for host in text.split("://").skip(1) {
            let host = host.split(['/', '"', ':']).next().unwrap_or_default();
            assert!(
                matches!(host, "index.example" | "files.example"),
                "{name}: {host}"
            );
        }
        assert!(text.contains("hinge") && text.contains("dowel"), "{name}");
        assert!(
            !lock
                .files()
                .iter()
                .any(|file| file.contains("1.1.0") && file.contains("anvil")),
            "{name}"
        );
    }
}

/// poetry, pdm and pipenv put a digest of their input into the lock.
fn is_hash_of_the_input(lock: Lock, text: &str, digest: &str) -> bool {
    let keys: &[&str] = match lock {
        Lock::Poetry => &["content-hash = \""],
        Lock::Pdm | Lock::PdmStaticUrls => &["content_hash = \"sha256:"],
        Lock::Pipfile => &["\"hash\": {\n            \"sha256\": \""],
        _ => &[],
    };
    keys.iter()
        .any(|key| text.contains(&format!("{key}{digest}")))
}

/// Makes `tests/locks` anew: `cargo test --test all -- --ignored locks::make`.
#[test]
#[ignore = "writes into the repository and installs pdm and pipenv"]
fn make() {
    let index = PublicIndex::start();
    publish_to(&index);
    let made = |lock: Lock, path: &Path| {
        let text = std::fs::read_to_string(path).expect("the tool wrote a lock");
        let text = text
            .replace(index.origin(), INDEX)
            .replace(index.files_origin(), FILES);
        std::fs::write(lock.path(), text).expect("a writable repository");
    };
    let url = index.url();

    let user = Workbench::new();
    let folder = user.folder();
    let interpreter = python::program("python").to_string_lossy().into_owned();
    user.write("pyproject.toml", PROJECT);
    user.uv(&["lock", "--python", &interpreter, "--default-index", &url])
        .expect_success();
    made(Lock::Uv, &folder.join("uv.lock"));
    for (format, name, lock) in [
        ("pylock.toml", "pylock.toml", Lock::Pylock),
        ("requirements.txt", "requirements.txt", Lock::Requirements),
    ] {
        let arguments = [
            "export",
            "--frozen",
            "--no-emit-project",
            "--no-header",
            "--python",
            &interpreter,
        ];
        let arguments = [
            &arguments[..],
            &["--default-index", &url, "--format", format, "-o", name],
        ]
        .concat();
        user.uv(&arguments).expect_success();
        made(lock, &folder.join(name));
    }

    let user = Workbench::new();
    let arguments = [
        "lock",
        "--index-url",
        &url,
        "-o",
        "pylock.toml",
        "anvil",
        "dowel==3.0.1",
        "hinge",
    ];
    user.pip(&arguments).expect_success();
    made(Lock::PylockOfPip, &user.folder().join("pylock.toml"));

    let user = Workbench::new();
    let source = format!(
        "\n[tool.poetry]\npackage-mode = false\n\n[[tool.poetry.source]]\nname = \"index\"\nurl = \"{url}\"\n\
         priority = \"primary\"\n"
    );
    user.write("pyproject.toml", format!("{PROJECT}{source}"));
    user.run(&python::poetry(), &["lock", "--no-interaction"])
        .expect_success();
    made(Lock::Poetry, &user.folder().join("poetry.lock"));

    for (lock, strategy) in [
        (Lock::Pdm, "inherit_metadata"),
        (Lock::PdmStaticUrls, "static_urls"),
    ] {
        let user = Workbench::new();
        let source = format!("\n[[tool.pdm.source]]\nname = \"pypi\"\nurl = \"{url}\"\n");
        user.write("pyproject.toml", format!("{PROJECT}{source}"));
        user.run(&python::pdm(), &["use", "-f", &interpreter])
            .expect_success();
        user.run(&python::pdm(), &["lock", "--strategy", strategy])
            .expect_success();
        made(lock, &user.folder().join("pdm.lock"));
    }

    let user = Workbench::new();
    user.write(
        "Pipfile",
        format!(
            "[[source]]\nurl = \"{url}\"\nverify_ssl = false\nname = \"index\"\n\n[packages]\nanvil = \"*\"\ndowel = \"==3.0.1\"\n\n\
             [dev-packages]\nhinge = {{version = \"*\", markers = \"python_version < '3.12'\"}}\n"
        ),
    );
    user.run(&python::pipenv(), &["lock", "--python", &interpreter])
        .expect_success();
    made(Lock::Pipfile, &user.folder().join("Pipfile.lock"));
}
