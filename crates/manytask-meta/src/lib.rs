//! Meta-learning: learners and episodic problems of manytask.
//!
//! A [`Learner`] says what becomes of a network in a task: [`Maml`] adapts it on the support set by an inner rule,
//! [`ProtoNet`] computes a classifier from it. A [`MetaProblem`] draws episodes and gives the query losses of a meta-batch to
//! the training loop of [`multitask`], so every aggregator, checkpoint and schedule there serves here too.
//!
//! ```
//! use manytask_meta::multitask::aggregators::EqualWeights;
//! use manytask_meta::multitask::{AggregatorSettings, Part, Problem};
//! use manytask_meta::nn::nets::{Mlp, MlpConfig};
//! use manytask_meta::nn::{loss::Loss, metrics::Output, Builder};
//! use manytask_meta::tensor::{Device, Kind, Layout};
//! use manytask_meta::{Maml, MetaProblem, MetaSettings, SinusoidEpisodes};
//!
//! let mut layout = Layout::builder();
//! let config = MlpConfig { hidden: vec![40, 40], output: Some(1), ..MlpConfig::default() };
//! let net = Mlp::new(&mut Builder::new(&mut layout), 1, &config)?;
//! let problem = MetaProblem::new(
//!     layout.build(),
//!     Box::new(net),
//!     Box::new(Maml { inner_learning_rate: 0.01, ..Maml::default() }),
//!     Box::new(SinusoidEpisodes { shots: 10, queries: 10, ..SinusoidEpisodes::default() }),
//!     Output::Regression,
//!     Loss::Mse,
//!     MetaSettings { tasks_per_step: 4, evaluation_tasks: 20, ..MetaSettings::default() },
//! )?;
//! let params = problem.layout().init(0, Kind::Float, Device::Cpu)?;
//! let before = problem.evaluate(&params, Part::Test)?;
//! assert!(before.tasks[0].figure("mse").is_some());
//! let aggregator = EqualWeights::default().build(problem.tasks())?;
//! # let _ = aggregator;
//! # Ok::<(), manytask_meta::multitask::Error>(())
//! ```

mod analytic;
mod checkpointing;
mod episodes;
mod evaluate;
mod execution;
mod learner;
mod maml;
mod pass;
mod problem;
mod protonet;
mod ready;

pub use manytask_data as data;
pub use manytask_multitask as multitask;
pub use manytask_nn as nn;
pub use manytask_tensor as tensor;

pub use analytic::Descent;
pub use episodes::{EpisodeSource, ImageEpisodes, SinusoidEpisodes, select};
pub use execution::Execution;
pub use learner::{Learner, Scene};
pub use maml::{Adapts, InnerRule, Maml, OuterGradient};
pub use problem::{MetaProblem, MetaSettings};
pub use protonet::ProtoNet;
