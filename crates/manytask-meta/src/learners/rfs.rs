use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Kind, Method, Params, Tensor, no_grad};
use serde::{Deserialize, Serialize};

use super::pretrained::pretrained;
use crate::backbone::Backbone;
use crate::embedding::{normalised, targets};
use crate::episode::Support;
use crate::head::Head;
use crate::logits::positive;
use crate::ridge::with_ones;

/// RFS (Tian et al. 2020, arXiv:2003.11539, section 3.2): a task's classifier is a logistic regression on features of length 1, of a network
/// that was pretrained on all training classes and kept as it is.
///
/// It minimises `regularisation · Σ −ln softmax(W x + b)_y + ½ ‖W‖²` with b not penalised: scikit-learn's `LogisticRegression` with `C`,
/// which the authors use. It is solved to gradients below 1e-7 by a majorisation with the Hessian bound of Böhning (1992), `½ X̃ᵀX̃` for
/// each class, whose system is solved once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rfs {
    /// C, above 0: how much the examples weigh against the penalty.
    pub regularisation: f64,
}

impl Default for Rfs {
    fn default() -> Self {
        Self { regularisation: 1.0 }
    }
}

/// What [`Rfs`] builds: fitted are weights with the offsets behind, `[T, D + 1, C]`.
#[derive(Debug)]
struct Regression {
    classes: i64,
    regularisation: f64,
}

impl Method for Rfs {
    const NAME: &'static str = "rfs";
    const SUMMARY: &'static str = "logistic regression on pretrained features of length 1";
    const ABOUT: &'static str = "\
        Tian et al. 2020, arXiv:2003.11539: `regularisation` is the C of scikit-learn's LogisticRegression, \
        solved to its optimum. The network learns in [pretraining] alone, which takes all steps of \
        [training]; it wants batch_norm = \"running\".";
}

pretrained!(Rfs);

impl Rfs {
    fn head(self, _b: &mut Builder<'_>, _backbone: &Backbone<'_>, classes: i64) -> Result<Regression> {
        positive("regularisation", self.regularisation)?;
        Ok(Regression { classes, regularisation: self.regularisation })
    }
}

impl Head for Regression {
    type Fitted = Tensor;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, _params: &Params) -> Result<Tensor> {
        let _off = no_grad();
        let x = with_ones(&normalised(&embeddings.f_detach()?)?)?;
        let (y, there) = targets(Rfs::NAME, support, Some(self.classes), Kind::Double)?;
        let weight = logistic(&x.f_to_kind(Kind::Double)?.f_mul(&there)?, &y, self.regularisation)?;
        Ok(weight.f_to_kind(embeddings.kind())?)
    }

    fn predict(
        &self,
        weight: &Tensor,
        queries: &Tensor,
        _support: &Support<'_>,
        _params: &Params,
    ) -> Result<Tensor> {
        Ok(with_ones(&normalised(queries)?)?.f_matmul(weight)?)
    }
}

/// The regressions `[T, D + 1, C]` of labels `[T, N, C]` on X `[T, N, D + 1]` whose last column is 1; rows of 0 do not count.
fn logistic(x: &Tensor, y: &Tensor, c: f64) -> Result<Tensor> {
    const MOST: usize = 5000;
    const EVERY: usize = 20;
    const SMALL: f64 = 1e-7;
    let (tasks, _, width) = x.size3()?;
    let transposed = x.f_transpose(1, 2)?;
    // 1 for each weight and 0 for the offset.
    let mut penalty = vec![1.0; width.max(1) as usize];
    if let Some(offset) = penalty.last_mut() {
        *offset = 0.0;
    }
    let penalty = Tensor::f_from_slice(&penalty)?.f_to_device(x.device())?;
    let there = y.f_sum_dim_intlist([-1_i64].as_slice(), true, y.kind())?;
    let bound = transposed.f_matmul(x)?.f_mul_scalar(0.5 * c)?.f_add(&penalty.f_diag_embed(0, -2, -1)?)?;
    let inverse = Tensor::f_linalg_inv(&bound)?;
    let penalty = penalty.f_reshape([1, width, 1])?;
    let mut weight = Tensor::f_zeros([tasks, width, y.size3()?.2], (y.kind(), y.device()))?;
    for step in 0..MOST {
        let gap = x.f_matmul(&weight)?.f_softmax(-1, None::<Kind>)?.f_sub(y)?.f_mul(&there)?;
        let slope = transposed.f_matmul(&gap)?.f_mul_scalar(c)?.f_add(&weight.f_mul(&penalty)?)?;
        if step % EVERY == 0 && slope.f_abs()?.f_max()?.f_double_value(&[])? < SMALL {
            break;
        }
        weight = weight.f_sub(&inverse.f_matmul(&slope)?)?;
    }
    Ok(weight)
}

#[cfg(test)]
mod tests {
    use manytask_tensor::Device;
    use manytask_tensor::random::Key;

    use super::*;

    #[test]
    fn the_regression_is_the_one_that_no_small_change_makes_better() {
        let x = Key::new(2, "x").normal(&[2, 9, 4], Kind::Double, Device::Cpu).unwrap();
        let x = with_ones(&normalised(&x).unwrap()).unwrap();
        let y = Tensor::from_slice(&[0_i64, 0, 0, 1, 1, 1, 2, 2, 2]).one_hot(3).to_kind(Kind::Double);
        let y = y.unsqueeze(0).repeat([2, 1, 1]);
        for c in [1.0, 20.0] {
            let loss = |weight: &Tensor| {
                let likelihood = (x.matmul(weight).log_softmax(-1, Kind::Double) * &y).sum(Kind::Double);
                let penalty = weight.narrow(1, 0, 4).square().sum(Kind::Double) * 0.5;
                (penalty - likelihood * c).double_value(&[])
            };
            let weight = logistic(&x, &y, c).unwrap();
            let best = loss(&weight);
            for number in 0..4 {
                let change = Key::new(number, "d").normal(&[2, 5, 3], Kind::Double, Device::Cpu).unwrap();
                assert!(loss(&(&weight + &change * 1e-3)) > best && loss(&(&weight - change * 1e-3)) > best);
            }
            assert!(best < loss(&weight.zeros_like()) - 0.1);
        }
    }
}
