//! Values that every room may use: each file holds one type and knows no room.
//!
//! Pure, but for [`clock`], which is where the time is read, [`secret_file`], which reads a
//! credential's file, and [`shutdown`], which wakes the tasks that wait for the daemon to stop.

pub mod awaited_parts;
pub mod byte_range;
pub mod byte_size;
pub mod cache;
pub mod cache_status;
pub mod clock;
pub mod correlation;
pub mod digest;
pub mod ends;
pub mod error_chain;
pub mod hexadecimal;
pub mod histogram;
pub mod memory_file;
pub mod quality_list;
pub mod quantity;
pub mod request_id;
pub mod secret;
pub mod secret_file;
pub mod shutdown;
pub mod single_flight;
pub mod validity;
pub mod version;
