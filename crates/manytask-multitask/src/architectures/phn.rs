use manytask_nn::nets::{Mlp, MlpConfig};
use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Entry, Init, LayoutBuilder, Method, Params, Role, Slot, Tensor, WHOLE};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Conditioning, PreferenceSettings, whole_front,
};
use crate::{Error, Result};

/// A Pareto hypernetwork (Navon, Shamsian, Chechik & Fetaya 2021, ICLR, arXiv:2010.04104): a perceptron that makes all parameters of trunk and heads from
/// the preference r, which is drawn anew at each step from a Dirichlet distribution: `θ(r) = θ₀ + A h(r)`, h its last hidden layer.
///
/// θ₀ is the bias of the perceptron's last layer in the paper. Here it is the network's own parameters, which start as they would without a
/// hypernetwork, and A starts at a normal distribution of variance `1 / (H · fan-in)`, so that a fresh network has activations of the usual size. With the
/// aggregator `linear` it is PHN-LS, with `epo` PHN-EPO. Statistics of batch-norm are no parameters and are those of all preferences together.
///
/// Parameters are named `trunk.…`, `heads.NAME.…`, `hypernetwork.layer0.…` and `hypernetwork.to.ENTRY` (`[numbers of the entry, H]`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PhnSettings {
    /// The sizes of the hidden layers, at least one.
    pub hidden: Vec<i64>,
    /// α of the Dirichlet distribution, from 0.001 to 1000.
    pub concentration: f64,
    /// The preference of evaluations and predictions, a number for each task; empty: equal.
    pub preference: Vec<f64>,
    /// How many preferences at most a training is judged at when it ends.
    pub points: usize,
}

impl Default for PhnSettings {
    fn default() -> Self {
        Self { hidden: vec![100, 100], concentration: 0.2, preference: Vec::new(), points: 8 }
    }
}

impl Method for PhnSettings {
    const NAME: &'static str = "phn";
    const SUMMARY: &'static str =
        "one network for the whole Pareto front: a hypernetwork makes its parameters";
    const ABOUT: &'static str = "\
        Navon et al. 2021, arXiv:2010.04104 (Pareto hypernetwork): at each step a preference r is drawn from \
        a Dirichlet distribution of this `concentration` (0.001 to 1000); a perceptron with these `hidden` \
        layers makes all parameters of trunk and heads of it, θ0 + A h(r). It needs an aggregator that follows \
        r: linear (PHN-LS), epo (PHN-EPO), cosmos, tchebycheff, stch or pbi, without `preference.weights`. \
        `preference` has a number for each task, and is that of evaluations and predictions (`predict RUN \
        --preference 0.3,0.7` takes another); at the end of a training it is judged at up to `points` (2 to 10000) \
        preferences.\n\
        It has as many times the parameters of trunk and heads as the last hidden layer has numbers, and a \
        step costs that many times the optimizer's work.";
}

impl PhnSettings {
    fn preferences(&self) -> PreferenceSettings<'_> {
        let Self { concentration, preference, points, .. } = self;
        PreferenceSettings { concentration: *concentration, preference, points: *points }
    }
}

impl ArchitectureSettings for PhnSettings {
    fn name(&self) -> &'static str {
        PhnSettings::NAME
    }

    fn check(&self) -> Result<()> {
        if self.hidden.is_empty() {
            return Err(Error::setting(
                "hidden",
                "a hypernetwork without a layer",
                "write sizes, such as [100, 100]",
            ));
        }
        self.preferences().check()
    }

    fn front_aggregator(&self) -> Option<&'static str> {
        Some(crate::aggregators::Linear::NAME)
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.check()?;
        let config = MlpConfig { hidden: self.hidden.clone(), ..MlpConfig::default() };
        let conditioning =
            Hypernetwork { tasks: blueprint.tasks.len() as i64, config, net: None, makes: Vec::new() };
        whole_front(blueprint, conditioning, self.preferences())
    }
}

/// A perceptron that makes parameters of a preference.
#[derive(Debug)]
struct Hypernetwork {
    tasks: i64,
    config: MlpConfig,
    /// Once the layout is known.
    net: Option<Mlp>,
    /// What it makes, each with the matrix that makes it.
    makes: Vec<(Slot, Slot)>,
}

