//! The certificate that TLS clients are shown: for how long it is good.
//!
//! Pure. Must not read it.

use std::time::SystemTime;

use super::finding::Finding;
use crate::values::validity::{Judgement, Validity};

pub fn judge(validity: Validity, now: SystemTime) -> Finding {
    let check = "certificate";
    let judgement = validity.judge(now);
    let until = humantime::format_rfc3339_seconds(validity.until());
    let found = format!("it {judgement} ({until})");
    match judgement {
        Judgement::Good { .. } => Finding::ok(check, found),
        Judgement::EndsSoon { .. } => Finding::warning(
            check,
            found,
            "look at what renews it; \
             larder takes new files at tls.certificate and tls.key by itself",
        ),
        Judgement::Expired { .. } => Finding::problem(
            check,
            found,
            "clients refuse it: put a renewed pair at tls.certificate and tls.key",
        ),
        Judgement::NotYet { .. } => Finding::problem(
            check,
            found,
            "clients refuse it: is this machine's clock right?",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn it_is_judged_by_its_dates() {
        let at = |day: u32| UNIX_EPOCH + day * Duration::from_hours(24);
        let verdict = |day: u32| judge(Validity::new(at(10), at(100)), at(day)).verdict;
        assert_eq!(
            [9, 10, 90, 101].map(verdict),
            [
                Verdict::Problem,
                Verdict::Ok,
                Verdict::Warning,
                Verdict::Problem
            ]
        );
    }
}
