//! larder from outside: the real binary, real sockets, a GitLab that misbehaves on command.
//!
//! One binary, one module per subject. Tests named `r…_` hold the promise of that number; what each promises is said
//! in `docs/promises.md`.

#![allow(clippy::disallowed_methods, reason = "tests own their clock, files and threads")]

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod airgap;
mod bodies;
mod bundle;
mod bundle_faults;
mod chain;
mod clients;
mod control;
mod cooldown;
mod crowds;
mod daemon;
mod explain;
mod flights;
mod forward;
mod freshness;
mod hashless;
mod integrity;
mod json_rights;
mod large_index;
mod locks;
mod machine;
mod metadata;
mod mirror_clients;
mod mirror_sidecars;
mod mirrored;
mod mirrors;
mod names;
mod offline;
mod offline_access;
mod once;
mod oracles;
mod pages;
mod pages_json;
mod ranges;
mod read_ahead;
mod resilience;
mod retries;
mod rewrite_lock;
mod rich;
mod rights;
mod routes;
mod secrets;
mod smoke;
mod store;
mod upkeep;
mod uploads;
mod warm;
mod warm_locks;
mod warm_patience;
mod warm_sets;
mod wheel_tags;
mod wire;
