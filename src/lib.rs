//! larder: a read-through cache between Python build machines and a GitLab PyPI package registry.
//!
//! A request enters at the top and falls; nothing below calls upwards.
//!
//! - [`cli`] is each command, from its arguments to its exit code; [`app`] puts the parts together, of the configuration.
//! - [`server`] is the wire: connections, the walk of a request, and the one table of statuses.
//! - [`access`] remembers GitLab's word about each caller. A response with stored bytes cannot be built without its
//!   `Permit`.
//! - [`admin`] answers the operator: status, health, metrics, and maintenance of the store.
//! - The services: [`upload`] passes uploads on, [`index`] owns pages, [`mod@file`] owns distributions, [`airgap`]
//!   carries packages across.
//! - [`control`] is how a command talks to the daemon that holds the folder.
//! - [`store`] is the disk, [`upstream`] the network; they are strangers to each other.
//! - [`registry`] is GitLab's address grammar, [`simple`] the Simple Repository API as data,
//!   [`wheel`] what an archive says about itself.
//! - [`values`] are types that every room may use. [`log`] writes the log.
//!
//! `docs/architecture.md` is the same map with its reasons and invariants; `tests/architecture.rs`
//! keeps it true.

// A future is moved with each hand-over, and a request goes through many.
#![warn(clippy::large_futures)]

pub mod access;
pub mod admin;
pub mod airgap;
pub mod app;
pub mod cli;
pub mod control;
pub mod file;
pub mod index;
pub mod log;
pub mod registry;
pub mod server;
pub mod simple;
pub mod store;
pub mod upload;
pub mod upstream;
pub mod values;
pub mod wheel;
