//! The Simple Repository API (PEP 503, 592, 629, 658, 691, 700, 792) as pure data.
//!
//! Owns: what a project is called ([`ProjectName`]), what a file name says about its project
//! ([`project_candidates`]), how the links of an HTML page are rewritten while it streams
//! ([`HtmlRewriter`]), and what makes a page an index page ([`Shape`]).
//!
//! Must not know: any registry's routes, HTTP, credentials, the store, the clock. Everything here is
//! a function of its arguments; which link becomes which is told by the caller's closure.

mod filename;
mod html;
mod name;
mod shape;

pub use filename::{is_distribution, project_candidates};
pub use html::{HtmlError, HtmlRewriter, Link, PARSER_BYTES_MAX, WRITE_BYTES_MAX};
pub use name::{NAME_BYTES_MAX, NameError, ProjectName};
pub use shape::{Element, NotAnIndex, Shape};
