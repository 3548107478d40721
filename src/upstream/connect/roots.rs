//! The CAs that may sign a peer's certificate: the system's, and those of a file.
//!
//! The system's lie in some hundred files, which are only of use over TLS: they are read when they
//! are first needed, once for all peers, and beside the task that waits for them. A file that the
//! configuration names is read at the start, so that a bad one is refused there. Must not judge a
//! certificate.

use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;

use crate::values::correlation;

/// The system's trusted roots (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
#[derive(Clone, Debug, Default)]
pub struct SystemRoots(Arc<OnceLock<RootCertStore>>);

impl SystemRoots {
    fn read(&self) -> &RootCertStore {
        self.0.get_or_init(|| {
            let native = rustls_native_certs::load_native_certs();
            for why in native.errors {
                tracing::warn!(error = %why, "a part of the system's trusted certificates cannot be read");
            }
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(native.certs);
            roots
        })
    }
}

/// The system's, and those of a file besides.
#[derive(Debug)]
pub struct Roots {
    system: SystemRoots,
    of_file: RootCertStore,
    both: OnceLock<RootCertStore>,
}

impl Roots {
    pub fn new(system: SystemRoots, of_file: RootCertStore) -> Self {
        Self {
            system,
            of_file,
            both: OnceLock::new(),
        }
    }

    /// All of them. The first time it blocks.
    pub fn read(&self) -> &RootCertStore {
        if self.of_file.is_empty() {
            return self.system.read();
        }
        self.both.get_or_init(|| {
            let mut both = self.of_file.clone();
            both.extend(self.system.read().roots.iter().cloned());
            both
        })
    }

    /// Returns when [`Self::read`] no longer blocks.
    pub async fn are_read(self: &Arc<Self>) {
        let is_read = match self.of_file.is_empty() {
            true => self.system.0.get().is_some(),
            false => self.both.get().is_some(),
        };
        if is_read {
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
