//! Locks as their tools write them, without their files, narrowed.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::airgap::lockfile::{Surroundings, read};

const UV: &str = r#"
version = 1
revision = 5
requires-python = ">=3.11"
conflicts = [[{ package = "forge", extra = "cpu" }, { package = "forge", extra = "cuda" }]]

[[package]]
name = "attrs"
version = "26.1.0"
source = { registry = "https://index.example/simple" }

[[package]]
name = "forge"
version = "0.1.0"
source = { virtual = "." }
dependencies = [{ name = "httpx", extra = ["socks"] }]

[package.optional-dependencies]
cpu = [{ name = "torch", version = "2.0+cpu", source = { registry = "https://index.example/simple" } }]
cuda = [
    { name = "torch", version = "2.0", source = { registry = "https://index.example/simple" }, marker = "extra == 'extra-5-forge-cuda'" },
    { name = "nvidia", marker = "sys_platform == 'linux' and extra == 'extra-5-forge-cuda'" },
]

[package.dev-dependencies]
dev = [{ name = "pytest" }, { name = "httpx", extra = ["brotli"] }]
docs = [{ name = "attrs", marker = "python_full_version < '3.12' or extra == 'group-5-forge-docs'" }]

[[package]]
name = "httpx"
version = "1.0"
source = { registry = "https://index.example/simple" }

[package.optional-dependencies]
brotli = [{ name = "brotli" }]
socks = [{ name = "socksio" }]

[[package]]
name = "brotli"
version = "1.0"
source = { registry = "https://index.example/simple" }

[[package]]
name = "nvidia"
version = "1.0"
source = { registry = "https://index.example/simple" }
resolution-markers = ["extra == 'extra-5-forge-cuda'"]

[[package]]
name = "pytest"
version = "1.0"
source = { registry = "https://index.example/simple" }
dependencies = [{ name = "attrs" }]

[[package]]
name = "socksio"
version = "1.0"
source = { registry = "https://index.example/simple" }

[[package]]
name = "torch"
version = "2.0"
source = { registry = "https://index.example/simple" }

[[package]]
name = "torch"
version = "2.0+cpu"
source = { registry = "https://index.example/simple" }
"#;

const POETRY: &str = r#"
[[package]]
name = "anyio"
version = "3.7"
optional = true
python-versions = ">=3.7"
groups = ["main"]
markers = "extra == \"net\""

[package.dependencies]
sniffio = ">=1.1"

[[package]]
name = "attrs"
version = "26.1.0"
optional = false
python-versions = ">=3.9"
groups = ["dev", "docs"]
markers = {dev = "python_version < \"3.11\""}

[[package]]
name = "idna"
version = "3.20"
optional = false
python-versions = ">=3.9"
groups = ["main"]

[[package]]
name = "sniffio"
version = "1.3"
optional = true
python-versions = ">=3.9"
groups = ["main", "docs"]
markers = {main = "extra == \"net\"", docs = "sys_platform == \"win32\""}

[[package]]
name = "tomli"
version = "2.0"
optional = true
python-versions = ">=3.9"
groups = ["main"]
markers = "python_version < \"3.11\" and extra == \"toml\""

[extras]
net = ["anyio"]
toml = ["tomli"]

[metadata]
lock-version = "2.1"
python-versions = ">=3.9"
"#;

const PDM: &str = r#"
[metadata]
groups = ["default", "dev", "docs", "net"]
lock_version = "4.5.1"

[[package]]
name = "attrs"
version = "26.1.0"
groups = ["dev", "docs"]

[[package]]
name = "idna"
version = "3.20"
groups = ["default"]

[[package]]
name = "six"
version = "1.17.0"
groups = ["net"]
"#;

const PYLOCK: &str = r#"
lock-version = "1.0"
extras = ["net"]
dependency-groups = ["default", "dev", "docs"]
default-groups = ["default"]

[[packages]]
name = "attrs"
version = "26.1.0"
marker = "python_version < \"3.11\" and \"docs\" in dependency_groups or \"dev\" in dependency_groups"

[[packages]]
name = "idna"
version = "3.20"
marker = "\"default\" in dependency_groups"

[[packages]]
name = "six"
version = "1.17.0"
marker = "\"net\" in extras"

[[packages]]
name = "plain"
version = "1.0"
marker = "not_there"
"#;

const PIPFILE: &str = r#"{"_meta": {"pipfile-spec": 6}, "default": {"idna": {"version": "==3.20"}},
    "develop": {"attrs": {"version": "==26.1.0"}}, "docs": {"six": {"version": "==1.17.0"}}}"#;

/// `g:`, `-g:`, `x:` and `-x:` with a name; `-dev`.
fn choice(words: &str) -> GroupChoice {
    let of = |prefix: &str| -> Vec<String> {
        words
            .split_whitespace()
            .filter_map(|word| word.strip_prefix(prefix))
            .map(str::to_owned)
            .collect()
    };
    GroupChoice::new(
        &of("g:"),
        &of("-g:"),
        &of("x:"),
        &of("-x:"),
        words.contains("-dev"),
    )
}

