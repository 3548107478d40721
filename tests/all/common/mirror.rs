//! What the modules about mirrors share: addresses below a mirror named `pypi`, and what a page
//! lists.

use serde_json::Value;

use crate::support::{Client, GitLab, Larder, PublicIndex, Reply};

pub const HTML: &str = "text/html";
pub const JSON: &str = "application/vnd.pypi.simple.v1+json";
pub const FORMATS: [&str; 2] = [HTML, JSON];

/// Nothing counts as fresh, so that each answer is upstream's word of now.
pub const NEVER_FRESH: &str = "ttl = \"0s\"";

/// Metadata is read ahead, as it is where nobody configured anything.
pub const AHEAD: &str = "[metadata]\nprefetch = 8\nprefetch_delay = \"0s\"";

pub fn page(name: &str) -> String {
    format!("/pypi/simple/{name}/")
}

/// A file's address at larder: its path behind the mirror's name.
pub fn file(index: &PublicIndex, filename: &str) -> String {
    format!("/pypi/{}", index.file_path(filename))
}

pub fn metadata(index: &PublicIndex, filename: &str) -> String {
    format!("{}.metadata", file(index, filename))
}

/// A larder with this index as its mirror `pypi`, in front of a GitLab that has no part in it.
pub fn larder(gitlab: &GitLab, index: &PublicIndex, lines: &str) -> Larder {
    Larder::builder(gitlab)
        .mirror_with("pypi", index, lines)
        .start()
}

pub fn get_as(client: &Client, path: &str, accept: &str) -> Reply {
    let reply = client.get_with(path, &[("Accept", accept)]);
    if reply.status == 200 {
        let content_type = reply.header("Content-Type").unwrap_or_default();
        assert!(
            content_type.starts_with(accept),
            "{path} as {accept}: {reply:?}"
        );
    }
    reply
}

/// A link on a page, with what the page says of it.
#[derive(Clone, Debug)]
pub struct Listed {
    pub filename: String,
    /// Without its fragment.
    pub url: String,
    /// Of the metadata, where that is advertised.
    pub metadata: Option<String>,
}

/// The files on a page of either format, in its order; panics if it is none.
#[track_caller]
pub fn listed(page: &Reply) -> Vec<Listed> {
    page.expect(200);
    if page
        .header("Content-Type")
        .is_some_and(|media_type| media_type.contains("json"))
    {
        let json = page.json();
        return json["files"]
            .as_array()
            .expect("a list of files")
            .iter()
            .map(of_json)
            .collect();
    }
    let text = page.text();
    text.split("<a ")
        .skip(1)
        .filter_map(|rest| rest.split_once("</a>"))
        .map(|(link, _)| of_html(link))
        .collect()
}

/// The names of the files on a page.
#[track_caller]
pub fn names(page: &Reply) -> Vec<String> {
    listed(page).into_iter().map(|link| link.filename).collect()
}

fn of_json(file: &Value) -> Listed {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let url = text(&file["url"]).expect("an address");
    Listed {
        filename: text(&file["filename"]).expect("a name"),
        url: without_fragment(&url),
        metadata: match &file["core-metadata"] {
            Value::Object(hashes) => hashes.get("sha256").and_then(text),
            Value::Bool(true) => Some("true".to_owned()),
            _ => None,
        },
    }
}

fn of_html(link: &str) -> Listed {
    let attribute = |name: &str| {
        let (_, rest) = link.split_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let (_, text) = link.rsplit_once('>').expect("a link with its text");
    let metadata = attribute("data-core-metadata");
    Listed {
        filename: text.to_owned(),
        url: without_fragment(&attribute("href").expect("an address")),
        metadata: metadata.map(|value| value.trim_start_matches("sha256=").to_owned()),
    }
}

fn without_fragment(url: &str) -> String {
    url.split('#').next().unwrap_or_default().to_owned()
}
