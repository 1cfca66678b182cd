//! Which losses of two tasks can be had together.

use serde_json::Value;

use crate::command::Place;

/// The area below the reference that some points cover, by steps along the first loss.
fn area(points: &[(f64, f64)], reference: (f64, f64)) -> f64 {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut area, mut height) = (0.0, reference.1);
    for (x, y) in sorted {
        if x < reference.0 && y < height {
            area += (reference.0 - x) * (height - y);
            height = y;
        }
    }
    area
}

#[test]
fn a_front_is_trained_for_each_method_and_preference_and_goes_on() {
    let place = Place::new();
    let changes = ["--points", "2", "--methods", "linear,epo", "--reference", "3,3.5", "training.epochs=3"];
    let run: Vec<&str> = ["front", "a.toml"].into_iter().chain(changes).collect();
    let said = place.good(&run);
    let results: Value = serde_json::from_str(&place.read("runs/a-front/results.json")).unwrap();
    assert_eq!(
        (&results["question"], &results["reference_is"]),
        (&Value::from("front"), &Value::from("given"))
    );
    let methods = results["methods"].as_array().unwrap();
    assert_eq!(
        methods.iter().map(|method| method["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["linear", "epo"]
    );
    for method in methods {
        let points = method["points"].as_array().unwrap();
        let preferences: Vec<f64> =
            points.iter().map(|point| point["preference"][0].as_f64().unwrap()).collect();
        assert_eq!(preferences, [0.75, 0.25]);
        let loss = |point: &Value, task: usize| point["losses"][task].as_f64().unwrap();
        let own: Vec<(f64, f64)> = points.iter().map(|point| (loss(point, 0), loss(point, 1))).collect();
        let found = method["hypervolume"].as_f64().unwrap();
        let expected = area(&own, (3.0, 3.5));
        assert!(found > 0.0 && (found - expected).abs() < 1e-12, "{found} {expected}");
        // The points are what the runs were judged by.
        let run = points[0]["run"].as_str().unwrap();
        let text = place.read(&format!("runs/a-front/members/{run}/results.json"));
        let own: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(own["tasks"][1]["loss"], points[0]["losses"][1]);
        let config = place.read(&format!("runs/a-front/members/{run}/config.toml"));
        assert!(config.contains("0.75") && config.contains("across"), "{config}");
    }
    // Exact search gives the task of the larger preference the smaller loss, compared with the other preference.
    let of_epo = methods[1]["points"].as_array().unwrap();
    assert!(of_epo[0]["losses"][0].as_f64() < of_epo[1]["losses"][0].as_f64(), "{of_epo:?}");
    for words in ["hypervolume", "spacing", "rich loss", "score loss", "0.75:0.25"] {
        assert!(said.out.contains(words), "{words}: {said:?}");
    }
    assert!(said.err.contains("hypervolume is counted below rich 3"), "{said:?}");
    let picture = place.read("runs/a-front/front.svg");
    assert!(
        picture.starts_with("<svg xmlns") && picture.contains("<style>") && picture.contains("loss of score")
    );
    let again = place.good(&["resume", "runs/a-front"]);
    assert_eq!(again.out, said.out);
    let predicted = place.run(&["predict", "runs/a-front", "--input", "people.csv"]);
    assert!(predicted.code == Some(2) && predicted.err.contains("compares preferences"), "{predicted:?}");
}

#[test]
fn what_has_no_front_is_refused_before_anything_is_trained() {
    let place = Place::new();
    for (arguments, code, words) in [
        (vec!["aggregator.kind=mgda"], 2, "has no effect"),
        (vec!["--methods", "epoo"], 2, "no aggregator `epoo`"),
        (vec!["--methods", "pcgrad"], 2, "`pcgrad` takes no preference between tasks"),
        (vec!["--methods", "epo,epo"], 2, "`epo` is there twice"),
        (vec!["--points", "1"], 2, "--points"),
        (vec!["--reference", "1.0"], 2, "a reference of 1 losses for 2 tasks"),
        (vec!["--reference", "1.0,inf"], 2, "must be a finite number"),
        (vec!["training.only_tasks=[\"rich\"]"], 2, "there is a single task"),
    ] {
        let arguments: Vec<&str> = ["front", "a.toml"].into_iter().chain(arguments).collect();
        let said = place.run(&arguments);
        assert_eq!(said.code, Some(code), "{arguments:?} {said:?}");
        assert!(said.err.contains(words), "{arguments:?} {said:?}");
    }
    assert!(!place.at("runs").exists());
}
