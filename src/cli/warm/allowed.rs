//! What the caller accepts to be missing: `--allow-missing NAME`, or `@FILE` with a name on each
//! line. Pure, once read.
//!
//! Must not know why anything is missing.

use std::collections::{BTreeMap, BTreeSet};

use crate::simple::ProjectName;

/// Names that may be missing, and which of them were.
#[derive(Debug, Default)]
pub struct Allowed {
    /// As compared, and as written.
    names: BTreeMap<String, String>,
    used: BTreeSet<String>,
}

impl Allowed {
    /// From the words of the command line; `read` gives the text of a file.
    pub fn read(
        words: &[String],
        read: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Self, String> {
        let mut allowed = Self::default();
        for word in words {
            let text = match word.strip_prefix('@') {
                Some(file) => read(file).map_err(|why| format!("--allow-missing @{why}"))?,
                None => word.clone(),
            };
            for line in text.trim_start_matches('\u{feff}').lines() {
                let name = line.split(" #").next().unwrap_or_default().trim();
                if !name.is_empty() && !name.starts_with('#') {
                    allowed.names.insert(compared(name), name.to_owned());
                }
            }
        }
        Ok(allowed)
    }

    /// Whether one of these is accepted: a project's name, a URL or a path.
    pub fn accepts<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) -> bool {
        let mut is_accepted = false;
        for name in names {
            let name = compared(name);
            if self.names.contains_key(&name) {
                self.used.insert(name);
                is_accepted = true;
            }
        }
        is_accepted
    }

    /// Names of which nothing was missing: the list has grown old.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        let unused = self
            .names
            .iter()
            .filter(|(name, _)| !self.used.contains(*name));
        unused.map(|(_, written)| written.as_str())
    }
}

fn compared(name: &str) -> String {
    match ProjectName::parse(name) {
        Ok(name) => name.as_str().to_owned(),
        Err(_) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_projects_and_a_list_may_have_comments() {
        let file = |name: &str| match name {
            "list" => Ok(
                "# what the far side builds itself\nPySide6\n\n./vendor/a-1.whl # ours\n"
                    .to_owned(),
            ),
            other => Err(format!("{other}: no such file")),
        };
        let mut allowed =
            Allowed::read(&["Old_Name".to_owned(), "@list".to_owned()], &file).unwrap();
        assert!(allowed.accepts(["pyside6"]) && allowed.accepts(["else", "./vendor/a-1.whl"]));
        assert!(!allowed.accepts(["numpy"]) && !allowed.accepts([]));
        assert_eq!(allowed.unused().collect::<Vec<_>>(), ["Old_Name"]);
        assert_eq!(
            Allowed::read(&["@gone".to_owned()], &file).unwrap_err(),
            "--allow-missing @gone: no such file"
        );
    }
}
