//! The machine without a way out: each means by itself notices a program that goes out, and none
//! accuses one that does not.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::HeldPort;
use crate::support::{Isolated, Outcome, Workbench, python};

/// Connects, and keeps the connection for so many seconds: on a busy machine somebody who looks
/// every few milliseconds comes to look a few times a second.
const CONNECT: &str = "
import socket, sys, time
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5):
    time.sleep(float(sys.argv[3]))
";

/// Two processes on one machine: one listens, the other one connects.
const TALK: &str = "
import subprocess, socket, sys
with socket.create_server(('127.0.0.1', int(sys.argv[1]))) as listener:
    connect = 'import socket, sys; socket.create_connection((\"127.0.0.1\", int(sys.argv[1])), timeout=5)'
    client = subprocess.Popen([sys.executable, '-c', connect, sys.argv[1]])
    listener.settimeout(5)
    listener.accept()
    sys.exit(client.wait())
";

fn connect(machine: Isolated, to: SocketAddr) -> (Arc<Isolated>, Outcome) {
    let kept = if machine.is_sampled() { "3" } else { "0.1" };
    let machine = Arc::new(machine);
    let (address, port) = (to.ip().to_string(), to.port().to_string());
    let arguments = ["-c", CONNECT, &address, &port, kept];
    let done = Workbench::new()
        .on(&machine)
        .run(&python::program("python"), &arguments);
    (machine, done)
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    (listener, address)
}

#[test]
fn a_namespace_lets_nothing_out_not_even_to_this_machine() {
    let Ok(machine) = Isolated::by_namespace() else {
        eprintln!("this machine forbids user namespaces");
        return;
    };
    let (_listener, address) = listener();
    let (machine, done) = connect(machine, address);
    assert!(!done.succeeded(), "{done:?}");
    assert!(done.stderr.contains("Connection refused"), "{done:?}");
    assert!(machine.is_closed());
    // Documentation's own address: nobody answers there, but only without a route the answer is at
    // once.
    let started = Instant::now();
    let machine = Isolated::by_namespace().expect("as before");
    let (_, done) = connect(machine, ([192, 0, 2, 1], 80).into());
    assert!(done.stderr.contains("Network is unreachable"), "{done:?}");
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_trace_names_each_address_that_was_tried() {
    let Some(machine) = Isolated::by_trace() else {
        eprintln!("this machine forbids ptrace, or has no strace");
        return;
    };
    let (_listener, address) = listener();
    let (machine, done) = connect(machine, address);
    done.expect_success();
    assert_eq!(
        machine.connections().into_iter().collect::<Vec<_>>(),
        [address]
    );
    machine.assert_reached_only(&[address]);
}

#[test]
fn sockets_that_stay_for_a_moment_are_seen_by_looking() {
    let (_listener, address) = listener();
    let (machine, done) = connect(Isolated::by_sampling(), address);
    done.expect_success();
    assert_eq!(
        machine.connections().into_iter().collect::<Vec<_>>(),
        [address]
    );
}

#[test]
fn programs_on_one_machine_reach_each_other_and_nothing_else_is_seen() {
    for machine in [
        Some(Isolated::new()),
        Isolated::by_namespace().ok(),
        Isolated::by_trace(),
    ] {
        let Some(machine) = machine.map(Arc::new) else {
            continue;
        };
        let held = HeldPort::new();
        let address = held.address();
        let done = Workbench::new().on(&machine).run(
            &python::program("python"),
            &["-c", TALK, &address.port().to_string()],
        );
        done.expect_success();
        machine.assert_reached_only(&[address]);
        assert!(
            !machine.is_traced() || machine.connections().contains(&address),
            "{}",
            machine.means()
        );
    }
}

#[test]
fn a_connection_to_elsewhere_is_an_accusation() {
    let Some(machine) = Isolated::by_trace() else {
        eprintln!("this machine forbids ptrace, or has no strace");
        return;
    };
    let (_listener, address) = listener();
    let (machine, _) = connect(machine, address);
    let accused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        machine.assert_reached_only(&[])
    }));
    assert!(accused.is_err(), "{:?}", machine.connections());
}
