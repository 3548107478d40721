//! How many clients are connected, came, and were turned away.
//!
//! Must not know why a client is turned away beyond a word for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::admin::ConnectionGauges;

/// Why a connection is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// The system could not accept it: mostly no file descriptor was left.
    Accept,
    /// It said nothing in time.
    Silent,
    /// Its client has too many already.
    PerClient,
    /// Its TLS handshake failed.
    Tls,
    /// There was no place for its request in time.
    Crowded,
}

impl TurnedAway {
    const ALL: [Self; 5] = [
        Self::Accept,
        Self::Silent,
        Self::PerClient,
        Self::Tls,
        Self::Crowded,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Silent => "silent",
            Self::PerClient => "per_client",
            Self::Tls => "tls",
            Self::Crowded => "crowded",
        }
    }
}

#[derive(Debug, Default)]
pub struct ConnectionCounts {
    open: AtomicU64,
    accepted: AtomicU64,
    refused: [AtomicU64; TurnedAway::ALL.len()],
}

/// One connection, for as long as it is open.
pub struct OpenConnection(Arc<ConnectionCounts>);

impl ConnectionCounts {
    #[must_use]
    pub fn accepted(self: &Arc<Self>) -> OpenConnection {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenConnection(Arc::clone(self))
    }

    pub fn refused(&self, why: TurnedAway) {
        let place = TurnedAway::ALL
            .iter()
            .position(|known| *known == why)
            .unwrap_or_default();
        if let Some(count) = self.refused.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn read(&self) -> ConnectionGauges {
        let refused = TurnedAway::ALL.iter().zip(&self.refused);
        ConnectionGauges {
            open: self.open.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: refused
                .map(|(why, count)| (why.word(), count.load(Ordering::Relaxed)))
                .collect(),
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