impl Conditioning for Hypernetwork {
    fn within(self, layout: &mut LayoutBuilder, target: &[Entry]) -> Result<Self> {
        let all = layout.snapshot();
        let mut root = Builder::new(layout);
        let mut scope = root.scope("hypernetwork");
        let net = Mlp::new(&mut scope, self.tasks, &self.config)?;
        let width = net.features();
        let mut scope = scope.scope("to");
        let mut makes = Vec::new();
        for entry in target.iter().filter(|entry| entry.role.is_trained()) {
            let made = all.find(&entry.name).ok_or_else(|| not_there(&entry.name))?;
            let numbers: i64 = entry.shape.iter().product();
            let inputs: i64 = match entry.shape.as_slice() {
                [_, inputs @ ..] if !inputs.is_empty() => inputs.iter().product(),
                _ => numbers,
            };
            let std = 1.0 / ((width * inputs.max(1)) as f64).sqrt();
            let init = Init::Normal { mean: 0.0, std };
            let mut scope = scope.owned_by(entry.owner);
            makes.push((made, scope.parameter(&entry.name, &[numbers, width], init, Role::Weight)?));
        }
        Ok(Self { net: Some(net), makes, ..self })
    }

    fn params(&self, params: &Params, preference: &Tensor, cx: &mut Context) -> Result<Params> {
        let net = self.net.as_ref().ok_or_else(|| not_there("hypernetwork"))?;
        let hidden = net.forward(params, &preference.f_unsqueeze(0)?, cx)?.f_squeeze_dim(0)?;
        let mut own = params.share();
        for (made, by) in &self.makes {
            let start = params.get(*made)?;
            let change = params.get(*by)?.f_mv(&hidden)?.f_reshape(start.size())?;
            own.put(*made, start.f_add(&change)?)?;
        }
        Ok(own)
    }
}

fn not_there(name: &str) -> Error {
    Error::setting(WHOLE, format!("`phn` without `{name}`"), "build it for the network that it makes")
}

#[cfg(test)]
mod tests {
    use manytask_tensor::Owner;

    use super::super::testing::{
        F64, blueprinted, images, inputs, linear, mlp, of_blocks, own_rows_are_as_shared_ones, tasks,
    };
    use super::*;
    use crate::architecture::TaskInputs;

    fn settings() -> PhnSettings {
        PhnSettings { hidden: vec![7, 3], ..PhnSettings::default() }
    }

    #[test]
    fn every_parameter_of_the_network_is_made_of_the_preference() {
        let network = blueprinted(&settings(), &tasks(2), &[("trunk", mlp(&[5]))]);
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        let x = inputs(6);
        for preference in [[0.5, 0.5], [0.9, 0.1]] {
            let r = Tensor::from_slice(&preference).unsqueeze(0);
            let hidden = linear(&params, &r, "hypernetwork.layer0").relu();
            let hidden = linear(&params, &hidden, "hypernetwork.layer1").relu().squeeze_dim(0);
            let made = |name: &str| {
                let start = params.named(name).unwrap();
                let by = params.named(&format!("hypernetwork.to.{name}")).unwrap();
                start + by.mv(&hidden).reshape(start.size())
            };
            let layer = |x: &Tensor, name: &str| {
                x.matmul(&made(&format!("{name}.weight")).tr()) + made(&format!("{name}.bias"))
            };
            let features = layer(&x.tensor(F64.0).unwrap(), "trunk.layer0").relu();
            let given = TaskInputs::shared(&x).at(Some(preference.to_vec()));
            let found = network.forward(&params, &given, &[0, 1], &mut Context::eval()).unwrap();
            for task in 0..2 {
                let expected = layer(&features, &format!("heads.t{task}"));
                let difference = found.raw(task).unwrap() - expected;
                assert!(difference.abs().max().double_value(&[]) < 1e-12);
            }
        }
        own_rows_are_as_shared_ones(network.as_ref(), &params);
        let owner = |name: &str| {
            let layout = network.layout();
            layout.entry(layout.find(name).unwrap()).unwrap().owner
        };
        assert_eq!(owner("hypernetwork.to.heads.t1.weight"), Owner::Task(1));
        assert_eq!(owner("hypernetwork.to.trunk.layer0.weight"), Owner::Shared);
    }

    #[test]
    fn convolutions_with_batch_norm_are_made_too() {
        let network = of_blocks(&settings(), &tasks(2));
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        let of = |preference: [f64; 2]| {
            let given = TaskInputs::shared(&images(6)).at(Some(preference.to_vec()));
            network.forward(&params, &given, &[0, 1], &mut Context::eval()).unwrap().raw(0).unwrap()
        };
        assert_ne!(of([0.1, 0.9]), of([0.9, 0.1]));
        let layout = network.layout();
        let made = layout.entries().iter().filter(|entry| entry.name.starts_with("hypernetwork.to.")).count();
        let target = |entry: &&Entry| entry.role.is_trained() && !entry.name.starts_with("hypernetwork.");
        assert_eq!(made, layout.entries().iter().filter(target).count());
        assert!(layout.entries().iter().any(|entry| entry.role == Role::Buffer));
    }

    #[test]
    fn a_hypernetwork_has_a_layer() {
        assert!(PhnSettings { hidden: Vec::new(), ..settings() }.check().is_err());
    }
}
