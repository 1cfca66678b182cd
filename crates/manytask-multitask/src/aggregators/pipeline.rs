//! Several methods one after the other: losses are transformed, then weighted, then their gradients are combined.

mod scaled;
mod transform;

use self::scaled::ScaledStep;
pub use self::transform::LossTransform;
use self::transform::Transforming;
use super::{AggregatorSettings, Post};
use crate::{
    Aggregator, Combination, Error, Gives, Level, Needs, Result, Shared, State, Step, StepInfo, TaskVec,
};
use manytask_tensor::{Method, WHOLE, Within as _};

/// A pipeline: a transform of the losses, a weighting of them, a combination of the gradients of what comes out, and what is done
/// with its weights. Every stage may be left out.
///
/// With `fᵢ` the transformed losses and w their weights the combination sees the losses `wᵢ fᵢ` and their gradients, which are
/// the tasks' own times `sᵢ = wᵢ fᵢ'(lᵢ)`; heads follow `wᵢ fᵢ` too. Without a combination the objective is `Σ wᵢ fᵢ`.
/// Uncertainty weighting followed by CAGrad is one of them.
#[derive(Debug, Default)]
pub struct Pipeline {
    /// What each loss becomes.
    pub transform: Option<LossTransform>,
    /// A method that weighs losses.
    pub weighting: Option<Box<dyn AggregatorSettings>>,
    /// A method that combines gradients.
    pub combination: Option<Box<dyn AggregatorSettings>>,
    /// What is done with the weights of the last stage.
    pub post: Post,
}

impl Method for Pipeline {
    const NAME: &'static str = "pipeline";
    const SUMMARY: &'static str =
        "methods one after the other: a transform of losses, a weighting, a combination of gradients";
    const ABOUT: &'static str = "\
        Every key may be left out. `transform` makes of each loss l its logarithm (log), l by what it was at its first step (initial) or\n\
        l by its moving average ({ average = { decay = 0.99 } }). `weighting` is any method that weighs losses, `combination` any that\n\
        combines gradients, which then sees the gradients of the weighted losses. Of the weights of the last method: `smoothing` is α\n\
        of CR-MOGM (Zhou et al. 2022), λ ← α λ + (1 − α) λ̂; `scale` what they add up to (native, sum, mean or { factor = 2.0 });\n\
        `max_norm` the longest direction; and they are found every `update_every` steps, which costs no more than a sum of losses\n\
        between. Impossible stages are refused by `check`.";
}

const NAME: &str = Pipeline::NAME;

#[derive(Debug)]
struct Stages {
    tasks: Vec<String>,
    transform: Option<Transforming>,
    weighting: Option<Box<dyn Aggregator>>,
    combination: Option<Box<dyn Aggregator>>,
    /// The weights of the weighting at this step.
    weights: TaskVec,
    last: TaskVec,
}

