//! Tables, images, episodes, splits and batches for manytask.

mod bytes;
mod error;
mod table;

pub use error::{Error, Result};
pub use table::{Column, Table, TableSource};
