//! A program whose standard output is a terminal. Python makes the terminal: Rust's standard library
//! has none.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::watchdog::Watched;

/// Passes on what the terminal shows, until its own standard input ends.
const WRAPPER: &str = "
import os, subprocess, sys, threading
screen, keyboard = os.openpty()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=keyboard)
os.close(keyboard)
def show():
    while True:
        try:
            shown = os.read(screen, 65536)
        except OSError:
            return
        os.write(1, shown)
threading.Thread(target=show, daemon=True).start()
sys.stdin.read()
child.kill()
child.wait()
";

/// Dropping it ends the program.
#[derive(Debug)]
pub struct Terminal {
    wrapper: Child,
    _watched: Watched,
    screen: BufReader<ChildStdout>,
}

impl Terminal {
    pub fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut wrapper = Command::new("python3")
            .args(["-c", WRAPPER])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 runs");
        Self {
            _watched: Watched::new(wrapper.id()),
            screen: BufReader::new(wrapper.stdout.take().expect("piped")),
            wrapper,
        }
    }

    /// What it shows, up to the line that contains this.
    pub fn read_to(&mut self, part: &str) -> String {
        let mut shown = String::new();
        while !shown.contains(part) {
            let read = self.screen.read_line(&mut shown).expect("it is text");
            assert_ne!(read, 0, "it ended without {part:?}: {shown}");
        }
        shown
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.wrapper.stdin.take());
        let _ = self.wrapper.wait();
    }
}
