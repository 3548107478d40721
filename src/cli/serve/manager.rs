//! What the service manager is told (sd_notify(3)); nothing where `NOTIFY_SOCKET` is unset.
//!
//! Owns the messages and their order. Must not know how the daemon serves: a manager that does not
//! listen changes nothing about that.

use std::time::Duration;

use sd_notify::NotifyState;

/// For what comes after the drain: pages are put by, the last writes end.
const AFTER_THE_DRAIN: Duration = Duration::from_secs(10);

/// The service manager that started this process, and wants to hear of it.
pub struct Manager {
    listens: bool,
    /// What it was told last.
    status: String,
}

impl Manager {
    pub fn of_process() -> Self {
        Self {
            listens: std::env::var_os("NOTIFY_SOCKET").is_some(),
            status: String::new(),
        }
    }

    pub fn listens(&self) -> bool {
        self.listens
    }

    /// For how long this process may be silent, if it is watched.
    pub fn watchdog(&self) -> Option<Duration> {
        if !self.listens {
            return None;
        }
        sd_notify::watchdog_enabled()
    }

    /// The daemon listens and can answer.
    pub fn ready(&mut self, status: String) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
        self.status = status;
    }

    /// It reads its configuration again; [`Manager::ready`] says that it has.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(why) => {
                tracing::warn!(
                    error = %why,
                    "cannot read the clock that the service manager goes by"
                );
            }
        }
    }

    /// How it is, if that has changed.
    pub fn status(&mut self, status: String) {
        if self.status != status {
            self.tell(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// The daemon accepts no more, and may take `drain` until it ends.
    pub fn stopping(&self, drain: Duration) {
        let most = u32::try_from((drain + AFTER_THE_DRAIN).as_micros()).unwrap_or(u32::MAX);
        self.tell(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(most),
            NotifyState::Status("finishing running downloads"),
        ]);
    }

    fn tell(&self, words: &[NotifyState<'_>]) {
        if self.listens {
            tell(words);
        }
    }
}

/// The daemon is alive.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(words: &[NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(words) {
        tracing::warn!(error = %why, "cannot tell the service manager how the daemon is");
    }
}
