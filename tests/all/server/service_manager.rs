//! What a service manager hears (sd_notify), from a socket that stands in for one.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::larder::Builder;
use crate::support::{Distribution, GitLab, Larder, Site, path, token};

/// How long a message may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The socket of a service manager.
pub struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("larder-manager-").expect("a temporary folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket in it");
        Self { socket, folder }
    }

    /// Has this larder started under it.
    pub fn over(&self, builder: Builder) -> Builder {
        builder.environment(
            "NOTIFY_SOCKET",
            &self.folder.path().join("notify").to_string_lossy(),
        )
    }

    /// The next message, if one comes in time.
    pub fn hears(&self, most: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(most)).expect("a limit");
        let mut buffer = [0; 4096];
        match self.socket.recv(&mut buffer) {
            Ok(length) => Some(String::from_utf8_lossy(&buffer[..length]).into_owned()),
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(why) => panic!("the manager's socket failed: {why}"),
        }
    }

    /// The next message that says this; panics if none comes. Gives those before it as well, it
    /// last.
    pub fn hears_of(&self, word: &str) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        loop {
            let left = until
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1));
            let message = self
                .hears(left)
                .unwrap_or_else(|| panic!("no {word} came, only {heard:?}"));
            let found = message.lines().any(|line| line.starts_with(word));
            heard.push(message);
            if found {
                return heard;
            }
        }
    }

    /// Everything that is there already.
    pub fn heard(&self) -> Vec<String> {
        std::iter::from_fn(|| self.hears(Duration::from_millis(1))).collect()
    }
}

#[test]
fn readiness_is_told_when_it_answers_and_the_stop_before_the_drain() {
    let (manager, gitlab) = (Manager::new(), GitLab::start());
    let wheel = Distribution::new("big", "1.0").payload(3_000_000).wheel();
    gitlab.publish(42, &wheel);
    let mut larder = manager.over(Larder::builder(&gitlab)).start();
    let client = larder.client().token(token::READER);
    let first = manager.hears_of("READY=1");
    client.get("/-/health/live").expect(200);
    assert_eq!(
        first.len(),
        1,
        "before it is ready it says nothing: {first:?}"
    );
    let host = gitlab.url().trim_start_matches("http://").to_owned();
    assert!(
        first[0].contains(&format!("STATUS=in front of {host}, 0 B of 20.0 GiB")),
        "{first:?}"
    );

    let gate = gitlab.hold(Site::FileBody, 1_000_000);
    let mut reader = client.start("GET", &path::project_file(42, &wheel), &[]);
    assert_eq!((reader.status(), reader.read_body(100_000)), (200, 100_000));
    larder.signal(Signal::TERM);
    let stopping = manager.hears_of("STOPPING=1").pop().unwrap_or_default();
    // 60 s of limits.drain_timeout, and what comes after.
    assert!(
        stopping.contains("EXTEND_TIMEOUT_USEC=70000000"),
        "{stopping}"
    );
    assert!(
        stopping.contains("STATUS=finishing running downloads"),
        "{stopping}"
    );
    gate.open();
    assert!(reader.finish().expect(200) == wheel.bytes, "other bytes");
    let status = larder.wait(PATIENCE).expect("it ends with the download");
    assert_eq!(status.code(), Some(0), "{}", larder.log());
    let after = manager.heard();
    assert!(
        after.iter().all(|message| !message.contains("READY=1")),
        "{after:?}"
    );
}

#[test]
fn a_second_signal_ends_the_drain_at_once() {
    let (manager, gitlab) = (Manager::new(), GitLab::start());
    let wheel = Distribution::new("big", "1.0").payload(3_000_000).wheel();
    gitlab.publish(42, &wheel);
    let mut larder = manager.over(Larder::builder(&gitlab)).start();
    let client = larder.client().token(token::READER);
    let _gate = gitlab.hold(Site::FileBody, 1_000_000);
    let mut reader = client.start("GET", &path::project_file(42, &wheel), &[]);
    assert_eq!((reader.status(), reader.read_body(100_000)), (200, 100_000));
    larder.signal(Signal::TERM);
    manager.hears_of("STOPPING=1");
    assert!(
        larder.wait(Duration::from_millis(300)).is_none(),
        "it finishes the download first"
    );
    larder.signal(Signal::INT);
    let status = larder
        .wait(PATIENCE)
        .unwrap_or_else(|| panic!("it did not end:\n{}", larder.log()));
    assert_eq!(status.code(), Some(130));
    assert!(
        larder.log().contains("a second signal came"),
        "{}",
        larder.log()
    );
}

#[test]
fn the_watchdog_hears_of_a_daemon_that_answers_and_of_no_other() {
    let (manager, gitlab) = (Manager::new(), GitLab::start());
    // It gives a sign at a third of this.
    let larder = manager
        .over(Larder::builder(&gitlab).every_request_logged())
        .environment("WATCHDOG_USEC", "600000")
        .start();
    for _ in 0..3 {
        manager.hears_of("WATCHDOG=1");
    }
    larder.signal(Signal::STOP);
    // What was sent before the stop.
    while manager.hears(Duration::from_millis(100)).is_some() {}
    assert_eq!(
        manager.hears(Duration::from_millis(1500)),
        None,
        "nobody answers"
    );
    larder.signal(Signal::CONT);
    manager.hears_of("WATCHDOG=1");
    let log = larder.log();
    assert!(
        !log.contains("/-/health/live"),
        "what it asks itself is not logged:\n{log}"
    );
    assert!(
        !larder.metrics().contains("larder_requests_total{"),
        "nor counted"
    );
}

#[test]
fn somebody_elses_watchdog_hears_nothing() {
    let (manager, gitlab) = (Manager::new(), GitLab::start());
    let larder = manager.over(Larder::builder(&gitlab));
    let larder = larder
        .environment("WATCHDOG_USEC", "30000")
        .environment("WATCHDOG_PID", "1")
        .start();
    manager.hears_of("READY=1");
    larder.client().get("/-/health/live").expect(200);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(manager.heard(), Vec::<String>::new());
}
