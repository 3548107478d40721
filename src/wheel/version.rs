//! When two spellings are one version (PEP 440, "Normalization").
//!
//! `_` and `-` are one, because a wheel's file name writes the one for the other. A text that is no
//! version by PEP 440 equals itself only. Must not know what is versioned.

use pep440_rs::Version;

/// Whether these are the same version.
pub fn equal(one: &str, other: &str) -> bool {
    let one = dashed(one);
    let other = dashed(other);
    match (one.parse::<Version>(), other.parse::<Version>()) {
        (Ok(one), Ok(other)) => one == other,
        (Err(_), Err(_)) => one == other,
        _ => false,
    }
}

fn dashed(text: &str) -> String {
    text.trim().replace('_', "-")
}
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_version_are_equal() {
        for (one, other) in [
            ("1.0", "1"),
            ("1.0.0", "v1.0"),
            ("0!1.2", "1.2.0"),
            ("1.0alpha1", "1.0a1"),
            ("1.0-RC.1", "1.0rc1"),
            ("1.0c1", "1.0rc1"),
            ("1.0.post2", "1.0-2"),
            ("1.0_2", "1.0.rev2"),
            ("1.0.dev", "1.0dev0"),
            ("1.0a", "1.0a0"),
            ("1.0+Ubuntu-1", "1.0+ubuntu_01"),
            ("2024.01.02", "2024.1.2"),
            ("1.0a1.post2.dev3", "1.0_alpha_1_r2_dev_3"),
            ("not a version", "not a version"),
        ] {
            assert!(equal(one, other), "{one} {other}");
        }
    }

    #[test]
    fn different_versions_are_not() {
        for (one, other) in [
            ("1.0", "1.0.1"),
            ("1.0", "1.0+x"),
            ("1.0", "1!1.0"),
            ("1.0a1", "1.0b1"),
            ("1.0.post0", "1.0"),
            ("1.0.dev0", "1.0"),
            ("10", "1"),
            ("x", "1"),
            ("x", "X"),
        ] {
            assert!(!equal(one, other), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn a_version_equals_itself_in_any_spelling(version in "([0-9]!)?[0-9]{1,3}(\\.[0-9]{1,2}){0,3}((a|b|rc)[0-9])?(\\.post[0-9])?(\\.dev[0-9])?(\\+[a-z0-9]{1,3}(\\.[a-z0-9]{1,3})?)?") {
            prop_assert!(equal(&version, &version.to_uppercase()));
            let prefixed = format!("v{version}");
            prop_assert!(equal(&version, &prefixed));
            prop_assert!(equal(&version, &version.replace('+', "+0x.")) != version.contains('+'));
        }

        #[test]
        fn no_text_makes_it_stumble(one in "\\PC{0,20}", other in "[0-9a-z.+!_-]{0,20}") {
            prop_assert_eq!(equal(&one, &other), equal(&other, &one));
            prop_assert!(equal(&other, &other));
        }
    }
}
