use std::path::Path;

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
    assert_eq!(numbers(&data.train.inputs[0].matrix().unwrap()), [-1.0, 1.0]);
    let test = data.test.unwrap();
    assert_eq!(numbers(&test.inputs[0].matrix().unwrap()), [3.0]);
    assert_eq!(numbers(&test.tasks[0].target), [1.0]);
    assert_eq!(numbers(test.tasks[0].weight.as_ref().unwrap()), [0.5]);
    assert!(data.validation.is_none());
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
    assert_eq!((data.train.rows(0), data.train.rows(1)), (1, 2));
    assert_eq!(numbers(&data.train.tasks[1].target), [1.0, 3.0]);
    assert!(data.schema.target(1).is_some() && data.schema.target(2).is_none());
    let new = crate::testing::table("school,x\n7,1\n");
    let error = data.schema.encode(&new).unwrap_err().to_string();
    assert!(error.contains("`7` is not a task of the training part"), "{error}");
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
    assert_eq!(numbers(&schema.encode(&table).unwrap()[0].matrix().unwrap()), [0.0]);
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
        ("split.files.test = 'DIR/c.csv'\ntargets = [{ name = 'y', kind = 'binary' }]", "c.csv: not found"),
    ];
    for (text, expected) in cases {
        let text = format!("source.path = 'DIR/a.csv'\ninputs.numeric = 'x'\n{text}");
        let error = load(&FILES, &text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let text = "source.path = 'DIR/a.csv'\ninputs.numeric = 'x'\nweight = 'w'\ntargets = [{ name = 'y', kind = 'binary' }]";
    for bad in ["-1", ""] {
        let error = load(&[("a.csv", &format!("x,w,y\n1,1,0\n3,{bad},1\n"))], text).unwrap_err();
        assert!(matches!(error, Error::Value { row: 2, .. }), "{error}");
    }
}
