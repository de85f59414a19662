//! What is known about an unknown value: the body of MessagePack's extension type 12.

use rmp::encode::{write_array_len, write_bool, write_map_len, write_sint, write_str};

use super::encode::{length, number, written};
use super::reader::{Item, Reader};
use crate::codec::{Problem, ValueError, normal};
use crate::number::{Number, NumberError};
use crate::ty::Type;
use crate::value::Refinements;

/// The extension type of an unknown value about which something is known.
pub(super) const REFINED: i8 = 12;

/// Longer bodies are refused by go-cty, so they are refused here.
const MAX_BODY: usize = 1024;

/// go-cty's limit for a prefix, in bytes.
const MAX_PREFIX: usize = 256;

const NULLNESS: i64 = 1;
const PREFIX: i64 = 2;
const NUMBER_MINIMUM: i64 = 3;
const NUMBER_MAXIMUM: i64 = 4;
const LENGTH_MINIMUM: i64 = 5;
const LENGTH_MAXIMUM: i64 = 6;

/// Reads what an extension says. Extensions of other types are unknown values too, without anything known.
pub(super) fn decode(code: i8, body: &[u8], ty: &Type) -> Result<Refinements, ValueError> {
    let mut known = Refinements::default();
    if body.len() <= 1 || code != REFINED {
        return Ok(known);
    }
    if body.len() > MAX_BODY {
        return Err(invalid("too long"));
    }
    let mut reader = Reader::new(body);
    let Item::Map(entries) = reader.next()? else {
        return Err(invalid("not a map"));
    };
    if *ty == Type::Dynamic {
        return Ok(known);
    }
    for _ in 0..entries {
        let key = integer(reader.next()?).ok_or_else(|| invalid("a key that is not an integer"))?;
        entry(key, &mut reader, ty, &mut known)?;
    }
    Ok(known)
}

fn entry(key: i64, reader: &mut Reader<'_>, ty: &Type, known: &mut Refinements) -> Result<(), ValueError> {
    match key {
        NULLNESS => match reader.next()? {
            Item::Bool(null) => known.null = Some(null),
            _ => return Err(invalid("nullness that is not a bool")),
        },
        PREFIX if *ty == Type::String => match reader.next()? {
            Item::Text(bytes) => {
                known.prefix = Some(std::str::from_utf8(bytes).map_err(|_| Problem::Utf8)?.to_owned());
            }
            _ => return Err(invalid("a prefix that is not text")),
        },
        NUMBER_MINIMUM if *ty == Type::Number => known.minimum = bound(reader)?,
        NUMBER_MAXIMUM if *ty == Type::Number => known.maximum = bound(reader)?,
        LENGTH_MINIMUM if is_collection(ty) => known.minimum_length = Some(length_bound(reader)?),
        LENGTH_MAXIMUM if is_collection(ty) => known.maximum_length = Some(length_bound(reader)?),
        PREFIX..=LENGTH_MAXIMUM => return Err(invalid("it does not fit the type")),
        _ => reader.skip()?,
    }
    Ok(())
}

fn bound(reader: &mut Reader<'_>) -> Result<Option<(Number, bool)>, ValueError> {
    if !matches!(reader.next()?, Item::Array(2)) {
        return Err(invalid("a bound that is not a number and a bool"));
    }
    let number = match super::decode::number(reader.next()?) {
        Ok(number) => Some(number),
        // An infinite bound bounds nothing.
        Err(ValueError { problem: Problem::Number(NumberError::NotFinite), .. }) => None,
        Err(error) => return Err(error),
    };
    match reader.next()? {
        Item::Bool(inclusive) => Ok(number.map(|number| (number, inclusive))),
        _ => Err(invalid("a bound that is not a number and a bool")),
    }
}

fn length_bound(reader: &mut Reader<'_>) -> Result<i64, ValueError> {
    integer(reader.next()?).ok_or_else(|| invalid("a length that is not an integer"))
}

fn integer(item: Item<'_>) -> Option<i64> {
    match item {
        Item::Int(number) => Some(number),
        Item::Uint(number) => i64::try_from(number).ok(),
        _ => None,
    }
}

fn is_collection(ty: &Type) -> bool {
    matches!(ty, Type::List(_) | Type::Set(_) | Type::Map(_))
}

fn invalid(what: &'static str) -> ValueError {
    Problem::Refinement(what).into()
}

/// Writes what is known, as far as it fits the type; nothing at all when nothing is known.
pub(super) fn encode(known: &Refinements, ty: &Type) -> Result<Vec<u8>, ValueError> {
    let mut entries = 0_usize;
    let mut bytes = Vec::new();
    let mut key = |key: i64, bytes: &mut Vec<u8>| {
        entries += 1;
        written(write_sint(bytes, key))
    };
    if let Some(null) = known.null.filter(|_| *ty != Type::Dynamic) {
        key(NULLNESS, &mut bytes)?;
        written(write_bool(&mut bytes, null))?;
    }
    if let Some(prefix) = known.prefix.as_deref().filter(|prefix| *ty == Type::String && !prefix.is_empty()) {
        key(PREFIX, &mut bytes)?;
        written(write_str(&mut bytes, shortened(&normal(prefix))))?;
    }
    for (code, bound) in [(NUMBER_MINIMUM, &known.minimum), (NUMBER_MAXIMUM, &known.maximum)] {
        if let Some((limit, inclusive)) = bound.as_ref().filter(|_| *ty == Type::Number) {
            key(code, &mut bytes)?;
            written(write_array_len(&mut bytes, 2))?;
            number(limit, &mut bytes)?;
            written(write_bool(&mut bytes, *inclusive))?;
        }
    }
    let lengths =
        [(LENGTH_MINIMUM, known.minimum_length.filter(|least| *least > 0)), (LENGTH_MAXIMUM, known.maximum_length)];
    for (code, bound) in lengths {
        if let Some(bound) = bound.filter(|_| is_collection(ty)) {
            key(code, &mut bytes)?;
            written(write_sint(&mut bytes, bound))?;
        }
    }
    if entries == 0 {
        return Ok(bytes);
    }
    let mut body = Vec::with_capacity(bytes.len() + 1);
    written(write_map_len(&mut body, length(entries)?))?;
    body.extend(bytes);
    // Bounds with thousands of digits would be refused at the other end; knowing less is always true.
    if body.len() > MAX_BODY { Ok(Vec::new()) } else { Ok(body) }
}

/// As much of a prefix as may be sent. A character at the end of a cut could still combine with the one that follows,
/// so the cut leaves a margin: everything up to the last ASCII character but one.
fn shortened(prefix: &str) -> &str {
    if prefix.len() <= MAX_PREFIX {
        return prefix;
    }
    let cut = prefix.floor_char_boundary(MAX_PREFIX - 1);
    let end = prefix[..cut].char_indices().rev().find(|(_, character)| character.is_ascii());
    &prefix[..end.map_or(0, |(position, _)| position)]
}
