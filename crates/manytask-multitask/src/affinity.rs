//! Which tasks help each other, and how they are divided among several networks.

mod grouping;

use std::sync::{Arc, Mutex, PoisonError};

pub use self::grouping::Grouping;
use crate::{
    Aggregator, BatchOf, Combination, Error, Gives, Needs, Place, Result, State, Step, TaskVec, Want,
};

/// How much a step for one task alone lowers the losses of the others (task affinity grouping, Fifty et al. 2021, arXiv:2109.04617):
/// `Zᵢⱼ = 1 − lⱼ(θ − η ∇lᵢ) / lⱼ(θ)` on the same batch, with the learning rate η of the step, mean over the steps that were looked at.
///
/// Above 0 a step for task i helps task j. Heads of other tasks stay where they are, as their loss does not depend on them.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskAffinity {
    /// The tasks, in the order of rows and columns.
    pub tasks: Vec<String>,
    /// Zᵢⱼ in row i and column j, of i itself on the diagonal; `None` where the two were never in a batch together, or the loss was not above 0.
    pub matrix: Vec<Vec<Option<f64>>>,
    /// The steps that were looked at.
    pub looks: u64,
}

/// An aggregator that does what another one does, and every few steps looks at what a step for each task alone would do to all losses.
///
/// Such a look costs a pass both ways and a forward pass for each task; the training is the same as without.
#[derive(Debug)]
pub struct AffinityProbe {
    inner: Box<dyn Aggregator>,
    every: u64,
    sums: Arc<Mutex<Sums>>,
}

/// What a probe has seen so far, also while the training has the probe.
#[derive(Debug, Clone)]
pub struct AffinityRecord {
    tasks: Vec<String>,
    sums: Arc<Mutex<Sums>>,
}

#[derive(Debug, Default)]
struct Sums {
    /// The sum of Zᵢⱼ and its number, row by row.
    pairs: Vec<(f64, u64)>,
    looks: u64,
}

impl AffinityProbe {
    /// Around another aggregator for tasks of these names, with a look every so many steps.
    ///
    /// # Errors
    /// When it is every 0 steps.
    pub fn new(inner: Box<dyn Aggregator>, every: u64, tasks: &[String]) -> Result<(Self, AffinityRecord)> {
        if every == 0 {
            return Err(Error::setting("every", "a look every 0 steps", "write at least 1"));
        }
        let sums = Sums { pairs: vec![(0.0, 0); tasks.len() * tasks.len()], looks: 0 };
        let sums = Arc::new(Mutex::new(sums));
        let record = AffinityRecord { tasks: tasks.to_vec(), sums: Arc::clone(&sums) };
        Ok((Self { inner, every, sums }, record))
    }

    fn look(&self, step: &mut dyn Step) -> Result<()> {
        let (before, count, rate) = (step.losses().clone(), step.tasks(), step.learning_rate());
        let mut found = Vec::new();
        for task in before.present() {
            let mut alone = vec![0.0; count];
            if let Some(weight) = alone.get_mut(*task) {
                *weight = 1.0;
            }
            let down = step.look(BatchOf::Own, Place::Here, Want::Gradient(&alone))?;
            let ahead = Place::Moved { against: down.gradient()?, rate };
            let after = step.look(BatchOf::Own, ahead, Want::Losses)?.losses;
            for (other, loss) in before.iter().filter(|(_, loss)| *loss > 0.0) {
                if let Some(after) = after.get(other).filter(|after| after.is_finite()) {
                    found.push((task * count + other, 1.0 - after / loss));
                }
            }
        }
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.looks += 1;
        for (pair, affinity) in found {
            if let Some((sum, number)) = sums.pairs.get_mut(pair) {
                *sum += affinity;
                *number += 1;
            }
        }
        Ok(())
    }
}

impl AffinityRecord {
    /// The means so far.
    pub fn affinity(&self) -> TaskAffinity {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let mean = |(sum, number): &(f64, u64)| (*number > 0).then(|| sum / *number as f64);
        let rows = sums.pairs.chunks(self.tasks.len().max(1));
        let matrix = rows.map(|row| row.iter().map(mean).collect()).collect();
        TaskAffinity { tasks: self.tasks.clone(), matrix, looks: sums.looks }
    }
}

impl Aggregator for AffinityProbe {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn needs(&self) -> Needs {
        self.inner.needs().and(Needs { look_ahead: true, fixed_tasks: true, ..Needs::LOSSES })
    }

    fn gives(&self) -> Gives {
        self.inner.gives()
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        if step.number().is_multiple_of(self.every) {
            self.look(step)?;
        }
        self.inner.combine(step)
    }

    fn after_step(&mut self, losses: &TaskVec) -> Result<()> {
        self.inner.after_step(losses)
    }

    fn end_epoch(&mut self, mean_losses: &TaskVec) -> Result<()> {
        self.inner.end_epoch(mean_losses)
    }

    fn weights(&self) -> Option<&TaskVec> {
        self.inner.weights()
    }

    fn state(&self) -> Result<State> {
        self.inner.state()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.inner.restore(state)
    }
}
