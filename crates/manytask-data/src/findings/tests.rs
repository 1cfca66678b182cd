use std::fmt::Write;

use crate::testing::loaded;

/// Sixty rows of columns that are functions of the row's number.
fn table(columns: &[(&str, &dyn Fn(u32) -> String)]) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut text = format!("{}\n", names.join(","));
    for row in 0..60 {
        let cells: Vec<String> = columns.iter().map(|(_, cell)| cell(row)).collect();
        writeln!(text, "{}", cells.join(",")).unwrap();
    }
    text
}

fn x(row: u32) -> String {
    format!("{}", (row * 37 + 11) % 101)
}

fn yes(row: u32) -> String {
    u32::from((row * 29) % 7 > 2).to_string()
}

fn notes(columns: &[(&str, &dyn Fn(u32) -> String)], settings: &str) -> Vec<String> {
    let data = loaded(&table(columns), settings).unwrap();
    data.report.all_notes()
}

fn has(notes: &[String], words: &[&str]) -> bool {
    notes.iter().any(|note| words.iter().all(|word| note.contains(word)))
}

const BINARY: &str = "inputs.numeric = 'rest'\ntargets = [{ name = 'y', kind = 'binary' }]";

#[test]
fn an_untroubled_table_has_no_note() {
    let job = |row: u32| ["a", "b", "c"][(row % 3) as usize].to_owned();
    let settings = "split.random = { validation = 0.2, test = 0.2 }
        inputs = { numeric = 'x', one_hot = 'job' }
        targets = [{ name = 'y', kind = 'binary' }, { name = 'z', kind = 'regression' }]";
    let found = notes(
        &[("x", &x), ("job", &job), ("y", &yes), ("z", &|row| format!("{}", row * row % 89))],
        settings,
    );
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_class_that_is_read_as_missing_is_told() {
    let class = |row: u32| ["None", "mild", "severe"][(row * 29 % 7 % 3) as usize].to_owned();
    let columns: [(&str, &dyn Fn(u32) -> String); 2] = [("x", &x), ("y", &class)];
    let words = ["target `y`", "`None`", "stands for no label"];
    let settings = "inputs.numeric = 'x'\ntargets = [{ name = 'y', kind = 'multiclass' }]";
    assert!(has(&notes(&columns, settings), &words));
    let settings =
        "inputs.numeric = 'x'\ntargets = [{ name = 'y', kind = 'multiclass', missing = ['None'] }]";
    assert!(!has(&notes(&columns, settings), &words));
}

#[test]
fn an_input_that_tells_the_label_is_told() {
    let other = |row| ["no", "yes"][usize::from(yes(row) == "1")].to_owned();
    let settings =
        "inputs = { numeric = 'x', one_hot = 'leak' }\ntargets = [{ name = 'y', kind = 'binary' }]";
    let found = notes(&[("x", &x), ("leak", &other), ("y", &yes)], settings);
    assert!(has(&found, &["target `y`", "follows from", "`leak`", "`ignore`"]), "{found:?}");
    let price = |row: u32| format!("{}", row * row % 89);
    let cents = |row: u32| format!("{}.5", 100 * (row * row % 89) + 7);
    let settings = "inputs.numeric = 'rest'\ntargets = [{ name = 'price', kind = 'regression' }]";
    let found = notes(&[("x", &x), ("cents", &cents), ("price", &price)], settings);
    assert!(has(&found, &["target `price`", "`cents`"]) && !has(&found, &["`x`"]), "{found:?}");
}

#[test]
fn columns_that_name_or_count_the_rows_are_told() {
    let name = |row: u32| format!("c{}", row * 7919 % 1000);
    let settings =
        "inputs = { numeric = 'x', one_hot = 'rest' }\ntargets = [{ name = 'y', kind = 'binary' }]";
    let found = notes(&[("customer", &name), ("x", &x), ("y", &yes)], settings);
    assert!(has(&found, &["`customer` has 60 values in 60", "ignore = [\"customer\"]"]), "{found:?}");
    let count = |row: u32| format!("{}", row + 100);
    let found = notes(&[("id", &count), ("x", &x), ("y", &yes)], BINARY);
    assert!(has(&found, &["column `id` counts the rows"]), "{found:?}");
    let named = "inputs.numeric = ['id', 'x']\ntargets = [{ name = 'y', kind = 'binary' }]";
    assert!(notes(&[("id", &count), ("x", &x), ("y", &yes)], named).is_empty());
}

#[test]
fn what_never_varies_is_told() {
    let found = notes(&[("x", &x), ("k", &|_| "7".to_owned()), ("y", &|_| "1".to_owned())], BINARY);
    assert!(has(&found, &["1 of the input columns never vary in the training split", "`k`"]), "{found:?}");
    assert!(has(&found, &["all labels in the training split are alike", "task `y`"]), "{found:?}");
    // A column that varies in the first half alone, and labels that are missing in the second.
    let settings = "split.column = { column = 'part', test = ['t'] }
        inputs.numeric = ['x', 'k']
        targets = [{ name = 'y', kind = 'binary' }]";
    let part = |row| if row < 30 { "r" } else { "t" }.to_owned();
    let half = |row| if row < 30 { x(row) } else { "11".to_owned() };
    let label = |row| if row < 30 { yes(row) } else { String::new() };
    let found = notes(&[("x", &x), ("k", &half), ("part", &part), ("y", &label)], settings);
    assert!(has(&found, &["vary in training and not in the test split", "`k`"]), "{found:?}");
    assert!(has(&found, &["no label in the test split", "task `y`"]), "{found:?}");
}

#[test]
fn values_written_in_two_ways_are_told() {
    let code = |row: u32| ["1", "1.0", "2", "TRUE", "true"][(row % 5) as usize].to_owned();
    let settings = "inputs = { numeric = 'x', one_hot = 'c' }\ntargets = [{ name = 'y', kind = 'binary' }]";
    let found = notes(&[("x", &x), ("c", &code), ("y", &yes)], settings);
    assert!(has(&found, &["column `c`", "`1`, `1.0` are one value", "2 spellings"]), "{found:?}");
}

#[test]
fn odd_labels_are_told() {
    let price = |row: u32| format!("{}", 250_000 + 1000 * (row * row % 89));
    let target = |more: &str| {
        let settings =
            format!("inputs.numeric = 'x'\ntargets = [{{ name = 'p', kind = 'regression'{more} }}]");
        notes(&[("x", &x), ("p", &price)], &settings)
    };
    assert!(target("").is_empty());
    let found = target(", standardise = false");
    assert!(has(&found, &["target `p`", "not standardised", "`standardise`"]), "{found:?}");
    let one = |row: u32| if row == 9 { "1e20".to_owned() } else { price(row) };
    let settings = "inputs.numeric = 'x'\ntargets = [{ name = 'p', kind = 'regression' }]";
    let found = notes(&[("x", &x), ("p", &one)], settings);
    assert!(has(&found, &["target `p`: the label `1e20` in row 10"]), "{found:?}");
    let settings =
        "inputs.numeric = 'x'\ntargets = [{ name = 'y', kind = 'multiclass', classes = ['0', '1', '2'] }]";
    let found = notes(&[("x", &x), ("y", &yes)], settings);
    assert!(has(&found, &["target `y`: no training row is of class `2`"]), "{found:?}");
}

#[test]
fn odd_numbers_are_told() {
    let far = |row: u32| if row == 40 { "1e30".to_owned() } else { x(row) };
    let near = |row: u32| format!("1000000000000.00{}", row % 7);
    let large = |row: u32| format!("{}", 9_007_199_254_740_992_u64 + u64::from(row % 4));
    let found = notes(&[("far", &far), ("near", &near), ("large", &large), ("y", &yes)], BINARY);
    assert!(has(&found, &["column `far`: `1e30` in row 41"]), "{found:?}");
    assert!(has(&found, &["column `near` hardly varies"]), "{found:?}");
    assert!(has(&found, &["column `large`"]), "{found:?}");
}

#[test]
fn notes_of_tasks_that_are_not_kept_go_with_them() {
    let class = |row: u32| ["None", "mild", "severe"][(row * 29 % 7 % 3) as usize].to_owned();
    let empty = |row: u32| if row == 0 { "1" } else { "" }.to_owned();
    let columns: [(&str, &dyn Fn(u32) -> String); 4] = [("x", &x), ("y", &yes), ("c", &class), ("e", &empty)];
    let settings = "inputs.numeric = 'x'
        targets = [{ name = 'y', kind = 'binary' }, { name = 'c', kind = 'multiclass' }, { name = 'e', kind = 'binary' }]";
    let report = loaded(&table(&columns), settings).unwrap().report;
    let all = report.all_notes();
    assert!(has(&all, &["target `c`", "`None`"]) && has(&all, &["alike", "task `e`"]), "{all:?}");
    assert!(report.clone().of_tasks(&["y"]).all_notes().is_empty());
    let kept = report.of_tasks(&["c"]).all_notes();
    assert!(kept.len() == 1 && has(&kept, &["target `c`"]), "{kept:?}");
}

#[test]
fn groups_without_a_label_are_told() {
    let group = |row: u32| format!("g{}", row % 6);
    let label = |row: u32| if row % 6 == 2 { String::new() } else { yes(row) };
    let columns: [(&str, &dyn Fn(u32) -> String); 3] = [("x", &x), ("g", &group), ("y", &label)];
    let words = ["column `g`", "1 of its 6 groups", "`g2`"];
    for split in ["per_group", "grouped"] {
        let of = |label: &dyn Fn(u32) -> String| {
            let columns: [(&str, &dyn Fn(u32) -> String); 3] = [columns[0], columns[1], ("y", label)];
            notes(
                &columns,
                &format!(
                    "split.{split} = {{ column = 'g', test = 0.2 }}\ninputs.numeric = 'x'\ntargets = [{{ name = 'y', kind = 'binary' }}]"
                ),
            )
        };
        assert!(has(&of(&label), &words), "{split}");
        assert!(!has(&of(&yes), &["groups"]), "{split}");
    }
}
