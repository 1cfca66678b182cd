use std::time::{Duration, SystemTime};

use serde_json::json;

use super::*;

fn text(path: &Path) -> String {
    fs_err::read_to_string(path).unwrap()
}

fn create(runs: &Path, name: &str, exact: Exact) -> Result<RunFolder> {
    RunFolder::create(runs, name, exact, &[(CONFIG, b"seed = 1\n"), (MANIFEST, b"{}\n")])
}

/// Writes a checkpoint with one file.
fn save(folder: &RunFolder, written: Written) {
    let left = folder.checkpoint(written, |to| Ok(fs_err::write(to.join("x"), written.step.to_string())?));
    assert_eq!(left.unwrap(), [""; 0]);
}

fn written(step: u64) -> Written {
    Written { step, best: false, keep: 1, cause: Cause::Training }
}

fn entries(folder: &Path) -> Vec<String> {
    let all = fs_err::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        all.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn checkpoints(folder: &RunFolder) -> Vec<String> {
    entries(&folder.path().join(CHECKPOINTS))
}

/// Makes a folder look as if it was left a while ago.
fn age(folder: &Path) {
    let before = SystemTime::now() - Duration::from_mins(1);
    fs_err::File::open(folder).unwrap().file().set_modified(before).unwrap();
}

#[test]
fn a_name_that_is_taken_gets_a_number_and_a_chosen_one_is_refused() {
    let runs = tempfile::tempdir().unwrap();
    let first = create(runs.path(), "quick", Exact::No).unwrap();
    let second = create(runs.path(), "quick", Exact::No).unwrap();
    assert_eq!(first.path(), runs.path().join("quick"));
    assert_eq!(second.path(), runs.path().join("quick-2"));
    assert_eq!(entries(first.path()), [LOCK, CHECKPOINTS, CONFIG, MANIFEST]);
    for (name, says) in [
        ("quick", "is there already"),
        ("../x", "no name for a run"),
        (".x", "no name for a run"),
        ("a\nb/", "`a\\nb/`"),
        (&"x".repeat(256), "at most 200"),
    ] {
        let failure = create(runs.path(), name, Exact::Yes).unwrap_err();
        assert!(failure.code == Code::Usage && failure.message.contains(says), "{failure:?}");
    }
    assert_eq!(entries(runs.path()), ["quick", "quick-2"]);
    let failure = RunFolder::open(runs.path()).unwrap_err();
    assert_eq!(failure.code, Code::Data);
}

#[test]
fn a_folder_in_which_no_run_has_begun_is_taken_over() {
    let runs = tempfile::tempdir().unwrap();
    let at = |name: &str| runs.path().join(name);
    fs_err::create_dir(at("empty")).unwrap();
    assert_eq!(create(runs.path(), "empty", Exact::Yes).unwrap().path(), at("empty"));
    fs_err::create_dir_all(at("half").join(CHECKPOINTS)).unwrap();
    for file in [LOCK, SCHEMA, ".writing-a1B2c3"] {
        fs_err::write(at("half").join(file), "").unwrap();
    }
    assert_eq!(
        create(runs.path(), "half", Exact::Yes).unwrap_err().code,
        Code::Usage,
        "it is in the making perhaps"
    );
    age(&at("half"));
    assert_eq!(create(runs.path(), "half", Exact::Yes).unwrap().path(), at("half"));
    // What somebody else has put there stays.
    fs_err::create_dir(at("theirs")).unwrap();
    fs_err::write(at("theirs").join("my-notes"), "").unwrap();
    age(&at("theirs"));
    let failure = create(runs.path(), "theirs", Exact::Yes).unwrap_err();
    assert!(failure.hints[0].contains("no run"), "{failure:?}");
    fs_err::write(at("file"), "").unwrap();
    assert_eq!(create(runs.path(), "file", Exact::Yes).unwrap_err().code, Code::Usage);
    assert_eq!(create(runs.path(), "file", Exact::No).unwrap().path(), at("file-2"));
    assert_eq!((entries(&at("theirs")), text(&at("file"))), (vec!["my-notes".to_owned()], String::new()));
}

#[test]
fn folders_that_never_got_their_name_are_removed_once_nobody_works_in_them() {
    let runs = tempfile::tempdir().unwrap();
    let (left, busy) = (runs.path().join(".writing-run-1-2"), runs.path().join(".writing-run-3-4"));
    for folder in [&left, &busy] {
        fs_err::create_dir(folder).unwrap();
    }
    let lock = RunFolder::lock(busy.clone()).unwrap();
    for folder in [&left, &busy] {
        age(folder);
    }
    create(runs.path(), "a", Exact::No).unwrap();
    assert_eq!(entries(runs.path()), [".writing-run-3-4", "a"]);
    drop(lock);
}

#[test]
fn many_that_begin_at_once_get_folders_of_their_own() {
    let runs = tempfile::tempdir().unwrap();
    let made: Vec<PathBuf> = std::thread::scope(|scope| {
        let one = || create(runs.path(), "a", Exact::No).unwrap().path().to_owned();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut names = entries(runs.path());
    names.sort_by_key(String::len);
    assert_eq!((names.len(), names[0].as_str(), made.len()), (8, "a", 8));
}

#[test]
fn a_folder_in_use_is_refused_until_it_is_free() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    let path = folder.path().to_owned();
    assert_eq!(RunFolder::open(&path).unwrap_err().code, Code::InUse);
    drop(folder);
    assert!(RunFolder::open(&path).is_ok());
}

fn a_record(step: u64, split: Split) -> Record {
    Origin { step, epoch: Some(0), split }.record(Some("income"), "loss", Some(0.5))
}

#[test]
fn lines_behind_a_step_are_cut_off_and_so_is_half_a_line() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    let mut metrics = folder.metrics(UpTo::Step(0)).unwrap();
    metrics.write(&[a_record(1, Split::Train)]).unwrap();
    metrics.write(&[a_record(2, Split::Train), a_record(2, Split::Validation)]).unwrap();
    metrics.write(&[a_record(3, Split::Train)]).unwrap();
    let path = folder.path().join(METRICS);
    fs_err::write(&path, text(&path) + "{\"step\": 3, \"lo").unwrap();
    let mut again = folder.metrics(UpTo::Step(2)).unwrap();
    assert_eq!((text(&path).lines().count(), again.last()), (3, 2));
    again.write(&[a_record(3, Split::Validation)]).unwrap();
    again.sync().unwrap();
    assert_eq!(
        text(&path).split_inclusive('\n').next_back(),
        Some(a_record(3, Split::Validation).line().as_str())
    );
    let last = folder.metrics(UpTo::Step(99)).unwrap();
    assert_eq!((text(&path).lines().count(), last.damaged(), last.form()), (4, &[][..], Form::Present));
    // The evaluation after step 2 comes again.
    drop(folder.metrics(UpTo::Evaluation(2)).unwrap());
    assert_eq!(
        text(&path).split_inclusive('\n').next_back(),
        Some(a_record(2, Split::Train).line().as_str())
    );
}

#[test]
fn a_damaged_line_stays_and_takes_none_behind_it_away() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    let path = folder.path().join(METRICS);
    let line = |step: u64| a_record(step, Split::Train).line();
    let all = |damage: &str| [line(1), damage.to_owned(), line(3), line(4)].concat();
    let later = line(22);
    for damage in ["\0\0\0\n", "{\"stfp\":2}\n", "{\"step\":2\n", "\n", &later] {
        fs_err::write(&path, all(damage)).unwrap();
        let metrics = folder.metrics(UpTo::Step(3)).unwrap();
        assert_eq!(metrics.damaged(), [2], "{damage:?}");
        assert_eq!(text(&path), [line(1), damage.to_owned(), line(3)].concat());
    }
    fs_err::write(&path, line(1) + "broken\n" + &line(9)).unwrap();
    assert_eq!(folder.metrics(UpTo::Step(1)).unwrap().damaged(), [2]);
    assert_eq!(text(&path), line(1) + "broken\n");
}

