//! `ls`: the files that are known.
//!
//! Must not change anything.

use std::collections::BTreeMap;

use super::census::{project_of, seconds};
use super::error::MaintenanceError;
use super::selection::Selection;
use crate::control::{Gone, Listed, Ls, Reporter};
use crate::store::{IndexSubject, SetName, Store};
use crate::values::digest::Digest;

pub(super) fn run(
    store: &Store,
    command: &Ls,
    out: &Reporter<Listed>,
) -> Result<(), MaintenanceError> {
    let selection = match &command.what {
        Some(named) => Selection::read(named)?,
        None => Selection::All,
    };
    let set = match &command.set {
        Some(name) => Some(set_of(store, name)?),
        None => None,
    };
    let mut listed = out.batch();
    store.every_line::<MaintenanceError>(|index| {
        for line in &index.lines {
            let IndexSubject::File { file, entry } = &line.subject else {
                continue;
            };
            if !selection.takes_file(file, line.digest) {
                continue;
            }
            if let Some(set) = &set
                && set.get(line.name()) != Some(&line.digest)
            {
                continue;
            }
            let blob = store.stored_blob(line.digest);
            listed.tell(Listed {
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
        if out.is_wanted() {
            Ok(())
        } else {
            Err(Gone.into())
        }
    })?;
    Ok(listed.end()?)
}

/// The files of a set, by address.
fn set_of(store: &Store, name: &str) -> Result<BTreeMap<String, Digest>, MaintenanceError> {
    let fault = |why: String| MaintenanceError::Command(why);
    let name = SetName::parse(name).map_err(|why| fault(why.to_string()))?;
    let files = store.sets.read(&name)?;
    files.ok_or_else(|| fault(format!("there is no set {name}")))
}
