//! The Debian package on a bare Debian: installed as the install page says, upgraded, removed,
//! purged.
//!
//! Not in `system_tools`, because it needs a package: `bash .ci/release` makes one.

use std::path::PathBuf;

use crate::support::debian::{Machine, install_commands};

#[test]
#[ignore = "needs LARDER_PACKAGE, a .deb of .ci/release, debootstrap, and root"]
fn the_package_installs_upgrades_and_leaves_as_it_should() {
    let package =
        PathBuf::from(std::env::var_os("LARDER_PACKAGE").expect("LARDER_PACKAGE names a .deb"));
    let machine = Machine::new(&["systemd", "procps", "ca-certificates"]);
    let name = package
        .file_name()
        .expect("a file")
        .to_string_lossy()
        .into_owned();
    machine.put(&package, &format!("src/{name}"));

    for command in install_commands("Debian, Ubuntu") {
        machine.shell(&command);
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
    machine.shell("systemd-analyze verify --man=no larder.service");
    machine.shell("larder check-config --config /etc/larder/config.toml");
    machine.shell("larder --version");
    machine.serves_pip("/usr/lib/systemd/system/larder.service");

    // The administrator's configuration outlives another version's, and the cache outlives the
    // package.
    machine.shell("echo '# mine' >> /etc/larder/config.toml && mkdir -p /var/cache/private/larder");
    machine.shell("dpkg --install --force-confdef --force-confold *.deb");
    machine.shell("grep -q '^# mine$' /etc/larder/config.toml");
    machine.shell(
        "apt-get remove -y larder && test -d /var/cache/private/larder && test -f /etc/larder/config.toml",
    );
    machine.shell("apt-get purge -y larder && test ! -e /var/cache/private/larder && test ! -e /etc/larder && ! command -v larder");
}
