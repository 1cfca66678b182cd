//! One network under several strategies against a network for each task.

use serde_json::Value;

use crate::command::Place;

#[test]
fn strategies_are_compared_with_separate_networks_of_the_same_seeds() {
    let place = Place::new();
    let list = "pcgrad,{ kind = \"cagrad\", c = 0.2 }";
    let run = ["compare-strategies", "a.toml", "--seeds", "2", "--strategies", list, "training.epochs=2"];
    let said = place.good(&run);
    let results: Value = serde_json::from_str(&place.read("runs/a-strategies/results.json")).unwrap();
    let strategies = results["strategies"].as_array().unwrap();
    let names: Vec<&str> = strategies.iter().map(|strategy| strategy["name"].as_str().unwrap()).collect();
    assert_eq!(names[0], "separate networks");
    for name in [
        "equal_weights",
        "scalarization 3:1",
        "scalarization 1:3",
        "uncertainty_weighting",
        "pcgrad",
        "cagrad c=0.2",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
        assert!(said.out.contains(name), "{said:?}");
    }
    // Δm by hand, of the runs' own results.
    let metric = |run: &str, task: &str| -> f64 {
        let text = place.read(&format!("runs/a-strategies/members/{run}/results.json"));
        let results: Value = serde_json::from_str(&text).unwrap();
        let task =
            results["tasks"].as_array().unwrap().iter().find(|own| own["name"] == task).cloned().unwrap();
        task["metrics"][0][1].as_f64().unwrap()
    };
    let pcgrad = strategies.iter().find(|strategy| strategy["name"] == "pcgrad").unwrap();
    for (number, seed) in [3, 4].into_iter().enumerate() {
        let change = |task: &str, sign: f64| {
            let base = metric(&format!("alone-{task}_seed-{seed}"), task);
            sign * 100.0 * (metric(&format!("pcgrad_seed-{seed}"), task) - base) / base.abs()
        };
        // The first task is judged by a metric that is better when higher, the second by an error.
        let expected = f64::midpoint(change("rich", -1.0), change("score", 1.0));
        let found = pcgrad["delta_m"]["values"][number].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }
    assert!(pcgrad["seconds"].as_f64().unwrap() > 0.0);
    assert!(results["chosen_on_validation"].as_bool().unwrap());
    let chosen = results["chosen"].as_str().unwrap();
    let least = strategies.iter().skip(1).map(|strategy| strategy["validation_change"].as_f64().unwrap());
    let own =
        strategies.iter().find(|strategy| strategy["name"] == chosen).unwrap()["validation_change"].as_f64();
    assert_eq!(own, least.reduce(f64::min));
    for words in ["one network", "95 % interval", "negative is better", "mean rank", "MiB"] {
        assert!(said.out.contains(words), "{words}: {said:?}");
    }
    // What is there is not trained again.
    let again = place.good(&["resume", "runs/a-strategies"]);
    assert_eq!(again.out, said.out);
    let predicted = place.run(&["predict", "runs/a-strategies", "--input", "people.csv"]);
    assert!(predicted.code == Some(2) && predicted.err.contains("compares strategies"), "{predicted:?}");
}

#[test]
fn what_cannot_be_compared_is_said_before_anything_is_trained() {
    let place = Place::new();
    for (arguments, code, words) in [
        (vec!["a.toml", "--strategies", "pcgraad"], 3, "strategy `pcgraad`"),
        (vec!["a.toml", "--strategies", "{ kind = \"cagrad\", d = 1 }"], 3, "unknown key `d`"),
        (vec!["a.toml", "--strategies", "pcgrad,pcgrad"], 2, "twice"),
        (vec!["a.toml", "--seeds", "0"], 2, "--seeds"),
        (vec!["a.toml", "training.only_tasks=[\"rich\"]"], 2, "there is a single task"),
        (vec!["b.toml"], 3, "there is no such configuration"),
    ] {
        let arguments: Vec<&str> = std::iter::once("compare-strategies").chain(arguments).collect();
        let said = place.run(&arguments);
        assert_eq!(said.code, Some(code), "{arguments:?} {said:?}");
        assert!(said.err.contains(words), "{arguments:?} {said:?}");
    }
    assert!(!place.at("runs").exists());
}
