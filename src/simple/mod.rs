//! The Simple Repository API (PEP 503, 592, 629, 658, 691, 700, 714, 740, 792) as pure data.
//!
//! Owns: what a project is called ([`ProjectName`]), what a file name says about its project
//! ([`WheelFilename`], [`project_candidates`]), which type a client gets ([`negotiate`]), and how a
//! page of either format passes in kind or becomes the other, entry by entry, while it streams
//! ([`Rewriter`]). The formats meet in [`Entry`]: `html` and `json` read it, `render` writes it.
//!
//! Must not know: any registry's routes, HTTP, credentials, the store, the clock. Everything here
//! is a function of its arguments; what becomes of an entry is told by the caller's closure.

mod accept;
mod annotate;
mod entry;
mod facts;
mod file_change;
mod filename;
mod format;
mod hashes;
mod html;
mod index_document;
mod json;
mod listing;
mod name;
mod output;
mod render;
mod rewriter;
mod shape;
mod wheel_filename;

pub use accept::negotiate;
pub use annotate::annotate;
pub use entry::{
    CoreMetadata, Decision, Entry, FileFacts, PageSubject, Replacement, SkippedEntries,
};
pub use facts::ProjectStatus;
pub use file_change::FileChange;
pub use filename::{is_distribution, project_candidates, usual_project, version as file_version};
pub use format::{Format, MediaType};
pub use html::{HtmlError, PARSER_BYTES_MAX};
pub use index_document::without_index_document;
pub use json::JsonError;
pub use listing::{Conflict, ListingFile, ProjectListing, read_entries};
pub use name::{NAME_BYTES_MAX, NameError, ProjectName};
pub use rewriter::{Finished, RewriteError, Rewriter};
pub use shape::{ElementState, NotAnIndex, Shape};
pub use wheel_filename::{WheelFilename, is_wheel};
