//! Judges a source tree by the tables of a `House`. Every fault names the file, the line and the rule.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{self, Kind, Source, Tree};

pub struct House {
    /// Rooms from the roof down. A room is a folder or a file directly in src/.
    pub rows: &'static [&'static [&'static str]],
    /// (room, room, reason)
    pub strangers: &'static [(&'static str, &'static str, &'static str)],
    pub limited: &'static [Limited],
    /// (file, file it uses, reason)
    pub exceptions: &'static [(&'static str, &'static str, &'static str)],
    pub chokes: &'static [Choke],
    /// (file, reason)
    pub joins: &'static [(&'static str, &'static str)],
}

/// A room that only these rooms may use.
pub struct Limited {
    pub room: &'static str,
    pub users: &'static [&'static str],
    pub reason: &'static str,
}

/// A word that only these files or folders may say.
pub struct Choke {
    pub word: &'static str,
    pub home: &'static [&'static str],
    pub reason: &'static str,
}

/// One file uses another, first seen in this line.
struct Edge<'a> {
    from: &'a str,
    line: usize,
    to: &'a str,
}

pub fn faults(tree: &Tree, house: &House) -> Vec<String> {
    let sources = read_all(tree);
    let edges = edges(&sources);
    let mut used_exceptions = BTreeSet::new();
    let mut faults = Vec::new();

    for (file, text) in tree {
        if !text.starts_with("//!") {
            faults.push(format!(
                "{file}:1: opening: the file must begin with `//!`, saying what it owns"
            ));
        }
        if row(house, &room(file)).is_none() {
            faults.push(format!(
                "{file}:1: rooms: `{}` is in no row of the table",
                room(file)
            ));
        }
    }
    for edge in &edges {
        if let Some(fault) = direction(edge, house) {
            match house
                .exceptions
                .iter()
                .position(|(from, to, _)| (*from, *to) == (edge.from, edge.to))
            {
                Some(exception) => drop(used_exceptions.insert(exception)),
                None => faults.push(format!("{}:{}: {fault}", edge.from, edge.line)),
            }
        }
    }
    for (i, (from, to, reason)) in house.exceptions.iter().enumerate() {
        if !used_exceptions.contains(&i) {
            faults.push(format!(
                "{from}:1: exceptions: no longer uses {to} against a rule; remove the entry ({reason})"
            ));
        }
    }
    faults.extend(circles(&edges));
    faults.extend(choked(&sources, house));
    faults.extend(joins(&sources, house));
    faults
}

/// Every file that is not test code as a whole.
fn read_all(tree: &Tree) -> BTreeMap<&str, Source> {
    let mut sources: BTreeMap<&str, Source> = tree
        .iter()
        .map(|(file, text)| (file.as_str(), source::read(file, text)))
        .collect();
    let tests: BTreeSet<Vec<String>> = sources
        .values()
        .flat_map(|s| s.test_modules.clone())
        .collect();
    sources.retain(|_, source| !tests.iter().any(|test| source.module.starts_with(test)));
    sources
}

/// `src/store/layout.rs` is in `store`, and `src/main.rs` is `main`.
fn room(file: &str) -> String {
    let inner = file.trim_start_matches("src/");
    inner
        .split('/')
        .next()
        .unwrap_or(inner)
        .trim_end_matches(".rs")
        .to_owned()
}

fn row(house: &House, room: &str) -> Option<usize> {
    house.rows.iter().position(|row| row.contains(&room))
}

fn edges<'a>(sources: &BTreeMap<&'a str, Source>) -> Vec<Edge<'a>> {
    let by_module: BTreeMap<&[String], &'a str> = sources
        .iter()
        .map(|(file, source)| (source.module.as_slice(), *file))
        .collect();
    let mut first_seen: BTreeMap<(&'a str, &'a str), usize> = BTreeMap::new();
    for (&from, source) in sources {
        for used in &source.uses {
            let Some(to) = home_of(&used.path, &by_module, sources) else {
                continue;
            };
            if to != from {
                let line = first_seen.entry((from, to)).or_insert(used.line);
                *line = used.line.min(*line);
            }
        }
    }
    first_seen
        .into_iter()
        .map(|((from, to), line)| Edge { from, line, to })
        .collect()
}

