//! One element of the list: what is read of it, and where that stands.
//!
//! Owns the keys of a file (PEP 691, 592, 700, 714, 740) and of a project. Must not know the page
//! around it. Only what makes an entry (its name and address) must be of the right type; a fact of
//! another type is no fact, and passes as it is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use url::Url;

use crate::simple::entry::{Entry, FileFacts, written_time};
use crate::simple::hashes::Hashes;

type Raw<'a> = Option<&'a RawValue>;

/// A file, its values as written. A key that stands here twice is an error; others are not looked
/// at.
#[derive(Deserialize)]
pub struct JsonFile<'a> {
    #[serde(borrow)]
    url: &'a RawValue,
    #[serde(borrow)]
    filename: &'a RawValue,
    #[serde(borrow, default)]
    hashes: Raw<'a>,
    #[serde(borrow, default, rename = "requires-python")]
    requires_python: Raw<'a>,
    #[serde(
        borrow,
        default,
        rename = "core-metadata",
        deserialize_with = "also_null"
    )]
    core_metadata: Raw<'a>,
    #[serde(borrow, default, rename = "dist-info-metadata")]
    dist_info_metadata: Raw<'a>,
    #[serde(borrow, default, rename = "data-dist-info-metadata")]
    data_dist_info_metadata: Raw<'a>,
    #[serde(borrow, default, rename = "gpg-sig")]
    gpg_sig: Raw<'a>,
    #[serde(borrow, default)]
    yanked: Raw<'a>,
    #[serde(borrow, default)]
    size: Raw<'a>,
    #[serde(borrow, default, rename = "upload-time")]
    upload_time: Raw<'a>,
    #[serde(borrow, default)]
    provenance: Raw<'a>,
}

/// A project, as far as it is read.
#[derive(Deserialize)]
struct JsonProject<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// A `null` that stands there is not the same as nothing.
fn also_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Raw<'de>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The table of hashes, or the word that there is metadata whose hash is not told.
#[derive(Deserialize)]
#[serde(untagged)]
enum MetadataField {
    Flag(bool),
    Table(BTreeMap<String, String>),
}

/// The link of a file.
pub struct FileLink {
    /// Without fragment.
    pub url: Url,
    pub fragment: Option<String>,
    /// As written, without its escapes.
    pub text: String,
    /// It leads to the same place wherever the page is served.
    pub is_absolute: bool,
}

impl FileLink {
    /// The whole of it, with its fragment.
    pub fn whole(&self) -> String {
        match &self.fragment {
            Some(fragment) => format!("{}#{fragment}", self.url),
            None => self.url.to_string(),
        }
    }
}

/// The name of a project.
pub fn project(text: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    object(text)?;
    let project: JsonProject<'_> = serde_json::from_str(text)?;
    Ok(project.name)
}

impl<'a> JsonFile<'a> {
    pub fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        object(text)?;
        serde_json::from_str(text)
    }

    /// Where the file's link leads; `None` when it leads nowhere.
    pub fn address(&self, page_url: &Url) -> Result<Option<FileLink>, serde_json::Error> {
        let text: String = serde_json::from_str(self.url.get())?;
        let Ok(mut url) = Url::options().base_url(Some(page_url)).parse(&text) else {
            return Ok(None);
        };
        let fragment = url.fragment().map(str::to_owned);
        url.set_fragment(None);
        let is_absolute = Url::parse(&text).is_ok();
        Ok(Some(FileLink {
            url,
            fragment,
            text,
            is_absolute,
        }))
    }

    /// The file with its facts.
    pub fn entry<'u>(&self, address: &'u FileLink) -> Result<Entry<'u>, serde_json::Error> {
        let name: String = serde_json::from_str(self.filename.get())?;
        let mut entry = Entry::bare(&address.url, Cow::Owned(name), address.fragment.as_deref());
        let table: BTreeMap<String, String> = fact(self.hashes).unwrap_or_default();
        let mut hashes = Hashes::of_table(table);
        if hashes.is_empty()
            && let Some(fragment) = &address.fragment
        {
            hashes = Hashes::of_fragment(fragment);
        }
        entry.set_hashes(hashes);
        let said = [
            self.core_metadata,
            self.dist_info_metadata,
            self.data_dist_info_metadata,
        ];
        match said.into_iter().find_map(fact::<MetadataField>) {
            None | Some(MetadataField::Flag(false)) => {}
            Some(MetadataField::Flag(true)) => entry.set_metadata(Hashes::default()),
            Some(MetadataField::Table(table)) => entry.set_metadata(Hashes::of_table(table)),
        }
        entry.requires_python = text(self.requires_python);
        entry.more.provenance = text(self.provenance);
        if let Some(time) = text(self.upload_time) {
            entry.set_upload_time(time);
        }
        // pip takes an empty reason for none at all, and the standard has no such reason.
        entry.yanked = match fact(self.yanked) {
            Some(true) => Some(Cow::Borrowed("")),
            Some(false) => None,
            None => text(self.yanked),
        };
        entry.size = fact(self.size);
        entry.more.gpg_sig = fact(self.gpg_sig);
        Ok(entry)
    }

    /// Where the value of `url` stands in the element.
    pub fn url_range(&self, element: &str) -> Option<Range<usize>> {
        range(self.url, element)
    }

    /// Those of these facts that the element says nothing of, to stand behind its `url`.
    pub fn lacking(&self, facts: &FileFacts) -> String {
        let mut text = String::new();
        if let Some(size) = facts.size
            && self.size.is_none()
        {
            text.push_str(&format!(",\"size\":{size}"));
        }
        if let Some(time) = facts.upload_time
            && self.upload_time.is_none()
        {
            text.push_str(&format!(",\"upload-time\":\"{}\"", written_time(time)));
        }
        text
    }

    /// Where metadata may be told: in place of a `core-metadata` that denies it, else behind the
    /// `url`.
    pub fn metadata_place(&self, element: &str) -> Option<usize> {
        match self.core_metadata {
            Some(said) => range(said, element).map(|range| range.start),
            None => self.url_range(element).map(|range| range.end),
        }
    }
}

