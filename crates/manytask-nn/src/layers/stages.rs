use manytask_tensor::{Params, Tensor, WHOLE};

use crate::layers::Sequential;
use crate::primitive::{NotFused, Primitive};
use crate::{Context, Error, Module, Result, Staged};

/// Groups of layers one after another, each a stage of the network; see [`Staged`].
#[derive(Debug, Default)]
pub struct Stages {
    stages: Vec<Sequential>,
    widths: Vec<i64>,
}

impl Stages {
    /// No stage: the input is passed on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a stage whose outputs have `width` numbers in dimension 1.
    pub fn push(&mut self, layers: Vec<Box<dyn Module>>, width: i64) {
        self.stages.push(Sequential(layers));
        self.widths.push(width);
    }
}

impl Module for Stages {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        self.stages.iter().try_fold(x.shallow_clone(), |x, stage| stage.forward(params, &x, cx))
    }

    fn primitives(&self) -> Result<Vec<Primitive>, NotFused> {
        let parts: Vec<_> = self.stages.iter().map(Module::primitives).collect::<Result<_, _>>()?;
        Ok(parts.into_iter().flatten().collect())
    }

    fn smallest_batch(&self) -> usize {
        self.stages.iter().map(Module::smallest_batch).fold(1, usize::max)
    }

    fn staged(&self) -> Option<&dyn Staged> {
        (!self.stages.is_empty()).then_some(self)
    }
}

impl Staged for Stages {
    fn widths(&self) -> &[i64] {
        &self.widths
    }

    fn run(&self, stage: usize, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        match self.stages.get(stage) {
            Some(layers) => layers.forward(params, x, cx),
            None => Err(Error::named_setting(
                WHOLE,
                "a stage",
                &stage,
                format!("the network has {}, counted from 0", self.stages.len()),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind, Layout};

    use super::*;
    use crate::Builder;
    use crate::layers::Flatten;
    use crate::nets::{Conv4, Conv4Config, Mlp, MlpConfig, Norm};

    #[test]
    fn all_stages_one_after_the_other_are_the_network() {
        let on = (Kind::Double, Device::Cpu);
        let mut layout = Layout::builder();
        let mut b = Builder::new(&mut layout);
        let rows = MlpConfig { hidden: vec![5, 4], dropout: 0.5, norm: Norm::Layer, ..MlpConfig::default() };
        let flattened = Mlp::new(&mut b.scope("flattened"), 3, &rows).unwrap();
        let rows = Mlp::new(&mut b.scope("rows"), 3, &rows).unwrap();
        let pictures = Conv4Config { hidden: 2, blocks: 2, output: None, ..Conv4Config::default() };
        let pictures = Conv4::new(&mut b.scope("pictures"), 1, 8, &pictures).unwrap();
        let params = layout.build().init(1, on.0, on.1).unwrap();
        let normal = |shape: &[i64]| Key::new(2, "x").normal(shape, on.0, on.1).unwrap();
        let flattened = Sequential(vec![Box::new(Flatten), Box::new(flattened)]);
        let cases: [(&dyn Module, Tensor, &[i64]); 3] = [
            (&rows, normal(&[6, 3]), &[5, 4]),
            (&pictures, normal(&[6, 1, 8, 8]), &[2, 8]),
            (&flattened, normal(&[6, 1, 3, 1]), &[5, 4]),
        ];
        for (net, x, widths) in cases {
            let key = Key::new(4, "dropout");
            let whole = net.forward(&params, &x, &mut Context::train(key)).unwrap();
            let (mut x, mut cx) = (x, Context::train(key));
            let staged = net.staged().unwrap();
            assert_eq!(staged.widths(), widths);
            for (stage, width) in widths.iter().enumerate() {
                x = staged.run(stage, &params, &x, &mut cx).unwrap();
                assert_eq!(x.size()[1], *width);
            }
            assert_eq!(x, whole);
            assert!(staged.run(2, &params, &x, &mut cx).is_err());
        }
    }
}
