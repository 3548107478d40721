//! Wheels as they are, and wheels made to be misread.

use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::simple::WheelFilename;
use crate::values::byte_range::Extent;
use crate::values::digest::Digest;

const NAME: &str = "my_pkg-1.0-py3-none-any.whl";
const PLACE: &str = "my_pkg-1.0.dist-info/METADATA";
const METADATA: &[u8] =
    b"Metadata-Version: 2.1\nName: My.Pkg\nVersion: 1.0\nRequires-Dist: other\n\nA text.\n";

/// What is written of one member, once in its own header and once in the directory.
#[derive(Clone)]
struct Says {
    name: Vec<u8>,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u32,
    size: u32,
    extra: Vec<u8>,
}

#[derive(Clone)]
struct Part {
    local: Says,
    central: Says,
    data: Vec<u8>,
    /// After the data: a data descriptor, or anything.
    after: Vec<u8>,
    offset: Option<u32>,
}

fn crc(content: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(content);
    crc.sum()
}

fn deflated(content: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).expect("into memory");
    encoder.finish().expect("into memory")
}

impl Part {
    fn new(name: &str, content: &[u8], method: u16) -> Self {
        let data = if method == 8 {
            deflated(content)
        } else {
            content.to_vec()
        };
        let says = Says {
            name: name.into(),
            flags: 0,
            method,
            crc: crc(content),
            packed: data.len() as u32,
            size: content.len() as u32,
            extra: Vec::new(),
        };
        Self {
            local: says.clone(),
            central: says,
            data,
            after: Vec::new(),
            offset: None,
        }
    }

    /// The same change in both places.
    fn both(mut self, change: impl Fn(&mut Says)) -> Self {
        change(&mut self.local);
        change(&mut self.central);
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

fn put(bytes: &mut Vec<u8>, parts: &[&[u8]]) {
    bytes.extend(parts.concat());
}

fn header(says: &Says) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(
        &mut bytes,
        &[
            &20u16.to_le_bytes(),
            &says.flags.to_le_bytes(),
            &says.method.to_le_bytes(),
            &[0; 4],
        ],
    );
    put(
        &mut bytes,
        &[
            &says.crc.to_le_bytes(),
            &says.packed.to_le_bytes(),
            &says.size.to_le_bytes(),
        ],
    );
    put(
        &mut bytes,
        &[
            &(says.name.len() as u16).to_le_bytes(),
            &(says.extra.len() as u16).to_le_bytes(),
        ],
    );
    bytes
}

type Records = fn(u64, u64, u64) -> Vec<u8>;

/// What an archive ends with.
struct Ending {
    entries: Option<u16>,
    start: Option<u32>,
    bytes: Option<u32>,
    comment: Vec<u8>,
    /// zip64 records, given where the directory starts, its length and its entries.
    wide: Option<Records>,
}

const PLAIN: Ending = Ending {
    entries: None,
    start: None,
    bytes: None,
    comment: Vec::new(),
    wide: None,
};

fn zip(parts: &[Part], ending: &Ending) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut directory = Vec::new();
    for part in parts {
        let offset = part.offset.unwrap_or(archive.len() as u32);
        put(
            &mut directory,
            &[b"PK\x01\x02", &[20, 3], &header(&part.central), &[0; 10]],
        );
        put(
            &mut directory,
            &[
                &offset.to_le_bytes(),
                &part.central.name,
                &part.central.extra,
            ],
        );
        put(
            &mut archive,
            &[
                b"PK\x03\x04",
                &header(&part.local),
                &part.local.name,
                &part.local.extra,
            ],
        );
        put(&mut archive, &[&part.data, &part.after]);
    }
    let start = archive.len() as u64;
    let length = directory.len() as u64;
    let count = parts.len() as u64;
    archive.extend(directory);
    if let Some(wide) = ending.wide {
        archive.extend(wide(start, length, count));
    }
    let entries = ending.entries.unwrap_or(count as u16).to_le_bytes();
    put(&mut archive, &[b"PK\x05\x06", &[0; 4], &entries, &entries]);
    put(
        &mut archive,
        &[&ending.bytes.unwrap_or(length as u32).to_le_bytes()],
    );
    put(
        &mut archive,
        &[&ending.start.unwrap_or(start as u32).to_le_bytes()],
    );
    put(
        &mut archive,
        &[
            &(ending.comment.len() as u16).to_le_bytes(),
            &ending.comment,
        ],
    );
    archive
}

