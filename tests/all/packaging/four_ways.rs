//! Each way to get larder (wheel, Debian package, image, source), from nothing to a cached install:
//! by the commands of the README and of the install page, timed, with what was typed and what was
//! said, in [`REPORT`].
//!
//! Not in `system_tools`, because it needs a wheel and a package: `bash .ci/release --quick` makes
//! both of the release binary (`.ci/run` does), `bash .ci/release` those that are published.
//!
//! larder runs with nothing configured but its GitLab, on the network of a machine with a Docker
//! Engine: its own port is free there, and it has no neighbours but the stand-ins. What compiles
//! takes what cargo has compiled before; the report counts what was left to do.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::common::delivery::eventually;
use crate::common::world::{APP, INSTALLED, World, app};
use crate::support::booted::Booted;
use crate::support::debian::{Daemon, Machine, install_commands, target_folder};
use crate::support::docker_host::{BRIDGE, DockerHost};
use crate::support::guide::Page;
use crate::support::larder::{binary, metric};
use crate::support::python::{clients, program};
use crate::support::relay::Relay;
use crate::support::{Client, Kind, Workbench, path, real_wheels, token};

const README: Page = Page(include_str!("../../../README.md"));
const INSTALL: Page = Page(include_str!("../../../docs/install.md"));

/// In the target folder.
const REPORT: &str = "four-ways.md";

const HEAD: &str = "| way | to get it | to the first page | first install | second install | file bytes asked upstream at the second |\n\
     | --- | --- | --- | --- | --- | --- |\n";

/// Where larder listens when it is told nothing.
const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 3141);

/// In the commands of the pages.
const PAGES_GITLAB: &str = "https://gitlab.example.com";

/// Under this name the base of the image can be found, which cannot be pulled.
const BASE: &str = "localhost/larder-base:debian";

/// Where a machine has the authority of the public index, in place of a public one.
const TRUSTED: &str = "/src/ca.pem";

#[test]
#[ignore = "needs LARDER_ARTEFACTS, a folder of .ci/release; cargo, docker.io, iproute2, debootstrap, and root"]
fn each_way_leads_from_nothing_to_a_cached_install() {
    // Made where there is a way out.
    program("pip");
    let host = DockerHost::start();
    let mut bench = Bench::new(&host);
    by_the_wheel(&mut bench, "pip", &readme_line("pip install ./larder"));
    by_the_wheel(&mut bench, "uv", &readme_line("uv tool install"));
    by_the_package(&mut bench);
    by_the_image(&mut bench);
    by_cargo_install(&mut bench);
    by_the_demo(&mut bench);
}

/// The network that all of it happens on, and what came of it so far.
struct Bench<'h> {
    host: &'h DockerHost,
    artefacts: PathBuf,
    rows: String,
    transcripts: String,
}

/// One way, as far as it has been walked.
struct Walk {
    way: String,
    /// The time that it took to get larder.
    got: Duration,
    /// When larder was there, and was to be started.
    started: Option<Instant>,
    transcript: String,
}

impl Walk {
    fn begin(way: &str) -> Self {
        Self {
            way: way.to_owned(),
            got: Duration::ZERO,
            started: None,
            transcript: String::new(),
        }
    }

    /// Types a line, and counts its time as time to get larder.
    fn gets(&mut self, line: &str, run: impl FnOnce(&str) -> String) {
        let started = Instant::now();
        let said = run(line);
        self.got += started.elapsed();
        self.note(line, &said);
    }

    fn starts(&mut self) {
        self.started = Some(Instant::now());
    }

    fn note(&mut self, line: &str, said: &str) {
        let _ = writeln!(self.transcript, "$ {line}");
        for line in said.lines() {
            let _ = writeln!(self.transcript, "{line}");
        }
    }
}

impl<'h> Bench<'h> {
    fn new(host: &'h DockerHost) -> Self {
        let folder = std::env::var_os("LARDER_ARTEFACTS");
        let folder = folder.expect("LARDER_ARTEFACTS names a folder");
        Self {
            host,
            artefacts: PathBuf::from(folder),
            rows: String::new(),
            transcripts: String::new(),
        }
    }

