//! The shared store: a bucket behind any S3 API, where the larders of a fleet keep what each of them
//! verified.
//!
//! ```text
//! PREFIX/addresses/<keyed hash of an address>   the fact that it yielded these bytes, signed
//! PREFIX/blobs/<sha256>                         the bytes: of files, and of wheels' metadata
//! ```
//!
//! Rights, pages and credentials never travel. Whatever is read is checked by its reader: a fact by
//! the fleet's key, bytes by their sha256. Must not know the local store, nor which client waits.

mod address_fact;
mod config;
mod error;
mod http_service;
mod object_body;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, StatusCode};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::path::Path;
use object_store::{
    BackoffConfig, GetResult, MultipartUpload, ObjectStoreExt, PutPayload, RetryConfig,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use address_fact::FACT_BYTES_MAX;
pub use address_fact::{AddressFact, FLEET_KEY_BYTES_MIN, FleetKey};
pub use config::{BucketLocation, SharedStoreConfig};
pub use error::SharedStoreError;
use http_service::{RefusedFor, StoreCondition, StoreConnector, StoreHttp};
pub use object_body::{ObjectBody, ObjectBodyError};

use super::body::IdleBody;
use super::breaker::{Breaker, BreakerLimits};
use super::connect::{ConnectTarget, PeerConnector, Transport, http_client};
use super::counts::{PeerCounts, PeerReading};
use super::error::UpstreamError;
use super::peer::Peer;
use super::response::UpstreamResponse;
use crate::values::clock;
use crate::values::digest::Digest;
use crate::values::secret::Secret;

/// The name of the shared store among the upstreams.
pub const SHARED_STORE: &str = "shared_store";

/// Beyond the limit on an answer, for a probe to be told from a lost one.
const PROBE_SLACK: Duration = Duration::from_secs(1);

/// Beyond the limit on a read, for the request to say itself that it was too slow.
const READ_SLACK: Duration = Duration::from_secs(1);

/// What tells a container, a pod or an instance where its credential is.
const CREDENTIAL_VARIABLES: [(&str, AmazonS3ConfigKey); 5] = [
    (
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        AmazonS3ConfigKey::WebIdentityTokenFile,
    ),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    ),
    (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        AmazonS3ConfigKey::ContainerCredentialsFullUri,
    ),
    (
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        AmazonS3ConfigKey::ContainerAuthorizationTokenFile,
    ),
];

/// The secrets of `[shared_store]`.
pub struct SharedStoreSecrets {
    /// The two halves of the access key; none: the instance's own.
    pub access_key: Option<(Secret, Secret)>,
    pub fleet_key: FleetKey,
}

/// One bucket, as one configuration names it.
pub struct SharedStore {
    s3: AmazonS3,
    location: BucketLocation,
    fleet_key: FleetKey,
    pub config: SharedStoreConfig,
    condition: Arc<StoreCondition>,
    reads: Arc<Semaphore>,
}

impl SharedStore {
    /// # Errors
    /// A sentence that begins with the key that is to blame.
    pub fn new(
        config: SharedStoreConfig,
        transport: &Transport,
        secrets: SharedStoreSecrets,
    ) -> Result<Self, String> {
        let location = config.location().ok_or("url: is not s3://BUCKET/PREFIX")?;
        let limit = config.connect_timeout.0;
        let connector = PeerConnector::new(transport, ConnectTarget::Own, limit, false)?;
        let breaker = Breaker::new(BreakerLimits {
            failures: config.breaker_failures,
            open_for: config.breaker_open_for.0,
            probe: config.read_timeout.0.max(config.write_timeout.0) + PROBE_SLACK,
        });
        let condition = Arc::new(StoreCondition::new(breaker));
        let http = StoreHttp {
            client: http_client(connector.clone(), config.idle_connections),
            direct: http_client(connector.clone().without_proxy(), config.idle_connections),
            origin: config.origin().map_err(|why| format!("endpoint: {why}"))?,
            connector,
            config: config.clone(),
            condition: Arc::clone(&condition),
        };
        let s3 = client(&config, &location, secrets.access_key, http)?;
        Ok(Self {
            s3,
            location,
            fleet_key: secrets.fleet_key,
            reads: Arc::new(Semaphore::new(
                config.concurrent_reads.clamp(1, Semaphore::MAX_PERMITS),
            )),
            config,
            condition,
        })
    }

