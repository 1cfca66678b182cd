use manytask_nn::dense::{DenseActivation, DenseChain, DenseLayer};
use manytask_nn::layers::Restored;
use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Layout, Owner, Params, Slot, Tensor, WHOLE, baddbmm};

use super::features::Features;
use super::pixels::PixelRows;
use super::{OutputGroup, Outputs, Rows};
use crate::{Error, Result};

/// A head for each task. Those that are one linear layer are computed together: a step with many tasks does not become many
/// small operations.
#[derive(Debug)]
pub struct Heads {
    heads: Vec<Box<dyn Module>>,
    /// Those that are one linear layer of their task and nothing else.
    linear: Vec<Option<DenseLayer>>,
}

impl Heads {
    /// Adds `heads.NAME.…` for each task; `make` is given a task's number and the size of the features. What a head gives is of
    /// the element type of the parameters, whatever its layers compute in.
    ///
    /// # Errors
    /// When there is no task, or a head cannot be built.
    pub fn new(
        root: &mut Builder<'_>,
        names: &[String],
        features: i64,
        mut make: impl FnMut(&mut Builder<'_>, usize, i64) -> Result<Box<dyn Module>>,
    ) -> Result<Self> {
        if names.is_empty() {
            return Err(Error::setting(WHOLE, "a network without a task", "describe at least one target"));
        }
        let mut heads = Vec::with_capacity(names.len());
        let mut root = root.scope("heads");
        for (task, name) in names.iter().enumerate() {
            let head = make(&mut root.scope(name).for_task(task), task, features)?;
            heads.push(Box::new(Restored(head)) as Box<dyn Module>);
        }
        Ok(Self { linear: heads.iter().map(|_| None).collect(), heads })
    }

    /// The same when the layout is whole: heads that are one linear layer are found.
    #[must_use]
    pub fn within(self, layout: &Layout) -> Self {
        let own =
            |task: usize| layout.select(|entry| entry.role.is_trained() && entry.owner == Owner::Task(task));
        let find = |task: usize| {
            let chain = DenseChain::compile(self.heads.get(task)?.as_ref(), layout).ok()?;
            let [layer] = chain.layers() else { return None };
            let slots: Vec<Slot> = own(task);
            (layer.activation == DenseActivation::Identity && chain.slots().eq(slots)).then_some(*layer)
        };
        let linear = (0..self.heads.len()).map(find).collect();
        Self { linear, heads: self.heads }
    }

    /// The number of heads.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there is none, which cannot be.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// A task's head, where it is one linear layer and nothing else.
    pub fn linear(&self, task: usize) -> Option<&DenseLayer> {
        self.linear.get(task).and_then(Option::as_ref)
    }

    /// The heads of the wanted tasks, where each is one linear layer.
    pub fn all_linear(&self, wanted: &[usize]) -> Option<Vec<DenseLayer>> {
        wanted.iter().map(|task| self.linear(*task).copied()).collect()
    }

    /// The fewest rows that a task's head takes in training.
    pub fn smallest_batch_of(&self, task: usize) -> usize {
        self.heads.get(task).map_or(1, Module::smallest_batch)
    }

    /// What a task's head makes of features, `[B, outputs]`.
    ///
    /// # Errors
    /// When there is no such task, or the features do not fit.
    pub fn one(&self, task: usize, params: &Params, features: &Tensor, cx: &mut Context) -> Result<Tensor> {
        let head = self.heads.get(task).ok_or_else(|| {
            Error::setting(WHOLE, format!("task {task} of {}", self.heads.len()), "count tasks from 0")
        })?;
        Ok(head.forward(params, features, cx)?)
    }

    /// The raw outputs of the wanted tasks; linear heads of one size as one product.
    ///
    /// # Errors
    /// When features and wanted tasks do not fit.
    pub fn forward(
        &self,
        params: &Params,
        features: Features<'_>,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<Outputs> {
        let pixels = PixelRows::of(&features)?;
        let features = pixels.as_ref().map_or(features, PixelRows::features);
        let mut groups = Vec::new();
        for positions in self.groups(wanted, &features) {
            let layers: Vec<DenseLayer> = positions
                .iter()
                .filter_map(|position| wanted.get(*position).and_then(|task| self.linear(*task)).copied())
                .collect();
            if positions.len() > 1 && layers.len() == positions.len() {
                let raw = product(params, &features, &layers, &positions)?;
                groups.push(OutputGroup { positions, raw });
                continue;
            }
            for position in positions {
                let task = wanted.get(position).copied().unwrap_or_default();
                let raw = self.one(task, params, &features.of(position)?, cx)?.f_unsqueeze(0)?;
                groups.push(OutputGroup { positions: vec![position], raw });
            }
        }
        Ok(Outputs { groups, members: 1, auxiliary: Vec::new() })
    }

    /// The positions whose heads are computed together, in the order of the first of each.
    fn groups(&self, wanted: &[usize], features: &Features<'_>) -> Vec<Vec<usize>> {
        let equal = features.has_equal_rows();
        let mut groups: Vec<(Option<usize>, Vec<usize>)> = Vec::new();
        for (position, task) in wanted.iter().enumerate() {
            let outputs = self.linear(*task).map(|layer| layer.outputs).filter(|_| equal);
            match groups.iter_mut().find(|(of, _)| of.is_some() && *of == outputs) {
                Some((_, positions)) => positions.push(position),
                None => groups.push((outputs, vec![position])),
            }
        }
        groups.into_iter().map(|(_, positions)| positions).collect()
    }
}

/// The parameters of linear heads below each other: W `[O, F]` and b `[O]`.
pub(crate) fn stacked_weights(params: &Params, layers: &[DenseLayer]) -> Result<(Tensor, Tensor)> {
    let of = |slot: fn(&DenseLayer) -> Slot| -> Result<Tensor> {
        let leaves = layers.iter().map(|layer| Ok(params.get(slot(layer))?)).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_cat(&leaves, 0)?)
    };
    Ok((of(|layer| layer.weight)?, of(|layer| layer.bias)?))
}

