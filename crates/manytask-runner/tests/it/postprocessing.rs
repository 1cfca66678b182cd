//! Calibration, decisions and coverage, from the configuration to predictions.

use crate::command::Place;

const TASKS: &str =
    "[tasks.default]\ncalibration = \"temperature\"\ndecision = \"f1\"\ncoverage = 0.8\n\n[network]";

fn place() -> Place {
    let place = Place::new();
    place.config_with("[network]", TASKS);
    place
}

fn column<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let index = text.lines().next().unwrap().split(',').position(|own| own == name);
    let index = index.unwrap_or_else(|| panic!("no {name} in {text}"));
    text.lines().skip(1).map(|line| line.split(',').nth(index).unwrap()).collect()
}

#[test]
fn what_is_fitted_on_the_validation_split_is_kept_judged_and_applied() {
    let place = place();
    let said = place.good(&["train", "a.toml", "--quiet"]);
    for part in ["fitted on the validation split", "calibration_error", "f1", "coverage, asked 0.8"] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    let results: serde_json::Value = serde_json::from_str(&place.read("runs/a/results.json")).unwrap();
    let fitted = &results["postprocessing"];
    let temperature = fitted["tasks"]["rich"]["calibrator"]["temperature"][0].as_f64().unwrap();
    let threshold = fitted["tasks"]["rich"]["thresholds"][0].as_f64().unwrap();
    let radius = fitted["tasks"]["score"]["conformal"]["quantile"].as_f64().unwrap();
    assert!(temperature > 0.0 && radius > 0.0 && (0.0..=1.0).contains(&threshold));
    // Nothing else of the run is another one.
    let plain = Place::new();
    plain.good(&["train", "a.toml", "--quiet"]);
    assert_eq!(plain.read("runs/a/metrics.jsonl"), place.read("runs/a/metrics.jsonl"));
    let predict = |place: &Place| place.good(&["predict", "runs/a", "--input", "people.csv"]).out;
    let (with, without) = (predict(&place), predict(&plain));
    let numbers = |text: &str, name: &str| -> Vec<f64> {
        column(text, name).iter().map(|cell| cell.parse().unwrap()).collect()
    };
    let (rich, raw) = (numbers(&with, "rich"), numbers(&without, "rich"));
    for ((p, raw), class) in rich.iter().zip(&raw).zip(column(&with, "rich_class")) {
        let expected = 1.0 / (1.0 + (-(raw / (1.0 - raw)).ln() / temperature).exp());
        assert!((p - expected).abs() < 1e-6, "{p} {expected}");
        assert_eq!(class, if *p >= threshold { "1" } else { "0" });
    }
    let (score, low, high) =
        (numbers(&with, "score"), numbers(&with, "score_low"), numbers(&with, "score_high"));
    for ((value, low), high) in score.iter().zip(low).zip(high) {
        assert!((value - low - radius).abs() < 1e-9 && (high - value - radius).abs() < 1e-9);
    }
    assert_eq!(score, numbers(&without, "score"));
    assert!(column(&with, "rich_set").iter().all(|set| ["0", "1", "0|1"].contains(set)));
    let said = place.good(&["eval", "runs/a", "--json"]);
    let judged: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(judged["postprocessing"]["judged"], fitted["judged"]);
}

#[test]
fn what_cannot_be_asked_for_is_refused_at_its_place() {
    let place = Place::new();
    for (tasks, says) in [
        ("[tasks.score]\ncalibration = \"isotonic\"", "a.toml:15:15: `calibration` is for probabilities"),
        ("[tasks.rich]\ncoverage = 1.5", "a.toml:15:12: a coverage of 1.5"),
        (
            "[tasks.rich]\ndecision = { cost = { false_positive = -1.0, false_negative = 1.0 } }",
            "false_positive",
        ),
        ("[tasks.rich]\nmetrics = [{ quantile_loss = 0.5 }]", "is not for binary targets"),
        ("[tasks.score]\nmetrics = [{ quantile_loss = 1.5 }]", "below 1"),
    ] {
        place.config_with("[network]", &format!("{tasks}\n\n[network]"));
        let said = place.run(&["check", "a.toml"]);
        assert!(said.code == Some(3) && said.err.contains(says), "{tasks}: {said:?}");
    }
    let text = place.read("a.toml");
    let text = text.replace("validation = 0.2, ", "").replace("validate_every_epochs = 1\n", "");
    place.write("a.toml", text.replace("metrics = [{ quantile_loss = 1.5 }]", "coverage = 0.9"));
    let said = place.run(&["check", "a.toml"]);
    assert!(said.code == Some(3) && said.err.contains("fitted on the validation split"), "{said:?}");
}

#[test]
fn networks_of_several_seeds_give_calibrated_means_without_classes() {
    let place = place();
    place.good(&["train", "a.toml", "--quiet", "--seeds", "2", "--name", "s"]);
    let said = place.good(&["predict", "runs/s", "--input", "people.csv"]);
    assert!(said.out.starts_with("rich,score\n") && said.err.contains("of single networks"), "{said:?}");
    let later =
        place.good(&["predict", "runs/s/members/seed-3", "--input", "people.csv", "--checkpoint", "latest"]);
    let best = place.good(&["predict", "runs/s/members/seed-3", "--input", "people.csv"]);
    assert!(best.out.starts_with("rich,score,rich_class,rich_set,score_low,score_high\n"), "{best:?}");
    assert!(later.out == best.out || later.err.contains("belong to its parameters of step"), "{later:?}");
}
