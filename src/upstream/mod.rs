//! The network: asking GitLab in a caller's name and following its signed links into the object
//! store; asking mirrors without any caller's credential.
//!
//! Every request is built anew from a [`Route`](crate::registry::Route), a credential and an
//! allow-list of fields; nothing of the client's request client or other headers goes on. A
//! caller's credential goes to the configured GitLab and nowhere else, a mirror's own one to the
//! origin of its index. A peer that cannot be reached is left alone for a while (`breaker`), and a
//! caller whom GitLab told to wait gets that answer again until then (`throttle`). Must not know
//! the store, pages or who waits for the answer.

mod bodies;
mod body;
mod breaker;
mod client;
mod config;
mod connect;
mod counts;
mod error;
mod examination;
mod gitlab;
mod gitlab_check;
mod gitlab_url;
mod index_trial;
mod mirror;
mod mirror_config;
mod own_credential;
mod packages_api;
mod parent;
mod peer;
mod peer_client;
mod peer_section;
mod redirect;
mod rendezvous;
mod request;
mod response;
mod retry;
mod shared_store;
mod throttle;
mod turns;
mod upload_body;

pub use bodies::{BODIES_AT_FULL_PACE, CountedBody};
pub use body::{BodyError, IdleBody};
pub use breaker::{BreakerCondition, BreakerState};
pub use client::Upstream;
pub use config::{Forward, GitLabConfig};
pub use connect::{
    ProxyEnvironment, ProxyFault, SystemRoots, TlsFault, Transport, TransportConfig, proxy_towards,
};
pub use counts::{PeerCounts, PeerReading};
pub use error::UpstreamError;
pub use examination::{ConnectionFacts, ProbeResponse, TlsFacts, examine_connection};
pub(crate) use gitlab::upload_headers;
pub use index_trial::{IndexTrial, TrialError};
pub use mirror::Mirror;
pub use mirror_config::{MirrorConfig, UnhashedFiles};
pub use packages_api::{ListPage, ListedPackage, PackageFile, PackagesError};
pub use parent::{
    LarderStatus, ParentClient, ParentFault, ParentReading, ParentState, read_status,
};
pub use peer::{PUBLIC_INDEX, Peer};
pub use redirect::{AllowedOrigins, may_follow, may_take};
pub use rendezvous::order as parents_in_order;
pub use request::{FileAnswer, ForwardTarget, Inquiry, PageAnswer, UpstreamRequest, WantedRange};
pub use response::{ContentRange, PassThrough, UpstreamResponse, Validators};
pub use retry::retry_after;
pub use shared_store::{
    AddressFact, BlobUpload, BucketLocation, FLEET_KEY_BYTES_MIN, FleetKey, SHARED_STORE,
    SharedStore, SharedStoreConfig, SharedStoreError, SharedStoreSecrets,
};
pub use upload_body::Outgoing;
