//! One entry as it is to be written.
//!
//! Owns nothing but the pairing of an entry with what was decided about it. Must not know formats.

use std::borrow::Cow;

use crate::simple::entry::Entry;

pub(in crate::simple) struct DecidedEntry<'a> {
    pub(in crate::simple) entry: &'a Entry<'a>,
    pub(in crate::simple) address: Cow<'a, str>,
    /// Whether metadata may later be told here.
    pub(in crate::simple) markable: bool,
}
