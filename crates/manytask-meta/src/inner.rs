//! Inner loops: gradient descent of a network's parameters on a support set.

use manytask_multitask::{Error, Result};
use manytask_nn::optim::Optimizer;
use manytask_tensor::{Layout, Slot};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::descent::Rates;
use crate::learned_step::LearnedStep;
use crate::learner::Learner;
use crate::outer_gradient::OuterGradient;

/// The most steps of adaptation, in training or evaluation.
pub(crate) const MOST_STEPS: u32 = 10_000;

/// How an inner gradient becomes an inner step: any optimizer of [`manytask_nn::optim`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InnerRule(pub Optimizer);

/// Which of the network's parameters adapt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adapts {
    /// All of them.
    #[default]
    All,
    /// Those named `head.…`.
    Head,
    /// All but those named `head.…`.
    Body,
    /// Those whose names begin with one of these.
    Named(Vec<String>),
}

impl Default for InnerRule {
    fn default() -> Self {
        Self(Optimizer::sgd(0.0))
    }
}

impl InnerRule {
    /// Whether a step is `−α g` and nothing else.
    pub fn is_plain(&self) -> bool {
        matches!(&self.0, Optimizer::Sgd(sgd) if sgd.momentum == 0.0 && sgd.weight_decay == 0.0)
    }
}

impl Adapts {
    /// The slots of a network's layout that adapt.
    pub fn slots(&self, layout: &Layout) -> Vec<Slot> {
        layout.select(|entry| {
            let head = entry.name.starts_with("head.");
            entry.role.is_trained()
                && match self {
                    Self::All => true,
                    Self::Head => head,
                    Self::Body => !head,
                    Self::Named(prefixes) => {
                        prefixes.iter().any(|prefix| entry.name.starts_with(prefix.as_str()))
                    }
                }
        })
    }

    /// The slots that adapt, of which there must be one.
    ///
    /// # Errors
    /// With the names that there are.
    pub(crate) fn some(&self, layout: &Layout) -> Result<Vec<Slot>> {
        let slots = self.slots(layout);
        if !slots.is_empty() {
            return Ok(slots);
        }
        let names: Vec<&str> = layout.entries().iter().map(|entry| entry.name.as_str()).collect();
        Err(Error::setting(
            "adapts",
            match self {
                Self::Named(wanted) => {
                    format!("adapts = [{}] names none of the network's parameters", wanted.join(", "))
                }
                _ => "adapts names none of the network's parameters".to_owned(),
            },
            format!("they are {}", names.join(", ")),
        ))
    }
}

/// Refuses no step, and more than any use has.
pub(crate) fn check_steps(steps: u32) -> Result<()> {
    if (1..=MOST_STEPS).contains(&steps) {
        return Ok(());
    }
    Err(Error::setting("inner_steps", format!("inner_steps is {steps}"), format!("take 1 to {MOST_STEPS}")))
}

/// A learner whose network is adapted by some steps on the mean support loss: what the settings of gradient-based methods build.
#[derive(Debug)]
pub struct InnerLoop {
    /// K, the steps in training.
    pub(crate) steps: u32,
    /// α, one for all or one for each number.
    pub(crate) rates: Rates,
    /// How an inner gradient becomes an inner step.
    pub(crate) rule: InnerRule,
    /// What adapts.
    pub(crate) slots: Vec<Slot>,
    /// How the meta-gradient sees the steps.
    pub(crate) outer_gradient: OuterGradient,
    /// After how many steps parameters are kept for the way back; absent: all.
    pub(crate) checkpoint_every: Option<u32>,
    /// How a gradient becomes a step, where that is learned otherwise than by `rates`, which have no effect then.
    pub(crate) learned: Option<Box<dyn LearnedStep>>,
}

impl InnerLoop {
    /// The learner of this name whose steps are of a rule that is learned, of which there are so many, on what adapts; `rule` makes it for these.
    ///
    /// # Errors
    /// When a number is out of range, nothing adapts, or the outer gradient is one that says nothing of a rule; those of `rule`.
    pub(crate) fn of_learned_rule(
        learner: &str,
        (steps, adapts, outer_gradient): (u32, &Adapts, OuterGradient),
        backbone: &Backbone<'_>,
        rule: impl FnOnce(&[Slot]) -> Result<Box<dyn LearnedStep>>,
    ) -> Result<Box<dyn Learner>> {
        outer_gradient.of_learned_rules(learner)?;
        check_steps(steps)?;
        let slots = adapts.some(&backbone.layout)?;
        let learned = Some(rule(&slots)?);
        // The rule has rates of its own.
        let (rates, checkpoint_every) = (Rates::One(1.0), None);
        let rule = InnerRule::default();
        Ok(Box::new(Self { steps, rates, rule, slots, outer_gradient, checkpoint_every, learned }))
    }
}
