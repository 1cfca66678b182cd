//! The command with every architecture.

use manytask::Registries;
use manytask::run::Record;

use crate::command::Place;

const CONFIG: &str =
    "[network]\nkind = \"hard_sharing\"\ntrunk = { kind = \"mlp\", hidden = [8], dropout = 0.2 }\n";
const TARGETS: &str = "  { name = \"score\", kind = \"regression\", standardise = true },\n";

/// A configuration with this network and two binary tasks, which every architecture is for.
fn configured(network: &str) -> Place {
    let place = Place::new();
    let text = place.read("a.toml");
    assert!(text.contains(CONFIG) && text.contains(TARGETS));
    let text = text.replace(CONFIG, network);
    let text = text.replace(TARGETS, "  { name = \"late\", kind = \"binary\", columns = [\"age\"], positive = [\"60\", \"61\", \"62\", \"63\", \"64\", \"65\", \"66\", \"67\", \"68\", \"69\"], negative = \"rest\" },\n");
    let text = text.replace("\"age\", \"hours\"]", "\"hours\"]");
    // A network for the whole front is trained by what follows its preference.
    let text = if ["phn", "cosmos"].iter().any(|front| network.contains(&format!("kind = \"{front}\""))) {
        text.replace("kind = \"uncertainty_weighting\"", "kind = \"linear\"")
    } else {
        text
    };
    place.write("a.toml", text + "\n[tasks.default]\nmetrics = [\"log_loss\"]\n");
    place
}

fn networks() -> Vec<(String, String)> {
    let names = Registries::default();
    let names = names.architectures.entries().map(|(name, _)| name.to_owned());
    let text = |name: &str| {
        format!(
            "[network]\nkind = \"{name}\"\ntrunk = {{ kind = \"mlp\", hidden = [8], dropout = 0.2 }}\nhead = {{ kind = \"mlp\", hidden = [5] }}\n"
        )
    };
    names.map(|name| (name.clone(), text(&name))).collect()
}

#[test]
fn a_run_of_any_architecture_goes_on_to_the_same_bytes() {
    for (name, network) in networks() {
        let place = configured(&network);
        place.good(&["train", "a.toml", "--quiet", "training.keep_checkpoints=9"]);
        let read = || {
            let files = ["metrics.jsonl", "results.json"].map(|file| place.read(&format!("runs/a/{file}")));
            let last = place.read("runs/a/checkpoints/latest");
            let bytes = ["params.safetensors", "optimizer.safetensors", "state.json"]
                .map(|file| fs_err::read(place.at(&format!("runs/a/checkpoints/{last}/{file}"))).unwrap());
            (files, bytes)
        };
        let before = read();
        place.good(&["resume", "runs/a", "--quiet", "--checkpoint", "step-14"]);
        assert_eq!(before, read(), "{name}");
        let wrong = if name == "mmoe" { "hard_sharing" } else { "mmoe" };
        let said = place.run(&["resume", "runs/a", &format!("network.kind={wrong}")]);
        assert!(said.code == Some(3) && said.err.contains("`network.kind`"), "{name}: {said:?}");
    }
}

#[test]
fn predictions_are_what_an_evaluation_scores() {
    for (name, network) in networks() {
        let place = configured(&network);
        let text = place.read("a.toml");
        let split = "split.random = { validation = 0.2, test = 0.2, seed = 1 }";
        assert!(text.contains(split));
        place.write(
            "a.toml",
            text.replace(split, "split.files = { test = \"test.csv\", validation_fraction = 0.2, seed = 1 }"),
        );
        let table = place.read("people.csv");
        let test: Vec<&str> = table.lines().take(90).collect();
        place.write("test.csv", test.join("\n") + "\n");
        place.good(&["train", "a.toml", "--quiet"]);
        let predicted = place.good(&["predict", "runs/a", "--input", "test.csv"]).out;
        let columns = |text: &str| {
            let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
            let header = lines.next().unwrap();
            (header, lines.collect::<Vec<_>>())
        };
        let ((header, predictions), (of_table, rows)) = (columns(&predicted), columns(&test.join("\n")));
        assert_eq!(predictions.len(), rows.len());
        let at = |header: &[String], name: &str| header.iter().position(|of| of == name).unwrap();
        let results: serde_json::Value = serde_json::from_str(&place.read("runs/a/results.json")).unwrap();
        for task in ["rich", "late"] {
            let scored = log_loss_of(&results, task);
            let column = at(&header, task);
            let losses = predictions.iter().zip(&rows).map(|(predicted, row)| {
                let p: f64 = predicted[column].parse().unwrap();
                let yes = match task {
                    "rich" => row[at(&of_table, "rich")] == "1",
                    _ => row[at(&of_table, "age")].parse::<u32>().unwrap() >= 60,
                };
                if yes { -p.ln() } else { -(1.0 - p).ln() }
            });
            let mean = losses.sum::<f64>() / rows.len() as f64;
            assert!((mean - scored).abs() < 1e-5, "{name}, {task}: {mean} {scored}");
        }
        let said = place.good(&["eval", "runs/a"]);
        assert!(said.out.contains("late"), "{said:?}");
    }
}

