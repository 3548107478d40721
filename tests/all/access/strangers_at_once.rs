//! Many at once who cannot share: strangers on one file, readers of a page that is too large to
//! keep.

use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use crate::support::{
    Act, Client, Distribution, GitLab, Kind, Larder, Reply, Token, larder as bench, path, token,
};

/// All ask at the same moment, each from a thread of its own.
fn at_once(clients: Vec<Client>, path: &str) -> Vec<Reply> {
    thread::scope(|scope| {
        let asking: Vec<_> = clients
            .into_iter()
            .map(|client| scope.spawn(move || client.get(path)))
            .collect();
        asking
            .into_iter()
            .map(|asking| asking.join().expect("a client does not panic"))
            .collect()
    })
}

#[test]
fn r22_many_strangers_on_one_cold_file_each_get_gitlabs_own_refusal_and_a_member_the_file() {
    let gitlab = GitLab::builder()
        .holding(|universe| {
            universe
                .tokens
                .extend((0..30).map(|n| Token::personal(&format!("stranger-{n}"))));
        })
        .start();
    let larder = Larder::start(&gitlab);
    let mut clients: Vec<_> = (0..30)
        .map(|n| larder.client().token(&format!("stranger-{n}")))
        .collect();
    clients.push(larder.client().token(token::READER));
    // Long enough for all to board the first one's flight.
    gitlab.plan(Act::StallBeforeHead(Duration::from_millis(100)).at(Kind::File));
    for round in 0..3 {
        let wheel = Distribution::new("big", &format!("1.{round}"))
            .payload(300_000)
            .wheel();
        gitlab.publish(42, &wheel);
        let file = path::project_file(42, &wheel);
        let refusal = Client::new(gitlab.address())
            .token(token::STRANGER)
            .get(&file);

        let mut replies = at_once(clients.clone(), &file);

        let member = replies.pop().expect("the last is the member");
        assert!(
            member.is_complete() && member.body == wheel.bytes,
            "round {round}: {member:?}"
        );
        for reply in replies {
            let (got, due) = ((reply.status, &reply.body), (refusal.status, &refusal.body));
            assert_eq!(got, due, "round {round}: {reply:?}");
        }
    }
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn a_page_too_large_to_keep_reaches_everybody_who_asks_at_once() {
    let gitlab = GitLab::start();
    for n in 0..40 {
        gitlab.publish(42, Distribution::new("large", &format!("1.{n}")).wheel());
    }
    let larder = Larder::builder(&gitlab)
        .sections("[index]\npage_size = \"2KiB\"")
        .start();
    let page = path::project_page(42, "large");
    for warmed in [false, true] {
        let replies = at_once(vec![larder.client().token(token::READER); 12], &page);
        for reply in replies {
            assert_eq!(reply.status, 200, "warmed: {warmed}: {reply:?}");
            assert!(
                reply.is_complete() && reply.text().contains("large-1.39"),
                "warmed: {warmed}: {reply:?}"
            );
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "writes a script and reads /proc")]
fn larder_takes_as_many_open_files_as_it_may() {
    let gitlab = GitLab::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let narrow = folder.path().join("larder");
    let script = format!(
        "#!/bin/sh\nulimit -S -n 64\nexec '{}' \"$@\"\n",
        bench::binary().display()
    );
    std::fs::write(&narrow, script).expect("a writable folder");
    std::fs::set_permissions(&narrow, std::fs::Permissions::from_mode(0o755))
        .expect("our own file");

    let larder = Larder::builder(&gitlab).binary(narrow).start();

    let limits = std::fs::read_to_string(format!("/proc/{}/limits", larder.pid()))
        .expect("a running process");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .expect("a limit of every process");
    let fields: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(fields[3], fields[4], "soft and hard limit: {line}");
    assert_ne!(fields[3], "64", "{line}");
}
