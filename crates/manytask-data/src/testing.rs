//! What several test modules need.

use manytask_tensor::{Device, Kind, Tensor};

use crate::{Inputs, SplitData, Table, TableSource, TaskData};

/// A table read from this text.
pub(crate) fn table(text: &str) -> Table {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("table.csv");
    fs_err::write(&path, text).unwrap();
    Table::read(&TableSource::new(path)).unwrap()
}

/// All rows of a table.
pub(crate) fn all(table: &Table) -> Vec<usize> {
    (0..table.rows()).collect()
}

/// A part whose inputs and labels are the numbers of the rows and whose weights are ten times that.
pub(crate) fn numbered_split(streams: &[i64], tasks: usize) -> SplitData {
    let numbers = |rows: i64| Tensor::arange(rows, (Kind::Float, Device::Cpu));
    let inputs = streams.iter().map(|&rows| Inputs::numbers(numbers(rows).reshape([-1, 1])));
    let labels = (0..tasks).zip(streams.iter().cycle()).map(|(task, &rows)| TaskData {
        name: format!("task{task}"),
        target: numbers(rows),
        weight: Some(numbers(rows) * 10.0),
    });
    SplitData::new(inputs.collect(), labels.collect()).unwrap()
}

/// A data set on a table of this text, described by the rest of its settings.
pub(crate) fn loaded(text: &str, settings: &str) -> crate::Result<crate::Dataset> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("table.csv");
    fs_err::write(&path, text).unwrap();
    let source = format!("source.path = '{}'\n", path.display());
    toml::from_str::<crate::TableDataset>(&(source + settings)).unwrap().load()
}
