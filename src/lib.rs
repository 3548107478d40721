//! larder: a read-through cache between Python build machines and a GitLab PyPI package registry.
//!
//! A request enters at the top and falls; nothing below calls upwards.
//!
//! - [`serve`] is the daemon's life between its start and its end.
//! - [`commands`] says which command does what; [`app`] puts the parts together; [`config`] is what an operator says; [`cli`] is how it is said.
//! - [`server`] is the wire: connections, the walk of a request, and the one table of statuses.
//! - [`access`] remembers GitLab's word about each caller. A response with stored bytes cannot be built without its
//!   `Permit`.
//! - The services: [`upload`] passes uploads on, [`index`] owns pages, [`mod@file`] owns distributions, [`upkeep`] looks
//!   after the store, [`airgap`] carries packages across.
//! - [`control`] is how a command talks to the daemon that holds the folder.
//! - [`store`] is the disk, [`upstream`] the network; they are strangers to each other.
//! - [`registry`] is GitLab's address grammar, [`simple`] the Simple Repository API as data,
//!   [`wheel`] what an archive says about itself.
//! - Values that everybody may use: [`digest`], [`secret`], [`secret_file`], [`quantity`], [`byte_range`], [`cache_status`],
//!   [`single_flight`], [`histogram`], [`request_id`], [`correlation`],
//!   [`awaited_parts`], [`clock`], [`validity`], [`mod@version`]. [`telemetry`] is what an operator sees.
//!
//! `docs/architecture.md` is the same map with its reasons and invariants; `tests/architecture.rs` keeps it true.

pub mod access;
pub mod airgap;
pub mod app;
pub mod awaited_parts;
pub mod byte_range;
pub mod cache_status;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod control;
pub mod correlation;
pub mod digest;
pub mod file;
pub mod histogram;
pub mod index;
pub mod quantity;
pub mod registry;
pub mod request_id;
pub mod secret;
pub mod secret_file;
pub mod serve;
pub mod server;
pub mod simple;
pub mod single_flight;
pub mod store;
pub mod telemetry;
pub mod upkeep;
pub mod upload;
pub mod upstream;
pub mod validity;
pub mod version;
pub mod wheel;
