//! A step without a model: for a method by itself.

use std::ops::Range;
use std::sync::Arc;

use manytask_tensor::random::Key;
use manytask_tensor::{Init, Layout, Params, Role, Tensor, WHOLE};

use super::{BatchGradients, BatchOf, Combination, Demand, Level, Needs, Place, Shared, Step, TaskVec, Want};
use crate::{Error, Gramian, Jacobian, Result};

/// A step of given losses and gradients: what a method makes of them, without a model.
///
/// The gradients stand for those of every level. Losses are linear in the parameters, `l(θ − r d) = l − r J d`.
///
/// ```
/// use manytask_multitask::aggregators::{AggregatorSettings, UpGrad};
/// use manytask_multitask::{GivenBatch, GivenStep};
///
/// let tasks = ["a".to_owned(), "b".to_owned()];
/// let mut upgrad = UpGrad::default().build(&tasks)?;
/// let batch = GivenBatch::new([1.0, 2.0], &[vec![1.0, 0.0], vec![-1.0, 1.0]])?;
/// let mut step = GivenStep::new(batch, upgrad.needs());
/// let combination = upgrad.combine(&mut step)?;
/// assert_eq!(step.direction(&combination)?, [0.25, 0.75]);
/// # Ok::<(), manytask_multitask::Error>(())
/// ```
#[derive(Debug)]
pub struct GivenStep {
    /// The step of the loop.
    pub number: u64,
    /// The epoch.
    pub epoch: u64,
    /// What its randomness is keyed by.
    pub seed: u64,
    /// The optimizer's learning rate.
    pub learning_rate: f64,
    /// The number of tasks, absent ones included.
    pub tasks: usize,
    /// Its preference, a share of each task.
    pub preference: Option<Vec<f64>>,
    /// Further batches of the step.
    pub replicas: Vec<GivenBatch>,
    /// A batch of the validation split.
    pub validation: Option<GivenBatch>,
    batch: GivenBatch,
    needs: Needs,
    layout: Arc<Layout>,
    gramian: Option<Gramian>,
}

/// The losses and gradients of one batch.
#[derive(Debug)]
pub struct GivenBatch {
    losses: TaskVec,
    jacobian: Jacobian,
}

impl GivenBatch {
    /// All tasks, each with its loss and its gradient.
    ///
    /// # Errors
    /// When gradients are not of one length, or not as many as losses.
    pub fn new(losses: impl IntoIterator<Item = f64>, rows: &[Vec<f64>]) -> Result<Self> {
        Self::of(losses.into_iter().collect::<TaskVec>(), rows)
    }

    /// The tasks that are present, each with its loss and its gradient.
    ///
    /// # Errors
    /// When gradients are not of one length, or not as many as losses.
    pub fn of(losses: TaskVec, rows: &[Vec<f64>]) -> Result<Self> {
        let width = rows.first().map_or(0, Vec::len);
        if rows.len() != losses.len() || rows.iter().any(|row| row.len() != width) {
            return Err(Error::setting(
                WHOLE,
                format!("{} losses with {} gradients", losses.len(), rows.len()),
                "give each task one gradient, all of the same length",
            ));
        }
        let flat: Vec<f64> = rows.iter().flatten().copied().collect();
        let matrix = Tensor::f_from_slice(&flat)?.f_reshape([rows.len() as i64, width as i64])?;
        Ok(Self { losses, jacobian: Jacobian::new(&matrix)? })
    }
}

impl GivenStep {
    /// Step 0 with this batch, for an aggregator with these needs; it refuses what they do not declare.
    pub fn new(batch: GivenBatch, needs: Needs) -> Self {
        let mut layout = Layout::builder();
        let width = batch.jacobian.rows().size().get(1).copied().unwrap_or(0);
        // A first name is never taken.
        let _ = layout.add("shared", &[width], Init::Zeros, Role::Weight);
        Self {
            number: 0,
            epoch: 0,
            seed: 1,
            learning_rate: 0.01,
            tasks: batch.losses.present().last().map_or(0, |last| last + 1),
            preference: None,
            replicas: Vec::new(),
            validation: None,
            batch,
            needs,
            layout: layout.build(),
            gramian: None,
        }
    }

