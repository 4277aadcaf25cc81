//! Field types that are not plain integers.

use bytemuck::{Pod, Zeroable};
use core::fmt;

/// Fixed-width UTF-8 text, zero-filled to the right.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
#[repr(transparent)]
pub struct Text<const N: usize>([u8; N]);

/// A venue's symbol, such as `IBM` or `BTC/USD`.
pub type Symbol = Text<16>;

impl Symbol {
    /// Whether it is a pair of coins, which trades at all hours and in fractions.
    pub fn is_crypto_pair(&self) -> bool {
        self.as_str().contains('/')
    }
}

impl<const N: usize> Text<N> {
    /// Takes the text, or nothing when it is longer than `N` bytes or holds a zero byte.
    pub fn new(text: &str) -> Option<Self> {
        if text.len() > N || text.as_bytes().contains(&0) {
            return None;
        }
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self(bytes))
    }

    /// Takes as much of the text as fits, cut at a character boundary.
    pub fn truncated(text: &str) -> Self {
        let mut end = text.len().min(N);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self::new(&text[..end]).unwrap_or_default()
    }

    /// The text; a layout damaged behind our back reads as empty rather than failing.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(N);
        core::str::from_utf8(&self.0[..end]).unwrap_or_default()
    }

    /// Whether no character is set.
    pub fn is_empty(&self) -> bool {
        self.0[0] == 0
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A UUID as its 16 bytes; all zero means absent.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
#[repr(transparent)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// Wraps the 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether the id is absent.
    pub fn is_nil(&self) -> bool {
        self.0 == [0; 16]
    }

    /// Parses the hyphenated or plain hexadecimal form; empty text is the absent id.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let mut bytes = [0_u8; 16];
        let mut count = 0;
        for character in text.bytes().filter(|&byte| byte != b'-') {
            let digit = (character as char).to_digit(16)? as u8;
            *bytes.get_mut(count / 2)? |= if count % 2 == 0 { digit << 4 } else { digit };
            count += 1;
        }
        (count == 32).then_some(Self(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_nil() {
            return Ok(());
        }
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                formatter.write_str("-")?;
            }
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Uuid({self})")
    }
}
