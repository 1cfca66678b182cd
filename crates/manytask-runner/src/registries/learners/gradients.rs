//! Learners that adapt by gradients otherwise than MAML.

use std::sync::Arc;

use manytask_meta::{Cavia, Imaml, MamlPlusPlus};

use super::{Any, about};
use crate::registry::Registry;

pub(super) fn gradients(registry: &mut Registry<Any>) {
    registry.add(
        "imaml",
        "MAML with the gradient of the inner problem's optimum",
        &about(
            "Rajeswaran et al. 2019, arXiv:1909.04630: inner steps on the support loss + λ/2 ‖φ − θ‖², then (I + H/λ)⁻¹ of the query gradient by\n\
             `cg_steps` steps of conjugate gradients; memory does not grow with `inner_steps`.",
        ),
        &Imaml::default(),
        |i: Imaml| Arc::new(i) as Any,
    );
    registry.add(
        "cavia",
        "further inputs that adapt, behind which all tasks share a network",
        &about(
            "Zintgraf et al. 2019, arXiv:1810.03642: `context_parameters` numbers are appended to each example, start at 0 in each task and alone\n\
             adapt. For examples that are vectors.",
        ),
        &Cavia::default(),
        |c: Cavia| Arc::new(c) as Any,
    );
    registry.add(
        "maml_pp",
        "MAML++: learned rates of each tensor and step, losses of all inner steps",
        &about(
            "Antoniou et al. 2019, arXiv:1810.09502: `learned_rates`, `multi_step_loss_steps` (0: the last loss alone) and `first_order_steps` each by\n\
             itself, the cosine by [schedule]; without the parts of batch-norm for each step.",
        ),
        &MamlPlusPlus::default(),
        |m: MamlPlusPlus| Arc::new(m) as Any,
    );
}
