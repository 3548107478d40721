//! How far a command has come: a bar while it runs, a sentence when it is interrupted.
//!
//! Must not know any command.

use std::cell::RefCell;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// So often a second a bar is drawn.
const BAR_HERTZ: u8 = 10;

const BAR: &str = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left {msg}";

/// A bar of so many bytes on standard error; hidden where that is no terminal, or JSON was asked
/// for.
pub fn bar(bytes: u64, json: bool) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let target = ProgressDrawTarget::stderr_with_hz(BAR_HERTZ);
    let bar = ProgressBar::with_draw_target(Some(bytes), target);
    match ProgressStyle::with_template(BAR) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// What a command has to say for itself when it is interrupted.
pub struct HowFar(RefCell<String>);

impl Default for HowFar {
    fn default() -> Self {
        Self(RefCell::new("what was done by then stays done".to_owned()))
    }
}

impl HowFar {
    pub fn note(&self, sentence: impl Into<String>) {
        self.0.replace(sentence.into());
    }

    pub fn sentence(&self) -> String {
        self.0.borrow().clone()
    }
}
