//! From a table to a configuration that trains.

use std::fmt::Write;
use std::path::PathBuf;

use crate::command::Place;

fn toml_of(place: &Place, name: &str) -> toml::Table {
    toml::from_str(&place.read(name)).unwrap()
}

#[test]
fn a_table_becomes_a_configuration_that_trains() {
    let place = Place::new();
    let said = place.good(&["init", "people.csv", "--targets", "rich,score"]);
    assert!(said.err.contains("two values") && said.err.contains("written: people.toml"), "{said:?}");
    assert!(said.out.contains("train people.toml"), "{said:?}");
    let config = toml_of(&place, "people.toml");
    let targets = config["data"]["targets"].as_array().unwrap();
    let kinds: Vec<&str> = targets.iter().map(|target| target["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["binary", "regression"]);
    assert_eq!(config["data"]["inputs"]["numeric"].as_array().unwrap().len(), 2);
    place.good(&["train", "people.toml", "training.epochs=1"]);
    place.good(&["check", "people.toml"]);
    let again = place.run(&["init", "people.csv", "--targets", "rich"]);
    assert!(again.code == Some(2) && again.err.contains("is there already"), "{again:?}");
}

/// A table of Excel in a German setting: semicolons, decimal commas, an identifier, a date, a leak and odd names.
fn messy() -> String {
    let mut text = "Kunde;\"Umsatz; netto\";Datum;Stufe;rest;a*b;Farbe;Klasse;Ziel\n".to_owned();
    for i in 0..150_u32 {
        let (class, colour) = (["x", "y", "z"][(i % 3) as usize], ["rot", "blau"][(i % 2) as usize]);
        let sales = if i % 17 == 0 { "unbekannt".to_owned() } else { format!("{},{}", i * 7 % 90, i % 10) };
        let goal = if i % 11 == 0 { String::new() } else { format!("{},5", (i * 13) % 40) };
        writeln!(
            text,
            "K{i:04}x;{sales};2024-{:02}-01;{};{};{};{colour};{class};{goal}",
            1 + i % 12,
            i % 5,
            i % 60,
            i % 3,
        )
        .unwrap();
    }
    text
}

#[test]
fn what_a_table_is_written_like_is_found_and_what_is_no_input_is_left_out() {
    let place = Place::new();
    place.write("messy.csv", messy());
    let said = place.good(&["init", "messy.csv", "--targets", "Klasse,Ziel", "--output", "m.toml"]);
    let text = place.read("m.toml");
    let config = toml_of(&place, "m.toml");
    let source = &config["data"]["source"];
    assert_eq!((source["separator"].as_str(), source["decimal"].as_str()), (Some(";"), Some(",")), "{text}");
    assert_eq!(source["missing_by"]["Umsatz; netto"][0].as_str(), Some("unbekannt"));
    let ignored: Vec<&str> = config["data"]["inputs"]["ignore"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert_eq!(ignored, ["Kunde", "Datum"], "{text}");
    assert!(
        text.contains("# Kunde: names the rows.")
            && text.contains("\"\\\\rest\"") | text.contains("'\\rest'"),
        "{text}"
    );
    let classes = config["data"]["targets"][0]["classes"].as_array().unwrap();
    assert_eq!(classes.len(), 3);
    // `a*b` is i % 3, as the class is.
    assert!(said.err.contains("tells target `Klasse` in every row"), "{said:?}");
    place.good(&["train", "m.toml", "training.epochs=1"]);
}

#[test]
fn tables_without_a_header_groups_and_tasks_by_a_column() {
    let place = Place::new();
    let mut text = String::new();
    for i in 0..240_u32 {
        writeln!(text, "{},{},s{},{}", i % 50, (i * 31) % 47, i % 8, (i * i) % 29).unwrap();
    }
    place.write("plain.csv", text);
    place.good(&[
        "init",
        "plain.csv",
        "--targets",
        "column3",
        "--tasks-by",
        "column2",
        "--output",
        "by.toml",
    ]);
    let config = toml_of(&place, "by.toml");
    assert_eq!(config["data"]["source"]["header"].as_bool(), Some(false));
    assert_eq!(config["data"]["tasks_by"].as_str(), Some("column2"));
    place.good(&["train", "by.toml", "training.epochs=1"]);
    place.good(&[
        "init",
        "plain.csv",
        "--targets",
        "column3",
        "--group",
        "column2",
        "--output",
        "group.toml",
    ]);
    assert!(toml_of(&place, "group.toml")["data"]["split"]["grouped"].is_table());
    place.good(&["train", "group.toml", "training.epochs=1"]);
}

#[test]
fn what_no_configuration_can_be_written_for_is_said() {
    let place = Place::new();
    let mut text = "id,same,x\n".to_owned();
    for i in 0..40 {
        writeln!(text, "name{i}q,1,{i}.5").unwrap();
    }
    place.write("t.csv", text);
    for (arguments, code, words) in [
        (vec!["t.csv"], 2, "--targets x"),
        (vec!["t.csv", "--targets", "y"], 2, "`y`"),
        (vec!["t.csv", "--targets", "same"], 2, "never varies"),
        (vec!["t.csv", "--targets", "id"], 2, "identifier"),
        (vec!["t.csv", "--targets", "x"], 2, "no column is left as an input"),
        (vec!["nothing.csv", "--targets", "x"], 4, "nothing.csv"),
    ] {
        let arguments: Vec<&str> = std::iter::once("init").chain(arguments).collect();
        let said = place.run(&arguments);
        assert_eq!(said.code, Some(code), "{arguments:?} {said:?}");
        assert!(said.err.contains(words), "{arguments:?} {said:?}");
    }
    assert!(!place.at("t.toml").exists());
}

#[test]
fn a_table_and_the_data_of_a_configuration_are_shown() {
    let place = Place::new();
    let said = place.good(&["inspect", "people.csv"]);
    assert!(said.out.contains("people.csv: 200 rows, 5 columns, separated by `,`"), "{said:?}");
    let score = said.out.lines().find(|line| line.starts_with("score")).unwrap();
    assert!(score.contains("number") && score.contains("29"), "{score}");
    let json: serde_json::Value =
        serde_json::from_str(&place.good(&["inspect", "people.csv", "--json"]).out).unwrap();
    assert_eq!(json["columns"][3]["role"], "two values");
    let said = place.good(&["inspect", "a.toml"]);
    assert!(said.err.contains("120 train, 40 validation, 40 test rows"), "{said:?}");
    let json: serde_json::Value =
        serde_json::from_str(&place.good(&["inspect", "a.toml", "--json"]).out).unwrap();
    assert_eq!(json["rows"][0][1], 120);
}

/// The tables of the folder of data for tests, with targets.
const TABLES: [(&str, &str, &[&str]); 8] = [
    ("exam/exam.csv.gz", "normexam", &["--tasks-by", "school"]),
    ("school/school139.csv.gz", "score", &["--tasks-by", "school"]),
    ("jura/jura_train.csv", "Cd,Ni,Zn", &[]),
    ("tox21/tox21_ecfp4_1024.csv.gz", "NR-*,SR-*", &["--group", "scaffold"]),
    ("tox21/tox21.csv.gz", "NR-*,SR-*", &[]),
    ("census_kdd/kdd_census_train20k.csv.gz", "column41,column7", &[]),
    ("census_kdd/kdd_census_test10k.csv.gz", "column41,column0", &[]),
    ("census_kdd/census_income_test.csv.gz", "column41,column7", &[]),
];

#[test]
fn each_table_of_the_test_data_gives_a_configuration_that_trains() {
    let Some(data) = std::env::var_os("MANYTASK_DATA").map(PathBuf::from) else {
        eprintln!("skipped: MANYTASK_DATA not set");
        return;
    };
    let place = Place::new();
    for (number, (path, targets, options)) in TABLES.iter().enumerate() {
        let (table, output) = (data.join(path), format!("c{number}.toml"));
        let mut arguments = vec!["init", table.to_str().unwrap(), "--targets", targets, "--output", &output];
        arguments.extend(*options);
        let said = place.run(&arguments);
        if *path == "tox21/tox21.csv.gz" {
            // Molecules as text alone are no input for a network.
            assert!(said.code == Some(2) && said.err.contains("no column is left"), "{said:?}");
            continue;
        }
        assert_eq!(said.code, Some(0), "{path}: {said:?}");
        place.good(&["train", &output, "training.epochs=0.01", "--quiet"]);
    }
}
