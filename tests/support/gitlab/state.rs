//! What all connections of the stand-in share, and how it answers them.

use std::io;
use std::sync::{Mutex, MutexGuard};

use super::super::http::connection::{Connection, RequestBody};
use super::super::http::log::Record;
use super::super::http::server::{Host, Received};
use super::super::http::stand_in::Shared;
use super::super::http::{Act, Answer, Door, Head, Kind};
use super::answering;
use super::object_store::{self, Signatures};
use super::request::Route;
use super::settings::{Settings, Storage};
use super::universe::Universe;
use super::upload::{Incoming, Upload};

/// Where callers put credentials.
const CREDENTIALS: [&str; 5] = [
    "Authorization",
    "PRIVATE-TOKEN",
    "Deploy-Token",
    "JOB-TOKEN",
    "Cookie",
];

#[derive(Debug)]
pub struct State {
    /// The relative root: empty, or as `/gitlab`.
    pub(super) root: String,
    /// The base that callers use, relative root included.
    pub(super) own_url: String,
    pub(super) store_url: String,
    pub(super) shared: Shared<Settings>,
    pub(super) universe: Mutex<Universe>,
    pub(super) uploads: Mutex<Vec<Upload>>,
    pub(super) signatures: Signatures,
}

impl State {
    pub(super) fn settings(&self) -> Settings {
        self.shared.settings()
    }

    pub(super) fn universe(&self) -> MutexGuard<'_, Universe> {
        self.universe.lock().expect("no panic holds it")
    }

    pub(super) fn uploads(&self) -> MutexGuard<'_, Vec<Upload>> {
        self.uploads.lock().expect("no panic holds it")
    }
}

impl Host for State {
    type Settings = Settings;

    fn shared(&self) -> &Shared<Settings> {
        &self.shared
    }

    fn kind(&self, door: Door, head: &Head) -> Kind {
        let kind = match door {
            Door::Store if head.path().starts_with("/bucket/") => Kind::Object,
            Door::GitLab => {
                Route::parse(head.path(), &self.root).map_or(Kind::Unknown, |route| route.kind())
            }
            _ => Kind::Unknown,
        };
        match (kind, head.method.as_str()) {
            (Kind::Upload, "POST") => kind,
            (Kind::Upload, _) => Kind::Unknown,
            (_, "GET" | "HEAD") => kind,
            _ => Kind::Unknown,
        }
    }

    fn carries_file(&self, kind: Kind) -> bool {
        kind == Kind::Object || (kind == Kind::File && self.settings().storage != Storage::Redirect)
    }

    fn oddity(&self, door: Door, head: &Head) -> Option<String> {
        let carries_one = CREDENTIALS.iter().any(|name| head.header(name).is_some());
        (door == Door::Store && carries_one).then(|| "a credential".to_owned())
    }

    async fn answer(&self, door: Door, head: &Head) -> Answer {
        if door == Door::Store {
            return object_store::answer(&self.universe(), &self.signatures, head);
        }
        let Some(route) = Route::parse(head.path(), &self.root) else {
            return Answer::error(404, "404 Not Found");
        };
        tokio::time::sleep(self.settings().latency).await;
        answering::answer(self, head, &route)
    }

    async fn receive(
        &self,
        head: &Head,
        faults: &[Act],
        connection: &mut Connection,
        body: &mut RequestBody,
        record: &Record,
    ) -> io::Result<Received> {
        let Some(Route::Upload { project }) = Route::parse(head.path(), &self.root) else {
            return Ok(Received::Answer(Answer::error(404, "404 Not Found")));
        };
        let latency = self.settings().latency;
        let count = |bytes| record.lock().expect("no panic holds it").body_received += bytes;
        let received = Incoming::new(self, head, &project, faults)
            .receive(connection, body, count)
            .await;
        tokio::time::sleep(latency).await;
        received
    }
}
