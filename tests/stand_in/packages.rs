//! The packages the bench makes.

use super::*;

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
fn base64_goes_there_and_back() {
    for (plain, coded) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foobar", "Zm9vYmFy"),
    ] {
        assert_eq!(support::base64::encode(plain.as_bytes()), coded);
        assert_eq!(
            support::base64::decode(coded).as_deref(),
            Some(plain.as_bytes())
        );
    }
    assert_eq!(support::base64::decode("*"), None);
}
