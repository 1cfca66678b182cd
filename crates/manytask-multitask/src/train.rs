//! The training loop, of any problem with any aggregator.

mod advance;
mod average;
mod diagnostics;
mod freeze;
mod frozen;
mod monitor;
mod settings;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod validation;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use manytask_nn::optim::OptimizerState;
use manytask_tensor::capture::Recorder;
use manytask_tensor::{Params, catch_panics};

pub use self::average::WeightAverage;
pub use self::diagnostics::Diagnostics;
pub use self::freeze::Freeze;
use self::frozen::{Frozen, Passes};
pub use self::monitor::{Across, EarlyStopping, Goal, Monitor};
pub use self::settings::Training;
pub use self::state::{Best, OPTIMIZER, PARAMS, Progress, STATE};
pub use self::validation::Worsened;
use crate::{Aggregator, AuxiliaryLoss, Error, Evaluation, Problem, Result, Split, check, check_for};

/// A training: parameters on their way, with everything that is needed to stop here and go on later.
///
/// It reads no clock and prints nothing; who runs it hears of every [`Event`].
#[derive(Debug)]
pub struct Trainer<'p> {
    problem: &'p dyn Problem,
    aggregator: Box<dyn Aggregator>,
    training: Training,
    frozen: Option<Arc<Frozen>>,
    params: Params,
    /// The same memory as leaves of a graph, kept between steps.
    live: Option<Params>,
    /// The mean of the parameters, where one is kept.
    average: Option<Params>,
    optimizer: OptimizerState,
    /// The optimizer's steps on a device that launches.
    recorder: Recorder,
    progress: Progress,
}

