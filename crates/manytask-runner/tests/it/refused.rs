//! Bad input of every kind: the documented exit code, a message that names file and place, and nothing half-written.

use std::io::Write;

use crate::command::{Place, Said};

/// A change of the configuration, what comes of it, and what the message says.
struct Bad {
    from: &'static str,
    to: &'static str,
    code: i32,
    says: &'static [&'static str],
}

const fn bad(from: &'static str, to: &'static str, code: i32, says: &'static [&'static str]) -> Bad {
    Bad { from, to, code, says }
}

/// Nothing may be left of a refused training.
fn refused(place: &Place, said: &Said, code: i32, says: &[&str]) {
    assert_eq!(said.code, Some(code), "{said:?}");
    for piece in says {
        assert!(said.err.contains(piece), "`{piece}` is not in {}", said.err);
    }
    assert!(said.err.starts_with("error: ") && !said.err.contains("panicked"), "{}", said.err);
    assert!(said.out.is_empty(), "{}", said.out);
    let runs = place.at("runs");
    let left = fs_err::read_dir(&runs).map_or(0, Iterator::count);
    assert_eq!(left, 0, "something was left in {}", runs.display());
}

const IN_THE_CONFIGURATION: &[Bad] = &[
    bad("seed = 3", "sead = 3", 3, &["a.toml:1:1", "unknown key `sead`", "did you mean `seed`?"]),
    bad("seed = 3", "seed = -1", 3, &["a.toml:1:8", "-1"]),
    bad(
        "seed = 3",
        "seed = \"three\"",
        3,
        &["a.toml:1:8: expected a whole number of at least 0, found string"],
    ),
    bad("threads = 1", "threads = 0", 3, &["a.toml:2:11: `threads` is 0"]),
    bad("threads = 1", "device = \"gpu\"", 3, &["a.toml:2:10: device `gpu`", "`cpu`, `cuda`"]),
    bad("threads = 1", "precision = \"bf16\"", 3, &["a.toml:2:13: unknown value `bf16`", "`bfloat16`"]),
    bad("threads = 1", "device = \"cuda:7\"", 3, &["device `cuda:7` cannot be used"]),
    bad(
        "[data]\nkind = \"table\"",
        "[data]\nkind = \"tabel\"",
        3,
        &["a.toml:5:8", "no data set `tabel`", "did you mean `table`?"],
    ),
    bad("[data]\nkind = \"table\"", "[data]\nkind = \"sinusoid\"", 3, &["gives episodes", "[learner]"]),
    bad("kind = \"table\"\n", "", 3, &["missing key `kind` in [data]"]),
    bad(
        "source = { path = \"people.csv\" }",
        "sorce = { path = \"people.csv\" }",
        3,
        &["unknown key `sorce`", "did you mean `source`?"],
    ),
    bad("path = \"people.csv\"", "path = 5", 3, &["a.toml:6:19: expected a path in quotes, found integer"]),
    bad("people.csv", "poeple.csv", 4, &["poeple.csv", "not found"]),
    bad("validation = 0.2, test", "validation = 0.9, test", 3, &["0.9"]),
    bad("split.random", "split.randon", 3, &["unknown value `randon`", "did you mean `random`?"]),
    bad(
        "\"age\", \"hours\"",
        "\"age\", \"huors\"",
        3,
        &["people.csv", "no column `huors`", "did you mean `hours`?"],
    ),
    bad("\"age\", \"hours\"", "\"age\", \"job\"", 3, &["`job`"]),
    bad("one_hot = [\"job\"]", "one_hot = [\"rich\"]", 3, &["column `rich` is a target"]),
    bad("{ name = \"rich\"", "{ name = \"poor\"", 3, &["a.toml:10:12: ", "people.csv: no column `poor`"]),
    bad(
        "name = \"rich\", kind = \"binary\"",
        "name = \"rich\", kind = \"binar\"",
        3,
        &["unknown value `binar`", "did you mean `binary`?"],
    ),
    bad(
        "name = \"rich\", kind = \"binary\"",
        "name = \"job\", kind = \"binary\"",
        3,
        &["a.toml:8:51: ", "column `job` is a target"],
    ),
    bad("name = \"score\"", "name = \"rich\"", 3, &["two are called `rich`"]),
    bad(
        "kind = \"hard_sharing\"",
        "kind = \"soft_shering\"",
        3,
        &["there is no architecture `soft_shering`"],
    ),
    bad("hidden = [8]", "hidden = [0]", 3, &["a.toml:16:35: hidden is 0"]),
    bad("hidden = [8]", "hidden = 8", 3, &["a.toml:16:34: expected an array, found integer `8`"]),
    bad("dropout = 0.2", "dropout = 1.2", 3, &["a.toml:16:49: dropout is 1.2"]),
    bad("dropout = 0.2", "droput = 0.2", 3, &["did you mean `dropout`?"]),
    bad("kind = \"mlp\"", "kind = \"cnn\"", 3, &["no trunk `cnn`", "`mlp`"]),
    bad(
        "\"uncertainty_weighting\"",
        "\"uncertainty\"",
        3,
        &["no aggregator `uncertainty`", "did you mean `uncertainty_weighting`?"],
    ),
    bad(
        "\"uncertainty_weighting\"",
        "\"uncertainty_weighting\"\ninitial = nan",
        3,
        &["a.toml:20:11: ", "initial is NaN"],
    ),
    bad(
        "\"uncertainty_weighting\"",
        "\"fixed_weights\"\nweights = { rich = 1.0 }",
        3,
        &["a.toml:20:1: fixed_weights: no weight for `score`"],
    ),
    bad("kind = \"adam\"", "kind = \"adamm\"", 3, &["no optimizer `adamm`", "did you mean `adam`?"]),
    bad("kind = \"adam\"", "kind = \"adam\"\nbeta1 = 1.5", 3, &["a.toml:23:9: beta1 is 1.5"]),
    bad("learning_rate = 0.01", "learning_rate = 0", 3, &["`learning_rate` is 0"]),
    bad("learning_rate = 0.01\n", "", 3, &["missing key `learning_rate` in [optimizer]"]),
    bad("epochs = 5", "epochs = 0", 3, &["`epochs` is not above 0"]),
    bad("epochs = 5", "epochs = 5\nsteps = 3", 3, &["`epochs` or `steps`, and not both"]),
    bad("batch_size = 16", "batch_size = 0", 3, &["`batch_size` is 0"]),
    bad("batch_size = 16", "batch_sise = 16", 3, &["did you mean `batch_size`?"]),
    bad("log_every_steps = 3", "monitor = { metric = \"f2\" }", 3, &["a.toml:29:22: ", "no metric `f2`"]),
    bad("log_every_steps = 3", "only_tasks = [\"rihc\"]", 3, &["did you mean `rich`?"]),
    bad("log_every_steps = 3", "clip_norm = -1.0", 3, &["a.toml:29:13: "]),
    bad("log_every_steps = 3", "early_stopping = { patience = 0 }", 3, &["a.toml:29:31: "]),
    bad(
        "[network]",
        "[tasks.rich]\nmetrics = [\"rmse\"]\n[network]",
        3,
        &["a.toml:15:12: task `rich`", "`rmse`"],
    ),
    bad("[network]", "[tasks.rihc]\nmetrics = [\"f1\"]\n[network]", 3, &["did you mean `rich`?"]),
    bad("[network]", "[schedule]\nkind = \"cosin\"\n[network]", 3, &["did you mean `cosine`?"]),
    bad("[network]", "[network", 3, &["a.toml:14:"]),
];

