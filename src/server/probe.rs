//! Whether this daemon answers: a request of its own, through its own handler.
//!
//! Over a pipe in memory, so that neither a full house nor a client's limit stands in its way; on
//! the runtime's own threads, so that what would hold a client's request up holds this one up as
//! well. It is neither logged nor counted. Must not know who asks.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::timeout;

use super::ingress::Ingress;
use super::services::ActiveServices;
use crate::registry::{AdminEndpoint, Route};

/// Both ways; more than the question or its answer has.
const PIPE_BYTES: usize = 4096;

/// How a good answer begins.
const GOOD: &[u8] = b"HTTP/1.1 200 ";

/// Asks whether the daemon is alive, and tells whether it said so within `limit`.
pub async fn answers(active: Arc<ActiveServices>, limit: Duration) -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with its limit, and proves that tasks are run"
    )]
    let asked = tokio::spawn(timeout(limit, ask(active)));
    matches!(asked.await, Ok(Ok(Ok(answer))) if answer.starts_with(GOOD))
}

async fn ask(active: Arc<ActiveServices>) -> io::Result<Vec<u8>> {
    let (mut near, far) = duplex(PIPE_BYTES);
    let own = Ingress {
        is_own: true,
        ..Ingress::default()
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let services = active.services();
        async move { Ok::<_, Infallible>(services.handle(request, own).await) }
    });
    let serving = http1::Builder::new().serve_connection(TokioIo::new(far), service);
    let path = Route::Admin(AdminEndpoint::Live).path();
    let asking = async move {
        let request = format!("GET {path} HTTP/1.1\r\nhost: larder\r\nconnection: close\r\n\r\n");
        near.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        near.take(PIPE_BYTES as u64)
            .read_to_end(&mut answer)
            .await?;
        Ok(answer)
    };
    // The answer says how it went.
    let (_, answer) = tokio::join!(serving, asking);
    answer
}
