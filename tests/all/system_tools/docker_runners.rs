//! The recipes of `docs/gitlab-ci.md` for Docker, read from the page: real containers on a real
//! bridge, larder beside them, and a job that installs.
//!
//! gitlab-runner itself is in no registry that the tests reach. What it does with the keys that the
//! recipes use is done here: a job's container gets the `environment` with each reference to the
//! job's own variables replaced, the image, and the `extra_hosts`, `network_mode` and `volumes`. A
//! key that is not known here fails the test.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::runner::{
    PAGE, PROJECT, every_wheel_once, expanded, gitlab, new_job, runner_table, strings,
};
use crate::support::booted::Booted;
use crate::support::debian::{Machine, install_commands, pristine};
use crate::support::docker_host::{BRIDGE, DockerHost};
use crate::support::larder::{Builder, binary};
use crate::support::python::program;
use crate::support::relay::Relay;
use crate::support::{Authority, GitLab, Larder, path};

/// What a machine needs for the service.
const SYSTEMD: [&str; 3] = ["systemd", "procps", "ca-certificates"];

/// What a job runs, with pip and with uv.
const WITH_PIP: &str = "pip install --no-cache-dir --quiet --target /tmp/site requests python-dateutil \
     && PYTHONPATH=/tmp/site python3 -c 'import requests, dateutil'";
const WITH_UV: &str = "uv pip install --quiet --no-cache --target /tmp/site requests python-dateutil \
     && PYTHONPATH=/tmp/site python3 -c 'import requests, dateutil'";

#[test]
#[ignore = "needs docker.io, iproute2, debootstrap, and root"]
fn the_docker_executor_reaches_a_larder_on_the_host() {
    let title = "Docker executor, larder on the host";
    on_a_docker_host(|host| {
        let gitlab = gitlab();
        let listen = addresses(title);
        assert!(listen.contains(&format!("{BRIDGE}:3141")), "{listen:?}");
        let _larder = listening(Larder::builder(&gitlab), &listen).start();
        let runner = Runner::of_page(host, title);
        installs_cached(&gitlab, &runner);
        // As FF_NETWORK_PER_BUILD has it: the host answers on every network of its containers.
        host.expect(&["network", "create", "per-build"]);
        let mut apart = runner.clone();
        apart.network_mode = Some("per-build".to_owned());
        apart
            .job(&gitlab, WITH_PIP)
            .expect("a job on a network of its own");
        // The job's own address, and no trust: pip says which variable is missing.
        let refused = runner.without("PIP_TRUSTED_HOST").job(&gitlab, WITH_PIP);
        let why = refused.expect_err("an index on plain http");
        assert!(why.contains("not a trusted or secure host"), "{why}");
    });
}

