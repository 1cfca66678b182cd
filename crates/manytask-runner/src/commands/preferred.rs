//! The preference that a network for the whole Pareto front is asked with.

use std::path::Path;

use manytask_tensor::ShownPath as _;

use crate::config::Source;
use crate::failure::{Code, Failure, Result};
use crate::plan::{Plan, Work};
use crate::registries::Registries;
use crate::report::say;
use crate::run::CONFIG;

/// The changes of a run's configuration with the preference of `--preference`, where one is given; says which one it is otherwise.
///
/// # Errors
/// When the run's network is not one for the whole front.
pub(super) fn with_preference(
    run: &Path,
    overrides: &[String],
    preference: &[f64],
    registries: &Registries,
) -> Result<Vec<String>> {
    let mut overrides = overrides.to_vec();
    let given = overrides.iter().any(|change| change.starts_with("network.preference"));
    if !preference.is_empty() {
        let numbers: Vec<String> = preference.iter().map(|share| format!("{share:?}")).collect();
        overrides.push(format!("network.preference=[{}]", numbers.join(", ")));
    }
    // What cannot be read is refused where the run is opened.
    let Ok(source) = Source::read(&run.join(CONFIG), &[]) else { return Ok(overrides) };
    let Ok(plan) = Plan::read(&source, registries) else { return Ok(overrides) };
    let is_front = matches!(&plan.work, Work::Rows(rows) if rows.network.front_aggregator().is_some());
    match (preference.is_empty(), is_front) {
        (false, false) => {
            let what = format!(
                "--preference is for one network of the whole Pareto front, and {} is none",
                run.shown()
            );
            Err(Failure::new(Code::Usage, what)
                .hint("leave it out, or train one with network.kind = \"phn\" or \"cosmos\""))
        }
        (true, true) if !given => {
            say(
                "note: it is the network at the preference of its configuration, equal shares where that has none; --preference takes another",
            );
            Ok(overrides)
        }
        _ => Ok(overrides),
    }
}
