use manytask_multitask::{Error, Result};
use manytask_nn::layers::{Activation, Conv1d, Sequential};
use manytask_nn::{Builder, Module};
use manytask_tensor::{Init, Method, Params, Role, SettingError, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::{with_dimension, without_dimension};
use crate::episode::Support;
use crate::learner::{Learner, LearnerSpec, Predictor};
use crate::logits::positive;
use crate::outer_gradient::GradientMode;
use crate::prediction::{Prediction, Predicts};
use crate::process::{check_floor, deviations, labels, numbers};
use crate::ridge::number;
use crate::shape::{EpisodeShape, NetworkShape};

/// Convolutional conditional neural processes off the grid, of one input (Gordon et al. 2020, arXiv:1910.13556, section 4): a support set becomes a
/// function of x, so that a support set that is moved gives predictions that are moved.
///
/// Examples are smoothed onto a grid by a set convolution with RBF weights `ψ(x, t) = exp(−½ (x − t)²/ℓ²)` of a learned ℓ: the density `Σ ψ(xᵢ, t)` and, divided by
/// it, the labels' `Σ yᵢ ψ(xᵢ, t)` (equation 4 and algorithm 1). Convolutions go along the grid; what they give is smoothed back to a query's x
/// by another ψ, and `[network]` makes the mean and the deviation of it, `σ = floor + (1 − floor) softplus(ω)`. The grid has `points_per_unit`
/// points in a unit of x and goes `reach` units to both sides of the mean of the examples' x, rounded to a point of the grid: moves by whole steps of the grid are
/// exactly equivariant. Minimised is the negative log-likelihood of the queries' labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConvCnp {
    /// Channels between the convolutions along the grid.
    pub channels: Vec<i64>,
    /// The size of their kernels, odd.
    pub kernel: i64,
    /// What follows each of them; `ReLU` in the paper.
    pub activation: Activation,
    /// Points of the grid in a unit of x.
    pub points_per_unit: f64,
    /// How far the grid goes to both sides of the examples' mean; queries beyond it see nothing.
    pub reach: f64,
    /// The smallest standard deviation, in `[0, 1)`.
    pub deviation_floor: f64,
}

impl Default for ConvCnp {
    fn default() -> Self {
        Self {
            channels: vec![16, 32, 16, 8],
            kernel: 5,
            activation: Activation::Gelu,
            points_per_unit: 16.0,
            reach: 4.0,
            deviation_floor: 0.01,
        }
    }
}

/// What [`ConvCnp`] builds.
#[derive(Debug)]
struct Convolved {
    convolutions: Sequential,
    /// The logarithms of both lengths ℓ.
    lengths: [Slot; 2],
    outputs: i64,
    settings: ConvCnp,
}

/// A support set as a function on a grid.
struct OnGrid<'a> {
    process: &'a Convolved,
    support: &'a Support<'a>,
    params: Params,
    /// `[T, G]`.
    grid: Tensor,
    /// `[T, G, C]`.
    values: Tensor,
}

/// The numbers of the passes of a task.
const CONVOLUTIONS: u64 = 0;
const DECODER: u64 = 1;

impl Method for ConvCnp {
    const NAME: &'static str = "conv_cnp";
    const SUMMARY: &'static str = "a neural process whose examples become a function that is convolved";
    const ABOUT: &'static str = "\
        Gordon et al. 2020, arXiv:1910.13556, off the grid, for one input: set convolutions with a density channel onto a grid, convolutions along \
        it (`channels`, `kernel`), and a set convolution back. [network] makes a mean and a deviation of what comes to a query, hidden = [] \
        is a linear map. Judged by the log-likelihood of the queries' labels.";
}

impl LearnerSpec for ConvCnp {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn check(&self) -> std::result::Result<(), SettingError> {
        match self.channels.iter().position(|channels| *channels < 1) {
            None => Ok(()),
            Some(place) => Err(SettingError::new(("channels", place), "a convolution without channels")
                .remedy("take 1 at least")),
        }
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        let channels = self.channels.last().copied().unwrap_or(1 + shape.outputs);
        NetworkShape { input: vec![channels], outputs: Some(2 * shape.outputs) }
    }

