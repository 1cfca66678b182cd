//! Names that settings can have beside those of a `kind`, shown by `list` and `explain`.

mod aggregation;
mod tables;

use self::aggregation::AGGREGATION;
use self::tables::TABLES;

/// The names that one setting can have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    /// What they are.
    pub(crate) kind: &'static str,
    /// Where they stand.
    pub(crate) place: &'static str,
    /// Each with what it is, and how it is written with its settings.
    pub(crate) names: &'static [(&'static str, &'static str, &'static str)],
}

/// All, by what they are.
pub(crate) fn choices() -> impl Iterator<Item = &'static Choice> {
    CHOICES.iter().chain(TABLES).chain(AGGREGATION)
}

const CHOICES: &[Choice] = &[
    Choice {
        kind: "loss",
        place: "tasks.NAME.loss",
        names: &[
            ("mse", "the squared error, of regressions", "loss = \"mse\"\n"),
            ("l1", "the absolute error, of regressions", "loss = \"l1\"\n"),
            (
                "huber",
                "squared up to `delta`, linear beyond, of regressions",
                "loss = { huber = { delta = 1.0 } } # or \"huber\", which is the same\n",
            ),
            (
                "binary_cross_entropy",
                "the negative log-likelihood of yes or no, of binary and multilabel targets",
                "loss = { binary_cross_entropy = { positive_weight = 2.0 } } # how much a yes counts; left out, or \"binary_cross_entropy\": as a no\n",
            ),
            (
                "focal",
                "cross-entropy that discounts what is predicted well (Lin et al. 2017), of binary and multilabel targets",
                "loss = { focal = { gamma = 2.0, alpha = 0.25 } } # alpha weighs yes, 1 - alpha no; left out: alike\n",
            ),
            (
                "cross_entropy",
                "the negative log-likelihood of the class, of multiclass targets",
                "loss = { cross_entropy = { label_smoothing = 0.1, class_weights = [1.0, 2.0, 1.0] } } # both can be left out\n",
            ),
        ],
    },
    Choice {
        kind: "metric",
        place: "tasks.NAME.metrics",
        names: &[
            ("rmse", "the root of the mean squared error, of regressions", "metrics = [\"rmse\"]\n"),
            ("mae", "the mean absolute error, of regressions", "metrics = [\"mae\"]\n"),
            ("mse", "the mean squared error, of regressions", "metrics = [\"mse\"]\n"),
            (
                "r2",
                "the share of the variance that is explained, 1 - SS/SS0, of regressions",
                "metrics = [\"r2\"]\n",
            ),
            (
                "explained_variance",
                "the same, whatever the mean of the errors, of regressions",
                "metrics = [\"explained_variance\"]\n",
            ),
            ("accuracy", "the share of right answers", "metrics = [\"accuracy\"]\n"),
            (
                "balanced_accuracy",
                "the mean over classes of the share of right answers",
                "metrics = [\"balanced_accuracy\"]\n",
            ),
            (
                "f1",
                "2 TP / (2 TP + FP + FN), the mean over classes where there are several",
                "metrics = [\"f1\"]\n",
            ),
            ("roc_auc", "the area under the ROC curve", "metrics = [\"roc_auc\"]\n"),
            (
                "average_precision",
                "the area under the precision-recall curve",
                "metrics = [\"average_precision\"]\n",
            ),
            ("log_loss", "the mean negative log-likelihood", "metrics = [\"log_loss\"]\n"),
            (
                "calibration_error",
                "how far probabilities are from shares, over 15 bins (Guo et al. 2017)",
                "metrics = [\"calibration_error\"]\n",
            ),
        ],
    },
    Choice {
        kind: "target kind",
        place: "data.targets",
        names: &[
            ("regression", "a number", "[[data.targets]]\nname = \"score\"\nkind = \"regression\"\n"),
            (
                "binary",
                "yes or no",
                "[[data.targets]]\nname = \"income\"\nkind = \"binary\"\npositive = [\"50000+.\"] # left out: the column holds 0 and 1\n",
            ),
            (
                "multiclass",
                "one of several classes",
                "[[data.targets]]\nname = \"size\"\nkind = \"multiclass\"\nclasses = [\"small\", \"large\"] # left out: those of the training split\n",
            ),
            (
                "multilabel",
                "several times yes or no",
                "[[data.targets]]\nname = \"tags\"\nkind = \"multilabel\"\ncolumns = [\"red\", \"round\"]\n",
            ),
        ],
    },
    Choice {
        kind: "split",
        place: "data.split",
        names: &[
            ("random", "each row by itself", "split.random = { validation = 0.1, test = 0.2, seed = 1 }\n"),
            (
                "grouped",
                "rows with the same value of a column stay together",
                "split.grouped = { column = \"patient\", validation = 0.1, test = 0.2, seed = 1 }\n",
            ),
            (
                "per_group",
                "each group of rows is split by the same shares",
                "split.per_group = { column = \"school\", validation = 0.1, test = 0.2, seed = 1 }\n",
            ),
            (
                "column",
                "by the values of a column",
                "split.column = { column = \"year\", validation = [\"2019\"], test = [\"2020\"] } # the rest trains, or `train`\n",
            ),
            (
                "files",
                "by files; the table itself is the training split",
                "split.files = { test = \"test.csv\", validation_fraction = 0.1, seed = 1 } # or `validation`, a file\n",
            ),
        ],
    },
    Choice {
        kind: "scale",
        place: "data.inputs.scale",
        names: &[
            (
                "standard",
                "numbers with mean 0 and deviation 1 over the training split",
                "scale = \"standard\"\n",
            ),
            (
                "robust",
                "the median 0 and the distance of the quartiles 1, for numbers with outliers",
                "scale = \"robust\"\n",
            ),
            (
                "quantile",
                "the quantiles of the training split become those of the normal distribution",
                "scale = \"quantile\"\n",
            ),
            (
                "piecewise",
                "an input for each of `bins` with as many rows: how much of the bin lies below the number",
                "scale = \"piecewise\"\nbins = 32\n",
            ),
            ("raw", "numbers as they are", "scale = \"raw\"\n"),
        ],
    },
    Choice {
        kind: "characters",
        place: "data.split of omniglot",
        names: &[
            (
                "random",
                "characters by lot, irrespective of the alphabet",
                "split.random = { train = 1100, validation = 100, seed = 0 }\n",
            ),
            (
                "vinyals",
                "by lists of classes (Vinyals et al. 2016)",
                "split.vinyals = { train = \"train.txt\", validation = \"val.txt\", test = \"test.txt\" }\n",
            ),
            (
                "lake",
                "the authors' own: the background set trains, the evaluation set tests",
                "split = \"lake\"\n",
            ),
        ],
    },
    Choice {
        kind: "rotations",
        place: "data.rotations of omniglot",
        names: &[
            ("none", "characters as they are", "rotations = \"none\"\n"),
            ("quarter", "each character is four classes, by quarters of a turn", "rotations = \"quarter\"\n"),
        ],
    },
    Choice {
        kind: "gate",
        place: "network.routing of dselect_k",
        names: &[
            ("example", "a gate that looks at the row's inputs", "routing = \"example\"\n"),
            ("task", "a gate that is the same for all rows", "routing = \"task\"\n"),
        ],
    },
    Choice {
        kind: "distance",
        place: "network.distance of soft_sharing",
        names: &[
            ("squared", "the mean squared distance to the other tasks' trunks", "distance = \"squared\"\n"),
            (
                "trace_norm",
                "the sum of the singular values of all trunks' parameters, a row for each task",
                "distance = \"trace_norm\"\n",
            ),
        ],
    },
    Choice {
        kind: "units",
        place: "network.units of cross_stitch",
        names: &[
            (
                "channel",
                "each channel of pictures, each number of rows, has its own",
                "units = \"channel\"\n",
            ),
            ("layer", "one for each stage", "units = \"layer\"\n"),
        ],
    },
    Choice {
        kind: "activation",
        place: "network.trunk.activation",
        names: &[
            ("identity", "x", "activation = \"identity\"\n"),
            ("relu", "max(x, 0)", "activation = \"relu\"\n"),
            ("tanh", "the hyperbolic tangent", "activation = \"tanh\"\n"),
            ("sigmoid", "1 / (1 + exp(-x))", "activation = \"sigmoid\"\n"),
            ("gelu", "x times the normal distribution function of x", "activation = \"gelu\"\n"),
            ("silu", "x sigmoid(x)", "activation = \"silu\"\n"),
            ("softplus", "ln(1 + exp(x))", "activation = \"softplus\"\n"),
            ("leaky_relu", "x, and 0.01 x below 0", "activation = \"leaky_relu\"\n"),
            ("elu", "x, and exp(x) - 1 below 0 (Clevert et al. 2016)", "activation = \"elu\"\n"),
            ("selu", "a scaled elu (Klambauer et al. 2017)", "activation = \"selu\"\n"),
        ],
    },
    Choice {
        kind: "norm",
        place: "network.trunk.norm",
        names: &[
            ("none", "no normalisation", "norm = \"none\"\n"),
            ("batch", "over the batch (Ioffe & Szegedy 2015)", "norm = \"batch\"\n"),
            ("layer", "over each row (Ba et al. 2016)", "norm = \"layer\"\n"),
        ],
    },
    Choice {
        kind: "init",
        place: "network.trunk.init",
        names: &[
            (
                "pytorch",
                "uniform within 1/sqrt(inputs), for biases too, as in PyTorch",
                "init = \"pytorch\"\n",
            ),
            ("kaiming", "normal of variance 2/inputs, biases 0 (He et al. 2015)", "init = \"kaiming\"\n"),
            (
                "xavier",
                "uniform within sqrt(6/(inputs + outputs)), biases 0 (Glorot & Bengio 2010)",
                "init = \"xavier\"\n",
            ),
            (
                "truncated_normal",
                "normal of deviation 0.01 cut at two deviations, biases 0: MAML's sinusoid network",
                "init = \"truncated_normal\"\n",
            ),
        ],
    },
    Choice {
        kind: "precision",
        place: "precision",
        names: &[
            ("full", "layers compute in float32", "precision = \"full\"\n"),
            ("bfloat16", "linear layers and convolutions compute in bfloat16", "precision = \"bfloat16\"\n"),
        ],
    },
    Choice {
        kind: "capture",
        place: "capture",
        names: &[
            (
                "auto",
                "steps on a GPU are launched as a whole, as CUDA graphs, where that can be",
                "capture = \"auto\"\n",
            ),
            ("off", "steps on a GPU are launched operation by operation", "capture = \"off\"\n"),
        ],
    },
    Choice {
        kind: "batch order",
        place: "training.batch_order",
        names: &[
            ("shuffled", "a new random order in each epoch", "batch_order = \"shuffled\"\n"),
            ("sequential", "the order of the rows", "batch_order = \"sequential\"\n"),
        ],
    },
    Choice {
        kind: "last batch",
        place: "training.last_batch",
        names: &[
            ("keep", "a last batch that is not full is used", "last_batch = \"keep\"\n"),
            ("drop", "it is left out, unless it is the only one", "last_batch = \"drop\"\n"),
        ],
    },
    Choice {
        kind: "goal",
        place: "training.monitor.goal",
        names: &[
            ("minimise", "less is better", "monitor = { metric = \"rmse\", goal = \"minimise\" }\n"),
            ("maximise", "more is better", "monitor = { metric = \"f1\", goal = \"maximise\" }\n"),
        ],
    },
    Choice {
        kind: "decay",
        place: "optimizer.decay",
        names: &[
            ("all", "weight decay is for all parameters, as in PyTorch", "decay = \"all\"\n"),
            (
                "weights",
                "for matrices, kernels and embeddings: no biases, no scales of normalisations",
                "decay = \"weights\"\n",
            ),
        ],
    },
    Choice {
        kind: "execution of rows",
        place: "training.execution of tasks on rows",
        names: &[
            (
                "auto",
                "fused passes where network and device have them, else the graph",
                "execution = \"auto\"\n",
            ),
            ("graph", "through the graph alone", "execution = \"graph\"\n"),
            (
                "verify",
                "both, at the cost of both: a step ends with an error where they differ by more than rounding",
                "execution = \"verify\"\n",
            ),
        ],
    },
    Choice {
        kind: "execution",
        place: "training.execution",
        names: &[
            ("loop", "tasks one after the other", "execution = \"loop\"\n"),
            ("threads", "one after the other in each of so many threads", "execution = { threads = 2 }\n"),
            (
                "batched",
                "all at once, along a leading dimension of every parameter",
                "execution = \"batched\"\n",
            ),
            (
                "analytic",
                "with every derivative in closed form, a task at a time in each thread",
                "execution = \"analytic\"\n",
            ),
            ("auto", "what is fastest for the network and the device", "execution = \"auto\"\n"),
            (
                "verify",
                "as auto, and in a loop through the graph, at the cost of both: a step ends with an error where they differ by more than rounding",
                "execution = \"verify\"\n",
            ),
        ],
    },
    Choice {
        kind: "adapts",
        place: "learner.adapts",
        names: &[
            ("all", "all parameters adapt", "adapts = \"all\"\n"),
            ("head", "those named head.… adapt", "adapts = \"head\"\n"),
            ("body", "all but those adapt", "adapts = \"body\"\n"),
            ("named", "those whose names begin so adapt", "adapts = { named = [\"layer1.\", \"head.\"] }\n"),
        ],
    },
    Choice {
        kind: "outer gradient",
        place: "learner.outer_gradient",
        names: &[
            ("second_order", "goes through the inner steps", "outer_gradient = \"second_order\"\n"),
            ("first_order", "takes them for constants", "outer_gradient = \"first_order\"\n"),
            (
                "difference",
                "is the difference of the parameters before and after them (Reptile)",
                "outer_gradient = \"difference\"\n",
            ),
        ],
    },
    Choice {
        kind: "learned rates",
        place: "learner.learned_rates",
        names: &[
            ("none", "one rate, which is fixed", "learned_rates = \"none\"\n"),
            (
                "per_tensor_and_step",
                "a rate of each tensor in each inner step, of any sign",
                "learned_rates = \"per_tensor_and_step\"\n",
            ),
        ],
    },
    Choice {
        kind: "feature transform",
        place: "learner.transform",
        names: &[
            ("none", "features as they are", "transform = \"none\"\n"),
            ("l2n", "scaled to length 1", "transform = \"l2n\"\n"),
            (
                "cl2n",
                "centred by the mean over all training classes, then scaled to length 1",
                "transform = \"cl2n\"\n",
            ),
        ],
    },
    Choice {
        kind: "classifier",
        place: "pretraining.classifier",
        names: &[
            ("linear", "inner products with an offset", "classifier = \"linear\"\n"),
            (
                "cosine",
                "a fixed scale times cosines, with a learned length of each class vector",
                "classifier = { cosine = { scale = 2.0 } }\n",
            ),
        ],
    },
    Choice {
        kind: "batch-norm statistics",
        place: "training.batch_norm",
        names: &[
            (
                "batch",
                "those of each pass' own examples, also in evaluation: a task's queries are normalised together (transductive)",
                "batch_norm = \"batch\"\n",
            ),
            (
                "running",
                "in evaluation those that the passes of the training have moved: no prediction depends on other queries",
                "batch_norm = \"running\"\n",
            ),
        ],
    },
];

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;

    /// The names that a type takes, as its own message lists them.
    fn known<T: DeserializeOwned>() -> Vec<String> {
        let message = match toml::Value::from("no such name").try_into::<T>() {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        message.split('`').skip(1).step_by(2).skip(1).map(str::to_owned).collect()
    }

    fn complete<T: DeserializeOwned>(kind: &str) {
        let choice = choices().find(|choice| choice.kind == kind).unwrap();
        let mut listed: Vec<&str> = choice.names.iter().map(|(name, ..)| *name).collect();
        let mut known = known::<T>();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known, "{kind}");
    }

    #[test]
    fn every_name_of_every_setting_is_explained() {
        complete::<manytask_nn::loss::Loss>("loss");
        complete::<manytask_nn::metrics::Metric>("metric");
        complete::<manytask_data::TargetKind>("target kind");
        complete::<manytask_data::SplitRule>("split");
        complete::<manytask_data::Scale>("scale");
        complete::<manytask_data::OmniglotSplit>("characters");
        complete::<manytask_data::Rotations>("rotations");
        complete::<manytask_multitask::architectures::Units>("units");
        complete::<manytask_nn::layers::Activation>("activation");
        complete::<manytask_nn::nets::Norm>("norm");
        complete::<manytask_nn::nets::Init>("init");
        complete::<manytask_nn::Precision>("precision");
        complete::<manytask_tensor::capture::Capture>("capture");
        complete::<manytask_data::BatchOrder>("batch order");
        complete::<manytask_data::LastBatch>("last batch");
        complete::<manytask_multitask::Goal>("goal");
        complete::<manytask_nn::optim::Decay>("decay");
        complete::<manytask_meta::Execution>("execution");
        complete::<manytask_multitask::Execution>("execution of rows");
        complete::<manytask_meta::Adapts>("adapts");
        complete::<manytask_meta::OuterGradient>("outer gradient");
        complete::<manytask_meta::BatchNormStatistics>("batch-norm statistics");
        complete::<manytask_meta::LearnedRates>("learned rates");
        complete::<manytask_meta::FeatureTransform>("feature transform");
        complete::<manytask_meta::Classifier>("classifier");
        complete::<manytask_data::TaskSampling>("task sampling");
        complete::<manytask_data::WeightIn>("weights");
        complete::<manytask_data::Quotes>("quotes");
        complete::<manytask_multitask::Level>("level");
        complete::<manytask_multitask::aggregators::Normalisation>("normalisation");
        complete::<manytask_multitask::aggregators::Rescale>("rescale");
        complete::<manytask_multitask::aggregators::Scale>("singular value");
        complete::<manytask_multitask::aggregators::WeightScale>("weight scale");
        complete::<manytask_multitask::aggregators::LossTransform>("loss transform");
        complete::<manytask_multitask::aggregators::InitialLoss>("initial loss");
        complete::<manytask_multitask::aggregators::MaximumForm>("maximum");
        complete::<manytask_multitask::aggregators::WeightDistribution>("distribution");
        complete::<manytask_multitask::aggregators::Form>("likelihood");
        complete::<manytask_multitask::aggregators::ChangeRate>("change");
    }

    #[test]
    fn every_example_is_of_its_name() {
        for (name, _, text) in choices().flat_map(|choice| choice.names) {
            assert!(text.parse::<toml::Table>().is_ok_and(|table| !table.is_empty()), "{text}");
            assert!(text.contains(name), "{name}: {text}");
        }
        for (_, _, text) in
            CHOICES.iter().filter(|choice| choice.kind == "loss").flat_map(|choice| choice.names)
        {
            let table = text.parse::<toml::Table>().unwrap();
            table["loss"].clone().try_into::<manytask_nn::loss::Loss>().unwrap().check().unwrap();
        }
        for (_, _, text) in
            CHOICES.iter().filter(|choice| choice.kind == "split").flat_map(|choice| choice.names)
        {
            let table = text.parse::<toml::Table>().unwrap();
            table["split"].clone().try_into::<manytask_data::SplitRule>().unwrap().check().unwrap();
        }
    }
}
