//! Takes MessagePack apart, one item at a time, without trusting any length in it.

use rmp::Marker;

use crate::codec::{Problem, ValueError};

/// One item; what an array or a map holds follows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Item<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    Array(usize),
    Map(usize),
    Extension(i8, &'a [u8]),
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn next(&mut self) -> Result<Item<'a>, ValueError> {
        let [marker] = self.fixed()?;
        Ok(match Marker::from_u8(marker) {
            Marker::Null => Item::Nil,
            Marker::True => Item::Bool(true),
            Marker::False => Item::Bool(false),
            Marker::FixPos(number) => Item::Uint(number.into()),
            Marker::FixNeg(number) => Item::Int(number.into()),
            Marker::U8 => Item::Uint(u8::from_be_bytes(self.fixed()?).into()),
            Marker::U16 => Item::Uint(u16::from_be_bytes(self.fixed()?).into()),
            Marker::U32 => Item::Uint(u32::from_be_bytes(self.fixed()?).into()),
            Marker::U64 => Item::Uint(u64::from_be_bytes(self.fixed()?)),
            Marker::I8 => Item::Int(i8::from_be_bytes(self.fixed()?).into()),
            Marker::I16 => Item::Int(i16::from_be_bytes(self.fixed()?).into()),
            Marker::I32 => Item::Int(i32::from_be_bytes(self.fixed()?).into()),
            Marker::I64 => Item::Int(i64::from_be_bytes(self.fixed()?)),
            Marker::F32 => Item::Float(f32::from_be_bytes(self.fixed()?).into()),
            Marker::F64 => Item::Float(f64::from_be_bytes(self.fixed()?)),
            Marker::FixStr(length) => Item::Text(self.take(length.into())?),
            Marker::Str8 => Item::Text(self.sized::<1>()?),
            Marker::Str16 => Item::Text(self.sized::<2>()?),
            Marker::Str32 => Item::Text(self.sized::<4>()?),
            Marker::Bin8 => Item::Bytes(self.sized::<1>()?),
            Marker::Bin16 => Item::Bytes(self.sized::<2>()?),
            Marker::Bin32 => Item::Bytes(self.sized::<4>()?),
            Marker::FixArray(length) => Item::Array(self.claimed(length.into(), 1)?),
            Marker::Array16 => self.length::<2>(1).map(Item::Array)?,
            Marker::Array32 => self.length::<4>(1).map(Item::Array)?,
            Marker::FixMap(length) => Item::Map(self.claimed(length.into(), 2)?),
            Marker::Map16 => self.length::<2>(2).map(Item::Map)?,
            Marker::Map32 => self.length::<4>(2).map(Item::Map)?,
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => self.sized_extension::<1>()?,
            Marker::Ext16 => self.sized_extension::<2>()?,
            Marker::Ext32 => self.sized_extension::<4>()?,
            Marker::Reserved => return Err(Problem::Malformed("reserved marker".to_owned()).into()),
        })
    }

    /// Passes over one item and all that it holds, however deep.
    pub(super) fn skip(&mut self) -> Result<(), ValueError> {
        let mut left = 1_usize;
        while left > 0 {
            left -= 1;
            left = left.saturating_add(match self.next()? {
                Item::Array(length) => length,
                Item::Map(length) => length.saturating_mul(2),
                _ => 0,
            });
        }
        Ok(())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ValueError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Problem::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Problem::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn big_endian<const N: usize>(&mut self) -> Result<usize, ValueError> {
        Ok(self.fixed::<N>()?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    fn sized<const N: usize>(&mut self) -> Result<&'a [u8], ValueError> {
        let length = self.big_endian::<N>()?;
        self.take(length)
    }

    /// A length of `N` bytes whose elements take at least `least` bytes each.
    fn length<const N: usize>(&mut self, least: usize) -> Result<usize, ValueError> {
        let length = self.big_endian::<N>()?;
        self.claimed(length, least)
    }

    fn claimed(&self, length: usize, least: usize) -> Result<usize, ValueError> {
        if length.saturating_mul(least) > self.rest.len() { Err(Problem::Truncated.into()) } else { Ok(length) }
    }

    fn extension(&mut self, length: usize) -> Result<Item<'a>, ValueError> {
        let code = i8::from_be_bytes(self.fixed()?);
        Ok(Item::Extension(code, self.take(length)?))
    }

    fn sized_extension<const N: usize>(&mut self) -> Result<Item<'a>, ValueError> {
        let length = self.big_endian::<N>()?;
        self.extension(length)
    }
}
