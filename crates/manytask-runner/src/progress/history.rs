//! Losses for the eyes: means over the last steps, and how they went from the first step on.

use manytask_multitask::StepReport;

use crate::report::number;

/// Into how many pieces a training is cut, each of which has a mean.
const PIECES: usize = 60;
/// What stands for a mean, from the lowest to the highest.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The losses of a training that goes on.
#[derive(Debug)]
pub(super) struct History {
    total: u64,
    names: Vec<String>,
    mean: Series,
    tasks: Vec<Series>,
}

/// One loss.
#[derive(Debug, Clone, Default)]
struct Series {
    /// The mean over the last steps.
    now: Option<f64>,
    /// Of each piece of the training the sum and the number of losses.
    pieces: Vec<(f64, u64)>,
}

impl History {
    /// As many tasks as can be seen at once.
    pub(super) const SHOWN: usize = 4;

    /// Of a training of so many steps. Losses are shown by name where `names` are few.
    pub(super) fn new(total: u64, names: &[String]) -> Self {
        let names = if (2..=Self::SHOWN).contains(&names.len()) { names.to_vec() } else { Vec::new() };
        Self { total, mean: Series::default(), tasks: vec![Series::default(); names.len()], names }
    }

    pub(super) fn add(&mut self, report: &StepReport) {
        let done = report.step.saturating_sub(1) as f64 / self.total.max(1) as f64;
        let piece = ((done * PIECES as f64) as usize).min(PIECES - 1);
        if !report.losses.is_empty() {
            let mean = report.losses.iter().sum::<f64>() / report.losses.len() as f64;
            self.mean.add(piece, mean);
        }
        for (task, loss) in report.present.iter().zip(&report.losses) {
            if let Some(shown) = self.tasks.get_mut(*task) {
                shown.add(piece, *loss);
            }
        }
    }

    /// All in one line.
    pub(super) fn text(&self) -> String {
        let mean = self.mean.now.map_or("no loss".to_owned(), |mean| format!("loss {}", number(mean)));
        let tasks = self.names.iter().zip(&self.tasks);
        let tasks: Vec<String> =
            tasks.filter_map(|(name, loss)| Some(format!("{name} {}", number(loss.now?)))).collect();
        if tasks.is_empty() { mean } else { format!("{mean} ({})", tasks.join(", ")) }
    }

    /// A row for each loss that is shown: its name, its mean over the last steps, and a curve of no more than `most` characters.
    pub(super) fn rows(&self, most: usize) -> Vec<(&str, String, String)> {
        let named = self.names.iter().map(String::as_str).zip(&self.tasks);
        let rows: Vec<(&str, &Series)> =
            if self.names.is_empty() { vec![("loss", &self.mean)] } else { named.collect() };
        let row = |(name, series): (_, &Series)| {
            (name, series.now.map_or("-".to_owned(), number), series.curve(most))
        };
        rows.into_iter().map(row).collect()
    }
}

impl Series {
    fn add(&mut self, piece: usize, loss: f64) {
        self.now = Some(self.now.map_or(loss, |old| 0.98 * old + 0.02 * loss));
        if self.pieces.len() <= piece {
            self.pieces.resize(piece + 1, (0.0, 0));
        }
        if let Some((sum, count)) = self.pieces.get_mut(piece) {
            *sum += loss;
            *count += 1;
        }
    }

    /// The means in blocks of growing height, the lowest of them for the lowest.
    fn curve(&self, most: usize) -> String {
        let each = self.pieces.len().div_ceil(most.max(1)).max(1);
        let means = self.pieces.chunks(each).filter_map(|pieces| {
            let (sum, count) =
                pieces.iter().fold((0.0, 0), |(sum, count), (own, of)| (sum + own, count + of));
            (count > 0).then(|| sum / count as f64)
        });
        let means: Vec<f64> = means.collect();
        if most == 0 || means.len() < 2 || means.iter().any(|mean| !mean.is_finite()) {
            return String::new();
        }
        let low = means.iter().copied().fold(f64::INFINITY, f64::min);
        let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let level = |mean: &f64| {
            let share = if high > low { (mean - low) / (high - low) } else { 0.0 };
            let place = (share * (LEVELS.len() - 1) as f64).round() as usize;
            LEVELS.get(place).copied().unwrap_or('▁')
        };
        means.iter().map(level).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn losses_are_shown_by_name_where_they_are_few_and_absent_ones_stay() {
        let names = ["a", "b"].map(str::to_owned);
        let mut losses = History::new(10, &names);
        assert_eq!(losses.text(), "no loss");
        losses.add(&report(1, &[1], &[2.0]));
        assert_eq!(losses.text(), "loss 2.000 (b 2.000)");
        losses.add(&report(2, &[0, 1], &[1.0, 3.0]));
        assert_eq!(losses.text(), "loss 2.000 (a 1.000, b 2.020)");
        losses.add(&report(3, &[], &[]));
        assert_eq!(losses.text(), "loss 2.000 (a 1.000, b 2.020)");
        let many: Vec<String> = (0..9).map(|i| i.to_string()).collect();
        let mut losses = History::new(10, &many);
        losses.add(&report(1, &[0], &[0.5]));
        assert_eq!(losses.text(), "loss 0.5000");
        assert_eq!(losses.rows(10), [("loss", "0.5000".to_owned(), String::new())]);
    }

    #[test]
    fn a_curve_goes_from_the_first_step_to_the_last_and_is_no_longer_than_there_is_room() {
        let mut losses = History::new(600, &[]);
        for step in 1..=300 {
            losses.add(&report(step, &[0], &[301.0 - step as f64]));
        }
        let curve = |most: usize| losses.rows(most)[0].2.clone();
        assert_eq!(curve(60).chars().count(), 30, "half of the training is over");
        assert_eq!((curve(60).chars().next(), curve(60).chars().last()), (Some('█'), Some('▁')));
        assert_eq!(curve(15).chars().count(), 15);
        assert_eq!(curve(0), "");
        losses.add(&report(301, &[0], &[f64::NAN]));
        assert_eq!(losses.rows(60)[0].2, "", "what is no number has no height");
    }
}
