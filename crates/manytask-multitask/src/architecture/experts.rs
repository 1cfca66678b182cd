//! Experts and the gates that mix them: what mixture-of-experts architectures are made of.

use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Init, Params, Role, Slot, Tensor};

use super::{Blueprint, PartUse};
use crate::{Error, Result};

/// The parts of an architecture whose experts are of the form of its trunk.
pub(crate) const EXPERT_PARTS: &[PartUse] =
    &[PartUse::Required("trunk"), PartUse::Optional("head"), PartUse::Optional("bottom")];

/// Levels at most.
const MOST_LEVELS: usize = 64;

/// Experts in one place at most: more are a mistake, and would fill the memory before anything is checked.
const MOST: usize = 4096;

/// Networks of one form that are run on the same rows.
#[derive(Debug)]
pub(crate) struct Experts(Vec<Box<dyn Module>>);

impl Experts {
    /// Adds `0.… 1.… …`, so many of the blueprint's part `trunk`, for rows of a shape; answers also with the number of features
    /// that each gives.
    ///
    /// # Errors
    /// When the part is not written, or a size is impossible.
    pub(crate) fn build(
        blueprint: &Blueprint<'_>,
        scope: &mut Builder<'_>,
        count: usize,
        shape: &[i64],
    ) -> Result<(Self, i64)> {
        let mut experts = Vec::with_capacity(count);
        let mut features = 0;
        for expert in 0..count {
            let (module, size) = blueprint.part("trunk", &mut scope.scope(expert.to_string()), shape)?;
            features = size;
            experts.push(module);
        }
        Ok((Self(experts), features))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What each makes of the rows, `[B, F]`.
    ///
    /// # Errors
    /// When the rows do not fit.
    pub(crate) fn each(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Vec<Tensor>> {
        self.0.iter().map(|expert| Ok(expert.forward(params, x, cx)?)).collect()
    }

    /// The fewest rows that they take in training.
    pub(crate) fn smallest_batch(&self) -> usize {
        self.0.iter().map(Module::smallest_batch).fold(1, usize::max)
    }
}

/// The optional part `bottom`: layers that all tasks share before experts and gates.
#[derive(Debug)]
pub(crate) struct Bottom(Option<Box<dyn Module>>);

impl Bottom {
    /// Adds it, where it is written, for rows of a shape; answers with it and the shape of what comes out.
    ///
    /// # Errors
    /// When a size is impossible.
    pub(crate) fn build(
        blueprint: &Blueprint<'_>,
        root: &mut Builder<'_>,
        shape: &[i64],
    ) -> Result<(Self, Vec<i64>)> {
        if !blueprint.has("bottom") {
            return Ok((Self(None), shape.to_vec()));
        }
        let (module, features) = blueprint.part("bottom", &mut root.scope("bottom"), shape)?;
        Ok((Self(Some(module)), vec![features]))
    }

    /// What experts and gates are given.
    ///
    /// # Errors
    /// When the rows do not fit.
    pub(crate) fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        match &self.0 {
            None => Ok(x.shallow_clone()),
            Some(bottom) => Ok(bottom.forward(params, x, cx)?),
        }
    }

    /// The fewest rows that it takes in training.
    pub(crate) fn smallest_batch(&self) -> usize {
        self.0.as_ref().map_or(1, Module::smallest_batch)
    }
}

/// Adds the bottom for rows of a shape, and so many levels upon it, `levels.0.… levels.1.… …`, each for what the one before gives; answers also with the
/// number of features of the last. `build` is given the number of levels above its own.
///
/// # Errors
/// When a size is impossible.
pub(crate) fn levels<L>(
    blueprint: &Blueprint<'_>,
    root: &mut Builder<'_>,
    shape: &[i64],
    count: usize,
    mut build: impl FnMut(&mut Builder<'_>, usize, &[i64]) -> Result<(L, i64)>,
) -> Result<(Bottom, Vec<L>, i64)> {
    let (bottom, mut shape) = Bottom::build(blueprint, root, shape)?;
    let mut levels = Vec::with_capacity(count);
    let mut features = 0;
    for level in 0..count {
        let (built, size) = build(&mut root.scope(format!("levels.{level}")), count - 1 - level, &shape)?;
        levels.push(built);
        features = size;
        shape = vec![size];
    }
    Ok((bottom, levels, features))
}

/// What experts `[B, E, F]` are mixed to by weights `[B, E]` that do not depend on rows where B is 1: `[B, F]`.
///
/// # Errors
/// When they do not fit.
pub(crate) fn mixed(weights: &Tensor, experts: &Tensor) -> Result<Tensor> {
    let rows = experts.size().first().copied().unwrap_or_default();
    Ok(weights.f_unsqueeze(1)?.f_expand([rows, 1, -1], false)?.f_bmm(experts)?.f_squeeze_dim(1)?)
}

/// Adds `weight`, `[experts, inputs]`: a gate of logits `W x` without bias, started as a linear layer.
///
/// # Errors
/// When the name was used before.
pub(crate) fn gate(scope: &mut Builder<'_>, experts: usize, shape: &[i64]) -> Result<Slot> {
    let inputs: i64 = shape.iter().product();
    let bound = 1.0 / (inputs.max(1) as f64).sqrt();
    let init = Init::Uniform { low: -bound, high: bound };
    Ok(scope.parameter("weight", &[experts as i64, inputs], init, Role::Weight)?)
}

/// The logits `[B, K, E]` of some gates with the same inputs, `[B, D]` or `[B, C, H, W]`, in the element type of the parameters:
/// they are few numbers, which decide much.
///
/// # Errors
/// When the inputs do not fit.
pub(crate) fn gate_logits(params: &Params, gates: &[Slot], x: &Tensor) -> Result<Tensor> {
    let weights = gates.iter().map(|slot| Ok(params.get(*slot)?)).collect::<Result<Vec<_>>>()?;
    let weight = Tensor::f_cat(&weights, 0)?;
    let rows = x.size().first().copied().unwrap_or_default();
    let x = if x.dim() > 2 { x.f_flatten(1, -1)? } else { x.shallow_clone() };
    let logits = x.f_linear(&weight, None::<&Tensor>)?;
    let experts = weight.size().first().copied().unwrap_or_default() / gates.len().max(1) as i64;
    Ok(logits.f_reshape([rows, gates.len() as i64, experts])?)
}

/// The weights `[B, K, E]` of some gates, `softmax(W x)`.
///
/// # Errors
/// As [`gate_logits`].
pub(crate) fn gate_weights(params: &Params, gates: &[Slot], x: &Tensor) -> Result<Tensor> {
    let logits = gate_logits(params, gates, x)?;
    Ok(logits.f_softmax(-1, logits.kind())?)
}

/// The weights `[B, E]` of one gate, `softmax(W x)`.
///
/// # Errors
/// As [`gate_logits`].
pub(crate) fn gate_weights_of(params: &Params, gate: Slot, x: &Tensor) -> Result<Tensor> {
    Ok(gate_weights(params, &[gate], x)?.f_squeeze_dim(1)?)
}

/// Refuses a number of levels out of range.
///
/// # Errors
/// With the range.
pub(crate) fn check_levels(levels: usize) -> Result<()> {
    if (1..=MOST_LEVELS).contains(&levels) {
        return Ok(());
    }
    let remedy = format!("it must be from 1 to {MOST_LEVELS}");
    Err(Error::setting("levels", format!("`levels` is {levels}"), remedy))
}

/// Refuses a number that is not in its range, which is said in words.
///
/// # Errors
/// With the setting's name and range.
pub(crate) fn check_number(
    setting: &str,
    value: f64,
    range: &str,
    is_in: impl FnOnce(f64) -> bool,
) -> Result<()> {
    if is_in(value) {
        return Ok(());
    }
    Err(Error::setting(setting, format!("`{setting}` is {value}"), format!("it must be {range}")))
}

/// Refuses a number of experts out of range.
///
/// # Errors
/// With the setting's name and range.
pub(crate) fn check_experts(setting: &str, count: usize, least: usize) -> Result<()> {
    if (least..=MOST).contains(&count) {
        return Ok(());
    }
    Err(Error::setting(
        setting,
        format!("`{setting}` is {count}"),
        format!("it must be from {least} to {MOST}"),
    ))
}
