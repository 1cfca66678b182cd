//! Inner products of gradients of independent batches.

use super::shares::finite_products;
use crate::{BatchOf, Gramian, Level, Needs, Place, Result, Step, StepInfo, Want};

/// Looks at two further batches of a step.
#[derive(Debug)]
pub(super) struct Independent {
    tasks: Vec<String>,
}

impl Independent {
    pub(super) fn new(tasks: &[String]) -> Self {
        Self { tasks: tasks.to_vec() }
    }

    /// Three batches with the step's own.
    pub(super) fn needs() -> Needs {
        Needs { batches: 3, fixed_tasks: true, ..Needs::LOSSES }
    }

    /// `J₁ J₂ᵀ` over the tasks that are present in both further batches, with these tasks; `None` where there are none.
    pub(super) fn products(&self, step: &mut dyn Step) -> Result<Option<(Vec<usize>, Gramian)>> {
        let want = Want::Jacobian(&Level::Parameters);
        let one = step.look(BatchOf::Replica(1), Place::Here, want)?;
        let two = step.look(BatchOf::Replica(2), Place::Here, want)?;
        let common = one.losses.common(&two.losses);
        if common.is_empty() {
            return Ok(None);
        }
        let products = one.rows_of(&common)?.cross_gramian(&two.rows_of(&common)?)?;
        finite_products(&products, &StepInfo::new(step, step.losses(), &self.tasks))?;
        Ok(Some((common, products)))
    }
}
