//! How a peer is reached and what it says, step by step: for `doctor`.
//!
//! Owns the measuring of a connection (name, TCP, TLS) and questions whose answers are told as they
//! are, asked by the same clients, with the same TLS and in the same fields as a client's. One try
//! each, and the breaker does not matter. Must not judge.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, DATE, LOCATION};
use http::{HeaderMap, StatusCode};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Host, Url};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::client::Upstream;
use super::connect::TlsFault;
use super::connect::{Audience, Transport};
use super::error::UpstreamError;
use super::request::{Inquiry, UpstreamRequest};
use super::response::UpstreamResponse;
use super::turns::ChosenPeer;
use crate::values::clock;

/// Addresses that are tried, one after another, until one takes the connection.
const ADDRESSES_MAX: usize = 8;

/// How a peer is reached.
#[derive(Debug)]
pub struct ConnectionFacts {
    pub host: String,
    pub resolved_in: Duration,
    /// All addresses of its name, or why there are none.
    pub addresses: Result<Vec<IpAddr>, String>,
    /// Those that did not take the connection, before one did.
    pub deaf: Vec<(IpAddr, String)>,
    /// The one that took it, and how long that took.
    pub connected: Option<(IpAddr, Duration)>,
    /// Of an https URL.
    pub tls: Option<Result<TlsFacts, TlsFault>>,
}

#[derive(Debug)]
pub struct TlsFacts {
    pub version: String,
    /// What both sides will speak, such as `h2`.
    pub protocol: Option<String>,
    pub issuer: String,
    pub expires: Option<SystemTime>,
    pub took: Duration,
}

/// What a peer said, as it said it.
#[derive(Debug)]
pub struct ProbeResponse {
    pub status: StatusCode,
    /// Its clock.
    pub date: Option<SystemTime>,
    pub content_type: String,
    pub location: Option<String>,
    /// Whether a larder gave it.
    pub is_of_larder: bool,
    /// As much of the body as was asked for.
    pub body: Bytes,
    /// Whether that is all of it.
    pub is_whole: bool,
    /// When the head had come.
    pub at: SystemTime,
}

/// Connects as the daemon would without a proxy, and says how far it came. `limit` is for each
/// step.
///
/// # Errors
/// A sentence about the TLS set-up, or a URL without a host.
pub async fn examine_connection(
    url: &Url,
    way: &Transport,
    limit: Duration,
) -> Result<ConnectionFacts, String> {
    let host = url.host().ok_or("a URL without a host")?.to_owned();
    let port = url.port_or_known_default().ok_or("a URL without a port")?;
    let begun = clock::now();
    let addresses = resolve(&host, port, limit).await;
    let mut facts = ConnectionFacts {
        host: host.to_string(),
        resolved_in: begun.elapsed(),
        addresses,
        deaf: Vec::new(),
        connected: None,
        tls: None,
    };
    let addresses: Vec<IpAddr> = facts
        .addresses
        .iter()
        .flatten()
        .take(ADDRESSES_MAX)
        .copied()
        .collect();
    let each = limit / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    for address in addresses {
        let begun = clock::now();
        match timeout(each, TcpStream::connect(SocketAddr::new(address, port))).await {
            Ok(Ok(stream)) => {
                facts.connected = Some((address, begun.elapsed()));
                if url.scheme() == "https" {
                    way.is_ready(Audience::Own).await;
                    let tls = way.tls(Audience::Own, true)?;
                    facts.tls = Some(greet(tls, &host, stream, limit).await);
                }
                break;
            }
            Ok(Err(why)) => facts.deaf.push((address, why.to_string())),
            Err(_) => facts.deaf.push((address, silence(each))),
        }
    }
    Ok(facts)
}

