//! What an aggregator is given at one step of the loop.

use std::ops::Range;

use manytask_tensor::Params;
use manytask_tensor::random::Key;

use crate::{
    Combination, Demand, Draw, Error, Gramian, Jacobian, Level, Needs, Part, Pass, Problem, Result, Step,
};

/// One step over one pass.
pub(super) struct LoopStep<'a> {
    pub(super) problem: &'a dyn Problem,
    pub(super) params: &'a Params,
    pub(super) pass: Box<dyn Pass + 'a>,
    pub(super) aggregator: &'static str,
    pub(super) needs: Needs,
    pub(super) draw: Draw,
    pub(super) epoch: u64,
    pub(super) learning_rate: f64,
    pub(super) gramian: Option<Gramian>,
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

    /// The losses and gradients of a batch at some parameters.
    fn at(&self, params: &Params, draw: Draw) -> Result<(Vec<f64>, Jacobian)> {
        let mut pass = self.problem.forward(params, draw)?;
        let rows = Jacobian::new(pass.jacobian(self.needs.level)?.rows())?;
        Ok((pass.losses().to_vec(), rows))
    }

    /// The parameters after a step of plain gradient descent along a combination of this pass' gradients.
    fn moved(&mut self, combination: &Combination, rate: f64) -> Result<Params> {
        // With the rows at hand a combination is no further backward pass.
        self.pass.jacobian(Level::Parameters)?;
        let gradient = self.pass.finish(combination)?;
        Ok(self.params.detach()?.add_scaled(&gradient.detach()?, -rate)?.require_grad()?)
    }
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
        self.problem.tasks().len()
    }

    fn present(&self) -> &[usize] {
        self.pass.present()
    }

    fn losses(&self) -> &[f64] {
        self.pass.losses()
    }

    fn gramian(&mut self) -> Result<&Gramian> {
        self.demand(self.needs.demand >= Demand::Gramian, "a Gramian")?;
        if self.gramian.is_none() {
            self.gramian = Some(self.pass.gramian(self.needs.level)?);
        }
        self.gramian.as_ref().ok_or_else(|| Error::Contract {
            aggregator: self.aggregator.into(),
            message: "the Gramian was not kept".into(),
        })
    }

    fn jacobian(&mut self) -> Result<&Jacobian> {
        self.demand(self.needs.demand >= Demand::Jacobian, "a Jacobian")?;
        self.pass.jacobian(self.needs.level)
    }

    fn columns(&self) -> Vec<(String, Range<usize>)> {
        let entries = self.problem.layout().entries();
        let shared = self.problem.shared().iter().filter_map(|slot| entries.get(slot.index()));
        let columns = shared.scan(0, |start, entry| {
            let length = entry.shape.iter().product::<i64>() as usize;
            let range = *start..*start + length;
            *start += length;
            Some((entry.name.clone(), range))
        });
        columns.collect()
    }

    fn replica(&mut self, number: u32) -> Result<(Vec<f64>, Jacobian)> {
        self.demand((1..self.needs.batches).contains(&number), &format!("batch {number} of this step"))?;
        self.at(self.params, Draw { replica: number, ..self.draw })
    }

    fn validation(&mut self, ahead: Option<(&Combination, f64)>) -> Result<(Vec<f64>, Jacobian)> {
        self.demand(self.needs.validation, "a validation batch")?;
        let draw = Draw { part: Part::Validation, ..self.draw };
        match ahead {
            None => self.at(self.params, draw),
            Some((combination, rate)) => {
                self.demand(self.needs.look_ahead, "a look ahead")?;
                let moved = self.moved(combination, rate)?;
                self.at(&moved, draw)
            }
        }
    }

    fn ahead(&mut self, combination: &Combination, rate: f64) -> Result<(Vec<f64>, Jacobian)> {
        self.demand(self.needs.look_ahead, "a look ahead")?;
        let moved = self.moved(combination, rate)?;
        self.at(&moved, self.draw)
    }
}