/// The packages of a lock, each with its marker.
fn reading(name: &str, text: &str) -> Vec<String> {
    let variable = |_: &str| None;
    let mut none = |_: &str| Err(String::new());
    let read = read(
        name,
        text,
        &mut Surroundings {
            read: &mut none,
            variable: &variable,
        },
    )
    .unwrap();
    let shown = |one: &crate::airgap::wanted::WantedProject| {
        let marker = one
            .marker
            .as_ref()
            .map(|marker| format!(" ; {marker}"))
            .unwrap_or_default();
        let version = match &one.versions {
            crate::airgap::wanted::WantedVersions::Exactly(version) => version.to_string(),
            _ => String::new(),
        };
        format!("{} {version}{marker}", one.project)
    };
    let mut all: Vec<String> = read.wanted.iter().map(shown).collect();
    all.sort();
    all
}

fn narrowed_to(name: &str, text: &str, words: &str) -> Vec<String> {
    reading(name, &narrowed(name, text, &choice(words)).unwrap())
}

#[test]
fn each_format_offers_its_groups_and_extras() {
    let pylock = PYLOCK.replace("not_there", "os_name == 'nt'");
    for (name, text, groups, extras) in [
        ("uv.lock", UV, "dev docs", "cpu cuda"),
        ("poetry.lock", POETRY, "dev docs", "net toml"),
        ("pdm.lock", PDM, "dev docs net", ""),
        ("pylock.toml", &pylock, "dev docs", "net"),
        ("Pipfile.lock", PIPFILE, "develop docs", ""),
        ("requirements.txt", "a==1", "", ""),
    ] {
        let offered = offered(name, text).unwrap();
        assert_eq!(
            offered.groups.into_iter().collect::<Vec<_>>().join(" "),
            groups,
            "{name}"
        );
        assert_eq!(
            offered.extras.into_iter().collect::<Vec<_>>().join(" "),
            extras,
            "{name}"
        );
        assert_eq!(
            narrowed(name, text, &GroupChoice::default()).unwrap(),
            text,
            "{name}: all of it"
        );
    }
}

#[test]
fn a_graph_is_followed_from_what_was_chosen() {
    let names = |words: &str| {
        let packages = narrowed_to("uv.lock", UV, words);
        packages
            .iter()
            .map(|text| text.split(';').next().unwrap_or_default().trim().to_owned())
            .collect::<Vec<_>>()
    };
    let own = ["httpx 1.0", "socksio 1.0"];
    assert_eq!(names("-dev -g:docs -x:cpu -x:cuda"), own);
    assert_eq!(
        names("-dev -g:docs x:cpu"),
        [&own[..], &["torch 2.0+cpu"]].concat()
    );
    assert_eq!(
        names("-dev -g:docs x:cuda"),
        ["httpx 1.0", "nvidia 1.0", "socksio 1.0", "torch 2.0"]
    );
    // An extra of a package belongs to who asks for it.
    assert_eq!(
        names("g:dev -x:cpu -x:cuda"),
        [
            "attrs 26.1.0",
            "brotli 1.0",
            "httpx 1.0",
            "pytest 1.0",
            "socksio 1.0"
        ]
    );
    assert_eq!(
        names("g:docs -x:cpu -x:cuda"),
        ["attrs 26.1.0", "httpx 1.0", "socksio 1.0"]
    );
    // Both variants may be carried, although no machine installs both.
    assert_eq!(names("-dev -g:docs x:cpu x:cuda").len(), 5);
    // `docs` alone wants it on old Pythons only, and `dev` everywhere.
    let docs = UV.replace(" or extra == 'group-5-forge-docs'", "");
    assert!(
        narrowed_to("uv.lock", &docs, "g:docs x:cpu")
            .contains(&"attrs 26.1.0 ; python_full_version < '3.12'".to_owned())
    );
    assert!(narrowed_to("uv.lock", &docs, "x:cpu").contains(&"attrs 26.1.0".to_owned()));
}

#[test]
fn a_script_and_a_workspace_without_a_project_have_their_roots_in_the_manifest() {
    let packages = "[[package]]\nname = \"a\"\nversion = \"1\"\nsource = { registry = \"https://index.example/simple\" }\n\
                    [[package]]\nname = \"b\"\nversion = \"1\"\nsource = { registry = \"https://index.example/simple\" }\n";
    let lock = format!(
        "version = 1\n[manifest]\nrequirements = [{{ name = \"a\" }}]\n[manifest.dependency-groups]\ndev = [{{ name = \"b\" }}]\n{packages}"
    );
    assert_eq!(
        offered("uv.lock", &lock)
            .unwrap()
            .groups
            .into_iter()
            .collect::<Vec<_>>(),
        ["dev"]
    );
    assert_eq!(narrowed_to("uv.lock", &lock, "-dev"), ["a 1"]);
    assert_eq!(narrowed_to("uv.lock", &lock, "g:dev"), ["a 1", "b 1"]);
}