/// What earlier versions wrote, with a damaged line and half a one.
#[test]
fn lines_of_earlier_versions_are_written_anew() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    let path = folder.path().join(METRICS);
    let events = r#"{"epoch":0,"epoch_losses":{"y":0.67},"learning_rate":0.01,"losses":{"y":0.64},"part":"train","step":6,"weights":{"y":0.5}}
broken
{"improved":true,"part":"validation","step":6,"tasks":[{"higher_is_better":true,"loss":0.63,"metrics":[["roc_auc",0.93],["f1",null]],"name":"y"}]}
{"epoch":1,"learning_rate":0.01,"losses":{},"part":"train","step":12}
{"epoch":1,"lea"#;
    fs_err::write(&path, events).unwrap();
    let metrics = folder.metrics(UpTo::Step(6)).unwrap();
    assert_eq!((metrics.form(), metrics.last(), metrics.damaged()), (Form::Earlier, 6, &[5][..]));
    let expected = r#"{"step":6,"epoch":0,"split":"train","task":"y","metric":"loss","value":0.64}
{"step":6,"epoch":0,"split":"train","task":"y","metric":"weight","value":0.5}
{"step":6,"epoch":0,"split":"train","task":null,"metric":"learning_rate","value":0.01}
{"step":6,"epoch":0,"split":"train","task":"y","metric":"epoch_loss","value":0.67}
broken
{"step":6,"epoch":null,"split":"validation","task":"y","metric":"loss","value":0.63}
{"step":6,"epoch":null,"split":"validation","task":"y","metric":"roc_auc","value":0.93}
{"step":6,"epoch":null,"split":"validation","task":"y","metric":"f1","value":null}
{"step":6,"epoch":null,"split":"validation","task":null,"metric":"improved","value":1.0}
"#;
    assert_eq!(text(&path), expected);
    assert_eq!(folder.metrics(UpTo::Step(6)).unwrap().form(), Form::Present);
}

