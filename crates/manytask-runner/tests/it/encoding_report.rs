//! What the commands say of data: counts, labels, and what is odd.

use crate::command::Place;

const DATA: &str = "\
inputs = { numeric = [\"age\", \"hours\"], one_hot = [\"job\"] }
targets = [
  { name = \"rich\", kind = \"binary\" },
  { name = \"score\", kind = \"regression\", standardise = true },
]";

#[test]
fn training_says_rows_inputs_and_labels_and_nothing_else_where_nothing_is_amiss() {
    let place = Place::new();
    for more in [[].as_slice(), &["--dry-run"]] {
        let said = place.good(&[["train", "a.toml"].as_slice(), more].concat());
        let data = "data: 120 train, 40 validation, 40 test rows; input columns: 2 numeric, 1 one-hot with 3 categories";
        assert!(said.err.contains(data), "{}", said.err);
        let line =
            |task: &str| said.err.lines().find(|line| line.starts_with(&format!("  {task}: "))).unwrap();
        assert!(
            line("rich").contains("yes") && line("rich").contains("0 missing; validation"),
            "{}",
            said.err
        );
        assert!(
            line("score").contains("missing") && line("score").contains("standardised by mean"),
            "{}",
            said.err
        );
        assert!(!said.err.contains("note:"), "{}", said.err);
    }
    let said = place.good(&["eval", "runs/a"]);
    assert!(said.err.contains("data: 120 train, 40 validation, 40 test rows"), "{}", said.err);
}

#[test]
fn what_is_odd_is_told_before_the_training_and_from_the_cache_too() {
    let place = Place::new();
    let text = place.read("people.csv").replace(",a,", ",x,");
    let lines: Vec<String> = text.lines().enumerate().map(|(row, line)| format!("{line},p{row}")).collect();
    place.write("people.csv", lines.join("\n").replace("score,p0", "score,name"));
    place.config_with("one_hot = [\"job\"]", "one_hot = \"rest\"");
    for _ in 0..2 {
        let said = place.good(&["train", "a.toml", "--dry-run", "--quiet"]);
        assert!(said.err.contains("note: column `name` has 120 values in 120 training rows"), "{}", said.err);
        assert!(said.err.contains("ignore = [\"name\"]"), "{}", said.err);
    }
}

#[test]
fn targets_by_pattern_are_tasks_that_sections_and_predictions_name() {
    let place = Place::new();
    let text = place.read("people.csv").replacen("rich,score", "is_rich,is_late", 1);
    let lines = text.lines().map(|line| match line.rsplit_once(',') {
        Some((head, "is_late")) => format!("{head},is_late"),
        Some((head, score)) => format!("{head},{}", u32::from(score.ends_with(['1', '4', '7']))),
        None => line.to_owned(),
    });
    place.write("people.csv", lines.collect::<Vec<_>>().join("\n"));
    let targets = "inputs = { numeric = [\"age\", \"hours\"], one_hot = [\"job\"] }\n\
                   targets = [{ kind = \"binary\", columns = \"is_*\" }]";
    place.config_with(DATA, targets);
    place.good(&["check", "a.toml"]);
    place.good(&["train", "a.toml", "--quiet", "tasks.is_late.metrics=[\"f1\"]"]);
    let said = place.good(&["predict", "runs/a", "--input", "people.csv"]);
    assert!(said.out.starts_with("is_rich,is_late\n"), "{}", &said.out[..40]);
    place.good(&["train", "a.toml", "--quiet", "--name", "one", "training.only_tasks=[\"is_late\"]"]);
    place.config_with(DATA, &targets.replace("is_*", "was_*"));
    let said = place.run(&["train", "a.toml"]);
    assert!(
        said.code == Some(3) && said.err.contains("no column of") && said.err.contains("`was_*`"),
        "{said:?}"
    );
}

#[test]
fn weights_count_in_metrics_when_asked() {
    let place = Place::new();
    let data = DATA.replace("\"hours\"", "\"age\"").replace("[\"age\", \"age\"]", "[\"age\"]");
    place.config_with(DATA, &format!("weight = \"hours\"\n{data}"));
    let results = |name: &str, more: &[&str]| {
        let said = place.good(&[["train", "a.toml", "--name", name].as_slice(), more].concat());
        (said.err, place.read(&format!("runs/{name}/results.json")))
    };
    let (told, alike) = results("alike", &[]);
    assert!(told.contains("rows weigh what `hours` says in the loss, and alike in metrics"), "{told}");
    let (told, weighted) = results("weighted", &["data.weight_in=\"loss_and_metrics\""]);
    assert!(told.contains("rows weigh what `hours` says in loss and metrics"), "{told}");
    let parts = |text: &str| {
        let results: serde_json::Value = serde_json::from_str(text).unwrap();
        (results["tasks"][0]["loss"].clone(), results["tasks"][0]["metrics"].clone())
    };
    assert_eq!(parts(&alike).0, parts(&weighted).0);
    assert_ne!(parts(&alike).1, parts(&weighted).1);
}

#[test]
fn regressions_far_from_zero_are_learned_and_predicted_in_their_units() {
    let place = Place::new();
    place.config_with(", standardise = true", "");
    place.good(&["train", "a.toml", "--quiet", "--name", "near"]);
    let shifted: Vec<String> = place
        .read("people.csv")
        .lines()
        .map(|line| match line.rsplit_once(',') {
            Some((head, score)) if score.parse::<f64>().is_ok() => {
                format!("{head},{:.1}", 1_700_000_000_000.0 + score.parse::<f64>().unwrap())
            }
            _ => line.to_owned(),
        })
        .collect();
    place.write("people.csv", shifted.join("\n"));
    place.good(&["train", "a.toml", "--quiet", "--name", "far"]);
    let rmse = |run: &str| -> f64 {
        let results: serde_json::Value =
            serde_json::from_str(&place.read(&format!("runs/{run}/results.json"))).unwrap();
        results["tasks"][1]["metrics"][0][1].as_f64().unwrap()
    };
    assert!((rmse("near") - rmse("far")).abs() < 1e-2 * rmse("near"), "{} {}", rmse("near"), rmse("far"));
}