fn others() -> Vec<Part> {
    vec![
        Part::new("my_pkg/__init__.py", b"print('hello')\n", 8),
        Part::new("my_pkg/data/", b"", 0),
        Part::new("my_pkg-1.0.dist-info/WHEEL", b"Wheel-Version: 1.0\n", 0),
    ]
}

fn metadata() -> Part {
    Part::new(PLACE, METADATA, 8)
}

fn wheel(metadata: Part) -> Vec<u8> {
    let mut parts = others();
    parts.insert(2, metadata);
    zip(&parts, &PLAIN)
}

fn beside(more: Part) -> Vec<u8> {
    let mut parts = others();
    parts.extend([metadata(), more]);
    zip(&parts, &PLAIN)
}

fn ended(ending: &Ending) -> Vec<u8> {
    let mut parts = others();
    parts.push(metadata());
    zip(&parts, ending)
}

fn read_as(name: &str, wheel: &[u8]) -> Result<Vec<u8>, UnreadableWheel> {
    let cut = |span: Extent| {
        let start = span.start as usize;
        let end = span.end as usize;
        Ok::<_, Infallible>(
            wheel
                .get(start..end)
                .map(<[u8]>::to_vec)
                .unwrap_or_default(),
        )
    };
    let Ok(read) = extract(
        WheelFilename::parse(name).ok_or(UnreadableWheel::FileName)?,
        wheel.len() as u64,
        cut,
    );
    read
}

fn read(wheel: &[u8]) -> Result<Vec<u8>, UnreadableWheel> {
    read_as(NAME, wheel)
}

#[track_caller]
fn good(wheel: &[u8]) {
    assert_eq!(read(wheel).map(|metadata| metadata == METADATA), Ok(true));
}

#[track_caller]
fn bad(wheel: &[u8], why: UnreadableWheel) {
    assert_eq!(read(wheel), Err(why));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads the kept wheels")]
fn real_wheels_yield_what_zipfile_yields() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wheels/");
    for (name, sha256) in [
        (
            "certifi-2026.10.18-py3-none-any.whl",
            "5f23b0cfb71be0a44970eb5d3ad49ba3db52616d7a583d594697bd9ee1bf2065",
        ),
        (
            "charset_normalizer-3.5.2-py3-none-any.whl",
            "89ce6362bb7be88558f4be99a98f5d1b4da93d19cd0323e5ee0bac05cf883dfb",
        ),
        (
            "idna-3.20-py3-none-any.whl",
            "dbd8c14c1e4ca1e0c9824a6dbc7cbbf78884f38eb52d91148cd3025f671e4b85",
        ),
        (
            "python_dateutil-2.9.0.post0-py2.py3-none-any.whl",
            "a9d436da322be808332f98d88325998e87cb693a678a9969feb4cfad729a6e93",
        ),
        (
            "requests-2.34.2-py3-none-any.whl",
            "8c384ba3e979480faae2859d3c5e6c1276dd2c3616e322e124d52c8cfc556f27",
        ),
        (
            "six-1.17.0-py2.py3-none-any.whl",
            "562042078c2752549f6d8a7c86dbc5dd708088a7be6d80672ec7b07100b72468",
        ),
        (
            "urllib3-2.8.0-py3-none-any.whl",
            "10898c620e8007c030e07fa5622b68358a43010025dfbd78a1cb797699de2bb4",
        ),
    ] {
        let bytes = std::fs::read(format!("{folder}{name}")).expect("a kept wheel");
        let digest = read_as(name, &bytes).map(|metadata| Digest::of(&metadata).to_string());
        assert_eq!(digest.as_deref(), Ok(sha256), "{name}");
    }
}

#[test]
fn plain_wheels_are_read() {
    good(&wheel(metadata()));
    good(&wheel(Part::new(PLACE, METADATA, 0)));
    good(&ended(&Ending {
        comment: b"made by hand".to_vec(),
        ..PLAIN
    }));
    good(&ended(&Ending {
        comment: vec![b'x'; 0xffff],
        ..PLAIN
    }));
    good(&zip(
        &[Part::new("My-Pkg-1.0.0.dist-info/METADATA", METADATA, 8)],
        &PLAIN,
    ));
}

