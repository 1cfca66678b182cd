//! Tables of several files and from standard input, and predictions in several forms.

use std::io::Write as _;
use std::process::Stdio;

use crate::command::{Place, said};

#[test]
fn files_that_a_pattern_means_are_one_table_for_every_command() {
    let place = Place::new();
    let table = place.read("people.csv");
    let (header, rows) = table.split_once('\n').unwrap();
    let (first, second) = rows.split_at(rows.match_indices('\n').nth(99).unwrap().0 + 1);
    place.write("part-1.csv", format!("{header}\n{first}"));
    place.write("part-2.csv", format!("{header}\n{second}"));
    place.good(&["train", "a.toml", "--quiet"]);
    place.good(&["train", "a.toml", "--quiet", "--name", "parts", "data.source.path=part-*.csv"]);
    // The same rows in the same order give the same network.
    assert_eq!(place.read("runs/parts/metrics.jsonl"), place.read("runs/a/metrics.jsonl"));
    // Read anew, and out of the cache.
    place.good(&["resume", "runs/parts"]);
    let predict = |input: &str| place.good(&["predict", "runs/a", "--input", input]).out;
    assert_eq!(predict("part-*.csv"), predict("people.csv"));
    let named = place.good(&[
        "inspect",
        "a.toml",
        "data.source.path=part-*.csv",
        "data.source.file_column=from",
        "data.inputs.one_hot=[\"job\", \"from\"]",
    ]);
    // Three jobs and two files.
    assert!(named.err.contains("2 one-hot with 5 categories"), "{named:?}");
    place.write("part-3.csv", "age,hours\n1,2\n");
    let refused = place.run(&["train", "a.toml", "data.source.path=part-*.csv"]);
    assert!(
        refused.code == Some(4) && refused.err.contains("part-3.csv: the header: has no column `job`"),
        "{refused:?}"
    );
    let refused = place.run(&["train", "a.toml", "data.source.path=none-*.csv"]);
    assert!(refused.code == Some(4) && refused.err.contains("none-*.csv"), "{refused:?}");
}

#[test]
fn predictions_are_read_from_standard_input_and_written_as_the_file_is_called() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet", "tasks.default.coverage=0.8"]);
    let csv = place.good(&["predict", "runs/a", "--input", "people.csv", "--keep", "job,age"]).out;
    let mut child = place
        .command(&["predict", "runs/a", "--input", "-", "--keep", "job,age"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(place.read("people.csv").as_bytes()).unwrap();
    let piped = said(child.wait_with_output().unwrap());
    assert_eq!((piped.code, &piped.out), (Some(0), &csv), "{}", piped.err);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "job,age,rich,score,rich_set,score_low,score_high");
    for name in ["p.parquet", "p.jsonl"] {
        place.good(&["predict", "runs/a", "--input", "people.csv", "--keep", "job,age", "--output", name]);
        let shown = place.good(&["inspect", name, "--json"]).out;
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        let columns: Vec<&str> = shown["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| column["name"].as_str().unwrap())
            .collect();
        assert_eq!(columns.join(","), lines[0], "{name}");
    }
    let first: serde_json::Value =
        serde_json::from_str(place.read("p.jsonl").lines().next().unwrap()).unwrap();
    let fields: Vec<&str> = lines[1].split(',').collect();
    assert_eq!((first["job"].as_str(), first["age"].as_i64()), (Some(fields[0]), fields[1].parse().ok()));
    assert_eq!(
        (first["rich"].as_f64(), first["score_high"].as_f64()),
        (fields[2].parse().ok(), fields[6].parse().ok())
    );
    // What a training reads again cannot be standard input.
    let refused = place.run(&["train", "a.toml", "data.source.path=-"]);
    assert!(refused.code == Some(3) && refused.err.contains("standard input"), "{refused:?}");
}
