//! A look at a wheel's end, so that its metadata is known without the rest, and no byte of it is asked for twice.
//!
//! A look stands among the downloads of this address. Whoever wants the whole meanwhile waits for it, and then the bytes
//! before the end are all that is asked for; a wheel that is all in its end is downloaded by the look. Must not know what is
//! made of it.

use std::sync::Arc;
use std::time::Instant;

use super::flight::{Flight, Pilot, Ticket};
use super::spans::SpansError;
use super::tail::Tail;
use crate::upstream::{FileAnswer, UpstreamError, WantedRange};
use crate::values::byte_range::ByteRange;
use crate::values::{clock, correlation};

/// What a look came to.
pub(super) enum Look {
    /// Nobody wanted more of the wheel.
    Tail(Tail),
    /// The wheel is being downloaded.
    Whole(Arc<Flight>, Ticket),
}

impl Pilot {
    /// Reads the wheel's end, and the rest as well if the wheel is all end or no longer than this, or somebody has come for it.
    /// Without a length the rest is read for nobody else.
    pub(super) async fn look(mut self, whole_max: Option<u64>) -> Result<Look, SpansError> {
        let asked = clock::now();
        let read = self
            .flights
            .maker
            .tail(&self.file, self.caller.credential())
            .await;
        let whole = match &read {
            Ok(tail) => whole_max.is_some_and(|most| tail.start() == 0 || tail.whole <= most),
            // One that has no end is downloaded for who came for it, without it.
            Err(_) => false,
        };
        if !whole && self.flights.retire_deserted(&self.file, &self.flight) {
            if let Ok(tail) = &read {
                self.flights.tails.keep(&self.file, tail.clone());
            }
            return read.map(Look::Tail);
        }
        let why = match read {
            Ok(tail) => {
                self.tail = Some((Arc::new(tail), asked));
                None
            }
            Err(why) => Some(why),
        };
        let (flight, ticket) = (Arc::clone(&self.flight), Ticket::new(&self.flight));
        #[expect(
            clippy::disallowed_methods,
            reason = "a flight belongs to no client; what is left at the end is swept at the next start"
        )]
        tokio::spawn(correlation::carried(self.fly()));
        why.map_or(Ok(Look::Whole(flight, ticket)), Err)
    }

    /// Upstream's answer to the question for the whole, or for what is not here of it, and when it was asked: what its word
    /// about the caller is as old as.
    pub(super) async fn asked(
        &self,
        fresh_connection: bool,
    ) -> (Instant, Result<FileAnswer, UpstreamError>) {
        let now = clock::now();
        // On a fresh connection nothing of before counts.
        if !fresh_connection {
            // Read for this flight: a kept one would be no word about whoever leads it.
            if let Some((tail, asked)) = self.tail.as_ref().filter(|(tail, _)| tail.start() == 0) {
                return (*asked, Ok(FileAnswer::Whole(tail.after(None))));
            }
            let own = self.tail.as_ref().map(|(tail, _)| Arc::clone(tail));
            if let Some(tail) = own.or_else(|| self.flights.tails.take(&self.file)) {
                match self.beginning(&tail).await {
                    Ok(None) => {}
                    Ok(Some(answer)) => return (now, Ok(answer)),
                    Err(why) => return (now, Err(why)),
                }
            }
        }
        (
            clock::now(),
            self.flights
                .upstream
                .file(&self.ask(fresh_connection))
                .await,
        )
    }

    /// The answer for the whole, of which the end is here; nothing, if what upstream has does not go with it.
    async fn beginning(&self, tail: &Tail) -> Result<Option<FileAnswer>, UpstreamError> {
        let range = ByteRange::From {
            first: 0,
            last: Some(tail.start() - 1),
        };
        let Some(validator) = tail.validator() else {
            return Ok(None);
        };
        let mut ask = self.ask(false);
        ask.range = Some(WantedRange {
            range,
            if_range: Some(validator),
        });
        let answered = match self.flights.upstream.file(&ask).await {
            // One that gives less than was asked may give the whole all the same.
            Err(UpstreamError::WrongPart(_)) => return Ok(None),
            answered => answered?,
        };
        Ok(match answered {
            FileAnswer::Part(told, answer) if tail.is_led_by(told, &answer) => answer
                .uncoded()
                .ok()
                .map(|answer| FileAnswer::Whole(tail.after(Some(answer)))),
            // Another file by now, whole.
            FileAnswer::Whole(answer) => Some(FileAnswer::Whole(answer)),
            FileAnswer::Refused(word) => Some(FileAnswer::Refused(word)),
            _ => None,
        })
    }
}
