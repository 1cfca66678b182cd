use tch::{Device, Tensor};

use crate::Result;

/// The solution X of `A X = B` for A `[…, n, n]` and B `[…, n, m]`, by LU decomposition; its gradient goes to both.
///
/// On a GPU nothing is read back, so that a step with it can be [recorded](crate::capture): where A is singular, the solution is not finite there.
///
/// # Errors
/// When shapes do not fit or, on a processor, A is singular.
pub fn solve_linear(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.device() == Device::Cpu {
        return Ok(Tensor::f_linalg_solve(a, b, true)?);
    }
    Ok(Tensor::f_linalg_solve_ex(a, b, true, false)?.0)
}
