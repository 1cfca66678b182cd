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
        folder.checkpoint(step, best, |to| Ok(fs_err::write(to.join("x"), step.to_string())?)).unwrap();
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
    folder.checkpoint(1, false, |to| Ok(fs_err::write(to.join("x"), "1")?)).unwrap();
    let failure = folder.checkpoint(2, true, |to| {
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
