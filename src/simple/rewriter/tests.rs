//! Pages in the other format, there and back, and with metadata told at their insertion_points.

use std::error::Error;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::*;
use crate::simple::{FileFacts, ProjectName, Replacement, annotate};
use crate::values::digest::Digest;

type Failure = Box<dyn Error>;

const PAGE: &str = "https://index.example/simple/my-pkg/";
const SHA: &str = "abcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcd";

fn project() -> Result<PageSubject, Failure> {
    Ok(PageSubject::Project(ProjectName::parse("my-pkg")?))
}

fn keep(_: &Entry<'_>) -> Decision {
    Decision::Keep
}

/// What the tests do to entries of a page to be annotated.
fn mark(entry: &Entry<'_>) -> Decision {
    let address = format!("/m{}", entry.url.path());
    Decision::Replace(Replacement {
        address,
        markable: entry.core_metadata.is_none(),
        ..Replacement::default()
    })
}

struct Page {
    source: Format,
    target: Format,
    subject: PageSubject,
    step: usize,
}

impl Page {
    fn project(source: Format, target: Format) -> Result<Self, Failure> {
        Ok(Self {
            source,
            target,
            subject: project()?,
            step: usize::MAX,
        })
    }

    fn index(source: Format, target: Format) -> Self {
        Self {
            source,
            target,
            subject: PageSubject::Index,
            step: usize::MAX,
        }
    }

