//! The profile that larder is compiled by where it is published: whether the compiler takes it, and
//! whether each way of compiling names it.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const PROFILE: &str = "packaging/larder.profdata";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A compiler of another LLVM may read no older profiles: it is to be made anew then.
#[test]
fn the_compiler_reads_the_profile() {
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("nothing.rs");
    fs::write(&source, "pub fn nothing() {}\n").unwrap();
    let output = Command::new("rustc")
        .args(["--crate-type=lib", "--emit=obj", "-O", "--out-dir"])
        .arg(folder.path())
        .arg(format!("-Cprofile-use={}", root().join(PROFILE).display()))
        .arg(source)
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "`bash .ci/profile` makes it: {said}"
    );
}

#[test]
fn each_way_of_compiling_what_is_published_names_the_profile() {
    let flag = format!("-Cprofile-use=$PWD/{PROFILE}");
    for (file, line) in [
        (".ci/dist", flag.as_str()),
        (".ci/release", &flag),
        (".ci/profile", &format!("merge -sparse -o {PROFILE} ")),
        // What is built beside larder changes the features of its libraries, and so the names.
        (".ci/profile", "--target \"$machine\" --bin larder\n"),
        (".ci/dist", "set -- --bin larder\n"),
        ("Dockerfile", &format!("COPY {PROFILE} {PROFILE}\n")),
        ("Dockerfile", "sh .ci/dist\n"),
        (".dockerignore", &format!("!{PROFILE}\n")),
        (
            "benches/compare/tools.py",
            "\"sh\", \".ci/dist\", kind, name",
        ),
    ] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        assert!(text.contains(line), "{file} has no {line}");
    }
}
