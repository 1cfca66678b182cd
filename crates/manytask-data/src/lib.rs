//! Tables, images, episodes, splits and batches for manytask.

mod bytes;
mod encoder;
mod error;
mod inputs;
mod table;
mod target;
#[cfg(test)]
mod testing;

pub use encoder::{Encoded, Encoder};
pub use error::{Error, Result};
pub use inputs::{Columns, Inputs, Scale};
pub use table::{Column, Table, TableSource};
pub use target::{MISSING_CLASS, TargetEncoder, TargetKind, TargetSpec};
