use std::sync::Arc;

use manytask_data::Inputs;
use manytask_nn::dense::DenseChain;
use manytask_nn::fused::NotFused;
use manytask_nn::layers::Restored;
use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Layout, Method, Params, Slot, Tensor, WHOLE};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Bottleneck, Built, Encoding, Features, Heads,
    InputEncoder, InputSizes, Outputs, Owned, TaskInputs, pixels, run_stage,
};
use crate::{Error, Result};

/// A shared trunk with one head for each task: hard parameter sharing (Caruana 1993),
/// `h = f(x; W₁, b₁)`, `yᵢ = fᵢ(h; W₂ᵢ, b₂ᵢ)`.
///
/// Parameters are named `embedding0.weight …`, `trunk.…`, `heads.NAME.…`.
#[derive(Debug)]
pub struct HardSharing {
    layout: Arc<Layout>,
    encoder: InputEncoder,
    trunk: Box<dyn Module>,
    heads: Heads,
    chain: std::result::Result<DenseChain, NotFused>,
}

/// The settings of [`HardSharing`]: none beside its trunk and heads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HardSharingSettings {}

impl Method for HardSharingSettings {
    const NAME: &'static str = "hard_sharing";
    const SUMMARY: &'static str = "one trunk for all tasks, and a head for each";
    const ABOUT: &'static str = "\
        Caruana 1993: h = f(x), y_i = f_i(h). The default. `head` are layers before each task's last one. \
        It has one place where shared parameters end and those of tasks begin, so gradients can be taken \
        with respect to the representation there (level = \"representation\"), and its passes are the \
        fastest: on a processor linear trunks go without a graph.";
}

impl ArchitectureSettings for HardSharingSettings {
    fn name(&self) -> &'static str {
        HardSharingSettings::NAME
    }

    fn takes_pixels(&self) -> bool {
        true
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        let network = HardSharing::build(
            blueprint.inputs,
            blueprint.encoding,
            &blueprint.names(),
            |b, shape| blueprint.part("trunk", b, shape),
            |b, task, features| blueprint.head(b, task, features),
        )?;
        Ok(Box::new(network))
    }
}

impl HardSharing {
    /// Builds the network.
    ///
    /// `trunk` is given the shape of a row of its inputs, `[D]` or `[C, H, W]`, and answers with the definition and the size of
    /// its representation; `head` is given a task's number and the size of the representation. `encoding` is how columns become numbers: a number
    /// alone is the size of embedded categories. Representations and outputs have the element type of the parameters, whatever layers compute in.
    ///
    /// # Errors
    /// When there is no task, or the trunk or a head cannot be built.
    pub fn build(
        inputs: &InputSizes,
        encoding: impl Into<Encoding>,
        tasks: &[String],
        trunk: impl FnOnce(&mut Builder<'_>, &[i64]) -> Result<Built>,
        head: impl FnMut(&mut Builder<'_>, usize, i64) -> Result<Box<dyn Module>>,
    ) -> Result<Self> {
        if tasks.is_empty() {
            return Err(Error::setting(WHOLE, "a network without a task", "describe at least one target"));
        }
        let mut layout = Layout::builder();
        let mut root = Builder::new(&mut layout);
        let encoder = InputEncoder::new(&mut root, inputs, &encoding.into())?;
        let (trunk, features) = trunk(&mut root.scope("trunk"), encoder.shape())?;
        let heads = Heads::new(&mut root, tasks, features, head)?;
        let layout = layout.build();
        let shared = Owned::of(&layout, tasks.len())?.shared;
        let chain = shared_chain(trunk.as_ref(), &layout, &shared);
        let heads = heads.within(&layout);
        Ok(Self { layout, encoder, trunk: Box::new(Restored(trunk)), heads, chain })
    }
}

/// All that is shared, where it is a chain. Activations that are no lines are left to the graph, whose exponentials are faster.
fn shared_chain(
    trunk: &dyn Module,
    layout: &Layout,
    shared: &[Slot],
) -> std::result::Result<DenseChain, NotFused> {
    let chain = DenseChain::compile(trunk, layout)?;
    if !chain.is_piecewise_linear() {
        return Err(NotFused::because("an activation that is not piecewise linear, in a trunk"));
    }
    if !chain.slots().eq(shared.iter().copied()) {
        return Err(NotFused::because("embeddings before the trunk"));
    }
    Ok(chain)
}

impl Architecture for HardSharing {
    fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    fn tasks(&self) -> usize {
        self.heads.len()
    }

    fn forward(
        &self,
        params: &Params,
        inputs: &TaskInputs,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<Outputs> {
        let representation = self.encode(params, &inputs.all, cx)?;
        self.heads.forward(params, Features::All(&representation, &inputs.rows), wanted, cx)
    }

    fn bottleneck(&self) -> Option<&dyn Bottleneck> {
        Some(self)
    }

    fn mixes_hidden(&self) -> bool {
        self.trunk.staged().is_some()
    }

    fn smallest_batch(&self) -> usize {
        self.trunk.smallest_batch()
    }

    fn smallest_batch_of(&self, task: usize) -> usize {
        self.heads.smallest_batch_of(task)
    }
}

impl Bottleneck for HardSharing {
    fn encode(&self, params: &Params, inputs: &Inputs, cx: &mut Context) -> Result<Tensor> {
        let x = self.encoder.forward(params, inputs, cx)?;
        let Some((mix, staged)) = cx.mix().zip(self.trunk.staged()) else {
            return pixels::rows(&self.trunk.forward(params, &x, cx)?);
        };
        let stages = staged.widths().len();
        let place = mix.place(stages + 1);
        let mixed = |x: Tensor, at: usize| if at == place { mix.apply(&x) } else { Ok(x) };
        let mut x = mixed(x, 0)?;
        for stage in 0..stages {
            x = mixed(run_stage(self.trunk.as_ref(), stage, params, &x, cx)?, stage + 1)?;
        }
        Ok(x)
    }

    fn heads(&self) -> &Heads {
        &self.heads
    }

    fn chain(&self) -> std::result::Result<&DenseChain, &NotFused> {
        self.chain.as_ref()
    }
}
