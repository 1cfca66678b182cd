//! One step of the loop.

use manytask_nn::optim::{Active, Launch};
use manytask_nn::{Context, clip};
use manytask_tensor::{Owner, Params, catch_panics, threads};

use super::frozen::Passes;
use super::step::LoopStep;
use super::{Diagnostics, StepReport, Trainer, Training};
use crate::{Draw, Level, Pass, Result, Split, TaskVec};

/// How much of the mean over recent steps a step makes up.
const RECENT: f64 = 0.05;

/// The place of a step in the training.
struct Place {
    draw: Draw,
    epoch: u64,
    learning_rate: f64,
}

/// What is known of a step that changed the parameters.
#[derive(Default)]
struct Learned {
    /// Before clipping, where gradients are clipped.
    gradient_norm: Option<f64>,
    stationary: bool,
    diagnostics: Option<Diagnostics>,
}

impl Trainer<'_> {
    /// Makes the next step and counts it.
    pub(super) fn advance(&mut self) -> Result<StepReport> {
        let problem = self.problem;
        let report = if problem.manages_threads(&self.params, self.progress.step) {
            catch_panics(|| threads::with_single_threaded_torch(|| self.averaged_step()))
        } else {
            catch_panics(|| self.averaged_step())
        }?;
        let last = self.progress.step >= self.training.steps;
        let validates = self.training.validate_every.is_some();
        self.progress.evaluation_due = validates && (last || self.is_due(self.training.validate_every));
        Ok(report)
    }

    /// Each task's mean loss over the epoch, where it or the training has ended.
    pub(super) fn end_epoch(&mut self) -> Result<Option<Vec<Option<f64>>>> {
        let Some(each) = self.problem.steps_per_epoch().map(|each| each.max(1)) else { return Ok(None) };
        let whole = self.progress.step.is_multiple_of(each);
        if !whole && self.progress.step < self.training.steps {
            return Ok(None);
        }
        let mean = |(sum, count): &(f64, u64)| (*count > 0).then(|| sum / *count as f64);
        let means: Vec<Option<f64>> = self.progress.epoch_losses.iter().map(mean).collect();
        // A training that is given more steps later goes on within the epoch.
        if whole {
            self.aggregator.end_epoch(&means.iter().copied().collect())?;
            self.progress.epoch_losses.fill((0.0, 0));
        }
        Ok(Some(means))
    }

    /// A step, whose parameters then are in the mean.
    fn averaged_step(&mut self) -> Result<StepReport> {
        let report = self.step()?;
        self.average_weights()?;
        Ok(report)
    }

    fn step(&mut self) -> Result<StepReport> {
        let step = self.progress.step;
        let schedule = &self.training.schedule;
        let rate =
            schedule.rate(self.training.learning_rate, step, self.training.steps, &self.progress.plateau);
        let place = Place {
            draw: Draw { seed: self.training.seed, step, replica: 0, split: Split::Train },
            epoch: self.problem.steps_per_epoch().map_or(0, |each| step / each.max(1)),
            learning_rate: rate,
        };
        // The same leaves in each step: the optimizer writes into their memory.
        let live = self.live.take().map_or_else(|| self.params.require_grad(), Ok)?;
        let frozen = self.frozen.clone();
        let passes = Passes { problem: self.problem, frozen: frozen.as_deref() };
        let pass = passes.forward(&live, place.draw)?;
        let losses: TaskVec = pass.present().iter().copied().zip(pass.losses().iter().copied()).collect();
        if let Some((task, loss)) = losses.iter().find(|(_, loss)| !loss.is_finite()) {
            return Err(self.diverged(format!("the loss of task `{}` is {loss}", self.name_of(task))));
        }
        let auxiliary = pass.auxiliary().to_vec();
        let terms = pass.terms();
        let (mut weights, mut learned) = (None, Learned::default());
        if losses.is_empty() {
            drop(pass);
        } else {
            learned = self.learn((passes, &live), pass, &losses, &place)?;
            weights = self.aggregator.weights().filter(|weights| weights.present() == losses.present());
        }
        let weights = weights.map(|weights| weights.values().to_vec());
        self.live = Some(live);
        self.progress.step += 1;
        self.count_losses(&losses);
        let Place { epoch, learning_rate, .. } = place;
        let (present, losses) = (losses.present().to_vec(), losses.values().to_vec());
        let Learned { gradient_norm, stationary, diagnostics } = learned;
        Ok(StepReport {
            step: step + 1,
            epoch,
            present,
            losses,
            auxiliary,
            terms,
            weights,
            learning_rate,
            gradient_norm,
            stationary,
            diagnostics,
        })
    }

    /// Changes the parameters after a pass with at least one task.
    fn learn(
        &mut self,
        (passes, live): (Passes<'_>, &Params),
        pass: Box<dyn Pass + '_>,
        losses: &TaskVec,
        place: &Place,
    ) -> Result<Learned> {
        let needs = self.aggregator.needs();
        let mut step = LoopStep {
            passes,
            params: live,
            pass,
            aggregator: self.aggregator.name(),
            needs: needs.clone(),
            losses: losses.clone(),
            draw: place.draw,
            epoch: place.epoch,
            learning_rate: place.learning_rate,
            gramians: Vec::new(),
        };
        let combination = self.aggregator.combine(&mut step)?;
        let stationary = step.is_stationary(&combination);
        let mut pass = step.pass;
        let gradient = pass.finish(&combination)?;
        let buffers = pass.take_context().take_buffers();
        drop(pass);
        // Counted from 1, as steps are reported.
        let due =
            self.training.diagnose_every.is_some_and(|every| (place.draw.step + 1).is_multiple_of(every));
        let diagnostics =
            due.then(|| Diagnostics::of(passes, live, place.draw, &combination, &gradient)).transpose()?;
        let frozen = passes.frozen.map_or(&[][..], |frozen| frozen.at(place.draw.step));
        let active = Active::Tasks { present: losses.present(), frozen };
        let gradient_norm = self.update(live, gradient, place, active)?;
        if needs.losses_after_step {
            let after = self.problem.losses(&self.params, place.draw)?;
            self.aggregator.after_step(&after)?;
        }
        Context::apply_buffers(&mut self.params, buffers)?;
        Ok(Learned { gradient_norm, stationary, diagnostics })
    }

    /// A step of the optimizer along the clipped gradient; its norm before, where gradients are clipped.
    fn update(
        &mut self,
        live: &Params,
        gradient: Params,
        place: &Place,
        active: Active<'_>,
    ) -> Result<Option<f64>> {
        let Training { optimizer, clip_norm, .. } = &self.training;
        let (learning_rate, clip_norm) = (place.learning_rate, *clip_norm);
        let launch = Launch { learning_rate, clip_norm, active };
        let (params, state) = (&mut self.params, &mut self.optimizer);
        if let Some(norm) = optimizer.launch(&self.recorder, params, &gradient, state, launch)? {
            return Ok(clip_norm.map(|_| norm));
        }
        let (gradient, norm) = self.clipped(live, gradient, place.draw)?;
        let (params, state) = (&mut self.params, &mut self.optimizer);
        self.training.optimizer.step(params, &gradient, state, learning_rate, active)?;
        Ok(norm)
    }

    /// The gradient as the optimizer takes it, and its norm before where it is clipped.
    fn clipped(&self, live: &Params, gradient: Params, draw: Draw) -> Result<(Params, Option<f64>)> {
        let clipped = match self.training.clip_norm {
            None if gradient.is_finite()? => return Ok((gradient, None)),
            None => None,
            Some(largest) => match clip::by_global_norm(&gradient, largest) {
                Ok((clipped, norm)) => Some((clipped, Some(norm))),
                Err(manytask_nn::Error::NotFinite { .. }) => None,
                Err(error) => return Err(error.into()),
            },
        };
        match clipped {
            Some(found) => Ok(found),
            None => Err(self.diverged(self.not_finite(live, &gradient, draw)?)),
        }
    }

    /// Which gradient is not finite, in words: that of a task where it can be told.
    fn not_finite(&self, live: &Params, gradient: &Params, draw: Draw) -> Result<String> {
        let of_task = |task: usize| format!("the gradient of task `{}` is not finite", self.name_of(task));
        let mut first = None;
        for (entry, leaf) in gradient.iter() {
            if leaf.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0 {
                continue;
            }
            if let Owner::Task(task) = entry.owner {
                return Ok(of_task(task));
            }
            first = first.or(Some(&entry.name));
        }
        // Rows are made for this alone, so what goes wrong here is not the news.
        let mut pass = self.problem.forward(live, draw)?;
        let present = pass.present().to_vec();
        if let Ok(rows) = pass.jacobian(&Level::Parameters) {
            for (row, task) in present.iter().enumerate() {
                if rows.rows().f_select(0, row as i64)?.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
                    return Ok(of_task(*task));
                }
            }
        }
        Ok(format!("the gradient of `{}` is not finite", first.map_or("", String::as_str)))
    }

    pub(super) fn name_of(&self, task: usize) -> &str {
        self.problem.tasks().get(task).map_or("", String::as_str)
    }

    fn count_losses(&mut self, losses: &TaskVec) {
        let progress = &mut self.progress;
        let tasks = progress.epoch_losses.len();
        let is_first = progress.first_losses.is_empty() && !losses.is_empty();
        if is_first {
            progress.first_losses.resize(tasks, None);
        }
        progress.recent_losses.resize(tasks, None);
        for (task, loss) in losses.iter() {
            if let Some((sum, count)) = progress.epoch_losses.get_mut(task) {
                *sum += loss;
                *count += 1;
            }
            if let Some(recent) = progress.recent_losses.get_mut(task) {
                *recent = Some(recent.map_or(loss, |mean| mean + RECENT * (loss - mean)));
            }
            if let Some(first) = progress.first_losses.get_mut(task).filter(|_| is_first) {
                *first = Some(loss);
            }
        }
    }
}
