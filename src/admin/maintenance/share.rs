//! `share`: files that are held are uploaded to the shared store, if they are not there.
//!
//! One after another, in the order of their addresses, beside what downloads have queued. Must not
//! know how a file is uploaded.

use std::collections::BTreeMap;

use super::error::MaintenanceError;
use super::selection::Selection;
use crate::control::{Reporter, Share, SharingEvent};
use crate::file::{Files, UploadEnd};
use crate::registry::FileRef;
use crate::store::{IndexSubject, Store};

/// The files that are meant. Blocks.
pub(super) fn files(store: &Store, command: &Share) -> Result<Vec<FileRef>, MaintenanceError> {
    let selection = match &command.what {
        Some(named) => Selection::read(named)?,
        None => Selection::All,
    };
    let mut found = BTreeMap::new();
    store.every_line::<MaintenanceError>(|index| {
        for line in &index.lines {
            if let IndexSubject::File { file, .. } = &line.subject
                && selection.takes_file(file, line.digest)
                && store.blob_size(line.digest).is_some()
            {
                found.insert(file.path(), file.clone());
            }
        }
        Ok(())
    })?;
    Ok(found.into_values().collect())
}

pub(super) async fn run(
    files: &Files,
    wanted: Vec<FileRef>,
    out: &Reporter<SharingEvent>,
) -> Result<(), MaintenanceError> {
    let mut uploaded = 0;
    let mut present = 0;
    let mut gone = 0;
    for file in wanted {
        let shared = files.share(&file).await;
        let end = shared.map_err(|why| {
            let after = format!(
                "{why}, after {uploaded} files were uploaded and {present} were found there"
            );
            MaintenanceError::Command(after)
        })?;
        match end {
            UploadEnd::Completed => {
                uploaded += 1;
                let name = file.path();
                let sha256 = file.digest.to_string();
                out.told(SharingEvent::File { name, sha256 }).await?;
            }
            UploadEnd::Present => present += 1,
            UploadEnd::Lost | UploadEnd::Dropped => gone += 1,
        }
    }
    let summary = SharingEvent::Summary {
        uploaded,
        present,
        gone,
    };
    Ok(out.told(summary).await?)
}
