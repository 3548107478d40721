//! Misbehaviour on command: what goes wrong, where, and how often.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::answer::Answer;
use super::kind::Kind;

/// What goes wrong. Offsets count bytes of the response body as sent, unless said otherwise; one
/// beyond the end counts as the end.
#[derive(Clone, Debug)]
pub enum Act {
    // In place of the right answer.
    /// An HTML error page, as nginx or Workhorse would send; an upload's body is left unread.
    Status(u16),
    /// Any answer; an upload's body is left unread.
    Answer(Answer),
    /// A `Range` is overlooked: 200 with the whole file.
    IgnoreRange,
    /// This range is answered, whatever was asked for.
    AnotherRange(&'static str),
    /// Whoever asks for a range gets this status.
    RefuseRanges(u16),
    /// Whoever asks for a range from the end gets this status.
    RefuseRangesFromTheEnd(u16),
    /// No `ETag`, no `Last-Modified`, and conditions are overlooked.
    NoValidators,
    /// The object store finds the URL expired.
    ExpiredSignature,

    // While an upload's body arrives; offsets count its bytes.
    StallUpload {
        after: u64,
        time: Duration,
    },
    ResetUpload {
        after: u64,
    },

    // Before and in the head of the answer. An upload has been stored by then.
    StallBeforeHead(Duration),
    /// The connection is closed after that many bytes of the head: 0 = no answer at all.
    CutHead {
        after: usize,
    },
    /// A `Content-Encoding` that is not true.
    Encoding(&'static str),
    /// The body is compressed, and says so.
    Gzipped,
    NoAcceptRanges,
    NoContentRange,
    /// One more header.
    Header(&'static str, String),

    // In the body of a successful answer.
    StallAfter {
        bytes: u64,
        time: Duration,
    },
    /// Waits at that many bytes until the test opens the gate.
    Gate {
        after: u64,
        gate: Gate,
    },
    /// RST.
    Reset {
        after: u64,
    },
    /// FIN, although the announced body has not ended.
    Close {
        after: u64,
    },
    /// One bit of one byte is wrong; the offset counts in the file, also where a range of it is
    /// sent.
    Flip {
        at: u64,
    },
    /// So many bytes at a time, with a pause after each.
    Trickle {
        bytes: usize,
        every: Duration,
    },
    /// No `Content-Length`: chunks.
    Chunked,
    /// Chunks without the last one, then FIN.
    ChunkedWithoutEnd,
    /// No framing at all: the body ends with the connection.
    UntilClose,
    /// Bytes beyond `Content-Length`.
    Extra(usize),
}

impl Act {
    /// Everything at this many bytes a second.
    pub fn bandwidth(bytes_per_second: usize) -> Self {
        Self::Trickle {
            bytes: (bytes_per_second / 100).max(1),
            every: Duration::from_millis(10),
        }
    }

    /// A stall that ends only with the connection.
    pub fn stall_for_ever_after(bytes: u64) -> Self {
        Self::StallAfter {
            bytes,
            time: FOR_EVER,
        }
    }

    /// Plans this act for every fitting request, until limited further.
    pub fn at(self, site: impl Into<Site>) -> Fault {
        Fault {
            act: self,
            site: site.into(),
            containing: String::new(),
            method: None,
            skip: 0,
            left: None,
        }
    }

    fn phase(&self) -> Phase {
        match self {
            Self::Status(_)
            | Self::Answer(_)
            | Self::IgnoreRange
            | Self::AnotherRange(_)
            | Self::RefuseRanges(_)
            | Self::RefuseRangesFromTheEnd(_)
            | Self::NoValidators
            | Self::ExpiredSignature => Phase::Request,
            Self::StallUpload { .. } | Self::ResetUpload { .. } => Phase::UploadBody,
            Self::StallBeforeHead(_) | Self::CutHead { .. } => Phase::AnyAnswer,
            Self::Encoding(_)
            | Self::Gzipped
            | Self::NoAcceptRanges
            | Self::NoContentRange
            | Self::Header(..) => Phase::Success,
            _ => Phase::SuccessWithBody,
        }
    }
}

/// A year is for ever, and no clock overflows.
pub const FOR_EVER: Duration = Duration::from_hours(365 * 24);

/// Which requests a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    Anywhere,
    Only(Kind),
    /// Wherever a file's bytes come from: the object store in mode B, GitLab in modes A and C.
    FileBody,
}

impl From<Kind> for Site {
    fn from(kind: Kind) -> Self {
        Self::Only(kind)
    }
}

/// An [`Act`] with its address.
#[derive(Clone, Debug)]
pub struct Fault {
    act: Act,
    site: Site,
    containing: String,
    method: Option<&'static str>,
    skip: u32,
    left: Option<u32>,
}

impl Fault {
    /// Only requests whose target contains this.
    pub fn containing(mut self, part: &str) -> Self {
        part.clone_into(&mut self.containing);
        self
    }

    pub fn method(mut self, method: &'static str) -> Self {
        self.method = Some(method);
        self
    }

    /// Lets that many fitting requests pass first.
    pub fn skipping(mut self, requests: u32) -> Self {
        self.skip = requests;
        self
    }

    pub fn times(mut self, requests: u32) -> Self {
        self.left = Some(requests);
        self
    }

    pub fn once(self) -> Self {
        self.times(1)
    }
}

/// What the faults need to know about a request.
pub struct Asked<'a> {
    pub kind: Kind,
    pub method: &'a str,
    pub target: &'a str,
    /// A successful GET of this would carry a file's bytes.
    pub carries_file: bool,
}

/// When an act is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Request,
    UploadBody,
    AnyAnswer,
    Success,
    SuccessWithBody,
}

