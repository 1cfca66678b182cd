//! Predictions: a row for each row of the input.

mod output;

use manytask_tensor::{Device, Kind, Tensor};

pub(super) use self::output::output_of;
use crate::failure::Result;

/// Predictions for all rows of an input.
#[derive(Debug)]
pub(super) struct Predictions {
    /// What names each row: its task, where tasks have rows of their own, or its file.
    rows_by: Option<(&'static str, Vec<String>)>,
    columns: Vec<Column>,
    /// Columns of the input, which stand before.
    kept: Vec<(String, Vec<String>)>,
    rows: usize,
}

/// One column of predictions; rows of a task that was not trained have none.
#[derive(Debug)]
struct Column {
    name: String,
    cells: Cells,
    /// Whether it is what one network makes of the others: of several networks it has no mean.
    derived: bool,
}

/// The cells of a column, one for each row that has one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cells {
    /// Numbers.
    Numbers(Vec<Option<f64>>),
    /// Words, such as a class.
    Words(Vec<Option<String>>),
}

impl Predictions {
    /// Columns for each task, with its name, the names of its parts and its values for all rows.
    pub(super) fn by_task<'t>(
        rows: usize,
        tasks: impl Iterator<Item = (&'t str, Vec<String>, &'t Tensor)>,
    ) -> Result<Self> {
        let all: Vec<usize> = (0..rows).collect();
        let mut columns = Vec::new();
        for (name, parts, values) in tasks {
            let mut own = named(name, &parts, rows);
            fill(&mut own, &all, values)?;
            columns.append(&mut own);
        }
        Ok(Self { rows_by: None, columns, kept: Vec::new(), rows })
    }

    /// The columns of one target, each row with the prediction of its task; `names` and `streams` are of all tasks, `tasks` of
    /// those that predict.
    pub(super) fn by_row<'t>(
        rows: usize,
        names: &[&str],
        streams: &[Vec<usize>],
        target: &str,
        parts: &[String],
        tasks: impl Iterator<Item = (&'t Vec<usize>, &'t Tensor)>,
    ) -> Result<Self> {
        let mut of_rows = vec![String::new(); rows];
        for (name, rows) in names.iter().zip(streams) {
            for row in rows {
                if let Some(task) = of_rows.get_mut(*row) {
                    (*name).clone_into(task);
                }
            }
        }
        let mut columns = named(target, parts, rows);
        for (rows, values) in tasks {
            fill(&mut columns, rows, values)?;
        }
        Ok(Self { rows_by: Some(("task", of_rows)), columns, kept: Vec::new(), rows })
    }

    /// The same with what follows from the columns of `name`, as `name_SUFFIX`: `cells` are of these rows.
    pub(super) fn with_derived(mut self, name: &str, suffix: &str, rows: &[usize], cells: Cells) -> Self {
        let name = format!("{name}_{suffix}");
        let all = self.rows;
        if !self.columns.iter().any(|column| column.derived && column.name == name) {
            let cells = match cells {
                Cells::Numbers(_) => Cells::Numbers(vec![None; all]),
                Cells::Words(_) => Cells::Words(vec![None; all]),
            };
            self.columns.push(Column { name: name.clone(), cells, derived: true });
        }
        let column = self.columns.iter_mut().find(|column| column.derived && column.name == name);
        match (column.map(|column| &mut column.cells), cells) {
            (Some(Cells::Numbers(own)), Cells::Numbers(cells)) => put(own, rows, cells),
            (Some(Cells::Words(own)), Cells::Words(cells)) => put(own, rows, cells),
            _ => {}
        }
        self
    }

    /// Whether anything follows from them that is of one network.
    pub(super) fn has_derived(&self) -> bool {
        self.columns.iter().any(|column| column.derived)
    }

    /// The same with the file of each row, where each has one of its own.
    pub(super) fn of_files(self, files: Option<Vec<String>>) -> Self {
        let rows_by = files.map(|files| ("file", files)).or(self.rows_by);
        Self { rows_by, ..self }
    }

    /// The same with columns of the input before them. A prediction that is called as one of them is `predicted_NAME`.
    pub(super) fn with_kept(mut self, kept: Vec<(String, Vec<String>)>) -> Self {
        for column in &mut self.columns {
            while kept.iter().any(|(name, _)| *name == column.name) {
                column.name.insert_str(0, "predicted_");
            }
        }
        Self { kept, ..self }
    }

    /// The same with other names of the rows.
    pub(super) fn with_rows_named(self, what: &'static str, names: Vec<String>) -> Self {
        Self { rows_by: Some((what, names)), ..self }
    }

    /// The mean of several predictions of the same rows, each of the rows that count in it; where none does there is no
    /// prediction. A class that only some know is a column of theirs.
    pub(super) fn mean(all: &[(Self, Vec<bool>)]) -> Self {
        let rows = all.first().map_or(0, |(first, _)| first.rows);
        let mut names: Vec<&str> = Vec::new();
        for column in all.iter().flat_map(|(of, _)| &of.columns).filter(|column| !column.derived) {
            if !names.contains(&column.name.as_str()) {
                names.push(&column.name);
            }
        }
        let columns = names.into_iter().map(|name| {
            let own: Vec<(&Column, &Vec<bool>)> = all
                .iter()
                .filter_map(|(of, counts)| {
                    let mut columns = of.columns.iter().filter(|column| !column.derived);
                    Some((columns.find(|column| column.name == name)?, counts))
                })
                .collect();
            let value = |row: usize| {
                let values = own.iter().filter(|(_, counts)| counts.get(row) == Some(&true));
                let values: Vec<f64> = values.filter_map(|(column, _)| column.value(row)).collect();
                crate::statistics::mean(&values)
            };
            Column {
                name: name.to_owned(),
                cells: Cells::Numbers((0..rows).map(value).collect()),
                derived: false,
            }
        });
        Self {
            columns: columns.collect(),
            rows_by: all.first().and_then(|(first, _)| first.rows_by.clone()),
            kept: all.first().map(|(first, _)| first.kept.clone()).unwrap_or_default(),
            rows,
        }
    }

    /// What is odd about them.
    pub(super) fn note(&self) -> Option<String> {
        let odd = |row: &usize| {
            self.columns.iter().any(|column| column.value(*row).is_some_and(|value| !value.is_finite()))
        };
        let none = |row: &usize| self.columns.iter().all(|column| column.value(*row).is_none());
        let rows = || 0..self.rows;
        if let Some(first) = rows().find(odd) {
            let count = rows().filter(odd).count();
            return Some(format!(
                "{count} of {} rows have predictions that are no finite numbers, the first is row {}: look at their inputs",
                self.rows,
                first + 1
            ));
        }
        let first = rows().find(none)?;
        let count = rows().filter(none).count();
        Some(format!(
            "{count} of {} rows have no prediction, the first is row {}: their tasks were not trained in this run",
            self.rows,
            first + 1
        ))
    }
}

