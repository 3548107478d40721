//! `ls`: the files that are known.
//!
//! Must not change anything.

use super::census::{Census, project_of, scope_of, seconds};
use super::error::MaintenanceError;
use crate::control::{Listed, Ls, Reporter};
use crate::registry::{FileRef, PrivateNames, Scope};
use crate::store::{IndexSubject, Store};

/// Which files are meant.
enum Filter {
    All,
    Scope(Scope),
    Names(PrivateNames),
    /// A word that may be a mirror or a project.
    Either(Scope, PrivateNames),
}

impl Filter {
    fn read(what: Option<&str>) -> Result<Self, MaintenanceError> {
        let Some(what) = what else {
            return Ok(Self::All);
        };
        let names = PrivateNames::parse(&[what.to_owned()]);
        match (scope_of(what), names) {
            (Some(scope), Ok(names)) => Ok(Self::Either(scope, names)),
            (Some(scope), Err(_)) => Ok(Self::Scope(scope)),
            (None, Ok(names)) => Ok(Self::Names(names)),
            (None, Err(why)) => Err(MaintenanceError::Command(format!(
                "\"{what}\" is neither a scope such as projects/42 nor a name: {why}"
            ))),
        }
    }

    fn takes(&self, file: &FileRef) -> bool {
        let named = |names: &PrivateNames| project_of(file).is_some_and(|name| names.hold(&name));
        match self {
            Self::All => true,
            Self::Scope(scope) => file.scope == *scope,
            Self::Names(names) => named(names),
            Self::Either(scope, names) => file.scope == *scope || named(names),
        }
    }
}

pub(super) fn run(
    store: &Store,
    command: &Ls,
    out: &Reporter<Listed>,
) -> Result<(), MaintenanceError> {
    let filter = Filter::read(command.what.as_deref())?;
    let census = Census::take(store)?;
    store.every_line(|index| {
        for line in &index.lines {
            let IndexSubject::File { file, entry } = &line.subject else {
                continue;
            };
            if !filter.takes(file) {
                continue;
            }
            let blob = census.blobs.get(&line.digest);
            out.tell(Listed {
                scope: file.scope.to_string(),
                project: project_of(file)
                    .map(|name| name.to_string())
                    .unwrap_or_default(),
                filename: file.filename.as_str().to_owned(),
                size: blob.map_or(entry.size, |blob| blob.bytes),
                sha256: line.digest.to_string(),
                address: line.name().to_owned(),
                is_held: blob.is_some(),
                last_use: blob.and_then(|blob| seconds(blob.used)),
            })?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Route;
    use crate::values::digest::Digest;

    fn takes(what: &str, path: &str) -> bool {
        let path = path.replace("SHA", &Digest::of(b"").to_string());
        let file = match Route::from_path(&path) {
            Ok(Route::File(file)) => file,
            Ok(Route::Mirrored(path)) => FileRef::mirrored(&path, Digest::of(b"")),
            other => panic!("{path}: {other:?}"),
        };
        Filter::read(Some(what)).expect("a filter").takes(&file)
    }

    #[test]
    fn a_scope_a_mirror_a_name_or_a_glob_is_meant() {
        let gitlab = "/api/v4/projects/42/packages/pypi/files/SHA/Six_x-1-py3-none-any.whl";
        let mirror = "/pypi/packages/aa/six-1.tar.gz";
        for (what, taken) in [
            ("projects/42", [true, false]),
            ("groups/42", [false, false]),
            ("pypi", [false, true]),
            ("six", [false, true]),
            ("six*", [true, true]),
            ("SIX-x", [true, false]),
        ] {
            assert_eq!([takes(what, gitlab), takes(what, mirror)], taken, "{what}");
        }
        assert!(matches!(
            Filter::read(Some("a/b")),
            Err(MaintenanceError::Command(_))
        ));
    }
}
