//! `ls`: the files that are known.
//!
//! Must not change anything.

use super::census::{project_of, seconds};
use super::error::MaintenanceError;
use super::selection::Selection;
use crate::control::{Gone, Listed, Ls, Reporter};
use crate::store::{IndexSubject, Store};

pub(super) fn run(
    store: &Store,
    command: &Ls,
    out: &Reporter<Listed>,
) -> Result<(), MaintenanceError> {
    let selection = match &command.what {
        Some(named) => Selection::read(named)?,
        None => Selection::All,
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
