//! From the words of the command line to what is wanted, and from where.
//!
//! Must not know how pages are asked for.

use std::collections::BTreeMap;
use std::io::Read;

use url::Url;

use super::super::ground::Ground;
use crate::airgap::lockfile::{self, LeftOut, Origin, Reading, Surroundings};
use crate::airgap::wanted::{Files, NamedFile, Versions, Wanted};
use crate::airgap::warm::target::Target;
use crate::registry::{Route, Scope};
use crate::secret::without_credentials;
use crate::simple::{ProjectName, project_candidates};

/// The largest input.
const INPUT_BYTES_MAX: u64 = 64 << 20;

/// Endings of the names of files that people mean when no such file is there.
const FILE_ENDINGS: [&str; 5] = [".lock", ".toml", ".txt", ".in", ".json"];

/// All inputs together.
#[derive(Default)]
pub(super) struct Inputs {
    pub wanted: Vec<Wanted>,
    /// What no index can give, a sentence each, and whether it is therefore missing: what lies on the caller's own disk is not.
    pub left_out: Vec<(String, bool)>,
    /// Projects whose version nothing but its age chooses.
    pub unlocked: Vec<String>,
    /// Those of the indexes that the inputs name which larder serves.
    pub indexes: Vec<Scope>,
    /// What else there is to be said of them, a sentence each.
    pub remarks: Vec<String>,
}

/// Reads every input.
pub(super) fn read(words: &[String], target: &Target, ground: &Ground) -> Result<Inputs, String> {
    let mut inputs = Inputs::default();
    for word in words {
        let reading = match text_of(word)? {
            Some(text) => {
                let mut nested =
                    |path: &str| text_of(path)?.ok_or_else(|| "there is no such file".to_owned());
                let variable = |name: &str| std::env::var(name).ok();
                let mut surroundings = Surroundings { read: &mut nested, variable: &variable };
                lockfile::read(word, &text, &mut surroundings).map_err(|why| why.to_string())?
            }
            None => lockfile::read_name(word, word).map_err(|why| {
                format!("{why}; it is no file either, and requirements look like name==1.2")
            })?,
        };
        inputs.add(reading, target, ground);
    }
    Ok(inputs)
}

impl Inputs {
    fn add(&mut self, reading: Reading, target: &Target, ground: &Ground) {
        self.wanted.extend(reading.wanted);
        self.unlocked.extend(reading.unlocked.iter().map(|one| one.project.to_string()));
        for other in &reading.uncompared {
            self.remarks.push(format!(
                "not compared: {} is locked by {} alone, and larder compares sha256: what the page has under its name and \
                 version is taken ({})",
                other.project, other.algorithm, other.place
            ));
        }
        let needed = |left: &LeftOut| left.marker.as_ref().is_none_or(|marker| !target.rules_out(marker));
        for left in reading.left_out.into_iter().filter(needed) {
            match served(&left, ground) {
                Some(wanted) => self.wanted.push(wanted),
                None => {
                    let what = left.project.clone().or_else(|| left.url.as_ref().map(shown));
                    let what = what.unwrap_or_else(|| "something".to_owned());
                    let sentence = format!("left out: {what} {} ({})", left.why.reason(), left.place);
                    self.left_out.push((sentence, left.why != Origin::Path));
                }
            }
        }
        let urls = reading
            .indexes
            .iter()
            .filter_map(|url| Url::parse(&format!("{}/", url.trim_end_matches('/'))).ok());
        for url in urls {
            if let Some(Route::Page(page)) = ground.route(&url)
                && !self.indexes.contains(&page.scope)
            {
                self.indexes.push(page.scope);
            }
        }
    }
}