    fn pass(
        &self,
        page: &str,
        decide: fn(&Entry<'_>) -> Decision,
    ) -> Result<(String, Finished), Failure> {
        let url = Url::parse(if self.subject == PageSubject::Index {
            "https://index.example/simple/"
        } else {
            PAGE
        })?;
        let mut rewriter =
            Rewriter::new(self.source, self.target, self.subject.clone(), url, decide);
        let mut out = Vec::new();
        for piece in page.as_bytes().chunks(self.step.min(page.len()).max(1)) {
            rewriter.write(piece)?;
            out.extend_from_slice(&rewriter.take_output());
        }
        let finished = rewriter.finish()?;
        out.extend_from_slice(&finished.rest);
        Ok((String::from_utf8(out)?, finished))
    }
}

fn html(anchors: &str) -> String {
    format!("<html><head><title>Links for my-pkg</title></head><body>{anchors}</body></html>")
}

#[test]
fn html_becomes_json_with_every_fact() -> Result<(), Failure> {
    let page = html(&format!(
        "<meta name='pypi:repository-version' content='1.4'>\
         <meta name='pypi:project-status' content='archived'><meta name='pypi:project-status-reason' content='a &amp; b'>\
         <a href='../'>up</a><a href='?C=N'>sort</a><a href='#top'>top</a><a href='mailto:a@b'>mail</a>\
         <a href='/f/my_pkg-1.0%2Bx-py3-none-any.whl#sha256={SHA}' data-requires-python='&gt;=3.8' data-yanked data-gpg-sig=true \
            data-dist-info-metadata='sha256={SHA}' data-provenance='https://index.example/p?a=1&amp;b=2'>x</a>\
         <a href='https://files.example/my-pkg-1.0.tar.gz#md5=12' data-requires-python='' data-yanked='bad &quot;one&quot;'>x</a>\
         <a href='my-pkg-1.0-variants.json' data-core-metadata=true data-size=12 data-upload-time='2026-01-02T03:04:05.123456Z'>x</a>"
    ));
    let (out, finished) = Page::project(Format::Html, Format::Json)?.pass(&page, keep)?;
    let expected = serde_json::json!({
        "name": "my-pkg",
        "files": [
            {"filename": "my_pkg-1.0+x-py3-none-any.whl", "url": "https://index.example/f/my_pkg-1.0%2Bx-py3-none-any.whl",
             "hashes": {"sha256": SHA}, "requires-python": ">=3.8", "yanked": true, "gpg-sig": true,
             "core-metadata": {"sha256": SHA}, "provenance": "https://index.example/p?a=1&b=2"},
            {"filename": "my-pkg-1.0.tar.gz", "url": "https://files.example/my-pkg-1.0.tar.gz", "hashes": {"md5": "12"},
             "yanked": "bad \"one\""},
            {"filename": "my-pkg-1.0-variants.json", "url": "https://index.example/simple/my-pkg/my-pkg-1.0-variants.json",
             "hashes": {}, "core-metadata": true, "size": 12, "upload-time": "2026-01-02T03:04:05.123456Z"},
        ],
        "project-status": {"status": "archived", "reason": "a & b"},
        "meta": {"api-version": "1.0"},
    });
    assert_eq!(serde_json::from_str::<Value>(&out)?, expected);
    assert_eq!(
        finished.status.map(|status| status.status).as_deref(),
        Some("archived")
    );
    Ok(())
}

#[test]
fn sizes_of_all_files_make_version_1_1() -> Result<(), Failure> {
    let page = |last: &str| {
        html(&format!(
            "<a href=my_pkg-2.0-py3-none-any.whl data-size=1>x</a><a href=my_pkg-1.0.zip data-size=2>x</a>\
             <a href=my-pkg-2.0.tar.gz {last}>x</a><a href=other data-size=0>x</a>"
        ))
    };
    let read = |page: &str| -> Result<Value, Failure> {
        Ok(serde_json::from_str(
            &Page::project(Format::Html, Format::Json)?
                .pass(page, keep)?
                .0,
        )?)
    };
    let all = read(&page("data-size=3"))?;
    assert_eq!(all["meta"]["api-version"], "1.1");
    assert_eq!(all["versions"], serde_json::json!(["2.0", "1.0"]));
    for some in [
        read(&page(""))?,
        read(&page("data-size=x"))?,
        read(&html(""))?,
    ] {
        assert_eq!(some["meta"]["api-version"], "1.0");
        assert_eq!(some.get("versions"), None);
    }
    Ok(())
}

#[test]
fn json_becomes_html_with_every_fact() -> Result<(), Failure> {
    let page = format!(
        r#"{{"name":"my-pkg","files":[
            {{"filename":"a&b.whl","url":"/f/a&b.whl#x","hashes":{{"md5":"12","sha256":"{SHA}"}},"requires-python":">=3","yanked":"\"<why>\"",
              "core-metadata":{{"sha256":"{SHA}"}},"gpg-sig":false,"provenance":"https://index.example/p","size":7,"upload-time":"2026-01-02T03:04:05Z"}},
            {{"filename":"drop.whl","url":"d","hashes":{{}}}},
            {{"filename":"c.whl","url":"c.whl","hashes":{{}},"requires-python":null,"yanked":false,"core-metadata":false,"upload-time":"soon"}}
        ],"versions":[],"project-status":{{"status":"deprecated","reason":"<old>"}},"meta":{{"api-version":"1.7"}}}}"#
    );
    let decide = |entry: &Entry<'_>| {
        if entry.name == "drop.whl" {
            Decision::Drop
        } else {
            mark(entry)
        }
    };
    let (out, finished) = Page::project(Format::Json, Format::Html)?.pass(&page, decide)?;
    let expected = format!(
        r#"<!DOCTYPE html>
<html>
  <head>
    <meta name="pypi:repository-version" content="1.4">
    <meta name="pypi:project-status" content="deprecated">
    <meta name="pypi:project-status-reason" content="&lt;old&gt;">
    <title>Links for my-pkg</title>
  </head>
  <body>
    <h1>Links for my-pkg</h1>
    <a href="/m/f/a&amp;b.whl#sha256={SHA}" data-requires-python="&gt;=3" data-yanked="&quot;&lt;why&gt;&quot;" data-core-metadata="sha256={SHA}" data-dist-info-metadata="sha256={SHA}" data-gpg-sig="false" data-provenance="https://index.example/p" data-size="7" data-upload-time="2026-01-02T03:04:05Z">a&amp;b.whl</a><br />
    <a href="/m/simple/my-pkg/c.whl">c.whl</a><br />
  </body>
</html>
"#
    );
    assert_eq!(out, expected);
    let insertion_points: Vec<_> = finished
        .insertion_points
        .iter()
        .map(|mark| &out[..usize::try_from(*mark).unwrap_or(0)])
        .collect();
    assert_eq!(insertion_points.len(), 1);
    assert!(insertion_points[0].ends_with("</a><br />\n    <a"));
    Ok(())
}

#[test]
fn an_index_changes_its_format() -> Result<(), Failure> {
    let page = "<html><head><title>Simple index</title></head><body><a href='/simple/Foo.Bar/'>Foo.Bar</a><a href='foo-bar/'>again</a>\
                <a href=/x>up? no</a><a href='/'>up</a><a href='/simple/'>self</a><a href='b%2Db'>b-b</a><a href='Foo_bar'>later</a></body></html>";
    let (json, _) = Page::index(Format::Html, Format::Json).pass(page, keep)?;
    assert_eq!(
        json,
        r#"{"projects":[{"name":"Foo.Bar"},{"name":"x"},{"name":"b-b"}],"meta":{"api-version":"1.0"}}"#
    );
    let (html, _) = Page::index(Format::Json, Format::Html).pass(&json, keep)?;
    assert!(
        html.contains("    <a href=\"https://index.example/simple/foo-bar/\">Foo.Bar</a><br />\n"),
        "{html}"
    );
    assert!(html.contains("<title>Simple index</title>"), "{html}");
    let (again, _) = Page::index(Format::Html, Format::Json).pass(&html, keep)?;
    assert_eq!(again, json.replace("Foo.Bar", "foo-bar"));
    Ok(())
}