#[test]
fn what_is_not_in_the_tail_is_asked_for() {
    let filler = Part::new("my_pkg/big.bin", &vec![7; 200_000], 0);
    good(&zip(&[filler.clone(), metadata()], &PLAIN));
    good(&zip(&[metadata(), filler], &PLAIN));
    let mut many: Vec<_> = (0..3000)
        .map(|n| Part::new(&format!("my_pkg/{n}.py"), b"", 0))
        .collect();
    many.insert(7, metadata());
    let archive = zip(&many, &PLAIN);
    let mut reader = MetadataReader::new(
        WheelFilename::parse(NAME).expect("a wheel"),
        archive.len() as u64,
    );
    let mut asked = 0;
    loop {
        let Extent { start, end } = reader.wanted();
        asked += 1;
        match reader.give(&archive[start as usize..end as usize]) {
            Ok(MetadataProgress::Need(wanted)) => assert_eq!(wanted, reader.wanted()),
            last => {
                assert_eq!(last, Ok(MetadataProgress::Metadata(METADATA.to_vec())));
                break;
            }
        }
    }
    assert_eq!(asked, 3, "tail, directory, member");
}

#[test]
fn a_descriptor_in_each_form_has_to_agree() {
    let described = |after: Vec<u8>| {
        let part = metadata()
            .both(|says| says.flags |= 8)
            .with(|part| part.after = after);
        wheel(part.with(|part| (part.local.crc, part.local.packed, part.local.size) = (0, 0, 0)))
    };
    let sum = crc(METADATA).to_le_bytes();
    let packed = deflated(METADATA).len();
    let size = METADATA.len();
    let narrow = [
        &sum[..],
        &(packed as u32).to_le_bytes(),
        &(size as u32).to_le_bytes(),
    ]
    .concat();
    let wide = [
        &sum[..],
        &(packed as u64).to_le_bytes(),
        &(size as u64).to_le_bytes(),
    ]
    .concat();
    for form in [narrow, wide] {
        good(&described(form.clone()));
        good(&described([b"PK\x07\x08", &form[..]].concat()));
        let mut wrong = form.clone();
        wrong[4] ^= 1;
        bad(&described(wrong), UnreadableWheel::LocalHeader);
        bad(
            &described(form[..form.len() - 1].to_vec()),
            UnreadableWheel::LocalHeader,
        );
    }
}

#[test]
fn a_bomb_is_left_packed() {
    let promised = [
        b"Name: My.Pkg\nVersion: 1.0\n\n".to_vec(),
        vec![b' '; 2 << 20],
    ]
    .concat();
    bad(
        &wheel(Part::new(PLACE, &promised, 8)),
        UnreadableWheel::TooLarge,
    );
    bad(
        &wheel(Part::new(PLACE, &promised, 0)),
        UnreadableWheel::TooLarge,
    );
    let bomb = Part::new(PLACE, &vec![b' '; 64 << 20], 8);
    bad(
        &wheel(bomb.both(|says| says.size = METADATA.len() as u32)),
        UnreadableWheel::TooLarge,
    );
}

#[test]
fn lies_about_size_content_and_packing_are_found() {
    bad(
        &wheel(metadata().both(|says| says.size += 1)),
        UnreadableWheel::Content,
    );
    bad(
        &wheel(metadata().both(|says| says.size -= 1)),
        UnreadableWheel::TooLarge,
    );
    bad(
        &wheel(metadata().both(|says| says.packed -= 1)),
        UnreadableWheel::Content,
    );
    bad(
        &wheel(metadata().both(|says| says.packed += 4)),
        UnreadableWheel::Overlap,
    );
    bad(
        &wheel(metadata().both(|says| says.crc ^= 1)),
        UnreadableWheel::Content,
    );
    bad(
        &wheel(metadata().with(|part| part.data[3] ^= 0x55)),
        UnreadableWheel::Content,
    );
    let padded = metadata()
        .with(|part| part.data.push(0))
        .both(|says| says.packed += 1);
    bad(&wheel(padded), UnreadableWheel::Content);
    let stored = Part::new(PLACE, METADATA, 0).both(|says| says.size += 1);
    bad(&wheel(stored), UnreadableWheel::Content);
    bad(
        &wheel(metadata().both(|says| says.method = 12)),
        UnreadableWheel::Packing,
    );
    for flag in [0, 5, 6, 13] {
        bad(
            &wheel(metadata().both(|says| says.flags |= 1 << flag)),
            UnreadableWheel::Packing,
        );
    }
    bad(
        &beside(Part::new("x", b"", 0).both(|says| says.flags |= 1)),
        UnreadableWheel::Packing,
    );
}

