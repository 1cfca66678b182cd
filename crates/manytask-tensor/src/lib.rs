//! Tensors, parameters as data, gradients, seeded randomness and checkpoints for manytask.
//!
//! This is the only crate of the workspace that touches libtorch's binding. What the crates above it use:
//!
//! - [`Layout`], [`Slot`] and [`Params`]: parameters, gradients, fast weights and optimizer state are one type, a list of
//!   tensors with names and shapes; a network's definition holds only [`Slot`]s.
//! - [`grad`], [`gradients`], [`vjp`], [`jacobian`] and [`hvp`]: reverse-mode derivatives to any order, which answer with
//!   an error where the binding underneath would crash or be silently wrong.
//! - [`baddbmm`], [`masked_fill`] and [`catch_panics`]: where the binding panics although it has an error to give.
//! - [`random`]: every draw from a generator keyed by (seed, purpose, step, task).
//! - [`checkpoint`] and [`io`]: safetensors with a layout check; files that are whole or absent.
//! - [`dense`]: matrix products on memory, for passes that know their derivatives.
//! - [`elementwise`]: many operations on elements in one pass; [`rows`]: some of a tensor's; [`one_hot`]: rows of zeros and few ones.
//! - [`capture`]: work that a GPU is given once and launched as a whole.
//! - [`device`], [`threads`] and [`memory`].
//! - [`Method`]: what is declared beside the code of whatever a configuration can name.
//! - [`SettingError`] and [`ErrorKind`]: how every crate refuses a setting by its path of keys, and what kinds of errors there are.
//!
//! ```
//! use manytask_tensor::{grad, Device, Graph, Init, Kind, Layout, Role};
//!
//! let mut layout = Layout::builder();
//! let w = layout.add("w", &[3], Init::Constant(2.0), Role::Weight)?;
//! let params = layout.build().init(0, Kind::Double, Device::Cpu)?.require_grad()?;
//! let loss = params.get(w)?.f_square()?.f_sum(Kind::Double)?; // Σ w²
//! let gradient = grad(&loss, &params, Graph::Free)?; // 2 w
//! assert_eq!(gradient.get(w)?.double_value(&[0]), 4.0);
//! # Ok::<(), manytask_tensor::Error>(())
//! ```

mod autograd;
pub mod capture;
pub mod checkpoint;
pub mod dense;
pub mod descent_kernel;
pub mod device;
pub mod elementwise;
mod error;
mod init;
pub mod io;
mod kernel;
mod layout;
mod linear_system;
pub mod memory;
mod method;
mod no_grad;
pub mod one_hot;
mod params;
pub mod random;
pub mod rows;
mod scalar;
mod setting;
mod shown;
pub mod threads;

pub use autograd::{Graph, grad, gradients, hvp, jacobian, vjp};
pub use device::{DeviceChoice, send};
pub use error::{Error, OpContext, Result};
pub use init::Init;
pub use layout::{Entry, Layout, LayoutBuilder, Owner, Role, Slot};
pub use linear_system::solve_linear;
pub use method::{Compat, Method};
pub use no_grad::{NoGrad, no_grad};
pub use params::{Params, write_in_turn};
pub use scalar::{baddbmm, baddbmm_scaled, catch_panics, masked_fill, number_like};
pub use setting::{Classified, ErrorKind, KeyPath, Segment, SettingError, WHOLE, Within};
pub use shown::ShownPath;
pub use tch::{Device, IndexOp, Kind, Reduction, TchError, Tensor};
