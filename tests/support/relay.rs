//! A TCP relay, on 127.0.0.1 unless told, that counts what passes through it: bytes to the client, and requests
//! from it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

const PIECE_BYTES: usize = 64 * 1024;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// What has passed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Heads that the client has sent; right as long as no request has a body.
    pub requests: u64,
    /// Heads and bodies sent to the client.
    pub bytes: u64,
}

/// Relays for as long as the program runs.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Relay {
    /// In front of this server.
    pub fn start(server: SocketAddr) -> Self {
        Self::start_on("127.0.0.1", server)
    }

    /// The same on another address of this machine.
    pub fn start_on(address: &str, server: SocketAddr) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a free port");
        let address = listener.local_addr().expect("a listening socket");
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is gone is a connection that closes.
                if let Ok(server) = TcpStream::connect(server) {
                    relay(client, server, &shared);
                }
            }
        });
        Self { address, counters }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has passed since the last call.
    pub fn take(&self) -> Passed {
        Passed {
            requests: self.counters.requests.swap(0, Ordering::SeqCst),
            bytes: self.counters.bytes.swap(0, Ordering::SeqCst),
        }
    }
}

fn relay(client: TcpStream, server: TcpStream, counters: &Arc<Counters>) {
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    let counted = Arc::clone(counters);
    thread::spawn(move || {
        let mut matched = 0;
        pump(from_client, server, |piece| {
            let ended = ends_of_heads(piece, &mut matched);
            counted.requests.fetch_add(ended, Ordering::SeqCst);
        });
    });
    let counted = Arc::clone(counters);
    thread::spawn(move || {
        pump(from_server, client, |piece| {
            counted
                .bytes
                .fetch_add(piece.len() as u64, Ordering::SeqCst);
        });
    });
}

fn pump(mut from: TcpStream, mut to: TcpStream, mut count: impl FnMut(&[u8])) {
    let mut buffer = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        count(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

/// How many heads end in this piece; `matched` is how much of an end came before it.
fn ends_of_heads(piece: &[u8], matched: &mut usize) -> u64 {
    let mut ends = 0;
    for byte in piece {
        *matched = match byte {
            byte if *byte == END_OF_HEAD[*matched] => *matched + 1,
            b'\r' => 1,
            _ => 0,
        };
        if *matched == END_OF_HEAD.len() {
            (ends, *matched) = (ends + 1, 0);
        }
    }
    ends
}
