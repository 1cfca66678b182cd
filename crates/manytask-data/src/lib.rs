//! Tables, images, episodes, splits and batches for manytask.

mod batch;
mod bytes;
mod dataset;
mod encoder;
mod error;
mod inputs;
mod prefetch;
mod split;
mod table;
mod table_dataset;
mod target;
#[cfg(test)]
mod testing;

pub use batch::{BatchOrder, Batcher, LastBatch};
pub use dataset::{Batch, Part, TaskData};
pub use encoder::{Encoded, Encoder};
pub use error::{Error, Result};
pub use inputs::{Columns, Inputs, Scale};
pub use prefetch::{Prefetch, Prefetched, gather, prefetch};
pub use split::{ByColumn, Files, Fractions, GroupFractions, Indices, Split};
pub use table::{Column, Table, TableSource};
pub use table_dataset::{Dataset, Schema, TableDataset};
pub use target::{MISSING_CLASS, TargetEncoder, TargetKind, TargetSpec};
