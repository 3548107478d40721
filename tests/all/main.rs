//! larder from outside: the real binary, real sockets, a GitLab that misbehaves on command.
//!
//! One binary, one module per subject. Tests named `r…_` hold the promise of that number; what each promises is said
//! in `docs/promises.md`.

#![allow(
    clippy::disallowed_methods,
    reason = "tests own their clock, files and threads"
)]

#[path = "../support/mod.rs"]
mod support;

mod abandoned;
mod addresses;
mod airgap;
mod balanced;
mod bodies;
mod browsers;
mod bundle;
mod bundle_faults;
mod chain;
mod clients;
mod cold_install;
mod control;
mod cooldown;
mod credentials;
mod crowds;
mod daemon;
mod debian_package;
mod disk_trouble;
mod doctor;
mod documented;
mod environment;
mod explain;
mod flights;
mod forward;
mod freshness;
mod hashless;
mod health;
mod http2;
mod index_servers;
mod installers;
mod integrity;
mod journal;
mod json_rights;
mod large_index;
mod leftovers;
mod limits;
mod links;
mod listeners;
mod locks;
mod machine;
mod memory;
mod metadata;
mod metrics;
mod mirror_clients;
mod mirror_sidecars;
mod mirrored;
mod mirrors;
mod names;
mod odd_answers;
mod offline;
mod offline_access;
mod once;
mod operators;
mod oracles;
mod pages;
mod pages_json;
mod places;
mod ranges;
mod read_ahead;
mod reload;
mod request_ids;
mod resilience;
mod restarts;
mod retries;
mod rewrite_lock;
mod rich;
mod rights;
mod routes;
mod secrets;
mod service_manager;
mod signatures;
mod smoke;
mod staleness;
mod status;
mod store;
mod targets;
mod tls;
mod upkeep;
mod upload_answers;
mod uploaders;
mod uploads;
mod upstream_proxy;
mod upstream_tls;
mod warm;
mod warm_groups;
mod warm_indexes;
mod warm_inputs;
mod warm_left_out;
mod warm_locks;
mod warm_patience;
mod warm_sets;
mod warm_targets;
mod wheel_tags;
mod wire;
