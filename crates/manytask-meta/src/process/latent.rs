//! The latent variable of a neural process.

use manytask_multitask::{Error, Result};
use manytask_nn::nets::{Mlp, MlpConfig};
use manytask_nn::{Builder, Module};
use manytask_tensor::random::Key;
use manytask_tensor::{Params, Tensor, Within as _};

use crate::embedding::{with_dimension, without_dimension};
use crate::episode::Support;

/// A normal variable z `[T, L]` whose mean and deviation a perceptron makes of the mean of encoded pairs; `σ = 0.1 + 0.9 sigmoid(ω)`.
#[derive(Debug)]
pub(crate) struct Latent {
    network: Mlp,
    size: i64,
    samples: u32,
}

/// A normal distribution of z, `[T, L]` each.
#[derive(Debug)]
pub(crate) struct Normal {
    mean: Tensor,
    deviation: Tensor,
}

/// What its draws are numbered by among the passes of a task.
const DRAWN: u64 = 1 << 32;

impl Latent {
    /// Adds `latent.…` on a representation of so many numbers; `samples` are those of an evaluation.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub(crate) fn new(
        b: &mut Builder<'_>,
        config: &MlpConfig,
        (size, samples): (i64, u32),
        inputs: i64,
    ) -> Result<Self> {
        const MOST: i64 = 1 << 16;
        const MOST_SAMPLES: u32 = 10_000;
        if !(1..=MOST).contains(&size) {
            let what = format!("latent_size is {size}");
            return Err(Error::setting("latent_size", what, format!("take 1 to {MOST}")));
        }
        if !(1..=MOST_SAMPLES).contains(&samples) {
            let what = format!("samples is {samples}");
            return Err(Error::setting("samples", what, format!("take 1 to {MOST_SAMPLES}")));
        }
        if config.output.is_some() {
            return Err(Error::setting(
                ["latent", "output"],
                "`latent` has an `output`",
                "leave it out: its last layer has a mean and a deviation for each of `latent_size` numbers",
            ));
        }
        let config = MlpConfig { output: Some(2 * size), ..config.clone() };
        let network = Mlp::new(&mut b.scope("latent"), inputs, &config).within("latent")?;
        Ok(Self { network, size, samples })
    }

    /// Its size.
    pub(crate) fn size(&self) -> i64 {
        self.size
    }

    /// Its distribution given the mean of encoded pairs, `[T, R]`.
    pub(crate) fn given(
        &self,
        support: &Support<'_>,
        params: &Params,
        mean: &Tensor,
        number: u64,
    ) -> Result<Normal> {
        let network: &dyn Module = &self.network;
        let rows = without_dimension(&mean.f_unsqueeze(1)?, support.tasks)?;
        let made = with_dimension(&support.forward(network, params, &rows, number)?, support.tasks)?;
        let made = made.f_squeeze_dim(1)?;
        let raw = made.f_narrow(-1, self.size, self.size)?;
        let deviation = raw.f_sigmoid()?.f_mul_scalar(0.9)?.f_add_scalar(0.1)?;
        Ok(Normal { mean: made.f_narrow(-1, 0, self.size)?, deviation })
    }

    /// A sample of each task in training, by the task's key.
    pub(crate) fn sample(&self, support: &Support<'_>, of: &Normal) -> Result<Tensor> {
        let (kind, device) = (of.mean.kind(), of.mean.device());
        let Some((key, ids)) = support.random() else { return Ok(of.mean.shallow_clone()) };
        let draw = |id: &u64| key.within(DRAWN).task(*id).normal(&[self.size], kind, device);
        let drawn = ids.iter().map(draw).collect::<std::result::Result<Vec<_>, _>>()?;
        of.at(&Tensor::f_stack(&drawn, 0)?)
    }

    /// The samples of an evaluation, which are the same quantiles for every task; in training a single one.
    pub(crate) fn samples(&self, support: &Support<'_>, of: &Normal) -> Result<Vec<Tensor>> {
        if support.is_training() {
            return Ok(vec![self.sample(support, of)?]);
        }
        let (kind, device) = (of.mean.kind(), of.mean.device());
        let draw = |number: u32| {
            of.at(&Key::new(0, "latent").task(number.into()).normal(&[1, self.size], kind, device)?)
        };
        (0..self.samples).map(draw).collect()
    }
}

impl Normal {
    /// `μ + σ ε`.
    fn at(&self, drawn: &Tensor) -> Result<Tensor> {
        Ok(self.mean.f_add(&self.deviation.f_mul(drawn)?)?)
    }

    /// `KL(self ‖ other)` of each task, `[T]`.
    pub(crate) fn divergence(&self, other: &Self) -> Result<Tensor> {
        let gap = self.mean.f_sub(&other.mean)?.f_square()?.f_add(&self.deviation.f_square()?)?;
        let ratio = gap.f_div(&other.deviation.f_square()?)?.f_sub_scalar(1.0)?.f_mul_scalar(0.5)?;
        let each = ratio.f_add(&other.deviation.f_log()?)?.f_sub(&self.deviation.f_log()?)?;
        Ok(each.f_sum_dim_intlist([-1_i64].as_slice(), false, each.kind())?)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::{Device, Kind};

    use super::*;

    #[test]
    fn the_divergence_is_the_mean_difference_of_log_densities() {
        let of = |name: &str, low| {
            Key::new(1, name).uniform(low, 1.5, &[2, 3], Kind::Double, Device::Cpu).unwrap()
        };
        let q = Normal { mean: of("a", -1.0), deviation: of("b", 0.2) };
        let p = Normal { mean: of("c", -1.0), deviation: of("d", 0.2) };
        // Gauss-Hermite with 3 points is exact for squares: ε of 0 and ±√3 with weights 2/3 and 1/6.
        let mut expected = Tensor::zeros([2, 3], (Kind::Double, Device::Cpu));
        for (drawn, weight) in [(0.0, 2.0 / 3.0), (3_f64.sqrt(), 1.0 / 6.0), (-3_f64.sqrt(), 1.0 / 6.0)] {
            let z = q.at(&Tensor::from(drawn)).unwrap();
            let density =
                |of: &Normal| ((&z - &of.mean) / &of.deviation).square() * -0.5 - of.deviation.log();
            expected += (density(&q) - density(&p)) * weight;
        }
        let expected = expected.sum_dim_intlist([1].as_slice(), false, Kind::Double);
        let gap = (q.divergence(&p).unwrap() - expected).abs().max().double_value(&[]);
        assert!(gap < 1e-12, "{gap}");
        assert!(q.divergence(&q).unwrap().abs().max().double_value(&[]) < 1e-12);
    }
}
