use serde_json::json;

use super::*;

fn text(path: &Path) -> String {
    fs_err::read_to_string(path).unwrap()
}

#[test]
fn a_name_that_is_taken_gets_a_number_and_a_chosen_one_is_refused() {
    let runs = tempfile::tempdir().unwrap();
    let first = RunFolder::create(runs.path(), "quick", Exact::No).unwrap();
    let second = RunFolder::create(runs.path(), "quick", Exact::No).unwrap();
    assert_eq!(first.path(), runs.path().join("quick"));
    assert_eq!(second.path(), runs.path().join("quick-2"));
    let failure = RunFolder::create(runs.path(), "quick", Exact::Yes).unwrap_err();
    assert_eq!(failure.code, Code::Usage);
    assert_eq!(RunFolder::create(runs.path(), "../x", Exact::Yes).unwrap_err().code, Code::Usage);
    let failure = RunFolder::open(runs.path()).unwrap_err();
    assert_eq!(failure.code, Code::Data);
}

#[test]
fn a_folder_in_use_is_refused_until_it_is_free() {
    let runs = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(runs.path(), "a", Exact::No).unwrap();
    folder.write(CONFIG, b"").unwrap();
    let path = folder.path().to_owned();
    assert_eq!(RunFolder::open(&path).unwrap_err().code, Code::InUse);
    drop(folder);
    assert!(RunFolder::open(&path).is_ok());
}

#[test]
fn lines_behind_a_step_are_cut_off_and_so_is_half_a_line() {
    let runs = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(runs.path(), "a", Exact::No).unwrap();
    let mut metrics = folder.metrics(0).unwrap();
    for step in [1, 2, 2, 3] {
        metrics.write(&json!({"step": step, "loss": 0.1})).unwrap();
    }
    let path = folder.path().join(METRICS);
    fs_err::write(&path, text(&path) + "{\"step\": 3, \"lo").unwrap();
    let mut again = folder.metrics(2).unwrap();
    assert_eq!(text(&path).lines().count(), 3);
    again.write(&json!({"step": 3})).unwrap();
    again.sync().unwrap();
    assert_eq!(text(&path).lines().last(), Some("{\"step\":3}"));
    drop(folder.metrics(99).unwrap());
    assert_eq!(text(&path).lines().count(), 4);
}

#[test]
fn the_best_and_the_latest_checkpoint_are_kept() {
    let runs = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(runs.path(), "a", Exact::No).unwrap();
    assert_eq!(folder.find(Which::Latest).unwrap(), None);
    let save = |step: u64, best| {
        let written = Written { step, best, keep: 1 };
        folder.checkpoint(written, |to| Ok(fs_err::write(to.join("x"), step.to_string())?)).unwrap();
    };
    save(1, false);
    assert!(folder.find(Which::Best).unwrap().unwrap().ends_with("step-1"), "the latest stands for the best");
    save(2, true);
    save(3, false);
    save(4, false);
    save(4, false);
    let of = |which| text(&folder.find(which).unwrap().unwrap().join("x"));
    assert_eq!((of(Which::Best), of(Which::Latest)), ("2".into(), "4".into()));
    let left = fs_err::read_dir(folder.path().join(CHECKPOINTS))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(left.count(), 2);
}

#[test]
fn a_checkpoint_that_fails_leaves_the_last_one() {
    let runs = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(runs.path(), "a", Exact::No).unwrap();
    folder
        .checkpoint(Written { step: 1, best: false, keep: 1 }, |to| Ok(fs_err::write(to.join("x"), "1")?))
        .unwrap();
    let failure = folder.checkpoint(Written { step: 2, best: true, keep: 1 }, |to| {
        fs_err::write(to.join("x"), "half")?;
        Err(Failure::new(Code::Data, "no space left"))
    });
    assert_eq!(failure.unwrap_err().code, Code::Data);
    assert!(folder.find(Which::Best).unwrap().unwrap().ends_with("step-1"));
    let names: Vec<_> =
        fs_err::read_dir(folder.path().join(CHECKPOINTS)).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    fs_err::remove_dir_all(folder.find(Which::Latest).unwrap().unwrap()).unwrap();
    assert_eq!(folder.find(Which::Latest).unwrap_err().code, Code::Checkpoint);
}

fn checkpoints(folder: &RunFolder) -> Vec<String> {
    let all = fs_err::read_dir(folder.path().join(CHECKPOINTS)).unwrap();
    let mut names: Vec<String> =
        all.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn as_many_of_the_latest_stay_as_are_asked_for() {
    let runs = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(runs.path(), "a", Exact::No).unwrap();
    for step in [2, 4, 6, 8, 10] {
        folder.checkpoint(Written { step, best: step == 4, keep: 2 }, |_| Ok(())).unwrap();
    }
    assert_eq!(checkpoints(&folder), ["best", "latest", "step-10", "step-4", "step-8"]);
    // A run that was killed after step 10 and goes on from 4 writes 6 anew; what lies ahead of it is not kept.
    folder.checkpoint(Written { step: 6, best: false, keep: 2 }, |_| Ok(())).unwrap();
    assert_eq!(checkpoints(&folder), ["best", "latest", "step-4", "step-6"]);
}

/// The moment between removing a checkpoint of the same step and putting the new one in its place.
#[test]
fn a_best_checkpoint_that_was_lost_does_not_hinder_the_run_that_writes_it_anew() {
    let runs = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(runs.path(), "a", Exact::No).unwrap();
    let save = |step, best| folder.checkpoint(Written { step, best, keep: 1 }, |_| Ok(()));
    save(2, false).unwrap();
    save(4, true).unwrap();
    fs_err::remove_dir(folder.path().join(CHECKPOINTS).join("step-4")).unwrap();
    folder.write("checkpoints/latest", b"step-2").unwrap();
    assert_eq!(folder.find(Which::Best).unwrap_err().code, Code::Checkpoint);
    save(3, false).unwrap();
    save(4, true).unwrap();
    assert!(folder.find(Which::Best).unwrap().unwrap().ends_with("step-4"));
}

#[test]
fn what_a_killed_process_left_half_written_is_removed_by_the_next() {
    let runs = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(runs.path(), "a", Exact::No).unwrap();
    folder.write(CONFIG, b"").unwrap();
    let path = folder.path().to_owned();
    drop(folder);
    fs_err::write(path.join(".writing-x1"), "half").unwrap();
    fs_err::create_dir(path.join(CHECKPOINTS).join(".writing-step-3")).unwrap();
    drop(RunFolder::view(&path).unwrap());
    assert!(path.join(".writing-x1").exists(), "who only reads removes nothing");
    let folder = RunFolder::open(&path).unwrap();
    assert!(!path.join(".writing-x1").exists());
    assert_eq!(checkpoints(&folder), [""; 0]);
    // Reading needs no lock.
    assert!(RunFolder::view(&path).is_ok());
    folder.discard();
    assert!(!path.exists());
}
