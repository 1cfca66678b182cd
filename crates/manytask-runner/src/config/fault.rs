//! Mistakes with their place.

use std::fmt::Write as _;
use std::ops::Range;

use super::Source;
use crate::failure::{Code, Failure};

impl Source {
    /// A mistake at a place: file, line, column, the line itself with a caret, and what to do.
    pub(crate) fn fault(&self, what: &str, place: Range<usize>, mut hints: Vec<String>) -> Failure {
        let what = plain(&what.trim().replace('\n', "; "));
        if let Some(hint) = suggestion(&what) {
            hints.push(hint);
        }
        let place = place.start.min(self.text.len())..place.end.min(self.text.len());
        let start = self.text.get(..place.start).and_then(|text| text.rfind('\n')).map_or(0, |at| at + 1);
        let line = self.text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        let before = self.text.get(start..place.start).unwrap_or_default();
        let column = before.chars().count();
        // Tabs stay, so that the caret stands where the terminal puts the character above it.
        let blanks: String = before.chars().map(|c| if c == '\t' { c } else { ' ' }).collect();
        let marked = self.text.get(place.clone()).unwrap_or_default().lines().next().unwrap_or_default();
        let carets = "^".repeat(marked.chars().count().max(1));
        let mut message = String::new();
        if place.start >= self.end && self.text.len() > self.end && start > self.end {
            // Writing to a string cannot fail.
            let _ = write!(message, "in the argument `{line}`: {what}\n  | {line}\n  | {blanks}{carets}");
        } else {
            let number = self.text.get(..start).unwrap_or_default().matches('\n').count() + 1;
            let margin = " ".repeat(number.to_string().len());
            let file = self.path.display();
            let _ = write!(
                message,
                "{file}:{number}:{}: {what}\n{margin} |\n{number} | {line}\n{margin} | {blanks}{carets}",
                column + 1,
            );
        }
        Failure { code: Code::Config, message, hints }
    }
}

/// `did you mean`, for what serde says of unknown names with the known ones.
fn suggestion(message: &str) -> Option<String> {
    let known = message.starts_with("unknown key") || message.starts_with("unknown value");
    let mut quoted = message.split('`').skip(1).step_by(2);
    let wrong = quoted.next().filter(|_| known)?;
    nearest(wrong, quoted).map(|name| format!("did you mean `{name}`?"))
}

/// What serde and the parser say, in the words of a configuration instead of those of Rust.
fn plain(message: &str) -> String {
    for (theirs, ours) in [
        ("unknown field ", "unknown key "),
        ("missing field ", "missing key "),
        ("duplicate field ", "duplicate key "),
        ("unknown variant ", "unknown value "),
    ] {
        if let Some(rest) = message.strip_prefix(theirs) {
            return format!("{ours}{rest}");
        }
    }
    match message {
        "wanted string or table" => return "expected a name or a table".to_owned(),
        "wanted exactly 1 element, found 0 elements" => return "expected one key, found none".to_owned(),
        "wanted exactly 1 element, more than 1 element" => {
            return "expected one key, found more than one".to_owned();
        }
        _ => {}
    }
    let wrong = ["invalid type: ", "invalid value: "].iter().find_map(|kind| message.strip_prefix(kind));
    if let Some((found, expected)) = wrong.and_then(|wrong| wrong.rsplit_once(", expected ")) {
        return format!("expected {}, found {}", expected_type(expected), found_type(found));
    }
    if message.ends_with(" value was too large") || message.ends_with(" value was too small") {
        return "the number is beyond what can be counted".to_owned();
    }
    message.to_owned()
}

fn expected_type(rust: &str) -> &str {
    match rust {
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" | "a nonzero u64" => "a whole number of at least 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "a sequence" => "an array",
        "a boolean" => "true or false",
        "path string" => "a path in quotes",
        "a map" => "a table",
        _ if rust.starts_with("struct ") => "a table",
        _ => rust,
    }
}

fn found_type(rust: &str) -> &str {
    match rust {
        "sequence" => "an array",
        "map" => "a table",
        _ => rust.strip_suffix(" as i128").or_else(|| rust.strip_suffix(" as u128")).unwrap_or(rust),
    }
}

/// The nearest of some names, if it is near.
pub(crate) fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let near = |name: &&str| strsim::jaro_winkler(&wrong.to_lowercase(), &name.to_lowercase());
    let best = names.into_iter().max_by(|a, b| near(a).total_cmp(&near(b)))?;
    (near(&best) > 0.75).then_some(best)
}