#[derive(Debug)]
struct Planned {
    id: u64,
    fault: Fault,
    hits: u32,
}

/// The faults in force.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Vec<Planned>>>);

impl Faults {
    pub(in crate::support) fn plan(&self, fault: Fault) -> PlannedFault {
        let mut planned = self.0.lock().expect("no panic holds it");
        let id = planned.last().map_or(1, |last| last.id + 1);
        planned.push(Planned { id, fault, hits: 0 });
        PlannedFault {
            faults: self.clone(),
            id,
        }
    }

    pub(in crate::support) fn clear(&self) {
        self.0.lock().expect("no panic holds it").clear();
    }

    /// The acts of a phase for a request; each counts as one hit.
    pub(in crate::support) fn take(&self, phases: &[Phase], asked: &Asked<'_>) -> Vec<Act> {
        let mut planned = self.0.lock().expect("no panic holds it");
        let mut acts = Vec::new();
        for Planned { fault, hits, .. } in planned.iter_mut() {
            if !phases.contains(&fault.act.phase()) || !fits(fault, asked) || fault.left == Some(0)
            {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.left = fault.left.map(|left| left - 1);
            *hits += 1;
            acts.push(fault.act.clone());
        }
        acts
    }
}

fn fits(fault: &Fault, asked: &Asked<'_>) -> bool {
    let here = match fault.site {
        Site::Anywhere => true,
        Site::Only(kind) => kind == asked.kind,
        Site::FileBody => asked.carries_file,
    };
    here && fault.method.is_none_or(|method| method == asked.method)
        && asked.target.contains(&fault.containing)
}

/// A fault that was planned: asks how often it struck, takes it back.
#[derive(Clone, Debug)]
pub struct PlannedFault {
    faults: Faults,
    id: u64,
}

impl PlannedFault {
    pub fn hits(&self) -> u32 {
        let planned = self.faults.0.lock().expect("no panic holds it");
        planned
            .iter()
            .find(|planned| planned.id == self.id)
            .map_or(0, |planned| planned.hits)
    }

    pub fn remove(self) {
        self.faults
            .0
            .lock()
            .expect("no panic holds it")
            .retain(|planned| planned.id != self.id);
    }
}

/// Holds answers back until the test lets them go on.
#[derive(Clone, Debug)]
pub struct Gate(Arc<GateState>);

#[derive(Debug)]
struct GateState {
    arrived: Mutex<usize>,
    arrival: Condvar,
    open: watch::Sender<bool>,
}

impl Gate {
    pub fn new() -> Self {
        Self(Arc::new(GateState {
            arrived: Mutex::new(0),
            arrival: Condvar::new(),
            open: watch::Sender::new(false),
        }))
    }

    /// Lets everyone through who waits or comes later.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// How many answers have come to the gate so far.
    pub fn arrived(&self) -> usize {
        *self.0.arrived.lock().expect("no panic holds it")
    }

    /// Blocks until so many answers have come to the gate; panics after a minute.
    pub fn wait_for(&self, answers: usize) {
        let until = Instant::now() + Duration::from_secs(60);
        let mut arrived = self.0.arrived.lock().expect("no panic holds it");
        while *arrived < answers {
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{} of {answers} answers came to the gate within a minute",
                *arrived
            );
            arrived = self
                .0
                .arrival
                .wait_timeout(arrived, left)
                .expect("no panic holds it")
                .0;
        }
    }

    pub(in crate::support) async fn pass(&self) {
        *self.0.arrived.lock().expect("no panic holds it") += 1;
        self.0.arrival.notify_all();
        // The sender lives as long as `self`.
        let _ = self.0.open.subscribe().wait_for(|open| *open).await;
    }
}
