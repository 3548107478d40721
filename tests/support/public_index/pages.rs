//! Root and project pages in both formats, as a large public index writes them: JSON keys in
//! alphabetical order, HTML with one link a line.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::super::http::answer::Generated;
use super::super::wheel::{md5_hex, sha256_hex};
use super::catalogue::{CoreMetadata, Hashes, Offer, ProjectStatus};
use super::settings::Settings;

/// Of a generated root page, made and sent at a time.
const PROJECTS_A_PIECE: u64 = 1000;

pub(super) const HTML: &str = "text/html; charset=UTF-8";
pub(super) const V1_HTML: &str = "application/vnd.pypi.simple.v1+html";
pub(super) const V1_JSON: &str = "application/vnd.pypi.simple.v1+json";

/// A project's page to be written.
pub(super) struct Page<'a> {
    pub settings: &'a Settings,
    pub name: &'a str,
    pub status: Option<&'a ProjectStatus>,
    /// Each with its link.
    pub files: Vec<(&'a Offer, String)>,
}

impl Page<'_> {
    pub(super) fn html(&self) -> String {
        let links: String = self
            .files
            .iter()
            .map(|(offer, link)| anchor(offer, link))
            .collect();
        let status = self.status.map_or(String::new(), |status| {
            let reason = status.reason.as_deref().map_or(String::new(), |reason| {
                format!(
                    "    <meta name=\"pypi:project-status-reason\" content=\"{}\">\n",
                    escaped(reason)
                )
            });
            format!(
                "    <meta name=\"pypi:project-status\" content=\"{}\">\n{reason}",
                status.status
            )
        });
        document(
            self.settings.api_version,
            &status,
            &format!("Links for {}", self.name),
            &links,
        )
    }

    pub(super) fn json(&self) -> String {
        let files: Vec<Value> = self
            .files
            .iter()
            .map(|(offer, link)| json_file(self.settings, offer, link))
            .collect();
        let mut page = Map::new();
        page.insert(
            "meta".into(),
            json!({"_last-serial": 7, "api-version": self.settings.api_version}),
        );
        page.insert("name".into(), self.name.into());
        page.insert("files".into(), files.into());
        if self.settings.speaks(1) {
            let mut versions: Vec<&str> = self
                .files
                .iter()
                .map(|(offer, _)| offer.version.as_str())
                .collect();
            versions.dedup();
            page.insert("versions".into(), versions.into());
        }
        if self.settings.speaks(2) {
            page.insert("alternate-locations".into(), json!([]));
        }
        if let Some(status) = self.status.filter(|_| self.settings.speaks(4)) {
            let mut object = Map::new();
            object.insert("status".into(), status.status.into());
            if let Some(reason) = &status.reason {
                object.insert("reason".into(), reason.as_str().into());
            }
            page.insert("project-status".into(), object.into());
        }
        Value::Object(page).to_string()
    }
}

pub(super) fn root_html<'a>(
    api_version: &str,
    path: &str,
    names: impl Iterator<Item = &'a str>,
) -> String {
    let links: String = names.map(|name| root_anchor(path, name)).collect();
    document(api_version, "", "Simple index", &links)
}

pub(super) fn root_json<'a>(api_version: &str, names: impl Iterator<Item = &'a str>) -> String {
    let projects: Vec<String> = names.map(root_entry).collect();
    format!("{}{}]}}", root_json_head(api_version), projects.join(","))
}

/// A root page of so many projects, of which a few at a time are in memory.
pub(super) fn generated_root(
    api_version: &str,
    path: &str,
    projects: u64,
    as_json: bool,
) -> Generated {
    let (head, tail) = if as_json {
        (root_json_head(api_version), "]}".to_owned())
    } else {
        let whole = document(api_version, "", "Simple index", "|");
        let (head, tail) = whole.split_once('|').expect("the mark is in it");
        (head.to_owned(), tail.to_owned())
    };
    let path = path.to_owned();
    let pieces = projects.div_ceil(PROJECTS_A_PIECE);
    Generated::new(move |piece| {
        let text = match piece {
            0 => head.clone(),
            number if number <= pieces => {
                let first = (number - 1) * PROJECTS_A_PIECE;
                let names = first..(first + PROJECTS_A_PIECE).min(projects);
                names
                    .map(|project| generated_entry(&path, project, as_json))
                    .collect()
            }
            number if number == pieces + 1 => tail.clone(),
            _ => return None,
        };
        Some(Bytes::from(text))
    })
}

