//! Training rows that are changed at random, and means of the parameters.

use crate::command::Place;

const PRACTICE: [&str; 2] = [
    "training.augment={ noise = 0.1, feature_dropout = 0.1, mixup = 0.4 }",
    "training.average={ ema = { decay = 0.9 } }",
];

/// The bytes of the parameters of the latest checkpoint.
fn parameters(place: &Place, run: &str) -> Vec<u8> {
    let step = place.read(&format!("runs/{run}/checkpoints/latest"));
    fs_err::read(place.at(&format!("runs/{run}/checkpoints/{step}/params.safetensors"))).unwrap()
}

#[test]
fn a_run_with_changed_rows_and_a_mean_of_parameters_goes_on_with_the_same_bytes() {
    let place = Place::new();
    let train = |name: &str, epochs: &str, more: &[&str]| {
        place.good(&[&["train", "a.toml", "--quiet", "--name", name, epochs], more].concat());
    };
    train("whole", "training.epochs=4", &PRACTICE);
    train("half", "training.epochs=2", &PRACTICE);
    place.good(&["resume", "runs/half", "--quiet", "training.epochs=4"]);
    assert_eq!(parameters(&place, "whole"), parameters(&place, "half"));
    // Either changes what is predicted.
    train("plain", "training.epochs=4", &[]);
    train("augmented", "training.epochs=4", &PRACTICE[..1]);
    train("averaged", "training.epochs=4", &PRACTICE[1..]);
    let predicted = |run: &str| {
        place
            .good(&["predict", &format!("runs/{run}"), "--input", "people.csv", "--checkpoint", "latest"])
            .out
    };
    let plain = predicted("plain");
    assert!(predicted("augmented") != plain && predicted("averaged") != plain);
    place.good(&["train", "a.toml", "--quiet", "--name", "swa", "training.average={ swa = { from = 0.5 } }"]);
}

#[test]
fn settings_that_are_not_for_these_rows_are_refused_at_their_place() {
    let place = Place::new();
    for (change, says) in [
        ("augment = { noise = -1.0 }", ["noise is -1", "a.toml:"]),
        ("augment = { flip = \"both\" }", ["`flip` is for pictures", "a.toml:"]),
        ("augment = { nose = 1.0 }", ["unknown key `nose`", "did you mean `noise`?"]),
        ("average = { ema = { decay = 1.0 } }", ["decay is 1", "a.toml:"]),
        ("average = { swa = { from = -0.5 } }", ["from is -0.5", "a.toml:"]),
    ] {
        place.config_with("log_every_steps = 3\n", &format!("{change}\n"));
        let said = place.run(&["train", "a.toml", "--name", "r"]);
        assert_eq!(said.code, Some(3), "{change}: {said:?}");
        assert!(says.iter().all(|piece| said.err.contains(piece)), "{change}: {}", said.err);
        assert!(!place.at("runs").exists(), "{change}");
    }
}

#[test]
fn batches_are_balanced_by_a_task_and_it_is_said() {
    let place = Place::new();
    let run = ["train", "a.toml", "--name", "b", "training.balance=\"rich\"", "training.epochs=2"];
    let said = place.good(&run);
    assert!(
        said.err.contains("as many rows of each class of `rich`") && said.err.contains("times"),
        "{said:?}"
    );
    assert!(place.read("runs/b/config.toml").contains("balance = \"rich\""));
    for (change, says) in [
        ("training.balance=\"score\"", "balanced by `score`, a regression task"),
        ("training.balance=\"ric\"", "did you mean `rich`?"),
        ("training.batch_order=\"sequential\"", "of which none is drawn"),
        ("training.only_tasks=[\"score\"]", "which is no task that is trained"),
    ] {
        let good = "training.balance=\"rich\"";
        let whole: &[&str] = if change.starts_with("training.balance") { &[change] } else { &[good, change] };
        let said = place.run(&[&["train", "a.toml"], whole].concat());
        assert_eq!(said.code, Some(3), "{change}: {said:?}");
        assert!(said.err.contains(says) && said.err.contains("balance"), "{change}: {said:?}");
    }
}
