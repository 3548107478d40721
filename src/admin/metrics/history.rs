//! What was answered lately, and how much of it came from here: an hour by the minute, a day by the
//! half hour, a week by the day.
//!
//! [`Rings`] is pure and of fixed size: rings of sums, whose places are taken again as time goes
//! by. A quiet time is empty, not missing. It begins anew with the process. Must not know who
//! asked, or for what.

use std::time::{Duration, Instant};

use http::StatusCode;
use parking_lot::Mutex;
use serde::Serialize;

use crate::values::cache_status::Outcome;
use crate::values::clock;

/// In seconds. All other pieces are whole minutes.
const MINUTE: u64 = 60;

/// Sums over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Served {
    /// Pages, files and metadata that were given; refusals and larder's own pages are not counted.
    pub requests: u64,
    /// Of these, given from what is stored here.
    pub hits: u64,
    /// Body bytes.
    pub sent_bytes: u64,
    /// Of these, not fetched for this request: from the store, or from a download that began for
    /// another request.
    pub saved_bytes: u64,
}

impl Served {
    /// What one answer counts for, by its route's word; nothing if it gave no package.
    pub fn of(route: &str, status: StatusCode, outcome: Outcome, bytes: u64) -> Option<Self> {
        let gives = matches!(route, "index" | "page" | "file" | "metadata");
        if !gives || !(status.is_success() || status == StatusCode::NOT_MODIFIED) {
            return None;
        }
        let (hit, saved) = match outcome {
            Outcome::Hit
            | Outcome::Updating
            | Outcome::Stale
            | Outcome::Revalidated
            | Outcome::Authorized => (true, true),
            Outcome::Collapsed => (false, true),
            Outcome::Miss | Outcome::Bypass => (false, false),
            Outcome::Error | Outcome::Denied | Outcome::Internal => return None,
        };
        let saved_bytes = if saved { bytes } else { 0 };
        Some(Self {
            requests: 1,
            hits: u64::from(hit),
            sent_bytes: bytes,
            saved_bytes,
        })
    }

    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(more.requests),
            hits: self.hits.saturating_add(more.hits),
            sent_bytes: self.sent_bytes.saturating_add(more.sent_bytes),
            saved_bytes: self.saved_bytes.saturating_add(more.saved_bytes),
        }
    }
}

/// A window of time up to now, in pieces of one length, the oldest first. The last one has only
/// begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub piece: Duration,
    pub pieces: Vec<Served>,
}

impl Window {
    pub fn sum(&self) -> Served {
        self.pieces
            .iter()
            .copied()
            .fold(Served::default(), Served::plus)
    }
}

/// The three windowes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    pub hour: Window,
    pub day: Window,
    pub week: Window,
}

/// So many pieces of so many seconds, and which was written last.
#[derive(Debug)]
struct Ring<const PIECES: usize> {
    seconds: u64,
    newest: u64,
    pieces: [Served; PIECES],
}

impl<const PIECES: usize> Ring<PIECES> {
    fn of(seconds: u64) -> Self {
        Self {
            seconds,
            newest: 0,
            pieces: [Served::default(); PIECES],
        }
    }

    /// Empties the places that time has come round to since the last look.
    fn advance(&mut self, number: u64) {
        let passed = number.saturating_sub(self.newest).min(PIECES as u64);
        for back in 0..passed {
            let place = Self::place(number - back);
            if let Some(piece) = self.pieces.get_mut(place) {
                *piece = Served::default();
            }
        }
        self.newest = self.newest.max(number);
    }

    fn place(number: u64) -> usize {
        usize::try_from(number % PIECES as u64).unwrap_or_default()
    }

    fn record(&mut self, at: u64, served: Served) {
        let number = at / self.seconds;
        self.advance(number);
        // Of before the newest: a clock read by another thread a moment ago.
        let number = number.max((self.newest + 1).saturating_sub(PIECES as u64));
        if let Some(piece) = self.pieces.get_mut(Self::place(number)) {
            *piece = piece.plus(served);
        }
    }

    fn read(&mut self, at: u64) -> Window {
        self.advance(at / self.seconds);
        let oldest_first = (1..=PIECES as u64).map(|ahead| self.newest + ahead);
        let pieces =
            oldest_first.filter_map(|number| self.pieces.get(Self::place(number)).copied());
        Window {
            piece: Duration::from_secs(self.seconds),
            pieces: pieces.collect(),
        }
    }
}

/// Times are in seconds since it began.
#[derive(Debug)]
pub struct Rings {
    /// Of this minute, to be entered in all rings when it is over or they are read: each answer
    /// comes here.
    present: Served,
    minute: u64,
    minutes: Ring<60>,
    half_hours: Ring<48>,
    days: Ring<7>,
}

