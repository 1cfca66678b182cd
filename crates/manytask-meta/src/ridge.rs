//! Ridge regression of labels on embeddings, and what heads that solve linear systems share.

use manytask_multitask::Result;
use manytask_tensor::{Params, Slot, Tensor, solve_linear};

/// A parameter of one number as `[T, 1, 1]`.
pub(crate) fn number(params: &Params, slot: Slot) -> Result<Tensor> {
    Ok(params.get(slot)?.f_reshape([-1, 1, 1])?)
}

/// `[T, N, D]` with a column of ones behind.
pub(crate) fn with_ones(x: &Tensor) -> Result<Tensor> {
    let shape = x.size();
    let rows: Vec<i64> = shape.iter().take(2).copied().chain([1]).collect();
    Ok(Tensor::f_cat(&[x, &Tensor::f_ones(rows, (x.kind(), x.device()))?], -1)?)
}

/// The ridge regression `argmin ‖XW − Y‖² + λ‖W‖²` of Y `[T, N, C]` on X `[T, N, D]` with λ `[T, 1, 1]`: `[T, D, C]`, by the
/// smaller of both systems.
pub(crate) fn ridge(x: &Tensor, y: &Tensor, lambda: &Tensor) -> Result<Tensor> {
    match x.size().as_slice() {
        [_, rows, columns] if rows <= columns => woodbury(x, y, lambda),
        _ => primal(x, y, lambda),
    }
}

/// `A + λI` for matrices `[…, n, n]` and λ that broadcasts.
pub(crate) fn with_diagonal(system: &Tensor, lambda: &Tensor) -> Result<Tensor> {
    let size = system.size().last().copied().unwrap_or_default();
    let identity = Tensor::f_eye(size, (system.kind(), system.device()))?;
    Ok(system.f_add(&identity.f_mul(lambda)?)?)
}

/// `Xᵀ(XXᵀ + λI)⁻¹Y`: a system of as many equations as examples.
fn woodbury(x: &Tensor, y: &Tensor, lambda: &Tensor) -> Result<Tensor> {
    let transposed = x.f_transpose(1, 2)?;
    let system = x.f_matmul(&transposed)?;
    let dual = solve_linear(&with_diagonal(&system, lambda)?, y)?;
    Ok(transposed.f_matmul(&dual)?)
}

/// `(XᵀX + λI)⁻¹XᵀY`: a system of as many equations as columns.
fn primal(x: &Tensor, y: &Tensor, lambda: &Tensor) -> Result<Tensor> {
    let transposed = x.f_transpose(1, 2)?;
    let system = transposed.f_matmul(x)?;
    Ok(solve_linear(&with_diagonal(&system, lambda)?, &transposed.f_matmul(y)?)?)
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind};

    use super::*;

    fn normal(name: &str, shape: &[i64]) -> Tensor {
        Key::new(1, name).normal(shape, Kind::Double, Device::Cpu).unwrap()
    }

    #[test]
    fn both_forms_are_the_same_solution_and_that_of_the_normal_equations() {
        for (rows, columns) in [(3, 8), (8, 3), (5, 5)] {
            let x = with_ones(&normal("x", &[2, rows, columns])).unwrap();
            let y = normal("y", &[2, rows, 4]);
            let lambda = Tensor::from_slice(&[0.3, 7.0]).reshape([2, 1, 1]);
            let (dual, primal) = (woodbury(&x, &y, &lambda).unwrap(), primal(&x, &y, &lambda).unwrap());
            let gap = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
            assert!(gap(&dual, &primal) < 1e-10, "{rows} {columns}");
            // Xᵀ(XW − Y) + λW = 0, the column of ones penalised too.
            let residual = x.transpose(1, 2).matmul(&(x.matmul(&dual) - &y)) + &dual * &lambda;
            assert!(residual.abs().max().double_value(&[]) < 1e-10);
        }
    }
}
