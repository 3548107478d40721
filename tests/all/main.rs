//! larder from outside: the real binary, real sockets, a GitLab that misbehaves on command.
//!
//! One binary: a folder for each room or subject, a module for each promise. Tests named `r…_` hold
//! the promise of that number; what each promises is said in `docs/promises.md`.

#![allow(
    clippy::disallowed_methods,
    reason = "tests own their clock, files and threads"
)]

#[path = "../support/mod.rs"]
mod support;

mod smoke;

/// Whose bytes are whose: rights, secrets, and strangers.
mod access {
    mod json_rights;
    pub mod rights;
    mod secret_files;
    mod secrets;
    mod strangers_at_once;
}

/// What an operator is told: health, metrics, status, logs.
mod admin {
    mod documented;
    mod health;
    mod log_format;
    mod metrics;
    mod request_log;
    mod status;
}

/// Bundles, offline mode, and the way from a lock file to an install without a network.
mod airgap {
    pub mod bundle;
    mod bundle_faults;
    mod carried_policies;
    mod lock_file_to_install;
    pub mod offline;
    mod offline_access;
    mod rewrite_lock;
    mod signatures;
}

/// The commands, beside a running daemon and without one.
mod cli {
    mod audit;
    mod configuration_files;
    mod control_socket;
    mod doctor;
    mod environment;
    mod explain;
    mod mistaken_configurations;
    mod operator_commands;
    mod output;
    mod socket_units;
}

/// The real clients and index servers.
mod clients {
    mod cold_install;
    mod cooldown;
    mod failed_installs;
    mod gitlab_ci;
    mod index_servers;
    mod installers;
    mod lock_files;
    mod osv_service;
    mod page_lines;
    mod page_parsers;
    mod pip_uv_twine;
    mod private_and_public;
    mod quarantined;
    mod uploaders;
    mod views;
}

/// What tests of several folders share: storage modes, what a delivery may look like, what a fleet
/// put into its bucket, a mirror's addresses, what a GitLab runner is told, a GitLab that points to a
/// public index; threads that say why they failed, and what a busy machine adds to a limit.
mod common {
    pub mod advisories;
    pub mod at_once;
    pub mod delivery;
    pub mod fleet;
    pub mod mirror;
    pub mod pace;
    pub mod runner;
    pub mod world;
}

/// Distributions: whole, in parts, fetched once, verified.
mod file {
    mod addresses;
    mod fetched_once;
    mod integrity;
    mod ranges;
    mod shared_downloads;
    mod unhashed_files;
    mod wheel_ends;
}

/// The tests themselves: what they keep, and what they leave behind.
mod harness {
    mod leftovers;
    mod stored_locks;
}

/// Pages: their links, their formats, their age.
mod index {
    mod advisories;
    mod advisories_benchmark;
    mod dates_benchmark;
    mod freshness;
    mod known_dates;
    mod large_index;
    mod links;
    mod min_age;
    mod page_changes;
    mod pages;
    mod pages_json;
    mod policy;
    mod policy_sweep;
    mod project_status;
    mod read_ahead;
    mod staleness;
    mod upload_dates;
}

/// PEP 658: wheels' metadata, made, advertised, prefetched, and a mirror's own.
mod metadata {
    mod advertised;
    mod behind_a_balancer;
    pub mod generated;
    mod of_mirrors;
    mod read_ahead;
}

/// Other indexes beside GitLab, and in its place.
mod mirrors {
    mod audience;
    mod chained_larders;
    mod followed_index;
    mod forward;
    mod pages_and_files;
    mod parent;
    pub mod parents;
    mod parents_away;
    mod parents_told;
    mod private_packages;
    mod resilience;
    mod views;
}

/// What is published: the Debian package, the wheel, the image, and the pipeline that makes them.
/// Apart from `system_tools`, because most of it needs what `.ci/release` makes.
mod packaging {
    mod debian_package;
    mod four_ways;
    mod image;
    pub mod pipeline;
    mod profile;
    mod wheel;
}

/// The bucket that a fleet shares.
mod shared_store {
    mod budgets;
    mod configured;
    mod credentials;
    mod fault_table;
    mod fleet;
    mod herd;
    mod installs;
    mod isolation;
    mod kills;
    mod store_faults;
    mod upload_queue;
}

/// Connections, requests, and the life of the daemon.
mod server {
    mod behind_one_name;
    mod canonical_requests;
    mod client_aborts;
    mod client_limits;
    pub mod connection_memory;
    mod connection_slots;
    mod cross_site_requests;
    mod daemon;
    mod doors;
    mod file_pieces;
    mod gitlab_url;
    mod health_listener;
    mod http2;
    mod listeners;
    mod reload;
    mod request_ids;
    mod request_targets;
    pub mod restarts;
    mod routes;
    pub mod service_manager;
    pub mod tls;
}

/// The folder: damage, failing disks, maintenance.
mod store {
    pub mod failing_disk;
    mod folder;
    pub mod maintenance;
}

/// What needs more of a machine than Rust and Python: systemd's tools, a browser, promtool, a bare
/// Debian, a Docker Engine, Helm. Each test is `#[ignore]`d with the Debian packages it needs as
/// the reason, and fails without them. `.ci/run` installs them and runs these tests.
mod system_tools {
    mod activation;
    mod browser;
    mod docker_runners;
    mod fresh_machine;
    mod kubernetes;
    mod promtool;
    mod restarts;
    mod systemd;
}

/// Uploads, and the upstream's answers to them.
mod upload {
    pub mod pass_through;
    mod upstream_answers;
}

/// Connections to upstreams, and their faults.
mod upstream {
    mod odd_answers;
    mod proxy;
    mod retries;
    mod tls;
}

/// `larder warm`: lock files, machines, indexes.
mod warm {
    mod downloads;
    mod groups_and_extras;
    mod inputs;
    mod left_out;
    mod lock_formats;
    mod sets;
    mod several_indexes;
    mod several_machines;
    mod slow_index;
    mod wheel_tags;
}
