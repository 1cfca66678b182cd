//! Everything that a configuration can name.

use std::collections::BTreeMap;
use std::sync::Arc;

use manytask_data::{Columns, Fractions, Inputs, Split, TableDataset, TableSource, TargetKind, TargetSpec};
use manytask_meta::{Adapts, Learner, Maml, OuterGradient, ProtoNet};
use manytask_multitask::AggregatorSettings;
use manytask_multitask::aggregators::{
    AlignedMtl, CaGrad, EqualWeights, FixedWeights, Mgda, NashMtl, PcGrad, UncertaintyWeighting, UpGrad,
};
use manytask_nn::nets::{Conv4Config, MlpConfig};
use manytask_nn::optim::{Adam, AdamW, Optimizer, RmsProp, Sgd};
use manytask_nn::schedule::Course;
use serde::{Deserialize, Serialize};

use crate::data::DataSettings;
use crate::episodes::{BackboneSettings, EpisodeSettings, OmniglotSection, SinusoidSection};
use crate::network::TrunkSettings;
use crate::registry::Registry;

/// All registries. [`Registries::default`] has what comes with manytask; add your own, then run
/// [`main_with`](crate::main_with).
#[derive(Debug)]
pub struct Registries {
    /// `[data]` of rows with labels.
    pub data: Registry<Box<dyn DataSettings>>,
    /// `[data]` of episodes, for learners.
    pub episodes: Registry<Box<dyn EpisodeSettings>>,
    /// `[learner]`.
    pub learners: Registry<Arc<dyn Learner>>,
    /// `[network]` of learners.
    pub backbones: Registry<Box<dyn BackboneSettings>>,
    /// `trunk` and `head` of `[network]`.
    pub trunks: Registry<Box<dyn TrunkSettings>>,
    /// `[aggregator]`.
    pub aggregators: Registry<Box<dyn AggregatorSettings>>,
    /// `[optimizer]`.
    pub optimizers: Registry<Optimizer>,
    /// `[schedule]`.
    pub schedules: Registry<Course>,
}

impl Default for Registries {
    fn default() -> Self {
        Self {
            data: data(),
            episodes: episodes(),
            learners: learners(),
            backbones: backbones(),
            trunks: trunks(),
            aggregators: aggregators(),
            optimizers: optimizers(),
            schedules: schedules(),
        }
    }
}

fn data() -> Registry<Box<dyn DataSettings>> {
    let mut registry = Registry::<Box<dyn DataSettings>>::new("data set", "data");
    let example = TableDataset {
        source: TableSource::new("people.csv.gz"),
        split: Some(Split::Random(Fractions { validation: 0.1, test: 0.2, seed: 1 })),
        inputs: Inputs { one_hot: Columns::from("rest"), ..Inputs::default() },
        targets: vec![TargetSpec::new("income", TargetKind::Binary)],
        weight: None,
        tasks_by: None,
    };
    registry.add(
        "table",
        "a CSV table, plain or packed with gzip",
        "Columns are numeric, one-hot or embedded inputs, or labels; missing labels are left out of losses and metrics. With \
         `tasks_by` each value of a column is a task with its own rows.",
        &example,
        |table: TableDataset| Box::new(table) as Box<dyn DataSettings>,
    );
    registry
}

fn episodes() -> Registry<Box<dyn EpisodeSettings>> {
    type Any = Box<dyn EpisodeSettings>;
    let mut registry = Registry::<Any>::new("episodes", "data");
    registry.add(
        "sinusoid",
        "regression on sine waves",
        "y = a sin(f x - p) with amplitude, phase and frequency drawn for each task (Finn et al. 2017, section 5.1).",
        &SinusoidSection::default(),
        |s: SinusoidSection| Box::new(s) as Any,
    );
    registry.add(
        "omniglot",
        "N-way K-shot classification of handwritten characters",
        "Lake et al. 2015, from the official images_background.zip and images_evaluation.zip in `folder`.",
        &OmniglotSection::default(),
        |s: OmniglotSection| Box::new(s) as Any,
    );
    registry
}

fn learners() -> Registry<Arc<dyn Learner>> {
    type Any = Arc<dyn Learner>;
    let mut registry = Registry::<Any>::new("learner", "learner");
    let maml = Maml::default();
    registry.add(
        "maml",
        "a start from which few steps of gradient descent lead far",
        "Finn et al. 2017, arXiv:1703.03400: the gradient of the query loss goes through the inner steps.\n\
         With `checkpoint_every = C` the parameters of every C-th inner step are kept and what lies between is computed\n\
         again: less memory for many inner steps, at most one further pass through them. Left out, all is kept.",
        &maml,
        |m: Maml| Arc::new(m) as Any,
    );
    let first = Maml { outer_gradient: OuterGradient::FirstOrder, ..maml.clone() };
    registry.add(
        "fomaml",
        "MAML with the gradient at the adapted parameters",
        "Finn et al. 2017, section 5.2: inner steps count as constants; a fraction of the time and memory.",
        &first,
        |m: Maml| Arc::new(Maml { outer_gradient: OuterGradient::FirstOrder, ..m }) as Any,
    );
    registry.add(
        "anil",
        "MAML of which the head alone adapts",
        "Raghu et al. 2020, arXiv:1909.09157.",
        &Maml { adapts: Adapts::Head, ..maml.clone() },
        |m: Maml| Arc::new(Maml { adapts: Adapts::Head, ..m }) as Any,
    );
    registry.add(
        "boil",
        "MAML of which all but the head adapts",
        "Oh et al. 2021, arXiv:2008.08882.",
        &Maml { adapts: Adapts::Body, ..maml },
        |m: Maml| Arc::new(Maml { adapts: Adapts::Body, ..m }) as Any,
    );
    registry.add(
        "protonet",
        "classes by the mean of their embeddings",
        "Snell et al. 2017, arXiv:1703.05175: logits are negative squared distances to the classes' means.",
        &ProtoNet::default(),
        |p: ProtoNet| Arc::new(p) as Any,
    );
    registry
}

