use std::fmt::Write as _;

use manytask::run::{Record, Split};

use crate::command::Place;

#[test]
fn a_training_leaves_a_folder_and_ends_with_a_table() {
    let place = Place::new();
    let said = place.good(&["train", "a.toml"]);
    assert!(said.out.contains("test split, parameters of step"), "{}", said.out);
    assert!(
        said.out.contains("rich") && said.out.contains("roc_auc") && said.out.contains("rmse"),
        "{}",
        said.out
    );
    assert!(said.out.trim_end().ends_with("manytask predict runs/a --input FILE"), "{}", said.out);
    for name in [
        "config.toml",
        "manifest.json",
        "metrics.jsonl",
        "schema.json",
        "results.json",
        "checkpoints/latest",
        "checkpoints/best",
    ] {
        assert!(place.at("runs/a").join(name).is_file(), "{name}");
    }
    let manifest: serde_json::Value = serde_json::from_str(&place.read("runs/a/manifest.json")).unwrap();
    assert_eq!((manifest["exit"].as_str(), manifest["threads"].as_u64()), (Some("completed"), Some(1)));
    let lines = place.read("runs/a/metrics.jsonl");
    assert!(
        lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].is_u64())
    );
    // The effective configuration is one that trains the same again.
    place.good(&["train", "runs/a/config.toml", "--name", "again", "--quiet"]);
    assert_eq!(place.read("runs/again/metrics.jsonl"), lines);
    assert_eq!(place.read("runs/again/results.json"), place.read("runs/a/results.json"));
    let second =
        place.good(&["train", "runs/a/config.toml", "--quiet", "training.epochs=1", "--threads", "2"]);
    assert!(second.out.contains("runs/a-2"), "{}", second.out);
    assert!(
        place.read("runs/a-2/config.toml").contains("epochs = 1")
            && place.read("runs/a-2/config.toml").contains("threads = 2")
    );
}

#[test]
fn every_epoch_and_the_last_step_have_one_line_of_training_losses() {
    let place = Place::new();
    let records = |changes: &[&str]| -> Vec<Record> {
        place.good(&[&["train", "a.toml", "--quiet", "--name", "a"], changes].concat());
        let text = place.read("runs/a/metrics.jsonl");
        fs_err::remove_dir_all(place.at("runs/a")).unwrap();
        text.lines().map(|line| Record::read(line.as_bytes()).unwrap()).collect()
    };
    let of_rich = |records: &[Record], metric: &str| -> Vec<(u64, f64)> {
        let rich = records.iter().filter(|of| of.task.as_deref() == Some("rich") && of.split == Split::Train);
        rich.filter(|of| of.metric == metric).map(|of| (of.step, of.value.unwrap())).collect()
    };
    let steps = |found: &[(u64, f64)]| -> Vec<u64> { found.iter().map(|(step, _)| *step).collect() };
    let some = records(&["training.log_every_steps=50"]);
    for metric in ["loss", "weight", "epoch_loss"] {
        assert_eq!(steps(&of_rich(&some, metric)), [8, 16, 24, 32, 40], "{metric}");
    }
    for record in &some {
        assert_eq!(record.epoch, Some((record.step - 1) / 8), "{record:?}");
    }
    // The mean over an epoch is that of its steps.
    let all = records(&["training.log_every_steps=1", "training.epochs=1.25"]);
    let losses = of_rich(&all, "loss");
    assert_eq!(steps(&losses), (1..=10).collect::<Vec<u64>>());
    let means = of_rich(&all, "epoch_loss");
    assert_eq!(steps(&means), [8, 10]);
    let mean = losses[..8].iter().map(|(_, loss)| loss).sum::<f64>() / 8.0;
    assert!((means[0].1 - mean).abs() < 1e-12, "{means:?}");
}

