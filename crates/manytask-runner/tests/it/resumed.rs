//! Runs that go on with changes, from another checkpoint, at another place or on another machine.

use crate::command::Place;

fn latest(place: &Place) -> String {
    place.read("runs/a/checkpoints/latest")
}

#[test]
fn a_finished_run_goes_on_with_more_epochs_and_says_what_becomes_of_the_rate() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet", "schedule.kind=cosine"]);
    let result = place.read("runs/a/results.json");
    let said =
        place.good(&["resume", "runs/a", "--quiet", "training.epochs=8", "optimizer.learning_rate=0.02"]);
    assert_eq!(latest(&place), "step-64");
    for piece in [
        "from step 40 to step 64 (before: 40)",
        "learning rate goes on at",
        "(before: 0.000)",
        "all 64 steps",
    ] {
        assert!(said.err.contains(piece), "`{piece}` is not in {}", said.err);
    }
    assert_ne!(place.read("runs/a/results.json"), result);
    let config = place.read("runs/a/config.toml");
    assert!(config.contains("epochs = 8") && config.contains("learning_rate = 0.02"), "{config}");
    let manifest: serde_json::Value = serde_json::from_str(&place.read("runs/a/manifest.json")).unwrap();
    let change = &manifest["history"][0];
    assert_eq!(
        (change["step"].as_u64(), change["changes"][0].as_str()),
        (Some(40), Some("training.epochs=8"))
    );
    // It is the configuration of the run now.
    let said = place.good(&["resume", "runs/a", "--quiet"]);
    assert!(!said.err.contains("note:"), "{said:?}");
    // The same value again is no change.
    place.good(&["resume", "runs/a", "--quiet", "training.epochs=8", "seed=3"]);
    assert_eq!(place.read("runs/a/config.toml"), config);
}

#[test]
fn what_cannot_change_in_a_run_is_refused_by_name() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet"]);
    let config = place.read("runs/a/config.toml");
    for (change, key) in [
        ("seed=4", "`seed`"),
        ("network.trunk.hidden=[9]", "`network.trunk.hidden`"),
        ("training.only_tasks=[\"rich\"]", "`training.only_tasks`"),
        ("training.batch_size=8", "`training.batch_size`"),
        ("optimizer.kind=sgd", "`optimizer.kind`"),
        ("data.split.random.seed=2", "`data.split.random.seed`"),
    ] {
        let said = place.run(&["resume", "runs/a", change]);
        assert!(
            said.code == Some(3) && said.err.contains(key) && said.err.contains("cannot change"),
            "{said:?}"
        );
    }
    let said = place.run(&["resume", "runs/a", "training.epochs=2"]);
    assert!(said.code == Some(3) && said.err.contains("40 steps are made already"), "{said:?}");
    let said = place.run(&["eval", "runs/a", "training.epochs=2"]);
    assert!(said.code == Some(3) && said.err.contains("`training.epochs`"), "{said:?}");
    assert_eq!(place.read("runs/a/config.toml"), config);
    // The same by hand.
    place.write("runs/a/config.toml", config.replace("seed = 3", "seed = 4"));
    let said = place.run(&["resume", "runs/a"]);
    assert!(said.code == Some(6) && said.err.contains("`seed` was changed"), "{said:?}");
    let said = place.good(&["eval", "runs/a"]);
    assert!(said.err.contains("was changed since this run began: seed"), "{said:?}");
}

#[test]
fn a_run_that_stopped_early_goes_on_when_its_course_is_changed() {
    let place = Place::new();
    let still =
        ["optimizer.kind=sgd", "optimizer.learning_rate=1e-30", "training.early_stopping={ patience = 2 }"];
    place.good(&[&["train", "a.toml", "--quiet"], &still[..]].concat());
    assert_eq!(latest(&place), "step-24");
    place.good(&["resume", "runs/a", "--quiet"]);
    assert_eq!(latest(&place), "step-24", "nothing has changed");
    let said = place.good(&["resume", "runs/a", "--quiet", "optimizer.learning_rate=0.01"]);
    assert!(said.err.contains("stopped early at step 24: it goes on"), "{said:?}");
    assert_eq!(latest(&place), "step-40");
}

#[test]
fn a_run_goes_on_from_an_earlier_checkpoint() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet", "training.keep_checkpoints=9"]);
    let files = ["metrics.jsonl", "results.json"].map(|name| place.read(&format!("runs/a/{name}")));
    let params = || fs_err::read(place.at("runs/a/checkpoints/step-40/params.safetensors")).unwrap();
    let before = params();
    place.good(&["resume", "runs/a", "--quiet", "--checkpoint", "step-14"]);
    assert_eq!(files, ["metrics.jsonl", "results.json"].map(|name| place.read(&format!("runs/a/{name}"))));
    assert_eq!(before, params());
    let said = place.run(&["resume", "runs/a", "--checkpoint", "step-15"]);
    assert!(said.code == Some(6) && said.err.contains("there is no such checkpoint"), "{said:?}");
    assert_eq!(place.run(&["resume", "runs/a", "--checkpoint", "../step-14"]).code, Some(2));
}

