/// `⟨a, b⟩`, of four sums that a processor makes at once.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    let mut sums = [0.0; 4];
    for (a, b) in a.zip(b) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f64>() + rest
}

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

    /// Of the inner products that were computed for so many gradients.
    pub(crate) fn of(size: usize, values: Vec<f64>) -> Self {
        debug_assert_eq!(values.len(), size * size);
        Self { size, values }
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
        (0..self.size).map(|i| dot(self.row(i), weights)).collect()
    }

    /// `wᵀ G w = ‖Jᵀw‖²`.
    pub fn quadratic(&self, weights: &[f64]) -> f64 {
        dot(&self.apply(weights), weights)
    }

    /// The Gramian of gradients multiplied by `scales`: `D G D`.
    #[must_use]
    pub fn scaled(&self, scales: &[f64]) -> Self {
        let scale = |i: usize| scales.get(i).copied().unwrap_or(1.0);
        let columns: Vec<f64> = (0..self.size).map(scale).collect();
        let mut values = Vec::with_capacity(self.values.len());
        for (i, own) in columns.iter().enumerate() {
            values.extend(self.row(i).iter().zip(&columns).map(|(g, other)| g * own * other));
        }
        Self { size: self.size, values }
    }

    /// The Gramian of some of the gradients.
    pub(crate) fn only(&self, rows: &[usize]) -> Self {
        let values = rows.iter().flat_map(|i| rows.iter().map(|j| self.at(*i, *j))).collect();
        Self { size: rows.len(), values }
    }

    /// The lengths of the gradients, and the cosines of their angles: the Gramian of the gradients brought to length 1. A
    /// gradient of zero stays zero.
    ///
    /// What is solved on the cosines keeps its digits where lengths differ by many powers of ten.
    pub(crate) fn cosines(&self) -> (Vec<f64>, Self) {
        let length = |i| self.at(i, i).max(0.0).sqrt();
        let lengths: Vec<f64> = (0..self.size).map(length).collect();
        let inverse = |length: &f64| if *length > 0.0 { length.recip() } else { 0.0 };
        let cosines = self.scaled(&lengths.iter().map(inverse).collect::<Vec<_>>());
        (lengths, cosines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_is_zero() {
        assert!(Gramian::new(2, vec![1.0; 3]).is_none());
        let gramian = Gramian::new(1, vec![4.0]).unwrap();
        assert_eq!((gramian.at(0, 1), gramian.at(1, 0)), (0.0, 0.0));
        assert!(gramian.row(7).is_empty());
    }
}