#[test]
fn packages_stay_for_the_groups_that_were_chosen() {
    for (words, left) in [
        (
            "g:dev -x:net -x:toml",
            &["attrs 26.1.0 ; python_version < '3.11'", "idna 3.20"][..],
        ),
        (
            "-dev x:toml",
            &[
                "attrs 26.1.0",
                "idna 3.20",
                "sniffio 1.3 ; sys_platform == 'win32'",
                "tomli 2.0 ; python_version < '3.11' and extra == 'toml'",
            ],
        ),
        (
            "g:main x:net",
            &[
                "anyio 3.7 ; extra == 'net'",
                "idna 3.20",
                "sniffio 1.3 ; extra == 'net'",
            ],
        ),
    ] {
        assert_eq!(narrowed_to("poetry.lock", POETRY, words), left, "{words}");
    }
    assert_eq!(narrowed_to("poetry.lock", POETRY, "g:main x:toml").len(), 2);
    let older = "[[package]]\nname = \"a\"\nversion = \"1\"\ncategory = \"dev\"\n[metadata]\nlock-version = \"1.1\"\n";
    assert!(
        narrowed_to("poetry.lock", older, "-dev").is_empty()
            && narrowed_to("poetry.lock", older, "g:dev").len() == 1
    );

    assert_eq!(
        narrowed_to("pdm.lock", PDM, "-dev"),
        ["attrs 26.1.0", "idna 3.20", "six 1.17.0"]
    );
    assert_eq!(
        narrowed_to("pdm.lock", PDM, "-dev -g:docs -g:net"),
        ["idna 3.20"]
    );
    assert_eq!(
        narrowed_to("Pipfile.lock", PIPFILE, "-dev"),
        ["idna 3.20", "six 1.17.0"]
    );

    let pylock = PYLOCK.replace("not_there", "os_name == 'nt'");
    let plain = "plain 1.0 ; os_name == 'nt'";
    let own = "idna 3.20 ; 'default' in dependency_groups";
    assert_eq!(
        narrowed_to("pylock.toml", &pylock, "-dev -g:docs -x:net"),
        [own, plain]
    );
    assert_eq!(
        narrowed_to("pylock.toml", &pylock, "g:docs -x:net"),
        [
            "attrs 26.1.0 ; python_version < '3.11' and 'docs' in dependency_groups",
            own,
            plain
        ]
    );
    let unread = narrowed("pylock.toml", PYLOCK, &choice("g:docs"));
    assert!(
        unread
            .unwrap_err()
            .to_string()
            .starts_with("pylock.toml: not an environment marker")
    );
}

/// A lock of packages `p0`, `p1`, …: `edges` lead from one to the other, `groups` and `extras` from
/// the project to one.
fn lock(edges: &[(usize, usize)], groups: &[usize], extras: &[usize]) -> String {
    let table = |names: &[usize]| -> String {
        names
            .iter()
            .map(|at| format!("n{at} = [{{ name = \"p{at}\" }}]\n"))
            .collect()
    };
    let mut text = format!(
        "version = 1\n[[package]]\nname = \"forge\"\nversion = \"1\"\nsource = {{ editable = \".\" }}\ndependencies = [{{ name = \"p0\" }}]\n\
         [package.optional-dependencies]\n{}[package.dev-dependencies]\n{}",
        table(extras),
        table(groups)
    );
    for at in 0..6 {
        let own = edges
            .iter()
            .filter(|(from, _)| *from == at)
            .map(|(_, to)| format!("{{ name = \"p{to}\" }}"));
        text.push_str(&format!(
            "[[package]]\nname = \"p{at}\"\nversion = \"1\"\nsource = {{ registry = \"https://index.example/simple\" }}\ndependencies = [{}]\n",
            own.collect::<Vec<_>>().join(", ")
        ));
    }
    text
}

proptest! {
    #[test]
    fn a_smaller_choice_never_carries_more_and_a_package_comes_with_what_it_depends_on(
        edges in proptest::collection::vec((0..6usize, 0..6usize), 0..12),
        groups in proptest::collection::btree_set(0..6usize, 0..4),
        extras in proptest::collection::btree_set(0..6usize, 0..4),
        out in proptest::collection::btree_set(0..6usize, 0..4),
    ) {
        let (groups, extras): (Vec<_>, Vec<_>) = (groups.into_iter().collect(), extras.into_iter().collect());
        let text = lock(&edges, &groups, &extras);
        let without: String = out.iter().map(|at| format!("-g:n{at} -x:n{at} ")).collect();
        let packages = |text: &str| -> BTreeSet<String> { reading("uv.lock", text).into_iter().collect() };
        let less = packages(&narrowed("uv.lock", &text, &choice(&format!("-dev {without}"))).unwrap());
        prop_assert!(less.is_subset(&packages(&text)));
        // The same by another way: what can be reached by the edges.
        let mut reached: BTreeSet<usize> = [0].into();
        reached.extend(groups.iter().chain(&extras).filter(|at| !out.contains(at)));
        for _ in 0..6 {
            let further: Vec<usize> = edges.iter().filter(|(from, _)| reached.contains(from)).map(|(_, to)| *to).collect();
            reached.extend(further);
        }
        prop_assert_eq!(less, reached.iter().map(|at| format!("p{at} 1")).collect::<BTreeSet<_>>());
    }
}
