//! The application: the configuration, the parts it is made of, and the daemon's life.
//!
//! Owns the order of construction and of stopping. Must not contain behaviour of its own.

pub mod address;
mod advisories;
mod command_context;
pub mod config;
mod doctor_input;
mod error;
mod file_check;
mod lifecycle;
mod mirrors;
mod parents;
mod reach;
mod remaking;
mod settings;
mod shared;
mod token_file;
mod upstreams;
mod wiring;

pub use advisories::read_records as advisory_records;
pub use command_context::{CommandContext, command_context, judging_context};
pub use doctor_input::{DoctorInput, doctor_input};
pub use error::StartError;
pub use file_check::check_files;
pub use lifecycle::App;
pub use mirrors::public_index_in_words;
pub use reach::{Reached, reach};
pub use settings::certificate_validity;
pub use token_file::command_credential;
pub use upstreams::Transports;