    fn build(
        &self,
        b: &mut Builder<'_>,
        _backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        const MOST: f64 = 65_536.0;
        if numbers(Self::NAME, shape)? != 1 {
            return Err(Error::setting(
                manytask_tensor::WHOLE,
                "`conv_cnp` on tasks of several inputs",
                "its grid is of one; take another learner, e.g. `cnp` or `tnp_d`",
            ));
        }
        positive("points_per_unit", self.points_per_unit)?;
        positive("reach", self.reach)?;
        if self.points_per_unit * self.reach > MOST {
            let what = format!("a grid of {} points", 2.0 * self.points_per_unit * self.reach);
            return Err(Error::setting("points_per_unit", what, "take fewer, or a smaller `reach`"));
        }
        if self.channels.is_empty() {
            return Err(Error::setting("channels", "`channels` is empty", "take 1 convolution at least"));
        }
        check_floor(self.deviation_floor)?;
        let mut layers: Vec<Box<dyn Module>> = Vec::new();
        let mut inputs = 1 + shape.outputs;
        for (place, outputs) in self.channels.iter().enumerate() {
            if self.kernel < 1 || self.kernel % 2 == 0 {
                let what = format!("kernel is {}", self.kernel);
                return Err(Error::setting("kernel", what, "take an odd number"));
            }
            let layer = Conv1d::new(&mut b.scope(format!("layer{place}")), (inputs, *outputs), self.kernel)?;
            layers.push(Box::new(layer));
            layers.push(Box::new(self.activation));
            inputs = *outputs;
        }
        // Twice the distance of points, as in the authors' code.
        let start = Init::Constant((2.0 / self.points_per_unit).ln());
        let mut length = |name: &str| b.parameter(name, &[1], start, Role::Scale);
        let lengths = [length("length_in")?, length("length_out")?];
        let (convolutions, outputs) = (Sequential(layers), shape.outputs);
        Ok(Box::new(Convolved { convolutions, lengths, outputs, settings: self.clone() }))
    }
}

impl Convolved {
    /// `ψ` of places `[T, N]` and `[T, M]`, `[T, N, M]`, with the length of the set convolution with this number.
    fn weights(&self, [from, to]: [&Tensor; 2], which: usize, params: &Params) -> Result<Tensor> {
        let slot = if which == 0 { self.lengths[0] } else { self.lengths[1] };
        let length = number(params, slot)?.f_exp()?;
        let gaps = from.f_unsqueeze(2)?.f_sub(&to.f_unsqueeze(1)?)?.f_div(&length)?;
        Ok(gaps.f_square()?.f_mul_scalar(-0.5)?.f_exp()?)
    }

    /// The grid `[T, G]` around examples at `[T, N]`, of which `there` `[T, N]` are.
    fn grid(&self, places: &Tensor, there: &Tensor) -> Result<Tensor> {
        let ConvCnp { points_per_unit, reach, .. } = self.settings;
        let sum = |x: &Tensor| x.f_sum_dim_intlist([1_i64].as_slice(), true, x.kind());
        let mean = sum(&places.f_mul(there)?)?.f_div(&sum(there)?.f_clamp_min(1.0)?)?;
        let middle = mean.f_mul_scalar(points_per_unit)?.f_round()?;
        let half = (reach * points_per_unit).round();
        let steps = Tensor::f_arange_start(-half, half + 1.0, (places.kind(), places.device()))?;
        Ok(middle.f_add(&steps.f_unsqueeze(0)?)?.f_div_scalar(points_per_unit)?)
    }
}

impl Learner for Convolved {
    fn adapt<'a>(
        &'a self,
        support: &'a Support<'a>,
        params: &Params,
        _mode: GradientMode,
    ) -> Result<Box<dyn Predictor + 'a>> {
        /// Where there is no example near, the smoothed labels are 0.
        const TINY: f64 = 1e-8;
        let (y, there) = labels(&support.y)?;
        let y = with_dimension(&y, support.tasks)?;
        let there = with_dimension(&there, support.tasks)?.f_to_kind(y.kind())?;
        let places = with_dimension(&support.x, support.tasks)?.f_squeeze_dim(-1)?;
        let grid = self.grid(&places, &there.f_squeeze_dim(-1)?)?;
        let weights = self.weights([&grid, &places], 0, params)?;
        let density = weights.f_matmul(&there)?;
        let smoothed = weights.f_matmul(&y.f_mul(&there)?)?.f_div(&density.f_add_scalar(TINY)?)?;
        // [T, C, G], each task a sequence of its own.
        let channels = Tensor::f_cat(&[&density, &smoothed], -1)?.f_transpose(1, 2)?;
        let channels = if support.tasks.is_some() { channels.f_unsqueeze(1)? } else { channels };
        let made = support.forward(&self.convolutions, params, &channels, CONVOLUTIONS)?;
        let made = if support.tasks.is_some() { made.f_squeeze_dim(1)? } else { made };
        let (params, values) = (params.share(), made.f_transpose(1, 2)?);
        Ok(Box::new(OnGrid { process: self, support, params, grid, values }))
    }

    fn predicts(&self) -> Predicts {
        Predicts::Distributions
    }
}

