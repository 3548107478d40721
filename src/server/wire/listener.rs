//! Connections: accepted while there are places, each served by itself, and drained when the daemon
//! stops.
//!
//! Must not know what is said over them.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::acceptor::{self, Acceptor, Arrival, ControlAcceptor, NetworkAcceptor};
use super::clients::{ClientAddress, Clients, Seat};
use super::connection::{Connection, ConnectionContext};
use super::heads::HeadRoom;
use super::places::{ConnectionPlace, Places};
use crate::admin::metrics::{ConnectionCounts, TurnedAway};
use crate::server::ServerLimits;
use crate::server::body::ReplyBody;
use crate::server::control;
use crate::server::ingress::Ingress;
use crate::server::services::ActiveServices;
use crate::values::clock;
use crate::values::shutdown::Shutdown;

/// A pause after a failed accept: with no file descriptor left, spinning helps no client.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// At the addresses of health: some monitors, and what a port scan leaves open.
const HEALTH_CONNECTIONS: usize = 64;

/// One place where clients come in.
pub struct Listener<A> {
    acceptor: A,
    limits: ServerLimits,
    places: Arc<Places>,
    streams: Arc<Semaphore>,
}

/// Tells how many connections of a listener are open.
#[derive(Clone)]
pub struct Occupancy(Arc<Places>);

impl Occupancy {
    /// Whether no client is connected.
    pub fn is_idle(&self) -> bool {
        self.0.taken() == 0
    }
}

impl<A: Acceptor> Listener<A> {
    /// The places and shares of `limits` hold for as long as this does; the rest is asked for when
    /// a connection comes.
    pub fn new(acceptor: A, limits: ServerLimits) -> Self {
        let most = limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            acceptor,
            limits,
            places: Places::new(most),
            streams: Arc::new(Semaphore::new(most)),
        }
    }

    /// For [`Listener::serve_health`]: a few places, and no share of a single client's.
    pub fn for_health(acceptor: A, limits: ServerLimits) -> Self {
        let limits = ServerLimits {
            connections: HEALTH_CONNECTIONS,
            connections_per_client: 0,
            ..limits
        };
        Self::new(acceptor, limits)
    }

    pub fn occupancy(&self) -> Occupancy {
        Occupancy(Arc::clone(&self.places))
    }

    /// Accepts until told to stop, and returns when the last connection is done or the drain limit
    /// is over.
    async fn accept_all<F, R>(
        self,
        counts: Arc<ConnectionCounts>,
        shutdown: Shutdown,
        active: &ActiveServices,
        answer: F,
    ) where
        F: Fn(Request<Incoming>, Ingress) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<ReplyBody>> + Send + 'static,
    {
        let most = self.limits.connections_per_client;
        let clients = Clients::new(most);
        let heads = HeadRoom::new(self.limits.header_size.bytes());
        loop {
            let accepted = tokio::select! {
                () = shutdown.begun() => break,
                accepted = accept(&self.acceptor, &self.places) => accepted,
            };
            let (arrival, place) = match accepted {
                Ok(accepted) => accepted,
                Err(why) => {
                    counts.refused(TurnedAway::Accept);
                    pause(&why).await;
                    continue;
                }
            };
            place.is_taken(clock::now());
            let client = arrival.ip.map(ClientAddress::of);
            let Some(seat) = seat(&clients, client, most) else {
                counts.refused(TurnedAway::PerClient);
                continue;
            };
            let held = (counts.accepted(), seat);
            let connection = Connection {
                answer: answer.clone(),
                context: ConnectionContext {
                    client,
                    limits: active.limits(),
                    shutdown: shutdown.clone(),
                    place,
                    heads: heads.clone(),
                    streams: Arc::clone(&self.streams),
                    counts: Arc::clone(&counts),
                },
            };
            #[expect(
                clippy::disallowed_methods,
                reason = "its place is what the drain waits for"
            )]
            tokio::spawn(async move {
                if A::HURRIES {
                    connection.serve(arrival.stream, arrival.tls).await;
                } else {
                    connection.http1(arrival.stream).await;
                }
                drop(held);
            });
        }
        self.drain(active.limits().drain_timeout.0).await;
    }

    async fn drain(self, limit: Duration) {
        drop(self.acceptor);
        let drained = timeout(limit, self.places.all_free());
        if drained.await.is_err() {
            tracing::warn!("stopping with connections still open: the drain limit is over");
        }
    }
}

impl Listener<NetworkAcceptor> {
    /// Serves until told to stop, then until the last connection is done or the drain limit is
    /// over.
    pub async fn serve(self, active: Arc<ActiveServices>, shutdown: Shutdown) {
        let counts = Arc::clone(&active.services().admin.metrics.connections);
        let present = Arc::clone(&active);
        let answer = move |request, ingress| present.services().handle(request, ingress);
        self.accept_all(counts, shutdown, &active, answer).await;
    }

    /// Serves health and metrics alone, over places that no other client can take, for as long as
    /// the future is polled: through the drain too, until which a stopping daemon is alive.
    pub async fn serve_health(self, active: Arc<ActiveServices>) {
        let present = Arc::clone(&active);
        let answer = move |request, ingress| {
            let by_health = Ingress {
                health_only: true,
                ..ingress
            };
            present.services().handle(request, by_health)
        };
        // Clients are those of the other addresses.
        self.accept_all(Arc::default(), Shutdown::default(), &active, answer)
            .await;
    }
}

impl Listener<ControlAcceptor> {
    /// The same, with commands.
    pub async fn serve(self, active: Arc<ActiveServices>, shutdown: Shutdown) {
        let stop = shutdown.clone();
        let present = Arc::clone(&active);
        let answer = move |request, ingress| {
            let services = present.services();
            let stop = stop.clone();
            async move { control::handle(services, request, ingress, &stop).await }
        };
        // Clients are those of the network.
        self.accept_all(Arc::default(), shutdown, &active, answer)
            .await;
    }
}

async fn pause(why: &io::Error) {
    tracing::warn!(error = %why, "cannot accept a connection");
    sleep(ACCEPT_PAUSE).await;
}

/// A seat for one more connection of this client, if it may have one.
fn seat(clients: &Arc<Clients>, client: Option<ClientAddress>, most: usize) -> Option<Seat> {
    match clients.admit(client, clock::now()) {
        Ok(seat) => Some(seat),
        Err(crowded) => {
            if crowded.worth_telling {
                let client = client.map(|client| client.to_string());
                tracing::warn!(
                    client,
                    most,
                    "closing a client's further connections: it has as many as it may have"
                );
            }
            None
        }
    }
}

async fn accept<A: Acceptor>(
    acceptor: &A,
    places: &Arc<Places>,
) -> io::Result<(Arrival, Arc<ConnectionPlace>)> {
    // None is held meanwhile: it would be missing to a connection that waits for a usual one.
    places.some_free().await;
    let arrival = acceptor::accept(acceptor).await?;
    Ok((arrival, places.next().await))
}
