//! Problems on episodes that are written down.

use std::ops::Range;

use manytask_meta::data::Episodes;
use manytask_meta::multitask::{Result, Split};
use manytask_meta::nn::nets::{Mlp, MlpConfig};
use manytask_meta::nn::{Builder, Module, layers::Activation, loss::Loss};
use manytask_meta::tensor::{Kind, Layout, LayoutBuilder, Tensor};
use manytask_meta::{
    EpisodeShape, EpisodeSource, Execution, LearnerSpec, MetaModel, MetaProblem, MetaSettings,
    SinusoidEpisodes,
};

/// The same tasks in every draw.
#[derive(Debug)]
pub(crate) struct Written(pub(crate) Episodes);

impl EpisodeSource for Written {
    fn episodes(&self, _: Split, _: u64, ids: Range<u64>, _: Option<usize>) -> Result<Episodes> {
        let of = |tensor: &Tensor| tensor.narrow(0, 0, (ids.end - ids.start) as i64);
        let Episodes { support_x, support_y, query_x, query_y } = &self.0;
        Ok(Episodes {
            support_x: of(support_x),
            support_y: of(support_y),
            query_x: of(query_x),
            query_y: of(query_y),
        })
    }
    fn has_validation(&self) -> bool {
        false
    }
}

/// `Auto` is analytic on perceptrons that adapt by plain gradient descent.
pub(crate) const WAYS: [Execution; 5] =
    [Execution::Batched, Execution::Loop, Execution::Threads(1), Execution::Threads(2), Execution::Auto];

/// A small perceptron for sinusoids, in f64.
pub(crate) fn net() -> (LayoutBuilder, Box<dyn Module>) {
    let mut layout = Layout::builder();
    let config = MlpConfig {
        hidden: vec![7, 5],
        output: Some(1),
        activation: Activation::Tanh,
        ..MlpConfig::default()
    };
    let net = Mlp::new(&mut Builder::new(&mut layout), 1, &config).unwrap();
    (layout, Box::new(net))
}

pub(crate) fn sinusoids(learner: &dyn LearnerSpec, settings: MetaSettings) -> Result<MetaProblem> {
    let (layout, net) = net();
    let source = SinusoidEpisodes { shots: 5, queries: 6, kind: Kind::Double, ..SinusoidEpisodes::default() };
    let model = MetaModel::build(layout, net, learner, EpisodeShape::regression(1, 1))?;
    MetaProblem::new(model, Box::new(source), Loss::Mse, settings)
}
