//! The measurements of `docs/scaling.md`: each is a process of its own.

mod bytes;
mod case;
mod cell;
mod floor;
pub mod gpu;
mod machine;
mod tables;

pub use case::{Case, Made, Net, Seen, Shape, measure};
pub use tables::table;
