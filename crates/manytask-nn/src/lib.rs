//! Layers, networks, losses, metrics, functional optimizers and schedules for manytask.
//!
//! A [`Module`] is a definition: it holds slots, hyper-parameters and other modules, never a tensor. Parameters are given to
//! [`Module::forward`], so the same definition serves plain training, fast weights in a differentiable graph, and a leading
//! task dimension.
//!
//! - [`layers`] and [`nets`], which start as [`init`] says;
//! - [`loss`] and [`metrics`], and [`calibration`] of what was predicted;
//! - [`optim`], [`schedule`] and [`clip`];
//! - [`weights`] that other programs have saved;
//! - [`dense`] and [`fused`]: passes of perceptrons and of blocks of convolution, without a graph.

pub mod calibration;
pub mod clip;
mod context;
pub mod dense;
mod error;
pub mod fused;
pub mod init;
pub mod layers;
pub mod loss;
pub mod metrics;
mod module;
pub mod nets;
pub mod optim;
mod precision;
mod primitive;
pub mod schedule;
pub mod weights;

pub use context::{BatchNormPolicy, Context, HiddenMix, Mode, Progress};
pub use error::{Error, Result};
pub use module::{Builder, Module, Staged};
pub use precision::Precision;
