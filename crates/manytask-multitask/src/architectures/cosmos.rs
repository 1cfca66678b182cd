use manytask_tensor::{Method, Tensor};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Conditioning, PreferenceSettings, whole_front,
};

/// The network of COSMOS (Ruchte & Grabocka 2021, ICDM, arXiv:2103.13392): one for the whole Pareto front, whose inputs are joined by the preference,
/// drawn anew at each step from a Dirichlet distribution. With the aggregator `cosmos` its loss is the paper's, `⟨r, l⟩ − γ cos(r, l)`.
///
/// The preference `r`, a share of each task, stands behind the numbers of a row, and in K further channels of a picture, the same number at each
/// pixel; the paper spreads it over the pixels by transposed convolutions.
///
/// Parameters are named `trunk.…` and `heads.NAME.…`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CosmosSettings {
    /// α of the Dirichlet distribution, from 0.001 to 1000.
    pub concentration: f64,
    /// The preference of evaluations and predictions, a number for each task; empty: equal.
    pub preference: Vec<f64>,
    /// How many preferences at most a training is judged at when it ends.
    pub points: usize,
}

impl Default for CosmosSettings {
    fn default() -> Self {
        Self { concentration: 1.2, preference: Vec::new(), points: 8 }
    }
}

impl Method for CosmosSettings {
    const NAME: &'static str = "cosmos";
    const SUMMARY: &'static str = "one network for the whole Pareto front: the preference joins its inputs";
    const ABOUT: &'static str = "\
        Ruchte & Grabocka 2021, arXiv:2103.13392: at each step a preference r is drawn from a Dirichlet \
        distribution of this `concentration` (0.001 to 1000), stands beside the inputs, and the losses are \
        combined by it. It needs an aggregator that follows it: cosmos, whose loss is the paper's, linear, \
        tchebycheff, stch, pbi or epo, without `preference.weights`. `preference` has a number for each task, and \
        is that of evaluations and predictions (`predict RUN --preference 0.3,0.7` takes another); at the \
        end of a training it is judged at up to `points` (2 to 10000) preferences. In pictures the \
        preference is K further channels.\n\
        A step costs as much as one of hard_sharing through the graph.";
}

impl CosmosSettings {
    fn preferences(&self) -> PreferenceSettings<'_> {
        let Self { concentration, preference, points } = self;
        PreferenceSettings { concentration: *concentration, preference, points: *points }
    }
}

impl ArchitectureSettings for CosmosSettings {
    fn name(&self) -> &'static str {
        CosmosSettings::NAME
    }

    fn check(&self) -> Result<()> {
        self.preferences().check()
    }

    fn front_aggregator(&self) -> Option<&'static str> {
        Some(crate::aggregators::Cosmos::NAME)
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        whole_front(blueprint, Joined { tasks: blueprint.tasks.len() as i64 }, self.preferences())
    }
}

/// A preference that stands beside the inputs.
#[derive(Debug)]
struct Joined {
    tasks: i64,
}

impl Conditioning for Joined {
    fn shape(&self, row: &[i64]) -> Vec<i64> {
        let mut shape = row.to_vec();
        if let Some(first) = shape.first_mut() {
            *first += self.tasks;
        }
        shape
    }

    fn inputs(&self, x: Tensor, preference: &Tensor) -> Result<Tensor> {
        let mut shape = x.size();
        let mut own = vec![1; shape.len()];
        for size in [&mut shape, &mut own] {
            if let Some(channels) = size.get_mut(1) {
                *channels = self.tasks;
            }
        }
        Ok(Tensor::f_cat(&[&x, &preference.f_reshape(own)?.f_expand(shape, false)?], 1)?)
    }
}

#[cfg(test)]
mod tests {
    use manytask_nn::Context;

    use super::super::testing::{
        F64, blueprinted, images, inputs, linear, mlp, of_blocks, own_rows_are_as_shared_ones, tasks,
    };
    use super::*;
    use crate::architecture::TaskInputs;

    #[test]
    fn the_preference_stands_behind_each_row() {
        let settings = CosmosSettings { preference: vec![1.0, 3.0], ..CosmosSettings::default() };
        let network = blueprinted(&settings, &tasks(2), &[("trunk", mlp(&[5]))]);
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        assert_eq!(params.named("trunk.layer0.weight").unwrap().size(), [5, 6]);
        let x = inputs(6);
        for (asked, joined) in [(None, [0.25, 0.75]), (Some(vec![0.9, 0.1]), [0.9, 0.1])] {
            let given = TaskInputs::shared(&x).at(asked);
            let found = network.forward(&params, &given, &[0, 1], &mut Context::eval()).unwrap();
            let r = Tensor::from_slice(&joined).expand([6, 2], false);
            let rows = Tensor::cat(&[x.tensor(F64.0).unwrap(), r], 1);
            let features = linear(&params, &rows, "trunk.layer0").relu();
            for task in 0..2 {
                let expected = linear(&params, &features, &format!("heads.t{task}"));
                let difference = found.raw(task).unwrap() - expected;
                assert!(difference.abs().max().double_value(&[]) < 1e-12);
            }
        }
        own_rows_are_as_shared_ones(network.as_ref(), &params);
    }

    #[test]
    fn pictures_have_a_channel_for_each_task() {
        let network = of_blocks(&CosmosSettings::default(), &tasks(2));
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        let of = |preference: [f64; 2]| {
            let given = TaskInputs::shared(&images(6)).at(Some(preference.to_vec()));
            network.forward(&params, &given, &[0, 1], &mut Context::eval()).unwrap().raw(0).unwrap()
        };
        assert_ne!(of([0.1, 0.9]), of([0.9, 0.1]));
        assert_eq!(of([0.5, 0.5]), network.outputs(&params, &[images(6)]).unwrap()[0]);
    }
}
