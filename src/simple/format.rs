//! The two formats of the Simple API and the media types they travel under (PEP 691,
//! "Content-Types").
//!
//! Owns the spelling of the types. Must not know who asks for which; [`super::negotiate`] does.

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Html,
    Json,
}

/// The type of an answer, as negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// What browsers and clients older than PEP 691 know.
    TextHtml,
    V1Html,
    V1Json,
}

pub const TEXT_HTML: &str = "text/html";
pub const V1_HTML: &str = "application/vnd.pypi.simple.v1+html";
pub const V1_JSON: &str = "application/vnd.pypi.simple.v1+json";

impl Format {
    /// The format of a page that was sent under this `Content-Type`; parameters do not matter.
    pub fn of_content_type(value: &str) -> Option<Self> {
        let essence = value.split(';').next().unwrap_or_default().trim_ascii();
        let is = |name: &str| essence.eq_ignore_ascii_case(name);
        if is(TEXT_HTML) || is(V1_HTML) {
            Some(Self::Html)
        } else if is(V1_JSON) {
            Some(Self::Json)
        } else {
            None
        }
    }
}

impl MediaType {
    pub const fn format(self) -> Format {
        match self {
            Self::TextHtml | Self::V1Html => Format::Html,
            Self::V1Json => Format::Json,
        }
    }

    /// The `Content-Type` to answer with. JSON has no charset parameter: it is UTF-8 by definition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TextHtml => "text/html; charset=utf-8",
            Self::V1Html => "application/vnd.pypi.simple.v1+html; charset=utf-8",
            Self::V1Json => V1_JSON,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_tells_the_format() {
        let table = [
            ("text/html", Some(Format::Html)),
            ("Text/HTML ;charset=utf-8", Some(Format::Html)),
            ("application/vnd.pypi.simple.v1+html", Some(Format::Html)),
            (
                "application/vnd.pypi.simple.v1+json; charset=utf-8",
                Some(Format::Json),
            ),
            (" APPLICATION/vnd.PyPI.simple.v1+JSON", Some(Format::Json)),
            ("application/vnd.pypi.simple.v2+json", None),
            ("application/vnd.pypi.simple.latest+json", None),
            ("application/json", None),
            ("text/html+x", None),
            ("", None),
        ];
        for (value, format) in table {
            assert_eq!(Format::of_content_type(value), format, "{value}");
        }
    }

    #[test]
    fn every_type_is_read_back() {
        for media in [MediaType::TextHtml, MediaType::V1Html, MediaType::V1Json] {
            assert_eq!(
                Format::of_content_type(media.as_str()),
                Some(media.format())
            );
        }
    }
}
