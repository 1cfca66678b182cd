//! What passes that know all gradients give an aggregator.

use manytask_multitask::{Error, Jacobian, Level, Result, layer_columns};
use manytask_tensor::{Params, Tensor};

pub(super) fn broken(message: &str) -> Error {
    Error::Contract { aggregator: "meta-problem".into(), message: message.into() }
}

/// The gradients of a level, of which those of all parameters are known; `layers` keeps what was asked for last.
pub(super) fn at_level<'j>(
    all: &'j Jacobian,
    layers: &'j mut Option<(Level, Jacobian)>,
    params: &Params,
    level: &Level,
) -> Result<&'j Jacobian> {
    match level {
        Level::Parameters => Ok(all),
        Level::Representation => Err(Error::setting(
            "level",
            "gradients of a representation, of which each task has its own",
            "take the level `parameters`",
        )),
        Level::LastLayer | Level::Layers(_) => {
            if layers.as_ref().is_none_or(|(of, _)| of != level) {
                let layout = params.layout();
                let columns = layer_columns(layout, &layout.trained(), level)?;
                *layers = Some((level.clone(), all.of_columns(&columns)?));
            }
            layers.as_ref().map(|(_, rows)| rows).ok_or_else(|| broken("no Jacobian"))
        }
    }
}

/// A direction of all parameters.
pub(super) fn vector_of(direction: &Tensor, level: &Level) -> Result<Tensor> {
    match level {
        Level::Parameters => Ok(direction.shallow_clone()),
        _ => Err(Error::setting("level", "a direction of some layers only", "take the level `parameters`")),
    }
}

pub(super) fn as_many(weights: &[f64], tasks: usize) -> Result<&[f64]> {
    if weights.len() == tasks { Ok(weights) } else { Err(broken("as many weights as tasks are needed")) }
}
