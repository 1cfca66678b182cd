//! Import cycles between the modules of a crate.
//!
//! Modules beside each other import in one direction, each together with the modules below it, which are its own affair. A file
//! imports what it has a path to, in a `use` declaration or in code, from the file that defines it: re-exports are followed there.
//! Tests do not count.

mod graph;
mod modules;
mod source;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::modules::Modules;

/// Fails with the import cycles of each library and program of the workspace in a folder, given the output of `cargo metadata`.
pub(crate) fn check(metadata: &Value, root: &Path) -> Result<()> {
    let mut wrong = Vec::new();
    for target in targets(metadata)? {
        for cycle in graph::cycles(Modules::read(Path::new(target))?.imports()) {
            let lines: Vec<String> =
                cycle.iter().map(|import| format!("\n  {}", import.describe(root))).collect();
            wrong.push(format!("modules that import each other:{}", lines.concat()));
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

/// The roots of libraries and programs.
fn targets(metadata: &Value) -> Result<Vec<&str>> {
    let packages = metadata["packages"].as_array().context("`cargo metadata` has no packages")?;
    let targets = packages.iter().filter_map(|package| package["targets"].as_array()).flatten();
    let built = targets.filter(|target| {
        let mut kinds = target["kind"].as_array().into_iter().flatten().filter_map(Value::as_str);
        kinds.any(|kind| ["lib", "bin"].contains(&kind))
    });
    built.map(|target| target["src_path"].as_str().context("a target without a source file")).collect()
}
