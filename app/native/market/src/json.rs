//! Scanner of JSON frames: an array of flat objects, whose values are located and not converted.
//!
//! A general parser builds a tree or needs mutable, padded input; here one pass finds the fields' places.

use crate::value::{Fields, Frame, Malformed, Value, Wide, key};

/// Nesting that a value of a message may have.
const DEPTH_MAX: u32 = 32;

type Result<T> = core::result::Result<T, Malformed>;

pub(crate) struct JsonFrame<'a> {
    bytes: &'a [u8],
    at: usize,
    is_first: bool,
}

impl<'a> JsonFrame<'a> {
    #[inline]
    fn peek(&mut self) -> Result<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                Some(&byte) => return Ok(byte),
                None => return Err(Malformed),
            }
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.peek()? != byte {
            return Err(Malformed);
        }
        self.at += 1;
        Ok(())
    }

    /// Whether another element follows, in a list or object that ends with `end`; steps over the comma or the end.
    #[inline]
    fn has_next(&mut self, is_first: bool, end: u8) -> Result<bool> {
        let byte = self.peek()?;
        if byte == end {
            self.at += 1;
            return Ok(false);
        }
        if is_first {
            return Ok(true);
        }
        if byte != b',' {
            return Err(Malformed);
        }
        self.at += 1;
        Ok(true)
    }

    /// The characters between quotes; the opening quote is next.
    #[inline]
    fn string(&mut self) -> Result<Value<'a>> {
        self.expect(b'"')?;
        let start = self.at;
        let mut is_escaped = false;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    is_escaped = true;
                    self.at += 2;
                }
                Some(0..0x20) | None => return Err(Malformed),
                Some(_) => self.at += 1,
            }
        }
        let text = &self.bytes[start..self.at];
        self.at += 1;
        Ok(if is_escaped {
            Value::Escaped(text)
        } else {
            Value::Text(text)
        })
    }

    #[inline]
    fn number(&mut self) -> &'a [u8] {
        let start = self.at;
        while let Some(b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
        }
        &self.bytes[start..self.at]
    }

    fn literal(&mut self, word: &[u8]) -> Result<()> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(())
    }

    #[inline]
    fn value(&mut self) -> Result<Value<'a>> {
        match self.peek()? {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => Ok(Value::Number(self.number())),
            b'[' => self.nested().map(Value::List),
            b'{' => self.nested().map(|_| Value::Other),
            b't' => self.literal(b"true").map(|()| Value::Flag(Wide(true))),
            b'f' => self.literal(b"false").map(|()| Value::Flag(Wide(false))),
            b'n' => self.literal(b"null").map(|()| Value::Other),
            _ => Err(Malformed),
        }
    }

    /// Steps over a list or an object and returns its bytes; only the nesting is checked.
    fn nested(&mut self) -> Result<&'a [u8]> {
        let start = self.at;
        let mut depth = 0;
        loop {
            match self.peek()? {
                b'[' | b'{' => {
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return Err(Malformed);
                    }
                    self.at += 1;
                }
                b']' | b'}' => {
                    self.at += 1;
                    depth -= 1;
                    if depth == 0 {
                        return Ok(&self.bytes[start..self.at]);
                    }
                }
                b'"' => {
                    self.string()?;
                }
                _ => self.at += 1,
            }
        }
    }

    #[inline]
    fn object(&mut self, mut take: impl FnMut(&'a [u8], Value<'a>)) -> Result<()> {
        self.expect(b'{')?;
        let mut is_first = true;
        while self.has_next(is_first, b'}')? {
            is_first = false;
            self.peek()?;
            let (Value::Text(name) | Value::Escaped(name)) = self.string()? else {
                return Err(Malformed);
            };
            self.expect(b':')?;
            let value = self.value()?;
            take(name, value);
        }
        Ok(())
    }
}

impl<'a> Frame<'a> for JsonFrame<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self> {
        let mut frame = Self {
            bytes,
            at: 0,
            is_first: true,
        };
        frame.expect(b'[')?;
        Ok(frame)
    }

    #[inline]
    fn next_message(&mut self, fields: &mut Fields<'a>) -> Result<Option<&'a [u8]>> {
        if !self.has_next(self.is_first, b']')? {
            return match self.peek() {
                Err(Malformed) => Ok(None),
                Ok(_) => Err(Malformed),
            };
        }
        self.is_first = false;
        self.peek()?;
        let start = self.at;
        fields.clear();
        self.object(|name, value| fields.push(key(name), value))?;
        Ok(Some(&self.bytes[start..self.at]))
    }

    fn texts(list: &'a [u8], mut take: impl FnMut(Value<'a>)) -> Result<()> {
        let mut frame = Self::open(list)?;
        let mut is_first = true;
        while frame.has_next(is_first, b']')? {
            is_first = false;
            frame.peek()?;
            take(frame.string()?);
        }
        Ok(())
    }

    fn levels(list: &'a [u8], mut take: impl FnMut(Value<'a>, Value<'a>)) -> Result<()> {
        let mut frame = Self::open(list)?;
        let mut is_first = true;
        while frame.has_next(is_first, b']')? {
            is_first = false;
            let (mut price, mut size) = (Value::Other, Value::Other);
            frame.object(|name, value| match name {
                b"p" => price = value,
                b"s" => size = value,
                _ => {}
            })?;
            take(price, size);
        }
        Ok(())
    }
}
