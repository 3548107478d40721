//! OpenMetrics text as the older text format 0.0.4, for a scraper that does not ask for the newer one.
//!
//! Pure. The two differ in the names of counters and information, whose metadata carries the suffix
//! of the samples here, and in what the older one does not know: units, and an end. Must not know
//! any metric.

use std::fmt::Write;

use crate::values::quality_list;

/// Whether an `Accept` field asks for OpenMetrics, as Prometheus writes it.
pub(super) fn wants_openmetrics<'a>(accept: impl Iterator<Item = &'a str>) -> bool {
    quality_list::names(accept, "application/openmetrics-text")
}

pub(super) fn plain_text(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), words) => {
                help = Some((name, words.unwrap_or_default()))
            }
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    kind => ("", kind),
                };
                // Writing to a String cannot fail.
                if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                    let _ = writeln!(text, "# HELP {name}{suffix} {help}");
                }
                let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
            }
            (Some("#"), ..) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_gets_openmetrics_and_others_the_older_format() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        assert!(wants_openmetrics([prometheus].into_iter()));
        assert!(wants_openmetrics(
            ["text/html", "Application/OpenMetrics-Text"].into_iter()
        ));
        for other in [
            "",
            "*/*",
            "text/plain;version=0.0.4",
            "application/openmetrics-text; q=0",
        ] {
            assert!(!wants_openmetrics([other].into_iter()), "{other}");
        }
    }

    #[test]
    fn counters_and_information_are_named_as_their_samples() {
        let openmetrics = "# HELP a_bytes Of a.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\na_bytes_total{x=\"y z\"} 1\n\
                           # HELP b Of b.\n# TYPE b info\nb_info{v=\"1\"} 1\n# HELP c Of c.\n# TYPE c gauge\nc 2\n# EOF\n";
        let plain = "# HELP a_bytes_total Of a.\n# TYPE a_bytes_total counter\na_bytes_total{x=\"y z\"} 1\n\
                     # HELP b_info Of b.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n# HELP c Of c.\n# TYPE c gauge\nc 2\n";
        assert_eq!(plain_text(openmetrics), plain);
    }
}
