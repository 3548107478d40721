//! The switches of the stand-in. Each may be turned at any time and counts from the next request
//! on.

use std::time::Duration;

/// How a file's bytes reach the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Mode A: GitLab sends the file from its own disk.
    Disk,
    /// Mode B: GitLab answers 302 to a signed URL of the object store.
    Redirect,
    /// Mode C: GitLab streams the file out of the object store.
    Proxied,
}

/// Who notices an upload that is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadLimit {
    None,
    /// 413 in plain text while the body is still on its way.
    Workhorse(u64),
    /// 400 in JSON when the whole body has been read.
    Rails(u64),
}

/// What is remembered of an upload's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadKeeping {
    /// Every byte; the file joins its project.
    Whole,
    /// Length and digest only; the file joins no project.
    Digest,
}

#[derive(Clone, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "switches are what it is made of"
)]
pub struct Settings {
    pub storage: Storage,
    /// A missing package is answered with 302 to `public_index` instead of 404.
    pub forwarding: bool,
    /// Where forwarded callers are sent: scheme and host, without a slash at the end.
    pub public_index: String,
    /// Where the links of the Dependency Firewall lead: scheme and host.
    pub public_files: String,
    /// JSON pages for those who list the media type (flag `pypi_pep_691_json`).
    pub pep691: bool,
    /// Older releases put eight spaces before `<!DOCTYPE`.
    pub leading_spaces: bool,
    /// Guests may read packages; older releases answer them 403.
    pub guest_pull: bool,
    /// The base of the links on pages; unset, it is the stand-in's own address.
    pub external_url: Option<String>,
    /// Pages are compressed with gzip for those who accept it, as nginx in front would do.
    pub gzip: bool,
    /// Uploads meet the read-only middleware.
    pub maintenance: bool,
    /// Everything is answered 429 with this `Retry-After`, in seconds.
    pub throttle: Option<u64>,
    /// Missing packages of a project come from the Dependency Firewall.
    pub firewall: bool,
    /// Passes before each answer of GitLab, not of the object store.
    pub latency: Duration,
    pub upload_limit: UploadLimit,
    pub upload_keeping: UploadKeeping,
    /// How long a signed URL of the object store is good for.
    pub signed_for: Duration,
    /// HEAD is redirected to a URL signed for HEAD (AWS); off: for GET (other stores).
    pub sign_head: bool,
    /// A client that waits to be asked for its body is asked.
    pub says_continue: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            storage: Storage::Disk,
            forwarding: true,
            public_index: "https://public-index.invalid".to_owned(),
            public_files: "https://public-files.invalid".to_owned(),
            pep691: false,
            leading_spaces: false,
            guest_pull: true,
            external_url: None,
            gzip: false,
            maintenance: false,
            throttle: None,
            firewall: false,
            latency: Duration::ZERO,
            upload_limit: UploadLimit::None,
            upload_keeping: UploadKeeping::Whole,
            signed_for: Duration::from_mins(10),
            sign_head: true,
            says_continue: true,
        }
    }
}
