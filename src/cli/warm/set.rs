//! Writing down, under a name, which files belong together: one command to the daemon.
//!
//! Must not know why they do.

use crate::airgap::{WriteSet, set_body};
use crate::control::{Client, whole};
use crate::store::SetName;
use crate::values::digest::Digest;

/// Makes a set of these files, as sha256 and address: `is_whole` says that they are all that
/// belongs to it, otherwise it keeps what it has beside them. Says how many it has then.
///
/// # Errors
/// Why it could not be written.
pub(super) async fn write(
    client: &Client,
    name: &SetName,
    files: &[(Digest, String)],
    is_whole: bool,
) -> Result<usize, String> {
    let unwritten =
        |why: &dyn std::fmt::Display| format!("the set {name} cannot be written: {why}");
    let body = whole(set_body(name, is_whole, files));
    let mut events = client
        .deliver::<WriteSet>(body)
        .await
        .map_err(|why| unwritten(&why))?;
    let mut has = None;
    while let Some(event) = events.next().await.map_err(|why| unwritten(&why))? {
        has = Some(event.files);
    }
    has.ok_or_else(|| unwritten(&"the daemon did not say so"))
}
