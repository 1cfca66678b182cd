//! What is easily got wrong: each is answered with its place and what to do.

use std::process::Stdio;

use serde_json::Value;

use crate::command::{Place, said};

/// What is marked by carets in a message.
fn marked(message: &str) -> Option<&str> {
    let lines: Vec<&str> = message.lines().collect();
    let number = lines.iter().position(|line| line.trim_start_matches([' ', '|']).starts_with('^'))?;
    let (text, carets) = (lines.get(number - 1)?, lines.get(number)?);
    let (start, end) = (carets.find('^')?, carets.rfind('^')? + 1);
    text.get(start..end)
}

#[test]
fn mistakes_in_arguments_are_refused_with_what_to_write() {
    let place = Place::new();
    for (arguments, code, says) in [
        (&["train", "a.toml", "--seeds", "2", "--jobs", "0"][..], 2, "a whole number of at least 1"),
        (&["train", "a.toml", "--threads", "0"], 2, "a whole number of at least 1"),
        (&["front", "a.toml", "--device", "tpu"], 2, "device `tpu`"),
        (&["train", "a.toml", "data.source.file_column=\"\""], 3, "`file_column` is empty"),
        (
            &["train", "a.toml", "network.nope=1"],
            3,
            "unknown key `nope`, expected one of `kind`, `embedding`, `periodic`, `trunk`",
        ),
        (&["adapt", "runs/a", "--support", "-", "--query", "-"], 2, "both standard input"),
    ] {
        let said = place.run(arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
        assert!(said.err.contains(says), "{arguments:?}: {}", said.err);
    }
    assert!(!place.at("runs").exists());
}

#[test]
fn the_place_of_a_mistake_is_what_the_user_wrote() {
    let place = Place::new();
    let device = "in the argument `device=cuda:63`";
    for arguments in [
        &["front", "a.toml", "--device", "cuda:63"][..],
        &["train", "a.toml", "--seeds", "2", "--device", "cuda:63"],
    ] {
        let said = place.run(arguments);
        assert!(said.code == Some(3) && said.err.contains(device), "{arguments:?}: {said:?}");
    }
    let preference = "aggregator={ kind = \"epo\", preference = { weights = { rich = 1.0, scor = 2.0 } } }";
    let said = place.run(&["train", "a.toml", preference]);
    assert!(said.code == Some(3) && said.err.contains("there is no task `scor`"), "{said:?}");
    assert_eq!(marked(&said.err), Some("2.0"), "{}", said.err);
    // What a study changes itself is not what the user wrote.
    let said = place.run(&["train", "a.toml", "training.batch_size=16,0", "--dry-run"]);
    assert!(said.code == Some(3) && said.err.contains("batch_size=0: "), "{said:?}");
    assert!(!said.err.contains("in the argument"), "{said:?}");
}

#[test]
fn predictions_are_written_as_the_file_is_called_or_refused() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet", "training.epochs=1"]);
    let predict = ["predict", "runs/a", "--input", "people.csv", "--output"];
    place.good(&[&predict[..], &["x.json"]].concat());
    let records: Value = serde_json::from_str(&place.read("x.json")).unwrap();
    assert_eq!(records.as_array().map(Vec::len), Some(200));
    assert!(records[0]["rich"].is_f64());
    for (name, says) in [("x.xlsx", "no table is written as `.xlsx`"), ("x.csv.gz", "nothing is packed")] {
        let said = place.run(&[&predict[..], &[name]].concat());
        assert!(said.code == Some(2) && said.err.contains(says), "{said:?}");
        assert!(said.err.contains("hint:") && !place.at(name).exists(), "{said:?}");
    }
    let input = ["predict", "runs/a", "--input", "-", "--keep", "nope"];
    let file = fs_err::File::open(place.at("people.csv")).unwrap().into_parts().0;
    let said = said(place.command(&input).stdin(Stdio::from(file)).output().unwrap());
    assert!(said.code == Some(2) && said.err.contains("standard input has no column `nope`"), "{said:?}");
}

#[test]
fn ranges_of_whole_numbers_and_few_combinations_are_told() {
    let place = Place::new();
    let sweep = |arguments: &[&str]| {
        place.good(&[&["train", "a.toml", "--quiet", "--dry-run"], arguments].concat()).err
    };
    let err = sweep(&["training.batch_size=8..24", "--random", "3"]);
    assert!(err.contains("3 runs would be trained") && err.contains("among whole numbers"), "{err}");
    let err = sweep(&["aggregator.kind=equal_weights,uncertainty_weighting", "--random", "5"]);
    assert!(err.contains("there are 2 combinations") && err.contains("2 runs would be trained"), "{err}");
    assert!(!sweep(&["optimizer.learning_rate=1e-4..1e-2", "--random", "2"]).contains("note: `optim"));
}

#[test]
fn a_member_that_diverged_is_none_that_was_stopped() {
    let place = Place::new();
    let rates = "optimizer.learning_rate=1e-5,1e-2,1e30";
    let sweep = ["train", "a.toml", "--quiet", "training.epochs=2", rates, "--halving=2", "--name", "s"];
    let said = place.run(&sweep);
    assert_eq!(said.code, Some(5), "{said:?}");
    let results: Value = serde_json::from_str(&place.read("runs/s/results.json")).unwrap();
    let stopped = results["stopped"].to_string();
    assert!(results["failed"].to_string().contains("1e30") && !stopped.contains("1e30"), "{results}");
}

const VECTORS: &str = r#"seed = 1
threads = 1
[data]
kind = "table"
source.path = "vectors.csv"
classes_by = "label"
inputs = { numeric = ["x", "y"], scale = "raw" }
split.lists = { train = "train.txt", test = "test.txt" }
ways = 3
shots = 2
queries = 2
[network]
kind = "identity"
[learner]
kind = "logistic"
[training]
steps = 0
[evaluation]
tasks = 5
"#;

#[test]
fn where_nothing_is_trained_the_training_split_is_no_measure() {
    let place = Place::new();
    let row = |number: i32| {
        let class = number % 12;
        let far = if class > 5 { 1_000_000 } else { 1 };
        format!("{},{},c{class}\n", class * far + number / 12, number)
    };
    place.write("vectors.csv", format!("x,y,label\n{}", (0..72).map(row).collect::<String>()));
    place.write("train.txt", "c0\nc1\nc2\nc3\n");
    place.write("test.txt", "c4\nc5\nc6\nc7\n");
    place.write("v.toml", VECTORS);
    let said = place.good(&["train", "v.toml", "--name", "v"]);
    assert!(!said.err.contains("note: column"), "{said:?}");
    let said = place.good(&["adapt", "runs/v", "--support", "vectors.csv", "--query", "vectors.csv"]);
    assert!(!said.err.contains("note: column"), "{said:?}");
    let trained = [
        "train",
        "v.toml",
        "--dry-run",
        "learner.kind=protonet",
        "training.steps=1",
        "aggregator.kind=equal_weights",
        "optimizer={ kind = \"adam\", learning_rate = 1e-3 }",
    ];
    let said = place.good(&[&trained[..], &["network={ kind = \"mlp\", hidden = [4] }"]].concat());
    assert!(said.err.contains("note: column"), "a network that is trained has seen other numbers: {said:?}");
    let said = place.run(&trained);
    assert!(said.code == Some(3) && said.err.contains("there is nothing to learn"), "{said:?}");
    assert!(said.err.contains("kind = \"mlp\"") && said.err.contains("simple_shot"), "{said:?}");
}
