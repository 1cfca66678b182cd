//! Learners against golden values, differences and each other.
#![expect(clippy::unwrap_used, reason = "a function that a test calls may fail it, as the test itself may")]

mod frozen;
mod golden;
mod known_wrong;
mod launched;
mod learned_steps;
mod learning;
mod pretraining;
mod settings;
mod source;
