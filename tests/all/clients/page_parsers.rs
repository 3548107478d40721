//! Pages through larder, read by pip's own parser, by `pypi-simple` and by uv: the same files, in
//! the same order, with the same facts as on the original.

use crate::support::corpus::{self, Specimen};
use crate::support::oracle::{Case, Sight, judge};
use crate::support::{Larder, Outcome, PublicIndex, Workbench};

/// Where larder finds the pages: GitLab's address grammar, or any index configured as a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    GitLab,
    Mirror,
}

const BOTH: [&str; 2] = [corpus::HTML, corpus::JSON];

/// An index that answers with the corpus, and a larder in front of it.
struct Pair {
    upstream: PublicIndex,
    larder: Larder,
    way: Way,
}

impl Pair {
    fn start(way: Way) -> Self {
        match way {
            Way::GitLab => {
                let upstream = PublicIndex::builder()
                    .at("/api/v4/projects/42/packages/pypi/simple/")
                    .files_in("files")
                    .set(|settings| settings.redirects = false)
                    .start();
                let larder = Larder::in_front_of(upstream.origin())
                    .sections("[index]\nttl = \"0s\"")
                    .start();
                Self {
                    upstream,
                    larder,
                    way,
                }
            }
            Way::Mirror => {
                let upstream = PublicIndex::start();
                let lines = "ttl = \"0s\"";
                // Its GitLab is never asked.
                let larder = Larder::in_front_of(upstream.origin())
                    .sections(&format!(
                        "[mirrors.pypi]\nurl = {:?}\nfile_urls = [\"{}/\", \"{}/\"]\n{lines}",
                        upstream.url(),
                        upstream.files_origin(),
                        upstream.origin()
                    ))
                    .start();
                Self {
                    upstream,
                    larder,
                    way,
                }
            }
        }
    }

    /// Of the index, at larder.
    fn path(&self) -> &'static str {
        match self.way {
            Way::GitLab => "/api/v4/projects/42/packages/pypi/simple/",
            Way::Mirror => "/pypi/simple/",
        }
    }

    /// Each prefix that larder serves, with the one it stands for.
    fn prefixes(&self) -> Vec<(String, String)> {
        let (larder, index) = (self.larder.url(), self.upstream.origin());
        match self.way {
            // GitLab writes whole URLs. A relative link, which is none of its addresses, becomes
            // whole.
            Way::GitLab => vec![(format!("{larder}/"), format!("{index}/"))],
            // Files of the first host lie below the mirror's name, those of the second below a
            // place of its own.
            Way::Mirror => vec![
                (format!("{larder}/pypi/simple/"), self.upstream.url()),
                (
                    format!(
                        "{larder}/pypi/~{}/",
                        index.trim_start_matches("http://").replace(':', "~")
                    ),
                    format!("{index}/"),
                ),
                (
                    format!("{larder}/pypi/"),
                    format!("{}/", self.upstream.files_origin()),
                ),
            ],
        }
    }

    /// Prefixes of the original whose files come through larder.
    fn served(&self) -> Vec<String> {
        match self.way {
            Way::GitLab => {
                vec![format!(
                    "{}/api/v4/projects/42/packages/pypi/files/",
                    self.upstream.origin()
                )]
            }
            Way::Mirror => [self.upstream.origin(), self.upstream.files_origin()]
                .map(|origin| format!("{origin}/"))
                .into(),
        }
    }

    fn publish(&self, specimen: &Specimen) -> Vec<u8> {
        let body = specimen.at(self.upstream.origin(), self.upstream.files_origin());
        self.upstream
            .serve_verbatim(page_of(specimen), specimen.content_type, body.clone());
        body
    }

    /// The page as published, and as larder gives it to those who ask for each of these types.
    fn look_at(&self, specimen: &Specimen, types: &[&str]) -> Case {
        let body = self.publish(specimen);
        let name = page_of(specimen);
        let tail = if name.is_empty() {
            String::new()
        } else {
            format!("{name}/")
        };
        let original = Sight {
            label: "published".to_owned(),
            url: format!("{}{tail}", self.upstream.url()),
            content_type: specimen.content_type.to_owned(),
            body,
            prefixes: Vec::new(),
            served: self.served(),
        };
        let seen = self.seen(&tail, types);
        Case {
            name: specimen.name.clone(),
            is_index: specimen.is_index(),
            seen,
            original,
        }
    }

    /// The page at this place below the index, as larder gives it to those who ask for each of
    /// these types.
    fn seen(&self, tail: &str, types: &[&str]) -> Vec<Sight> {
        let look = |wanted: &&str| {
            let path = format!("{}{tail}", self.path());
            let accept = wanted.split(';').next().unwrap_or_default();
            let reply = self.larder.client().get_with(&path, &[("Accept", accept)]);
            assert_eq!(
                reply.status, 200,
                "{:?} {tail} as {accept}: {reply:?}",
                self.way
            );
            let content_type = reply.header("Content-Type").unwrap_or_default().to_owned();
            assert_eq!(
                content_type.split(';').next(),
                Some(accept),
                "{:?} {tail}",
                self.way
            );
            Sight {
                label: format!("{:?} {accept}", self.way),
                url: format!("{}{path}", self.larder.url()),
                content_type,
                body: reply.body,
                prefixes: self.prefixes(),
                served: self.served(),
            }
        };
        types.iter().map(look).collect()
    }
}