#[test]
fn a_run_is_judged_predicts_and_is_compared_with_single_tasks() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet"]);
    for task in ["rich", "score"] {
        let only = format!("training.only_tasks=[\"{task}\"]");
        place.good(&["train", "a.toml", "--quiet", "--name", task, &only]);
    }
    let said = place.good(&["eval", "runs/a", "--baseline", "runs/rich", "runs/score"]);
    assert!(said.out.contains("Δm %") && said.out.lines().count() == 5, "{}", said.out);
    let json = place.good(&["eval", "runs/a", "--split", "validation", "--checkpoint", "latest", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (value["split"].as_str(), value["tasks"].as_array().map(Vec::len)),
        (Some("validation"), Some(2))
    );
    let result: serde_json::Value = serde_json::from_str(&place.read("runs/a/results.json")).unwrap();
    let again: serde_json::Value =
        serde_json::from_str(&place.good(&["eval", "runs/a", "--json"]).out).unwrap();
    assert_eq!(result["tasks"], again["tasks"]);
    // A table without labels, with a category that was never seen and a missing number.
    place.write("new.csv", "job,hours,age\na,10,30\nz,,64\n");
    let said = place.good(&["predict", "runs/a", "--input", "new.csv"]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!((lines[0], lines.len()), ("rich,score", 3));
    let first: f64 = lines[1].split(',').next().unwrap().parse().unwrap();
    assert!((0.0..=1.0).contains(&first), "{first}");
    place.good(&["predict", "runs/a", "--input", "new.csv", "--output", "out.csv"]);
    assert_eq!(place.read("out.csv"), said.out);
    assert_eq!(
        place.good(&["predict", "runs/a", "--input", "new.csv", "--output", "/dev/stdout"]).out,
        said.out
    );
    // The data of the training are not needed for it.
    fs_err::remove_file(place.at("people.csv")).unwrap();
    place.good(&["predict", "runs/rich", "--input", "new.csv"]);
}

#[test]
fn tasks_with_rows_of_their_own_are_trained_and_predicted() {
    let place = Place::new();
    let from = "targets = [\n  { name = \"rich\", kind = \"binary\" },\n  { name = \"score\", kind = \"regression\", standardise = true },\n]";
    place.config_with(from, "tasks_by = \"job\"\ntargets = [{ name = \"rich\", kind = \"binary\" }]");
    let text = place.read("a.toml").replace(", one_hot = [\"job\"]", "");
    place.write("a.toml", text);
    let said = place.good(&["train", "a.toml", "--quiet", "aggregator.kind=\"mgda\""]);
    assert!(said.out.contains("job=a") && said.out.contains("mean"), "{}", said.out);
    place.write("new.csv", "job,hours,age\nb,10,30\na,20,64\n");
    let said = place.good(&["predict", "runs/a", "--input", "new.csv"]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines[0], "task,rich");
    assert!(lines[1].starts_with("job=b,0.") && lines[2].starts_with("job=a,0."), "{lines:?}");
}

#[test]
fn classes_several_labels_and_embedded_categories_are_trained_and_predicted() {
    let place = Place::new();
    let from = "  { name = \"score\", kind = \"regression\", standardise = true },\n";
    place.config_with(
        from,
        "  { name = \"class\", kind = \"multiclass\", columns = [\"size\"] },\n  { name = \"labels\", kind = \"multilabel\", columns = [\"tall\", \"loud\"] },\n",
    );
    let text = place.read("a.toml").replace("one_hot = [\"job\"]", "embedding = [\"job\"]");
    place.write("a.toml", text);
    let mut table = "age,hours,job,rich,size,tall,loud\n".to_owned();
    for i in 0..120_u32 {
        let (age, hours, job) = (20 + (i * 37) % 50, (i * 53) % 60, ["a", "b", "c"][(i % 3) as usize]);
        let size = if i % 11 == 0 { "" } else { ["small", "middle", "large"][(i % 3) as usize] };
        let loud = if i % 5 == 0 { String::new() } else { u32::from(hours > 30).to_string() };
        writeln!(
            table,
            "{age},{hours},{job},{},{size},{},{loud}",
            u32::from(age > 40),
            u32::from(i % 3 == 0)
        )
        .unwrap();
    }
    place.write("people.csv", table);
    let said = place.good(&["train", "a.toml", "--quiet", "training.epochs=60", "network.embedding=3"]);
    assert!(said.out.contains("balanced_accuracy"), "{}", said.out);
    let result: serde_json::Value = serde_json::from_str(&place.read("runs/a/results.json")).unwrap();
    let class = &result["tasks"][1];
    assert_eq!((class["name"].as_str(), class["metrics"][0][0].as_str()), (Some("class"), Some("accuracy")));
    assert!(class["metrics"][0][1].as_f64().unwrap() > 0.9, "the size is that of the job: {result}");
    assert!(place.read("runs/a/config.toml").contains("embedding"));
    place.write("new.csv", "job,hours,age\nb,10,30\nnever,20,64\n");
    let said = place.good(&["predict", "runs/a", "--input", "new.csv"]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines[0], "rich,class=large,class=middle,class=small,labels=tall,labels=loud");
    let row: Vec<f64> = lines[1].split(',').map(|cell| cell.parse().unwrap()).collect();
    assert!((row[1] + row[2] + row[3] - 1.0).abs() < 1e-5 && row[2] > 0.5, "{row:?}");
}

#[test]
fn learners_are_trained_on_episodes() {
    let place = Place::new();
    place.write(
        "m.toml",
        "[data]\nkind = \"sinusoid\"\nshots = 5\n[network]\nkind = \"mlp\"\nhidden = [8]\n[learner]\nkind = \"maml\"\n\
         [aggregator]\nkind = \"pcgrad\"\n[optimizer]\nkind = \"adam\"\nlearning_rate = 1e-3\n\
         [training]\nsteps = 12\ntasks_per_step = 3\nvalidate_every_steps = 6\n[evaluation]\ntasks = 9\ninner_steps = 2\n",
    );
    let said = place.good(&["train", "m.toml"]);
    assert!(
        said.out.contains("mse_after_2_steps") && said.out.contains("manytask eval runs/m"),
        "{}",
        said.out
    );
    place.good(&["eval", "runs/m", "--split", "validation"]);
    let said = place.run(&["predict", "runs/m", "--input", "people.csv"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    let said = place.run(&["train", "m.toml", "aggregator.kind=uncertainty_weighting"]);
    assert!(said.code == Some(3) && said.err.contains("sampled anew"), "{said:?}");
    for learner in ["fomaml", "anil", "boil"] {
        place.good(&["train", "m.toml", "--quiet", &format!("learner.kind={learner}"), "--dry-run"]);
    }
}

#[test]
fn what_a_configuration_can_name_is_listed_and_explained() {
    let place = Place::new();
    let said = place.good(&["list"]);
    for name in ["table", "mlp", "pcgrad", "mgda", "adamw", "one_cycle", "maml", "protonet", "omniglot"] {
        assert!(said.out.lines().any(|line| line.trim_start().starts_with(name)), "{name}: {}", said.out);
    }
    let some = place.good(&["list", "aggregator"]);
    assert!(some.out.contains("mgda") && !some.out.contains("adamw"));
    for name in ["cagrad", "upgrad", "aligned_mtl", "nash_mtl"] {
        assert!(some.out.contains(&format!("  {name} ")), "{name}: {}", some.out);
    }
    for (sort, one, other) in [
        ("aggregators", "pcgrad", "adam"),
        ("data", "omniglot", "pcgrad"),
        ("data set", "table", "omniglot"),
        ("sections", "evaluation", "pcgrad"),
        ("network", "conv4", "relu"),
    ] {
        let some = place.good(&["list", sort]).out;
        assert!(
            some.contains(&format!("  {one} ")) && !some.contains(&format!("  {other} ")),
            "{sort}: {some}"
        );
    }
    assert!(place.good(&["explain", "[training]"]).out.contains("\nkeep_checkpoints = 1 #"));
    // What is left out by default stands in no example, and is told.
    assert!(place.good(&["explain", "maml"]).out.contains("checkpoint_every"));
    let said = place.good(&["explain", "mlp"]);
    assert!(
        said.out.contains("[network]\nkind = \"mlp\"")
            && said.out.contains("[network.trunk]\nkind = \"mlp\"")
    );
    let said = place.good(&["explain", "adam"]);
    assert!(
        said.out.contains("[optimizer]\nkind = \"adam\"\nlearning_rate = 0.001\nbeta1 = 0.9\n"),
        "{}",
        said.out
    );
    let said = place.good(&["explain", "mgda"]);
    assert!(
        said.out
            .contains("[aggregator]\nkind = \"mgda\"\nlevel = \"parameters\"\nnormalisation = \"none\"\n"),
        "{}",
        said.out
    );
    let said = place.run(&["explain", "mgad"]);
    assert!(said.code == Some(2) && said.err.contains("did you mean `mgda`?"), "{said:?}");
    assert!(place.good(&["env"]).out.contains("libtorch: 2.11.0"));
    assert!(place.good(&["completions", "bash"]).out.contains("_manytask"));
    assert!(place.good(&["--help"]).out.contains("Exit codes:"));
    let said = place.good(&["check", "a.toml", "--print"]);
    assert!(said.out.contains("[aggregator]") && said.err.contains("a.toml: good"), "{said:?}");
}

#[test]
fn a_dry_run_writes_nothing() {
    let place = Place::new();
    let said = place.good(&["train", "a.toml", "--dry-run"]);
    assert!(said.err.contains("one step was made"), "{said:?}");
    assert!(!place.at("runs").exists());
}

#[test]
fn a_run_is_the_same_with_and_without_tables_that_were_read_before() {
    let place = Place::new();
    let train = |name: &str, tables: &std::path::Path| {
        let mut command = place.command(&["train", "a.toml", "--quiet", "--name", name]);
        let said = crate::command::said(command.env("MANYTASK_TABLES", tables).output().unwrap());
        assert_eq!(said.code, Some(0), "{said:?}");
        said
    };
    let kept = || fs_err::read_dir(place.at("kept")).map_or(0, Iterator::count);
    train("without", "off".as_ref());
    assert!(!place.at("off").exists() && kept() == 0);
    train("first", &place.at("kept"));
    assert_eq!(kept(), 1);
    train("second", &place.at("kept"));
    assert_eq!(kept(), 1, "the second run found what the first one wrote");
    // A file stands where the folder would be: one line is said, and nothing else differs.
    let said = train("refused", &place.at("people.csv"));
    assert!(said.err.contains("note: the next start will read the tables again"), "{}", said.err);
    let all = |run: &str, name: &str| fs_err::read(place.at("runs").join(run).join(name)).unwrap();
    for run in ["first", "second", "refused"] {
        for name in ["metrics.jsonl", "results.json", "schema.json"] {
            assert_eq!(all(run, name), all("without", name), "{run} {name}");
        }
        let step = |run: &str| String::from_utf8(all(run, "checkpoints/latest")).unwrap().trim().to_owned();
        let params = |run: &str| all(run, &format!("checkpoints/{}/params.safetensors", step(run)));
        assert_eq!(params(run), params("without"), "{run}");
        let digest = |run: &str| -> serde_json::Value {
            serde_json::from_slice::<serde_json::Value>(&all(run, "manifest.json")).unwrap()["data_digest"]
                .clone()
        };
        assert_eq!(digest(run), digest("without"));
        assert_eq!(digest(run).as_str().map(str::len), Some(64));
    }
}

#[test]
fn bfloat16_trains_predicts_and_goes_on_near_full_precision() {
    let place = Place::new();
    let metrics = |name: &str| -> Vec<f64> {
        let result: serde_json::Value =
            serde_json::from_str(&place.read(&format!("runs/{name}/results.json"))).unwrap();
        let tasks = result["tasks"].as_array().unwrap();
        tasks.iter().map(|task| task["loss"].as_f64().unwrap()).collect()
    };
    place.good(&["train", "a.toml", "--quiet"]);
    place.good(&["train", "a.toml", "--quiet", "--name", "half", "precision=\"bfloat16\""]);
    for (full, half) in metrics("a").into_iter().zip(metrics("half")) {
        assert!(full != half && (half / full - 1.0).abs() < 0.05, "{full} {half}");
    }
    let again: serde_json::Value =
        serde_json::from_str(&place.good(&["eval", "runs/half", "--json"]).out).unwrap();
    assert_eq!(again["tasks"][0]["loss"].as_f64(), Some(metrics("half")[0]));
    place.write("new.csv", "job,hours,age\na,10,30\n");
    assert_eq!(place.good(&["predict", "runs/half", "--input", "new.csv"]).out.lines().count(), 2);
    place.write("learner.toml", "precision = \"bfloat16\"\n[data]\nkind = \"sinusoid\"\n[network]\nkind = \"mlp\"\n[learner]\nkind = \"maml\"\n[aggregator]\nkind = \"pcgrad\"\n[optimizer]\nkind = \"adam\"\nlearning_rate = 1e-3\n[training]\nsteps = 2\n[evaluation]\ntasks = 4\n");
    place.good(&["train", "learner.toml", "--quiet"]);
    let said = place.run(&["train", "learner.toml", "--name", "no", "training.execution=\"analytic\""]);
    assert!(said.code == Some(3) && said.err.contains("a layer in bfloat16"), "{said:?}");
}