impl Predictor for OnGrid<'_> {
    fn predict(&self, x: &Tensor) -> Result<Prediction> {
        let Self { process, support, params, grid, values } = self;
        let places = with_dimension(x, support.tasks)?.f_squeeze_dim(-1)?;
        let weights = process.weights([&places, grid], 1, params)?;
        let sum = weights.f_sum_dim_intlist([-1_i64].as_slice(), true, weights.kind())?;
        // Beyond the grid there is nothing.
        let found = weights.f_matmul(values)?.f_div(&sum.f_clamp_min(1e-6)?)?;
        let found = without_dimension(&found, support.tasks)?;
        let decoded = support.forward(support.network, params, &found, DECODER)?;
        let means = decoded.f_narrow(-1, 0, process.outputs)?;
        let raw = decoded.f_narrow(-1, process.outputs, process.outputs)?;
        Ok(Prediction::normal(means, deviations(&raw, process.settings.deviation_floor)?))
    }
}

#[cfg(test)]
mod tests {
    use manytask_data::Episodes;
    use manytask_nn::layers::Linear;
    use manytask_nn::loss::Loss;
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind, Layout};

    use super::*;
    use crate::episode::{BatchNormStatistics, Episode};

    const ON: (Kind, Device) = (Kind::Double, Device::Cpu);

    /// The means and deviations of queries after a support set, both moved.
    fn predicted(by: f64, labels: &Tensor) -> (Tensor, Tensor) {
        let mut layout = Layout::builder();
        let net = Linear::new(&mut Builder::new(&mut layout).scope("head"), 8, 2).unwrap();
        let shape = EpisodeShape::regression(1, 1);
        let backbone = Backbone { network: &net, layout: layout.snapshot(), input: vec![8] };
        let spec = ConvCnp::default();
        let learner = spec.build(&mut Builder::new(&mut layout).scope("learner"), &backbone, &shape).unwrap();
        let params = layout.build().init(2, ON.0, ON.1).unwrap();
        let of =
            |name: &str, rows: i64| Key::new(1, name).uniform(-2.0, 2.0, &[rows, 1], ON.0, ON.1).unwrap();
        let episodes = Episodes {
            support_x: of("x", 6) + by,
            support_y: labels.shallow_clone(),
            query_x: of("q", 9) + by,
            query_y: Tensor::zeros([9, 1], ON),
        };
        let loss = Loss::Mse;
        let episode = Episode::new((&net, &loss), &episodes, None, None, BatchNormStatistics::Batch);
        let predictor = learner.adapt(&episode.support, &params, GradientMode::Off).unwrap();
        let Prediction { values, deviations, .. } = predictor.predict(&episode.query_x).unwrap();
        (values, deviations.unwrap())
    }

    fn gap(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn what_is_moved_is_predicted_as_if_it_were_not() {
        let labels = Key::new(1, "y").normal(&[6, 1], ON.0, ON.1).unwrap();
        let still = predicted(0.0, &labels);
        // By whole steps of the grid, also far from everything that was seen.
        for by in [0.25, -1.0, 1000.0] {
            let moved = predicted(by, &labels);
            assert!(gap(&still.0, &moved.0) < 1e-8 && gap(&still.1, &moved.1) < 1e-8, "{by}");
        }
        let other = predicted(0.0, &(labels * 2.0));
        assert!(gap(&still.0, &other.0) > 1e-5, "{}", gap(&still.0, &other.0));
    }

    #[test]
    fn an_example_without_a_label_is_not_there_and_none_is_another_density() {
        let labels = Key::new(1, "y").normal(&[6, 1], ON.0, ON.1).unwrap();
        let none = Tensor::full([6, 1], f64::NAN, ON);
        let (means, deviations) = predicted(0.0, &none);
        assert!(means.isfinite().all().int64_value(&[]) == 1 && deviations.min().double_value(&[]) > 0.0);
        // Labels of 0 are not the absence of labels: the density knows.
        assert!(gap(&predicted(0.0, &labels.zeros_like()).0, &means) > 1e-4);
    }
}
