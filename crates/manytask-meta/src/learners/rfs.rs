use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Kind, Method, Params, Slot, Tensor, no_grad};
use serde::{Deserialize, Serialize};

use super::pretrained::pretrained;
use crate::backbone::Backbone;
use crate::embedding::targets;
use crate::episode::Support;
use crate::features::{FeatureTransform, Transform};
use crate::head::Head;
use crate::logistic::{Logistic, Span, most_probable};
use crate::logits::positive;
use crate::ridge::with_ones;

/// RFS (Tian et al. 2020, arXiv:2003.11539, section 3.2): a task's classifier is a logistic regression on features of length 1, of a network
/// that was pretrained on all training classes and kept as it is.
///
/// It minimises `regularisation · Σ −ln softmax(W x + b)_y + ½ ‖W‖²` with b not penalised: scikit-learn's `LogisticRegression` with `C`,
/// which the authors use, solved to gradients below 1e-7 by Newton's method.
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

/// Logistic regression on vectors of a network that stays as it is: what practice does with few labels and a pretrained encoder.
///
/// As [`Rfs`], with a choice of what is done to features, and where `regularisation` is left out with the C of each task that makes the
/// labels of its support set most probable (type-II maximum likelihood by Laplace's approximation): no
/// example is held out, so it works with a single example of each class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogisticRegression {
    /// What is done to features.
    pub transform: FeatureTransform,
    /// C, above 0: how much the examples weigh against the penalty. Left out: chosen for each task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regularisation: Option<f64>,
}

impl Default for LogisticRegression {
    fn default() -> Self {
        Self { transform: FeatureTransform::L2n, regularisation: None }
    }
}

/// What both build: fitted are weights with the offsets behind, `[T, D + 1, C]`.
#[derive(Debug)]
struct Regression {
    name: &'static str,
    classes: i64,
    transform: Transform,
    regularisation: Option<f64>,
}

impl Method for Rfs {
    const NAME: &'static str = "rfs";
    const SUMMARY: &'static str = "logistic regression on pretrained features of length 1";
    const ABOUT: &'static str = "\
        Tian et al. 2020, arXiv:2003.11539: `regularisation` is the C of scikit-learn's LogisticRegression, \
        solved to its optimum. The network learns in [pretraining] alone, which takes all steps of \
        [training]; it wants batch_norm = \"running\".";
}

impl Method for LogisticRegression {
    const NAME: &'static str = "logistic";
    const SUMMARY: &'static str =
        "logistic regression on given vectors, its regularisation chosen by the support set";
    const ABOUT: &'static str = "\
        For vectors of an encoder that stays as it is, or of a network that [pretraining] alone trains. `regularisation` is the C of \
        scikit-learn's LogisticRegression; left out, each task takes that of 2⁻⁴ to 2¹² which makes its support labels most probable \
        (the evidence, by Laplace's approximation), for which no example is held out. On vectors as they are take \
        network.kind = \"identity\" and training.steps = 0.";
}

pretrained!(Rfs);
pretrained!(LogisticRegression);

impl Rfs {
    fn head(self, b: &mut Builder<'_>, backbone: &Backbone<'_>, classes: i64) -> Result<Regression> {
        regression(Self::NAME, (FeatureTransform::L2n, Some(self.regularisation)), b, backbone, classes)
    }
}

impl LogisticRegression {
    fn head(self, b: &mut Builder<'_>, backbone: &Backbone<'_>, classes: i64) -> Result<Regression> {
        regression(Self::NAME, (self.transform, self.regularisation), b, backbone, classes)
    }
}

fn regression(
    name: &'static str,
    (transform, regularisation): (FeatureTransform, Option<f64>),
    b: &mut Builder<'_>,
    backbone: &Backbone<'_>,
    classes: i64,
) -> Result<Regression> {
    if let Some(c) = regularisation {
        positive("regularisation", c)?;
    }
    Ok(Regression { name, classes, transform: transform.build(b, backbone)?, regularisation })
}

impl Head for Regression {
    type Fitted = Tensor;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, params: &Params) -> Result<Tensor> {
        let _off = no_grad();
        let x = self.transform.apply(&embeddings.f_detach()?, params)?.f_to_kind(Kind::Double)?;
        let (y, there) = targets(self.name, support, Some(self.classes), Kind::Double)?;
        let span = Span::of(&x.f_mul(&there)?)?;
        let weights = match self.regularisation {
            Some(c) => Logistic::new(&span.rows, &y)?.solve(c, None)?.weights,
            None => most_probable(&span, &y)?,
        };
        let width = weights.size3()?.1 - 1;
        let all = [&span.weights(&weights.f_narrow(1, 0, width)?)?, &weights.f_narrow(1, width, 1)?];
        Ok(Tensor::f_cat(&all, 1)?.f_to_kind(embeddings.kind())?)
    }

    fn predict(
        &self,
        weight: &Tensor,
        queries: &Tensor,
        _support: &Support<'_>,
        params: &Params,
    ) -> Result<Tensor> {
        Ok(with_ones(&self.transform.apply(queries, params)?)?.f_matmul(weight)?)
    }

    fn base_mean(&self) -> Option<Slot> {
        self.transform.base_mean()
    }
}