#[test]
fn its_own_header_has_to_agree_with_the_directory() {
    let lies: [fn(&mut Says); 7] = [
        |says| says.name = b"my_pkg-1.0.dist-info/METADATB".to_vec(),
        |says| says.method = 0,
        |says| says.crc ^= 1,
        |says| says.packed ^= 1,
        |says| says.size ^= 1,
        |says| says.flags |= 1,
        |says| says.flags |= 8,
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let told = read(&wheel(metadata().with(|part| lie(&mut part.local))));
        assert_eq!(told, Err(UnreadableWheel::LocalHeader), "{number}");
    }
    bad(
        &wheel(metadata().with(|part| part.offset = Some(1))),
        UnreadableWheel::Overlap,
    );
    let apart = metadata().with(|part| (part.offset, part.after) = (Some(32), vec![0; 8]));
    let at_another = zip(&[Part::new("x", b"", 0), apart], &PLAIN);
    bad(&at_another, UnreadableWheel::LocalHeader);
}

#[test]
fn there_is_one_metadata_and_it_is_this_wheels() {
    bad(&zip(&others(), &PLAIN), UnreadableWheel::NoMetadata);
    bad(&zip(&others()[..2], &PLAIN), UnreadableWheel::NoMetadata);
    bad(&beside(metadata()), UnreadableWheel::Duplicate);
    good(&beside(Part::new("x", b"", 0)));
    for second in [
        "other-1.0.dist-info/METADATA",
        "other-1.0.dist-info/RECORD",
        "MY_PKG-1.0.dist-info/RECORD",
        "my_pkg-1.0.DIST-INFO/METADATA",
        "my_pkg-1.0.dist-info/metadata",
    ] {
        bad(
            &beside(Part::new(second, METADATA, 8)),
            UnreadableWheel::Ambiguous,
        );
    }
    for inner in [
        "vendored/my_pkg-1.0.dist-info/METADATA",
        "my_pkg-1.0.dist-info/licenses/METADATA",
    ] {
        good(&beside(Part::new(inner, b"another", 8)));
    }
    for name in ["other-1.0-py3-none-any.whl", "my_pkg-1.1-py3-none-any.whl"] {
        assert_eq!(
            read_as(name, &wheel(metadata())),
            Err(UnreadableWheel::OtherFolder),
            "{name}"
        );
    }
}

#[test]
fn names_that_readers_take_differently_are_refused() {
    for name in [
        "x\0y",
        "a\\b",
        "/etc/passwd",
        "../up",
        "a/./b",
        "a//b",
        "",
        "my_pkg-1.0.dist-info/METADATA\0.txt",
    ] {
        bad(
            &beside(Part::new(name, b"", 0)),
            UnreadableWheel::MemberName,
        );
    }
    bad(
        &beside(Part::new("x", b"", 0).both(|says| says.name = vec![0xff])),
        UnreadableWheel::MemberName,
    );
    let renamed = |name: &[u8]| {
        let length = (5 + name.len() as u16).to_le_bytes();
        let extra = [
            &0x7075u16.to_le_bytes()[..],
            &length,
            &[1, 0, 0, 0, 0],
            name,
        ]
        .concat();
        beside(Part::new("x", b"", 0).both(|says| says.extra = extra.clone()))
    };
    bad(&renamed(PLACE.as_bytes()), UnreadableWheel::MemberName);
    good(&renamed(b"x"));
}

