//! What a pretraining and a learner ask of each other.

use manytask_meta::{LearnsFrom, Pretraining};
use manytask_nn::metrics::Output;
use manytask_tensor::KeyPath;

use super::{EpisodesPlan, Plan};
use crate::failure::{Failure, Result, Within as _};

impl Plan {
    /// The pretraining, where there is one; refuses one that the learner has no use for, and a learner that needs one and has none.
    ///
    /// # Errors
    /// With the section's place and the remedy.
    pub(crate) fn pretraining(
        &self,
        episodes: &EpisodesPlan,
        output: Option<Output>,
    ) -> Result<Option<Pretraining>> {
        let learner = episodes.learner.name();
        let of_base_classes = episodes.learner.learns_from() == LearnsFrom::BaseClasses;
        let refuse = |key: KeyPath, what: String, hint: &str| Err(Failure::setting(key, what).hint(hint));
        let of_steps = || KeyPath::from(["pretraining", "steps"]);
        let Some(section) = episodes.pretraining else {
            return if of_base_classes && !self.training.trains_nothing() {
                refuse(
                    "learner".into(),
                    format!(
                        "`{learner}` learns from all training classes before the first task, and there is no [pretraining]"
                    ),
                    "add the section [pretraining], e.g. with batch_size = 128; of a network that needs no training set `steps` in [training] to 0",
                )
            } else {
                Ok(None)
            };
        };
        if output.is_some_and(|output| output != Output::Multiclass) {
            return refuse(
                "pretraining".into(),
                "[pretraining] on tasks without classes".into(),
                "take tasks with classes, or leave [pretraining] out",
            );
        }
        let all = self.training(None)?.steps;
        if of_base_classes && !self.training.freeze.is_empty() {
            return refuse(
                ["training", "freeze"].into(),
                format!("`freeze` holds in steps on tasks, and `{learner}` learns from no task"),
                "leave it out",
            );
        }
        let steps = match section.steps {
            None if !of_base_classes => {
                return refuse(
                    of_steps(),
                    format!(
                        "[pretraining] does not say how many of the {all} steps it takes, and `{learner}` learns from tasks"
                    ),
                    "set `steps` in [pretraining]; the other steps of [training] are on tasks",
                );
            }
            Some(steps) if of_base_classes && all == 0 => {
                return refuse(
                    KeyPath::from(["training", "steps"]),
                    format!("[training] has no `steps`, and [pretraining] {steps} of them"),
                    "set as many, and leave `steps` out of [pretraining]",
                );
            }
            Some(steps) if of_base_classes && steps != all => {
                return refuse(
                    of_steps(),
                    format!(
                        "[pretraining] has {steps} `steps` of {all}, and `{learner}` learns from no task"
                    ),
                    "leave `steps` out of [pretraining]: it takes those of [training]",
                );
            }
            Some(steps) if steps > all => {
                return refuse(
                    of_steps(),
                    format!("[pretraining] has {steps} `steps`, and [training] only {all}"),
                    "steps of [pretraining] are the first ones of [training]; set fewer, or more there",
                );
            }
            steps => steps.unwrap_or(all),
        };
        let pretraining =
            Pretraining { steps, batch_size: section.batch_size, classifier: section.classifier };
        pretraining.check().within("pretraining")?;
        Ok(Some(pretraining))
    }
}