#[test]
fn mistakes_in_the_configuration() {
    assert!(IN_THE_CONFIGURATION.len() >= 40);
    for Bad { from, to, code, says } in IN_THE_CONFIGURATION {
        let place = Place::new();
        place.config_with(from, to);
        refused(&place, &place.run(&["train", "a.toml"]), *code, says);
    }
}

#[test]
fn mistakes_in_the_arguments() {
    let place = Place::new();
    for (arguments, code, says) in [
        (&["train"][..], 2, "required"),
        (&["trian", "a.toml"], 2, "trian"),
        (&["train", "a.toml", "--nmae", "x"], 2, "--nmae"),
        (&["train", "b.toml"], 3, "b.toml: there is no such configuration"),
        (&["train", "."], 3, "is a folder"),
        (&["train", "a.toml", "epochs"], 2, "key=value"),
        (&["train", "a.toml", "training.epoch=3"], 3, "in the argument `training.epoch=3`"),
        (&["train", "a.toml", "--device", "tpu"], 2, "device `tpu`"),
        (&["train", "a.toml", "--name", "../x"], 2, "no name for a run"),
        (&["check", "a.toml", "people.csv"], 3, "people.csv:1:"),
        (&["resume", "runs/none"], 4, "is not the folder of a run"),
        (&["eval", "."], 4, "is not the folder of a run"),
        (&["list", "colours"], 2, "no kind of names `colours`"),
        (&["completions", "cmd"], 2, "cmd"),
    ] {
        let said = place.run(arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
        assert!(said.err.contains(says), "{arguments:?}: {}", said.err);
        assert!(!place.at("runs").exists());
    }
}

#[test]
fn damaged_data() {
    let place = Place::new();
    let whole = place.read("people.csv");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(whole.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let second = whole.replacen("20,0,a,0,", "20,oops,a,0,", 1);
    assert_ne!(second, whole);
    for (content, says) in [
        (packed[..packed.len() / 2].to_vec(), &["people.csv"][..]),
        (Vec::new(), &["people.csv"]),
        (b"age,hours,job,rich,score\n".to_vec(), &["people.csv"]),
        (second.into_bytes(), &["people.csv", "row 1", "column `hours`", "`oops`"]),
        (whole.replacen("20,0,a,0,", "20,0,a,7,", 1).into_bytes(), &["people.csv", "column `rich`", "`7`"]),
        ((whole.clone() + "1,2\n").into_bytes(), &["people.csv", "202"]),
        ((whole.clone() + "1,2,\"a,1,1\n").into_bytes(), &["people.csv"]),
        ([whole.as_bytes(), b"1,2,\xff,1,1\n"].concat(), &["people.csv"]),
    ] {
        place.write("people.csv", content);
        let said = place.run(&["train", "a.toml"]);
        refused(&place, &said, 4, says);
    }
    // Numbers that are no numbers.
    place.write("people.csv", whole.replacen("20,0,a,0,", "20,nan,a,0,", 1));
    let said = place.run(&["train", "a.toml", "--quiet"]);
    assert!(said.code == Some(0) || said.code == Some(4), "a NaN is missing or a mistake: {said:?}");
}

#[test]
fn data_without_a_part_that_is_asked_for() {
    let place = Place::new();
    place.config_with("validation = 0.2, test = 0.2", "test = 0.2");
    refused(&place, &place.run(&["train", "a.toml"]), 3, &["no validation split"]);
    place.config_with("split.random = { validation = 0.2, test = 0.2, seed = 1 }\n", "");
    refused(&place, &place.run(&["train", "a.toml"]), 3, &["no validation split"]);
}

#[test]
fn a_training_that_diverges_says_where() {
    let place = Place::new();
    let said = place.run(&[
        "train",
        "a.toml",
        "--quiet",
        "optimizer.kind=sgd",
        "optimizer.learning_rate=1e30",
        "training.validate_every_epochs=5",
    ]);
    assert_eq!(said.code, Some(5), "{said:?}");
    assert!(said.err.contains("diverged at step") && said.err.contains("checkpoint"), "{said:?}");
    assert!(place.read("runs/a/manifest.json").contains("diverged"));
}

#[test]
fn checkpoints_that_do_not_fit() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet"]);
    let latest = format!("runs/a/checkpoints/{}", place.read("runs/a/checkpoints/latest"));
    let (config, params) = (
        place.read("runs/a/config.toml"),
        fs_err::read(place.at(&latest).join("params.safetensors")).unwrap(),
    );
    let with = |change: &dyn Fn()| {
        change();
        let said = place.run(&["resume", "runs/a", "--quiet"]);
        place.write("runs/a/config.toml", &config);
        fs_err::write(place.at(&latest).join("params.safetensors"), &params).unwrap();
        said
    };
    let path = |name: &str| place.at(&latest).join(name);
    for (change, says) in [
        (
            &(|| place.write("runs/a/config.toml", config.replace("hidden = [8]", "hidden = [9]")))
                as &dyn Fn(),
            "`network` was changed",
        ),
        (
            &|| place.write("runs/a/config.toml", config.replace("\"adam\"", "\"sgd\"")),
            "`optimizer` was changed",
        ),
        (
            &|| fs_err::write(path("params.safetensors"), &params[..params.len() / 2]).unwrap(),
            "params.safetensors",
        ),
        (&|| fs_err::write(path("params.safetensors"), b"").unwrap(), "params.safetensors"),
        (&|| fs_err::remove_file(path("params.safetensors")).unwrap(), "params.safetensors"),
    ] {
        let said = with(change);
        assert!(said.code == Some(6) && said.err.contains(says), "{says}: {said:?}");
    }
    let state = place.read(&format!("{latest}/state.json"));
    fs_err::write(path("state.json"), &state[..20]).unwrap();
    let said = place.run(&["resume", "runs/a"]);
    assert!(said.code == Some(6) && said.err.contains("state.json"), "{said:?}");
    fs_err::write(path("state.json"), state).unwrap();
    place.write("runs/a/manifest.json", "{");
    assert_eq!(place.run(&["resume", "runs/a"]).code, Some(6));
    let said = place.good(&["eval", "runs/a"]);
    assert!(
        said.err.contains("note: runs/a/manifest.json: is damaged"),
        "judging needs no manifest: {said:?}"
    );
}

#[test]
fn data_that_changed_since_the_run_began() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet"]);
    place.write("people.csv", place.read("people.csv").replacen("20,0,a", "21,0,a", 1));
    let said = place.run(&["resume", "runs/a"]);
    assert!(said.code == Some(6) && said.err.contains("the data have changed"), "{said:?}");
    let said = place.run(&["eval", "runs/a"]);
    assert!(said.code == Some(6) && said.err.contains("the data have changed"), "{said:?}");
}

