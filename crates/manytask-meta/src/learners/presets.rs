//! Kinds of learners that are MAML with one setting that they fix.

use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Method, SettingError};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::inner::{Adapts, InnerRule};
use crate::learner::{Learner, LearnerSpec};
use crate::learners::Maml;
use crate::outer_gradient::OuterGradient;
use crate::shape::EpisodeShape;

/// The settings of a kind that is [`Maml`] with one setting that it fixes, which may be written if it is as the kind has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preset {
    /// As [`Maml::inner_steps`].
    pub inner_steps: u32,
    /// As [`Maml::inner_learning_rate`].
    pub inner_learning_rate: f64,
    /// As [`Maml::inner_rule`].
    pub inner_rule: InnerRule,
    /// As [`Maml::adapts`]; absent: all, or as the kind fixes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapts: Option<Adapts>,
    /// As [`Maml::outer_gradient`]; absent: second order, or as the kind fixes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outer_gradient: Option<OuterGradient>,
    /// As [`Maml::checkpoint_every`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<u32>,
}

impl Default for Preset {
    fn default() -> Self {
        let Maml { inner_steps, inner_learning_rate, inner_rule, checkpoint_every, .. } = Maml::default();
        let (adapts, outer_gradient) = (None, None);
        Self { inner_steps, inner_learning_rate, inner_rule, adapts, outer_gradient, checkpoint_every }
    }
}

impl From<Preset> for Maml {
    fn from(preset: Preset) -> Self {
        Self {
            inner_steps: preset.inner_steps,
            inner_learning_rate: preset.inner_learning_rate,
            inner_rule: preset.inner_rule,
            adapts: preset.adapts.unwrap_or_default(),
            outer_gradient: preset.outer_gradient.unwrap_or_default(),
            checkpoint_every: preset.checkpoint_every,
        }
    }
}

/// Refuses another value than the one that a kind fixes.
fn fixed<T: PartialEq>(
    written: Option<&T>,
    kind: &str,
    (key, name): (&str, &str),
    value: &T,
) -> Result<(), SettingError> {
    if written.is_none_or(|other| other == value) {
        return Ok(());
    }
    let what = format!(
        "`{kind}` is maml with `{key}` = \"{name}\" and takes no other; leave the key out, or take kind = \"maml\" with it"
    );
    Err(SettingError::new(key, what))
}

macro_rules! preset {
    ($(#[$about:meta])* $kind:ident, $key:ident = $value:expr, $name:literal) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $kind(pub Preset);

        impl LearnerSpec for $kind {
            fn name(&self) -> &'static str {
                Self::NAME
            }

            fn check(&self) -> Result<(), SettingError> {
                fixed(self.0.$key.as_ref(), Self::NAME, (stringify!($key), $name), &$value)
            }

            fn build(
                &self,
                b: &mut Builder<'_>,
                backbone: &Backbone<'_>,
                shape: &EpisodeShape,
            ) -> Result<Box<dyn Learner>> {
                self.check()?;
                Maml::from(Preset { $key: Some($value), ..self.0.clone() }).build(b, backbone, shape)
            }
        }
    };
}

preset!(
    /// First-order MAML (Finn et al. 2017, section 5.2): [`Maml`] with `outer_gradient = "first_order"`.
    #[derive(Default)]
    Fomaml,
    outer_gradient = OuterGradient::FirstOrder,
    "first_order"
);

preset!(
    /// Reptile (Nichol et al. 2018, arXiv:1803.02999): [`Maml`] with `outer_gradient = "difference"`.
    Reptile,
    outer_gradient = OuterGradient::Difference,
    "difference"
);

preset!(
    /// Almost no inner loop (Raghu et al. 2020, arXiv:1909.09157): [`Maml`] with `adapts = "head"`.
    #[derive(Default)]
    Anil,
    adapts = Adapts::Head,
    "head"
);

preset!(
    /// Body only inner loop (Oh et al. 2021, arXiv:2008.08882): [`Maml`] with `adapts = "body"`.
    #[derive(Default)]
    Boil,
    adapts = Adapts::Body,
    "body"
);

impl Default for Reptile {
    fn default() -> Self {
        Self(Preset { inner_steps: 8, inner_learning_rate: 0.02, ..Preset::default() })
    }
}

impl Method for Fomaml {
    const NAME: &'static str = "fomaml";
    const SUMMARY: &'static str = "MAML with the gradient at the adapted parameters";
    const ABOUT: &'static str = "\
        Finn et al. 2017, section 5.2: inner steps count as constants (`outer_gradient` is \"first_order\"); \
        a fraction of the time and memory.";
}

impl Method for Reptile {
    const NAME: &'static str = "reptile";
    const SUMMARY: &'static str = "a start that moves towards the adapted parameters";
    const ABOUT: &'static str = "\
        Nichol et al. 2018, arXiv:1803.02999: the gradient is the difference of the parameters before and \
        after the inner steps (`outer_gradient` is \"difference\"), of no use of the queries. With \
        [optimizer] `sgd` of rate ε and equal weights a step is θ ← θ + ε mean(φ − θ): the paper's batched \
        version, and with `tasks_per_step = 1` the serial one.";
}

impl Method for Anil {
    const NAME: &'static str = "anil";
    const SUMMARY: &'static str = "MAML of which the head alone adapts";
    const ABOUT: &'static str = "\
        Raghu et al. 2020, arXiv:1909.09157: `adapts` is \"head\".";
}

impl Method for Boil {
    const NAME: &'static str = "boil";
    const SUMMARY: &'static str = "MAML of which all but the head adapts";
    const ABOUT: &'static str = "\
        Oh et al. 2021, arXiv:2008.08882: `adapts` is \"body\".";
}
