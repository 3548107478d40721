//! Errors of any type, and the walk from an error along its causes.

use std::error::Error;
use std::{io, iter};

/// An error whose type its user does not need to know.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// An error and its causes, from the outermost to the innermost.
///
/// An [`io::Error`] does not name the error that it carries as its source, so the walk steps into
/// it.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| {
        let io = error.downcast_ref::<io::Error>();
        match io.and_then(io::Error::get_ref) {
            Some(carried) => Some(carried),
            None => error.source(),
        }
    })
}

/// The first of this type among an error and its causes.
pub fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The words of an error and of all its causes, for the log.
pub fn in_full(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = causes(error).map(ToString::to_string).collect();
    // An `io::Error` speaks with the words of the error that it carries.
    words.dedup();
    words.join(": ")
}

/// The words of the innermost cause, which are usually the operating system's.
pub fn root(error: &(dyn Error + 'static)) -> String {
    match causes(error).last() {
        Some(cause) => cause.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn the_walk_steps_into_what_an_io_error_carries() {
        let inner = io::Error::other(io::Error::from(io::ErrorKind::NotFound));
        let outer = Outer(inner);
        assert_eq!(in_full(&outer), "outer: entity not found");
        assert_eq!(root(&outer), "entity not found");
        assert!(find::<Outer>(&outer).is_some());
        assert!(find::<io::Error>(&io::Error::other(outer)).is_some());
        assert!(find::<std::fmt::Error>(&io::Error::other("text")).is_none());
    }
}
