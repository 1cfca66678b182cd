use manytask_tensor::{Kind, Method, Tensor};
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::accumulator::{Accumulator, finite_rows};
use super::support::share;
use crate::{Aggregator, Combination, Error, Gives, Level, Needs, Result, State, Step, StepInfo};

/// `MetaBalance` (He et al. 2022, WWW, arXiv:2203.06801, equations 4 to 6): the gradients of auxiliary tasks are brought near the length
/// of the primary task's, parameter by parameter: `g ← r (m_primary / m) g + (1 − r) g` with moving averages `m ← β m + (1 − β) ‖g‖` of
/// the gradients' lengths; the direction is the sum.
///
/// Averages are corrected for their start at 0, so that a task that was absent for some steps is compared fairly; those of absent
/// tasks rest. A step without the primary task sums the gradients as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetaBalance {
    /// The task that matters; absent: the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// r, from 0 (nothing is changed) to 1 (lengths are equal).
    pub relaxation: f64,
    /// β, at least 0 and below 1.
    pub beta: f64,
    /// Which gradients are changed.
    pub strategy: Balance,
}

/// Which gradients are changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// Longer ones are shortened: the paper's strategy A.
    Shorten,
    /// Shorter ones are lengthened: B.
    Lengthen,
    /// Both: C.
    #[default]
    Both,
}

impl Default for MetaBalance {
    fn default() -> Self {
        Self { primary: None, relaxation: 0.7, beta: 0.9, strategy: Balance::Both }
    }
}

#[derive(Debug)]
struct Balanced {
    settings: MetaBalance,
    primary: usize,
    tasks: Vec<String>,
    /// m of each task and parameter.
    lengths: Accumulator,
    memory: Memory,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// The steps of each task.
    steps: Vec<u64>,
}

impl Method for MetaBalance {
    const NAME: &'static str = "metabalance";
    const SUMMARY: &'static str = "auxiliary gradients of the length of the primary task's";
    const ABOUT: &'static str = "\
        He et al. 2022, arXiv:2203.06801: parameter by parameter g = r (m_primary / m) g + (1 - r) g with \
        moving averages m of the gradients' lengths; the sum is followed. `primary` is a task by name, \
        left out the first; `relaxation` is r, `strategy` shorten, lengthen or both.";
}

impl AggregatorSettings for MetaBalance {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        share(MetaBalance::NAME, "relaxation", self.relaxation)?;
        if !(0.0..1.0).contains(&self.beta) {
            return Err(Error::setting(
                "beta",
                format!("{}: beta is {}", MetaBalance::NAME, self.beta),
                "write a number of at least 0 and below 1",
            ));
        }
        let primary = match &self.primary {
            None => 0,
            Some(name) => tasks.iter().position(|task| task == name).ok_or_else(|| {
                Error::setting(
                    "primary",
                    format!("{}: primary: there is no task `{name}`", MetaBalance::NAME),
                    format!("the tasks are `{}`", tasks.join("`, `")),
                )
            })?,
        };
        Ok(Box::new(Balanced {
            settings: self.clone(),
            primary,
            tasks: tasks.to_vec(),
            lengths: Accumulator::new(tasks.len()),
            memory: Memory { steps: vec![0; tasks.len()] },
        }))
    }

    fn named(&self) -> Vec<String> {
        self.primary.iter().cloned().collect()
    }
}

impl Balanced {
    /// What each present task's gradient of each parameter is multiplied with, `[K, parameters]`, for their lengths.
    fn factors(&mut self, present: &[usize], lengths: &Tensor) -> Result<Option<Tensor>> {
        let MetaBalance { beta, relaxation, strategy, .. } = self.settings;
        let before = self.lengths.of(present, lengths)?;
        let after = before.f_mul_scalar(beta)?.f_add(&lengths.f_mul_scalar(1.0 - beta)?)?;
        self.lengths.put(present, &after)?;
        let mut corrections = Vec::with_capacity(present.len());
        for task in present {
            if let Some(steps) = self.memory.steps.get_mut(*task) {
                *steps += 1;
                corrections.push(1.0 - beta.powf(*steps as f64));
            }
        }
        let corrections = Tensor::f_from_slice(&corrections)?.f_to_device(after.device())?.f_unsqueeze(1)?;
        let means = after.f_div(&corrections)?;
        let Some(row) = present.iter().position(|task| *task == self.primary) else { return Ok(None) };
        let ratio = means.f_narrow(0, row as i64, 1)?.f_div(&means)?;
        let ratio = match strategy {
            Balance::Both => ratio,
            Balance::Shorten => ratio.f_clamp_max(1.0)?,
            Balance::Lengthen => ratio.f_clamp_min(1.0)?,
        };
        // A gradient without a length stays what it is.
        let ratio = ratio.f_nan_to_num(1.0, 1.0, 1.0)?;
        Ok(Some(ratio.f_mul_scalar(relaxation)?.f_add_scalar(1.0 - relaxation)?))
    }
}

impl Aggregator for Balanced {
    fn name(&self) -> &'static str {
        MetaBalance::NAME
    }

    fn needs(&self) -> Needs {
        Needs { fixed_tasks: true, ..Needs::jacobian(Level::Parameters) }
    }

    fn gives(&self) -> Gives {
        Gives::Direction
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let losses = step.losses().clone();
        let info = StepInfo::new(step, &losses, &self.tasks);
        let columns = step.columns(&Level::Parameters)?;
        let rows = finite_rows(step.jacobian(&Level::Parameters)?, &info)?;
        let parts = columns.iter().map(|(_, range)| rows.f_narrow(1, range.start as i64, range.len() as i64));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let lengths = parts.iter().map(|part| {
            let part = part.f_to_kind(Kind::Double)?;
            part.f_square()?.f_sum_dim_intlist([1].as_slice(), false, Kind::Double)?.f_sqrt()
        });
        let lengths = Tensor::f_stack(&lengths.collect::<Result<Vec<_>, _>>()?, 1)?;
        let factors = self.factors(losses.present(), &lengths)?;
        let sums = parts.iter().zip(0..).map(|(part, column)| -> Result<Tensor> {
            let part = match &factors {
                None => part.shallow_clone(),
                Some(factors) => part.f_mul(&factors.f_narrow(1, column, 1)?.f_to_kind(part.kind())?)?,
            };
            Ok(part.f_sum_dim_intlist([0].as_slice(), false, part.kind())?)
        });
        let direction = Tensor::f_cat(&sums.collect::<Result<Vec<_>>>()?, 0)?;
        Ok(Combination::direction(direction, Level::Parameters, losses.len()))
    }

    fn state(&self) -> Result<State> {
        Ok(self.lengths.save("lengths", State::of(&self.memory)?))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.lengths.restore(MetaBalance::NAME, "lengths", state)?;
        state.read_into(MetaBalance::NAME, &mut self.memory)
    }
}
