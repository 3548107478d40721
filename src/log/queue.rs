//! Lines on their way to standard error, which may take them slowly or not at all.
//!
//! Written by a thread of its own: a thread that is woken for each line costs more than the line,
//! and more than the answer that the line is about. The first line behind a silence wakes the
//! writer; having written, it gathers for a fixed time, without being woken, and sleeps for good
//! only when a gathering brought nothing. Bounded in bytes: a line has whatever length those like
//! who ask. What does not fit is dropped and counted, and of a line that is too long by itself the
//! fields are cut. Must not know what is logged.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use serde_json::Value;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Waiting to be written; as much again may be in the writer's hands.
const QUEUE_BYTES: usize = 4 << 20;

/// A longer line is cut.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Of each field, in a line of JSON that is cut.
const FIELD_CHARS_MAX: usize = 512;

/// The writer lets so much time pass after each write, for the lines that follow.
const GATHERING: Duration = Duration::from_millis(25);

/// So many bytes are written without waiting for more.
const GATHERED_BYTES: usize = 64 << 10;

/// Before a full pipe that does not block is tried again.
const FULL_PIPE_WAIT: Duration = Duration::from_millis(10);

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
    /// The writer sleeps until it is woken.
    is_asleep: bool,
    /// What is queued is written without waiting for more.
    is_urgent: bool,
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
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.write_all_to(out))?;
        Ok((queue.clone(), LogQueueGuard(queue)))
    }

    /// Lines that did not fit so far, or could not be written.
    pub fn dropped(&self) -> u64 {
        self.state().dropped
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }

    /// `is_urgent`: the line is written at once, with those before it.
    pub fn put(&self, line: &[u8], is_urgent: bool) {
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
        let had_enough = state.has_enough();
        state.lines.extend_from_slice(line);
        state.is_urgent |= is_urgent;
        let wakes = state.is_asleep || (state.has_enough() && !had_enough);
        state.is_asleep = false;
        drop(state);
        if wakes {
            self.0.changed.notify_all();
        }
    }

    fn write_all_to(self, mut out: impl Write) {
        let changed = &self.0.changed;
        let mut lines = Vec::new();
        let mut state = self.state();
        loop {
            if state.lines.is_empty() && !state.closing {
                state.is_asleep = true;
                changed.wait_while(&mut state, |state| state.is_asleep && !state.closing);
            }
            if state.lines.is_empty() {
                state.done = true;
                drop(state);
                changed.notify_all();
                return;
            }
            std::mem::swap(&mut state.lines, &mut lines);
            state.is_urgent = false;
            let lost = MutexGuard::unlocked(&mut state, || {
                let lost = write_lines(&mut out, &lines);
                lines.clear();
                // A burst is over: what it took is given back.
                lines.shrink_to(GATHERED_BYTES);
                lost
            });
            state.dropped += lost;
            changed.wait_while_for(&mut state, |state| !state.has_enough(), GATHERING);
        }
    }
}

impl State {
    /// Whether the writer need not wait for more.
    fn has_enough(&self) -> bool {
        self.closing || self.is_urgent || self.lines.len() >= GATHERED_BYTES
    }
}

/// Writes all of these lines, and tells how many are lost because it fails.
fn write_lines(out: &mut impl Write, mut lines: &[u8]) -> u64 {
    loop {
        match out.write(lines) {
            Ok(written) if written > 0 => lines = &lines[written..],
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            // Another process has made it a pipe that does not block.
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => thread::sleep(FULL_PIPE_WAIT),
            Ok(_) | Err(_) => break,
        }
        if lines.is_empty() {
            break;
        }
    }
    // Nothing is left to tell it by if this fails.
    let _ = out.flush();
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Puts each write into the queue as a line.
pub struct LineWriter<'a> {
    queue: &'a LogQueue,
    is_urgent: bool,
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter {
            queue: self,
            is_urgent: false,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        LineWriter {
            queue: self,
            is_urgent: is_urgent(*metadata.level()),
        }
    }
}

