//! Index servers of others, the real programs, pinned: each started with the packages it is to
//! offer, on loopback, in a folder and with an environment of its own, and ended with the test.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::held_port::HeldPort;
use super::public_index::PublicIndex;
use super::python;
use super::wheel::Artifact;

/// The slowest of them imports for many seconds on a busy machine.
const START_MAX: Duration = Duration::from_mins(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A mirror of the stand-in.
    Devpi,
    /// A folder of files.
    PypiServer,
    /// In front of the stand-in; sends clients there for files.
    SimpleRepositoryServer,
    /// Static pages, and a folder of files beside them, by Python's own server.
    DumbPypi,
    /// In front of the stand-in.
    Proxpi,
}

impl Program {
    /// Of the index, below its address.
    pub fn index_path(self) -> &'static str {
        match self {
            Self::Devpi => "/site/mirror/+simple/",
            Self::Proxpi => "/index/",
            _ => "/simple/",
        }
    }

    fn command(self, folder: &Path, port: u16, source: &str) -> Command {
        let port = port.to_string();
        let tool = |pinned, name| Command::new(python::tool(&[pinned], name));
        let mut command;
        match self {
            Self::Devpi => {
                command = tool("devpi-server==6.20.3", "devpi-server");
                command.arg("--serverdir").arg(folder.join("server")).args([
                    "--host",
                    "127.0.0.1",
                    "--port",
                    &port,
                ]);
            }
            Self::PypiServer => {
                command = tool("pypiserver==2.4.2", "pypi-server");
                command
                    .args(["run", "--disable-fallback", "-i", "127.0.0.1", "-p", &port])
                    .arg(folder.join("packages"));
            }
            Self::SimpleRepositoryServer => {
                command = tool(
                    "simple-repository-server==0.10.0",
                    "simple-repository-server",
                );
                command.args(["--host", "127.0.0.1", "--port", &port, source]);
            }
            Self::DumbPypi => {
                command = Command::new(python::program("python"));
                command
                    .args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"])
                    .arg(folder)
                    .arg(&port);
            }
            Self::Proxpi => {
                command = tool("proxpi==1.3.1", "flask");
                command.args([
                    "--app",
                    "proxpi.server",
                    "run",
                    "--host",
                    "127.0.0.1",
                    "--port",
                    &port,
                ]);
                command
                    .env("PROXPI_INDEX_URL", source)
                    .env("PROXPI_CACHE_DIR", folder.join("cache"));
            }
        }
        command
    }

    /// What must be there before it starts.
    fn prepare(self, folder: &Path, wheels: &[Artifact]) {
        let packages = folder.join("packages");
        std::fs::create_dir(&packages).expect("a fresh folder");
        for wheel in wheels {
            std::fs::write(packages.join(&wheel.filename), &wheel.bytes)
                .expect("a writable folder");
        }
        match self {
            Self::Devpi => {
                let init = python::tool(&["devpi-server==6.20.3"], "devpi-init");
                let mut command = Command::new(init);
                command
                    .args(["--no-root-pypi", "--root-passwd", "x", "--serverdir"])
                    .arg(folder.join("server"));
                done(isolated(&mut command, folder));
            }
            Self::DumbPypi => {
                let line = |wheel: &Artifact| {
                    format!(
                        "{{\"filename\": \"{}\", \"hash\": \"sha256={}\"}}\n",
                        wheel.filename, wheel.sha256
                    )
                };
                let list = folder.join("packages.json");
                std::fs::write(&list, wheels.iter().map(line).collect::<String>())
                    .expect("a writable folder");
                let mut command = Command::new(python::tool(&["dumb-pypi==1.15.0"], "dumb-pypi"));
                command
                    .arg("--package-list-json")
                    .arg(&list)
                    .arg("--output-dir")
                    .arg(folder);
                command.args(["--packages-url", "../../packages/"]);
                done(isolated(&mut command, folder));
            }
            _ => {}
        }
    }
}

/// One that runs.
#[derive(Debug)]
pub struct IndexServer {
    program: Program,
    port: HeldPort,
    process: Child,
    folder: TempDir,
}

impl IndexServer {
    /// With these wheels, which the stand-in offers as well.
    pub fn start(program: Program, upstream: &PublicIndex, wheels: &[Artifact]) -> Self {
        let folder = TempDir::with_prefix("larder-index-server-").expect("a temporary folder");
        program.prepare(folder.path(), wheels);
        let port = HeldPort::new();
        let source = upstream.url();
        let mut command = program.command(folder.path(), port.address().port(), &source);
        let log = std::fs::File::create(folder.path().join("log")).expect("a writable folder");
        isolated(&mut command, folder.path())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        let process = command
            .spawn()
            .unwrap_or_else(|why| panic!("{command:?}: {why}"));
        let mut server = Self {
            program,
            port,
            process,
            folder,
        };
        server.wait();
        if program == Program::Devpi {
            server.make_a_mirror_of(&source);
        }
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub fn url(&self) -> String {
        format!("http://{}{}", self.address(), self.program.index_path())
    }

    fn wait(&mut self) {
        let until = Instant::now() + START_MAX;
        while TcpStream::connect(self.address()).is_err() {
            let ended = self.process.try_wait().expect("a child of ours");
            assert!(
                ended.is_none() && Instant::now() < until,
                "{:?} does not start: {}",
                self.program,
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn make_a_mirror_of(&self, source: &str) {
        let script = "import base64, json, sys, urllib.request as request\n\
            server, source = sys.argv[1:]\n\
            def ask(method, path, data, headers={}):\n    \
                headers = {'Content-Type': 'application/json', 'Accept': 'application/json', **headers}\n    \
                asked = request.Request(server + path, json.dumps(data).encode(), headers, method=method)\n    \
                return json.load(request.urlopen(asked))\n\
            token = ask('POST', '/+login', {'user': 'root', 'password': 'x'})['result']['password']\n\
            key = base64.b64encode(f'root:{token}'.encode()).decode()\n\
            ask('PUT', '/site', {'password': 'x'}, {'X-Devpi-Auth': key})\n\
            ask('PUT', '/site/mirror', {'type': 'mirror', 'mirror_url': source}, {'X-Devpi-Auth': key})\n";
        let mut command = Command::new(python::program("python"));
        command.args(["-c", script, &format!("http://{}", self.address()), source]);
        done(isolated(&mut command, self.folder.path()));
    }
}

impl Drop for IndexServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- {:?} said:\n{}", self.program, self.log());
        }
    }
}

/// Nothing inherited but the path, and a home of its own.
fn isolated<'c>(command: &'c mut Command, folder: &Path) -> &'c mut Command {
    command
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .current_dir(folder)
        .stdin(Stdio::null());
    for name in [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "PIP_INDEX_URL",
        "PIP_CONFIG_FILE",
    ] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command
}

fn done(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|why| panic!("{command:?}: {why}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
