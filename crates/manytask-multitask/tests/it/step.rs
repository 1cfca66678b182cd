//! A step made of losses and gradients.

use std::ops::Range;

use manytask_multitask::{Combination, Demand, Gramian, Jacobian, Needs, Result, Shared, Step};
use manytask_tensor::Tensor;
use manytask_tensor::random::Key;

/// What an aggregator sees; it fails a test that asks for more than was declared.
pub(crate) struct Seen {
    pub(crate) number: u64,
    pub(crate) tasks: usize,
    pub(crate) present: Vec<usize>,
    pub(crate) losses: Vec<f64>,
    pub(crate) needs: Needs,
    jacobian: Jacobian,
    gramian: Gramian,
}

impl Seen {
    /// All tasks with these gradients.
    pub(crate) fn new(losses: Vec<f64>, rows: &[Vec<f64>], needs: Needs) -> Self {
        let flat: Vec<f64> = rows.iter().flatten().copied().collect();
        let matrix = Tensor::from_slice(&flat).reshape([rows.len() as i64, -1]);
        let jacobian = Jacobian::new(&matrix).unwrap();
        let gramian = jacobian.gramian().unwrap();
        Self {
            number: 0,
            tasks: rows.len(),
            present: (0..rows.len()).collect(),
            losses,
            needs,
            jacobian,
            gramian,
        }
    }

    /// The direction of a combination.
    pub(crate) fn direction(&self, combination: &Combination) -> Vec<f64> {
        match &combination.shared {
            Shared::Weights(weights) => Vec::try_from(self.jacobian.combine(weights).unwrap()).unwrap(),
            Shared::Direction(direction) => Vec::try_from(direction).unwrap(),
        }
    }
}

impl Step for Seen {
    fn number(&self) -> u64 {
        self.number
    }
    fn epoch(&self) -> u64 {
        0
    }
    fn key(&self) -> Key {
        Key::new(1, "aggregator").step(self.number)
    }
    fn learning_rate(&self) -> f64 {
        0.01
    }
    fn tasks(&self) -> usize {
        self.tasks
    }
    fn present(&self) -> &[usize] {
        &self.present
    }
    fn losses(&self) -> &[f64] {
        &self.losses
    }
    fn gramian(&mut self) -> Result<&Gramian> {
        assert!(self.needs.demand >= Demand::Gramian, "a Gramian was not declared");
        Ok(&self.gramian)
    }
    fn jacobian(&mut self) -> Result<&Jacobian> {
        assert!(self.needs.demand >= Demand::Jacobian, "a Jacobian was not declared");
        Ok(&self.jacobian)
    }
    fn columns(&self) -> Vec<(String, Range<usize>)> {
        Vec::new()
    }
    fn replica(&mut self, _number: u32) -> Result<(Vec<f64>, Jacobian)> {
        panic!("no further batch was declared")
    }
    fn validation(&mut self, _ahead: Option<(&Combination, f64)>) -> Result<(Vec<f64>, Jacobian)> {
        panic!("no validation batch was declared")
    }
    fn ahead(&mut self, _combination: &Combination, _rate: f64) -> Result<(Vec<f64>, Jacobian)> {
        panic!("no look ahead was declared")
    }
}
