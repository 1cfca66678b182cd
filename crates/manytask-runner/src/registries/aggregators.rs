//! What `[aggregator]` can name.

mod pipeline;

use manytask_multitask::{AggregatorSettings, aggregators};

use crate::registry::Registry;

/// Settings of any method.
type Any = Box<dyn AggregatorSettings>;

pub(super) fn all() -> Registry<Any> {
    let mut registry = Registry::<Any>::new("aggregator", "aggregator");
    weightings(&mut registry);
    combinations(&mut registry);
    pipeline::add(&mut registry);
    registry
}

/// Methods that weigh losses: the objective is a weighted sum, for shared parameters and heads alike.
fn weightings(registry: &mut Registry<Any>) {
    // By the values of the losses.
    registry.method::<aggregators::EqualWeights>();
    registry.method::<aggregators::FixedWeights>();
    registry.method::<aggregators::GeometricMean>();
    registry.method::<aggregators::ScaleInvariant>();
    registry.method::<aggregators::UwSo>();
    registry.method::<aggregators::Dwa>();
    registry.method::<aggregators::SoftAdapt>();
    registry.method::<aggregators::Lbtw>();
    registry.method::<aggregators::CoBa>();
    registry.method::<aggregators::ReLoBRaLo>();
    registry.method::<aggregators::Igb>();
    registry.method::<aggregators::Rlw>();
    // Towards a wanted point of the Pareto front.
    registry.method::<aggregators::Linear>();
    registry.method::<aggregators::Stch>();
    registry.method::<aggregators::Tchebycheff>();
    registry.method::<aggregators::Pbi>();
    registry.method::<aggregators::Cosmos>();
    // With weights of their own that are learned.
    registry.method::<aggregators::UncertaintyWeighting>();
    registry.method::<aggregators::ImtlL>();
    registry.method::<aggregators::Famo>();
    registry.method::<aggregators::GradNorm>();
    registry.method::<aggregators::ExcessMtl>();
    registry.method::<aggregators::LdcMtl>();
    registry.method::<aggregators::AutoLambda>();
    registry.method::<aggregators::Moml>();
}

/// Methods that combine the gradients of the shared parameters; heads follow their own losses.
fn combinations(registry: &mut Registry<Any>) {
    // Gradients that are turned away from conflicts.
    registry.method::<aggregators::MetaBalance>();
    registry.method::<aggregators::PcGrad>();
    registry.method::<aggregators::GradVac>();
    registry.method::<aggregators::UpGrad>();
    registry.method::<aggregators::DualProj>();
    registry.method::<aggregators::Pcd>();
    // Weights that solve a problem on the gradients' Gramian.
    registry.method::<aggregators::Mgda>();
    registry.method::<aggregators::CaGrad>();
    registry.method::<aggregators::AlignedMtl>();
    registry.method::<aggregators::NashMtl>();
    registry.method::<aggregators::FairGrad>();
    registry.method::<aggregators::ImtlG>();
    registry.method::<aggregators::Epo>();
    registry.method::<aggregators::RotoGrad>();
    registry.method::<aggregators::Config>();
    registry.method::<aggregators::Krum>();
    // Directions from the gradients themselves.
    registry.method::<aggregators::GradDrop>();
    registry.method::<aggregators::TrimmedMean>();
    registry.method::<aggregators::MoCo>();
    registry.method::<aggregators::DbMtl>();
    registry.method::<aggregators::MConfig>();
    // With gradients of independent batches.
    registry.method::<aggregators::MoDo>();
    registry.method::<aggregators::SdmGrad>();
}
