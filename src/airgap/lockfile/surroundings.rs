//! What an input may lean on: other files, and variables. The caller has them; this room touches no
//! disk.

/// What the caller lends for reading a requirements file.
pub struct Surroundings<'a> {
    /// The text of a file that another one names: its path, relative to where the outer one was
    /// named. `Err`: why not.
    pub read: &'a mut dyn FnMut(&str) -> Result<String, String>,
    /// The value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}