#[test]
fn its_own_fields_have_to_agree_with_the_name() {
    for (text, why) in [
        (
            &b"Name: other\nVersion: 1.0\n"[..],
            UnreadableWheel::OtherProject,
        ),
        (
            b"Name: my-pkg\nVersion: 1.1\n",
            UnreadableWheel::OtherProject,
        ),
        (
            b"Name: my-pkg\nName: my-pkg\nVersion: 1.0\n",
            UnreadableWheel::Fields,
        ),
        (b"Name: my-pkg\n\nVersion: 1.0\n", UnreadableWheel::Fields),
        (b"Version: 1.0\n", UnreadableWheel::Fields),
        (
            b"Name: my-pkg\nno field\nVersion: 1.0\n",
            UnreadableWheel::Fields,
        ),
        (
            b"Name: my-pkg\nVersion: 1.0\nSummary: \xff\n",
            UnreadableWheel::Fields,
        ),
        (
            b"Name: my-pkg\nVersion: 1.0\nSummary: a\rVersion: 2\n",
            UnreadableWheel::Fields,
        ),
        (b"Name : my-pkg\nVersion: 1.0\n", UnreadableWheel::Fields),
        (
            b"\xef\xbb\xbfName: my-pkg\nVersion: 1.0\n",
            UnreadableWheel::Fields,
        ),
        (b"", UnreadableWheel::Fields),
    ] {
        bad(&wheel(Part::new(PLACE, text, 8)), why);
    }
    let odd = b"NAME:my.pkg\r\nversion: v1\r\nSummary: a\r\n\tName: other\r\n\r\nName: other\n";
    assert_eq!(
        read(&wheel(Part::new(PLACE, odd, 8))).as_deref(),
        Ok(&odd[..])
    );
}

#[test]
fn members_that_overlap_are_refused() {
    bad(
        &beside(Part::new("x", b"", 0).with(|part| part.offset = Some(0))),
        UnreadableWheel::Overlap,
    );
    let long = Part::new("x", b"", 0)
        .with(|part| (part.central.packed, part.central.size) = (1 << 20, 1 << 20));
    bad(&beside(long), UnreadableWheel::Overlap);
}

#[test]
fn there_is_one_end_and_it_ends_the_file() {
    bad(b"", UnreadableWheel::NoEnd);
    bad(b"not a zip at all", UnreadableWheel::NoEnd);
    bad(
        &[wheel(metadata()), b"x".to_vec()].concat(),
        UnreadableWheel::AfterEnd,
    );
    bad(
        &[wheel(metadata()), vec![0; 200_000]].concat(),
        UnreadableWheel::NoEnd,
    );
    let other = ended(&PLAIN);
    let second = other[other.len() - 22..].to_vec();
    bad(
        &ended(&Ending {
            comment: second.clone(),
            ..PLAIN
        }),
        UnreadableWheel::TwoEnds,
    );
    bad(
        &ended(&Ending {
            comment: [&second[..], b"x"].concat(),
            ..PLAIN
        }),
        UnreadableWheel::AfterEnd,
    );
    bad(
        &ended(&Ending {
            comment: b"PK\x05\x06".to_vec(),
            ..PLAIN
        }),
        UnreadableWheel::AfterEnd,
    );
    bad(
        &[b"#!/bin/sh\n".to_vec(), wheel(metadata())].concat(),
        UnreadableWheel::Misplaced,
    );
    bad(
        &ended(&Ending {
            start: Some(3),
            ..PLAIN
        }),
        UnreadableWheel::Misplaced,
    );
    bad(
        &ended(&Ending {
            bytes: Some(3),
            ..PLAIN
        }),
        UnreadableWheel::Misplaced,
    );
    bad(
        &ended(&Ending {
            bytes: Some(u32::MAX),
            ..PLAIN
        }),
        UnreadableWheel::TooMany,
    );
    bad(
        &ended(&Ending {
            entries: Some(0),
            ..PLAIN
        }),
        UnreadableWheel::Misplaced,
    );
    bad(
        &ended(&Ending {
            entries: Some(3),
            ..PLAIN
        }),
        UnreadableWheel::Directory,
    );
    bad(
        &ended(&Ending {
            entries: Some(5),
            ..PLAIN
        }),
        UnreadableWheel::Directory,
    );
    bad(
        &ended(&Ending {
            entries: Some(0xffff),
            ..PLAIN
        }),
        UnreadableWheel::Directory,
    );
}

fn wide_records(start: u64, length: u64, count: u64) -> Vec<u8> {
    let mut records = Vec::new();
    put(
        &mut records,
        &[
            b"PK\x06\x06",
            &44u64.to_le_bytes(),
            &[45, 3, 45, 0],
            &[0; 8],
        ],
    );
    put(
        &mut records,
        &[
            &count.to_le_bytes(),
            &count.to_le_bytes(),
            &length.to_le_bytes(),
            &start.to_le_bytes(),
        ],
    );
    put(
        &mut records,
        &[
            b"PK\x06\x07",
            &[0; 4],
            &start.wrapping_add(length).to_le_bytes(),
            &1u32.to_le_bytes(),
        ],
    );
    records
}

