//! The image, built from the `Dockerfile` and run by a real Docker Engine, as confined as the
//! install page has it.
//!
//! No image can be pulled where the tests run: the base is a Debian that debootstrap made. The
//! binary is the one under test, unless `LARDER_IMAGE` names an archive: that of `.ci/release`, or of
//! `.ci/container`, which compiles larder in a container.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::docker_host::DockerHost;
use crate::support::larder::binary;
use crate::support::python::program;
use crate::support::{Client, GitLab, HeldPort, Workbench, real_wheels, token};

/// As another user than root, nothing may be written but the cache.
const CONFINED: [&str; 5] = [
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--health-interval=1s",
    "--volume=cache:/var/cache/larder",
];

/// Of the container.
const NAME: &str = "proof";

/// Of a container on a busy machine, until it is as wanted.
const PATIENCE: Duration = Duration::from_secs(60);

/// Under this name the base can be found, which cannot be pulled.
const BASE: &str = "localhost/larder-base:debian";

/// A Docker Engine, an image, and one container.
struct Bench<'a> {
    host: &'a DockerHost,
    image: String,
}

impl Bench<'_> {
    fn start(&self, options: &[&str], command: &[&str]) {
        let mut arguments = vec!["run", "--detach", "--name", NAME];
        arguments.extend(CONFINED);
        arguments.extend(options);
        arguments.push(&self.image);
        arguments.extend(command);
        self.host.expect(&arguments);
    }

    /// What a command prints in the container.
    fn inside(&self, command: &[&str]) -> String {
        let mut arguments = vec!["exec", NAME];
        arguments.extend(command);
        self.host.expect(&arguments)
    }

    fn state(&self, template: &str) -> String {
        self.host.expect(&["inspect", NAME, "--format", template])
    }

    fn wait_until_healthy(&self) {
        let until = Instant::now() + PATIENCE;
        while self.state("{{.State.Health.Status}}") != "healthy" {
            let state = self.state("{{json .State}}");
            assert!(Instant::now() < until, "{state}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn log(&self) -> String {
        format!("{:?}", self.host.docker(&["logs", NAME]))
    }
}

/// Runs a test where the engine's containers can be reached.
fn with_the_image(test: impl FnOnce(&Bench) + Send) {
    // The clients come from outside, where the engine's own network does not lead.
    let _ = program("pip");
    let host = DockerHost::start();
    let image = if let Ok(archive) = std::env::var("LARDER_IMAGE") {
        let said = host.expect(&["load", "--input", &archive]);
        let (_, name) = said.rsplit_once("Loaded image: ").expect("an image's name");
        name.to_owned()
    } else {
        host.import_python(BASE);
        host.make_larder_image(BASE, &binary());
        "larder".to_owned()
    };
    host.on_its_network(|| test(&Bench { host: &host, image }));
}

#[test]
#[ignore = "needs docker.io, iproute2, debootstrap, and root"]
fn the_image_says_what_it_is() {
    with_the_image(says_what_it_is);
}

fn says_what_it_is(bench: &Bench) {
    let image = bench.host.expect(&["image", "inspect", &bench.image]);
    let image: Value = serde_json::from_str(&image).expect("JSON");
    let config = &image[0]["Config"];

    let labels = &config["Labels"];
    let label = |name: &str| labels[format!("org.opencontainers.image.{name}")].as_str();
    assert_eq!(label("title"), Some("larder"));
    assert_eq!(label("version"), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(label("licenses"), Some("MIT OR Apache-2.0"));
    assert!(label("revision").is_some_and(|commit| !commit.is_empty()));
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["StopSignal"], "SIGTERM");
    let run = ["run", "--rm", "--network=none", &bench.image, "--version"];
    let version = bench.host.expect(&run);
    assert!(
        version.starts_with(concat!("larder ", env!("CARGO_PKG_VERSION"))),
        "{version}"
    );
}

#[test]
#[ignore = "needs docker.io, iproute2, debootstrap, and root"]
fn a_confined_container_serves_pip_and_stops_cleanly() {
    with_the_image(serves_pip_and_stops);
}

fn serves_pip_and_stops(bench: &Bench) {
    let gitlab = GitLab::start();
    for wheel in &real_wheels() {
        gitlab.publish(42, wheel);
    }
    let held = HeldPort::new();
    let address = held.address();
    // The stand-in listens on this machine's loopback alone.
    bench.start(
        &[
            "--network=host",
            &format!("--env=LARDER_LISTEN={address}"),
            &format!("--env=LARDER_GITLAB__URL={}", gitlab.url()),
        ],
        &[],
    );

    // The image's own check says so.
    bench.wait_until_healthy();
    let status = bench.inside(&["cat", "/proc/1/status"]);
    for line in [
        "Uid:\t65532\t65532\t65532\t65532",
        "Gid:\t65532\t65532\t65532\t65532",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(status.contains(line), "{line}:\n{status}");
    }
    for folder in ["/etc", "/tmp", "/usr"] {
        let write = format!("echo > {folder}/probe");
        let written = bench.host.docker(&["exec", NAME, "sh", "-c", &write]);
        assert!(!written.status.success(), "{folder} can be written");
    }

    let index = format!(
        "http://__token__:{}@{address}/api/v4/projects/42/packages/pypi/simple/",
        token::READER
    );
    for _ in 0..2 {
        let user = Workbench::new();
        user.pip(&[
            "install",
            "--target",
            "site",
            "--index-url",
            &index,
            "requests",
        ])
        .expect_success();
        assert!(user.folder().join("site/requests").exists());
    }
    let files = gitlab.log().file_bodies().transfers;
    assert_eq!(files, 5, "requests and its dependencies, once each");
    let stats = bench.inside(&["larder", "stats"]);
    assert!(stats.contains("  in projects/42 "), "{stats}");

    bench.host.expect(&["stop", "--time=30", NAME]);
    assert_eq!(bench.state("{{.State.ExitCode}}"), "0", "{}", bench.log());
}

#[test]
#[ignore = "needs docker.io, iproute2, debootstrap, and root"]
fn a_published_port_leads_to_it_from_outside_the_bridge() {
    with_the_image(|bench| {
        bench.start(
            &["--publish=127.0.0.1:3141:3141"],
            &["serve", "--gitlab", "https://gitlab.example.com"],
        );
        bench.wait_until_healthy();
        let client = Client::new(([127, 0, 0, 1], 3141).into());
        client.get("/-/health/live").expect(200);
    });
}

#[test]
fn the_dockerfile_is_of_this_version_and_this_toolchain() {
    let dockerfile = include_str!("../../../Dockerfile");
    let version = concat!("ARG VERSION=", env!("CARGO_PKG_VERSION"));
    assert!(dockerfile.lines().any(|line| line == version), "{version}");
    let rust = concat!("ARG RUST_IMAGE=rust:", env!("CARGO_PKG_RUST_VERSION"), "-");
    assert!(dockerfile.contains(rust), "{rust}");
}
