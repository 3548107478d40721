//! What a parent that fails may cost.

use crate::mirrors::parents::{ASKING, World};
use crate::support::{FaultyRelay, Larder, RelayFault, path, token};

/// How often parents were asked for what is of this kind.
fn tries(agent: &Larder, kind: &str) -> f64 {
    let mut sum = 0.0;
    for line in agent.metrics().lines() {
        let is_count = line.starts_with("larder_upstream_requests_total{");
        if is_count && line.contains("parent=") && line.contains(&format!("kind=\"{kind}\"")) {
            let count = line
                .rsplit(' ')
                .next()
                .and_then(|count| count.parse::<f64>().ok());
            sum += count.expect("a number");
        }
    }
    sum
}

#[test]
fn of_parents_that_say_nothing_two_are_waited_for() {
    let world = World::new(1);
    let parent = world.parent(0).address();
    let relays: Vec<_> = (0..4).map(|_| FaultyRelay::start(parent)).collect();
    let url = |relay: &FaultyRelay| format!("http://{}", relay.address());
    let urls: Vec<_> = relays.iter().map(url).collect();
    let agent = Larder::under_all(&urls)
        .gitlab_setting("retries = 2\nbreaker_failures = 0\nheader_timeout = \"1s\"")
        .sections(ASKING)
        .start();
    for relay in &relays {
        relay.fails(RelayFault::Stalls { after: 0 });
    }
    let reader = agent.client().token(token::READER);
    let page = reader.get(&path::project_page(42, "acme-app"));
    assert_eq!(page.status, 504, "{page:?}");
    assert_eq!(tries(&agent, "page"), 2.0, "{}", agent.log());
}
