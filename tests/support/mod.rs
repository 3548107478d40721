//! The test bench: stand-ins for GitLab and for a public index, a raw client, a driver of the real
//! binary, packages and Python clients.
//!
//! Everything stays on 127.0.0.1, except that [`python`] installs its pinned clients once from
//! wherever pip is configured to look. Nothing here knows larder's code: it is seen through its
//! binary, its sockets and its folder.
//!
//! ```ignore
//! #[path = "../support/mod.rs"]
//! mod support;
//! use support::{Act, Client, Distribution, Ending, GitLab, Kind, Larder, Site, Storage, StoreListing, path, token};
//!
//! #[test]
//! fn a_body_with_a_wrong_byte_is_cut_and_not_stored() {
//!     let wheel = Distribution::new("big", "1.0").payload(300_000).wheel();
//!     let gitlab = GitLab::builder().storage(Storage::Redirect).start();
//!     gitlab.publish(42, &wheel);
//!     let larder = Larder::start(&gitlab);
//!     let client = larder.client().token(token::READER);
//!     gitlab.plan(Act::Flip { at: 200_000 }.at(Site::FileBody).containing("big-1.0"));
//!
//!     let reply = client.get(&path::project_file(42, &wheel));
//!
//!     assert!(matches!(reply.ending, Ending::CutShort { .. } | Ending::Reset { .. }), "{reply:?}");
//!     assert!(!StoreListing::of(&larder.cache_dir()).holds(&wheel.sha256));
//!     gitlab.behave();
//!     client.get(&path::project_page(42, "big")).expect(200);
//!     assert_eq!(gitlab.log().count(Kind::Page), 1);
//!     gitlab.log().assert_nothing_unexpected();
//! }
//! ```
//!
//! For flights: `let gate = gitlab.hold(Site::FileBody, 100_000)`, start readers,
//! `gate.wait_for(1)`, look around, `gate.open()`.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each binary that includes the bench uses its own part of it"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "the bench fails loudly, and it owns its clock, files and tasks"
)]

pub mod activated;
pub mod authority;
pub mod balancer;
pub mod basic;
pub mod booted;
pub mod client;
pub mod corpus;
pub mod debian;
pub mod docker_host;
pub mod faulty_relay;
pub mod figures;
pub mod gitlab;
pub mod guide;
pub mod held_port;
pub mod http;
pub mod index_server;
pub mod installer;
pub mod isolated;
pub mod larder;
pub mod lock_text;
pub mod locks;
pub mod logfmt;
pub mod openmetrics;
pub mod oracle;
pub mod proxy;
pub mod public_index;
pub mod python;
pub mod relay;
pub mod reply;
pub mod s3_engine;
pub mod store_listing;
pub mod terminal;
pub mod tls;
pub mod watchdog;
pub mod webdriver;
pub mod wheel;

pub use self::activated::Activated;
pub use self::authority::{Authority, Pair};
pub use self::client::{Client, Exchange, Wire};
pub use self::docker_host::DockerHost;
pub use self::faulty_relay::{FaultyRelay, RelayFault};
pub use self::gitlab::{
    BASIC_CHALLENGE, GitLab, NewFile, Place, Registry, Role, Settings, Storage, Token, TokenKind,
    TokenState, Universe, Upload, UploadKeeping, UploadLimit, Visibility, path, token,
};
pub use self::held_port::HeldPort;
pub use self::http::{
    Act, Answer, Door, Ended, Entry, FOR_EVER, Fault, FileBodies, Gate, IDENTIFIED, Kind, PROTOCOL,
    RequestLog, Site, Tls,
};
pub use self::isolated::Isolated;
pub use self::larder::Larder;
pub use self::proxy::Proxy;
pub use self::public_index::{
    CoreMetadata, Formats, Hashes, Links, Offer, ProjectStatus, PublicIndex, Validators,
};
pub use self::python::{Outcome, Workbench};
pub use self::reply::{Ending, Reply};
pub use self::s3_engine::{ENGINES, Engine, Fleet, SharedBucket};
pub use self::store_listing::StoreListing;
pub use self::terminal::Terminal;
pub use self::tls::TlsClient;
pub use self::watchdog::Watched;
pub use self::webdriver::Browser;
pub use self::wheel::{Artifact, Distribution, real_wheels};
