//! Inputs as people and tools leave them: what `larder warm` makes of their encodings, options,
//! markers and mistakes.

use std::process::Output;

use super::downloads::{Bench, errors, names, said};
use crate::support::{Artifact, Distribution, PublicIndex};

impl Bench {
    fn input(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.larder.home().join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("a writable folder");
        }
        std::fs::write(&path, bytes).expect("a writable folder");
        path.to_string_lossy().into_owned()
    }

    /// What a dry run would fetch, sorted.
    #[track_caller]
    fn would(&self, arguments: &[&str]) -> Vec<String> {
        let (code, lines) = self.told(&[&["--dry-run"], arguments].concat());
        assert_eq!((code, errors(&lines)), (Some(0), vec![]), "{lines:?}");
        names(&lines, "upstream")
    }
}

fn wheel(name: &str, version: &str) -> String {
    format!("{name}-{version}-py3-none-any.whl")
}

fn offered(files: &[(&str, &str)]) -> Bench {
    let bench = Bench::new();
    for (name, version) in files {
        bench
            .index
            .publish(Distribution::new(name, version).wheel());
    }
    bench
}

fn file_url(index: &PublicIndex, filename: &str) -> String {
    format!("{}/{}", index.files_origin(), index.file_path(filename))
}

#[test]
fn requirements_in_other_encodings_are_read() {
    let bench = offered(&[("alpha", "1.0")]);
    let text = "alpha==1.0 # \u{e4}\n";
    let utf16 = |bytes_of: fn(u16) -> [u8; 2]| -> Vec<u8> {
        std::iter::once(0xfeff)
            .chain(text.encode_utf16())
            .flat_map(bytes_of)
            .collect()
    };
    for bytes in [
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
        format!("\u{feff}{text}").into_bytes(),
        b"# -*- coding: latin-1 -*-\nalpha==1.0 # \xe4\n".to_vec(),
    ] {
        let nested = bench.input("nested.txt", &bytes);
        let outer = bench.input("outer.txt", "-r nested.txt\n");
        assert_eq!(bench.would(&[&nested]), [wheel("alpha", "1.0")]);
        assert_eq!(bench.would(&[&outer]), [wheel("alpha", "1.0")]);
    }
    let lock = bench.input(
        "Pipfile.lock",
        b"\xef\xbb\xbf{\"_meta\": {\"pipfile-spec\": 6}, \"default\": {\"alpha\": {\"version\": \"==1.0\"}}}",
    );
    assert_eq!(bench.would(&[&lock]), [wheel("alpha", "1.0")]);
    let odd = bench.input("odd.txt", b"alpha\n\xe4\n");
    let output = bench.warm(&["--from", "pypi", &odd]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("odd.txt: line 2 is not UTF-8: save it in UTF-8"),
        "{}",
        said(&output)
    );
}

#[test]
fn options_about_prereleases_in_a_file_choose_the_version() {
    let bench = offered(&[
        ("alpha", "1.0"),
        ("alpha", "2.0rc1"),
        ("beta", "1.0"),
        ("beta", "2.0rc1"),
        ("gamma", "1.0rc1"),
    ]);
    for (text, alpha, beta) in [
        ("alpha\nbeta", "1.0", "1.0"),
        ("alpha\nbeta\n--pre", "2.0rc1", "2.0rc1"),
        ("--all-releases=alpha\nalpha>=1.0,\nbeta", "2.0rc1", "1.0"),
        (
            "--pre\n--only-final beta\nalpha\nbeta>=1.0rc1",
            "2.0rc1",
            "1.0",
        ),
    ] {
        let file = bench.input("requirements.txt", text);
        assert_eq!(
            bench.would(&[&file]),
            [wheel("alpha", alpha), wheel("beta", beta)],
            "{text}"
        );
    }
    let file = bench.input("requirements.txt", "gamma");
    assert_eq!(
        bench.would(&[&file]),
        [wheel("gamma", "1.0rc1")],
        "there is nothing else"
    );
    let file = bench.input("requirements.txt", "--only-final :all:\ngamma");
    let (code, lines) = bench.told(&["--dry-run", &file]);
    assert_eq!(
        (code, names(&lines, "upstream")),
        (Some(1), vec![]),
        "{lines:?}"
    );
    assert_eq!(errors(&lines), ["no version matches"]);
}

#[test]
fn urls_and_repositories_count_where_their_markers_hold() {
    let bench = offered(&[("alpha", "1.0")]);
    let url = file_url(&bench.index, &wheel("alpha", "1.0"));
    let linux = ["--python", "3.12", "--platform", "manylinux_2_28_x86_64"];
    let windows = ["--python", "3.12", "--platform", "win_amd64"];
    let uv = |source: &str| {
        format!(
            "version = 1\n[[package]]\nname = \"app\"\nversion = \"1\"\nsource = {{ virtual = \".\" }}\n\
             dependencies = [{{ name = \"alpha\", marker = \"sys_platform == 'linux'\" }}]\n\
             [[package]]\nname = \"alpha\"\nversion = \"1.0\"\nsource = {{ {source} }}\n"
        )
    };
    for (name, text, is_url) in [
        ("r.txt", format!("{url}; sys_platform == \"linux\""), true),
        (
            "r.txt",
            format!("alpha @ {url} ; sys_platform == 'linux'"),
            true,
        ),
        ("uv.lock", uv(&format!("url = \"{url}\"")), true),
        (
            "r.txt",
            "alpha @ git+https://git.example/alpha ; sys_platform == 'linux'".to_owned(),
            false,
        ),
        (
            "uv.lock",
            uv("git = \"https://git.example/alpha?rev=1#abc\""),
            false,
        ),
    ] {
        let file = bench.input(name, &text);
        let (code, lines) = bench.told(&[&["--dry-run", &file], &windows[..]].concat());
        assert_eq!(
            (code, names(&lines, "upstream")),
            (Some(0), vec![]),
            "{text}"
        );
        let (code, lines) = bench.told(&[&["--dry-run", &file], &linux[..]].concat());
        let expected = if is_url {
            vec![wheel("alpha", "1.0")]
        } else {
            vec![]
        };
        assert_eq!(
            (code, names(&lines, "upstream")),
            (Some(i32::from(!is_url)), expected),
            "{text}"
        );
    }
}

