//! The way of five users, from a bare file to a page that can be shown: each step's output is looked at.

use std::path::PathBuf;

use serde_json::Value;

use crate::command::Place;
use crate::starters::npz_of_vectors;

/// From a table to its predictions and its report; gives the tasks' names.
fn walk(place: &Place, table: &str, options: &[&str]) -> Vec<String> {
    place.good(&[&["init", table, "--output", "way.toml"], options].concat());
    let checked = place.good(&["check", "way.toml", "--data"]);
    assert!(checked.err.contains("train") && checked.err.contains("way.toml: good"), "{checked:?}");
    place.good(&["train", "way.toml", "training.epochs=1", "--quiet", "--name", "way"]);
    let judged: Value = serde_json::from_str(&place.good(&["eval", "runs/way", "--json"]).out).unwrap();
    let tasks = judged["tasks"].as_array().unwrap();
    let names: Vec<String> = tasks.iter().map(|task| task["name"].as_str().unwrap().to_owned()).collect();
    assert!(tasks.iter().any(|task| task["metrics"][0][1].is_f64()), "{judged}");
    let rows = |file: &str| -> u64 {
        let shown: Value = serde_json::from_str(&place.good(&["inspect", file, "--json"]).out).unwrap();
        shown["rows"].as_u64().unwrap()
    };
    place.good(&["predict", "runs/way", "--input", table, "--output", "way.parquet"]);
    assert_eq!(rows("way.parquet"), rows(table), "a prediction for each row");
    place.good(&["report", "runs/way", "--no-importances"]);
    let page = place.read("runs/way/report.html");
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    roxmltree::Document::parse_with_options(&page, options).unwrap();
    for name in names.iter().take(4) {
        assert!(page.contains(name.as_str()), "{name}");
    }
    names
}

#[test]
fn vectors_with_half_empty_labels() {
    let place = Place::new();
    place.write("vectors.npz", npz_of_vectors(120, 4));
    let names = walk(&place, "vectors.npz", &["--targets", "assay.*"]);
    assert_eq!(names, ["assay.0", "assay.1"]);
}

#[test]
fn several_regressions_and_two_labels() {
    let place = Place::new();
    let names = walk(&place, "people.csv", &["--targets", "rich,score"]);
    assert_eq!(names, ["rich", "score"]);
    // The columns of the predictions are the tasks', in their units.
    let shown: Value = serde_json::from_str(&place.good(&["inspect", "way.parquet", "--json"]).out).unwrap();
    let score = shown["columns"].as_array().unwrap().iter().find(|column| column["name"] == "score").unwrap();
    let range: Vec<f64> =
        score["range"].as_array().unwrap().iter().map(|end| end.as_f64().unwrap()).collect();
    assert!(range[0] > 0.0 && range[1] < 15.0, "{range:?}");
}

/// Tables of the test data, with the options of `init` and the number of tasks.
const TABLES: [(&str, &[&str], usize); 4] = [
    ("tox21/tox21_ecfp4_1024.csv.gz", &["--targets", "NR-*,SR-*", "--group", "scaffold"], 12),
    ("jura/jura_train.csv", &["--targets", "Cd,Co,Cr,Cu,Ni,Pb,Zn"], 7),
    ("exam/exam.csv.gz", &["--targets", "normexam", "--tasks-by", "school"], 65),
    ("census_kdd/kdd_census_train20k.csv.gz", &["--targets", "column41,column7"], 2),
];

#[test]
fn the_tables_of_the_test_data_lead_to_predictions_and_a_page() {
    let Some(data) = std::env::var_os("MANYTASK_DATA").map(PathBuf::from) else {
        eprintln!("skipped: MANYTASK_DATA not set");
        return;
    };
    for (path, options, tasks) in TABLES {
        let names = walk(&Place::new(), data.join(path).to_str().unwrap(), options);
        assert_eq!(names.len(), tasks, "{path}: {names:?}");
    }
}
