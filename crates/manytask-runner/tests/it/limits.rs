//! What no machine has, and what the system limits: refused before anything is allocated, or gone on with less.

use crate::command::{Place, said};

const LEARNER: &str = "[data]\nkind = \"sinusoid\"\n[network]\nkind = \"mlp\"\nhidden = [8]\n[learner]\nkind = \"maml\"\n\
     [aggregator]\nkind = \"equal_weights\"\n[optimizer]\nkind = \"adam\"\nlearning_rate = 1e-3\n\
     [training]\nsteps = 1\ntasks_per_step = 2\n[evaluation]\ntasks = 2\n";

#[test]
fn sizes_beyond_all_memory_are_refused_by_their_key() {
    let place = Place::new();
    place.write("m.toml", LEARNER);
    for (config, change, key) in [
        ("m.toml", "data.shots=1000000000000", "`shots` is"),
        ("m.toml", "data.queries=1000000000000000000", "`queries` is"),
        ("m.toml", "evaluation.queries=2000000000000", "`queries` is"),
        ("m.toml", "training.tasks_per_step=1000000000000", "`tasks_per_step` is"),
        ("m.toml", "learner.inner_steps=1000000000", "inner_steps is"),
        ("m.toml", "evaluation.tasks=1000000000000", "`tasks` is"),
        ("m.toml", "network.hidden=[1000000000, 1000000000]", "`hidden` is"),
        ("m.toml", "network.hidden=[1000000000000, 1000000000000]", "does not fit in memory"),
        ("m.toml", "threads=1000000", "`threads` is"),
        ("a.toml", "network.trunk.hidden=[1000000000, 1000000000]", "`hidden` is"),
        ("a.toml", "threads=18446744073709551615", "`threads` is"),
    ] {
        let said = place.run(&["train", config, change]);
        assert_eq!(said.code, Some(3), "{change}: {said:?}");
        assert!(said.err.contains(key), "{change}: {}", said.err);
    }
    assert!(!place.at("runs").exists());
    // A batch has no more rows than there are.
    place.good(&["train", "a.toml", "--dry-run", "training.batch_size=1000000000000000000"]);
}

#[test]
fn threads_are_those_that_the_environment_allows() {
    let place = Place::new();
    let text = place.read("a.toml").replace("threads = 1\n", "");
    place.write("a.toml", text);
    let run = |name: &str, variable: &str| {
        let mut command = place.command(&["train", "a.toml", "--quiet", "training.epochs=1", "--name", name]);
        let said = said(command.env("OMP_NUM_THREADS", variable).output().unwrap());
        assert_eq!(said.code, Some(0), "{said:?}");
        let manifest: serde_json::Value =
            serde_json::from_str(&place.read(&format!("runs/{name}/manifest.json"))).unwrap();
        manifest["threads"].as_u64().unwrap()
    };
    assert_eq!(run("one", "1"), 1);
    assert_eq!(run("three", "3"), 3);
}

/// libtorch's threads sleep while they wait, unless the user wants it otherwise.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn waiting_threads_sleep() {
    let place = Place::new();
    let policy = |set: Option<&str>| {
        let mut command = place.command(&["--version"]);
        command.env("OMP_DISPLAY_ENV", "true").env_remove("OMP_WAIT_POLICY").env_remove("GOMP_SPINCOUNT");
        if let Some(set) = set {
            command.env("OMP_WAIT_POLICY", set);
        }
        let said = said(command.output().unwrap());
        assert_eq!(said.code, Some(0), "{said:?}");
        let line = said.err.lines().find(|line| line.contains("OMP_WAIT_POLICY")).map(str::to_uppercase);
        line.unwrap_or_default()
    };
    assert!(policy(None).contains("PASSIVE"), "{}", policy(None));
    assert!(policy(Some("active")).contains("ACTIVE"));
}

#[test]
fn names_of_settings_are_listed_and_explained() {
    let place = Place::new();
    for (name, pieces) in [
        ("huber", &["loss", "delta"][..]),
        ("roc_auc", &["metric", "ROC"]),
        ("per_group", &["split", "column"]),
        ("multilabel", &["target kind", "columns"]),
        ("kaiming", &["init", "He et al."]),
        ("relu", &["activation"]),
    ] {
        let said = place.good(&["explain", name]);
        assert!(pieces.iter().all(|piece| said.out.contains(piece)), "{}", said.out);
    }
    let said = place.good(&["list", "metrics"]);
    assert!(said.out.contains("calibration_error") && !said.out.contains("adamw"), "{}", said.out);
}
