//! Ends what the tests have started when they are killed themselves and can end nothing.
//!
//! A process of its own holds the other end of a pipe, which the kernel closes with the tests,
//! however they end. (The signal that Linux sends at a parent's death comes at the end of a
//! *thread*, and each test is one.)

use std::io::Write;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Reads `start PID` and `end PID`; at the end of its input it kills whatever has started and not
/// ended. A signal to the whole group of processes, as Ctrl-C sends it, is not for the watchdog.
const SCRIPT: &str = r#"trap '' HUP INT QUIT TERM
all=' '
while read -r word pid; do
    case $word in
        start) all="$all$pid " ;;
        end) all="${all%%" $pid "*} ${all#*" $pid "}" ;;
    esac
done
for pid in $all; do kill -9 "$pid" 2>/dev/null; done"#;

static PIPE: LazyLock<Mutex<ChildStdin>> = LazyLock::new(|| {
    let watchdog = Command::new("sh")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let pipe = watchdog.expect("a shell").stdin.take();
    Mutex::new(pipe.expect("piped"))
});

/// A process that does not outlive the tests. To be dropped after it has ended.
#[derive(Debug)]
pub struct Watched(u32);

impl Watched {
    pub fn new(process: u32) -> Self {
        tell("start", process);
        Self(process)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        tell("end", self.0);
    }
}

fn tell(word: &str, process: u32) {
    let mut pipe = PIPE.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(pipe, "{word} {process}").expect("the watchdog reads");
}
