use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Kind, Method, Params, Slot, Tensor};
use serde::{Deserialize, Serialize};

use super::pretrained::pretrained;
use crate::backbone::Backbone;
use crate::embedding::{centroids, normalised, targets};
use crate::episode::Support;
use crate::features::{FeatureTransform, Transform};
use crate::head::Head;
use crate::logits::positive;

/// BD-CSPN (Liu et al. 2020, arXiv:1911.10713): prototypes of a support set are rectified by the queries, which are shifted first.
///
/// Queries are shifted by `ξ = mean of the support set − mean of the queries` (equation 7). With the means of classes as first prototypes
/// and `w = softmax_c(ε cos(f, p_c))`, the rectified prototype of c is the mean, weighted by w, of c's examples and of the queries that are
/// nearest to c (equations 4 to 6). Logits are `ε cos(f, p)`. All queries are known at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BdCspn {
    /// What is done to features.
    pub transform: FeatureTransform,
    /// ε, what cosines are multiplied by.
    pub scale: f64,
}

impl Default for BdCspn {
    fn default() -> Self {
        Self { transform: FeatureTransform::Cl2n, scale: 10.0 }
    }
}

/// What [`BdCspn`] builds.
#[derive(Debug)]
struct Rectifying {
    classes: i64,
    transform: Transform,
    scale: f64,
}

/// A support set's features `[T, N, D]` with their labels `[T, N, C]`, of which a missing one is a row of zeros.
struct Labelled {
    features: Tensor,
    labels: Tensor,
    there: Tensor,
}

impl Method for BdCspn {
    const NAME: &'static str = "bd_cspn";
    const SUMMARY: &'static str = "cosines to prototypes of pretrained features that the queries rectify";
    const ABOUT: &'static str = "\
        Liu et al. 2020, arXiv:1911.10713: queries are shifted onto the support set's mean, and prototypes are means of \
        examples and of the queries nearest to them. All queries of a task are known at once (transductive). The network \
        learns in [pretraining] alone, which takes all steps of [training]; it wants batch_norm = \"running\".";
}

pretrained!(BdCspn);

impl BdCspn {
    fn head(self, b: &mut Builder<'_>, backbone: &Backbone<'_>, classes: i64) -> Result<Rectifying> {
        positive("scale", self.scale)?;
        Ok(Rectifying { classes, transform: self.transform.build(b, backbone)?, scale: self.scale })
    }
}

impl Rectifying {
    /// `ε cos(f, p)` of features `[T, N, D]` and prototypes `[T, C, D]`.
    fn logits(&self, features: &Tensor, prototypes: &Tensor) -> Result<Tensor> {
        let cosines = normalised(features)?.f_matmul(&normalised(prototypes)?.f_transpose(1, 2)?)?;
        Ok(cosines.f_mul_scalar(self.scale)?)
    }
}

/// The sum over the rows of each task, kept as a dimension.
fn sum(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_sum_dim_intlist([1_i64].as_slice(), true, x.kind())?)
}

impl Head for Rectifying {
    type Fitted = Labelled;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, params: &Params) -> Result<Labelled> {
        let features = self.transform.apply(embeddings, params)?;
        let (labels, there) = targets(BdCspn::NAME, support, Some(self.classes), features.kind())?;
        Ok(Labelled { features, labels, there })
    }

    fn predict(
        &self,
        Labelled { features, labels, there }: &Labelled,
        queries: &Tensor,
        _support: &Support<'_>,
        params: &Params,
    ) -> Result<Tensor> {
        let queries = self.transform.apply(queries, params)?;
        let mean = sum(&features.f_mul(there)?)?.f_div(&sum(there)?.f_clamp_min(1.0)?)?;
        let (_, count, _) = queries.size3()?;
        let queries = queries.f_add(&mean)?.f_sub(&sum(&queries)?.f_div_scalar(count.max(1) as f64)?)?;
        let prototypes = centroids(features, labels)?;
        let shares = |x: &Tensor| {
            Ok::<_, manytask_multitask::Error>(self.logits(x, &prototypes)?.f_softmax(-1, None::<Kind>)?)
        };
        let of_queries = shares(&queries)?;
        let nearest = of_queries.f_eq_tensor(&of_queries.f_amax([-1_i64].as_slice(), true)?)?;
        let of_queries = of_queries.f_mul(&nearest.f_to_kind(queries.kind())?)?;
        let weights = Tensor::f_cat(&[&shares(features)?.f_mul(labels)?, &of_queries], 1)?;
        let all = Tensor::f_cat(&[features, &queries], 1)?;
        let total = sum(&weights)?.f_clamp_min(f64::MIN_POSITIVE)?.f_transpose(1, 2)?;
        let rectified = weights.f_transpose(1, 2)?.f_matmul(&all)?.f_div(&total)?;
        self.logits(&queries, &rectified)
    }

    fn base_mean(&self) -> Option<Slot> {
        self.transform.base_mean()
    }

    fn is_transductive(&self) -> bool {
        true
    }
}
