//! Multi-task learning: tasks, aggregators and the training loop of manytask.
//!
//! A [`Problem`] turns parameters and a batch into a vector of task losses; an [`Aggregator`] turns what it needs to know of
//! these (their values, a Gramian, a Jacobian) into one direction; the [`Trainer`] does the rest. [`MultiTaskProblem`] is
//! the problem of tasks on rows of data, with a network of any [`Architecture`]; meta-learning is another [`Problem`], so every
//! aggregator serves both.

mod affinity;
mod aggregator;
pub mod aggregators;
pub mod architecture;
pub mod architectures;
mod delta;
mod error;
mod gramian;
mod jacobian;
mod multi_task;
pub mod pareto;
mod problem;
mod task;
#[cfg(test)]
mod testing;
mod train;
mod trunk_inputs;
mod verified;

pub use affinity::{AffinityProbe, AffinityRecord, Grouping, TaskAffinity};
pub use aggregator::{
    Aggregator, BatchGradients, BatchOf, Combination, Demand, GivenBatch, GivenStep, Gives, GramianWeighting,
    Level, LossWeighting, Needs, OnGramian, OnLosses, Place, Shared, State, Step, StepInfo, TaskVec, Want,
    finite, layer_columns,
};
pub use aggregators::{AggregatorSettings, check, check_for};
pub use architecture::{
    Architecture, ArchitectureSettings, Blueprint, Bottleneck, Built, Encoding, InputSizes, PartUse,
    TrunkSettings,
};
pub use architectures::HardSharing;
pub use delta::{AllMetrics, Delta, delta_m, delta_m_all};
pub use error::{Error, Result};
pub use gramian::Gramian;
pub use jacobian::Jacobian;
pub use multi_task::{Batches, Execution, MultiTaskProblem, TaskSplits};
pub use problem::{
    AuxiliaryLoss, Draw, Evaluation, Identity, Offers, Pass, Problem, Split, TaskEvaluation, TaskOutputs,
};
pub use task::{Labelled, Task};
pub use train::{
    Across, Best, Diagnostics, EarlyStopping, Event, Finish, Freeze, Goal, Monitor, OPTIMIZER, PARAMS,
    Progress, STATE, StepReport, Trainer, Training, WeightAverage, Worsened,
};
pub use verified::VerifiedPass;
