//! What a practitioner does with trained runs: predictions beside identifiers, new labels, a table of all runs.

use serde_json::Value;

use crate::command::Place;

#[test]
fn columns_that_are_kept_stand_before_the_predictions() {
    let place = Place::new();
    place.good(&["train", "a.toml", "training.epochs=1", "--name", "r"]);
    let plain = place.good(&["predict", "runs/r", "--input", "people.csv"]).out;
    let kept = place.good(&["predict", "runs/r", "--input", "people.csv", "--keep", "job,age"]).out;
    let people = place.read("people.csv");
    let lines = plain.lines().zip(kept.lines()).zip(people.lines());
    for (number, ((plain, kept), row)) in lines.enumerate() {
        let cells: Vec<&str> = row.split(',').collect();
        let expected = if number == 0 {
            "job,age,rich,score".to_owned()
        } else {
            format!("{},{},{plain}", cells[2], cells[0])
        };
        assert_eq!(kept, expected);
    }
    let all = place.good(&["predict", "runs/r", "--input", "people.csv", "--keep", "*"]).out;
    assert_eq!(all.lines().next(), Some("age,hours,job,rich,score,predicted_rich,predicted_score"));
    let wrong = place.run(&["predict", "runs/r", "--input", "people.csv", "--keep", "jib"]);
    assert!(wrong.code == Some(2) && wrong.err.contains("did you mean `job`?"), "{wrong:?}");
}

#[test]
fn a_file_with_new_labels_is_judged_without_the_data_of_the_training() {
    let place = Place::new();
    place.config_with(
        "split.random = { validation = 0.2, test = 0.2, seed = 1 }",
        "split.files = { test = \"new.csv\", validation_fraction = 0.2 }",
    );
    let people = place.read("people.csv");
    let rows: Vec<&str> = people.lines().collect();
    let text = |rows: &[&str]| rows.join("\n") + "\n";
    place.write("new.csv", text(&[&rows[..1], &rows[150..]].concat()));
    place.write("people.csv", text(&rows[..150]));
    place.good(&["train", "a.toml", "training.epochs=2", "--name", "r"]);
    let of = |arguments: &[&str]| -> Value { serde_json::from_str(&place.good(arguments).out).unwrap() };
    let test = of(&["eval", "runs/r", "--json"]);
    fs_err::remove_file(place.at("people.csv")).unwrap();
    let file = of(&["eval", "runs/r", "--data", "new.csv", "--json"]);
    assert_eq!(file["tasks"], test["tasks"]);
    let said = place.good(&["eval", "runs/r", "--data", "new.csv"]);
    assert!(said.out.starts_with("new.csv, parameters of step "), "{said:?}");
    // Labels that are wanting, and rows that are none.
    place.write("bare.csv", "age,hours,job\n30,10,a\n");
    let said = place.run(&["eval", "runs/r", "--data", "bare.csv"]);
    assert!(said.code == Some(4) && said.err.contains("bare.csv") && said.err.contains("`rich`"), "{said:?}");
    let said = place.run(&["eval", "runs/r", "--data", "new.csv", "--split", "train"]);
    assert_eq!(said.code, Some(2), "{said:?}");
}

