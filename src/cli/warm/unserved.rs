//! An index that an input names and larder does not serve: which lines of the configuration would
//! make it. Pure.
//!
//! Must not know the configuration beyond the names that it has.

use serde_json::{Value, json};
use url::{Host, Url};

use crate::registry::Scope;

/// Segments that say nothing of an index but that it is one.
const COMMON_SEGMENTS: [&str; 5] = ["simple", "+simple", "pypi", "index", "packages"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// Without any credential.
    pub url: String,
    /// A name that no mirror has.
    pub name: String,
    /// The input that names it.
    place: String,
}

impl Unserved {
    pub fn new(url: &Url, place: &str, is_taken: &dyn Fn(&str) -> bool) -> Self {
        let mut shown = url.clone();
        // Neither can fail for a URL with a host, which an http URL has.
        let _ = (shown.set_username(""), shown.set_password(None));
        shown.set_query(None);
        shown.set_fragment(None);
        let base = name_for(&shown);
        let mut name = base.clone();
        let mut count = 1;
        while is_taken(&name) {
            count += 1;
            name = format!("{base}-{count}");
        }
        Self {
            url: shown.into(),
            name,
            place: place.to_owned(),
        }
    }

    fn configuration(&self) -> String {
        format!("[mirrors.{}]\nurl = \"{}\"", self.name, self.url)
    }

    pub fn sentence(&self) -> String {
        let place = &self.place;
        let url = &self.url;
        let lines = self.configuration();
        format!(
            "{place} names the index {url}, which larder does not serve; \
             to have its packages, add to the configuration\n{lines}"
        )
    }

    pub fn json(&self) -> Value {
        json!({
            "index": self.url,
            "served": false,
            "place": self.place,
            "configuration": self.configuration(),
        })
    }
}

/// `https://download.example.org/whl/cpu/` → `example-cpu`.
fn name_for(url: &Url) -> String {
    let mut name = match url.host() {
        Some(Host::Domain(domain)) => {
            let mut labels = domain.rsplit('.');
            let last = labels.next().unwrap_or_default();
            labels.next().unwrap_or(last).to_owned()
        }
        _ => "mirror".to_owned(),
    };
    let mut segments = url.path().rsplit('/');
    if let Some(last) =
        segments.find(|segment| !segment.is_empty() && !COMMON_SEGMENTS.contains(segment))
    {
        name = format!("{name}-{last}");
    }
    name.make_ascii_lowercase();
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let name = name.trim_matches('-');
    match Scope::mirror(name) {
        Some(_) => name.to_owned(),
        None => "mirror".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_have_a_free_name_and_no_credential() {
        for (url, taken, lines) in [
            (
                "https://user:word@download.example.org/whl/cpu/?token=x#y",
                &[][..],
                "[mirrors.example-cpu]\nurl = \"https://download.example.org/whl/cpu/\"",
            ),
            (
                "https://index.example/simple/",
                &["index"],
                "[mirrors.index-2]\nurl = \"https://index.example/simple/\"",
            ),
            (
                "http://127.0.0.1:9/simple/",
                &[],
                "[mirrors.mirror]\nurl = \"http://127.0.0.1:9/simple/\"",
            ),
            (
                "http://local/a%20b/",
                &[],
                "[mirrors.local-a-20b]\nurl = \"http://local/a%20b/\"",
            ),
        ] {
            let is_taken = |name: &str| taken.contains(&name);
            let unserved = Unserved::new(&Url::parse(url).unwrap(), "requirements.txt", &is_taken);
            assert_eq!(unserved.configuration(), lines);
            assert!(
                unserved
                    .sentence()
                    .starts_with("requirements.txt names the index http")
            );
            assert!(
                !unserved.sentence().contains("word")
                    && !unserved.json().to_string().contains("token")
            );
        }
    }
}
