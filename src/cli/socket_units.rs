//! The socket units that open addresses for the service, and what `listen` and `tls.listen` say
//! beside them.
//!
//! Where such a unit is enabled, it decides: the daemon takes its sockets in place of the addresses
//! of the configuration. The daemon warns of an address that nothing listens on; here the same is
//! said beforehand, by what `systemctl` tells of the units. Must not know what listens now. Where
//! there is no systemd, and for a configuration that is not the service's, nothing is said.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::app::config::Config;
use crate::server::ListenAddress;

const SERVICE: &str = "larder.service";

/// An address of the configuration that the units do not open.
pub(super) struct Contradiction {
    /// What is so.
    pub found: String,
    /// What to do.
    pub advice: String,
}

/// Looks at the service of the machine and at the user's own, whichever is started with this file.
pub(super) fn contradictions(config: &Config, file: Option<&Path>) -> Vec<Contradiction> {
    for manager in ["--system", "--user"] {
        let units = units(manager, file);
        if units.is_empty() {
            continue;
        }
        let mut arguments = vec!["--property=Listen"];
        arguments.extend(units.iter().map(String::as_str));
        let opened = show(manager, &arguments);
        return judge(config, &units, &opened);
    }
    Vec::new()
}

/// The socket units of the service that is started with this file.
fn units(manager: &str, file: Option<&Path>) -> Vec<String> {
    let told = show(
        manager,
        &["--property=TriggeredBy", "--property=ExecStart", SERVICE],
    );
    let mut units = Vec::new();
    let mut is_ours = false;
    for line in told.lines() {
        if let Some(names) = line.strip_prefix("TriggeredBy=") {
            let sockets = names.split(' ').filter(|name| name.ends_with(".socket"));
            units.extend(sockets.map(str::to_owned));
        }
        if let Some(start) = line.strip_prefix("ExecStart=") {
            is_ours = configuration(start) == file;
        }
    }
    if is_ours { units } else { Vec::new() }
}

/// The file that a command line names, as systemd shows one.
fn configuration(start: &str) -> Option<&Path> {
    let (_, named) = start.split_once(" --config ")?;
    named.split([' ', ';']).next().map(Path::new)
}

/// Pure. `opened` has a line `Listen=ADDRESS (Stream)` for each address of the units.
fn judge(config: &Config, units: &[String], opened: &str) -> Vec<Contradiction> {
    let mut listening = Vec::new();
    for line in opened.lines() {
        let address = line.strip_prefix("Listen=");
        if let Some((address, "(Stream)")) = address.and_then(|rest| rest.split_once(' ')) {
            listening.push(address.to_owned());
        }
    }
    let mut contradictions = Vec::new();
    for (key, address) in config.chosen_addresses() {
        let text = match address {
            ListenAddress::Tcp(address) => address.clone(),
            ListenAddress::Unix(path) => path.display().to_string(),
        };
        if listening.contains(&text) {
            continue;
        }
        let unit = units.join(", ");
        contradictions.push(Contradiction {
            found: format!(
                "{key} names {address}, and nothing will listen there: {unit} opens {} in its place",
                listening.join(", ")
            ),
            advice: format!(
                "say it in one place: `systemctl edit {}` with ListenStream={text} (and FileDescriptorName=tls for TLS), or \
                 `systemctl disable --now {unit}` to let the configuration decide",
                units[0]
            ),
        });
    }
    contradictions
}

/// What `systemctl show` prints; empty where it fails.
fn show(manager: &str, arguments: &[&str]) -> String {
    let mut systemctl = Command::new("systemctl");
    systemctl
        .args([manager, "show"])
        .args(arguments)
        .stdin(Stdio::null());
    match systemctl.output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_the_units_do_not_open_contradicts_them() {
        let units = ["larder.socket".to_owned(), "larder-tls.socket".to_owned()];
        let opened = "Listen=127.0.0.1:3141 (Stream)\nListen=/run/larder.sock (Stream)\n\nListen=0.0.0.0:3142 (Stream)\n";
        let found = |listen: &[&str], tls: &[&str]| {
            let parse = |texts: &[&str]| {
                let addresses = texts.iter().map(|text| text.parse().expect("an address"));
                crate::server::Addresses(addresses.collect())
            };
            let mut config = Config {
                listen: parse(listen),
                ..Config::default()
            };
            config.tls.listen = parse(tls);
            let found = judge(&config, &units, opened);
            let texts = found.into_iter().map(|contradiction| contradiction.found);
            texts.collect::<Vec<_>>()
        };
        // The default says nothing of its own.
        assert!(found(&["127.0.0.1:3141"], &[]).is_empty());
        assert!(found(&["unix:/run/larder.sock"], &["0.0.0.0:3142"]).is_empty());
        let [one, two] = &found(&["0.0.0.0:3141"], &["0.0.0.0:8443"])[..] else {
            panic!("two contradictions");
        };
        assert!(
            one.starts_with("listen names 0.0.0.0:3141, and nothing"),
            "{one}"
        );
        assert!(one.ends_with("opens 127.0.0.1:3141, /run/larder.sock, 0.0.0.0:3142 in its place"));
        assert!(two.starts_with("tls.listen names 0.0.0.0:8443"), "{two}");
    }

    #[test]
    fn the_file_is_found_in_what_systemd_shows() {
        let start = "{ path=/usr/bin/larder ; argv[]=/usr/bin/larder serve --config /etc/larder/config.toml ; ignore_errors=no }";
        assert_eq!(
            configuration(start),
            Some(Path::new("/etc/larder/config.toml"))
        );
        let without = "{ path=/usr/local/bin/larder ; argv[]=/usr/local/bin/larder serve ; ignore_errors=no }";
        assert_eq!(configuration(without), None);
    }
}
