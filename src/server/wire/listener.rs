//! Connections: accepted while there are places, each served by itself, and drained when the daemon stops.
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

use super::clients::{ClientAddress, Clients};
use super::connection::{About, Connection};
use super::connection_counts::{ConnectionCounts, TurnedAway};
use super::door::{self, Arrival, ControlDoor, Door, NetworkDoor};
use super::heads::HeadRoom;
use super::places::{Place, Places};
use crate::server::ServerLimits;
use crate::server::body::ReplyBody;
use crate::server::control;
use crate::server::services::ActiveServices;
use crate::server::shutdown::Shutdown;
use crate::values::clock;

/// A pause after a failed accept: with no file descriptor left, spinning helps nobody.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One place where clients come in.
pub struct Listener<D> {
    door: D,
    limits: ServerLimits,
    places: Arc<Places>,
    streams: Arc<Semaphore>,
}

/// Tells how many connections of a listener are open.
#[derive(Clone)]
pub struct Occupancy(Arc<Places>);

impl Occupancy {
    /// Whether nobody is connected. The place that the listener holds ready for the next client does not count.
    pub fn is_idle(&self) -> bool {
        self.0.taken() <= 1
    }
}

impl<D: Door> Listener<D> {
    /// The places and shares of `limits` hold for as long as this does; the rest is asked for when a connection comes.
    pub fn new(door: D, limits: ServerLimits) -> Self {
        let most = limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            door,
            limits,
            places: Places::new(most),
            streams: Arc::new(Semaphore::new(most)),
        }
    }

    pub fn occupancy(&self) -> Occupancy {
        Occupancy(Arc::clone(&self.places))
    }

    /// Accepts until told to stop, and returns when the last connection is done or the drain limit is over.
    async fn accept_all<F, A>(
        self,
        counts: Arc<ConnectionCounts>,
        shutdown: Shutdown,
        active: &ActiveServices,
        answer: F,
    ) where
        F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<ReplyBody>> + Send + 'static,
    {
        let per_client = self.limits.connections_per_client;
        let clients = Clients::new(per_client);
        let heads = HeadRoom::new(self.limits.header_size.bytes());
        loop {
            let accepted = tokio::select! {
                () = shutdown.begun() => break,
                accepted = accept(&self.door, &self.places) => accepted,
            };
            match accepted {
                Ok((arrival, place)) => {
                    place.is_taken(clock::now());
                    let client = arrival.ip.map(ClientAddress::of);
                    let seat = match clients.admit(client, clock::now()) {
                        Ok(seat) => seat,
                        Err(crowded) => {
                            counts.refused(TurnedAway::PerClient);
                            if crowded.worth_telling {
                                let (client, most) =
                                    (client.map(|client| client.to_string()), per_client);
                                tracing::warn!(
                                    client,
                                    most,
                                    "closing a client's further connections: it has as many as it may have"
                                );
                            }
                            continue;
                        }
                    };
                    let (answer, shutdown) = (answer.clone(), shutdown.clone());
                    let (limits, streams) = (active.limits(), Arc::clone(&self.streams));
                    let (heads, counts, open) =
                        (heads.clone(), Arc::clone(&counts), counts.accepted());
                    let about = About {
                        client,
                        limits,
                        shutdown,
                        place,
                        heads,
                        streams,
                        counts,
                    };
                    let connection = Connection { answer, about };
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "its place is what the drain waits for"
                    )]
                    tokio::spawn(async move {
                        if D::HURRIES {
                            connection.serve(arrival.stream, arrival.tls).await;
                        } else {
                            connection.http1(arrival.stream).await;
                        }
                        drop((open, seat));
                    });
                }
                Err(why) => {
                    counts.refused(TurnedAway::Accept);
                    tracing::warn!(error = %why, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.door);
        if timeout(active.limits().drain_timeout.0, self.places.all_free())
            .await
            .is_err()
        {
            tracing::warn!("stopping with connections still open: the drain limit is over");
        }
    }
}

impl Listener<NetworkDoor> {
    /// Serves until told to stop, then until the last connection is done or the drain limit is over.
    pub async fn serve(self, active: Arc<ActiveServices>, shutdown: Shutdown) {
        let counts = Arc::clone(&active.services().connections);
        let present = Arc::clone(&active);
        let answer = move |request| {
            let services = present.services();
            async move { services.handle(request).await }
        };
        self.accept_all(counts, shutdown, &active, answer).await;
    }
}

impl Listener<ControlDoor> {
    /// The same, with orders.
    pub async fn serve(self, active: Arc<ActiveServices>, shutdown: Shutdown) {
        let (stop, present) = (shutdown.clone(), Arc::clone(&active));
        let answer = move |request| {
            let (services, stop) = (present.services(), stop.clone());
            async move { control::handle(services, request, &stop).await }
        };
        // Clients are those of the network.
        self.accept_all(Arc::default(), shutdown, &active, answer)
            .await;
    }
}

async fn accept<D: Door>(door: &D, places: &Arc<Places>) -> io::Result<(Arrival, Arc<Place>)> {
    let place = places.next().await;
    Ok((door::accept(door).await?, place))
}
