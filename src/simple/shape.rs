//! What a page looked like, and whether that is an index page.
//!
//! Owns the rule that tells a Simple Repository page (PEP 503, PEP 629) from whatever else a
//! server, a proxy or a load balancer answers with 200 and `text/html`. Must not know who answered.
//! PEP 503 asks for hardly more than anchors, so the rule lives on what real indexes write.

/// What was seen of a page while it streamed by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// The first `<title>`, cleaned and shortened.
    pub title: Option<String>,
    /// The first `<h1>`, cleaned and shortened.
    pub heading: Option<String>,
    /// `<meta name="pypi:repository-version">` (PEP 629).
    pub repository_version: Option<String>,
    /// Anchors with a `href`.
    pub anchors: usize,
    /// Anchors whose fragment names a digest (`#sha256=…`).
    pub hashed_anchors: usize,
    /// Anchors whose address ends in the name of a distribution.
    pub file_anchors: usize,
    /// Anchors to a place directly below the page's own address.
    pub nested_anchors: usize,
    /// Anchors to the page itself, sorted otherwise say, or to a folder above it.
    pub upward_anchors: usize,
    pub has_form: bool,
    pub has_password_field: bool,
    pub html: ElementState,
    pub body: ElementState,
    /// The page ends inside a tag.
    pub cut_in_tag: bool,
    /// The first byte that is no white space (nor a byte order mark).
    pub first_byte: Option<u8>,
}

/// How far an element got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ElementState {
    #[default]
    Absent,
    Opened,
    Closed,
}

/// Why a page is no index page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnIndex {
    #[error("is empty")]
    Empty,
    #[error("looks like JSON that was sent as HTML")]
    Json,
    #[error("looks like a sign-in page{}", titled(.title.as_deref()))]
    SignIn { title: Option<String> },
    #[error("was cut short: it ends {missing}")]
    Truncated { missing: &'static str },
    #[error("looks like no index page: {anchors} links, none of them a package file{}", titled(.title.as_deref()))]
    Unrecognised {
        title: Option<String>,
        anchors: usize,
    },
}

/// What real indexes write into their title or heading: the public index, GitLab, devpi,
/// Artifactory, Nexus, and the directory listings of nginx, Apache and Python's `http.server`.
const INDEX_WORDS: [&str; 5] = [
    "links for",
    "simple index",
    "simple list",
    "index of",
    "directory listing for",
];

const SIGN_IN_WORDS: [&str; 5] = ["sign in", "sign-in", "log in", "login", "single sign-on"];

impl Shape {
    /// Whether this is an index page, and a whole one. A page without any file is one too.
    ///
    /// # Errors
    /// [`NotAnIndex`], in words that follow "the answer …".
    pub fn judge(&self) -> Result<(), NotAnIndex> {
        match self.first_byte {
            None => return Err(NotAnIndex::Empty),
            Some(b'{' | b'[') => return Err(NotAnIndex::Json),
            Some(_) => {}
        }
        let recognised = self.is_index();
        if !recognised && self.is_sign_in() {
            return Err(NotAnIndex::SignIn { title: self.name() });
        }
        if let Some(missing) = self.missing() {
            return Err(NotAnIndex::Truncated { missing });
        }
        if recognised {
            return Ok(());
        }
        Err(NotAnIndex::Unrecognised {
            title: self.name(),
            anchors: self.anchors,
        })
    }

    fn is_index(&self) -> bool {
        self.repository_version.is_some()
            || self.hashed_anchors > 0
            || !self.has_password_field
                && (self.says(&INDEX_WORDS) || self.is_list_of_files() || self.is_bare_list())
    }

    /// A page that mostly links to distributions is a list of them, whatever it calls itself.
    fn is_list_of_files(&self) -> bool {
        self.file_anchors > 0 && self.file_anchors * 2 >= self.anchors
    }

    /// A list of projects without a title, as static indexes write: every link leads one step down,
    /// but those of the listing itself.
    fn is_bare_list(&self) -> bool {
        self.nested_anchors > 0
            && self.nested_anchors + self.upward_anchors == self.anchors
            && self.title.is_none()
            && self.heading.is_none()
            && !self.has_form
    }

    fn is_sign_in(&self) -> bool {
        self.has_password_field || self.says(&SIGN_IN_WORDS)
    }

    /// `</html>` without `</body>`, or the reverse, is a whole page: either stands after the last
    /// link.
    fn missing(&self) -> Option<&'static str> {
        let closed = [self.html, self.body].contains(&ElementState::Closed);
        let opened = [self.html, self.body].contains(&ElementState::Opened);
        if self.cut_in_tag {
            Some("inside a tag")
        } else if opened && !closed {
            Some("before </body> and </html>")
        } else {
            None
        }
    }

    fn says(&self, words: &[&str]) -> bool {
        for text in [&self.title, &self.heading].into_iter().flatten() {
            let text = text.to_ascii_lowercase();
            if words.iter().any(|word| text.contains(word)) {
                return true;
            }
        }
        false
    }

    fn name(&self) -> Option<String> {
        match &self.title {
            Some(title) => Some(title.clone()),
            None => self.heading.clone(),
        }
    }
}

