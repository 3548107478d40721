//! Names to addresses, with an opinion on what is found.
//!
//! The resolver towards hosts that an upstream named refuses addresses that are not the public
//! Internet, unless the operator named the host too; hyper then connects to the very address that was checked, so that a
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

use crate::upstream::redirect::{AllowedOrigins, is_public};

/// Which hosts may have any address, and where an operator names them.
#[derive(Clone)]
pub struct AddressGuard {
    pub named: Arc<AllowedOrigins>,
    /// The key of the configuration.
    pub key: &'static str,
}

impl AddressGuard {
    /// What is said of a name that leads elsewhere.
    pub fn refusal(&self) -> String {
        format!(
            "this name has no public address; to allow it, list its origin in {}",
            self.key
        )
    }
}

/// The system's resolver, with an opinion on what it finds.
#[derive(Clone)]
pub struct GuardedResolver {
    inner: GaiResolver,
    /// `None`: any address will do, because the operator wrote the name.
    guard: Option<AddressGuard>,
}

impl GuardedResolver {
    /// Without `guard`, for a peer of which only configured origins are ever asked.
    pub fn new(guard: Option<AddressGuard>) -> Self {
        Self {
            inner: GaiResolver::new(),
            guard,
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
        let guard = self.guard.clone();
        let guard = guard.filter(|guard| !guard.named.names_host(name.as_str()));
        let found = self.inner.call(name);
        Box::pin(async move {
            let mut addresses: Vec<SocketAddr> = found.await?.collect();
            if let Some(guard) = guard {
                addresses.retain(|found| is_public(found.ip()));
                if addresses.is_empty() {
                    let refused = io::ErrorKind::PermissionDenied;
                    return Err(io::Error::new(refused, guard.refusal()));
                }
            }
            Ok(addresses.into_iter())
        })
    }
}
