//! pip and uv at a view: a private package of one group, its private dependency of another, and all else of a mirror,
//! where lookalikes of both wait.

use crate::common::mirror::AHEAD;
use crate::support::{
    Distribution, GitLab, Larder, Place, PublicIndex, Role, Visibility, Workbench, python,
    real_wheels, token,
};

const VIEW: &str = "[[views]]\nname = \"all\"\nsources = [\"groups/7\", \"groups/20\", \"pypi\"]";

#[test]
fn r31_installs_by_a_view_take_each_package_from_the_first_source_that_has_it() {
    let index = PublicIndex::start();
    for wheel in real_wheels() {
        index.publish(wheel);
    }
    for name in ["acme-app", "tool-kit"] {
        index.publish(Distribution::new(name, "99.0").wheel());
    }
    let gitlab = GitLab::start();
    let app = Distribution::new("acme-app", "1.0")
        .depends_on("requests>=2")
        .depends_on("Tool_Kit");
    gitlab.publish(42, app.wheel());
    gitlab.change(|universe| {
        universe.add_group(20, "tools", Visibility::Private);
        universe.add_project(60, "tools/hand", Visibility::Private);
        universe.publish(60, Distribution::new("Tool.Kit", "2.0").wheel());
        universe.grant(token::READER, Place::Group(20), Role::Reporter);
    });
    let larder = Larder::builder(&gitlab)
        .mirror("pypi", &index)
        .sections(VIEW)
        .sections(AHEAD)
        .start();
    let address = larder.address();
    let url = format!("http://__token__:{}@{address}/all/simple/", token::READER);
    let interpreter = python::program("python").to_string_lossy().into_owned();
    for client in ["pip", "uv"] {
        let user = Workbench::new().environment("COLUMNS", "300");
        let site = user.folder().join("site");
        let target = site.to_string_lossy().into_owned();
        let done = if client == "pip" {
            let wanted = ["--index-url", &url, "acme-app"];
            let install = ["install", "--no-compile", "--target", &target];
            user.pip(&[&install[..], &wanted].concat())
        } else {
            let wanted = ["--default-index", &url, "acme-app"];
            let install = [
                "pip",
                "install",
                "--python",
                &interpreter,
                "--target",
                &target,
            ];
            user.uv(&[&install[..], &wanted].concat())
        };
        assert!(done.succeeded(), "{client}: {done:#?}\n{}", larder.log());
        for installed in [
            "acme_app-1.0.dist-info",
            "tool_kit-2.0.dist-info",
            "requests",
            "urllib3",
        ] {
            let folder = site.join(installed);
            let spelled = site.join(installed.replace("tool_kit", "Tool.Kit"));
            let is_there = folder.exists() || spelled.exists();
            assert!(is_there, "{client}: {installed}: {done:#?}");
        }
    }
    index.assert_never_told(&[token::READER]);
    gitlab.log().assert_nothing_unexpected();
}