/// The outputs `[G, B, o]` of linear heads of one size.
fn product(
    params: &Params,
    features: &Features<'_>,
    layers: &[DenseLayer],
    positions: &[usize],
) -> Result<Tensor> {
    let (weight, bias) = stacked_weights(params, layers)?;
    let count = layers.len() as i64;
    if let Features::All(all, Rows::Shared) = features {
        let rows = all.size().first().copied().unwrap_or_default();
        let raw = all.f_linear(&weight, Some(&bias))?;
        return Ok(raw.f_reshape([rows, count, -1])?.f_permute([1, 0, 2])?);
    }
    let outputs = bias.numel() as i64 / count.max(1);
    let weight = weight.f_reshape([count, outputs, -1])?.f_transpose(1, 2)?;
    Ok(baddbmm(&bias.f_reshape([count, 1, outputs])?, &features.stacked(positions)?, &weight)?)
}

#[cfg(test)]
mod tests {
    use manytask_nn::layers::{Activation, Linear, Sequential};
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Graph, Kind, grad};

    use super::*;

    const F64: (Kind, Device) = (Kind::Double, Device::Cpu);

    /// Five heads: three of one number, one of two, one of two layers.
    fn heads() -> (Heads, Params) {
        let mut layout = Layout::builder();
        let mut root = Builder::new(&mut layout);
        let names = ["a", "b", "c", "d", "e"].map(String::from);
        let heads = Heads::new(&mut root, &names, 4, |b, task, features| {
            let outputs = if task == 2 { 2 } else { 1 };
            if task != 3 {
                return Ok(Box::new(Linear::new(b, features, outputs)?));
            }
            let hidden = Linear::new(&mut b.scope("hidden"), features, 3)?;
            let output = Linear::new(b, 3, outputs)?;
            Ok(Box::new(Sequential(vec![Box::new(hidden), Box::new(Activation::Tanh), Box::new(output)])))
        });
        let layout = layout.build();
        let params = layout.init(1, F64.0, F64.1).unwrap().require_grad().unwrap();
        (heads.unwrap().within(&layout), params)
    }

    fn normal(what: &str, shape: &[i64]) -> Tensor {
        Key::new(7, what).normal(shape, F64.0, F64.1).unwrap()
    }

    #[test]
    fn linear_heads_of_one_size_are_one_product_with_the_values_and_gradients_of_each() {
        let (heads, params) = heads();
        let (all, stacked) = (normal("all", &[10, 4]), normal("stacked", &[4, 6, 4]));
        let equal = Rows::Own(vec![(0, 2), (2, 2), (4, 2), (6, 2)]);
        let unequal = Rows::Own(vec![(0, 3), (3, 1), (4, 2), (6, 4)]);
        let each: Vec<Tensor> = (0..4).map(|row| stacked.select(0, row)).collect();
        let wanted = [0, 2, 3, 4];
        let together = [2, 2, 1, 2, 2];
        let cases = [
            Features::All(&all, &Rows::Shared),
            Features::All(&all, &equal),
            Features::All(&all, &unequal),
            Features::Stacked(&stacked),
            Features::Each(&each),
        ];
        for (features, together) in cases.into_iter().zip(together) {
            let found = heads.forward(&params, features, &wanted, &mut Context::eval()).unwrap();
            assert_eq!(found.groups[0].positions.len(), together, "{features:?}");
            let sum = |outputs: Vec<Tensor>| {
                let parts = outputs.iter().zip(1..).map(|(raw, factor)| raw.sin().sum(F64.0) * factor);
                Tensor::stack(&parts.collect::<Vec<_>>(), 0).sum(F64.0)
            };
            let outputs: Vec<Tensor> = (0..4).map(|position| found.raw(position).unwrap()).collect();
            let alone: Vec<Tensor> = (0..4)
                .map(|row| {
                    heads.one(wanted[row], &params, &features.of(row).unwrap(), &mut Context::eval()).unwrap()
                })
                .collect();
            for (together, alone) in outputs.iter().zip(&alone) {
                assert_eq!(together.size(), alone.size());
                assert!((together - alone).abs().max().double_value(&[]) < 1e-14);
            }
            let [together, alone] =
                [outputs, alone].map(|outputs| grad(&sum(outputs), &params, Graph::Free).unwrap());
            assert!(together.max_difference(&alone).unwrap() < 1e-14);
            assert_eq!(together.named("heads.b.weight").unwrap().abs().max().double_value(&[]), 0.0);
        }
    }

    #[test]
    fn features_that_are_not_there_are_an_error() {
        let (heads, params) = heads();
        let all = normal("all", &[10, 4]);
        let none = Rows::Own(vec![(8, 5)]);
        assert!(heads.forward(&params, Features::All(&all, &none), &[0], &mut Context::eval()).is_err());
        assert!(heads.forward(&params, Features::Each(&[]), &[0], &mut Context::eval()).is_err());
        assert!(
            heads
                .one(9, &params, &all, &mut Context::eval())
                .unwrap_err()
                .to_string()
                .contains("task 9 of 5")
        );
    }
}