#[test]
fn the_best_and_the_latest_checkpoint_are_kept() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    assert_eq!(folder.find(Which::Latest).unwrap(), None);
    save(&folder, written(1));
    assert!(folder.find(Which::Best).unwrap().unwrap().ends_with("step-1"), "the latest stands for the best");
    save(&folder, Written { best: true, ..written(2) });
    for step in [3, 4, 4] {
        save(&folder, written(step));
    }
    let of = |which| text(&folder.find(which).unwrap().unwrap().join("x"));
    assert_eq!(
        (of(Which::Best), of(Which::Latest), of(Which::Step(2))),
        ("2".into(), "4".into(), "2".into())
    );
    assert_eq!(checkpoints(&folder), ["best", "latest", "step-2", "step-4"]);
}

#[test]
fn a_checkpoint_that_fails_leaves_the_last_one() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    save(&folder, written(1));
    let failure = folder.checkpoint(Written { best: true, ..written(2) }, |to| {
        fs_err::write(to.join("x"), "half")?;
        Err(Failure::new(Code::Data, "no space left"))
    });
    assert_eq!(failure.unwrap_err().code, Code::Data);
    assert!(folder.find(Which::Best).unwrap().unwrap().ends_with("step-1"));
    assert_eq!(checkpoints(&folder), ["latest", "step-1"]);
    fs_err::remove_dir_all(folder.find(Which::Latest).unwrap().unwrap()).unwrap();
    assert_eq!(folder.find(Which::Latest).unwrap_err().code, Code::Checkpoint);
}

#[test]
fn as_many_of_the_latest_stay_as_are_asked_for() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    for step in [2, 4, 6, 8, 10] {
        save(&folder, Written { best: step == 4, keep: 2, ..written(step) });
    }
    assert_eq!(checkpoints(&folder), ["best", "latest", "step-10", "step-4", "step-8"]);
    // One by the clock goes with the next, whatever that is.
    save(&folder, Written { keep: 3, cause: Cause::Time, ..written(11) });
    save(&folder, Written { keep: 3, cause: Cause::Time, ..written(12) });
    assert_eq!(checkpoints(&folder), ["best", "latest", "step-10", "step-12", "step-4", "step-8"]);
    // A run that was killed after step 12 and goes on from 4 writes 6 anew; what lies ahead of it is not kept.
    save(&folder, Written { keep: 2, ..written(6) });
    assert_eq!(checkpoints(&folder), ["best", "latest", "step-4", "step-6"]);
}

