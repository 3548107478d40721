//! From the words of the command line to what is wanted, and from where.
//!
//! Must not know how pages are asked for.

use std::collections::BTreeMap;
use std::io::{self, Read};

use url::Url;

use super::left_out::LeftBehind;
use super::outside::{self, Outside};
use super::taken::{self, OfferedLock};
use super::unserved::Unserved;
use crate::airgap::lockfile::{self, GroupChoice, LockContents, NonIndexPackage, Surroundings};
use crate::airgap::wanted::{NamedFile, WantedFiles, WantedProject, WantedVersions};
use crate::airgap::warm::target::TargetEnvironment;
use crate::app::CommandContext;
use crate::index::View;
use crate::registry::{Route, Scope};
use crate::simple::{ProjectName, project_candidates};
use crate::values::secret::without_credentials;

/// The largest input.
const INPUT_BYTES_MAX: u64 = 64 << 20;

/// Endings of the names of files that people mean when no such file is there.
const FILE_ENDINGS: [&str; 5] = [".lock", ".toml", ".txt", ".in", ".json"];

/// All inputs together.
#[derive(Default)]
pub struct Inputs {
    pub wanted: Vec<WantedProject>,
    /// What no index can give.
    pub left_out: Vec<LeftBehind>,
    /// Machines that were asked for and that a lock is not for.
    pub outside: Vec<Outside>,
    /// A sentence for each lock with groups or extras: which of them are taken.
    pub taken: Vec<String>,
    /// Projects whose version nothing but its age chooses.
    pub unlocked: Vec<String>,
    /// Those of the indexes that the inputs name which larder serves.
    pub indexes: Vec<Scope>,
    /// The others.
    pub unserved: Vec<Unserved>,
    /// What else there is to be said of them, a sentence each.
    pub remarks: Vec<String>,
}

/// Reads every input: of what has groups and extras as much as was chosen.
pub fn read(
    words: &[String],
    context: &CommandContext,
    choice: &GroupChoice,
    target: &TargetEnvironment,
) -> Result<Inputs, String> {
    let mut texts = Vec::new();
    for word in words {
        texts.push((word, text_of(word)?));
    }
    let mut locks = Vec::new();
    for (name, text) in &texts {
        if let Some(text) = text {
            let offered = lockfile::offered(name, text).map_err(|why| why.to_string())?;
            locks.push(OfferedLock { name, offered });
        }
    }
    taken::check(choice, &locks)?;
    let mut inputs = Inputs {
        taken: taken::sentences(choice, &locks),
        ..Inputs::default()
    };
    for (word, text) in &texts {
        let reading = match text {
            Some(text) => inputs
                .lock(word, text, choice, target)
                .map_err(|why| why.to_string())?,
            None => lockfile::read_name(word, word).map_err(|why| {
                format!("{why}; it is no file either, and requirements look like name==1.2")
            })?,
        };
        inputs.add(reading, word, target, context);
    }
    Ok(inputs)
}

impl Inputs {
    /// Reads one lock file, for the machines that it is for.
    fn lock(
        &mut self,
        name: &str,
        text: &str,
        choice: &GroupChoice,
        target: &TargetEnvironment,
    ) -> Result<LockContents, lockfile::LockError> {
        let mut surroundings = Surroundings {
            read: &mut |path| text_of(path)?.ok_or_else(|| "there is no such file".to_owned()),
            variable: &|name| std::env::var(name).ok(),
        };
        let chosen = lockfile::narrowed(name, text, choice)?;
        let mut reading = lockfile::read(name, &chosen, &mut surroundings)?;
        // Only now is it known to be of a version that can be read.
        let coverage = lockfile::coverage(name, text)?;
        for wanted in &mut reading.wanted {
            coverage.restrict(wanted);
        }
        self.outside.extend(outside::of(name, &coverage, target));
        Ok(reading)
    }

    fn add(
        &mut self,
        reading: LockContents,
        place: &str,
        target: &TargetEnvironment,
        context: &CommandContext,
    ) {
        self.wanted.extend(reading.wanted);
        for one in &reading.unlocked {
            self.unlocked.push(one.project.to_string());
        }
        for other in &reading.uncompared {
            self.remarks.push(format!(
                "not compared: {} is locked by {} alone, and larder compares sha256: \
                 what the page has under its name and version is taken ({})",
                other.project, other.algorithm, other.place
            ));
        }
        for left in reading.left_out {
            if let Some(marker) = &left.marker
                && target.rules_out(marker)
            {
                continue;
            }
            match served(&left, context) {
                Some(wanted) => self.wanted.push(wanted),
                None => self.left_out.push(left.into()),
            }
        }
        for url in reading.indexes {
            let Ok(url) = Url::parse(&format!("{}/", url.trim_end_matches('/'))) else {
                continue;
            };
            match context.route(&url) {
                Some(Route::Page(page)) => self.add_index(&page.scope),
                _ => match view_at(&url, context) {
                    Some(view) => self.add_index(&view.scope),
                    None => self.not_served(&url, place, context),
                },
            }
        }
    }

