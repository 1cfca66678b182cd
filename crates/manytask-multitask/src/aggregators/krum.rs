use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::{AggregatorSettings, Property};
use crate::{Aggregator, Error, Gramian, GramianWeighting, Level, OnGramian, Result, StepInfo};

/// Multi-Krum (Blanchard et al. 2017): the mean of the gradients that are nearest to others. A gradient's score is the sum of its
/// distances to the `K − faulty − 2` gradients nearest to it; those with the lowest scores are taken, the first of equal ones.
///
/// Where tasks are absent the number of neighbours falls with them, to 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Krum {
    /// Of which gradients.
    pub level: Level,
    /// How many gradients may be anything; there must be at least 3 tasks more.
    pub faulty: usize,
    /// How many are taken.
    pub selected: usize,
}

impl Default for Krum {
    fn default() -> Self {
        Self { level: Level::Parameters, faulty: 0, selected: 1 }
    }
}

#[derive(Debug)]
struct Nearest {
    faulty: usize,
    selected: usize,
}

impl Method for Krum {
    const NAME: &'static str = "krum";
    const SUMMARY: &'static str = "the gradients that are nearest to others";
    const ABOUT: &'static str = "\
        Blanchard et al. 2017, arXiv:1703.02757: the mean of the `selected` gradients with the least sum \
        of distances to their K − faulty − 2 nearest ones.";
}

impl AggregatorSettings for Krum {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        if self.faulty > 0 && !tasks.is_empty() && tasks.len() < self.faulty + 3 {
            return Err(Error::setting(
                "faulty",
                format!("{}: {} faulty gradients among {} tasks", Krum::NAME, self.faulty, tasks.len()),
                format!("at least {} tasks are needed for so many", self.faulty + 3),
            ));
        }
        if self.selected == 0 || (!tasks.is_empty() && self.selected > tasks.len()) {
            return Err(Error::setting(
                "selected",
                format!("{}: {} selected of {} tasks", Krum::NAME, self.selected, tasks.len()),
                "select at least 1, and no more than there are tasks",
            ));
        }
        let weighting = Nearest { faulty: self.faulty, selected: self.selected };
        Ok(Box::new(OnGramian::new(weighting, self.level.clone(), tasks)))
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::Homogeneous]
    }
}

impl GramianWeighting for Nearest {
    fn name(&self) -> &'static str {
        Krum::NAME
    }

    fn weights(&mut self, gramian: &Gramian, _step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let count = gramian.size();
        let neighbours = count.saturating_sub(self.faulty + 2).max(1);
        let distance = |i: usize, j: usize| {
            (gramian.at(i, i) + gramian.at(j, j) - 2.0 * gramian.at(i, j)).max(0.0).sqrt()
        };
        let score = |i: usize| {
            let mut distances: Vec<f64> = (0..count).filter(|j| *j != i).map(|j| distance(i, j)).collect();
            distances.sort_by(f64::total_cmp);
            distances.iter().take(neighbours).sum::<f64>()
        };
        let scores: Vec<f64> = (0..count).map(score).collect();
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|i, j| {
            scores.get(*i).zip(scores.get(*j)).map_or(std::cmp::Ordering::Equal, |(a, b)| a.total_cmp(b))
        });
        let selected = self.selected.min(count);
        let mut weights = vec![0.0; count];
        for task in order.into_iter().take(selected) {
            if let Some(weight) = weights.get_mut(task) {
                *weight = 1.0 / selected as f64;
            }
        }
        Ok(weights)
    }
}
