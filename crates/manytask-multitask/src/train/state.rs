//! What a training is made of between two steps, on the disk and back.

use std::collections::BTreeMap;
use std::path::Path;

use manytask_nn::optim::OptimizerState;
use manytask_nn::schedule::PlateauState;
use manytask_tensor::{Device, Params, Tensor, checkpoint, io};
use serde::{Deserialize, Serialize};

use crate::{Error, Result, State};

/// The file of the parameters in a checkpoint's folder.
pub const PARAMS: &str = "params.safetensors";
/// The file of the optimizer's and the aggregator's tensors.
pub const OPTIMIZER: &str = "optimizer.safetensors";
/// The file of everything else.
pub const STATE: &str = "state.json";

/// Before the names of the aggregator's tensors in the optimizer's file.
const AGGREGATOR: &str = "aggregator.";
/// Before the names of parameters in the optimizer's file, where the file of the parameters holds a mean of them.
const LIVE: &str = "live.";

/// The numbers of a training: with parameters and the optimizer's tensors all that a resumed run needs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// How many steps are done.
    pub step: u64,
    /// In a file: for each parameter, in the order of the layout, the number of steps that it took part in, which are fewer
    /// where batches had no label of its task.
    pub optimizer_steps: Vec<u64>,
    /// Whether the validation split is to be looked at before the next step.
    pub evaluation_due: bool,
    /// What the schedule remembers.
    pub plateau: PlateauState,
    /// The best metric of the validation split.
    pub best: Option<Best>,
    /// The metric that a better one is compared with by early stopping: that of the look after which it counts.
    pub reference: Option<f64>,
    /// Looks at the validation split since then.
    #[serde(alias = "waited")]
    pub bad_evaluations: u64,
    /// Whether early stopping has ended it.
    pub stopped: bool,
    /// For each task the sum of its losses in this epoch and their number.
    pub epoch_losses: Vec<(f64, u64)>,
    /// For each task its loss in the first step that had a task, if it was in there; empty before that step.
    pub first_losses: Vec<Option<f64>>,
    /// For each task a running mean of its losses over recent steps.
    pub recent_losses: Vec<Option<f64>>,
    /// How many steps' parameters are in the mean that is kept of them.
    #[serde(default)]
    pub averaged: u64,
    /// In a file: the aggregator's memory.
    pub aggregator: serde_json::Value,
}

/// The best metric of the validation split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// After how many steps.
    pub step: u64,
    /// Its value.
    #[serde(alias = "figure")]
    pub metric: f64,
}

/// What a checkpoint holds of a network.
pub(super) struct Network<'t> {
    /// What is judged and predicted with.
    pub(super) evaluated: &'t Params,
    /// What the training goes on with, where this is another.
    pub(super) live: Option<&'t Params>,
}

/// Writes a checkpoint into a folder that is there.
pub(super) fn save(
    folder: &Path,
    network: &Network<'_>,
    optimizer: &OptimizerState,
    progress: &Progress,
    aggregator: &State,
) -> Result<()> {
    let about = checkpoint::Metadata::from([("step".to_owned(), progress.step.to_string())]);
    checkpoint::save(&folder.join(PARAMS), network.evaluated, &about)?;
    let mut tensors = optimizer.to_tensors();
    for (name, tensor) in &aggregator.tensors {
        tensors.push((format!("{AGGREGATOR}{name}"), tensor.shallow_clone()));
    }
    for (entry, leaf) in network.live.into_iter().flat_map(Params::iter) {
        tensors.push((format!("{LIVE}{}", entry.name), leaf.shallow_clone()));
    }
    checkpoint::save_tensors(&folder.join(OPTIMIZER), &tensors, &about)?;
    let path = folder.join(STATE);
    let numbers = Progress {
        aggregator: aggregator.memory.clone(),
        optimizer_steps: optimizer.steps.clone(),
        ..progress.clone()
    };
    let text = serde_json::to_vec_pretty(&numbers)
        .map_err(|error| Error::Incompatible { path: path.clone(), message: error.to_string() })?;
    Ok(io::write_atomically(&path, &text)?)
}

/// Reads a checkpoint; `params`, a mean of them and `optimizer` say what is expected, and are filled.
pub(super) fn load(
    folder: &Path,
    (params, mean): (&mut Params, Option<&mut Params>),
    optimizer: &mut OptimizerState,
    device: Device,
) -> Result<(Progress, State)> {
    let path = folder.join(STATE);
    let incompatible = |message: String| Error::Incompatible { path: path.clone(), message };
    let text =
        fs_err::read(&path).map_err(|source| manytask_tensor::Error::Io { path: path.clone(), source })?;
    let mut progress: Progress = serde_json::from_slice(&text).map_err(|error| {
        incompatible(format!("{error}: it is damaged, or was written by another version of manytask"))
    })?;
    let (loaded, _) = checkpoint::load(&folder.join(PARAMS), params.layout(), device)?;
    let optimizer_path = folder.join(OPTIMIZER);
    let (mut tensors, _) = checkpoint::load_tensors(&optimizer_path, device)?;
    let of_aggregator = take_prefixed(&mut tensors, AGGREGATOR);
    let live =
        mean.is_some().then(|| checkpoint::take_params(&optimizer_path, params.layout(), LIVE, &mut tensors));
    let live = live.transpose()?;
    optimizer.take_tensors(&optimizer_path, params.layout(), &mut tensors)?;
    if progress.optimizer_steps.len() != optimizer.steps.len() {
        let (found, needed) = (progress.optimizer_steps.len(), optimizer.steps.len());
        return Err(incompatible(format!(
            "has numbers of steps of {found} parameters, this network has {needed}"
        )));
    }
    optimizer.steps = std::mem::take(&mut progress.optimizer_steps);
    params.copy_from(live.as_ref().unwrap_or(&loaded))?;
    if let Some(mean) = mean {
        mean.copy_from(&loaded)?;
    }
    let state = State { memory: std::mem::take(&mut progress.aggregator), tensors: of_aggregator };
    Ok((progress, state))
}

/// The tensors whose names begin so, without that.
fn take_prefixed(tensors: &mut BTreeMap<String, Tensor>, prefix: &str) -> BTreeMap<String, Tensor> {
    let (taken, rest) = std::mem::take(tensors)
        .into_iter()
        .partition::<BTreeMap<_, _>, _>(|(name, _)| name.starts_with(prefix));
    *tensors = rest;
    taken
        .into_iter()
        .map(|(name, tensor)| (name.strip_prefix(prefix).unwrap_or(&name).to_owned(), tensor))
        .collect()
}