fn backbones() -> Registry<Box<dyn BackboneSettings>> {
    type Any = Box<dyn BackboneSettings>;
    let mut registry = Registry::<Any>::new("backbone", "network");
    registry.add(
        "mlp",
        "a multi-layer perceptron",
        "Linear layers, each followed by normalisation, activation and dropout; pictures are flattened.",
        &MlpConfig { hidden: vec![40, 40], ..MlpConfig::default() },
        |mlp: MlpConfig| Box::new(mlp) as Any,
    );
    registry.add(
        "conv4",
        "four blocks of convolution, batch-norm, ReLU and max-pooling",
        "Vinyals et al. 2016: the network of few-shot learning.",
        &Conv4Config::default(),
        |conv: Conv4Config| Box::new(conv) as Any,
    );
    registry
}

fn trunks() -> Registry<Box<dyn TrunkSettings>> {
    let mut registry = Registry::<Box<dyn TrunkSettings>>::new("trunk", "network.trunk");
    registry.add(
        "mlp",
        "a multi-layer perceptron",
        "Linear layers, each followed by normalisation, activation and dropout.",
        &MlpConfig { hidden: vec![128], ..MlpConfig::default() },
        |mlp: MlpConfig| Box::new(mlp) as Box<dyn TrunkSettings>,
    );
    registry
}

fn aggregators() -> Registry<Box<dyn AggregatorSettings>> {
    type Any = Box<dyn AggregatorSettings>;
    let mut registry = Registry::<Any>::new("aggregator", "aggregator");
    registry.add(
        "equal_weights",
        "the mean of the losses",
        "The mean over the tasks that are present, 1/K Σ l.",
        &EqualWeights::default(),
        |a: EqualWeights| Box::new(a) as Any,
    );
    registry.add(
        "fixed_weights",
        "a weighted sum of the losses",
        "Σ w l with a weight for each task by name.",
        &FixedWeights { weights: BTreeMap::from([("task".to_owned(), 1.0)]) },
        |a: FixedWeights| Box::new(a) as Any,
    );
    registry.add(
        "uncertainty_weighting",
        "losses weighted by learned variances",
        "Kendall, Gal & Cipolla 2018, arXiv:1705.07115: Σ (exp(-s) l + s) / 2 with a learned s for each task, which has its \
         own Adam and no weight decay. The best s is ln l.",
        &UncertaintyWeighting::default(),
        |a: UncertaintyWeighting| Box::new(a) as Any,
    );
    registry.add(
        "pcgrad",
        "gradients without their components against each other",
        "Yu et al. 2020, arXiv:2001.06782: each task's gradient gives up, in random order, what goes against the others; \
         the sum is followed.",
        &PcGrad::default(),
        |a: PcGrad| Box::new(a) as Any,
    );
    registry.add(
        "mgda",
        "the shortest vector in the gradients' convex hull",
        "Désidéri 2012; Sener & Koltun 2018, arXiv:1810.04650: a direction that is down for every task, or a sign that there \
         is none. With level = \"representation\" it is MGDA-UB, which takes one pass through the trunk.",
        &Mgda::default(),
        |a: Mgda| Box::new(a) as Any,
    );
    add_solved(&mut registry);
    registry
}

