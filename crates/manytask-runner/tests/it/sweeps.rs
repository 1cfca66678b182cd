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