#[test]
fn nothing_is_pruned_that_was_not_made_here() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    let theirs = [".writing-mine", "my-notes", "step-016", "step-1.bak", "step-x"];
    for name in theirs {
        fs_err::create_dir(folder.path().join(CHECKPOINTS).join(name)).unwrap();
    }
    for step in [1, 2, 3] {
        save(&folder, written(step));
    }
    let path = folder.path().to_owned();
    drop(folder);
    let folder = RunFolder::open(&path).unwrap();
    assert_eq!(
        checkpoints(&folder),
        [&theirs[..1], &["latest"], &theirs[1..3], &theirs[3..4], &["step-3"], &theirs[4..]].concat()
    );
}

#[test]
fn a_link_in_the_place_of_a_checkpoint_is_not_followed() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    save(&folder, written(1));
    let (old, aside) = (folder.path().join(CHECKPOINTS).join("step-1"), runs.path().join("aside"));
    fs_err::rename(&old, &aside).unwrap();
    std::os::unix::fs::symlink(&aside, &old).unwrap();
    save(&folder, written(2));
    assert!(aside.join("x").is_file(), "nothing is followed out of the run");
}

#[test]
fn the_best_checkpoint_is_named_as_the_training_knows_it() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    save(&folder, Written { best: true, keep: 3, ..written(2) });
    save(&folder, Written { best: true, keep: 3, ..written(4) });
    assert_eq!(folder.set_best(Some(2)).unwrap(), BestKept::Yes);
    assert_eq!(text(&folder.path().join("checkpoints/best")), "step-2");
    assert_eq!(folder.set_best(Some(3)).unwrap(), BestKept::No);
    assert!(!folder.path().join("checkpoints/best").exists());
    assert_eq!(folder.set_best(None).unwrap(), BestKept::Yes);
}

#[test]
fn damage_is_noticed_and_the_last_whole_checkpoint_named() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    for step in [2, 4, 6] {
        save(&folder, Written { keep: 9, ..written(step) });
    }
    let at = |name: &str| folder.path().join(CHECKPOINTS).join(name);
    let refused = |which: Which, says: &[&str]| {
        let failure = folder.find(which).unwrap_err();
        let all = format!("{failure}\n{}", failure.hints.join("\n"));
        assert!(failure.code == Code::Checkpoint && says.iter().all(|piece| all.contains(piece)), "{all}");
    };
    // Every single bit of every file.
    for file in ["x", "checkpoint.json"] {
        let path = at("step-6").join(file);
        let whole = fs_err::read(&path).unwrap();
        for bit in (0..8 * whole.len()).step_by(if file == "x" { 1 } else { 13 }) {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs_err::write(&path, &flipped).unwrap();
            let found = folder.find(Which::Latest);
            // White space and the case of an escape mean the same; nothing else does.
            let same = serde_json::from_slice::<serde_json::Value>(&flipped).ok()
                == serde_json::from_slice::<serde_json::Value>(&whole).ok();
            assert!(found.is_err() || (file != "x" && same), "bit {bit} of {file}");
        }
        fs_err::write(&path, whole).unwrap();
    }
    fs_err::write(at("step-6/x"), "66").unwrap();
    refused(Which::Latest, &["step-6/x: is damaged", "--checkpoint step-4"]);
    fs_err::remove_file(at("step-6/x")).unwrap();
    refused(Which::Latest, &["step-6/x", "--checkpoint step-4"]);
    // A whole checkpoint, but of another step.
    fs_err::remove_dir_all(at("step-6")).unwrap();
    fs_err::rename(at("step-4"), at("step-6")).unwrap();
    refused(Which::Latest, &["step-6/checkpoint.json", "after 4 steps", "--checkpoint step-2"]);
    for (content, says) in [
        ("step-8", "`latest` names it"),
        ("../step-2", "names no checkpoint"),
        ("step-02", "names no"),
        ("", "names no"),
    ] {
        folder.write("checkpoints/latest", content.as_bytes()).unwrap();
        refused(Which::Latest, &[says, "--checkpoint step-2"]);
    }
    fs_err::remove_file(at("latest")).unwrap();
    refused(Which::Latest, &["checkpoints/latest: is missing", "--checkpoint step-2"]);
    refused(Which::Step(7), &["there is no such checkpoint"]);
    assert!(folder.find(Which::Step(2)).unwrap().is_some());
}