/// The file in which a path ends: the longest part of it that is a module, seen through that module's re-exports.
fn home_of<'a>(
    path: &[String],
    by_module: &BTreeMap<&[String], &'a str>,
    sources: &BTreeMap<&'a str, Source>,
) -> Option<&'a str> {
    let mut path = path.to_vec();
    // A re-export may lead to another one; ten of them are a mistake of their own.
    for _ in 0..10 {
        let depth = (0..=path.len())
            .rev()
            .find(|&n| by_module.contains_key(&path[..n]))?;
        let file = by_module[&path[..depth]];
        match path
            .get(depth)
            .and_then(|name| sources[file].reexports.get(name))
        {
            Some(real) => path = [real.as_slice(), &path[depth + 1..]].concat(),
            None => return Some(file),
        }
    }
    None
}

fn direction(edge: &Edge, house: &House) -> Option<String> {
    let (from, to) = (room(edge.from), room(edge.to));
    if from == to {
        return None;
    }
    let (above, below) = (row(house, &from)?, row(house, &to)?);
    if above > below {
        return Some(format!(
            "direction: `{from}` is below `{to}` and may not use it ({})",
            edge.to
        ));
    }
    if above == below {
        return Some(format!(
            "strangers: `{from}` and `{to}` are in one row and may not use each other ({})",
            edge.to
        ));
    }
    for (one, other, reason) in house.strangers {
        if (from == *one && to == *other) || (from == *other && to == *one) {
            return Some(format!(
                "strangers: `{from}` may not use `{to}` ({}): {reason}",
                edge.to
            ));
        }
    }
    let limited = house
        .limited
        .iter()
        .find(|limited| limited.room == to && !limited.users.contains(&from.as_str()))?;
    Some(format!(
        "limited: `{from}` may not use `{to}` ({}): {}",
        edge.to, limited.reason
    ))
}

/// Groups of files that reach each other.
fn circles(edges: &[Edge]) -> Vec<String> {
    let files: BTreeSet<&str> = edges.iter().flat_map(|e| [e.from, e.to]).collect();
    let reach: BTreeMap<&str, BTreeSet<&str>> = files
        .iter()
        .map(|&file| (file, reachable(file, edges)))
        .collect();
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for &file in &files {
        let circle: Vec<&str> = reach[file]
            .iter()
            .copied()
            .filter(|&other| reach[other].contains(file))
            .collect();
        if circle.is_empty() || !seen.insert(circle.clone()) {
            continue;
        }
        let inside = |e: &&Edge| circle.contains(&e.from) && circle.contains(&e.to);
        for edge in edges.iter().filter(inside) {
            faults.push(format!(
                "{}:{}: circle: uses {}, which leads back here",
                edge.from, edge.line, edge.to
            ));
        }
    }
    faults
}

fn reachable<'a>(start: &str, edges: &[Edge<'a>]) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![start];
    while let Some(file) = waiting.pop() {
        for edge in edges.iter().filter(|e| e.from == file) {
            if found.insert(edge.to) {
                waiting.push(edge.to);
            }
        }
    }
    found
}

fn choked(sources: &BTreeMap<&str, Source>, house: &House) -> Vec<String> {
    let mut faults = Vec::new();
    for choke in house.chokes {
        for (file, source) in sources
            .iter()
            .filter(|(file, _)| !choke.home.iter().any(|home| file.starts_with(home)))
        {
            for token in source
                .tokens
                .iter()
                .filter(|t| t.kind != Kind::Mark && t.text.contains(choke.word))
            {
                faults.push(format!(
                    "{file}:{}: choke: `{}` is named only in {}: {}",
                    token.line,
                    choke.word,
                    choke.home.join(", "),
                    choke.reason
                ));
            }
        }
    }
    faults
}

