use manytask_tensor::{Device, Kind, Tensor};

use super::*;
use crate::words::examples;
use crate::{Inputs, TaskData};

fn split(tasks: Vec<(&str, Tensor)>) -> SplitData {
    let rows = tasks[0].1.size()[0];
    let inputs = vec![Inputs::numbers(Tensor::zeros([rows, 1], (Kind::Float, Device::Cpu)))];
    let tasks = tasks.into_iter().map(|(name, target)| TaskData { name: name.into(), target, weight: None });
    SplitData::new(inputs, tasks.collect()).unwrap()
}

#[test]
fn labels_are_counted_by_their_kind() {
    let nan = f32::NAN;
    let split = split(vec![
        ("yes", Tensor::from_slice(&[1.0_f32, 0.0, nan, 0.0])),
        ("number", Tensor::from_slice(&[5.0_f32, nan, nan, 1.0])),
        ("class", Tensor::from_slice(&[2_i64, 0, MISSING_CLASS, 2])),
    ]);
    let kinds = [TargetKind::Binary, TargetKind::Regression, TargetKind::Multiclass];
    let mut report =
        DataReport::of(&Splits { test: Some(split.shallow_clone()), ..Splits::train(split) }, &kinds)
            .unwrap();
    assert_eq!(report.rows, [("train".to_owned(), 4), ("test".to_owned(), 4)]);
    report.targets[2].classes = ["a", "b", "c"].map(str::to_owned).to_vec();
    report.targets[1].standardised = Some((1.7e12, 2.5));
    let lines = report.lines();
    assert_eq!(lines[0], "data: 4 train, 4 test rows; inputs of no table");
    assert_eq!(lines[1], "  yes: train 1 yes, 2 no, 1 missing; test 1 yes, 2 no, 1 missing");
    assert!(
        lines[2].starts_with("  number: train 2 labels, 2 missing; test 2 labels, 2 missing;"),
        "{lines:?}"
    );
    assert!(lines[2].contains("mean 1.70000e12 and deviation 2.5"), "{lines:?}");
    assert_eq!(lines[3], "  class: train 1 a, 0 b, 2 c, 1 missing; test 1 a, 0 b, 2 c, 1 missing");
}

#[test]
fn many_tasks_are_summarised() {
    let label = Tensor::from_slice(&[1.0_f32, f32::NAN]);
    let names: Vec<String> = (0..40).map(|task| format!("t{task}")).collect();
    let split = split(names.iter().map(|name| (name.as_str(), label.shallow_clone())).collect());
    let report = DataReport::of(&Splits::train(split), &[TargetKind::Binary; 40]).unwrap();
    let lines = report.lines();
    assert_eq!(lines.len(), 13);
    assert_eq!(lines[12], "  and 29 further tasks; train 1 to 1 labels each");
}

#[test]
fn the_report_of_a_table_says_rows_inputs_and_labels() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    fs_err::write(&path, "x,c,y\n1,a,1\n2,b,0\n3,a,\n4,b,1\n").unwrap();
    let mut data: crate::TableDataset = toml::from_str(
        "source.path = 'a.csv'\nsplit.random.test = 0.25\ninputs = { numeric = 'x', one_hot = 'c' }\n\
         targets = [{ name = 'y', kind = 'binary' }]",
    )
    .unwrap();
    data.source.path = path;
    let report = data.load().unwrap().report;
    let expected = "data: 3 train, 1 test rows; input columns: 1 numeric, 1 one-hot with 2 categories";
    assert_eq!(report.summary(), expected);
    let splits = report.targets[0].splits.iter();
    assert_eq!(splits.map(|(_, counts)| counts.labelled() + counts.missing()).sum::<usize>(), 4);
}

#[test]
fn what_is_taken_for_missing_is_said() {
    let table = "x,c,y\n1,NA,1\n2,b,null\n3,null,0\n,b,1\n";
    let settings = "inputs = { numeric = 'x', one_hot = 'c' }\ntargets = [{ name = 'y', kind = 'binary' }]";
    let report = crate::testing::loaded(table, settings).unwrap().report;
    let expected = "  taken for missing: `NA` in 1 column, `null` in 2 columns";
    assert!(report.lines().iter().any(|line| line == expected), "{:?}", report.lines());
    assert!(report.clone().of_tasks(&["z"]).targets.is_empty() && report.of_tasks(&["y"]).targets.len() == 1);
}

#[test]
fn many_notes_and_values_are_cut_short() {
    let notes: Vec<Note> = (0..20).map(|i| Note(format!("column {i}"))).collect();
    let notes = capped(notes, "vary");
    assert_eq!((notes.len(), notes[8].0.as_str()), (9, "12 further columns vary"));
    assert_eq!(examples(["a", "b\n", "c", "d", "e", "f"]), "`a`, `b\\n`, `c`, `d`, and 2 more");
    assert!(examples([&*"x".repeat(1000)]).len() < 130);
}
