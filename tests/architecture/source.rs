//! Reads Rust source as far as the architecture test needs it: words and marks with their lines, without comments and
//! without `#[cfg(test)]` code, and from these the paths that a file uses.
//!
//! Not a compiler: names that a macro pastes together, `#[path]` and glob re-exports are not followed.

#![allow(clippy::disallowed_methods, reason = "a test reads the source tree")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// One file of the tree: its path from the repository's root (`src/store/layout.rs`) and its text.
pub type Tree = BTreeMap<String, String>;

/// A place in a file that names something by a path, made absolute from the crate's root: `["store", "layout", "Layout"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathUse {
    pub line: usize,
    pub path: Vec<String>,
}

/// What one file says.
#[derive(Debug, Default)]
pub struct Source {
    /// The file's own place in the module tree; empty for lib.rs.
    pub module: Vec<String>,
    pub uses: Vec<PathUse>,
    /// `pub use` of something below this module: the outside name and where it really lives.
    pub reexports: BTreeMap<String, Vec<String>>,
    /// Modules declared only for tests, as absolute paths: their files are test code too.
    pub test_modules: BTreeSet<Vec<String>>,
    pub tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub line: usize,
    pub kind: Kind,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Word,
    Text,
    Mark,
}

impl Token {
    pub fn is(&self, mark: &str) -> bool {
        self.kind != Kind::Text && self.text == mark
    }
}

/// All `.rs` files below `src`, named from the directory above it.
pub fn read_tree(src: &str) -> Tree {
    let mut tree = Tree::new();
    let mut waiting = vec![(Path::new(src).to_owned(), "src".to_owned())];
    while let Some((folder, name)) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (
                entry.path(),
                format!("{name}/{}", entry.file_name().to_string_lossy()),
            );
            if path.is_dir() {
                waiting.push((path, name));
            } else if path.extension().is_some_and(|e| e == "rs") {
                tree.insert(name, std::fs::read_to_string(&path).unwrap_or_default());
            }
        }
    }
    tree
}

/// `src/store/layout.rs` is `["store", "layout"]`, `src/store/mod.rs` is `["store"]`, `src/lib.rs` is `[]`.
pub fn module_of(file: &str) -> Vec<String> {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
        module.pop();
    }
    module
}

pub fn read(file: &str, text: &str) -> Source {
    let tokens = without_tests(&tokens(text));
    let module = module_of(file);
    let mut source = Source {
        test_modules: test_modules(text, &module),
        module,
        ..Source::default()
    };
    Reader {
        tokens: &tokens,
        source: &mut source,
        crate_name: if file == "src/main.rs" {
            "larder"
        } else {
            "crate"
        },
    }
    .walk();
    source.tokens = tokens;
    source
}

/// Cuts text into words, string literals (without quotes) and marks (`::` is one mark). Comments and lifetimes vanish.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut out, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let (start, start_line) = (i, line);
        let c = chars[i];
        let mut kind = None;
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && chars[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            while i < chars.len() {
                match (chars[i], at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
                if depth == 0 {
                    break;
                }
            }
        } else if let Some((body, end)) = string_at(&chars, i) {
            out.push(Token {
                line: start_line,
                kind: Kind::Text,
                text: body,
            });
            i = end;
        } else if c == '\'' {
            i = after_quote(&chars, i);
        } else if is_word(c) {
            while i < chars.len() && is_word(chars[i]) {
                i += 1;
            }
            kind = Some(Kind::Word);
        } else {
            i += if c == ':' && at(i + 1) == ':' { 2 } else { 1 };
            kind = (!c.is_whitespace()).then_some(Kind::Mark);
        }
        i = i.min(chars.len());
        if let Some(kind) = kind {
            out.push(Token {
                line: start_line,
                kind,
                text: chars[start..i].iter().collect(),
            });
        }
        line += chars[start..i].iter().filter(|&&c| c == '\n').count();
    }
    out
}

/// A string literal that begins at `i`, in any of its forms (`"`, `r#"`, `b"`, `br"`, `c"`): its body and where it ends.
fn string_at(chars: &[char], i: usize) -> Option<(String, usize)> {
    let mut open = i;
    while open < i + 2 && matches!(chars.get(open), Some('b' | 'c' | 'r')) {
        open += 1;
    }
    let raw = chars[i..open].contains(&'r');
    let hashes = if raw {
        chars[open..].iter().take_while(|&&c| c == '#').count()
    } else {
        0
    };
    let body = open + hashes + 1;
    if chars.get(body - 1) != Some(&'"') {
        return None;
    }
    let mut end = body;
    while end < chars.len() {
        if !raw && chars[end] == '\\' {
            end += 2;
            continue;
        }
        if chars[end] == '"'
            && chars[end + 1..]
                .iter()
                .take(hashes)
                .filter(|&&c| c == '#')
                .count()
                == hashes
        {
            return Some((chars[body..end].iter().collect(), end + 1 + hashes));
        }
        end += 1;
    }
    Some((chars[body..].iter().collect(), chars.len()))
}

