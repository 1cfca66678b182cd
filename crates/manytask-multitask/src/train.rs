//! The training loop, of any problem with any aggregator.

mod settings;
mod state;
mod step;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::Path;

use manytask_nn::optim::OptimizerState;
use manytask_nn::{Cx, clip};
use manytask_tensor::{Params, catch_panics, threads};

pub use self::settings::{EarlyStopping, Goal, Monitor, Training};
pub use self::state::{Best, OPTIMIZER, PARAMS, Progress, STATE};
use self::step::LoopStep;
use crate::{Aggregator, Draw, Error, Evaluation, Part, Problem, Result, check};

/// A training: parameters on their way, with everything that is needed to stop here and go on later.
///
/// It reads no clock and prints nothing; who runs it hears of every [`Event`].
#[derive(Debug)]
pub struct Trainer<'p> {
    problem: &'p dyn Problem,
    aggregator: Box<dyn Aggregator>,
    training: Training,
    params: Params,
    optimizer: OptimizerState,
    progress: Progress,
}

/// What happened, in this order within a step.
#[derive(Debug)]
pub enum Event<'e> {
    /// A step was made.
    Step(&'e StepReport),
    /// The validation part was looked at.
    Evaluated {
        /// After how many steps.
        step: u64,
        /// What was seen.
        evaluation: &'e Evaluation,
        /// Whether these parameters are the best so far.
        improved: bool,
    },
    /// It is time for a checkpoint, with [`Trainer::save`].
    Checkpoint {
        /// After how many steps.
        step: u64,
        /// Whether these parameters are the best so far.
        improved: bool,
    },
    /// All of this step is done; ending here loses nothing.
    StepDone {
        /// After how many steps.
        step: u64,
    },
}

/// One step in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// After how many steps: the first one reports 1.
    pub step: u64,
    /// The epoch it belongs to, counted from 0.
    pub epoch: u64,
    /// The tasks that were present, by number.
    pub present: Vec<usize>,
    /// Their losses.
    pub losses: Vec<f64>,
    /// The weights that the aggregator used for them, where it has such.
    pub weights: Option<Vec<f64>>,
    /// The learning rate.
    pub learning_rate: f64,
    /// The norm of the whole gradient before clipping, where gradients are clipped.
    pub gradient_norm: Option<f64>,
}

/// Why a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// All steps are done.
    Completed,
    /// The validation figure got no better.
    StoppedEarly,
    /// Who runs it asked for it.
    Interrupted,
}

impl<'p> Trainer<'p> {
    /// A training that starts from these parameters, which are copied.
    ///
    /// # Errors
    /// When settings are out of range, or the aggregator needs what the problem has not.
    pub fn new(
        problem: &'p dyn Problem,
        aggregator: Box<dyn Aggregator>,
        training: Training,
        params: &Params,
    ) -> Result<Self> {
        training.check()?;
        check(aggregator.as_ref(), problem)?;
        if training.validate_every.is_some() && !problem.offers().validation {
            return Err(Error::setting(
                "validate_every is set, but the data have no validation part",
                "add one to the split, or leave validate_every out",
            ));
        }
        if training.validate_every.is_some() {
            training.monitor.read(&problem.form())?;
        }
        let params = params.copy()?;
        let progress =
            Progress { epoch_losses: vec![(0.0, 0); problem.tasks().len()], ..Progress::default() };
        Ok(Self {
            optimizer: training.optimizer.init(&params)?,
            problem,
            aggregator,
            training,
            params,
            progress,
        })
    }

    /// The parameters as they are now.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// How far it is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// What it was made with.
    pub fn training(&self) -> &Training {
        &self.training
    }

    /// Writes a checkpoint into a folder that is there: [`PARAMS`], [`OPTIMIZER`] and [`STATE`].
    ///
    /// # Errors
    /// When a file cannot be written, or the parameters are not finite: such a checkpoint would replace a good one.
    pub fn save(&self, folder: &Path) -> Result<()> {
        if !self.params.is_finite()? {
            return Err(self.diverged("a parameter is not finite"));
        }
        state::save(folder, &self.params, &self.optimizer, &self.progress, &self.aggregator.state())
    }

    /// Goes back to what [`Trainer::save`] wrote: the next step is exactly that which would have come then.
    ///
    /// # Errors
    /// When a file is missing, damaged, or of another network, optimizer or aggregator.
    pub fn restore(&mut self, folder: &Path) -> Result<()> {
        let device = self.params.device();
        let (progress, aggregator) = state::load(folder, &mut self.params, &mut self.optimizer, device)?;
        if progress.epoch_losses.len() != self.problem.tasks().len() {
            return Err(Error::Incompatible {
                path: folder.join(STATE),
                message: format!(
                    "is of {} tasks, this problem has {}",
                    progress.epoch_losses.len(),
                    self.problem.tasks().len()
                ),
            });
        }
        self.aggregator.restore(&aggregator)?;
        self.progress = progress;
        Ok(())
    }

