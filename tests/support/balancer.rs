//! A load balancer on 127.0.0.1 that gives each request to the next of its servers, whoever sends
//! it over which connection.
//!
//! It answers one request a connection and closes it, as HTTP/1.1 allows (RFC 9112 §9.6), so that
//! no client can stay with one server; or it gives each connection to the next one, as it is.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

const END_OF_HEAD: &[u8] = b"\r\n\r\n";
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Balances for as long as the program runs.
#[derive(Clone, Debug)]
pub struct Balancer {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    servers: Vec<SocketAddr>,
    /// A connection stays with the server of its first request.
    by_connection: bool,
    next: AtomicUsize,
    /// What is done before the first request whose target ends in this goes on.
    planned: Mutex<Option<(String, Deed)>>,
    /// The target of each request, and the server that it went to.
    passed: Mutex<Vec<(String, usize)>>,
}

type Deed = Box<dyn FnOnce() + Send>;

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.servers.fmt(f)
    }
}

impl Balancer {
    /// In front of these servers.
    pub fn start(servers: &[SocketAddr]) -> Self {
        Self::start_by(servers, false)
    }

    /// The same for each connection in place of each request.
    pub fn by_connection(servers: &[SocketAddr]) -> Self {
        Self::start_by(servers, true)
    }

    fn start_by(servers: &[SocketAddr], by_connection: bool) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a listening socket");
        let state = Arc::new(State {
            servers: servers.to_vec(),
            by_connection,
            next: AtomicUsize::new(0),
            planned: Mutex::default(),
            passed: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || state.answer(client));
            }
        });
        Self { address, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does this once, before the first request whose target ends in `ending` goes on.
    pub fn before(&self, ending: &str, deed: impl FnOnce() + Send + 'static) {
        let planned = Some((ending.to_owned(), Box::new(deed) as Deed));
        *self
            .state
            .planned
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = planned;
    }

    /// Whether what was to be done has been done.
    pub fn has_done(&self) -> bool {
        self.state
            .planned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }

    /// The requests since the last call: the target of each, and the number of the server that it
    /// went to.
    pub fn take(&self) -> Vec<(String, usize)> {
        std::mem::take(
            &mut *self
                .state
                .passed
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

impl State {
    fn answer(&self, mut client: TcpStream) {
        let Some((head, rest)) = read_head(&mut client) else {
            return;
        };
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        {
            let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, deed)) =
                planned.take_if(|(ending, _)| target.ends_with(ending.as_str()))
            {
                deed();
            }
        }
        let number = self.next.fetch_add(1, Ordering::SeqCst) % self.servers.len();
        self.passed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((target, number));
        // A server that is gone is a connection that closes.
        let Ok(mut server) = TcpStream::connect(self.servers[number]) else {
            return;
        };
        if self.by_connection {
            return pass_on(client, server, &[head.as_bytes(), &rest].concat());
        }
        let kept = |line: &&str| !line.to_ascii_lowercase().starts_with("connection:");
        let mut lines: Vec<&str> = head.split("\r\n").filter(kept).collect();
        lines.insert(1, "Connection: close");
        let passed = server
            .write_all((lines.join("\r\n")).as_bytes())
            .and_then(|()| server.write_all(&rest));
        if passed.is_ok() {
            let _ = std::io::copy(&mut server, &mut client);
        }
    }
}

/// Everything, both ways, after what was read already.
fn pass_on(client: TcpStream, mut server: TcpStream, begun: &[u8]) {
    let (Ok(mut from_client), Ok(mut to_server)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    if to_server.write_all(begun).is_err() {
        return;
    }
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let mut client = client;
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
}

/// A request's head, with its empty line, and what came with it of the body.
fn read_head(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = bytes
            .windows(END_OF_HEAD.len())
            .position(|window| window == END_OF_HEAD)
        {
            let rest = bytes.split_off(end + END_OF_HEAD.len());
            return Some((String::from_utf8(bytes).ok()?, rest));
        }
        let length = client.read(&mut piece).ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&piece[..length]);
        if bytes.len() > HEAD_BYTES_MAX {
            return None;
        }
    }
}
