//! What `predict` writes, and where it does not.

use crate::command::Place;

fn trained() -> Place {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet"]);
    place.write("new.csv", "job,hours,age\na,10,30\nb,50,64\n");
    place
}

#[test]
fn predictions_go_to_a_file_that_is_free_for_them() {
    let place = trained();
    let to = |output: &str| place.run(&["predict", "runs/a", "--input", "new.csv", "--output", output]);
    let expected = place.good(&["predict", "runs/a", "--input", "new.csv"]);
    assert_eq!(expected.err, "");
    let input = place.read("new.csv");
    for (output, says) in [
        ("new.csv", "this is the input"),
        ("runs/../new.csv", "this is the input"),
        ("runs/a/config.toml", "a file of the run"),
        ("runs/a/metrics.jsonl", "a file of the run"),
        ("runs/a/checkpoints/p.csv", "a file of the run"),
    ] {
        let said = to(output);
        assert!(said.code == Some(2) && said.err.contains(says), "{output}: {said:?}");
    }
    assert_eq!(place.read("new.csv"), input);
    assert_eq!(to("-").out, expected.out);
    assert_eq!(to("runs/a/p.csv").code, Some(0));
    assert_eq!(place.read("runs/a/p.csv"), expected.out);
    let said = to("out.csv");
    assert!(
        said.code == Some(0) && said.out.is_empty() && said.err.contains("2 rows are in out.csv"),
        "{said:?}"
    );
}

#[test]
fn what_is_there_is_not_written_over() {
    let place = trained();
    let rows = place.read("new.csv");
    place.write("k-1.csv", &rows);
    place.write("k-2.csv", &rows);
    let config = place.read("a.toml");
    let predict = ["predict", "runs/a", "--input", "k-*.csv", "--output"];
    for (command, says) in [
        ([&predict[..], &["k-2.csv"]].concat(), "all files of such a name"),
        ([&predict[..], &["k-3.csv"]].concat(), "all files of such a name"),
        ([&predict[..], &["none/p.csv"]].concat(), "there is no folder none"),
        (vec!["group", "a.toml", "--svg", "a.toml"], "is there already"),
        (vec!["group", "a.toml", "--svg", "none/x.svg"], "there is no folder none"),
        (vec!["tune", "lr", "a.toml", "--svg", "none/x.svg"], "there is no folder none"),
        (vec!["report", "runs/a", "--output", "a.toml"], "is no page of this command"),
    ] {
        let said = place.run(&command);
        let code = if says.starts_with("there is no folder") { 4 } else { 2 };
        assert!(said.code == Some(code) && said.err.contains(says), "{command:?}: {said:?}");
    }
    assert_eq!((place.read("k-2.csv"), place.read("a.toml")), (rows, config));
    for _ in 0..2 {
        place.good(&["report", "runs/a", "--output", "page.html"]);
    }
}

#[cfg(unix)]
#[test]
fn a_private_file_of_predictions_stays_private() {
    use std::os::unix::fs::PermissionsExt;
    let place = trained();
    place.write("out.csv", "old");
    fs_err::set_permissions(place.at("out.csv"), PermissionsExt::from_mode(0o600)).unwrap();
    place.good(&["predict", "runs/a", "--input", "new.csv", "--output", "out.csv"]);
    let mode = fs_err::metadata(place.at("out.csv")).unwrap().permissions().mode();
    assert_eq!((mode & 0o777, place.read("out.csv").lines().count()), (0o600, 3));
}

#[test]
fn predictions_keep_their_precision_in_any_unit() {
    let place = Place::new();
    let table = place.read("people.csv");
    let scaled = table.lines().enumerate().map(|(number, line)| {
        let (before, score) = line.rsplit_once(',').unwrap();
        let last = if number == 0 || score.is_empty() { score.to_owned() } else { format!("{score}e-9") };
        format!("{before},{last}\n")
    });
    place.write("small.csv", scaled.collect::<String>());
    let predict = |name: &str, source: &str| -> Vec<f64> {
        let path = format!("data.source.path={source}");
        place.good(&["train", "a.toml", "--quiet", "--name", name, &path]);
        let said = place.good(&["predict", &format!("runs/{name}"), "--input", "people.csv"]);
        said.out.lines().skip(1).map(|line| line.rsplit_once(',').unwrap().1.parse().unwrap()).collect()
    };
    let (unit, small) = (predict("unit", "people.csv"), predict("small", "small.csv"));
    for (one, other) in unit.iter().zip(&small) {
        assert!((one - 1e9 * other).abs() < 1e-6 * one.abs().max(0.1), "{one} {other}");
    }
    assert_eq!((unit.len(), small.len()), (200, 200));
}

#[test]
fn a_row_of_a_group_that_was_not_trained_is_named() {
    let place = Place::new();
    place.config_with(
        "targets = [\n  { name = \"rich\", kind = \"binary\" },\n  { name = \"score\", kind = \"regression\", standardise = true },\n]",
        "tasks_by = \"job\"\ntargets = [{ name = \"rich\", kind = \"binary\" }]",
    );
    place.write("a.toml", place.read("a.toml").replace(", one_hot = [\"job\"]", ""));
    place.good(&["train", "a.toml", "--quiet", "training.only_tasks=[\"job=a\", \"job=b\"]"]);
    place.write("new.csv", "job,hours,age\nb,10,30\nz,20,64\n");
    let said = place.run(&["predict", "runs/a", "--input", "new.csv"]);
    assert!(said.code == Some(4) && said.err.contains("row 2") && said.err.contains("`z`"), "{said:?}");
    place.write("new.csv", "job,hours,age\nb,10,30\nc,20,64\n");
    let said = place.good(&["predict", "runs/a", "--input", "new.csv"]);
    assert!(
        said.out.ends_with("\njob=c,\n") && said.err.contains("row 2: their tasks were not trained"),
        "{said:?}"
    );
}
