//! Uploads: read as they arrive, authorised when the file part begins (as Workhorse does), kept for
//! comparison.

use std::collections::BTreeMap;
use std::io;
use std::time::SystemTime;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::super::http::connection::{Connection, RequestBody, find};
use super::super::http::server::Received;
use super::super::http::{Act, Answer, Head};
use super::super::wheel::{hex, normalise};
use super::access::{self, Intent, Rights};
use super::settings::{Settings, UploadKeeping, UploadLimit};
use super::state::State;
use super::universe::NewFile;

/// One upload request as it came, whatever became of it.
#[derive(Clone, Debug)]
pub struct Upload {
    /// As the path named it.
    pub project: String,
    pub head: Head,
    /// Without transfer coding; `None` if only the digest is kept.
    pub body: Option<Bytes>,
    pub body_bytes: u64,
    /// Of the body as received.
    pub body_sha256: String,
    /// The body came to its end.
    pub complete: bool,
    /// The fields of the form, without the file.
    pub fields: BTreeMap<String, String>,
    /// GitLab's answer.
    pub status: u16,
}

/// An upload that is being received.
pub(super) struct Incoming<'a> {
    state: &'a State,
    settings: Settings,
    head: &'a Head,
    project: &'a str,
    faults: &'a [Act],
    kept: Vec<u8>,
    digest: Sha256,
    bytes: u64,
    authorised: bool,
    fields: BTreeMap<String, String>,
}

impl<'a> Incoming<'a> {
    /// `faults` are those of the phase in which an upload's body arrives.
    pub(super) fn new(
        state: &'a State,
        head: &'a Head,
        project: &'a str,
        faults: &'a [Act],
    ) -> Self {
        Self {
            state,
            settings: state.settings(),
            head,
            project,
            faults,
            kept: Vec::new(),
            digest: Sha256::new(),
            bytes: 0,
            authorised: false,
            fields: BTreeMap::new(),
        }
    }

    /// Reads it, `count`ing its bytes, and remembers it however that ends. Errors are the peer's.
    pub(super) async fn receive(
        mut self,
        connection: &mut Connection,
        body: &mut RequestBody,
        mut count: impl FnMut(u64),
    ) -> io::Result<Received> {
        let received = self.read(connection, body, &mut count).await;
        let status = match &received {
            Ok(Received::Answer(answer)) => answer.status,
            _ => 0,
        };
        self.remember(body.ended(), status);
        received
    }

