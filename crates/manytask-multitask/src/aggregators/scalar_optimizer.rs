//! An optimizer for numbers that a method learns for itself, one or more for each task.

use serde::{Deserialize, Serialize};

/// Adam's decays of means and squares.
const BETA: (f64, f64) = (0.9, 0.999);

/// How a method's own numbers follow their gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ScalarRule {
    /// Adam (Kingma & Ba 2015).
    Adam,
    /// Gradient descent with momentum m, `v ← m v + g`.
    Sgd {
        /// m.
        momentum: f64,
    },
}

/// What the optimizer of one number for each task remembers.
///
/// Each task has a step count of its own: a task that is absent rests, and its bias correction with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ScalarOptimizer {
    mean: Vec<f64>,
    square: Vec<f64>,
    steps: Vec<f64>,
}

impl ScalarOptimizer {
    pub(super) fn new(tasks: usize) -> Self {
        Self { mean: vec![0.0; tasks], square: vec![0.0; tasks], steps: vec![0.0; tasks] }
    }

    /// One step of a task's number, against its gradient.
    pub(super) fn step(&mut self, rule: ScalarRule, task: usize, number: &mut f64, gradient: f64, rate: f64) {
        let (Some(mean), Some(square), Some(steps)) =
            (self.mean.get_mut(task), self.square.get_mut(task), self.steps.get_mut(task))
        else {
            return;
        };
        *steps += 1.0;
        match rule {
            ScalarRule::Adam => {
                *mean = BETA.0 * *mean + (1.0 - BETA.0) * gradient;
                *square = BETA.1 * *square + (1.0 - BETA.1) * gradient * gradient;
                let corrected = *mean / (1.0 - BETA.0.powf(*steps));
                let size = (*square / (1.0 - BETA.1.powf(*steps))).sqrt() + 1e-8;
                *number -= rate * corrected / size;
            }
            ScalarRule::Sgd { momentum } => {
                *mean = momentum * *mean + gradient;
                *number -= rate * *mean;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_rests_keeps_its_own_count() {
        let mut optimizer = ScalarOptimizer::new(2);
        let mut numbers = [0.0, 0.0];
        for _ in 0..5 {
            optimizer.step(ScalarRule::Adam, 0, &mut numbers[0], 3.0, 0.1);
        }
        optimizer.step(ScalarRule::Adam, 1, &mut numbers[1], -0.2, 0.1);
        // The first step of Adam is the rate, whatever the gradient: with a count of all steps it would be shorter.
        assert!((numbers[1] - 0.1).abs() < 1e-7 && (numbers[0] + 0.5).abs() < 1e-7, "{numbers:?}");
        assert_eq!(optimizer.steps, [5.0, 1.0]);
    }

    #[test]
    fn momentum_adds_up() {
        let mut optimizer = ScalarOptimizer::new(1);
        let mut number = 0.0;
        for _ in 0..2 {
            optimizer.step(ScalarRule::Sgd { momentum: 0.5 }, 0, &mut number, 1.0, 1.0);
        }
        assert_eq!(number, -2.5);
    }
}
