//! How the command reads tables: stray quotes, separators, commas, blank lines, files without a column.

use crate::command::{Place, Said};

fn refused(said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(words.iter().all(|word| said.err.contains(word)), "{words:?}: {said:?}");
    assert!(!said.err.contains("step 1"), "{said:?}");
}

#[test]
fn a_stray_quote_is_refused_by_train_and_predict_with_its_line() {
    let place = Place::new();
    place.good(&["train", "a.toml", "training.epochs=1", "--name", "a"]);
    let stray = place.read("people.csv").replacen(",b,", ",\"b,", 1);
    let line = 1 + stray.lines().position(|line| line.contains('"')).unwrap();
    place.write("stray.csv", &stray);
    let words = [&*format!("stray.csv: line {line}: a quote opens here and never closes")];
    refused(&place.run(&["train", "a.toml", "data.source.path=stray.csv"]), 4, &words);
    let said = place.run(&["predict", "runs/a", "--input", "stray.csv"]);
    refused(&said, 4, &words);
    assert_eq!(said.out, "");
    // Taken for a character it is a value like another, and every row is there.
    let literal = "data.source.quotes=literal";
    place.good(&["train", "a.toml", literal, "training.epochs=1", "--name", "literal"]);
    let said = place.good(&["predict", "runs/literal", "--input", "stray.csv"]);
    assert_eq!(said.out.lines().count(), 201);
}

#[test]
fn commas_for_points_give_the_same_results_once_they_are_set() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--name", "points"]);
    let text = place.read("people.csv").replace(',', ";").replace('.', ",");
    place.write("people.csv", text);
    let said = place.run(&["train", "a.toml", "--name", "no"]);
    refused(&said, 4, &["people.csv", "set `separator = \";\"` under `source`"]);
    let said = place.run(&["train", "a.toml", "data.source.separator=;", "--name", "no"]);
    refused(&said, 4, &["column `score`", "set `decimal = \",\"` under `source`"]);
    place.good(&[
        "train",
        "a.toml",
        "data.source.separator=auto",
        "data.source.decimal=,",
        "--name",
        "commas",
    ]);
    assert_eq!(place.read("runs/points/results.json"), place.read("runs/commas/results.json"));
    let said = place.good(&["predict", "runs/commas", "--input", "people.csv"]);
    assert_eq!(said.out.lines().count(), 201);
}

#[test]
fn a_file_to_predict_from_that_does_not_fit_is_a_fault_of_the_file() {
    let place = Place::new();
    place.good(&["train", "a.toml", "training.epochs=1", "--name", "a"]);
    let predict = |text: &str| {
        place.write("new.csv", text);
        place.run(&["predict", "runs/a", "--input", "new.csv"])
    };
    refused(&predict("age;hours;job\n30;40;a\n50;60;b\n"), 4, &["new.csv", "set `separator = \";\"`"]);
    refused(&predict("Age,hours,job\n30,40,a\n"), 4, &["new.csv: no column `age`", "did you mean `Age`?"]);
    refused(&predict("PAR1\u{15}\u{4}"), 4, &["new.csv: Parquet: ", "truncated, damaged or encrypted"]);
    refused(&predict("age,hours,job\n30,4\u{1b}[31m0,a\n"), 4, &["`4\\u{1b}[31m0`"]);
    refused(
        &predict(&format!("age,hours,job\n30,{},a\n", "4,".repeat(1 << 19))),
        4,
        &["line 2", "524291 fields"],
    );
    let long = predict(&format!("age,hours,job\n30,{}x,a\n", "4".repeat(1 << 20)));
    refused(&long, 4, &["row 1, column `hours`"]);
    assert!(long.err.len() < 1000, "{}", long.err.len());
}

#[test]
fn as_many_predictions_as_lines_where_a_line_is_a_field() {
    let place = Place::new();
    let train =
        ["train", "a.toml", "data.inputs={ numeric = [\"age\"] }", "training.epochs=1", "--name", "one"];
    place.good(&train);
    place.write("one.csv", "age\n30\n\n40\n50\n");
    let said = place.good(&["predict", "runs/one", "--input", "one.csv"]);
    assert_eq!(said.out.lines().count(), 5, "{}", said.out);
}

#[test]
fn other_files_need_only_the_columns_that_are_used() {
    let place = Place::new();
    let table = place.read("people.csv");
    place.write("test.csv", &table);
    let noted = table.lines().map(|line| format!("{line},note\n")).collect::<Vec<_>>().concat();
    place.write("people.csv", noted);
    place.config_with(
        "split.random = { validation = 0.2, test = 0.2, seed = 1 }",
        "split.files = { test = \"test.csv\", validation_fraction = 0.2, seed = 1 }",
    );
    place.good(&["train", "a.toml", "training.epochs=1"]);
    let with_ignored =
        "data.inputs={ numeric = [\"age\", \"hours\"], one_hot = \"rest\", ignore = [\"note\"] }";
    place.good(&["train", "a.toml", "training.epochs=1", with_ignored]);
    let with_note = "data.inputs={ numeric = [\"age\", \"hours\"], one_hot = \"rest\" }";
    refused(&place.run(&["train", "a.toml", with_note]), 4, &["test.csv: no column `note`"]);
    place.write("test.csv", table.replace("rich", "richer"));
    refused(&place.run(&["train", "a.toml"]), 4, &["test.csv: no column `rich`"]);
}