impl AggregatorSettings for Pipeline {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        self.build_for_some(tasks, tasks)
    }

    fn build_for_some(&self, tasks: &[String], all: &[String]) -> Result<Box<dyn Aggregator>> {
        let build = |key: &str, stage: &Option<Box<dyn AggregatorSettings>>| {
            stage.as_ref().map(|stage| stage.build_for_some(tasks, all)).transpose().within(key)
        };
        let mut weighting = build("weighting", &self.weighting)?;
        let mut combination = build("combination", &self.combination)?;
        if let Some(stage) = &weighting {
            is_weighting(stage.as_ref())?;
        }
        if let Some(stage) = &combination {
            is_combination(stage.as_ref())?;
        }
        self.check_transform(weighting.as_deref(), combination.as_deref())?;
        let needs = [&weighting, &combination].into_iter().flatten().map(|stage| stage.needs());
        one_pass(&needs.fold(Needs::LOSSES, Needs::and))?;
        if let Some(stage) = combination {
            combination = Some(self.post.build(NAME, stage, tasks)?);
        } else if let Some(stage) = weighting {
            weighting = Some(self.post.build(NAME, stage, tasks)?);
        } else if self.post != Post::default() {
            return Err(Error::setting(
                WHOLE,
                "pipeline: smoothing, scale, max_norm or update_every without a method that gives weights",
                "name a weighting or a combination, or leave them out",
            ));
        } else if self.transform.is_none() {
            return Err(Error::setting(
                WHOLE,
                "a pipeline without a stage",
                "name a transform, a weighting or a combination; equal_weights is what does nothing",
            ));
        }
        Ok(Box::new(Stages {
            tasks: tasks.to_vec(),
            transform: self.transform.map(|transform| transform.build(tasks)).transpose()?,
            weighting,
            combination,
            weights: TaskVec::default(),
            last: TaskVec::default(),
        }))
    }

    fn named(&self) -> Vec<String> {
        let mut names: Vec<String> = [&self.weighting, &self.combination]
            .into_iter()
            .flatten()
            .flat_map(|stage| stage.named())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

fn is_weighting(stage: &dyn Aggregator) -> Result<()> {
    if stage.gives() == Gives::LossWeights && stage.name() != NAME {
        return Ok(());
    }
    Err(Error::setting(
        "weighting",
        format!("pipeline: `{}` is no weighting of losses", stage.name()),
        "name it under `combination`, and a weighting such as uncertainty_weighting or dwa here",
    ))
}

fn is_combination(stage: &dyn Aggregator) -> Result<()> {
    if stage.gives() == Gives::LossWeights || stage.name() == NAME {
        return Err(Error::setting(
            "combination",
            format!("pipeline: `{}` is no combination of gradients", stage.name()),
            "name it under `weighting`, and a combination such as cagrad or upgrad here, or none",
        ));
    }
    Ok(())
}

/// Refuses levels that would take the trunk's graph twice.
fn one_pass(needs: &Needs) -> Result<()> {
    let has = |wanted: &Level| needs.gradients.iter().any(|(_, level)| level == wanted);
    if has(&Level::Parameters) && has(&Level::Representation) {
        return Err(Error::setting(
            ["combination", "level"],
            "pipeline: one stage at the level of all parameters and one at that of the representation",
            "set the same level for both, or level = \"last_layer\" for the weighting",
        ));
    }
    Ok(())
}

impl Pipeline {
    /// Refuses stages that see what the stages before them do not reach.
    fn check_transform(
        &self,
        weighting: Option<&dyn Aggregator>,
        combination: Option<&dyn Aggregator>,
    ) -> Result<()> {
        let looks = |stage: &dyn Aggregator| {
            let needs = stage.needs();
            needs.batches > 1 || needs.validation || needs.look_ahead
        };
        let refuse = |key: &str, stage: &dyn Aggregator, what: &str, before: &str| {
            Err(Error::setting(
                key,
                format!("pipeline: `{}` {what}, which {before} before it does not reach", stage.name()),
                format!("leave out the {before}, or take another method"),
            ))
        };
        if let (Some(stage), Some(_)) = (weighting, self.transform) {
            if stage.needs().epoch_means {
                return refuse("weighting", stage, "goes by the mean losses of epochs", "transform");
            }
            if looks(stage) {
                return refuse("weighting", stage, "looks at other batches", "transform");
            }
        }
        match combination {
            Some(stage) if looks(stage) && weighting.is_some() => {
                refuse("combination", stage, "looks at other batches", "weighting")
            }
            Some(stage) if looks(stage) && self.transform.is_some() => {
                refuse("combination", stage, "looks at other batches", "transform")
            }
            _ => Ok(()),
        }
    }
}

impl Stages {
    /// The weights w of the losses, which the weighting sees as they were transformed; 1 without one.
    fn weigh(&mut self, step: &mut dyn Step, losses: &TaskVec, slopes: &TaskVec) -> Result<TaskVec> {
        let Some(weighting) = &mut self.weighting else { return Ok(losses.map(|_, _| 1.0)) };
        let combination = if self.transform.is_some() {
            weighting.combine(&mut ScaledStep::new(step, losses.clone(), slopes.values().to_vec()))?
        } else {
            weighting.combine(step)?
        };
        match combination.shared {
            Shared::Weights(weights) if weights.len() == losses.len() => Ok(losses.with_values(&weights)),
            _ => Err(Error::Contract {
                aggregator: weighting.name().into(),
                message: "it says that it weighs losses and gives no weight for each".into(),
            }),
        }
    }
}

impl Aggregator for Stages {
    fn name(&self) -> &'static str {
        NAME
    }

    fn needs(&self) -> Needs {
        let stages = [&self.weighting, &self.combination].into_iter().flatten();
        let needs = stages.map(|stage| stage.needs()).fold(Needs::LOSSES, Needs::and);
        let keeps = self.transform.as_ref().is_some_and(Transforming::keeps_tasks);
        Needs { fixed_tasks: needs.fixed_tasks || keeps, ..needs }
    }

    fn gives(&self) -> Gives {
        self.combination.as_ref().map_or(Gives::LossWeights, |stage| stage.gives())
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let own = step.losses().clone();
        let (losses, slopes) = match &mut self.transform {
            None => (own.clone(), own.map(|_, _| 1.0)),
            Some(transform) => transform.apply(&StepInfo::new(step, &own, &self.tasks))?,
        };
        self.weights = self.weigh(step, &losses, &slopes)?;
        let scale = |task, slope| slope * self.weights.get(task).unwrap_or_default();
        let scales = slopes.map(scale);
        let Some(combination) = &mut self.combination else {
            self.last = scales;
            return Ok(Combination::weighted_losses(self.last.values().to_vec()));
        };
        let seen = losses.map(|task, loss| loss * self.weights.get(task).unwrap_or_default());
        let found = combination.combine(&mut ScaledStep::new(step, seen, scales.values().to_vec()))?;
        let back =
            |factors: Vec<f64>| factors.iter().zip(scales.values()).map(|(a, s)| a * s).collect::<Vec<_>>();
        let heads = back(found.heads);
        let shared = match found.shared {
            Shared::Weights(weights) => {
                let weights = back(weights);
                self.last = own.with_values(&weights);
                Shared::Weights(weights)
            }
            direction @ Shared::Direction { .. } => {
                self.last = scales;
                direction
            }
        };
        Ok(Combination { shared, heads })
    }

    fn after_step(&mut self, losses: &TaskVec) -> Result<()> {
        let losses = match &self.transform {
            None => losses.clone(),
            Some(transform) => transform.values(losses)?,
        };
        if let Some(weighting) = self.weighting.as_mut().filter(|stage| stage.needs().losses_after_step) {
            weighting.after_step(&losses)?;
        }
        match &mut self.combination {
            Some(combination) if combination.needs().losses_after_step => {
                let weighted = losses.map(|task, loss| loss * self.weights.get(task).unwrap_or_default());
                combination.after_step(&weighted)
            }
            _ => Ok(()),
        }
    }

    fn end_epoch(&mut self, mean_losses: &TaskVec) -> Result<()> {
        for stage in [&mut self.weighting, &mut self.combination].into_iter().flatten() {
            stage.end_epoch(mean_losses)?;
        }
        Ok(())
    }

    fn weights(&self) -> Option<&TaskVec> {
        Some(&self.last)
    }

    fn state(&self) -> Result<State> {
        let of = |stage: &Option<Box<dyn Aggregator>>| stage.as_ref().map(|stage| stage.state()).transpose();
        let transform = self.transform.as_ref().map(Transforming::state).transpose()?;
        let parts = [
            ("transform", transform),
            ("weighting", of(&self.weighting)?),
            ("combination", of(&self.combination)?),
        ];
        Ok(State::join(parts.into_iter().filter_map(|(name, state)| state.map(|state| (name, state)))))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        if let Some(transform) = &mut self.transform {
            transform.restore(&state.part("transform"))?;
        }
        if let Some(stage) = &mut self.weighting {
            stage.restore(&state.part("weighting"))?;
        }
        if let Some(stage) = &mut self.combination {
            stage.restore(&state.part("combination"))?;
        }
        Ok(())
    }
}
