//! Fields of one message, borrowed from the frame they came in; JSON and msgpack meet here.

use crate::number::{NumberError, float_e9, parse_e9, single_e9};
use crate::time::parse_rfc3339;
use holdfast_records::{E9, Text};

/// Fields of a message that are kept; Alpaca's longest has fourteen.
pub(crate) const FIELDS_MAX: usize = 24;

/// A small value at the place of the wide ones: a [`Value`] is then copied in whole words. Copied in parts, each field
/// waits for its own store; that was a quarter of the time of decoding msgpack.
#[derive(Clone, Copy, Debug)]
#[repr(align(8))]
pub(crate) struct Wide<T>(pub(crate) T);

/// One value, not yet interpreted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// Null, or what no message uses.
    Other,
    /// True or false.
    Flag(Wide<bool>),
    /// The characters of a string.
    Text(&'a [u8]),
    /// The characters of a JSON string that holds escapes, as they came.
    Escaped(&'a [u8]),
    /// The characters of a JSON number.
    Number(&'a [u8]),
    /// A msgpack integer.
    Integer(i64),
    /// A msgpack integer that is not negative.
    Unsigned(u64),
    /// A msgpack float.
    Float(f64),
    /// A msgpack float of single precision.
    Single(Wide<f32>),
    /// A msgpack timestamp, ns UTC.
    Time(i64),
    /// A list, as it stands in the frame.
    List(&'a [u8]),
}

impl Value<'_> {
    /// The value as a scaled integer.
    #[inline]
    pub(crate) fn e9(self) -> Result<i64, NumberError> {
        match self {
            Self::Number(text) => parse_e9(text),
            Self::Float(value) => float_e9(value),
            Self::Single(Wide(value)) => single_e9(value),
            Self::Integer(value) => value.checked_mul(E9).ok_or(NumberError::Range),
            Self::Unsigned(value) => i64::try_from(value)
                .ok()
                .and_then(|value| value.checked_mul(E9))
                .ok_or(NumberError::Range),
            _ => Err(NumberError::Malformed),
        }
    }

    /// The value as a count or an id.
    pub(crate) fn integer(self) -> Option<u64> {
        match self {
            Self::Number(text) => core::str::from_utf8(text).ok()?.parse().ok(),
            Self::Unsigned(value) => Some(value),
            Self::Float(value) if (0.0..9e15).contains(&value) && value.fract() == 0.0 => Some(value as u64),
            _ => None,
        }
    }

    /// The value as ns UTC.
    pub(crate) fn time_ns(self) -> Option<i64> {
        match self {
            Self::Text(text) => parse_rfc3339(text),
            Self::Time(time_ns) => Some(time_ns),
            _ => None,
        }
    }

    /// The value as text, or nothing when it does not fit.
    #[inline]
    pub(crate) fn text<const N: usize>(self) -> Option<Text<N>> {
        match self {
            Self::Text(text) => Text::new(core::str::from_utf8(text).ok()?),
            Self::Escaped(text) => Text::new(&unescape(text)?),
            _ => None,
        }
    }

    /// As much of the text as fits.
    pub(crate) fn text_cut<const N: usize>(self) -> Text<N> {
        match self {
            Self::Text(text) => core::str::from_utf8(text).map_or_else(|_| Text::default(), Text::truncated),
            Self::Escaped(text) => unescape(text).map_or_else(Text::default, |text| Text::truncated(&text)),
            _ => Text::default(),
        }
    }

    /// The first character, as the one-letter codes of exchanges and tapes are kept.
    #[inline]
    pub(crate) fn letter(self) -> u8 {
        match self {
            Self::Text([letter, ..]) => *letter,
            _ => 0,
        }
    }
}

/// The characters of a JSON string; nothing for a bad escape.
fn unescape(text: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(text).ok()?;
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        plain.push(match rest.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let code = rest
                    .by_ref()
                    .take(4)
                    .try_fold(0, |code, digit| Some(code * 16 + digit.to_digit(16)?))?;
                // Half of a surrogate pair has no place in a reason or a symbol.
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => other,
        });
    }
    Some(plain)
}

/// A field's name as a number: its bytes, at most four.
pub(crate) type Key = u32;

/// The key of a name; 0 for one that no data message has.
pub(crate) const fn key(name: &[u8]) -> Key {
    match *name {
        [a] => a as u32,
        [a, b] => (a as u32) | (b as u32) << 8,
        [a, b, c] => (a as u32) | (b as u32) << 8 | (c as u32) << 16,
        [a, b, c, d] => (a as u32) | (b as u32) << 8 | (c as u32) << 16 | (d as u32) << 24,
        _ => 0,
    }
}

/// The fields of one message, in the order they came.
pub(crate) struct Fields<'a> {
    entries: [(Key, Value<'a>); FIELDS_MAX],
    count: usize,
    /// The value of `T`.
    pub(crate) kind: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: [(0, Value::Other); FIELDS_MAX],
            count: 0,
            kind: &[],
        }
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.kind = &[];
    }

    #[inline]
    pub(crate) fn push(&mut self, key: Key, value: Value<'a>) {
        const KIND: Key = self::key(b"T");
        if key == KIND {
            if let Value::Text(kind) = value {
                self.kind = kind;
            }
        } else if key != 0 && self.count < FIELDS_MAX {
            self.entries[self.count] = (key, value);
            self.count += 1;
        }
    }

    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, Value<'a>)> {
        self.entries[..self.count].iter().copied()
    }
}

/// A frame's bytes and how far they are read. A reader of an encoding never panics, whatever the bytes.
pub(crate) trait Frame<'a>: Sized {
    /// Starts at the first message of a frame.
    fn open(bytes: &'a [u8]) -> Result<Self, Malformed>;
    /// Reads the next message into `fields` and returns its bytes; nothing at the end of the frame.
    fn next_message(&mut self, fields: &mut Fields<'a>) -> Result<Option<&'a [u8]>, Malformed>;
    /// Reads a list of texts, each handed to `take`.
    fn texts(list: &'a [u8], take: impl FnMut(Value<'a>)) -> Result<(), Malformed>;
    /// Reads a list of price levels, each handed to `take` as price and size.
    fn levels(list: &'a [u8], take: impl FnMut(Value<'a>, Value<'a>)) -> Result<(), Malformed>;
}

/// The bytes are not what the encoding allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;
