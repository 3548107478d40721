//! `parent`: one URL, or a list of them.
//!
//! A single one is written as it is read, as a text. Must not know what is asked there.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::registry::Base;

/// The larders that are asked in place of GitLab, as they were written; empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parents(pub Vec<String>);

impl Parents {
    /// One that is to be taken for a list, whatever is in it.
    pub(super) fn list() -> serde_json::Value {
        serde_json::Value::Array(Vec::new())
    }

    /// Their URLs in one spelling, each once, in an order that does not depend on that of the list:
    /// the first gives its name to what is the same at all of them.
    pub fn urls(&self) -> Vec<String> {
        let mut urls = Vec::new();
        for text in &self.0 {
            urls.push(match Base::parse(text) {
                Ok(base) => base.to_string(),
                Err(_) => text.trim_end_matches('/').to_owned(),
            });
        }
        urls.sort();
        urls.dedup();
        urls
    }
}

impl Serialize for Parents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [] => serializer.serialize_str(""),
            [single] => serializer.serialize_str(single),
            all => {
                let mut list = serializer.serialize_seq(Some(all.len()))?;
                for url in all {
                    list.serialize_element(url)?;
                }
                list.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Parents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Parents;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL in quotes, or a list of them")
            }

            fn visit_str<E>(self, text: &str) -> Result<Parents, E> {
                if text.is_empty() {
                    return Ok(Parents::default());
                }
                Ok(Parents(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Parents, A::Error> {
                let mut urls = Vec::new();
                while let Some(url) = list.next_element::<String>()? {
                    // An empty variable of the environment is a list of one empty text.
                    if !url.is_empty() {
                        urls.push(url);
                    }
                }
                Ok(Parents(urls))
            }
        }

        deserializer.deserialize_any(OneOrMore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_more_are_read_and_written() {
        for (text, count) in [
            (r#""""#, 0),
            (r#""https://a.example/""#, 1),
            (r#"["https://a.example","https://b.example"]"#, 2),
        ] {
            let parents: Parents = serde_json::from_str(text).unwrap();
            assert_eq!(parents.0.len(), count);
            assert_eq!(serde_json::to_string(&parents).unwrap(), text);
        }
        assert!(serde_json::from_str::<Parents>("7").is_err());
    }

    #[test]
    fn the_order_of_the_list_and_the_spelling_of_a_url_do_not_matter() {
        let urls = |list: &[&str]| Parents(list.iter().map(ToString::to_string).collect()).urls();
        let one = urls(&["https://B.example:443/", "https://a.example/x/"]);
        assert_eq!(one, ["https://a.example/x", "https://b.example"]);
        assert_eq!(one, urls(&["https://a.example/x", "https://b.example"]));
    }
}
