//! Decimal numbers of any precision, within bounds that keep arithmetic and printing cheap.

use bigdecimal::BigDecimal;
use bigdecimal::ToPrimitive;

/// The largest power of ten, up or down, that a number from outside may have. A `f64` needs 1074 digits after the
/// point at most, Terraform's own numbers 512 bits; beyond this a few bytes of text would claim any amount of memory.
const MAX_EXPONENT: i64 = 10_000;

/// The most digits that a number from outside may have.
const MAX_DIGITS: usize = 12_000;

/// A decimal number of any precision; `1.0` and `1` are the same number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(BigDecimal);

/// Why a text or a float is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not written as a decimal number.
    #[error("not a decimal number")]
    Syntax,
    /// Too many digits, or too great an exponent.
    #[error("a number with too many digits or too great an exponent")]
    Range,
    /// Infinity, or not a number.
    #[error("not a finite number")]
    NotFinite,
}

impl Number {
    /// The number as an `i64`, if it is one.
    pub fn as_i64(&self) -> Option<i64> {
        if self.0.is_integer() { self.0.to_i64() } else { None }
    }

    /// The number as a `u64`, if it is one.
    pub fn as_u64(&self) -> Option<u64> {
        if self.0.is_integer() { self.0.to_u64() } else { None }
    }

    /// The number as an `f64`, if it is exactly one, and written like one.
    pub fn as_exact_f64(&self) -> Option<f64> {
        let float: f64 = self.0.to_scientific_notation().parse().ok()?;
        let exact = BigDecimal::try_from(float).ok()?;
        (exact == self.0 && Number::try_from(float).as_ref() == Ok(self)).then_some(float)
    }

    /// Whether this is a whole number.
    pub fn is_integer(&self) -> bool {
        self.0.is_integer()
    }
}

impl From<BigDecimal> for Number {
    fn from(number: BigDecimal) -> Self {
        Number(number.normalized())
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Number::from(BigDecimal::from(number))
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Number::from(BigDecimal::from(number))
    }
}

impl TryFrom<f64> for Number {
    type Error = NumberError;

    /// The number that Terraform takes the bits for: a whole number exactly, any other in its shortest form. go-cty
    /// compares fractions by how they are written in JSON (`rawNumberEqual` in its cty/primitive_type.go), so that
    /// the float 0.1, the text `0.1` and what is read back from stored state are one number.
    fn try_from(number: f64) -> Result<Self, NumberError> {
        if !number.is_finite() {
            return Err(NumberError::NotFinite);
        }
        if number.fract() != 0.0 {
            return number.to_string().parse();
        }
        BigDecimal::try_from(number).map(Number::from).map_err(|_| NumberError::NotFinite)
    }
}

impl std::str::FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        check_text(text)?;
        text.parse::<BigDecimal>().map(Number::from).map_err(|_| NumberError::Syntax)
    }
}

/// Looks at the text alone, so that nothing is computed from a number that is out of bounds.
fn check_text(text: &str) -> Result<(), NumberError> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let mantissa = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
        return Err(NumberError::Syntax);
    }
    if whole.len() + fraction.len() > MAX_DIGITS {
        return Err(NumberError::Range);
    }
    let Some(exponent) = exponent else { return Ok(()) };
    let unsigned = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if unsigned.is_empty() || !digits(unsigned) {
        return Err(NumberError::Syntax);
    }
    match unsigned.parse::<i64>() {
        Ok(power) if power <= MAX_EXPONENT => Ok(()),
        _ => Err(NumberError::Range),
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0.to_plain_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_is_the_number_that_terraform_takes_it_for() {
        let number = |text: &str| text.parse::<Number>().unwrap();
        assert_eq!(Number::try_from(0.1).unwrap(), number("0.1"));
        assert_eq!(Number::try_from(-2.5e-3).unwrap(), number("-0.0025"));
        assert_eq!(Number::try_from(-0.0).unwrap(), Number::from(0_i64));
        assert_eq!(Number::try_from(1e23).unwrap(), number("99999999999999991611392"));
        assert_eq!(Number::try_from(f64::NAN), Err(NumberError::NotFinite));
    }

    #[test]
    fn only_what_a_float_holds_exactly_is_one() {
        let float = |text: &str| text.parse::<Number>().unwrap().as_exact_f64();
        assert_eq!(float("0.5"), Some(0.5));
        assert_eq!(float("-1e22"), Some(-1e22));
        // As a float it would be read back as 0.1.
        assert_eq!(float("0.1000000000000000055511151231257827021181583404541015625"), None);
        assert_eq!((float("0.1"), float("1e400"), float("1e-400")), (None, None, None));
    }

    #[test]
    fn an_exponent_that_would_eat_memory_is_refused() {
        for text in ["1e1000000000", "1e-1000000000", "1e99999999999999999999", "-1E+10001"] {
            assert_eq!(text.parse::<Number>(), Err(NumberError::Range), "{text}");
        }
        assert_eq!("1".repeat(20_000).parse::<Number>(), Err(NumberError::Range));
        assert_eq!("1e3".parse::<Number>().unwrap().to_string(), "1000");
    }

    #[test]
    fn what_is_not_a_decimal_number_is_refused() {
        for text in ["", "-", ".", "e1", "1e", "1e+", "0x10", "1_000", " 1", "NaN", "Inf", "1.2.3", "١"] {
            assert_eq!(text.parse::<Number>(), Err(NumberError::Syntax), "{text:?}");
        }
        for (text, same) in [("5.", "5"), (".5", "0.5"), ("+5", "5"), ("-0", "0"), ("1.50", "1.5")] {
            assert_eq!(text.parse::<Number>().unwrap(), same.parse().unwrap(), "{text:?}");
        }
    }
}
