//! The directions of docs/architecture.md, checked against the `use` lines and paths of every file in src/.
//!
//! This file holds the tables: the rooms in their order, and each exception with its reason. How Rust source is read is in
//! `architecture/source.rs`, how the rules are judged in `architecture/rules.rs`. An exception that nothing needs any more is
//! an error too, so these lists only hold what is true today.

#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/source.rs"]
mod source;

use rules::{Choke, House, Limited};

/// docs/architecture.md, "Rooms". A room may use the rooms in the rows below its own; rooms in one row are strangers.
const HOUSE: House = House {
    rows: &[
        &["main"],
        &["lib"],
        &["cli"],
        &["app"],
        &["server"],
        &["admin", "airgap", "upload"],
        &["index", "file"],
        &["upstream", "control"],
        &["access", "store"],
        &["registry", "wheel"],
        &["simple"],
        &["log"],
        &["values"],
    ],

    // Pairs that the rows alone would allow.
    strangers: &[(
        "upstream",
        "store",
        "the network and the disk meet only in the services above them",
    )],

    // Rooms that not everyone above may use.
    limited: &[Limited {
        room: "log",
        users: &["main", "cli", "app", "server", "admin"],
        reason: "the subscriber is set up by the process; every room writes through `tracing`, and `server` the access log",
    }],

    // Single steps against the rules above: (file, file it uses, reason).
    exceptions: &[],

    // Words that belong in one place. Comments and `#[cfg(test)]` code may say them anywhere.
    chokes: &[
        Choke {
            word: "cacache",
            home: &["src/store/"],
            reason: "the store may change its engine without anyone noticing",
        },
        Choke {
            word: "packages/pypi",
            home: &["src/registry/"],
            reason: "one grammar parses, asks and rewrites addresses",
        },
    ],

    // Where `.join(` may join a path. Everywhere else it may only join text: `.join(", ")`, `.join("")`, or a thread: `.join()`.
    joins: &[
        (
            "src/store/layout.rs",
            "every path on the disk is drawn here",
        ),
        (
            "src/simple/html/link.rs",
            "resolves a link against its page's URL; no path of the disk",
        ),
        (
            "src/upstream/redirect.rs",
            "resolves a Location against the URL asked; no path of the disk",
        ),
    ],
};

#[test]
fn the_house_is_as_drawn() {
    let tree = source::read_tree(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    assert!(!tree.is_empty(), "no source found");
    let faults = rules::faults(&tree, &HOUSE);
    assert!(
        faults.is_empty(),
        "{} against docs/architecture.md:\n{}",
        faults.len(),
        faults.join("\n")
    );
}
