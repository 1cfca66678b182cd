use std::path::Path;

use manytask_tensor::Tensor;

use super::*;

fn dataset(dir: &Path, files: &[(&str, &str)], text: &str) -> Result<Dataset> {
    for (name, content) in files {
        fs_err::write(dir.join(name), content).unwrap();
    }
    let text = text.replace("DIR", dir.to_str().unwrap());
    toml::from_str::<TableDataset>(&text).unwrap().load()
}

fn load(files: &[(&str, &str)], text: &str) -> Result<Dataset> {
    dataset(tempfile::tempdir().unwrap().path(), files, text)
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.reshape([-1])).unwrap()
}

const FILES: [(&str, &str); 2] = [("a.csv", "x,w,y\n1,1,0\n3,2,1\n"), ("b.csv", "y,x,w\n1,5,0.5\n")];

#[test]
fn other_files_are_other_parts() {
    let text = "
        source.path = 'DIR/a.csv'
        split.files.test = 'DIR/b.csv'
        inputs.numeric = 'rest'
        weight = 'w'
        targets = [{ name = 'y', kind = 'binary' }]
    ";
    let data = load(&FILES, text).unwrap();
    assert_eq!(numbers(&data.splits.train.inputs[0].features().unwrap().matrix().unwrap()), [-1.0, 1.0]);
    let test = data.splits.test.unwrap();
    assert_eq!(numbers(&test.inputs[0].features().unwrap().matrix().unwrap()), [3.0]);
    assert_eq!(numbers(&test.tasks[0].target), [1.0]);
    assert_eq!(numbers(test.tasks[0].weight.as_ref().unwrap()), [0.5]);
    assert!(data.splits.validation.is_none());
    assert_eq!(data.digest.len(), 64);
}

#[test]
fn each_value_of_a_column_is_a_task() {
    let text = "
        source.path = 'DIR/a.csv'
        inputs.numeric = 'x'
        tasks_by = 'school'
        targets = [{ name = 'score', kind = 'regression' }]
    ";
    let files = [("a.csv", "school,x,score\n10,1,1\n9,2,2\n10,3,3\n")];
    let data = load(&files, text).unwrap();
    assert_eq!(data.schema.task_names(), ["school=9", "school=10"]);
    assert_eq!((data.splits.train.rows(0), data.splits.train.rows(1)), (1, 2));
    // All three scores have the mean 2 and the variance 2/3.
    let label = 1.5_f32.sqrt();
    let found = numbers(&data.splits.train.tasks[1].target);
    assert!((found[0] + label).abs() < 1e-6 && (found[1] - label).abs() < 1e-6, "{found:?}");
    assert!(data.schema.target(1).is_some() && data.schema.target(2).is_none());
    let new = crate::testing::table("school,x\n7,1\n");
    let error = data.schema.encode(&new).unwrap_err().to_string();
    assert!(error.contains("`7` is not a task of the training split"), "{error}");
}

#[test]
fn a_stored_schema_reads_new_rows_without_labels() {
    let dir = tempfile::tempdir().unwrap();
    let text = "
        source.path = 'DIR/a.csv'
        inputs.numeric = 'x'
        targets = [{ name = 'y', kind = 'binary' }]
    ";
    let data = dataset(dir.path(), &FILES, text).unwrap();
    let schema: Schema = serde_json::from_str(&serde_json::to_string(&data.schema).unwrap()).unwrap();
    assert_eq!(schema, data.schema);
    fs_err::write(dir.path().join("new.csv"), "x\n2\n").unwrap();
    let table = schema.read(dir.path().join("new.csv")).unwrap();
    assert_eq!(numbers(&schema.encode(&table).unwrap()[0].features().unwrap().matrix().unwrap()), [0.0]);
}

#[test]
fn columns_by_pattern_are_tasks_of_their_own_and_no_inputs() {
    let text = "
        inputs.numeric = '*'
        weight = 'assay_w'
        targets = [{ kind = 'binary', columns = 'assay_*' }, { name = 'assay_c', kind = 'regression' }]
    ";
    let table = "x,assay_a,assay_b,assay_c,assay_w\n1,0,1,5,1\n2,1,0,6,1\n3,1,1,7,2\n";
    let data = crate::testing::loaded(table, text).unwrap();
    assert_eq!(data.schema.task_names(), ["assay_a", "assay_b", "assay_c"]);
    assert_eq!(data.schema.inputs().input_names(), ["x"]);
    assert!(data.report.weights.unwrap().contains("`assay_w`"));
    let twice = text.replace("name = 'assay_c', kind", "name = 'assay_a', columns = ['x'], kind");
    let error = crate::testing::loaded(table, &twice).unwrap_err().to_string();
    assert!(error.contains("two are called `assay_a`"), "{error}");
}

#[test]
fn tasks_are_values_however_they_are_written() {
    let text = "inputs.numeric = 'x'\ntasks_by = 's'\ntargets = [{ name = 'y', kind = 'regression' }]";
    let data = crate::testing::loaded("s,x,y\n1,1,1\n2,2,2\n1.0,3,3\n2.0,4,4\n", text).unwrap();
    assert_eq!(data.schema.task_names(), ["s=1", "s=2"]);
    assert_eq!((data.splits.train.rows(0), data.splits.train.rows(1)), (2, 2));
    assert_eq!(numbers(&data.splits.train.inputs[1].features().unwrap().dense).len(), 2);
    let streams = data.schema.streams(&crate::testing::table("s,x\n2,1\n1,1\n2.00,1\n"), &[0, 1, 2]).unwrap();
    assert_eq!(streams, [vec![1], vec![0, 2]]);
}

