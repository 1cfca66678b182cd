//! Methods that turn several task losses into one direction.
//!
//! Each has settings, which say where the method is from, and build an [`Aggregator`] for tasks by name.

mod accumulator;
mod aligned_mtl;
mod auto_lambda;
mod bargaining;
mod cagrad;
mod cholesky;
mod coba;
mod config;
mod cosmos;
mod db_mtl;
mod dual_cone;
mod dualproj;
mod dwa;
mod epo;
mod equal_weights;
mod excess_mtl;
mod fairgrad;
mod famo;
mod fixed_weights;
mod geometric_mean;
mod graddrop;
mod gradnorm;
mod gradvac;
mod igb;
mod imtl_g;
mod imtl_l;
mod independent;
mod krum;
mod lbtw;
mod ldc_mtl;
mod linear;
mod linear_program;
mod m_config;
mod metabalance;
mod mgda;
mod moco;
mod modo;
mod moml;
mod nash_mtl;
mod pbi;
mod pcd;
mod pcgrad;
mod pipeline;
mod post;
mod preference;
mod relobralo;
mod rlw;
mod rotograd;
mod scalar_optimizer;
mod scale_invariant;
mod sdmgrad;
mod shares;
mod softadapt;
mod spectrum;
mod stch;
mod support;
mod tchebycheff;
mod trimmed_mean;
mod uncertainty_weighting;
mod upgrad;
mod uw_so;

use manytask_tensor::WHOLE;
use std::fmt::Debug;

pub use self::aligned_mtl::{AlignedMtl, Scale};
pub use self::auto_lambda::AutoLambda;
pub use self::cagrad::{CaGrad, Rescale};
pub use self::coba::CoBa;
pub use self::config::Config;
pub use self::cosmos::Cosmos;
pub use self::db_mtl::DbMtl;
pub use self::dualproj::DualProj;
pub use self::dwa::Dwa;
pub use self::epo::Epo;
pub use self::equal_weights::EqualWeights;
pub use self::excess_mtl::ExcessMtl;
pub use self::fairgrad::FairGrad;
pub use self::famo::Famo;
pub use self::fixed_weights::FixedWeights;
pub use self::geometric_mean::GeometricMean;
pub use self::graddrop::GradDrop;
pub use self::gradnorm::{GradNorm, InitialLoss};
pub use self::gradvac::GradVac;
pub use self::igb::Igb;
pub use self::imtl_g::ImtlG;
pub use self::imtl_l::ImtlL;
pub use self::krum::Krum;
pub use self::lbtw::Lbtw;
pub use self::ldc_mtl::{LdcMtl, LossScale};
pub use self::linear::Linear;
pub use self::m_config::{MConfig, Refresh};
pub use self::metabalance::{Balance, MetaBalance};
pub use self::mgda::{Mgda, Normalisation};
pub use self::moco::MoCo;
pub use self::modo::MoDo;
pub use self::moml::Moml;
pub use self::nash_mtl::NashMtl;
pub use self::pbi::Pbi;
pub use self::pcd::Pcd;
pub use self::pcgrad::PcGrad;
pub use self::pipeline::{LossTransform, Pipeline};
pub use self::post::{Post, WeightScale};
pub use self::preference::Preference;
pub use self::relobralo::ReLoBRaLo;
pub use self::rlw::{Rlw, WeightDistribution};
pub use self::rotograd::RotoGrad;
pub use self::scale_invariant::ScaleInvariant;
pub use self::sdmgrad::SdmGrad;
pub use self::softadapt::{ChangeRate, SoftAdapt};
pub(crate) use self::spectrum::condition_number;
pub use self::stch::Stch;
pub use self::tchebycheff::{MaximumForm, Tchebycheff};
pub use self::trimmed_mean::TrimmedMean;
pub use self::uncertainty_weighting::{Form, UncertaintyWeighting};
pub use self::upgrad::UpGrad;
pub use self::uw_so::UwSo;
use crate::aggregator::layer_slots;
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

    /// What holds for its directions whatever the gradients are; tests of all methods prove it.
    fn properties(&self) -> &'static [Property] {
        &[]
    }
}

