//! What all connections of a stand-in share.

use std::sync::{Mutex, MutexGuard};

use super::fault::Faults;
use super::log::RequestLog;
use super::object_store::Signatures;
use super::settings::Settings;
use super::universe::Universe;
use super::upload::Upload;

#[derive(Debug)]
pub(super) struct State {
    /// The relative root: empty, or as `/gitlab`.
    pub root: String,
    /// The base that callers use, relative root included.
    pub own_url: String,
    pub store_url: String,
    pub settings: Mutex<Settings>,
    pub universe: Mutex<Universe>,
    pub uploads: Mutex<Vec<Upload>>,
    pub signatures: Signatures,
    pub faults: Faults,
    pub log: RequestLog,
}

impl State {
    pub(super) fn settings(&self) -> Settings {
        self.settings.lock().expect("no panic holds it").clone()
    }

    pub(super) fn universe(&self) -> MutexGuard<'_, Universe> {
        self.universe.lock().expect("no panic holds it")
    }

    pub(super) fn uploads(&self) -> MutexGuard<'_, Vec<Upload>> {
        self.uploads.lock().expect("no panic holds it")
    }
}
