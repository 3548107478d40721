//! A connection of its own for one upload: it can be dropped, as the pooled client's cannot.
//!
//! Must not know what is sent.

use std::future::Future;
use std::pin::pin;

use http::Request;
use http::header::{HOST, HeaderValue};
use http_body::Body;
use hyper::client::conn::http1;
use url::{Position, Url};

use super::connector::{ANSWER_FIELDS_MAX, PeerStream};
use crate::values::error_chain::BoxError;

/// Of an upload, between its source and the socket.
const UPLOAD_BUFFER_BYTES: usize = 64 * 1024;

/// For one exchange over HTTP/1.1.
pub async fn shake_hands<B>(
    stream: PeerStream,
) -> hyper::Result<(http1::SendRequest<B>, http1::Connection<PeerStream, B>)>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    http1::Builder::new()
        .max_headers(ANSWER_FIELDS_MAX)
        .max_buf_size(UPLOAD_BUFFER_BYTES)
        .handshake(stream)
        .await
}

/// The request as it stands on a connection to its own origin, or to a proxy that passes it on (RFC
/// 9112 §3.2).
pub fn in_form<B>(mut request: Request<B>, url: &Url, for_proxy: bool) -> Request<B> {
    let host = &url[Position::BeforeHost..Position::AfterPort];
    if let (Ok(host), Ok(path)) = (
        HeaderValue::from_str(host),
        url[Position::BeforePath..].parse(),
    ) {
        request.headers_mut().insert(HOST, host);
        if !for_proxy {
            *request.uri_mut() = path;
        }
    }
    request
}

/// Runs `work` on a connection, and drops the connection with it: a socket is closed then, whatever
/// is still in its buffers. (The pooled client would go on flushing to a peer that reads no more.)
pub async fn beside<T>(connection: impl Future, work: impl Future<Output = T>) -> T {
    let mut connection = pin!(connection);
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        // Its end, good or bad, is told to the work as well.
        _ = &mut connection => {}
    }
    work.await
}
