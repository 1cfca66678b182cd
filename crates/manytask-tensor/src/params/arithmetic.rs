//! Parameters as one long vector.

use std::sync::Arc;

use tch::{Kind, Tensor};

use crate::{Error, Layout, OpContext, Params, Result};

impl Params {
    /// `self + factor · other`.
    pub fn add_scaled(&self, other: &Self, factor: f64) -> Result<Self> {
        self.zip_map(other, |a, b| Ok(a.f_add(&b.f_mul_scalar(factor)?)?))
    }

    /// `factor · self`.
    pub fn scale(&self, factor: f64) -> Result<Self> {
        self.map(|leaf| Ok(leaf.f_mul_scalar(factor)?))
    }

    /// The inner product over the trained entries, a tensor of one element; with a task dimension, `[T]`.
    pub fn dot(&self, other: &Self) -> Result<Tensor> {
        let tasks = self.common_tasks(other)?;
        let mut sum = None::<Tensor>;
        for ((entry, a), b) in self.iter().zip(other.leaves()) {
            if !entry.role.is_trained() {
                continue;
            }
            let product = a.f_mul(b).op("dot", &[a, b])?;
            let part = match tasks {
                None => product.f_sum(product.kind())?,
                Some(tasks) => product.f_reshape([tasks, -1])?.f_sum_dim_intlist(
                    [1].as_slice(),
                    false,
                    product.kind(),
                )?,
            };
            sum = Some(match sum {
                None => part,
                Some(sum) => sum.f_add(&part)?,
            });
        }
        sum.ok_or_else(|| Error::Layout { message: "nothing in this layout is trained".into() })
    }

    /// The Euclidean norm over the trained entries, a tensor of one element; with a task dimension, `[T]`.
    pub fn norm(&self) -> Result<Tensor> {
        Ok(self.dot(self)?.f_sqrt()?)
    }

    /// Whether no number is NaN or infinite.
    pub fn is_finite(&self) -> Result<bool> {
        for leaf in self.leaves() {
            // A sum is finite when all its terms are, unless it overflows; then each is looked at.
            if leaf.f_detach()?.f_sum(leaf.kind())?.f_double_value(&[])?.is_finite() {
                continue;
            }
            if leaf.f_detach()?.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The trained entries as one vector `[P]`, or one row for each task, `[T, P]`.
    pub fn flatten(&self) -> Result<Tensor> {
        let rows: &[i64] = &self.tasks().map_or(vec![-1], |tasks| vec![tasks, -1]);
        let parts: Vec<Tensor> = self
            .iter()
            .filter(|(entry, _)| entry.role.is_trained())
            .map(|(_, leaf)| leaf.f_reshape(rows).map_err(Error::from))
            .collect::<Result<_>>()?;
        if parts.is_empty() {
            return Err(Error::Layout { message: "nothing in this layout is trained".into() });
        }
        Ok(Tensor::f_cat(&parts, -1)?)
    }

    /// These parameters with the trained entries read from a vector `[P]` (or `[T, P]`), which they then view.
    ///
    /// # Errors
    /// When the vector's length is not the number of trained numbers.
    pub fn unflatten(&self, vector: &Tensor) -> Result<Self> {
        let count = self.layout().trained_count();
        let expected: Vec<i64> = self.tasks().into_iter().chain([count]).collect();
        if vector.size() != expected {
            return Err(Error::Shape { what: "vector of parameters".into(), expected, found: vector.size() });
        }
        let mut start = 0;
        self.map_slots(&self.layout().trained(), |slot, leaf| {
            let length: i64 = self.layout().entry(slot)?.shape.iter().product();
            let view = vector.f_narrow(-1, start, length)?.f_reshape(leaf.size())?;
            start += length;
            Ok(view)
        })
    }

    /// Parameters of `layout` with the trained entries read from `vector` and zeros elsewhere.
    pub fn from_vector(layout: &Arc<Layout>, vector: &Tensor) -> Result<Self> {
        let zeros = layout.zeros(vector.kind(), vector.device())?;
        match vector.size().as_slice() {
            [tasks, _] => zeros.expand_tasks(*tasks)?.unflatten(vector),
            _ => zeros.unflatten(vector),
        }
    }

    /// The largest absolute difference to `other`, for tests.
    pub fn max_difference(&self, other: &Self) -> Result<f64> {
        self.common_tasks(other)?;
        let mut largest = 0.0_f64;
        for (a, b) in self.leaves().iter().zip(other.leaves()) {
            if a.numel() > 0 {
                let gap = a.f_detach()?.f_sub(&b.f_detach()?).op("difference", &[a, b])?;
                let gap = gap.f_abs()?.f_max()?.f_to_kind(Kind::Double)?.f_double_value(&[])?;
                // A NaN must not pass as small.
                largest = if gap.is_nan() { f64::NAN } else { largest.max(gap) };
            }
            if largest.is_nan() {
                break;
            }
        }
        Ok(largest)
    }
}