#[test]
fn a_long_index_streams_into_the_other_format() -> Result<(), Failure> {
    let url = Url::parse("https://index.example/simple/")?;
    for source in [Format::Html, Format::Json] {
        let target = if source == Format::Html {
            Format::Json
        } else {
            Format::Html
        };
        let mut rewriter = Rewriter::new(source, target, PageSubject::Index, url.clone(), keep);
        let (head, tail) = match source {
            Format::Html => ("<html><title>Simple index</title><body>", "</body></html>"),
            Format::Json => (
                "{\"meta\":{\"api-version\":\"1.0\"},\"projects\":[{\"name\":\"x\"}",
                "]}",
            ),
        };
        rewriter.write(head.as_bytes())?;
        let mut largest = 0;
        for number in 0..30_000 {
            let entry = match source {
                Format::Html => format!("<a href=p{number}/>p</a>\n"),
                Format::Json => format!(",{{\"name\":\"p{number}\"}}"),
            };
            rewriter.write(entry.as_bytes())?;
            let ready = rewriter.take_output().len();
            assert!(ready > 0, "{source:?} {number}");
            largest = largest.max(ready);
        }
        rewriter.write(tail.as_bytes())?;
        rewriter.finish()?;
        assert!(largest < 1000, "{largest}");
    }
    Ok(())
}

#[test]
fn what_is_no_index_is_refused_in_both_directions() -> Result<(), Failure> {
    for target in [Format::Html, Format::Json] {
        let sign_in = "<html><title>Sign in</title><body><form></form></body></html>";
        let refused = Page::project(Format::Html, target)?.pass(sign_in, keep);
        assert!(refused.is_err_and(|error| error.to_string().contains("sign-in")));
        let cut = Page::project(Format::Json, target)?.pass("{\"files\":[", keep);
        assert!(cut.is_err_and(|error| error.to_string().contains("cut short")));
    }
    let later = "<meta name=pypi:repository-version content=2.0><a href=a.whl></a>";
    assert!(
        Page::project(Format::Html, Format::Json)?
            .pass(later, keep)
            .is_err()
    );

    let mut rewriter = Rewriter::new(
        Format::Json,
        Format::Json,
        PageSubject::Index,
        Url::parse(PAGE)?,
        keep,
    );
    assert!(rewriter.write(b"<").is_err());
    assert!(matches!(rewriter.write(b"{"), Err(RewriteError::Spent)));
    assert!(rewriter.take_output().is_empty());
    assert!(matches!(rewriter.finish(), Err(RewriteError::Spent)));
    Ok(())
}

#[test]
fn metadata_is_told_where_it_was_denied() -> Result<(), Failure> {
    let page = r#"{"meta":{"api-version":"1.1"},"files":[{"core-metadata": false,"filename":"a.whl","url":"a.whl"},
        {"filename":"b.whl","url":"b.whl","core-metadata":null},{"filename":"c.whl","url":"c.whl" }]}"#;
    let (out, finished) = Page::project(Format::Json, Format::Json)?.pass(page, mark)?;
    let digest = Digest::parse(SHA).ok_or("no digest")?;
    let known: Vec<_> = finished
        .insertion_points
        .iter()
        .map(|mark| (*mark, digest))
        .collect();
    let told = annotate(Format::Json, out.as_bytes(), &known);
    let table = format!(r#"{{"sha256":"{SHA}"}}"#);
    let expected = out
        .replace(
            "\"core-metadata\": false",
            &format!("\"core-metadata\": {table}"),
        )
        .replace(
            "\"core-metadata\":null",
            &format!("\"core-metadata\":{table}"),
        )
        .replace(
            "c.whl\" }",
            &format!("c.whl\",\"core-metadata\":{table} }}"),
        );
    assert_eq!(std::str::from_utf8(&told)?, expected);
    // A mark of another page does no harm.
    assert_eq!(
        annotate(
            Format::Json,
            out.as_bytes(),
            &[(3, digest), (u64::MAX, digest)]
        ),
        out
    );
    Ok(())
}