async fn resolve(host: &Host<String>, port: u16, limit: Duration) -> Result<Vec<IpAddr>, String> {
    let name = match host {
        Host::Ipv4(address) => return Ok(vec![IpAddr::V4(*address)]),
        Host::Ipv6(address) => return Ok(vec![IpAddr::V6(*address)]),
        Host::Domain(name) => name.as_str(),
    };
    let found = timeout(limit, lookup_host((name, port)))
        .await
        .map_err(|_| silence(limit))?;
    let mut addresses = Vec::new();
    for found in found.map_err(|why| why.to_string())? {
        if !addresses.contains(&found.ip()) {
            addresses.push(found.ip());
        }
    }
    if addresses.is_empty() {
        Err("the name has no address".to_owned())
    } else {
        Ok(addresses)
    }
}

fn silence(limit: Duration) -> String {
    format!("no answer within {}", humantime::format_duration(limit))
}

async fn greet(
    tls: Arc<ClientConfig>,
    host: &Host<String>,
    stream: TcpStream,
    limit: Duration,
) -> Result<TlsFacts, TlsFault> {
    let name = match host {
        Host::Ipv4(address) => ServerName::IpAddress(IpAddr::V4(*address).into()),
        Host::Ipv6(address) => ServerName::IpAddress(IpAddr::V6(*address).into()),
        Host::Domain(name) => {
            ServerName::try_from(name.clone()).map_err(|_| TlsFault::OtherName)?
        }
    };
    let begun = clock::now();
    let greeting = timeout(limit, TlsConnector::from(tls).connect(name, stream)).await;
    let greeted = greeting
        .map_err(|_| TlsFault::Other)?
        .map_err(|why| TlsFault::within(&why).unwrap_or(TlsFault::Other))?;
    let (_, session) = greeted.get_ref();
    let certificate = session.peer_certificates().and_then(|chain| chain.first());
    let read = certificate.and_then(|certificate| X509Certificate::from_der(certificate).ok());
    let read = read.map(|(_, certificate)| certificate);
    Ok(TlsFacts {
        version: session
            .protocol_version()
            .map(|version| format!("{version:?}"))
            .unwrap_or_default(),
        protocol: session
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into_owned()),
        issuer: read
            .as_ref()
            .map(|certificate| certificate.issuer().to_string())
            .unwrap_or_default(),
        expires: read.and_then(|certificate| {
            let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
        }),
        took: begun.elapsed(),
    })
}

impl Upstream {
    /// Asks once, and tells the answer as it is, with up to so many bytes of its body. No redirect
    /// is followed.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn examine(
        &self,
        inquiry: Inquiry,
        request: &UpstreamRequest<'_>,
        bytes_max: usize,
    ) -> Result<ProbeResponse, UpstreamError> {
        let answer = match self.turns(request.route, None)?.peer() {
            ChosenPeer::GitLab(gitlab) => gitlab.examine(inquiry, request).await?,
            ChosenPeer::Mirror(mirror) => mirror.examine(inquiry, request).await?,
        };
        Ok(heard(answer, bytes_max, clock::wall()).await)
    }
}

/// What comes of a body that breaks off is what had come by then.
async fn heard(mut answer: UpstreamResponse, bytes_max: usize, at: SystemTime) -> ProbeResponse {
    let mut body = BytesMut::new();
    let mut is_whole = false;
    let is_of_larder = answer.is_of_larder();
    while body.len() < bytes_max {
        match answer.body.piece().await {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => {
                is_whole = true;
                break;
            }
            Err(_) => break,
        }
    }
    let text = |headers: &HeaderMap, name| Some(headers.get(name)?.to_str().ok()?.to_owned());
    ProbeResponse {
        status: answer.status,
        date: text(&answer.headers, DATE).and_then(|date| httpdate::parse_http_date(&date).ok()),
        content_type: text(&answer.headers, CONTENT_TYPE).unwrap_or_default(),
        location: text(&answer.headers, LOCATION),
        is_of_larder,
        body: body.freeze(),
        is_whole,
        at,
    }
}
