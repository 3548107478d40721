//! Shapes that real tools and people write, each the smallest that shows it.

use super::*;

const AA: &str = "aa00000000000000000000000000000000000000000000000000000000000000";

fn left(reading: &LockContents) -> Vec<String> {
    let of = |left: &NonIndexPackage| {
        let url = left
            .url
            .as_ref()
            .map(|url| format!(" {url}"))
            .unwrap_or_default();
        let marker = left
            .marker
            .as_ref()
            .map(|marker| format!("; {marker}"))
            .unwrap_or_default();
        format!("{}{url}{marker}", left.project.as_deref().unwrap_or("?"))
    };
    reading.left_out.iter().map(of).collect()
}

#[test]
fn a_group_that_poetrys_table_leaves_out_needs_the_package_everywhere() {
    let lock = |groups: &str, markers: &str| {
        format!(
            "[[package]]\nname = 'tomli'\nversion = '2.0'\ngroups = {groups}\nmarkers = {markers}\n\
             files = [{{file = 'tomli-2.0.tar.gz', hash = 'sha256:{AA}'}}]\n\
             [metadata]\nlock-version = '2.1'\n"
        )
    };
    for (groups, markers, expected) in [
        (
            "['main', 'dev']",
            "{dev = \"python_version < '3.10'\"}",
            "tomli==2.0",
        ),
        (
            "['main', 'dev']",
            "{main = '', dev = \"python_version < '3.10'\"}",
            "tomli==2.0",
        ),
        (
            "['dev']",
            "{dev = \"python_version < '3.10'\"}",
            "tomli==2.0; python_version < '3.10'",
        ),
        (
            "['dev', 'main']",
            "{dev = \"os_name == 'nt'\", main = \"os_name == 'posix'\"}",
            "tomli==2.0; os_name == 'nt' or os_name == 'posix'",
        ),
        (
            "['main', 'dev']",
            "\"os_name == 'nt'\"",
            "tomli==2.0; os_name == 'nt'",
        ),
    ] {
        assert_eq!(
            projects(&good("poetry.lock", &lock(groups, markers))),
            [expected],
            "{groups} {markers}"
        );
    }
}

#[test]
fn markers_of_urls_and_repositories_are_kept() {
    let linux = "sys_platform == 'linux'";
    let url = "https://host.example/alpha-1.0-py3-none-any.whl";
    for (text, expected) in [
        (
            format!("{url}; sys_platform == \"linux\""),
            format!("? {url}; {linux}"),
        ),
        (format!("{url} ; {linux}"), format!("? {url}; {linux}")),
        (format!("{url};{linux}"), format!("? {url}; {linux}")),
        (format!("{url} ;{linux}"), format!("? {url}; {linux}")),
        (
            format!("alpha @ {url}; {linux}"),
            format!("alpha {url}; {linux}"),
        ),
        (
            format!("alpha@{url};{linux}"),
            format!("alpha {url}; {linux}"),
        ),
        (
            format!("alpha[x] @ {url} ; {linux}"),
            format!("alpha {url}; {linux}"),
        ),
        (format!("{url};v=1"), format!("? {url};v=1")),
        (
            format!("{url};v=1 ; {linux}"),
            format!("? {url};v=1; {linux}"),
        ),
        (
            format!("git+https://git.example/a@main#egg=alpha ; {linux}"),
            format!("alpha; {linux}"),
        ),
        (
            format!("alpha @ git+https://git.example/a@main ; {linux}"),
            format!("alpha; {linux}"),
        ),
        (format!("./vendor/alpha.whl;{linux}"), format!("?; {linux}")),
        (
            format!("-e git+https://git.example/a#egg=alpha ; {linux}"),
            format!("alpha; {linux}"),
        ),
        (
            format!("-e \"git+https://git.example/a#egg=alpha ; {linux}\""),
            format!("alpha; {linux}"),
        ),
        (format!("alpha.whl[x] ; {linux}"), format!("?; {linux}")),
    ] {
        assert_eq!(left(&good("r.txt", &text)), [expected], "{text}");
    }
    assert!(
        why("r.txt", &format!("{url}; nonsense")).contains("r.txt:1: not an environment marker")
    );
}

