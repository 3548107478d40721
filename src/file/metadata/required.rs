//! What a wheel requires, told as soon as the wheel or its metadata is here.
//!
//! Must not know what is done about it.

use std::future::Future;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::generator::{MetadataGenerator, VerifiedWheel};
use super::wheel::verified;
use crate::file::Files;
use crate::file::request::{FileReply, FileSource};
use crate::registry::FileRef;
use crate::simple::ProjectName;
use crate::values::correlation;
use crate::wheel::required_projects;

impl Files {
    /// The projects that a wheel which is on its way to a client requires in every environment, at
    /// most so many, as soon as it is verified; none of one that fails. `None` if it lay here
    /// already.
    pub fn required_by_wheel(
        &self,
        wheel: &FileRef,
        reply: &FileReply,
        most: usize,
    ) -> Option<impl Future<Output = Vec<ProjectName>> + use<>> {
        let source = source(reply)?;
        if let FileSource::Blob(_) = source {
            return None;
        }
        let generator = Arc::clone(&self.generator);
        let file = wheel.clone();
        // Once, for its metadata and for all clients. What keeps it from being read is told where its
        // metadata is made.
        let read = move |wheel: &VerifiedWheel| generator.read(&file, wheel).ok()?.ok();
        Some(required(source, read, most, Arc::clone(&self.generator)))
    }

    /// The same of a wheel whose metadata is the reply.
    pub fn required_by_metadata(
        &self,
        reply: &FileReply,
        most: usize,
    ) -> Option<impl Future<Output = Vec<ProjectName>> + use<>> {
        let bytes_max = self.generator.config.size.0;
        let read = move |metadata: &VerifiedWheel| {
            if metadata.size > bytes_max {
                return None;
            }
            let mut bytes = vec![0; usize::try_from(metadata.size).ok()?];
            metadata.file.read_exact_at(&mut bytes, 0).ok()?;
            Some(Bytes::from(bytes))
        };
        Some(required(
            source(reply)?,
            read,
            most,
            Arc::clone(&self.generator),
        ))
    }
}

/// Where the bytes of a reply are, without a hold on their download.
fn source(reply: &FileReply) -> Option<FileSource> {
    let FileReply::Open { source, .. } = reply else {
        return None;
    };
    Some(match source {
        FileSource::Blob(blob) => FileSource::Blob(Arc::clone(blob)),
        FileSource::Partial(partial, _) => FileSource::Partial(Arc::clone(partial), None),
    })
}

async fn required(
    source: FileSource,
    read: impl FnOnce(&VerifiedWheel) -> Option<Bytes> + Send + 'static,
    most: usize,
    generator: Arc<MetadataGenerator>,
) -> Vec<ProjectName> {
    let Ok(whole) = verified(source).await else {
        return Vec::new();
    };
    // A herd that waited for one wheel takes one blocking thread, not one each.
    let _turn = generator.turn.lock().await;
    let projects = move || match read(&whole) {
        Some(metadata) => required_projects(&metadata, most),
        None => Vec::new(),
    };
    correlation::spawn_blocking(projects)
        .await
        .unwrap_or_default()
}
