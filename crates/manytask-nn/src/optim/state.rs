use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use manytask_tensor::checkpoint::take_params;
use manytask_tensor::{Layout, Params, Tensor, WHOLE};

use crate::{Error, Result};

/// What an optimizer remembers between steps.
#[derive(Debug)]
pub struct OptimizerState {
    /// For each parameter, in the order of the layout, the number of steps that it took part in.
    pub steps: Vec<u64>,
    /// Running means and the like, by name, in the form of the parameters.
    pub buffers: Vec<(String, Params)>,
}

impl OptimizerState {
    /// The buffers as named tensors, `BUFFER.PARAMETER`, for a file.
    pub fn to_tensors(&self) -> Vec<(String, Tensor)> {
        let buffers = self.buffers.iter().flat_map(|(buffer, params)| {
            params
                .iter()
                .filter(|(entry, _)| entry.role.is_trained())
                .map(move |(entry, leaf)| (format!("{buffer}.{}", entry.name), leaf.shallow_clone()))
        });
        buffers.collect()
    }

    /// Fills the buffers from named tensors of a file, all of which must be used; the numbers of steps are not in there.
    ///
    /// # Errors
    /// When one is missing, too many, or of another shape.
    pub fn take_tensors(
        &mut self,
        path: &Path,
        layout: &Arc<Layout>,
        tensors: &mut BTreeMap<String, Tensor>,
    ) -> Result<()> {
        for (buffer, params) in &mut self.buffers {
            let prefix = format!("{buffer}.");
            for (entry, leaf) in params.iter() {
                // Buffers of a network are not the optimizer's; they are zeros here.
                if !entry.role.is_trained() {
                    tensors.insert(format!("{prefix}{}", entry.name), leaf.shallow_clone());
                }
            }
            params.copy_from(&take_params(path, layout, &prefix, tensors)?)?;
        }
        match tensors.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::Tensor(manytask_tensor::Error::Incompatible {
                path: path.to_owned(),
                message: format!("is of another optimizer: it has `{name}`, which this one has not"),
            })),
        }
    }
}

pub(super) fn another() -> Error {
    Error::named_setting(
        WHOLE,
        "the optimizer's state",
        "another optimizer's",
        "make it with `init` of the same optimizer",
    )
}
