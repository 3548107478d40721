//! How the daemon is, in one line for `systemctl status`.
//!
//! Pure. No package and no caller is named. Must not know who reads it.

use url::Url;

use crate::admin::{Health, Readings};
use crate::values::byte_size::in_units;

/// Host and port of a URL, without what may be secret in it.
pub fn destination(url: Option<&str>) -> Option<String> {
    let url = Url::parse(url?).ok()?;
    let host = url.host_str()?;
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

/// `in front of HOST, 12.3 GiB of 20.0 GiB, 3 downloads`, and what is amiss.
pub fn in_words(host: Option<&str>, readings: &Readings) -> String {
    let place = match host {
        Some(host) => format!("in front of {host}"),
        None => "offline".to_owned(),
    };
    let bytes = in_units(readings.store.bytes);
    let budget = in_units(readings.store.budget_bytes);
    let mut line = format!("{place}, {bytes} of {budget}");
    match readings.downloads {
        0 => {}
        1 => line.push_str(", 1 download"),
        more => line.push_str(&format!(", {more} downloads")),
    }
    let health = Health::of(readings);
    if !health.reasons.is_empty() {
        line.push_str(&format!("; {health}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreReading;

    #[test]
    fn a_line_says_where_how_full_how_busy_and_what_is_amiss() {
        let store = StoreReading {
            bytes: 3 << 29,
            budget_bytes: 20 << 30,
            ..StoreReading::default()
        };
        let mut readings = Readings {
            downloads: 3,
            store,
            ..Readings::default()
        };
        let host = destination(Some("https://user:secret@gitlab.example:8443/path"));
        assert_eq!(
            in_words(host.as_deref(), &readings),
            "in front of gitlab.example:8443, 1.5 GiB of 20.0 GiB, 3 downloads"
        );
        readings.downloads = 0;
        readings.store.full = true;
        let line = in_words(None, &readings);
        assert!(
            line.starts_with("offline, 1.5 GiB of 20.0 GiB; degraded: "),
            "{line}"
        );
        assert!(!line.contains('\n'));
    }
}
