//! Lists whose members carry weights: `Accept`, `Accept-Encoding` (RFC 9110 §5.6.1, §12.4.2).
//!
//! Pure. A member whose weight is not one is left out. Must not know what is chosen from.

/// A weight in thousandths, as exact as RFC 9110 §12.4.2 lets it be written.
pub type Quality = u16;

const QUALITY_MAX: Quality = 1000;

/// So many members are read; longer lists have nothing more to say.
const MEMBERS_MAX: usize = 64;

/// The members of all fields of one name, in their order, each with its weight.
pub fn members<'f>(
    fields: impl IntoIterator<Item = &'f str>,
) -> impl Iterator<Item = (&'f str, Quality)> {
    let members = fields.into_iter().flat_map(|field| field.split(','));
    members.filter_map(member).take(MEMBERS_MAX)
}

/// Whether this value is named, and not refused by a weight of 0.
pub fn names<'f>(fields: impl IntoIterator<Item = &'f str>, value: &str) -> bool {
    for (member, quality) in members(fields) {
        if quality > 0 && member.eq_ignore_ascii_case(value) {
            return true;
        }
    }
    false
}

fn member(text: &str) -> Option<(&str, Quality)> {
    let mut parts = text.split(';').map(str::trim_ascii);
    let value = parts.next()?;
    if value.is_empty() {
        return None;
    }
    for part in parts {
        if let Some((name, weight)) = part.split_once('=')
            && name.trim_ascii().eq_ignore_ascii_case("q")
        {
            return Some((value, quality(weight.trim_ascii())?));
        }
    }
    Some((value, QUALITY_MAX))
}

/// `0`, `1`, and decimals between them. RFC 9110 allows three; further ones are cut off, so that
/// what is refused with four noughts stays refused.
fn quality(text: &str) -> Option<Quality> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut thousandths = 0;
    let mut place = QUALITY_MAX;
    for digit in decimals.bytes().take(3) {
        place /= 10;
        thousandths += place * Quality::from(digit - b'0');
    }
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(QUALITY_MAX),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_has_the_weight_that_is_written_and_no_other() {
        let read = |text: &'static str| members([text]).collect::<Vec<_>>();
        assert_eq!(
            read("a, b;q=0.5 , c;v=1; Q=0.125,d;q=0"),
            [("a", 1000), ("b", 500), ("c", 125), ("d", 0)]
        );
        assert_eq!(
            read("a;q=1.1, b;q=0.0000, c;q=x, d;q=1.000, e;q=0.9999, ,;q=1"),
            [("b", 0), ("d", 1000), ("e", 999)]
        );
        let long = "a,".repeat(100);
        assert_eq!(members([long.as_str()]).count(), MEMBERS_MAX);
    }

    #[test]
    fn a_value_is_named_in_any_case_and_not_with_weight_nought() {
        assert!(names(["x, A/B;q=0.1"], "a/b"));
        assert!(names(["x", "a/b"], "a/b"));
        for other in ["", "*/*", "a/b;q=0", "a/b;q=0.000", "a/bc", "a/b;q=2"] {
            assert!(!names([other], "a/b"), "{other}");
        }
    }
}
