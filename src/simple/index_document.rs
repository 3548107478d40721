//! The document that a web server gives for a folder.
//!
//! Owns the names of it: generators of static indexes link to `NAME/index.html`, which is the page
//! of `NAME`. Must not know what a path leads to.

const DOCUMENTS: [&str; 3] = ["index.html", "index.htm", "index.json"];

/// The path of the folder, if this is that of its document; otherwise the same.
pub fn without_index_document(path: &str) -> &str {
    let (folder, last) = path.split_at(path.rfind('/').map_or(0, |slash| slash + 1));
    for document in DOCUMENTS {
        if last.eq_ignore_ascii_case(document) {
            return folder;
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_told_from_its_document() {
        for (path, folder) in [
            ("/simple/six/index.html", "/simple/six/"),
            ("six/INDEX.HTM", "six/"),
            ("index.html", ""),
            ("/simple/six/", "/simple/six/"),
            ("/simple/index.html/", "/simple/index.html/"),
            ("/simple/six.html", "/simple/six.html"),
            ("six", "six"),
            ("", ""),
        ] {
            assert_eq!(without_index_document(path), folder, "{path}");
        }
    }
}
