//! What an input names and no index can give: whether the far side lacks it, and what to do about
//! it. Pure.
//!
//! Must not know any lock format.

use serde_json::{Value, json};

use crate::airgap::lockfile::{NonIndexPackage, NonIndexSource};
use crate::values::secret::without_credentials;

/// Endings of what an installer takes as a file; a path without one is a folder of sources.
const ARCHIVES: [&str; 8] = [
    ".whl", ".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz", ".tar", ".egg",
];

/// Something of no index, fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// As the input calls it; a bare URL or path has none.
    name: Option<String>,
    /// Its URL or path, without any credential.
    at: Option<String>,
    source: NonIndexSource,
    place: String,
}

impl From<NonIndexPackage> for LeftBehind {
    fn from(left: NonIndexPackage) -> Self {
        let at = left.at.or_else(|| left.url.map(String::from));
        let at = at.map(|at| without_credentials(&at).into_owned());
        Self {
            name: left.project,
            at,
            source: left.source,
            place: left.place,
        }
    }
}

impl LeftBehind {
    /// Whether the far side needs it and has it not. A folder of sources is the caller's own
    /// project, which comes along by itself; a wheel or an archive on the caller's disk does not.
    pub fn is_missing(&self) -> bool {
        self.source != NonIndexSource::Path || self.at.as_deref().is_some_and(is_archive)
    }

    /// By what it can be accepted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.name.as_deref().into_iter().chain(self.at.as_deref())
    }

    fn shown(&self) -> &str {
        self.name
            .as_deref()
            .or(self.at.as_deref())
            .unwrap_or("something")
    }

    fn remedy(&self) -> &'static str {
        match self.source {
            NonIndexSource::Repository => {
                "build a wheel of it, upload that to GitLab, \
                 and pin its version in place of the repository"
            }
            NonIndexSource::DirectUrl => {
                "download it, upload it to GitLab, and pin its version in place of the URL"
            }
            NonIndexSource::Path if self.is_missing() => {
                "upload it to GitLab, and pin its version in place of the path"
            }
            NonIndexSource::Path => {
                "carry the folder yourself, or build a wheel of it and upload that to GitLab"
            }
        }
    }

    pub fn sentence(&self, is_accepted: bool) -> String {
        let at = match (&self.at, &self.name) {
            (Some(at), Some(_)) => format!(", {at}"),
            _ => String::new(),
        };
        let what = self.shown();
        let why = self.source.reason();
        let place = &self.place;
        if is_accepted {
            return format!("left out, and accepted: {what} {why}{at} ({place})");
        }
        let remedy = self.remedy();
        let mut sentence = format!("left out: {what} {why}{at} ({place}): {remedy}");
        if self.is_missing() {
            sentence.push_str(&format!(", or accept it: --allow-missing {what}"));
        }
        sentence
    }

    pub fn json(&self, is_accepted: bool) -> Value {
        json!({
            "left_out": self.shown(),
            "project": self.name,
            "at": self.at,
            "why": self.source.reason(),
            "remedy": self.remedy(),
            "place": self.place,
            "missing": self.is_missing(),
            "accepted": is_accepted,
        })
    }
}

fn is_archive(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = path.trim_end_matches('/').to_ascii_lowercase();
    ARCHIVES.iter().any(|ending| path.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(why: NonIndexSource, name: Option<&str>, at: &str) -> LeftBehind {
        LeftBehind::from(NonIndexPackage {
            project: name.map(str::to_owned),
            source: why,
            url: None,
            at: Some(at.to_owned()),
            sha256: None,
            marker: None,
            place: "uv.lock".to_owned(),
        })
    }

    #[test]
    fn only_a_folder_of_sources_is_not_missed() {
        for (why, at, is_missing) in [
            (NonIndexSource::Path, ".", false),
            (NonIndexSource::Path, "../libraries/core", false),
            (
                NonIndexSource::Path,
                "./vendor/core-1.0-py3-none-any.WHL",
                true,
            ),
            (
                NonIndexSource::Path,
                "file:///srv/core-1.0.tar.gz#sha256=00",
                true,
            ),
            (
                NonIndexSource::DirectUrl,
                "https://files.example/core",
                true,
            ),
            (
                NonIndexSource::Repository,
                "ssh://git@git.example/core",
                true,
            ),
        ] {
            assert_eq!(left(why, None, at).is_missing(), is_missing, "{at}");
        }
    }

    #[test]
    fn a_sentence_names_the_entry_its_place_and_the_way_out() {
        let one = left(
            NonIndexSource::DirectUrl,
            Some("core"),
            "https://user:word@files.example/core-1.0.zip?token=secret",
        );
        assert_eq!(
            one.sentence(false),
            "left out: core is a URL of its own, not a file of an index, https://files.example/core-1.0.zip?… (uv.lock): \
             download it, upload it to GitLab, and pin its version in place of the URL, or accept it: --allow-missing core"
        );
        assert!(!one.json(true).to_string().contains("word") && one.json(true)["accepted"] == true);
        let bare = left(NonIndexSource::Path, None, "./vendor/core-1.0.tar.gz");
        assert!(
            bare.sentence(false)
                .ends_with("--allow-missing ./vendor/core-1.0.tar.gz")
        );
        assert!(
            bare.sentence(true)
                .starts_with("left out, and accepted: ./vendor/core-1.0.tar.gz is a local path")
        );
    }
}