/// The name by which a specimen is asked for: nothing for an index.
fn page_of(specimen: &Specimen) -> &str {
    if specimen.is_index() {
        ""
    } else {
        &specimen.name
    }
}

fn assert_the_same(way: Way, specimens: &[Specimen], types: &[&str]) {
    let pair = Pair::start(way);
    let cases: Vec<Case> = specimens
        .iter()
        .map(|specimen| pair.look_at(specimen, types))
        .collect();
    let verdict = judge(&cases);
    assert!(
        verdict.differences.is_empty(),
        "{} differences:\n{}",
        verdict.differences.len(),
        verdict.differences.join("\n")
    );
    assert!(
        verdict.compared > 10_000,
        "only {} comparisons",
        verdict.compared
    );
    assert!(verdict.unread.is_empty(), "{:#?}", verdict.unread);
}

#[test]
fn pages_of_gitlab_read_the_same_in_both_formats() {
    assert_the_same(Way::GitLab, &Specimen::all(), &BOTH);
}

#[test]
fn pages_of_a_mirror_read_the_same_in_both_formats() {
    assert_the_same(Way::Mirror, &Specimen::all(), &BOTH);
}

/// An entry that no reader can use is no entry: what is left is read as if it had never been there.
#[test]
fn a_page_with_an_unusable_entry_reads_as_without_it() {
    for way in [Way::GitLab, Way::Mirror] {
        let pair = Pair::start(way);
        let all = Specimen::all();
        let specimen = all
            .iter()
            .find(|page| page.name == "public-index" && page.is_json());
        let mut case = pair.look_at(specimen.expect("a page of the corpus"), &[]);
        let text = String::from_utf8(case.original.body.clone()).expect("UTF-8");
        let damaged = text.replacen(
            "\"files\":[",
            "\"files\":[{\"filename\":\"x-1.tar.gz\",\"hashes\":{}},",
            1,
        );
        assert_ne!(text, damaged);
        pair.upstream
            .serve_verbatim("public-index", case.original.content_type.as_str(), damaged);
        case.seen = pair.seen("public-index/", &BOTH);
        let verdict = judge(&[case]);
        assert!(
            verdict.differences.is_empty() && verdict.unread.is_empty(),
            "{verdict:#?}"
        );
        assert!(verdict.compared > 10, "{verdict:#?}");
    }
}

/// Each of these is one fact less or one fact wrong; an oracle that lets one pass is of no use.
#[test]
fn the_oracle_notices_whatever_is_damaged() {
    let sight = |specimen: &Specimen, body: Vec<u8>| Sight {
        label: "damaged".to_owned(),
        url: format!("https://index.example/simple/{}/", specimen.name),
        content_type: specimen.content_type.to_owned(),
        body,
        prefixes: Vec::new(),
        served: Vec::new(),
    };
    let all = Specimen::all();
    let damages = [
        ("public-index", false, "&gt;=3.9", "&gt;=3.8"),
        ("public-index", false, " data-yanked=\"\"", ""),
        (
            "public-index",
            false,
            "-4.0.0.tar.gz#sha256=",
            "-4.0.0.tar.gz#sha512=",
        ),
        (
            "public-index",
            false,
            "data-core-metadata=\"sha256=",
            "data-core-metadata=\"sha256=0",
        ),
        (
            "public-index",
            false,
            "content=\"active\"",
            "content=\"archived\"",
        ),
        ("public-index", false, "/integrity/", "/lost/"),
        ("public-index", false, "<br />", "<br/>"),
        ("yanked", false, "größer", "groesser"),
        ("sizes-and-times", false, "14382", "14383"),
        ("gitlab", false, "1.2.0-py3", "1.2.1-py3"),
        (
            "gitlab",
            false,
            "data-requires-python=\"\"",
            "data-requires-python=\"&gt;=3\"",
        ),
        ("index-gitlab", false, ">other<", ">another<"),
        ("public-index", true, "\"yanked\":true", "\"yanked\":false"),
        ("public-index", true, "\"size\":1003", "\"size\":1004"),
        ("public-index", true, "05.678901Z", "05.678902Z"),
        (
            "public-index",
            true,
            "\"_last-serial\":25253043",
            "\"_last-serial\":25253044",
        ),
        (
            "public-index",
            true,
            "\"versions\":[\"1.0\",",
            "\"versions\":[",
        ),
        ("unknown-keys", true, "1E400", "1e400"),
        ("index-public", true, "zope.interface", "zope-interfaces"),
    ];
    let mut cases = Vec::new();
    for (number, (name, as_json, old, new)) in damages.into_iter().enumerate() {
        let specimen = all
            .iter()
            .find(|page| page.name == name && page.is_json() == as_json);
        let specimen = specimen.expect("a page of the corpus");
        let body = specimen.at("https://index.example", "https://files.example");
        let text = String::from_utf8(body.clone()).expect("UTF-8");
        let damaged = text.replacen(old, new, 1);
        assert_ne!(text, damaged, "{name} has no {old:?}");
        let case = Case {
            name: format!("damage {number}:"),
            is_index: specimen.is_index(),
            original: sight(specimen, body.clone()),
            seen: vec![sight(specimen, damaged.into_bytes())],
        };
        let whole = Case {
            name: "whole:".to_owned(),
            seen: vec![sight(specimen, body)],
            ..case.clone()
        };
        cases.extend([case, whole]);
    }
    let differences = judge(&cases).differences;
    for (number, damage) in damages.iter().enumerate() {
        let noticed = differences
            .iter()
            .any(|text| text.starts_with(&format!("damage {number}:")));
        assert!(noticed, "{damage:?}");
    }
    assert!(
        !differences.iter().any(|text| text.starts_with("whole:")),
        "{differences:#?}"
    );
}

