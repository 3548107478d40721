//! `larder warm` for several machines: what a lock has no file for is missing there, and each
//! machine's sum is told.

use serde_json::{Value, json};

use super::downloads::{Bench, errors, said, tagged};
use crate::support::lock_text::{FORMATS, Format, Locked};
use crate::support::{Act, Artifact, Distribution, Site};

const LINUX: &str = "3.12 manylinux_2_28_x86_64";
const WINDOWS: &str = "3.12 win_amd64";
const MACHINES: [&str; 4] = [
    "--python",
    "3.12",
    "--platform",
    "manylinux_2_28_x86_64,win_amd64",
];

/// `one` for Linux alone, `two` for everybody; both on offer.
fn stocked(bench: &Bench) -> (Artifact, Artifact) {
    let one = tagged(
        &Distribution::new("one", "1.0").wheel(),
        "cp312-cp312-manylinux_2_17_x86_64",
    );
    let two = Distribution::new("two", "1.0").wheel();
    for file in [&one, &two] {
        bench.index.publish(file);
    }
    (one, two)
}

/// What was said of each machine: the packages, those with a file, and the others.
fn supplies(lines: &[Value]) -> Vec<Value> {
    let of_machines = lines.iter().filter(|line| line["packages"].is_number());
    of_machines
        .map(|line| {
            json!([
                line["target"],
                line["packages"],
                line["with_file"],
                line["without"]
            ])
        })
        .collect()
}

/// What is missing, as project and machine.
fn missing(lines: &[Value]) -> Vec<String> {
    let missing = lines.iter().filter(|line| line["error"].is_string());
    missing
        .map(|line| format!("{} for {}", line["project"], line["target"]).replace('"', ""))
        .collect()
}

#[test]
fn a_locked_package_of_which_no_file_fits_a_machine_is_missing_there() {
    let bench = Bench::new();
    let (one, two) = stocked(&bench);
    let short = [
        json!([LINUX, 2, 2, []]),
        json!([WINDOWS, 2, 1, ["one ==1.0"]]),
    ];
    let requirements = format!(
        "one==1.0 --hash=sha256:{}\ntwo==1.0 --hash=sha256:{}\n",
        one.sha256, two.sha256
    );
    let mut locks = vec![
        ("requirements.txt", requirements),
        // Pinned, and not locked to files.
        ("unhashed.txt", "one==1.0\ntwo==1.0\n".to_owned()),
    ];
    for format in FORMATS {
        locks.push((
            format.filename(),
            format.lock(12, &[Locked::new([&one]), Locked::new([&two])]),
        ));
    }
    for (name, text) in locks {
        let lock = bench.file(name, &text);
        for dry in [&["--dry-run"][..], &[]] {
            let (code, lines) = bench.told_all(&[&[lock.as_str()], &MACHINES[..], dry].concat());
            assert_eq!(
                (code, supplies(&lines)),
                (Some(1), short.to_vec()),
                "{name}"
            );
            assert_eq!(missing(&lines), [format!("one for {WINDOWS}")], "{name}");
        }
        let output = bench.warm(&[&[lock.as_str(), "--from", "pypi"], &MACHINES[..]].concat());
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{name}: {text}");
        assert!(
            text.contains(&format!("missing  one ==1.0 for {WINDOWS}: no")),
            "{name}: {text}"
        );
        assert!(
            text.contains(&format!("{LINUX}: 2 of 2 packages have a file\n")),
            "{name}: {text}"
        );
        assert!(
            text.contains(&format!("{WINDOWS}: 1 of 2 packages have a file\n")),
            "{name}: {text}"
        );
    }
}

#[test]
fn where_its_marker_is_false_nobody_lacks_a_package() {
    let bench = Bench::new();
    let (one, two) = stocked(&bench);
    for format in FORMATS {
        let linux = Locked::new([&one]).where_("sys_platform == 'linux'");
        let lock = bench.file(
            format.filename(),
            &format.lock(12, &[linux, Locked::new([&two])]),
        );
        let (code, lines) =
            bench.told_all(&[&[lock.as_str(), "--dry-run"], &MACHINES[..]].concat());
        assert_eq!(code, Some(0), "{format:?}: {lines:?}");
        assert_eq!(
            supplies(&lines),
            [json!([LINUX, 2, 2, []]), json!([WINDOWS, 1, 1, []])],
            "{format:?}"
        );
    }
}

