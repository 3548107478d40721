//! What every page for people has around it: head, style, script, landmarks.
//!
//! Whatever is put into it as text is escaped; only the style, the script and what other templates
//! made go in as they are. Must not know what is shown.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::policy::{SCRIPT, STYLE};

/// A jar, so that no browser asks for an icon elsewhere.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect x='9' y='3' width='14' \
    height='5' rx='2' fill='%23b5833a'/%3E%3Crect x='6' y='9' width='20' height='20' rx='5' fill='%232f6b4f'/%3E%3Cpath d='M6 18h20' \
    stroke='%23fff' stroke-width='2'/%3E%3C/svg%3E";

/// `home` is the way to `/-/` from this page, relative, so that a prefix put on by a proxy in front
/// does not matter.
pub(super) fn frame(title: &str, home: &str, main: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href=(ICON);
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    p.brand { a href=(home) { "larder" } }
                    p.tagline { "A cache in front of GitLab’s Python packages" }
                }
                main #main { (main) }
                p #said .hidden role="status" {}
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}