#[test]
fn the_other_formats_keep_them_too() {
    let uv = "version = 1\n[[package]]\nname = 'app'\nversion = '1'\nsource = { virtual = '.' }\n\
              dependencies = [{ name = 'one', marker = \"os_name == 'nt'\" }, { name = 'two', marker = \"os_name == 'nt'\" }]\n\
              [[package]]\nname = 'one'\nversion = '1'\nsource = { url = 'https://host.example/one-1.tar.gz' }\n\
              [[package]]\nname = 'two'\nversion = '1'\nsource = { git = 'https://git.example/two?rev=1#abc' }\n";
    let poetry = "[[package]]\nname = 'one'\nversion = '1'\nmarkers = \"os_name == 'nt'\"\n\
                  source = {type = 'url', url = 'https://host.example/one-1.tar.gz'}\n\
                  [[package]]\nname = 'two'\nversion = '1'\nmarkers = \"os_name == 'nt'\"\n\
                  source = {type = 'git', url = 'https://git.example/two'}\n[metadata]\nlock-version = '2.1'\n";
    let pdm = "[[package]]\nname = 'one'\nversion = '1'\nmarker = \"os_name == 'nt'\"\nurl = 'https://host.example/one-1.tar.gz'\n\
               [[package]]\nname = 'two'\nversion = '1'\nmarker = \"os_name == 'nt'\"\ngit = 'https://git.example/two'\n\
               [metadata]\nlock_version = '4.5.0'\n";
    let pylock = "lock-version = '1.0'\n[[packages]]\nname = 'one'\nmarker = \"os_name == 'nt'\"\n\
                  archive = { url = 'https://host.example/one-1.tar.gz', hashes = {} }\n\
                  [[packages]]\nname = 'two'\nmarker = \"os_name == 'nt'\"\n\
                  vcs = { type = 'git', url = 'https://git.example/two', commit-id = 'abc' }\n";
    let pipfile = r#"{"_meta": {"pipfile-spec": 6}, "default": {
        "one": {"file": "https://host.example/one-1.tar.gz", "markers": "os_name == 'nt'"},
        "two": {"git": "https://git.example/two", "markers": "os_name == 'nt'"}}}"#;
    for (name, text) in [
        ("uv.lock", uv),
        ("poetry.lock", poetry),
        ("pdm.lock", pdm),
        ("pylock.toml", pylock),
        ("Pipfile.lock", pipfile),
    ] {
        let expected = [
            "one https://host.example/one-1.tar.gz; os_name == 'nt'",
            "two; os_name == 'nt'",
        ];
        assert_eq!(left(&good(name, text)), expected, "{name}");
    }
}

#[test]
fn options_about_prereleases_take_effect() {
    let said = |text: &str, project: &str| of(&good("r.txt", text), project).prereleases;
    assert_eq!(said("a", "a"), None);
    assert_eq!(said("a\n--pre", "a"), Some(true), "wherever it stands");
    assert_eq!(said("--all-releases :all:\na", "a"), Some(true));
    assert_eq!(said("--all-releases=A.B,c\na-b\nd", "a-b"), Some(true));
    assert_eq!(said("--all-releases=a\nd", "d"), None);
    assert_eq!(said("--only-final :all:\na", "a"), Some(false));
    assert_eq!(
        said("--only-final=:all:\n--all-releases a\na\nb", "a"),
        Some(true)
    );
    assert_eq!(
        said("--only-final=:all:\n--all-releases a\na\nb", "b"),
        Some(false)
    );
    assert_eq!(said("--pre\n--only-final a\na", "a"), Some(false));
    assert_eq!(said("--only-final a\n--only-final :none:\na", "a"), None);
    assert_eq!(
        said("--only-final a\n--pre\na", "a"),
        Some(true),
        "what comes later counts"
    );
    let files = BTreeMap::from([("base.txt", "--pre\nb")]);
    let reading = with_files("r.txt", "a\n-r base.txt", &files).expect("good files");
    assert_eq!(
        of(&reading, "a").prereleases,
        Some(true),
        "and in whichever file"
    );
    assert!(why("r.txt", "--all-releases").contains("--all-releases needs a value"));
    assert!(why("r.txt", "--only-final a b").contains("r.txt:1"));
}