/// What can hold for the direction of a method at its first step, whatever the gradients are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Property {
    /// It does not depend on the order of the tasks.
    PermutationInvariant,
    /// No inner product with a task's gradient is below 0.
    NonConflicting,
    /// It grows with all gradients, `d(c J) = c d(J)`.
    Homogeneous,
    /// It is linear in the lengths of gradients, `d(diag(c) J)` in c.
    LinearUnderScaling,
}

/// Refuses an aggregator that needs what a problem has not.
///
/// # Errors
/// With what it needs, and what to take instead.
pub fn check(aggregator: &dyn Aggregator, problem: &dyn Problem) -> Result<()> {
    check_for(aggregator, problem.identity(), problem.offers())?;
    let needs = aggregator.needs();
    for (_, level) in needs.gradients.iter().filter(|(_, level)| level.is_layers()) {
        layer_slots(problem.layout(), problem.shared(), level)?;
    }
    Ok(())
}

/// Refuses an aggregator that needs what problems of a sort have not.
///
/// # Errors
/// As [`check`].
pub fn check_for(aggregator: &dyn Aggregator, identity: Identity, offers: Offers) -> Result<()> {
    fits(aggregator.name(), &aggregator.needs(), identity, offers)
}

fn fits(name: &str, needs: &Needs, identity: Identity, offers: Offers) -> Result<()> {
    if needs.fixed_tasks && identity == Identity::Resampled {
        return Err(Error::setting(
            WHOLE,
            format!("`{name}` keeps a state for each task, but tasks are sampled anew at each step"),
            "take one without: equal_weights, pcgrad, mgda, cagrad, upgrad, aligned_mtl, or nash_mtl with update_every = 1",
        ));
    }
    if !needs.gradients.is_empty() && !offers.shared {
        return Err(Error::setting(
            WHOLE,
            format!("`{name}` goes by gradients of parameters that tasks share, and these tasks share none"),
            "take a method that goes by losses, such as equal_weights or uncertainty_weighting, or an architecture that shares parameters",
        ));
    }
    let representation = needs.gradients.iter().any(|(_, level)| *level == Level::Representation);
    if representation && !offers.representation {
        return Err(Error::setting(
            WHOLE.text("representation"),
            format!("`{name}` at the level of the representation, which these tasks do not share"),
            "set level = \"parameters\"",
        ));
    }
    if offers.preference && !needs.preference {
        return Err(Error::setting(
            WHOLE,
            format!("`{name}` does not follow the preference that the network is given at each step"),
            "take linear, tchebycheff, cosmos, stch, pbi or epo without weights of their own",
        ));
    }
    if needs.validation && !offers.validation {
        return Err(Error::setting(
            WHOLE,
            format!("`{name}` looks at a validation split, but the data have none"),
            "add one to the split",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Offers =
        Offers { shared: true, representation: false, validation: false, preference: false };

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
            let error = fits("method", &needs, identity, NOTHING).unwrap_err().to_string();
            assert!(error.starts_with("`method`") && error.contains(said), "{error}");
        }
        let apart = Offers { shared: false, ..NOTHING };
        assert!(fits("method", &Needs::LOSSES, Identity::Fixed, apart).is_ok());
        let error = fits("method", &Needs::gramian(Level::Parameters), Identity::Fixed, apart).unwrap_err();
        assert!(error.to_string().contains("share none; take a method that goes by losses"), "{error}");
    }

    #[test]
    fn a_preference_must_be_followed() {
        let front = Offers { preference: true, ..NOTHING };
        let error = fits("method", &Needs::LOSSES, Identity::Fixed, front).unwrap_err().to_string();
        assert!(error.contains("does not follow the preference"), "{error}");
        let follows = Needs { preference: true, ..Needs::LOSSES };
        assert!([front, NOTHING].iter().all(|of| fits("method", &follows, Identity::Fixed, *of).is_ok()));
    }

    #[test]
    fn what_is_offered_may_be_needed() {
        let all = Offers { shared: true, representation: true, validation: true, preference: false };
        let fixed = Needs { fixed_tasks: true, ..Needs::LOSSES };
        let validation = Needs { validation: true, ..Needs::gramian(Level::Representation) };
        assert!(fits("method", &fixed, Identity::Fixed, NOTHING).is_ok());
        assert!(fits("method", &validation, Identity::Resampled, all).is_ok());
        assert!(fits("method", &Needs::jacobian(Level::Parameters), Identity::Resampled, NOTHING).is_ok());
    }
}
