//! Whether a peer that fails is asked at all.
//!
//! Closed, every request may ask. After so many failures in a row to reach the peer it opens: none
//! may, for a pause that doubles each time up to a limit. Then it is half open, and one request,
//! the probe, goes through: its success closes, its failure opens again. A probe that is dropped,
//! or takes longer than a probe may, is released, so that the next one goes: no lost request can
//! wedge it. By hand, because a crate's breaker wraps the call and cannot give a dropped probe's
//! place to the next request; these lines are pure and property-tested. [`Circuit`] is the
//! decision, pure; [`Breaker`] shares one between requests. Must not know what is asked, nor what
//! counts as a failure.

use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::values::clock;

/// The first pause; doubled each time the probe fails.
const PAUSE: Duration = Duration::from_secs(1);

/// How a peer stands, from well to ill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakerState {
    /// Asked as usual.
    #[default]
    Closed,
    /// One request is finding out whether it is well again, or may.
    HalfOpen,
    /// Not asked for a while.
    Open,
}

/// How a peer stands at a moment, and since and until when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BreakerCondition {
    pub state: BreakerState,
    /// For how long it has not been reached, unless the state is closed.
    pub since: Option<Duration>,
    /// Until a request may ask; none while it is asked.
    pub next_try: Option<Duration>,
}

impl BreakerCondition {
    /// Asked as usual.
    pub(super) const WELL: Self = Self {
        state: BreakerState::Closed,
        since: None,
        next_try: None,
    };
}

#[derive(Clone, Copy, Debug)]
pub(super) struct BreakerLimits {
    /// So many failures in a row open it; none ever do with zero.
    pub failures: u32,
    /// The longest it stays open.
    pub open_for: Duration,
    /// The longest a probe may take before another one goes.
    pub probe: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Free,
    /// The one request that goes through, by its number.
    Probe(u64),
    Refused {
        until: Instant,
    },
}

#[derive(Clone, Copy, Debug)]
enum CircuitPhase {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
        pauses: u32,
    },
    Probing {
        probe: u64,
        until: Instant,
        pauses: u32,
    },
}

#[derive(Debug)]
struct Circuit {
    limits: BreakerLimits,
    phase: CircuitPhase,
    probes: u64,
    /// When it opened first since it was last closed.
    opened: Option<Instant>,
}

impl Circuit {
    fn new(limits: BreakerLimits) -> Self {
        Self {
            limits,
            phase: CircuitPhase::Closed { failures: 0 },
            probes: 0,
            opened: None,
        }
    }

    fn admit(&mut self, now: Instant) -> Admission {
        let (until, pauses) = match self.phase {
            CircuitPhase::Closed { .. } => return Admission::Free,
            CircuitPhase::Open { until, pauses } | CircuitPhase::Probing { until, pauses, .. } => {
                (until, pauses)
            }
        };
        if now < until {
            return Admission::Refused { until };
        }
        self.probes += 1;
        self.phase = CircuitPhase::Probing {
            probe: self.probes,
            until: now + self.limits.probe,
            pauses,
        };
        Admission::Probe(self.probes)
    }

    /// A request that reached the peer has shown that it can be reached.
    fn succeeded(&mut self) {
        self.phase = CircuitPhase::Closed { failures: 0 };
        self.opened = None;
    }

    /// `jitter` is in 0..=1. Requests from before it opened say nothing new.
    fn failed(&mut self, probe: Option<u64>, now: Instant, jitter: f64) {
        let pauses = match self.phase {
            CircuitPhase::Closed { failures } if failures + 1 == self.limits.failures => 0,
            CircuitPhase::Closed { failures } => {
                self.phase = CircuitPhase::Closed {
                    failures: failures.saturating_add(1),
                };
                return;
            }
            CircuitPhase::Probing {
                probe: current,
                pauses,
                ..
            } if Some(current) == probe => pauses + 1,
            CircuitPhase::Probing { .. } | CircuitPhase::Open { .. } => return,
        };
        let whole = PAUSE
            .saturating_mul(2u32.saturating_pow(pauses))
            .min(self.limits.open_for);
        let pause = whole.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0));
        self.phase = CircuitPhase::Open {
            until: now + pause,
            pauses,
        };
        self.opened = self.opened.or(Some(now));
    }

    /// The probe came to no end: the next request is one.
    fn released(&mut self, probe: u64, now: Instant) {
        if let CircuitPhase::Probing {
            probe: current,
            pauses,
            ..
        } = self.phase
            && current == probe
        {
            self.phase = CircuitPhase::Open { until: now, pauses };
        }
    }

    fn state(&self, now: Instant) -> BreakerState {
        match self.phase {
            CircuitPhase::Closed { .. } => BreakerState::Closed,
            CircuitPhase::Open { until, .. } if now < until => BreakerState::Open,
            CircuitPhase::Open { .. } | CircuitPhase::Probing { .. } => BreakerState::HalfOpen,
        }
    }

    fn condition(&self, now: Instant) -> BreakerCondition {
        let next_try = match self.phase {
            CircuitPhase::Closed { .. } => return BreakerCondition::WELL,
            CircuitPhase::Open { until, .. } => Some(until.saturating_duration_since(now)),
            CircuitPhase::Probing { .. } => None,
        };
        BreakerCondition {
            state: self.state(now),
            since: self
                .opened
                .map(|opened| now.saturating_duration_since(opened)),
            next_try,
        }
    }
}

