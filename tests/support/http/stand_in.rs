//! What stands in for any server: two ports, a runtime of its own, and what a test may ask of it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::runtime::Runtime;

use super::super::held_port::HeldPort;
use super::fault::{Act, Fault, Faults, Gate, PlannedFault, Site};
use super::kind::Door;
use super::log::RequestLog;
use super::server::{Host, Listening};
use super::tls::Tls;

/// What the state of every host holds.
#[derive(Debug)]
pub struct Shared<S> {
    settings: Mutex<S>,
    pub faults: Faults,
    pub log: RequestLog,
}

impl<S: Clone> Shared<S> {
    pub(in crate::support) fn new(settings: S) -> Self {
        Self {
            settings: Mutex::new(settings),
            faults: Faults::default(),
            log: RequestLog::default(),
        }
    }

    pub(in crate::support) fn settings(&self) -> S {
        self.settings.lock().expect("no panic holds it").clone()
    }
}

/// A running stand-in, which ends when this is dropped. Its runtime is its own, so that blocking
/// and async tests can use it alike.
#[derive(Debug)]
pub struct StandIn<H> {
    pub(in crate::support) host: Arc<H>,
    doors: [Listening; 2],
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

#[allow(
    private_bounds,
    private_interfaces,
    reason = "tests use the stand-ins by their own names, and make no host"
)]
impl<H: Host> StandIn<H> {
    /// `host` is made of the two doors' origins: scheme and authority, without a slash at the end.
    pub(in crate::support) fn serve(
        name: &str,
        doors: [(Door, Option<Tls>); 2],
        host: impl FnOnce([String; 2]) -> H,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(name)
            .enable_all()
            .build()
            .expect("a runtime for the stand-in");
        let handle = runtime.handle();
        let doors = doors.map(|(door, tls)| {
            let port = HeldPort::new();
            let scheme = if tls.is_some() { "https" } else { "http" };
            let origin = format!("{scheme}://{}", port.address());
            (door, tls, port, origin)
        });
        let origins = [0, 1].map(|number: usize| doors[number].3.clone());
        let host = Arc::new(host(origins));
        let doors =
            doors.map(|(door, tls, port, _)| Listening::start(handle, &host, door, port, tls));
        Self {
            host,
            doors,
            runtime: Some(runtime),
        }
    }

    /// Of the first door.
    pub fn address(&self) -> SocketAddr {
        self.doors[0].address()
    }

    pub(in crate::support) fn second_address(&self) -> SocketAddr {
        self.doors[1].address()
    }

    /// Turns switches, from the next request on.
    pub fn set(&self, change: impl FnOnce(&mut H::Settings)) {
        let settings = &self.host.shared().settings;
        change(&mut settings.lock().expect("no panic holds it"));
    }

    pub fn plan(&self, fault: Fault) -> PlannedFault {
        self.host.shared().faults.plan(fault)
    }

    /// Holds matching answers at so many bytes of their body until the gate is opened.
    pub fn hold(&self, site: impl Into<Site>, after: u64) -> Gate {
        let gate = Gate::new();
        let act = Act::Gate {
            after,
            gate: gate.clone(),
        };
        self.plan(act.at(site));
        gate
    }

    /// Takes back all faults; answers that wait at a gate go on waiting.
    pub fn behave(&self) {
        self.host.shared().faults.clear();
    }

    pub fn log(&self) -> &RequestLog {
        &self.host.shared().log
    }

    /// Closes both ports and all connections: from now on connections are refused.
    pub fn stop(&self) {
        self.doors.iter().for_each(Listening::stop);
    }

    /// Opens both ports again.
    pub fn resume(&self) {
        let runtime = self.runtime.as_ref().expect("not being dropped");
        for door in &self.doors {
            door.resume(runtime.handle(), &self.host);
        }
    }
}

impl<H> Drop for StandIn<H> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits for nothing, so that an async test may drop it.
            runtime.shutdown_background();
        }
    }
}
