//! larder from outside: the real binary, real sockets, a GitLab that misbehaves on command.
//!
//! One binary, one module per subject. Tests named `r…_` hold the promise of that number; what each promises is said
//! in `docs/promises.md`.

#![allow(clippy::disallowed_methods, reason = "tests own their clock, files and threads")]

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod bodies;
mod chain;
mod clients;
mod crowds;
mod daemon;
mod flights;
mod freshness;
mod integrity;
mod once;
mod pages;
mod ranges;
mod retries;
mod rights;
mod routes;
mod secrets;
mod smoke;
mod store;
mod uploads;
mod wire;
