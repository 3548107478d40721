//! The lines of requirements.txt: joined, freed of comments, and told apart by their options.

use super::contents::LockError;

/// A logical line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequirementsLine {
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
pub enum Releases {
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
pub const EVERY: &str = ":all:";
pub const NONE: &str = ":none:";

/// The lines that a file has once those that end in `\` are joined, each with the number of its
/// first line.
pub fn logical(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let comment = line.trim_start().starts_with('#');
        let (number, mut joined) = open.take().unwrap_or((at + 1, String::new()));
        if comment {
            // It ends what was continued.
            lines.push((number, joined));
        } else if let Some(begun) = line.strip_suffix('\\') {
            joined.push_str(begun);
            open = Some((number, joined));
        } else {
            joined.push_str(line);
            lines.push((number, joined));
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
pub fn expanded(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        if let Some((name, tail)) = after.split_once('}')
            && is_variable(name)
            && let Some(value) = variable(name)
        {
            out.push_str(&value);
            rest = tail;
        } else {
            out.push_str("${");
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

fn is_variable(name: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    !name.is_empty() && name.bytes().all(is_part)
}

pub fn read(text: &str, place: &str) -> Result<RequirementsLine, LockError> {
    if text.starts_with('-') {
        return option_line(text, place);
    }
    let mut words = text.split_whitespace().peekable();
    let mut requirement = Vec::new();
    while let Some(word) = words.next_if(|word| !word.starts_with("--") && *word != "-C") {
        requirement.push(word);
    }
    let mut hashes = Vec::new();
    while let Some(word) = words.next() {
        let (option, value) = split(word);
        if FLAGS.contains(&option) {
            continue;
        }
        let value = value.or_else(|| words.next());
        match (option, value) {
            ("--hash", Some(hash)) => hashes.push(hash.trim_matches(['"', '\'']).to_owned()),
            _ if VALUED.contains(&option) => {}
            _ => return Err(unknown(option, place)),
        }
    }
    Ok(RequirementsLine::Requirement {
        text: requirement.join(" "),
        hashes,
    })
}

fn option_line(text: &str, place: &str) -> Result<RequirementsLine, LockError> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let (option, attached) = split(word);
    let value = attached.unwrap_or(rest).trim();
    let within = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    let value = within('"').or(within('\'')).unwrap_or(value);
    if option == "--pre" {
        return Ok(RequirementsLine::Releases(Releases::All, EVERY.to_owned()));
    }
    let text = value.to_owned();
    let line = match option {
        "-r" | "--requirement" => RequirementsLine::Requirements(text),
        "-c" | "--constraint" => RequirementsLine::Constraints(text),
        "-e" | "--editable" => RequirementsLine::Editable(text),
        "--all-releases" => RequirementsLine::Releases(Releases::All, text),
        "--only-final" => RequirementsLine::Releases(Releases::OnlyFinal, text),
        "-i" | "--index-url" | "--pypi-url" | "--extra-index-url" => RequirementsLine::Index(text),
        _ if VALUED.contains(&option) || FLAGS.contains(&option) => {
            return Ok(RequirementsLine::Nothing);
        }
        _ => return Err(unknown(option, place)),
    };
    if value.is_empty() {
        return Err(LockError::new(place, format!("{option} needs a value")));
    }
    Ok(line)
}

/// `--option=value`, `-ovalue`, or an option alone.
fn split(word: &str) -> (&str, Option<&str>) {
    if word.starts_with("--") {
        let (option, value) = word.split_once('=').unzip();
        return (option.unwrap_or(word), value);
    }
    match word.split_at_checked(2) {
        Some((option, value)) if !value.is_empty() => {
            (option, Some(value.strip_prefix('=').unwrap_or(value)))
        }
        _ => (word, None),
    }
}

fn unknown(option: &str, place: &str) -> LockError {
    let why = format!("`{option}` is no option of a requirements file");
    LockError::new(place, why)
}

/// A `#` begins a comment at the beginning of a line or after a blank; in a URL it does not.
fn without_comment(line: &str) -> &str {
    for (at, _) in line.match_indices('#') {
        let (before, _) = line.split_at(at);
        if before.is_empty() || before.ends_with(char::is_whitespace) {
            return before;
        }
    }
    line
}
