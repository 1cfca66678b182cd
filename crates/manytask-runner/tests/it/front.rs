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

#[test]
fn one_network_is_trained_for_a_whole_front_and_asked_for_any_point_of_it() {
    let place = Place::new();
    let changes = ["--points", "3", "--methods", "linear,cosmos,phn+epo", "training.epochs=3"];
    let run: Vec<&str> = ["front", "a.toml"].into_iter().chain(changes).collect();
    let said = place.good(&run);
    let results: Value = serde_json::from_str(&place.read("runs/a-front/results.json")).unwrap();
    for (method, runs) in results["methods"].as_array().unwrap().iter().zip([3, 1, 1]) {
        let points = method["points"].as_array().unwrap();
        let of = |key: &str| points.iter().map(|point| point[key].to_string()).collect::<Vec<_>>();
        let mut names = of("run");
        names.dedup();
        assert_eq!((points.len(), names.len()), (3, runs), "{method}");
        let preferences: Vec<f64> =
            points.iter().map(|point| point["preference"][1].as_f64().unwrap()).collect();
        assert!(preferences.iter().zip([1.0 / 6.0, 0.5, 5.0 / 6.0]).all(|(r, of)| (r - of).abs() < 1e-4));
        assert!(of("losses").windows(2).all(|pair| pair[0] != pair[1]), "{method}");
        assert!(method["hypervolume"].as_f64().unwrap() > 0.0);
    }
    assert!(said.out.contains("phn+epo"), "{said:?}");
    assert_eq!(place.good(&["resume", "runs/a-front"]).out, said.out);
    // The run by itself: at a point of the front it is judged as the study says.
    let name = results["methods"][1]["points"][0]["run"].as_str().unwrap().to_owned();
    let run = format!("runs/a-front/members/{name}");
    let preference = ["--preference", "5,1"];
    let judged = place.good(&[&["eval", run.as_str(), "--json"], &preference[..]].concat());
    let judged: Value = serde_json::from_str(&judged.out).unwrap();
    let loss = judged["tasks"][0]["loss"].as_f64().unwrap();
    let point = results["methods"][1]["points"][0]["losses"][0].as_f64().unwrap();
    assert!((loss - point).abs() < 1e-6, "{loss} {point}");
    assert_eq!(judged["protocol"]["preference"], "rich 0.8333, score 0.1667");
    let config = place.read(&format!("{run}/config.toml"));
    assert!(config.contains("cosmos") && config.contains("points = 3"), "{config}");
    let predict =
        |more: &[&str]| place.good(&[&["predict", run.as_str(), "--input", "people.csv"], more].concat());
    let (usual, other) = (predict(&[]), predict(&preference));
    assert_ne!(usual.out, other.out);
    assert!(usual.err.contains("--preference takes another") && !other.err.contains("takes another"));
    assert_eq!(predict(&["--preference", "1,1"]).out, usual.out);
    for (more, code, says) in [
        (["--preference", "1,1,1"], 3, "a preference of 3 numbers for 2 tasks"),
        (["--preference", "1,inf"], 2, "finite"),
        (["--preference", "1,-1"], 3, "of -1"),
    ] {
        let said = place.run(&[&["predict", run.as_str(), "--input", "people.csv"], &more[..]].concat());
        assert!(said.code == Some(code) && said.err.contains(says), "{said:?}");
    }
    let plain = results["methods"][0]["points"][0]["run"].as_str().unwrap();
    let plain = format!("runs/a-front/members/{plain}");
    let said = place.run(&["eval", &plain, "--preference", "1,1"]);
    assert!(
        said.code == Some(2) && said.err.contains("is for one network of the whole Pareto front"),
        "{said:?}"
    );
}

#[test]
fn a_network_for_the_whole_front_is_trained_by_what_follows_its_preference() {
    let place = Place::new();
    let text = place.read("a.toml").replace("kind = \"hard_sharing\"", "kind = \"phn\"\npoints = 2");
    place.write("a.toml", text.clone());
    fs_err::rename(place.at("people.csv"), place.at("away.csv")).unwrap();
    let said = place.run(&["check", "a.toml"]);
    assert!(said.code == Some(3) && said.err.contains("does not follow the preference"), "{said:?}");
    let followed = text.replace("kind = \"uncertainty_weighting\"", "kind = \"stch\"");
    for (change, says) in [
        ("network.points=1", "`points` is 1"),
        ("network.concentration=0", "`concentration` is 0"),
        ("network.preference=[1.0]", "a preference of 1 numbers for 2 tasks"),
        ("network.preference=[0.0, 0.0]", "of no task"),
        ("network.hidden=[]", "without a layer"),
        ("training.only_tasks=[\"rich\"]", "of a single task"),
    ] {
        place.write("a.toml", followed.clone());
        let said = place.run(&["train", "a.toml", change]);
        assert!(said.code == Some(3) && said.err.contains(says), "{change}: {said:?}");
    }
    fs_err::rename(place.at("away.csv"), place.at("people.csv")).unwrap();
    let said = place.good(&["train", "a.toml", "--quiet", "training.epochs=2"]);
    assert!(said.out.contains("by preference") && said.out.contains("0.75:0.25"), "{said:?}");
    assert!(said.err.contains("preference: rich 0.5, score 0.5"), "{said:?}");
    let results: Value = serde_json::from_str(&place.read("runs/a/results.json")).unwrap();
    assert_eq!(results["front"].as_array().unwrap().len(), 2);
}
