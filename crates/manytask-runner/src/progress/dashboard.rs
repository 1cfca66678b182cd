//! A training on a terminal: a bar, the losses with their curves, and the last look at the validation split.

use std::io::{Stderr, stderr};
use std::time::{Duration, Instant};

use console::{Alignment, Term, measure_text_width, pad_str};

use super::history::History;
use super::pace::Pace;
use super::screen::Screen;
use crate::failure::escaped;

/// The widest bar and the widest curve.
const WIDEST: usize = 40;
/// A bar or a curve that is narrower says nothing.
const NARROWEST: usize = 6;
/// The time between two pictures.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// What a terminal shows of a training.
#[derive(Debug)]
pub(super) struct Dashboard {
    screen: Screen<Stderr>,
    term: Term,
    step: u64,
    /// What was said of the last look at the validation split, and of the best one.
    looks: Looks,
}

/// What was said of looks at the validation split.
#[derive(Debug, Default)]
struct Looks {
    last: Option<String>,
    best: Option<String>,
}

impl Dashboard {
    pub(super) fn new(start: u64) -> Self {
        Self { screen: Screen::new(stderr()), term: Term::stderr(), step: start, looks: Looks::default() }
    }

    /// A step was made.
    pub(super) fn step(&mut self, step: u64) {
        self.step = step;
    }

    /// The validation split was looked at.
    pub(super) fn look(&mut self, text: &str, improved: bool) {
        self.looks.take(text, improved);
    }

    pub(super) fn draw(&mut self, pace: &Pace, history: &History) {
        let size = self.size();
        let lines = lines(pace, self.step, history, &self.looks, size.1.saturating_sub(1));
        self.screen.draw(&lines, size);
    }

    /// A line that stays.
    pub(super) fn print(&mut self, text: &str) {
        let width = self.size().1;
        self.screen.print(&escaped(text), width);
    }

    /// Something else has written to the terminal.
    pub(super) fn leave(&mut self) {
        self.screen.leave();
    }

    /// Takes it away; what was said of the best look and the last one stays.
    pub(super) fn end(&mut self) {
        let width = self.size().1;
        self.screen.clear(width);
        for look in self.looks.lines() {
            self.screen.print(&escaped(&look), width);
        }
    }

    fn size(&self) -> (usize, usize) {
        let (height, width) = self.term.size();
        (usize::from(height), usize::from(width))
    }
}

impl Looks {
    fn take(&mut self, text: &str, improved: bool) {
        self.last = Some(text.to_owned());
        if improved {
            self.best = Some(text.to_owned());
        }
    }

    /// The best and the last, once where they are one.
    fn lines(&self) -> Vec<String> {
        let best = self.best.iter().filter(|best| self.last.as_ref() != Some(best));
        best.chain(&self.last).cloned().collect()
    }
}

fn lines(pace: &Pace, step: u64, history: &History, looks: &Looks, width: usize) -> Vec<String> {
    let mut lines = vec![head(pace, step, Instant::now(), width)];
    // What the names, the losses and the blanks between leave.
    let named = history.rows(0);
    let names = named.iter().map(|(name, ..)| measure_text_width(name)).max().unwrap_or(0).min(width / 3);
    let losses = named.iter().map(|(_, loss, _)| loss.chars().count()).max().unwrap_or(0);
    let room = width.saturating_sub(names + losses + 6).min(WIDEST);
    let room = if room < NARROWEST { 0 } else { room };
    for (name, loss, curve) in history.rows(room) {
        let name = pad_str(name, names, Alignment::Left, Some("…"));
        lines.push(format!("  {name}  {loss:>losses$}  {curve}").trim_end().to_owned());
    }
    lines.extend(looks.lines());
    lines.iter().map(|line| escaped(line).into_owned()).collect()
}

/// A bar with steps, pace and the time to go; in a narrow terminal less of it.
fn head(pace: &Pace, step: u64, now: Instant, width: usize) -> String {
    let whole = pace.text(step, now);
    let short = pace.short(step, now);
    let text = if whole.chars().count() + NARROWEST < width { whole } else { short };
    let room = width.saturating_sub(text.chars().count() + 1).min(WIDEST);
    if room < NARROWEST {
        return text;
    }
    let full = (room as f64 * pace.share(step)).round() as usize;
    format!("{}{} {text}", "█".repeat(full.min(room)), "░".repeat(room.saturating_sub(full)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    fn shown(width: usize) -> Vec<String> {
        let started = Instant::now();
        let pace = Pace { start: 0, total: 2000, started };
        let names = ["income of the household".to_owned(), "b".to_owned()];
        let mut history = History::new(2000, &names);
        for step in 1..=1000 {
            history.add(&report(step, &[0, 1], &[1.0 / step as f64, 2.0]));
        }
        let mut looks = Looks::default();
        looks.take("step 500: validation loss 0.5, income roc_auc 0.9 (best)", true);
        looks.take("step 1000: validation loss 0.6, income roc_auc 0.8", false);
        lines(&pace, 1000, &history, &looks, width)
    }

    #[test]
    fn what_is_shown_fits_into_terminals_of_any_width() {
        for width in [39, 79, 199] {
            let lines = shown(width);
            assert_eq!(lines.len(), 5, "{lines:?}");
            // Looks are cut by the screen.
            for line in &lines[..3] {
                assert!(measure_text_width(line) <= width, "{width}: {line}");
            }
        }
        assert_eq!(shown(5).len(), 5);
        let wide = shown(199);
        assert!(wide[0].starts_with(&"█".repeat(20)) && wide[0].contains("step 1000/2000"), "{wide:?}");
        assert!(wide[1].contains("income of the household") && wide[1].ends_with('▁'), "{wide:?}");
        assert!(wide[3].contains("(best)") && wide[4].contains("0.6"), "{wide:?}");
        let narrow = shown(39);
        assert!(narrow[0].contains("1000/2000") && narrow[1].contains("income of th…"), "{narrow:?}");
    }
}
