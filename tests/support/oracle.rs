//! Asks the parsers of others (`oracle.py`) whether a page says after larder what it said before.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::python;

/// A page as somebody was given it.
#[derive(Clone, Debug)]
pub struct Sight {
    /// What it is called when it differs.
    pub label: String,
    /// The address it was had from: relative links start there.
    pub url: String,
    pub content_type: String,
    pub body: Vec<u8>,
    /// Prefixes of addresses, each with the one it stands for in the original.
    pub prefixes: Vec<(String, String)>,
    /// Prefixes of the original that no link to a file may keep.
    pub served: Vec<String>,
}

/// A page as it was published, and all the ways in which it was seen.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    /// A list of projects rather than of files.
    pub is_index: bool,
    pub original: Sight,
    pub seen: Vec<Sight>,
}

#[derive(Clone, Debug)]
pub struct Verdict {
    pub differences: Vec<String>,
    /// Comparisons of a file, or of a project on an index.
    pub compared: u64,
    /// Originals that one of the parsers makes nothing of.
    pub unread: Vec<String>,
}

/// Judges all in one process, which needs the environment of the clients.
pub fn judge(cases: &[Case]) -> Verdict {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/support/oracle.py");
    let mut child = Command::new(python::program("python"))
        .arg(script)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let asked = json!({ "cases": cases.iter().map(described).collect::<Vec<_>>() });
    // It reads all before it writes anything.
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(asked.to_string().as_bytes())
        .expect("python reads");
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success(), "oracle.py failed");
    let said: Value = serde_json::from_slice(&output.stdout).expect("oracle.py answers in JSON");
    let texts = |key: &str| -> Vec<String> {
        serde_json::from_value(said[key].clone()).expect("a list of texts")
    };
    Verdict {
        differences: texts("differences"),
        compared: said["files"].as_u64().expect("a number"),
        unread: texts("unread"),
    }
}

fn described(case: &Case) -> Value {
    json!({
        "name": case.name,
        "index": case.is_index,
        "original": sight(&case.original),
        "seen": case.seen.iter().map(sight).collect::<Vec<_>>(),
    })
}

fn sight(sight: &Sight) -> Value {
    json!({
        "label": sight.label,
        "url": sight.url,
        "content_type": sight.content_type,
        "body": STANDARD.encode(&sight.body),
        "map": sight.prefixes,
        "served": sight.served,
    })
}
