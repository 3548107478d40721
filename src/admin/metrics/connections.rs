//! How many clients are connected, came, and were turned away.
//!
//! The server counts; must not know why a client is turned away beyond a word for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// The connections at a moment.
#[derive(Clone, Debug, Default)]
pub struct ConnectionReading {
    pub open: u64,
    pub accepted: u64,
    /// Turned away, by why.
    pub refused: Vec<(&'static str, u64)>,
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
        for (known, count) in TurnedAway::ALL.iter().zip(&self.refused) {
            if *known == why {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub fn read(&self) -> ConnectionReading {
        let refused = TurnedAway::ALL.iter().zip(&self.refused);
        ConnectionReading {
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
