//! A machine without a way out, for larder and clients together: commands that run where nothing
//! leads anywhere, and a record of every connection that they tried to make.
//!
//! Two means, both used where the machine allows both: a network namespace that has a loopback and
//! nothing else, so that no connection can succeed, and `strace`, which sees the attempts too. With
//! neither (a container that forbids user namespaces and ptrace) the open sockets of each process
//! are looked at every few milliseconds, which can miss a short one. [`Isolated::means`] says
//! which; a test without any of them does not exist.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How often sockets are looked at where nothing better is allowed.
const SAMPLED_EVERY: Duration = Duration::from_millis(2);

/// How long a trace may need to be written to its end after its process has ended.
const TRACE_SECONDS_MAX: u64 = 10;

/// Puts the loopback up, shows that there is nothing else, and holds the namespace until its input
/// ends.
const HOLDER: &str = r#"
import fcntl, socket, struct, sys
IFF_UP, SIOCGIFFLAGS, SIOCSIFFLAGS = 1, 0x8913, 0x8914
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    request = struct.pack("16sH14x", b"lo", 0)
    flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))
leaks = open("/proc/net/route").readlines()[1:]
for address in ("192.0.2.1", "10.255.255.1"):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 80))
            leaks.append(address)
        except OSError:
            pass
print("leaks: " + repr(leaks) if leaks else "closed", flush=True)
sys.stdin.read()
"#;

/// A machine without a way out. Its namespace ends with it.
#[derive(Debug)]
pub struct Isolated {
    namespace: Option<Child>,
    /// `strace` and its arguments.
    tracer: Option<Vec<&'static str>>,
    traces: TempDir,
    traced: AtomicUsize,
    sampler: Option<Sampler>,
}

impl Isolated {
    /// By the strongest means that this machine allows.
    pub fn new() -> Self {
        Self::by(namespace().ok(), tracer())
    }

    /// By a namespace alone; `Err` says why there can be none here.
    pub fn by_namespace() -> Result<Self, String> {
        Ok(Self::by(Some(namespace()?), None))
    }

    /// By tracing alone; `None` if nothing may be traced here.
    pub fn by_trace() -> Option<Self> {
        Some(Self::by(None, Some(tracer()?)))
    }

    /// By looking at sockets, which is always possible.
    pub fn by_sampling() -> Self {
        Self::by(None, None)
    }

    fn by(namespace: Option<Child>, tracer: Option<Vec<&'static str>>) -> Self {
        let sampler = (namespace.is_none() && tracer.is_none()).then(Sampler::start);
        let traces = TempDir::with_prefix("larder-traces-").expect("a temporary folder");
        let isolated = Self {
            namespace,
            tracer,
            traces,
            traced: AtomicUsize::new(0),
            sampler,
        };
        // Seen in the output of a test that fails, or with `--nocapture`.
        eprintln!("kept from the network by {}", isolated.means());
        isolated
    }