impl Column {
    fn value(&self, row: usize) -> Option<f64> {
        match &self.cells {
            Cells::Numbers(values) => values.get(row).copied().flatten(),
            Cells::Words(_) => None,
        }
    }
}

fn named(name: &str, parts: &[String], rows: usize) -> Vec<Column> {
    let column = |name: String| Column { name, cells: Cells::Numbers(vec![None; rows]), derived: false };
    if parts.is_empty() {
        return vec![column(name.to_owned())];
    }
    parts.iter().map(|part| column(format!("{name}={part}"))).collect()
}

/// Puts the values `[B]` or `[B, C]` of B rows into one or C columns.
fn fill(columns: &mut [Column], rows: &[usize], values: &Tensor) -> Result<()> {
    let values = values.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
    let values = values.f_reshape([rows.len() as i64, columns.len() as i64])?;
    for (number, column) in columns.iter_mut().enumerate() {
        let own = Vec::<f64>::try_from(values.f_select(1, number as i64)?.f_contiguous()?)?;
        if let Cells::Numbers(values) = &mut column.cells {
            put(values, rows, own.into_iter().map(Some).collect());
        }
    }
    Ok(())
}

/// Puts cells at their rows.
fn put<T>(column: &mut [Option<T>], rows: &[usize], cells: Vec<Option<T>>) {
    for (row, value) in rows.iter().zip(cells) {
        if let Some(cell) = column.get_mut(*row) {
            *cell = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f64]) -> Tensor {
        Tensor::f_from_slice(values).unwrap()
    }

    #[test]
    fn the_mean_is_over_those_that_count_in_a_row() {
        let of = |values: &[f64], classes: &[&str]| {
            let tensor = tensor(values).f_reshape([2, classes.len() as i64]).unwrap();
            let parts = classes.iter().map(|class| (*class).to_owned()).collect();
            Predictions::by_task(2, [("t", parts, &tensor)].into_iter()).unwrap()
        };
        let all = [
            (of(&[0.5, 0.5, 1.0, 0.0], &["a", "b"]), vec![true, false]),
            (of(&[0.25, 0.25, 0.25, 0.25], &["a", "c"]), vec![true, false]),
        ];
        assert_eq!(Predictions::mean(&all).csv(), "t=a,t=b,t=c\n0.375,0.5,0.25\n,,\n");
        let named = Predictions::mean(&all).with_rows_named("fold", vec!["1".into(), String::new()]);
        assert_eq!(named.csv(), "fold,t=a,t=b,t=c\n1,0.375,0.5,0.25\n,,,\n");
    }

    #[test]
    fn what_follows_from_a_prediction_stands_behind_and_has_no_mean() {
        let values = tensor(&[0.25, 0.75]);
        let of = Predictions::by_task(2, [("y", Vec::new(), &values)].into_iter()).unwrap();
        let words = Cells::Words(vec![Some("no".into()), Some("yes, sir".into())]);
        let of = of.with_derived("y", "class", &[0, 1], words);
        let of = of.with_derived("y", "low", &[1], Cells::Numbers(vec![Some(0.5)]));
        assert_eq!(of.csv(), "y,y_class,y_low\n0.25,no,\n0.75,\"yes, sir\",0.5\n");
        assert_eq!(Predictions::mean(&[(of, vec![true, true])]).csv(), "y\n0.25\n0.75\n");
    }

    #[test]
    fn numbers_lose_nothing_and_names_are_quoted() {
        let values = [0.1 + 0.2, 1e-17, 1.0 - 1e-16, 2.5e300, -3.0, 123_456_789.123_456_78];
        let tensor = tensor(&values);
        let tasks = [("a,b", Vec::new(), &tensor), ("c\rd\"e", Vec::new(), &tensor)];
        let text = Predictions::by_task(6, tasks.into_iter()).unwrap().csv();
        let mut lines = text.split('\n');
        assert_eq!(lines.next(), Some("\"a,b\",\"c\rd\"\"e\""));
        for value in values {
            let line = lines.next().unwrap();
            assert!(line.split(',').all(|cell| cell.parse::<f64>().unwrap() == value), "{line}");
        }
        assert_eq!((lines.next(), lines.next()), (Some(""), None));
        assert!(text.contains("1e-17") && text.contains("2.5e300") && text.contains("\n-3,-3\n"), "{text}");
    }

    #[test]
    fn each_row_has_the_prediction_of_its_task_and_names_it() {
        let streams = [vec![0, 3], vec![2], vec![1]];
        let (first, second) = (tensor(&[0.25, 0.5]), tensor(&[0.75]));
        let tasks = [(&streams[0], &first), (&streams[1], &second)];
        let names = ["g=a", "g=b", "g=c"];
        let predictions = Predictions::by_row(4, &names, &streams, "rich", &[], tasks.into_iter()).unwrap();
        assert_eq!(predictions.csv(), "task,rich\ng=a,0.25\ng=c,\ng=b,0.75\ng=a,0.5\n");
        assert!(
            predictions.note().unwrap().starts_with("1 of 4 rows have no prediction, the first is row 2")
        );
        let classes = Tensor::f_from_slice(&[0.25, 0.75]).unwrap().f_reshape([1, 2]).unwrap();
        let parts = ["x", "y"].map(str::to_owned);
        let one = [vec![0]];
        let tasks = [(&one[0], &classes)];
        let text = Predictions::by_row(1, &["g=a"], &one, "c", &parts, tasks.into_iter()).unwrap().csv();
        assert_eq!(text, "task,c=x,c=y\ng=a,0.25,0.75\n");
    }

    #[test]
    fn numbers_that_are_not_finite_are_told() {
        let tensor = tensor(&[0.5, f64::NAN]);
        let predictions = Predictions::by_task(2, [("y", Vec::new(), &tensor)].into_iter()).unwrap();
        assert!(predictions.note().unwrap().contains("1 of 2 rows") && predictions.csv().ends_with("NaN\n"));
    }
}