/// A circuit that requests share.
#[derive(Debug)]
pub(super) struct Breaker(Mutex<Circuit>);

impl Breaker {
    pub(super) fn new(limits: BreakerLimits) -> Self {
        Self(Mutex::new(Circuit::new(limits)))
    }

    /// Leave to ask, to be settled when it is known whether the peer was reached.
    ///
    /// # Errors
    /// How long it will be until a request may ask.
    pub(super) fn enter(&self, now: Instant) -> Result<Pass<'_>, Duration> {
        match self.circuit().admit(now) {
            Admission::Free => Ok(Pass {
                breaker: self,
                probe: None,
            }),
            Admission::Probe(probe) => Ok(Pass {
                breaker: self,
                probe: Some(probe),
            }),
            Admission::Refused { until } => Err(until.saturating_duration_since(now)),
        }
    }

    /// Whether the last request reached the peer, or none was made yet.
    pub(super) fn is_well(&self) -> bool {
        matches!(self.circuit().phase, CircuitPhase::Closed { failures: 0 })
    }

    pub(super) fn condition(&self, now: Instant) -> BreakerCondition {
        self.circuit().condition(now)
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.0.lock()
    }
}

/// Leave to ask once. Dropped unsettled, it leaves its place to the next.
#[derive(Debug)]
pub(super) struct Pass<'b> {
    breaker: &'b Breaker,
    probe: Option<u64>,
}

