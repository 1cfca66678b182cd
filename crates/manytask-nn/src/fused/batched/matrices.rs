//! The weights of a linear layer in many tasks.
//!
//! A step of gradient descent changes a weight by a matrix of as many ranks as there were rows, and so does all that a meta-gradient is made of.
//! With a wide layer and few rows each task's own weights are many times the memory of these factors, while the part that all tasks
//! share is one product for all of their rows.

use manytask_tensor::{Tensor, baddbmm_scaled};

use crate::Result;

/// A matrix `[o, i]` for each of T tasks.
#[derive(Debug)]
pub(super) enum Matrices {
    /// Each in memory of its own, `[T, o, i]`.
    Own(Tensor),
    /// `B + Lᵀ R`.
    Factored(Factored),
}

/// `B + Lᵀ R`; without B or factors these are 0.
#[derive(Debug, Default)]
pub(super) struct Factored {
    /// B `[o, i]`, the same in all tasks.
    base: Option<Tensor>,
    /// L `[T, r, o]` and R `[T, r, i]`.
    factors: Option<[Tensor; 2]>,
}

impl Matrices {
    /// The same matrix `[o, i]` in all tasks, to which products of few rows are added.
    pub(super) fn shared(base: Tensor) -> Self {
        Self::Factored(Factored { base: Some(base), factors: None })
    }

    /// `x Wᵀ` and what it is added to, for rows `[T, N, i]`.
    pub(super) fn forward(&self, x: &Tensor, onto: Option<&Tensor>) -> Result<Tensor> {
        match self {
            Self::Own(own) => product(x, &own.f_transpose(1, 2)?, onto),
            Self::Factored(Factored { base, factors }) => {
                let base = base.as_ref().map(Tensor::f_tr).transpose()?;
                let factors = factors.as_ref().map(|[left, right]| (right, left));
                through(x, base.as_ref(), factors, onto)
            }
        }
    }

    /// `d W` and what it is added to, for rows `[T, N, o]`.
    pub(super) fn backward(&self, d: &Tensor, onto: Option<&Tensor>) -> Result<Tensor> {
        match self {
            Self::Own(own) => product(d, own, onto),
            Self::Factored(Factored { base, factors }) => {
                let factors = factors.as_ref().map(|[left, right]| (left, right));
                through(d, base.as_ref(), factors, onto)
            }
        }
    }

    /// `dᵀ x`, kept as these are.
    pub(super) fn outer(&self, d: &Tensor, x: &Tensor) -> Result<Self> {
        Ok(match self {
            Self::Own(_) => Self::Own(d.f_transpose(1, 2)?.f_matmul(x)?),
            Self::Factored(_) => {
                let factors = Some([d.shallow_clone(), x.shallow_clone()]);
                Self::Factored(Factored { base: None, factors })
            }
        })
    }

    /// `W − α dᵀ x`.
    pub(super) fn less_outer(&self, d: &Tensor, x: &Tensor, rate: f64) -> Result<Self> {
        Ok(match self {
            Self::Own(own) => Self::Own(baddbmm_scaled(own, &d.f_transpose(1, 2)?, x, -rate)?),
            Self::Factored(Factored { base, factors }) => {
                let x = x.f_mul_scalar(-rate)?;
                let factors = match factors {
                    None => [d.shallow_clone(), x],
                    Some([left, right]) => [Tensor::f_cat(&[left, d], 1)?, Tensor::f_cat(&[right, &x], 1)?],
                };
                let base = base.as_ref().map(Tensor::shallow_clone);
                Self::Factored(Factored { base, factors: Some(factors) })
            }
        })
    }

    pub(super) fn share(&self) -> Self {
        match self {
            Self::Own(own) => Self::Own(own.shallow_clone()),
            Self::Factored(Factored { base, factors }) => Self::Factored(Factored {
                base: base.as_ref().map(Tensor::shallow_clone),
                factors: factors.as_ref().map(|[left, right]| [left.shallow_clone(), right.shallow_clone()]),
            }),
        }
    }

    /// The numbers of each, `[T, o, i]`; without a task dimension of their own T is 1.
    pub(super) fn full(&self) -> Result<Tensor> {
        Ok(match self {
            Self::Own(own) => own.shallow_clone(),
            Self::Factored(Factored { base, factors }) => {
                let base = base.as_ref().map(|base| base.f_unsqueeze(0)).transpose()?;
                match (base, factors) {
                    (Some(base), Some([left, right])) => {
                        baddbmm_scaled(&base, &left.f_transpose(1, 2)?, right, 1.0)?
                    }
                    (None, Some([left, right])) => left.f_transpose(1, 2)?.f_matmul(right)?,
                    (Some(base), None) => base,
                    (None, None) => return Err(super::nothing()),
                }
            }
        })
    }
}

/// `rows × matrix`, of each task, and what it is added to.
fn product(rows: &Tensor, matrix: &Tensor, onto: Option<&Tensor>) -> Result<Tensor> {
    Ok(match onto {
        Some(onto) => baddbmm_scaled(onto, rows, matrix, 1.0)?,
        None => rows.f_matmul(matrix)?,
    })
}

/// `rows × base + (rows × firstᵀ) × second`, the first one product for all tasks' rows.
fn through(
    rows: &Tensor,
    base: Option<&Tensor>,
    factors: Option<(&Tensor, &Tensor)>,
    onto: Option<&Tensor>,
) -> Result<Tensor> {
    let mut sum = onto.map(Tensor::shallow_clone);
    if let Some((first, second)) = factors {
        let few = rows.f_matmul(&first.f_transpose(1, 2)?)?;
        sum = Some(product(&few, second, sum.as_ref())?);
    }
    if let Some(base) = base {
        let (mut shape, width) = (rows.size(), base.size2()?.1);
        let all = rows.f_flatten(0, 1)?.f_matmul(base)?;
        if let Some(last) = shape.last_mut() {
            *last = width;
        }
        let all = all.f_reshape(shape)?;
        sum = Some(match sum {
            Some(sum) => all.f_add(&sum)?,
            None => all,
        });
    }
    sum.ok_or_else(super::nothing)
}
