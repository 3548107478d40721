//! Names to addresses, with an opinion on what is found.
//!
//! The object store's resolver refuses addresses that are not the public Internet, unless the
//! operator named the host; hyper then connects to the very address that was checked, so that a
//! second answer of the name server cannot matter. Where a proxy is asked, names are for it to look
//! up, and nothing of this applies (`connect`). Must not connect.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

use crate::upstream::redirect::{StoreOrigins, is_public};

/// What is said when the object store would be somewhere that was not named.
pub const NOT_PUBLIC: &str = "the object store's name has no public address; list its origin in gitlab.object_storage_origins";

/// The system's resolver, with an opinion on what it finds.
#[derive(Clone)]
pub struct GuardedResolver {
    inner: GaiResolver,
    /// `None`: any address will do, because the operator wrote the name.
    store: Option<Arc<StoreOrigins>>,
}

impl GuardedResolver {
    /// Without `store`, for a peer of which only configured origins are ever asked.
    pub fn new(store: Option<Arc<StoreOrigins>>) -> Self {
        Self {
            inner: GaiResolver::new(),
            store,
        }
    }
}

impl Service<Name> for GuardedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let free = self
            .store
            .as_ref()
            .is_none_or(|origins| origins.names_host(name.as_str()));
        let found = self.inner.call(name);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = found
                .await?
                .filter(|found| free || is_public(found.ip()))
                .collect();
            if addresses.is_empty() {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, NOT_PUBLIC));
            }
            Ok(addresses.into_iter())
        })
    }
}
