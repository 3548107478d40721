//! The promise of the room, on pages as they are, as they may be, and as they must not be.

use std::error::Error;
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

type Failure = Box<dyn Error>;

const PAGE: &str = "https://gitlab.example.com/api/v4/projects/42/packages/pypi/simple/my-pkg";
const HOST: &str = "https://gitlab.example.com";

/// What the tests do: the origin of one host goes, and so does every file whose name says so.
fn decide(entry: &Entry<'_>) -> Decision {
    if entry.name.starts_with("drop") {
        Decision::Drop
    } else if entry.url.host_str() == Some("gitlab.example.com") {
        Decision::Replace(Replacement {
            address: entry.url.path().to_owned(),
            markable: true,
            ..Replacement::default()
        })
    } else {
        Decision::Keep
    }
}

fn reader(subject: PageSubject) -> Result<JsonReader, Failure> {
    Ok(JsonReader::new(
        subject,
        Url::parse(PAGE)?,
        Passage::InKind,
        Box::new(|entry, _| decide(entry)),
    ))
}

fn project() -> Result<PageSubject, Failure> {
    Ok(PageSubject::Project(ProjectName::parse("my-pkg")?))
}

fn read<'a>(
    subject: PageSubject,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(String, PageEnd), Failure> {
    let mut reader = reader(subject)?;
    let mut out = Vec::new();
    for chunk in chunks {
        reader.write(chunk)?;
        out.extend_from_slice(&reader.take_output());
    }
    let mut read = reader.finish()?;
    out.extend_from_slice(&read.out.take());
    Ok((String::from_utf8(out)?, read))
}

fn text(page: &str) -> Result<String, Failure> {
    Ok(read(project()?, [page.as_bytes()])?.0)
}

#[test]
fn a_gitlab_page_changes_in_its_links_only() -> Result<(), Failure> {
    let page = r#"{"meta":{"api-version":"1.1"},"name":"my-pkg","files":[{"filename":"a.whl","url":"HOST/f/a.whl#sha256=ab","hashes":{"sha256":"ab"},"requires-python":">=3","size":1e2},
        {"url" : "HOST/f/b.whl", "filename":"b.whl" , "_x":{"url":"HOST/u"}}],"versions":["1.0"], "_private":[{"url":"HOST/f"}]}
"#;
    let expected = page
        .replace("HOST/f/a.whl", "/f/a.whl")
        .replace("HOST/f/b.whl", "/f/b.whl");
    let host = |page: &str| page.replace("HOST", HOST);
    let (out, read) = read(project()?, [host(page).as_bytes()])?;
    assert_eq!(out, host(&expected));
    assert_eq!(read.facts.version.as_deref(), Some("1.1"));
    assert_eq!(read.out.insertion_points.len(), 2);
    for mark in read.out.insertion_points {
        let mark = usize::try_from(mark)?;
        let behind_link = [".whl\"", ".whl#sha256=ab\""]
            .iter()
            .any(|end| out[..mark].ends_with(end));
        assert!(
            behind_link && out[mark..].starts_with([',']),
            "{}",
            &out[..mark]
        );
    }
    Ok(())
}