    /// Goes on counting where another of this name left off.
    pub fn count_on(&self, counts: &PeerCounts) {
        *self.condition.counts.lock() = counts.of(SHARED_STORE.to_owned());
    }

    pub fn fleet_key(&self) -> &FleetKey {
        &self.fleet_key
    }

    pub fn reading(&self, now: Instant) -> PeerReading {
        let condition = self.condition.breaker.condition(now);
        let counts = self.condition.counts();
        counts.read(SHARED_STORE.to_owned(), condition, now)
    }

    /// Why it is of no use although it answers, and for how long.
    pub fn fault(&self, now: Instant) -> Option<(String, Duration)> {
        if let Some(refusal) = self.condition.refusal() {
            let since = now.saturating_duration_since(refusal.since);
            return Some((refusal.what.in_words(), since));
        }
        let since = self.breaks_off(now)?;
        let why = "breaks off what it sends, and is left alone for a while; files come from upstream meanwhile";
        Some((why.to_owned(), since))
    }

    /// Whether its bodies broke off several times in a row, the last time lately.
    fn breaks_off(&self, now: Instant) -> Option<Duration> {
        let rest = self.config.breaker_open_for.0;
        self.condition
            .breaks_off(self.config.breaker_failures, rest, now)
    }

    /// A body that was read came to its end, or broke off.
    pub fn body_ended(&self, is_whole: bool) {
        self.condition.body_ended(is_whole, clock::now());
    }

    fn key(&self, folder: &str, name: &str) -> Path {
        Path::from(format!("{}{folder}/{name}", self.location.prefix))
    }

    fn blob_key(&self, digest: Digest) -> Path {
        self.key("blobs", &digest.to_string())
    }

    /// The name of an object, for people.
    pub fn blob_name(&self, digest: Digest) -> String {
        format!("s3://{}/{}", self.location.bucket, self.blob_key(digest))
    }

    /// Nothing is asked for a while after no credential was to be had.
    fn begin(&self) -> Result<(), SharedStoreError> {
        let rest = match self.config.breaker_failures {
            0 => Duration::ZERO,
            _ => self.config.breaker_open_for.0,
        };
        if self.condition.lacks_credential(rest, clock::now()) {
            return Err(SharedStoreError::NoCredential);
        }
        Ok(())
    }

