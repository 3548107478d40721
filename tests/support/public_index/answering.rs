//! The answer of a public index to each address.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use super::super::http::answer::http_date;
use super::super::http::entity::Entity;
use super::super::http::{Answer, Door, Head};
use super::super::wheel::{normalise, sha256_hex};
use super::catalogue::{Catalogue, CoreMetadata, Offer};
use super::guard;
use super::pages::{self, Page};
use super::settings::{Formats, Settings, Validators};
use super::state::{Address, State, encoded};

/// When every page was last changed, as far as [`Validators::Date`] goes.
const PAGES_CHANGED: Duration = Duration::from_secs(1_704_164_645);

pub(super) fn answer(state: &State, door: Door, request: &Head) -> Answer {
    let settings = state.settings();
    if let Some(seconds) = settings.throttle {
        return Answer::html(429).header("Retry-After", seconds.to_string());
    }
    if let Some(credential) = settings.credential.as_ref().filter(|_| door == Door::Index)
        && request.header("Authorization") != Some(guard::expected(credential).as_str())
    {
        return Answer::html(401).header("WWW-Authenticate", "Basic realm=\"index\"");
    }
    let Some(address) = state.address(door, request.path()) else {
        return Answer::html(404);
    };
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Answer::html(405).header("Allow", "GET, HEAD");
    }
    let of_file = matches!(address, Address::File(_) | Address::Metadata(_));
    if of_file && guard::query(request).unwrap_or_default() != settings.query {
        return Answer::html(404);
    }
    let reading = Reading {
        state,
        settings: &settings,
        request,
    };
    let catalogue = state.catalogue();
    let answer = match address {
        Address::Root => reading.root(&catalogue),
        Address::Page(name, with_slash) => reading.page(&catalogue, &name, with_slash),
        Address::File(place) => reading.file(&catalogue, &place),
        Address::Metadata(place) => reading.metadata(&catalogue, &place),
    };
    answer.unwrap_or_else(Answer::html)
}

/// One GET or HEAD with all that it is decided by.
struct Reading<'a> {
    state: &'a State,
    settings: &'a Settings,
    request: &'a Head,
}