/// The log loss of a task, wherever the results have it.
fn log_loss_of(results: &serde_json::Value, task: &str) -> f64 {
    fn find(value: &serde_json::Value, task: &str) -> Option<f64> {
        if value["name"] == task {
            let all = value["metrics"].as_array()?;
            let metric = all.iter().find(|metric| metric[0] == "log_loss")?;
            return metric[1].as_f64();
        }
        match value {
            serde_json::Value::Array(all) => all.iter().find_map(|value| find(value, task)),
            serde_json::Value::Object(all) => all.values().find_map(|value| find(value, task)),
            _ => None,
        }
    }
    find(&results["tasks"], task).unwrap()
}

#[test]
fn auxiliary_losses_are_logged_by_name() {
    let network = "[network]\nkind = \"soft_sharing\"\ntrunk = { kind = \"mlp\", hidden = [8] }\n";
    let place = configured(network);
    place.good(&["train", "a.toml", "--quiet"]);
    let metrics = place.read("runs/a/metrics.jsonl");
    let records: Vec<Record> = metrics.lines().map(|line| Record::read(line.as_bytes()).unwrap()).collect();
    for task in ["rich", "late"] {
        let first = |metric: &str| {
            let of = |record: &&Record| record.task.as_deref() == Some(task) && record.metric == metric;
            records.iter().find(of).and_then(|record| record.value).unwrap()
        };
        let distance = first("auxiliary/trunk_distance");
        assert!(distance > 0.0 && distance < first("loss"), "{metrics}");
    }
}

#[test]
fn what_cannot_be_is_refused_before_data_are_read() {
    let trunk = "trunk = { kind = \"mlp\", hidden = [8] }\n";
    let uncertainty = "kind = \"uncertainty_weighting\"";
    let representation = "kind = \"mgda\"\nlevel = \"representation\"";
    for (network, aggregator, says) in [
        (format!("kind = \"mmoe\"\n{trunk}"), representation, "do not share; set level = \"parameters\""),
        (format!("kind = \"cross_stitch\"\n{trunk}"), representation, "set level = \"parameters\""),
        (format!("kind = \"soft_sharing\"\n{trunk}"), "kind = \"mgda\"", "take a method that goes by losses"),
        (
            format!("kind = \"mmoe\"\n{trunk}experts = 0\n"),
            uncertainty,
            "`experts` is 0; it must be from 1 to 4096",
        ),
        (format!("kind = \"mmoe\"\n{trunk}exprets = 3\n"), uncertainty, "did you mean `experts`?"),
        (
            format!("kind = \"mmoe\"\n{trunk}botom = {{ kind = \"mlp\" }}\n"),
            uncertainty,
            "did you mean `bottom`?",
        ),
        (
            format!("{trunk}bottom = {{ kind = \"mlp\" }}\n"),
            uncertainty,
            "`hard_sharing` has no part `bottom`",
        ),
        ("kind = \"mmoe\"\n".to_owned(), uncertainty, "missing key `trunk` in [network]"),
        (
            "kind = \"cross_stitch\"\ntrunk = { kind = \"mlp\", hidden = [] }\n".to_owned(),
            uncertainty,
            "no stages",
        ),
        (format!("kind = \"cross_stitch\"\n{trunk}units = \"row\"\n"), uncertainty, "unknown value `row`"),
        (format!("kind = \"soft_sharing\"\n{trunk}strength = -1.0\n"), uncertainty, "`strength` is -1"),
    ] {
        let place = configured(&format!("[network]\n{network}"));
        let text = place.read("a.toml").replace(uncertainty, aggregator);
        place.write("a.toml", text);
        fs_err::remove_file(place.at("people.csv")).unwrap();
        let said = place.run(&["check", "a.toml"]);
        let told = says.split("; ").all(|piece| said.err.contains(piece));
        assert!(said.code == Some(3) && told, "{network}{aggregator}: {said:?}");
    }
    // ESMM is for two binary tasks, and one of these is a regression.
    let place = Place::new();
    place.config_with(CONFIG, "[network]\nkind = \"esmm\"\n");
    let said = place.run(&["check", "a.toml"]);
    assert!(said.code == Some(3) && said.err.contains("the regression task `score`"), "{said:?}");
    let place = configured("[network]\nkind = \"esmm\"\n");
    place.good(&["check", "a.toml"]);
    let alone = place.read("a.toml").replace("[training]\n", "[training]\nonly_tasks = [\"rich\"]\n");
    place.write("a.toml", alone);
    let said = place.run(&["check", "a.toml"]);
    assert!(said.code == Some(3) && said.err.contains("exactly two binary tasks"), "{said:?}");
}

#[test]
fn hard_sharing_is_meant_where_no_architecture_is_named() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet"]);
    let before = place.read("runs/a/results.json");
    place.config_with("kind = \"hard_sharing\"\n", "");
    place.good(&["train", "a.toml", "--quiet", "--name", "b"]);
    assert_eq!(before, place.read("runs/b/results.json"));
}

#[test]
fn architectures_are_listed_and_explained() {
    let place = Place::new();
    let said = place.good(&["list", "architectures"]);
    let names = Registries::default();
    for (name, _) in names.architectures.entries() {
        assert!(said.out.contains(name), "{said:?}");
        let explained = place.good(&["explain", name]).out;
        assert!(explained.contains("(architecture)") && explained.contains("[network]"), "{explained}");
    }
    let explained = place.good(&["explain", "mmoe"]).out;
    for piece in ["Ma et al. 2018", "experts = 8", "1 to 4096", "A step costs", "temperature = 1.0"] {
        assert!(explained.contains(piece), "`{piece}` is not in {explained}");
    }
}
