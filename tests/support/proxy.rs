//! A forward proxy on 127.0.0.1: CONNECT and absolute form, with or without a credential, over TLS
//! or not. It finds names where it is told to, and misbehaves on command.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::basic::basic;
use super::http::Tls;
use super::http::server::listen;

const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A running proxy; it ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<State>,
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

/// How it treats who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Serves,
    /// Answers everything with this status.
    Refuses(u16),
    /// Reads, and says nothing.
    Silent,
    /// Says what no proxy says.
    Babbles,
}

#[derive(Debug)]
struct State {
    manner: Mutex<Manner>,
    /// The value of `Proxy-Authorization` that is wanted.
    wanted: Option<String>,
    hosts: Mutex<BTreeMap<String, SocketAddr>>,
    heads: Mutex<Vec<String>>,
}

impl Proxy {
    pub fn start() -> Self {
        Self::with(None, None)
    }

    /// Turns away who is not this user.
    pub fn for_user(user: &str, password: &str) -> Self {
        Self::with(Some(basic(user, password)), None)
    }

    /// Spoken to over https.
    pub fn over_tls(tls: &Tls) -> Self {
        Self::with(None, Some(tls))
    }

    fn with(wanted: Option<String>, tls: Option<&Tls>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("proxy")
            .enable_all()
            .build()
            .expect("a runtime for the proxy");
        let listener = listen(runtime.handle(), ([127, 0, 0, 1], 0).into());
        let address = listener.local_addr().expect("a listening socket");
        let state = Arc::new(State {
            manner: Mutex::new(Manner::Serves),
            wanted,
            hosts: Mutex::default(),
            heads: Mutex::default(),
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let acceptor = tls.map(|tls| TlsAcceptor::from(tls.config()));
        let shared = Arc::clone(&state);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, acceptor) = (Arc::clone(&shared), acceptor.clone());
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    match acceptor {
                        None => state.serve(stream).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => state.serve(stream).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self {
            address,
            scheme,
            state,
            runtime: Some(runtime),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Where this `host:port` is.
    pub fn finds(&self, authority: &str, address: SocketAddr) {
        lock(&self.state.hosts).insert(authority.to_owned(), address);
    }

    pub fn behave(&self, manner: Manner) {
        *lock(&self.state.manner) = manner;
    }

    /// The heads of all requests so far, those in a tunnel left out.
    pub fn heads(&self) -> Vec<String> {
        lock(&self.state.heads).clone()
    }

    /// Method and target of each.
    pub fn asked(&self) -> Vec<String> {
        let line = |head: &String| {
            head.split(" HTTP/1.1")
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        self.heads().iter().map(line).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl State {
    /// One request, or one tunnel; `None` when the peer left.
    async fn serve(&self, mut client: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let (head, rest) = read_head(&mut client).await?;
        lock(&self.heads).push(head.clone());
        let answer = match *lock(&self.manner) {
            Manner::Serves => None,
            Manner::Refuses(status) => Some(format!(
                "HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno"
            )),
            Manner::Silent => Some(String::new()),
            Manner::Babbles => Some("220 mail.example ESMTP\r\n\r\n".to_owned()),
        };
        match answer {
            Some(silence) if silence.is_empty() => {
                let _ = client.read_u8().await;
                return Some(());
            }
            Some(answer) => {
                client.write_all(answer.as_bytes()).await.ok()?;
                return client.shutdown().await.ok();
            }
            None => {}
        }
        let shown = field(&head, "proxy-authorization");
        if self.wanted.is_some() && shown != self.wanted {
            let answer =
                "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
            client.write_all(answer.as_bytes()).await.ok()?;
            // Reads on for a moment, so that the answer is not lost to a RST.
            let mut waste = vec![0; 64 * 1024];
            let drain = async { while matches!(client.read(&mut waste).await, Ok(1..)) {} };
            let _ = tokio::time::timeout(Duration::from_millis(500), drain).await;
            return client.shutdown().await.ok();
        }
        let mut words = head.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        if method == "CONNECT" {
            let mut server = TcpStream::connect(self.find(target)?).await.ok()?;
            client
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await
                .ok()?;
            let _ = copy_bidirectional(&mut client, &mut server).await;
            return Some(());
        }
        // In absolute form: passed on in origin form, one request for each connection.
        let (authority, path) = target.strip_prefix("http://")?.split_once('/')?;
        let mut server = TcpStream::connect(self.find(authority)?).await.ok()?;
        let lines = head
            .lines()
            .skip(1)
            .filter(|line| !line.to_ascii_lowercase().starts_with("proxy-"));
        let mut passed = format!("{method} /{path} HTTP/1.1\r\n");
        for line in lines.filter(|line| !line.is_empty()) {
            passed.push_str(line);
            passed.push_str("\r\n");
        }
        passed.push_str("Connection: close\r\n\r\n");
        server.write_all(passed.as_bytes()).await.ok()?;
        server.write_all(&rest).await.ok()?;
        let _ = copy_bidirectional(&mut client, &mut server).await;
        Some(())
    }

    fn find(&self, authority: &str) -> Option<SocketAddr> {
        lock(&self.hosts)
            .get(authority)
            .copied()
            .or_else(|| authority.parse().ok())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic holds it")
}

async fn read_head(client: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = super::http::connection::find(&bytes, b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Some((String::from_utf8(bytes).ok()?, rest));
        }
        if bytes.len() > HEAD_BYTES_MAX || client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn field(head: &str, name: &str) -> Option<String> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields
        .filter(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.to_owned())
        .next()
}
