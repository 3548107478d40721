//! Generated pages: every kind of markup that an anchor may wear or hide behind, cut anywhere.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{Decision, reader, rewritten};

/// A stretch of a page, and what must become of it.
type Piece = (Vec<u8>, Vec<u8>);

fn unchanged() -> impl Strategy<Value = Piece> {
    const MARKUP: &[&[u8]] = &[
        b"        <!DOCTYPE html>\n",
        b"<!-- <a href=\"https://gitlab.example.com/x\"> -- > -->",
        b"<!--><p>",
        b"<script>var x = '<a href=\"https://gitlab.example.com/x\">' </script >",
        b"<style>\xff<a href=x></style>",
        b"<title>Links for\n <a href=\"https://gitlab.example.com/x\"></TITLE>",
        b"<textarea><a href=x></textarea>",
        b"<h1 class=x>Links &amp; more\xfe</h1>",
        b"<br/><BR  />",
        b"<meta name=\"pypi:repository-version\"   content='1.1'>",
        b"<a name=top>",
        b"<a\n>",
        b"<a href>",
        b"<a href='#x' >",
        b"<a href=>",
        b"<a HREF=''/>",
        b"<a href=\"https://gitlab.example.com/\xff\">",
        b"<a href=\"https://index.example/&lt=1&#39;\" / >",
        b"<abbr href=\"https://gitlab.example.com/x\">",
        b"<link href='https://gitlab.example.com/x'>",
        b"</a>",
        b"</p foo=\"<a href=x>\">",
        b"</>",
        b"<?php <a href=x>",
        b"a < b && c &#35 \"'",
        b"<![CDATA[x]]>",
        b"<svg><path d='M0'/></svg>",
        b"<div title='<a href=\"https://gitlab.example.com/x\">'>",
        b"</div>",
    ];
    let noise = prop::collection::vec(
        any::<u8>().prop_filter("no tag", |byte| *byte != b'<'),
        0..12,
    );
    prop_oneof![select(MARKUP).prop_map(<[u8]>::to_vec), noise].prop_map(|raw| (raw.clone(), raw))
}

fn anchor() -> impl Strategy<Value = Piece> {
    const OTHERS: &[&[u8]] = &[
        b" data-requires-python=\"\"",
        b"\n data-requires-python='&gt;=3.7,&lt;4'",
        b"  x",
        b" y = \"a > b\"",
        b"\t\xff='\xfe'",
        b" hrefs=\"https://gitlab.example.com/x\"",
        b" / data-yanked",
        b" z='\n'",
        b" =odd=\"1\"",
    ];
    const ENDS: &[&[u8]] = &[
        b">",
        b" >",
        b"\n/>",
        b" href=\"https://gitlab.example.com/second\">",
        b" \xff>x</a>",
        b">\xffx</A >",
    ];
    let open = select(&["<a", "<A"][..]);
    let others = prop::collection::vec(select(OTHERS), 0..3);
    let name = select(&[" href=", "\n\tHREF=", " hReF  =\n ", "  /href="][..]);
    let address = select(
        &[
            (
                "https://gitlab.example.com/files/ab/x-1.0%2Bcu.whl",
                "/files/ab/x-1.0%2Bcu.whl",
            ),
            ("HTTPS://GitLab.Example.com/f", "/f"),
            ("https://gitlab.example.com/f?a&amp;b", "/f?a&amp;b"),
            ("https://gitlab.example.com/f?a&#38;b", "/f?a&amp;b"),
            ("https://gitlab.example.com/f&#47;g", "/f/g"),
            ("/root", "/root"),
            (
                "https://index.example/simple/x/?a&b",
                "https://index.example/simple/x/?a&b",
            ),
            ("http://[bad", "http://[bad"),
        ][..],
    );
    let fragment = select(&["", "#sha256=ABCDEF", "#", "#a&amp;b&#39;", "#a#b", "&num;c"][..]);
    let end = select(ENDS);
    (open, others, name, address, fragment, 0..3_usize, end).prop_map(
        |(open, others, name, address, fragment, quote, end)| {
            let written = |address: &str| {
                let quote = ["\"", "'", ""][quote];
                let mut raw = open.as_bytes().to_vec();
                raw.extend(others.concat());
                raw.extend_from_slice([name, quote, address, fragment, quote].concat().as_bytes());
                // Without quotes a `/` would belong to the value.
                raw.extend_from_slice(if quote.is_empty() && end[0] != b'>' {
                    b" "
                } else {
                    b""
                });
                raw.extend_from_slice(end);
                raw
            };
            (written(address.0), written(address.1))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn only_links_change_however_the_page_is_cut(
        pieces in prop::collection::vec(prop_oneof![unchanged(), anchor()], 0..24),
        cuts in prop::collection::vec(any::<Index>(), 0..12),
    ) {
        let (page, expected): (Vec<_>, Vec<_>) = pieces.into_iter().unzip();
        let page = page.concat();
        let expected = expected.concat();
        let (whole, shape) = rewritten(&[&page]).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(whole.escape_ascii().to_string(), expected.escape_ascii().to_string());

        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(page.len() + 1)).chain([0, page.len()]).collect();
        cuts.sort_unstable();
        let cut: Vec<_> = cuts.windows(2).map(|ends| &page[ends[0]..ends[1]]).collect();
        let bytes: Vec<_> = page.chunks(1).collect();
        for chunks in [cut, bytes] {
            let (out, other) = rewritten(&chunks).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
            prop_assert_eq!(&other, &shape);
        }
    }

    #[test]
    fn no_bytes_at_all_make_it_panic_or_lose_one(page in prop::collection::vec(select(&b"<a href=\"'/>!-xb\xff \n&#;"[..]), 0..200)) {
        let fail = |error: String| TestCaseError::fail(error);
        let mut rewriter = reader(|_| Decision::Keep).map_err(|error| fail(error.to_string()))?;
        if rewriter.write(&page).is_ok() {
            let (mut read, _) = rewriter.finish().map_err(|error| fail(error.to_string()))?;
            prop_assert_eq!(&read.out.take()[..], &page[..]);
        }
    }

    /// Whatever is dropped, nothing is out of step and nothing new appears.
    #[test]
    fn dropping_only_removes(
        page in prop::collection::vec(select(&["<a href=x>", "<a>", "</a>", "<p>", "</p>", "<br>", "\n", "<br/>", "< ", "t", "<svg>", "/>", "</svg>"][..]), 0..40),
        step in 1..20_usize,
    ) {
        let page = page.concat();
        let mut rewriter = reader(|_| Decision::Drop).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for piece in page.as_bytes().chunks(step) {
            rewriter.write(piece).map_err(|error| TestCaseError::fail(error.to_string()))?;
        }
        let (mut read, _) = rewriter.finish().map_err(|error| TestCaseError::fail(error.to_string()))?;
        let rest = read.out.take();
        let mut original = page.bytes();
        prop_assert!(rest.iter().all(|byte| original.any(|other| other == *byte)), "{:?} of {}", rest, page);
        prop_assert!(!rest.windows(10).any(|part| part == b"<a href=x>"), "{:?} of {}", rest, page);
    }
}
