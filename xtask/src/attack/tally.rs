//! What was tried and how it ended, counted.

use std::collections::BTreeMap;

use super::subject::{End, Ended};

/// The counts of one kind of attack.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Trials that were made.
    pub(crate) tries: u64,
    /// Configurations that are valid by construction and were asked to train.
    pub(crate) offered: u64,
    /// Those of them that were refused.
    pub(crate) refused: u64,
    /// Why, without the numbers in the words.
    reasons: BTreeMap<String, u64>,
    /// Commands by how they ended.
    ends: BTreeMap<End, u64>,
    /// Trials that found a fault.
    pub(crate) failures: u64,
}

impl Tally {
    /// Counts a command.
    pub(crate) fn count(&mut self, ended: &Ended) {
        self.count_end(ended.end);
    }

    /// Counts the end of a process.
    pub(crate) fn count_end(&mut self, end: End) {
        *self.ends.entry(end).or_default() += 1;
    }

    /// Counts a refusal of a valid configuration.
    pub(crate) fn refuse(&mut self, ended: &Ended) {
        const SHOWN: usize = 120;
        self.refused += 1;
        let digits = |character: &char| !character.is_ascii_digit();
        let reason = ended.complaint().chars().filter(digits).take(SHOWN).collect();
        *self.reasons.entry(reason).or_default() += 1;
    }

    /// The reasons of refusals, the most frequent first.
    pub(crate) fn reasons(&self) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> =
            self.reasons.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all
    }

    /// Whether more valid configurations were refused than a good generator makes: it attacks nothing then.
    pub(crate) fn refuses_too_much(&self) -> bool {
        const ENOUGH: u64 = 20;
        self.offered >= ENOUGH && self.refused * 10 > self.offered * 3
    }

    fn hangs(&self) -> u64 {
        self.ends.get(&End::Hang).copied().unwrap_or_default()
    }

    fn histogram(&self) -> String {
        let shown = self.ends.iter().filter_map(|(end, count)| match end {
            End::Code(code) => Some(format!("{code}: {count}")),
            End::Signal(signal) => Some(format!("signal {signal}: {count}")),
            End::Hang => None,
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

/// The closing table.
pub(crate) fn table(tallies: &[(&str, Tally)]) -> String {
    let mut lines = vec![
        "| kind | tries | exit codes of the commands | refused | failures | hangs |".to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    for (name, tally) in tallies {
        let refused = match (tally.refused * 100).checked_div(tally.offered) {
            Some(percent) => format!("{percent} %"),
            None => String::new(),
        };
        lines.push(format!(
            "| {name} | {} | {} | {refused} | {} | {} |",
            tally.tries,
            tally.histogram(),
            tally.failures,
            tally.hangs()
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_counts() {
        let mut tally = Tally { tries: 3, offered: 4, refused: 1, failures: 1, ..Tally::default() };
        for end in [End::Code(4), End::Code(0), End::Code(0), End::Signal(9), End::Hang] {
            tally.count_end(end);
        }
        let text = table(&[("kill", tally), ("disk", Tally::default())]);
        assert!(text.contains("| kill | 3 | 0: 2, 4: 1, signal 9: 1 | 25 % | 1 | 1 |"), "{text}");
        assert!(text.ends_with("| disk | 0 |  |  | 0 | 0 |"), "{text}");
    }

    #[test]
    fn reasons_are_counted_without_numbers() {
        let mut tally = Tally::default();
        for err in ["error: 3 rows are few", "error: 12 rows are few", "error: no"] {
            let ended = Ended {
                line: String::new(),
                end: End::Code(3),
                out: Vec::new(),
                err: err.into(),
                took: std::time::Duration::ZERO,
            };
            tally.refuse(&ended);
        }
        assert_eq!(tally.reasons(), [("error:  rows are few", 2), ("error: no", 1)]);
    }

    #[test]
    fn a_generator_that_is_refused_too_often_is_a_failure() {
        let tally = |offered, refused| Tally { offered, refused, ..Tally::default() };
        assert!(tally(100, 31).refuses_too_much());
        assert!(!tally(100, 30).refuses_too_much() && !tally(10, 10).refuses_too_much());
    }
}
