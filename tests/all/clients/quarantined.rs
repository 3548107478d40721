//! What pip and uv say of a project that its index has quarantined: with the name alone, with a lock,
//! and with the file's own address.

use crate::common::mirror::{self, NEVER_FRESH};
use crate::support::{Distribution, GitLab, ProjectStatus, PublicIndex, Workbench, python};

#[test]
fn r34_pip_and_uv_install_nothing_of_a_quarantined_project() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("evil-lib", "1.0").wheel();
    let index = PublicIndex::builder().offering(&wheel).start();
    let larder = mirror::larder(&gitlab, &index, NEVER_FRESH);
    let address = format!("{}{}", larder.url(), mirror::file(&index, &wheel.filename));
    // It is cached.
    larder
        .client()
        .get(&mirror::file(&index, &wheel.filename))
        .expect(200);
    index.change(|catalogue| {
        let said = ProjectStatus {
            status: "quarantined",
            reason: Some("steals tokens on import".to_owned()),
        };
        catalogue.status.insert("evil-lib".to_owned(), said)
    });
    let url = format!("{}/pypi/simple/", larder.url());
    let interpreter = python::program("python").to_string_lossy().into_owned();
    let hashed = format!("evil-lib @ {address}#sha256={}", wheel.sha256);
    for client in ["pip", "uv"] {
        for (wanted, words) in [
            (
                "evil-lib",
                ["from versions: none", "there are no versions of evil-lib"],
            ),
            (
                "evil-lib==1.0",
                [
                    "from versions: none",
                    "there is no version of evil-lib==1.0",
                ],
            ),
            (
                hashed.as_str(),
                ["(steals tokens on import)", "(steals tokens on import)"],
            ),
        ] {
            let user = Workbench::new().environment("COLUMNS", "300");
            let site = user.folder().join("site").to_string_lossy().into_owned();
            let done = if client == "pip" {
                user.pip(&["install", "--target", &site, "--index-url", &url, wanted])
            } else {
                let install = [
                    "pip",
                    "install",
                    "--python",
                    &interpreter,
                    "--target",
                    &site,
                ];
                user.uv(&[&install[..], &["--default-index", &url, wanted]].concat())
            };
            assert!(!done.succeeded(), "{client} {wanted}: {done:#?}");
            let word = if client == "pip" { words[0] } else { words[1] };
            assert!(done.stderr.contains(word), "{client} {wanted}: {done:#?}");
            assert!(!user.folder().join("site/evil_lib").exists(), "{done:#?}");
        }
    }
}
