//! Pages in every shape that indexes really produce: those in `tests/pages`, one a shape and named
//! after it, and large or exhaustive ones made here.
//!
//! Each is the page of a project of its own name; one whose name begins with `index-` is a list of
//! projects. Hosts are `https://index.example` for the index itself and `https://files.example` for
//! the files of others.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::wheel::sha256_hex;

pub const HTML: &str = "text/html; charset=utf-8";
pub const JSON: &str = "application/vnd.pypi.simple.v1+json";

const FILES_OF_THE_LARGEST: usize = 5_000;

#[derive(Clone, Debug)]
pub struct Specimen {
    pub name: String,
    pub content_type: &'static str,
    body: Vec<u8>,
}

impl Specimen {
    /// All, sorted by name within their format.
    pub fn all() -> Vec<Self> {
        let mut all = stored();
        all.extend([large_html(), large_json(), combined_html(), combined_json()]);
        all
    }

    pub fn is_index(&self) -> bool {
        self.name.starts_with("index-")
    }

    pub fn is_json(&self) -> bool {
        self.content_type == JSON
    }

    /// The page as it stands at an index with these origins.
    pub fn at(&self, index: &str, files: &str) -> Vec<u8> {
        let escaped = |url: &str| url.replace('/', "\\/");
        let mut text = String::from_utf8(self.body.clone()).expect("pages are UTF-8");
        for (example, real) in [
            ("https://index.example", index),
            ("https://files.example", files),
        ] {
            text = text
                .replace(example, real)
                .replace(&escaped(example), &escaped(real));
        }
        text.into_bytes()
    }
}

fn stored() -> Vec<Specimen> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pages");
    let mut specimens = Vec::new();
    for (format, content_type) in [("html", HTML), ("json", JSON)] {
        let entries = std::fs::read_dir(folder.join(format)).expect("the corpus");
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.expect("a readable folder").path())
            .collect();
        paths.sort();
        specimens.extend(paths.into_iter().map(|path| {
            Specimen {
                name: path
                    .file_stem()
                    .expect("a file")
                    .to_string_lossy()
                    .into_owned(),
                content_type,
                body: std::fs::read(&path).expect("a readable page"),
            }
        }));
    }
    specimens
}

/// Thousands of files on one line, as GitLab writes them.
fn large_html() -> Specimen {
    let mut links = String::new();
    for version in 0..FILES_OF_THE_LARGEST {
        let file = format!("large-1.{version}-py3-none-any.whl");
        let digest = sha256_hex(file.as_bytes());
        let _ = write!(
            links,
            "<a href=\"https://files.example/packages/{digest}/{file}#sha256={digest}\" \
             data-requires-python=\"&gt;=3.8\">{file}</a>"
        );
    }
    html("large", &links)
}

fn large_json() -> Specimen {
    let files = (0..FILES_OF_THE_LARGEST).map(|version| {
        let file = format!("large-1.{version}-py3-none-any.whl");
        let digest = sha256_hex(file.as_bytes());
        format!(
            "{{\"filename\":\"{file}\",\"hashes\":{{\"sha256\":\"{digest}\"}},\"requires-python\":\">=3.8\",\"size\":{version},\
             \"upload-time\":\"2024-01-02T03:04:05.{version:06}Z\",\"url\":\"https://files.example/packages/{digest}/{file}\",\
             \"yanked\":false}}"
        )
    });
    json("large", "1.1", &files.collect::<Vec<_>>())
}

