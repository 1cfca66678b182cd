//! Mistakes with their place.

use std::fmt::Write as _;
use std::ops::Range;

use super::Source;
use crate::failure::{Code, Failure};

impl Source {
    /// A mistake at a place: file, line, column, the line itself with a caret, and what to do.
    pub(crate) fn fault(&self, what: &str, place: Range<usize>, mut hints: Vec<String>) -> Failure {
        let what = what.trim().replace('\n', "; ");
        if let Some(hint) = suggestion(&what) {
            hints.push(hint);
        }
        let place = place.start.min(self.text.len())..place.end.min(self.text.len());
        let start = self.text.get(..place.start).and_then(|text| text.rfind('\n')).map_or(0, |at| at + 1);
        let line = self.text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        let before = self.text.get(start..place.start).unwrap_or_default();
        let column = before.chars().count();
        let marked = self.text.get(place.clone()).unwrap_or_default().lines().next().unwrap_or_default();
        let carets = "^".repeat(marked.chars().count().max(1));
        let mut message = String::new();
        if place.start >= self.end && self.text.len() > self.end && start > self.end {
            // Writing to a string cannot fail.
            let _ =
                write!(message, "in the argument `{line}`: {what}\n  | {line}\n  | {:column$}{carets}", "");
        } else {
            let number = self.text.get(..start).unwrap_or_default().matches('\n').count() + 1;
            let margin = " ".repeat(number.to_string().len());
            let file = self.path.display();
            let _ = write!(
                message,
                "{file}:{number}:{}: {what}\n{margin} |\n{number} | {line}\n{margin} | {:column$}{carets}",
                column + 1,
                ""
            );
        }
        Failure { code: Code::Config, message, hints }
    }
}

/// `did you mean`, for what serde says of unknown names with the known ones.
fn suggestion(message: &str) -> Option<String> {
    let known = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let mut quoted = message.split('`').skip(1).step_by(2);
    let wrong = quoted.next().filter(|_| known)?;
    nearest(wrong, quoted).map(|name| format!("did you mean `{name}`?"))
}

/// The nearest of some names, if it is near.
pub(crate) fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let near = |name: &&str| strsim::jaro_winkler(&wrong.to_lowercase(), &name.to_lowercase());
    let best = names.into_iter().max_by(|a, b| near(a).total_cmp(&near(b)))?;
    (near(&best) > 0.75).then_some(best)
}