impl Default for Rings {
    fn default() -> Self {
        Self {
            present: Served::default(),
            minute: 0,
            minutes: Ring::of(MINUTE),
            half_hours: Ring::of(30 * 60),
            days: Ring::of(24 * 60 * 60),
        }
    }
}

impl Rings {
    pub fn record(&mut self, at: u64, served: Served) {
        let minute = at / MINUTE;
        if minute != self.minute {
            self.enter();
            self.minute = minute;
        }
        self.present = self.present.plus(served);
    }

    fn enter(&mut self) {
        let served = std::mem::take(&mut self.present);
        let at = self.minute * MINUTE;
        self.minutes.record(at, served);
        self.half_hours.record(at, served);
        self.days.record(at, served);
    }

    pub fn read(&mut self, at: u64) -> Recent {
        self.enter();
        Recent {
            hour: self.minutes.read(at),
            day: self.half_hours.read(at),
            week: self.days.read(at),
        }
    }
}

/// One history that all requests share.
#[derive(Debug)]
pub struct History {
    begun: Instant,
    rings: Mutex<Rings>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            begun: clock::now(),
            rings: Mutex::default(),
        }
    }
}

impl History {
    pub fn record(&self, served: Served, now: Instant) {
        let at = self.age(now).as_secs();
        self.rings.lock().record(at, served);
    }

    pub fn read(&self, now: Instant) -> Recent {
        let at = self.age(now).as_secs();
        self.rings.lock().read(at)
    }

    /// For how long it has been written.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(bytes: u64) -> Served {
        Served {
            requests: 1,
            hits: bytes % 2,
            sent_bytes: bytes,
            saved_bytes: bytes / 2,
        }
    }

    /// What a list of everything would say of the last pieces up to `now`.
    fn slow(events: &[(u64, Served)], seconds: u64, pieces: u64, now: u64) -> Served {
        let oldest = (now / seconds + 1).saturating_sub(pieces);
        let counted = events.iter().filter(|(at, _)| at / seconds >= oldest);
        counted.fold(Served::default(), |sum, (_, served)| sum.plus(*served))
    }

    proptest! {
        #[test]
        fn the_rings_say_what_a_list_of_everything_would(
            steps in prop::collection::vec((0..90_000u64, 0..1000u64), 0..60),
            rest in 0..700_000u64,
        ) {
            let mut history = Rings::default();
            let mut events = Vec::new();
            let mut now = 0;
            for (wait, bytes) in steps {
                now += wait;
                history.record(now, one(bytes));
                events.push((now, one(bytes)));
            }
            now += rest;
            let recent = history.read(now);
            prop_assert_eq!(recent.hour.sum(), slow(&events, 60, 60, now));
            prop_assert_eq!(recent.day.sum(), slow(&events, 1800, 48, now));
            prop_assert_eq!(recent.week.sum(), slow(&events, 86_400, 7, now));
            let lengths = [&recent.hour, &recent.day, &recent.week].map(|window| window.pieces.len());
            prop_assert_eq!(lengths, [60, 48, 7]);
        }

        #[test]
        fn no_order_of_times_makes_it_stumble_or_lose_a_new_answer(times in prop::collection::vec(any::<u64>(), 1..30)) {
            let mut history = Rings::default();
            for at in &times {
                history.record(*at, one(1));
                prop_assert!(history.read(*at).hour.sum().requests >= 1);
            }
        }

        #[test]
        fn no_more_is_saved_than_is_sent(status in 100..600u16, bytes: u64, which in 0..Outcome::ALL.len()) {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            for route in ["page", "internal", "upload", "unknown"] {
                if let Some(served) = Served::of(route, status, Outcome::ALL[which], bytes) {
                    prop_assert!(served.saved_bytes <= served.sent_bytes && served.hits <= served.requests);
                    prop_assert!(route == "page" && status.as_u16() < 400);
                }
            }
        }
    }

    #[test]
    fn the_last_piece_is_now() {
        let mut history = Rings::default();
        history.record(59, one(2));
        history.record(60, one(4));
        let hour = history.read(61).hour;
        assert_eq!(
            hour.pieces[58..]
                .iter()
                .map(|piece| piece.sent_bytes)
                .collect::<Vec<_>>(),
            [2, 4]
        );
        assert_eq!(history.read(60 * 60 + 59).hour.sum().sent_bytes, 4);
        assert_eq!(history.read(2 * 60 * 60).hour.sum(), Served::default());
        assert_eq!(history.read(2 * 60 * 60).day.sum().sent_bytes, 6);
    }
}