    /// The one artefact whose name ends so, if there is any.
    fn artefact(&self, end: &str) -> Option<PathBuf> {
        let entries = std::fs::read_dir(&self.artefacts).expect("a folder");
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.expect("readable").path();
            if path.to_string_lossy().ends_with(end) {
                found.push(path);
            }
        }
        assert!(found.len() < 2, "more than one: {found:?}");
        found.pop()
    }

    /// Starts the larder that was got, installs through it twice, and writes down how it went.
    fn installs<R>(&mut self, mut walk: Walk, start: impl FnOnce(&World, &mut Walk) -> R + Send) {
        let row = self.host.on_its_network(|| {
            let world = World::new();
            world.offer_an_app();
            let _larder = start(&world, &mut walk);
            let client = Client::new(ADDRESS.into());
            let page = path::project_page(42, APP);
            client.clone().token(token::READER).get(&page).expect(200);
            let page = walk.started.expect("it was started").elapsed();

            let first = install(&mut walk, token::READER);
            assert_eq!(world.file_bytes(), bytes_of_all(), "each file once");
            eventually("all of it is stored", || {
                metric(&client, "larder_downloads") == Some(0.0)
                    && metric(&client, "larder_prefetch_queue") == Some(0.0)
            });
            world.forget();
            let second = install(&mut walk, token::DEVELOPER);
            let again = world.file_bytes();
            assert_eq!(again, 0, "{}: fetched again", walk.way);
            assert!(world.gitlab.log().count(Kind::Page) > 0, "rights are asked");
            world.assert_innocent();
            let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
            let times = [walk.got, page, first, second].map(seconds).join(" | ");
            format!("| {} | {times} | {again} |\n", walk.way)
        });
        self.rows.push_str(&row);
        let _ = write!(
            self.transcripts,
            "\n## {}\n\n```text\n{}```\n",
            walk.way, walk.transcript
        );
        let report = format!("{HEAD}{}{}", self.rows, self.transcripts);
        std::fs::write(target_folder().join(REPORT), report).expect("a target folder");
        println!("{row}");
    }
}

fn bytes_of_all() -> u64 {
    let mut bytes = app().bytes.len() as u64;
    for wheel in real_wheels() {
        bytes += wheel.bytes.len() as u64;
    }
    bytes
}

/// A client that has never been here types the README's line.
fn install(walk: &mut Walk, secret: &str) -> Duration {
    let line = readme_line("pip install --index-url")
        .replace("TOKEN", secret)
        .replace("/ID/", "/42/")
        .replace("PACKAGE", APP);
    let programs = clients().expect("the clients");
    let search = format!("{}:/usr/bin:/bin", programs.display());
    let user = Workbench::new()
        .environment("PATH", &search)
        .environment("PIP_TARGET", "site");
    let done = user.run(Path::new("sh"), &["-ec", &line]);
    walk.note(&line, &done.expect_success().stdout);
    for name in INSTALLED {
        let installed = user.folder().join("site").join(name);
        assert!(installed.exists(), "{}: no {name}: {done:?}", walk.way);
    }
    done.took
}

/// The line of the README that begins so, without its remark; or the one that a remark offers.
fn readme_line(begins: &str) -> String {
    for title in ["Use it", "See it work"] {
        for line in README.commands(title) {
            let (command, remark) = line.split_once(" # ").unwrap_or((&line, ""));
            let (_, other) = remark.split_once("or: ").unwrap_or_default();
            for line in [command, other] {
                if line.starts_with(begins) {
                    return line.trim().to_owned();
                }
            }
        }
    }
    panic!("the README has no {begins}");
}

fn serve(world: &World) -> String {
    readme_line("larder serve").replace(PAGES_GITLAB, world.gitlab.url())
}

/// What the machine says, where its public authorities are in this file.
fn variables(world: &World, trusted: &str) -> Vec<(&'static str, String)> {
    let mut variables = world.variables().to_vec();
    for (name, value) in &mut variables {
        if *name == "SSL_CERT_FILE" {
            trusted.clone_into(value);
        }
    }
    variables
}

fn by_the_wheel(bench: &mut Bench<'_>, tool: &str, line: &str) {
    let section = INSTALL.section("With pip or uv");
    assert!(section.contains(line), "the install page has no {line}");
    let machine = Machine::new(&["python3-venv", "ca-certificates"]);
    let wheel = bench.artefact(".whl").expect("a wheel");
    let name = wheel.file_name().expect("a file").to_string_lossy();
    machine.put(&wheel, &format!("src/{name}"));
    machine.put(&program("uv"), "usr/bin/uv");
    machine.shell("python3 -m venv /opt/venv");
    let places = "PATH=/opt/venv/bin:/root/.local/bin:$PATH";
    let mut walk = Walk::begin(&format!("wheel, with {tool}"));
    walk.gets(line, |line| machine.shell(&format!("{places} {line} 2>&1")));
    bench.installs(walk, |world, walk| {
        machine.put(&world.folder.path().join("ca.pem"), TRUSTED);
        let line = serve(world);
        walk.note(&line, "");
        walk.starts();
        machine.start_line(&format!("env {places} {line}"), &variables(world, TRUSTED))
    });
}

/// Of the package systemd runs larder, on a machine that is up.
fn by_the_package(bench: &mut Bench<'_>) {
    let machine = Machine::new(&["systemd", "procps", "ca-certificates"]);
    let package = bench.artefact(".deb").expect("a package");
    let name = package.file_name().expect("a file").to_string_lossy();
    machine.put(&package, &format!("src/{name}"));
    let walk = Walk::begin("Debian package");
    bench.installs(walk, |world, walk| {
        machine.put(&world.folder.path().join("ca.pem"), TRUSTED);
        let mut said_by_the_machine = "[Service]\n".to_owned();
        for (name, value) in variables(world, TRUSTED) {
            let _ = writeln!(said_by_the_machine, "Environment={name}={value}");
        }
        let drop_in = world.folder.path().join("machine.conf");
        std::fs::write(&drop_in, said_by_the_machine).expect("a folder of ours");
        machine.put(&drop_in, "etc/systemd/system/larder.service.d/machine.conf");
        let booted = Booted::start(&machine);
        for line in install_commands("Debian, Ubuntu") {
            walk.gets(&line, |line| booted.shell(line));
        }
        walk.starts();
        let set = booted.set_gitlab(world.gitlab.url());
        walk.note(&set, "");
        let reload = "systemctl reload larder";
        assert!(INSTALL.section("Debian, Ubuntu").contains(reload));
        let said = booted.shell(reload);
        walk.note(reload, &said);
        booted
    });
}

