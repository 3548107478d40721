//! A TCP relay that misbehaves on command: between larder and a server of others that cannot be told to.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

const PIECE_BYTES: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RelayFault {
    #[default]
    None,
    /// Every connection is closed at once.
    Closed,
    /// After so many bytes of one connection in one direction nothing more comes.
    Stalls { after: usize },
    /// After so many bytes of one connection in one direction it is closed.
    Cuts { after: usize },
    /// So many bytes a second pass in one direction, once this many have.
    Slow {
        after: usize,
        bytes_per_second: usize,
    },
    /// In each direction of a connection the byte at this place is another one.
    Flips { at: usize },
    /// Every request is answered with this status and body.
    Answers {
        status: &'static str,
        body: &'static str,
    },
    /// Every request is answered with this status, and its body never comes.
    Withholds { status: &'static str },
    /// Every request is answered with this status, and its body never ends.
    Floods { status: &'static str },
    /// Every request with a longer body than this is answered with this status.
    RefusesLonger { than: u64, status: &'static str },
    /// Every connection on which a request with a longer body than this begins is closed.
    ClosesLonger { than: u64 },
    /// Every request with a longer body than this waits until it is let through.
    HoldsLonger { than: u64 },
}

#[derive(Debug)]
pub struct FaultyRelay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    fault: Mutex<RelayFault>,
    connections: AtomicU64,
    held: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl Shared {
    fn fault(&self) -> RelayFault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultyRelay {
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a listening socket");
        let shared = Arc::new(Shared::default());
        let relays = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                relays.connections.fetch_add(1, Ordering::SeqCst);
                if let Ok(handle) = client.try_clone() {
                    let mut open = relays.open.lock().unwrap_or_else(PoisonError::into_inner);
                    open.push(handle);
                }
                let shared = Arc::clone(&relays);
                thread::spawn(move || serve(client, server, &shared));
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on; connections that are open are closed.
    pub fn fails(&self, fault: RelayFault) {
        *self
            .shared
            .fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = fault;
        let mut open = self
            .shared
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for connection in open.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// What is held goes on, and nothing is closed.
    pub fn lets_through(&self) {
        *self
            .shared
            .fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = RelayFault::None;
    }

    /// Requests that were held so far.
    pub fn held(&self) -> u64 {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

fn serve(client: TcpStream, server: SocketAddr, shared: &Arc<Shared>) {
    match shared.fault() {
        // Also the handle that is kept of it.
        RelayFault::Closed => {
            let _ = client.shutdown(Shutdown::Both);
        }
        RelayFault::Answers { status, body } => answer(client, status, body),
        RelayFault::Withholds { status } => withhold(client, status),
        RelayFault::Floods { status } => flood(client, status),
        RelayFault::RefusesLonger { than, status } => judge(client, server, than, |client| {
            reply(client, status, "");
            None
        }),
        RelayFault::ClosesLonger { than } => judge(client, server, than, |client| {
            let _ = client.shutdown(Shutdown::Both);
            None
        }),
        RelayFault::HoldsLonger { than } => judge(client, server, than, |client| {
            shared.held.fetch_add(1, Ordering::SeqCst);
            while shared.fault() == (RelayFault::HoldsLonger { than }) {
                thread::sleep(Duration::from_millis(5));
            }
            // Let through, and not ended by another fault.
            (shared.fault() == RelayFault::None).then_some(client)
        }),
        fault => {
            if let Ok(server) = TcpStream::connect(server) {
                relay(client, server, fault);
            }
        }
    }
}

/// The head of a request, if it came.
fn take_head(client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    String::from_utf8(head).ok()
}

fn head(status: &str, framing: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\n{framing}Connection: close\r\n\r\n"
    )
}

fn answer(mut client: TcpStream, status: &str, body: &str) {
    if take_head(&mut client).is_none() {
        return;
    }
    reply(client, status, body);
}

fn reply(mut client: TcpStream, status: &str, body: &str) {
    let framing = format!("Content-Length: {}\r\n", body.len());
    let text = head(status, &framing) + body;
    let _ = client.write_all(text.as_bytes());
    let _ = client.shutdown(Shutdown::Write);
    // Until the client has sent what it had to: a reset could lose the answer.
    let _ = client.set_read_timeout(Some(Duration::from_secs(5)));
    while matches!(client.read(&mut [0; PIECE_BYTES]), Ok(1..)) {}
}

/// Passes one request on; one with a longer body only if the verdict gives the connection back.
fn judge(
    mut client: TcpStream,
    server: SocketAddr,
    longest: u64,
    verdict: impl FnOnce(TcpStream) -> Option<TcpStream>,
) {
    let Some(head) = take_head(&mut client) else {
        return;
    };
    let lower = head.to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.lines().next()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > longest) {
        match verdict(client) {
            Some(judged) => client = judged,
            None => return,
        }
    }
    let Ok(mut server) = TcpStream::connect(server) else {
        return;
    };
    // One request for each connection, so that each is judged.
    let passed = head.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
    if server.write_all(passed.as_bytes()).is_ok() {
        relay(client, server, RelayFault::None);
    }
}

fn withhold(mut client: TcpStream, status: &str) {
    if take_head(&mut client).is_none() {
        return;
    }
    let text = head(status, "Content-Length: 1000\r\n");
    let _ = client.write_all(text.as_bytes());
    // Until the client gives up.
    while matches!(client.read(&mut [0; PIECE_BYTES]), Ok(1..)) {}
}

fn flood(mut client: TcpStream, status: &str) {
    if take_head(&mut client).is_none() {
        return;
    }
    let mut sent = client.write_all(head(status, "").as_bytes());
    while sent.is_ok() {
        sent = client.write_all(&[b' '; PIECE_BYTES]);
    }
}

fn relay(client: TcpStream, server: TcpStream, fault: RelayFault) {
    let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    thread::spawn(move || pass(from_client, to_server, fault));
    pass(server, client, fault);
}

/// One direction, to its end or that of the connection.
fn pass(mut from: TcpStream, mut to: TcpStream, fault: RelayFault) {
    let mut passed = 0;
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        let mut length = length;
        match fault {
            RelayFault::Stalls { after } | RelayFault::Cuts { after } => {
                length = length.min(after.saturating_sub(passed));
            }
            RelayFault::Slow {
                after,
                bytes_per_second,
            } if passed > after => {
                let pause = length as f64 / bytes_per_second as f64;
                thread::sleep(Duration::from_secs_f64(pause));
            }
            RelayFault::Flips { at } if (passed..passed + length).contains(&at) => {
                piece[at - passed] ^= 1;
            }
            _ => {}
        }
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
        passed += length;
        match fault {
            RelayFault::Stalls { after } if passed >= after => {
                // Until one of the two gives up.
                while matches!(from.read(&mut piece), Ok(1..)) {}
                return close(&from, &to);
            }
            RelayFault::Cuts { after } if passed >= after => return close(&from, &to),
            _ => {}
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

fn close(from: &TcpStream, to: &TcpStream) {
    for stream in [from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