/// Pages that uv refuses as published, or that leave it no file to choose.
const NOT_FOR_UV: [&str; 7] = [
    "byte-order-mark",
    "fragments",
    "gitlab-digests",
    "no-files",
    "spaces-in-links",
    "status-quarantined",
    "upload-time-null",
];

#[test]
fn uv_locks_the_same_files_of_gitlab() {
    for as_json in [false, true] {
        assert_uv_locks_the_same(Way::GitLab, as_json);
    }
}

#[test]
fn uv_locks_the_same_files_of_a_mirror() {
    for as_json in [false, true] {
        assert_uv_locks_the_same(Way::Mirror, as_json);
    }
}

/// uv's lock file names every file of a version with its address, digest, size and upload time.
fn assert_uv_locks_the_same(way: Way, as_json: bool) {
    let pair = Pair::start(way);
    let for_uv = |page: &Specimen| {
        !page.is_index() && page.is_json() == as_json && !NOT_FOR_UV.contains(&page.name.as_str())
    };
    let specimens: Vec<Specimen> = Specimen::all().into_iter().filter(for_uv).collect();
    for specimen in &specimens {
        pair.publish(specimen);
    }
    let through = format!("{}{}", pair.larder.url(), pair.path());
    let [direct, mut ours] = [&pair.upstream.url(), &through].map(|index| lock(index, &specimens));
    for (prefix, original) in pair.prefixes() {
        ours = ours.replace(&prefix, &original);
    }
    assert!(
        direct.matches("url = ").count() > specimens.len(),
        "{direct}"
    );
    // uv writes down the dot segments of a link as they are, and its query; larder's links have
    // none.
    let mut direct = direct.replace("/packages/x/../g/", "/packages/g/");
    if way == Way::Mirror {
        for query in ["?signature=a%2Bb&x=1", "?redirect=&X-Sig=a%2Fb%3D"] {
            direct = direct.replace(query, "");
        }
    }
    let differences: Vec<(&str, &str)> = ours
        .lines()
        .zip(direct.lines())
        .filter(|(a, b)| a != b)
        .collect();
    assert!(
        differences.is_empty(),
        "{way:?}, JSON {as_json}: {differences:#?}"
    );
    assert_eq!(
        ours.lines().count(),
        direct.lines().count(),
        "{way:?}, JSON {as_json}"
    );
}

/// The lock file of a project that needs every specimen. Their dependencies are given, so that uv
/// reads pages only.
fn lock(index: &str, specimens: &[Specimen]) -> String {
    // What the project says of its index is the point.
    let user = Workbench::new().environment("UV_NO_CONFIG", "false");
    let names: Vec<&str> = specimens
        .iter()
        .map(|specimen| specimen.name.as_str())
        .collect();
    let mut project = format!(
        "[project]\nname = \"reader\"\nversion = \"0\"\nrequires-python = \">=3.11\"\ndependencies = {names:?}\n\
"
    );
    for name in names {
        project.push_str(&format!(
            "[[tool.uv.dependency-metadata]]\nname = {name:?}\nrequires-dist = []\n"
        ));
    }
    user.write("pyproject.toml", project);
    let locked: Outcome = user.uv(&["lock", "--default-index", index]);
    locked.expect_success();
    std::fs::read_to_string(user.folder().join("uv.lock")).expect("a lock file")
}
