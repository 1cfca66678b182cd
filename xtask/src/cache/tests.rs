use super::*;
use crate::wheels::{Compute, wheels};

const HOST: Platform = Platform::LinuxX86;

fn root(variables: &[(&str, &str)], platform: Platform) -> Option<PathBuf> {
    let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
    cache_root(platform, find).ok()
}

fn table() -> Vec<Wheel> {
    wheels(HOST, Compute::Cpu).unwrap()
}

/// A partial folder with one file in it.
fn unpack(cache: &Cache, content: &str) {
    fs_err::create_dir_all(cache.partial()).unwrap();
    fs_err::write(cache.partial().join("content"), content).unwrap();
}

fn content(cache: &Cache) -> String {
    fs_err::read_to_string(cache.folder().join("content")).unwrap()
}

#[test]
fn where_the_cache_lies() {
    let home = ("HOME", "/home/ada");
    assert_eq!(root(&[home], HOST).unwrap(), Path::new("/home/ada/.cache/manytask"));
    assert_eq!(root(&[home], Platform::MacArm).unwrap(), Path::new("/home/ada/Library/Caches/manytask"));
    assert_eq!(root(&[home, ("XDG_CACHE_HOME", "/c")], HOST).unwrap(), Path::new("/c/manytask"));
    assert_eq!(root(&[home, ("XDG_CACHE_HOME", "rel")], HOST), root(&[home], HOST));
    let ours = ("MANYTASK_CACHE", "/m");
    assert_eq!(root(&[home, ("XDG_CACHE_HOME", "/c"), ours], HOST).unwrap(), Path::new("/m"));
    assert_eq!(root(&[home, ("MANYTASK_CACHE", "")], HOST), root(&[home], HOST));
    assert_eq!(root(&[], HOST), None);
}

#[test]
fn only_a_marker_with_every_wheel_makes_a_folder_whole() {
    let folder = tempfile::tempdir().unwrap();
    let all = table();
    assert!(!is_whole(folder.path(), &all));
    mark(folder.path(), &all[..1]).unwrap();
    assert!(is_whole(folder.path(), &all[..1]));
    assert!(!is_whole(folder.path(), &all));
    mark(folder.path(), &all).unwrap();
    assert!(is_whole(folder.path(), &all));
}

#[test]
fn publishing_replaces_an_unmarked_folder() {
    let root = tempfile::tempdir().unwrap();
    let cache = Cache::below(root.path(), HOST);
    let lock = cache.lock().unwrap();
    unpack(&cache, "by hand");
    fs_err::rename(cache.partial(), cache.folder()).unwrap();
    unpack(&cache, "by set-up");
    mark(&cache.partial(), &table()).unwrap();
    cache.publish(&lock).unwrap();
    assert_eq!(content(&cache), "by set-up");
    assert!(is_whole(&cache.folder(), &table()));
    assert!(!cache.partial().exists() && !cache.replaced().exists());
}

#[test]
fn recovery_drops_the_unfinished_and_finishes_the_whole() {
    let root = tempfile::tempdir().unwrap();
    let cache = Cache::below(root.path(), HOST);
    let lock = cache.lock().unwrap();

    // Killed while unpacking.
    unpack(&cache, "half");
    cache.recover(&lock).unwrap();
    assert!(!cache.partial().exists() && !cache.folder().exists());

    // Killed between the two renames of `publish`.
    unpack(&cache, "old");
    fs_err::rename(cache.partial(), cache.replaced()).unwrap();
    unpack(&cache, "new");
    mark(&cache.partial(), &table()).unwrap();
    cache.recover(&lock).unwrap();
    assert_eq!(content(&cache), "new");
    assert!(!cache.partial().exists() && !cache.replaced().exists());
}

#[test]
fn the_lock_is_exclusive_and_freed_on_drop() {
    let root = tempfile::tempdir().unwrap();
    let cache = Cache::below(root.path(), HOST);
    let path = cache.base().join(format!("{}.lock", cache.name));
    let lock = cache.lock().unwrap();
    let other = fs_err::File::open(&path).unwrap();
    assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
    drop(lock);
    other.try_lock().unwrap();
}

#[test]
fn a_child_that_shares_the_lock_keeps_it() {
    let root = tempfile::tempdir().unwrap();
    let cache = Cache::below(root.path(), HOST);
    let lock = cache.lock().unwrap();
    let mut sleep = std::process::Command::new("sleep");
    let mut child = sleep.arg("60").stdin(lock.share().unwrap()).spawn().unwrap();
    drop((lock, sleep));
    let other = fs_err::File::open(cache.base().join(format!("{}.lock", cache.name))).unwrap();
    assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
    child.kill().unwrap();
    child.wait().unwrap();
    other.try_lock().unwrap();
}