#[test]
fn a_comma_may_stand_at_the_end() {
    let reading = good(
        "r.txt",
        "alpha>=1.0,\nbeta (>=1,<2,)\ngamma==1.0,; os_name == 'nt'",
    );
    assert_eq!(
        projects(&reading),
        ["alpha>=1.0", "beta>=1, <2", "gamma==1.0; os_name == 'nt'"]
    );
    assert!(why("r.txt", "alpha>=1,,<2").contains("is not a requirement"));
    assert!(why("r.txt", "alpha>=1,,").contains("is not a requirement"));
}

#[test]
fn constraints_hold_where_their_markers_do_and_may_name_urls() {
    let constrained = |constraints: &str, requirement: &str| {
        let files = BTreeMap::from([("c.txt", constraints)]);
        with_files("r.txt", &format!("-c c.txt\n{requirement}"), &files).expect("good files")
    };
    let reading = constrained(
        "alpha==1.0; python_version < '3.10'\nbeta==7; os_name == 'nt'",
        "alpha<9",
    );
    assert_eq!(
        projects(&reading),
        [
            "alpha<9; not (python_version < '3.10')",
            "alpha==1.0; python_version < '3.10'"
        ]
    );
    assert_eq!(reading.unlocked.len(), 1);
    let both = "alpha==1.0; python_version < '3.10'\nalpha==2.0; python_version >= '3.10'";
    let reading = constrained(both, "alpha ; os_name == 'nt'");
    let windows = |python: &'static str| {
        move |variable| match variable {
            MarkerVariable::PythonVersion => Some(vec![python.to_owned()]),
            MarkerVariable::OsName => Some(vec!["nt".to_owned()]),
            _ => None,
        }
    };
    let versions = |python| {
        let holds = |wanted: &&WantedProject| {
            wanted
                .marker
                .as_ref()
                .is_none_or(|marker| marker.truth(&windows(python)) == Truth::Yes)
        };
        reading
            .wanted
            .iter()
            .filter(holds)
            .map(|wanted| wanted.versions.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        versions("3.9"),
        [WantedVersions::Exactly("1.0".parse().unwrap())]
    );
    assert_eq!(
        versions("3.12"),
        [WantedVersions::Exactly("2.0".parse().unwrap())]
    );
    assert_eq!((reading.wanted.len(), reading.unlocked.len()), (2, 0));

    let url = format!("https://host.example/alpha-1.0.tar.gz#sha256={AA}");
    let reading = constrained(&format!("alpha @ {url}\nbeta @ {url}"), "alpha>=1");
    assert_eq!(
        (left(&reading), reading.wanted.len()),
        (vec![format!("alpha {url}")], 0)
    );
    assert!(reading.left_out[0].sha256.is_some());
    let reading = constrained(&format!("alpha @ {url} ; os_name == 'nt'"), "alpha==1");
    assert_eq!(left(&reading), [format!("alpha {url}; os_name == 'nt'")]);
    assert_eq!(projects(&reading), ["alpha==1; not (os_name == 'nt')"]);
}