#[test]
fn predictions_from_tables_that_do_not_fit() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet"]);
    place.write("new.csv", "age,job\n1,a\n");
    let said = place.run(&["predict", "runs/a", "--input", "new.csv", "--output", "out.csv"]);
    assert!(said.code == Some(4) && said.err.contains("hours"), "{said:?}");
    let said = place.run(&["predict", "runs/a", "--input", "none.csv", "--output", "out.csv"]);
    assert!(said.code == Some(4) && said.err.contains("none.csv"), "{said:?}");
    assert!(!place.at("out.csv").exists());
    place.write("new.csv", "age,hours,job\n1,2,a\n");
    let said = place.run(&["predict", "runs/a", "--input", "new.csv", "--output", "no/such/out.csv"]);
    assert!(said.code == Some(4) && said.err.contains("no/such/out.csv"), "{said:?}");
}

#[test]
fn folders_that_cannot_be_written_and_disks_that_are_full() {
    let place = Place::new();
    place.write("file", "x");
    let said = place.run(&["train", "a.toml", "--runs", "file", "--quiet"]);
    assert!(said.code == Some(4) && said.err.contains("file"), "{said:?}");
    let said = place.run(&["train", "a.toml", "--runs", "/proc/none", "--quiet"]);
    assert!(said.code == Some(4) && said.err.contains("/proc/none"), "{said:?}");
    // A limit on the size of files is a disk that is full in the middle of a checkpoint.
    let binary = env!("CARGO_BIN_EXE_manytask");
    let script = format!("ulimit -f 8; exec {binary} train a.toml --quiet network.trunk.hidden=[3000]");
    let output =
        std::process::Command::new("bash").args(["-c", &script]).current_dir(place.path()).output().unwrap();
    let said = crate::command::said(output);
    assert!(said.code == Some(4) && said.err.contains("params.safetensors"), "{said:?}");
    let half = fs_err::read_dir(place.at("runs/a/checkpoints")).unwrap().count();
    assert_eq!(half, 0, "no half of a checkpoint is left");
    // A disk that takes nothing at all: no run begins.
    let script = format!("ulimit -f 0; exec {binary} train a.toml --quiet --name b");
    let output =
        std::process::Command::new("bash").args(["-c", &script]).current_dir(place.path()).output().unwrap();
    let said = crate::command::said(output);
    assert!(said.code == Some(4) && said.err.contains("runs/b/config.toml"), "{said:?}");
    assert!(!place.at("runs/b").exists(), "no folder is left of a run that could not begin");
}

