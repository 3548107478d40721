//! A hundred restarts under load. It needs no package, but more time than the suite has for one
//! test.

use crate::server::restarts::restart_under_load;

#[test]
#[ignore = "needs a minute"]
fn r20_a_hundred_restarts_with_a_held_socket_fail_nobody() {
    let figures = restart_under_load(100);
    eprintln!("{figures:?}");
    assert!(
        figures.failures.is_empty(),
        "{:#?}",
        &figures.failures[..figures.failures.len().min(5)]
    );
}
