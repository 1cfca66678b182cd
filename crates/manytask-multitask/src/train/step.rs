//! What an aggregator is given at one step of the loop.

use std::ops::Range;

use manytask_tensor::Params;
use manytask_tensor::random::Key;

use super::frozen::Passes;
use crate::aggregator::layer_slots;
use crate::{
    BatchGradients, BatchOf, Combination, Demand, Draw, Error, Gramian, Jacobian, Level, Needs, Pass, Place,
    Result, Shared, Split, Step, TaskVec, Want,
};

/// One step over one pass.
pub(super) struct LoopStep<'a> {
    pub(super) passes: Passes<'a>,
    pub(super) params: &'a Params,
    pub(super) pass: Box<dyn Pass + 'a>,
    pub(super) aggregator: &'static str,
    pub(super) needs: Needs,
    pub(super) losses: TaskVec,
    pub(super) draw: Draw,
    pub(super) epoch: u64,
    pub(super) learning_rate: f64,
    /// Those that were asked for, with their levels.
    pub(super) gramians: Vec<(Level, Gramian)>,
}

impl LoopStep<'_> {
    fn demand(&self, declared: bool, what: &str) -> Result<()> {
        if declared {
            return Ok(());
        }
        Err(Error::Contract {
            aggregator: self.aggregator.into(),
            message: format!("it takes {what} but does not declare that it needs it"),
        })
    }

    /// Whether a combination moves no shared parameter, although the tasks' gradients would: they cancel. Known where the
    /// weights are all 0, or were found on a Gramian.
    pub(super) fn is_stationary(&self, combination: &Combination) -> bool {
        let Shared::Weights(weights) = &combination.shared else { return false };
        cancel(weights, self.gramians.iter().map(|(_, gramian)| gramian))
    }

    /// What is wanted of a batch at some parameters.
    fn at(&self, params: &Params, draw: Draw, want: Want<'_>) -> Result<BatchGradients> {
        if let Want::Losses = want {
            return Ok(BatchGradients::of_losses(self.passes.problem.losses(params, draw)?));
        }
        let mut pass = self.passes.forward(params, draw)?;
        let losses: TaskVec = pass.present().iter().copied().zip(pass.losses().iter().copied()).collect();
        if losses.is_empty() {
            // Of no task there are no gradients.
            return Ok(BatchGradients::of_losses(losses));
        }
        Ok(match want {
            Want::Losses => BatchGradients::of_losses(losses),
            Want::Jacobian(level) => {
                let rows = Jacobian::new(pass.jacobian(level)?.rows())?;
                BatchGradients::of_losses(losses).with_jacobian(rows)
            }
            Want::Gradient(weights) => {
                let of = |task: &usize| weights.get(*task).copied().unwrap_or(0.0);
                let weights = losses.present().iter().map(of).collect();
                let gradient = pass.finish(&Combination::weighted_losses(weights))?.detach()?;
                BatchGradients::of_losses(losses).with_gradient(gradient)
            }
        })
    }
}

/// Whether gradients of one of these Gramians, so weighted, are nothing but rounding together.
fn cancel<'g>(weights: &[f64], mut gramians: impl Iterator<Item = &'g Gramian>) -> bool {
    /// The square of the length of the direction relative to what it is made of, at which it is rounding.
    const ROUNDING: f64 = 1e-12;
    if weights.iter().all(|weight| *weight == 0.0) {
        return !weights.is_empty();
    }
    gramians.any(|gramian| {
        let lengths = gramian.squared_norms().into_iter().map(f64::sqrt);
        let size: f64 = lengths.zip(weights).map(|(length, weight)| length * weight.abs()).sum();
        gramian.size() == weights.len() && gramian.quadratic(weights) <= ROUNDING * size * size
    })
}

impl Step for LoopStep<'_> {
    fn number(&self) -> u64 {
        self.draw.step
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn key(&self) -> Key {
        Key::new(self.draw.seed, "aggregator").step(self.draw.step)
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn tasks(&self) -> usize {
        self.passes.problem.tasks().len()
    }

    fn losses(&self) -> &TaskVec {
        &self.losses
    }

    fn preference(&self) -> Option<&[f64]> {
        self.pass.preference()
    }

    fn gramian(&mut self, level: &Level) -> Result<&Gramian> {
        self.demand(self.needs.declares(Demand::Gramian, level), "a Gramian")?;
        let known = self.gramians.iter().position(|(of, _)| of == level);
        let place = known.unwrap_or(self.gramians.len());
        if known.is_none() {
            self.gramians.push((level.clone(), self.pass.gramian(level)?));
        }
        self.gramians.get(place).map(|(_, gramian)| gramian).ok_or_else(|| Error::Contract {
            aggregator: self.aggregator.into(),
            message: "the Gramian was not kept".into(),
        })
    }

    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        self.demand(self.needs.declares(Demand::Jacobian, level), "a Jacobian")?;
        self.pass.jacobian(level)
    }

    fn columns(&self, level: &Level) -> Result<Vec<(String, Range<usize>)>> {
        if *level == Level::Representation {
            return Ok(Vec::new());
        }
        let layout = self.passes.problem.layout();
        let slots = layer_slots(layout, self.passes.problem.shared(), level)?;
        let entries = slots.into_iter().filter_map(|slot| layout.entries().get(slot.index()));
        let columns = entries.scan(0, |start, entry| {
            let range = *start..*start + entry.shape.iter().product::<i64>() as usize;
            *start = range.end;
            Some((entry.name.clone(), range))
        });
        Ok(columns.collect())
    }

    fn look(&mut self, batch: BatchOf, place: Place<'_>, want: Want<'_>) -> Result<BatchGradients> {
        let (declared, draw) = match batch {
            BatchOf::Own => (true, self.draw),
            BatchOf::Replica(number) => {
                ((1..self.needs.batches).contains(&number), Draw { replica: number, ..self.draw })
            }
            BatchOf::Validation => (self.needs.validation, Draw { split: Split::Validation, ..self.draw }),
        };
        self.demand(declared, &format!("a look at {batch:?}"))?;
        match place {
            Place::Here => self.at(self.params, draw, want),
            Place::Moved { against, rate } => {
                self.demand(self.needs.look_ahead, "a look ahead")?;
                let moved = self.params.detach()?.add_scaled(against, -rate)?.require_grad()?;
                self.at(&moved, draw, want)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_cancel_where_their_sum_is_rounding() {
        // Gradients 2 and -1.
        let opposite = Gramian::new(2, vec![4.0, -2.0, -2.0, 1.0]).unwrap();
        let of = |weights: &[f64]| cancel(weights, std::iter::once(&opposite));
        assert!(of(&[1.0 / 3.0, 2.0 / 3.0]) && of(&[0.0, 0.0]));
        assert!(!of(&[0.5, 0.5]) && !of(&[0.333, 0.667]) && !of(&[1.0, 0.0]) && !of(&[]));
        assert!(!cancel(&[1.0, 2.0], std::iter::empty()));
    }
}
