//! From the bytes of an input to its text: byte order marks, and the encoding that a requirements
//! file declares (PEP 263).

use encoding_rs::{Encoding, UTF_8};

use super::contents::LockError;
use super::foreign;

/// Lines that may declare an encoding.
const DECLARING_LINES: usize = 2;

/// Its text, without a byte order mark.
///
/// # Errors
/// A file that is known to lock nothing, and bytes that are not of the encoding that they are in, or of one that is not
/// known; with a sentence about what to do.
pub fn decode(name: &str, bytes: &[u8]) -> Result<String, LockError> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    if let Some(what) = foreign::by_name(last).or_else(|| foreign::by_magic(bytes)) {
        return Err(LockError::new(name, what));
    }
    if bytes.starts_with(b"\xff\xfe\0\0") || bytes.starts_with(b"\0\0\xfe\xff") {
        return Err(LockError::new(name, "it is in UTF-32: save it in UTF-8"));
    }
    let mut encoding = UTF_8;
    let mut body = bytes;
    if let Some((marked, length)) = Encoding::for_bom(bytes) {
        encoding = marked;
        body = bytes.get(length..).unwrap_or_default();
    } else if let Some(label) = declared(bytes) {
        encoding = known(label, name)?;
    }
    match encoding.decode_without_bom_handling_and_without_replacement(body) {
        Some(text) if !text.contains('\0') => Ok(text.into_owned()),
        _ => Err(LockError::new(name, unreadable(encoding, body))),
    }
}

fn unreadable(encoding: &'static Encoding, body: &[u8]) -> String {
    if encoding != UTF_8 {
        let encoding = encoding.name();
        return format!("it is not in {encoding}, as it says: save it in UTF-8");
    }
    match std::str::from_utf8(body) {
        Err(why) if !body.contains(&0) => {
            let before = body.get(..why.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            format!(
                "line {line} is not UTF-8: save it in UTF-8, \
                 or begin it with its encoding, as in `# -*- coding: cp1252 -*-`"
            )
        }
        _ => "it is no text: name a lock file or a requirements file".to_owned(),
    }
}

/// `# -*- coding: latin-1 -*-`, `# vim: set fileencoding=cp1252 :`.
fn declared(bytes: &[u8]) -> Option<&str> {
    for line in bytes.split(|byte| *byte == b'\n').take(DECLARING_LINES) {
        let line = std::str::from_utf8(line).unwrap_or_default();
        let label = declared_in(line);
        if line.starts_with('#') && label.is_some() {
            return label;
        }
    }
    None
}

fn declared_in(line: &str) -> Option<&str> {
    let is_end = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.');
    let mut behind = line.split("coding").skip(1);
    let at = behind.find(|rest| rest.starts_with([':', '=']))?;
    let label = at.get(1..)?.trim_start().split(is_end).next()?;
    if label.is_empty() {
        return None;
    }
    Some(label)
}

/// By Python's spelling of its name.
fn known(label: &str, name: &str) -> Result<&'static Encoding, LockError> {
    let lower = label.to_ascii_lowercase().replace('_', "-");
    let spelled = match lower.as_str() {
        "utf-8-sig" => "utf-8",
        "latin-1" | "iso-latin-1" => "latin1",
        other => other,
    };
    Encoding::for_label(spelled.as_bytes()).ok_or_else(|| {
        let why =
            format!("it says that its encoding is {label}, which is not known: save it in UTF-8");
        LockError::new(name, why)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn utf16(text: &str, bytes_of: fn(u16) -> [u8; 2]) -> Vec<u8> {
        std::iter::once(0xfeff)
            .chain(text.encode_utf16())
            .flat_map(bytes_of)
            .collect()
    }

    #[test]
    fn byte_order_marks_and_declared_encodings_are_obeyed() {
        let text = "alpha==1.0 # ä\n";
        for bytes in [
            text.as_bytes().to_vec(),
            format!("\u{feff}{text}").into_bytes(),
            utf16(text, u16::to_le_bytes),
            utf16(text, u16::to_be_bytes),
        ] {
            assert_eq!(decode("r.txt", &bytes).as_deref(), Ok(text));
        }
        for first in [
            "# -*- coding: latin-1 -*-",
            "# vim: set fileencoding=cp1252 :",
            "#x\n# coding=ISO_8859-1",
        ] {
            let bytes = [first.as_bytes(), b"\nalpha==1.0 # \xe4\n"].concat();
            assert_eq!(
                decode("r.txt", &bytes),
                Ok(format!("{first}\n{text}")),
                "{first}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_with_what_to_do() {
        for (name, bytes, words) in [
            (
                "r.txt",
                &b"alpha\n\xe4\n"[..],
                "r.txt: line 2 is not UTF-8: save it in UTF-8",
            ),
            ("r.txt", b"\xff\xfe\0\0a\0\0\0", "UTF-32"),
            (
                "r.txt",
                b"# coding: klingon\n",
                "klingon, which is not known",
            ),
            ("r.txt", b"\0\x01\x02", "no text"),
            ("r.txt", b"\xff\xfea", "it is not in UTF-16LE"),
            ("r.txt", b"PK\x03\x04\xff", "a package, not a lock file"),
            (
                "demo-1.0-py3-none-any.whl",
                b"PK\x03\x04\xff",
                "a package, not a lock file",
            ),
        ] {
            let told = decode(name, bytes).expect_err("an error").to_string();
            assert!(told.contains(words), "{told}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_stumble(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode("-", &bytes);
        }
    }
}