/// A container that runs; it is removed with this.
struct Container<'h>(&'h DockerHost);

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.0.docker(&["rm", "--force", "larder"]);
    }
}

/// The archive of the image, or one that is made here of the binary.
fn by_the_image(bench: &mut Bench<'_>) {
    let host = bench.host;
    let folder = TempDir::new_in(target_folder()).expect("a folder");
    let archive = bench.artefact(".image.tar.gz").unwrap_or_else(|| {
        let made = folder.path().join("larder.image.tar");
        host.import_python(BASE);
        host.make_larder_image(BASE, &binary());
        host.expect(&["save", "--output", &made.to_string_lossy(), "larder"]);
        host.expect(&["image", "rm", "larder"]);
        made
    });
    let mut walk = Walk::begin("image");
    let line = format!("docker load --input {}", archive.display());
    walk.gets(&line, |line| host.shell(line, Path::new("/"), &[]));
    let commands = INSTALL.commands("Container");
    let run = commands.iter().find(|line| line.starts_with("docker run "));
    let run = run.expect("the page runs the image");
    bench.installs(walk, |world, walk| {
        // The stand-ins listen on the loopback; a container needs an address of the host.
        let gitlab = Relay::start_on(BRIDGE, world.gitlab.address());
        let proxy = Relay::start_on(BRIDGE, world.proxy.address());
        world
            .gitlab
            .set(|settings| settings.external_url = Some(gitlab.url()));
        let trusted = world.folder.path().join("ca.pem");
        let machine = format!(
            "--detach --name larder --volume {}:{TRUSTED}:ro --env SSL_CERT_FILE={TRUSTED} \
             --env HTTPS_PROXY={} --env NO_PROXY={BRIDGE}",
            trusted.display(),
            proxy.url()
        );
        let line = run
            .replacen("docker run ", &format!("docker run {machine} "), 1)
            .replace(PAGES_GITLAB, &gitlab.url());
        let container = Container(host);
        walk.starts();
        let said = host.shell(&line, Path::new("/"), &[]);
        walk.note(&line, &said);
        eventually("it listens", || {
            let log = host.docker(&["logs", "larder"]).stderr;
            String::from_utf8_lossy(&log).contains("listening on http://")
        });
        container
    });
}

/// Types a line that compiles; its way is named with what cargo had to do.
fn compiled(line: &str, install_root: &Path) -> (Walk, String) {
    let mut walk = Walk::begin(line);
    let mut said = String::new();
    walk.gets(line, |line| {
        let output = Command::new("sh")
            .args(["-ec", &format!("{line} 2>&1")])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CARGO_INSTALL_ROOT", install_root)
            .env("CARGO_TERM_COLOR", "never")
            .env_remove("LARDER_BINARY")
            .stdin(Stdio::null())
            .output()
            .expect("a shell");
        said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}:\n{said}");
        said.clone()
    });
    let words = said.lines().map(str::trim_start);
    let crates = words.filter(|line| line.starts_with("Compiling ")).count();
    walk.way = format!("source, `{line}` (crates left to compile: {crates})");
    (walk, said)
}

/// Starts a line that serves, where these programs are, from the folder of the sources.
fn start(line: &str, programs: &Path, world: &World) -> Daemon {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-ec", &format!("exec {line}")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .env("PATH", programs)
        .env("HOME", world.folder.path())
        .envs(world.variables());
    Daemon::start(command)
}

fn by_cargo_install(bench: &mut Bench<'_>) {
    let root = tempfile::tempdir().expect("a temporary folder");
    let (walk, _) = compiled(&readme_line("cargo install"), root.path());
    bench.installs(walk, |world, walk| {
        let line = serve(world);
        walk.note(&line, "");
        walk.starts();
        start(&line, &root.path().join("bin"), world)
    });
}

/// The README's first command, which leaves a binary and says how to start it.
fn by_the_demo(bench: &mut Bench<'_>) {
    let (walk, said) = compiled(&readme_line("cargo run"), Path::new("/"));
    let line = said
        .lines()
        .find(|line| line.ends_with(&format!("larder serve --gitlab {PAGES_GITLAB}")));
    let line = line.expect("the demo says how to start the binary").trim();
    bench.installs(walk, |world, walk| {
        let line = line.replace(PAGES_GITLAB, world.gitlab.url());
        walk.note(&line, "");
        walk.starts();
        start(&line, Path::new("/nowhere"), world)
    });
}