#[test]
fn runs_are_listed_the_best_first_with_what_differs() {
    let place = Place::new();
    for (name, change) in
        [("short", "training.epochs=1"), ("long", "training.epochs=8"), ("long2", "training.epochs=8")]
    {
        place.good(&["train", "a.toml", change, "--name", name]);
    }
    place.good(&["train", "a.toml", "--seeds", "2", "training.epochs=8", "--name", "study"]);
    fs_err::create_dir(place.at("runs/other")).unwrap();
    let json: Value = serde_json::from_str(&place.good(&["runs", "--json"]).out).unwrap();
    let names: Vec<&str> = json.as_array().unwrap().iter().map(|run| run["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 4);
    assert_eq!(*names.last().unwrap(), "short", "{json:#}");
    let short = json.as_array().unwrap().last().unwrap();
    assert_eq!(short["differs"]["training.epochs"], "1");
    assert!(short["seconds"].as_f64().unwrap() > 0.0 && short["state"] == "completed");
    let study = json.as_array().unwrap().iter().find(|run| run["kind"] == "study").unwrap();
    assert!(study["state"] == "2 of 2 runs" && study["score"]["half_width"].as_f64().is_some(), "{study:#}");
    let said = place.good(&["runs", "runs"]);
    assert!(said.out.contains("training.epochs=1") && said.out.contains(" ± "), "{said:?}");
    let by_error = place.good(&["runs", "--by", "rmse", "--json"]).out;
    let json: Value = serde_json::from_str(&by_error).unwrap();
    let values: Vec<f64> =
        json.as_array().unwrap().iter().map(|run| run["score"]["value"].as_f64().unwrap()).collect();
    assert!(values.is_sorted(), "{values:?}");
    for (arguments, code) in
        [(vec!["runs", "--by", "nothing"], 2), (vec!["runs", "nowhere"], 4), (vec!["runs", "runs/other"], 4)]
    {
        assert_eq!(place.run(&arguments).code, Some(code), "{arguments:?}");
    }
}

#[test]
fn names_can_be_read_by_programs() {
    let place = Place::new();
    let list: Value = serde_json::from_str(&place.good(&["list", "aggregators", "--json"]).out).unwrap();
    let list = list.as_array().unwrap();
    assert!(list.len() > 20 && list.iter().all(|name| name["kind"] == "aggregator"));
    assert!(list.iter().any(|name| name["name"] == "mgda" && name["section"] == "aggregator"));
    let explained: Value = serde_json::from_str(&place.good(&["explain", "mgda", "--json"]).out).unwrap();
    assert!(explained["names"][0]["example"].as_str().unwrap().contains("kind = \"mgda\""));
}

#[test]
fn a_training_begins_with_the_parameters_of_another_run() {
    let place = Place::new();
    place.good(&["train", "a.toml", "training.epochs=12", "--name", "first"]);
    let loss = |arguments: &[&str]| -> f64 {
        let said = place.good(&[&["train", "a.toml", "--dry-run"], arguments].concat());
        let losses =
            said.err.lines().find_map(|line| line.strip_prefix("one step was made, losses ")).unwrap();
        losses.split([',', ';']).next().unwrap().parse().unwrap()
    };
    // The loss before the first step.
    assert!(loss(&["--init-from", "runs/first"]) < 0.8 * loss(&[]));
    let said = place.good(&[
        "train",
        "a.toml",
        "--init-from",
        "runs/first",
        "training.epochs=2",
        "--name",
        "second",
    ]);
    assert!(said.err.contains("parameters begin as those of") && !said.err.contains("are drawn"), "{said:?}");
    // A run that was ended before its first checkpoint begins anew with the same.
    let whole = place.read("runs/second/results.json");
    for name in fs_err::read_dir(place.at("runs/second/checkpoints")).unwrap() {
        let path = name.unwrap().path();
        if path.is_dir() { fs_err::remove_dir_all(path).unwrap() } else { fs_err::remove_file(path).unwrap() }
    }
    place.good(&["resume", "runs/second"]);
    assert_eq!(place.read("runs/second/results.json"), whole);
    // What was taken over is the run's own: the other may go.
    fs_err::rename(place.at("runs/first"), place.at("runs/moved")).unwrap();
    place.good(&["eval", "runs/second"]);
    place.good(&["resume", "runs/second", "training.epochs=3"]);
    // A head of another task is drawn, another trunk fits nowhere, and other inputs are not taken for these.
    let only =
        ["train", "a.toml", "--dry-run", "--init-from", "runs/moved", "training.only_tasks=[\"rich\"]"];
    assert!(place.good(&only).err.contains("parameters begin as those of"));
    for (change, code, words) in [
        ("network.trunk.hidden=[9]", 0, "are drawn"),
        ("data.inputs.numeric=[\"hours\",\"age\"]", 3, "the inputs of"),
        ("data.inputs.numeric=[\"hours\"]", 0, "its first layer is drawn"),
    ] {
        let said = place.run(&["train", "a.toml", "--dry-run", "--init-from", "runs/moved", change]);
        assert_eq!(said.code, Some(code), "{change}: {said:?}");
        assert!(said.err.contains(words), "{change}: {said:?}");
    }
    let said = place.run(&["train", "a.toml", "--init-from", "runs/nothing"]);
    assert!(said.code == Some(4) && said.err.contains("is not the folder of a run"), "{said:?}");
}
