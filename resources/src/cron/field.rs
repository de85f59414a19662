//! One field of a cron line: its bounds, its names, and the values it stands for.

use super::CronError;

/// What a field may hold.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) min: u8,
    pub(super) max: u8,
    /// The largest value that a star stands for: 7 is Sunday once more.
    pub(super) last: u8,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The fields of a line, in their order.
pub(super) const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, last: 59, names: &[] },
    Field { name: "hour", min: 0, max: 23, last: 23, names: &[] },
    Field { name: "day of month", min: 1, max: 31, last: 31, names: &[] },
    Field { name: "month", min: 1, max: 12, last: 12, names: &MONTHS },
    Field { name: "day of week", min: 0, max: 7, last: 6, names: &WEEKDAYS },
];

/// The values of each field.
pub(super) fn read_all(fields: &[&str; 5]) -> Result<[Vec<u8>; 5], CronError> {
    let mut all: [Vec<u8>; 5] = Default::default();
    for ((field, text), values) in FIELDS.iter().zip(fields).zip(&mut all) {
        *values = field.read(text)?;
    }
    Ok(all)
}

/// Values as a field that any parser reads alike.
pub(super) fn write(values: &[u8]) -> String {
    values.iter().map(u8::to_string).collect::<Vec<_>>().join(",")
}

impl Field {
    /// The values in order, Sunday as 0.
    fn read(&self, text: &str) -> Result<Vec<u8>, CronError> {
        let mut values = Vec::new();
        for item in text.split(',') {
            if item == "*" && text != "*" {
                return Err(self.odd(text, "a * stands alone, as it says everything already"));
            }
            let (range, step) = self.split_step(item, text)?;
            let (first, last) = self.range(range, text, step.is_some())?;
            values.extend(
                (first..=last).step_by(step.unwrap_or(1)).map(|value| if self.last == 6 { value % 7 } else { value }),
            );
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }

    fn split_step<'a>(&self, item: &'a str, text: &str) -> Result<(&'a str, Option<usize>), CronError> {
        let Some((range, step)) = item.split_once('/') else {
            return Ok((item, None));
        };
        match number(step) {
            Some(step) if step > 0 => Ok((range, usize::try_from(step).ok())),
            _ => Err(self.odd(text, "the step after / has to be a whole number of at least 1")),
        }
    }

    fn range(&self, range: &str, text: &str, stepped: bool) -> Result<(u8, u8), CronError> {
        if range == "*" {
            return Ok((self.min, self.last));
        }
        let Some((first, last)) = range.split_once('-') else {
            let value = self.value(range, text)?;
            if stepped {
                let hint = format!("a step needs a range or *: write {value}-{} before the /", self.last);
                return Err(self.odd(text, &hint));
            }
            return Ok((value, value));
        };
        let (first, last) = (self.value(first, text)?, self.value(last, text)?);
        if first > last {
            let upper = spell(first, self.last);
            let hint = format!("a range goes upwards: write {upper},{}", spell(self.min, last));
            return Err(self.odd(text, &hint));
        }
        Ok((first, last))
    }

    fn value(&self, value: &str, text: &str) -> Result<u8, CronError> {
        if let Some(position) = self.names.iter().position(|name| name.eq_ignore_ascii_case(value)) {
            return Ok(self.min + u8::try_from(position).unwrap_or(u8::MAX));
        }
        if value.is_empty() {
            return Err(self.odd(text, "a number is missing"));
        }
        if !value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.unknown(value, text));
        }
        let in_bounds = number(value).and_then(|value| u8::try_from(value).ok());
        in_bounds.filter(|value| (self.min..=self.max).contains(value)).ok_or_else(|| CronError::OutOfBounds {
            field: self.name,
            value: value.to_owned(),
            min: self.min,
            max: self.max,
        })
    }

    fn unknown(&self, value: &str, text: &str) -> CronError {
        if self.names.is_empty() || value.contains(['L', 'W', '#', '?', '*']) {
            let hint = format!("{value:?} is not a number, and what only some crons know (L, W, #, ?) can't be used");
            return self.odd(text, &hint);
        }
        CronError::UnknownName { field: self.name, name: value.to_owned(), known: self.names.join(", ") }
    }

    fn odd(&self, text: &str, hint: &str) -> CronError {
        CronError::Field { field: self.name, text: text.to_owned(), hint: hint.to_owned() }
    }
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn spell(first: u8, last: u8) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}