    async fn write<T>(
        &self,
        writing: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, SharedStoreError> {
        self.begin()?;
        self.heard(writing.await)
    }

    /// What a read comes to, within the time for one: what the library does before and after its
    /// request has no limit of its own.
    async fn read<T>(
        &self,
        reading: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, SharedStoreError> {
        self.begin()?;
        let limit = self.config.read_timeout.0;
        match timeout(limit.saturating_add(READ_SLACK), reading).await {
            Ok(answer) => self.heard(answer),
            Err(_) => {
                self.condition.gave_up(clock::now());
                let why = UpstreamError::Silent(Peer::SharedStore, limit);
                Err(SharedStoreError::Failed(why.to_string()))
            }
        }
    }

    /// What an answer of the library's comes to.
    fn heard<T>(&self, answer: object_store::Result<T>) -> Result<T, SharedStoreError> {
        let error = match answer {
            Ok(answer) => return Ok(answer),
            Err(why) => SharedStoreError::of(&why),
        };
        match &error {
            SharedStoreError::NoBucket => self.condition.refused(RefusedFor::Bucket, clock::now()),
            SharedStoreError::Absent => self.condition.accepted(false),
            _ => {}
        }
        Err(error)
    }

    /// The fact that is known under a name.
    ///
    /// # Errors
    /// When there is none, or none to be had in time.
    pub async fn fact(&self, name: &str) -> Result<AddressFact, SharedStoreError> {
        if self.breaks_off(clock::now()).is_some() {
            return Err(SharedStoreError::LeftAlone);
        }
        let key = self.key("addresses", name);
        let found = self.read(self.s3.get(&key)).await?;
        if found.meta.size > FACT_BYTES_MAX as u64 {
            return Err(SharedStoreError::Wrong("a fact is longer than any can be"));
        }
        let written = self.collect(found, FACT_BYTES_MAX).await?;
        let fact = self.fleet_key.open(name, &written);
        fact.ok_or(SharedStoreError::Wrong(
            "a fact has another signature: was it written with another fleet key?",
        ))
    }

    /// The bytes of a fact, as an answer with upstream's validators.
    ///
    /// # Errors
    /// When there are none, or none to be had in time.
    pub async fn file(&self, fact: &AddressFact) -> Result<UpstreamResponse, SharedStoreError> {
        if self.breaks_off(clock::now()).is_some() {
            return Err(SharedStoreError::LeftAlone);
        }
        let Ok(turn) = Arc::clone(&self.reads).try_acquire_owned() else {
            return Err(SharedStoreError::Busy);
        };
        let key = self.blob_key(fact.sha256);
        let found = self.read(self.s3.get(&key)).await?;
        if found.meta.size != fact.size {
            return Err(SharedStoreError::Wrong(
                "an object has another length than its fact says",
            ));
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(fact.size));
        for (name, text) in [(ETAG, &fact.etag), (LAST_MODIFIED, &fact.last_modified)] {
            if let Some(text) = text
                && let Ok(value) = HeaderValue::from_str(text)
            {
                headers.insert(name, value);
            }
        }
        Ok(UpstreamResponse {
            status: StatusCode::OK,
            reason: None,
            headers,
            body: self.body(found, Some(turn)),
            parent: None,
        })
    }

    /// A small object whole, if its bytes have this sha256.
    ///
    /// # Errors
    /// When there is none, or none to be had in time.
    pub async fn blob(&self, digest: Digest, bytes_max: usize) -> Result<Bytes, SharedStoreError> {
        if self.breaks_off(clock::now()).is_some() {
            return Err(SharedStoreError::LeftAlone);
        }
        let key = self.blob_key(digest);
        let found = self.read(self.s3.get(&key)).await?;
        let bytes = self.collect(found, bytes_max).await?;
        if Digest::of(&bytes) != digest {
            return Err(SharedStoreError::Wrong(
                "an object's bytes have another sha256",
            ));
        }
        Ok(bytes)
    }

    /// All of a small object. One that breaks off counts as every body does; one that is whole says
    /// too little of the larger ones to end a row of breaks.
    async fn collect(&self, found: GetResult, bytes_max: usize) -> Result<Bytes, SharedStoreError> {
        match self.body(found, None).collect(bytes_max).await {
            Ok(bytes) => Ok(bytes),
            Err(why) => {
                self.body_ended(false);
                Err(SharedStoreError::Failed(why.to_string()))
            }
        }
    }

    /// A body at the pace that the configuration wants.
    fn body(&self, found: GetResult, turn: Option<OwnedSemaphorePermit>) -> IdleBody {
        let limit = self.config.read_timeout.0;
        let seconds = found.meta.size.div_ceil(self.config.min_speed.0.max(1));
        let whole = limit.saturating_add(Duration::from_secs(seconds));
        let body = ObjectBody::new(found.into_stream(), whole, turn);
        IdleBody::of_object(body, limit, self.condition.counts())
    }

    /// The length of a blob that is there.
    ///
    /// # Errors
    /// When there is none, or the question is not answered.
    pub async fn blob_size(&self, digest: Digest) -> Result<u64, SharedStoreError> {
        let key = self.blob_key(digest);
        let found = self.read(self.s3.head(&key)).await?;
        Ok(found.size)
    }

    /// Puts a blob there in one piece.
    ///
    /// # Errors
    /// When it is not there afterwards, as far as is known.
    pub async fn put_blob(
        &self,
        digest: Digest,
        pieces: Vec<Bytes>,
    ) -> Result<(), SharedStoreError> {
        let key = self.blob_key(digest);
        let payload = PutPayload::from_iter(pieces);
        self.write(self.s3.put(&key, payload)).await?;
        Ok(())
    }

    /// Begins to put a blob there in parts: nothing is there until [`BlobUpload::complete`].
    ///
    /// # Errors
    /// When it cannot be begun.
    pub async fn upload_blob(&self, digest: Digest) -> Result<BlobUpload<'_>, SharedStoreError> {
        let key = self.blob_key(digest);
        let upload = self.write(self.s3.put_multipart(&key)).await?;
        Ok(BlobUpload {
            store: self,
            upload,
        })
    }

    /// Says what an address yielded. Its blobs must be there already.
    ///
    /// # Errors
    /// When it is not there afterwards, as far as is known.
    pub async fn put_fact(&self, name: &str, fact: &AddressFact) -> Result<(), SharedStoreError> {
        let written = self.fleet_key.seal(name, fact);
        let key = self.key("addresses", name);
        let written = Bytes::from(written).into();
        self.write(self.s3.put(&key, written)).await?;
        Ok(())
    }

    /// Takes back what was said of an address.
    ///
    /// # Errors
    /// When it may still be there.
    pub async fn remove_fact(&self, name: &str) -> Result<(), SharedStoreError> {
        let key = self.key("addresses", name);
        match self.write(self.s3.delete(&key)).await {
            Err(SharedStoreError::Absent) => Ok(()),
            removed => removed,
        }
    }
}

/// A blob on its way there, in parts.
pub struct BlobUpload<'s> {
    store: &'s SharedStore,
    upload: Box<dyn MultipartUpload>,
}

