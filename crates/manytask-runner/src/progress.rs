//! How a training goes on: a dashboard on a terminal, a line every few seconds elsewhere, both on stderr.

mod dashboard;
mod history;
mod pace;
mod screen;
mod silence;

use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use manytask_multitask::StepReport;

use self::dashboard::Dashboard;
use self::history::History;
use self::pace::Pace;
use self::silence::Silence;
use crate::report::say;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// Not at all.
    Silent,
    /// In lines, one after the other.
    Plain,
    /// In lines of a terminal that change, and in lines one after the other where there is none.
    Live,
}

/// The progress of a training.
#[derive(Debug)]
pub struct Progress {
    shown: Shown,
    last: Instant,
    history: History,
    pace: Pace,
    silence: Option<Silence>,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Lines,
    Dashboard(Box<RefCell<Dashboard>>),
}

impl Shown {
    /// The time between two looks.
    fn pause(&self) -> Duration {
        match self {
            Self::Dashboard(_) => dashboard::PAUSE,
            Self::Nothing | Self::Lines => Duration::from_secs(5),
        }
    }
}

impl Progress {
    /// Of a training that starts after `start` of `total` steps. Losses are shown by name where `names` are few. Where a
    /// step or an evaluation takes long it is said what they work on, which is `work`.
    pub fn new(start: u64, total: u64, names: &[String], work: &str, display: Display) -> Self {
        let shown = match display {
            Display::Silent => Shown::Nothing,
            Display::Live if draws() => Shown::Dashboard(Box::new(RefCell::new(Dashboard::new(start)))),
            Display::Live | Display::Plain => Shown::Lines,
        };
        let now = Instant::now();
        let pace = Pace { start, total, started: now };
        let progress = Self {
            shown,
            last: now,
            history: History::new(total, names),
            pace,
            silence: Silence::watch(work),
        };
        progress.draw();
        progress
    }

    /// A step was made.
    pub fn step(&mut self, report: &StepReport) {
        self.heard();
        if matches!(self.shown, Shown::Nothing) {
            return;
        }
        self.history.add(report);
        if let Shown::Dashboard(dashboard) = &self.shown {
            dashboard.borrow_mut().step(report.step);
        }
        if self.last.elapsed() < self.shown.pause() && report.step < self.pace.total {
            return;
        }
        match &self.shown {
            Shown::Dashboard(_) => self.draw(),
            Shown::Lines if self.last.elapsed() >= self.shown.pause() => {
                say(&format!("{}, {}", self.pace.text(report.step, Instant::now()), self.history.text()));
            }
            Shown::Lines | Shown::Nothing => return,
        }
        self.last = Instant::now();
    }

    /// A step or an evaluation has ended.
    pub fn heard(&self) {
        let Some(silence) = &self.silence else { return };
        silence.end();
        if let Shown::Dashboard(dashboard) = &self.shown
            && silence.has_told()
        {
            dashboard.borrow_mut().leave();
        }
    }

    /// What is to be said of a look at the validation split, and whether it is the best so far.
    pub fn look(&self, text: &str, improved: bool) {
        match &self.shown {
            Shown::Nothing => {}
            Shown::Lines => say(text),
            Shown::Dashboard(dashboard) => {
                dashboard.borrow_mut().look(text, improved);
                self.draw();
            }
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
            Shown::Dashboard(dashboard) => {
                dashboard.borrow_mut().print(text);
                self.draw();
            }
            Shown::Nothing | Shown::Lines => say(text),
        }
    }

    /// Nothing more comes.
    pub fn end(&mut self) {
        self.silence = None;
        if let Shown::Dashboard(dashboard) = &self.shown {
            dashboard.borrow_mut().end();
            self.shown = Shown::Lines;
        }
    }

    fn draw(&self) {
        if let Shown::Dashboard(dashboard) = &self.shown {
            dashboard.borrow_mut().draw(&self.pace, &self.history);
        }
    }
}

/// Whether stderr is a terminal on which lines can change.
fn draws() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn report(step: u64, present: &[usize], losses: &[f64]) -> StepReport {
        StepReport {
            step,
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
}