/// What happened, in this order within a step.
#[derive(Debug)]
pub enum Event<'e> {
    /// A step was made.
    Step(&'e StepReport),
    /// An epoch ended, or the training within one. What [`Trainer::save`] writes now has all of it; where the validation split
    /// is to be looked at, a training restored from it begins with that.
    EpochDone {
        /// After how many steps.
        step: u64,
        /// Which, counted from 0.
        epoch: u64,
        /// Each task's mean loss over its steps of the epoch; `None` where it had no label.
        means: &'e [Option<f64>],
    },
    /// The validation split was looked at.
    Evaluated {
        /// After how many steps.
        step: u64,
        /// What was seen.
        evaluation: &'e Evaluation,
        /// The metric that decides which parameters are the best; `None` where it has no value, and the look counts for
        /// nothing.
        monitored: Option<f64>,
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
    /// The tasks that were present, by number. Without any the step is passed over: it counts, and changes nothing.
    pub present: Vec<usize>,
    /// Their losses, auxiliary ones included.
    pub losses: Vec<f64>,
    /// The auxiliary losses of the architecture that are in them.
    pub auxiliary: Vec<AuxiliaryLoss>,
    /// The weights that the aggregator used for them, where it has such and there were tasks.
    pub weights: Option<Vec<f64>>,
    /// Further numbers of the pass, by name.
    pub terms: Vec<(&'static str, f64)>,
    /// The learning rate.
    pub learning_rate: f64,
    /// The norm of the whole gradient before clipping, where gradients are clipped.
    pub gradient_norm: Option<f64>,
    /// Whether the tasks' gradients cancelled in the direction of the shared parameters (a Pareto-stationary point, where MGDA
    /// and Nash-MTL stay), so that none of these moved. Known of methods that weigh gradients.
    pub stationary: bool,
    /// How the tasks' gradients stand to each other and to the step, where this was asked for and a task was present.
    pub diagnostics: Option<Diagnostics>,
}

/// Why a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// All steps are done.
    Completed,
    /// The validation metric got no better.
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
        let frozen = Frozen::of(&training.freeze, problem.layout())?;
        let offers = Passes { problem, frozen: frozen.as_deref() }.offers();
        check_for(aggregator.as_ref(), problem.identity(), offers)?;
        check(aggregator.as_ref(), problem)?;
        if training.validate_every.is_some() && !problem.offers().validation {
            return Err(Error::setting(
                "validate_every",
                "validate_every is set, but the data have no validation split",
                "add one to the split, or leave validate_every out",
            ));
        }
        if training.diagnose_every.is_some() && !problem.offers().shared {
            return Err(Error::setting(
                "diagnose_every",
                "diagnose_every is set, but tasks share no parameters, so that they have no gradients to compare",
                "leave it out",
            ));
        }
        if training.steps > 0 {
            problem.ready(Split::Train)?;
        }
        training.monitor.check(&problem.evaluation_schema())?;
        if training.validate_every.is_some() {
            validation::has_value(problem, &training.monitor)?;
        }
        let params = params.copy()?;
        let average = training.average.map(|_| params.copy()).transpose()?;
        let optimizer = training.optimizer.init(&params)?;
        let progress =
            Progress { epoch_losses: vec![(0.0, 0); problem.tasks().len()], ..Progress::default() };
        let recorder = Recorder::default();
        Ok(Self {
            problem,
            aggregator,
            training,
            frozen,
            params,
            live: None,
            average,
            optimizer,
            recorder,
            progress,
        })
    }

    /// The parameters as they are now, with which the training goes on; see [`Trainer::evaluated`].
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
        self.check_finite()?;
        let network = state::Network {
            evaluated: self.evaluated(),
            live: self.average.is_some().then_some(&self.params),
        };
        state::save(folder, &network, &self.optimizer, &self.progress, &self.aggregator.state()?)
    }

    /// Goes back to what [`Trainer::save`] wrote: the next step is exactly that which would have come then.
    ///
    /// # Errors
    /// When a file is missing, damaged, or of another network, optimizer or aggregator.
    pub fn restore(&mut self, folder: &Path) -> Result<()> {
        let device = self.params.device();
        let (progress, aggregator) =
            state::load(folder, (&mut self.params, self.average.as_mut()), &mut self.optimizer, device)?;
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
        self.aggregator.restore(&aggregator).map_err(|error| match error {
            Error::State { .. } => {
                Error::Incompatible { path: folder.join(STATE), message: error.to_string() }
            }
            error => error,
        })?;
        self.progress = progress;
        self.progress.evaluation_due &= self.training.validate_every.is_some();
        Ok(())
    }

    /// Goes on after early stopping, with its whole patience before it.
    pub fn wait_anew(&mut self) {
        (self.progress.stopped, self.progress.bad_evaluations) = (false, 0);
    }

    /// Forgets the best metric, whose parameters are lost: the next one is the best.
    pub fn forget_best(&mut self) {
        self.progress.best = None;
    }

    /// Trains to the end, or until `observer` answers [`ControlFlow::Break`] to any event of a step: that step is still
    /// finished.
    ///
    /// # Errors
    /// When a loss or a gradient is not finite, memory runs out, or the observer fails.
    pub fn run<E: From<Error>>(
        &mut self,
        mut observer: impl FnMut(&Self, Event<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<Finish, E> {
        if self.training.steps == 0 {
            let _ = observer(self, Event::Checkpoint { step: self.progress.step, improved: false })?;
        }
        while !self.has_ended() {
            let mut ask = false;
            // A training that was saved between a step and the look at the validation split begins with that.
            if !self.progress.evaluation_due {
                let report = self.advance()?;
                ask |= observer(self, Event::Step(&report))?.is_break();
                if let Some(means) = self.end_epoch()? {
                    let (step, epoch) = (report.step, report.epoch);
                    ask |= observer(self, Event::EpochDone { step, epoch, means: &means })?.is_break();
                }
            }
            let step = self.progress.step;
            let mut improved = false;
            if self.progress.evaluation_due {
                let evaluation = catch_panics(|| self.problem.evaluate(self.evaluated(), Split::Validation))?;
                let monitored;
                (monitored, improved) = self.judge(&evaluation)?;
                self.progress.evaluation_due = false;
                let event = Event::Evaluated { step, evaluation: &evaluation, monitored, improved };
                ask |= observer(self, event)?.is_break();
            }
            let last = step >= self.training.steps;
            if improved || self.is_due(self.training.save_every) || last || self.progress.stopped {
                ask |= observer(self, Event::Checkpoint { step, improved })?.is_break();
            }
            ask |= observer(self, Event::StepDone { step })?.is_break();
            if ask && !last && !self.progress.stopped {
                return Ok(Finish::Interrupted);
            }
        }
        Ok(if self.progress.stopped { Finish::StoppedEarly } else { Finish::Completed })
    }

    /// Makes one step and nothing else: no look at the validation split, no end of an epoch.
    ///
    /// # Errors
    /// When a loss or a gradient is not finite, or memory runs out.
    pub fn try_step(&mut self) -> Result<StepReport> {
        self.advance()
    }

    fn has_ended(&self) -> bool {
        let all = self.progress.step >= self.training.steps && !self.progress.evaluation_due;
        self.progress.stopped || all
    }

    /// Whether a multiple of so many steps is done.
    fn is_due(&self, every: Option<u64>) -> bool {
        every.is_some_and(|every| self.progress.step.is_multiple_of(every))
    }

    fn diverged(&self, what: impl Into<String>) -> Error {
        Error::Diverged { step: self.progress.step, what: what.into() }
    }
}
