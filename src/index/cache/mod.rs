//! What is kept of pages in memory, and for how long it counts.
//!
//! Must not ask upstream.

pub mod forwards;
pub mod freshness;
pub mod large_pages;
pub mod memory;
pub mod open_scopes;
pub mod page;
pub mod refusals;
pub mod representation;
