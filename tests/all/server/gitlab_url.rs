//! A `gitlab.url` that leads to no GitLab is said at the start, in readiness and in numbers, before
//! the first build fails.

use crate::common::delivery::eventually;
use crate::support::larder::Builder;
use crate::support::{Authority, GitLab, Larder, PublicIndex, Tls, token};

/// With the question that the other tests go without.
fn asking(builder: Builder) -> Larder {
    builder.gitlab_setting("check_at_start = true").start()
}

fn ready(larder: &Larder) -> String {
    let reply = larder.client().get("/-/health/ready");
    reply.expect(200);
    reply.text()
}

#[track_caller]
fn says(larder: &Larder, part: &str) {
    eventually("readiness says it", || ready(larder).contains(part));
    let said = ready(larder);
    assert!(said.starts_with("degraded: gitlab.url: "), "{said}");
    let reason = "larder_degraded{reason=\"gitlab_unusable\"}";
    assert_eq!(larder.metric(reason), Some(1.0));
    let line = "gitlab.url: GitLab does not answer there as it should";
    larder.wait_for_log(line);
    let log = larder.log();
    let told = log
        .lines()
        .find(|told| told.contains(line))
        .expect("it was waited for");
    assert!(told.contains(part) && told.contains("level=WARN"), "{told}");
    assert!(!said.contains("127.0.0.1"), "an address in {said}");
}

#[test]
fn each_wrong_address_is_said_with_what_to_do() {
    let gitlab = GitLab::start();
    let index = PublicIndex::start();
    for (url, part) in [
        (
            "http://gitlab.invalid".to_owned(),
            "its name does not resolve",
        ),
        (
            "http://127.0.0.1:9".to_owned(),
            "nothing listens at its address",
        ),
        (format!("{}/gitlab", gitlab.url()), "a relative root"),
        (index.url(), "a relative root"),
    ] {
        says(&asking(Larder::in_front_of(&url)), part);
    }
    let pair = Authority::new("unknown").server(&["127.0.0.1", "localhost"]);
    let secure = GitLab::builder().tls(Tls::new(&pair)).start();
    says(&asking(Larder::builder(&secure)), "gitlab.ca_file");
}

#[test]
fn a_gitlab_is_asked_once_and_one_that_comes_late_is_found() {
    let gitlab = GitLab::start();
    let larder = asking(Larder::builder(&gitlab));
    eventually("it is asked", || !gitlab.log().is_empty());
    assert_eq!(ready(&larder), "ok\n");
    assert_eq!(gitlab.log().entries().len(), 1);
    drop(larder);
    gitlab.stop();
    let larder = asking(Larder::builder(&gitlab));
    says(&larder, "nothing listens at its address");
    gitlab.resume();
    eventually("it is asked again", || ready(&larder) == "ok\n");
    larder.wait_for_log("gitlab.url: GitLab answers there now");
    let reader = larder.client().token(token::READER);
    reader
        .get(&crate::support::path::project_page(42, "my-pkg"))
        .expect(200);
}

#[test]
fn offline_and_with_the_key_off_nothing_is_asked() {
    let gitlab = GitLab::start();
    let offline = asking(Larder::builder(&gitlab).setting("offline = true"));
    let quiet = Larder::start(&gitlab);
    assert_eq!(ready(&offline), "ok, offline\n");
    assert_eq!(ready(&quiet), "ok\n");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(gitlab.log().is_empty());
}
