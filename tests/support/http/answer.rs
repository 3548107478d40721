//! A whole answer, and the wordings that are nobody's in particular.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

/// A whole answer. Framing (`Content-Length`, chunks, `Connection`) is added when it is sent.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// In place of the usual one.
    pub reason: Option<&'static str>,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Sent in place of `body`, in chunks, and never held as a whole.
    pub(in crate::support) generated: Option<Generated>,
    /// Where the body begins in the file it is a range of.
    pub(in crate::support) body_starts_at: u64,
    /// HEAD on a page says no length.
    pub(in crate::support) length_unsaid: bool,
}

impl Answer {
    pub fn new(status: u16) -> Self {
        Self {
            status,
            reason: None,
            headers: Vec::new(),
            body: Bytes::new(),
            generated: None,
            body_starts_at: 0,
            length_unsaid: false,
        }
    }

    pub fn reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(in crate::support) fn remove_header(&mut self, name: &str) {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    pub(in crate::support) fn header_value(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(in crate::support) fn succeeded(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A body that is made while it is sent.
    pub(in crate::support) fn generated(mut self, body: Generated) -> Self {
        self.generated = Some(body);
        self
    }

    pub(in crate::support) fn has_body(&self) -> bool {
        self.generated.is_some() || !self.body.is_empty()
    }

    /// An HTML page of nginx or Workhorse in front, as for 502.
    pub fn html(status: u16) -> Self {
        let reason = reason(status);
        Self::new(status).header("Content-Type", "text/html").body(format!(
            "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} {reason}</h1></center>\r\n\
             <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        ))
    }

    /// An error of the object store.
    pub(in crate::support) fn xml(status: u16, code: &str, message: &str) -> Self {
        Self::new(status).header("Content-Type", "application/xml").body(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        ))
    }

    /// The object store's word on a signed URL that is too old.
    pub(in crate::support) fn expired_signature() -> Self {
        Self::xml(403, "AccessDenied", "Request has expired")
    }
}

/// Gives the pieces of a body one by one, by their number, until there is none.
#[derive(Clone)]
pub struct Generated(Arc<dyn Fn(u64) -> Option<Bytes> + Send + Sync>);

impl Generated {
    pub(in crate::support) fn new(
        piece: impl Fn(u64) -> Option<Bytes> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(piece))
    }

    pub(in crate::support) fn pieces(&self) -> impl Iterator<Item = Bytes> + Send {
        let piece = Arc::clone(&self.0);
        (0..).map_while(move |number| piece(number))
    }
}

impl fmt::Debug for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Generated")
    }
}

pub(in crate::support) fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown")
}

pub(in crate::support) fn http_date(time: SystemTime) -> String {
    httpdate::fmt_http_date(time)
}
