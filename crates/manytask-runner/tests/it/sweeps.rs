//! Sweeps of settings, and comparisons of runs.

use crate::command::Place;

#[test]
fn a_sweep_trains_every_point_and_names_the_best() {
    let place = Place::new();
    let arguments = [
        "train",
        "a.toml",
        "--quiet",
        "training.epochs=2",
        "optimizer.learning_rate=1e-6,1e-2",
        "network.trunk.hidden=[4],[8]",
    ];
    let said = place.good(&arguments);
    assert!(said.err.contains("4 runs") && said.out.contains("test split, 4 points"), "{said:?}");
    let results: serde_json::Value = serde_json::from_str(&place.read("runs/a-sweep/results.json")).unwrap();
    let points = results["points"].as_array().unwrap();
    assert_eq!((points.len(), results["chosen_on"].as_str()), (4, Some("validation")));
    let best = points[0]["name"].as_str().unwrap();
    assert!(best.contains("learning_rate=1e-2"), "a rate of 1e-6 learns nothing: {best}");
    assert!(points.windows(2).all(|pair| pair[0]["mean_rank"].as_f64() <= pair[1]["mean_rank"].as_f64()));
    // A member is the run that these changes make.
    let alone = [
        "train",
        "a.toml",
        "--quiet",
        "training.epochs=2",
        "optimizer.learning_rate=1e-2",
        "network.trunk.hidden=[4]",
    ];
    place.good(&alone);
    let member = points.iter().find(|point| point["name"] == "learning_rate=1e-2 hidden=[4]").unwrap();
    let member = member["runs"][0].as_str().unwrap();
    assert_eq!(
        place.read(&format!("runs/a-sweep/members/{member}/metrics.jsonl")),
        place.read("runs/a/metrics.jsonl")
    );
    // The same again trains nothing and answers the same.
    let again = place.good(&["resume", "runs/a-sweep", "--quiet"]);
    assert_eq!(again.out, said.out);
    let said = place.run(&["predict", "runs/a-sweep", "--input", "people.csv"]);
    assert!(said.code == Some(2) && said.err.contains("compares settings"), "{said:?}");
    let said = place.good(&["compare", "runs/a", &format!("runs/a-sweep/members/{member}"), "--json"]);
    let differences: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(differences[1]["difference"], 0.0);
    assert_eq!(differences[1]["better"], "unsure");
}

#[test]
fn points_are_drawn_from_ranges_and_what_cannot_be_is_refused() {
    let place = Place::new();
    let said = place.good(&[
        "train",
        "a.toml",
        "--quiet",
        "training.epochs=1",
        "optimizer.learning_rate=1e-4..1e-2",
        "--random",
        "2",
        "--seeds",
        "2",
        "--name",
        "r",
    ]);
    assert!(
        said.err.contains("4 runs") && said.out.contains("2 points") && said.out.contains('±'),
        "{said:?}"
    );
    for (arguments, says) in [
        (&["optimizer.learning_rate=1e-4..1e-2"][..], "is a range"),
        (&["--random", "3"][..], "no key has several values"),
        (&["network.trunk.kind=mlp,nothing"][..], "kind=nothing: "),
        (&["optimizer.learning_rate=0.1,-1"][..], "learning_rate=-1: "),
    ] {
        let said = place.run(&[&["train", "a.toml", "--quiet"], arguments].concat());
        assert!(matches!(said.code, Some(2 | 3)) && said.err.contains(says), "{arguments:?}: {said:?}");
    }
    assert!(!place.at("runs/a-sweep").exists(), "what is refused leaves nothing");
}