#[test]
fn elements_leave_with_one_comma() -> Result<(), Failure> {
    let table = [
        ("[ D ]", "[  ]"),
        ("[D,K]", "[K]"),
        ("[ D , K ]", "[ K ]"),
        ("[K ,\n D]", "[K]"),
        ("[K , D , K]", "[K , K]"),
        ("[ D, D ,D , K ,D, K , D ]", "[ K, K ]"),
        ("[K, K ]", "[K, K ]"),
        ("[]", "[]"),
        ("[ ]", "[ ]"),
    ];
    let page = |list: &str| {
        let list = list.replace('D', r#"{"filename":"drop","url":"x"}"#);
        let list = list.replace(
            'K',
            r#"{"filename":"keep","url":"https://files.example/x"}"#,
        );
        format!("\u{feff} {{\"files\":{list},\"meta\":{{\"api-version\":\"1.0\"}}}} ")
    };
    for (before, after) in table {
        assert_eq!(text(&page(before))?, page(after), "{before}");
    }
    Ok(())
}

#[test]
fn an_index_loses_what_is_dropped_and_nothing_else() -> Result<(), Failure> {
    let page = r#"{"meta":{"_last-serial":1,"api-version":"1.0"},"projects":[{"name":"A.b","_last-serial":2},{"name":"drop-me"},
        {"name":"é/é"}],"name":"","files":1}"#;
    let (out, read) = read(PageSubject::Index, [page.as_bytes()])?;
    assert_eq!(out, page.replace(r#",{"name":"drop-me"}"#, ""));
    assert!(read.out.insertion_points.is_empty());
    Ok(())
}

#[test]
fn a_project_is_one_step_below_its_index() -> Result<(), Failure> {
    for (page, name, expected) in [
        (
            "https://index.example/simple",
            "A._b",
            "https://index.example/simple/a-b/",
        ),
        (
            "https://index.example/simple/?x=1",
            "c",
            "https://index.example/simple/c/",
        ),
        (
            "https://index.example/simple/",
            "d/../e",
            "https://index.example/simple/d%2F..%2Fe/",
        ),
    ] {
        assert_eq!(
            below(&Url::parse(page)?, name).map(String::from).as_deref(),
            Some(expected)
        );
    }
    Ok(())
}

#[test]
fn status_is_read_at_any_place() -> Result<(), Failure> {
    let page = r#"{"files":[],"project-status":{"reason":"why","status":"archived","x":1},"meta":{"api-version":"1.4"}}"#;
    let (_, read) = read(project()?, [page.as_bytes()])?;
    let status = read.facts.status.ok_or("no status")?;
    assert_eq!(
        (status.status.as_str(), status.reason.as_deref()),
        ("archived", Some("why"))
    );
    Ok(())
}

#[test]
fn what_is_no_page_is_refused_in_words() -> Result<(), Failure> {
    let file = r#"{"filename":"a","url":"b"}"#;
    let table = [
        (String::new(), "the page was cut short"),
        (
            "<html>".to_owned(),
            "the page is no JSON: expected an object at byte 0",
        ),
        (
            "\u{feff}[]".to_owned(),
            "the page is no JSON: expected an object at byte 3",
        ),
        ("{}".to_owned(), "the page has no \"meta\""),
        (
            r#"{"meta":{"api-version":"1.0"}}"#.to_owned(),
            "the page has no \"files\"",
        ),
        (r#"{"files":[]}"#.to_owned(), "the page has no \"meta\""),
        (
            r#"{"meta":{"api-version":"2.0"},"files":[]}"#.to_owned(),
            "the page is of version \"2.0\", which is not known",
        ),
        (
            r#"{"meta":{"api-version":"one"},"files":[]}"#.to_owned(),
            "the page is of version \"one\", which is not known",
        ),
        (
            r#"{"files":{}}"#.to_owned(),
            "the page is no JSON: expected a list at byte 9",
        ),
        (
            r#"{"files":[],"f\u0069les":[]}"#.to_owned(),
            "the page has \"files\" twice",
        ),
        (
            r#"{"meta":{"api-version":"1.0"},"files":[]} x"#.to_owned(),
            "the page is no JSON: expected the end at byte 42",
        ),
        (
            r#"{"files":[],}"#.to_owned(),
            "the page is no JSON: expected a key at byte 12",
        ),
        (
            format!(r#"{{"files":[{file},]}}"#),
            "the page is no JSON: expected a value at byte 37",
        ),
        (
            r#"{"message":"404 Not Found"}"#.to_owned(),
            "the page has no \"meta\"",
        ),
        (
            r#"{"x":[1,}"#.to_owned(),
            "the page is no JSON: expected a value at byte 8",
        ),
    ];
    for (page, words) in table {
        let error = text(&page).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(words), "{page}");
    }
    Ok(())
}

#[test]
fn what_is_no_entry_is_left_out_and_told() -> Result<(), Failure> {
    let page = |subject: &PageSubject, list: &str| {
        let key = if *subject == PageSubject::Index {
            "projects"
        } else {
            "files"
        };
        format!(r#"{{"meta":{{"api-version":"1.0"}},"{key}":[{list}]}}"#)
    };
    let kept = r#"{"filename":"a","url":"https://files.example/b"}"#;
    let files = [
        "1",
        "[]",
        r#"{"filename":"demo-0.1.tar.gz","hashes":{}}"#,
        r#"{"filename":"a","url":null}"#,
        r#"{"url":"a"}"#,
        r#"{"filename":"a","url":"b","url":"c"}"#,
        r#"{"filename":"\ud800","url":"b"}"#,
    ];
    let projects = ["1", "{}", r#"{"name":1}"#];
    let of_project = files.map(|entry| (project().map(|subject| (subject, kept)), entry));
    let of_index = projects.map(|entry| (Ok((PageSubject::Index, r#"{"name":"a"}"#)), entry));
    for (subject, entry) in of_project.into_iter().chain(of_index) {
        let (subject, kept) = subject?;
        for list in [
            format!("{entry},{kept}"),
            format!("{kept},{entry}"),
            format!("{entry},{kept},{entry}"),
        ] {
            let (out, read) = read(subject.clone(), [page(&subject, &list).as_bytes()])?;
            assert_eq!(out, page(&subject, kept), "{list}");
            assert_eq!(
                read.left_out.entries,
                list.matches(entry).count() as u64,
                "{list}"
            );
            assert!(
                read.left_out
                    .first
                    .is_some_and(|first| first.starts_with("entry ")),
                "{list}"
            );
        }
        assert_eq!(
            read(subject.clone(), [page(&subject, entry).as_bytes()])?.0,
            page(&subject, "")
        );
    }
    Ok(())
}

#[test]
fn everything_has_a_limit() -> Result<(), Failure> {
    let mut long = reader(project()?)?;
    long.write(br#"{"files":[{"filename":""#)?;
    let failed = (0..20).find_map(|_| long.write(&[b'x'; 64 << 10]).err());
    assert!(matches!(failed, Some(JsonError::LongEntry)), "{failed:?}");

    let mut blank = reader(project()?)?;
    blank.write(br#"{"files":[{"filename":"a","url":"b"}"#)?;
    assert!(matches!(
        blank.write(&[b' '; SEPARATOR_BYTES_MAX + 1]),
        Err(JsonError::LongSeparator)
    ));

    let mut meta = reader(project()?)?;
    meta.write(br#"{"meta":""#)?;
    assert!(matches!(
        meta.write(&[b'x'; VALUE_BYTES_MAX]),
        Err(JsonError::LongValue("meta"))
    ));
    Ok(())
}

/// What is held does not grow with the page, and what came in goes out.
#[test]
fn a_long_index_streams() -> Result<(), Failure> {
    let mut reader = reader(PageSubject::Index)?;
    reader.write(br#"{"meta":{"api-version":"1.0"},"_x":""#)?;
    for _ in 0..100 {
        reader.write(&[b'x'; 10_000])?;
        assert!(reader.take_output().len() >= 10_000);
    }
    reader.write(br#"","projects":["#)?;
    let mut chunk = String::new();
    for number in 0..20_000 {
        chunk.clear();
        write!(
            chunk,
            "{}{{\"name\":\"project-{number}\"}}",
            if number == 0 { "" } else { "," }
        )?;
        reader.write(chunk.as_bytes())?;
        assert!(reader.take_output().len() + 1 >= chunk.len());
        assert!(reader.held.capacity() + reader.separator.capacity() < 4096);
    }
    reader.write(b"]}")?;
    reader.finish()?;
    Ok(())
}

/// A page as written, and what must become of it.
type Piece = (String, String);

fn white() -> impl Strategy<Value = &'static str> {
    select(&["", "", " ", "\n", "\t\r\n  "][..])
}

fn scalar() -> impl Strategy<Value = String> {
    let fixed = select(
        &[
            "null",
            "true",
            "-0",
            "1e+400",
            "123456789012345678901234567890.5E-3",
            "\"\\ud83d\\ude00\\/\"",
            "\"\"",
        ][..],
    );
    prop_oneof![
        fixed.prop_map(str::to_owned),
        ".{0,8}".prop_map(|text| quoted(&text)),
        Just(format!("\"{HOST}/untouched\"")),
    ]
}

fn value() -> impl Strategy<Value = String> {
    scalar().prop_recursive(3, 12, 4, |inner| {
        let item = (white(), inner, white())
            .prop_map(|(a, value, b)| format!("{a}{value}{b}"))
            .boxed();
        let array = prop::collection::vec(item.clone(), 0..4)
            .prop_map(|items| format!("[{}]", items.join(",")));
        let pair = (
            select(&["url", "filename", "files", "", "\\u00e9\\\"", "meta"][..]),
            white(),
            item,
        )
            .prop_map(|(key, blank, value)| format!("{blank}\"{key}\"{blank}:{value}"));
        let object =
            prop::collection::vec(pair, 1..4).prop_map(|pairs| format!("{{{}}}", pairs.join(",")));
        prop_oneof![array, object]
    })
}

fn unknown() -> impl Strategy<Value = (String, String)> {
    (
        select(
            &[
                "_x",
                "y",
                "Url",
                "\\u0075rls",
                "versions",
                "file\\\\name",
                "tracks",
            ][..],
        ),
        value(),
    )
        .prop_map(|(key, value)| (format!("\"{key}\""), value))
}

fn address() -> impl Strategy<Value = (&'static str, Option<&'static str>)> {
    select(
        &[
            (
                "https://gitlab.example.com/f/a+b%2B.whl",
                Some("/f/a+b%2B.whl"),
            ),
            (
                "https:\\/\\/gitlab.example.com\\/f\\u002fé.whl",
                Some("/f/%C3%A9.whl"),
            ),
            (
                "https://gitlab.example.com/f#sha256=ab",
                Some("/f#sha256=ab"),
            ),
            ("../x", Some("/api/v4/projects/42/packages/pypi/x")),
            ("https://files.example/a\\\"b#c", None),
            ("http://[", None),
            ("mailto:a", None),
        ][..],
    )
}

/// An element; nothing must become of one that is dropped.
fn element() -> impl Strategy<Value = (String, Option<String>)> {
    let name = select(&["\"a.whl\"", "\"\\u0064rop\"", "\"é \\\" \\\\\""][..]);
    (
        address(),
        name,
        prop::collection::vec(unknown(), 0..3),
        any::<Index>(),
        white(),
        white(),
    )
        .prop_map(|((before, after), name, others, at, a, b)| {
            let written = |url: &str| {
                let mut pairs = others.clone();
                pairs.insert(
                    at.index(pairs.len() + 1),
                    ("\"filename\"".to_owned(), name.to_owned()),
                );
                pairs.insert(
                    at.index(pairs.len() + 1),
                    ("\"u\\u0072l\"".to_owned(), url.to_owned()),
                );
                let pairs: Vec<_> = pairs
                    .iter()
                    .map(|(key, value)| format!("{a}{key}{b}:{a}{value}{b}"))
                    .collect();
                format!("{{{}}}", pairs.join(","))
            };
            let before = format!("\"{before}\"");
            let is_dropped = name.contains("0064") && !before.contains("http://[");
            let after = after.map_or_else(|| before.clone(), |after| format!("\"{after}\""));
            (written(&before), (!is_dropped).then(|| written(&after)))
        })
}

fn page() -> impl Strategy<Value = Piece> {
    let list = prop::collection::vec((element(), white(), white()), 0..5);
    let bom = select(&["", "\u{feff}"][..]);
    (
        list,
        prop::collection::vec(unknown(), 0..3),
        any::<Index>(),
        any::<Index>(),
        bom,
        white(),
    )
        .prop_map(|(list, others, one, other, bom, blank)| {
            let written = |list: String| {
                let mut pairs = others.clone();
                pairs.insert(one.index(pairs.len() + 1), ("\"files\"".to_owned(), list));
                let meta = "{\"api-version\" : \"1.9\", \"_\":[1]}".to_owned();
                pairs.insert(
                    other.index(pairs.len() + 1),
                    ("\"\\u006deta\"".to_owned(), meta),
                );
                let pairs: Vec<_> = pairs
                    .iter()
                    .map(|(key, value)| format!("{blank}{key}:{blank}{value}{blank}"))
                    .collect();
                format!("{bom}{blank}{{{}}}{blank}", pairs.join(","))
            };
            let before: Vec<_> = list
                .iter()
                .map(|((raw, _), a, b)| format!("{a}{raw}{b}"))
                .collect();
            // What stands before a comma belongs to the separator of the next element.
            let mut after = String::from("[");
            let mut any_kept = false;
            let mut left = "";
            for (number, ((_, kept), a, b)) in list.iter().enumerate() {
                let separator = if number == 0 {
                    (*a).to_owned()
                } else {
                    format!("{left},{a}")
                };
                if number == 0 || (any_kept && kept.is_some()) {
                    after.push_str(&separator);
                }
                if let Some(kept) = kept {
                    after.push_str(kept);
                    any_kept = true;
                }
                left = b;
            }
            after.push_str(left);
            after.push(']');
            (written(format!("[{}]", before.join(","))), written(after))
        })
}

fn fail(error: impl std::fmt::Display) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn only_links_change_however_the_page_is_cut((before, after) in page(), cuts in prop::collection::vec(any::<Index>(), 0..8)) {
        let (whole, first) = read(project().map_err(fail)?, [before.as_bytes()]).map_err(fail)?;
        prop_assert_eq!(&whole, &after);
        let bytes = before.as_bytes();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
        for chunks in [pieces, bytes.chunks(1).collect()] {
            let (out, other) = read(project().map_err(fail)?, chunks).map_err(fail)?;
            prop_assert_eq!(&out, &after);
            prop_assert_eq!(&other.out.insertion_points, &first.out.insertion_points);
        }
    }

    #[test]
    fn a_page_that_ends_early_is_an_error((page, _) in page(), cut in any::<Index>()) {
        let whole = page.trim_end();
        let read = read(project().map_err(fail)?, [&whole.as_bytes()[..cut.index(whole.len())]]);
        prop_assert!(read.is_err());
    }

    #[test]
    fn no_bytes_make_it_panic((page, _) in page(), at in any::<Index>(), byte: u8, step in 1..50_usize) {
        let mut page = page.into_bytes();
        let at = at.index(page.len());
        page[at] = byte;
        if let Ok((out, _)) = read(project().map_err(fail)?, page.chunks(step)) {
            let read: Result<serde_json::Value, _> = serde_json::from_str(out.trim_start_matches('\u{feff}'));
            // Numbers beyond all measure are text to us and an error to serde, as are half
            // surrogates.
            prop_assert!(read.is_ok() || out.contains("e+400") || out.contains("\\u"), "{}", out);
        }
    }
}
