use std::sync::Arc;

use manytask_nn::metrics::Output;
use manytask_nn::nets::MlpConfig;
use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Layout, Method, Params, Tensor, WHOLE};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, InputEncoder, Outputs, PartUse, TaskInputs, TrunkSettings,
};
use crate::{Error, Result, Task};

/// The entire-space multi-task model (Ma et al. 2018, SIGIR, arXiv:1804.07931, equations 3 and 4) of two events of which the
/// second can only follow the first: a click and the conversion after it.
///
/// The first task is the first event, `p(click) = σ(a)`. The second task is both, `p(click and conversion) = σ(a) σ(b)`, where the
/// conversion after a click, `σ(b)`, is never trained by itself: so it learns from all rows and not only from those with a
/// click. The product is made of logits, `logit(σ(a) σ(b)) = −ln(e⁻ᵃ + e⁻ᵇ + e⁻⁽ᵃ⁺ᵇ⁾)`, so no probability is rounded to 0 or 1.
///
/// `head` are the towers' hidden layers; `trunk`, where it is written, are layers before both towers. Without it they share the
/// tables of embedded columns alone, as in the paper. The first tower takes part in both losses, so its parameters are shared;
/// those of the second are the second task's own. Parameters are named `trunk.…`, `heads.NAME.…`.
#[derive(Debug)]
pub struct Esmm {
    layout: Arc<Layout>,
    encoder: InputEncoder,
    trunk: Option<Box<dyn Module>>,
    towers: [Box<dyn Module>; 2],
}

/// The settings of [`Esmm`]: none beside its parts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EsmmSettings {}

impl Method for EsmmSettings {
    const NAME: &'static str = "esmm";
    const SUMMARY: &'static str = "an event and another that can only follow it, learned from all rows";
    const ABOUT: &'static str = "\
        Ma et al. 2018, arXiv:1804.07931: exactly two binary tasks on the same rows, first the event (a \
        click), then the event with what followed (a click with a conversion): p2 = p1 times p(conversion \
        after a click), made of logits. A tower for each; `head` are their hidden layers (left out: [360, \
        200, 80], as the paper), `trunk` are layers before both (left out: none, as the paper, where the \
        towers share embedded columns alone).\n\
        p2 / p1 of a prediction is the probability of a conversion after a click. A label of the second \
        without the first contradicts the model.";
}

impl ArchitectureSettings for EsmmSettings {
    fn name(&self) -> &'static str {
        EsmmSettings::NAME
    }

    fn parts(&self) -> &'static [PartUse] {
        &[PartUse::Optional("trunk"), PartUse::Optional("head")]
    }

    fn default_part(&self, key: &str) -> Option<Box<dyn TrunkSettings>> {
        (key == "head").then(|| {
            Box::new(MlpConfig { hidden: vec![360, 200, 80], ..MlpConfig::default() })
                as Box<dyn TrunkSettings>
        })
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        let names = blueprint.names();
        let [click, both] = names.as_slice() else { return Err(two_tasks(names.len())) };
        let mut layout = Layout::builder();
        let mut root = Builder::new(&mut layout);
        let encoder = blueprint.encoder(&mut root)?;
        let mut features: i64 = encoder.shape().iter().product();
        let mut trunk = None;
        if blueprint.has("trunk") {
            let (module, size) = blueprint.part("trunk", &mut root.scope("trunk"), encoder.shape())?;
            features = size;
            trunk = Some(module);
        }
        let mut heads = root.scope("heads");
        let first = blueprint.head(&mut heads.scope(click), 0, features)?;
        let second = blueprint.head(&mut heads.scope(both).for_task(1), 1, features)?;
        let towers = [first, second];
        Ok(Box::new(Esmm { layout: layout.build(), encoder, trunk, towers }))
    }
}

fn two_tasks(found: usize) -> Error {
    Error::setting(
        WHOLE,
        format!("`esmm` for {found} tasks"),
        "it is for exactly two binary tasks on the same rows: an event, and that event followed by another",
    )
}

/// The logit of `σ(a) σ(b)`.
fn logit_of_product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let terms = [a.f_neg()?, b.f_neg()?, a.f_add(b)?.f_neg()?];
    Ok(Tensor::f_stack(&terms, 0)?.f_logsumexp([0].as_slice(), false)?.f_neg()?)
}

impl Architecture for Esmm {
    fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    fn tasks(&self) -> usize {
        self.towers.len()
    }

