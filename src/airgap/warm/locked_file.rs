//! Which file of a page a lock file means: by its sha256, else by its name. Pure.
//!
//! uv writes a wheel's name into pylock.toml in normalised form, whatever the index calls the file;
//! other tools write none, or what a download was called. So the bytes count first, then the last
//! segment of the URL, then what is left of a name when its spelling is taken away. Must not know
//! pages.

use super::page::PageFile;
use crate::airgap::wanted::NamedFile;
use crate::values::digest::Digest;

/// Why no file of the pages is it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfound {
    Name,
    /// One of this name has another sha256.
    Sha256(Digest),
}

/// The names that a file may have.
struct Names<'n> {
    written: &'n str,
    of_url: Option<String>,
    plain: String,
}

/// How a page's name is compared with them, the surest first.
const WAYS: [fn(&Names<'_>, &str) -> bool; 3] = [
    |names, listed| listed == names.written,
    |names, listed| names.of_url.as_deref() == Some(listed),
    |names, listed| plain(listed) == names.plain,
];

/// The file among those of all pages.
pub fn find<'l>(
    named: &NamedFile,
    listed: impl Iterator<Item = &'l PageFile> + Clone,
) -> Result<&'l PageFile, Unfound> {
    let names = Names {
        written: &named.filename,
        of_url: named.url_filename(),
        plain: plain(&named.filename),
    };
    let by_name = |agrees: &dyn Fn(&PageFile) -> bool| {
        for way in WAYS {
            let mut listed = listed.clone();
            let found = listed.find(|file| agrees(file) && way(&names, &file.filename));
            if found.is_some() {
                return found;
            }
        }
        None
    };
    let any = by_name(&|_| true);
    let Some(sha256) = named.sha256 else {
        return any.ok_or(Unfound::Name);
    };
    let has_it = |file: &PageFile| file.sha256 == Some(sha256);
    let found = by_name(&has_it)
        .or_else(|| listed.clone().find(|file| has_it(file)))
        // Without a sha256 on the page, the body's own is compared when it was read.
        .or_else(|| by_name(&|file| file.sha256.is_none()));
    match (found, any) {
        (Some(file), _) => Ok(file),
        (None, Some(other)) => Err(other.sha256.map_or(Unfound::Name, Unfound::Sha256)),
        (None, None) => Err(Unfound::Name),
    }
}

/// Without case, and with one sign for `-`, `_` and `.`, as PEP 503 normalises a project's name.
fn plain(filename: &str) -> String {
    let mut out = String::with_capacity(filename.len());
    for c in filename.chars() {
        match c {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            other => out.extend(other.to_lowercase()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::page::MetadataOffer;
    use super::*;

    fn digest(number: u8) -> Digest {
        Digest::parse(&format!("{number:064x}")).unwrap()
    }

    fn listed(filename: &str, sha256: Option<u8>) -> PageFile {
        PageFile {
            filename: filename.to_owned(),
            version: None,
            route: None,
            sha256: sha256.map(digest),
            size: None,
            requires_python: None,
            is_yanked: false,
            uploaded: None,
            metadata: MetadataOffer::Absent,
        }
    }

    fn found(
        filename: &str,
        url: &str,
        sha256: Option<u8>,
        page: &[PageFile],
    ) -> Result<String, Unfound> {
        let url = url::Url::parse(url).ok();
        let named = NamedFile {
            filename: filename.to_owned(),
            sha256: sha256.map(digest),
            size: None,
            url,
        };
        find(&named, page.iter()).map(|file| file.filename.clone())
    }

    #[test]
    fn the_digest_counts_then_the_url_then_the_name_without_its_spelling() {
        let page = [
            listed("MarkupSafe-3.0.2-cp312-cp312-win32.whl", Some(1)),
            listed("other-1.tar.gz", Some(2)),
            listed("Bare_Name-1.0.tar.gz", None),
        ];
        let uv = "markupsafe-3.0.2-cp312-cp312-win32.whl";
        let ok = |name: &str| Ok(name.to_owned());
        assert_eq!(found(uv, "", Some(1), &page), ok(&page[0].filename));
        assert_eq!(found(uv, "", None, &page), ok(&page[0].filename));
        assert_eq!(
            found("download", "", Some(2), &page),
            ok("other-1.tar.gz"),
            "by its bytes alone"
        );
        assert_eq!(
            found(
                "download",
                "https://files.example/a/other-1.tar.gz",
                None,
                &page
            ),
            ok("other-1.tar.gz")
        );
        assert_eq!(
            found("bare.name-1.0.tar.gz", "", Some(7), &page),
            ok("Bare_Name-1.0.tar.gz"),
            "compared later"
        );
        assert_eq!(
            found(uv, "", Some(9), &page),
            Err(Unfound::Sha256(digest(1)))
        );
        assert_eq!(
            found("absent-1.tar.gz", "", Some(9), &page),
            Err(Unfound::Name)
        );
        let twins = [listed("a-1.zip", Some(3)), listed("b-1.zip", Some(3))];
        assert_eq!(
            found("b-1.zip", "", Some(3), &twins),
            ok("b-1.zip"),
            "its own name before another's"
        );
    }
}
