//! Methods that turn several task losses into one direction.
//!
//! Each has settings, which say where the method is from, and build an [`Aggregator`] for tasks by name.

mod aligned_mtl;
mod cagrad;
mod cholesky;
mod dual_cone;
mod equal_weights;
mod fixed_weights;
mod gradients;
mod mgda;
mod nash_mtl;
mod pcgrad;
mod uncertainty_weighting;
mod upgrad;

use std::fmt::Debug;

pub use self::aligned_mtl::{AlignedMtl, Scale};
pub use self::cagrad::{CaGrad, Rescale};
pub use self::equal_weights::EqualWeights;
pub use self::fixed_weights::FixedWeights;
pub use self::mgda::{Mgda, Normalisation};
pub use self::nash_mtl::NashMtl;
pub use self::pcgrad::PcGrad;
pub use self::uncertainty_weighting::{Form, UncertaintyWeighting};
pub use self::upgrad::UpGrad;
use crate::{Aggregator, Error, Identity, Level, Needs, Offers, Problem, Result};

/// The settings of a method.
pub trait AggregatorSettings: Debug {
    /// An aggregator for these tasks, before its first step.
    ///
    /// # Errors
    /// When a setting is out of range or names a task that is not there.
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>>;

    /// An aggregator for some of the tasks that the settings were written for: what they say of the others is passed over.
    ///
    /// # Errors
    /// As [`AggregatorSettings::build`], where a task is one of `all`.
    fn build_for_some(&self, tasks: &[String], all: &[String]) -> Result<Box<dyn Aggregator>> {
        let _ = all;
        self.build(tasks)
    }

    /// The tasks that the settings name.
    fn named(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Refuses an aggregator that needs what a problem has not.
///
/// # Errors
/// With what it needs, and what to take instead.
pub fn check(aggregator: &dyn Aggregator, problem: &dyn Problem) -> Result<()> {
    check_for(aggregator, problem.identity(), problem.offers())
}

/// Refuses an aggregator that needs what problems of a sort have not.
///
/// # Errors
/// As [`check`].
pub fn check_for(aggregator: &dyn Aggregator, identity: Identity, offers: Offers) -> Result<()> {
    fits(aggregator.name(), aggregator.needs(), identity, offers)
}

fn fits(name: &str, needs: Needs, identity: Identity, offers: Offers) -> Result<()> {
    if needs.fixed_tasks && identity == Identity::Resampled {
        return Err(Error::setting(
            format!("`{name}` keeps a state for each task, but tasks are sampled anew at each step"),
            "take one without: equal_weights, pcgrad, mgda, cagrad, upgrad, aligned_mtl, or nash_mtl with update_every = 1",
        ));
    }
    if needs.level == Level::Representation && !offers.representation {
        return Err(Error::setting(
            format!("`{name}` at the level of the representation, which these tasks do not share"),
            "set level = \"parameters\"",
        ));
    }
    if needs.validation && !offers.validation {
        return Err(Error::setting(
            format!("`{name}` looks at a validation part, but the data have none"),
            "add one to the split",
        ));
    }
    Ok(())
}

/// A number of a setting that must be finite.
fn finite(what: &str, value: f64) -> Result<()> {
    if value.is_finite() {
        Ok(())
    } else {
        Err(Error::setting(format!("{what} is {value}"), "write a finite number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Offers = Offers { representation: false, validation: false };

    #[test]
    fn impossible_pairings_are_refused_with_the_remedy() {
        let fixed = Needs { fixed_tasks: true, ..Needs::LOSSES };
        let validation = Needs { validation: true, ..Needs::LOSSES };
        let representation = Needs::gramian(Level::Representation);
        let refusals = [
            (
                fixed,
                Identity::Resampled,
                "tasks are sampled anew at each step; take one without: equal_weights",
            ),
            (representation, Identity::Fixed, "do not share; set level = \"parameters\""),
            (validation, Identity::Fixed, "the data have none; add one to the split"),
        ];
        for (needs, identity, said) in refusals {
            let error = fits("method", needs, identity, NOTHING).unwrap_err().to_string();
            assert!(error.starts_with("`method`") && error.contains(said), "{error}");
        }
    }

    #[test]
    fn what_is_offered_may_be_needed() {
        let all = Offers { representation: true, validation: true };
        let fixed = Needs { fixed_tasks: true, ..Needs::LOSSES };
        let validation = Needs { validation: true, ..Needs::gramian(Level::Representation) };
        assert!(fits("method", fixed, Identity::Fixed, NOTHING).is_ok());
        assert!(fits("method", validation, Identity::Resampled, all).is_ok());
        assert!(fits("method", Needs::jacobian(Level::Parameters), Identity::Resampled, NOTHING).is_ok());
    }
}
