//! Multi-task learning: tasks, aggregators and the training loop of manytask.
//!
//! A [`Problem`] turns parameters and a batch into a vector of task losses; an [`Aggregator`] turns what it needs to know of
//! these (their values, a Gramian, a Jacobian) into one direction; the loop does the rest. Meta-learning is another
//! [`Problem`], so every aggregator serves both.

mod aggregator;
mod error;
mod gramian;
mod problem;

pub use aggregator::{Aggregator, Combination, Demand, Level, Needs, Shared, State, Step};
pub use error::{Error, Result};
pub use gramian::{Gramian, Jacobian};
pub use problem::{Draw, Evaluation, Identity, Offers, Part, Pass, Problem, TaskEvaluation};
