//! Mistakes with their place.

use std::fmt::Write as _;
use std::ops::Range;

use manytask_tensor::ShownPath as _;

use super::Source;
use crate::failure::{Code, Failure};

impl Source {
    /// A mistake at a place: file, line, column, the line itself with a caret, and what to do.
    pub(crate) fn diagnostic(&self, what: &str, place: Range<usize>, mut hints: Vec<String>) -> Failure {
        let what = plain(&what.trim().replace('\n', "; "));
        if let Some(hint) = suggestion(&what) {
            hints.push(hint);
        }
        let place = place.start.min(self.text.len())..place.end.min(self.text.len());
        if place.start > self.written {
            return Failure { hints, ..Failure::new(Code::Config, what) }.shown_there();
        }
        let start = self.text.get(..place.start).and_then(|text| text.rfind('\n')).map_or(0, |at| at + 1);
        let line = self.text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        let column = self.text.get(start..place.start).unwrap_or_default().chars().count();
        let marked = self.text.get(place.clone()).unwrap_or_default().lines().next().unwrap_or_default();
        let Window { line, blanks, carets } = Window::of(line, column, marked.chars().count().max(1));
        let mut message = String::new();
        if place.start >= self.end && self.text.len() > self.end && start > self.end {
            // Writing to a string cannot fail.
            let _ = write!(message, "in the argument `{line}`: {what}\n  | {line}\n  | {blanks}{carets}");
        } else {
            let number = self.text.get(..start).unwrap_or_default().matches('\n').count() + 1;
            let margin = " ".repeat(number.to_string().len());
            let file = self.path.shown();
            let _ = write!(
                message,
                "{file}:{number}:{}: {what}\n{margin} |\n{number} | {line}\n{margin} | {blanks}{carets}",
                column + 1,
            );
        }
        Failure { hints, ..Failure::new(Code::Config, message) }.shown_there()
    }
}

/// What is shown of a line around a mistake.
struct Window {
    line: String,
    /// What stands below the line, up to the mistake.
    blanks: String,
    carets: String,
}

impl Window {
    /// Of a line whose characters from `column` on, `marked` of them, are wrong.
    fn of(line: &str, column: usize, marked: usize) -> Self {
        const SHOWN: usize = 120;
        const BEFORE: usize = 60;
        let length = line.chars().count();
        let first = if length <= SHOWN { 0 } else { column.saturating_sub(BEFORE).min(length - SHOWN) };
        let shown: Vec<char> = line.chars().skip(first).take(SHOWN).collect();
        let (head, tail) = (first > 0, first + shown.len() < length);
        let line: String =
            head.then_some('…').into_iter().chain(shown.iter().copied()).chain(tail.then_some('…')).collect();
        // Tabs stay, so that the caret stands where the terminal puts the character above it.
        let before =
            shown.iter().take(column - first.min(column)).map(|c| if *c == '\t' { '\t' } else { ' ' });
        let blanks = head.then_some(' ').into_iter().chain(before).collect();
        let carets = marked.min((shown.len() + first).saturating_sub(column)).max(1);
        Self { line, blanks, carets: "^".repeat(carets) }
    }
}

/// `did you mean`, for what serde says of unknown names with the known ones.
fn suggestion(message: &str) -> Option<String> {
    let known = message.starts_with("unknown key") || message.starts_with("unknown value");
    let mut quoted = message.split('`').skip(1).step_by(2);
    let wrong = quoted.next().filter(|_| known)?;
    let known: Vec<&str> = quoted.collect();
    let other =
        OTHER_NAMES.iter().find(|(other, name)| *other == wrong.to_lowercase() && known.contains(name));
    let name = other.map(|(_, name)| *name).or_else(|| nearest(wrong, known))?;
    Some(format!("did you mean `{name}`?"))
}

/// What other programs call what has another name here.
const OTHER_NAMES: [(&str, &str); 23] = [
    ("figure", "metric"),
    ("mae", "l1"),
    ("absolute_error", "l1"),
    ("l2", "mse"),
    ("squared_error", "mse"),
    ("smooth_l1", "huber"),
    ("bce", "binary_cross_entropy"),
    ("bce_with_logits", "binary_cross_entropy"),
    ("logistic", "binary_cross_entropy"),
    ("ce", "cross_entropy"),
    ("nll", "cross_entropy"),
    ("softmax", "cross_entropy"),
    ("auc", "roc_auc"),
    ("auroc", "roc_auc"),
    ("acc", "accuracy"),
    ("ap", "average_precision"),
    ("pr_auc", "average_precision"),
    ("ece", "calibration_error"),
    ("swish", "silu"),
    ("he", "kaiming"),
    ("glorot", "xavier"),
    ("batch_norm", "batch"),
    ("layer_norm", "layer"),
];

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
        "unit" => "nothing",
        _ if ["struct ", "tuple ", "enum ", "newtype "].iter().any(|word| rust.starts_with(word)) => {
            "a table"
        }
        _ => rust,
    }
}

fn found_type(rust: &str) -> &str {
    match rust {
        "sequence" => "an array",
        "map" => "a table",
        "unit value" => "nothing",
        _ => rust.strip_suffix(" as i128").or_else(|| rust.strip_suffix(" as u128")).unwrap_or(rust),
    }
}

/// The nearest of some names, if it is near.
pub(crate) fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let near = |name: &&str| strsim::jaro_winkler(&wrong.to_lowercase(), &name.to_lowercase());
    let best = names.into_iter().max_by(|a, b| near(a).total_cmp(&near(b)))?;
    (near(&best) > 0.75).then_some(best)
}