impl Reading<'_> {
    fn root(&self, catalogue: &Catalogue) -> Result<Answer, u16> {
        if let Some(raw) = catalogue.raw.get("") {
            return Ok(self.described(&raw.content_type, raw.body.to_vec()));
        }
        let (version, path) = (self.settings.api_version, self.state.path.as_str());
        let media_type = self.media_type()?;
        let as_json = media_type == pages::V1_JSON;
        if let Some(projects) = self.settings.generated_projects {
            let etag = format!("\"generated-{projects}-{as_json}\"");
            return Ok(self.validated(media_type, &etag, |answer| {
                answer.generated(pages::generated_root(version, path, projects, as_json))
            }));
        }
        let body = if as_json {
            pages::root_json(version, catalogue.names())
        } else {
            pages::root_html(version, path, catalogue.names())
        };
        Ok(self.described(media_type, body.into_bytes()))
    }

    fn page(&self, catalogue: &Catalogue, asked: &str, with_slash: bool) -> Result<Answer, u16> {
        let name = normalise(asked);
        if name != asked && !self.settings.redirects {
            return Err(404);
        }
        if (name != asked || !with_slash) && self.settings.redirects {
            let location = format!("{}{}/", self.state.path, encoded(&name));
            return Ok(Answer::new(301).header("Location", location));
        }
        if let Some(raw) = catalogue.raw.get(&name) {
            return Ok(self.described(&raw.content_type, raw.body.to_vec()));
        }
        let offers = catalogue.offers(&name).ok_or(404_u16)?;
        let query = &self.settings.query;
        let link = |offer| {
            let link = self.state.link(self.settings.links, offer);
            if query.is_empty() {
                link
            } else {
                format!("{link}?{query}")
            }
        };
        let files = offers.iter().map(|offer| (offer, link(offer))).collect();
        let page = Page {
            settings: self.settings,
            name: &name,
            status: catalogue.status.get(&name),
            files,
        };
        let media_type = self.media_type()?;
        let body = if media_type == pages::V1_JSON {
            page.json()
        } else {
            page.html()
        };
        Ok(self.described(media_type, body.into_bytes()))
    }

    fn file(&self, catalogue: &Catalogue, place: &str) -> Result<Answer, u16> {
        let offer = offered(catalogue, place).ok_or(404_u16)?;
        let mut request = self.request.clone();
        if !self.settings.ranges {
            request.remove_header("Range");
        }
        let mut answer = Entity {
            bytes: &offer.bytes,
            etag: Some(format!("\"{}\"", &offer.sha256[..32])),
            modified: offer.modified,
            content_type: "application/octet-stream",
        }
        .answer(&request);
        if !self.settings.ranges {
            answer.remove_header("Accept-Ranges");
        }
        Ok(answer.header("Cache-Control", "max-age=365000000, immutable, public"))
    }

    fn metadata(&self, catalogue: &Catalogue, place: &str) -> Result<Answer, u16> {
        let offer = offered(catalogue, place).ok_or(404_u16)?;
        if matches!(
            offer.core_metadata,
            CoreMetadata::None | CoreMetadata::Missing
        ) {
            return Err(404);
        }
        let entity = Entity {
            bytes: &offer.metadata,
            etag: Some(format!("\"{}\"", &sha256_hex(&offer.metadata)[..32])),
            modified: offer.modified,
            content_type: "binary/octet-stream",
        };
        Ok(entity
            .answer(self.request)
            .header("Cache-Control", "max-age=365000000, immutable, public"))
    }

    /// The type to answer with; 406 if the caller takes none of them.
    fn media_type(&self) -> Result<&'static str, u16> {
        match self.settings.formats {
            Formats::Html => Ok(pages::HTML),
            Formats::Json => Ok(pages::V1_JSON),
            Formats::Both => negotiated(self.request.header("Accept").unwrap_or("*/*")).ok_or(406),
        }
    }

    /// A page with its validator, compressed if that is wanted; 304 to who has it.
    fn described(&self, content_type: &str, body: Vec<u8>) -> Answer {
        let etag = format!("\"{}\"", &sha256_hex(&body)[..32]);
        let packed = self.settings.gzip && self.request.header_contains("Accept-Encoding", "gzip");
        self.validated(content_type, &etag, |answer| {
            if !packed {
                return answer.body(body);
            }
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&body).expect("writing to memory");
            answer
                .header("Content-Encoding", "gzip")
                .body(encoder.finish().expect("writing to memory"))
        })
    }

    fn validated(
        &self,
        content_type: &str,
        etag: &str,
        body: impl FnOnce(Answer) -> Answer,
    ) -> Answer {
        let changed = http_date(SystemTime::UNIX_EPOCH + PAGES_CHANGED);
        let (validator, known) = match self.settings.validators {
            Validators::Strong => (Some(("ETag", etag.to_owned())), "If-None-Match"),
            Validators::Weak => (Some(("ETag", format!("W/{etag}"))), "If-None-Match"),
            Validators::Date => (Some(("Last-Modified", changed)), "If-Modified-Since"),
            Validators::None => (None, ""),
        };
        let mut answer = Answer::new(200).header("Vary", "Accept, Accept-Encoding");
        if !self.settings.cache_control.is_empty() {
            answer = answer.header("Cache-Control", self.settings.cache_control.clone());
        }
        if let Some((name, value)) = validator {
            let unchanged = self.request.header(known).is_some_and(|listed| {
                listed == value || listed.split(',').any(|one| one.trim() == value)
            });
            answer = answer.header(name, value);
            if unchanged {
                answer.status = 304;
                return answer;
            }
        }
        body(answer.header("Content-Type", content_type))
    }
}

/// The file at a place, however it is spelled.
fn offered<'a>(catalogue: &'a Catalogue, place: &str) -> Option<&'a Offer> {
    let place = percent_encoding::percent_decode_str(place).decode_utf8_lossy();
    let (folder, filename) = place.rsplit_once('/')?;
    let offer = catalogue.find(filename)?;
    (offer.place() == place || normalise(&offer.project) == folder).then_some(offer)
}

/// PEP 691's negotiation with its weights; among equals JSON comes first.
fn negotiated(accept: &str) -> Option<&'static str> {
    let mut best: Option<(f32, &'static str)> = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let offered = match parts.next().unwrap_or_default() {
            pages::V1_JSON | "application/vnd.pypi.simple.latest+json" => pages::V1_JSON,
            pages::V1_HTML | "application/vnd.pypi.simple.latest+html" => pages::V1_HTML,
            "text/html" | "text/*" | "*/*" => pages::HTML,
            _ => continue,
        };
        let weight = parts
            .find_map(|part| part.strip_prefix("q=")?.parse().ok())
            .unwrap_or(1.0);
        let better = best.is_none_or(|(known, media_type)| {
            weight > known
                || (weight == known && offered == pages::V1_JSON && media_type != offered)
        });
        if weight > 0.0 && better {
            best = Some((weight, offered));
        }
    }
    best.map(|(_, media_type)| media_type)
}
