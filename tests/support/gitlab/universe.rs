//! What the stand-in holds: groups, projects, packages, files and tokens.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::super::public_index::ProjectStatus;
use super::super::wheel::{Artifact, Distribution, normalise};
use super::token::{Place, Role, Token, TokenState};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    Public,
    Private,
}

/// Who may use a project's package registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registry {
    /// Whoever may see the project.
    AsProject,
    /// Everyone, even where the project is private.
    Public,
    MembersOnly,
    Off,
}

#[derive(Clone, Debug)]
pub struct Group {
    pub id: u64,
    /// With the paths of its parents: `acme/sub`.
    pub path: String,
    pub visibility: Visibility,
    /// A user's own namespace, which is no group to the API.
    pub user_namespace: bool,
}

#[derive(Clone, Debug)]
pub struct Project {
    pub id: u64,
    /// With the path of its group: `acme/widgets`.
    pub path: String,
    pub visibility: Visibility,
    pub registry: Registry,
    /// Paths it had before it was moved; still followed, silently.
    pub old_paths: Vec<String>,
    pub packages: Vec<Package>,
}

/// One version of one name.
#[derive(Clone, Debug)]
pub struct Package {
    /// In the order of upload, over all projects.
    pub id: u64,
    pub name: String,
    pub version: String,
    pub requires_python: String,
    pub files: Vec<StoredFile>,
}

#[derive(Clone, Debug)]
pub struct StoredFile {
    pub id: u64,
    pub name: String,
    /// As the uploader declared it: upper case, empty and plainly wrong values are kept.
    pub sha256: String,
    pub bytes: Bytes,
    pub modified: SystemTime,
    /// When it was uploaded, as the packages API tells it.
    pub created: SystemTime,
    /// The row is there but the bytes are not.
    pub lost: bool,
}

/// A file to be published.
#[derive(Clone, Debug)]
pub struct NewFile {
    pub name: String,
    pub version: String,
    pub requires_python: String,
    pub filename: String,
    pub sha256: String,
    pub bytes: Bytes,
    /// When it was uploaded.
    pub created: SystemTime,
}

impl Package {
    /// When its first file was uploaded.
    pub fn created(&self) -> SystemTime {
        let first = self.files.iter().map(|file| file.created).min();
        first.unwrap_or(usual_time())
    }
}

/// When files were uploaded of which a test says nothing.
fn usual_time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_164_645)
}

impl NewFile {
    pub fn uploaded(mut self, created: SystemTime) -> Self {
        self.created = created;
        self
    }

    pub fn declared_sha256(mut self, sha256: &str) -> Self {
        sha256.clone_into(&mut self.sha256);
        self
    }

    pub fn requires_python(mut self, specifier: &str) -> Self {
        specifier.clone_into(&mut self.requires_python);
        self
    }
}

impl From<Artifact> for NewFile {
    fn from(artifact: Artifact) -> Self {
        Self {
            name: artifact.name,
            version: artifact.version,
            requires_python: artifact.requires_python,
            filename: artifact.filename,
            sha256: artifact.sha256,
            bytes: artifact.bytes,
            created: usual_time(),
        }
    }
}

