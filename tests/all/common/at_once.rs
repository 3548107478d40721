//! Threads of a test whose failures are said once more at its end: what each of them said before is
//! far above by then, behind what its larders had to say.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<String>() {
        return text;
    }
    match panic.downcast_ref::<&str>() {
        Some(text) => text,
        None => "it panicked without a word",
    }
}

/// Does the work for each item, in so many threads, and gives what came of them in their order.
/// Panics when all have ended, with the names and the words of those that failed.
#[track_caller]
pub fn at_once<I: Sync, T: Send>(
    threads: usize,
    items: &[I],
    name: impl Fn(&I) -> String,
    work: impl Fn(&I) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let ended = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else {
                        return;
                    };
                    let result = catch_unwind(AssertUnwindSafe(|| work(item)));
                    ended.lock().expect("no panic holds it").push((at, result));
                }
            });
        }
    });
    let mut ended = ended.into_inner().expect("no panic holds it");
    ended.sort_by_key(|(at, _)| *at);
    let mut results = Vec::new();
    let mut failures = Vec::new();
    for (at, result) in ended {
        match result {
            Ok(result) => results.push(result),
            Err(panic) => failures.push(format!("{}: {}", name(&items[at]), said(&*panic))),
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} failed:\n{}",
        failures.len(),
        items.len(),
        failures.join("\n")
    );
    results
}
