//! The answer in words and as a table.

use std::fmt::Write;
use std::time::Duration;

use super::comparison::{Comparison, SEPARATE, Strategy};
use super::variants::{EQUAL, SCALARIZATION};
use crate::report::{aligned, number};
use crate::statistics::Summary;
use crate::study::span;

/// Tasks that have a column of their own.
const TASKS: usize = 4;
/// Tasks that are named in a sentence.
const NAMED: usize = 8;

/// A row for the separate networks and for each strategy.
pub(super) fn table(comparison: &Comparison) -> String {
    let few = comparison.tasks.len() <= TASKS;
    let mut head = vec!["strategy".to_owned()];
    if few {
        head.extend(comparison.tasks.iter().map(|task| format!("{} {}", task.name, task.metric)));
    } else {
        head.push("mean metric".to_owned());
    }
    head.extend(["Δm %", "95 % interval", "mean rank", "time", "memory"].map(str::to_owned));
    let mut rows = vec![head];
    rows.extend(comparison.strategies.iter().map(|strategy| row(strategy, few)));
    let seeds = comparison.seeds.len();
    format!(
        "{} split, {seeds} {}\n{}",
        comparison.split,
        if seeds == 1 { "seed" } else { "seeds" },
        aligned(&rows)
    )
}

fn row(strategy: &Strategy, few: bool) -> Vec<String> {
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), number);
    let mut row = vec![strategy.name.clone()];
    let means: Vec<Option<f64>> = strategy.metrics.iter().map(|metric| Some(metric.as_ref()?.mean)).collect();
    if few {
        row.extend(means.into_iter().map(shown));
    } else {
        row.push(shown(crate::statistics::mean(&means.into_iter().flatten().collect::<Vec<_>>())));
    }
    let delta = strategy.delta_m.as_ref().filter(|_| strategy.name != SEPARATE);
    row.push(delta.map_or("-".to_owned(), |delta| percent(delta.mean)));
    row.push(
        delta
            .and_then(Summary::interval)
            .map_or("-".to_owned(), |(low, high)| format!("{} … {}", percent(low), percent(high))),
    );
    row.push(strategy.mean_rank.map_or("-".to_owned(), |rank| format!("{rank:.1}")));
    row.push(
        strategy.seconds.map_or("-".to_owned(), |seconds| span(Duration::from_secs_f64(seconds.max(0.0)))),
    );
    row.push(
        strategy.memory.map_or("-".to_owned(), |bytes| format!("{:.0} MiB", bytes / f64::from(1 << 20))),
    );
    row
}

fn percent(value: f64) -> String {
    format!("{value:+.2}")
}

/// Whether one network is better than separate ones, which tasks gain, and how sure that is.
pub(super) fn answer(comparison: &Comparison) -> String {
    let Some(chosen) = comparison.chosen.as_deref().and_then(|name| comparison.strategy(name)) else {
        return "no strategy has a result, so nothing can be said of one network\n".to_owned();
    };
    let mut text = verdict(comparison, chosen);
    for (what, verdict) in [
        ("gain", Verdict::Better),
        ("lose", Verdict::Worse),
        ("neither surely gain nor surely lose", Verdict::Open),
    ] {
        let of = comparison.tasks.iter().zip(&chosen.changes);
        let own: Vec<String> = of
            .filter(|(_, change)| change.as_ref().map(Verdict::of) == Some(verdict))
            .map(|(task, change)| {
                let mean = change.as_ref().map_or(f64::NAN, |change| change.mean);
                format!("{} ({} %)", task.name, percent(mean))
            })
            .collect();
        if !own.is_empty() {
            let _ = writeln!(text, "tasks that {what}: {}", listed(&own));
        }
    }
    if let Some(tuned) = comparison.tuned_scalarization.as_deref().filter(|tuned| *tuned != chosen.name) {
        let delta = comparison.strategy(tuned).and_then(|strategy| strategy.delta_m.as_ref());
        let delta = delta.map_or("-".to_owned(), |delta| percent(delta.mean));
        let _ =
            writeln!(text, "the best weighted sum of the losses is {}, with Δm {delta} %", of_name(tuned));
    }
    text
}

fn verdict(comparison: &Comparison, chosen: &Strategy) -> String {
    let by = if comparison.chosen_on_validation {
        "chosen on the validation split"
    } else {
        "the best on the split that it is judged on"
    };
    let name = format!("{}, {by}", of_name(&chosen.name));
    let Some(delta) = &chosen.delta_m else {
        return format!(
            "one network ({name}) cannot be compared with separate ones: some of these have no result\n"
        );
    };
    let seeds = comparison.seeds.len();
    let (head, interval) = match delta.interval() {
        None => (
            "one seed says nothing certain of one network against separate ones",
            "no interval; take more --seeds".to_owned(),
        ),
        Some((low, high)) => {
            let head = match Verdict::of(delta) {
                Verdict::Better => "one network is better than separate ones",
                Verdict::Worse => "one network is worse than separate ones",
                Verdict::Open => "whether one network is better than separate ones is not certain",
            };
            (head, format!("95 % interval {} … {} over {seeds} paired seeds", percent(low), percent(high)))
        }
    };
    format!("{head}: {name}, Δm {} %, {interval}; negative is better\n", percent(delta.mean))
}

/// What an interval of changes says; worse is positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Better,
    Worse,
    Open,
}

impl Verdict {
    fn of(change: &Summary) -> Self {
        match change.interval() {
            Some((_, high)) if high < 0.0 => Self::Better,
            Some((low, _)) if low > 0.0 => Self::Worse,
            _ => Self::Open,
        }
    }
}

fn of_name(name: &str) -> String {
    match name.strip_prefix(SCALARIZATION) {
        Some(weights) => format!("losses weighted {weights}"),
        None if name == EQUAL => "the mean of the losses".to_owned(),
        None => name.to_owned(),
    }
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let shown: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// What a reader must know of it.
pub(super) fn notes(comparison: &Comparison) -> Vec<String> {
    let mut notes = vec![
        format!(
            "Δm is the mean over tasks of the change of the primary metric against a network for that task alone, in percent; {}",
            "worse is positive"
        ),
        "time and memory of separate networks are the sum and the largest of all".to_owned(),
    ];
    if !comparison.chosen_on_validation {
        notes.push(
            "without a validation split the best of several strategies is chosen by what it is judged by, and looks better than it is: set validate_every_epochs and a validation share".to_owned(),
        );
    }
    if comparison.seeds.len() > 1 {
        notes.push("intervals are Student's over the seeds: the randomness of training on the same rows, not that of other rows".to_owned());
    }
    let shown = 3;
    for (name, why) in comparison.failed.iter().take(shown) {
        notes.push(format!("{name} has no result: {why}"));
    }
    if comparison.failed.len() > shown {
        notes.push(format!("{} more runs have no result", comparison.failed.len() - shown));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Repetition;

    #[test]
    fn an_interval_that_holds_nought_says_nothing() {
        let of =
            |values: &[f64]| Verdict::of(&Summary::of(values.to_vec(), Repetition::Independent).unwrap());
        assert_eq!(of(&[-2.0, -2.1, -1.9]), Verdict::Better);
        assert_eq!(of(&[2.0, 2.1, 1.9]), Verdict::Worse);
        assert_eq!(of(&[-2.0, 1.0, -1.9]), Verdict::Open);
        assert_eq!(of(&[-2.0]), Verdict::Open);
    }
}