/// A file that is named by one of our own addresses, or one that we stand in front of.
fn served(left: &LeftOut, ground: &Ground) -> Option<Wanted> {
    let url = left.url.clone()?;
    let filename = match ground.route(&url)? {
        Route::File(file) => file.filename,
        Route::Mirrored(path) => path.filename().clone(),
        _ => return None,
    };
    let filename = filename.as_str().to_owned();
    let named = left.project.as_deref().and_then(|name| ProjectName::parse(name).ok());
    let project = named.or_else(|| project_candidates(&filename).into_iter().next())?;
    let file = NamedFile { filename, sha256: left.sha256, size: None, url: Some(url) };
    Some(Wanted {
        project,
        versions: Versions::All,
        files: Files::Named(vec![file]),
        requires_python: None,
        marker: left.marker.clone(),
        prereleases: None,
        place: left.place.clone(),
    })
}

/// Without what may be a password or a token in it.
fn shown(url: &Url) -> String {
    format!("{}{}", url.host_str().unwrap_or_default(), url.path())
}

/// The content of a word that is a file.
fn text_of(word: &str) -> Result<Option<String>, String> {
    let fault = |why: std::io::Error| format!("{}: {why}", without_credentials(word));
    let text = |bytes: &[u8]| lockfile::decode(word, bytes).map(Some).map_err(|why| why.to_string());
    let mut bytes = Vec::new();
    if word == "-" {
        std::io::stdin().lock().take(INPUT_BYTES_MAX).read_to_end(&mut bytes).map_err(fault)?;
        return text(&bytes);
    }
    #[expect(clippy::disallowed_methods, reason = "an input of the user's, named on the command line")]
    let opened = std::fs::File::open(word);
    match opened {
        Ok(file) => {
            file.take(INPUT_BYTES_MAX).read_to_end(&mut bytes).map_err(fault)?;
            text(&bytes)
        }
        Err(_) if !word.contains('/') && !FILE_ENDINGS.iter().any(|ending| word.ends_with(ending)) => {
            Ok(None)
        }
        Err(why) => Err(fault(why)),
    }
}

/// A scope by its name, if it is one that this larder serves.
pub(super) fn source(text: &str, ground: &Ground) -> Result<Scope, String> {
    let scope = Scope::named(text).filter(|scope| !scope.is_mirror() || ground.mirror(scope).is_some());
    scope.ok_or_else(|| {
        format!(
            "--from {text}: is neither projects/ID, groups/ID nor one of the mirrors ({})",
            mirrors(ground)
        )
    })
}

fn mirrors(ground: &Ground) -> String {
    let names: Vec<String> = ground.mirrors.iter().map(|(base, _)| base.to_string()).collect();
    if names.is_empty() { "none is configured".to_owned() } else { names.join(", ") }
}

/// Where each project's page is asked for: where a lock file's URLs say, then as told.
pub(super) fn scopes(
    wanted: &[Wanted],
    from: &[Scope],
    ground: &Ground,
) -> Result<BTreeMap<ProjectName, Vec<Scope>>, String> {
    let of_url = |url: &Url| ground.route(url)?.scope().cloned();
    let mut asked: BTreeMap<ProjectName, Vec<Scope>> = BTreeMap::new();
    for one in wanted {
        let urls = match &one.files {
            Files::Named(files) => files.iter().filter_map(|file| file.url.as_ref()).collect(),
            Files::Hashed(_) | Files::Any => Vec::new(),
        };
        let scopes = asked.entry(one.project.clone()).or_default();
        for scope in urls.into_iter().filter_map(of_url) {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
    }
    for (project, scopes) in &mut asked {
        let told: Vec<Scope> = from.iter().filter(|scope| !scopes.contains(scope)).cloned().collect();
        scopes.extend(told);
        if scopes.is_empty() {
            return Err(format!(
                "{project}: from where? --from takes projects/ID, groups/ID or a mirror's name ({})",
                mirrors(ground)
            ));
        }
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_looks_like_a_file_is_none_else() {
        assert!(text_of("no-such.lock").is_err() && text_of("no/such").is_err());
        assert!(text_of("requests").is_ok_and(|text| text.is_none()));
    }
}