    async fn read(
        &mut self,
        connection: &mut Connection,
        body: &mut RequestBody,
        count: &mut impl FnMut(u64),
    ) -> io::Result<Received> {
        if let Some(answer) = self.refused_by_state() {
            return Ok(Received::Answer(answer));
        }
        let Some(boundary) = boundary(self.head) else {
            return Ok(Received::Answer(Answer::error(
                400,
                "content is missing, name is missing, version is missing",
            )));
        };
        if self.settings.says_continue && self.head.header_contains("Expect", "100-continue") {
            connection.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        while let Some(piece) = body.next(connection).await? {
            let before = self.bytes;
            self.take(&piece);
            count(piece.len() as u64);
            for fault in self.faults {
                match fault {
                    Act::StallUpload { after, time } if (before..self.bytes).contains(after) => {
                        tokio::time::sleep(*time).await;
                    }
                    Act::ResetUpload { after } if self.bytes > *after => {
                        return Ok(Received::Reset);
                    }
                    _ => {}
                }
            }
            if let Some(refusal) = self.refused_on_the_way() {
                return Ok(Received::Answer(refusal));
            }
        }
        Ok(Received::Answer(
            self.finish(&boundary).unwrap_or_else(|refusal| refusal),
        ))
    }

    fn refused_by_state(&self) -> Option<Answer> {
        if let Some(retry_after) = self.settings.throttle {
            return Some(Answer::throttled(retry_after));
        }
        if !self.settings.maintenance {
            return None;
        }
        if self.head.header_contains("Content-Type", "json") {
            return Some(Answer::message(
                503,
                "GitLab Maintenance: system is in maintenance mode",
            ));
        }
        let base = self
            .settings
            .external_url
            .as_deref()
            .unwrap_or(&self.state.own_url);
        let back = self
            .head
            .header("Referer")
            .map_or_else(|| format!("{base}/"), str::to_owned);
        Some(
            Answer::new(301)
                .header("Location", back)
                .header("Cache-Control", "no-cache"),
        )
    }

    fn take(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.digest.update(piece);
        // With digests only, all up to the file part is kept: the fields before it are needed.
        if self.settings.upload_keeping == UploadKeeping::Whole || !self.authorised {
            self.kept.extend_from_slice(piece);
        }
    }

    fn refused_on_the_way(&mut self) -> Option<Answer> {
        if !self.authorised {
            let content = find(&self.kept, b"name=\"content\"")?;
            find(&self.kept[content..], b"\r\n\r\n")?;
            self.authorised = true;
            if let Err(refusal) = self.authorise() {
                return Some(refusal);
            }
        }
        match self.settings.upload_limit {
            UploadLimit::Workhorse(limit) if self.bytes > limit => Some(
                Answer::new(413)
                    .header("Content-Type", "text/plain; charset=utf-8")
                    .header("Connection", "close")
                    .body("entity is too large"),
            ),
            _ => None,
        }
    }

    fn authorise(&self) -> Result<(), Answer> {
        let universe = self.state.universe();
        let project = universe
            .find_project(self.project)
            .ok_or_else(Answer::not_found)?;
        let caller = access::identify(&universe, self.head, Intent::Upload)?;
        Rights {
            universe: &universe,
            settings: &self.settings,
            caller: &caller,
        }
        .upload(project)
    }

    fn finish(&mut self, boundary: &str) -> Result<Answer, Answer> {
        self.authorise()?;
        let mut file = None;
        for part in parts(&self.kept, boundary) {
            match part.filename {
                Some(filename) if part.name == "content" => {
                    file = Some((filename, Bytes::copy_from_slice(part.content)));
                }
                _ => {
                    self.fields.insert(
                        part.name,
                        String::from_utf8_lossy(part.content).into_owned(),
                    );
                }
            }
        }
        let field = |name: &str| self.fields.get(name).cloned().unwrap_or_default();
        let mut missing: Vec<String> = ["name", "version"]
            .iter()
            .filter(|name| field(name).is_empty())
            .map(|name| format!("{name} is missing"))
            .collect();
        if self.settings.upload_keeping == UploadKeeping::Digest {
            return Ok(created());
        }
        if file.is_none() {
            missing.insert(0, "content is missing".to_owned());
        }
        let Some((filename, bytes)) = file.filter(|_| missing.is_empty()) else {
            return Err(Answer::error(400, &missing.join(", ")));
        };
        let new = NewFile {
            name: field("name"),
            version: field("version"),
            requires_python: field("requires_python"),
            filename,
            sha256: field("sha256_digest"),
            bytes,
            created: SystemTime::now(),
        };
        self.store(new)
    }

    fn store(&self, new: NewFile) -> Result<Answer, Answer> {
        let digest_is_hex =
            new.sha256.len() == 64 && new.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digest_is_hex && !new.sha256.is_empty() {
            return Err(Answer::error(400, "sha256_digest is invalid"));
        }
        let invalid = |what: &str| {
            Answer::message(400, &format!("400 Bad request - Validation failed: {what}"))
        };
        if !new
            .name
            .chars()
            .all(|letter| letter.is_alphanumeric() || "_-.+/@".contains(letter))
        {
            return Err(invalid("Name is invalid"));
        }
        if !new
            .version
            .starts_with(|first: char| first.is_ascii_digit() || first == 'v')
        {
            return Err(invalid("Version is invalid"));
        }
        if matches!(self.settings.upload_limit, UploadLimit::Rails(limit) if new.bytes.len() as u64 > limit)
        {
            return Err(Answer::message(400, "400 Bad request - File is too large"));
        }
        let mut universe = self.state.universe();
        let project = universe
            .find_project(self.project)
            .ok_or_else(Answer::not_found)?;
        let id = project.id;
        let same = project.packages.iter().filter(|package| {
            normalise(&package.name) == normalise(&new.name) && package.version == new.version
        });
        if same
            .flat_map(|package| &package.files)
            .any(|file| file.name == new.filename)
        {
            return Err(invalid("File name has already been taken"));
        }
        universe.publish(id, new);
        Ok(created())
    }

    fn remember(self, complete: bool, status: u16) {
        let keep = self.settings.upload_keeping == UploadKeeping::Whole;
        self.state.uploads().push(Upload {
            project: self.project.to_owned(),
            head: self.head.clone(),
            body: keep.then(|| self.kept.into()),
            body_bytes: self.bytes,
            body_sha256: hex(&self.digest.finalize()),
            complete,
            fields: self.fields,
            status,
        });
    }
}

fn created() -> Answer {
    Answer::message(201, "201 Created")
}

struct Part<'a> {
    name: String,
    filename: Option<String>,
    content: &'a [u8],
}

fn boundary(head: &Head) -> Option<String> {
    let kind = head.header("Content-Type")?;
    let (_, rest) = kind
        .strip_prefix("multipart/form-data")?
        .split_once("boundary=")?;
    Some(rest.split(';').next()?.trim().trim_matches('"').to_owned())
}

/// Cuts a form into its parts; a part that does not end is left out.
fn parts<'a>(body: &'a [u8], boundary: &str) -> Vec<Part<'a>> {
    let first = format!("--{boundary}\r\n").into_bytes();
    let next = format!("\r\n--{boundary}").into_bytes();
    let mut parts = Vec::new();
    let Some(start) = find(body, &first) else {
        return parts;
    };
    let mut rest = &body[start + first.len()..];
    while let Some(end) = find(rest, &next) {
        let part = &rest[..end];
        if let Some(blank) = find(part, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&part[..blank]);
            if let Some(name) = parameter(&head, "name") {
                parts.push(Part {
                    name,
                    filename: parameter(&head, "filename"),
                    content: &part[blank + 4..],
                });
            }
        }
        rest = rest.get(end + next.len() + 2..).unwrap_or_default();
    }
    parts
}

/// `name="value"` in a part's `Content-Disposition`.
fn parameter(head: &str, name: &str) -> Option<String> {
    let (_, rest) = head.split_once(&format!(" {name}=\""))?;
    Some(rest.split_once('"')?.0.to_owned())
}