fn titled(title: Option<&str>) -> String {
    match title {
        Some(title) => format!(" (title {title:?})"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(title: &str) -> Shape {
        Shape {
            title: (!title.is_empty()).then(|| title.to_owned()),
            html: ElementState::Closed,
            body: ElementState::Closed,
            first_byte: Some(b'<'),
            ..Shape::default()
        }
    }

    #[test]
    fn index_pages_are_recognised_also_when_empty() {
        for title in [
            "Links for My.Pkg",
            "Simple index",
            "Simple Index",
            "root/dev: links for pkg",
            "root/dev: simple list (including inherited indices)",
            "Index of /simple/pkg/",
            "Directory listing for /simple/",
            "Links for login",
        ] {
            assert_eq!(page(title).judge(), Ok(()), "{title}");
        }
        assert_eq!(
            Shape {
                repository_version: Some("1.0".to_owned()),
                ..page("")
            }
            .judge(),
            Ok(())
        );
        assert_eq!(
            Shape {
                anchors: 9,
                hashed_anchors: 1,
                ..page("Our wheels")
            }
            .judge(),
            Ok(())
        );
        assert_eq!(
            Shape {
                anchors: 3,
                file_anchors: 2,
                ..page("Our wheels")
            }
            .judge(),
            Ok(())
        );
        assert_eq!(
            Shape {
                anchors: 3,
                nested_anchors: 3,
                ..page("")
            }
            .judge(),
            Ok(())
        );
        assert_eq!(
            Shape {
                anchors: 3,
                nested_anchors: 2,
                upward_anchors: 1,
                ..page("")
            }
            .judge(),
            Ok(())
        );
        assert!(
            Shape {
                anchors: 1,
                upward_anchors: 1,
                ..page("")
            }
            .judge()
            .is_err()
        );
    }

    #[test]
    fn a_page_without_html_and_body_is_judged_by_its_anchors() {
        let bare = Shape {
            first_byte: Some(b'<'),
            ..Shape::default()
        };
        assert!(matches!(bare.judge(), Err(NotAnIndex::Unrecognised { .. })));
        assert_eq!(
            Shape {
                anchors: 1,
                hashed_anchors: 1,
                ..bare
            }
            .judge(),
            Ok(())
        );
    }

    #[test]
    fn other_pages_are_refused_in_words() {
        let sign_in = Shape {
            has_form: true,
            has_password_field: true,
            ..page("Sign in · GitLab")
        };
        let table = [
            (Shape::default(), "is empty"),
            (
                Shape {
                    first_byte: Some(b'{'),
                    ..Shape::default()
                },
                "looks like JSON that was sent as HTML",
            ),
            (
                sign_in,
                "looks like a sign-in page (title \"Sign in · GitLab\")",
            ),
            (page("Login"), "looks like a sign-in page (title \"Login\")"),
            (
                Shape {
                    anchors: 2,
                    ..page("GitLab is not responding (502)")
                },
                "looks like no index page: 2 links, none of them a package file (title \"GitLab is not responding (502)\")",
            ),
            (
                Shape {
                    body: ElementState::Opened,
                    html: ElementState::Opened,
                    ..page("Links for pkg")
                },
                "was cut short: it ends before </body> and </html>",
            ),
            (
                Shape {
                    cut_in_tag: true,
                    ..page("Links for pkg")
                },
                "was cut short: it ends inside a tag",
            ),
        ];
        for (shape, words) in table {
            assert_eq!(
                shape.judge().map_err(|reason| reason.to_string()),
                Err(words.to_owned())
            );
        }
    }

    #[test]
    fn a_few_downloads_do_not_make_an_index() {
        let project_home = Shape {
            anchors: 60,
            file_anchors: 3,
            nested_anchors: 20,
            ..page("acme / widgets")
        };
        assert!(project_home.judge().is_err());
        let password_beside_a_listing = Shape {
            has_password_field: true,
            ..page("Index of everything")
        };
        assert!(matches!(
            password_beside_a_listing.judge(),
            Err(NotAnIndex::SignIn { .. })
        ));
    }

    #[test]
    fn one_closing_tag_of_two_is_enough() {
        for (html, body) in [
            (ElementState::Closed, ElementState::Opened),
            (ElementState::Opened, ElementState::Closed),
        ] {
            assert_eq!(
                Shape {
                    html,
                    body,
                    ..page("Links for pkg")
                }
                .judge(),
                Ok(())
            );
        }
        for (html, body) in [
            (ElementState::Opened, ElementState::Absent),
            (ElementState::Absent, ElementState::Opened),
        ] {
            assert!(matches!(
                Shape {
                    html,
                    body,
                    ..page("Links for x")
                }
                .judge(),
                Err(NotAnIndex::Truncated { .. })
            ));
        }
    }
}