/// `.join(` with an argument that could be part of a path.
fn joins(sources: &BTreeMap<&str, Source>, house: &House) -> Vec<String> {
    let mut faults = Vec::new();
    let mut joining = BTreeSet::new();
    for (file, source) in sources {
        for window in source.tokens.windows(5) {
            let [dot, join, open, argument, close] = window else {
                continue;
            };
            if !(dot.is(".") && join.is("join") && open.is("(")) || argument.is(")") {
                continue;
            }
            let separator =
                argument.kind == Kind::Text && close.is(")") && is_separator(&argument.text);
            if separator {
                continue;
            }
            joining.insert(*file);
            if !house.joins.iter().any(|(allowed, _)| allowed == file) {
                faults.push(format!(
                    "{file}:{}: joins: only store/layout.rs joins paths",
                    join.line
                ));
            }
        }
    }
    for (file, reason) in house
        .joins
        .iter()
        .filter(|(file, _)| sources.contains_key(file) && !joining.contains(file))
    {
        faults.push(format!(
            "{file}:1: joins: joins no path any more; remove the entry ({reason})"
        ));
    }
    faults
}

/// Whether a text can only stand between things: `, ` or `\n  `, but not `tmp`.
fn is_separator(text: &str) -> bool {
    let text = text
        .replace("\\n", "")
        .replace("\\r", "")
        .replace("\\t", "");
    !text.chars().any(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUSE: House = House {
        rows: &[
            &["main"],
            &["lib"],
            &["app"],
            &["server"],
            &["index", "file"],
            &["upstream"],
            &["store"],
            &["telemetry"],
            &["digest"],
        ],
        strangers: &[("upstream", "store", "strangers")],
        limited: &[Limited {
            room: "telemetry",
            users: &["server"],
            reason: "only the edge counts",
        }],
        exceptions: &[],
        chokes: &[Choke {
            word: "cacache",
            home: &["src/store/"],
            reason: "one engine room",
        }],
        joins: &[("src/store/layout.rs", "paths")],
    };

    /// Faults of a tree of (file, text); `//!` is put before each text, so that line 1 of the text is line 2 of the file.
    fn judge(files: &[(&str, &str)]) -> Vec<String> {
        judge_by(files, &HOUSE)
    }

    fn judge_by(files: &[(&str, &str)], house: &House) -> Vec<String> {
        let tree = files
            .iter()
            .map(|(file, text)| (format!("src/{file}"), format!("//! Doc.\n{text}")))
            .collect();
        faults(&tree, house)
    }

    fn assert_one(faults: &[String], start: &str) {
        assert!(
            faults.len() == 1 && faults[0].starts_with(start),
            "wanted one fault {start:?}, got {faults:#?}"
        );
    }

    #[test]
    fn a_well_built_house_has_no_fault() {
        let faults = judge(&[
            ("main.rs", "fn main() { larder::app::run() }"),
            (
                "lib.rs",
                "pub mod app;\nmod server;\nmod store;\nmod digest;\npub use app::App;",
            ),
            (
                "app.rs",
                "use crate::{server::Server, store::{self, Blob}};\nuse crate::digest::Digest as D;",
            ),
            (
                "server/mod.rs",
                "mod reply;\npub(crate) use reply::Reply;\nuse crate::telemetry::Log;",
            ),
            (
                "server/reply.rs",
                "use crate::store::Blob;\nfn f<'a>(x: &'a str) -> impl Sized + use<'a> { ['{', '\\'', 'x'].join(\", \") }",
            ),
            (
                "store/mod.rs",
                "mod layout;\nmod blobs;\npub use self::blobs::Blob;",
            ),
            (
                "store/blobs.rs",
                "use super::layout::Layout;\nuse cacache::Reader;\nuse std::io::Read;",
            ),
            (
                "store/layout.rs",
                "fn path(root: &Path) { root.join(\"tmp\"); }",
            ),
            ("telemetry.rs", "use crate::digest;"),
            ("digest.rs", ""),
        ]);
        assert!(faults.is_empty(), "{faults:#?}");
    }

    #[test]
    fn looking_upwards_is_caught_in_every_way_of_saying_it() {
        for text in [
            "use crate::server::Server;",
            "use crate::{digest::Digest, server::{reply, Server as S}};",
            "fn f() { crate::server::serve() }",
            "use super::super::server;",
            "type T = Vec<crate::server::Server>;",
            "macro_rules! m { () => { $crate::server::f() } }",
            "mod inner { use super::super::super::server::Server; }",
        ] {
            let faults = judge(&[
                ("store/blobs.rs", text),
                ("server/mod.rs", ""),
                ("digest.rs", ""),
            ]);
            assert_one(
                &faults,
                "src/store/blobs.rs:2: direction: `store` is below `server`",
            );
        }
    }

    #[test]
    fn the_line_named_is_the_line_of_the_use() {
        let text = "/* a\n comment */\nconst S: &str = \"a\nb\";\nuse crate::{\n    digest,\n    server::Server,\n};";
        let faults = judge(&[
            ("store/a.rs", text),
            ("server/mod.rs", ""),
            ("digest.rs", ""),
        ]);
        assert_one(&faults, "src/store/a.rs:8: direction");
    }

    #[test]
    fn strangers_are_caught_in_one_row_and_across_rows() {
        let faults = judge(&[("index.rs", "use crate::file::Flight;"), ("file.rs", "")]);
        assert_one(&faults, "src/index.rs:2: strangers: `index` and `file`");
        let faults = judge(&[("upstream.rs", "use crate::store::Blob;"), ("store.rs", "")]);
        assert_one(
            &faults,
            "src/upstream.rs:2: strangers: `upstream` may not use `store`",
        );
    }

    #[test]
    fn a_limited_room_is_closed_to_others() {
        let faults = judge(&[
            ("store.rs", "use crate::telemetry::count;"),
            ("telemetry.rs", ""),
        ]);
        assert_one(
            &faults,
            "src/store.rs:2: limited: `store` may not use `telemetry`",
        );
    }

    #[test]
    fn a_detour_through_lib_rs_is_seen_where_it_leads() {
        let faults = judge(&[
            ("store.rs", "use crate::Server;"),
            ("lib.rs", "mod server;\npub use server::Server;"),
            ("server.rs", ""),
        ]);
        assert_one(
            &faults,
            "src/store.rs:2: direction: `store` is below `server`",
        );
    }

    #[test]
    fn a_module_brought_in_by_name_is_followed() {
        let faults = judge(&[
            (
                "store/a.rs",
                "use super::b as other;\nfn f() { other::g() }",
            ),
            ("store/b.rs", "use super::a;\nfn g() { a::f() }"),
        ]);
        assert!(
            faults.len() == 2 && faults.iter().all(|f| f.contains(":2: circle:")),
            "{faults:#?}"
        );
    }

    #[test]
    fn a_circle_of_three_files_is_caught_and_one_hidden_by_re_exports_too() {
        let faults = judge(&[
            ("store/a.rs", "use super::b::B;"),
            ("store/b.rs", "use crate::store::c::C;"),
            ("store/c.rs", "fn f() -> super::A { }"),
            ("store/mod.rs", "mod a; mod b; mod c;\npub use a::A;"),
        ]);
        assert_eq!(faults.len(), 3, "{faults:#?}");
        assert!(
            faults[0].starts_with("src/store/a.rs:2: circle: uses src/store/b.rs"),
            "{faults:#?}"
        );
    }

    #[test]
    fn a_parent_that_uses_its_child_and_is_used_by_it_is_a_circle_but_a_mere_re_export_is_not() {
        let child = ("store/blobs.rs", "use super::Store;");
        let faults = judge(&[
            (
                "store/mod.rs",
                "mod blobs;\npub use blobs::Blob;\npub struct Store;",
            ),
            child,
        ]);
        assert!(faults.is_empty(), "{faults:#?}");
        let faults = judge(&[
            (
                "store/mod.rs",
                "mod blobs;\npub use blobs::Blob;\npub struct Store(Blob);",
            ),
            child,
        ]);
        assert_eq!(faults.len(), 2, "{faults:#?}");
    }

    #[test]
    fn test_code_and_comments_do_not_count() {
        let faults = judge(&[
            (
                "store/mod.rs",
                "#[cfg(test)]\nmod tests;\n// cacache, crate::server::X\n/* use crate::server; /* nested */ */",
            ),
            ("store/tests.rs", "use crate::server::Server;"),
            (
                "store/a.rs",
                "#[cfg(test)]\n#[allow(unused)]\nmod t { use crate::server::Server; fn f() { p.join(\"x\") } }",
            ),
            (
                "store/b.rs",
                "#[cfg(test)]\nuse crate::server::Server;\n/// [`crate::server::Server`] \nstruct X;",
            ),
            ("server/mod.rs", ""),
        ]);
        assert!(faults.is_empty(), "{faults:#?}");
        let faults = judge(&[
            (
                "store/a.rs",
                "#[cfg(test)]\nmod t {}\nuse crate::server::Server;",
            ),
            ("server.rs", ""),
        ]);
        assert_one(&faults, "src/store/a.rs:4: direction");
    }

    #[test]
    fn a_word_outside_its_home_is_caught_in_code_and_in_text() {
        assert_one(
            &judge(&[("server.rs", "use cacache::Reader;")]),
            "src/server.rs:2: choke: `cacache`",
        );
        assert_one(
            &judge(&[("server.rs", "const A: &str = r#\"my cacache\"#;")]),
            "src/server.rs:2: choke: `cacache`",
        );
    }

    #[test]
    fn a_path_joined_elsewhere_is_caught() {
        for join in [
            "p.join(\"x\")",
            "p\n.join(name)",
            "p.join(&format!(\"x\"))",
            "p.join(\".a\").join(\", \")",
        ] {
            let faults = judge(&[("server.rs", &format!("fn f() {{ {join}; }}"))]);
            assert!(
                faults.len() == 1 && faults[0].contains(": joins:"),
                "{join}: {faults:#?}"
            );
        }
        let faults = judge(&[(
            "server.rs",
            "fn f() { list.join(\", \"); thread.join(); lines.join(\"\\n\") }",
        )]);
        assert!(faults.is_empty(), "{faults:#?}");
    }

    #[test]
    fn a_missing_opening_and_an_unknown_room_are_caught() {
        let tree = Tree::from([("src/server.rs".to_owned(), "use std::io;".to_owned())]);
        assert_one(&faults(&tree, &HOUSE), "src/server.rs:1: opening");
        assert_one(
            &judge(&[("cellar/mod.rs", "")]),
            "src/cellar/mod.rs:1: rooms: `cellar`",
        );
    }

    #[test]
    fn an_exception_allows_one_step_and_is_itself_a_fault_when_nothing_needs_it() {
        let house = House {
            exceptions: &[("src/store.rs", "src/server.rs", "because")],
            ..HOUSE
        };
        let server = ("server.rs", "");
        assert!(judge_by(&[("store.rs", "use crate::server::S;"), server], &house).is_empty());
        assert_one(
            &judge_by(&[("store.rs", ""), server], &house),
            "src/store.rs:1: exceptions: no longer uses",
        );
    }

    #[test]
    fn a_join_entry_that_nothing_needs_is_a_fault() {
        assert_one(
            &judge(&[("store/layout.rs", "")]),
            "src/store/layout.rs:1: joins: joins no path any more",
        );
    }
}
