//! Little-endian numbers, one after the other.
//!
//! Must not know what they mean.

/// What is left of some bytes; every reading takes from the front, or finds too little.
#[derive(Clone, Copy)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Takes these very bytes.
    pub fn exactly(&mut self, expected: &[u8]) -> Option<()> {
        if self.bytes(expected.len())? == expected {
            Some(())
        } else {
            None
        }
    }

    pub fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.bytes(2)?.try_into().ok()?))
    }

    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?))
    }

    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(8)?.try_into().ok()?))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
