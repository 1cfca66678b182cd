//! Values of Parquet as the texts that a table keeps.

use std::fmt::Write;

use chrono::{DateTime, NaiveTime};
use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type};
use parquet::data_type::{ByteArray, FixedLenByteArray, Int96};
use parquet::record::Field;
use parquet::schema::types::ColumnDescPtr;

/// What the values of a column mean.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// What they are.
    Plain,
    /// Whole numbers without a sign.
    Unsigned,
    /// Days since 1970.
    Days,
    /// Moments, counted from 1970 in so many parts of a second.
    Moments(i64),
    /// Times of a day, counted from midnight in so many parts of a second.
    Times(i64),
    /// Numbers of two bytes; the column says so.
    Half(ColumnDescPtr),
    /// Decimal fractions with so many digits behind the point.
    Decimal(usize),
}

const MILLIS: i64 = 1_000;
const MICROS: i64 = 1_000_000;
const NANOS: i64 = 1_000_000_000;
const DAY: i64 = 86_400;
/// The day of 1970-01-01 in the count of days that old timestamps have.
const JULIAN_1970: i64 = 2_440_588;

impl Form {
    /// That of a column, or what it holds where that is no cell of a table.
    pub(super) fn of(described: &ColumnDescPtr) -> Result<Self, &'static str> {
        if described.max_rep_level() > 0 {
            return Err("several values in a row");
        }
        let is_text = matches!(
            described.logical_type_ref(),
            Some(LogicalType::String | LogicalType::Enum | LogicalType::Json)
        ) || matches!(
            described.converted_type(),
            ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON
        );
        match (Self::named(described), described.physical_type()) {
            (Some(form), _) => Ok(form),
            (None, Type::BYTE_ARRAY) if is_text => Ok(Self::Plain),
            (None, Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY) => Err("bytes"),
            (None, _) => Ok(Self::Plain),
        }
    }

    /// The form that the schema names, in today's words or in those of old files.
    fn named(described: &ColumnDescPtr) -> Option<Self> {
        let decimal = || Self::Decimal(usize::try_from(described.type_scale()).unwrap_or(0));
        let parts = |unit: TimeUnit| match unit {
            TimeUnit::MILLIS => MILLIS,
            TimeUnit::MICROS => MICROS,
            TimeUnit::NANOS => NANOS,
        };
        let today = match described.logical_type_ref() {
            Some(LogicalType::Date) => Some(Self::Days),
            Some(LogicalType::Timestamp(of)) => Some(Self::Moments(parts(of.unit))),
            Some(LogicalType::Time(of)) => Some(Self::Times(parts(of.unit))),
            Some(LogicalType::Float16) => Some(Self::Half(described.clone())),
            Some(LogicalType::Decimal(_)) => Some(decimal()),
            Some(LogicalType::Integer(of)) if !of.is_signed => Some(Self::Unsigned),
            _ => None,
        };
        today.or_else(|| match described.converted_type() {
            ConvertedType::DATE => Some(Self::Days),
            ConvertedType::TIMESTAMP_MILLIS => Some(Self::Moments(MILLIS)),
            ConvertedType::TIMESTAMP_MICROS => Some(Self::Moments(MICROS)),
            ConvertedType::TIME_MILLIS => Some(Self::Times(MILLIS)),
            ConvertedType::TIME_MICROS => Some(Self::Times(MICROS)),
            ConvertedType::DECIMAL => Some(decimal()),
            ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64 => Some(Self::Unsigned),
            _ => None,
        })
    }
}

/// A value that has a text.
pub(super) trait Text {
    /// Adds the text of the value; `false` where it stands for none.
    ///
    /// # Errors
    /// What the value is, where it has no text.
    fn write(&self, form: &Form, text: &mut String) -> Result<bool, &'static str>;
}

/// Whatever is displayed has a text.
macro_rules! add {
    ($text:expr, $($value:tt)*) => {
        write!($text, $($value)*).map(|()| true).map_err(|_| "a value that cannot be written")
    };
}

impl Text for bool {
    fn write(&self, _: &Form, text: &mut String) -> Result<bool, &'static str> {
        add!(text, "{self}")
    }
}

impl Text for i32 {
    fn write(&self, form: &Form, text: &mut String) -> Result<bool, &'static str> {
        match form {
            Form::Unsigned => add!(text, "{}", self.cast_unsigned()),
            form => i64::from(*self).write(form, text),
        }
    }
}

