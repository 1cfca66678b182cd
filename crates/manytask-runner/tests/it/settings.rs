//! Settings that have no effect, names that stand for a table, and what is known before data are read.

use crate::command::{Place, Said};

fn says(said: &Said, code: i32, pieces: &[&str]) {
    assert_eq!(said.code, Some(code), "{said:?}");
    for piece in pieces {
        assert!(said.err.contains(piece), "`{piece}` is not in {}", said.err);
    }
}

/// Checks the configuration with some changes; the table is not there, so nothing of it can be read.
fn checked(changes: &[(&str, &str)]) -> Said {
    let place = Place::new();
    fs_err::remove_file(place.at("people.csv")).unwrap();
    let text = changes.iter().fold(place.read("a.toml"), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    place.write("a.toml", text);
    place.run(&["check", "a.toml"])
}

#[test]
fn a_setting_without_effect_is_refused_before_data_are_read() {
    let never = ("validate_every_epochs = 1\n", "");
    for (from, to, pieces) in [
        (
            "save_every_steps = 7",
            "early_stopping = { patience = 2 }",
            &["a.toml:29:", "`early_stopping` has no effect"][..],
        ),
        (
            "save_every_steps = 7",
            "monitor = { metric = \"roc_acu\" }",
            &["`monitor` has no effect", "roc_acu"],
        ),
        (
            "[network]",
            "[schedule]\nkind = \"plateau\"\n[network]",
            &["a.toml:15:8", "`plateau` has no effect"],
        ),
    ] {
        says(&checked(&[never, (from, to)]), 3, pieces);
        assert!(!checked(&[(from, to)]).err.contains("no effect"));
    }
    says(
        &checked(&[("kind = \"adam\"", "kind = \"sgd\"\ndampening = 0.5")]),
        3,
        &["dampening", "has no effect without momentum"],
    );
    says(&checked(&[("[aggregator]", "embedding = 4\n[aggregator]")]), 3, &["`embedding` has no effect"]);
    // A default that is written out is no mistake.
    assert_eq!(checked(&[("[aggregator]", "embedding = 8\n[aggregator]")]).code, Some(0));
    says(
        &checked(&[("validation = 0.2, ", "")]),
        3,
        &["`validate_every_epochs` is set, but the data have no validation split"],
    );
}

#[test]
fn check_says_what_needs_no_data() {
    for (from, to, pieces) in [
        ("\"uncertainty_weighting\"", "\"cagrad\"\nc = -1.0", &["a.toml:20:5"][..]),
        (
            "\"uncertainty_weighting\"",
            "\"fixed_weights\"\nweights = { rich = 1.0 }",
            &["no weight for `score`"],
        ),
        ("hidden = [8]", "hidden = [0]", &["a.toml:16:"]),
        ("dropout = 0.2", "dropout = 1.0", &["a.toml:16:49: dropout is 1"]),
        ("validation = 0.2, test", "validation = 0.9, test", &["0.9"]),
        ("name = \"score\"", "name = \"rich\"", &["two are called `rich`"]),
        (
            "kind = \"binary\"",
            "kind = \"binary\", standardise = true",
            &["`standardise` is for `regression`"],
        ),
        ("save_every_steps = 7", "early_stopping = { patience = 0 }", &["patience"]),
        ("save_every_steps = 7", "clip_norm = -1.0", &["clip_norm"]),
        ("save_every_steps = 7", "only_tasks = [\"rihc\"]", &["did you mean `rich`?"]),
        ("save_every_steps = 7", "monitor = { metric = \"roc_acu\" }", &["roc_acu", "roc_auc"]),
        ("save_every_steps = 7", "monitor = { task = \"nobody\" }", &["nobody"]),
        (
            "[network]",
            "[tasks.rich]\nloss = \"mse\"\n[network]",
            &["the loss `mse` is not for binary targets"],
        ),
        (
            "[network]",
            "[tasks.rich]\nloss = { cross_entropy = { class_weights = [1.0, 2.0] } }\n[network]",
            &["`cross_entropy` is not for binary"],
        ),
    ] {
        says(&checked(&[(from, to)]), 3, pieces);
    }
    assert_eq!(checked(&[]).code, Some(0));
}

#[test]
fn a_wrong_number_of_class_weights_leaves_no_folder() {
    let place = Place::new();
    place.config_with(
        "{ name = \"rich\", kind = \"binary\" }",
        "{ name = \"class\", kind = \"multiclass\", columns = [\"job\"] }",
    );
    let text = place.read("a.toml").replace(", one_hot = [\"job\"]", "");
    let tasks = "[tasks.class]\nloss = { cross_entropy = { class_weights = [1.0, 2.0] } }\n[network]";
    place.write("a.toml", text.replace("[network]", tasks));
    place.good(&["check", "a.toml"]);
    says(&place.run(&["train", "a.toml"]), 3, &["a.toml:15:", "2 `class_weights` for 3 classes"]);
    assert!(!place.at("runs").exists());
}

#[test]
fn a_baseline_of_one_task_passes_over_what_is_said_of_others() {
    let place = Place::new();
    place.config_with(
        "kind = \"uncertainty_weighting\"",
        "kind = \"fixed_weights\"\nweights = { rich = 1.0, score = 0.1 }",
    );
    let text = place.read("a.toml");
    place.write("a.toml", text.replace("[network]", "[tasks.score]\nloss = \"huber\"\n[network]"));
    let only = "training.only_tasks=[\"rich\"]";
    let short = "training.epochs=1";
    let said = place.good(&["train", "a.toml", "--name", "plain", only, short]);
    assert!(!said.err.contains("note: `monitor`"), "{said:?}");
    let monitor = "training.monitor={ metric = \"rmse\", task = \"score\" }";
    let said = place.good(&["train", "a.toml", "--name", "monitor", only, short, monitor]);
    assert!(
        said.err.contains("note: `monitor` is the rmse of `score`, which `only_tasks` leaves out"),
        "{said:?}"
    );
    let misspelt = "training.monitor={ metric = \"rmse\", task = \"scroe\" }";
    says(&place.run(&["train", "a.toml", only, misspelt]), 3, &["scroe"]);
    let weights = "aggregator.weights={ rich = 1.0, socre = 0.1 }";
    says(&place.run(&["train", "a.toml", only, weights]), 3, &["no task `socre`"]);
}

#[test]
fn a_method_can_be_named_without_a_table() {
    for loss in ["\"huber\"", "{ huber = {} }", "{ mse = {} }", "\"l1\"", "{ huber = { delta = 2 } }"] {
        let tasks = format!("[tasks.score]\nloss = {loss}\n[network]");
        let said = checked(&[("[network]", &tasks)]);
        assert_eq!(said.code, Some(0), "{loss}: {said:?}");
    }
    for (loss, pieces) in [
        ("\"mae\"", &["a.toml:15:8: unknown value `mae`", "did you mean `l1`?"][..]),
        ("\"hubber\"", &["did you mean `huber`?"]),
        ("{ huber = { dleta = 1 } }", &["unknown key `dleta`", "did you mean `delta`?"]),
        ("{ huber = 3 }", &["expected a table, found integer `3`"]),
        ("{ huber = {}, mse = {} }", &["expected one key, found more than one"]),
        ("{ mse = { x = 1 } }", &["`mse` has no settings"]),
        ("[1]", &["expected a name or a table"]),
    ] {
        let said = checked(&[("[network]", &format!("[tasks.score]\nloss = {loss}\n[network]"))]);
        says(&said, 3, pieces);
        for word in ["variant", "struct", "Loss", "enum"] {
            assert!(!said.err.contains(word), "{}", said.err);
        }
    }
    says(
        &checked(&[("split.random = { validation = 0.2, test = 0.2, seed = 1 }", "split = \"column\"")]),
        3,
        &["`column` needs `column`"],
    );
}

#[test]
fn a_path_on_the_command_line_starts_where_the_command_runs() {
    let place = Place::new();
    fs_err::create_dir_all(place.at("configs")).unwrap();
    fs_err::rename(place.at("a.toml"), place.at("configs/a.toml")).unwrap();
    let run = |path: &str| {
        place.run(&["train", "configs/a.toml", "--dry-run", &format!("data.source.path={path}")])
    };
    says(&place.run(&["train", "configs/a.toml", "--dry-run"]), 4, &["configs/people.csv"]);
    says(&run("people.csv"), 0, &[]);
    says(&run("nowhere.csv"), 4, &["nowhere.csv"]);
    let whole = "data.source={ path = \"people.csv\" }";
    says(&place.run(&["train", "configs/a.toml", "--dry-run", whole]), 0, &[]);
    // What lies at the configuration alone is found there.
    fs_err::rename(place.at("people.csv"), place.at("configs/beside.csv")).unwrap();
    says(&run("beside.csv"), 0, &[]);
}

#[test]
fn a_key_is_given_once_on_the_command_line() {
    let place = Place::new();
    let run = |changes: &[&str]| place.run(&[&["train", "a.toml", "--dry-run"], changes].concat());
    says(&run(&["training.epochs=2", "training.epochs=3"]), 2, &["both for `training.epochs`"]);
    says(&run(&["schedule.kind=cosine", "schedule={ kind = \"linear\" }"]), 2, &["both for `schedule`"]);
    says(&run(&["threads=2", "--threads", "1"]), 2, &["both for `threads`"]);
    says(&run(&["data.targets.0.name=foo", "data.targets.0.columns=[\"rich\"]"]), 0, &[]);
    let deep = format!("a{}=1", ".b".repeat(32_000));
    let said = run(&[&deep]);
    says(&said, 2, &["too many parts"]);
    assert!(said.err.len() < 400, "{}", said.err.len());
}

#[test]
fn the_effective_configuration_has_the_defaults() {
    let place = Place::new();
    let said = place.good(&["check", "--print", "a.toml"]);
    for piece in [
        "beta1 = 0.9",
        "last_batch = \"keep\"",
        "precision = \"full\"",
        "activation = ",
        "scale = \"standard\"",
    ] {
        assert!(said.out.contains(piece), "`{piece}` is not in {}", said.out);
    }
    for piece in [
        "log_every_steps = 3",
        "save_every_minutes = 5.0",
        "keep_checkpoints = 1",
        "embedding = 8",
        "kind = \"constant\"",
        "standardise = true",
        "columns = [\"rich\"]",
        "clip = 10.0",
        "[tasks.score]",
        "metrics = [\"roc_auc\"",
        "metric = \"loss\"",
    ] {
        assert!(said.out.contains(piece), "`{piece}` is not in {}", said.out);
    }
    place.write("b.toml", &said.out);
    // It means the same, and has nothing to be added.
    let again = place.good(&["check", "--print", "b.toml"]);
    let [whole, again] = [said.out, again.out].map(|text| text.parse::<toml::Table>().unwrap());
    assert_eq!(again, whole);
    for name in ["a", "b"] {
        place.good(&["train", &format!("{name}.toml"), "--quiet", "training.epochs=1"]);
    }
    assert_eq!(place.read("runs/a/metrics.jsonl"), place.read("runs/b/metrics.jsonl"));
}

#[test]
fn what_an_evaluation_takes_from_training_is_printed() {
    let place = Place::new();
    let learner = "[data]\nkind = \"sinusoid\"\n[network]\nkind = \"mlp\"\n[learner]\nkind = \"maml\"\ninner_steps = 3\n\
                   [aggregator]\nkind = \"equal_weights\"\n[optimizer]\nkind = \"adam\"\nlearning_rate = 1e-3\n[training]\nsteps = 2\n";
    place.write("learner.toml", learner);
    let printed = place.good(&["check", "--print", "learner.toml"]).out.parse::<toml::Table>().unwrap();
    assert_eq!(printed["evaluation"]["inner_steps"].as_integer(), Some(3));
}

#[test]
fn with_data_check_says_what_a_training_would() {
    let place = Place::new();
    let table = place.read("people.csv").replace(",0,", ",1,");
    place.write("people.csv", table);
    let said = place.good(&["check", "a.toml"]);
    assert!(!said.err.contains("alike"), "{said:?}");
    let said = place.good(&["check", "--data", "a.toml"]);
    assert!(said.err.contains("data: 120 train") && said.err.contains("are alike"), "{said:?}");
    assert!(said.err.contains("a.toml: good") && !place.at("runs").exists(), "{said:?}");
    place.write("b.toml", place.read("a.toml").replace("\"hours\"", "\"horse\""));
    place.good(&["check", "b.toml"]);
    says(&place.run(&["check", "--data", "a.toml", "b.toml"]), 3, &["b.toml", "horse", "`hours`"]);
    fs_err::remove_file(place.at("people.csv")).unwrap();
    says(&place.run(&["check", "--data", "a.toml"]), 4, &["people.csv"]);
}

#[test]
fn keys_are_explained_too() {
    let place = Place::new();
    for (key, says) in [
        ("clip_norm", "[training] of training (section): clip_norm = 1.0     # the largest norm"),
        ("patience", "early_stopping = { patience = 4"),
        ("training.batch_size", "batch_size = 256"),
        ("beta1", "adam (optimizer): beta1 = 0.9"),
        ("threads", "of each kernel"),
    ] {
        let said = place.good(&["explain", key]);
        assert!(said.out.contains(says), "{key}: {}", said.out);
    }
    assert_eq!(place.run(&["explain", "data.beta1"]).code, Some(2));
    assert_eq!(place.run(&["explain", "bet"]).code, Some(2));
}

#[test]
fn configurations_of_other_forms_are_named() {
    let place = Place::new();
    let wide: Vec<u8> = place.read("a.toml").encode_utf16().flat_map(u16::to_le_bytes).collect();
    place.write("marked.toml", [&[0xff, 0xfe][..], &wide].concat());
    place.write("bare.toml", &wide);
    for name in ["marked.toml", "bare.toml"] {
        says(&place.run(&["check", name]), 3, &[name, "UTF-16", "iconv"]);
    }
}

#[test]
fn a_mistake_in_a_long_line_shows_a_part_of_it() {
    let place = Place::new();
    let long = format!("one_hot = [\"job\", {}oops]", "\"x\", ".repeat(200_000));
    place.config_with("one_hot = [\"job\"]", &long);
    let said = place.run(&["check", "a.toml"]);
    says(&said, 3, &["a.toml:8:", "oops", "^", "…"]);
    assert!(said.err.len() < 2000, "{}", said.err.len());
}

#[test]
fn of_two_settings_that_exclude_each_other_the_last_is_pointed_at() {
    let place = Place::new();
    for (change, key) in [
        ("training.steps=7", "training.epochs=7"),
        ("training.validate_every_steps=7", "training.validate_every_epochs=7"),
    ] {
        let said = place.run(&["train", "a.toml", change]);
        assert!(
            said.code == Some(3) && said.err.contains(&format!("in the argument `{change}`")),
            "{said:?}"
        );
        let said = place.run(&["train", "a.toml", change, key]);
        assert!(said.code == Some(3) && said.err.contains(&format!("in the argument `{key}`")), "{said:?}");
    }
}
