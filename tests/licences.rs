//! Every crate that is built into larder, or tests it, comes from the crate registry and under a licence that deny.toml allows.
//!
//! cargo-deny says more (see deny.toml); this says the part that must never slip, in every `cargo test`.

use std::process::Command;

use serde_json::Value;
use spdx::{Expression, LicenseReq, ParseMode};

#[test]
fn every_dependency_has_an_allowed_licence_and_comes_from_the_registry() {
    let allowed = allowed_licences();
    let wrong: Vec<String> = packages()
        .iter()
        .filter_map(|package| fault(package, &allowed))
        .collect();
    assert!(wrong.is_empty(), "see deny.toml:\n  {}", wrong.join("\n  "));
}

#[test]
fn a_foreign_licence_a_missing_one_and_a_git_source_are_caught() {
    let allowed = vec!["MIT".to_owned(), "Apache-2.0".to_owned()];
    let package = |licence: Value, source: &str| serde_json::json!({ "name": "x", "version": "1.0.0", "license": licence, "source": source });

    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0-only OR MIT",
        "(MIT OR ISC) AND Apache-2.0",
    ] {
        assert_eq!(
            fault(&package(good.into(), "registry+x"), &allowed),
            None,
            "{good}"
        );
    }
    for bad in [
        "GPL-3.0-only",
        "MIT AND ISC",
        "Apache-2.0 WITH LLVM-exception",
        "no such licence",
        "",
    ] {
        assert!(
            fault(&package(bad.into(), "registry+x"), &allowed).is_some(),
            "{bad}"
        );
    }
    assert!(fault(&package(Value::Null, "registry+x"), &allowed).is_some());
    assert!(
        fault(
            &package("MIT".into(), "git+https://git.example/x"),
            &allowed
        )
        .is_some()
    );
}

/// What is wrong with this package, if anything.
fn fault(package: &Value, allowed: &[String]) -> Option<String> {
    let crate_name = format!("{} {}", package["name"], package["version"]);
    // No source: that is larder itself, or a path dependency, and then its licence counts all the same.
    if let Some(source) = package["source"].as_str()
        && !source.starts_with("registry+")
    {
        return Some(format!("{crate_name}: comes from {source}"));
    }
    let Some(licence) = package["license"].as_str() else {
        return Some(format!("{crate_name}: names no licence"));
    };
    match Expression::parse_mode(licence, ParseMode::LAX) {
        Ok(expression) if expression.evaluate(|asked| is_allowed(asked, allowed)) => None,
        Ok(_) => Some(format!("{crate_name}: {licence} is not on the list")),
        Err(error) => Some(format!(
            "{crate_name}: {licence:?} cannot be read: {}",
            error.reason
        )),
    }
}

/// An exception (`WITH …`) is part of the licence's name: "Apache-2.0" on the list does not allow "Apache-2.0 WITH x".
fn is_allowed(asked: &LicenseReq, allowed: &[String]) -> bool {
    allowed.contains(&asked.to_string())
}

fn allowed_licences() -> Vec<String> {
    let settings: toml::Table = include_str!("../deny.toml")
        .parse()
        .expect("deny.toml is TOML");
    let allowed = settings["licenses"]["allow"]
        .as_array()
        .expect("deny.toml has licenses.allow");
    allowed
        .iter()
        .filter_map(|licence| licence.as_str().map(str::to_owned))
        .collect()
}

/// All packages in the build for this platform. The build has just downloaded them, so this asks no network;
/// those of other platforms are left out, because they need not be there.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .args(["--filter-platform", "host-tuple"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"]
        .as_array()
        .expect("a list of packages")
        .clone();
    assert!(
        packages.len() > 50,
        "only {} packages: is this the whole tree?",
        packages.len()
    );
    packages
}
