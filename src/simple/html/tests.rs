//! The promise of the room, on pages as they are and on pages as nasty as they may be.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::simple::entry::{CoreMetadata, Decision, Entry, Replacement};
use crate::simple::facts::PageFacts;
use crate::simple::{NotAnIndex, ProjectName};

mod nasty;

type Failure = Box<dyn Error>;

const PAGE: &str = "https://gitlab.example.com/api/v4/projects/42/packages/pypi/simple/my-pkg";

/// What the tests do to links: the origin of one host goes.
fn rootless(entry: &Entry<'_>) -> Decision {
    if entry.url.host_str() != Some("gitlab.example.com") {
        return Decision::Keep;
    }
    let address = match entry.url.query() {
        Some(query) => format!("{}?{query}", entry.url.path()),
        None => entry.url.path().to_owned(),
    };
    Decision::Replace(Replacement {
        address,
        markable: false,
        ..Replacement::default()
    })
}

fn reader(
    mut decide: impl FnMut(&Entry<'_>) -> Decision + Send + 'static,
) -> Result<HtmlReader, Failure> {
    let subject = PageSubject::Project(ProjectName::parse("my-pkg")?);
    let decide = Box::new(move |entry: &Entry<'_>, _: &PageFacts| decide(entry));
    Ok(HtmlReader::new(
        subject,
        Url::parse(PAGE)?,
        Passage::InKind,
        decide,
    ))
}

fn rewriter() -> Result<HtmlReader, Failure> {
    reader(rootless)
}

fn rewritten(chunks: &[&[u8]]) -> Result<(Vec<u8>, Shape), Failure> {
    let mut rewriter = rewriter()?;
    let mut out = Vec::new();
    for chunk in chunks {
        rewriter.write(chunk)?;
        out.extend_from_slice(&rewriter.take_output());
    }
    let (mut read, shape) = rewriter.finish()?;
    out.extend_from_slice(&read.out.take());
    Ok((out, shape))
}

fn text(page: &str) -> Result<String, Failure> {
    Ok(String::from_utf8(rewritten(&[page.as_bytes()])?.0)?)
}

const HOST: &str = "https://gitlab.example.com";

fn gitlab_page(links: &str) -> String {
    format!(
        "        <!DOCTYPE html>\r\n        <html>\r\n          <head>\r\n            <title>Links for My.Pkg</title>\r\n          \
         </head>\r\n          <body>\r\n            <h1>Links for My.Pkg</h1>\r\n            {links}\r\n          </body>\r\n        \
         </html>\r\n"
    )
}

fn file_link(number: usize) -> String {
    let sha = format!("{number:064x}");
    format!(
        "<a href=\"{HOST}/api/v4/projects/42/packages/pypi/files/{sha}/my_pkg-{number}+cu1-py3-none-any.whl#sha256={sha}\" \
         data-requires-python=\"&gt;=3.7,&lt;4 &quot;\">my_pkg-{number}.whl</a>"
    )
}

#[test]
fn a_gitlab_page_changes_in_its_links_only() -> Result<(), Failure> {
    let page = gitlab_page(&(0..3).map(file_link).collect::<String>());
    let (out, shape) = rewritten(&[page.as_bytes()])?;
    assert_eq!(String::from_utf8(out)?, page.replace(HOST, ""));
    assert_eq!(shape.title.as_deref(), Some("Links for My.Pkg"));
    assert_eq!(shape.heading.as_deref(), Some("Links for My.Pkg"));
    assert_eq!(
        (shape.anchors, shape.hashed_anchors, shape.file_anchors),
        (3, 3, 3)
    );
    assert_eq!(
        (shape.html, shape.body, shape.cut_in_tag),
        (ElementState::Closed, ElementState::Closed, false)
    );
    assert_eq!(shape.judge(), Ok(()));
    Ok(())
}

#[test]
fn an_empty_gitlab_page_passes_whole() -> Result<(), Failure> {
    let page = gitlab_page("");
    let (out, shape) = rewritten(&[page.as_bytes()])?;
    assert_eq!(String::from_utf8(out)?, page);
    assert_eq!((shape.judge(), shape.anchors), (Ok(()), 0));
    Ok(())
}

#[test]
fn links_keep_their_spelling_but_for_the_address() -> Result<(), Failure> {
    let table = [
        // Empty digest, upper-case digest, plus and percent: nothing is tidied up.
        (
            "<a href='HOST/files//x.whl#sha256='>",
            "<a href='/files//x.whl#sha256='>",
        ),
        (
            "<a href=\"HOST/f/A+b%2B.whl#sha256=ABC\">",
            "<a href=\"/f/A+b%2B.whl#sha256=ABC\">",
        ),
        // White space, order, case, unknown and repeated attributes, no quotes.
        (
            "<A\n\tx  HREF = 'HOST/f'\n y='' X >",
            "<A\n\tx  HREF = '/f'\n y='' X >",
        ),
        (
            "<a href=\"HOST/1\" href=\"HOST/2\">",
            "<a href=\"/1\" href=\"HOST/2\">",
        ),
        (
            "<a href=HOST/f#sha256=a class=b>",
            "<a href=/f#sha256=a class=b>",
        ),
        ("<a href=HOST/f/>", "<a href=/f/>"),
        ("<a b=\"x\"href=\"HOST/f\"/>", "<a b=\"x\"href=\"/f\"/>"),
        // References in the address are read, and written as needed; in the fragment they stay.
        (
            "<a href=\"HOST/f?a=1&amp;b=&#34;2#x&amp;y&num;\">",
            "<a href=\"/f?a=1&amp;b=%222#x&amp;y&num;\">",
        ),
        ("<a href=\"HOST/f?a=1&b=2\">", "<a href=\"/f?a=1&amp;b=2\">"),
        ("<a href=' HOST/f '>", "<a href='/f'>"),
        // Relative links are resolved first.
        (
            "<a href=\"../files/x.whl#f\">",
            "<a href=\"/api/v4/projects/42/packages/pypi/files/x.whl#f\">",
        ),
        ("<a href=\"//gitlab.example.com/f\">", "<a href=\"/f\">"),
        // What is kept and relative becomes absolute.
        (
            "<a href='//index.example/f?a&amp;b#c'>",
            "<a href='https://index.example/f?a&amp;b#c'>",
        ),
        // What leads nowhere, elsewhere or to the page itself stays as it is.
        ("<a href=\"http://[/\">", "<a href=\"http://[/\">"),
        ("<a href=\"mailto:a@b\">", "<a href=\"mailto:a@b\">"),
        (
            "<a href=\"https://index.example/f?a=1&b=2\">",
            "<a href=\"https://index.example/f?a=1&b=2\">",
        ),
        ("<a href=\"#top\">", "<a href=\"#top\">"),
        ("<a href=''>", "<a href=''>"),
        ("<a href>", "<a href>"),
        ("<a href=>", "<a href=>"),
        ("<a href='\u{feff}HOST/f'>", "<a href='\u{feff}HOST/f'>"),
        // What is no anchor is no link.
        ("<link href=\"HOST/f\">", "<link href=\"HOST/f\">"),
        (
            "<!-- <a href=\"HOST/f\"> -->",
            "<!-- <a href=\"HOST/f\"> -->",
        ),
        (
            "<script>'<a href=\"HOST/f\">'</script>",
            "<script>'<a href=\"HOST/f\">'</script>",
        ),
    ];
    for (before, after) in table {
        let before = before.replace("HOST", HOST);
        let after = after.replace("HOST", HOST);
        assert_eq!(text(&before)?, after, "{before}");
    }
    Ok(())
}

#[test]
fn bytes_that_are_no_utf8_survive_everywhere() -> Result<(), Failure> {
    let page = b"\xff<title>\xfe</title><a \xf0\x9f=\"\xff\" href=\"https://gitlab.example.com/f#\xe9\" b=\xff>\xff</a>\
                 <a href=\"https://gitlab.example.com/\xff\">\xed\xa0\x80</a>\x00";
    let same: &[u8] = b"\xff<title>\xfe</title><a \xf0\x9f=\"\xff\" href=\"https://gitlab.example.com/f#\xe9\" b=\xff>\xff</a>\
                        <a href=\"https://gitlab.example.com/\xff\">\xed\xa0\x80</a>\x00";
    // A value with such bytes has no certain address, so even it stays.
    assert_eq!(rewritten(&[page])?.0, same);
    let page = b"<a \xf0\x9f=\"\xff\" href=\"https://gitlab.example.com/f\" b=\xff>\xff</a>";
    assert_eq!(
        rewritten(&[page])?.0,
        b"<a \xf0\x9f=\"\xff\" href=\"/f\" b=\xff>\xff</a>"
    );
    Ok(())
}

#[test]
fn a_base_moves_into_the_links() -> Result<(), Failure> {
    let base = "<head> <base href='https://index.example/sub/'> </head>";
    assert_eq!(
        text(&format!(
            "{base}<a href=\"a/b.whl#f\">a</a><a href='{HOST}/x'>b</a><a href=#top>c</a>"
        ))?,
        "<head>  </head><a href=\"https://index.example/sub/a/b.whl#f\">a</a><a href='/x'>b</a>\
         <a href=https://index.example/sub/#top>c</a>"
    );
    // Relative itself; the first counts; one that changes nothing changes no link.
    assert_eq!(
        text("<base href=/r/><base href=/s/><a href=x>")?,
        "<a href=/r/x>"
    );
    assert_eq!(
        text("<base href='other/'><a href=\"#x\">")?,
        "<a href=\"/api/v4/projects/42/packages/pypi/simple/other/#x\">"
    );
    assert_eq!(
        text("<base href='http://['><a href=\"#x\"><base target=_top>")?,
        "<a href=\"#x\"><base target=_top>"
    );
    assert_eq!(
        text("<a href='https://index.example/x'><base href='/r/'>")?,
        "<a href='https://index.example/x'>"
    );
    assert!(matches!(
        rewriter()?.write(b"<a href=x><base href=/r/>"),
        Err(HtmlError::LateBase)
    ));
    Ok(())
}

#[test]
fn a_link_tells_its_facts() -> Result<(), Failure> {
    let page = "<a data-yanked='a &amp; b' href='x%20y.whl#sha256=ab&amp;c' DATA-Requires-Python=\"&gt;=3\" data-yanked=2 \
                data-size=12 data-gpg-sig=false data-dist-info-metadata=true>";
    let mut rewriter = reader(|entry| {
        assert_eq!(
            (entry.name.as_ref(), entry.fragment),
            ("x y.whl", Some("sha256=ab&c"))
        );
        assert_eq!(entry.requires_python.as_deref(), Some(">=3"));
        assert_eq!(
            (entry.yanked.as_deref(), entry.size),
            (Some("a & b"), Some(12))
        );
        assert_eq!(
            (entry.more.gpg_sig, entry.core_metadata),
            (Some(false), Some(CoreMetadata::Present))
        );
        assert_eq!((entry.upload_time, entry.sha256), (None, None));
        Decision::Replace(Replacement {
            address: "seen".to_owned(),
            markable: false,
            ..Replacement::default()
        })
    })?;
    rewriter.write(page.as_bytes())?;
    assert_eq!(
        rewriter.finish()?.0.out.take(),
        page.replace("x%20y.whl", "seen")
    );
    Ok(())
}

#[test]
fn dropped_anchors_leave_the_rest() -> Result<(), Failure> {
    let table = [
        (
            "<p><a href=drop>x <b>y</b></a><br/>\n<a href=keep>z</a><br/>\n</p>",
            "<p><a href=keep>z</a><br/>\n</p>",
        ),
        (
            "<a href=drop>1</a><a href=drop>2</a><a href=keep>3</a>",
            "<a href=keep>3</a>",
        ),
        ("<a href=drop>1</a ><br><br>\n\n", "<br>\n\n"),
        ("<p><a href=drop>open</p>after", "<p></p>after"),
        (
            "<a href=drop>open <a href=keep>x</a>y",
            "<a href=keep>x</a>y",
        ),
        ("<a href=drop>open <a name=x>x</a>y", "<a name=x>x</a>y"),
        ("<svg><a href=drop /><b/></svg>", "<svg><b/></svg>"),
        (
            "<a href=keep><a href=drop></a></a>\n",
            "<a href=keep></a>\n",
        ),
        ("<a href=drop>", ""),
        ("x<a href=drop></a>", "x"),
    ];
    for (page, expected) in table {
        for step in [1, 2, 5, page.len()] {
            let mut rewriter = reader(|entry| match entry.name.as_ref() {
                "drop" => Decision::Drop,
                name => Decision::Replace(Replacement {
                    address: name.to_owned(),
                    markable: false,
                    ..Replacement::default()
                }),
            })?;
            for piece in page.as_bytes().chunks(step) {
                rewriter.write(piece)?;
            }
            assert_eq!(
                String::from_utf8(rewriter.finish()?.0.out.take().to_vec())?,
                expected,
                "{page} by {step}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_mark_is_where_attributes_may_stand() -> Result<(), Failure> {
    let page = "x<A\nhref='a.whl#f'><a href=drop></a><br><a/href=b.whl>";
    let mut rewriter = reader(|entry| match entry.name.as_ref() {
        "drop" => Decision::Drop,
        name => Decision::Replace(Replacement {
            address: format!("/longer/{name}"),
            markable: true,
            ..Replacement::default()
        }),
    })?;
    let mut out = Vec::new();
    for piece in page.as_bytes().chunks(3) {
        rewriter.write(piece)?;
        out.extend_from_slice(&rewriter.take_output());
    }
    let (mut read, _) = rewriter.finish()?;
    out.extend_from_slice(&read.out.take());
    let out = String::from_utf8(out)?;
    assert_eq!(out, "x<A\nhref='/longer/a.whl#f'><a/href=/longer/b.whl>");
    let ends: Vec<_> = read
        .out
        .insertion_points
        .iter()
        .filter_map(|mark| out.get(..usize::try_from(*mark).ok()?))
        .collect();
    assert_eq!(ends, ["x<A", "x<A\nhref='/longer/a.whl#f'><a"]);
    Ok(())
}

#[test]
fn pages_are_told_apart() -> Result<(), Failure> {
    let whole = gitlab_page(&file_link(1));
    for end in [40, 150, whole.len() / 2, whole.rfind("</body").unwrap_or(0)] {
        let cut = rewritten(&[&whole.as_bytes()[..end]])?.1.judge();
        assert!(
            matches!(cut, Err(NotAnIndex::Truncated { .. })),
            "{end}: {cut:?}"
        );
    }
    let accepted = [
        "<html><body><h1>Links for torch</h1><a href='x.whl'>x</a></body></html>",
        "<!DOCTYPE HTML><html lang=en><head><title>Directory listing for /</title></head><body><ul></ul></body></html>",
        "<html><head><meta content='1.1' name='pypi:repository-version'></head><body></html>",
        "<title>Simple <b>index</title>",
        "<a href='x-1.tar.gz'>x</a><br>",
        "<html><body><a href='my-pkg/a/'>a</a><br/>\n<a href='./my-pkg/b/'>b</a></body></html>\n",
        "<html><body><h1>Simple\n  <em>Index</em>",
    ];
    for page in &accepted[..6] {
        let (_, shape) = rewritten(&[page.as_bytes()])?;
        assert_eq!(shape.judge(), Ok(()), "{page}: {shape:?}");
    }
    assert!(matches!(
        rewritten(&[accepted[6].as_bytes()])?.1.judge(),
        Err(NotAnIndex::Truncated { .. })
    ));
    let refused = [
        ("", NotAnIndex::Empty),
        ("\u{feff} \r\n\t", NotAnIndex::Empty),
        (
            "\u{feff} {\"meta\": \"<a href='x-1.whl'>\"}",
            NotAnIndex::Json,
        ),
        (
            "<html><head><title>Sign in\n &middot; GitLab</title></head><body><form><INPUT TYPE=Password></form></body></html>",
            NotAnIndex::SignIn {
                title: Some("Sign in · GitLab".to_owned()),
            },
        ),
        (
            "<html><title>502</title><body><a href='https://index.example/status'>status</a></body></html>",
            NotAnIndex::Unrecognised {
                title: Some("502".to_owned()),
                anchors: 1,
            },
        ),
        (
            "no healthy upstream",
            NotAnIndex::Unrecognised {
                title: None,
                anchors: 0,
            },
        ),
        (
            "<a href='x-1.whl'>x</a><a hre",
            NotAnIndex::Truncated {
                missing: "inside a tag",
            },
        ),
    ];
    for (page, reason) in refused {
        assert_eq!(
            rewritten(&[page.as_bytes()])?.1.judge(),
            Err(reason),
            "{page}"
        );
    }
    Ok(())
}

#[test]
fn an_error_is_final_and_never_a_panic() -> Result<(), Failure> {
    let mut deep = rewriter()?;
    let error = (0..1000).find_map(|_| deep.write("<p>".repeat(1000).as_bytes()).err());
    assert!(matches!(error, Some(HtmlError::TooComplex)), "{error:?}");
    assert!(matches!(deep.write(b"x"), Err(HtmlError::Spent)));
    assert!(matches!(deep.finish(), Err(HtmlError::Spent)));

    let mut long = rewriter()?;
    assert!(matches!(
        long.write(&vec![b'x'; PARSER_BYTES_MAX * 2]),
        Ok(())
    ));
    long.write(b"<a href='")?;
    assert!(matches!(
        long.write(&vec![b'x'; PARSER_BYTES_MAX]),
        Err(HtmlError::TooComplex)
    ));

    let ambiguous = rewriter()?.write(b"<select><xmp><script></select>");
    assert!(
        matches!(ambiguous, Err(HtmlError::Ambiguous(_))),
        "{ambiguous:?}"
    );
    Ok(())
}

/// Time is not to be trusted on a shared machine; what makes a rewriter quadratic is a growing tail
/// that is read again with every chunk, so its length is what is counted.
#[test]
fn a_long_line_of_links_leaves_no_growing_tail() -> Result<(), Failure> {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let mut rewriter = reader(move |entry| {
        count.fetch_add(1, Ordering::Relaxed);
        rootless(entry)
    })?;
    let page = gitlab_page(&(0..10_000).map(file_link).collect::<String>());
    let mut out = Vec::new();
    for chunk in page.as_bytes().chunks(1999) {
        rewriter.write(chunk)?;
        assert!(rewriter.held_bytes() < 400, "{}", rewriter.held_bytes());
        out.extend_from_slice(&rewriter.take_output());
    }
    out.extend_from_slice(&rewriter.finish()?.0.out.take());
    assert_eq!(asked.load(Ordering::Relaxed), 10_000);
    assert!(out == page.replace(HOST, "").into_bytes());
    Ok(())
}