    /// In words.
    pub fn means(&self) -> &'static str {
        match (&self.namespace, &self.tracer) {
            (Some(_), Some(_)) => "a network namespace without routes, every connect() traced",
            (Some(_), None) => "a network namespace without routes",
            (None, Some(_)) => "nothing, but every connect() is traced",
            (None, None) => "nothing, but open sockets are sampled",
        }
    }

    /// Whether a connection to the world outside could succeed.
    pub fn is_closed(&self) -> bool {
        self.namespace.is_some()
    }

    /// Whether open sockets are all that is looked at.
    pub fn is_sampled(&self) -> bool {
        self.sampler.is_some()
    }

    /// Whether an attempt to connect is always seen.
    pub fn is_traced(&self) -> bool {
        self.tracer.is_some()
    }

    /// This program, to be run in here. The process that is spawned of it is the program itself:
    /// its id and its exit status are the program's.
    pub fn command(&self, program: &Path) -> Command {
        let mut words: Vec<String> = Vec::new();
        if let Some(holder) = &self.namespace {
            let target = format!("--target={}", holder.id());
            words.extend(
                [
                    "nsenter",
                    &target,
                    "--user",
                    "--net",
                    "--preserve-credentials",
                ]
                .map(str::to_owned),
            );
        }
        if let Some(tracer) = &self.tracer {
            let number = self.traced.fetch_add(1, Ordering::Relaxed);
            words.extend(tracer.iter().map(|word| (*word).to_owned()));
            words.push(format!(
                "--output={}",
                self.traces.path().join(number.to_string()).display()
            ));
        }
        let Some((first, rest)) = words.split_first() else {
            return Command::new(program);
        };
        let mut command = Command::new(first);
        command.args(rest).arg(program);
        command
    }

    /// To be told of each process that was spawned of [`Self::command`].
    pub fn watch(&self, process: u32) {
        if let Some(sampler) = &self.sampler {
            sampler
                .watched
                .lock()
                .expect("no panic holds it")
                .push(process);
        }
    }

    /// Where anything in here tried to connect to; with a namespace alone nothing is known, and
    /// nothing possible.
    ///
    /// Waits for the traces of processes that have ended; so end them first.
    pub fn connections(&self) -> BTreeSet<SocketAddr> {
        let traced = (0..self.traced.load(Ordering::Relaxed)).flat_map(|number| {
            connects(&whole_trace(&self.traces.path().join(number.to_string())))
        });
        let sampled = self
            .sampler
            .iter()
            .flat_map(|sampler| sampler.seen.lock().expect("no panic holds it").clone());
        traced.chain(sampled).collect()
    }

    /// Panics if anything in here tried to reach any address but these.
    #[track_caller]
    pub fn assert_reached_only(&self, allowed: &[SocketAddr]) {
        let connections = self.connections();
        let outgoing: Vec<_> = connections
            .iter()
            .filter(|address| !allowed.contains(address))
            .collect();
        assert!(
            outgoing.is_empty(),
            "connections to {outgoing:?} (seen by {})",
            self.means()
        );
    }
}

