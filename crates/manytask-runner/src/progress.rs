//! How a training goes on: a bar on a terminal, a line every few seconds elsewhere, both on stderr.

mod silence;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{FormattedDuration, ProgressBar, ProgressStyle};
use manytask_multitask::StepReport;

use self::silence::Silence;
use crate::failure::escaped;
use crate::report::{number, say};

/// Whether progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    /// It is not.
    Yes,
    /// It is.
    No,
}

/// The progress of a training.
#[derive(Debug)]
pub struct Progress {
    shown: Shown,
    last: Instant,
    losses: Losses,
    pace: Pace,
    silence: Option<Silence>,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Lines,
    Bar(ProgressBar),
}

impl Shown {
    /// The time between two looks.
    fn pause(&self) -> Duration {
        match self {
            Self::Bar(_) => Duration::from_millis(100),
            Self::Nothing | Self::Lines => Duration::from_secs(5),
        }
    }
}

impl Progress {
    /// Of a training that starts after `start` of `total` steps. Losses are shown by name where `names` are few. Where a
    /// step or an evaluation takes long it is said what they work on, which is `work`.
    pub fn new(start: u64, total: u64, names: &[String], work: &str, quiet: Quiet) -> Self {
        let shown = match quiet {
            Quiet::Yes => Shown::Nothing,
            Quiet::No if std::io::stderr().is_terminal() => Shown::Bar(bar(start, total)),
            Quiet::No => Shown::Lines,
        };
        let now = Instant::now();
        let pace = Pace { start, total, started: now };
        let silence = Silence::watch(work);
        Self { shown, last: now, losses: Losses::new(names), pace, silence }
    }

    /// A step was made.
    pub fn step(&mut self, report: &StepReport) {
        self.heard();
        if matches!(self.shown, Shown::Nothing) {
            return;
        }
        self.losses.add(report);
        if self.last.elapsed() < self.shown.pause() && report.step < self.pace.total {
            return;
        }
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) => {
                bar.set_message(self.losses.text());
                bar.set_position(report.step);
            }
            Shown::Lines if self.last.elapsed() >= self.shown.pause() => {
                say(&format!("{}, {}", self.pace.text(report.step, Instant::now()), self.losses.text()));
            }
            Shown::Lines => return,
        }
        self.last = Instant::now();
    }

    /// A step or an evaluation has ended.
    pub fn heard(&self) {
        if let Some(silence) = &self.silence {
            silence.end();
        }
    }

    /// A line of how it goes, which `--quiet` leaves out.
    pub fn line(&self, text: &str) {
        if !matches!(self.shown, Shown::Nothing) {
            self.note(text);
        }
    }

    /// A line that the user must know.
    pub fn note(&self, text: &str) {
        match &self.shown {
            Shown::Bar(bar) => bar.println(escaped(text)),
            Shown::Nothing | Shown::Lines => say(text),
        }
    }

    /// Nothing more comes.
    pub fn end(&mut self) {
        self.silence = None;
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar(start: u64, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} steps, {per_sec}, {eta} to go  {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    // The steps before a run was resumed say nothing of its pace.
    bar.set_position(start);
    bar.tick();
    bar.reset_eta();
    bar
}

/// How fast it goes.
#[derive(Debug)]
struct Pace {
    start: u64,
    total: u64,
    started: Instant,
}

impl Pace {
    fn text(&self, step: u64, now: Instant) -> String {
        let rate = step.saturating_sub(self.start) as f64 / (now - self.started).as_secs_f64().max(1e-9);
        let left = self.total.saturating_sub(step) as f64 / rate.max(1e-9);
        let left = FormattedDuration(Duration::try_from_secs_f64(left.round()).unwrap_or(Duration::MAX));
        format!("step {step}/{}, {} steps/s, {left} to go", self.total, number(rate))
    }
}

/// Losses for the eyes: means over the last steps.
#[derive(Debug)]
struct Losses {
    names: Vec<String>,
    mean: Option<f64>,
    tasks: Vec<Option<f64>>,
}

impl Losses {
    /// As many tasks as can be seen at once.
    const SHOWN: usize = 4;

    fn new(names: &[String]) -> Self {
        let names = if (2..=Self::SHOWN).contains(&names.len()) { names.to_vec() } else { Vec::new() };
        Self { mean: None, tasks: vec![None; names.len()], names }
    }

    fn add(&mut self, report: &StepReport) {
        let blend = |old: Option<f64>, new: f64| Some(old.map_or(new, |old| 0.98 * old + 0.02 * new));
        if !report.losses.is_empty() {
            let mean = report.losses.iter().sum::<f64>() / report.losses.len() as f64;
            self.mean = blend(self.mean, mean);
        }
        for (task, loss) in report.present.iter().zip(&report.losses) {
            if let Some(shown) = self.tasks.get_mut(*task) {
                *shown = blend(*shown, *loss);
            }
        }
    }

    fn text(&self) -> String {
        let mean = self.mean.map_or("no loss".to_owned(), |mean| format!("loss {}", number(mean)));
        let tasks = self.names.iter().zip(&self.tasks);
        let tasks: Vec<String> =
            tasks.filter_map(|(name, loss)| Some(format!("{name} {}", number((*loss)?)))).collect();
        if tasks.is_empty() { mean } else { format!("{mean} ({})", tasks.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(present: &[usize], losses: &[f64]) -> StepReport {
        StepReport {
            step: 1,
            epoch: 0,
            present: present.to_vec(),
            losses: losses.to_vec(),
            auxiliary: Vec::new(),
            weights: None,
            terms: Vec::new(),
            learning_rate: 0.1,
            gradient_norm: None,
            diagnostics: None,
            stationary: false,
        }
    }

    #[test]
    fn the_pace_is_that_of_the_steps_made_here() {
        let started = Instant::now();
        let pace = Pace { start: 1000, total: 2000, started };
        assert_eq!(
            pace.text(1100, started + Duration::from_secs(10)),
            "step 1100/2000, 10.00 steps/s, 00:01:30 to go"
        );
        assert!(
            pace.text(1000, started + Duration::from_secs(10)).starts_with("step 1000/2000, 0.000 steps/s")
        );
        assert!(pace.text(2000, started).ends_with("00:00:00 to go"));
    }

    #[test]
    fn losses_are_shown_by_name_where_they_are_few_and_absent_ones_stay() {
        let names = ["a", "b"].map(str::to_owned);
        let mut losses = Losses::new(&names);
        assert_eq!(losses.text(), "no loss");
        losses.add(&report(&[1], &[2.0]));
        assert_eq!(losses.text(), "loss 2.000 (b 2.000)");
        losses.add(&report(&[0, 1], &[1.0, 3.0]));
        assert_eq!(losses.text(), "loss 2.000 (a 1.000, b 2.020)");
        losses.add(&report(&[], &[]));
        assert_eq!(losses.text(), "loss 2.000 (a 1.000, b 2.020)");
        let many: Vec<String> = (0..9).map(|i| i.to_string()).collect();
        let mut losses = Losses::new(&many);
        losses.add(&report(&[0], &[0.5]));
        assert_eq!(losses.text(), "loss 0.5000");
    }
}