/// Facts of a file that both formats can tell.
fn file() -> impl Strategy<Value = Value> {
    let optional = |values: &'static [&'static str]| {
        select(values).prop_map(|text| (!text.is_empty()).then_some(text))
    };
    let name = "[A-Za-z0-9._+&é '\"<-]{1,12}";
    let reason = prop_oneof![
        Just(Value::Null),
        Just(Value::Bool(true)),
        "[ -~é€\\n]{0,3}[a-z<&\"'][ -~é]{0,6}".prop_map(Value::from)
    ];
    let metadata = select(&[0, 1, 2][..]);
    let hash = optional(&["", "sha256", "md5", "blake2b"]);
    (
        (
            name,
            hash,
            optional(&["", ">=3.8", "<4,!=3.1.*", "~='\"&amp;"]),
            reason,
        ),
        (
            metadata,
            prop::option::of(any::<bool>()),
            optional(&["", "https://index.example/p?a&b#c"]),
        ),
        (
            prop::option::of(any::<u64>()),
            optional(&["", "2026-01-02T03:04:05.678901Z", "1999-12-31T23:59:59Z"]),
        ),
    )
        .prop_map(
            |((name, hash, python, yanked), (metadata, signed, provenance), (size, time))| {
                let name = format!("a{name}");
                let mut url =
                    Url::parse("https://files.example/f/").unwrap_or_else(|_| unreachable!());
                if let Ok(mut segments) = url.path_segments_mut() {
                    segments.pop_if_empty().push(&name);
                }
                let mut file =
                    serde_json::json!({"filename": name, "url": url.as_str(), "hashes": {}});
                if let Some(hash) = hash {
                    file["hashes"][hash] = SHA.into();
                }
                let facts = [
                    ("requires-python", python.map(Value::from)),
                    ("yanked", Some(yanked).filter(|value| !value.is_null())),
                    (
                        "core-metadata",
                        [
                            None,
                            Some(true.into()),
                            Some(serde_json::json!({"sha256": SHA})),
                        ][metadata]
                            .clone(),
                    ),
                    ("gpg-sig", signed.map(Value::from)),
                    ("provenance", provenance.map(Value::from)),
                    ("size", size.map(Value::from)),
                    ("upload-time", time.map(Value::from)),
                ];
                for (key, value) in facts {
                    if let Some(value) = value {
                        file[key] = value;
                    }
                }
                file
            },
        )
}

fn json_page(files: &[Value], status: Option<&str>) -> Value {
    let mut page =
        serde_json::json!({"name": "my-pkg", "files": files, "meta": {"api-version": "1.0"}});
    if let Some(status) = status {
        page["project-status"] = serde_json::json!({"status": status, "reason": "<\"why\">"});
    }
    page
}

