//! Restarts under load: a service manager holds the listening socket, and no client notices.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::client::Wire;
use crate::support::{
    Activated, Artifact, Client, Ending, GitLab, Larder, Reply, Workbench, path, token,
};

/// For one answer; a restart takes far less.
const PATIENCE: Duration = Duration::from_secs(20);

/// Half of them keep their connections.
const CLIENTS: usize = 8;

/// What systemd does for `larder.socket` and `larder.service`.
struct Supervisor<'a> {
    socket: TcpListener,
    gitlab: &'a GitLab,
    home: TempDir,
    running: Activated,
}

impl<'a> Supervisor<'a> {
    fn start(gitlab: &'a GitLab) -> Self {
        let home = TempDir::with_prefix("larder-").expect("a temporary folder");
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let config = home.path().join("larder.toml");
        let stores = format!(
            "[gitlab]\nobject_storage_origins = [{:?}]\n",
            gitlab.store_url()
        );
        std::fs::write(config, stores).expect("a writable folder");
        let running = Self::launch(&socket, gitlab, &home);
        let supervisor = Self {
            socket,
            gitlab,
            home,
            running,
        };
        supervisor.wait_until_it_serves();
        supervisor
    }

    fn launch(socket: &TcpListener, gitlab: &GitLab, home: &TempDir) -> Activated {
        let config = format!("--config={}", home.path().join("larder.toml").display());
        let socket = socket.try_clone().expect("a descriptor").into();
        Activated::start_at(home.path(), gitlab, socket, "larder.socket", &[&config])
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a listening socket")
    }

    fn wait_until_it_serves(&self) {
        Client::new(self.address())
            .patience(PATIENCE)
            .get("/-/health/live")
            .expect(200);
    }

    /// From SIGTERM until the next one serves.
    fn restart(&mut self) -> Duration {
        let begun = Instant::now();
        let status = self.running.terminate();
        assert!(status.success(), "{status}: {}", self.log());
        self.running = Self::launch(&self.socket, self.gitlab, &self.home);
        self.wait_until_it_serves();
        begun.elapsed()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Figures {
    pub requests: usize,
    /// Requests that were sent again, as RFC 9112, 9.3.1 has clients do.
    pub repeats: usize,
    pub failures: Vec<String>,
    /// The longest that one request took, repeats included.
    pub worst: Duration,
    pub longest_restart: Duration,
}

impl Figures {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.repeats += other.repeats;
        self.failures.extend(other.failures);
        self.worst = self.worst.max(other.worst);
    }
}

/// A client of HTTP/1.1, one request after the other.
struct Reader {
    client: Client,
    keeps: bool,
    kept: Option<Wire>,
    figures: Figures,
}

impl Reader {
    /// Asks, and again on a new connection if a used one was closed before any byte of the answer.
    fn get(&mut self, path: &str, is_right: impl Fn(&Reply) -> bool) {
        let begun = Instant::now();
        let used = self.kept.is_some();
        let mut reply = self.ask(path);
        let unanswered = matches!(
            reply.ending,
            Ending::Reset { got: 0 }
                | Ending::CutShort {
                    got: 0,
                    expected: None
                }
        );
        if used && unanswered && reply.status == 0 {
            self.figures.repeats += 1;
            self.kept = None;
            reply = self.ask(path);
        }
        self.figures.requests += 1;
        self.figures.worst = self.figures.worst.max(begun.elapsed());
        if !(reply.status == 200 && reply.is_complete() && is_right(&reply)) {
            self.figures
                .failures
                .push(format!("{path}: {reply:?}").chars().take(300).collect());
            self.kept = None;
        }
    }

