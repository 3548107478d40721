//! The lines of requirements.txt: joined, freed of comments, and told apart by their options.

use super::reading::LockError;

/// A logical line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing that decides which files are needed.
    Nothing,
    Index(String),
    Requirements(String),
    Constraints(String),
    Editable(String),
    /// Which pre-releases count: an option and its value.
    Releases(Releases, String),
    /// A requirement with the values of its `--hash`.
    Requirement {
        text: String,
        hashes: Vec<String>,
    },
}

/// Options about pre-releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Releases {
    All,
    OnlyFinal,
}

/// Options with a value that do not change which files are needed.
const VALUED: [&str; 9] = [
    "--find-links",
    "-f",
    "--no-binary",
    "--only-binary",
    "--trusted-host",
    "--use-feature",
    "--config-settings",
    "-C",
    "--global-option",
];

/// The same without a value.
const FLAGS: [&str; 7] = [
    "--no-index",
    "--prefer-binary",
    "--require-hashes",
    "--no-use-pep517",
    "--use-pep517",
    "--no-build-isolation",
    "--always-unzip",
];

/// In place of names.
pub(super) const EVERY: &str = ":all:";
pub(super) const NONE: &str = ":none:";

/// The lines that a file has once those that end in `\` are joined, each with the number of its first line.
pub(super) fn logical(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let comment = line.trim_start().starts_with('#');
        let (number, mut joined) = open.take().unwrap_or((at + 1, String::new()));
        match line.strip_suffix('\\').filter(|_| !comment) {
            Some(begun) => {
                joined.push_str(begun);
                open = Some((number, joined));
            }
            None => {
                // A comment ends what was continued.
                joined.push_str(if comment { "" } else { line });
                lines.push((number, joined));
            }
        }
    }
    lines.extend(open);
    lines.retain_mut(|(_, line)| {
        *line = without_comment(line).trim().to_owned();
        !line.is_empty()
    });
    lines
}

/// With `${NAME}` replaced; a variable that is not set stays as it is written.
pub(super) fn expanded(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let known = |name: &str| {
            let proper = name
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            if proper && !name.is_empty() {
                variable(name)
            } else {
                None
            }
        };
        let value = after
            .split_once('}')
            .and_then(|(name, tail)| Some((known(name)?, tail)));
        match value {
            Some((value, tail)) => {
                out.push_str(&value);
                rest = tail;
            }
            None => {
                out.push_str("${");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

pub(super) fn read(text: &str, place: &str) -> Result<Line, LockError> {
    if text.starts_with('-') {
        return option_line(text, place);
    }
    let mut words = text.split_whitespace();
    let is_option = |word: &&str| word.starts_with("--") || *word == "-C";
    let requirement: Vec<&str> = words.by_ref().take_while(|word| !is_option(word)).collect();
    // The word that ended it was taken, too.
    let mut words = text.split_whitespace().skip(requirement.len());
    let mut hashes = Vec::new();
    while let Some(word) = words.next() {
        let (option, value) = split(word);
        let value = if FLAGS.contains(&option) {
            None
        } else {
            value.or_else(|| words.next())
        };
        match (option, value) {
            ("--hash", Some(hash)) => hashes.push(hash.trim_matches(['"', '\'']).to_owned()),
            _ if VALUED.contains(&option) || FLAGS.contains(&option) => {}
            _ => return Err(unknown(option, place)),
        }
    }
    Ok(Line::Requirement {
        text: requirement.join(" "),
        hashes,
    })
}

fn option_line(text: &str, place: &str) -> Result<Line, LockError> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let (option, attached) = split(word);
    let value = attached.unwrap_or(rest).trim();
    let inner = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    let value = inner('"').or_else(|| inner('\'')).unwrap_or(value);
    let line: fn(String) -> Line = match option {
        "-r" | "--requirement" => Line::Requirements,
        "-c" | "--constraint" => Line::Constraints,
        "-e" | "--editable" => Line::Editable,
        "--pre" => return Ok(Line::Releases(Releases::All, EVERY.to_owned())),
        "--all-releases" => |names| Line::Releases(Releases::All, names),
        "--only-final" => |names| Line::Releases(Releases::OnlyFinal, names),
        "-i" | "--index-url" | "--pypi-url" | "--extra-index-url" => Line::Index,
        _ if VALUED.contains(&option) || FLAGS.contains(&option) => return Ok(Line::Nothing),
        _ => return Err(unknown(option, place)),
    };
    if value.is_empty() {
        return Err(LockError::new(place, format!("{option} needs a value")));
    }
    Ok(line(value.to_owned()))
}

/// `--option=value`, `-ovalue`, or an option alone.
fn split(word: &str) -> (&str, Option<&str>) {
    if let Some((option, value)) = word.split_once('=').filter(|_| word.starts_with("--")) {
        return (option, Some(value));
    }
    match word.split_at_checked(2) {
        Some((option, value)) if !word.starts_with("--") && !value.is_empty() => {
            (option, Some(value.strip_prefix('=').unwrap_or(value)))
        }
        _ => (word, None),
    }
}

fn unknown(option: &str, place: &str) -> LockError {
    LockError::new(
        place,
        format!("`{option}` is no option of a requirements file"),
    )
}

/// A `#` begins a comment at the beginning of a line or after a blank; in a URL it does not.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if c == '#' && before.is_whitespace() {
            return line.get(..at).unwrap_or_default();
        }
        before = c;
    }
    line
}
