//! Checkpoints: which stay, and what of damaged ones.

use super::*;

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