#[test]
fn a_project_that_was_moved_with_its_data_works_as_before() {
    let place = Place::new();
    for folder in ["old/data", "new"] {
        fs_err::create_dir_all(place.at(folder)).unwrap();
    }
    place.write(
        "old/a.toml",
        place.read("a.toml").replace("kind = \"table\"", "kind = \"table\"\nfolder = \"data\""),
    );
    fs_err::rename(place.at("people.csv"), place.at("old/data/people.csv")).unwrap();
    place.good(&["train", "old/a.toml", "--runs", "old/runs", "--quiet"]);
    let table = place.good(&["eval", "old/runs/a"]).out;
    fs_err::rename(place.at("old"), place.at("new/home")).unwrap();
    let said = place.good(&["eval", "new/home/runs/a"]);
    assert!(said.out == table && said.err.contains("note: the data are taken from"), "{said:?}");
    place.good(&["eval", "new/home/runs/a", "--baseline", "new/home/runs/a"]);
    place.good(&["predict", "new/home/runs/a", "--input", "new/home/data/people.csv", "--output", "p.csv"]);
    place.good(&["train", "new/home/runs/a/config.toml", "--dry-run"]);
    place.good(&["resume", "new/home/runs/a", "--quiet", "training.epochs=6"]);
    // Moved apart from each other, they have to be told.
    fs_err::rename(place.at("new/home/data"), place.at("elsewhere")).unwrap();
    let said = place.run(&["eval", "new/home/runs/a"]);
    assert!(said.code == Some(4) && said.err.contains("data.folder="), "{said:?}");
    place.good(&["eval", "new/home/runs/a", "data.folder=elsewhere"]);
    place.good(&["eval", "new/home/runs/a", "--baseline", "new/home/runs/a", "data.folder=elsewhere"]);
    place.good(&["resume", "new/home/runs/a", "--quiet", "data.folder=elsewhere"]);
    assert!(!place.good(&["eval", "new/home/runs/a"]).err.contains("note:"), "the run has kept it");
}

#[test]
fn a_run_of_a_gpu_is_judged_and_predicts_where_there_is_none() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet"]);
    place.write(
        "runs/a/config.toml",
        place.read("runs/a/config.toml").replace("seed = 3", "device = \"cuda:63\"\nseed = 3"),
    );
    let said = place.good(&["eval", "runs/a"]);
    assert!(
        said.err.contains("device `cuda:63` cannot be used") && said.err.contains("on the processor"),
        "{said:?}"
    );
    place.write("new.csv", "job,hours,age\na,10,30\n");
    place.good(&["predict", "runs/a", "--input", "new.csv"]);
    assert!(
        !place.good(&["predict", "runs/a", "--input", "new.csv", "--device", "cpu"]).err.contains("cuda")
    );
    let said = place.run(&["resume", "runs/a"]);
    assert!(said.code == Some(3) && said.err.contains("--device cpu"), "{said:?}");
    place.good(&["resume", "runs/a", "--device", "cpu", "--quiet"]);
    // Asked for by an argument it is not replaced.
    assert_eq!(place.run(&["eval", "runs/a", "--device", "cuda:63"]).code, Some(3));
}

#[test]
fn baselines_that_were_judged_on_other_rows_are_refused() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet"]);
    let half: Vec<String> = place.read("people.csv").lines().take(120).map(str::to_owned).collect();
    place.write("half.csv", half.join("\n") + "\n");
    let train = |name: &str, change: &str| {
        place.good(&["train", "a.toml", "--quiet", "--name", name, "training.only_tasks=[\"rich\"]", change]);
    };
    train("same", "optimizer.learning_rate=0.02");
    let said = place.good(&["eval", "runs/a", "--baseline", "runs/same"]);
    assert!(said.err.contains("note: no baseline has score"), "{said:?}");
    for (name, change, says) in [
        ("seed", "data.split.random.seed=2", "`data.split.random.seed` differs"),
        ("share", "data.split.random.test=0.1", "`data.split.random.test` differs"),
        ("data", "data.source.path=half.csv", "other data"),
    ] {
        train(name, change);
        let said = place.run(&["eval", "runs/a", "--baseline", &format!("runs/{name}")]);
        assert!(said.code == Some(6) && said.err.contains(says), "{name}: {said:?}");
    }
    let said = place.run(&["eval", "runs/a", "--baseline", "runs/same", "runs/same"]);
    assert!(said.code == Some(2) && said.err.contains("task `rich` too"), "{said:?}");
    place.write("runs/same/results.json", place.read("runs/same/results.json").replacen("0.", "1.", 1));
    let said = place.run(&["eval", "runs/a", "--baseline", "runs/same"]);
    assert!(said.code == Some(6) && said.err.contains("results.json: is not what"), "{said:?}");
}
