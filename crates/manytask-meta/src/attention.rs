//! Scaled dot-product attention of several heads (Vaswani et al. 2017, arXiv:1706.03762, section 3.2).

use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Init, Kind, Params, Role, Slot, Tensor};

use crate::embedding::with_dimension;

/// `softmax(Q Kᵀ / √d) V` in each of H heads, whose outputs are projected together.
///
/// Projections have no offset: one of keys would change no attention.
#[derive(Debug)]
pub(crate) struct MultiHead {
    heads: i64,
    query: Slot,
    key: Slot,
    value: Slot,
    output: Slot,
}

/// Which sizes an attention has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Widths {
    /// Of queries and keys.
    pub(crate) compared: i64,
    /// Of values and of the output; divisible by the number of heads.
    pub(crate) values: i64,
}

impl MultiHead {
    /// Adds `query`, `key`, `value` and `output`.
    ///
    /// # Errors
    /// When the number of heads does not divide the size of the values: at the key `heads`.
    pub(crate) fn new(b: &mut Builder<'_>, heads: i64, widths: Widths) -> Result<Self> {
        let Widths { compared, values } = widths;
        if heads < 1 || values % heads != 0 {
            return Err(Error::setting(
                "heads",
                format!("{heads} heads of attention on {values} numbers"),
                "take a number that divides the size of the network's output",
            ));
        }
        let mut matrix = |name: &str, inputs: i64| {
            let bound = 1.0 / (inputs.max(1) as f64).sqrt();
            let init = Init::Uniform { low: -bound, high: bound };
            b.parameter(name, &[values, inputs], init, Role::Weight)
        };
        Ok(Self {
            heads,
            query: matrix("query", compared)?,
            key: matrix("key", compared)?,
            value: matrix("value", values)?,
            output: matrix("output", values)?,
        })
    }

    /// What queries `[T, M, C]` find among keys `[T, N, C]` with values `[T, N, D]`: `[T, M, D]`, 0 where there is no key. `there`
    /// `[T, N, 1]` is 1 where a key is one and 0 elsewhere.
    pub(crate) fn attend(
        &self,
        params: &Params,
        queries: &Tensor,
        (keys, values): (&Tensor, &Tensor),
        there: &Tensor,
    ) -> Result<Tensor> {
        /// Added to what is compared with no key.
        const NEVER: f64 = -1e9;
        let (tasks, rows, _) = queries.size3()?;
        let split = |x: &Tensor, slot: Slot| -> Result<Tensor> {
            let (_, count, _) = x.size3()?;
            let projected = projected(x, params, slot)?;
            Ok(projected.f_reshape([tasks, count, self.heads, -1])?.f_transpose(1, 2)?)
        };
        let queries = split(queries, self.query)?;
        let width = queries.size().last().copied().unwrap_or(1).max(1) as f64;
        let scores = queries.f_matmul(&split(keys, self.key)?.f_transpose(2, 3)?)?;
        let there = there.f_transpose(1, 2)?.f_unsqueeze(1)?;
        let outside = there.f_mul_scalar(-NEVER)?.f_add_scalar(NEVER)?;
        let shares = scores.f_div_scalar(width.sqrt())?.f_add(&outside)?.f_softmax(-1, None::<Kind>)?;
        let found = shares.f_mul(&there)?.f_matmul(&split(values, self.value)?)?;
        let joined = found.f_transpose(1, 2)?.f_reshape([tasks, rows, -1])?;
        projected(&joined, params, self.output)
    }
}

/// `x Wᵀ` for x `[T, N, in]` and W `[T?, out, in]`.
fn projected(x: &Tensor, params: &Params, slot: Slot) -> Result<Tensor> {
    let weight = with_dimension(params.get(slot)?, params.tasks())?;
    Ok(x.f_matmul(&weight.f_transpose(1, 2)?)?)
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Layout};

    use super::*;

    #[test]
    fn an_attention_is_the_mean_of_values_by_the_exponentials_of_products_and_sees_no_missing_key() {
        let mut layout = Layout::builder();
        let widths = Widths { compared: 3, values: 4 };
        let attention = MultiHead::new(&mut Builder::new(&mut layout), 2, widths).unwrap();
        let params = layout.build().init(1, Kind::Double, Device::Cpu).unwrap();
        let of =
            |name: &str, shape: &[i64]| Key::new(1, name).normal(shape, Kind::Double, Device::Cpu).unwrap();
        let (q, k, v) = (of("q", &[1, 2, 3]), of("k", &[1, 5, 3]), of("v", &[1, 5, 4]));
        let there = Tensor::from_slice(&[1.0, 1.0, 0.0, 1.0, 0.0]).reshape([1, 5, 1]);
        let found = attention.attend(&params, &q, (&k, &v), &there).unwrap();
        let matrix = |name: &str| params.named(name).unwrap().transpose(0, 1);
        let (q, k, v) = (
            q.get(0).matmul(&matrix("query")),
            k.get(0).matmul(&matrix("key")),
            v.get(0).matmul(&matrix("value")),
        );
        let mut rows = Vec::new();
        for row in 0..2_i64 {
            let mut joined = Vec::new();
            for head in 0..2_i64 {
                let part = |x: &Tensor, row: i64| x.get(row).narrow(0, 2 * head, 2);
                let (mut sum, mut all) = (Tensor::zeros([2], (Kind::Double, Device::Cpu)), 0.0);
                for key in [0, 1, 3] {
                    let product = part(&q, row).dot(&part(&k, key)).double_value(&[]);
                    let share = (product / 2.0_f64.sqrt()).exp();
                    sum += part(&v, key) * share;
                    all += share;
                }
                joined.push(sum / all);
            }
            rows.push(Tensor::cat(&joined, 0));
        }
        let expected = Tensor::stack(&rows, 0).matmul(&matrix("output"));
        assert!((found.get(0) - expected).abs().max().double_value(&[]) < 1e-12);
        let nothing = attention.attend(
            &params,
            &of("q", &[1, 2, 3]),
            (&of("k", &[1, 5, 3]), &of("v", &[1, 5, 4])),
            &there.zeros_like(),
        );
        assert_eq!(nothing.unwrap().abs().max().double_value(&[]), 0.0);
        let refused = MultiHead::new(&mut Builder::new(&mut Layout::builder()), 3, widths).unwrap_err();
        assert!(refused.to_string().contains("3 heads"));
    }
}
