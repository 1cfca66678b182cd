//! Names of settings of networks, and of how they compute.

use super::Choice;

/// All of them.
pub(super) const NETWORKS: &[Choice] = &[
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
            (
                "tf32",
                "on a GPU what is multiplied is rounded to TF32, 11 significant bits, and summed in float32; a processor computes in float32",
                "precision = \"tf32\"\n",
            ),
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
];