#[test]
#[ignore = "needs docker.io, iproute2, debootstrap, and root"]
fn the_docker_executor_reaches_the_service_of_the_host() {
    let title = "Docker executor, larder on the host";
    // Here, because Debian's archive is not on the Docker host's network.
    pristine(&SYSTEMD);
    on_a_docker_host(|host| {
        let gitlab = gitlab();
        let machine = Machine::new(&SYSTEMD);
        machine.bring(&["config.example.toml", "systemd"]);
        machine.put(&binary(), "src/target/release/larder");
        let booted = Booted::start(&machine);
        let lines = install_commands("systemd");
        let (start, install) = lines.split_last().expect("lines");
        for line in install {
            booted.shell(line);
        }
        booted.set_gitlab(gitlab.url());
        booted.shell(start);
        // What `systemctl edit` does with what is typed there.
        let [drop_in] = &PAGE.blocks(title, "ini")[..] else {
            panic!("one drop-in below {title}");
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("override.conf");
        std::fs::write(&file, format!("{drop_in}\n")).expect("a folder of ours");
        machine.put(&file, "etc/systemd/system/larder.socket.d/override.conf");
        booted.shell("systemctl daemon-reload");
        let runner = Runner::of_page(host, title);
        let refused = runner.job(&gitlab, WITH_PIP);
        assert!(refused.is_err(), "the bridge's address was open already");
        for line in PAGE.commands(title) {
            booted.shell(&line);
        }
        installs_cached(&gitlab, &runner);
    });
}

#[test]
#[ignore = "needs docker.io, iproute2, debootstrap, and root"]
fn the_docker_executor_reaches_a_larder_in_a_container() {
    let title = "Docker executor, larder as a container";
    on_a_docker_host(|host| {
        let gitlab = gitlab();
        // The stand-in listens on the loopback; a container needs an address of the host.
        let relay = Relay::start_on(BRIDGE, gitlab.address());
        gitlab.set(|settings| settings.external_url = Some(relay.url()));
        let runner = Runner::of_page(host, title);
        host.make_larder_image(&runner.image, &binary());
        for command in PAGE.commands(title) {
            let command = command.replace("https://gitlab.example.com", &relay.url());
            host.shell(&command, Path::new("/"), &[]);
        }
        wait_until_it_answers(&runner);
        installs_cached(&gitlab, &runner);
        // compose.yaml has the network under the name that the runner's file has.
        let compose = include_str!("../../../docs/compose.yaml");
        assert!(compose.contains("\n    name: builds\n"), "{compose}");
    });
}

#[test]
#[ignore = "needs docker.io, iproute2, debootstrap, and root"]
fn docker_build_in_a_job_gets_the_index_and_keeps_no_token() {
    let title = "docker build in a job";
    let recipe = "Docker executor, larder on the host";
    on_a_docker_host(|host| {
        let gitlab = gitlab();
        let _larder = listening(Larder::builder(&gitlab), &addresses(recipe)).start();
        let runner = Runner::of_page(host, recipe);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [dockerfile] = &PAGE.blocks(title, "dockerfile")[..] else {
            panic!("one Dockerfile below {title}");
        };
        let dockerfile = format!("FROM {}\n{dockerfile}\n", runner.image);
        for (name, text) in [
            ("Dockerfile", &*dockerfile),
            ("requirements.txt", "requests\npython-dateutil\n"),
        ] {
            std::fs::write(folder.path().join(name), text).expect("a folder of ours");
        }
        let token = new_job(&gitlab);
        let environment = runner.environment(&token);
        let [command] = &PAGE.commands(title)[..] else {
            panic!("one command below {title}");
        };
        host.shell(command, folder.path(), &environment);
        host.expect(&[
            "run",
            "--rm",
            "app",
            "python3",
            "-c",
            "import requests, dateutil",
        ]);
        assert_eq!(gitlab.log().file_bodies(), every_wheel_once());
        let history = host.expect(&["history", "--no-trunc", "app"]);
        let inspected = host.expect(&["inspect", "app"]);
        assert!(history.contains("pip install"), "{history}");
        assert!(
            !history.contains(&token) && !inspected.contains(&token),
            "{history}"
        );
    });
}

#[test]
#[ignore = "needs docker.io, iproute2, debootstrap, and root"]
fn the_docker_executor_reaches_a_central_larder_over_tls() {
    let title = "One central larder, with TLS";
    on_a_docker_host(|host| {
        let gitlab = gitlab();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::new("the company's own");
        let name = "larder.example.com";
        let (certificate, key) = authority.server(&[name]).write(folder.path(), "larder");
        let file = authority.write(folder.path(), "larder-ca");
        let blocks = PAGE.blocks(title, "toml");
        let [central, _] = &blocks[..] else {
            panic!("larder's file and the runner's below {title}");
        };
        let central = central
            .replace(
                "/etc/larder/tls/larder.pem",
                &certificate.display().to_string(),
            )
            .replace("/etc/larder/tls/larder.key", &key.display().to_string());
        let (settings, sections) = central.split_once("\n[").expect("top level, then sections");
        let mut builder = Larder::builder(&gitlab).port(3141);
        for line in settings.lines() {
            if !line.starts_with('#') && !line.starts_with("listen") {
                builder = builder.setting(line);
            }
        }
        let _larder = builder.sections(&format!("[{sections}")).start();
        let mut runner = Runner::of_page(host, title);
        // In the place of the company's name server, and of the file that is on each agent.
        runner.extra_hosts.push(format!("{name}:{BRIDGE}"));
        for volume in &mut runner.volumes {
            let (_, inside) = volume.split_once(':').expect("SOURCE:TARGET");
            *volume = format!("{}:{inside}", file.display());
        }
        installs_cached(&gitlab, &runner);
        let stranger = runner.without("PIP_CERT").without("SSL_CERT_FILE");
        let refused = stranger
            .without("REQUESTS_CA_BUNDLE")
            .job(&gitlab, WITH_PIP);
        let why = refused.expect_err("an authority that is not known");
        assert!(why.contains("CERTIFICATE_VERIFY_FAILED"), "{why}");
    });
}

/// Does this on the network of a machine with a Docker Engine, from which nothing can be fetched:
/// the clients are made first.
fn on_a_docker_host(act: impl FnOnce(&DockerHost) + Send) {
    program("uv");
    let host = DockerHost::start();
    host.on_its_network(|| act(&host));
}

/// A container that was just started may not listen yet.
fn wait_until_it_answers(runner: &Runner) {
    let ask = "python3 -c \"import urllib.request; urllib.request.urlopen('http://larder:3141/-/health/live')\"";
    let until = Instant::now() + Duration::from_secs(30);
    while let Err(why) = runner.run(&[], ask) {
        assert!(Instant::now() < until, "{why}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The `listen` that larder's file has on the page.
fn addresses(title: &str) -> Vec<String> {
    for block in PAGE.blocks(title, "toml") {
        let table: toml::Table = block.parse().expect("the page's TOML");
        if table.contains_key("listen") {
            return strings(&table, "listen");
        }
    }
    panic!("no listen below {title}");
}

fn listening(builder: Builder, addresses: &[String]) -> Builder {
    let mut builder = builder.port(3141);
    for address in addresses {
        if address != "127.0.0.1:3141" {
            builder = builder.argument("--listen").argument(address);
        }
    }
    builder
}

/// The first job brings each wheel once; the second, with uv and a token of its own, none; and a
/// token that is none gets none.
#[track_caller]
fn installs_cached(gitlab: &GitLab, runner: &Runner) {
    gitlab.log().clear();
    runner.job(gitlab, WITH_PIP).expect("a job with pip");
    assert_eq!(gitlab.log().file_bodies(), every_wheel_once());
    gitlab.log().clear();
    runner.job(gitlab, WITH_UV).expect("a job with uv");
    assert_eq!(gitlab.log().file_bodies().bytes, 0, "fetched again");
    let refused = runner.run(&runner.environment("no-token"), WITH_PIP);
    assert!(refused.is_err(), "installed without a right");
    let page = path::project_index(PROJECT);
    let entries = gitlab.log().entries();
    let asked = entries
        .iter()
        .any(|entry| entry.head.path().starts_with(&page));
    assert!(asked, "GitLab was never asked about the second job");
}

/// A runner's section of `config.toml`, and what is done with it.
#[derive(Clone)]
struct Runner<'a> {
    host: &'a DockerHost,
    environment: Vec<String>,
    image: String,
    extra_hosts: Vec<String>,
    network_mode: Option<String>,
    volumes: Vec<String>,
}

impl<'a> Runner<'a> {
    /// The one on the page, with an image of that name made.
    fn of_page(host: &'a DockerHost, title: &str) -> Self {
        let table = runner_table(title);
        let text = |table: &toml::Table, key: &str| {
            let value = table.get(key).and_then(toml::Value::as_str);
            value.map(str::to_owned)
        };
        assert_eq!(text(&table, "executor").as_deref(), Some("docker"));
        let docker = table["docker"].as_table().expect("[runners.docker]");
        for key in docker.keys() {
            let known = ["image", "extra_hosts", "network_mode", "volumes"];
            assert!(known.contains(&key.as_str()), "runners.docker.{key}?");
        }
        let runner = Self {
            host,
            environment: strings(&table, "environment"),
            image: text(docker, "image").expect("an image"),
            extra_hosts: strings(docker, "extra_hosts"),
            network_mode: text(docker, "network_mode"),
            volumes: strings(docker, "volumes"),
        };
        host.import_python(&runner.image);
        runner
    }

    /// The same without a variable.
    fn without(&self, name: &str) -> Self {
        let mut changed = self.clone();
        let begin = format!("{name}=");
        changed.environment.retain(|line| !line.starts_with(&begin));
        assert_eq!(changed.environment.len() + 1, self.environment.len());
        changed
    }

    /// A new job of the project: `Err` is what it said.
    fn job(&self, gitlab: &GitLab, script: &str) -> Result<String, String> {
        self.run(&self.environment(&new_job(gitlab)), script)
    }

    fn environment(&self, token: &str) -> Vec<(String, String)> {
        expanded(&self.environment, token)
    }

    fn run(&self, environment: &[(String, String)], script: &str) -> Result<String, String> {
        let uv = format!("{}:/usr/local/bin/uv:ro", program("uv").display());
        let mut arguments = vec!["run".to_owned(), "--rm".to_owned()];
        let mut option =
            |name: &str, value: &str| arguments.extend([name.to_owned(), value.to_owned()]);
        option("--volume", &uv);
        for (name, value) in environment {
            option("--env", &format!("{name}={value}"));
        }
        for host in &self.extra_hosts {
            option("--add-host", host);
        }
        if let Some(network) = &self.network_mode {
            option("--network", network);
        }
        for volume in &self.volumes {
            option("--volume", volume);
        }
        arguments.extend([&self.image, "sh", "-ec", script].map(str::to_owned));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = self.host.docker(&arguments);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if output.status.success() {
            Ok(said)
        } else {
            Err(said)
        }
    }
}
