//! The manytask command.
fn main() {}
