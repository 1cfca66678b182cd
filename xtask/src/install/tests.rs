use std::io::Write as _;

use super::*;
use crate::wheels::wheels;

const HOST: Platform = Platform::LinuxX86;

fn zip(path: &Path, entries: &[(&str, &str)]) {
    let mut writer = zip::ZipWriter::new(fs_err::File::create(path).unwrap());
    for (name, text) in entries {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn altered_wheels_leave_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let supply = root.path().join("wheels");
    fs_err::create_dir(&supply).unwrap();
    for wheel in wheels(HOST, Compute::Cpu).unwrap() {
        zip(&supply.join(wheel.file), &[("torch/lib/libtorch_cpu.so", "altered")]);
    }
    let cache = Cache::below(&root.path().join("cache"), HOST);
    let error = install(&cache, HOST, Compute::Cpu, &Supply::Folder(supply), Existing::Keep).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("sha256") && error.contains("torch-2.11.0"), "{error}");
    let left: Vec<_> = fs_err::read_dir(cache.base()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["2.11.0-x86_64-linux.lock"]);
}

#[test]
fn absent_wheels_are_named() {
    let root = tempfile::tempdir().unwrap();
    let cache = Cache::below(&root.path().join("cache"), HOST);
    let supply = Supply::Folder(root.path().to_path_buf());
    let error = install(&cache, HOST, Compute::Cpu, &supply, Existing::Keep).unwrap_err().to_string();
    for wheel in wheels(HOST, Compute::Cpu).unwrap() {
        assert!(error.contains(wheel.file), "{error}");
    }
    assert!(!cache.folder().exists());
}

#[test]
fn downloads_cut_short_are_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let table = wheels(HOST, Compute::Cpu).unwrap();
    fs_err::write(folder.path().join(table[0].file), "half a wh").unwrap();
    assert_eq!(unusable(folder.path(), &table).unwrap(), table);
    assert!(!folder.path().join(table[0].file).exists());
}

#[test]
fn a_wheel_cannot_write_outside_its_folder() {
    let root = tempfile::tempdir().unwrap();
    let wheel = root.path().join("evil.whl");
    zip(&wheel, &[("../outside", "x")]);
    let inside = root.path().join("inside");
    fs_err::create_dir(&inside).unwrap();
    let result = unpack(&wheel, &inside);
    assert!(!root.path().join("outside").exists());
    assert!(result.is_err());
}

#[test]
fn more_wheels_are_merged_and_only_then_declared() {
    let root = tempfile::tempdir().unwrap();
    let cache = Cache::below(root.path(), HOST);
    let lock = cache.lock().unwrap();
    let (folder, partial) = (cache.folder(), cache.partial());
    for (base, file) in [(&folder, "nvidia/cu13/lib/a.so"), (&partial, "nvidia/cu13/lib/b.so")] {
        let path = base.join(file);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, file).unwrap();
    }
    let table = wheels(HOST, Compute::Cuda).unwrap();
    assert!(!cache::is_whole(&folder, &table));
    extend(&folder, &partial, &table, &lock).unwrap();
    assert!(folder.join("nvidia/cu13/lib/a.so").exists() && folder.join("nvidia/cu13/lib/b.so").exists());
    assert!(cache::is_whole(&folder, &table));
}
