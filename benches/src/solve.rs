//! A step of which nothing but the Gramian is known: what a method costs beside its gradients.

use std::ops::Range;

use anyhow::Result;
use manytask_multitask::{Combination, Error, Gramian, Jacobian, Step};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind};

/// The same losses and Gramian each time.
#[derive(Debug)]
pub struct GramianStep {
    present: Vec<usize>,
    losses: Vec<f64>,
    gramian: Gramian,
}

impl GramianStep {
    /// Of so many tasks, whose gradients are normal vectors of twice as many numbers: about half of all pairs are in conflict.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn new(tasks: usize) -> Result<Self> {
        let rows =
            Key::new(0, "rows").normal(&[tasks as i64, 2 * tasks as i64], Kind::Double, Device::Cpu)?;
        let gramian = Jacobian::new(&rows)?.gramian()?;
        Ok(Self { present: (0..tasks).collect(), losses: vec![1.0; tasks], gramian })
    }
}

fn nothing<T>(what: &str) -> manytask_multitask::Result<T> {
    Err(Error::Contract { aggregator: "benchmark".into(), message: format!("there is no {what}") })
}

impl Step for GramianStep {
    fn number(&self) -> u64 {
        0
    }

    fn epoch(&self) -> u64 {
        0
    }

    fn key(&self) -> Key {
        Key::new(0, "aggregator")
    }

    fn learning_rate(&self) -> f64 {
        1e-3
    }

    fn tasks(&self) -> usize {
        self.losses.len()
    }

    fn present(&self) -> &[usize] {
        &self.present
    }

    fn losses(&self) -> &[f64] {
        &self.losses
    }

    fn gramian(&mut self) -> manytask_multitask::Result<&Gramian> {
        Ok(&self.gramian)
    }

    fn jacobian(&mut self) -> manytask_multitask::Result<&Jacobian> {
        nothing("Jacobian")
    }

    fn columns(&self) -> Vec<(String, Range<usize>)> {
        Vec::new()
    }

    fn replica(&mut self, _: u32) -> manytask_multitask::Result<(Vec<f64>, Jacobian)> {
        nothing("further batch")
    }

    fn validation(
        &mut self,
        _: Option<(&Combination, f64)>,
    ) -> manytask_multitask::Result<(Vec<f64>, Jacobian)> {
        nothing("validation batch")
    }

    fn ahead(&mut self, _: &Combination, _: f64) -> manytask_multitask::Result<(Vec<f64>, Jacobian)> {
        nothing("look ahead")
    }
}