#[test]
fn zip64_is_read_where_it_says_the_same() {
    good(&ended(&Ending {
        wide: Some(wide_records),
        ..PLAIN
    }));
    let full = Ending {
        entries: Some(0xffff),
        start: Some(u32::MAX),
        bytes: Some(u32::MAX),
        wide: Some(wide_records),
        ..PLAIN
    };
    good(&ended(&full));
    bad(
        &ended(&Ending {
            entries: Some(3),
            wide: Some(wide_records),
            ..PLAIN
        }),
        UnreadableWheel::Zip64,
    );
    bad(
        &ended(&Ending {
            wide: Some(|start, length, count| wide_records(start, length, count + 1)),
            ..PLAIN
        }),
        UnreadableWheel::Zip64,
    );
    let absurd = |start, length, _| wide_records(start, length, u64::MAX);
    bad(
        &ended(&Ending {
            entries: Some(0xffff),
            wide: Some(absurd),
            ..PLAIN
        }),
        UnreadableWheel::TooMany,
    );
    let absurd = |_, length, count| wide_records(u64::MAX, length, count);
    bad(
        &ended(&Ending {
            start: Some(u32::MAX),
            wide: Some(absurd),
            ..PLAIN
        }),
        UnreadableWheel::Zip64,
    );

    let field = |numbers: &[u64]| {
        let content: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        [
            &1u16.to_le_bytes()[..],
            &(content.len() as u16).to_le_bytes(),
            &content,
        ]
        .concat()
    };
    let sizes = [METADATA.len() as u64, deflated(METADATA).len() as u64];
    let sent = |extra: Vec<u8>| {
        wheel(metadata().both(|says| {
            (says.packed, says.size) = (u32::MAX, u32::MAX);
            says.extra = extra.clone();
        }))
    };
    good(&sent(field(&sizes)));
    bad(&sent(Vec::new()), UnreadableWheel::Zip64);
    bad(&sent(field(&sizes[..1])), UnreadableWheel::Zip64);
    bad(
        &sent(field(&[sizes[0], sizes[1], 0])),
        UnreadableWheel::Zip64,
    );
    bad(
        &sent([field(&sizes), field(&sizes)].concat()),
        UnreadableWheel::Zip64,
    );
    bad(
        &sent(field(&[u64::MAX, u64::MAX])),
        UnreadableWheel::Overlap,
    );
    bad(
        &wheel(metadata().with(|part| part.central.extra = field(&sizes))),
        UnreadableWheel::Zip64,
    );
    bad(
        &wheel(metadata().with(|part| part.central.extra = vec![1, 2, 3])),
        UnreadableWheel::Directory,
    );
}

#[test]
fn a_wheel_cut_anywhere_is_refused() {
    let whole = wheel(metadata());
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_err(), "{length}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_stumble(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read(&bytes).is_err());
    }

    /// Whatever is done to a wheel, what is read from it is its METADATA or nothing.
    #[test]
    fn a_mutated_wheel_is_read_right_or_not_at_all(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        stored: bool,
        wide: bool,
    ) {
        let mut parts = others();
        parts.insert(1, Part::new(PLACE, METADATA, if stored { 0 } else { 8 }));
        let mut bytes = zip(&parts, &Ending { wide: wide.then_some(wide_records), ..PLAIN });
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(read) = read(&bytes) {
            prop_assert_eq!(read, METADATA);
        }
    }

    /// Nothing that is asked for, and nothing that comes out, is larger than the limits.
    #[test]
    fn what_is_asked_for_is_bounded(
        claims in prop::collection::vec(any::<u8>(), 22..200),
        size in 0..u64::MAX,
    ) {
        let mut end = claims;
        end[..4].copy_from_slice(b"PK\x05\x06");
        let comment = (end.len() - 22) as u16;
        end[20..22].copy_from_slice(&comment.to_le_bytes());
        let mut reader = MetadataReader::new(WheelFilename::parse(NAME).expect("a wheel"), size);
        let wanted = reader.wanted();
        prop_assert!(wanted.bytes() <= TAIL_BYTES && wanted.end == size);
        let length = wanted.bytes() as usize;
        let mut tail = vec![0; length.saturating_sub(end.len())];
        tail.extend(end.iter().skip(end.len().saturating_sub(length)));
        if let Ok(MetadataProgress::Need(next)) = reader.give(&tail) {
            prop_assert!(next.bytes() <= 8 << 20 && next.end <= size);
        }
    }
}