/// The end of a character literal or of a lifetime that begins at `i`.
fn after_quote(chars: &[char], i: usize) -> usize {
    match (chars.get(i + 1), chars.get(i + 2)) {
        (Some('\\'), _) => {
            // The escaped character itself may be a quote; `\u{…}` and `\x..` end at the next one.
            i + 3 + chars.iter().skip(i + 3).take_while(|&&c| c != '\'').count() + 1
        }
        (Some(_), Some('\'')) => i + 3,
        _ => {
            i + 1
                + chars
                    .iter()
                    .skip(i + 1)
                    .take_while(|c| c.is_alphanumeric() || **c == '_')
                    .count()
        }
    }
}

/// Where the attribute that begins at `i` (at its `#`) ends, and whether it is `cfg(test)` or `cfg(all(test, …))`.
fn attribute_at(tokens: &[Token], i: usize) -> Option<(usize, bool)> {
    let open = if tokens.get(i + 1)?.is("!") {
        i + 2
    } else {
        i + 1
    };
    if !tokens[i].is("#") || !tokens.get(open)?.is("[") {
        return None;
    }
    let end = after_group(tokens, open);
    let words: Vec<&str> = tokens[open..end]
        .iter()
        .filter(|t| t.kind == Kind::Word)
        .map(|t| t.text.as_str())
        .collect();
    Some((
        end,
        words.starts_with(&["cfg", "test"]) || words.starts_with(&["cfg", "all", "test"]),
    ))
}

/// The index just behind the bracket group that opens at `open`.
fn after_group(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        if token.is("(") || token.is("[") || token.is("{") {
            depth += 1;
        } else if token.is(")") || token.is("]") || token.is("}") {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

/// The index just behind the item that begins at `i`: its `;` or `,`, or its `{ … }`.
fn after_item(tokens: &[Token], mut i: usize) -> usize {
    while i < tokens.len() {
        if tokens[i].is(";") || tokens[i].is(",") {
            return i + 1;
        }
        if tokens[i].is("}") {
            return i;
        }
        if tokens[i].is("{") {
            return after_group(tokens, i);
        }
        i = if tokens[i].is("(") || tokens[i].is("[") {
            after_group(tokens, i)
        } else {
            i + 1
        };
    }
    i
}

/// Leaves out each item under `#[cfg(test)]`, and the whole file under `#![cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        match attribute_at(tokens, i) {
            Some((_, true)) if tokens[i + 1].is("!") => return Vec::new(),
            Some((mut end, true)) => {
                while let Some((next, _)) = attribute_at(tokens, end) {
                    end = next;
                }
                i = after_item(tokens, end);
            }
            // Other attributes stay: a derive or a path in one is a use like any other.
            _ => {
                out.push(tokens[i].clone());
                i += 1;
            }
        }
    }
    out
}

/// `#[cfg(test)] mod tests;`: the module's file is test code.
fn test_modules(text: &str, module: &[String]) -> BTreeSet<Vec<String>> {
    let tokens = tokens(text);
    let mut found = BTreeSet::new();
    for i in 0..tokens.len() {
        if let Some((mut end, true)) = attribute_at(&tokens, i) {
            while let Some((next, _)) = attribute_at(&tokens, end) {
                end = next;
            }
            let item = &tokens[end..after_item(&tokens, end)];
            if let Some(place) = item.iter().position(|t| t.is("mod"))
                && let Some(name) = item.get(place + 1)
            {
                found.insert(module.iter().cloned().chain([name.text.clone()]).collect());
            }
        }
    }
    found
}

/// Walks a file's tokens and notes every path that leads into the crate.
struct Reader<'a> {
    tokens: &'a [Token],
    source: &'a mut Source,
    /// What the crate's root is called here: `crate`, or `larder` in main.rs.
    crate_name: &'static str,
}

/// A `use` line or a path as written, before it is made absolute.
struct Written {
    line: usize,
    segments: Vec<String>,
    /// The name it has in this file: the last segment, or what stands behind `as`.
    name: String,
}

