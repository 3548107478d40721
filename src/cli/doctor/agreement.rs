//! Whether several parents serve the same.
//!
//! Pure. Must not ask.

use super::finding::Finding;
use crate::upstream::{LarderStatus, PUBLIC_INDEX};

/// Whether parents that answered serve the same; nothing of fewer than two.
pub fn judge(told: &[(String, LarderStatus)]) -> Option<Finding> {
    let check = "agreement";
    let [(first_url, first), others @ ..] = told else {
        return None;
    };
    if others.is_empty() {
        return None;
    }
    for (url, other) in others {
        if in_words(other) != in_words(first) {
            let found = format!(
                "the parents do not serve the same: {first_url} serves {}, and {url} {}",
                in_words(first),
                in_words(other)
            );
            let advice =
                "give them the same configuration: what one of them lacks has no stand-in there";
            return Some(Finding::warning(check, found, advice));
        }
    }
    Some(Finding::ok(
        check,
        "all parents that answered serve the same",
    ))
}

/// What a larder serves beside GitLab's packages.
fn in_words(status: &LarderStatus) -> String {
    let mut names: Vec<&str> = status.mirrors.iter().map(String::as_str).collect();
    names.sort_unstable();
    if status.has_public_index {
        names.push(PUBLIC_INDEX);
    }
    match names.as_slice() {
        [] => "no mirror".to_owned(),
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn parents_agree_whatever_the_order_of_their_mirrors() {
        let told = |url: &str, mirrors: &[&str], has_public_index| {
            let status = LarderStatus {
                version: "1.0.0".to_owned(),
                word: "ok".to_owned(),
                mirrors: mirrors.iter().map(ToString::to_string).collect(),
                has_public_index,
            };
            (url.to_owned(), status)
        };
        let one = told("https://a.example", &["pypi", "torch"], true);
        assert_eq!(
            judge(std::slice::from_ref(&one)),
            None,
            "nothing to compare"
        );
        let same = told("https://b.example", &["torch", "pypi"], true);
        let verdict = |other| judge(&[one.clone(), other]).map(|finding| finding.verdict);
        assert_eq!(verdict(same), Some(Verdict::Ok));
        for other in [
            told("https://b.example", &["pypi"], true),
            told("https://b.example", &["pypi", "torch"], false),
            told("https://b.example", &[], true),
        ] {
            assert_eq!(verdict(other), Some(Verdict::Warning));
        }
    }
}