#[test]
fn what_can_only_be_built_is_a_file_unless_source_distributions_are_left_out() {
    let bench = Bench::new();
    let (one, two) = stocked(&bench);
    let sdist = Distribution::new("one", "1.0").sdist();
    bench.index.publish(&sdist);
    let lock = Format::Uv.lock(12, &[Locked::new([&one, &sdist]), Locked::new([&two])]);
    let lock = bench.file("uv.lock", &lock);
    let run = |more: &[&str]| {
        bench.told_all(&[&[lock.as_str(), "--dry-run"], &MACHINES[..], more].concat())
    };
    let (code, lines) = run(&[]);
    assert_eq!(
        (code, supplies(&lines)[1].clone()),
        (Some(0), json!([WINDOWS, 2, 2, []]))
    );
    // One machine has a wheel, and the other one builds.
    let (code, lines) = run(&["--sdists", "if-no-wheel"]);
    assert_eq!(
        (code, supplies(&lines)[1].clone()),
        (Some(0), json!([WINDOWS, 2, 2, []]))
    );
    assert!(
        lines
            .iter()
            .any(|line| line["file"] == sdist.filename.as_str()),
        "{lines:?}"
    );
    let (code, lines) = run(&["--wheels-only"]);
    assert_eq!(
        (code, missing(&lines)),
        (Some(1), vec![format!("one for {WINDOWS}")])
    );
    let why = "none of the locked files fits (1 a source distribution, 1 for other machines)";
    assert_eq!(errors(&lines), [why]);
}

#[test]
fn a_file_that_did_not_come_is_no_file() {
    let bench = Bench::new();
    let two = Distribution::new("two", "1.0").payload(100_000).wheel();
    bench.index.publish(&two);
    bench.index.plan(
        Act::Flip { at: 50_000 }
            .at(Site::FileBody)
            .containing("two-1.0"),
    );
    let lock = bench.file("uv.lock", &Format::Uv.lock(12, &[Locked::new([&two])]));
    let (code, lines) = bench.told_all(&[&lock, "--python", "3.12"]);
    assert_eq!(
        (code, supplies(&lines)),
        (Some(1), vec![json!(["3.12", 1, 0, ["two ==1.0"]])])
    );
}

#[test]
fn a_machine_that_a_lock_is_not_for_is_said_in_one_sentence() {
    let bench = Bench::new();
    let (one, two) = stocked(&bench);
    let packages = || [Locked::new([&one]), Locked::new([&two])];
    for format in FORMATS {
        let lock = bench.file(format.filename(), &format.lock(12, &packages()));
        let arguments = [
            lock.as_str(),
            "--dry-run",
            "--python",
            "3.8,3.12",
            "--platform",
            "manylinux_2_28_x86_64",
        ];
        let (code, lines) = bench.told_all(&arguments);
        let told = errors(&lines);
        assert_eq!((code, told.len()), (Some(1), 1), "{format:?}: {told:?}");
        assert!(
            told[0].starts_with(&format!("{lock} is for "))
                && told[0].contains("not for 3.8 manylinux_2_28_x86_64"),
            "{told:?}"
        );
        let machines = [
            json!(["3.8 manylinux_2_28_x86_64", 0, 0, []]),
            json!([LINUX, 2, 2, []]),
        ];
        assert_eq!(supplies(&lines), machines, "{format:?}");
        let output = bench.warm(&[&arguments[..], &["--from", "pypi"]].concat());
        assert!(
            said(&output).contains(told[0]),
            "{format:?}: {}",
            said(&output)
        );
    }
    for (format, key) in [
        (Format::Uv, "supported-markers"),
        (Format::Pylock, "environments"),
    ] {
        let line = format!("{key} = [\"sys_platform == 'linux'\", \"sys_platform == 'darwin'\"]\n");
        let text = format.lock(12, &packages()).replacen(
            "requires-python",
            &format!("{line}requires-python"),
            1,
        );
        let lock = bench.file(format.filename(), &text);
        let (code, lines) =
            bench.told_all(&[&[lock.as_str(), "--dry-run"], &MACHINES[..]].concat());
        assert_eq!(
            (code, errors(&lines).len()),
            (Some(1), 1),
            "{format:?}: {lines:?}"
        );
        let said = "is for sys_platform == 'linux' or sys_platform == 'darwin', and not for 3.12 win_amd64";
        assert!(errors(&lines)[0].contains(said), "{lines:?}");
    }
}