#[test]
fn runs_on_the_same_rows_are_compared_and_others_are_not() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet"]);
    place.good(&[
        "train",
        "a.toml",
        "--quiet",
        "--name",
        "untrained",
        "optimizer.learning_rate=1e-9",
        "training.epochs=1",
    ]);
    let said = place.good(&["compare", "runs/a", "runs/untrained"]);
    let score = said.out.lines().find(|line| line.contains("score") && line.contains("untrained")).unwrap();
    assert!(score.ends_with("worse"), "{}", said.out);
    assert!(said.out.starts_with("test split, differences against runs/a\n"), "{}", said.out);
    place.config_with("test = 0.2, seed = 1", "test = 0.2, seed = 2");
    place.good(&["train", "a.toml", "--quiet", "--name", "other"]);
    let said = place.run(&["compare", "runs/a", "runs/other"]);
    assert!(said.code == Some(6) && said.err.contains("different rows"), "{said:?}");
    assert_eq!(place.run(&["compare", "runs/a"]).code, Some(2));
}

#[test]
fn a_sweep_that_halves_lets_the_better_points_go_on_to_the_same_bytes() {
    let place = Place::new();
    let sweep = |name: &str| {
        let axes = "optimizer.learning_rate=1e-6,1e-4,1e-2,3e-2";
        ["train", "a.toml", "--quiet", "training.epochs=8", axes, "seed=3", "--halving=2", "--name", name]
            .map(str::to_owned)
    };
    let run = |name: &str| place.good(&sweep(name).iter().map(String::as_str).collect::<Vec<_>>());
    let said = run("halved");
    assert!(said.out.contains("test split, 2 points, 2 stopped before their end"), "{said:?}");
    let results: serde_json::Value = serde_json::from_str(&place.read("runs/halved/results.json")).unwrap();
    let names = |key: &str| -> Vec<String> {
        let all = results[key].as_array().unwrap().iter();
        let mut names: Vec<String> = all.map(|point| point["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names("points"), ["learning_rate=1e-2", "learning_rate=3e-2"]);
    assert_eq!(names("stopped"), ["learning_rate=1e-4", "learning_rate=1e-6"]);
    // 8 epochs of 8 steps: half of the points stop after half of them.
    assert_eq!(results["stopped"][0]["step"], 32);
    // One that was paused and went on is as one that was trained at once.
    place.good(&["train", "a.toml", "--quiet", "training.epochs=8", "optimizer.learning_rate=1e-2"]);
    let member = results["points"]
        .as_array()
        .unwrap()
        .iter()
        .find(|point| point["name"] == "learning_rate=1e-2")
        .unwrap();
    let member = format!("runs/halved/members/{}", member["runs"][0].as_str().unwrap());
    assert_eq!(place.read(&format!("{member}/metrics.jsonl")), place.read("runs/a/metrics.jsonl"));
    assert_eq!(place.read(&format!("{member}/results.json")), place.read("runs/a/results.json"));
    // Interrupted between its rungs, it answers the same: here its runs of the last stage are lost.
    let again = place.good(&["resume", "runs/halved", "--quiet"]);
    assert_eq!(again.out, said.out);
    for member in ["learning_rate-1e-2", "learning_rate-3e-2"] {
        let folder = fs_err::read_dir(place.at("runs/halved/members")).unwrap();
        let found =
            folder.map(|entry| entry.unwrap().path()).find(|path| path.to_string_lossy().contains(member));
        fs_err::remove_dir_all(found.unwrap()).unwrap();
    }
    let again = place.good(&["resume", "runs/halved", "--quiet"]);
    let points = |text: &str| {
        text.lines().filter_map(|line| line.split("  ").next()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(points(&again.out), points(&said.out));
    let runs = place.good(&["runs"]).out;
    assert!(
        runs.lines()
            .any(|line| line.starts_with("halved") && line.contains("roc_auc") | line.contains("accuracy")),
        "{runs}"
    );
    for (change, words) in [
        ("training.batch_size=8,16", "changes what these are"),
        ("training.validate_every_epochs=1", "no key has several values"),
    ] {
        let said = place.run(&["train", "a.toml", "--halving", change]);
        assert!(said.code == Some(2) && said.err.contains(words), "{said:?}");
    }
}
