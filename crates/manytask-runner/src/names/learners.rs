//! Names of settings of learners.

use super::Choice;

/// All of them.
pub(super) const LEARNERS: &[Choice] = &[
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
