//! Runs that are ended from outside go on to the same bytes.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::command::{Place, said};

/// The files that must not differ, without those that hold times.
fn same(place: &Place, one: &str, other: &str) {
    assert_eq!(place.read(&format!("{one}/metrics.jsonl")), place.read(&format!("{other}/metrics.jsonl")));
    assert_eq!(place.read(&format!("{one}/results.json")), place.read(&format!("{other}/results.json")));
    for which in ["latest", "best"] {
        let folder = |run: &str| -> PathBuf {
            place.at(run).join("checkpoints").join(place.read(&format!("{run}/checkpoints/{which}")))
        };
        for name in ["params.safetensors", "optimizer.safetensors", "state.json"] {
            let bytes = |run: &str| fs_err::read(folder(run).join(name)).unwrap();
            assert_eq!(bytes(one), bytes(other), "{which} {name}");
        }
    }
}

fn start(place: &Place, name: &str) -> Child {
    start_with(place, name, &[])
}

fn start_with(place: &Place, name: &str, changes: &[&str]) -> Child {
    let arguments =
        [&["train", "a.toml", "--quiet", "--name", name, "training.epochs=120"], changes].concat();
    let mut command = place.command(&arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the run has written so many lines of metrics.
fn wait_for_lines(place: &Place, name: &str, lines: usize) {
    let path = place.at("runs").join(name).join("metrics.jsonl");
    let start = Instant::now();
    while fs_err::read_to_string(&path).map_or(0, |text| text.lines().count()) < lines {
        assert!(start.elapsed() < Duration::from_mins(1), "no {lines} lines of {name}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn send(child: &Child, signal: &str) {
    let status =
        std::process::Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status();
    assert!(status.unwrap().success());
}

#[test]
fn killed_at_any_point_and_resumed_it_ends_with_the_same_bytes() {
    let place = Place::new();
    let whole = said(start(&place, "whole").wait_with_output().unwrap());
    assert_eq!(whole.code, Some(0), "{whole:?}");
    for (number, lines) in [1, 40, 150, 300].into_iter().enumerate() {
        let name = format!("killed{number}");
        let mut child = start(&place, &name);
        wait_for_lines(&place, &name, lines);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!place.at("runs").join(&name).join("results.json").exists(), "it was too fast to be killed");
        let run = format!("runs/{name}");
        let said = place.good(&["resume", &run, "--quiet"]);
        assert_eq!(said.out.replace(&name, "whole"), whole.out);
        same(&place, "runs/whole", &run);
    }
}

/// Also from checkpoints between a step and the look at the validation split.
#[test]
fn checkpoints_by_the_clock_change_nothing_in_what_a_run_ends_with() {
    let place = Place::new();
    said(start(&place, "whole").wait_with_output().unwrap());
    for (number, lines) in [100, 250].into_iter().enumerate() {
        let name = format!("clock{number}");
        let mut child = start_with(&place, &name, &["training.save_every_minutes=1e-9"]);
        wait_for_lines(&place, &name, lines);
        child.kill().unwrap();
        child.wait().unwrap();
        let run = format!("runs/{name}");
        assert!(place.read(&format!("{run}/checkpoints/latest")).starts_with("step-"));
        place.good(&["resume", &run, "--quiet"]);
        same(&place, "runs/whole", &run);
    }
}

/// A name can be used again until there is a run, and then the run can be continued.
#[test]
fn killed_while_it_begins_it_can_be_begun_or_continued() {
    let place = Place::new();
    let whole = said(start(&place, "whole").wait_with_output().unwrap());
    assert_eq!(whole.code, Some(0), "{whole:?}");
    for delay in [0, 60, 120, 180, 240, 300] {
        let mut child = start(&place, "early");
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
        let run = place.at("runs/early");
        if run.exists() {
            assert!(run.join("config.toml").is_file() && run.join("manifest.json").is_file());
            place.good(&["resume", "runs/early", "--quiet"]);
            same(&place, "runs/whole", "runs/early");
            fs_err::remove_dir_all(run).unwrap();
        }
    }
    assert_eq!(said(start(&place, "early").wait_with_output().unwrap()).code, Some(0));
}

#[test]
fn an_interrupted_run_saves_says_how_to_go_on_and_ends_the_same() {
    let place = Place::new();
    said(start(&place, "whole").wait_with_output().unwrap());
    for (name, signal, code) in [("int", "INT", 130), ("term", "TERM", 143), ("hup", "HUP", 129)] {
        let child = start(&place, name);
        wait_for_lines(&place, name, 30);
        send(&child, signal);
        let ended = said(child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.err.contains(&format!("manytask resume runs/{name}")), "{ended:?}");
        assert!(place.read(&format!("runs/{name}/manifest.json")).contains("interrupted"));
        place.good(&["resume", &format!("runs/{name}"), "--quiet"]);
        same(&place, "runs/whole", &format!("runs/{name}"));
    }
    // A run that is done is judged again, and nothing changes.
    let before = place.read("runs/whole/metrics.jsonl");
    place.good(&["resume", "runs/whole", "--quiet"]);
    assert_eq!(place.read("runs/whole/metrics.jsonl"), before);
}

#[test]
fn a_configuration_that_was_changed_is_noted_and_more_steps_can_be_made() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet", "training.keep_checkpoints=3"]);
    let folders = |run: &str| {
        let all = fs_err::read_dir(place.at(run).join("checkpoints")).unwrap();
        all.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
    };
    assert!((3..=4).contains(&folders("runs/a")), "three of the latest, and the best");
    let said = place.good(&["resume", "runs/a", "--quiet"]);
    assert!(!said.err.contains("note:"), "{said:?}");
    let config = place.read("runs/a/config.toml");
    assert!(config.contains("epochs = 5"), "{config}");
    place.write("runs/a/config.toml", config.replace("epochs = 5", "epochs = 6"));
    let said = place.good(&["resume", "runs/a", "--quiet"]);
    assert!(said.err.contains("note: runs/a/config.toml was changed since this run began"), "{said:?}");
    assert_eq!(place.read("runs/a/checkpoints/latest"), "step-48");
}

/// All signals arrive before the process can make another step.
#[test]
fn a_second_signal_is_the_first_again_and_a_third_ends_it_at_once() {
    let place = Place::new();
    said(start(&place, "whole").wait_with_output().unwrap());
    for (name, signals) in [("twice", &["TERM", "INT"][..]), ("thrice", &["INT", "TERM", "HUP"])] {
        let child = start(&place, name);
        wait_for_lines(&place, name, 30);
        for signal in [&["STOP"], signals, &["CONT"]].concat() {
            send(&child, signal);
        }
        let ended = said(child.wait_with_output().unwrap());
        assert!(matches!(ended.code, Some(129 | 130 | 143)), "{ended:?}");
        assert_eq!(ended.err.contains("interrupted after step"), name == "twice", "{ended:?}");
        let run = format!("runs/{name}");
        place.good(&["resume", &run, "--quiet"]);
        same(&place, "runs/whole", &run);
    }
}

/// As under `nohup`.
#[test]
fn a_hang_up_that_was_ignored_stays_ignored() {
    let place = Place::new();
    let binary = env!("CARGO_BIN_EXE_manytask");
    let script = format!("trap '' HUP; exec {binary} train a.toml --quiet training.epochs=60");
    let mut command = std::process::Command::new("bash");
    command.args(["-c", &script]).current_dir(place.path()).env("MANYTASK_TABLES", "off");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_lines(&place, "a", 20);
    send(&child, "HUP");
    let ended = said(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// What is judged is saved: nobody need wait for it, and it is judged when the run goes on.
#[test]
fn a_signal_while_the_result_is_judged_ends_it_at_once() {
    const TEXT: &str = "[data]\nkind = \"sinusoid\"\n[network]\nkind = \"mlp\"\nhidden = [40, 40]\n[learner]\nkind = \"maml\"\n\
        [aggregator]\nkind = \"equal_weights\"\n[optimizer]\nkind = \"adam\"\nlearning_rate = 0.01\n[training]\nsteps = 4\n\
        [evaluation]\ntasks = 150000\n";
    let place = Place::new();
    place.write("sine.toml", TEXT);
    let mut command = place.command(&["train", "sine.toml", "--quiet", "--name", "judged"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while !fs_err::read_to_string(place.at("runs/judged/manifest.json"))
        .is_ok_and(|text| text.contains("completed"))
    {
        assert!(start.elapsed() < Duration::from_mins(1), "the training does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(50));
    send(&child, "TERM");
    let ended = said(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(143), "{ended:?}");
    assert!(!place.at("runs/judged/results.json").exists(), "it was judged to the end");
    place.good(&["resume", "runs/judged", "--quiet"]);
    assert!(place.at("runs/judged/results.json").exists());
}