impl Pass<'_> {
    /// Whether it is the one request that finds out: it goes once, and not again.
    pub(super) fn is_probe(&self) -> bool {
        self.probe.is_some()
    }

    pub(super) fn settle(mut self, reached: bool, now: Instant) {
        let probe = self.probe.take();
        let mut circuit = self.breaker.circuit();
        if reached {
            circuit.succeeded();
        } else {
            circuit.failed(probe, now, rand::random());
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(probe) = self.probe {
            self.breaker.circuit().released(probe, clock::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: BreakerLimits = BreakerLimits {
        failures: 3,
        open_for: Duration::from_secs(30),
        probe: Duration::from_secs(40),
    };

    #[derive(Clone, Copy, Debug)]
    enum Step {
        UpstreamRequest,
        Wait(u64),
        /// Of the requests that went through and have not ended, one ends.
        Succeed(usize),
        Fail(usize, f64),
        Drop(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::UpstreamRequest),
            3 => (0..50_000u64).prop_map(Step::Wait),
            1 => any::<usize>().prop_map(Step::Succeed),
            4 => (any::<usize>(), 0.0..1.0f64).prop_map(|(which, jitter)| Step::Fail(which, jitter)),
            1 => any::<usize>().prop_map(Step::Drop),
        ];
        prop::collection::vec(step, 0..80)
    }

    /// Walks a circuit; `look` sees it with the time and the probes under way after every step.
    fn walk(steps: &[Step], mut look: impl FnMut(&mut Circuit, Instant, usize, bool)) {
        let mut circuit = Circuit::new(LIMITS);
        let mut now = clock::now();
        let mut under_way: Vec<(Option<u64>, Instant)> = Vec::new();
        let mut failed = false;
        for step in steps {
            let ended = |which: usize, from: &mut Vec<(Option<u64>, Instant)>| {
                (!from.is_empty()).then(|| from.swap_remove(which % from.len()).0)
            };
            match *step {
                Step::UpstreamRequest => match circuit.admit(now) {
                    Admission::Free => under_way.push((None, now)),
                    Admission::Probe(probe) => under_way.push((Some(probe), now)),
                    Admission::Refused { .. } => {}
                },
                Step::Wait(millis) => now += Duration::from_millis(millis),
                Step::Succeed(which) => {
                    if ended(which, &mut under_way).is_some() {
                        circuit.succeeded();
                        // Closed: what was a probe is a request like any other now.
                        under_way.iter_mut().for_each(|(probe, _)| *probe = None);
                    }
                }
                Step::Fail(which, jitter) => {
                    if let Some(probe) = ended(which, &mut under_way) {
                        failed = true;
                        circuit.failed(probe, now, jitter);
                    }
                }
                Step::Drop(which) => {
                    if let Some(Some(probe)) = ended(which, &mut under_way) {
                        circuit.released(probe, now);
                    }
                }
            }
            // A probe gives up when its time is over: the peer's client holds it to that.
            under_way.retain(|(probe, since)| probe.is_none() || now < *since + LIMITS.probe);
            let probes = under_way
                .iter()
                .filter(|(probe, _)| probe.is_some())
                .count();
            look(&mut circuit, now, probes, failed);
        }
    }

    proptest! {
        #[test]
        fn there_is_never_more_than_one_probe(steps in steps()) {
            let mut most = 0;
            walk(&steps, |_, _, probes, _| most = most.max(probes));
            prop_assert!(most <= 1, "{most}");
        }

        #[test]
        fn whatever_happened_one_goes_through_within_the_longest_wait(steps in steps()) {
            let mut wedged = false;
            walk(&steps, |circuit, now, _, _| {
                let later = now + LIMITS.open_for.max(LIMITS.probe);
                let phase = circuit.phase;
                let probes = circuit.probes;
                wedged |= matches!(circuit.admit(later), Admission::Refused { .. });
                (circuit.phase, circuit.probes) = (phase, probes);
            });
            prop_assert!(!wedged);
        }

        #[test]
        fn it_never_opens_without_failures(steps in steps()) {
            let mut shut = false;
            walk(&steps, |circuit, now, _, failed| shut |= !failed && circuit.state(now) != BreakerState::Closed);
            prop_assert!(!shut);
        }
    }

    #[test]
    fn so_many_failures_open_it_and_pauses_double_up_to_the_limit() {
        let mut circuit = Circuit::new(LIMITS);
        let mut now = clock::now();
        for _ in 0..LIMITS.failures {
            assert_eq!(circuit.admit(now), Admission::Free);
            circuit.failed(None, now, 1.0);
        }
        let opened = now;
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            let until = now + Duration::from_secs(pause);
            assert_eq!(circuit.admit(now), Admission::Refused { until });
            assert_eq!(circuit.state(now), BreakerState::Open);
            let condition = circuit.condition(now);
            let wait = Some(Duration::from_secs(pause));
            assert_eq!(
                (condition.since, condition.next_try),
                (Some(now - opened), wait)
            );
            now = until;
            let Admission::Probe(probe) = circuit.admit(now) else {
                panic!("no probe after {pause} s")
            };
            assert!(
                matches!(circuit.admit(now), Admission::Refused { .. }),
                "two probes"
            );
            circuit.failed(Some(probe), now, 1.0);
        }
        now += LIMITS.open_for;
        assert!(matches!(circuit.admit(now), Admission::Probe(_)));
        circuit.succeeded();
        assert_eq!(
            (circuit.admit(now), circuit.condition(now)),
            (Admission::Free, BreakerCondition::WELL)
        );
    }

    #[test]
    fn a_probe_that_is_dropped_leaves_its_place_to_the_next() {
        let breaker = Breaker::new(BreakerLimits {
            failures: 1,
            open_for: Duration::ZERO,
            ..LIMITS
        });
        breaker
            .enter(clock::now())
            .unwrap()
            .settle(false, clock::now());
        for _ in 0..3 {
            let probe = breaker.enter(clock::now()).unwrap();
            assert!(probe.is_probe() && breaker.enter(clock::now()).is_err());
        }
        breaker
            .enter(clock::now())
            .unwrap()
            .settle(true, clock::now());
        assert_eq!(breaker.condition(clock::now()), BreakerCondition::WELL);
    }

    #[test]
    fn after_a_failure_it_is_not_well_until_the_peer_is_reached() {
        let breaker = Breaker::new(LIMITS);
        assert!(breaker.is_well());
        for (reached, well) in [(false, false), (true, true), (false, false)] {
            let pass = breaker.enter(clock::now()).unwrap();
            pass.settle(reached, clock::now());
            assert_eq!(breaker.is_well(), well);
        }
    }

    #[test]
    fn with_no_limit_it_never_opens() {
        let breaker = Breaker::new(BreakerLimits {
            failures: 0,
            ..LIMITS
        });
        for _ in 0..100 {
            breaker
                .enter(clock::now())
                .unwrap()
                .settle(false, clock::now());
        }
        assert!(breaker.enter(clock::now()).is_ok());
    }
}
