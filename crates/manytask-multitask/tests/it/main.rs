//! Aggregators against golden values and closed forms.
#![expect(clippy::unwrap_used, reason = "a function that a test calls may fail it, as the test itself may")]

mod affinity;
mod aggregators;
mod balancing;
mod closed_forms;
mod contracts;
mod golden;
mod pareto;
mod pipelines;
mod solutions;
mod step;
mod traps;
mod weightings;
mod whole_fronts;
