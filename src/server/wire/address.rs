//! An address to listen on, as it is configured: `host:port`, or `unix:/path` of a socket.
//!
//! Pure. Owns their form, and which of them only this machine can reach. Must not know what is
//! served there.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};

/// What stands before the path of a unix socket.
const UNIX: &str = "unix:";

/// The longest path that a unix socket's address has room for, in bytes.
const PATH_BYTES_MAX: usize = 107;

/// Where clients come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A name or an IP address, and a port.
    Tcp(String),
    /// The absolute path of a socket.
    Unix(PathBuf),
}

/// Why a text is no address. Not with the text: an operator who mixes up two lines may have put a
/// password there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("a text is not an address such as 127.0.0.1:3141 or unix:/run/larder/larder.sock")]
    Form,
    #[error("the path of a unix socket must be absolute, as in unix:/run/larder/larder.sock")]
    Relative,
    #[error("the path of a unix socket has at most {PATH_BYTES_MAX} bytes")]
    Long,
}

impl ListenAddress {
    /// Whether only this machine can reach it. `localhost` is taken at its word.
    pub fn is_local(&self) -> bool {
        let Self::Tcp(address) = self else {
            return true;
        };
        let host = address
            .rsplit_once(':')
            .map_or(address.as_str(), |(host, _)| host);
        let ip = address.parse::<SocketAddr>().map(|address| address.ip());
        let ip = ip.or_else(|_| host.trim_matches(['[', ']']).parse::<IpAddr>());
        ip.map_or(host == "localhost", |ip| ip.is_loopback())
    }

    pub fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix(UNIX) {
            return match Path::new(path) {
                path if !path.is_absolute() || path.file_name().is_none() => {
                    Err(AddressError::Relative)
                }
                _ if path.len() > PATH_BYTES_MAX => Err(AddressError::Long),
                path => Ok(Self::Unix(path.to_owned())),
            };
        }
        let named = |(host, port): (&str, &str)| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
            !host.is_empty() && host.chars().all(plain) && port.parse::<u16>().is_ok()
        };
        if text.parse::<SocketAddr>().is_ok() || text.rsplit_once(':').is_some_and(named) {
            return Ok(Self::Tcp(text.to_owned()));
        }
        Err(AddressError::Form)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// Several of them. A single one is written without brackets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(pub Vec<ListenAddress>);

impl Addresses {
    pub fn iter(&self) -> std::slice::Iter<'_, ListenAddress> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Addresses {
    type Item = &'a ListenAddress;
    type IntoIter = std::slice::Iter<'a, ListenAddress>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<ListenAddress> for Addresses {
    fn from(address: ListenAddress) -> Self {
        Self(vec![address])
    }
}

impl Serialize for Addresses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let [single] = self.0.as_slice() {
            return serializer.collect_str(single);
        }
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for address in self {
            list.serialize_element(&address.to_string())?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Addresses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as \"127.0.0.1:3141\", or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Addresses, E> {
                text.parse::<ListenAddress>()
                    .map(Addresses::from)
                    .map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Addresses, A::Error> {
                let mut addresses: Vec<ListenAddress> = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    let address = text.parse().map_err(de::Error::custom)?;
                    // Port 0 is another one each time.
                    if addresses.contains(&address) && !text.ends_with(":0") {
                        return Err(de::Error::custom(format!("\"{text}\" is there twice")));
                    }
                    addresses.push(address);
                }
                Ok(Addresses(addresses))
            }
        }

        deserializer.deserialize_any(OneOrMore)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_host_and_port_or_the_path_of_a_socket() {
        let tcp = |text: &str| Ok(ListenAddress::Tcp(text.to_owned()));
        for text in [
            "127.0.0.1:3141",
            "[::1]:0",
            "localhost:80",
            "build-1.example:65535",
        ] {
            assert_eq!(text.parse(), tcp(text));
        }
        assert_eq!(
            "unix:/run/larder.sock".parse(),
            Ok(ListenAddress::Unix("/run/larder.sock".into()))
        );
        for text in [
            "",
            "nonsense",
            ":80",
            "a b:80",
            "host:65536",
            "::1:80",
            "http://host:80",
            "unix",
        ] {
            assert!(
                matches!(text.parse::<ListenAddress>(), Err(AddressError::Form)),
                "{text}"
            );
        }
        for text in ["unix:", "unix:larder.sock", "unix:@larder", "unix:/"] {
            assert!(
                matches!(text.parse::<ListenAddress>(), Err(AddressError::Relative)),
                "{text}"
            );
        }
        let long = format!("unix:/{}", "x".repeat(PATH_BYTES_MAX));
        assert!(matches!(
            long.parse::<ListenAddress>(),
            Err(AddressError::Long)
        ));
        assert!(long[..long.len() - 1].parse::<ListenAddress>().is_ok());
    }

    #[test]
    fn what_others_can_reach_is_not_local() {
        for (text, local) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("localhost:1", true),
            ("unix:/run/larder.sock", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.0.2.1:1", false),
            ("build.example:1", false),
        ] {
            assert_eq!(
                text.parse::<ListenAddress>()
                    .map(|address| address.is_local()),
                Ok(local),
                "{text}"
            );
        }
    }

    #[test]
    fn one_is_written_without_brackets_and_a_list_with() {
        let read =
            |text: &str| serde_json::from_str::<Addresses>(text).map_err(|why| why.to_string());
        for text in ["\"127.0.0.1:1\"", "[\"127.0.0.1:1\",\"unix:/run/x\"]", "[]"] {
            assert_eq!(
                read(text).map(|read| serde_json::to_string(&read).unwrap_or_default()),
                Ok(text.to_owned())
            );
        }
        assert_eq!(read("[\"127.0.0.1:1\"]"), read("\"127.0.0.1:1\""));
        assert!(read("[\"127.0.0.1:1\",\"127.0.0.1:1\"]").is_err_and(|why| why.contains("twice")));
        assert!(read("[\"127.0.0.1:0\",\"127.0.0.1:0\"]").is_ok());
        assert!(read("3141").is_err_and(|why| why.contains("or a list of them")));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(text in "(unix:/[a-z/]{1,20}[a-z]|[a-z0-9.-]{1,20}:[0-9]{1,4})") {
            if let Ok(address) = text.parse::<ListenAddress>() {
                prop_assert_eq!(address.to_string(), text);
            }
        }
    }
}
