//! Who is connected from where, and whether one may have another connection.
//!
//! Owns the count by address. Must not know what is said over a connection. A client beyond its
//! limit is closed at once: a word over TLS would take a handshake, which costs more than what the
//! limit is to save, and pip and uv try again after a closed connection as after a 503.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A machine that has one IPv6 address has 2⁶⁴ of them.
const IPV6_NETWORK_BITS: u32 = 64;

/// `255.255.255.255`, and one dot.
const IPV4_BYTES_MAX: usize = 16;

/// Between two lines of the log about clients that were refused.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Whom limits count as one: an IPv4 address, or the /64 network of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    pub fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V6(ip) => {
                let mask = u128::MAX << (128 - IPV6_NETWORK_BITS);
                IpAddr::V6(Ipv6Addr::from(u128::from(ip) & mask))
            }
            ip @ IpAddr::V4(_) => ip,
        })
    }

    /// Hands out how it is written. Each line of the access log has it: an IPv4 address is spelled
    /// without the detours of `Display`.
    pub fn with_text<T>(self, take: impl FnOnce(&str) -> T) -> T {
        let IpAddr::V4(ip) = self.0 else {
            return take(&self.to_string());
        };
        let mut text = [b'.'; IPV4_BYTES_MAX];
        let mut end = 0;
        for octet in ip.octets() {
            for place in [100, 10, 1] {
                if octet >= place || place == 1 {
                    text[end] = b'0' + octet / place % 10;
                    end += 1;
                }
            }
            // Behind it stands a dot already.
            end += 1;
        }
        // ASCII always is a text.
        take(std::str::from_utf8(&text[..end - 1]).unwrap_or_default())
    }
}

impl std::fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => ip.fmt(f),
            IpAddr::V6(ip) => write!(f, "{ip}/{IPV6_NETWORK_BITS}"),
        }
    }
}

/// The connections of each client. There are never more entries than connections.
#[derive(Debug)]
pub struct Clients {
    /// 0: as many as there are.
    most: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<ClientAddress, usize>,
    told: Option<Instant>,
}

/// One connection's place; given back when it is dropped.
#[derive(Debug)]
pub struct Seat(Option<(Arc<Clients>, ClientAddress)>);

/// The client has as many connections as it may have.
#[derive(Debug, PartialEq, Eq)]
pub struct Crowded {
    /// Whether it is time for a line in the log.
    pub worth_telling: bool,
}

impl Clients {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            table: Mutex::default(),
        })
    }

    /// `client` is none over a unix socket, where there is no limit.
    pub fn admit(
        self: &Arc<Self>,
        client: Option<ClientAddress>,
        now: Instant,
    ) -> Result<Seat, Crowded> {
        let Some(client) = client else {
            return Ok(Seat(None));
        };
        if self.most == 0 {
            return Ok(Seat(None));
        }
        let mut table = self.table.lock();
        let open = table.open.get(&client).copied().unwrap_or_default();
        if open >= self.most {
            let worth_telling = table.told.is_none_or(|told| told + TOLD_EVERY <= now);
            table.told = if worth_telling { Some(now) } else { table.told };
            return Err(Crowded { worth_telling });
        }
        table.open.insert(client, open + 1);
        Ok(Seat(Some((Arc::clone(self), client))))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((clients, client)) = self.0.take() else {
            return;
        };
        let mut table = clients.table.lock();
        match table.open.get_mut(&client) {
            Some(open) if *open > 1 => *open -= 1,
            _ => {
                table.open.remove(&client);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests own their clock")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_ipv6_client_is_its_network() {
        let of = |text: &str| {
            text.parse()
                .map(ClientAddress::of)
                .map(|client| client.to_string())
        };
        assert_eq!(
            of("2001:db8:1:2:3:4:5:6"),
            Ok("2001:db8:1:2::/64".to_owned())
        );
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.7"), Ok("192.0.2.7".to_owned()));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
    }

    #[test]
    fn an_address_is_written_as_it_displays() {
        for text in [
            "0.0.0.0",
            "127.0.0.1",
            "255.255.255.255",
            "9.10.99.100",
            "2001:db8::1",
        ] {
            let client = text.parse().map(ClientAddress::of).unwrap();
            client.with_text(|text| assert_eq!(text, client.to_string()));
        }
    }

    #[test]
    fn a_refusal_is_told_once_a_minute() {
        let clients = Clients::new(1);
        let client = Some(ClientAddress::of(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        let now = Instant::now();
        let _seat = clients.admit(client, now);
        let told = [0, 1, 59, 60, 61].map(|at| {
            let refused = clients.admit(client, now + Duration::from_secs(at));
            refused.err().map(|crowded| crowded.worth_telling)
        });
        assert_eq!(told, [true, false, false, true, false].map(Some));
        assert!(
            clients.admit(None, now).is_ok(),
            "over a unix socket there is no limit"
        );
        assert!(Clients::new(0).admit(client, now).is_ok());
    }

    proptest! {
        #[test]
        fn nobody_has_more_than_its_share(
            most in 1..4_usize,
            steps in proptest::collection::vec((0..3_u8, any::<bool>()), 0..60),
        ) {
            let clients = Clients::new(most);
            let now = Instant::now();
            let mut seats: [Vec<Seat>; 3] = Default::default();
            for (who, comes) in steps {
                let client = ClientAddress::of(IpAddr::from([192, 0, 2, who]));
                let own = &mut seats[usize::from(who)];
                if comes {
                    let had = own.len();
                    own.extend(clients.admit(Some(client), now).ok());
                    prop_assert_eq!(own.len(), (had + 1).min(most));
                } else {
                    own.pop();
                }
            }
            drop(seats);
            prop_assert!(clients.table.lock().open.is_empty(), "nothing is left over");
        }
    }
}