fn generated_entry(path: &str, project: u64, as_json: bool) -> String {
    let name = format!("project-{project:06}");
    match (as_json, project) {
        (false, _) => root_anchor(path, &name),
        (true, 0) => root_entry(&name),
        (true, _) => format!(",{}", root_entry(&name)),
    }
}

fn root_json_head(api_version: &str) -> String {
    format!("{{\"meta\":{{\"_last-serial\":7,\"api-version\":\"{api_version}\"}},\"projects\":[")
}

fn root_entry(name: &str) -> String {
    format!("{{\"_last-serial\":7,\"name\":\"{name}\"}}")
}

fn root_anchor(path: &str, name: &str) -> String {
    format!("    <a href=\"{path}{name}/\">{name}</a><br/>\n")
}

fn document(api_version: &str, status: &str, title: &str, links: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html>\n  <head>\n    <meta name=\"pypi:repository-version\" content=\"{api_version}\">\n{status}    \
         <title>{title}</title>\n  </head>\n  <body>\n    <h1>{title}</h1>\n{links}  </body>\n</html>\n<!--SERIAL 7-->"
    )
}

fn anchor(offer: &Offer, link: &str) -> String {
    let fragment =
        digest(offer).map_or(String::new(), |(name, digest)| format!("#{name}={digest}"));
    let mut attributes = String::new();
    let mut put = |name: &str, value: &str| {
        attributes.push_str(&format!(" {name}=\"{}\"", escaped(value)));
    };
    if let Some(specifier) = &offer.requires_python {
        put("data-requires-python", specifier);
    }
    if let Some(advertised) = advertised(offer) {
        put("data-dist-info-metadata", &advertised);
        put("data-core-metadata", &advertised);
    }
    if let Some(reason) = &offer.yanked {
        put("data-yanked", reason);
    }
    if let Some(signed) = offer.gpg_sig {
        put("data-gpg-sig", if signed { "true" } else { "false" });
    }
    if let Some(url) = &offer.provenance {
        put("data-provenance", url);
    }
    format!(
        "<a href=\"{}{fragment}\"{attributes}>{}</a><br />\n",
        escaped(link),
        escaped(&offer.filename)
    )
}

fn json_file(settings: &Settings, offer: &Offer, link: &str) -> Value {
    let mut hashes = Map::new();
    if let Some((name, digest)) = digest(offer) {
        hashes.insert(name.into(), digest.into());
    }
    let metadata = match advertised(offer).as_deref() {
        None => Value::Bool(false),
        Some("true") => Value::Bool(true),
        Some(_) => json!({"sha256": offer.metadata_sha256()}),
    };
    let mut file = Map::new();
    file.insert("filename".into(), offer.filename.as_str().into());
    file.insert("url".into(), link.into());
    file.insert("hashes".into(), hashes.into());
    file.insert("core-metadata".into(), metadata.clone());
    file.insert("data-dist-info-metadata".into(), metadata);
    file.insert(
        "requires-python".into(),
        offer.requires_python.as_deref().into(),
    );
    let yanked = match offer.yanked.as_deref() {
        None => Value::Bool(false),
        Some("") => Value::Bool(true),
        Some(reason) => reason.into(),
    };
    file.insert("yanked".into(), yanked);
    if let Some(signed) = offer.gpg_sig {
        file.insert("gpg-sig".into(), signed.into());
    }
    if let Some(size) = offer.size.filter(|_| settings.speaks(1)) {
        file.insert("size".into(), size.into());
    }
    if let Some(time) = offer.upload_time.as_deref().filter(|_| settings.speaks(1)) {
        file.insert("upload-time".into(), time.into());
    }
    if settings.speaks(3) {
        file.insert("provenance".into(), offer.provenance.as_deref().into());
    }
    file.into()
}

fn digest(offer: &Offer) -> Option<(&'static str, String)> {
    match offer.hashes {
        Hashes::Sha256 => Some(("sha256", offer.sha256.clone())),
        Hashes::Md5 => Some(("md5", md5_hex(&offer.bytes))),
        Hashes::Wrong => Some(("sha256", sha256_hex(b"something else"))),
        Hashes::None => None,
    }
}

fn advertised(offer: &Offer) -> Option<String> {
    match offer.core_metadata {
        CoreMetadata::None => None,
        CoreMetadata::True => Some("true".to_owned()),
        CoreMetadata::Hashed | CoreMetadata::WrongHash | CoreMetadata::Missing => {
            Some(format!("sha256={}", offer.metadata_sha256()))
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