#[test]
fn poetrys_first_formats_are_read() {
    let package = "[[package]]\ncategory = 'main'\ndescription = ''\nmarker = \"os_name == 'nt'\"\nname = 'one'\n\
                   optional = false\npython-versions = '*'\nversion = '1.0'\n\
                   [metadata]\ncontent-hash = 'ff'\npython-versions = '^3.6'\n";
    let one = format!(
        "{package}[metadata.files]\none = [{{file = 'one-1.0.tar.gz', hash = 'sha256:{AA}'}}]\n"
    );
    let older = format!("{package}[metadata.hashes]\none = ['{AA}']\n");
    for text in [one, older] {
        let reading = good("poetry.lock", &text);
        assert_eq!(projects(&reading), ["one==1.0; os_name == 'nt'"]);
        assert_eq!(of(&reading, "one").digests().len(), 1);
        assert_eq!(LockFormat::of("-", &text), Ok(LockFormat::Poetry));
    }
}

#[test]
fn digests_that_are_not_compared_are_said() {
    let sum = "00".repeat(64);
    let uv = format!(
        "version = 1\n[[package]]\nname = 'one'\nversion = '1'\nsource = {{ registry = 'https://index.example/simple/' }}\n\
         sdist = {{ url = 'https://files.example/one-1.tar.gz', hash = 'sha512:{sum}' }}\n"
    );
    let pylock = format!(
        "lock-version = '1.0'\n[[packages]]\nname = 'one'\nversion = '1'\n\
         sdist = {{ url = 'https://files.example/one-1.tar.gz', hashes = {{ sha512 = '{sum}' }} }}\n"
    );
    let poetry = format!(
        "[[package]]\nname = 'one'\nversion = '1'\nfiles = [{{file = 'one-1.tar.gz', hash = 'sha512:{sum}'}}]\n\
         [metadata]\nlock-version = '2.1'\n"
    );
    let pdm = poetry.replace("lock-version = '2.1'", "lock_version = '4.5.0'");
    let pipfile = format!(
        r#"{{"_meta": {{"pipfile-spec": 6}}, "default": {{"one": {{"version": "==1", "hashes": ["sha512:{sum}"]}}}}}}"#
    );
    let requirements = format!("one==1 --hash=sha512:{sum}");
    for (name, text) in [
        ("uv.lock", &uv),
        ("pylock.toml", &pylock),
        ("poetry.lock", &poetry),
        ("pdm.lock", &pdm),
        ("Pipfile.lock", &pipfile),
        ("r.txt", &requirements),
    ] {
        let uncompared = good(name, text).uncompared;
        let told: Vec<&str> = uncompared
            .iter()
            .map(|other| other.algorithm.as_str())
            .collect();
        assert_eq!(told, ["sha512"], "{name}");
        let with_both = text.replace("--hash", &format!("--hash=sha256:{AA} --hash"));
        assert_eq!(
            good(name, &with_both).uncompared.is_empty(),
            name == "r.txt",
            "{name}"
        );
    }
    for (name, text) in ALL {
        assert_eq!(good(name, text).uncompared, [], "{name}");
    }
}

#[test]
fn a_circle_is_known_by_where_its_files_are() {
    let files = BTreeMap::from([
        ("a/../a/r.txt", "-r ../a/r.txt"),
        ("a/./b.txt", "one"),
        ("a/b.txt", "one"),
    ]);
    let told = with_files("a/r.txt", "-r ../a/r.txt", &files)
        .expect_err("a circle")
        .to_string();
    assert_eq!(told, "a/r.txt:1: a/r.txt names itself, by way of a/r.txt");
    let files = BTreeMap::from([("../a/r.txt", "-r ../a/r.txt"), ("../a/../a/r.txt", "")]);
    let told = with_files("r.txt", "-r ../a/r.txt", &files)
        .expect_err("a circle")
        .to_string();
    assert_eq!(
        told,
        "../a/r.txt:1: ../a/r.txt names itself, by way of r.txt, ../a/r.txt"
    );
    let twice = with_files(
        "a/r.txt",
        "-r b.txt\n-r .//../a/b.txt",
        &BTreeMap::from([("a/b.txt", "one")]),
    );
    assert!(
        twice.is_err_and(|why| why.why.contains("cannot read")),
        "an odd path is read as it is written"
    );
}

