//! Names of settings of trainings.

use super::Choice;

/// All of them.
pub(super) const TRAINING: &[Choice] = &[
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
        kind: "across",
        place: "training.monitor.across",
        names: &[
            (
                "mean",
                "the mean over the tasks, by monitor.weights",
                "monitor = { metric = \"loss\", across = \"mean\", weights = { income = 2.0 } }\n",
            ),
            (
                "worst",
                "the worst of the tasks, each times its weight",
                "monitor = { metric = \"loss\", across = \"worst\" }\n",
            ),
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
];
