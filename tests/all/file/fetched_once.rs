//! A file that is here is not fetched again, however the requests for it fall.

use std::time::Duration;

use crate::support::{
    Act, Distribution, Entry, Gate, GitLab, Kind, Larder, Site, StoreListing, path, token,
};

/// uv reads a wheel's metadata by ranges, each passed on as it comes, while the whole is fetched
/// behind. A range that is still under way when the whole has landed must not start it again.
#[test]
fn r13_a_range_that_outlives_the_download_does_not_start_it_again() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("big", "1.0").payload(200_000).wheel();
    gitlab.publish(42, &wheel);
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::READER);
    let file = path::project_file(42, &wheel);
    // In this order: a range, the whole behind it, and a range that takes long to be answered.
    let gate = Gate::new();
    gitlab.plan(
        Act::Gate {
            after: 100,
            gate: gate.clone(),
        }
        .at(Site::FileBody)
        .skipping(1)
        .once(),
    );
    gitlab.plan(
        Act::StallBeforeHead(Duration::from_millis(700))
            .at(Kind::File)
            .skipping(2)
            .once(),
    );
    client.get_range(&file, "bytes=-100").expect(206);
    gate.wait_for(1);
    let late = std::thread::spawn({
        let (client, file) = (client.clone(), file.clone());
        move || client.get_range(&file, "bytes=-200")
    });
    gitlab
        .log()
        .wait_until("the second range has been asked for", |log| {
            log.count(Kind::File) == 3
        });

    gate.open();
    gitlab.log().wait_until("the whole has landed", |_| {
        StoreListing::of(&larder.cache_dir()).holds(&wheel.sha256)
            && larder.metric("larder_downloads") == Some(0.0)
    });
    late.join().expect("no panic").expect(206);

    // Whatever it starts, it starts before the next request has gone through.
    assert_eq!(client.get(&file).expect(200), &wheel.bytes[..]);
    larder.wait_for_log("cache=hit");
    gitlab.log().wait_until("nothing is under way", |_| {
        larder.metric("larder_downloads") == Some(0.0)
    });
    let whole = |entry: &&Entry| entry.is_file_body() && entry.status == Some(200);
    assert_eq!(
        gitlab.log().entries().iter().filter(whole).count(),
        1,
        "fetched again"
    );
}
