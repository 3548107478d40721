//! Which wheels `larder warm` takes for a machine, against `packaging.tags`, by which installers
//! decide.

use std::collections::BTreeSet;

use super::downloads::{Bench, names, tagged};
use crate::support::{Distribution, Workbench, python};

const PYTHONS: [&str; 12] = [
    "py2", "py3", "py2.py3", "py311", "py312", "py313", "cp32", "cp39", "cp311", "cp312", "cp313",
    "pp312",
];
const ABIS: [&str; 6] = ["none", "abi3", "cp311", "cp312", "cp312t", "cp313"];
const PLATFORMS: [&str; 23] = [
    "any",
    "linux_x86_64",
    "manylinux1_x86_64",
    "manylinux2010_x86_64",
    "manylinux2014_x86_64",
    "manylinux2014_aarch64",
    "manylinux_2_5_x86_64",
    "manylinux_2_17_x86_64.manylinux2014_x86_64",
    "manylinux_2_28_x86_64",
    "manylinux_2_29_x86_64",
    "manylinux_2_28_aarch64",
    "musllinux_1_2_x86_64",
    "win32",
    "win_amd64",
    "win_arm64",
    "macosx_10_9_x86_64",
    "macosx_10_9_universal2",
    "macosx_11_0_arm64",
    "macosx_11_0_universal2",
    "macosx_12_3_arm64",
    "macosx_14_0_arm64",
    "macosx_14_0_x86_64",
    "macosx_15_0_arm64",
];

/// Prints those of the names in a file that a CPython 3.12 takes on a platform.
const ORACLE: &str = r#"
import sys
from packaging import _manylinux, tags, utils
platform = sys.argv[1]
if platform.startswith("manylinux"):
    _manylinux._get_glibc_version = lambda: (2, 28)
    platforms = [*_manylinux.platform_tags(["x86_64"]), "linux_x86_64"]
elif platform.startswith("macosx"):
    platforms = [*tags.mac_platforms((14, 0), "arm64")]
else:
    platforms = [platform]
taken = {*tags.cpython_tags((3, 12), ["cp312"], platforms), *tags.compatible_tags((3, 12), "cp312", platforms)}
for name in open(sys.argv[2]).read().split():
    if taken & utils.parse_wheel_filename(name)[3]:
        print(name)
"#;

#[test]
fn wheels_are_taken_for_a_machine_as_installers_take_them() {
    let bench = Bench::new();
    let plain = Distribution::new("one", "1.0").wheel();
    let mut all = BTreeSet::new();
    for python in PYTHONS {
        for abi in ABIS {
            for platform in PLATFORMS {
                let wheel = tagged(&plain, &format!("{python}-{abi}-{platform}"));
                bench.index.publish(&wheel);
                all.insert(wheel.filename);
            }
        }
    }
    let user = Workbench::new();
    let list = user.write("names", all.iter().cloned().collect::<Vec<_>>().join("\n"));
    for platform in ["manylinux_2_28_x86_64", "win_amd64", "macosx_14_0_arm64"] {
        let script = ["-c", ORACLE, platform, &list.to_string_lossy()];
        let told = user.run(&python::program("python"), &script);
        let expected: BTreeSet<String> = told
            .expect_success()
            .stdout
            .lines()
            .map(str::to_owned)
            .collect();
        let (code, lines) = bench.told(&[
            "one",
            "--python",
            "3.12",
            "--platform",
            platform,
            "--dry-run",
        ]);
        let taken: BTreeSet<String> = names(&lines, "upstream").into_iter().collect();
        assert_eq!(code, Some(0), "{platform}");
        assert!(
            expected.len() > 10 && expected.len() < all.len() / 2,
            "{platform}: {}",
            expected.len()
        );
        let differ: Vec<&String> = expected.symmetric_difference(&taken).take(20).collect();
        assert!(differ.is_empty(), "{platform}: {differ:?}");
    }
}
