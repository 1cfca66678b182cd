//! Architectures in which tasks share, change or exchange the features of trunks.

use manytask_multitask::architectures::{
    AdapterSettings, FilmSettings, LoraSettings, MtanSettings, NddrSettings, SingleTaskSettings, TabmSettings,
};

use super::{Any, architecture};
use crate::registry::Registry;

/// Adds them.
pub(super) fn add(registry: &mut Registry<Any>) {
    architecture::<SingleTaskSettings>(
        registry,
        "single_task",
        "a network for each task, which share nothing",
        "What networks of many tasks are compared with, in one run: a `trunk`, a `head` and tables of embedded columns for each task. Its results are those of \
         a run for each task, with one schedule and one choice of the best checkpoint for all; for a run of its own each, see training.only_tasks.\n\
         Nothing is shared, so methods that go by gradients of shared parameters are refused. A step costs as much as one of a trunk for each task.",
    );
    architecture::<NddrSettings>(
        registry,
        "nddr",
        "a trunk for each task, whose features are joined and reduced after each stage",
        "Gao et al. 2019, arXiv:1801.08297: after each stage the channels of all tasks are concatenated, and a 1 x 1 convolution (a linear layer of rows) with \
         batch-norm and relu for each task brings them back to as many as they were. It starts with `own` on the diagonal of the task's own channels and \
         (1 - own) / (K - 1) on those of the others. A `trunk` must have stages: mlp and convolutional trunks have.\n\
         Trunks and layers change every task's outputs, so they are shared; only heads are each task's own. A step costs as much as one of a trunk for each \
         task, and a layer of K C x C weights for each stage and task.",
    );
    architecture::<MtanSettings>(
        registry,
        "mtan",
        "one trunk, on whose features each task lays a mask of attention after each stage",
        "Liu et al. 2019, arXiv:1803.10704: a_j = sigmoid(h(relu(g([p_j; f(a_(j-1) p_(j-1))])))), a task's features are a_j times the stage's p_j. g and h are 1 x 1 \
         convolutions with batch-norm, linear layers of rows; `reduction` (at least 1) makes what is between them narrower. Unlike in the paper g looks at the \
         whole stage's features, and f is 1 x 1. A `trunk` must have stages: mlp and convolutional trunks have.\n\
         The trunk is shared, attention is each task's own.",
    );
    architecture::<FilmSettings>(
        registry,
        "film",
        "one trunk, whose features each task scales and shifts after each stage",
        "Perez et al. 2018, arXiv:1709.07871: scale_i x + shift_i, channel by channel, which are each task's own; with `task_embedding` = E each task has a vector of E \
         numbers, and scales and shifts are linear in it: fewer parameters where tasks are many. A `trunk` must have stages: mlp and convolutional trunks have.\n\
         The trunk and what is linear in the vectors are shared. From the second stage on a step costs as much as one of a trunk for each task.",
    );
    architecture::<AdapterSettings>(
        registry,
        "adapter",
        "one trunk, to whose features each task adds a small correction after each stage",
        "Rebuffi et al. 2017, arXiv:1705.08045, in the form of Houlsby et al. 2019, arXiv:1902.00751: x + U relu(D x) with matrices of the task's own through `rank` \
         (1 to 65536) numbers, 1 x 1 convolutions on pictures. U starts at 0: it starts as hard_sharing. A `trunk` must have stages: mlp and convolutional trunks have.\n\
         The trunk is shared, adapters are each task's own. From the second stage on a step costs as much as one of a trunk for each task.",
    );
    architecture::<LoraSettings>(
        registry,
        "lora",
        "one trunk, each of whose weights a task changes by a matrix of low rank",
        "Hu et al. 2022, arXiv:2106.09685: task i computes with W + alpha / r B_i A_i for every weight W of the trunk, matrices of the task's own of the rank r = `rank`          (1 to 65536); `alpha` is finite. B starts at 0: it starts as hard_sharing. The trunk is trained too. A kernel of a convolution is taken as a matrix of a row for          each channel that comes out. Trunks with batch-norm are refused: its statistics would be those of one task.\n\
         The trunk is shared, A and B are each task's own. A step costs as much as one of a trunk for each task.",
    );
    architecture::<TabmSettings>(
        registry,
        "tabm",
        "k networks in one for tables, which share weights and are averaged",
        "Gorishniy et al. 2025, arXiv:2410.24210: `members` (1 to 4096) networks of the form `trunk` with the same weights but for a factor of each member's own for \
         every input and output of a layer; biases and heads are each member's own. The training loss is the mean of the members' losses, predictions are the mean of \
         their probabilities or values. The paper takes numbers with scale = \"quantile\". Trunks with batch-norm are refused: take norm = \"layer\".\n\
         The trunk is shared, heads are each task's own. A step costs as much as one of `members` trunks.",
    );
}
