//! Reads expositions as strictly as the rules that apply here.

use std::collections::{BTreeMap, BTreeSet};

/// What a scraper sends that reads the newer format.
pub const OPENMETRICS: &str =
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// One sample of an exposition: name, labels, value.
pub type Sample = (String, BTreeMap<String, String>, f64);

#[derive(Clone, Debug, Default)]
pub struct Family {
    pub name: String,
    pub kind: String,
    pub help: String,
    pub unit: Option<String>,
    pub samples: Vec<Sample>,
}

impl Family {
    /// What may follow the family's name in a sample's.
    fn suffixes(&self) -> &'static [&'static str] {
        match self.kind.as_str() {
            "counter" => &["_total"],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        }
    }
}

/// The samples of all families.
pub fn samples(text: &str) -> Vec<Sample> {
    families(text)
        .into_iter()
        .flat_map(|family| family.samples)
        .collect()
}

/// Reads OpenMetrics 1.0 text: metadata before samples, known types, a help for each, the unit in
/// the name, samples named as their family's type wants, no family twice, no sample twice, buckets
/// that only grow up to the count, `# EOF` last.
pub fn families(text: &str) -> Vec<Family> {
    let body = text
        .strip_suffix("# EOF\n")
        .unwrap_or_else(|| panic!("does not end with # EOF: {text}"));
    assert!(!body.contains("# EOF"), "more than one end");
    let mut all: Vec<Family> = Vec::new();
    for line in body.lines() {
        if let Some(metadata) = line.strip_prefix("# ") {
            let mut words = metadata.splitn(3, ' ');
            let [kind, name, rest] = [(); 3].map(|()| words.next().unwrap_or_default().to_owned());
            if all.last().is_none_or(|last| last.name != name) {
                assert!(
                    all.iter().all(|known| known.name != name),
                    "family {name} comes twice"
                );
                all.push(Family {
                    name: name.clone(),
                    ..Family::default()
                });
            }
            let family = all.last_mut().expect("one was pushed");
            assert!(family.samples.is_empty(), "metadata after samples: {line}");
            match kind.as_str() {
                "HELP" => family.help = rest,
                "TYPE" => family.kind = rest,
                "UNIT" => family.unit = Some(rest),
                _ => panic!("{line}"),
            }
            continue;
        }
        let family = all
            .last_mut()
            .unwrap_or_else(|| panic!("a sample without a family: {line}"));
        let sample = sample(line);
        let suffix = sample
            .0
            .strip_prefix(&family.name)
            .unwrap_or_else(|| panic!("of another family: {line}"));
        assert!(
            family.suffixes().contains(&suffix),
            "{suffix:?} of a {}: {line}",
            family.kind
        );
        let twice = family
            .samples
            .iter()
            .any(|known| (&known.0, &known.1) == (&sample.0, &sample.1));
        assert!(!twice, "comes twice: {line}");
        family.samples.push(sample);
    }
    for family in &all {
        assert!(
            matches!(
                family.kind.as_str(),
                "counter" | "gauge" | "histogram" | "info"
            ),
            "{family:?}"
        );
        assert!(
            family.help.ends_with('.') && family.help.len() > 5,
            "no help: {family:?}"
        );
        if let Some(unit) = &family.unit {
            assert!(
                family.name.ends_with(&format!("_{unit}")),
                "the unit is not in the name: {family:?}"
            );
        }
        if family.kind == "histogram" {
            check_histogram(family);
        }
    }
    all
}

fn sample(line: &str) -> Sample {
    let (series, value) = line
        .rsplit_once(' ')
        .unwrap_or_else(|| panic!("no value: {line}"));
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (
            name,
            labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}")),
        ),
        None => (series, ""),
    };
    let labels: BTreeMap<String, String> = labels
        .split_terminator(',')
        .map(|label| {
            let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            let value = value.strip_suffix('"').unwrap_or_else(|| panic!("{line}"));
            // A parent is told by its URL.
            let others = if name == "parent" { "_-.:/[]" } else { "_-.+" };
            let plain = |letter: char| letter.is_ascii_alphanumeric() || others.contains(letter);
            assert!(value.chars().all(plain), "{line}");
            (name.to_owned(), value.to_owned())
        })
        .collect();
    let value: f64 = value
        .parse()
        .unwrap_or_else(|_| panic!("no number: {line}"));
    assert!(value >= 0.0, "{line}");
    (name.to_owned(), labels, value)
}

/// Each series ends with a bucket for everything, which holds what the count says.
fn check_histogram(family: &Family) {
    let without_bound = |labels: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        labels
            .iter()
            .filter(|(name, _)| *name != "le")
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    let series: BTreeSet<_> = family
        .samples
        .iter()
        .map(|(_, labels, _)| without_bound(labels))
        .collect();
    for labels in series {
        let of = |suffix: &str| {
            let name = format!("{}{suffix}", family.name);
            let of: Vec<&Sample> = family
                .samples
                .iter()
                .filter(|sample| sample.0 == name && without_bound(&sample.1) == labels)
                .collect();
            of
        };
        let (buckets, counts) = (of("_bucket"), of("_count"));
        assert!(
            counts.len() == 1 && of("_sum").len() == 1,
            "{labels:?} of {}",
            family.name
        );
        assert!(
            buckets.windows(2).all(|pair| pair[0].2 <= pair[1].2),
            "buckets shrink: {buckets:?}"
        );
        let last = buckets.last().expect("a bucket");
        assert!(
            last.1["le"] == "+Inf" && last.2 == counts[0].2,
            "{last:?} of {}",
            family.name
        );
    }
}