/// The value, if it is there and of this type.
fn fact<T: DeserializeOwned>(raw: Raw<'_>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// The text, if it is there and not blank.
fn text<'a>(raw: Raw<'_>) -> Option<Cow<'a, str>> {
    let text: String = fact(raw)?;
    if text.trim_ascii().is_empty() {
        None
    } else {
        Some(Cow::Owned(text))
    }
}

/// serde would read an array as the fields in their order.
fn object(text: &str) -> Result<(), serde_json::Error> {
    if text.starts_with('{') {
        Ok(())
    } else {
        Err(serde_json::Error::custom("it is no object"))
    }
}

/// The place of a value that was borrowed from this text.
fn range(value: &RawValue, text: &str) -> Option<Range<usize>> {
    let value = value.get();
    let start = value.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let range = start..start + value.len();
    if text.get(range.clone())? != value {
        return None;
    }
    Some(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simple::entry::CoreMetadata;

    fn read(text: &str) -> Result<(String, Option<usize>), serde_json::Error> {
        let page =
            Url::parse("https://index.example/simple/x/").map_err(serde_json::Error::custom)?;
        let file = JsonFile::read(text)?;
        let Some(address) = file.address(&page)? else {
            return Ok(("nowhere".to_owned(), None));
        };
        let entry = file.entry(&address)?;
        let facts = format!(
            "{} {} {:?} {:?} {:?} {:?} {:?}",
            entry.name,
            entry.url,
            entry.more.hashes.best(),
            entry
                .core_metadata
                .map(|metadata| metadata == CoreMetadata::Present),
            entry.requires_python,
            entry.yanked,
            entry.size,
        );
        Ok((facts, file.metadata_place(text)))
    }

    #[test]
    fn facts_are_read_and_what_is_none_is_not() -> Result<(), serde_json::Error> {
        let sha = "ab".repeat(32);
        let table = [
            (
                r#"{"filename":"a","url":"b#md5=12"}"#.to_owned(),
                "a https://index.example/simple/x/b Some((\"md5\", \"12\")) None None None None".to_owned(),
                Some(32),
            ),
            (
                format!(
                    r#"{{"\u0075rl" : "/b" ,"filename":"\u0061","hashes":{{"sha256":"{sha}"}},"core-metadata":false,
                    "dist-info-metadata":true,"requires-python":"","yanked":"why","size":12}}"#
                ),
                format!("a https://index.example/b Some((\"sha256\", \"{sha}\")) None None Some(\"why\") Some(12)"),
                Some(143),
            ),
            (
                r#"{"filename":"a","url":"b","hashes":1,"data-dist-info-metadata":{},"yanked":true,"size":"x","requires-python":">=3"}"#
                    .to_owned(),
                "a https://index.example/simple/x/b None Some(true) Some(\">=3\") Some(\"\") None".to_owned(),
                Some(25),
            ),
            (
                r#"{"filename":"a","url":"b","core-metadata":null,"dist-info-metadata":true,"yanked":""}"#.to_owned(),
                "a https://index.example/simple/x/b None Some(true) None None None".to_owned(),
                Some(42),
            ),
            (r#"{"filename":"a","url":"http://["}"#.to_owned(), "nowhere".to_owned(), None),
        ];
        for (text, facts, place) in table {
            assert_eq!(read(&text)?, (facts, place), "{text}");
        }
        Ok(())
    }

    #[test]
    fn what_is_no_entry_is_an_error() {
        for text in [
            "[]",
            r#"["a","b"]"#,
            "1",
            "{}",
            r#"{"filename":"a"}"#,
            r#"{"url":"a"}"#,
            r#"{"filename":"a","url":1}"#,
            r#"{"filename":null,"url":"a"}"#,
            r#"{"filename":"a","url":"b","u\u0072l":"c"}"#,
            r#"{"filename":"a","url":"b","size":1,"size":1}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(project(r#"{"name":1}"#).is_err());
        assert!(project(r#"["a"]"#).is_err());
        assert!(matches!(
            project(r#"{"x":{},"name":"A\u0042"}"#).as_deref(),
            Ok("AB")
        ));
    }
}
