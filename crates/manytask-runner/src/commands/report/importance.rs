//! How much worse a network is when an input column tells it nothing.

use manytask_data::Table;
use manytask_multitask::{Evaluation, Split, TaskEvaluation};
use manytask_tensor::random::Key;

use super::Judged;
use crate::failure::Result;
use crate::html::{Bar, Page, bars};
use crate::schema::InputSchema;
use crate::statistics::{Repetition, Summary};

/// Each column is permuted so often.
const REPEATS: u64 = 5;
/// Rows that are judged.
const ROWS: usize = 2000;
/// Columns beyond which it would take too long.
const COLUMNS: usize = 200;
/// Columns and tasks that are shown.
const SHOWN: usize = 12;
const TASKS: usize = 4;

/// Permutation importances (Breiman 2001) of the columns of a table, for the primary metric of the first tasks: how much worse it
/// is, as the mean and its interval over permutations, where the values of one column are exchanged among the rows.
pub(super) fn of_inputs(page: &mut Page, judged: &Judged) -> Result<()> {
    let Some(InputSchema::Table(schema)) = &judged.experiment.schema else { return Ok(()) };
    let Some((mut table, indices)) = judged.experiment.rows()? else { return Ok(()) };
    let columns: Vec<String> = schema.inputs().columns().into_iter().map(str::to_owned).collect();
    if columns.len() > COLUMNS {
        page.remark(&format!("Importances are left out: there are {} input columns.", columns.len()));
        return Ok(());
    }
    let all = match judged.split {
        Split::Train => indices.train,
        Split::Validation => indices.validation,
        Split::Test => indices.test,
    };
    let every = all.len().div_ceil(ROWS).max(1);
    let rows: Vec<usize> = all.into_iter().step_by(every).collect();
    let evaluate = |table: &Table| -> Result<Option<Evaluation>> {
        judged.experiment.evaluate_rows(&judged.params, schema.split(table, &rows)?)
    };
    let Some(plain) = evaluate(&table)? else { return Ok(()) };
    let tasks: Vec<&TaskEvaluation> =
        plain.tasks.iter().filter(|task| first_of(task).is_some()).take(TASKS).collect();
    let mut worse: Vec<Vec<Vec<f64>>> = vec![vec![Vec::new(); columns.len()]; tasks.len()];
    for (number, column) in columns.iter().enumerate() {
        for repeat in 0..REPEATS {
            let order = permutation(rows.len(), number as u64, repeat);
            table.permute(column, &rows, &order)?;
            let permuted = evaluate(&table)?;
            table.permute(column, &rows, &inverse(&order))?;
            for (task, worse) in tasks.iter().zip(&mut worse) {
                let after = permuted.as_ref().and_then(|all| first_of(all.task(&task.name)?));
                let drop = first_of(task).zip(after).map(|(before, after)| {
                    if task.higher_is_better { before - after } else { after - before }
                });
                if let (Some(drop), Some(own)) = (drop, worse.get_mut(number)) {
                    own.push(drop);
                }
            }
        }
    }
    let figures =
        tasks.iter().zip(worse).map(|(task, worse)| figure(task, &columns, worse)).collect::<Vec<_>>();
    page.subheading("What the inputs tell");
    page.figures(&figures);
    page.remark(&format!(
        "How much worse a metric is where one column's values are exchanged among {} rows: means over {REPEATS} permutations with 95 % intervals. Columns that tell the same stand in for each other.",
        rows.len()
    ));
    Ok(())
}

fn figure(task: &TaskEvaluation, columns: &[String], worse: Vec<Vec<f64>>) -> String {
    let summaries = worse.into_iter().map(|values| Summary::of(values, Repetition::Independent));
    let mut all: Vec<Bar> = columns
        .iter()
        .zip(summaries)
        .filter_map(|(name, summary)| {
            let summary = summary?;
            let interval = summary.interval().unwrap_or((summary.mean, summary.mean));
            Some(Bar { name: name.clone(), value: summary.mean, interval })
        })
        .collect();
    all.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.name.cmp(&b.name)));
    all.truncate(SHOWN);
    let metric = task.metrics.first().map_or("", |(name, _)| name.as_str());
    bars(&format!("importance for {}", task.name), &format!("how much worse {metric} is"), &all)
}

fn first_of(task: &TaskEvaluation) -> Option<f64> {
    task.metrics.first().and_then(|(_, value)| *value)
}

/// An order of so many rows, the same whenever it is asked for.
fn permutation(rows: usize, column: u64, repeat: u64) -> Vec<usize> {
    let order = Key::new(0, "importance").step(column).task(repeat).permutation(rows);
    order.into_iter().map(|row| row as usize).collect()
}

fn inverse(order: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; order.len()];
    for (place, from) in order.iter().enumerate() {
        if let Some(cell) = inverse.get_mut(*from) {
            *cell = place;
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_every_row_and_is_undone() {
        let order = permutation(100, 3, 1);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_ne!(order, sorted);
        assert_ne!(order, permutation(100, 3, 2));
        let back = inverse(&order);
        assert!((0..100).all(|place| order[back[place]] == place));
    }
}
