//! Learners by their names in a configuration.

use std::sync::Arc;

use manytask_meta::{self as meta, LearnerSpec};

use crate::registry::Registry;

/// What every explanation of a learner ends with.
const BATCH_NORM: &str = "Batch-norm takes the statistics of each forward pass' own examples, in training and evaluation: the support \
                          set is normalised by itself, and a task's queries together (transductive); or running ones, with \
                          `batch_norm = \"running\"` in [training].";

pub(super) fn learners() -> Registry<Arc<dyn LearnerSpec>> {
    let mut registry = Registry::new("learner", "learner").with_note(BATCH_NORM);
    // Parameters that adapt step by step.
    registry.method::<meta::Maml>();
    registry.method::<meta::Fomaml>();
    registry.method::<meta::Reptile>();
    registry.method::<meta::Anil>();
    registry.method::<meta::Boil>();
    registry.method::<meta::MetaSgd>();
    registry.method::<meta::MamlPlusPlus>();
    registry.method::<meta::MetaCurvature>();
    registry.method::<meta::Alfa>();
    registry.method::<meta::L2f>();
    registry.method::<meta::Kfo>();
    registry.method::<meta::MtNet>();
    registry.method::<meta::WarpGrad>();
    registry.method::<meta::Imaml>();
    registry.method::<meta::Cavia>();
    registry.method::<meta::ProtoMaml>();
    // Heads that are computed from the support set's embeddings.
    registry.method::<meta::ProtoNet>();
    registry.method::<meta::MatchingNet>();
    registry.method::<meta::RelationNet>();
    registry.method::<meta::R2d2>();
    registry.method::<meta::LrD2>();
    registry.method::<meta::MetaOptNetRr>();
    registry.method::<meta::MetaOptNetSvm>();
    registry.method::<meta::Dsn>();
    registry.method::<meta::Frn>();
    registry.method::<meta::Dn4>();
    registry.method::<meta::DeepEmd>();
    registry.method::<meta::Feat>();
    registry.method::<meta::Leo>();
    registry.method::<meta::MetaBaseline>();
    // Distributions given a set of examples.
    registry.method::<meta::Cnp>();
    registry.method::<meta::Np>();
    registry.method::<meta::Anp>();
    registry.method::<meta::TnpD>();
    registry.method::<meta::ConvCnp>();
    // Networks that a pretraining alone trains.
    registry.method::<meta::SimpleShot>();
    registry.method::<meta::Baseline>();
    registry.method::<meta::BaselinePlusPlus>();
    registry.method::<meta::Rfs>();
    registry.method::<meta::LogisticRegression>();
    registry.method::<meta::RidgeRegression>();
    registry.method::<meta::TipAdapter>();
    // Of these all queries of a task are known at once.
    registry.method::<meta::LaplacianShot>();
    registry.method::<meta::BdCspn>();
    registry.method::<meta::Tim>();
    registry.method::<meta::AlphaTim>();
    registry.method::<meta::PtMap>();
    registry.method::<meta::TransductiveFineTuning>();
    registry
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
