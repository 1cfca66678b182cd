//! Architectures whose tasks mix experts.

use manytask_multitask::architectures::{
    AdattSettings, AitmSettings, CgcSettings, DselectKSettings, PleSettings,
};

use super::{Any, architecture};
use crate::registry::Registry;

/// Adds them.
pub(super) fn add(registry: &mut Registry<Any>) {
    architecture::<CgcSettings>(
        registry,
        "cgc",
        "experts that all tasks share and experts of each task, mixed by a gate for each task",
        "Tang et al. 2020, doi.org/10.1145/3383313.3412236, customized gate control: g_k(x) = softmax(W_k x) [E_k(x); E_s(x)]. `trunk` is the form of each of \
         `shared_experts` and of each task's `task_experts` (each 1 to 4096), `head` that of each tower, `bottom` are layers that all share before experts and \
         gates. A task's experts, gate and tower are its own.\n\
         A step costs as much as one of `shared_experts` + K times `task_experts` trunks.",
    );
    architecture::<PleSettings>(
        registry,
        "ple",
        "progressive layered extraction: levels of cgc, with a shared gate between them",
        "Tang et al. 2020, doi.org/10.1145/3383313.3412236: `levels` (1 to 64) of customized gate control. At every level but the last a shared gate mixes the \
         experts of all tasks; the next level's shared experts are given what it gives, each task's experts and gate what the task's own gate gave. With one \
         level it is cgc. `trunk` is the form of every expert.\n\
         What the shared gate mixes is shared by all tasks; the last level's task experts and the last two levels' task gates are each task's own. A step \
         costs as much as one of `levels` times (`shared_experts` + K times `task_experts`) trunks.",
    );
    architecture::<AdattSettings>(
        registry,
        "adatt",
        "adaptive task-to-task fusion: every task mixes the experts of all, and adds its own",
        "Li et al. 2023, arXiv:2304.04959: at each of `levels` (1 to 64) f_t = softmax(W_t f) E + v_t E_t, with the experts E of all modules and those of the task's \
         own, E_t, which are given what the task's module gave at the level before. `shared_experts` (0 to 4096) are those of a module that is no task's; 0 is \
         AdaTT-sp. v is 1 where each module has one expert. `trunk` is the form of each expert.\n\
         Experts reach every task, so they are shared; the last level's gates and v are each task's own. A step costs as much as one of `levels` times \
         (`shared_experts` + K times `task_experts`) trunks.",
    );
    architecture::<DselectKSettings>(
        registry,
        "dselect_k",
        "experts that all tasks share, of which each task selects at most k",
        "Hazimeh et al. 2021, arXiv:2106.03760: a gate of `nonzeros` selectors, each of which gives one expert the weight 1 once it has decided, by a smooth step of \
         the width `gamma` (above 0) in each binary digit of the expert's number; q = sum_l softmax(a)_l r(z_l). `routing` is \"example\" (z and a are linear in \
         the inputs, or in what `bottom` gives) or \"task\" (they are parameters). `experts` is from 2 to 4096.\n\
         In training a task's loss has `entropy` (at least 0) times the entropies of its selectors, mean over rows, which makes them decide; too large and they \
         decide early, and a decision is final. With `experts` not a power of two 1 / (what a selector gives to experts that there are) is added. They are logged as \
         auxiliary losses selector_entropy/TASK and selector_reach/TASK. All experts are computed: a step costs as much as one of mmoe.",
    );
    architecture::<AitmSettings>(
        registry,
        "aitm",
        "events that follow each other, each told by attention what the one before it knows",
        "Xi et al. 2021, arXiv:2105.08489: binary tasks in the order of the events (click, approval, activation). Each has a tower of the form `trunk`; \
         z_t = attention over g(z_(t-1)) and the task's own tower. `head` are layers before the last one, `bottom` layers that all share before the towers.\n\
         In training the calibrator adds `calibration` (at least 0) times the mean of max(p_t - p_(t-1), 0) to the loss of each task but the first: a later event \
         cannot be more probable. It is logged as auxiliary loss order_violation/TASK. Everything before the last task's tower is shared. Tasks must be on the same rows.",
    );
}