#[test]
fn a_run_in_use() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet"]);
    let lock = fs_err::File::options().write(true).open(place.at("runs/a/.lock")).unwrap();
    lock.file().lock().unwrap();
    let said = place.run(&["resume", "runs/a"]);
    assert!(said.code == Some(7) && said.err.contains("runs/a"), "{said:?}");
    // Who only reads does not disturb a training.
    place.good(&["eval", "runs/a"]);
    place.write("new.csv", "age,hours,job\n1,2,a\n");
    place.good(&["predict", "runs/a", "--input", "new.csv"]);
    let said = place.run(&["train", "a.toml", "--name", "a"]);
    assert!(said.code == Some(2) && said.err.contains("is there already"), "{said:?}");
}

#[test]
fn a_result_that_cannot_be_written_is_no_success() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet"]);
    place.write("new.csv", "age,hours,job\n1,2,a\n");
    let predict = ["predict", "runs/a", "--input", "new.csv"];
    let full = fs_err::File::options().write(true).open("/dev/full").unwrap().into_parts().0;
    let said = crate::command::said(place.command(&predict).stdout(full).output().unwrap());
    assert!(said.code == Some(4) && said.err.contains("stdout cannot be written to"), "{said:?}");
    // A reader that wants no more is no failure.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let said = crate::command::said(place.command(&predict).stdout(writer).output().unwrap());
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
}

#[test]
fn a_network_that_does_not_fit_in_memory() {
    let place = Place::new();
    // More bytes than there are addresses.
    let said = place.run(&["train", "a.toml", "network.trunk.hidden=[900000000000000000]"]);
    refused(&place, &said, 3, &["`hidden` is", "memory are free", "hint: lower `hidden`"]);
}
