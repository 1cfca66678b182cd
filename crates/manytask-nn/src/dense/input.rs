use manytask_tensor::one_hot::OneHotRows;

/// Rows that come into a layer.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a, T> {
    /// All their numbers, row by row.
    Full(&'a [T]),
    /// Numbers, and the indices of ones.
    OneHot(OneHotRows<'a, T>),
}

impl<'a, T> From<&'a [T]> for Input<'a, T> {
    fn from(rows: &'a [T]) -> Self {
        Self::Full(rows)
    }
}

impl<'a, T> From<&'a Vec<T>> for Input<'a, T> {
    fn from(rows: &'a Vec<T>) -> Self {
        Self::Full(rows)
    }
}