    fn ask(&mut self, path: &str) -> Reply {
        let more: &[_] = if self.keeps {
            &[]
        } else {
            &[("Connection", "close")]
        };
        let mut wire = self.kept.take().unwrap_or_else(|| self.client.connect());
        wire.send(self.client.head_text("GET", path, more).as_bytes());
        let reply = wire.reply_to("GET");
        let closes = reply
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        self.kept = Some(wire).filter(|_| self.keeps && !closes && reply.is_complete());
        reply
    }
}

/// Restarts larder so many times while clients ask for pages and files.
pub fn restart_under_load(restarts: usize) -> Figures {
    let gitlab = GitLab::start();
    let files: Vec<Artifact> = (1..=5)
        .map(|megabytes| Artifact::noise(&format!("file{megabytes}"), "1.0", megabytes * 1_000_000))
        .collect();
    for file in &files {
        gitlab.publish(42, file);
    }
    let mut supervisor = Supervisor::start(&gitlab);
    let client = Client::new(supervisor.address())
        .token(token::READER)
        .patience(PATIENCE);
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut figures = Figures::default();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (client, keeps) = (client.clone(), number % 2 == 0);
                let (files, over, answered) = (&files, &over, &answered);
                scope.spawn(move || {
                    let mut reader = Reader {
                        client,
                        keeps,
                        kept: None,
                        figures: Figures::default(),
                    };
                    for file in files.iter().cycle().skip(number) {
                        if over.load(Ordering::Relaxed) {
                            break;
                        }
                        reader.get(&path::project_page(42, &file.name), |page| {
                            page.text().contains(&file.filename)
                        });
                        reader.get(&path::project_file(42, file), |answer| {
                            answer.body == file.bytes
                        });
                        answered.fetch_add(2, Ordering::Relaxed);
                    }
                    reader.figures
                })
            })
            .collect();
        for number in 0..restarts {
            // At another moment of the work each time, and never before each client can have had an
            // answer.
            let (from, until) = (answered.load(Ordering::Relaxed), Instant::now() + PATIENCE);
            while answered.load(Ordering::Relaxed) < from + 2 * CLIENTS + number % 7
                && Instant::now() < until
            {
                thread::sleep(Duration::from_millis(1));
            }
            figures.longest_restart = figures.longest_restart.max(supervisor.restart());
        }
        over.store(true, Ordering::Relaxed);
        for reader in readers {
            figures.add(reader.join().expect("a client that goes on"));
        }
    });
    assert!(
        supervisor.running.terminate().success(),
        "{}",
        supervisor.log()
    );
    figures
}

#[test]
fn r20_who_was_let_in_before_the_stop_gets_an_answer() {
    let gitlab = GitLab::start();
    let mut larder = Larder::start(&gitlab);
    let client = larder.client().patience(PATIENCE);
    let head = client.head_text("GET", "/-/health/live", &[]);
    let (begin, rest) = head.split_at(1);
    let mut wire = client.connect();
    wire.send(begin.as_bytes());
    // Connections are accepted in their order: this one has been.
    larder.client().get("/-/health/live").expect(200);
    larder.signal(Signal::TERM);
    larder.wait_for_log("stopping");
    wire.send(rest.as_bytes());
    let reply = wire.reply_to("GET");
    reply.expect(200);
    assert_eq!(reply.header("connection"), Some("close"), "{reply:?}");
    assert!(
        larder.wait(PATIENCE).is_some_and(|status| status.success()),
        "{}",
        larder.log()
    );
}

#[test]
fn r20_ten_restarts_with_a_held_socket_fail_nobody() {
    let figures = restart_under_load(10);
    assert!(
        figures.failures.is_empty(),
        "{:#?}",
        &figures.failures[..figures.failures.len().min(5)]
    );
    assert!(figures.requests >= 10 * 2 * CLIENTS, "{figures:?}");
    eprintln!("{figures:?}");
}

#[test]
fn r20_pip_and_uv_install_across_restarts() {
    let gitlab = GitLab::start();
    for number in 0..4 {
        let wheel =
            crate::support::Distribution::new(&format!("part{number}"), "1.0").payload(2_000_000);
        let wheel = (0..number).fold(wheel, |wheel, other| {
            wheel.depends_on(&format!("part{other}"))
        });
        gitlab.publish(42, wheel.wheel());
    }
    let mut supervisor = Supervisor::start(&gitlab);
    let index = format!(
        "--index-url=http://__token__:{}@{}{}",
        token::READER,
        supervisor.address(),
        path::project_index(42)
    );
    let (over, restarts) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let supervising = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                supervisor.restart();
                restarts.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(50));
            }
        });
        let install = |client: &str| {
            let before = restarts.load(Ordering::Relaxed);
            assert!(!supervising.is_finished(), "nothing serves any more");
            let bench = Workbench::new();
            let target = bench.folder().join("installed");
            let target = target.to_string_lossy();
            let outcome = match client {
                "pip" => bench.pip(&[
                    "install",
                    &index,
                    "--no-cache-dir",
                    "--target",
                    &target,
                    "part3",
                ]),
                _ => bench.uv(&[
                    "pip",
                    "install",
                    &index,
                    "--no-cache",
                    "--target",
                    &target,
                    "part3",
                ]),
            };
            (
                client.to_owned(),
                outcome,
                restarts.load(Ordering::Relaxed) - before,
            )
        };
        let outcomes = ["pip", "uv", "pip", "uv", "uv", "uv"].map(install);
        over.store(true, Ordering::Relaxed);
        supervising.join().expect("restarts that go on");
        for (client, outcome, met) in &outcomes {
            outcome.expect_success();
            eprintln!("{client}: {met} restarts in {:?}", outcome.took);
        }
        assert!(
            outcomes.iter().any(|(_, _, met)| *met > 0),
            "no restart fell into an installation"
        );
        assert!(
            !outcomes
                .iter()
                .any(|(_, outcome, _)| outcome.stderr.contains("Retrying")),
            "{outcomes:?}"
        );
    });
}
