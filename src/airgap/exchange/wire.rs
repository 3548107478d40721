//! The binary form of SSH (RFC 4251 §5), read from the front. Pure.

/// It ends too early, or goes on too long, or a number is not written as it should be.
#[derive(Debug, PartialEq, Eq)]
pub struct Truncated;

/// What is left to read.
pub struct Wire<'b>(pub &'b [u8]);

impl<'b> Wire<'b> {
    pub fn take(&mut self, count: usize) -> Result<&'b [u8], Truncated> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn number(&mut self) -> Result<u32, Truncated> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Truncated)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    pub fn string(&mut self) -> Result<&'b [u8], Truncated> {
        let length = self.number()?;
        self.take(length as usize)
    }

    pub fn last_string(&mut self) -> Result<&'b [u8], Truncated> {
        let string = self.string()?;
        self.end()?;
        Ok(string)
    }

    /// An `mpint` above zero, without its sign.
    pub fn positive(&mut self) -> Result<&'b [u8], Truncated> {
        match self.string()? {
            [0, rest @ ..] if rest.first().is_some_and(|first| first & 0x80 != 0) => Ok(rest),
            whole @ [first, ..] if first & 0x80 == 0 && *first != 0 => Ok(whole),
            _ => Err(Truncated),
        }
    }

    pub fn end(&self) -> Result<(), Truncated> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Truncated)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_form_and_strings_end() {
        let positive = |bytes: &[u8]| {
            let wire = [&(bytes.len() as u32).to_be_bytes(), bytes].concat();
            Wire(&wire).positive().map(<[u8]>::to_vec)
        };
        assert_eq!(positive(&[1, 2]), Ok(vec![1, 2]));
        assert_eq!(positive(&[0, 0x80]), Ok(vec![0x80]));
        for odd in [&[][..], &[0], &[0, 1], &[0x80], &[0, 0, 0x80]] {
            assert_eq!(positive(odd), Err(Truncated), "{odd:?}");
        }
        assert_eq!(Wire(&[0, 0, 0, 2, 1]).string(), Err(Truncated));
        assert_eq!(Wire(&[0xff; 4]).string(), Err(Truncated));
        assert_eq!(Wire(&[0, 0, 0, 1, 7, 7]).last_string(), Err(Truncated));
        assert_eq!(Wire(&[0, 0, 0, 1, 7]).last_string(), Ok(&[7][..]));
    }
}