/// Aggregators whose weights solve a problem on the gradients' Gramian.
fn add_solved(registry: &mut Registry<Box<dyn AggregatorSettings>>) {
    type Any = Box<dyn AggregatorSettings>;
    registry.add(
        "cagrad",
        "near the mean gradient, the direction that is best for the task it helps least",
        "Liu et al. 2021, arXiv:2110.14048: max min <g, d> over |d - g0| <= c |g0|, solved exactly. `rescale` divides d by 1 + c² \
         (one_plus_c_squared, as the authors' code), by 1 + c (one_plus_c), or not at all (none).",
        &CaGrad::default(),
        |a: CaGrad| Box::new(a) as Any,
    );
    registry.add(
        "upgrad",
        "the mean of gradients that each were projected to go against no task",
        "Quinton & Rey 2024, arXiv:2406.16232: each gradient's nearest vector whose inner products with all gradients are at \
         least 0, found exactly; their mean is followed.",
        &UpGrad::default(),
        |a: UpGrad| Box::new(a) as Any,
    );
    registry.add(
        "aligned_mtl",
        "the mean of gradients whose principal components have one length",
        "Senushkin et al. 2023, arXiv:2305.19000: the singular values of the gradients all become the smallest, the median or \
         the root mean square of them (`scale`: min, median, rmse).",
        &AlignedMtl::default(),
        |a: AlignedMtl| Box::new(a) as Any,
    );
    registry.add(
        "nash_mtl",
        "the bargain between tasks that no other beats in proportion",
        "Navon et al. 2022, arXiv:2202.01017: weights a > 0 with G a = 1/a, solved exactly; the direction is at most `max_norm` \
         long. With update_every = n weights are kept for n steps, which cost no more than a sum of losses but the first.",
        &NashMtl::default(),
        |a: NashMtl| Box::new(a) as Any,
    );
}

fn optimizers() -> Registry<Optimizer> {
    let mut registry = Registry::new("optimizer", "optimizer").with_common("learning_rate = 1e-3\n");
    registry.add(
        "sgd",
        "stochastic gradient descent",
        "With momentum, dampening, Nesterov's step.",
        &Sgd::default(),
        Optimizer::Sgd,
    );
    registry.add("adam", "Adam", "Kingma & Ba 2015, arXiv:1412.6980.", &Adam::default(), Optimizer::Adam);
    registry.add(
        "adamw",
        "Adam with decoupled weight decay",
        "Loshchilov & Hutter 2019, arXiv:1711.05101.",
        &AdamW::default(),
        Optimizer::AdamW,
    );
    registry.add("rmsprop", "RMSprop", "Tieleman & Hinton 2012.", &RmsProp::default(), Optimizer::RmsProp);
    registry
}

/// Settings that are not there.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct None {}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    every: u64,
    #[serde(default = "tenth")]
    factor: f64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Down {
    minimum: f64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OneCycle {
    rising: f64,
    start: f64,
    end: f64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Plateau {
    factor: f64,
    patience: u64,
    threshold: f64,
}

fn tenth() -> f64 {
    0.1
}

impl Default for OneCycle {
    fn default() -> Self {
        Self { rising: 0.3, start: 25.0, end: 1e4 }
    }
}

impl Default for Plateau {
    fn default() -> Self {
        Self { factor: 0.1, patience: 10, threshold: 1e-4 }
    }
}

fn schedules() -> Registry<Course> {
    let mut registry = Registry::new("schedule", "schedule").with_common("warm_up_steps = 0\n");
    registry.add("constant", "one learning rate", "", &None {}, |_: None| Course::Constant);
    registry.add(
        "step",
        "a factor every so many steps",
        "",
        &Step { every: 1000, factor: 0.1 },
        |s: Step| Course::Step { every: s.every, factor: s.factor },
    );
    registry.add(
        "cosine",
        "down along a cosine",
        "Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts.",
        &Down::default(),
        |s: Down| Course::Cosine { minimum: s.minimum },
    );
    registry.add("linear", "down along a line", "", &Down::default(), |s: Down| Course::Linear {
        minimum: s.minimum,
    });
    registry.add(
        "one_cycle",
        "up and down once",
        "Smith & Topin 2018, arXiv:1708.07120.",
        &OneCycle::default(),
        |s: OneCycle| Course::OneCycle { rising: s.rising, start: s.start, end: s.end },
    );
    registry.add(
        "plateau",
        "a factor when the validation figure gets no better",
        "",
        &Plateau::default(),
        |s: Plateau| Course::Plateau { factor: s.factor, patience: s.patience, threshold: s.threshold },
    );
    registry
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Source;
    use crate::failure::Result;

    /// Reads every example of a registry as a configuration would.
    fn all_are_read<T>(registry: &Registry<T>, common: &[&str]) {
        assert!(registry.entries().next().is_some());
        for (name, _) in registry.entries() {
            let text = registry.example(name).unwrap();
            let source = Source::new(Path::new("a.toml"), &text, &[]).unwrap();
            let read = || -> Result<T> {
                let mut section = source.section()?;
                for part in registry.section().split('.') {
                    section = section.required_table(part)?;
                }
                for key in common {
                    section.required::<f64>(key)?;
                }
                registry.make(section)
            };
            if let Err(failure) = read() {
                panic!("{name}: {failure}\n{text}");
            }
        }
    }

    #[test]
    fn what_is_shown_of_a_name_can_be_written_into_a_configuration() {
        let all = Registries::default();
        all_are_read(&all.data, &[]);
        all_are_read(&all.episodes, &[]);
        all_are_read(&all.learners, &[]);
        all_are_read(&all.backbones, &[]);
        all_are_read(&all.trunks, &[]);
        all_are_read(&all.aggregators, &[]);
        all_are_read(&all.optimizers, &["learning_rate"]);
        all_are_read(&all.schedules, &["warm_up_steps"]);
    }
}
