//! The configurations that come with manytask.

use std::path::{Path, PathBuf};

use crate::command::Place;

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

fn all() -> Vec<PathBuf> {
    let entries = fs_err::read_dir(configs()).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    all.sort();
    all
}

#[test]
fn every_one_is_good_and_says_what_it_is() {
    let place = Place::new();
    assert!(all().len() >= 6);
    for path in all() {
        let whole = place.good(&["check", "--print", path.to_str().unwrap()]).out;
        place.write("whole.toml", &whole);
        let again = place.good(&["check", "--print", "whole.toml"]).out;
        let [whole, again] = [whole, again].map(|text| text.parse::<toml::Table>().unwrap());
        assert_eq!(again, whole, "{}", path.display());
        let text = fs_err::read_to_string(&path).unwrap();
        let head: String = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(
            head.to_lowercase().contains("expect") || head.contains("gives"),
            "{}: says what to expect",
            path.display()
        );
    }
}

/// One step of each, on its own data: those that are not shipped are read where `MANYTASK_DATA` points.
#[test]
fn every_one_makes_a_step_on_its_data() {
    let place = Place::new();
    let data = std::env::var_os("MANYTASK_DATA").map(PathBuf::from);
    let elsewhere = [
        ("census", "census_kdd"),
        ("tox21", "tox21"),
        ("exam", "exam"),
        ("school", "school"),
        ("jura", "jura"),
        ("omniglot", "omniglot"),
        ("multi_fashion", "fashion_mnist"),
    ];
    for path in all() {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut arguments = vec!["train".to_owned(), path.display().to_string(), "--dry-run".to_owned()];
        if let Some((_, folder)) =
            elsewhere.iter().find(|(name, _)| stem == *name || stem.starts_with(&format!("{name}_")))
        {
            let Some(data) = &data else {
                println!("skipped {stem}: MANYTASK_DATA not set");
                continue;
            };
            arguments.push(format!("data.folder={:?}", data.join(folder).display().to_string()));
        }
        if stem == "own_pictures" {
            crate::images::folder_of_classes(&place.at("pictures"), 24, 20);
            arguments.push(format!("data.folder={:?}", place.at("pictures").display().to_string()));
        }
        if stem == "own_vectors" {
            fs_err::create_dir_all(place.at("vectors")).unwrap();
            crate::vectors::classes(&place.at("vectors/vectors.npz"), 20, 20);
            arguments.push(format!("data.folder={:?}", place.at("vectors").display().to_string()));
        }
        if stem.starts_with("omniglot") {
            arguments.extend(["training.tasks_per_step=2".to_owned(), "data.queries=2".to_owned()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = place.good(&arguments);
        let done = if stem == "own_vectors" { "the training has no steps" } else { "one step was made" };
        assert!(said.err.contains(done), "{said:?}");
    }
}

/// A tenth of the quick start's training is enough to see that it learns what it says.
#[test]
fn the_quick_start_reaches_what_it_promises() {
    let place = Place::new();
    let path = configs().join("quickstart.toml");
    place.good(&["train", path.to_str().unwrap(), "--quiet", "training.epochs=2"]);
    let results: serde_json::Value =
        serde_json::from_str(&place.read("runs/quickstart/results.json")).unwrap();
    let auc = |task: usize| results["tasks"][task]["metrics"][0][1].as_f64().unwrap();
    assert!(auc(0) > 0.90 && auc(1) > 0.97, "{results}");
}

/// The example that adds a network, a data set and an aggregator; it is built with the tests.
#[test]
fn a_command_of_ones_own_trains_what_manytask_does_not_know() {
    let place = Place::new();
    let binary = Path::new(env!("CARGO_BIN_EXE_manytask")).with_file_name("examples").join("own");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/own.toml");
    let output = std::process::Command::new(binary)
        .arg("train")
        .arg(config)
        .current_dir(place.path())
        .output()
        .unwrap();
    let said = crate::command::said(output);
    assert!(said.code == Some(0) && said.out.contains("cosine"), "{said:?}");
    assert!(place.good(&["list"]).out.find("loudest").is_none(), "manytask itself does not know it");
}
