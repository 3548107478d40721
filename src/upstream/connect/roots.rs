//! The CAs that may sign a peer's certificate: the system's, and those of a file.
//!
//! The system's lie in some hundred files, which are only of use over TLS: they are read when they
//! are first needed, once for all peers, and beside the task that waits for them. A file that the
//! configuration names is read at the start, so that a bad one is refused there. Must not judge a
//! certificate.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::RootCertStore;

use crate::values::correlation;

/// The system's trusted roots (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
#[derive(Clone, Debug, Default)]
pub struct SystemRoots(Arc<Mutex<Option<Arc<RootCertStore>>>>);

impl SystemRoots {
    /// A reading that found none and failed is not kept: the next handshake reads anew.
    fn read(&self) -> Arc<RootCertStore> {
        let mut known = self.0.lock();
        if let Some(roots) = &*known {
            return Arc::clone(roots);
        }
        let native = rustls_native_certs::load_native_certs();
        let has_failed = !native.errors.is_empty();
        for why in native.errors {
            tracing::warn!(error = %why, "a part of the system's trusted certificates cannot be read");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(native.certs);
        let roots = Arc::new(roots);
        if !roots.is_empty() || !has_failed {
            *known = Some(Arc::clone(&roots));
        }
        roots
    }

    fn are_read(&self) -> bool {
        self.0.try_lock().is_some_and(|known| known.is_some())
    }
}

/// The system's, and those of a file besides.
#[derive(Debug)]
pub struct Roots {
    system: SystemRoots,
    of_file: RootCertStore,
    both: Mutex<Option<Arc<RootCertStore>>>,
}

impl Roots {
    pub fn new(system: SystemRoots, of_file: RootCertStore) -> Self {
        Self {
            system,
            of_file,
            both: Mutex::default(),
        }
    }

    /// All of them. The first time it blocks.
    pub fn read(&self) -> Arc<RootCertStore> {
        let system = self.system.read();
        if self.of_file.is_empty() {
            return system;
        }
        let mut known = self.both.lock();
        if let Some(both) = &*known {
            return Arc::clone(both);
        }
        let mut both = self.of_file.clone();
        both.extend(system.roots.iter().cloned());
        let both = Arc::new(both);
        if self.system.are_read() {
            *known = Some(Arc::clone(&both));
        }
        both
    }

    /// Returns when [`Self::read`] no longer blocks.
    pub async fn are_read(self: &Arc<Self>) {
        if self.system.are_read() {
            return;
        }
        let roots = Arc::clone(self);
        let reading = correlation::spawn_blocking(move || {
            roots.read();
        });
        // A panic was logged where it happened, and comes again where they are used.
        let _ = reading.await;
    }
}
