//! systemd's own way of passing sockets on.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::support::larder::binary;
use crate::support::{Client, GitLab};

#[test]
#[ignore = "needs systemd"]
fn systemd_passes_its_sockets_on() {
    let gitlab = GitLab::start();
    let home = tempfile::tempdir().expect("a temporary folder");
    let [first, second] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let addresses = [first, second].map(|free| free.local_addr().expect("a listening socket"));
    let mut process = Command::new("systemd-socket-activate")
        .args(addresses.map(|address| format!("--listen={address}")))
        .arg("--fdname=larder:also")
        .arg(binary())
        .args(["serve", "--gitlab", gitlab.url(), "--cache-dir"])
        .arg(home.path().join("cache"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("systemd-socket-activate, of the package systemd");
    // It listens some time after its start, and starts larder at the first connection.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while std::net::TcpStream::connect(addresses[0]).is_err() && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let replies = addresses.map(|address| Client::new(address).get("/-/health/live"));
    // It became larder by exec: one process, ours to end.
    let _ = process.kill();
    let _ = process.wait();
    for reply in replies {
        reply.expect(200);
    }
}
