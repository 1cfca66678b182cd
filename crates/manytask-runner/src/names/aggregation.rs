//! Names in the settings of aggregators.

use super::Choice;

/// All, by what they are.
pub(super) const AGGREGATION: &[Choice] = &[
    Choice {
        kind: "level",
        place: "aggregator.level",
        names: &[
            ("parameters", "gradients by the shared parameters", "level = \"parameters\"\n"),
            (
                "representation",
                "gradients by the last shared activation: cheaper, an upper bound of the same problem",
                "level = \"representation\"\n",
            ),
            (
                "last_layer",
                "gradients by the shared layer with the last weight matrix",
                "level = \"last_layer\"\n",
            ),
            (
                "layers",
                "gradients by the shared layers of these names",
                "level = { layers = [\"trunk.layer1\"] }\n",
            ),
        ],
    },
    Choice {
        kind: "normalisation",
        place: "aggregator.normalisation of mgda",
        names: &[
            ("none", "gradients as they are", "normalisation = \"none\"\n"),
            ("l2", "each gradient by its norm", "normalisation = \"l2\"\n"),
            ("loss", "each gradient by the size of its task's loss", "normalisation = \"loss\"\n"),
            (
                "loss_l2",
                "each gradient by both (`loss+` in the authors' code)",
                "normalisation = \"loss_l2\"\n",
            ),
        ],
    },
    Choice {
        kind: "rescale",
        place: "aggregator.rescale of cagrad",
        names: &[
            ("none", "the direction of the paper's algorithm", "rescale = \"none\"\n"),
            (
                "one_plus_c_squared",
                "it is divided by 1 + c², as in the authors' code",
                "rescale = \"one_plus_c_squared\"\n",
            ),
            ("one_plus_c", "it is divided by 1 + c", "rescale = \"one_plus_c\"\n"),
        ],
    },
    Choice {
        kind: "singular value",
        place: "aggregator.scale of aligned_mtl",
        names: &[
            ("min", "all components are as long as the shortest", "scale = \"min\"\n"),
            ("median", "as the one in the middle, the lower of two", "scale = \"median\"\n"),
            ("rmse", "as the root of the mean of their squares", "scale = \"rmse\"\n"),
        ],
    },
    Choice {
        kind: "weight scale",
        place: "aggregator.scale of pipeline",
        names: &[
            ("native", "weights as the method gives them", "scale = \"native\"\n"),
            ("sum", "weights add up to the number of tasks that are there", "scale = \"sum\"\n"),
            ("mean", "weights add up to 1", "scale = \"mean\"\n"),
            ("factor", "what the method gives, times this", "scale = { factor = 0.5 }\n"),
        ],
    },
    Choice {
        kind: "loss transform",
        place: "aggregator.transform of pipeline",
        names: &[
            ("log", "log l: the size of a loss does not matter", "transform = \"log\"\n"),
            ("initial", "l / l(0), with the loss at the task's first step", "transform = \"initial\"\n"),
            (
                "average",
                "l / a, with the moving average a of the task's losses",
                "transform = { average = { decay = 0.99 } }\n",
            ),
        ],
    },
    Choice {
        kind: "initial loss",
        place: "aggregator.initial_loss of gradnorm",
        names: &[
            ("first_step", "a task's loss at its first step", "initial_loss = \"first_step\"\n"),
            (
                "first_epoch",
                "its mean loss over the first epoch, in which weights stay 1",
                "initial_loss = \"first_epoch\"\n",
            ),
        ],
    },
    Choice {
        kind: "maximum",
        place: "aggregator.form of tchebycheff",
        names: &[
            ("product", "max λ (l - z)", "form = \"product\"\n"),
            ("quotient", "max (l - z) / λ: the solution lies from z along λ", "form = \"quotient\"\n"),
        ],
    },
    Choice {
        kind: "distribution",
        place: "aggregator.distribution of rlw",
        names: &[
            ("normal", "the softmax of standard normal numbers", "distribution = \"normal\"\n"),
            ("uniform", "the softmax of uniform numbers in [0, 1)", "distribution = \"uniform\"\n"),
            ("dirichlet", "any point of the simplex alike", "distribution = \"dirichlet\"\n"),
            ("bernoulli", "0 or 1 with the same probability, by their sum", "distribution = \"bernoulli\"\n"),
            ("one_hot", "1 for one task", "distribution = \"one_hot\"\n"),
        ],
    },
    Choice {
        kind: "likelihood",
        place: "aggregator.form of uncertainty_weighting",
        names: &[
            (
                "regression",
                "a normal one, (exp(-s) l + s) / 2: what libraries use for every kind of task",
                "form = \"regression\"\n",
            ),
            (
                "classification",
                "a softmax with temperature, exp(-s) l + s / 2",
                "form = \"classification\"\n",
            ),
            ("revised", "the normal one, with a regulariser that is never below 0", "form = \"revised\"\n"),
        ],
    },
    Choice {
        kind: "change",
        place: "aggregator.rate of softadapt",
        names: &[
            ("plain", "the change of a loss as it is", "rate = \"plain\"\n"),
            ("normalised", "by the sum of the sizes of all changes", "rate = \"normalised\"\n"),
        ],
    },
    Choice {
        kind: "balance",
        place: "aggregator.strategy of metabalance",
        names: &[
            (
                "shorten",
                "auxiliary gradients that are longer than the primary one",
                "strategy = \"shorten\"\n",
            ),
            ("lengthen", "those that are shorter", "strategy = \"lengthen\"\n"),
            ("both", "both", "strategy = \"both\"\n"),
        ],
    },
];