impl BlobUpload<'_> {
    /// # Errors
    /// When the part is not there; the upload is to be aborted then.
    pub async fn part(&mut self, pieces: Vec<Bytes>) -> Result<(), SharedStoreError> {
        let put = self.upload.put_part(PutPayload::from_iter(pieces)).await;
        self.store.heard(put)
    }

    /// Makes one object of the parts.
    ///
    /// # Errors
    /// When it is not there afterwards, as far as is known.
    pub async fn complete(mut self) -> Result<(), SharedStoreError> {
        let completed = self.upload.complete().await;
        self.store.heard(completed)?;
        Ok(())
    }

    /// Leaves nothing of it, if the store can be reached; a rule of the bucket removes the rest.
    pub async fn abort(mut self) {
        let aborted = self.upload.abort().await;
        if let Err(why) = self.store.heard(aborted) {
            tracing::info!(error = %why, "parts of an upload that was given up may be left in the shared store");
        }
    }
}

fn client(
    config: &SharedStoreConfig,
    location: &BucketLocation,
    access_key: Option<(Secret, Secret)>,
    http: StoreHttp,
) -> Result<AmazonS3, String> {
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 0,
        retry_timeout: config.write_timeout.0,
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&location.bucket)
        .with_region(&config.region)
        .with_virtual_hosted_style_request(!config.path_style)
        .with_allow_http(true)
        .with_retry(retry)
        // Engines compare it with the body, and the hash that is signed they do not.
        .with_checksum_algorithm(Checksum::SHA256)
        .with_http_connector(StoreConnector(http));
    if !config.endpoint.is_empty() {
        builder = builder.with_endpoint(endpoint(config, location)?);
    }
    match &access_key {
        Some((id, secret)) => {
            builder = builder
                .with_access_key_id(text("access_key_id_file", id)?)
                .with_secret_access_key(text("secret_access_key_file", secret)?);
        }
        None => {
            for (variable, key) in CREDENTIAL_VARIABLES {
                if let Ok(value) = std::env::var(variable) {
                    builder = builder.with_config(key, value);
                }
            }
        }
    }
    builder.build().map_err(|why| format!("url: {why}"))
}

/// With the bucket in the host's name, where that is the style.
fn endpoint(config: &SharedStoreConfig, location: &BucketLocation) -> Result<String, String> {
    let mut url = config.origin().map_err(|why| format!("endpoint: {why}"))?;
    if !config.path_style
        && let Some(host) = url.host_str()
    {
        let host = format!("{}.{host}", location.bucket);
        url.set_host(Some(&host))
            .map_err(|why| format!("endpoint: {why}"))?;
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn text(key: &str, secret: &Secret) -> Result<String, String> {
    let text = std::str::from_utf8(secret.expose()).map_err(|_| format!("{key}: is not text"))?;
    Ok(text.to_owned())
}
