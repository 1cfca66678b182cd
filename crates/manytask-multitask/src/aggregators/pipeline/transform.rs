//! What losses become before they are weighted.

use manytask_tensor::Within as _;
use serde::{Deserialize, Serialize};

use super::NAME;
use crate::aggregators::support::{below_one, not_positive};
use crate::{Result, State, StepInfo, TaskVec};

/// What each loss becomes before anything else: f(l), with losses above 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossTransform {
    /// `log l`: the size of a loss does not matter.
    Log,
    /// `l / l(0)` with the task's loss at its first step.
    Initial,
    /// `l / a` with the moving average a of the task's losses, which counts as a constant.
    Average {
        /// What stays of the average at each step.
        decay: f64,
    },
}

/// A transform at work.
#[derive(Debug)]
pub(super) struct Transforming {
    transform: LossTransform,
    tasks: Vec<String>,
    step: u64,
    memory: Memory,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// What a task's loss is divided by; nothing before its first step.
    divisors: Vec<Option<f64>>,
}

impl LossTransform {
    pub(super) fn build(self, tasks: &[String]) -> Result<Transforming> {
        if let Self::Average { decay } = self {
            below_one(NAME, "decay", decay).within(["transform", "average"])?;
        }
        let memory = Memory { divisors: vec![None; tasks.len()] };
        Ok(Transforming { transform: self, tasks: tasks.to_vec(), step: 0, memory })
    }
}

impl Transforming {
    pub(super) fn keeps_tasks(&self) -> bool {
        self.transform != LossTransform::Log
    }

    /// f(l) of the present tasks at a step, and f'(l).
    pub(super) fn apply(&mut self, step: &StepInfo<'_>) -> Result<(TaskVec, TaskVec)> {
        self.step = step.number;
        self.positive(step.losses)?;
        for (task, loss) in step.losses.iter() {
            if let Some(divisor) = self.memory.divisors.get_mut(task) {
                match self.transform {
                    LossTransform::Log => {}
                    LossTransform::Initial => *divisor = divisor.or(Some(loss)),
                    LossTransform::Average { decay } => {
                        *divisor = Some(divisor.map_or(loss, |before| decay * before + (1.0 - decay) * loss));
                    }
                }
            }
        }
        let slope = |task, loss: f64| match self.transform {
            LossTransform::Log => loss.recip(),
            _ => self.divisor(task).recip(),
        };
        Ok((self.values(step.losses)?, step.losses.map(slope)))
    }

    /// f(l) of losses, with what is known of their tasks.
    pub(super) fn values(&self, losses: &TaskVec) -> Result<TaskVec> {
        self.positive(losses)?;
        Ok(losses.map(|task, loss| match self.transform {
            LossTransform::Log => loss.ln(),
            _ => loss / self.divisor(task),
        }))
    }

    pub(super) fn state(&self) -> Result<State> {
        State::of(&self.memory)
    }

    pub(super) fn restore(&mut self, state: &State) -> Result<()> {
        state.read_into("pipeline", &mut self.memory)
    }

    fn divisor(&self, task: usize) -> f64 {
        self.memory.divisors.get(task).copied().flatten().unwrap_or(1.0)
    }

    fn positive(&self, losses: &TaskVec) -> Result<()> {
        match losses.iter().find(|(_, loss)| *loss <= 0.0) {
            None => Ok(()),
            Some((task, loss)) => {
                let name = self.tasks.get(task).map_or("", String::as_str);
                Err(not_positive("pipeline", name, loss, self.step))
            }
        }
    }
}
