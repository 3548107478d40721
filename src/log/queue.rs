//! Lines on their way to standard error, which may take them slowly or not at all.
//!
//! Written by a thread of its own, all that have come in within a moment at once: a thread that is
//! woken for each line costs more than the line, and more than the answer that the line is about.
//! Bounded in bytes: a line has whatever length those like who ask. What does not fit is dropped
//! and counted, and of a line that is too long by itself the fields are cut. Must not know what is
//! logged.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

/// Waiting to be written; as much again may be in the writer's hands.
const QUEUE_BYTES: usize = 4 << 20;

/// A longer line is cut.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Of each field, in a line of JSON that is cut.
const FIELD_CHARS_MAX: usize = 512;

/// The writer lets so much time pass after a first line, for those that follow it.
const GATHERING: Duration = Duration::from_millis(5);

/// So many bytes are written without waiting for more.
const GATHERED_BYTES: usize = 64 << 10;

/// For what is queued to be written at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// The longest escape within quotes, such as `\u001b`.
const ESCAPE_BYTES_MAX: usize = 6;

/// Stands for what was cut.
const CUT: char = '\u{2026}';

/// Takes lines, and never waits for their reader.
#[derive(Clone)]
pub struct LogQueue(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    dropped: u64,
    closing: bool,
    /// The writer has written all and will write no more.
    done: bool,
}

/// Dropped, it waits a moment for what is queued to be written.
pub struct LogQueueGuard(LogQueue);

impl LogQueue {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<(Self, LogQueueGuard)> {
        let queue = Self(Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        }));
        let writer = queue.clone();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.write_all_to(out))?;
        Ok((queue.clone(), LogQueueGuard(queue)))
    }

    /// Lines that did not fit so far.
    pub fn dropped(&self) -> u64 {
        self.state().dropped
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }

    pub fn put(&self, line: &[u8]) {
        let cut;
        let mut line = line;
        if line.len() > LINE_BYTES_MAX {
            cut = shortened(line);
            line = &cut;
        }
        let mut state = self.state();
        if state.lines.len() + line.len() > QUEUE_BYTES {
            state.dropped += 1;
            return;
        }
        let before = state.lines.len();
        state.lines.extend_from_slice(line);
        let is_first = before == 0;
        let is_enough = before < GATHERED_BYTES && state.lines.len() >= GATHERED_BYTES;
        drop(state);
        if is_first || is_enough {
            self.0.changed.notify_all();
        }
    }

    fn write_all_to(self, mut out: impl Write) {
        let mut lines = Vec::new();
        loop {
            let mut state = self.state();
            while state.lines.is_empty() && !state.closing {
                self.0.changed.wait(&mut state);
            }
            let is_gathering =
                |state: &mut State| !state.closing && state.lines.len() < GATHERED_BYTES;
            self.0
                .changed
                .wait_while_for(&mut state, is_gathering, GATHERING);
            if state.lines.is_empty() {
                state.done = true;
                drop(state);
                self.0.changed.notify_all();
                return;
            }
            std::mem::swap(&mut state.lines, &mut lines);
            drop(state);
            // Nothing is left to tell it by if this fails.
            let _ = out.write_all(&lines).and_then(|()| out.flush());
            lines.clear();
            // A burst is over: what it took is given back.
            lines.shrink_to(GATHERED_BYTES);
        }
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Each write is a line.
impl Write for &LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogQueueGuard {
    fn drop(&mut self) {
        let changed = &self.0.0.changed;
        let mut state = self.0.state();
        state.closing = true;
        changed.notify_all();
        // Past the wait it is lost: a reader that takes nothing must not keep the process.
        changed.wait_while_for(&mut state, |state| !state.done, FAREWELL);
    }
}

/// A line that is too long, so that what reads the others can still read it.
fn shortened(line: &[u8]) -> Vec<u8> {
    if let Ok(mut line) = serde_json::from_slice(line) {
        cut_fields(&mut line);
        return format!("{line}\n").into_bytes();
    }
    let head = line.get(..LINE_BYTES_MAX).unwrap_or(line);
    let head = String::from_utf8_lossy(head);
    let whole = head.trim_end_matches(char::REPLACEMENT_CHARACTER);
    format!("{}\n", cut_behind(whole)).into_bytes()
}

/// The beginning of a line of logfmt, so that it is one itself.
fn cut_behind(head: &str) -> String {
    let mut is_quoted = false;
    let mut is_escape = false;
    for letter in head.chars() {
        match letter {
            _ if is_escape => is_escape = false,
            '\\' if is_quoted => is_escape = true,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
    }
    if !is_quoted {
        return format!("{head}{CUT}");
    }
    // The last bytes may be a part of an escape.
    let whole = match head.rfind('\\') {
        Some(at) if head.len() - at < ESCAPE_BYTES_MAX => head[..at].trim_end_matches('\\'),
        _ => head,
    };
    format!("{whole}{CUT}\"")
}

fn cut_fields(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(FIELD_CHARS_MAX) {
                text.truncate(end);
                text.push(CUT);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(cut_fields),
        Value::Object(fields) => fields.values_mut().for_each(cut_fields),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, pipe};

    use super::*;

    #[test]
    fn a_reader_that_takes_nothing_costs_so_many_bytes_and_no_more() {
        let (reader, writer) = pipe().unwrap();
        let (queue, guard) = LogQueue::start(writer).unwrap();
        let line = [vec![b'x'; 9_999], b"\n".to_vec()].concat();
        for _ in 0..3_000 {
            queue.put(&line);
        }
        assert!(queue.state().lines.capacity() <= 2 * QUEUE_BYTES);
        let dropped = queue.dropped();
        assert!((1..3_000).contains(&dropped), "{dropped} dropped");
        // Once the lines are read, what was kept comes, each line whole.
        let read = std::thread::spawn(move || {
            BufReader::new(reader).lines().map_while(Result::ok).count()
        });
        drop(guard);
        drop(queue);
        assert_eq!(read.join().unwrap() as u64 + dropped, 3_000);
    }

    #[test]
    fn the_end_waits_for_what_is_queued_and_not_for_ever() {
        let (_reader, writer) = pipe().unwrap();
        let (queue, guard) = LogQueue::start(writer).unwrap();
        queue.put(&vec![b'x'; 10_000]);
        for _ in 0..100 {
            queue.put(&vec![b'x'; 10_000]);
        }
        drop(guard);
    }

    #[test]
    fn a_long_line_is_cut_and_still_a_line_of_its_kind() {
        let long = "\u{e9}".repeat(40_000);
        let json = serde_json::json!({ "path": long, "status": 200, "list": ["a", long] })
            .to_string()
            + "\n";
        let cut = shortened(json.as_bytes());
        let value: Value = serde_json::from_slice(&cut).unwrap();
        assert_eq!(
            (
                &value["status"],
                value["path"].as_str().unwrap().chars().count()
            ),
            (&Value::from(200), 513)
        );
        assert!(
            cut.len() < LINE_BYTES_MAX && cut.ends_with(b"\n"),
            "{}",
            cut.len()
        );
        for odd in [0, 1] {
            let text = "x".repeat(odd) + &long + "\n";
            let cut = String::from_utf8(shortened(text.as_bytes())).unwrap();
            assert!(
                cut.ends_with("\u{e9}\u{2026}\n") && cut.len() <= LINE_BYTES_MAX + 4,
                "{}",
                cut.len()
            );
        }
    }
}
