use manytask_tensor::{Params, Tensor};

use crate::primitive::{NotFused, Primitive};
use crate::{Context, Module, Result, Staged};

/// Layers one after another. Its stages are those of its last layer, where that has some: the others belong to the first.
#[derive(Debug)]
pub struct Sequential(pub Vec<Box<dyn Module>>);

impl Module for Sequential {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        self.0.iter().try_fold(x.shallow_clone(), |x, layer| layer.forward(params, &x, cx))
    }

    fn primitives(&self) -> Result<Vec<Primitive>, NotFused> {
        let parts: Vec<_> = self.0.iter().map(Module::primitives).collect::<Result<_, _>>()?;
        Ok(parts.into_iter().flatten().collect())
    }

    fn smallest_batch(&self) -> usize {
        self.0.iter().map(Module::smallest_batch).fold(1, usize::max)
    }

    fn staged(&self) -> Option<&dyn Staged> {
        self.0.last()?.staged().map(|_| self as &dyn Staged)
    }
}

impl Staged for Sequential {
    fn widths(&self) -> &[i64] {
        self.0.last().and_then(Module::staged).map_or(&[], Staged::widths)
    }

    fn run(&self, stage: usize, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        let Some((last, before)) = self.0.split_last() else { return self.forward(params, x, cx) };
        let Some(staged) = last.staged() else { return self.forward(params, x, cx) };
        if stage > 0 {
            return staged.run(stage, params, x, cx);
        }
        let x = before.iter().try_fold(x.shallow_clone(), |x, layer| layer.forward(params, &x, cx))?;
        staged.run(stage, params, &x, cx)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::{Device, Kind, Layout};

    use super::*;
    use crate::Builder;
    use crate::layers::{Activation, Linear};

    #[test]
    fn applies_its_layers_in_order() {
        let mut layout = Layout::builder();
        let mut root = Builder::new(&mut layout);
        let first = Linear::new(&mut root.scope("layer0"), 2, 3).unwrap();
        let second = Linear::new(&mut root.scope("layer1"), 3, 1).unwrap();
        let net =
            Sequential(vec![Box::new(first.clone()), Box::new(Activation::Tanh), Box::new(second.clone())]);
        let params = layout.build().init(0, Kind::Double, Device::Cpu).unwrap();
        let (x, cx) = (Tensor::from_slice(&[0.3, -2.0]).reshape([1, 2]), &mut Context::eval());
        let expected = second.forward(&params, &first.forward(&params, &x, cx).unwrap().tanh(), cx).unwrap();
        assert_eq!(net.forward(&params, &x, cx).unwrap(), expected);
    }
}
