//! Kinds of learners that are MAML with one setting that they fix.

use manytask_meta::{Adapts, InnerRule, Maml, OuterGradient};
use serde::{Deserialize, Serialize};

/// `[learner]` of a kind that is MAML with one setting that it fixes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    inner_steps: u32,
    inner_learning_rate: f64,
    inner_rule: InnerRule,
    #[serde(skip_serializing_if = "Option::is_none")]
    adapts: Option<Adapts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outer_gradient: Option<OuterGradient>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint_every: Option<u32>,
}

/// MAML with `outer_gradient = "first_order"`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub(super) struct FirstOrder(pub(super) Maml);

/// MAML with `outer_gradient = "difference"`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub(super) struct Difference(pub(super) Maml);

/// MAML with `adapts = "head"`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub(super) struct HeadAdapts(pub(super) Maml);

/// MAML with `adapts = "body"`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub(super) struct BodyAdapts(pub(super) Maml);

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

impl From<Maml> for Written {
    fn from(maml: Maml) -> Self {
        let Maml { inner_steps, inner_learning_rate, inner_rule, adapts, outer_gradient, checkpoint_every } =
            maml;
        Self {
            inner_steps,
            inner_learning_rate,
            inner_rule,
            adapts: Some(adapts),
            outer_gradient: Some(outer_gradient),
            checkpoint_every,
        }
    }
}

/// Sets what a kind fixes; refuses another value that is written down.
fn fix<T: PartialEq>(place: &mut Option<T>, kind: &str, setting: &str, value: T) -> Result<(), String> {
    match place {
        Some(other) if *other != value => Err(format!(
            "`{kind}` is maml with {setting} and takes no other; leave the key out, or take kind = \"maml\" with it"
        )),
        _ => {
            *place = Some(value);
            Ok(())
        }
    }
}

impl TryFrom<Written> for FirstOrder {
    type Error = String;
    fn try_from(mut written: Written) -> Result<Self, String> {
        let setting = "`outer_gradient` = \"first_order\"";
        fix(&mut written.outer_gradient, "fomaml", setting, OuterGradient::FirstOrder)?;
        Ok(Self(written.into()))
    }
}

impl TryFrom<Written> for Difference {
    type Error = String;
    fn try_from(mut written: Written) -> Result<Self, String> {
        let setting = "`outer_gradient` = \"difference\"";
        fix(&mut written.outer_gradient, "reptile", setting, OuterGradient::Difference)?;
        Ok(Self(written.into()))
    }
}

impl TryFrom<Written> for HeadAdapts {
    type Error = String;
    fn try_from(mut written: Written) -> Result<Self, String> {
        fix(&mut written.adapts, "anil", "`adapts` = \"head\"", Adapts::Head)?;
        Ok(Self(written.into()))
    }
}

impl TryFrom<Written> for BodyAdapts {
    type Error = String;
    fn try_from(mut written: Written) -> Result<Self, String> {
        fix(&mut written.adapts, "boil", "`adapts` = \"body\"", Adapts::Body)?;
        Ok(Self(written.into()))
    }
}

impl From<FirstOrder> for Written {
    fn from(FirstOrder(maml): FirstOrder) -> Self {
        Self { outer_gradient: None, ..maml.into() }
    }
}

impl From<Difference> for Written {
    fn from(Difference(maml): Difference) -> Self {
        Self { outer_gradient: None, ..maml.into() }
    }
}

impl From<HeadAdapts> for Written {
    fn from(HeadAdapts(maml): HeadAdapts) -> Self {
        Self { adapts: None, ..maml.into() }
    }
}

impl From<BodyAdapts> for Written {
    fn from(BodyAdapts(maml): BodyAdapts) -> Self {
        Self { adapts: None, ..maml.into() }
    }
}
