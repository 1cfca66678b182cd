//! Tasks that somebody has, for a trained learner.

use manytask_tensor::Tensor;

use super::row_groups::RowGroups;
use super::{By, TableEpisodes, encoded, is_labelled, matrix};
use crate::words::quoted;
use crate::{Error, Result, Schema, Table};

/// A task that somebody has: labelled examples, and rows to predict for.
#[derive(Debug)]
pub struct GivenTask {
    /// Its value in the column of tasks; `None` where all rows are of one task.
    pub name: Option<String>,
    /// The classes among its examples, by number, with `classes_by`.
    pub classes: Vec<String>,
    /// `[N, D]` float32.
    pub support_x: Tensor,
    /// `[N, L]` float32 as the learner was trained on them, or `[N]` int64.
    pub support_y: Tensor,
    /// `[M, D]` float32.
    pub query_x: Tensor,
    /// The rows of the queries in their table, counted from 0.
    pub rows: Vec<usize>,
}

impl TableEpisodes {
    /// The tasks of labelled `examples` with the `queries` to predict for, encoded by what was kept with a model. With `tasks_by`, where
    /// both tables have that column, each of its values is a task; otherwise all rows are one. Examples without a label are left out.
    ///
    /// # Errors
    /// When a column is not there, a task has queries and no example, or there is one class alone.
    pub fn given(&self, schema: &Schema, examples: &Table, queries: &Table) -> Result<Vec<GivenTask>> {
        match self.by()? {
            By::Class(column, _) => {
                let groups = RowGroups::of(examples, column)?;
                if groups.names.len() < 2 {
                    let place = format!("column {}", quoted(column));
                    return Err(Error::corrupt(
                        examples.path(),
                        place,
                        "has the rows of one class; give examples of two classes or more",
                    ));
                }
                let rows: Vec<usize> = groups.rows.concat();
                let classes = groups.rows.iter().enumerate();
                let labels: Vec<i64> =
                    classes.flat_map(|(class, rows)| std::iter::repeat_n(class as i64, rows.len())).collect();
                let all: Vec<usize> = (0..queries.rows()).collect();
                Ok(vec![GivenTask {
                    name: None,
                    classes: groups.names,
                    support_x: encoded(schema, examples, &rows)?,
                    support_y: Tensor::f_from_slice(&labels)?,
                    query_x: encoded(schema, queries, &all)?,
                    rows: all,
                }])
            }
            By::Task(column, _) => {
                let target = schema
                    .targets
                    .first()
                    .ok_or_else(|| Error::config("targets", "`tasks_by` has no target"))?;
                let task = |name: Option<&String>, examples_of: &[usize], rows: &[usize]| {
                    let labels = matrix(target.encode(examples, examples_of)?)?;
                    let there: Vec<i64> = (0..)
                        .zip(is_labelled(&labels)?)
                        .filter(|(_, there)| *there)
                        .map(|(at, _)| at)
                        .collect();
                    if there.is_empty() {
                        let of = name.map_or(String::new(), |name| format!(" of task {}", quoted(name)));
                        return Err(Error::corrupt(
                            examples.path(),
                            "the labels",
                            format!("no example{of} has a label"),
                        ));
                    }
                    let there = Tensor::f_from_slice(&there)?;
                    Ok(GivenTask {
                        name: name.cloned(),
                        classes: Vec::new(),
                        support_x: encoded(schema, examples, examples_of)?.f_index_select(0, &there)?,
                        support_y: labels.f_index_select(0, &there)?,
                        query_x: encoded(schema, queries, rows)?,
                        rows: rows.to_vec(),
                    })
                };
                if !examples.has(column) && !queries.has(column) {
                    let all = |table: &Table| (0..table.rows()).collect::<Vec<_>>();
                    return Ok(vec![task(None, &all(examples), &all(queries))?]);
                }
                let groups = RowGroups::of(examples, column)?;
                let asked = groups.others(queries, column)?;
                let tasks =
                    groups.names.iter().zip(&groups.rows).zip(&asked).filter(|(_, asked)| !asked.is_empty());
                tasks.map(|((name, examples), asked)| task(Some(name), examples, asked)).collect()
            }
        }
    }
}
