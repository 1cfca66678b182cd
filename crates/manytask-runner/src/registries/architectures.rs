//! What `[network]` of tasks on rows can name.

mod experts;
mod trunks;

use manytask_multitask::ArchitectureSettings;
use manytask_multitask::architectures::{
    CrossStitchSettings, EsmmSettings, HardSharingSettings, MmoeSettings, SoftSharingSettings,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::registry::Registry;

/// Settings of any architecture.
type Any = Box<dyn ArchitectureSettings>;

/// Keys that every architecture has.
const COMMON: &str = "trunk = { kind = \"mlp\", hidden = [128] }\nembedding = 8\n";

pub(super) fn architectures() -> Registry<Any> {
    let mut registry = Registry::<Any>::new("architecture", "network").with_common(COMMON);
    architecture::<HardSharingSettings>(
        &mut registry,
        "hard_sharing",
        "one trunk for all tasks, and a head for each",
        "Caruana 1993: h = f(x), y_i = f_i(h). The default. `head` are layers before each task's last one. It has one place where shared \
         parameters end and those of tasks begin, so gradients can be taken with respect to the representation there (level = \"representation\"), and \
         its passes are the fastest: on a processor linear trunks go without a graph.",
    );
    architecture::<MmoeSettings>(
        &mut registry,
        "mmoe",
        "experts that all tasks share, mixed by a gate for each task",
        "Ma et al. 2018, doi.org/10.1145/3219819.3220007: f_k(x) = sum_i g_k(x)_i f_i(x), g_k = softmax(W_k x), y_k = h_k(f_k). `trunk` is the form of \
         each of `experts` (1 to 4096), `head` that of each tower. Gates look at the inputs; with the part `bottom`, layers that all share, they look at \
         what these give: write one for images, where a gate would have a weight for each pixel. `temperature` (above 0) makes gates even, \
         `gate_dropout` (in [0, 1)) drops experts in training (Zhao et al. 2019 take 0.1).\n\
         Experts are shared parameters, gates and towers each task's own. A step costs as much as one of `experts` trunks.",
    );
    architecture::<CrossStitchSettings>(
        &mut registry,
        "cross_stitch",
        "a trunk for each task, whose features are exchanged after each stage",
        "Misra et al. 2016, arXiv:1604.03539: after each stage of the trunks x'_a = sum_b alpha_ab x_b, with an alpha for each channel or one for each stage \
         (`units`: channel, layer), which start from `own` for the task itself and (1 - own) / (K - 1) for each other, as in the paper. A `trunk` must \
         have stages: mlp and convolutional trunks have. The paper gives units 100 to 1000 times the rate of SGD; adam moves them as fast as weights.\n\
         Trunks and units change every task's outputs, so they are shared parameters; only heads are each task's own. A step costs as much as one \
         of a trunk for each task.",
    );
    architecture::<SoftSharingSettings>(
        &mut registry,
        "soft_sharing",
        "a trunk for each task, drawn towards those of the others",
        "Duong et al. 2015, doi.org/10.3115/v1/P15-2139: each task's loss has `strength` (at least 0) times the mean squared distance between its trunk's \
         parameters and those of the other tasks. It is part of the training loss, and logged as auxiliary loss trunk_distance/TASK. With distance = \"trace_norm\" it is the sum of the singular values \
         of the tasks' parameters instead (Yang & Hospedales 2017, arXiv:1606.04038). `strength` is to be \
         tuned on the validation split.\n\
         Trunks are each task's own, so without embedded columns nothing is shared, and methods that go by gradients of shared parameters are refused. \
         A step costs as much as one of a trunk for each task.",
    );
    architecture::<EsmmSettings>(
        &mut registry,
        "esmm",
        "an event and another that can only follow it, learned from all rows",
        "Ma et al. 2018, arXiv:1804.07931: exactly two binary tasks on the same rows, first the event (a click), then the event with what followed (a click \
         with a conversion): p2 = p1 times p(conversion after a click), made of logits. A tower for each; `head` are their hidden layers \
         (left out: [360, 200, 80], as the paper), `trunk` are layers before both (left out: none, as the paper, where the towers share embedded columns alone).\n\
         p2 / p1 of a prediction is the probability of a conversion after a click. A label of the second without the first contradicts the model.",
    );
    experts::add(&mut registry);
    trunks::add(&mut registry);
    registry
}

/// Adds an architecture whose defaults are shown.
fn architecture<S>(registry: &mut Registry<Any>, name: &str, summary: &str, about: &str)
where
    S: ArchitectureSettings + Serialize + DeserializeOwned + Default + 'static,
{
    registry.add(name, summary, about, &S::default(), |settings: S| Box::new(settings) as Any);
}
