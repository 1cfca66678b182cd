use manytask_tensor::Tensor;

use crate::{Error, Result};

/// The raw outputs of the wanted tasks, and what the architecture adds to their losses.
#[derive(Debug)]
pub struct Outputs {
    /// Outputs of one size that were computed together are one tensor.
    pub groups: Vec<OutputGroup>,
    /// How many members of an ensemble the rows are of, one member's after the other's: a loss is then the mean of the members'.
    /// 1 where there is one network, and in evaluation.
    pub members: i64,
    /// Auxiliary losses, in training.
    pub auxiliary: Vec<Auxiliary>,
}

/// The raw outputs of some of the wanted tasks.
#[derive(Debug)]
pub struct OutputGroup {
    /// Their positions among the wanted tasks.
    pub positions: Vec<usize>,
    /// `[G, B, outputs]`, a slice for each; with members `[G, members · B, outputs]`.
    pub raw: Tensor,
}

/// A loss that the architecture has beside those of the tasks.
///
/// It is added to the vector of losses that the aggregator sees, and logged by its name.
#[derive(Debug)]
pub struct Auxiliary {
    /// What it is.
    pub name: &'static str,
    /// The task to whose loss it is added; without one an equal share is added to the loss of each wanted task.
    pub task: Option<usize>,
    /// One element, its factor included.
    pub value: Tensor,
}

impl Outputs {
    /// `[B, outputs]` of each wanted task.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn each(outputs: &[Tensor]) -> Result<Self> {
        let groups = outputs
            .iter()
            .enumerate()
            .map(|(position, raw)| Ok(OutputGroup { positions: vec![position], raw: raw.f_unsqueeze(0)? }));
        Ok(Self { groups: groups.collect::<Result<_>>()?, members: 1, auxiliary: Vec::new() })
    }

    /// The same with auxiliary losses.
    #[must_use]
    pub fn with_auxiliary(self, auxiliary: Vec<Auxiliary>) -> Self {
        Self { auxiliary, ..self }
    }

    /// `[B, outputs]` of the wanted task at `position`.
    ///
    /// # Errors
    /// When the architecture gave none.
    pub fn raw(&self, position: usize) -> Result<Tensor> {
        for group in &self.groups {
            if let Some(row) = group.positions.iter().position(|of| *of == position) {
                return Ok(group.raw.f_select(0, row as i64)?);
            }
        }
        Err(Error::Contract {
            aggregator: "architecture".into(),
            message: format!("it gave no outputs of the wanted task {position}"),
        })
    }
}
