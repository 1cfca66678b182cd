use std::sync::Arc;

use manytask::multitask::architecture::{Auxiliary, Features, Heads, InputEncoder, Outputs, TaskInputs};
use manytask::multitask::{Architecture, ArchitectureSettings, Blueprint, Result};
use manytask::nn::{Builder, Context, Mode, Module};
use manytask::tensor::{Init, Layout, Method, Params, Role, Slot};
use serde::{Deserialize, Serialize};

/// An architecture in one file, registered by one line in `all`: a factor for each task and feature of one trunk, and the
/// mean size of the factors as auxiliary loss.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Toy {
    scale: f64,
}

impl Default for Toy {
    fn default() -> Self {
        Self { scale: 0.5 }
    }
}

#[derive(Debug)]
struct ToyNetwork {
    layout: Arc<Layout>,
    encoder: InputEncoder,
    trunk: Box<dyn Module>,
    factors: Slot,
    heads: Heads,
    scale: f64,
}

impl Method for Toy {
    const NAME: &'static str = "toy";
    const SUMMARY: &'static str = "a factor for each task and feature of one trunk";
    const ABOUT: &'static str = "";
}

impl ArchitectureSettings for Toy {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        let mut layout = Layout::builder();
        let mut root = Builder::new(&mut layout);
        let encoder = blueprint.encoder(&mut root)?;
        let (trunk, features) = blueprint.part("trunk", &mut root.scope("trunk"), encoder.shape())?;
        let tasks = blueprint.tasks.len() as i64;
        let init = Init::Uniform { low: 0.5, high: 1.5 };
        let factors = root.parameter("factors", &[tasks, features], init, Role::Scale)?;
        let heads = blueprint.heads(&mut root, features)?;
        let layout = layout.build();
        let heads = heads.within(&layout);
        Ok(Box::new(ToyNetwork { layout, encoder, trunk, factors, heads, scale: self.scale }))
    }
}

impl Architecture for ToyNetwork {
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
        let x = self.encoder.forward(params, &inputs.all, cx)?;
        let features = self.trunk.forward(params, &x, cx)?;
        let factors = params.get(self.factors)?;
        let own = wanted.iter().enumerate().map(|(position, task)| {
            Ok(inputs.rows.of(position, &features)?.f_mul(&factors.f_get(*task as i64)?)?)
        });
        let own = own.collect::<Result<Vec<_>>>()?;
        let outputs = self.heads.forward(params, Features::Each(&own), wanted, cx)?;
        if cx.mode() == Mode::Eval || self.scale == 0.0 {
            return Ok(outputs);
        }
        let value = factors.f_square()?.f_mean(factors.kind())?.f_mul_scalar(self.scale)?;
        Ok(outputs.with_auxiliary(vec![Auxiliary { name: "size", task: None, value }]))
    }
}
