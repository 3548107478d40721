//! Reading an upstream page: decoded, rewritten as it comes, and whole or an error.
//!
//! Owns the bound on what is kept. A page that outgrows it is handed on as a stream, in constant
//! memory; a page that breaks off, or turns out to be no index page, is never completed. Must not
//! know who asked.

use std::future::poll_fn;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use http_body::{Body, Frame};
use url::Url;

use crate::index::cache::page::RewrittenPage;
use crate::index::error::PageError;
use crate::index::rewrite::mirror_files::MirrorFiles;
use crate::index::rewrite::{RewriteJob, Rewriting};
use crate::simple::Format;
use crate::upstream::{IdleBody, UpstreamResponse, Validators};
use crate::values::correlation;

/// Compressed bytes inflated between two looks at how large they became.
const GZIP_STEP_BYTES: usize = 4096;

/// What one piece from the network may inflate to.
const INFLATED_BYTES_MAX: usize = 32 << 20;

pub enum PageBody {
    /// And what upstream sent.
    Whole(Box<RewrittenPage>, Bytes),
    TooLarge(Box<PageStream>),
}

/// Reads a 200 to its end, or to the bound.
pub async fn read(
    answer: UpstreamResponse,
    mut job: RewriteJob,
    bytes_max: usize,
) -> Result<PageBody, PageError> {
    job.source = source(&answer.headers)?;
    let validators = Validators::of(&answer.headers);
    let mut stream = PageStream {
        body: answer.body,
        decoder: Decoder::of(&answer.headers)?,
        rewriting: Some(Rewriting::new(job.clone())),
        files: MirrorFiles::default(),
    };
    let mut upstream_body = BytesMut::new();
    while let Some(piece) = stream.body.piece().await.map_err(broken)? {
        let decoded = stream.decoder.decode(piece)?;
        if let Some(rewriting) = &mut stream.rewriting {
            rewriting.write(&decoded)?;
        }
        upstream_body.extend_from_slice(&decoded);
        if upstream_body.len() > bytes_max {
            // A project's page is turned into HTML as a whole: what its head says may come last in
            // the JSON.
            if job.turns_into_html() {
                return Err(PageError::TooLarge);
            }
            if let Some(rewriting) = &mut stream.rewriting {
                rewriting.stream();
            }
            return Ok(PageBody::TooLarge(Box::new(stream)));
        }
    }
    let rest = stream.decoder.finish()?;
    upstream_body.extend_from_slice(&rest);
    let Some(mut rewriting) = stream.rewriting.take() else {
        return Err(PageError::Internal);
    };
    let upstream_body = upstream_body.freeze();
    let body = upstream_body.clone();
    let finish = move || {
        rewriting.write(&rest)?;
        rewriting.finish(&job, &body, &validators)
    };
    let rewritten = correlation::spawn_blocking(finish).await;
    let rewritten = Box::new(rewritten.map_err(|_| PageError::Internal)??);
    Ok(PageBody::Whole(rewritten, upstream_body))
}

/// A bare index that is no page: what else it may be is told by its type.
fn source(headers: &HeaderMap) -> Result<Format, PageError> {
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    Format::of_content_type(text).ok_or_else(|| {
        PageError::not_a_page(format!("its type is \"{text}\", none of the Simple API"))
    })
}

/// A page too large to keep, rewritten while it passes. Its body ends with an error unless
/// upstream's ended well.
pub struct PageStream {
    body: IdleBody,
    decoder: Decoder,
    rewriting: Option<Rewriting>,
    /// Known when it has ended.
    files: MirrorFiles,
}

