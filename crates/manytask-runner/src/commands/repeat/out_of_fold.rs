//! Predictions of a cross-validation: each row by the networks that have not seen it.

use std::path::PathBuf;

use manytask_data::Columns;
use manytask_tensor::io::write_atomically;

use crate::commands::predict::{Asked, of_run};
use crate::commands::predictions::Predictions;
use crate::config::Source;
use crate::failure::Result;
use crate::plan::{Plan, Work};
use crate::registries::Registries;
use crate::run::Which;
use crate::study::{Finished, Member, Study};

/// The file in the folder of a study.
const FILE: &str = "out_of_fold.csv";

/// Writes a line for each row of the table, in its order: the fold, and the mean over the seeds of what the networks predict
/// that were trained on other folds. A row that is in no fold, or whose fold has no network, has no prediction.
pub(super) fn write(
    study: &Study,
    finished: &[(Member, Finished)],
    registries: &Registries,
) -> Result<Option<PathBuf>> {
    let Some((first, _)) = finished.iter().find(|(member, _)| member.fold.is_some()) else { return Ok(None) };
    let source = Source::read(&study.run_of(first).join(crate::run::CONFIG), &[])?;
    let plan = Plan::read(&source, registries)?;
    let Work::Rows(rows) = &plan.work else { return Ok(None) };
    let Some(folds) = rows.data.folds(&plan.folder)? else { return Ok(None) };
    let mut all = Vec::new();
    for (member, _) in finished {
        let of_fold: Vec<bool> =
            folds.of_rows.iter().map(|fold| fold.is_some() && *fold == member.fold).collect();
        let asked = Asked {
            input: &folds.path,
            overrides: &[],
            checkpoint: Which::Best,
            keep: &Columns::default(),
            preference: &[],
        };
        let predicted = of_run(&study.run_of(member), &asked, registries)?;
        all.push((predicted.predictions, of_fold));
    }
    let fold = |fold: &Option<usize>| fold.map_or(String::new(), |fold| fold.to_string());
    let named = folds.of_rows.iter().map(fold).collect();
    let text = Predictions::mean(&all).with_rows_named("fold", named).csv();
    let path = study.path().join(FILE);
    write_atomically(&path, text.as_bytes())?;
    Ok(Some(path))
}
