//! `[shared_store]`: the bucket that a fleet of larders shares, and how long it is waited for.
//!
//! Owns the section and the checks that need no file. Must not know what is kept in the bucket.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::upstream::connect::TransportConfig;
use crate::values::quantity::{Size, Span};

/// Smaller parts are refused when an upload of several is completed.
const PART_MIN: Size = Size::mebibytes(5);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedStoreConfig {
    /// `s3://BUCKET/PREFIX`; empty: there is no shared store.
    pub url: String,
    /// Where the S3 API is; empty: AWS's own for the region.
    pub endpoint: String,
    pub region: String,
    /// Whether the bucket's name is in the path, or else in the host's name.
    pub path_style: bool,
    /// Files with the two halves of an access key; both empty: as the instance, the container or
    /// the pod is told its own.
    pub access_key_id_file: String,
    pub secret_access_key_file: String,
    /// A file with the secret that the fleet's larders have in common: addresses are named and
    /// signed with it.
    pub fleet_key_file: String,
    /// Further trusted CA certificates, PEM.
    pub ca_file: String,
    /// Empty: as the environment says; "none", or a URL.
    pub proxy: String,
    pub connect_timeout: Span,
    /// From a read to the head of its answer, and between two pieces of a body.
    pub read_timeout: Span,
    /// A body that comes slower than so much a second is given up, and the rest comes from
    /// upstream.
    pub min_speed: Size,
    /// For one part of an upload to be sent and answered.
    pub write_timeout: Span,
    /// Files read at one time; further ones come from upstream.
    pub concurrent_reads: usize,
    /// Files uploaded at one time; with 0 this larder only reads.
    pub concurrent_writes: usize,
    /// Files that wait to be uploaded; further ones are left out.
    pub queue: usize,
    /// Larger files are uploaded in parts of this size, each held in memory while it is sent.
    pub part_size: Size,
    /// No byte of a file up to this size is given before its sha256 agreed; of a larger one all
    /// but the end may be.
    pub verify_first: Size,
    /// So many requests in a row that do not reach it, and it is left alone for a while; 0 goes on
    /// asking.
    pub breaker_failures: u32,
    /// The longest it is left alone before one request finds out whether it is well again.
    pub breaker_open_for: Span,
    /// Idle connections kept for reuse.
    pub idle_connections: usize,
}

impl Default for SharedStoreConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            endpoint: String::new(),
            region: "us-east-1".to_owned(),
            path_style: true,
            access_key_id_file: String::new(),
            secret_access_key_file: String::new(),
            fleet_key_file: String::new(),
            ca_file: String::new(),
            proxy: String::new(),
            connect_timeout: Span::seconds(1),
            read_timeout: Span::seconds(2),
            min_speed: Size::mebibytes(1),
            write_timeout: Span::seconds(60),
            concurrent_reads: 32,
            concurrent_writes: 2,
            queue: 4096,
            part_size: Size::mebibytes(5),
            verify_first: Size::mebibytes(64),
            breaker_failures: 3,
            breaker_open_for: Span::seconds(30),
            idle_connections: 8,
        }
    }
}

/// The bucket, and what the names of all objects in it begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketLocation {
    pub bucket: String,
    /// Empty, or ends with a slash.
    pub prefix: String,
}

