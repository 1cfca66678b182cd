//! File systems that lack an operation, made by a library that answers in their place.

use std::path::PathBuf;
use std::process::Command;

use crate::command::{Place, said};

const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

static int is_off(const char *what) {
    const char *off = getenv("LACKS");
    return off && strstr(off, what);
}

int flock(int file, int operation) {
    int (*real)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
    if (is_off("flock")) { errno = ENOTSUP; return -1; }
    return real(file, operation);
}

int fsync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    struct stat about;
    if (is_off("fsync") && fstat(file, &about) == 0 && S_ISDIR(about.st_mode)) { errno = EINVAL; return -1; }
    return real(file);
}

int renameat2(int a, const char *b, int c, const char *d, unsigned int flags) {
    int (*real)(int, const char *, int, const char *, unsigned int) =
        (int (*)(int, const char *, int, const char *, unsigned int))dlsym(RTLD_NEXT, "renameat2");
    if (is_off("renameat2")) { errno = EINVAL; return -1; }
    return real(a, b, c, d, flags);
}

int unlinkat(int folder, const char *name, int flags) {
    int (*real)(int, const char *, int) = (int (*)(int, const char *, int))dlsym(RTLD_NEXT, "unlinkat");
    if (is_off("unlinkat") && strcmp(name, "params.safetensors") == 0) { errno = EACCES; return -1; }
    return real(folder, name, flags);
}
"#;

/// The library; `None` where there is no C compiler.
fn shim(place: &Place) -> Option<PathBuf> {
    place.write("shim.c", SHIM);
    let library = place.at("shim.so");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(place.at("shim.c"))
        .arg("-ldl")
        .output();
    made.is_ok_and(|made| made.status.success()).then_some(library)
}

#[test]
fn a_training_goes_on_without_what_the_file_system_lacks_and_says_so() {
    let place = Place::new();
    let Some(library) = shim(&place) else {
        println!("skipped: no C compiler");
        return;
    };
    place.good(&["train", "a.toml", "--quiet", "--name", "whole"]);
    for (lacks, says) in [("flock", "has no locks"), ("fsync", "cannot secure names"), ("renameat2", "")] {
        let mut command = place.command(&["train", "a.toml", "--quiet", "--name", lacks]);
        let ended = said(command.env("LD_PRELOAD", &library).env("LACKS", lacks).output().unwrap());
        assert_eq!(ended.code, Some(0), "{lacks}: {ended:?}");
        assert!(
            ended.err.contains(says) && ended.err.contains("note:") != says.is_empty(),
            "{lacks}: {ended:?}"
        );
        let results = |name: &str| place.read(&format!("runs/{name}/results.json"));
        assert_eq!(results("whole"), results(lacks));
    }
}

#[test]
fn an_old_checkpoint_that_cannot_be_removed_ends_no_training() {
    let place = Place::new();
    let Some(library) = shim(&place) else {
        println!("skipped: no C compiler");
        return;
    };
    let old = || {
        let names = fs_err::read_dir(place.at("runs/a/checkpoints")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("step-")).count()
    };
    let saves = "training.save_every_steps=8";
    let mut command = place.command(&["train", "a.toml", "--quiet", "--name", "a", saves]);
    let ended = said(command.env("LD_PRELOAD", &library).env("LACKS", "unlinkat").output().unwrap());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains("note:") && ended.err.contains("runs/a/checkpoints/step-"), "{ended:?}");
    assert!(old() > 2, "what could not be removed is still there");
    place.good(&["resume", "runs/a", "training.epochs=7", "--quiet"]);
    assert!(old() <= 2, "the best and the latest stay");
}

#[cfg(unix)]
#[test]
fn folders_may_have_any_name() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let odd = place.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9 \n"));
    fs_err::create_dir(&odd).unwrap();
    for name in ["a.toml", "people.csv"] {
        fs_err::copy(place.at(name), odd.join(name)).unwrap();
    }
    for arguments in [
        &["train", "a.toml", "--quiet", "--name", "a"][..],
        &["eval", "runs/a"],
        &["resume", "runs/a", "--quiet"],
        &["predict", "runs/a", "--input", "people.csv"],
    ] {
        let ended = said(place.command(arguments).current_dir(&odd).output().unwrap());
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    }
    // A run that lies elsewhere cannot name its data.
    let elsewhere = place.at("runs").display().to_string();
    let mut command = place.command(&["train", "a.toml", "--quiet", "--runs", &elsewhere]);
    let ended = said(command.current_dir(&odd).output().unwrap());
    assert!(ended.code == Some(4) && ended.err.contains("not UTF-8"), "{ended:?}");
}

#[test]
fn a_name_of_several_lines_is_shown_in_one() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet", "--name", "a"]);
    let name = "gone\nerror: all is lost";
    for arguments in [
        &["check", name][..],
        &["train", name],
        &["eval", name],
        &["inspect", name],
        &["init", name, "--targets", "rich"],
        &["predict", "runs/a", "--input", name],
        &["predict", "runs/a", "--input", "people.csv", "--output", "gone\nerror: all is lost/p.csv"],
        &["eval", "runs/a", "--data", name],
        &["train", "a.toml", "--init-from", name],
        &["train", "a.toml", "data.source.path=\"gone\\nerror: all is lost\""],
    ] {
        let ended = place.run(arguments);
        assert!(ended.code != Some(0) && !ended.err.contains("\nerror: all"), "{arguments:?}: {ended:?}");
        assert!(ended.err.contains("gone\\nerror: all is lost"), "{arguments:?}: {ended:?}");
    }
}