/// Every set of attributes in every way to quote, in upper and lower case, with and without a
/// digest.
fn combined_html() -> Specimen {
    const ATTRIBUTES: [(&str, &str); 8] = [
        ("data-requires-python", "&gt;=3.8,&lt;4"),
        ("data-yanked", "a&amp;b"),
        ("data-core-metadata", "true"),
        ("data-gpg-sig", "false"),
        ("data-provenance", "https://index.example/integrity"),
        ("data-size", "17"),
        ("data-upload-time", "2024-01-02T03:04:05Z"),
        ("data-unknown", "https://files.example/x"),
    ];
    let mut links = String::new();
    for set in 0..1_usize << ATTRIBUTES.len() {
        let quote = ["\"", "'", ""][set % 3];
        let shout = set % 5 == 0;
        let file = format!("combined-1.{set}-py3-none-any.whl");
        let digest = sha256_hex(file.as_bytes());
        let fragment = if set % 7 == 0 {
            String::new()
        } else {
            format!("#sha256={digest}")
        };
        let href = (
            "href",
            format!("https://files.example/packages/{set}/{file}{fragment}"),
        );
        let mut attributes = vec![href];
        let chosen = ATTRIBUTES
            .iter()
            .enumerate()
            .filter(|(at, _)| set >> at & 1 == 1);
        attributes.extend(chosen.map(|(_, (name, value))| (*name, (*value).to_owned())));
        let length = attributes.len();
        attributes.rotate_left(set % length);
        links.push_str(if shout { "<A" } else { "<a" });
        for (name, value) in attributes {
            let name = if shout {
                name.to_ascii_uppercase()
            } else {
                name.to_owned()
            };
            let _ = write!(links, " {name}={quote}{value}{quote}");
        }
        let _ = writeln!(links, ">{file}</a>");
    }
    html("combined", &links)
}

/// Every set of keys, in a turned order, with the spacing of three writers.
fn combined_json() -> Specimen {
    const KEYS: [(&str, &str); 8] = [
        ("requires-python", "\">=3.8,<4\""),
        ("yanked", "\"a&b\""),
        ("core-metadata", "true"),
        ("gpg-sig", "false"),
        ("provenance", "\"https://index.example/integrity\""),
        ("size", "17"),
        ("upload-time", "\"2024-01-02T03:04:05Z\""),
        ("_unknown", "{\"url\":[\"https://files.example/x\"]}"),
    ];
    let files = (0..1_usize << KEYS.len()).map(|set| {
        let file = format!("combined-1.{set}-py3-none-any.whl");
        let digest = sha256_hex(file.as_bytes());
        let hashes = if set % 7 == 0 {
            "{}".to_owned()
        } else {
            format!("{{\"sha256\":\"{digest}\"}}")
        };
        let mut keys = vec![
            ("filename", format!("\"{file}\"")),
            (
                "url",
                format!("\"https://files.example/packages/{set}/{file}\""),
            ),
            ("hashes", hashes),
        ];
        let chosen = KEYS.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1);
        keys.extend(chosen.map(|(_, (key, value))| (*key, (*value).to_owned())));
        let length = keys.len();
        keys.rotate_left(set % length);
        let (comma, colon) = [(",", ":"), (", ", ": "), (",\n    ", " : ")][set % 3];
        let members: Vec<String> = keys
            .into_iter()
            .map(|(key, value)| format!("\"{key}\"{colon}{value}"))
            .collect();
        format!("{{{}}}", members.join(comma))
    });
    json("combined", "1.0", &files.collect::<Vec<_>>())
}

fn html(name: &str, links: &str) -> Specimen {
    let body = format!(
        "<!DOCTYPE html>\n<html>\n<head><title>Links for {name}</title></head>\n<body>\n<h1>Links for {name}</h1>\n{links}\n\
         </body>\n</html>\n"
    );
    Specimen {
        name: name.to_owned(),
        content_type: HTML,
        body: body.into_bytes(),
    }
}

fn json(name: &str, api_version: &str, files: &[String]) -> Specimen {
    let versions = if api_version == "1.0" {
        ""
    } else {
        "\"versions\":[],"
    };
    let body = format!(
        "{{\"meta\":{{\"api-version\":\"{api_version}\"}},\"name\":\"{name}\",{versions}\"files\":[{}]}}",
        files.join(",")
    );
    Specimen {
        name: name.to_owned(),
        content_type: JSON,
        body: body.into_bytes(),
    }
}
