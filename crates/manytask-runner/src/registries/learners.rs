//! Learners by their names in a configuration.

mod gradients;
mod heads;
mod presets;

use std::sync::Arc;

use manytask_meta::{Cnp, LearnerSpec, Maml, MetaSgd, ProtoNet, R2d2, RelationNet};

use self::presets::{Written, body_adapts, difference, first_order, head_adapts};
use crate::registry::Registry;

/// What every explanation of a learner ends with.
const BATCH_NORM: &str = "\nBatch-norm takes the statistics of each forward pass' own examples, in training and evaluation: \
                          the support set is\nnormalised by itself, and a task's queries together (transductive); or running \
                          ones, with `batch_norm = \"running\"` in [training].";

type Any = Arc<dyn LearnerSpec>;

pub(super) fn learners() -> Registry<Any> {
    let mut registry = Registry::<Any>::new("learner", "learner");
    adapting(&mut registry);
    gradients::gradients(&mut registry);
    comparing(&mut registry);
    heads::heads(&mut registry);
    heads::pretrained(&mut registry);
    registry
}

fn about(text: &str) -> String {
    format!("{text}{BATCH_NORM}")
}

/// Those that adapt parameters step by step.
fn adapting(registry: &mut Registry<Any>) {
    registry.add(
        "maml",
        "a start from which few steps of gradient descent lead far",
        &about(
            "Finn et al. 2017, arXiv:1703.03400: the gradient of the query loss goes through the inner steps.\n\
             With `checkpoint_every = C` the parameters of every C-th inner step are kept and what lies between is computed\n\
             again: less memory for many inner steps, at most one further pass through them. Left out, all is kept.",
        ),
        &Maml::default(),
        |m: Maml| Arc::new(m) as Any,
    );
    registry.add_checked(
        "fomaml",
        "MAML with the gradient at the adapted parameters",
        &about(
            "Finn et al. 2017, section 5.2: inner steps count as constants (`outer_gradient` is \"first_order\"); a fraction of \
             the time and memory.",
        ),
        &Written::default(),
        |written| Ok(Arc::new(first_order(written)?) as Any),
    );
    registry.add_checked(
        "reptile",
        "a start that moves towards the adapted parameters",
        &about(
            "Nichol et al. 2018, arXiv:1803.02999: the gradient is the difference of the parameters before and after the inner\n\
             steps (`outer_gradient` is \"difference\"), of no use of the queries. With [optimizer] `sgd` of rate ε and equal weights\n\
             a step is θ ← θ + ε mean(φ − θ): the paper's batched version, and with `tasks_per_step = 1` the serial one.",
        ),
        &Written { inner_steps: 8, inner_learning_rate: 0.02, ..Written::default() },
        |written| Ok(Arc::new(difference(written)?) as Any),
    );
    registry.add(
        "meta_sgd",
        "MAML with a learned rate for each parameter",
        &about(
            "Li et al. 2017, arXiv:1707.09835, algorithm 1: φ = θ − α ∘ ∇L_support(θ) with α learned beside θ, of any sign; entries\n\
             `learner.rate.NAME` of the checkpoint.",
        ),
        &MetaSgd::default(),
        |m: MetaSgd| Arc::new(m) as Any,
    );
    registry.add_checked(
        "anil",
        "MAML of which the head alone adapts",
        &about("Raghu et al. 2020, arXiv:1909.09157: `adapts` is \"head\"."),
        &Written::default(),
        |written| Ok(Arc::new(head_adapts(written)?) as Any),
    );
    registry.add_checked(
        "boil",
        "MAML of which all but the head adapts",
        &about("Oh et al. 2021, arXiv:2008.08882: `adapts` is \"body\"."),
        &Written::default(),
        |written| Ok(Arc::new(body_adapts(written)?) as Any),
    );
}

/// Those that compute predictions from the support set.
fn comparing(registry: &mut Registry<Any>) {
    registry.add(
        "protonet",
        "classes by the mean of their embeddings",
        &about("Snell et al. 2017, arXiv:1703.05175: logits are negative squared distances to the classes' means."),
        &ProtoNet::default(),
        |p: ProtoNet| Arc::new(p) as Any,
    );
    registry.add(
        "cnp",
        "normal distributions given the mean of encoded examples",
        &about(
            "Garnelo et al. 2018, arXiv:1807.01613: [network] encodes pairs [x, y], and needs an `output` or hidden layers; their\n\
             mean and a query's x go through `decoder`. Judged by the log-likelihood of the queries' labels.",
        ),
        &Cnp::default(),
        |c: Cnp| Arc::new(c) as Any,
    );
    registry.add(
        "r2d2",
        "a head by ridge regression on the embeddings, solved exactly",
        &about(
            "Bertinetto et al. 2019, arXiv:1805.08136: W = (XᵀX + λI)⁻¹ XᵀY with a column of ones in X, by the smaller of the\n\
             primal and the dual system; λ, scale and offset of the logits are learned from these starts.",
        ),
        &R2d2::default(),
        |r: R2d2| Arc::new(r) as Any,
    );
    registry.add(
        "relation_net",
        "a learned comparison of queries with classes",
        &about(
            "Sung et al. 2018, arXiv:1711.06025: a perceptron says of the sum of a class' embeddings and a query's how much they\n\
             belong together, trained by squared error against 1 and 0.",
        ),
        &RelationNet::default(),
        |r: RelationNet| Arc::new(r) as Any,
    );
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Source;
    use crate::failure::Result;

    fn made(text: &str) -> Result<Arc<dyn LearnerSpec>> {
        let source = Source::new(Path::new("a.toml"), text, &[])?;
        learners().make(source.section()?.required_table("learner")?)
    }

    #[test]
    fn what_a_kind_fixes_is_refused_where_something_else_is_written() {
        for (kind, key, fixed, other) in [
            ("fomaml", "outer_gradient", "first_order", "second_order"),
            ("reptile", "outer_gradient", "difference", "first_order"),
            ("anil", "adapts", "head", "all"),
            ("boil", "adapts", "body", "head"),
        ] {
            let with = |value: &str| made(&format!("[learner]\nkind = \"{kind}\"\n{key} = \"{value}\"\n"));
            assert!(with(fixed).is_ok(), "{kind}");
            let message = with(other).unwrap_err().message;
            assert!(message.contains(&format!("`{key}` = \"{fixed}\" and takes no other")), "{message}");
            // At the value that contradicts the kind.
            assert!(message.starts_with("a.toml:3:") && message.contains("^^^"), "{message}");
            assert!(made(&format!("[learner]\nkind = \"{kind}\"\ninner_step = 3\n")).is_err());
            let example = learners().example(kind).unwrap_or_default();
            assert!(!example.contains(key) && example.contains("inner_steps"), "{example}");
        }
    }
}