impl Drop for Isolated {
    fn drop(&mut self) {
        if let Some(holder) = &mut self.namespace {
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

/// The process that holds a namespace; its standard input must stay open.
fn namespace() -> Result<Child, String> {
    let mut holder = Command::new("unshare")
        .args(["--map-root-user", "--net", "python3", "-c", HOLDER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("unshare: {error}"))?;
    let mut said = String::new();
    let _ = BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut said);
    // That it was made is not enough: entering it needs rights of its own.
    let target = format!("--target={}", holder.id());
    let enter = [
        "nsenter",
        &target,
        "--user",
        "--net",
        "--preserve-credentials",
    ];
    if said.trim() == "closed" && succeeds(&enter) {
        return Ok(holder);
    }
    let _ = holder.kill();
    let _ = holder.wait();
    Err(format!(
        "no namespace can be made or entered; its holder said {:?}",
        said.trim()
    ))
}

fn tracer() -> Option<Vec<&'static str>> {
    // -D: the traced process stays our own child, and gets our signals.
    let plain = vec![
        "strace",
        "-D",
        "-f",
        "-qq",
        "--trace=connect",
        "--signal=none",
    ];
    let fast: Vec<_> = plain.iter().copied().chain(["--seccomp-bpf"]).collect();
    [fast, plain]
        .into_iter()
        .find(|words| succeeds(&[&words[..], &["--output=/dev/null"]].concat()))
}

/// Whether `true` can be run by these words.
fn succeeds(words: &[&str]) -> bool {
    let run = Command::new(words[0])
        .args(&words[1..])
        .arg("true")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    run.is_ok_and(|status| status.success())
}

/// The trace in this file, once no tracer has it open any more.
fn whole_trace(path: &Path) -> String {
    let until = Instant::now() + Duration::from_secs(TRACE_SECONDS_MAX);
    while is_open_somewhere(path) {
        assert!(
            Instant::now() < until,
            "{} is still being written: something traced still runs",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let bytes = std::fs::read(path)
        .unwrap_or_else(|error| panic!("no trace at {}: {error}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_open_somewhere(path: &Path) -> bool {
    processes().any(|process| {
        let Ok(descriptors) = std::fs::read_dir(format!("/proc/{process}/fd")) else {
            return false;
        };
        descriptors
            .flatten()
            .any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target == path))
    })
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").expect("Linux");
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The internet addresses in the `connect()`s of a trace.
fn connects(trace: &str) -> Vec<SocketAddr> {
    trace
        .lines()
        .filter_map(|line| destination(line.split_once("connect(")?.1))
        .collect()
}

fn destination(arguments: &str) -> Option<SocketAddr> {
    let port = between(arguments, "_port=htons(", ")")?.parse().ok()?;
    let address = between(arguments, "inet_addr(\"", "\"")
        .or_else(|| between(arguments, "inet_pton(AF_INET6, \"", "\""))?;
    Some(SocketAddr::new(address.parse().ok()?, port))
}

fn between<'text>(text: &'text str, before: &str, after: &str) -> Option<&'text str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

/// Looks at the sockets of processes again and again, from a thread of its own.
#[derive(Debug)]
struct Sampler {
    watched: Arc<Mutex<Vec<u32>>>,
    seen: Arc<Mutex<BTreeSet<SocketAddr>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    fn start() -> Self {
        let watched = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (watched, seen, stop) =
                (Arc::clone(&watched), Arc::clone(&seen), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let now: Vec<u32> = watched.lock().expect("no panic holds it").clone();
                    let remotes = now.into_iter().flat_map(remotes);
                    seen.lock().expect("no panic holds it").extend(remotes);
                    std::thread::sleep(SAMPLED_EVERY);
                }
            })
        };
        Self {
            watched,
            seen,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The far ends of the connections that this process itself has made: not of those that it accepted
/// on a port of its own.
fn remotes(process: u32) -> Vec<SocketAddr> {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{process}/fd")) else {
        return Vec::new();
    };
    let own: BTreeSet<String> = descriptors
        .flatten()
        .filter_map(|entry| {
            let target = std::fs::read_link(entry.path()).ok()?;
            Some(between(target.to_str()?, "socket:[", "]")?.to_owned())
        })
        .collect();
    let sockets: Vec<Socket> = ["tcp", "tcp6", "udp", "udp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(format!("/proc/{process}/net/{table}")).ok())
        .flat_map(|table| {
            table
                .lines()
                .skip(1)
                .filter_map(Socket::read)
                .collect::<Vec<_>>()
        })
        .filter(|socket| own.contains(&socket.inode))
        .collect();
    let listening: BTreeSet<u16> = sockets
        .iter()
        .filter(|socket| socket.remote.port() == 0)
        .map(|socket| socket.local_port)
        .collect();
    let made = sockets
        .iter()
        .filter(|socket| socket.remote.port() != 0 && !listening.contains(&socket.local_port))
        .map(|socket| socket.remote);
    made.collect()
}

/// A line of `/proc/net/tcp` and its sisters.
struct Socket {
    local_port: u16,
    remote: SocketAddr,
    inode: String,
}

impl Socket {
    fn read(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = Self::address(fields.get(1)?)?;
        let remote = Self::address(fields.get(2)?)?;
        Some(Self {
            local_port: local.port(),
            remote,
            inode: (*fields.get(9)?).to_owned(),
        })
    }

    /// `0100007F:1F90`: each word of the address in the machine's byte order.
    fn address(text: &str) -> Option<SocketAddr> {
        let (address, port) = text.split_once(':')?;
        let mut bytes = Vec::new();
        for word in address.as_bytes().chunks(8) {
            let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
            bytes.extend(word.to_ne_bytes());
        }
        let address = match bytes.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
            _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        };
        Some(SocketAddr::new(
            address,
            u16::from_str_radix(port, 16).ok()?,
        ))
    }
}
