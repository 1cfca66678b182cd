//! Learners on vectors of an encoder that is trained already: nothing is trained but what a task computes from its examples.

use std::fmt::Write as _;
use std::path::Path;

use manytask::tensor::random::Key;
use manytask::tensor::{Device, Kind, Tensor, checkpoint};

use crate::command::Place;

const CONFIG: &str = r#"
seed = 1
threads = 1
[data]
kind = "table"
source.path = "vectors.safetensors"
classes_by = "species"
inputs = { numeric = "x.*", scale = "raw" }
split.random = { validation = 0.0, test = 0.5, seed = 1 }
ways = 4
shots = 2
queries = 5
[network]
kind = "identity"
[learner]
kind = "KIND"
[training]
steps = 0
[evaluation]
tasks = 60
"#;

const LEARNERS: [&str; 12] = [
    "logistic",
    "ridge",
    "tip_adapter",
    "trans_finetune",
    "simple_shot",
    "rfs",
    "baseline",
    "baseline_pp",
    "laplacian_shot",
    "bd_cspn",
    "tim",
    "pt_map",
];

/// Twelve kinds, ten vectors of sixteen numbers of each, and a table with two kinds that are not among them.
fn vectors(place: &Place) {
    let on = (Kind::Float, Device::Cpu);
    let normal = |name: &str, shape: &[i64]| Key::new(3, name).normal(shape, on.0, on.1).unwrap();
    let x = normal("kind", &[14, 1, 16]) * 1.5 + normal("own", &[14, 10, 16]);
    let rows = x.narrow(0, 0, 12).reshape([120, 16]);
    let kinds = Tensor::arange(12, (Kind::Int64, Device::Cpu)).repeat_interleave_self_int(10, 0, None);
    let file = place.at("vectors.safetensors");
    let tensors = [("x".to_owned(), rows), ("species".to_owned(), kinds)];
    checkpoint::save_tensors(&file, &tensors, &checkpoint::Metadata::new()).unwrap();
    let table = |kinds: &[(&str, i64)], rows: std::ops::Range<i64>| {
        let names: Vec<String> = (0..16).map(|number| format!("x.{number}")).collect();
        let mut text = format!("species,{}\n", names.join(","));
        for (name, kind) in kinds {
            for row in rows.clone() {
                let values = Vec::<f32>::try_from(x.get(*kind).get(row)).unwrap();
                let values: Vec<String> = values.iter().map(f32::to_string).collect();
                _ = writeln!(text, "{name},{}", values.join(","));
            }
        }
        text
    };
    let kinds = [("rose", 12), ("lily", 13)];
    place.write("known.csv", table(&kinds, 0..3));
    place.write("new.csv", table(&kinds, 3..10));
}

/// Writes as many vectors of each of some classes as `x`, with the numbers of the classes as `label`.
pub(crate) fn classes(file: &Path, classes: i64, each: i64) {
    let on = (Kind::Float, Device::Cpu);
    let normal = |name: &str, shape: &[i64]| Key::new(3, name).normal(shape, on.0, on.1).unwrap();
    let x = normal("class", &[classes, 1, 8]) * 2.0 + normal("own", &[classes, each, 8]);
    let labels =
        Tensor::arange(classes, (Kind::Int64, Device::Cpu)).repeat_interleave_self_int(each, 0, None);
    let tensors = [("x".to_owned(), x.reshape([-1, 8])), ("label".to_owned(), labels)];
    checkpoint::save_tensors(file, &tensors, &checkpoint::Metadata::new()).unwrap();
}

fn accuracy(place: &Place, name: &str) -> f64 {
    let results: serde_json::Value =
        serde_json::from_str(&place.read(&format!("runs/{name}/results.json"))).unwrap();
    results["tasks"][0]["metrics"][0][1].as_f64().unwrap()
}

#[test]
fn given_vectors_need_no_training() {
    let place = Place::new();
    vectors(&place);
    for kind in LEARNERS {
        place.write("v.toml", CONFIG.replace("KIND", kind));
        let said = place.run(&["train", "v.toml", "--name", kind]);
        assert_eq!(said.code, Some(0), "{kind}: {said:?}");
        let found = accuracy(&place, kind);
        assert!(found > 0.8, "{kind}: {found}");
        let said =
            place.good(&["adapt", &format!("runs/{kind}"), "--support", "known.csv", "--query", "new.csv"]);
        let classes: Vec<&str> = said.out.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
        let right =
            classes.iter().enumerate().filter(|(row, class)| (**class == "rose") == (*row < 7)).count();
        assert!(classes.len() == 14 && right >= 12, "{kind}: {said:?}");
        // A run that has ended is not gone on with, and is judged again.
        assert_eq!(place.run(&["eval", &format!("runs/{kind}")]).code, Some(0), "{kind}");
    }
}

#[test]
fn a_training_without_steps_says_what_is_missing() {
    let place = Place::new();
    vectors(&place);
    let text = CONFIG.replace("KIND", "logistic");
    place.write("v.toml", text.replace("steps = 0", "steps = 3"));
    let said = place.run(&["check", "v.toml"]);
    assert!(said.code == Some(3) && said.err.contains("missing key `optimizer`"), "{said:?}");
    let optimizer = "[optimizer]\nkind = \"adam\"\nlearning_rate = 0.1\n[aggregator]\nkind = \"equal_weights\"\n[training]\nsteps = 3";
    place.write("v.toml", text.replace("[training]\nsteps = 0", optimizer));
    let said = place.run(&["check", "v.toml"]);
    assert!(said.code == Some(3) && said.err.contains("add the section [pretraining]"), "{said:?}");
    place.write("v.toml", &text);
    let said = place.good(&["train", "v.toml", "--dry-run"]);
    assert!(said.err.contains("the training has no steps"), "{said:?}");
    let said = place.run(&["train", "a.toml", "training.epochs=1"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    place.config_with("epochs = 5", "steps = 0");
    let said = place.run(&["check", "a.toml"]);
    assert!(said.code == Some(3) && said.err.contains("number of steps that is 0"), "{said:?}");
}

#[test]
fn a_ridge_regression_on_the_rows_of_a_task_is_better_than_its_mean() {
    let place = Place::new();
    let mut text = "school,age,hours,score\n".to_owned();
    for school in 0..12_u32 {
        for pupil in 0..14_u32 {
            let (age, hours) = (f64::from(pupil % 5), f64::from((pupil * 7 + school) % 11));
            let score = f64::from(school % 3 + 1) * age - hours + 30.0;
            _ = writeln!(text, "s{school},{age},{hours},{score}");
        }
    }
    place.write("pupils.csv", text);
    let config = CONFIG
        .replace("vectors.safetensors", "pupils.csv")
        .replace(
            "classes_by = \"species\"",
            "tasks_by = \"school\"\ntargets = [{ name = \"score\", kind = \"regression\" }]",
        )
        .replace("\"x.*\", scale = \"raw\"", "[\"age\", \"hours\"]")
        .replace("ways = 4\nshots = 2", "shots = 6")
        .replace("KIND", "ridge");
    place.write("r.toml", config);
    place.good(&["train", "r.toml", "--name", "chosen", "--quiet"]);
    place.good(&["train", "r.toml", "--name", "mean", "--quiet", "learner.lambda=1e8"]);
    let (chosen, mean) = (accuracy(&place, "chosen"), accuracy(&place, "mean"));
    // In points: each school's scores are a linear function.
    assert!(chosen < 1e-3 && mean > 5.0, "{chosen} {mean}");
}