/// The first checkpoint stands, and a process ended before it was named.
#[test]
fn the_only_checkpoint_is_the_latest_where_none_is_named() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    save(&folder, Written { keep: 9, ..written(2) });
    fs_err::remove_file(folder.path().join(CHECKPOINTS).join("latest")).unwrap();
    for which in [Which::Latest, Which::Best] {
        assert!(folder.find(which).unwrap().unwrap().ends_with("step-2"));
    }
    folder.name_latest(2).unwrap();
    folder.name_latest(3).unwrap();
    assert_eq!(text(&folder.path().join("checkpoints/latest")), "step-2");
    save(&folder, Written { keep: 9, ..written(4) });
    fs_err::remove_file(folder.path().join(CHECKPOINTS).join("latest")).unwrap();
    assert!(folder.find(Which::Latest).is_err());
}

/// A state that knows of a best checkpoint, which the file beside it does not name.
#[test]
fn a_best_checkpoint_that_is_no_longer_named_is_not_replaced_by_the_latest() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    let save = |step, best: Option<u64>| {
        let state = json!({"best": best.map(|step| json!({"step": step, "metric": 0.5}))}).to_string();
        let due = Written { best: best == Some(step), keep: 9, ..written(step) };
        folder.checkpoint(due, |to| Ok(fs_err::write(to.join("state.json"), &state)?)).unwrap();
    };
    save(1, None);
    assert!(folder.find(Which::Best).unwrap().unwrap().ends_with("step-1"));
    save(2, Some(2));
    save(3, Some(2));
    assert!(folder.find(Which::Best).unwrap().unwrap().ends_with("step-2"));
    folder.write("checkpoints/best", b"step-1").unwrap();
    assert!(folder.find(Which::Best).unwrap_err().message.contains("`step-2` is the best"));
    // Newer than the latest: a process ended between the two.
    fs_err::write(folder.path().join("checkpoints/latest"), "step-1").unwrap();
    folder.write("checkpoints/best", b"step-2").unwrap();
    assert!(folder.find(Which::Best).unwrap().unwrap().ends_with("step-2"));
    folder.write("checkpoints/latest", b"step-3").unwrap();
    fs_err::remove_file(folder.path().join("checkpoints/best")).unwrap();
    assert!(folder.find(Which::Best).unwrap_err().message.contains("best: is missing"));
}

#[test]
fn what_a_killed_process_left_half_written_is_removed_by_the_next() {
    let runs = tempfile::tempdir().unwrap();
    let folder = create(runs.path(), "a", Exact::No).unwrap();
    let path = folder.path().to_owned();
    drop(folder);
    fs_err::write(path.join(".writing-x1y2z3"), "half").unwrap();
    fs_err::create_dir(path.join(CHECKPOINTS).join(".writing-step-3")).unwrap();
    drop(RunFolder::view(&path).unwrap());
    assert!(path.join(".writing-x1y2z3").exists(), "who only reads removes nothing");
    let folder = RunFolder::open(&path).unwrap();
    assert!(!path.join(".writing-x1y2z3").exists());
    assert_eq!(checkpoints(&folder), [""; 0]);
    // Reading needs no lock.
    assert!(RunFolder::view(&path).is_ok());
    folder.discard();
    assert!(!path.exists());
}
