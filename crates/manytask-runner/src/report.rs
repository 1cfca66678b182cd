//! What the commands say: data on stdout, the rest on stderr.

mod table;

use std::io::Write;

use manytask_multitask::{Evaluation, Problem};
use serde_json::{Map, Value, json};

use crate::failure::{Code, Failure, Result, escaped};

pub(crate) use self::table::aligned;
pub use self::table::table;

/// Writes to stdout. A reader that has gone away is no failure.
///
/// # Errors
/// When what stands behind stdout does not take it, such as a full disk (exit code 4).
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Code::Data, format!("stdout cannot be written to: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a line to stderr.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", escaped(text));
}

/// Adds to a result in JSON what its metrics depend on and what a reader must know of them, where there is any.
pub(crate) fn circumstances(result: &mut Value, problem: &dyn Problem, evaluation: &Evaluation) {
    let protocol: Map<String, Value> =
        problem.protocol().into_iter().map(|(name, how)| (name.to_owned(), json!(how))).collect();
    if !protocol.is_empty() {
        result["protocol"] = Value::Object(protocol);
    }
    if !evaluation.notes.is_empty() {
        result["notes"] = json!(evaluation.notes);
    }
}

/// Says the same.
pub(crate) fn say_circumstances(problem: &dyn Problem, evaluation: &Evaluation) {
    for (name, how) in problem.protocol() {
        say(&format!("{name}: {how}"));
    }
    for note in &evaluation.notes {
        say(&format!("note: {note}"));
    }
}

/// A number with four significant digits.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && size.is_finite() && !(1e-4..1e7).contains(&size) {
        return format!("{value:.3e}");
    }
    // The exponent after rounding: 0.99996 is 1.000.
    let exponent = format!("{value:.3e}").split_once('e').and_then(|(_, digits)| digits.parse::<i32>().ok());
    let decimals = 3 - exponent.unwrap_or_default().min(3);
    format!("{value:.0$}", decimals as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_significant_digits() {
        for (value, text) in [
            (0.0, "0.000"),
            (0.946_12, "0.9461"),
            (0.079_1, "0.07910"),
            (0.000_123_456, "0.0001235"),
            (0.000_012_3, "1.230e-5"),
            (0.999_96, "1.000"),
            (9.999_6, "10.00"),
            (-12.345_6, "-12.35"),
            (1234.56, "1235"),
            (123_456.7, "123457"),
            (1.5e9, "1.500e9"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
    }
}