    /// Trains to the end, or until `observer` answers [`ControlFlow::Break`] to any event of a step: that step is still
    /// finished.
    ///
    /// # Errors
    /// When a loss is not finite, memory runs out, or the observer fails.
    pub fn run<E: From<Error>>(
        &mut self,
        mut observer: impl FnMut(&Self, Event<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<Finish, E> {
        while !self.progress.stopped && self.progress.step < self.training.steps {
            let step = || {
                if self.problem.shares_out(&self.params) {
                    threads::alone(|| self.step())
                } else {
                    self.step()
                }
            };
            let report = catch_panics(step)?;
            let step = self.progress.step;
            let mut ask = observer(self, Event::Step(&report))?.is_break();
            let due = |every: Option<u64>| every.is_some_and(|every| step.is_multiple_of(every));
            let last = step == self.training.steps;
            let mut improved = false;
            if self.training.validate_every.is_some() && (due(self.training.validate_every) || last) {
                let evaluation = catch_panics(|| self.problem.evaluate(&self.params, Part::Validation))?;
                improved = self.judge(&evaluation)?;
                ask |=
                    observer(self, Event::Evaluated { step, evaluation: &evaluation, improved })?.is_break();
            }
            if improved || due(self.training.save_every) || last || self.progress.stopped {
                ask |= observer(self, Event::Checkpoint { step, improved })?.is_break();
            }
            ask |= observer(self, Event::StepDone { step })?.is_break();
            if ask && !last && !self.progress.stopped {
                return Ok(Finish::Interrupted);
            }
        }
        Ok(if self.progress.stopped { Finish::StoppedEarly } else { Finish::Completed })
    }

    /// One step.
    fn step(&mut self) -> Result<StepReport> {
        let number = self.progress.step;
        let each = self.problem.steps_per_epoch();
        let epoch = each.map_or(0, |each| number / each.max(1));
        let Training { learning_rate, schedule, steps, seed, .. } = &self.training;
        let learning_rate = schedule.rate(*learning_rate, number, *steps, &self.progress.plateau);
        let draw = Draw { seed: *seed, step: number, replica: 0, part: Part::Train };
        let needs = self.aggregator.needs();
        let live = self.params.require_grad()?;
        let pass = self.problem.forward(&live, draw)?;
        let (present, losses) = (pass.present().to_vec(), pass.losses().to_vec());
        if let Some((task, loss)) = present.iter().zip(&losses).find(|(_, loss)| !loss.is_finite()) {
            let name = self.problem.tasks().get(*task).map_or("", String::as_str);
            return Err(self.diverged(&format!("the loss of task `{name}` is {loss}")));
        }
        let mut gradient_norm = None;
        if !present.is_empty() {
            let mut step = LoopStep {
                problem: self.problem,
                params: &live,
                pass,
                aggregator: self.aggregator.name(),
                needs,
                draw,
                epoch,
                learning_rate,
                gramian: None,
            };
            let combination = self.aggregator.combine(&mut step)?;
            let mut pass = step.pass;
            let mut gradient = pass.finish(&combination)?;
            let buffers = pass.take_context().take_buffers();
            drop(pass);
            if let Some(largest) = self.training.clip_norm {
                let (clipped, norm) = clip::by_global_norm(&gradient, largest)?;
                (gradient, gradient_norm) = (clipped, Some(norm));
            }
            self.training.optimizer.step(&mut self.params, &gradient, &mut self.optimizer, learning_rate)?;
            if needs.losses_after_step {
                let after = self.problem.losses(&self.params, draw)?;
                let after: Vec<f64> =
                    present.iter().filter_map(|&task| after.get(task).copied().flatten()).collect();
                self.aggregator.after_step(&present, &after)?;
            }
            Cx::apply_buffers(&mut self.params, buffers)?;
        }
        self.progress.step += 1;
        self.progress.optimizer_step = self.optimizer.step;
        self.count_losses(&present, &losses);
        if each.is_some_and(|each| self.progress.step.is_multiple_of(each.max(1))) {
            self.end_epoch();
        }
        let weights = self.aggregator.weights().map(<[f64]>::to_vec);
        Ok(StepReport { step: number + 1, epoch, present, losses, weights, learning_rate, gradient_norm })
    }

    fn count_losses(&mut self, present: &[usize], losses: &[f64]) {
        for (task, loss) in present.iter().zip(losses) {
            if let Some((sum, count)) = self.progress.epoch_losses.get_mut(*task) {
                *sum += loss;
                *count += 1;
            }
        }
    }

    fn end_epoch(&mut self) {
        let mean = |(sum, count): &(f64, u64)| (*count > 0).then(|| sum / *count as f64);
        let means: Vec<Option<f64>> = self.progress.epoch_losses.iter().map(mean).collect();
        self.aggregator.end_epoch(&means);
        self.progress.epoch_losses.fill((0.0, 0));
    }

    /// Whether an evaluation is the best so far; ends the training where it has been none for too long.
    fn judge(&mut self, evaluation: &Evaluation) -> Result<bool> {
        let (figure, goal) = self.training.monitor.read(evaluation)?;
        let delta = self.training.early_stopping.map_or(0.0, |stopping| stopping.min_delta);
        if let Some(figure) = figure.filter(|figure| figure.is_finite()) {
            let loss = if goal == Goal::Maximise { -figure } else { figure };
            self.training.schedule.observe(&mut self.progress.plateau, loss);
            if self.progress.best.is_none_or(|best| goal.better(figure, best.figure, delta)) {
                self.progress.best = Some(Best { step: self.progress.step, figure });
                self.progress.waited = 0;
                return Ok(true);
            }
        }
        self.progress.waited += 1;
        let patience = self.training.early_stopping.map(|stopping| stopping.patience);
        self.progress.stopped = patience.is_some_and(|patience| self.progress.waited >= patience);
        Ok(false)
    }

    fn diverged(&self, what: &str) -> Error {
        Error::Diverged { step: self.progress.step, what: what.into() }
    }
}
