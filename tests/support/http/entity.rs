//! One file over HTTP: ranges, validators and conditions (RFC 9110 §13, §14), as Go's file server
//! and the object stores do it.

use std::ops::Range;
use std::time::SystemTime;

use bytes::{BufMut, Bytes, BytesMut};

use super::answer::{Answer, http_date};
use super::head::Head;

const BOUNDARY: &str = "5f1c9d2e7b3a4860a1b2c3d4e5f60718";

pub struct Entity<'a> {
    pub bytes: &'a Bytes,
    pub etag: Option<String>,
    pub modified: SystemTime,
    pub content_type: &'a str,
}

impl Entity<'_> {
    /// 200, 206, 304, 412 or 416, with the entity's own headers only. HEAD is answered as GET.
    pub(in crate::support) fn answer(&self, request: &Head) -> Answer {
        if self.precondition_fails(request) {
            return Answer::new(412);
        }
        if self.unchanged(request) {
            return self.described(Answer::new(304));
        }
        let total = self.bytes.len() as u64;
        let wanted = request
            .header("Range")
            .filter(|_| self.range_applies(request));
        match wanted.map(|range| ranges(range, total)) {
            None | Some(Ok(Ranges::Whole)) => self
                .described(Answer::new(200).header("Content-Type", self.content_type))
                .header("Accept-Ranges", "bytes")
                .body(self.bytes.clone()),
            Some(Ok(Ranges::One(range))) => {
                let mut answer = self
                    .described(Answer::new(206).header("Content-Type", self.content_type))
                    .header("Accept-Ranges", "bytes")
                    .header("Content-Range", content_range(&range, total))
                    .body(self.part(&range));
                answer.body_starts_at = range.start;
                answer
            }
            Some(Ok(Ranges::Many(parts))) => self
                .described(Answer::new(206).header(
                    "Content-Type",
                    format!("multipart/byteranges; boundary={BOUNDARY}"),
                ))
                .header("Accept-Ranges", "bytes")
                .body(self.multipart(&parts, total)),
            Some(Err(Unsatisfiable)) => Answer::new(416)
                .header("Content-Type", "text/plain; charset=utf-8")
                .header("Content-Range", format!("bytes */{total}"))
                .body("invalid range: failed to overlap\n"),
        }
    }

    fn described(&self, answer: Answer) -> Answer {
        let answer = match &self.etag {
            Some(etag) => answer.header("ETag", etag.clone()),
            None => answer,
        };
        answer.header("Last-Modified", http_date(self.modified))
    }

    fn precondition_fails(&self, request: &Head) -> bool {
        if let Some(wanted) = request.header("If-Match") {
            return wanted != "*" && !self.listed(wanted);
        }
        let unmodified_since = request.header("If-Unmodified-Since").and_then(parse_date);
        unmodified_since.is_some_and(|date| self.modified > date)
    }

    fn unchanged(&self, request: &Head) -> bool {
        if let Some(known) = request.header("If-None-Match") {
            return known == "*" || self.listed(known);
        }
        let known = request.header("If-Modified-Since").and_then(parse_date);
        known.is_some_and(|date| self.modified <= date)
    }

    fn range_applies(&self, request: &Head) -> bool {
        match request.header("If-Range") {
            None => true,
            Some(validator) => {
                self.etag.as_deref() == Some(validator) || http_date(self.modified) == validator
            }
        }
    }

    fn listed(&self, list: &str) -> bool {
        let etag = self.etag.as_deref();
        etag.is_some()
            && list
                .split(',')
                .any(|one| Some(one.trim().trim_start_matches("W/")) == etag)
    }

    fn part(&self, range: &Range<u64>) -> Bytes {
        self.bytes.slice(range.start as usize..range.end as usize)
    }

    fn multipart(&self, parts: &[Range<u64>], total: u64) -> Bytes {
        let mut body = BytesMut::new();
        for part in parts {
            let head = format!(
                "\r\n--{BOUNDARY}\r\nContent-Type: {}\r\nContent-Range: {}\r\n\r\n",
                self.content_type,
                content_range(part, total)
            );
            body.put_slice(head.as_bytes());
            body.put_slice(&self.part(part));
        }
        body.put_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        body.freeze()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Ranges {
    Whole,
    One(Range<u64>),
    Many(Vec<Range<u64>>),
}

struct Unsatisfiable;

/// Reads a `Range` value as Go does: nonsense is 416, and parts that add up to more than the file
/// are the whole file.
fn ranges(value: &str, total: u64) -> Result<Ranges, Unsatisfiable> {
    let list = value.strip_prefix("bytes=").ok_or(Unsatisfiable)?;
    let mut parts = Vec::new();
    for spec in list
        .split(',')
        .map(str::trim)
        .filter(|spec| !spec.is_empty())
    {
        let (first, last) = spec.split_once('-').ok_or(Unsatisfiable)?;
        let part = if first.is_empty() {
            let length: u64 = last.parse().map_err(|_| Unsatisfiable)?;
            total.saturating_sub(length)..total
        } else {
            let start: u64 = first.parse().map_err(|_| Unsatisfiable)?;
            let end = if last.is_empty() {
                total
            } else {
                last.parse::<u64>().map_err(|_| Unsatisfiable)? + 1
            };
            if end <= start && start < total {
                return Err(Unsatisfiable);
            }
            start..end.min(total)
        };
        if part.start < part.end {
            parts.push(part);
        }
    }
    match parts.len() {
        0 => Err(Unsatisfiable),
        1 => Ok(Ranges::One(parts.remove(0))),
        _ if parts.iter().map(|part| part.end - part.start).sum::<u64>() > total => {
            Ok(Ranges::Whole)
        }
        _ => Ok(Ranges::Many(parts)),
    }
}

fn content_range(range: &Range<u64>, total: u64) -> String {
    format!("bytes {}-{}/{total}", range.start, range.end - 1)
}

fn parse_date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}
