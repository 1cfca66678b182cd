use manytask_tensor::{Init, Kind, Params, Role, Slot, Tensor, WHOLE};

use crate::{Builder, Context, Error, Module, Result};

/// Row `x` of a table, from int64 `[B, …]` to `[B, …, size]`; with a task dimension from `[T, B, …]`.
///
/// Rows start from N(0, 1), as `torch.nn.Embedding`'s do.
#[derive(Debug, Clone)]
pub struct Embedding {
    weight: Slot,
    values: i64,
    size: i64,
}

impl Embedding {
    /// Adds `weight` `[values, size]`.
    ///
    /// # Errors
    /// When a size is below 1, or the name was used before.
    pub fn new(b: &mut Builder<'_>, values: i64, size: i64) -> Result<Self> {
        if values < 1 || size < 1 {
            let found = format!("{values} values of {size} numbers");
            return Err(Error::named_setting(WHOLE, "embedding's size", &found, "at least 1 of 1 is needed"));
        }
        let init = Init::Normal { mean: 0.0, std: 1.0 };
        Ok(Self { weight: b.parameter("weight", &[values, size], init, Role::Embedding)?, values, size })
    }
}

impl Module for Embedding {
    fn forward(&self, params: &Params, x: &Tensor, _cx: &mut Context) -> Result<Tensor> {
        let weight = params.get(self.weight)?;
        let shape = x.size();
        let in_range = x.kind() == Kind::Int64
            && (x.numel() == 0
                || (x.f_min()?.f_int64_value(&[])? >= 0 && x.f_max()?.f_int64_value(&[])? < self.values));
        if !in_range || params.tasks().is_some_and(|tasks| shape.first() != Some(&tasks)) {
            return Err(Error::Input {
                layer: "embedding".into(),
                expected: format!("int64 numbers from 0 to {}", self.values - 1),
                found: shape,
            });
        }
        let (table, rows) = match params.tasks() {
            None => (weight.shallow_clone(), x.shallow_clone()),
            Some(tasks) => {
                // Task t's rows are the t-th block of one table.
                let mut first = vec![1; shape.len()];
                if let Some(place) = first.first_mut() {
                    *place = tasks;
                }
                let offsets =
                    Tensor::f_arange(tasks, (Kind::Int64, x.device()))?.f_mul_scalar(self.values)?;
                (weight.f_reshape([tasks * self.values, self.size])?, x.f_add(&offsets.f_reshape(first)?)?)
            }
        };
        let out: Vec<i64> = shape.iter().copied().chain([self.size]).collect();
        Ok(table.f_index_select(0, &rows.f_reshape([-1])?)?.f_reshape(out)?)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::{Device, Layout};

    use super::*;

    #[test]
    fn gives_rows_and_refuses_others() {
        let mut layout = Layout::builder();
        let embedding = Embedding::new(&mut Builder::new(&mut layout), 4, 3).unwrap();
        let params = layout.build().init(1, Kind::Double, Device::Cpu).unwrap();
        let x = Tensor::from_slice(&[3_i64, 0, 3]);
        let y = embedding.forward(&params, &x, &mut Context::eval()).unwrap();
        assert_eq!(y, params.leaves()[0].index_select(0, &x));
        let tasks = Params::stack(&[params.share(), params.scale(2.0).unwrap()]).unwrap();
        let both = Tensor::stack(&[&x, &(&x - 3).abs()], 0);
        let y2 = embedding.forward(&tasks, &both, &mut Context::eval()).unwrap();
        assert_eq!((y2.select(0, 0), y2.size()), (y, vec![2, 3, 3]));
        assert_eq!(y2.get(1).get(0), tasks.leaves()[0].get(1).get(0));
        for wrong in [Tensor::from_slice(&[4_i64]), Tensor::from_slice(&[-1_i64]), Tensor::from_slice(&[1.0])]
        {
            assert!(embedding.forward(&params, &wrong, &mut Context::eval()).is_err());
        }
    }
}
