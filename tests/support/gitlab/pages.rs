//! Simple index and package pages, byte for byte as GitLab's presenters write them.

use super::super::public_index::ProjectStatus;
use super::super::wheel::normalise;
use super::universe::{Package, StoredFile};

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const JSON: &str = "application/vnd.pypi.simple.v1+json; charset=utf-8";

/// An index: one link per package version. `prefix` is the registry's URL up to and with `pypi`.
pub(super) fn index_html(title: &str, prefix: &str, packages: &[&Package]) -> String {
    let links = packages.iter().map(|package| {
        let url = format!("{prefix}/simple/{}", normalise(&package.name));
        link(&url, &package.requires_python, &package.name)
    });
    document(title, links)
}

/// `packages` in the order of their ids; the first gives the page its name.
pub(super) fn package_html(prefix: &str, packages: &[&Package]) -> String {
    let title = packages.first().map_or("", |package| package.name.as_str());
    let links = files(packages).map(|(package, file)| {
        link(
            &file_url(prefix, file),
            &package.requires_python,
            &file.name,
        )
    });
    document(title, links)
}

pub(super) fn index_json(packages: &[&Package]) -> String {
    let mut names: Vec<String> = packages
        .iter()
        .map(|package| normalise(&package.name))
        .collect();
    names.sort_unstable();
    names.dedup();
    let projects: Vec<String> = names
        .iter()
        .map(|name| format!("{{\"name\":{}}}", quoted(name)))
        .collect();
    format!(
        "{{\"meta\":{{\"api-version\":\"1.0\"}},\"projects\":[{}]}}",
        projects.join(",")
    )
}

pub(super) fn package_json(prefix: &str, packages: &[&Package]) -> String {
    let name = packages
        .first()
        .map_or(String::new(), |package| normalise(&package.name));
    let files: Vec<String> = files(packages)
        .map(|(package, file)| {
            let requires = match package.requires_python.as_str() {
                "" => String::new(),
                specifier => format!(",\"requires-python\":{}", quoted(specifier)),
            };
            format!(
                "{{\"filename\":{},\"url\":{},\"hashes\":{{\"sha256\":{}}}{requires}}}",
                quoted(&file.name),
                quoted(&file_url(prefix, file)),
                quoted(&file.sha256),
            )
        })
        .collect();
    format!(
        "{{\"meta\":{{\"api-version\":\"1.0\"}},\"name\":{},\"files\":[{}]}}",
        quoted(&name),
        files.join(",")
    )
}

/// The page with what it says of the package as a whole, last.
pub(super) fn with_status_json(page: String, status: Option<&ProjectStatus>) -> String {
    let Some(status) = status else { return page };
    let reason = match &status.reason {
        Some(reason) => format!(",\"reason\":{}", quoted(reason)),
        None => String::new(),
    };
    let word = quoted(status.status);
    let open = page.strip_suffix('}').expect("an object");
    format!("{open},\"project-status\":{{\"status\":{word}{reason}}}}}")
}

pub(super) fn with_status_html(page: String, status: Option<&ProjectStatus>) -> String {
    let Some(status) = status else { return page };
    let meta = |name: &str, content: &str| {
        let content = escaped(content);
        format!("<meta name=\"pypi:project-status{name}\" content=\"{content}\">")
    };
    let mut metas = meta("", status.status);
    if let Some(reason) = &status.reason {
        metas += &meta("-reason", reason);
    }
    page.replacen("<head>", &format!("<head>{metas}"), 1)
}

/// Whether GitLab, which ignores q values, takes this `Accept` for JSON.
pub(super) fn wants_json(accept: Option<&str>) -> bool {
    accept
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .any(|entry| {
            entry.starts_with("application/vnd.pypi.simple.v1+json")
                || entry.starts_with("application/vnd.pypi.simple.latest+json")
        })
}

/// The public page of a package as the Dependency Firewall rewrites it.
pub(super) fn firewall_html(prefix: &str, public_files: &str, name: &str) -> String {
    let (sha, metadata) = ("3".repeat(64), "4".repeat(64));
    let file = format!("{name}-2.31.0.tar.gz");
    format!(
        "<!DOCTYPE html>\n<html>\n  <head>\n    <meta name=\"pypi:repository-version\" content=\"1.3\">\n    <title>Links for {name}</title>\n  \
         </head>\n  <body>\n    <h1>Links for {name}</h1>\n<a href=\"{prefix}/forward/{name}/{public_files}/packages/aa/{file}#sha256={sha}\" \
         data-requires-python=\"&gt;=3.7\" data-core-metadata=\"sha256={metadata}\">{file}</a><br />\n  </body>\n</html>\n"
    )
}

fn files<'a>(packages: &'a [&'a Package]) -> impl Iterator<Item = (&'a Package, &'a StoredFile)> {
    packages
        .iter()
        .flat_map(|package| package.files.iter().map(move |file| (*package, file)))
}

fn file_url(prefix: &str, file: &StoredFile) -> String {
    format!(
        "{prefix}/files/{sha}/{name}#sha256={sha}",
        sha = file.sha256,
        name = file.name
    )
}

fn link(url: &str, requires_python: &str, text: &str) -> String {
    format!(
        "<a href=\"{url}\" data-requires-python=\"{}\">{text}</a>",
        escaped(requires_python)
    )
}

fn document(title: &str, links: impl Iterator<Item = String>) -> String {
    let title = escaped(title);
    let links: String = links.collect();
    format!(
        "<!DOCTYPE html>
        <html>
          <head>
            <title>Links for {title}</title>
          </head>
          <body>
            <h1>Links for {title}</h1>
            {links}
          </body>
        </html>
"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
