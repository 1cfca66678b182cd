//! Files that are whole or absent.

use std::io::Write;
use std::path::Path;

use manytask_tensor::Error;
use manytask_tensor::io::{exchange, is_unsupported, sync_folder, write_atomically, write_atomically_with};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_made_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for content in [&b"first, and longer"[..], b"second", b""] {
        write_atomically(&path, content).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), content);
    }
    assert_eq!(names(folder.path()), ["file"]);
    assert!(sync_folder(folder.path()).is_ok() && sync_folder(&folder.path().join("no")).is_err());
}

#[test]
fn an_interrupted_write_leaves_the_old_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write_atomically(&path, b"old").unwrap();
    let error = write_atomically_with(&path, |file| {
        file.write_all(b"half of it").unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), b"old", "nobody sees a part");
        Err(Error::DependentCotangent)
    });
    assert!(matches!(error, Err(Error::DependentCotangent)));
    let panicked = std::panic::catch_unwind(|| {
        write_atomically_with(&path, |file| {
            file.write_all(b"half of it").unwrap();
            panic!("in the middle")
        })
    });
    assert!(panicked.is_err());
    assert_eq!(
        (fs_err::read(&path).unwrap(), names(folder.path())),
        (b"old".to_vec(), vec!["file".to_owned()])
    );
}

#[test]
fn a_target_that_cannot_be_replaced_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("folder");
    fs_err::create_dir(&below).unwrap();
    fs_err::write(below.join("inside"), "kept").unwrap();
    for path in
        [below.clone(), below.join("inside/file"), below.join("no/file"), "".into(), "no-such/file".into()]
    {
        let error = write_atomically(&path, b"new").unwrap_err();
        assert!(matches!(&error, Error::Io { path: p, .. } if *p == path), "{error}");
    }
    assert_eq!((names(folder.path()), names(&below)), (vec!["folder".to_owned()], vec!["inside".to_owned()]));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_with_the_files_name() {
    // The device that is always full stands for the disk.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write_atomically(&path, b"old").unwrap();
    let error = write_atomically_with(&path, |_| {
        let mut full = fs_err::OpenOptions::new().write(true).open("/dev/full").unwrap();
        full.write_all(b"new").map_err(|source| Error::Io { path: path.clone(), source })
    });
    assert!(error.unwrap_err().to_string().starts_with(path.to_str().unwrap()));
    assert_eq!(
        (fs_err::read(&path).unwrap(), names(folder.path())),
        (b"old".to_vec(), vec!["file".to_owned()])
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_is_written_into_and_stays_one() {
    use std::os::unix::fs::FileTypeExt;
    write_atomically("/dev/null".as_ref(), b"gone").unwrap();
    let error = write_atomically("/dev/full".as_ref(), b"new").unwrap_err();
    assert!(error.to_string().starts_with("/dev/full"), "{error}");
    for device in ["/dev/null", "/dev/full"] {
        assert!(fs_err::metadata(device).unwrap().file_type().is_char_device(), "{device}");
    }
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_is_followed() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs_err::create_dir(at("runs")).unwrap();
    write_atomically(&at("runs/real"), b"old").unwrap();
    symlink("runs/real", at("link")).unwrap();
    symlink("link", at("link to link")).unwrap();
    write_atomically(&at("link to link"), b"new").unwrap();
    assert_eq!(fs_err::read(at("runs/real")).unwrap(), b"new");
    assert!(fs_err::symlink_metadata(at("link")).unwrap().is_symlink());
    symlink("runs/fresh", at("dangling")).unwrap();
    write_atomically(&at("dangling"), b"made").unwrap();
    assert_eq!(fs_err::read(at("runs/fresh")).unwrap(), b"made");
    symlink("circle", at("circle")).unwrap();
    assert!(write_atomically(&at("circle"), b"x").unwrap_err().to_string().contains("symbolic links"));
    assert_eq!(names(&at("runs")), ["fresh", "real"]);
}

#[cfg(unix)]
#[test]
fn a_new_file_has_usual_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
    let (usual, ours) = (folder.path().join("usual"), folder.path().join("ours"));
    fs_err::write(&usual, "x").unwrap();
    write_atomically(&ours, b"x").unwrap();
    assert_eq!(mode(&ours), mode(&usual));
}

#[cfg(unix)]
#[test]
fn a_file_that_is_replaced_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("private");
    fs_err::write(&path, "old").unwrap();
    for mode in [0o600, 0o640, 0o444] {
        fs_err::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn two_folders_take_each_others_place() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["one", "other"] {
        fs_err::create_dir(at(name)).unwrap();
        fs_err::write(at(name).join("file"), name).unwrap();
    }
    match exchange(&at("one"), &at("other")) {
        Ok(()) => assert_eq!(fs_err::read(at("one/file")).unwrap(), b"other"),
        Err(error) => assert!(is_unsupported(&error), "{error}"),
    }
    assert_eq!(exchange(&at("one"), &at("no")).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn what_a_file_system_cannot_do_is_told_from_what_goes_wrong() {
    for code in [libc::ENOTSUP, libc::ENOSYS, libc::ENOLCK, libc::EINVAL] {
        assert!(is_unsupported(&std::io::Error::from_raw_os_error(code)), "{code}");
    }
    for code in [libc::EIO, libc::ENOSPC, libc::EACCES, libc::EAGAIN] {
        assert!(!is_unsupported(&std::io::Error::from_raw_os_error(code)), "{code}");
    }
}

#[test]
fn many_writers_of_one_file_leave_one_whole_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::thread::scope(|scope| {
        for byte in b'a'..=b'd' {
            let path = &path;
            scope.spawn(move || (0..5).for_each(|_| write_atomically(path, &vec![byte; 50_000]).unwrap()));
        }
        for _ in 0..50 {
            if let Ok(content) = fs_err::read(&path) {
                assert!(content.len() == 50_000 && content.iter().all(|byte| *byte == content[0]));
            }
        }
    });
    assert_eq!(names(folder.path()), ["file"]);
}

/// Renaming over it would take a device from the whole machine.
#[test]
#[cfg(unix)]
fn a_pipe_is_written_to_and_not_replaced() {
    use std::os::unix::fs::FileTypeExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let reader = std::thread::spawn({
        let path = path.clone();
        move || fs_err::read(path).unwrap()
    });
    write_atomically(&path, b"as it comes").unwrap();
    assert_eq!(reader.join().unwrap(), b"as it comes");
    assert!(fs_err::metadata(&path).unwrap().file_type().is_fifo());
}
