//! A configuration that contradicts the socket units of the service, by what `systemctl` says of
//! them; one stands in for it here.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::larder::binary;

/// A machine on which the service is started with `service.toml`, and `larder.socket` opens its
/// port.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(TempDir::with_prefix("larder-units-").expect("a temporary folder"));
        let config = machine.file("service.toml");
        let systemctl = format!(
            "#!/bin/sh\n\
             case \"$*\" in\n\
             '--system show --property=TriggeredBy --property=ExecStart larder.service')\n\
             echo 'TriggeredBy=larder.socket'\n\
             echo 'ExecStart={{ path=/usr/bin/larder ; argv[]=/usr/bin/larder serve --config {} ; ignore_errors=no ; pid=0 }}' ;;\n\
             '--system show --property=Listen larder.socket')\n\
             echo 'Listen=127.0.0.1:3141 (Stream)' ;;\n\
             *) exit 1 ;;\n\
             esac\n",
            config.display()
        );
        let program = machine.file("systemctl");
        std::fs::write(&program, systemctl).expect("a folder of ours");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, executable).expect("a file of ours");
        machine
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, command: &str, more: &[&str], config: &str, listen: &str) -> Output {
        let text = format!(
            "listen = {listen:?}\noffline = true\ncache_dir = {:?}\n",
            self.file("cache")
        );
        std::fs::write(self.file(config), text).expect("a folder of ours");
        Command::new(binary())
            .env_clear()
            .env("PATH", self.0.path())
            .arg(command)
            .args(more)
            .arg("--config")
            .arg(self.file(config))
            .output()
            .expect("the binary runs")
    }

    fn check_config(&self, config: &str, listen: &str) -> String {
        let output = self.run("check-config", &[], config, listen);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

#[test]
fn an_address_that_the_socket_unit_does_not_open_is_remarked_on() {
    let machine = Machine::new();
    let said = machine.check_config("service.toml", "0.0.0.0:3141");
    for part in [
        "warning: listen names 0.0.0.0:3141, and nothing will listen there",
        "larder.socket opens 127.0.0.1:3141 in its place",
        "systemctl edit larder.socket",
        "systemctl disable --now larder.socket",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let output = machine.run("doctor", &["--json"], "service.toml", "0.0.0.0:3141");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let findings = lines.lines().map(|line| {
        let finding: Value = serde_json::from_str(line).expect("a line of JSON");
        (finding["check"].clone(), finding["verdict"].clone())
    });
    let of_listen = ("listen".into(), "warning".into());
    assert!(
        findings.into_iter().any(|found| found == of_listen),
        "{lines}"
    );
}

#[test]
fn what_the_unit_opens_and_what_the_service_does_not_read_is_fine() {
    let machine = Machine::new();
    for (config, listen) in [
        ("service.toml", "127.0.0.1:3141"),
        ("another.toml", "0.0.0.0:3141"),
    ] {
        let said = machine.check_config(config, listen);
        assert!(!said.contains("warning"), "{config} {listen}: {said}");
    }
}
