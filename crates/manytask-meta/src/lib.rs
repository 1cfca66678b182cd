//! Meta-learning: learners and episodic problems of manytask.
//!
//! A [`Learner`] says what becomes of a network in a task: [`Maml`] adapts it on the support set by an inner rule,
//! [`ProtoNet`] computes a classifier from it. Its settings, a [`LearnerSpec`], build it beside a network into a [`MetaModel`].
//! A [`MetaProblem`] draws episodes and gives the losses of a meta-batch to the training loop of [`multitask`], so every
//! aggregator, checkpoint and schedule there serves here too.
//!
//! ```
//! use manytask_meta::multitask::aggregators::EqualWeights;
//! use manytask_meta::multitask::{AggregatorSettings, Split, Problem};
//! use manytask_meta::nn::nets::{Mlp, MlpConfig};
//! use manytask_meta::nn::{loss::Loss, Builder};
//! use manytask_meta::tensor::{Device, Kind, Layout};
//! use manytask_meta::{EpisodeShape, Maml, MetaModel, MetaProblem, MetaSettings, SinusoidEpisodes};
//!
//! let mut layout = Layout::builder();
//! let config = MlpConfig { hidden: vec![40, 40], output: Some(1), ..MlpConfig::default() };
//! let net = Mlp::new(&mut Builder::new(&mut layout), 1, &config)?;
//! let learner = Maml { inner_learning_rate: 0.01, ..Maml::default() };
//! let model = MetaModel::build(layout, Box::new(net), &learner, EpisodeShape::regression(1, 1))?;
//! let problem = MetaProblem::new(
//!     model,
//!     Box::new(SinusoidEpisodes { shots: 10, queries: 10, ..SinusoidEpisodes::default() }),
//!     Loss::Mse,
//!     MetaSettings { tasks_per_step: 4, evaluation_tasks: 20, ..MetaSettings::default() },
//! )?;
//! let params = problem.layout().init(0, Kind::Float, Device::Cpu)?;
//! let before = problem.evaluate(&params, Split::Test)?;
//! assert!(before.tasks[0].metric("mse").is_some());
//! let aggregator = EqualWeights::default().build(problem.tasks())?;
//! # let _ = aggregator;
//! # Ok::<(), manytask_meta::multitask::Error>(())
//! ```

mod adaptation;
mod adapter;
mod analytic;
mod attention;
mod backbone;
mod batched_descent;
mod checkpointing;
mod classifier;
mod descent;
mod dimensions;
mod embedding;
mod episode;
mod episodes;
mod evaluate;
mod execution;
mod feature_map;
mod features;
mod form;
mod full_context;
mod head;
mod inner;
mod inner_loop;
mod learned_step;
mod learner;
mod learners;
mod logistic;
mod logits;
mod model;
mod outcome;
mod outer_gradient;
mod pass;
mod prediction;
mod pretraining;
mod problem;
mod process;
mod quadratic_program;
mod query_objective;
mod ready;
mod recorded;
mod ridge;
mod settings;
mod shape;
mod training;
mod transduction;
mod transport;

pub use manytask_data as data;
pub use manytask_multitask as multitask;
pub use manytask_nn as nn;
pub use manytask_tensor as tensor;

pub use adapter::Adapter;
pub use backbone::Backbone;
pub use classifier::Classifier;
pub use descent::{Descent, Rates};
pub use episode::{BatchNormStatistics, Episode, Support};
pub use episodes::{
    ClassEpisodes, EpisodeSource, GaussianProcessEpisodes, GroupEpisodes, SinusoidEpisodes, select,
};
pub use execution::Execution;
pub use features::FeatureTransform;
pub use inner::{Adapts, InnerLoop, InnerRule};
pub use learner::{Learner, LearnerSpec, LearnsFrom, Objective, Predictor};
pub use learners::{
    Alfa, AlphaTim, Anil, Anp, Baseline, BaselinePlusPlus, BdCspn, Boil, Cavia, Cnp, ConvCnp, DeepEmd, Dn4,
    Dsn, Feat, FineTuning, Fomaml, Frn, Imaml, Kfo, L2f, LaplacianShot, LearnedRates, Leo,
    LogisticRegression, LrD2, Maml, MamlPlusPlus, MatchingNet, MetaBaseline, MetaCurvature, MetaOptNetRr,
    MetaOptNetSvm, MetaSgd, MtNet, Np, Preset, ProtoMaml, ProtoNet, PtMap, R2d2, RelationNet, Reptile, Rfs,
    RidgeRegression, SimpleShot, Tim, TipAdapter, TnpD, TransductiveFineTuning, WarpGrad,
};
pub use model::MetaModel;
pub use outer_gradient::{GradientMode, OuterGradient};
pub use prediction::{Components, Prediction, Predicts};
pub use pretraining::Pretraining;
pub use problem::MetaProblem;
pub use settings::MetaSettings;
pub use shape::{EpisodeShape, NetworkShape};
