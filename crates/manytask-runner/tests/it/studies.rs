//! Several trainings of one configuration: folds, seeds, and what becomes of them.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command::{Place, said};

fn json(place: &Place, name: &str) -> Value {
    serde_json::from_str(&place.read(name)).unwrap()
}

#[test]
fn a_cross_validation_gives_means_with_intervals_and_predictions_for_every_row() {
    let place = Place::new();
    let run = ["train", "a.toml", "--folds", "3", "--seeds", "2", "training.epochs=2", "--jobs", "2"];
    let said = place.good(&run);
    assert!(said.err.contains("6 runs, 2 at a time in 1 threads each"), "{said:?}");
    assert!(said.out.contains("test split, 3 folds, each with 2 seeds"), "{said:?}");
    let results = json(&place, "runs/a-3-folds-2-seeds/results.json");
    assert_eq!((results["folds"].as_u64(), results["seeds"].as_array().unwrap().len()), (Some(3), 2));
    let tasks = results["tasks"].as_array().unwrap();
    assert_eq!(
        tasks.iter().map(|task| task["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["rich", "score"]
    );
    for task in tasks {
        for metric in task["metrics"].as_array().unwrap() {
            let summary = &metric[1];
            let values: Vec<f64> =
                summary["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            assert_eq!(values.len(), 3, "a fold is one repetition: {metric}");
            let mean = values.iter().sum::<f64>() / 3.0;
            assert!((summary["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
            assert!(summary["half_width"].as_f64().unwrap() >= summary["deviation"].as_f64().unwrap());
        }
    }
    // The mean of a metric is that of the runs' own results.
    let own = |fold: u32, seed: u32| {
        let path = format!("runs/a-3-folds-2-seeds/members/fold-{fold}_seed-{seed}/results.json");
        json(&place, &path)["tasks"][0]["metrics"][0][1].as_f64().unwrap()
    };
    let first = tasks[0]["metrics"][0][1]["values"][0].as_f64().unwrap();
    assert!((first - f64::midpoint(own(0, 3), own(0, 4))).abs() < 1e-12);
    // Each row is predicted by the networks that have not seen it, in the order of the table.
    let table = place.read("runs/a-3-folds-2-seeds/out_of_fold.csv");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0].as_slice()), (201, ["fold", "rich", "score"].as_slice()));
    let row = rows.iter().skip(1).position(|row| row[0] == "1").unwrap();
    let of = |member: &str| {
        let run = format!("runs/a-3-folds-2-seeds/members/{member}");
        let said = place.good(&["predict", &run, "--input", "people.csv"]);
        said.out.lines().nth(row + 1).unwrap().split(',').next().unwrap().parse::<f64>().unwrap()
    };
    let mean = f64::midpoint(of("fold-1_seed-3"), of("fold-1_seed-4"));
    assert!((rows[row + 1][1].parse::<f64>().unwrap() - mean).abs() < 1e-9);
    // And new rows by all together.
    let said = place.good(&["predict", "runs/a-3-folds-2-seeds", "--input", "people.csv"]);
    assert!(said.err.contains("mean of 6 networks"), "{said:?}");
    assert_eq!(said.out.lines().count(), 201);
    // What is there is not trained again.
    let again = place.good(&run);
    assert!(again.err.contains("goes on") && !again.err.contains("[6/6]"), "{again:?}");
    assert_eq!(again.out, place.good(&["resume", "runs/a-3-folds-2-seeds"]).out);
}

#[test]
fn a_study_that_was_interrupted_ends_as_one_that_was_not() {
    let place = Place::new();
    let arguments =
        ["train", "a.toml", "--folds", "2", "--seeds", "2", "--jobs", "2", "training.epochs=20", "--name"];
    let with = |name: &'static str| arguments.iter().copied().chain([name]).collect::<Vec<_>>();
    place.good(&with("whole"));
    let mut child =
        place.command(&with("killed")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Killed when the first member has begun, in whatever state the others are.
    let begun =
        || place.at("killed-never").exists() || place.at("runs/killed/members/fold-0_seed-3").exists();
    let start = Instant::now();
    while !begun() && start.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // The members end with the process that started them.
    let in_use = |code| code == Some(7);
    let mut resumed = place.run(&["resume", "runs/killed"]);
    while in_use(resumed.code) && start.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(50));
        resumed = place.run(&["resume", "runs/killed"]);
    }
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    for file in ["results.json", "out_of_fold.csv"] {
        assert_eq!(
            place.read(&format!("runs/whole/{file}")),
            place.read(&format!("runs/killed/{file}")),
            "{file}"
        );
    }
}

#[test]
fn a_run_that_fails_does_not_end_the_others_and_is_tried_again() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--seeds", "3", "training.epochs=1", "--name", "s"]);
    let whole = place.read("runs/s/results.json");
    // A result that was tampered with is none, and one that cannot be resumed fails.
    for (name, config) in [("seed-4", true), ("seed-5", false)] {
        let run = format!("runs/s/members/{name}");
        place.write(&format!("{run}/results.json"), "{}");
        if config {
            place.write(&format!("{run}/checkpoints/latest"), "nothing");
        }
    }
    let said = place.run(&["resume", "runs/s"]);
    assert_eq!(said.code, Some(6), "{said:?}");
    assert!(said.err.contains("1 of 3 runs of runs/s failed, the first is seed-4: "), "{said:?}");
    let results = json(&place, "runs/s/results.json");
    assert_eq!(results["failed"][0]["name"], "seed-4");
    assert_eq!(results["runs"].as_array().unwrap().len(), 2);
    fs_err::remove_dir_all(place.at("runs/s/members/seed-4")).unwrap();
    place.good(&["resume", "runs/s"]);
    assert_eq!(place.read("runs/s/results.json"), whole);
}

#[test]
fn folds_keep_groups_together_and_leave_test_files_out() {
    let place = Place::new();
    place.config_with(
        "split.random = { validation = 0.2, test = 0.2, seed = 1 }",
        "split.grouped = { column = \"hours\", validation = 0.2, seed = 1 }",
    );
    let config = place.read("a.toml").replace("\"age\", \"hours\"", "\"age\"");
    place.write("a.toml", &config);
    place.good(&["train", "a.toml", "--folds", "4", "training.epochs=1", "--name", "grouped"]);
    let people = place.read("people.csv");
    let hours = people.lines().skip(1).map(|line| line.split(',').nth(1).unwrap());
    let folds = place.read("runs/grouped/out_of_fold.csv");
    let folds = folds.lines().skip(1).map(|line| line.split(',').next().unwrap());
    let mut of_hours = std::collections::BTreeMap::new();
    for (hours, fold) in hours.zip(folds) {
        assert_eq!(of_hours.entry(hours).or_insert(fold), &fold, "{hours}");
    }
    // A test file stays for the end.
    place.write("other.csv", "age,hours,job,rich,score\n30,10,a,0,1\n");
    let files = config.replace(
        "split.grouped = { column = \"hours\", validation = 0.2, seed = 1 }",
        "split.files = { test = \"other.csv\", validation_fraction = 0.1 }",
    );
    place.write("a.toml", files);
    place.good(&["train", "a.toml", "--folds", "2", "training.epochs=1", "--name", "files"]);
    assert_eq!(json(&place, "runs/files/members/fold-0_seed-3/results.json")["rows"]["test"], 100);
}

#[test]
fn what_cannot_be_repeated_is_said_before_anything_is_trained() {
    let place = Place::new();
    for (arguments, code, words) in [
        (vec!["train", "a.toml", "--folds", "1"], 2, "--folds"),
        (vec!["train", "a.toml", "--jobs", "2"], 2, "--jobs is for several trainings"),
        (vec!["train", "a.toml", "--folds", "500"], 3, "cannot make 500 folds"),
        (vec!["train", "a.toml", "--seeds", "2", "training.epoch=1"], 3, "unknown key `epoch`"),
        (vec!["train", "a.toml", "--seeds", "2", "--name", "a/b"], 2, "is no name"),
        (vec!["resume", "runs/nothing"], 4, "is not the folder of a run"),
    ] {
        let said = place.run(&arguments);
        assert_eq!(said.code, Some(code), "{arguments:?} {said:?}");
        assert!(said.err.contains(words), "{arguments:?} {said:?}");
    }
    assert!(!place.at("runs").exists());
    place.good(&["train", "a.toml", "--seeds", "2", "training.epochs=1", "--name", "s"]);
    for (arguments, words) in [
        (vec!["resume", "runs/s", "training.epochs=2"], "is a study"),
        (vec!["eval", "runs/s"], "is the folder of a study"),
        (
            vec!["train", "a.toml", "--seeds", "2", "training.epochs=2", "--name", "s"],
            "`training.epochs` differs",
        ),
        (vec!["train", "a.toml", "--seeds", "3", "training.epochs=1", "--name", "s"], "with other members"),
        (
            vec!["predict", "runs/s", "--input", "people.csv", "--output", "runs/s/study.json"],
            "a file of the run",
        ),
    ] {
        let said = place.run(&arguments);
        assert!(
            said.code != Some(0) && said.code != Some(1) && said.err.contains(words),
            "{arguments:?} {said:?}"
        );
    }
}

#[test]
fn episodes_have_seeds_and_no_folds() {
    let place = Place::new();
    place.write(
        "m.toml",
        "seed = 1\nthreads = 1\n[data]\nkind = \"sinusoid\"\n[network]\nkind = \"mlp\"\nhidden = [8]\n[learner]\nkind = \"maml\"\n\
         [aggregator]\nkind = \"equal_weights\"\n[optimizer]\nkind = \"adam\"\nlearning_rate = 1e-3\n[training]\nsteps = 3\n\
         [evaluation]\ntasks = 10\n",
    );
    let said = place.run(&["train", "m.toml", "--folds", "3"]);
    assert!(said.code == Some(2) && said.err.contains("--folds is for tables"), "{said:?}");
    let output = place.command(&["train", "m.toml", "--seeds", "2"]).output().unwrap();
    let said = self::said(output);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("2 seeds"), "{said:?}");
}
