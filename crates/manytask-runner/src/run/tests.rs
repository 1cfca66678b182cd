mod checkpoints;
mod metrics;

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
