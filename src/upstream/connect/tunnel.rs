//! CONNECT (RFC 9110 §9.3.6): a way through a proxy, end to end.
//!
//! hyper speaks for us, so that odd answers are read by the parser that reads all others. By hand,
//! and not hyper-util's `Tunnel`: its errors do not say what the proxy answered, and an operator
//! needs to know whether a credential is missing or the peer is refused. Must not know what goes
//! through.

use std::pin::pin;

use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};

use super::proxy_fault::ProxyFault;

/// A proxy's answer to CONNECT is a few fields.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// `authority` is `host:port`. Wants to be limited in time.
///
/// # Errors
/// The fault, and for the log what hyper says.
pub async fn tunnel<T>(
    stream: T,
    authority: &str,
    authorization: Option<&HeaderValue>,
) -> Result<T, (ProxyFault, Option<hyper::Error>)>
where
    T: Read + Write + Unpin + Send + 'static,
{
    let garbled = |why: hyper::Error| (ProxyFault::Garbled, Some(why));
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(ANSWER_BYTES_MAX)
        .handshake::<_, Empty<Bytes>>(stream)
        .await
        .map_err(garbled)?;
    let request = connect(authority, authorization).ok_or((ProxyFault::Garbled, None))?;
    // The sender goes with its answer, so that a connection that is no tunnel ends.
    let ask = async move {
        sender
            .send_request(request)
            .await
            .map(|answer| answer.status())
    };
    let mut ask = pin!(ask);
    let mut parts = pin!(connection.without_shutdown());
    let parts = tokio::select! {
        answer = &mut ask => {
            granted(answer)?;
            parts.await
        }
        ended = &mut parts => {
            granted(ask.await)?;
            ended
        }
    };
    let parts = parts.map_err(garbled)?;
    // Who is called speaks first in TLS: bytes that are there already are none of its.
    if parts.read_buf.is_empty() {
        Ok(parts.io)
    } else {
        Err((ProxyFault::Garbled, None))
    }
}

/// A refusal ends the wait, whatever its body is.
fn granted(answer: hyper::Result<StatusCode>) -> Result<(), (ProxyFault, Option<hyper::Error>)> {
    match answer.map_err(|why| (ProxyFault::Garbled, Some(why)))? {
        status if status.is_success() => Ok(()),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err((ProxyFault::Credential, None)),
        status => Err((ProxyFault::Refused(status), None)),
    }
}

fn connect(authority: &str, authorization: Option<&HeaderValue>) -> Option<Request<Empty<Bytes>>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = Uri::builder().authority(authority).build().ok()?;
    request
        .headers_mut()
        .insert(HOST, HeaderValue::from_str(authority).ok()?);
    if let Some(value) = authorization {
        request
            .headers_mut()
            .insert(PROXY_AUTHORIZATION, value.clone());
    }
    Some(request)
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What the proxy was asked, what became of it, and what the first bytes through it are.
    async fn tunnelled(answer: &'static [u8]) -> (String, Result<Vec<u8>, ProxyFault>) {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let proxy = async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(theirs.read_u8().await.unwrap());
            }
            theirs.write_all(answer).await.unwrap();
            let _ = theirs.write_all(b"through").await;
            String::from_utf8(head).unwrap()
        };
        let value = HeaderValue::from_static("Basic eA==");
        let (asked, stream) =
            tokio::join!(proxy, tunnel(TokioIo::new(ours), "[::1]:443", Some(&value)));
        let through = match stream {
            Ok(stream) => {
                let mut bytes = Vec::new();
                stream.into_inner().read_to_end(&mut bytes).await.unwrap();
                Ok(bytes)
            }
            Err((fault, _)) => Err(fault),
        };
        (asked, through)
    }

    #[tokio::test]
    async fn it_is_asked_for_by_authority_and_refused_by_status() {
        let (asked, _) = tunnelled(b"HTTP/1.1 407 x\r\nContent-Length: 0\r\n\r\n").await;
        assert!(
            asked.starts_with("CONNECT [::1]:443 HTTP/1.1\r\n"),
            "{asked}"
        );
        let asked = asked.to_ascii_lowercase();
        assert!(
            asked.contains("host: [::1]:443\r\n")
                && asked.contains("proxy-authorization: basic ea==\r\n")
        );
        for (answer, fault) in [
            (
                &b"HTTP/1.1 407 x\r\nContent-Length: 100\r\n\r\nno"[..],
                ProxyFault::Credential,
            ),
            (
                b"HTTP/1.1 403 x\r\n\r\n",
                ProxyFault::Refused(StatusCode::FORBIDDEN),
            ),
            (
                b"HTTP/1.1 502 x\r\nTransfer-Encoding: chunked\r\n\r\n",
                ProxyFault::Refused(StatusCode::BAD_GATEWAY),
            ),
            (b"SSH-2.0-x\r\n\r\n", ProxyFault::Garbled),
            (b"", ProxyFault::Garbled),
        ] {
            assert_eq!(
                tunnelled(answer).await.1,
                Err(fault),
                "{}",
                String::from_utf8_lossy(answer)
            );
        }
    }
}