impl Body for PageStream {
    type Data = Bytes;
    type Error = PageError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PageError>>> {
        let this = &mut *self;
        loop {
            let Some(rewriting) = &mut this.rewriting else {
                return Poll::Ready(None);
            };
            let ready = rewriting.take_output();
            if !ready.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(ready))));
            }
            let last = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(piece) = frame.into_data() else {
                        continue;
                    };
                    let decoded = this.decoder.decode(piece);
                    match decoded.and_then(|decoded| rewriting.write(&decoded)) {
                        Ok(()) => continue,
                        Err(why) => Err(why),
                    }
                }
                Some(Err(why)) => Err(broken(why)),
                None => this
                    .decoder
                    .finish()
                    .and_then(|rest| rewriting.write(&rest)),
            };
            // Spent either way: nothing follows the last bytes, and nothing follows an error.
            let Some(rewriting) = this.rewriting.take() else {
                return Poll::Ready(None);
            };
            let last = last.and_then(|()| rewriting.finish_stream());
            let last = last.map(|(bytes, files)| {
                this.files = files;
                Frame::data(bytes)
            });
            return Poll::Ready(Some(last));
        }
    }
}

impl PageStream {
    /// Hosts that its part of the page up to now names for files, which are not known yet.
    pub(super) fn new_hosts(&self) -> Vec<Url> {
        match &self.rewriting {
            Some(rewriting) => rewriting.new_hosts(),
            None => Vec::new(),
        }
    }

    /// Whether a link up to now leads past larder: as long as it is not sent, the part that was
    /// read before it turned out to be too large.
    pub fn has_links_past(&self) -> bool {
        match &self.rewriting {
            Some(rewriting) => rewriting.has_links_past(),
            None => false,
        }
    }

    /// Reads to the end for nothing but the files that the page lists of a mirror.
    pub async fn into_files(mut self: Box<Self>) -> Result<MirrorFiles, PageError> {
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await {
            frame?;
        }
        Ok(self.files)
    }
}

/// Undoes the one encoding that larder asks for.
enum Decoder {
    Identity,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Decoder {
    /// Names of codings are case-insensitive (RFC 9110 §8.4.1); a field that is empty names none.
    fn of(headers: &HeaderMap) -> Result<Self, PageError> {
        let coding = headers.get(CONTENT_ENCODING);
        let coding = coding.map_or(&[][..], |value| value.as_bytes().trim_ascii());
        let is = |name: &[u8]| coding.eq_ignore_ascii_case(name);
        if coding.is_empty() || is(b"identity") {
            return Ok(Self::Identity);
        }
        if is(b"gzip") || is(b"x-gzip") {
            let decoder = MultiGzDecoder::new(Vec::new());
            return Ok(Self::Gzip(Box::new(decoder)));
        }
        let why = "it came in an encoding that was not asked for";
        Err(PageError::NotAPage(why.into()))
    }

    fn decode(&mut self, piece: Bytes) -> Result<Bytes, PageError> {
        match self {
            Self::Identity => Ok(piece),
            Self::Gzip(decoder) => {
                for part in piece.chunks(GZIP_STEP_BYTES) {
                    decoder.write_all(part).map_err(broken)?;
                    if decoder.get_ref().len() > INFLATED_BYTES_MAX {
                        return Err(PageError::NotAPage("it inflates beyond reason".into()));
                    }
                }
                Ok(Bytes::from(std::mem::take(decoder.get_mut())))
            }
        }
    }

    /// What was still inside. A gzip stream that lacks its end is an error here.
    fn finish(&mut self) -> Result<Bytes, PageError> {
        match self {
            Self::Identity => Ok(Bytes::new()),
            Self::Gzip(decoder) => {
                decoder.try_finish().map_err(broken)?;
                Ok(Bytes::from(std::mem::take(decoder.get_mut())))
            }
        }
    }
}

fn broken(why: impl std::fmt::Display) -> PageError {
    PageError::Broken(why.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coding_has_its_name_in_any_case() {
        for (field, expected) in [
            (None, Some(false)),
            (Some(""), Some(false)),
            (Some("Identity"), Some(false)),
            (Some("gzip"), Some(true)),
            (Some(" X-GZIP "), Some(true)),
            (Some("br"), None),
            (Some("gzip, gzip"), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(field) = field {
                headers.insert(CONTENT_ENCODING, http::HeaderValue::from_static(field));
            }
            let decoder = Decoder::of(&headers).ok();
            let is_gzip = decoder.map(|decoder| matches!(decoder, Decoder::Gzip(_)));
            assert_eq!(is_gzip, expected, "{field:?}");
        }
    }
}
