use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Kind, Method, Params, Tensor};
use serde::{Deserialize, Serialize};

use super::pretrained::pretrained;
use crate::backbone::Backbone;
use crate::embedding::{centroids, negative_squared_distances, normalised, targets};
use crate::episode::Support;
use crate::head::Head;
use crate::logits::positive;

/// PT-MAP (Hu et al. 2020, arXiv:2006.03806): features are made Gaussian by a power, and queries are allotted to classes by optimal transport.
///
/// Features, which are to be non-negative (what is below 0 counts as 0), become `(f + 1e-6)^β` scaled to length 1, then are centred, support
/// set and queries each by itself, and scaled again (section 3.1). The distances of queries to the class centres are turned into shares by
/// Sinkhorn's algorithm with regularisation λ, such that each class has as many queries (section 3.2); centres move by the share
/// `step` towards the means of the examples and queries so allotted, `iterations` times. Logits are the logarithms of the last shares. All
/// queries are known at once, and of all classes alike. The authors' reduction by a QR decomposition changes no distance, and is left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PtMap {
    /// β.
    pub power: f64,
    /// λ.
    pub lambda: f64,
    /// α, by how much centres move.
    pub step: f64,
    /// How often.
    pub iterations: u32,
}

impl Default for PtMap {
    fn default() -> Self {
        Self { power: 0.5, lambda: 10.0, step: 0.2, iterations: 20 }
    }
}

/// What [`PtMap`] builds.
#[derive(Debug)]
struct Allotting {
    classes: i64,
    settings: PtMap,
}

/// A support set's features `[T, N, D]` with labels `[T, N, C]`.
struct Labelled {
    features: Tensor,
    labels: Tensor,
}

impl Method for PtMap {
    const NAME: &'static str = "pt_map";
    const SUMMARY: &'static str = "queries allotted to classes by optimal transport on pretrained features";
    const ABOUT: &'static str = "\
        Hu et al. 2020, arXiv:2006.03806: features are raised to a `power`, centred and of length 1; Sinkhorn's algorithm gives \
        each class as many queries, and class centres follow. All queries of a task are known at once (transductive) and of all \
        classes alike. The network learns in [pretraining] alone, which takes all steps of [training]; it wants \
        batch_norm = \"running\".";
}

pretrained!(PtMap);

impl PtMap {
    fn head(self, _b: &mut Builder<'_>, _backbone: &Backbone<'_>, classes: i64) -> Result<Allotting> {
        const MOST: u32 = 10_000;
        positive("power", self.power)?;
        positive("lambda", self.lambda)?;
        if !(self.step > 0.0 && self.step <= 1.0) {
            let what = format!("step is {}", self.step);
            return Err(Error::setting("step", what, "take a share above 0 and at most 1"));
        }
        if self.iterations > MOST {
            let what = format!("iterations is {}", self.iterations);
            return Err(Error::setting("iterations", what, format!("take 0 to {MOST}")));
        }
        Ok(Allotting { classes, settings: self })
    }
}

fn sum(x: &Tensor, dim: i64) -> Result<Tensor> {
    Ok(x.f_sum_dim_intlist([dim].as_slice(), true, x.kind())?)
}

/// Shares `[T, M, C]` of rows that sum to 1 and columns that sum to M / C, nearest to `exp(λ closeness)` (Cuturi 2013), by their
/// logarithms.
fn transported(closeness: &Tensor, lambda: f64) -> Result<Tensor> {
    const MOST: usize = 1000;
    const EVERY: usize = 10;
    const SMALL: f64 = 1e-5;
    let (_, rows, columns) = closeness.size3()?;
    let each = (rows.max(1) as f64 / columns.max(1) as f64).ln();
    // In single precision the sums of rows come no nearer to 1 than that.
    let mut plan = closeness.f_to_kind(Kind::Double)?.f_mul_scalar(lambda)?;
    for step in 0..MOST {
        plan = plan.f_sub(&plan.f_logsumexp([1_i64].as_slice(), true)?)?.f_add_scalar(each)?;
        let of_rows = plan.f_logsumexp([2_i64].as_slice(), true)?;
        plan = plan.f_sub(&of_rows)?;
        if step % EVERY == 0 && of_rows.f_abs()?.f_max()?.f_double_value(&[])? < SMALL {
            break;
        }
    }
    Ok(plan.f_to_kind(closeness.kind())?)
}

