//! Kinds of learners that are MAML with one setting that they fix.

use manytask_meta::{Adapts, InnerRule, Maml, OuterGradient};
use manytask_tensor::SettingError;
use serde::{Deserialize, Serialize};

/// `[learner]` of a kind that is MAML with one setting that it fixes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Written {
    pub(super) inner_steps: u32,
    pub(super) inner_learning_rate: f64,
    pub(super) inner_rule: InnerRule,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) adapts: Option<Adapts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outer_gradient: Option<OuterGradient>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checkpoint_every: Option<u32>,
}

impl Default for Written {
    fn default() -> Self {
        let Maml { inner_steps, inner_learning_rate, inner_rule, checkpoint_every, .. } = Maml::default();
        Self {
            inner_steps,
            inner_learning_rate,
            inner_rule,
            adapts: None,
            outer_gradient: None,
            checkpoint_every,
        }
    }
}

impl From<Written> for Maml {
    fn from(written: Written) -> Self {
        let Written {
            inner_steps,
            inner_learning_rate,
            inner_rule,
            adapts,
            outer_gradient,
            checkpoint_every,
        } = written;
        Self {
            inner_steps,
            inner_learning_rate,
            inner_rule,
            adapts: adapts.unwrap_or_default(),
            outer_gradient: outer_gradient.unwrap_or_default(),
            checkpoint_every,
        }
    }
}

/// MAML with `outer_gradient = "first_order"`.
pub(super) fn first_order(mut written: Written) -> Result<Maml, SettingError> {
    let value = OuterGradient::FirstOrder;
    fix(&mut written.outer_gradient, "fomaml", ("outer_gradient", "first_order"), value)?;
    Ok(written.into())
}

/// MAML with `outer_gradient = "difference"`.
pub(super) fn difference(mut written: Written) -> Result<Maml, SettingError> {
    let value = OuterGradient::Difference;
    fix(&mut written.outer_gradient, "reptile", ("outer_gradient", "difference"), value)?;
    Ok(written.into())
}

/// MAML with `adapts = "head"`.
pub(super) fn head_adapts(mut written: Written) -> Result<Maml, SettingError> {
    fix(&mut written.adapts, "anil", ("adapts", "head"), Adapts::Head)?;
    Ok(written.into())
}

/// MAML with `adapts = "body"`.
pub(super) fn body_adapts(mut written: Written) -> Result<Maml, SettingError> {
    fix(&mut written.adapts, "boil", ("adapts", "body"), Adapts::Body)?;
    Ok(written.into())
}

/// Sets what a kind fixes; refuses another value that is written down.
fn fix<T: PartialEq>(
    place: &mut Option<T>,
    kind: &str,
    (key, name): (&str, &str),
    value: T,
) -> Result<(), SettingError> {
    if place.as_ref().is_some_and(|other| *other != value) {
        let what = format!(
            "`{kind}` is maml with `{key}` = \"{name}\" and takes no other; leave the key out, or take kind = \"maml\" with it"
        );
        return Err(SettingError::new(key, what));
    }
    *place = Some(value);
    Ok(())
}