#[test]
fn the_digest_of_the_split_is_that_of_files_and_rows() {
    let table: String = (0..40).fold("x,y\n".to_owned(), |text, i| format!("{text}{i},{}\n", i % 2));
    let load = |split: &str, rest: &str, table: &str| {
        let text = format!("split.random = {split}\n{rest}\ntargets = [{{ name = 'y', kind = 'binary' }}]");
        crate::testing::loaded(table, &text).unwrap().split_digest
    };
    let first = load("{ test = 0.2, seed = 1 }", "inputs.numeric = 'x'", &table);
    assert_eq!(first, load("{ seed = 1, test = 0.2 }", "inputs.one_hot = 'x'", &table));
    assert_ne!(first, load("{ test = 0.2, seed = 2 }", "inputs.numeric = 'x'", &table));
    assert_ne!(first, load("{ test = 0.3, seed = 1 }", "inputs.numeric = 'x'", &table));
    assert_ne!(first, load("{ validation = 0.2, seed = 1 }", "inputs.numeric = 'x'", &table));
    assert_ne!(
        first,
        load("{ test = 0.2, seed = 1 }", "inputs.numeric = 'x'", &table.replace("\n7,", "\n70,"))
    );
}

#[test]
fn values_of_other_files_are_told_by_their_own_row() {
    let text = "
        source.path = 'DIR/a.csv'
        split.files.test = 'DIR/b.csv'
        inputs.numeric = 'x'
        targets = [{ name = 'y', kind = 'regression', missing = ['-1'] }]
    ";
    let train = ("a.csv", "x,y\n1,1\n2,2\n3,-1\n");
    let data = load(&[train, ("b.csv", "y,x\n1,1\n1,1000\n-1,1\n")], text).unwrap();
    let notes: Vec<String> = data.report.all_notes();
    assert!(
        notes.iter().any(|note| note.contains("row 2 of") && note.contains("b.csv: `1000`")),
        "{notes:?}"
    );
    assert_eq!(data.report.targets[0].splits[1].1, crate::LabelCounts::Numbers { labelled: 2, missing: 1 });
    for (bad, column) in [("1,1\n1,1e300\n", "x"), ("1,1\n1e300,1\n", "y")] {
        let error = load(&[train, ("b.csv", &format!("y,x\n{bad}"))], text).unwrap_err().to_string();
        assert!(error.contains("b.csv: row 2") && error.contains(&format!("column `{column}`")), "{error}");
    }
    let error = load(&[train, ("b.csv", "x\n1\n")], text).unwrap_err().to_string();
    assert!(error.contains("b.csv: no column `y`"), "{error}");
}

#[test]
fn marks_of_missing_labels_by_pattern() {
    let text = "inputs.numeric = 'x'\ntargets = [{ kind = 'binary', columns = 'assay_*', missing = ['-1'] }]";
    let table = "x,assay_a,assay_b\n-1,0,1\n2,1,-1\n3,-1,0\n";
    let data = crate::testing::loaded(table, text).unwrap();
    for task in &data.report.targets {
        assert_eq!(task.splits[0].1, crate::LabelCounts::Answers { yes: 1, no: 1, missing: 1 });
    }
    let schema: Schema = serde_json::from_str(&serde_json::to_string(&data.schema).unwrap()).unwrap();
    assert_eq!(schema, data.schema);
}

#[test]
fn mistakes_are_named() {
    let cases = [
        ("targets = []", "there are none"),
        (
            "targets = [{ name = 'y', kind = 'binary' }, { name = 'y', kind = 'binary' }]",
            "two are called `y`",
        ),
        ("weight = 'v'\ntargets = [{ name = 'y', kind = 'binary' }]", "no column `v`"),
        ("weight = 'x'\ntargets = [{ name = 'y', kind = 'binary' }]", "cannot be an input as well"),
        (
            "tasks_by = 'w'\ntargets = [{ name = 'y', kind = 'binary' }, { name = 'w', kind = 'binary' }]",
            "single target",
        ),
        ("weight_in = 'loss'\ntargets = [{ name = 'y', kind = 'binary' }]", "`weight_in` is set"),
        ("split.files.test = 'DIR/c.csv'\ntargets = [{ name = 'y', kind = 'binary' }]", "c.csv: not found"),
    ];
    for (text, expected) in cases {
        let text = format!("source.path = 'DIR/a.csv'\ninputs.numeric = 'x'\n{text}");
        let error = load(&FILES, &text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let text = "source.path = 'DIR/a.csv'\ninputs.numeric = 'x'\nweight = 'w'\ntargets = [{ name = 'y', kind = 'binary' }]";
    let error = load(&[("a.csv", "x,w,y\n1,0,0\n3,0,1\n")], text).unwrap_err().to_string();
    assert!(error.contains("all rows of task `y` in the train split have the weight 0"), "{error}");
    for bad in ["-1", ""] {
        let error = load(&[("a.csv", &format!("x,w,y\n1,1,0\n3,{bad},1\n"))], text).unwrap_err();
        assert!(matches!(error, Error::Value { row: 2, .. }), "{error}");
    }
}

#[test]
fn marks_of_missing_values_are_those_of_columns_that_are_there() {
    let files = [("a.csv", "x,w,y\n-1,1,0\n3,-1,1\n5,1,1\n")];
    let text = |column: &str| {
        format!(
            "source = {{ path = 'DIR/a.csv', missing_by = {{ {column} = ['-1'] }} }}\ninputs.numeric = ['x', 'w']\n\
             targets = [{{ name = 'y', kind = 'binary' }}]"
        )
    };
    let data = load(&files, &text("x")).unwrap();
    assert_eq!(data.schema.inputs().input_names(), ["x", "x is missing", "w"]);
    let error = load(&files, &text("z")).unwrap_err().to_string();
    assert!(error.contains("no column `z`"), "{error}");
}
