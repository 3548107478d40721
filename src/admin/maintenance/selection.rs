//! What is named of the store, understood.
//!
//! Must not know what is done to it.

use super::census::{project_of, scope_of};
use super::error::MaintenanceError;
use crate::control::Named;
use crate::registry::{FileRef, MirrorPath, PrivateNames, Route, Scope};
use crate::simple::ProjectName;
use crate::store::{IndexLine, IndexSubject, WheelMark};
use crate::values::digest::Digest;

pub(super) enum Selection {
    /// Globs over names, in one scope or in every one.
    Projects(Option<Scope>, PrivateNames),
    Scope(Scope),
    /// A page, a file, or a wheel's metadata.
    Route(Route),
    /// A path of a mirror's.
    Path(MirrorPath),
    Digest(Digest),
    All,
}

impl Selection {
    pub(super) fn read(named: &Named) -> Result<Self, MaintenanceError> {
        let scope = |text: &str| match scope_of(text) {
            Some(scope) => Ok(scope),
            None => Err(wrong(
                text,
                "a scope such as projects/42 or a mirror's name",
            )),
        };
        Ok(match named {
            Named::Scope(text) => Self::Scope(scope(text)?),
            Named::Project { scope: of, project } => {
                let of = match of {
                    Some(text) => Some(scope(text)?),
                    None => None,
                };
                let names = PrivateNames::parse(&[project.to_owned()]);
                let names = names.map_err(|_| wrong(project, "a project's name"))?;
                Self::Projects(of, names)
            }
            Named::Sha256(text) => {
                Self::Digest(Digest::parse(text).ok_or_else(|| wrong(text, "a sha256"))?)
            }
            Named::Address(text) => match Route::from_path(text) {
                Ok(Route::Mirrored(path)) => Self::Path(path),
                Ok(route @ (Route::Page(_) | Route::File(_) | Route::Metadata(_))) => {
                    Self::Route(route)
                }
                Ok(_) | Err(_) => return Err(wrong(text, "the address of a page or a file")),
            },
        })
    }

    /// The files that belong to what is meant: a page's are its project's, and metadata's is its
    /// wheel.
    pub(super) fn takes_file(&self, file: &FileRef, digest: Digest) -> bool {
        match self {
            Self::All => true,
            Self::Digest(wanted) => *wanted == digest,
            Self::Scope(scope) => file.scope == *scope,
            Self::Projects(..) => match project_of(file) {
                Some(name) => self.takes_project(&file.scope, &name),
                None => false,
            },
            Self::Route(Route::Page(page)) => {
                page.scope == file.scope && (page.name.is_none() || page.name == project_of(file))
            }
            Self::Route(Route::File(wanted) | Route::Metadata(wanted)) => file == wanted,
            Self::Route(_) => false,
            Self::Path(path) => {
                let wheel = path.metadata_of();
                file.mirror_path() == Some(wheel.as_ref().unwrap_or(path))
            }
        }
    }

    /// Whether the line says something of what is meant. Metadata has no address of its own: see
    /// [`Self::wheel`].
    pub(super) fn takes(&self, line: &IndexLine) -> bool {
        let (Self::Route(_) | Self::Path(_), subject) = (self, &line.subject) else {
            return self.takes_all_of(line);
        };
        match (self, subject) {
            (
                Self::Route(Route::Page(wanted)),
                IndexSubject::Page { page, .. } | IndexSubject::Withdrawn { page, .. },
            ) => page == wanted,
            (Self::Route(Route::File(wanted)), IndexSubject::File { file, .. }) => file == wanted,
            (Self::Path(path), IndexSubject::File { file, .. }) => file.mirror_path() == Some(path),
            _ => false,
        }
    }

    /// The same of what is more than one address.
    fn takes_all_of(&self, line: &IndexLine) -> bool {
        match (self, &line.subject) {
            (Self::All, _) => true,
            (Self::Digest(digest), _) => *digest == line.digest,
            (_, IndexSubject::File { file, .. }) => self.takes_file(file, line.digest),
            (
                Self::Scope(scope),
                IndexSubject::Page { page, .. } | IndexSubject::Withdrawn { page, .. },
            ) => page.scope == *scope,
            (_, IndexSubject::Page { page, .. } | IndexSubject::Withdrawn { page, .. }) => {
                match &page.name {
                    Some(name) => self.takes_project(&page.scope, name),
                    None => false,
                }
            }
            _ => false,
        }
    }

    fn takes_project(&self, scope: &Scope, name: &ProjectName) -> bool {
        match self {
            Self::Projects(of, names) => {
                names.hold(name) && of.as_ref().is_none_or(|of| of == scope)
            }
            _ => false,
        }
    }

    /// The wheel whose metadata is meant, whether or not anything is known of the wheel.
    pub(super) fn wheel(&self) -> Option<WheelMark> {
        match self {
            Self::Route(Route::File(file) | Route::Metadata(file)) => Some(WheelMark::of(file)),
            Self::Path(path) => {
                // The mark is the address's; the digest has no part in it.
                let path = path.metadata_of().unwrap_or_else(|| path.clone());
                Some(WheelMark::of(&FileRef::mirrored(&path, Digest::of(b""))))
            }
            _ => None,
        }
    }
}

pub(super) fn wrong(text: &str, form: &str) -> MaintenanceError {
    MaintenanceError::Command(format!("\"{text}\" is not {form}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(named: &Named, path: &str) -> bool {
        let digest = Digest::of(b"");
        let path = path.replace("SHA", &digest.to_string());
        let file = match Route::from_path(&path) {
            Ok(Route::File(file)) => file,
            Ok(Route::Mirrored(path)) => FileRef::mirrored(&path, digest),
            other => panic!("{path}: {other:?}"),
        };
        let selection = Selection::read(named).expect("a selection");
        selection.takes_file(&file, digest)
    }

    #[test]
    fn a_scope_a_name_a_glob_an_address_or_a_digest_is_meant() {
        let gitlab = "/api/v4/projects/42/packages/pypi/files/SHA/Six_x-1-py3-none-any.whl";
        let mirror = "/pypi/packages/aa/six-1.tar.gz";
        let project = |scope: Option<&str>, project: &str| Named::Project {
            scope: scope.map(str::to_owned),
            project: project.to_owned(),
        };
        let scope = |scope: &str| Named::Scope(scope.to_owned());
        let address = |path: &str| Named::Address(path.to_owned());
        for (named, taken) in [
            (scope("projects/42"), [true, false]),
            (scope("groups/42"), [false, false]),
            (scope("pypi"), [false, true]),
            (project(None, "six"), [false, true]),
            (project(None, "six*"), [true, true]),
            (project(Some("pypi"), "six*"), [false, true]),
            (project(None, "SIX-x"), [true, false]),
            (address("/pypi/simple/six/"), [false, true]),
            (address("/pypi/simple/"), [false, true]),
            (address(mirror), [false, true]),
            (Named::Sha256(Digest::of(b"").to_string()), [true, true]),
            (Named::Sha256(Digest::of(b"x").to_string()), [false, false]),
        ] {
            assert_eq!(
                [takes(&named, gitlab), takes(&named, mirror)],
                taken,
                "{named:?}"
            );
        }
        for wrong in [scope("a/b"), project(None, "a b"), address("/-/metrics")] {
            assert!(Selection::read(&wrong).is_err(), "{wrong:?}");
        }
    }
}
