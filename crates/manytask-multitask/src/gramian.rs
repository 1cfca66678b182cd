use manytask_tensor::{Device, Kind, OpContext, Tensor};

use crate::Result;

/// The inner products of K gradients, `G = J Jᵀ`, in f64 on the processor: what most aggregators solve on.
#[derive(Debug, Clone, PartialEq)]
pub struct Gramian {
    size: usize,
    values: Vec<f64>,
}

impl Gramian {
    /// Wraps `size · size` numbers, row by row; `None` when their number differs.
    pub fn new(size: usize, values: Vec<f64>) -> Option<Self> {
        (values.len() == size * size).then_some(Self { size, values })
    }

    /// The number of gradients, K.
    pub fn size(&self) -> usize {
        self.size
    }

    /// `⟨gᵢ, gⱼ⟩`; zero outside of the matrix.
    pub fn at(&self, i: usize, j: usize) -> f64 {
        if j < self.size { self.values.get(i * self.size + j).copied().unwrap_or(0.0) } else { 0.0 }
    }

    /// Row i: the inner products of gradient i with all; empty outside of the matrix.
    pub fn row(&self, i: usize) -> &[f64] {
        self.values.get(i * self.size..(i + 1) * self.size).unwrap_or(&[])
    }

    /// All numbers, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// `‖gᵢ‖²` for each i.
    pub fn squared_norms(&self) -> Vec<f64> {
        (0..self.size).map(|i| self.at(i, i)).collect()
    }

    /// `G w`.
    pub fn apply(&self, weights: &[f64]) -> Vec<f64> {
        (0..self.size).map(|i| self.row(i).iter().zip(weights).map(|(g, w)| g * w).sum()).collect()
    }

    /// `wᵀ G w = ‖Jᵀw‖²`.
    pub fn quadratic(&self, weights: &[f64]) -> f64 {
        self.apply(weights).iter().zip(weights).map(|(g, w)| g * w).sum()
    }

    /// The Gramian of gradients multiplied by `scales`: `D G D`.
    #[must_use]
    pub fn scaled(&self, scales: &[f64]) -> Self {
        let scale = |i: usize| scales.get(i).copied().unwrap_or(1.0);
        let values =
            self.values.iter().enumerate().map(|(n, g)| g * scale(n / self.size) * scale(n % self.size));
        Self { size: self.size, values: values.collect() }
    }
}

/// The gradients of K tasks as the rows of a matrix `[K, P]`, on the device and in the element type of the network.
#[derive(Debug)]
pub struct Jacobian {
    rows: Tensor,
}

impl Jacobian {
    /// Wraps a matrix `[K, P]`.
    pub fn new(rows: &Tensor) -> Result<Self> {
        if rows.dim() != 2 {
            return Err(manytask_tensor::Error::Shape {
                what: "Jacobian".into(),
                expected: vec![-1, -1],
                found: rows.size(),
            }
            .into());
        }
        Ok(Self { rows: rows.f_detach()? })
    }

    /// The matrix `[K, P]`.
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// `J Jᵀ` in f64.
    pub fn gramian(&self) -> Result<Gramian> {
        self.cross_gramian(self)
    }

    /// `J₁ J₂ᵀ` in f64, for methods that draw independent batches.
    pub fn cross_gramian(&self, other: &Self) -> Result<Gramian> {
        // In f64 from the start: badly scaled gradients lose their small ones in f32.
        let (a, b) = (self.rows.f_to_kind(Kind::Double)?, other.rows.f_to_kind(Kind::Double)?);
        let product = a.f_matmul(&b.f_tr()?).op("Gramian", &[&a, &b])?.f_to_device(Device::Cpu)?;
        let size = product.size().first().copied().unwrap_or(0) as usize;
        let values = Vec::<f64>::try_from(product.f_reshape([-1])?)?;
        Ok(Gramian { size, values })
    }

    /// `Jᵀ w`, a vector `[P]`.
    pub fn combine(&self, weights: &[f64]) -> Result<Tensor> {
        let w =
            Tensor::f_from_slice(weights)?.f_to_kind(self.rows.kind())?.f_to_device(self.rows.device())?;
        Ok(self.rows.f_tr()?.f_mv(&w).op("combination of gradients", &[&self.rows, &w])?)
    }
}
