//! Names in the settings of tables and of their batches.

use super::Choice;

/// All, by what they are.
pub(super) const TABLES: &[Choice] = &[
    Choice {
        kind: "separator",
        place: "data.source.separator",
        names: &[
            ("tab", "a tab between fields", "source = { path = \"a.tsv\", separator = \"tab\" }\n"),
            (
                "auto",
                "found by looking at the first rows: comma, semicolon, tab or bar",
                "source = { path = \"a.csv\", separator = \"auto\" }\n",
            ),
        ],
    },
    Choice {
        kind: "quotes",
        place: "data.source.quotes",
        names: &[
            (
                "double",
                "a field that begins with a quote goes to the next one; two stand for one",
                "source = { path = \"a.csv\", quotes = \"double\" }\n",
            ),
            (
                "literal",
                "a quote is a character like any other",
                "source = { path = \"a.csv\", quotes = \"literal\" }\n",
            ),
        ],
    },
    Choice {
        kind: "weights",
        place: "data.weight_in",
        names: &[
            ("loss", "row weights count in the loss", "weight = \"w\"\nweight_in = \"loss\"\n"),
            (
                "loss_and_metrics",
                "they count in metrics too",
                "weight = \"w\"\nweight_in = \"loss_and_metrics\"\n",
            ),
        ],
    },
    Choice {
        kind: "columns",
        place: "data.inputs",
        names: &[(
            "rest",
            "all columns that are not named elsewhere; a column that is called so is '\\rest'",
            "inputs = { numeric = [\"age\"], one_hot = \"rest\" }\n",
        )],
    },
    Choice {
        kind: "task sampling",
        place: "training.task_sampling",
        names: &[
            ("equal", "with `tasks_by`: as many rows of each task in a batch", "task_sampling = \"equal\"\n"),
            ("proportional", "each row is seen once in an epoch", "task_sampling = \"proportional\"\n"),
        ],
    },
    Choice {
        kind: "device",
        place: "device",
        names: &[
            ("cpu", "the processor", "device = \"cpu\"\n"),
            ("cuda", "the first GPU; `cuda:1` the second", "device = \"cuda\"\n"),
            ("auto", "the first GPU, the processor where there is none", "device = \"auto\"\n"),
        ],
    },
];
