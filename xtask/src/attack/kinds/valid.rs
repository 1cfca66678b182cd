//! Valid configurations, trained, judged, resumed and predicted from.

use anyhow::{Result, bail};

use crate::attack::draw;
use crate::attack::outcome::{Outcome, is_tidy};
use crate::attack::scenario::{CONFIG, Length, TABLE};
use crate::attack::subject::Ended;
use crate::attack::table::{Table, records};
use crate::attack::trial::Trial;

use super::kill;

/// One configuration through every command.
pub(super) fn attack(trial: &mut Trial<'_>) -> Result<()> {
    let scenario = draw::scenario(&mut trial.rng, &trial.equipment.names, Length::Short)?;
    let Some(trained) = trial.offer(&scenario)? else {
        return refused(trial);
    };
    is_tidy(&trial.at("runs/whole"))?;
    for arguments in [&["check", CONFIG][..], &["train", CONFIG, "--dry-run", "--quiet"]] {
        trial.command(arguments)?.expect(&[0])?;
    }
    let outcome = Outcome::read(&trial.at("runs/whole"))?;
    let again = trial.command(&["train", CONFIG, "--quiet", "--name", "again"])?;
    again.expect(&[0])?;
    Outcome::read(&trial.at("runs/again"))?.same_as(&outcome, "the same training")?;
    judged(trial)?;
    if let Some(table) = &scenario.table {
        let predicted = trial.command(&["predict", "runs/whole", "--input", TABLE])?;
        predicted.expect(&[0])?;
        are_predictions(&predicted, table)?;
    }
    if let Some(table) = &scenario.examples {
        let adapted = trial.command(&["adapt", "runs/whole", "--support", TABLE, "--query", TABLE])?;
        // A network with a head of its own has as many classes as a task of the training.
        let of_classes = scenario.config.contains("classes_by");
        adapted.expect(if of_classes { &[0, 4] } else { &[0] })?;
        if adapted.is(0) {
            are_predictions(&adapted, table)?;
        }
    }
    trial.command(&["resume", "runs/whole", "--quiet"])?.expect(&[0])?;
    Outcome::read(&trial.at("runs/whole"))?.same_as(&outcome, "the resumption of a run that was done")?;
    if trial.rng.chance(0.4) {
        kill::interrupted(trial, trained.took, &outcome)?;
    }
    Ok(())
}

/// What `train` refuses before its first step, `--dry-run` refuses in the same way.
fn refused(trial: &mut Trial<'_>) -> Result<()> {
    let dry = trial.command(&["train", CONFIG, "--dry-run", "--quiet"])?;
    dry.expect(&[0, 3, 4, 5])?;
    let trained = trial.command(&["train", CONFIG, "--quiet", "--name", "refused"])?;
    trained.expect(&[3, 4, 5])?;
    let in_training = trained.is(5) || trained.complaint().contains("at step ");
    if !in_training && dry.end != trained.end {
        bail!(
            "`--dry-run` ended with {:?} and the training with {:?}: {}",
            dry.end,
            trained.end,
            trained.complaint()
        );
    }
    Ok(())
}

/// The test split and what else there is can be judged; what there is not is refused in words.
fn judged(trial: &mut Trial<'_>) -> Result<()> {
    trial.command(&["eval", "runs/whole", "--json"])?.expect(&[0])?;
    let part = trial.rng.pick(&["train", "validation", "test"]);
    let which = trial.rng.pick(&["best", "latest"]);
    trial.command(&["eval", "runs/whole", "--part", part, "--checkpoint", which])?.expect(&[0, 2, 3, 4])?;
    Ok(())
}

/// As many rows as came in, of finite numbers.
pub(super) fn are_predictions(predicted: &Ended, table: &Table) -> Result<()> {
    let rows = records(&String::from_utf8_lossy(&predicted.out));
    if rows.len() != table.rows.len() + 1 {
        bail!("`{}` gave {} rows for {}", predicted.line, rows.len().saturating_sub(1), table.rows.len());
    }
    let infinite = |field: &&String| field.parse::<f64>().is_ok_and(|number| !number.is_finite());
    if let Some(field) = rows.iter().skip(1).flatten().find(infinite) {
        bail!("`{}` gave {field}", predicted.line);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::subject::End;

    #[test]
    fn predictions_are_as_many_as_rows_and_finite() {
        let table = Table { names: vec!["a".into()], rows: vec![vec!["1".into()]; 2] };
        let said = |out: &str| Ended {
            line: "manytask predict".into(),
            end: End::Code(0),
            out: out.into(),
            err: String::new(),
            took: std::time::Duration::ZERO,
        };
        assert!(are_predictions(&said("y\n0.5\nyes\n"), &table).is_ok());
        assert!(are_predictions(&said("y\n0.5\n"), &table).is_err());
        assert!(are_predictions(&said("y\n0.5\nNaN\n"), &table).is_err());
    }
}