    fn forward(
        &self,
        params: &Params,
        inputs: &TaskInputs,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<Outputs> {
        let x = self.encoder.forward(params, &inputs.all, cx)?;
        let x = match &self.trunk {
            Some(trunk) => trunk.forward(params, &x, cx)?,
            None if x.dim() > 2 => x.f_flatten(1, -1)?,
            None => x,
        };
        let [first, second] = &self.towers;
        let click = first.forward(params, &x, cx)?.f_to_kind(params.kind())?;
        let mut outputs = Vec::with_capacity(wanted.len());
        for (position, task) in wanted.iter().enumerate() {
            let raw = match task {
                0 => click.shallow_clone(),
                1 => {
                    let conversion = second.forward(params, &x, cx)?.f_to_kind(params.kind())?;
                    logit_of_product(&click, &conversion)?
                }
                task => return Err(Error::setting(WHOLE, format!("task {task} of 2"), "count tasks from 0")),
            };
            outputs.push(inputs.rows.of(position, &raw)?);
        }
        Outputs::each(&outputs)
    }

    fn check(&self, tasks: &[Task], single_input: bool) -> Result<()> {
        if tasks.len() != 2 || !single_input {
            return Err(two_tasks(tasks.len()));
        }
        match tasks.iter().find(|task| task.output != Output::Binary) {
            None => Ok(()),
            Some(task) => Err(Error::setting(
                WHOLE,
                format!("`esmm` with the {} task `{}`", task.output.name(), task.name),
                "it is for two binary tasks: an event, and that event followed by another",
            )),
        }
    }

    fn smallest_batch(&self) -> usize {
        let trunk = self.trunk.as_ref().map_or(1, Module::smallest_batch);
        self.towers.iter().map(Module::smallest_batch).fold(trunk, usize::max)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::{Device, Graph, Kind, Owner, gradients};

    use super::super::testing::{F64, blueprinted, inputs, mlp, tasks};
    use super::*;

    fn numbers(values: &[f64]) -> Tensor {
        Tensor::from_slice(values)
    }

    #[test]
    fn the_second_task_is_the_product_of_both_probabilities() {
        let network = blueprinted(&EsmmSettings {}, &tasks(2), &[("trunk", mlp(&[5])), ("head", mlp(&[3]))]);
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        let x = inputs(6);
        let found = network.forward(&params, &TaskInputs::shared(&x), &[0, 1], &mut Context::eval()).unwrap();
        let named = |name: String| params.named(&name).unwrap();
        let linear = |x: &Tensor, name: &str| {
            x.matmul(&named(format!("{name}.weight")).tr()) + named(format!("{name}.bias"))
        };
        let shared = linear(&x.tensor(Kind::Double).unwrap(), "trunk.layer0").relu();
        let tower = |task: usize| {
            let hidden = linear(&shared, &format!("heads.t{task}.hidden.layer0")).relu();
            linear(&hidden, &format!("heads.t{task}.output")).sigmoid()
        };
        let (click, conversion) = (tower(0), tower(1));
        for (raw, expected) in [(0, click.copy()), (1, click * conversion)] {
            let difference = found.raw(raw).unwrap().sigmoid() - expected;
            assert!(difference.abs().max().double_value(&[]) < 1e-12);
        }
        // One of both alone is the same.
        let alone = network.forward(&params, &TaskInputs::shared(&x), &[1], &mut Context::eval()).unwrap();
        assert_eq!(alone.raw(0).unwrap(), found.raw(1).unwrap());
    }

    /// A product of probabilities would be 0, and its logarithm −∞: the loss and its gradient stay finite and right.
    #[test]
    fn extreme_logits_keep_a_finite_loss_and_gradient() {
        let a = numbers(&[-80.0, 80.0, -200.0, 40.0, 0.0]).to_kind(Kind::Float).set_requires_grad(true);
        let b = numbers(&[-80.0, 80.0, 3.0, -40.0, 0.0]).to_kind(Kind::Float);
        let logit = logit_of_product(&a, &b).unwrap();
        let expected = numbers(&[
            -160.0,
            80.0 - 2.0_f64.ln(),
            -200.0 - (1.0 + (-3.0_f64).exp()).ln(),
            -40.0,
            -3.0_f64.ln(),
        ]);
        assert!((logit.to_kind(Kind::Double) - expected).abs().max().double_value(&[]) < 1e-4);
        let labels = Tensor::ones([5], (Kind::Float, Device::Cpu));
        let loss = manytask_nn::loss::Loss::BinaryCrossEntropy { positive_weight: None };
        let loss = loss.mean(&logit, &labels, None, None).unwrap();
        let gradient = gradients(&loss, &[&a], Graph::Free).unwrap();
        assert!(gradient[0].isfinite().all().int64_value(&[]) == 1);
        // A certain miss pulls with full force: d/da −ln σ(a) σ(b) = −(1 − σ(a)).
        let first = gradient[0].double_value(&[0]) * 5.0;
        assert!((first + 1.0).abs() < 1e-5, "{first}");
    }

    #[test]
    fn the_first_tower_is_shared_and_the_second_is_the_second_tasks() {
        let network = blueprinted(&EsmmSettings {}, &tasks(2), &[("head", mlp(&[3]))]);
        for entry in network.layout().entries() {
            let expected = if entry.name.starts_with("heads.t1") { Owner::Task(1) } else { Owner::Shared };
            assert_eq!(entry.owner, expected, "{}", entry.name);
        }
    }

    #[test]
    fn other_tasks_are_refused() {
        let network = blueprinted(&EsmmSettings {}, &tasks(2), &[("head", mlp(&[3]))]);
        assert!(network.check(&tasks(2), true).is_ok());
        assert!(network.check(&tasks(2), false).is_err());
        assert!(network.check(&tasks(1), true).unwrap_err().to_string().contains("exactly two binary tasks"));
        let mut other = tasks(2);
        other[1] = Task::new("t1", Output::Regression, 1);
        assert!(network.check(&other, true).unwrap_err().to_string().contains("the regression task `t1`"));
    }
}
