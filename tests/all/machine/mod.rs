//! What can only be shown with more of a machine than Rust and Python: systemd's tools, a browser, promtool, a bare Debian.
//!
//! Each test is `#[ignore]`d with the Debian packages it needs as the reason, and fails without them. `.ci/run` installs
//! them and runs `cargo test --test all -- --ignored machine::`.

mod activation;
mod browser;
mod fresh_machine;
mod promtool;
mod restarts;
mod systemd;
