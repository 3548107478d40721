//! The packages the bench makes.

use super::*;
use crate::support::basic::{basic, unpack};

#[test]
fn distributions_are_the_same_on_every_run() {
    let make = || {
        Distribution::new("My.Pkg", "1.0")
            .depends_on("other>=2")
            .payload(1000)
    };
    assert_eq!(make().wheel().sha256, make().wheel().sha256);
    assert_eq!(make().sdist().sha256, make().sdist().sha256);
    assert_eq!(make().wheel().filename, "my_pkg-1.0-py3-none-any.whl");
    assert_eq!(normalise("A__b.-C"), "a-b-c");
    assert!(
        String::from_utf8_lossy(&make().wheel().metadata).contains("Requires-Dist: other>=2\n")
    );
}

#[test]
fn basic_credentials_go_there_and_back() {
    for (user, password, packed) in [
        ("", "", "Og=="),
        ("f", "", "Zjo="),
        ("f", "o", "Zjpv"),
        ("foo", "bar", "Zm9vOmJhcg=="),
    ] {
        assert_eq!(basic(user, password), format!("Basic {packed}"));
        let plain = format!("{user}:{password}").into_bytes();
        assert_eq!(unpack(packed).as_ref(), Some(&plain));
        let unpadded = packed.trim_end_matches('=');
        assert_eq!(unpack(unpadded), Some(plain), "as GitLab reads it");
    }
    assert_eq!(unpack("*"), None);
}
