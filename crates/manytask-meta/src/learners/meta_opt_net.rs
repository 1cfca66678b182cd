use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Method, Params, Tensor, number_like};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::{classes, targets};
use crate::episode::Support;
use crate::head::{Embedding, Head};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::{Scaled, positive};
use crate::quadratic_program::{BoxProgram, solve};
use crate::ridge::{ridge, with_diagonal};
use crate::shape::{EpisodeShape, NetworkShape};

/// `MetaOptNet` with ridge regression (Lee et al. 2019, arXiv:1904.03758): the head of a task is a ridge regression of its one-hot labels
/// without offset, solved in its dual.
///
/// With embeddings X of the support set, x of a query and λ fixed, logits are `scale · 2 x Xᵀ(XXᵀ + λI)⁻¹ Y`, the dual as the authors' code
/// has it, with the scale learned. λ is not divided by the number of examples, and there is no column of ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetaOptNetRr {
    /// λ, above 0; 50 in the authors' code.
    pub lambda: f64,
    /// The scale of the logits to begin with.
    pub scale: f64,
}

impl Default for MetaOptNetRr {
    fn default() -> Self {
        Self { lambda: 50.0, scale: 1.0 }
    }
}

/// `MetaOptNet` with a support vector machine (Lee et al. 2019, arXiv:1904.03758): the head of a task is a linear machine for several
/// classes (Crammer & Singer 2001), and the meta-gradient goes through the conditions of its optimum.
///
/// The dual variables α `[N, C]` minimise `½ Σ_c α_cᵀ (XXᵀ + I) α_c − Σᵢ α_{i,yᵢ}` with `Σ_c α_{i,c} = 0` and `α_{i,c} ≤ C [yᵢ = c]`
/// (equations 9 and 10; the identity is the authors', and changes the solution). Logits are `scale · x Xᵀ α` with the scale learned. The
/// program is solved in float64; the gradient is that of the Karush-Kuhn-Tucker conditions at the solution, not of the iterations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetaOptNetSvm {
    /// C, above 0: how much an example can weigh.
    pub c: f64,
    /// The scale of the logits to begin with.
    pub scale: f64,
}

impl Default for MetaOptNetSvm {
    fn default() -> Self {
        Self { c: 0.1, scale: 1.0 }
    }
}

/// What either builds: fitted are weights `[T, D, C]` of embeddings.
#[derive(Debug)]
struct Convex {
    name: &'static str,
    classes: i64,
    scale: Scaled,
    machine: Machine,
}

/// The convex problem that gives the weights.
#[derive(Debug)]
enum Machine {
    Ridge { lambda: f64 },
    SupportVectors { c: f64 },
}

impl Method for MetaOptNetRr {
    const NAME: &'static str = "meta_opt_net_rr";
    const SUMMARY: &'static str = "a head by ridge regression with a fixed λ, without offset";
    const ABOUT: &'static str = "\
        Lee et al. 2019, arXiv:1904.03758: 2 Xᵀ(XXᵀ + λI)⁻¹ Y with a learned scale of the logits.";
}

impl LearnerSpec for MetaOptNetRr {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        NetworkShape::embedding(shape)
    }

    fn build(
        &self,
        b: &mut Builder<'_>,
        _backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        positive("lambda", self.lambda)?;
        let machine = Machine::Ridge { lambda: self.lambda };
        build(self.name(), b, shape, (machine, self.scale))
    }
}

impl Method for MetaOptNetSvm {
    const NAME: &'static str = "meta_opt_net_svm";
    const SUMMARY: &'static str = "a head by a support vector machine, differentiated through its optimum";
    const ABOUT: &'static str = "\
        Lee et al. 2019, arXiv:1904.03758: the machine for several classes of Crammer and Singer, its dual \
        solved by an interior-point method with I added to the inner products as in the authors' code; a \
        learned scale of the logits.";
}

impl LearnerSpec for MetaOptNetSvm {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        NetworkShape::embedding(shape)
    }

    fn build(
        &self,
        b: &mut Builder<'_>,
        _backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        positive("c", self.c)?;
        build(self.name(), b, shape, (Machine::SupportVectors { c: self.c }, self.scale))
    }
}

fn build(
    name: &'static str,
    b: &mut Builder<'_>,
    shape: &EpisodeShape,
    (machine, scale): (Machine, f64),
) -> Result<Box<dyn Learner>> {
    let classes = classes(name, shape)?;
    Ok(Box::new(Embedding(Convex { name, classes, scale: Scaled::new(b, scale)?, machine })))
}

impl Head for Convex {
    type Fitted = Tensor;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, _params: &Params) -> Result<Tensor> {
        let (y, there) = targets(self.name, support, Some(self.classes), embeddings.kind())?;
        let x = embeddings.f_mul(&there)?;
        match self.machine {
            Machine::Ridge { lambda } => {
                ridge(&x, &y.f_mul_scalar(2.0)?, &number_like(lambda, &x)?.f_reshape([1, 1, 1])?)
            }
            Machine::SupportVectors { c } => {
                let kernel = x.f_matmul(&x.f_transpose(1, 2)?)?;
                let alpha = support_vectors(&kernel, &y, c)?;
                Ok(x.f_transpose(1, 2)?.f_matmul(&alpha)?)
            }
        }
    }

    fn predict(
        &self,
        weight: &Tensor,
        queries: &Tensor,
        _support: &Support<'_>,
        params: &Params,
    ) -> Result<Tensor> {
        self.scale.apply(&queries.f_matmul(weight)?, params)
    }
}

/// The dual variables α `[T, N, C]` of the machine with inner products `[T, N, N]` and labels `[T, N, C]` of 0 and 1. An example without
/// a label, whose row is 0, has none.
fn support_vectors(kernel: &Tensor, y: &Tensor, c: f64) -> Result<Tensor> {
    let (tasks, count, classes) = y.size3()?;
    let kernel = with_diagonal(kernel, &number_like(1.0, kernel)?)?;
    // Variables are example by example, so the matrix is K ⊗ I.
    let eye = Tensor::f_eye(classes, (y.kind(), y.device()))?;
    let quadratic =
        kernel.f_reshape([tasks, count, 1, count, 1])?.f_mul(&eye.f_reshape([1, 1, classes, 1, classes])?)?;
    let quadratic = quadratic.f_reshape([tasks, count * classes, count * classes])?;
    let flat = y.f_reshape([tasks, count * classes])?;
    let program =
        BoxProgram { quadratic, linear: flat.f_neg()?, upper: flat.f_mul_scalar(c)?, group: classes };
    Ok(solve(&program)?.f_reshape([tasks, count, classes])?)
}