    /// The direction of a combination.
    ///
    /// # Errors
    /// When it is of another number of tasks.
    pub fn direction(&self, combination: &Combination) -> Result<Vec<f64>> {
        let vector = match &combination.shared {
            Shared::Weights(weights) => self.batch.jacobian.combine(weights)?,
            Shared::Direction { vector, .. } => vector.shallow_clone(),
        };
        Ok(Vec::try_from(vector)?)
    }
}

fn declared(is: bool, what: &str) -> Result<()> {
    if is {
        return Ok(());
    }
    Err(Error::Contract {
        aggregator: "given step".into(),
        message: format!("{what} was not declared, or is not there"),
    })
}

impl Step for GivenStep {
    fn number(&self) -> u64 {
        self.number
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn key(&self) -> Key {
        Key::new(self.seed, "aggregator").step(self.number)
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn tasks(&self) -> usize {
        self.tasks
    }

    fn losses(&self) -> &TaskVec {
        &self.batch.losses
    }

    fn preference(&self) -> Option<&[f64]> {
        self.preference.as_deref()
    }

    fn gramian(&mut self, level: &Level) -> Result<&Gramian> {
        declared(self.needs.declares(Demand::Gramian, level), "a Gramian")?;
        if self.gramian.is_none() {
            self.gramian = Some(self.batch.jacobian.gramian()?);
        }
        let lost = || Error::Contract { aggregator: "given step".into(), message: "no Gramian".into() };
        self.gramian.as_ref().ok_or_else(lost)
    }

    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        declared(self.needs.declares(Demand::Jacobian, level), "a Jacobian")?;
        Ok(&self.batch.jacobian)
    }

    fn columns(&self, _level: &Level) -> Result<Vec<(String, Range<usize>)>> {
        let width = self.batch.jacobian.rows().size().get(1).copied().unwrap_or(0);
        Ok(vec![("shared".to_owned(), 0..width as usize)])
    }

    fn look(&mut self, batch: BatchOf, place: Place<'_>, want: Want<'_>) -> Result<BatchGradients> {
        let found = match batch {
            BatchOf::Own => Some(&self.batch),
            BatchOf::Replica(number) if number < self.needs.batches => {
                (number as usize).checked_sub(1).and_then(|number| self.replicas.get(number))
            }
            BatchOf::Validation if self.needs.validation => self.validation.as_ref(),
            BatchOf::Replica(_) | BatchOf::Validation => None,
        };
        declared(found.is_some(), &format!("a look at {batch:?}"))?;
        let GivenBatch { losses, jacobian } = found.unwrap_or(&self.batch);
        let mut losses = losses.clone();
        if let Place::Moved { against, rate } = place {
            declared(self.needs.look_ahead, "a look ahead")?;
            let slopes = Vec::<f64>::try_from(jacobian.rows().f_mv(&against.flatten()?)?)?;
            let moved: Vec<f64> =
                losses.values().iter().zip(slopes).map(|(l, slope)| l - rate * slope).collect();
            losses = losses.with_values(&moved);
        }
        Ok(match want {
            Want::Losses => BatchGradients::of_losses(losses),
            Want::Jacobian(_) => {
                BatchGradients::of_losses(losses).with_jacobian(Jacobian::new(jacobian.rows())?)
            }
            Want::Gradient(weights) => {
                let of = |task: &usize| weights.get(*task).copied().unwrap_or(0.0);
                let present: Vec<f64> = losses.present().iter().map(of).collect();
                let gradient = Params::from_vector(&self.layout, &jacobian.combine(&present)?)?;
                BatchGradients::of_losses(losses).with_gradient(gradient)
            }
        })
    }
}
