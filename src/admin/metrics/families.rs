//! How metric families are written.
//!
//! Must not know any of them.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// One series' labels: name and value.
pub(super) type Labels<'a> = Vec<(&'static str, &'a str)>;

/// Writes one family after the other.
pub(super) struct Families<'a>(pub DescriptorEncoder<'a>);

impl Families<'_> {
    pub fn family<'v, V>(
        &mut self,
        (name, help, unit): (&str, &str, Option<Unit>),
        kind: MetricType,
        samples: impl IntoIterator<Item = (Labels<'v>, V)>,
        write: impl Fn(&mut MetricEncoder<'_>, &V) -> fmt::Result,
    ) -> fmt::Result {
        // A full stop, as the registry puts one behind the helps that it writes.
        let mut family =
            self.0
                .encode_descriptor(name, &format!("{help}."), unit.as_ref(), kind)?;
        for (labels, value) in samples {
            if labels.is_empty() {
                write(&mut family, &value)?;
            } else {
                write(&mut family.encode_family(&labels)?, &value)?;
            }
        }
        Ok(())
    }

    pub fn gauges<'v>(
        &mut self,
        described: (&str, &str, Option<Unit>),
        samples: impl IntoIterator<Item = (Labels<'v>, f64)>,
    ) -> fmt::Result {
        self.family(described, MetricType::Gauge, samples, |encoder, value| {
            encoder.encode_gauge(value)
        })
    }

    pub fn gauge(&mut self, name: &str, help: &str, unit: Option<Unit>, value: u64) -> fmt::Result {
        let samples = [(Labels::new(), value)];
        self.family(
            (name, help, unit),
            MetricType::Gauge,
            samples,
            |encoder, value| encoder.encode_gauge(value),
        )
    }

    pub fn counters<'v>(
        &mut self,
        described: (&str, &str, Option<Unit>),
        samples: impl IntoIterator<Item = (Labels<'v>, u64)>,
    ) -> fmt::Result {
        self.family(described, MetricType::Counter, samples, |encoder, value| {
            encoder.encode_counter::<NoLabelSet, _, u64>(value, None)
        })
    }

    pub fn counter(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        value: u64,
    ) -> fmt::Result {
        self.counters((name, help, unit), [(Labels::new(), value)])
    }
}