#[test]
fn constraints_under_markers_and_with_urls_choose_the_file() {
    let bench = offered(&[("alpha", "1.0"), ("alpha", "2.0"), ("alpha", "3.0")]);
    let constraints = "alpha==1.0; python_version < '3.10'\nalpha<3; python_version >= '3.10'\n";
    bench.input("constraints.txt", constraints);
    let file = bench.input("requirements.txt", "-c constraints.txt\nalpha");
    assert_eq!(
        bench.would(&[&file, "--python", "3.9"]),
        [wheel("alpha", "1.0")]
    );
    assert_eq!(
        bench.would(&[&file, "--python", "3.12"]),
        [wheel("alpha", "2.0")]
    );
    let both = [wheel("alpha", "1.0"), wheel("alpha", "2.0")];
    assert_eq!(bench.would(&[&file, "--python", "3.9,3.12"]), both);
    assert_eq!(bench.would(&[&file]), both, "every Python's, and no more");

    let url = file_url(&bench.index, &wheel("alpha", "2.0"));
    bench.input("constraints.txt", format!("alpha @ {url}\nbeta @ {url}"));
    assert_eq!(bench.would(&[&file]), [wheel("alpha", "2.0")]);
}

#[test]
fn a_pylock_of_uvs_finds_files_that_the_index_spells_otherwise() {
    let bench = Bench::new();
    let file = Distribution::new("MarkupSafe", "3.0.2").wheel();
    let file = Artifact {
        filename: file.filename.replace("markupsafe", "MarkupSafe"),
        ..file
    };
    bench.index.publish(&file);
    let lock = |name: &str, url: &str, sha256: &str| {
        format!(
            "lock-version = \"1.0\"\ncreated-by = \"uv\"\n[[packages]]\nname = \"markupsafe\"\nversion = \"3.0.2\"\n\
             wheels = [{{ {name} {url} hashes = {{ sha256 = \"{sha256}\" }} }}]\n"
        )
    };
    let url = format!("url = \"{}\",", file_url(&bench.index, &file.filename));
    for (name, url) in [
        (
            "name = \"markupsafe-3.0.2-py3-none-any.whl\",",
            url.as_str(),
        ),
        ("name = \"markupsafe-3.0.2-py3-none-any.whl\",", ""),
        ("name = \"download\",", &url),
        ("", &url),
    ] {
        let lock = bench.input("pylock.toml", lock(name, url, &file.sha256));
        assert_eq!(
            bench.would(&[&lock]),
            std::slice::from_ref(&file.filename),
            "{name} {url}"
        );
    }
    let lock = bench.input(
        "pylock.toml",
        lock(
            "name = \"markupsafe-3.0.2-py3-none-any.whl\",",
            "",
            &"0".repeat(64),
        ),
    );
    let (code, lines) = bench.told(&["--dry-run", &lock]);
    assert_eq!(code, Some(1));
    assert!(
        errors(&lines)[0].starts_with("the page says another sha256"),
        "{lines:?}"
    );
}

#[test]
fn digests_that_are_not_compared_and_files_that_are_no_locks_are_said_in_a_sentence() {
    let bench = offered(&[("alpha", "1.0")]);
    let sum = "00".repeat(64);
    let file = bench.input("r.txt", format!("alpha==1.0 --hash=sha512:{sum}"));
    let output = bench.warm(&["--dry-run", "--from", "pypi", &file]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        said(&output).contains("not compared: alpha is locked by sha512 alone"),
        "{}",
        said(&output)
    );

    let refused = |output: &Output, words: &str| {
        let text = said(output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(words) && !text.contains("PASSWORD"), "{text}");
        assert_eq!(text.trim().lines().count(), 1, "{text}");
    };
    let wheel = Distribution::new("alpha", "1.0").wheel();
    for (name, bytes, words) in [
        (
            "conda-lock.yml",
            &b"version: 1\n"[..],
            "a lock file of conda-lock's",
        ),
        (
            "Cargo.lock",
            b"version = 4\n",
            "for another language than Python",
        ),
        ("some.json", b"{\"a\": 1}", "JSON, and no Pipfile.lock"),
        (
            "main.py",
            b"import sys\n",
            "a Python script, and it is never executed",
        ),
        (&wheel.filename, &wheel.bytes, "a package, not a lock file"),
        ("renamed", &wheel.bytes, "a package, not a lock file"),
        (
            "r.txt",
            b"-r https://USER:PASSWORD@host.example/r.txt\n",
            "https://host.example/r.txt is not fetched",
        ),
        ("a/r.txt", b"-r ../a/r.txt\n", "names itself"),
    ] {
        let file = bench.input(name, bytes);
        refused(&bench.warm(&["--from", "pypi", &file]), words);
    }
    let word = "https://USER:PASSWORD@host.example/r.txt";
    let text = said(&bench.warm(&["--from", "pypi", word]));
    assert!(!text.contains("PASSWORD"), "{text}");
}
