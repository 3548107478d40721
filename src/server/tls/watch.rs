//! What to do about what was just read of the certificate's files.
//!
//! Pure. Owns when a change is taken, and when a fault is told: the two files are rarely replaced
//! in one instant, so that a pair which does not fit is looked at once more before the operator is
//! told. Must not know the files.

/// What was seen so far, each content known by some mark of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PairWatch<M> {
    current: M,
    refused: Option<(M, Sight)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    First,
    Told,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatchStep {
    /// Nothing changed, or the operator need not hear of it yet.
    Wait,
    /// Go on with what was read.
    Take,
    /// Stay with what there is, and say why.
    Tell,
}

impl<M: Clone + PartialEq> PairWatch<M> {
    pub(super) fn new(current: M) -> Self {
        Self {
            current,
            refused: None,
        }
    }

    /// Whether this is something else than what is in use.
    pub(super) fn is_news(&self, read: &M) -> bool {
        self.current != *read
    }

    /// After a look: what was read, and whether it is of use.
    pub(super) fn saw(&mut self, read: M, is_good: bool) -> WatchStep {
        if read == self.current {
            self.refused = None;
            return WatchStep::Wait;
        }
        if is_good {
            *self = Self::new(read);
            return WatchStep::Take;
        }
        let (sight, step) = match &self.refused {
            Some((before, Sight::Told)) if *before == read => (Sight::Told, WatchStep::Wait),
            Some((before, Sight::First)) if *before == read => (Sight::Told, WatchStep::Tell),
            _ => (Sight::First, WatchStep::Wait),
        };
        self.refused = Some((read, sight));
        step
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fault_is_told_at_its_second_sight_and_once() {
        let mut watch = PairWatch::new(0);
        let steps = [
            (0, true),
            (1, false),
            (1, false),
            (1, false),
            (2, false),
            (3, true),
            (3, true),
        ]
        .map(|(read, good)| watch.saw(read, good));
        use WatchStep::{Take, Tell, Wait};
        assert_eq!(steps, [Wait, Wait, Tell, Wait, Wait, Take, Wait]);
    }

    proptest! {
        #[test]
        fn what_is_in_use_is_always_the_last_good_one(looks in proptest::collection::vec(0..5_u8, 0..50)) {
            // Odd ones are of use.
            let mut watch = PairWatch::new(1);
            let mut current = 1;
            for read in looks {
                let step = watch.saw(read, read % 2 == 1);
                prop_assert_eq!(step == WatchStep::Take, read % 2 == 1 && read != current);
                if step == WatchStep::Take {
                    current = read;
                }
                prop_assert!(!watch.is_news(&current));
            }
        }
    }
}