impl BucketLocation {
    fn parse(url: &str) -> Option<Self> {
        let path = url.strip_prefix("s3://")?;
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        let prefix = prefix.trim_end_matches('/');
        if bucket.len() < 3 || !bucket.chars().all(|c| is_plain(c) || c == '.') {
            return None;
        }
        if prefix.is_empty() {
            return Some(Self {
                bucket: bucket.to_owned(),
                prefix: String::new(),
            });
        }
        // Other letters are changed on their way into a key.
        for segment in prefix.split('/') {
            if segment.is_empty() || !segment.chars().all(|c| is_plain(c) || c == '_') {
                return None;
            }
        }
        Some(Self {
            bucket: bucket.to_owned(),
            prefix: format!("{prefix}/"),
        })
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

impl SharedStoreConfig {
    pub fn is_set(&self) -> bool {
        !self.url.is_empty()
    }

    pub fn location(&self) -> Option<BucketLocation> {
        BucketLocation::parse(&self.url)
    }

    pub fn transport(&self) -> TransportConfig<'_> {
        TransportConfig {
            ca_file: &self.ca_file,
            proxy: &self.proxy,
            ..TransportConfig::UNUSED
        }
    }

    /// Where requests go, as far as the configuration tells.
    ///
    /// # Errors
    /// What is wrong with the endpoint.
    pub fn origin(&self) -> Result<Url, String> {
        if self.endpoint.is_empty() {
            let aws = format!("https://s3.{}.amazonaws.com", self.region);
            return Url::parse(&aws).map_err(|why| why.to_string());
        }
        let url = Url::parse(&self.endpoint).map_err(|why| why.to_string())?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        if !matches!(url.scheme(), "http" | "https") || has_user || url.query().is_some() {
            return Err("is not a URL such as https://s3.example:8333".to_owned());
        }
        Ok(url)
    }

    /// What is wrong, each with its key.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        if !self.is_set() {
            return Vec::new();
        }
        let mut faults = self.transport().faults();
        let mut fault = |key, why: &str| faults.push((key, why.to_owned()));
        if self.location().is_none() {
            let why = "is not s3://BUCKET or s3://BUCKET/PREFIX, of small letters, digits, - and in the \
                       prefix _ and /, the bucket of three or more";
            fault("url", why);
        }
        if let Err(why) = self.origin() {
            fault("endpoint", &why);
        }
        if self.region.is_empty() {
            fault(
                "region",
                "is empty: an engine that has none takes us-east-1",
            );
        }
        if self.access_key_id_file.is_empty() != self.secret_access_key_file.is_empty() {
            let why =
                "one of access_key_id_file and secret_access_key_file is set without the other";
            fault("access_key_id_file", why);
        }
        if self.fleet_key_file.is_empty() {
            let why = "is not set: a file with the same secret on every larder of the fleet, as \
                       `openssl rand -hex 32` makes one";
            fault("fleet_key_file", why);
        }
        if self.part_size < PART_MIN {
            let why = format!(
                "{} is less than {PART_MIN}, which S3 refuses",
                self.part_size
            );
            fault("part_size", &why);
        }
        for (key, zero) in [
            ("concurrent_reads", self.concurrent_reads == 0),
            ("min_speed", self.min_speed.0 == 0),
        ] {
            if zero {
                fault(key, "0 would use nothing of it: leave url empty instead");
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_and_its_prefix_are_told_apart() {
        let location = |url| BucketLocation::parse(url).map(|found| (found.bucket, found.prefix));
        let found = |bucket: &str, prefix: &str| Some((bucket.to_owned(), prefix.to_owned()));
        assert_eq!(location("s3://wheels"), found("wheels", ""));
        assert_eq!(location("s3://wheels/"), found("wheels", ""));
        assert_eq!(
            location("s3://my.wheels/a/b_2/"),
            found("my.wheels", "a/b_2/")
        );
        for wrong in [
            "",
            "wheels",
            "s3://",
            "s3://ab",
            "s3://Wheels",
            "s3://wheels/A",
            "s3://wheels/a//b",
            "s3://wheels/a~b",
            "s3://wheels/../b",
            "https://wheels.example/",
        ] {
            assert_eq!(location(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn without_a_url_nothing_is_wrong_and_with_one_all_is_told() {
        let unset = SharedStoreConfig {
            part_size: Size(1),
            ..SharedStoreConfig::default()
        };
        assert_eq!(unset.faults(), []);
        let wrong = SharedStoreConfig {
            url: "wheels".to_owned(),
            endpoint: "s3.example".to_owned(),
            secret_access_key_file: "key".to_owned(),
            concurrent_reads: 0,
            ..unset
        };
        let keys: Vec<_> = wrong.faults().into_iter().map(|(key, _)| key).collect();
        let expected = [
            "url",
            "endpoint",
            "access_key_id_file",
            "fleet_key_file",
            "part_size",
            "concurrent_reads",
        ];
        assert_eq!(keys, expected);
        let right = SharedStoreConfig {
            url: "s3://wheels/fleet".to_owned(),
            fleet_key_file: "fleet-key".to_owned(),
            ..SharedStoreConfig::default()
        };
        assert_eq!(right.faults(), []);
    }
}
