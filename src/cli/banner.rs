//! What `larder serve` says when it is ready: where it listens, lines to paste, and where the
//! status page is. A terminal gets it all; the log gets one line of it, always.
//!
//! Must not know the configuration's form.

use std::path::Path;

use crate::log::START;
use crate::registry::{AdminEndpoint, PageRef, Route, Scope, ScopeKind};

/// A daemon that has begun to serve.
pub struct Beginning<'b> {
    /// Where it listens, the address to paste first.
    pub urls: &'b [String],
    /// Where clients reach it, if a proxy stands in front; empty otherwise.
    pub public_url: &'b str,
    /// None offline, when there is nothing to publish to either.
    pub gitlab: Option<&'b str>,
    pub cache: &'b Path,
    /// What file was read.
    pub configuration: &'b str,
}

impl Beginning<'_> {
    /// The line of the log.
    pub fn record(&self) {
        tracing::info!(
            target: START,
            version = env!("CARGO_PKG_VERSION"),
            listen = self.urls.join(" "),
            gitlab = self.gitlab,
            offline = self.gitlab.is_none(),
            cache_dir = %self.cache.display(),
            configuration = self.configuration,
            status_page = self.status_page(),
            "listening on {}",
            self.listening(),
        );
    }

    /// The lines for a terminal. What is given is shown as it is; the token is a placeholder,
    /// always.
    pub fn banner(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let front = match self.gitlab {
            Some(gitlab) => format!("in front of {gitlab}"),
            None => "OFFLINE: only what is stored is served".to_owned(),
        };
        let everywhere = match self.urls.first() {
            Some(url) if is_everywhere(url) => " and every other address of this machine",
            _ => "",
        };
        let others: Vec<String> = self.urls.iter().skip(1).map(|url| usable(url)).collect();
        let also = if others.is_empty() {
            String::new()
        } else {
            format!("also on {}\n", others.join(", "))
        };
        let listening = self.listening();
        let cache = self.cache.display();
        let configuration = self.configuration;
        let head = format!(
            "larder {version} listening on {listening}{everywhere}, {front}\n{also}\
             cached in {cache}, configured by {configuration}\n"
        );
        let Some(status_page) = self.status_page() else {
            return head;
        };
        let lines = self.lines();
        format!("{head}\n{lines}\nHow it is, and lines for other tools: {status_page}\n")
    }

    /// The first address, as a client can use it.
    fn listening(&self) -> String {
        match self.urls.first() {
            Some(url) => usable(url),
            None => "nothing".to_owned(),
        }
    }

    /// What clients are to put before a path; none where larder has the path of a socket alone,
    /// which no client takes for an index.
    fn origin(&self) -> Option<String> {
        if !self.public_url.is_empty() {
            return Some(self.public_url.trim_end_matches('/').to_owned());
        }
        let url = self.listening();
        url.contains("://").then_some(url)
    }

    fn status_page(&self) -> Option<String> {
        let home = Route::Admin(AdminEndpoint::Home).path();
        Some(format!("{}{home}", self.origin()?))
    }

    /// Lines to paste.
    fn lines(&self) -> String {
        let origin = self.origin().unwrap_or_default();
        let [upload, index, group] = addresses();
        let (scheme, address) = origin.split_once("://").unwrap_or(("http", &origin));
        let index = format!("--index-url {scheme}://__token__:TOKEN@{address}{index} PACKAGE");
        let twine = match self.gitlab {
            Some(_) => format!(
                "twine  twine upload --repository-url {origin}{upload} -u __token__ -p TOKEN dist/*\n"
            ),
            None => String::new(),
        };
        format!(
            "pip    pip install {index}
uv     uv pip install {index}
{twine}
ID is a project's number, or its path with %2F for each slash. For a group: {group}
"
        )
    }
}

/// Whether it stands for every address of the machine, which no client can call.
fn is_everywhere(url: &str) -> bool {
    url.contains("://0.0.0.0:") || url.contains("://[::]:")
}

/// The URL as a client of this machine can use it.
fn usable(url: &str) -> String {
    let url = url.replace("://0.0.0.0:", "://127.0.0.1:");
    url.replace("://[::]:", "://[::1]:")
}

/// Where a project takes uploads, its index, and a group's index.
fn addresses() -> [String; 3] {
    let scope = |kind| Scope::parse(kind, "ID");
    let (Some(project), Some(group)) = (scope(ScopeKind::Project), scope(ScopeKind::Group)) else {
        return Default::default();
    };
    let upload = Route::Upload {
        scope: project.clone(),
    };
    [
        upload,
        Route::Page(PageRef::index(project)),
        Route::Page(PageRef::index(group)),
    ]
    .map(|route| route.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banner(urls: &[&str], public_url: &str) -> String {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        let beginning = Beginning {
            urls: &urls,
            public_url,
            gitlab: Some("https://gitlab.example/"),
            cache: Path::new("/cache"),
            configuration: "the defaults",
        };
        beginning.banner()
    }

    #[test]
    fn it_ends_with_the_status_page_and_names_no_address_that_cannot_be_called() {
        for (urls, public_url, status_page) in [
            (
                &["http://127.0.0.1:3141"][..],
                "",
                "http://127.0.0.1:3141/-/",
            ),
            (&["http://0.0.0.0:3141"], "", "http://127.0.0.1:3141/-/"),
            (
                &["http://[::]:3141", "http://0.0.0.0:80"],
                "",
                "http://[::1]:3141/-/",
            ),
            (
                &["http://0.0.0.0:3141"],
                "https://p.example/x/",
                "https://p.example/x/-/",
            ),
        ] {
            let text = banner(urls, public_url);
            assert!(text.trim_end().ends_with(status_page), "{text}");
            assert!(
                !text.contains("0.0.0.0") && !text.contains("[::]"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_path_of_a_socket_is_no_index() {
        let text = banner(&["unix:/run/larder.sock"], "");
        assert!(
            text.starts_with("larder ") && !text.contains("pip install"),
            "{text}"
        );
    }
}
