//! Files of tensors: whole, readable by others, and refused when they are not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use manytask_tensor::checkpoint::{Metadata, load, load_tensors, save, save_tensors, take_params};
use manytask_tensor::{Device, Error, Init, Kind, Layout, Role, Tensor};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::Net;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn text(pairs: &[(&str, &str)]) -> Metadata {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn named(tensors: Vec<(&str, Tensor)>) -> Vec<(String, Tensor)> {
    tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect()
}

/// The only file of a folder: nothing temporary stays.
fn files(folder: &Path) -> Vec<PathBuf> {
    fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn write(folder: &TempDir, header: &str, data: &[u8]) -> PathBuf {
    let path = folder.path().join("f");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    fs_err::write(&path, bytes).unwrap();
    path
}

#[track_caller]
fn assert_corrupt(path: &Path) -> String {
    match load_tensors(path, Device::Cpu) {
        Err(error @ Error::Corrupt { .. }) => {
            let text = error.to_string();
            assert!(text.contains(path.to_str().unwrap()) && !text.contains('\n'), "{text}");
            text
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_kind_comes_back() {
    let folder = folder();
    let path = folder.path().join("kinds");
    let kinds = [
        Kind::Double,
        Kind::Float,
        Kind::Half,
        Kind::BFloat16,
        Kind::Int64,
        Kind::Int,
        Kind::Int16,
        Kind::Int8,
        Kind::Uint8,
        Kind::Bool,
    ];
    let values = Tensor::from_slice(&[0.0, 1.0, 3.25, 100.0, 7.0, 0.0]).reshape([2, 3]);
    let mut tensors = Vec::new();
    for kind in kinds {
        let x = values.to_kind(kind);
        tensors.push((format!("{kind:?}.matrix"), x.shallow_clone()));
        tensors.push((format!("{kind:?}.turned"), x.tr()));
        tensors.push((format!("{kind:?}.scalar"), x.select(0, 0).select(0, 1)));
        tensors.push((format!("{kind:?}.empty"), x.narrow(0, 0, 0)));
        tensors.push((format!("{kind:?}.expanded"), x.select(0, 0).expand([2, 3], false)));
    }
    tensors.push((
        "special".into(),
        Tensor::from_slice(&[f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE / 2.0]),
    ));
    tensors.push(("precise".into(), Tensor::from_slice(&[0.1_f64, 1.0 / 3.0])));
    save_tensors(&path, &tensors, &Metadata::new()).unwrap();
    let (found, metadata) = load_tensors(&path, Device::Cpu).unwrap();
    assert!(metadata.is_empty() && found.len() == tensors.len());
    for (name, expected) in &tensors {
        let found = &found[name];
        assert_eq!((found.kind(), found.size()), (expected.kind(), expected.size()), "{name}");
        if name != "special" {
            assert_eq!(found, expected, "{name}");
        }
    }
    let bits: Vec<u32> =
        Vec::<f32>::try_from(&found["special"]).unwrap().iter().map(|x| x.to_bits()).collect();
    assert_eq!(bits, [f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE / 2.0].map(f32::to_bits));
    assert_eq!(files(folder.path()), [path]);
}

#[test]
fn the_crate_of_the_format_reads_what_is_written() {
    let folder = folder();
    let path = folder.path().join("f");
    let tensors = named(vec![
        ("b", Tensor::from_slice(&[1_u8, 2, 3])),
        ("a", Tensor::from_slice(&[1.5_f64])),
        ("c", Tensor::from_slice(&[2.5_f32]).set_requires_grad(true)),
    ]);
    save_tensors(&path, &tensors, &text(&[("step", "3"), ("quote", "\"\n")])).unwrap();
    let bytes = fs_err::read(&path).unwrap();
    let (header, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header % 8, 0);
    assert_eq!(metadata.metadata().as_ref().unwrap()["quote"], "\"\n");
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("a").unwrap().data(), 1.5_f64.to_le_bytes());
    assert_eq!(file.tensor("b").unwrap().data(), [1, 2, 3]);
    // The data lies as that crate's own writer lays it: the widest elements first, each at a multiple of its size.
    let theirs = safetensors::serialize(file.tensors(), None).unwrap();
    assert!(theirs.ends_with(&bytes[8 + header..]) && bytes.len() - header == 8 + 8 + 4 + 3);
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    let folder = folder();
    let path = folder.path().join("f");
    let metadata: Metadata = (0..50).map(|i| (format!("key {i}"), format!("{}", i * i))).collect();
    let mut tensors: Vec<_> = (0..20).map(|i| (format!("t{i}"), Tensor::from(f64::from(i)))).collect();
    let mut contents = Vec::new();
    for _ in 0..4 {
        save_tensors(&path, &tensors, &metadata).unwrap();
        contents.push(fs_err::read(&path).unwrap());
        tensors.rotate_left(7);
    }
    let (again, found) = load_tensors(&path, Device::Cpu).unwrap();
    assert_eq!(found, metadata);
    save_tensors(&path, &again.into_iter().collect::<Vec<_>>(), &found).unwrap();
    contents.push(fs_err::read(&path).unwrap());
    assert!(contents.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn what_the_format_cannot_hold_is_refused_before_anything_is_written() {
    let folder = folder();
    let path = folder.path().join("f");
    let x = || Tensor::from(1.0_f32);
    for (tensors, why) in [
        (named(vec![("a", x()), ("z", x().to_kind(Kind::ComplexFloat))]), "ComplexFloat"),
        (named(vec![("a", x()), ("a", x())]), "`a` is taken"),
        (named(vec![("__metadata__", x())]), "`__metadata__` is taken"),
        (named(vec![("a", Tensor::new())]), "holds no tensor"),
    ] {
        let error = save_tensors(&path, &tensors, &Metadata::new()).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(path.to_str().unwrap()), "{error}");
        assert!(files(folder.path()).is_empty());
    }
}

#[test]
fn parameters_come_back() {
    let folder = folder();
    let path = folder.path().join("params.safetensors");
    let net = Net::new();
    let params = net.init(3).require_grad().unwrap();
    save(&path, &params, &text(&[("seed", "3")])).unwrap();
    let (found, metadata) = load(&path, &net.layout, Device::Cpu).unwrap();
    assert_eq!((found.kind(), found.max_difference(&params).unwrap()), (Kind::Double, 0.0));
    assert_eq!(metadata["seed"], "3");
    // Two states in one file, told apart by a prefix.
    let state = |prefix: &str, seed| -> Vec<(String, Tensor)> {
        net.init(seed).iter().map(|(e, t)| (format!("{prefix}{}", e.name), t.shallow_clone())).collect()
    };
    save_tensors(&path, &[state("m.", 1), state("v.", 2)].concat_owned(), &Metadata::new()).unwrap();
    let (mut tensors, _) = load_tensors(&path, Device::Cpu).unwrap();
    let m = take_params(&path, &net.layout, "m.", &mut tensors).unwrap();
    let v = take_params(&path, &net.layout, "v.", &mut tensors).unwrap();
    assert!(tensors.is_empty());
    assert_eq!(m.max_difference(&net.init(1)).unwrap() + v.max_difference(&net.init(2)).unwrap(), 0.0);
    let error = take_params(&path, &net.layout, "m.", &mut tensors).unwrap_err().to_string();
    assert!(error.contains("it lacks `m.hidden.weight` and 3 more"), "{error}");
}

trait ConcatOwned {
    fn concat_owned(self) -> Vec<(String, Tensor)>;
}

impl ConcatOwned for [Vec<(String, Tensor)>; 2] {
    fn concat_owned(self) -> Vec<(String, Tensor)> {
        self.into_iter().flatten().collect()
    }
}

fn layout(entries: &[(&str, &[i64])]) -> Arc<Layout> {
    let mut layout = Layout::builder();
    for (name, shape) in entries {
        layout.add(*name, shape, Init::Ones, Role::Weight).unwrap();
    }
    layout.build()
}

#[test]
fn another_network_is_refused_by_name() {
    let folder = folder();
    let path = folder.path().join("f");
    let stored = layout(&[("a", &[2]), ("b", &[3])]).zeros(Kind::Float, Device::Cpu).unwrap();
    save(&path, &stored, &Metadata::new()).unwrap();
    for (entries, why) in [
        (vec![("a", &[2][..]), ("b", &[3]), ("c", &[1]), ("d", &[1])], "it lacks `c` and 1 more"),
        (vec![("a", &[2][..]), ("b", &[3]), ("c", &[1])], "it lacks `c`"),
        (vec![("a", &[2][..])], "it has `b`, which this one has not"),
        (vec![], "it has `a` and 1 more"),
        (vec![("a", &[2][..]), ("b", &[1, 3])], "`b` has shape [3] there and [1, 3] here"),
    ] {
        let error = load(&path, &layout(&entries), Device::Cpu).unwrap_err();
        assert!(matches!(&error, Error::Incompatible { path: p, .. } if *p == path), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    // Per-task parameters are not those of one network.
    save(&path, &stored.expand_tasks(2).unwrap(), &Metadata::new()).unwrap();
    assert!(matches!(load(&path, stored.layout(), Device::Cpu), Err(Error::Incompatible { .. })));
}

#[test]
fn a_truncated_file_is_corrupt_wherever_it_ends() {
    let folder = folder();
    let path = folder.path().join("f");
    save(&path, &Net::new().init(0), &text(&[("step", "1")])).unwrap();
    let bytes = fs_err::read(&path).unwrap();
    for end in 0..bytes.len() {
        fs_err::write(&path, &bytes[..end]).unwrap();
        assert_corrupt(&path);
    }
    fs_err::write(&path, [&bytes[..], b"x"].concat()).unwrap();
    assert_corrupt(&path);
}

#[test]
fn a_header_that_lies_is_corrupt() {
    let folder = folder();
    let path = folder.path().join("f");
    for length in [u64::MAX, u64::MAX - 7, 1 << 62, 1 << 40, 100_000_001, 3] {
        fs_err::write(&path, [&length.to_le_bytes()[..], b"{}      "].concat()).unwrap();
        assert_corrupt(&path);
    }
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let nested = "[".repeat(100_000);
    for header in [
        "not json".to_owned(),
        String::new(),
        "[]".to_owned(),
        nested,
        r#"{"__metadata__":{"a":1}}"#.to_owned(),
        one("F32", "[2]", "[0,4]"),
        one("F32", "[1]", "[4,8]"),
        one("F32", "[1]", "[4,0]"),
        one("F32", "[-1]", "[0,4]"),
        one("F32", "[1]", "[0,18446744073709551615]"),
        one("F32", "[4611686018427387904,4]", "[0,4]"),
        one("F32", "[1099511627776,1099511627776]", "[0,4]"),
        one("F32", "[9223372036854775808,0]", "[0,0]"),
        one("F32", "[4294967296,4294967296,0]", "[0,0]"),
        one("Q7", "[1]", "[0,4]"),
        one("U32", "[1]", "[0,4]"),
        one("C64", "[1]", "[0,8]"),
    ] {
        let size = if header.contains("[0,0]") {
            0
        } else if header.contains("C64") {
            8
        } else {
            4
        };
        let path = write(&folder, &header, &vec![0; size]);
        assert_corrupt(&path);
    }
    let path = write(&folder, &one("BOOL", "[4]", "[0,4]"), &[0, 1, 2, 255]);
    assert!(assert_corrupt(&path).contains("truth values"));
    let path = write(&folder, &one("F32", "[1]", "[0,4]"), &1.5_f32.to_le_bytes());
    assert_eq!(load_tensors(&path, Device::Cpu).unwrap().0["a"], Tensor::from_slice(&[1.5_f32]));
}

#[test]
fn an_absent_file_is_named_once() {
    let folder = folder();
    let path = folder.path().join("nowhere");
    let error = load_tensors(&path, Device::Cpu).unwrap_err();
    let Error::Io { path: named, source } = &error else { panic!("{error}") };
    assert_eq!((named, source.kind()), (&path, std::io::ErrorKind::NotFound));
    assert_eq!(error.to_string().matches("nowhere").count(), 1, "{error}");
    assert!(matches!(load_tensors(folder.path(), Device::Cpu), Err(Error::Io { .. })), "a folder");
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let folder = folder();
    let file = folder.path().join("file");
    fs_err::write(&file, "old").unwrap();
    let params = Net::new().init(0);
    for path in [file.join("below"), folder.path().join("no/such/folder")] {
        let error = save(&path, &params, &Metadata::new()).unwrap_err();
        assert!(matches!(&error, Error::Io { path: p, .. } if *p == path), "{error}");
    }
    assert_eq!(files(folder.path()), std::slice::from_ref(&file));
    assert_eq!(fs_err::read(&file).unwrap(), b"old");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_bytes_never_panic(at in 0_usize..400, byte in any::<u8>(), seed in 0_u64..4) {
        let folder = folder();
        let path = folder.path().join("f");
        save(&path, &Net::new().init(seed), &text(&[("step", "1")])).unwrap();
        let mut bytes = fs_err::read(&path).unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        fs_err::write(&path, &bytes).unwrap();
        match load(&path, &Net::new().layout, Device::Cpu) {
            Ok(_) | Err(Error::Corrupt { .. } | Error::Incompatible { .. }) => {}
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