#[test]
fn no_message_shows_a_password() {
    let secret = "https://USER:PASSWORD@host.example";
    for text in [
        format!("-r {secret}/r.txt?token=PASSWORD"),
        format!("-c {secret}/c.txt"),
        format!("one two @ {secret}/x"),
        format!("one ({secret})"),
        format!("--unheard={secret}"),
        format!("one; {secret}"),
    ] {
        let told = why("r.txt", &text);
        assert!(
            !told.contains("PASSWORD") && !told.contains("USER"),
            "{told}"
        );
    }
    assert!(
        why("r.txt", &format!("-r {secret}/r.txt?x=y")).contains("https://host.example/r.txt?…")
    );
    let lock = format!(
        "version = 1\n[[package]]\nname = \"{secret}\"\nsource = {{ registry = \"https://h/\" }}"
    );
    assert!(!why("uv.lock", &lock).contains("PASSWORD"));
    let lock = format!("version = 1\npackage = \"{secret}\"");
    assert!(
        !why("uv.lock", &lock).contains("PASSWORD"),
        "{}",
        why("uv.lock", &lock)
    );
}

#[test]
fn files_of_other_tools_are_named_and_not_read() {
    let pex = "// This lockfile was autogenerated by Pants.\n{\"locked_resolves\": [], \"pex_version\": \"2.1\"}";
    let cargo = "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://index.example\"\n";
    let pixi = "version: 6\nenvironments:\n  default: {}\npackages:\n- conda: https://h/a.conda\n";
    let conda_lock =
        "version: 1\nmetadata:\n  channels: []\npackage:\n- name: a\n  manager: conda\n";
    let environment = "name: work\nchannels:\n  - defaults\ndependencies:\n  - python=3.12\n  - pip:\n    - alpha\n";
    for (name, text, words) in [
        ("conda-lock.yml", conda_lock, "conda-lock's"),
        ("linux.conda-lock.yml", conda_lock, "conda-lock's"),
        ("pixi.lock", pixi, "pixi's"),
        ("environment.yaml", environment, "below `pip:`"),
        ("Cargo.lock", cargo, "another language"),
        ("package-lock.json", "{}", "another language"),
        ("locks/pants.lock", pex, "pex3 lock export"),
        ("lock.json", pex, "pex3 lock export"),
        ("x.json", "{\"a\": 1}", "JSON, and no Pipfile.lock"),
        ("x.json", "[1]", "JSON, and no Pipfile.lock"),
        (
            "report.json",
            "{\"version\": \"1\", \"pip_version\": \"26\", \"install\": []}",
            "pip lock",
        ),
        (
            "sbom.json",
            "{\"bomFormat\": \"CycloneDX\"}",
            "list of materials",
        ),
        ("main.py", "import sys", "uv lock --script"),
        (
            "dist/demo-1.0-py3-none-any.whl",
            "PK",
            "upload it to GitLab",
        ),
        ("demo-1.0.tar.gz", "", "upload it to GitLab"),
        ("other.yaml", "a: b", "YAML"),
        ("x", "[project]\nname = 'x'", "lock it first"),
    ] {
        let told = why(name, text);
        assert!(
            told.contains(words) && told.starts_with(&format!("{name}: ")),
            "{told}"
        );
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    for (text, words) in [
        (pex, "pex"),
        (cargo, "language"),
        (pixi, "pixi"),
        (conda_lock, "conda-lock"),
        (environment, "conda"),
    ] {
        assert!(
            why("-", text).contains(words),
            "by its content: {}",
            why("-", text)
        );
    }
    assert_eq!(
        LockFormat::of("script.py.lock", "version = 1"),
        Ok(LockFormat::Uv)
    );
    assert_eq!(
        LockFormat::of("requirements.lock", "alpha==1 # name: x"),
        Ok(LockFormat::Requirements)
    );
}
