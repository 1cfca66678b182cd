//! Normal distributions out of what is known of a query.

use manytask_multitask::{Error, Result};
use manytask_nn::metrics::Output;
use manytask_nn::nets::{Mlp, MlpConfig};
use manytask_nn::{Builder, Module};
use manytask_tensor::{Params, Tensor, WHOLE, Within as _};

use super::DECODER;
use crate::embedding::without_dimension;
use crate::episode::Support;
use crate::shape::EpisodeShape;

/// A perceptron with a mean and a deviation for each number: `σ = floor + (1 − floor) softplus(ω)`.
#[derive(Debug)]
pub(crate) struct Decoder {
    network: Mlp,
    outputs: i64,
    floor: f64,
}

/// How many numbers an example of the tasks of a learner has.
///
/// # Errors
/// When they are no regressions of numbers: with the learner's name.
pub(crate) fn numbers(learner: &str, shape: &EpisodeShape) -> Result<i64> {
    match (shape.output, shape.input.as_slice()) {
        (Output::Regression, [numbers]) => Ok(*numbers),
        _ => Err(Error::setting(
            WHOLE,
            format!("`{learner}` on tasks that are no regression of numbers"),
            "take such tasks, e.g. `gaussian_process`, or another learner",
        )),
    }
}

/// Refuses a smallest deviation that is out of range.
pub(crate) fn check_floor(floor: f64) -> Result<()> {
    if (0.0..1.0).contains(&floor) {
        return Ok(());
    }
    Err(Error::setting("deviation_floor", format!("deviation_floor is {floor}"), "take 0 to below 1"))
}

/// `σ = floor + (1 − floor) softplus(ω)`.
pub(crate) fn deviations(raw: &Tensor, floor: f64) -> Result<Tensor> {
    Ok(raw.f_softplus()?.f_mul_scalar(1.0 - floor)?.f_add_scalar(floor)?)
}

impl Decoder {
    /// Adds `decoder.…` on so many numbers for each query.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub(crate) fn new(
        b: &mut Builder<'_>,
        (config, floor): (&MlpConfig, f64),
        inputs: i64,
        shape: &EpisodeShape,
    ) -> Result<Self> {
        if config.output.is_some() {
            return Err(Error::setting(
                ["decoder", "output"],
                "`decoder` has an `output`",
                "leave it out: its last layer has a mean and a deviation for each number",
            ));
        }
        check_floor(floor)?;
        let config = MlpConfig { output: Some(2 * shape.outputs), ..config.clone() };
        let network = Mlp::new(&mut b.scope("decoder"), inputs, &config).within("decoder")?;
        Ok(Self { network, outputs: shape.outputs, floor })
    }

    /// Means and standard deviations `[T?, M, D]` of what is known of queries, `[T, M, …]`.
    pub(crate) fn distributions(
        &self,
        support: &Support<'_>,
        params: &Params,
        rows: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let network: &dyn Module = &self.network;
        let decoded = support.forward(network, params, &without_dimension(rows, support.tasks)?, DECODER)?;
        let raw = decoded.f_narrow(-1, self.outputs, self.outputs)?;
        Ok((decoded.f_narrow(-1, 0, self.outputs)?, deviations(&raw, self.floor)?))
    }
}