impl Allotting {
    /// Features of length 1 to a power, centred over the rows that are there.
    fn gaussian(&self, features: &Tensor, there: Option<&Tensor>) -> Result<Tensor> {
        const ABOVE: f64 = 1e-6;
        let powered =
            features.f_clamp_min(0.0)?.f_add_scalar(ABOVE)?.f_pow_tensor_scalar(self.settings.power)?;
        let unit = normalised(&powered)?;
        let mean = match there {
            Some(there) => sum(&unit.f_mul(there)?, 1)?.f_div(&sum(there, 1)?.f_clamp_min(1.0)?)?,
            None => sum(&unit, 1)?.f_div_scalar(unit.size3()?.1.max(1) as f64)?,
        };
        normalised(&unit.f_sub(&mean)?)
    }
}

impl Head for Allotting {
    type Fitted = Labelled;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, _params: &Params) -> Result<Labelled> {
        let (labels, there) = targets(PtMap::NAME, support, Some(self.classes), embeddings.kind())?;
        Ok(Labelled { features: self.gaussian(embeddings, Some(&there))?, labels })
    }

    fn predict(
        &self,
        Labelled { features, labels }: &Labelled,
        queries: &Tensor,
        _support: &Support<'_>,
        _params: &Params,
    ) -> Result<Tensor> {
        let PtMap { lambda, step, iterations, .. } = self.settings;
        let queries = self.gaussian(queries, None)?;
        let all = Tensor::f_cat(&[features, &queries], 1)?;
        let mut centres = centroids(features, labels)?;
        let plan = |centres: &Tensor| transported(&negative_squared_distances(&queries, centres)?, lambda);
        for _ in 0..iterations {
            let members = Tensor::f_cat(&[labels, &plan(&centres)?.f_exp()?], 1)?;
            let total = sum(&members, 1)?.f_clamp_min(f64::MIN_POSITIVE)?.f_transpose(1, 2)?;
            let means = members.f_transpose(1, 2)?.f_matmul(&all)?.f_div(&total)?;
            centres = centres.f_add(&means.f_sub(&centres)?.f_mul_scalar(step)?)?;
        }
        plan(&centres)
    }

    fn is_transductive(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::Device;
    use manytask_tensor::random::Key;

    use super::*;

    /// Ports count `queries // ways` of each class, which is none of the queries that are left over.
    #[test]
    fn a_transport_has_the_sums_of_its_rows_and_columns_and_the_form_of_the_optimum() {
        let closeness = -Key::new(1, "d").uniform(0.0, 2.0, &[2, 7, 3], Kind::Double, Device::Cpu).unwrap();
        let plan = transported(&closeness, 10.0).unwrap();
        let shares = plan.exp();
        assert!((sum(&shares, 2).unwrap() - 1.0).abs().max().double_value(&[]) < 1e-9);
        assert!((sum(&shares, 1).unwrap() - 7.0 / 3.0).abs().max().double_value(&[]) < 1e-4);
        // ln P − λ closeness is a sum of a number of the row and one of the column.
        let rest = plan - closeness * 10.0;
        let crossed = rest.narrow(1, 0, 6).narrow(2, 0, 2)
            - rest.narrow(1, 1, 6).narrow(2, 0, 2)
            - rest.narrow(1, 0, 6).narrow(2, 1, 2)
            + rest.narrow(1, 1, 6).narrow(2, 1, 2);
        assert!(crossed.abs().max().double_value(&[]) < 1e-9);
    }

    /// Ports centre support set and queries together, so that a shift between them stays.
    #[test]
    fn support_set_and_queries_are_centred_each_by_itself() {
        let allotting = Allotting { classes: 2, settings: PtMap::default() };
        let x = Key::new(1, "x").uniform(0.0, 2.0, &[2, 6, 3], Kind::Double, Device::Cpu).unwrap();
        let there = Tensor::from_slice(&[1.0, 1.0, 1.0, 1.0, 0.0, 0.0]).reshape([1, 6, 1]).repeat([2, 1, 1]);
        let some = allotting.gaussian(&x, Some(&there)).unwrap().narrow(1, 0, 4);
        let alone = allotting.gaussian(&x.narrow(1, 0, 4), None).unwrap();
        assert!((some - &alone).abs().max().double_value(&[]) < 1e-12);
        let negative = allotting.gaussian(&(x - 1.0), None).unwrap();
        assert_eq!(negative.isfinite().all().int64_value(&[]), 1);
    }
}
