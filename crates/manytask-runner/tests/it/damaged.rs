//! Files of a run that are damaged, missing or mixed up: told by name, with what is whole.

use crate::command::Place;

fn trained() -> Place {
    let place = Place::new();
    place.good(&[
        "train",
        "a.toml",
        "--quiet",
        "training.keep_checkpoints=9",
        "training.validate_every_epochs=5",
    ]);
    place.write("new.csv", "job,hours,age\na,10,30\n");
    place
}

const COMMANDS: [&[&str]; 3] =
    [&["eval", "runs/a"], &["predict", "runs/a", "--input", "new.csv"], &["resume", "runs/a", "--quiet"]];

#[test]
fn a_flipped_bit_in_any_file_of_a_checkpoint_is_told_by_every_command() {
    let place = trained();
    for (number, file) in ["params.safetensors", "optimizer.safetensors", "state.json", "checkpoint.json"]
        .into_iter()
        .enumerate()
    {
        let path = place.at("runs/a/checkpoints/step-40").join(file);
        let whole = fs_err::read(&path).unwrap();
        let mut flipped = whole.clone();
        let at = whole.len() * (2 + number) / 7;
        flipped[at] ^= 1;
        fs_err::write(&path, flipped).unwrap();
        for command in COMMANDS {
            let said = place.run(command);
            assert!(
                said.code == Some(6) && said.err.contains("step-40/"),
                "{file} {at} {command:?}: {said:?}"
            );
            assert!(said.err.contains("--checkpoint step-35") && said.out.is_empty(), "{said:?}");
        }
        fs_err::write(&path, whole).unwrap();
    }
    fs_err::remove_file(place.at("runs/a/checkpoints/step-40/optimizer.safetensors")).unwrap();
    assert_eq!(place.run(COMMANDS[2]).code, Some(6));
    for command in COMMANDS {
        place.good(&[command, &["--checkpoint", "step-35"]].concat());
    }
    // Continuing from there has written the last one anew.
    place.good(COMMANDS[0]);
}

#[test]
fn files_of_another_step_are_told() {
    let place = trained();
    let at = |name: &str| place.at("runs/a/checkpoints").join(name);
    let state = fs_err::read(at("step-40/state.json")).unwrap();
    fs_err::copy(at("step-35/state.json"), at("step-40/state.json")).unwrap();
    let said = place.run(COMMANDS[2]);
    assert!(said.code == Some(6) && said.err.contains("step-40/state.json: is damaged"), "{said:?}");
    fs_err::write(at("step-40/state.json"), state).unwrap();
    for name in ["params.safetensors", "optimizer.safetensors", "state.json", "checkpoint.json"] {
        fs_err::copy(at("step-35").join(name), at("step-40").join(name)).unwrap();
    }
    for command in COMMANDS {
        let said = place.run(command);
        assert!(said.code == Some(6) && said.err.contains("after 35 steps"), "{command:?}: {said:?}");
    }
}

#[test]
fn names_of_checkpoints_that_are_missing_or_lead_elsewhere_are_told() {
    let place = trained();
    fs_err::create_dir(place.at("outside")).unwrap();
    for (file, command) in [("latest", COMMANDS[2]), ("best", COMMANDS[0])] {
        let path = place.at("runs/a/checkpoints").join(file);
        let whole = fs_err::read(&path).unwrap();
        for content in [Some("../../../outside"), Some("step-41"), Some("step-040"), Some(""), None] {
            match content {
                Some(content) => fs_err::write(&path, content).unwrap(),
                None => fs_err::remove_file(&path).unwrap(),
            }
            let said = place.run(command);
            assert!(
                said.code == Some(6) && said.err.contains("--checkpoint step-40"),
                "{content:?}: {said:?}"
            );
        }
        fs_err::write(&path, whole).unwrap();
    }
}

#[test]
fn a_schema_that_is_missing_or_damaged_is_told() {
    let place = trained();
    let schema = place.read("runs/a/schema.json");
    place.write("runs/a/schema.json", schema.replacen("hours", "hourt", 1));
    let said = place.run(COMMANDS[1]);
    assert!(said.code == Some(6) && said.err.contains("schema.json: is damaged"), "{said:?}");
    fs_err::remove_file(place.at("runs/a/schema.json")).unwrap();
    let said = place.run(COMMANDS[1]);
    assert!(said.code == Some(6) && said.err.contains("schema.json: is missing"), "{said:?}");
}

#[test]
fn a_damaged_line_of_metrics_is_told_and_those_behind_it_stay() {
    let place = trained();
    let mut lines: Vec<String> = place.read("runs/a/metrics.jsonl").lines().map(str::to_owned).collect();
    lines[2] = "\0\0\0".to_owned();
    let text = lines.join("\n") + "\n";
    place.write("runs/a/metrics.jsonl", &text);
    let said = place.good(&["resume", "runs/a", "--quiet"]);
    assert!(said.err.contains("metrics.jsonl: line 3 is damaged"), "{said:?}");
    assert_eq!(place.read("runs/a/metrics.jsonl"), text);
}

/// What a disk that was full at the first checkpoint leaves, and a file that was cut.
#[test]
fn a_run_goes_on_from_its_only_checkpoint_and_lines_that_are_missing_are_told() {
    let place = Place::new();
    place.good(&[
        "train",
        "a.toml",
        "--quiet",
        "training.keep_checkpoints=1",
        "training.log_every_steps=1000",
    ]);
    let checkpoints = place.at("runs/a/checkpoints");
    let latest = fs_err::read_to_string(checkpoints.join("latest")).unwrap();
    for entry in fs_err::read_dir(&checkpoints).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() && entry.file_name().to_str() != Some(&latest) {
            fs_err::remove_dir_all(entry.path()).unwrap();
        }
    }
    for name in ["latest", "best"] {
        let _ = fs_err::remove_file(checkpoints.join(name));
    }
    let metrics = place.read("runs/a/metrics.jsonl");
    let first: Vec<&str> = metrics.lines().take(2).collect();
    place.write("runs/a/metrics.jsonl", first.join("\n") + "\n");
    let said = place.good(&["resume", "runs/a", "--quiet"]);
    assert!(said.err.contains("latest: is missing") && said.err.contains("the only checkpoint"), "{said:?}");
    assert!(said.err.contains("metrics.jsonl: lines of the steps"), "{said:?}");
    assert_eq!(place.read("runs/a/checkpoints/latest"), latest);
    assert!(!place.good(&["resume", "runs/a", "--quiet"]).err.contains("latest: is missing"));
}
