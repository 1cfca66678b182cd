//! Parts of a network that a training holds still.

use std::collections::BTreeMap;
use std::path::Path;

use manytask_tensor::{Device, Tensor, checkpoint};

use crate::command::Place;

fn params(run: &Path) -> BTreeMap<String, Tensor> {
    let folders = fs_err::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path());
    let last = folders.max().unwrap();
    checkpoint::load_tensors(&last.join("params.safetensors"), Device::Cpu).unwrap().0
}

fn moved(first: &Path, second: &Path) -> Vec<String> {
    let after = params(second);
    params(first).into_iter().filter(|(name, tensor)| after[name] != *tensor).map(|(name, _)| name).collect()
}

#[test]
fn a_trained_trunk_can_be_held_still_under_heads_that_learn() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--name", "first", "training.keep_checkpoints=1"]);
    let said = place.good(&[
        "train",
        "a.toml",
        "--name",
        "second",
        "--init-from",
        "runs/first",
        "--freeze",
        "trunk",
        "training.save_every_steps=3",
        "training.epochs=2",
    ]);
    assert!(said.err.contains("note: 2 of 6 parameters are frozen: trunk"), "{said:?}");
    let names = moved(&place.at("runs/first"), &place.at("runs/second"));
    assert!(!names.is_empty() && names.iter().all(|name| name.starts_with("heads.")), "{names:?}");
    // It is a key of the run, so it holds when the run goes on.
    assert!(place.read("runs/second/config.toml").contains("freeze = [\"trunk\"]"));
    place.good(&["resume", "runs/second", "training.epochs=3"]);
    let names = moved(&place.at("runs/first"), &place.at("runs/second"));
    assert!(names.iter().all(|name| name.starts_with("heads.")), "{names:?}");
    let said = place.good(&["train", "a.toml", "--freeze", "trunk", "--dry-run"]);
    assert!(said.err.contains("frozen as they are drawn, since there is no `init_from`"), "{said:?}");
}

#[test]
fn a_part_that_is_not_there_is_refused_before_data_are_read() {
    let place = Place::new();
    place.config_with("epochs = 5\n", "epochs = 5\nfreeze = [\"trunk\", \"trnk\"]\n");
    fs_err::remove_file(place.at("people.csv")).unwrap();
    let said = place.run(&["check", "a.toml"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("no parameter is named `trnk`"), "{said:?}");
    assert!(said.err.contains("`trunk.layer0`") && said.err.contains("^^^^^^"), "{said:?}");
}
