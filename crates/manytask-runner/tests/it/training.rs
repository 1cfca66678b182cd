//! What the loop makes of batches with too few rows or labels, and of losses that go the wrong way.

use std::fmt::Write as _;

use manytask::run::{Record, Split};

use crate::command::Place;

const NORM: &str = "network.trunk.norm=\"batch\"";

#[test]
fn a_single_row_left_over_is_no_batch_of_its_own_and_batches_of_one_are_refused() {
    let place = Place::new();
    // 120 rows are 7 · 17 + 1.
    place.good(&["train", "a.toml", NORM, "training.batch_size=17", "--name", "joined"]);
    place.good(&["train", "a.toml", NORM, "training.batch_size=17", "training.last_batch=\"drop\""]);
    for arguments in [&["--name", "one"][..], &["--dry-run"]] {
        let said = place.run(&[&["train", "a.toml", NORM, "training.batch_size=1"], arguments].concat());
        assert_eq!(said.code, Some(3), "{said:?}");
        assert!(said.err.contains("batch-norm") && said.err.contains("batch_size"), "{said:?}");
    }
    assert!(!place.at("runs/one").exists(), "refused before the run");
}

/// Two targets on sixty-four rows, of which the second sixteen have no label; `few` has one row among those of `job`.
fn with_gaps(place: &Place) {
    let mut text = "a,b,job,y,z\n".to_owned();
    for i in 0..64_u32 {
        let job = if i == 40 || i == 41 { "few" } else { "many" };
        let labels = if (16..32).contains(&i) { ",".into() } else { format!("{},{}.5", i % 2, (i * 7) % 11) };
        writeln!(text, "{},{},{job},{labels}", (i * 13) % 17, (i * 5) % 7).unwrap();
    }
    place.write("gaps.csv", text);
    place.write(
        "gaps.toml",
        r#"seed = 1
threads = 1
[data]
kind = "table"
source = { path = "gaps.csv" }
inputs = { numeric = ["a", "b"] }
targets = [{ name = "y", kind = "binary" }, { name = "z", kind = "regression" }]
[network]
kind = "hard_sharing"
trunk = { kind = "mlp", hidden = [6] }
[aggregator]
kind = "equal_weights"
[optimizer]
kind = "adam"
learning_rate = 0.01
[training]
epochs = 3
batch_size = 16
batch_order = "sequential"
log_every_steps = 1
"#,
    );
}

#[test]
fn batches_without_a_label_are_steps_without_a_loss() {
    let place = Place::new();
    with_gaps(&place);
    for (name, aggregator) in
        [("mean", "equal_weights"), ("mgda", "mgda"), ("learned", "uncertainty_weighting")]
    {
        let kind = format!("aggregator.kind={aggregator:?}");
        place.good(&["train", "gaps.toml", &kind, "--name", name]);
        let metrics = place.read(&format!("runs/{name}/metrics.jsonl"));
        let records: Vec<Record> =
            metrics.lines().map(|line| Record::read(line.as_bytes()).unwrap()).collect();
        for step in 1..=12 {
            let count = |metric: &str| {
                let of = |record: &&Record| record.step == step && record.metric == metric;
                records.iter().filter(of).filter(|of| of.split == Split::Train).count()
            };
            let present = if step % 4 == 2 { 0 } else { count("loss").max(1) };
            assert_eq!(
                (count("learning_rate"), count("loss"), count("weight")),
                (1, present, present),
                "{metrics}"
            );
        }
    }
    let said = place.good(&["train", "gaps.toml", "training.only_tasks=[\"z\"]", "--name", "alone"]);
    assert!(!said.err.contains("bug"), "{said:?}");
}

#[test]
fn how_often_rows_of_a_small_task_are_seen_is_said_and_can_be_set() {
    let place = Place::new();
    with_gaps(&place);
    let by_job = [
        "train",
        "gaps.toml",
        "data.tasks_by=\"job\"",
        "data.targets=[{ name = \"z\", kind = \"regression\" }]",
        "training.batch_order=\"shuffled\"",
        "training.batch_size=2",
    ];
    let said = place.good(&[&by_job[..], &["--name", "equal"]].concat());
    assert!(said.err.contains("few` are seen up to") && said.err.contains("task_sampling"), "{said:?}");
    let proportional = ["training.task_sampling=\"proportional\"", "--name", "proportional"];
    let said = place.good(&[&by_job[..], &proportional].concat());
    assert!(!said.err.contains("task_sampling"), "{said:?}");
    let said = place.run(&["train", "gaps.toml", "training.task_sampling=\"proportional\""]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("same rows"), "{said:?}");
}

#[test]
fn a_training_that_diverges_says_so_whether_its_losses_stay_finite_or_not() {
    let place = Place::new();
    let sgd = ["train", "a.toml", "optimizer.kind=\"sgd\"", "optimizer.learning_rate=1e9"];
    for (name, clip) in [("free", None), ("clipped", Some("training.clip_norm=1e10"))] {
        let arguments = [&sgd[..], clip.as_slice(), &["--name", name]].concat();
        let said = place.run(&arguments);
        assert_eq!(said.code, Some(5), "{said:?}");
        assert!(said.err.contains("diverged at step") && said.err.contains("checkpoint"), "{said:?}");
    }
    let said =
        place.good(&["train", "a.toml", "optimizer.learning_rate=1e5", "aggregator.kind=\"equal_weights\""]);
    assert!(said.err.contains("note: the training made the network worse"), "{said:?}");
    let said = place.good(&["train", "a.toml", "--name", "usual"]);
    assert!(!said.err.contains("worse"), "{said:?}");
}

#[test]
fn how_gradients_stand_to_each_other_is_recorded_and_changes_no_result() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet", "--name", "plain"]);
    let said = place.good(&["train", "a.toml", "--name", "seen", "training.diagnose_every_steps=8"]);
    assert!(said.err.contains("pairs of gradients conflict, condition number"), "{said:?}");
    let results = |name: &str| place.read(&format!("runs/{name}/results.json"));
    assert_eq!(results("plain"), results("seen"));
    let metrics = place.read("runs/seen/metrics.jsonl");
    let records: Vec<Record> = metrics.lines().map(|line| Record::read(line.as_bytes()).unwrap()).collect();
    let of = |metric: &str| records.iter().filter(|record| record.metric == metric).collect::<Vec<_>>();
    for metric in ["conflict_rate", "condition_number", "descends_for_all"] {
        let steps: Vec<u64> = of(metric).iter().map(|record| record.step).collect();
        assert_eq!(steps, [8, 16, 24, 32, 40], "{metric}");
        assert!(of(metric).iter().all(|record| record.task.is_none()));
    }
    assert!(of("descent").iter().all(|record| record.task.is_some() && record.value.is_some()));
    let said = place.run(&["train", "a.toml", "training.diagnose_every_steps=0"]);
    assert_eq!(said.code, Some(3), "{said:?}");
}