/// Whether lines of this level are written at once: those that an operator has to see even if
/// larder ends in the next moment.
pub fn is_urgent(level: Level) -> bool {
    level <= Level::WARN
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.put(line, self.is_urgent);
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
#[expect(clippy::disallowed_methods, reason = "tests own their clock")]
mod tests {
    use std::io::{BufRead, BufReader, pipe};
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_reader_that_takes_nothing_costs_so_many_bytes_and_no_more() {
        let (reader, writer) = pipe().unwrap();
        let (queue, guard) = LogQueue::start(writer).unwrap();
        let line = [vec![b'x'; 9_999], b"\n".to_vec()].concat();
        for _ in 0..3_000 {
            queue.put(&line, false);
        }
        assert!(queue.state().lines.capacity() <= 2 * QUEUE_BYTES);
        let dropped = queue.dropped();
        assert!((1..3_000).contains(&dropped), "{dropped} dropped");
        // Once the lines are read, what was kept comes, each line whole.
        let read =
            thread::spawn(move || BufReader::new(reader).lines().map_while(Result::ok).count());
        drop(guard);
        drop(queue);
        assert_eq!(read.join().unwrap() as u64 + dropped, 3_000);
    }

    /// A pipe of lines, each read when it has come.
    fn started() -> (LogQueue, LogQueueGuard, impl FnMut() -> String) {
        let (reader, writer) = pipe().unwrap();
        let (queue, guard) = LogQueue::start(writer).unwrap();
        let mut lines = BufReader::new(reader).lines();
        (queue, guard, move || lines.next().unwrap().unwrap())
    }

    /// Waits until the writer sleeps for good.
    fn falls_asleep(queue: &LogQueue) {
        while !queue.state().is_asleep {
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn the_writer_is_woken_behind_a_silence_and_gathers_what_follows() {
        let (queue, _guard, mut read) = started();
        let mut woken = 0;
        // The machine may let this thread wait for longer than it means to.
        let mut silences = 1;
        let mut last = Instant::now();
        for _ in 0..100 {
            woken += u32::from(queue.state().is_asleep);
            silences += u32::from(last.elapsed() >= GATHERING);
            last = Instant::now();
            queue.put(b"line\n", false);
            thread::sleep(Duration::from_millis(1));
        }
        assert!(woken <= silences, "woken {woken} times");
        falls_asleep(&queue);
        queue.put(b"last\n", false);
        for _ in 0..100 {
            assert_eq!(read(), "line");
        }
        assert_eq!(read(), "last");
    }

    #[test]
    fn an_urgent_line_takes_those_before_it_along() {
        let (queue, _guard, mut read) = started();
        let mut at_once = 0;
        for _ in 0..40 {
            let begun = Instant::now();
            queue.put(b"usual\n", false);
            queue.put(b"urgent\n", true);
            assert_eq!((read(), read()), ("usual".to_owned(), "urgent".to_owned()));
            at_once += u32::from(begun.elapsed() < GATHERING / 2);
        }
        // All but the first would take a gathering otherwise; on a busy machine some do.
        assert!(at_once >= 4, "{at_once} of 40");
    }

    /// Takes three bytes at a time, of which every other time none; at last nothing more.
    struct Reluctant {
        taken: Vec<u8>,
        is_full: bool,
        most: usize,
    }

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.is_full = !self.is_full;
            if self.is_full {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let room = (self.most - self.taken.len()).min(3);
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = &bytes[..bytes.len().min(room)];
            self.taken.extend_from_slice(taken);
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_pipe_is_waited_for_and_lines_that_fail_are_counted() {
        for (most, lost) in [(100, 0), (14, 0), (13, 1), (8, 1), (7, 2), (0, 3)] {
            let mut out = Reluctant {
                taken: Vec::new(),
                is_full: false,
                most,
            };
            let lines = b"one\ntwo\nthree\n";
            assert_eq!(write_lines(&mut out, &lines[..]), lost, "{most}");
            assert_eq!(out.taken, lines[..most.min(lines.len())]);
        }
    }

    #[test]
    fn the_end_waits_for_what_is_queued_and_not_for_ever() {
        let (_reader, writer) = pipe().unwrap();
        let (queue, guard) = LogQueue::start(writer).unwrap();
        queue.put(&vec![b'x'; 10_000], false);
        for _ in 0..100 {
            queue.put(&vec![b'x'; 10_000], false);
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
