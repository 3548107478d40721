//! What a wheel requires wherever it is installed, as its METADATA says (core metadata,
//! `Requires-Dist`; PEP 508).
//!
//! Pure, and cautious: a requirement with a marker may not count where the wheel is installed, and
//! one with a URL is asked of no index. Must not know what is made of it.

use crate::simple::ProjectName;

const FIELD: &str = "requires-dist";

/// The projects that this metadata requires in every environment, in its order, each once; at most
/// so many.
pub fn required_projects(metadata: &[u8], most: usize) -> Vec<ProjectName> {
    let mut projects = Vec::new();
    let Ok(text) = std::str::from_utf8(header(metadata)) else {
        return projects;
    };
    // A field goes on in the lines that begin with a space.
    let unfolded = text
        .replace("\r\n", "\n")
        .replace("\n ", " ")
        .replace("\n\t", " ");
    for line in unfolded.lines() {
        if projects.len() == most {
            break;
        }
        let Some((field, value)) = line.split_once(':') else {
            continue;
        };
        if !field.eq_ignore_ascii_case(FIELD) {
            continue;
        }
        if let Some(project) = required_everywhere(value.trim())
            && !projects.contains(&project)
        {
            projects.push(project);
        }
    }
    projects
}

/// What comes before the first empty line: the description follows it.
fn header(metadata: &[u8]) -> &[u8] {
    let mut start = 0;
    for line in metadata.split_inclusive(|byte| *byte == b'\n') {
        if matches!(line, b"\n" | b"\r\n") {
            return &metadata[..start];
        }
        start += line.len();
    }
    metadata
}

fn required_everywhere(requirement: &str) -> Option<ProjectName> {
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let end = requirement.find(|c| !is_in_name(c));
    let (name, rest) = requirement.split_at(end.unwrap_or(requirement.len()));
    if rest.contains([';', '@']) {
        return None;
    }
    ProjectName::parse(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(metadata: &str) -> Vec<String> {
        let projects = required_projects(metadata.as_bytes(), 4);
        projects.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_counts_everywhere_is_found_in_its_order() {
        let metadata = "Metadata-Version: 2.1\n\
            Name: whole\n\
            Requires-Dist: B_b[extra,other]>=2,<4\n\
            requires-dist:a (>=1)\n\
            Requires-Dist: b.b\n\
            Requires-Dist: only ; python_version < '3'\n\
            Requires-Dist: folded>=1\n ; extra == 'x'\n\
            Requires-Dist: elsewhere @ https://files.example/elsewhere.whl\n\
            Requires-Dist: ???\n\
            Requires-Dist: c\n\
            \n\
            Requires-Dist: description\n";
        assert_eq!(of(metadata), ["b-b", "a", "c"]);
        assert_eq!(of(&metadata.replace('\n', "\r\n")), ["b-b", "a", "c"]);
        assert_eq!(of(""), [""; 0]);
    }

    #[test]
    fn no_more_are_told_than_are_wanted() {
        let metadata: String = (0..9)
            .map(|number| format!("Requires-Dist: part-{number}\n"))
            .collect();
        assert_eq!(of(&metadata), ["part-0", "part-1", "part-2", "part-3"]);
        assert!(required_projects(metadata.as_bytes(), 0).is_empty());
        assert!(required_projects(b"Requires-Dist: \xff\n", 4).is_empty());
    }
}