impl From<&Artifact> for NewFile {
    fn from(artifact: &Artifact) -> Self {
        artifact.clone().into()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Universe {
    pub groups: Vec<Group>,
    pub projects: Vec<Project>,
    pub tokens: Vec<Token>,
    /// By normalised name, what pages say of a package as a whole (PEP 792), which no GitLab does yet.
    pub status: BTreeMap<String, ProjectStatus>,
    last_package: u64,
    last_file: u64,
}

impl Universe {
    /// Group 7 `acme` (private) with project 42 `acme/widgets` (private, `My.Pkg` 1.0.0 as wheel
    /// and sdist), project 43 `acme/open` (public, `Open.Thing`), project 45 `acme/closed` (public,
    /// registry for members only) and the subgroup 8 `acme/sub` with project 44 `acme/sub/gears`
    /// (private, `gear`); namespace 9 of a user; the tokens of [`super::token`].
    pub fn example() -> Self {
        let mut universe = Self::default();
        universe.add_group(7, "acme", Visibility::Private);
        universe.add_group(8, "acme/sub", Visibility::Private);
        universe
            .add_group(9, "someone", Visibility::Public)
            .user_namespace = true;
        universe.add_project(42, "acme/widgets", Visibility::Private);
        universe.add_project(43, "acme/open", Visibility::Public);
        universe.add_project(44, "acme/sub/gears", Visibility::Private);
        universe
            .add_project(45, "acme/closed", Visibility::Public)
            .registry = Registry::MembersOnly;
        let my_pkg = Distribution::new("My.Pkg", "1.0.0").requires_python(">=3.8");
        universe.publish(42, my_pkg.wheel());
        universe.publish(42, my_pkg.sdist());
        universe.publish(43, Distribution::new("Open.Thing", "2.1").wheel());
        universe.publish(44, Distribution::new("gear", "0.3").wheel());
        universe.tokens = super::token::examples();
        universe
    }

    pub fn add_group(&mut self, id: u64, path: &str, visibility: Visibility) -> &mut Group {
        self.groups.push(Group {
            id,
            path: path.to_owned(),
            visibility,
            user_namespace: false,
        });
        self.groups.last_mut().expect("just pushed")
    }

    pub fn add_project(&mut self, id: u64, path: &str, visibility: Visibility) -> &mut Project {
        self.projects.push(Project {
            id,
            path: path.to_owned(),
            visibility,
            registry: Registry::AsProject,
            old_paths: Vec::new(),
            packages: Vec::new(),
        });
        self.projects.last_mut().expect("just pushed")
    }

    /// Adds a file to a project as an upload would, unchecked; gives its id.
    pub fn publish(&mut self, project: u64, file: impl Into<NewFile>) -> u64 {
        let new = file.into();
        self.last_file += 1;
        let stored = StoredFile {
            id: self.last_file,
            name: new.filename,
            sha256: new.sha256,
            bytes: new.bytes,
            modified: usual_time(),
            created: new.created,
            lost: false,
        };
        let next_package = self.last_package + 1;
        let packages = &mut self.project_mut(project).packages;
        let same = |package: &Package| {
            normalise(&package.name) == normalise(&new.name) && package.version == new.version
        };
        if let Some(package) = packages.iter_mut().find(|package| same(package)) {
            package.requires_python = new.requires_python;
            package.files.push(stored);
        } else {
            packages.push(Package {
                id: next_package,
                name: new.name,
                version: new.version,
                requires_python: new.requires_python,
                files: vec![stored],
            });
            self.last_package = next_package;
        }
        self.last_file
    }

    /// Removes every file of that name from a project, and packages left empty.
    pub fn delete_file(&mut self, project: u64, filename: &str) {
        let packages = &mut self.project_mut(project).packages;
        for package in packages.iter_mut() {
            package.files.retain(|file| file.name != filename);
        }
        packages.retain(|package| !package.files.is_empty());
    }

    /// Removes every version of a package from a project.
    pub fn delete_package(&mut self, project: u64, name: &str) {
        self.project_mut(project)
            .packages
            .retain(|package| normalise(&package.name) != normalise(name));
    }

    pub fn project(&self, id: u64) -> &Project {
        self.projects
            .iter()
            .find(|project| project.id == id)
            .expect("a project of the test's universe")
    }

    pub fn project_mut(&mut self, id: u64) -> &mut Project {
        self.projects
            .iter_mut()
            .find(|project| project.id == id)
            .expect("a project of the test's universe")
    }

    /// All stored files of that name in a project, to be altered in place.
    pub fn files_mut(
        &mut self,
        project: u64,
        filename: &str,
    ) -> impl Iterator<Item = &mut StoredFile> {
        let packages = &mut self.project_mut(project).packages;
        packages
            .iter_mut()
            .flat_map(|package| &mut package.files)
            .filter(move |file| file.name == filename)
    }

    pub fn token_mut(&mut self, secret: &str) -> &mut Token {
        self.tokens
            .iter_mut()
            .find(|token| token.secret == secret)
            .expect("a token of the test's universe")
    }

    pub fn revoke(&mut self, secret: &str) {
        self.token_mut(secret).state = TokenState::Revoked;
    }

    /// Makes a token's owner a member, in place of an earlier role there.
    pub fn grant(&mut self, secret: &str, place: Place, role: Role) {
        self.withdraw(secret, place);
        self.token_mut(secret).memberships.push((place, role));
    }

    /// Ends a membership; the token itself stays valid.
    pub fn withdraw(&mut self, secret: &str, place: Place) {
        self.token_mut(secret)
            .memberships
            .retain(|(known, _)| *known != place);
    }

    pub(super) fn find_group(&self, id: &str) -> Option<&Group> {
        let found = match id.parse::<u64>() {
            Ok(number) => self.groups.iter().find(|group| group.id == number),
            Err(_) => self.groups.iter().find(|group| group.path == id),
        };
        found.filter(|group| !group.user_namespace)
    }

    pub(super) fn find_project(&self, id: &str) -> Option<&Project> {
        match id.parse::<u64>() {
            Ok(number) => self.projects.iter().find(|project| project.id == number),
            Err(_) => self
                .projects
                .iter()
                .find(|project| project.path == id)
                .or_else(|| {
                    self.projects
                        .iter()
                        .find(|project| project.old_paths.iter().any(|old| old == id))
                }),
        }
    }

    pub(super) fn projects_below<'a>(
        &'a self,
        group: &'a Group,
    ) -> impl Iterator<Item = &'a Project> {
        self.projects
            .iter()
            .filter(move |project| lies_in(&project.path, &group.path))
    }

    pub(super) fn file(&self, id: u64) -> Option<&StoredFile> {
        let packages = self.projects.iter().flat_map(|project| &project.packages);
        packages
            .flat_map(|package| &package.files)
            .find(|file| file.id == id)
    }
}

/// Whether a path is a group's own or below it.
pub(super) fn lies_in(path: &str, group: &str) -> bool {
    path.strip_prefix(group)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
