//! Sockets and connections: what listens, what is accepted, how long a client may take.
//!
//! Must not know what is asked over a connection.

pub mod activation;
pub mod activity;
pub mod address;
pub mod clients;
pub mod connection;
pub mod connection_counts;
pub mod door;
pub mod heads;
pub mod limits;
pub mod lingering;
pub mod listener;
pub mod patience;
pub mod places;
pub mod socket_mode;
pub mod stream;
pub mod unix_socket;
