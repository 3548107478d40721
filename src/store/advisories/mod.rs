//! Records of advisories as they lie on the disk: a folder of JSON files, a zip of them, or a file
//! with a record on each line.
//!
//! Owns how they are read, once as a whole and later one at a time, and how a change is
//! noticed. What larder does not understand loses nothing else: it is counted, and the first few are
//! named. A feed in which not one record can be read is a fault, so that an error page which was
//! saved in the records' place leaves those of before in force. Everything blocks. Must not know
//! what a record says.

mod archive;
mod folder;
mod imported;
mod lines;
mod loaded;
mod paths;
mod reading;
mod stamp;
#[cfg(test)]
mod tests;
mod watch;
mod zipped;

pub use imported::{StagedAdvisories, imported_advisories};
pub use loaded::LoadedAdvisories;
pub use paths::AdvisoryPaths;
pub use reading::AdvisoryError;
pub use watch::{AdvisoryReading, AdvisoryRecords};
