//! The manytask command and the library behind it.

pub mod config;
pub mod failure;
pub mod registry;
