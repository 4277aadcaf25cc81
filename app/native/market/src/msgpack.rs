//! Reader of msgpack frames: an array of maps, timestamps as extension type -1.
//!
//! Source: `MessagePack` specification.

use crate::value::{Fields, Frame, Malformed, Value, Wide, key};

const DEPTH_MAX: u32 = 32;
const TIME_EXTENSION: i8 = -1;
const NS_PER_S: i64 = 1_000_000_000;

type Result<T> = core::result::Result<T, Malformed>;

pub(crate) struct MsgpackFrame<'a> {
    bytes: &'a [u8],
    at: usize,
    remaining: usize,
}

/// One token: a whole scalar, or the number of elements that follow.
enum Token<'a> {
    Scalar(Value<'a>),
    List(usize),
    Map(usize),
}

impl<'a> MsgpackFrame<'a> {
    #[inline]
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or(Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(taken)
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    #[inline]
    fn unsigned(&mut self, width: usize) -> Result<u64> {
        Ok(self
            .take(width)?
            .iter()
            .fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn signed(&mut self, width: usize) -> Result<i64> {
        let unused = 64 - 8 * width as u32;
        Ok((self.unsigned(width)? << unused) as i64 >> unused)
    }

    fn text(&mut self, length: usize) -> Result<Token<'a>> {
        Ok(Token::Scalar(Value::Text(self.take(length)?)))
    }

    fn extension(&mut self, length: usize) -> Result<Token<'a>> {
        let kind = self.fixed::<1>()?[0] as i8;
        let content = self.take(length)?;
        if kind != TIME_EXTENSION {
            return Ok(Token::Scalar(Value::Other));
        }
        let big_endian = |bytes: &[u8]| bytes.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
        let (seconds, nanoseconds) = match content.len() {
            4 => (big_endian(content) as i64, 0),
            8 => {
                let packed = big_endian(content);
                ((packed & 0x3_FFFF_FFFF) as i64, (packed >> 34) as i64)
            }
            12 => (big_endian(&content[4..]) as i64, big_endian(&content[..4]) as i64),
            _ => return Err(Malformed),
        };
        if nanoseconds >= NS_PER_S {
            return Err(Malformed);
        }
        let time_ns = seconds
            .checked_mul(NS_PER_S)
            .and_then(|base| base.checked_add(nanoseconds))
            .ok_or(Malformed)?;
        Ok(Token::Scalar(Value::Time(time_ns)))
    }

    #[inline]
    fn token(&mut self) -> Result<Token<'a>> {
        let integer = |value: u64| Ok(Token::Scalar(Value::Unsigned(value)));
        let marker = self.fixed::<1>()?[0];
        match marker {
            0x00..=0x7f => integer(u64::from(marker)),
            0x80..=0x8f => Ok(Token::Map(usize::from(marker & 0x0f))),
            0x90..=0x9f => Ok(Token::List(usize::from(marker & 0x0f))),
            0xa0..=0xbf => self.text(usize::from(marker & 0x1f)),
            0xc0 => Ok(Token::Scalar(Value::Other)),
            0xc1 => Err(Malformed),
            0xc2 | 0xc3 => Ok(Token::Scalar(Value::Flag(Wide(marker == 0xc3)))),
            0xc4..=0xc6 => {
                let length = self.unsigned(1 << (marker - 0xc4))?;
                self.take(length as usize)?;
                Ok(Token::Scalar(Value::Other))
            }
            0xc7..=0xc9 => {
                let length = self.unsigned(1 << (marker - 0xc7))?;
                self.extension(length as usize)
            }
            0xca => Ok(Token::Scalar(Value::Single(Wide(f32::from_be_bytes(self.fixed()?))))),
            0xcb => Ok(Token::Scalar(Value::Float(f64::from_be_bytes(self.fixed()?)))),
            0xcc..=0xcf => {
                let value = self.unsigned(1 << (marker - 0xcc))?;
                integer(value)
            }
            0xd0..=0xd3 => Ok(Token::Scalar(Value::Integer(self.signed(1 << (marker - 0xd0))?))),
            0xd4..=0xd8 => self.extension(1 << (marker - 0xd4)),
            0xd9..=0xdb => {
                let length = self.unsigned(1 << (marker - 0xd9))?;
                self.text(length as usize)
            }
            0xdc | 0xdd => Ok(Token::List(self.unsigned(2 << (marker - 0xdc))? as usize)),
            0xde | 0xdf => Ok(Token::Map(self.unsigned(2 << (marker - 0xde))? as usize)),
            0xe0..=0xff => Ok(Token::Scalar(Value::Integer(i64::from(marker as i8)))),
        }
    }

    /// A whole value; lists are stepped over and returned as their bytes.
    fn value(&mut self, depth: u32) -> Result<Value<'a>> {
        if depth > DEPTH_MAX {
            return Err(Malformed);
        }
        let start = self.at;
        match self.token()? {
            Token::Scalar(value) => Ok(value),
            Token::List(count) => {
                for _ in 0..count {
                    self.value(depth + 1)?;
                }
                Ok(Value::List(&self.bytes[start..self.at]))
            }
            Token::Map(count) => {
                for _ in 0..count {
                    self.value(depth + 1)?;
                    self.value(depth + 1)?;
                }
                Ok(Value::Other)
            }
        }
    }

    #[inline]
    fn map(&mut self, mut take: impl FnMut(&'a [u8], Value<'a>)) -> Result<()> {
        let Token::Map(count) = self.token()? else {
            return Err(Malformed);
        };
        for _ in 0..count {
            let Value::Text(name) = self.value(0)? else {
                return Err(Malformed);
            };
            let value = self.value(0)?;
            take(name, value);
        }
        Ok(())
    }
}

impl<'a> Frame<'a> for MsgpackFrame<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self> {
        let mut frame = Self {
            bytes,
            at: 0,
            remaining: 0,
        };
        let Token::List(count) = frame.token()? else {
            return Err(Malformed);
        };
        frame.remaining = count;
        Ok(frame)
    }

    fn next_message(&mut self, fields: &mut Fields<'a>) -> Result<Option<&'a [u8]>> {
        if self.remaining == 0 {
            return if self.at == self.bytes.len() {
                Ok(None)
            } else {
                Err(Malformed)
            };
        }
        self.remaining -= 1;
        let start = self.at;
        fields.clear();
        self.map(|name, value| fields.push(key(name), value))?;
        Ok(Some(&self.bytes[start..self.at]))
    }

    fn texts(list: &'a [u8], mut take: impl FnMut(Value<'a>)) -> Result<()> {
        let mut frame = Self::open(list)?;
        for _ in 0..frame.remaining {
            take(frame.value(0)?);
        }
        Ok(())
    }

    fn levels(list: &'a [u8], mut take: impl FnMut(Value<'a>, Value<'a>)) -> Result<()> {
        let mut frame = Self::open(list)?;
        for _ in 0..frame.remaining {
            let (mut price, mut size) = (Value::Other, Value::Other);
            frame.map(|name, value| match name {
                b"p" => price = value,
                b"s" => size = value,
                _ => {}
            })?;
            take(price, size);
        }
        Ok(())
    }
}
