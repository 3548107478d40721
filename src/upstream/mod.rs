//! The network: asking GitLab in a caller's name, and following its signed links into the object store.
//!
//! Every request is built anew from a [`Route`](crate::registry::Route), the caller's credential and an allow-list of
//! fields; nothing of the client's request line or other headers goes on. A credential goes to the configured GitLab
//! and nowhere else. Must not know the store, pages or who waits for the answer.

mod answer;
mod body;
mod client;
mod config;
mod connect;
mod redirect;
mod retry;
mod sending;

pub use answer::{Answer, ContentRange, Relayed, Validators};
pub use body::{BodyError, IdleBody};
pub(crate) use client::upload_headers;
pub use client::{Ask, FileAnswer, PageAnswer, Upstream, UpstreamError, WantedRange};
pub use config::{Forward, GitLabConfig};
pub use redirect::StoreOrigins;
