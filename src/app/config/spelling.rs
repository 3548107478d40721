//! Which word was probably meant by one that is none.
//!
//! Pure. Must not know what the words are.

/// More slips than this make another word of it.
const SLIPS_MAX: usize = 2;

/// The candidate that fewest slips make of what was written; none where that would be a guess.
pub fn nearest<'c>(written: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    // Of a short word two slips leave too little.
    let most = SLIPS_MAX.min(written.chars().count() / 3);
    let mut best = None;
    for candidate in candidates {
        let slips = slips_between(written, candidate);
        if slips <= most && best.is_none_or(|(_, least)| slips < least) {
            best = Some((candidate, slips));
        }
    }
    best.map(|(candidate, _)| candidate)
}

/// How many letters are too many, too few, wrong, or in the wrong order with their neighbour
/// (optimal string alignment).
fn slips_between(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.to_lowercase().chars().collect();
    let other: Vec<char> = other.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut here = vec![row + 1];
        for (column, wanted) in other.iter().enumerate() {
            let is_wrong = usize::from(letter != wanted);
            let mut least = above[column] + is_wrong;
            least = least.min(above[column + 1] + 1).min(here[column] + 1);
            let is_swapped =
                row > 0 && column > 0 && *letter == other[column - 1] && one[row - 1] == *wanted;
            if is_swapped {
                least = least.min(before[column - 1] + 1);
            }
            here.push(least);
        }
        before = above;
        above = here;
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slip_or_two_are_undone_and_no_guess_is_made() {
        let words = ["text", "json", "gitlab.url", "gitlab.retries"];
        for (written, meant) in [
            ("jsn", Some("json")),
            ("Json", Some("json")),
            ("tetx", Some("text")),
            ("gitlab.urll", Some("gitlab.url")),
            ("gitlab.retires", Some("gitlab.retries")),
            ("xml", None),
            ("", None),
            ("a", None),
        ] {
            assert_eq!(nearest(written, words.into_iter()), meant, "{written}");
        }
    }

    proptest! {
        #[test]
        fn a_word_is_its_own_nearest(word in "[a-z]{3,12}", other in "[a-z]{3,12}") {
            prop_assert_eq!(nearest(&word, [other.as_str(), &word].into_iter()), Some(word.as_str()));
            prop_assert_eq!(slips_between(&word, &other), slips_between(&other, &word));
        }
    }
}