impl Text for i64 {
    fn write(&self, form: &Form, text: &mut String) -> Result<bool, &'static str> {
        match form {
            Form::Unsigned => add!(text, "{}", self.cast_unsigned()),
            Form::Days => {
                match self.checked_mul(DAY).and_then(|seconds| DateTime::from_timestamp(seconds, 0)) {
                    Some(day) => add!(text, "{}", day.format("%Y-%m-%d")),
                    None => Err("a date beyond the calendar"),
                }
            }
            Form::Moments(parts) => moment(self.div_euclid(*parts), nanos(*self, *parts), text),
            Form::Times(parts) => time(self.div_euclid(*parts), nanos(*self, *parts), text),
            Form::Decimal(scale) => decimal(i128::from(*self), *scale, text),
            Form::Plain | Form::Half(_) => add!(text, "{self}"),
        }
    }
}

impl Text for Int96 {
    /// A moment as old files have it: nanoseconds of a day, and the day.
    fn write(&self, _: &Form, text: &mut String) -> Result<bool, &'static str> {
        let [low, high, day] = self.data() else { return Err("a damaged moment") };
        let nanos = i64::from(*low) | i64::from(*high) << 32;
        let seconds = (i64::from(*day) - JULIAN_1970) * DAY + nanos.div_euclid(NANOS);
        moment(seconds, nanos.rem_euclid(NANOS), text)
    }
}

impl Text for f32 {
    fn write(&self, _: &Form, text: &mut String) -> Result<bool, &'static str> {
        if self.is_nan() { Ok(false) } else { add!(text, "{self}") }
    }
}

impl Text for f64 {
    fn write(&self, _: &Form, text: &mut String) -> Result<bool, &'static str> {
        if self.is_nan() { Ok(false) } else { add!(text, "{self}") }
    }
}

impl Text for ByteArray {
    fn write(&self, form: &Form, text: &mut String) -> Result<bool, &'static str> {
        match form {
            Form::Decimal(scale) => decimal(big_endian(self.data())?, *scale, text),
            Form::Half(described) => match Field::convert_byte_array(described, self.clone()) {
                Ok(Field::Float16(value)) if value.is_nan() => Ok(false),
                Ok(Field::Float16(value)) => add!(text, "{value}"),
                _ => Err("a damaged number of two bytes"),
            },
            _ => {
                text.push_str(std::str::from_utf8(self.data()).map_err(|_| "a text that is not UTF-8")?);
                Ok(true)
            }
        }
    }
}

impl Text for FixedLenByteArray {
    fn write(&self, form: &Form, text: &mut String) -> Result<bool, &'static str> {
        ByteArray::write(self, form, text)
    }
}

/// The nanoseconds within the second.
fn nanos(value: i64, parts: i64) -> i64 {
    value.rem_euclid(parts) * (NANOS / parts)
}

fn moment(seconds: i64, nanos: i64, text: &mut String) -> Result<bool, &'static str> {
    match DateTime::from_timestamp(seconds, u32::try_from(nanos).unwrap_or(0)) {
        Some(at) => add!(text, "{}", at.format("%Y-%m-%d %H:%M:%S%.f")),
        None => Err("a moment beyond the calendar"),
    }
}

fn time(seconds: i64, nanos: i64, text: &mut String) -> Result<bool, &'static str> {
    let of_day =
        |seconds| NaiveTime::from_num_seconds_from_midnight_opt(seconds, u32::try_from(nanos).unwrap_or(0));
    match u32::try_from(seconds).ok().and_then(of_day) {
        Some(at) => add!(text, "{}", at.format("%H:%M:%S%.f")),
        None => Err("a time that is in no day"),
    }
}

fn decimal(unscaled: i128, scale: usize, text: &mut String) -> Result<bool, &'static str> {
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    match digits.split_at_checked(digits.len() - scale) {
        Some((whole, "")) => add!(text, "{sign}{whole}"),
        Some((whole, fraction)) => add!(text, "{sign}{whole}.{fraction}"),
        None => Err("a damaged decimal fraction"),
    }
}

/// A whole number with a sign of up to 16 bytes, the highest first.
fn big_endian(bytes: &[u8]) -> Result<i128, &'static str> {
    match bytes {
        [] | [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, ..] => {
            Err("a decimal fraction of more than 38 digits")
        }
        [first, ..] => {
            let sign = if first & 0x80 == 0 { 0 } else { -1 };
            Ok(bytes.iter().fold(sign, |number, byte| number << 8 | i128::from(*byte)))
        }
    }
}
