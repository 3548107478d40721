//! A bare Debian, and the commands of the install page, read from the page: what it says is what is
//! run.
//!
//! What compiles is left out: the binary is the one under test, put where the page's build leaves
//! it. No systemd runs here, so `enable` is real and `--now` is not; what `--now` would start is
//! started here, by the unit's own line. `docker_runners` types the same lines where one runs.

use std::path::Path;

use crate::support::debian::{Machine, install_commands};

#[test]
#[ignore = "needs debootstrap, and root"]
fn the_install_page_installs_a_service_on_a_bare_debian() {
    let machine = Machine::new(&["systemd", "procps", "ca-certificates"]);
    machine.bring(&["config.example.toml", "systemd"]);
    machine.put(
        Path::new(env!("CARGO_BIN_EXE_larder")),
        "src/target/release/larder",
    );

    let commands = install_commands("systemd");
    assert_eq!(
        commands.len(),
        4,
        "a section of four commands: {commands:?}"
    );
    for command in &commands {
        machine.shell(&command.replace(" --now", ""));
    }

    for unit in ["larder.service", "larder.socket"] {
        assert_eq!(
            machine
                .shell(&format!("systemctl is-enabled {unit}"))
                .trim(),
            "enabled",
            "{unit}"
        );
    }
    let faults =
        machine.shell("systemd-analyze verify --man=no /etc/systemd/system/larder.service 2>&1");
    assert_eq!(faults, "", "systemd-analyze verify");
    machine.shell("larder check-config --config /etc/larder/config.toml");
    machine.serves_pip("/etc/systemd/system/larder.service");
}

#[test]
#[ignore = "needs debootstrap, and root"]
fn the_install_page_compiles_with_these_commands_and_no_others() {
    // They are run by whoever builds; here it is seen that nobody changed them without looking.
    assert_eq!(
        install_commands("From source"),
        ["cargo install --path . --locked"]
    );
    assert_eq!(install_commands("For yourself").len(), 3);
    let machine = Machine::new(&["systemd", "procps", "ca-certificates"]);
    machine.bring(&["systemd"]);
    machine.put(Path::new(env!("CARGO_BIN_EXE_larder")), "src/larder");
    machine.shell("install -D larder ~/.local/bin/larder");
    for command in install_commands("For yourself")
        .iter()
        .filter(|command| !command.starts_with("cargo "))
    {
        // There is no session to start it in.
        machine.shell(&command.replace(" --now", ""));
    }
    let enabled = machine.shell("systemctl --user is-enabled larder.socket");
    assert_eq!(enabled.trim(), "enabled");
    machine.shell(
        "XDG_RUNTIME_DIR=/run systemd-analyze --user verify --man=no ~/.config/systemd/user/larder.service",
    );
}