impl Reader<'_> {
    fn walk(&mut self) {
        let mut here = self.source.module.clone();
        // Depth of braces at which each inline `mod name {` was opened.
        let (mut inline, mut depth) = (Vec::new(), 0_usize);
        let (mut paths, mut imports) = (Vec::new(), Vec::new());
        let mut children = BTreeSet::new();
        let mut i = 0;
        while i < self.tokens.len() {
            let token = &self.tokens[i];
            if token.is("{") {
                depth += 1;
            } else if token.is("}") {
                depth = depth.saturating_sub(1);
                if inline.last() == Some(&depth) {
                    inline.pop();
                    here.pop();
                }
            } else if token.is("mod")
                && self
                    .tokens
                    .get(i + 2)
                    .is_some_and(|t| t.is("{") || t.is(";"))
            {
                let name = self.tokens[i + 1].text.clone();
                if self.tokens[i + 2].is("{") {
                    inline.push(depth);
                    here.push(name);
                    depth += 1;
                } else {
                    children.insert(name);
                }
                i += 3;
                continue;
            } else if token.is("use") && token.kind == Kind::Word && self.begins_item(i) {
                let end = (i..self.tokens.len())
                    .find(|&j| self.tokens[j].is(";"))
                    .unwrap_or(self.tokens.len());
                let mut written = Vec::new();
                use_tree(&self.tokens[i + 1..end], &mut Vec::new(), &mut written);
                let public = i > 0 && (self.tokens[i - 1].is("pub") || self.tokens[i - 1].is(")"));
                imports.extend(written.into_iter().map(|w| (here.clone(), public, w)));
                i = end;
                continue;
            } else if token.kind == Kind::Word && !(i > 0 && self.tokens[i - 1].is("::")) {
                let mut segments = vec![token.text.clone()];
                while self.tokens.get(i + 1).is_some_and(|t| t.is("::"))
                    && self.tokens.get(i + 2).is_some_and(|t| t.kind == Kind::Word)
                {
                    i += 2;
                    segments.push(self.tokens[i].text.clone());
                }
                paths.push((
                    here.clone(),
                    Written {
                        line: token.line,
                        name: String::new(),
                        segments,
                    },
                ));
            }
            i += 1;
        }

        // Imports first: a path may begin with a name that one of them brought in.
        let mut names: BTreeMap<String, Vec<String>> = children
            .iter()
            .map(|c| {
                (
                    c.clone(),
                    [self.source.module.clone(), vec![c.clone()]].concat(),
                )
            })
            .collect();
        for (here, public, written) in imports {
            let Some(path) = self.absolute(&here, &written.segments, &names) else {
                continue;
            };
            let said_again = paths.iter().any(|(_, p)| p.segments[0] == written.name);
            if public && below(&path, &self.source.module) {
                self.source
                    .reexports
                    .insert(written.name.clone(), path.clone());
                if !said_again {
                    continue;
                }
            }
            names.insert(written.name, path.clone());
            self.source.uses.push(PathUse {
                line: written.line,
                path,
            });
        }
        for (here, written) in paths {
            if written.segments.len() > 1
                && let Some(path) = self.absolute(&here, &written.segments, &names)
            {
                self.source.uses.push(PathUse {
                    line: written.line,
                    path,
                });
            }
        }
    }

    /// `use` as an item, not the `use<'a>` of a return type.
    fn begins_item(&self, i: usize) -> bool {
        !self.tokens.get(i + 1).is_some_and(|t| t.is("<"))
    }

    /// The path from the crate's root, if it leads into the crate at all.
    fn absolute(
        &self,
        here: &[String],
        segments: &[String],
        names: &BTreeMap<String, Vec<String>>,
    ) -> Option<Vec<String>> {
        let (first, rest) = segments.split_first()?;
        let (base, rest) = match first.as_str() {
            first if first == self.crate_name => (Vec::new(), rest),
            "self" => (here.to_vec(), rest),
            "super" => {
                let steps = segments.iter().take_while(|s| *s == "super").count();
                (
                    here[..here.len().checked_sub(steps)?].to_vec(),
                    &segments[steps..],
                )
            }
            first => (names.get(first)?.clone(), rest),
        };
        Some([base, rest.to_vec()].concat())
    }
}

fn below(path: &[String], module: &[String]) -> bool {
    path.len() > module.len() && path.starts_with(module)
}

/// Spreads `a::{b, c::d as e, self}` into its single paths.
fn use_tree(tokens: &[Token], prefix: &mut Vec<String>, out: &mut Vec<Written>) {
    let depth = prefix.len();
    let mut i = 0;
    while i < tokens.len() {
        let token = &tokens[i];
        if token.is("{") {
            let end = after_group(tokens, i);
            let mut from = i + 1;
            while from < end - 1 {
                let to = (from..end - 1).scan(0_i32, |level, j| {
                    *level += i32::from(tokens[j].is("{")) - i32::from(tokens[j].is("}"));
                    Some((j, *level == 0 && tokens[j].is(",")))
                });
                let to = to
                    .filter(|(_, split)| *split)
                    .map(|(j, _)| j)
                    .next()
                    .unwrap_or(end - 1);
                use_tree(&tokens[from..to], prefix, out);
                from = to + 1;
            }
            prefix.truncate(depth);
            return;
        }
        if token.is("as") {
            break;
        }
        let itself = token.text == "self" && !prefix.is_empty();
        if token.kind == Kind::Word && !itself {
            prefix.push(token.text.clone());
        }
        i += 1;
    }
    if let Some(last) = prefix.last() {
        let name = tokens
            .get(i + 1)
            .filter(|_| i < tokens.len())
            .map_or_else(|| last.clone(), |t| t.text.clone());
        out.push(Written {
            line: tokens.first().map_or(0, |t| t.line),
            segments: prefix.clone(),
            name,
        });
    }
    prefix.truncate(depth);
}
