//! The image, built from the `Dockerfile` and run by a real Docker Engine, as confined as the
//! install page has it.
//!
//! No image can be pulled where the tests run: the base is a Debian that debootstrap made. The
//! binary is the one under test, unless `LARDER_IMAGE` names an image: that of `.ci/container`,
//! which compiles it in a container, or of `.ci/release`.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::container_engine::{ContainerEngine, succeed};
use crate::support::{Client, GitLab, HeldPort, Workbench, debian, real_wheels, token};

/// As another user than root, nothing may be written but the cache.
const CONFINED: [&str; 4] = [
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--health-interval=1s",
];

/// Of a container on a busy machine, until it is as wanted.
const PATIENCE: Duration = Duration::from_secs(60);

/// An image, and the container and the network of one test, which go with it.
struct Bench {
    engine: ContainerEngine,
    image: String,
    /// Of the container, its volume and its network.
    name: String,
}

impl Bench {
    fn new(name: &str) -> Self {
        let engine = ContainerEngine::find_or_start();
        let image = std::env::var("LARDER_IMAGE").unwrap_or_else(|_| build(&engine));
        Self {
            engine,
            image,
            name: format!("larder-{name}-{}", std::process::id()),
        }
    }

    fn start(&self, options: &[&str], command: &[&str]) {
        let volume = format!("{}:/var/cache/larder", self.name);
        let mut arguments = vec!["run", "--detach", "--name", &self.name, "--volume", &volume];
        arguments.extend(CONFINED);
        arguments.extend(options);
        arguments.push(&self.image);
        arguments.extend(command);
        self.engine.docker(&arguments);
    }

    /// What a command prints in the container.
    fn inside(&self, command: &[&str]) -> String {
        let mut arguments = vec!["exec", &self.name];
        arguments.extend(command);
        self.engine.docker(&arguments)
    }

    fn state(&self, template: &str) -> String {
        self.engine
            .docker(&["inspect", &self.name, "--format", template])
    }

    fn wait_until_healthy(&self) {
        let until = Instant::now() + PATIENCE;
        while self.state("{{.State.Health.Status}}") != "healthy" {
            assert!(
                Instant::now() < until,
                "{}\n{}",
                self.state("{{json .State}}"),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn log(&self) -> String {
        let logs = self
            .engine
            .command("docker")
            .args(["logs", &self.name])
            .output();
        let logs = logs.expect("docker runs");
        String::from_utf8_lossy(&logs.stdout).into_owned() + &String::from_utf8_lossy(&logs.stderr)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for arguments in [
            ["rm", "--force", &self.name],
            ["volume", "rm", &self.name],
            ["network", "rm", &self.name],
        ] {
            self.engine.succeeds(&arguments);
        }
        if std::env::var_os("LARDER_IMAGE").is_none() {
            self.engine.succeeds(&["image", "rm", &self.image]);
        }
    }
}

/// The `Dockerfile`'s image of the binary under test, on a Debian of the same release.
fn build(engine: &ContainerEngine) -> String {
    let base = "localhost/larder-base:debian";
    let tar = debian::pristine(&["systemd", "procps", "ca-certificates"]);
    succeed(engine.command("docker").arg("import").arg(tar).arg(base));
    let image = format!("localhost/larder:{}", std::process::id());
    succeed(
        engine
            .command("bash")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args([".ci/image", &image, env!("CARGO_BIN_EXE_larder"), "--"])
            .args(["--build-arg", &format!("BASE_IMAGE={base}")]),
    );
    image
}

#[test]
#[ignore = "needs docker.io, debootstrap, and root"]
fn the_image_says_what_it_is() {
    let bench = Bench::new("labels");
    let image = bench.engine.docker(&["image", "inspect", &bench.image]);
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
    let version =
        bench
            .engine
            .docker(&["run", "--rm", "--network=none", &bench.image, "--version"]);
    assert!(
        version.starts_with(concat!("larder ", env!("CARGO_PKG_VERSION"))),
        "{version}"
    );
}

#[test]
#[ignore = "needs docker.io, debootstrap, and root"]
fn a_confined_container_serves_pip_and_stops_cleanly() {
    let gitlab = GitLab::start();
    for wheel in &real_wheels() {
        gitlab.publish(42, wheel);
    }
    let bench = Bench::new("confined");
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
        assert!(
            !bench
                .engine
                .succeeds(&["exec", &bench.name, "sh", "-c", &write]),
            "{folder} can be written"
        );
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

    bench.engine.docker(&["stop", "--time=30", &bench.name]);
    assert_eq!(bench.state("{{.State.ExitCode}}"), "0", "{}", bench.log());
}

#[test]
#[ignore = "needs docker.io, debootstrap, and root"]
fn a_published_port_leads_to_it_from_outside_the_bridge() {
    let bench = Bench::new("published");
    bench.engine.docker(&["network", "create", &bench.name]);
    bench.start(
        &["--network", &bench.name, "--publish=127.0.0.1:0:3141"],
        &["serve", "--gitlab", "https://gitlab.example.com"],
    );
    let published = bench.engine.docker(&["port", &bench.name, "3141/tcp"]);
    let address = published.lines().next().expect("a published port");
    bench.wait_until_healthy();
    let client = Client::new(address.parse().expect("an address"));
    client.get("/-/health/live").expect(200);
}

#[test]
fn the_dockerfile_is_of_this_version_and_this_toolchain() {
    let dockerfile = include_str!("../../../Dockerfile");
    let version = concat!("ARG VERSION=", env!("CARGO_PKG_VERSION"));
    assert!(dockerfile.lines().any(|line| line == version), "{version}");
    let rust = concat!("ARG RUST_IMAGE=rust:", env!("CARGO_PKG_RUST_VERSION"), "-");
    assert!(dockerfile.contains(rust), "{rust}");
}