fn fail(error: impl std::fmt::Display) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// JSON → HTML → JSON: the same facts; HTML → JSON → HTML: the same page.
    #[test]
    fn there_and_back_keeps_the_facts(
        files in prop::collection::vec(file(), 0..6),
        status in select(&[None, Some("active"), Some("archived")][..]),
        step in 1..200_usize,
    ) {
        let page = json_page(&files, status);
        let there = Page { step, ..Page::project(Format::Json, Format::Html).map_err(fail)? };
        let back = Page { step, ..Page::project(Format::Html, Format::Json).map_err(fail)? };
        let (html, _) = there.pass(&page.to_string(), keep).map_err(fail)?;
        let (json, _) = back.pass(&html, keep).map_err(fail)?;
        let mut read: Value = serde_json::from_str(&json).map_err(fail)?;
        let sized = !files.is_empty() && files.iter().all(|file| file.get("size").is_some());
        prop_assert_eq!(read["meta"]["api-version"].as_str(), Some(if sized { "1.1" } else { "1.0" }));
        prop_assert_eq!(read.get("versions").is_some(), sized);
        read["meta"] = page["meta"].clone();
        if let Some(read) = read.as_object_mut() {
            read.remove("versions");
        }
        prop_assert_eq!(&read, &page);
        let (again, _) = there.pass(&json, keep).map_err(fail)?;
        prop_assert_eq!(again.replace("content=\"1.1\"", "content=\"1.0\""), html);
    }

    /// In every pair of formats: what is told at the insertion_points is read back, and nothing
    /// else changed.
    #[test]
    fn telling_metadata_changes_nothing_else(files in prop::collection::vec(file(), 0..6), pick in any::<u8>()) {
        let page = json_page(&files, None).to_string();
        let (page_html, _) = Page::project(Format::Json, Format::Html).and_then(|p| p.pass(&page, keep)).map_err(fail)?;
        let digest = Digest::of(b"metadata");
        for source in [Format::Html, Format::Json] {
            for target in [Format::Html, Format::Json] {
                let page = if source == Format::Html { &page_html } else { &page };
                let way = Page::project(source, target).map_err(fail)?;
                let (out, finished) = way.pass(page, mark).map_err(fail)?;
                let markable = files.iter().filter(|file| file.get("core-metadata").is_none()).count();
                prop_assert_eq!(finished.insertion_points.len(), markable);
                let is_known = |number: usize| pick >> (number % 8) & 1 == 1;
                let known: Vec<_> = finished.insertion_points.iter().enumerate().filter(|(number, _)| is_known(*number)).map(|(_, mark)| (*mark, digest)).collect();
                let told = String::from_utf8(annotate(target, out.as_bytes(), &known).to_vec()).map_err(fail)?;

                let read = |page: &str| -> Result<Value, Failure> {
                    let json = match target {
                        Format::Html => Page::project(Format::Html, Format::Json)?.pass(page, keep)?.0,
                        Format::Json => page.to_owned(),
                    };
                    Ok(serde_json::from_str(&json)?)
                };
                let mut expected = read(&out).map_err(fail)?;
                let mut number = 0;
                for file in expected["files"].as_array_mut().into_iter().flatten() {
                    if file.get("core-metadata").is_none() {
                        if is_known(number) {
                            file["core-metadata"] = serde_json::json!({"sha256": digest.to_string()});
                        }
                        number += 1;
                    }
                }
                prop_assert_eq!(read(&told).map_err(fail)?, expected);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(select(&b"<a href=\"'/>!{}[]:,1u\\ \xff\xef\xbb\xbf\nfiles"[..]), 0..120), step in 1..40_usize) {
        for source in [Format::Html, Format::Json] {
            for target in [Format::Html, Format::Json] {
                let subject = project().map_err(fail)?;
                let mut rewriter = Rewriter::new(source, target, subject, Url::parse(PAGE).map_err(fail)?, mark);
                if bytes.chunks(step).all(|piece| rewriter.write(piece).is_ok()) {
                    let _ = rewriter.finish();
                }
            }
        }
    }
}

/// What the tests know of files beside their page.
fn tell(entry: &Entry<'_>) -> Decision {
    Decision::Replace(Replacement {
        address: format!("/m{}", entry.url.path()),
        markable: true,
        facts: FileFacts {
            size: Some(7),
            upload_time: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_500)),
        },
    })
}

#[test]
fn what_is_known_beside_the_page_is_told_in_json_where_the_page_is_silent() -> Result<(), Failure> {
    let json = r#"{"meta":{"api-version":"1.0"},"name":"my-pkg","files":[{"filename":"my_pkg-1.whl","url":"a/my_pkg-1.whl","hashes":{}},{"filename":"my_pkg-2.whl","url":"a/my_pkg-2.whl","hashes":{},"size":3,"upload-time":"2020-01-02T03:04:05Z"}]}"#;
    let html = r#"<!DOCTYPE html><html><body><a href="a/my_pkg-1.whl">my_pkg-1.whl</a><a href="a/my_pkg-2.whl">my_pkg-2.whl</a></body></html>"#;
    for (source, page) in [(Format::Json, json), (Format::Html, html)] {
        let (told, finished) = Page::project(source, Format::Json)?.pass(page, tell)?;
        let told: Value = serde_json::from_str(&told)?;
        assert_eq!(told["files"][0]["size"], 7, "{told}");
        let time = &told["files"][0]["upload-time"];
        assert_eq!(time, "1970-01-01T00:00:01.500000Z", "{told}");
        let (size, time, version) = match source {
            Format::Json => (3, "2020-01-02T03:04:05Z", "1.0"),
            Format::Html => (7, "1970-01-01T00:00:01.500000Z", "1.1"),
        };
        let second = &told["files"][1];
        assert_eq!(
            (&second["size"], &second["upload-time"]),
            (&size.into(), &time.into())
        );
        assert_eq!(told["meta"]["api-version"], version);
        assert_eq!(finished.insertion_points.len(), 2);
    }
    let (silent, _) = Page::project(Format::Html, Format::Html)?.pass(html, tell)?;
    assert!(!silent.contains("1970") && silent.contains("/m/simple/my-pkg/a/my_pkg-1.whl"));
    Ok(())
}