    fn add_index(&mut self, scope: &Scope) {
        if !self.indexes.contains(scope) {
            self.indexes.push(scope.clone());
        }
    }

    fn not_served(&mut self, url: &Url, place: &str, context: &CommandContext) {
        let is_taken = |name: &str| {
            let mut mirrors = context.mirror_bases();
            let mut unserved = self.unserved.iter();
            mirrors.any(|base| base.to_string() == name) || unserved.any(|one| one.name == name)
        };
        let unserved = Unserved::new(url, place, &is_taken);
        if !self.unserved.iter().any(|known| known.url == unserved.url) {
            self.unserved.push(unserved);
        }
    }
}

/// The view that a URL is of.
fn view_at<'c>(url: &Url, context: &'c CommandContext) -> Option<&'c View> {
    let route = context.address(url.as_str()).ok()?.route.ok()?;
    context.sources.view(route.scope()?)
}

/// A file that is named by one of our own addresses, or one that we stand in front of.
fn served(left: &NonIndexPackage, context: &CommandContext) -> Option<WantedProject> {
    let url = left.url.clone()?;
    let filename = match context.route(&url)? {
        Route::File(file) => file.filename,
        Route::Mirrored(path) => path.filename().clone(),
        _ => return None,
    };
    let filename = filename.as_str().to_owned();
    let mut names = project_candidates(&filename);
    if let Some(name) = &left.project
        && let Ok(name) = ProjectName::parse(name)
    {
        names.insert(0, name);
    }
    let file = NamedFile {
        filename,
        sha256: left.sha256,
        size: None,
        url: Some(url),
    };
    Some(WantedProject {
        project: names.into_iter().next()?,
        versions: WantedVersions::All,
        files: WantedFiles::Named(vec![file]),
        requires_python: None,
        marker: left.marker.clone(),
        prereleases: None,
        place: left.place.clone(),
    })
}

/// The content of a word that is a file.
pub fn text_of(word: &str) -> Result<Option<String>, String> {
    let fault = |why: io::Error| format!("{}: {why}", without_credentials(word));
    let mut source: Box<dyn Read> = Box::new(io::stdin());
    if word != "-" {
        #[expect(
            clippy::disallowed_methods,
            reason = "an input of the user's, named on the command line"
        )]
        let opened = std::fs::File::open(word);
        let is_path = word.contains('/') || FILE_ENDINGS.iter().any(|end| word.ends_with(end));
        match opened {
            Ok(file) => source = Box::new(file),
            Err(why) if is_path => return Err(fault(why)),
            Err(_) => return Ok(None),
        }
    }
    let mut bytes = Vec::new();
    let mut limited = source.take(INPUT_BYTES_MAX);
    limited.read_to_end(&mut bytes).map_err(fault)?;
    match lockfile::decode(word, &bytes) {
        Ok(text) => Ok(Some(text)),
        Err(why) => Err(why.to_string()),
    }
}

/// A scope by its name, if it is one that this larder serves. A view is asked itself, so that which
/// of its sources hears of a name, and which one answers for it, is for the daemon to say.
pub fn source(text: &str, context: &CommandContext) -> Result<Scope, String> {
    let is_here = |scope: &Scope| {
        let is_view = context.sources.view(scope).is_some();
        is_view || !scope.is_mirror() || context.is_served(scope)
    };
    match Scope::named(text) {
        Some(scope) if is_here(&scope) => Ok(scope),
        _ => Err(format!(
            "--from {text}: is neither projects/ID, groups/ID nor one of the mirrors ({})",
            mirrors(context)
        )),
    }
}

fn mirrors(context: &CommandContext) -> String {
    let mut names = Vec::new();
    for base in context.mirror_bases() {
        if context.is_served(base.scope()) {
            names.push(base.to_string());
        }
    }
    if names.is_empty() {
        return "none is configured".to_owned();
    }
    names.join(", ")
}

/// Where each project's page is asked for: where a lock file's URLs say, then as told.
pub fn scopes(
    wanted: &[WantedProject],
    from: &[Scope],
    unserved: &[Unserved],
    context: &CommandContext,
) -> Result<BTreeMap<ProjectName, Vec<Scope>>, String> {
    let mut asked: BTreeMap<ProjectName, Vec<Scope>> = BTreeMap::new();
    for one in wanted {
        let scopes = asked.entry(one.project.clone()).or_default();
        let WantedFiles::Named(files) = &one.files else {
            continue;
        };
        for url in files.iter().filter_map(|file| file.url.as_ref()) {
            if let Some(route) = context.route(url)
                && let Some(scope) = route.scope()
                && !scopes.contains(scope)
            {
                scopes.push(scope.clone());
            }
        }
    }
    for (project, scopes) in &mut asked {
        for scope in from {
            if !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        }
        if scopes.is_empty() {
            let mirrors = mirrors(context);
            let mut why = format!(
                "{project}: from where? \
                 --from takes projects/ID, groups/ID or a mirror's name ({mirrors})"
            );
            for one in unserved {
                why.push_str(&format!("\n{}", one.sentence()));
            }
            return Err(why);
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
