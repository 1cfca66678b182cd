use std::fmt::Write as _;

use std::path::PathBuf;

use super::*;

const TEXT: &str = "
    source.path = 'DIR/a.csv'
    split.files = { test = 'DIR/b.csv', validation_fraction = 0.2 }
    inputs = { numeric = ['x'], one_hot = ['c'], embedding = ['e'] }
    weight = 'w'
    targets = [{ name = 'y', kind = 'binary' }, { name = 'z', kind = 'regression', standardise = true }]
";

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        for (name, rows) in [("a.csv", 30), ("b.csv", 10)] {
            let mut text = "x,c,e,w,y,z\n".to_owned();
            for i in 0..rows {
                let z = if i % 5 == 0 { String::new() } else { format!("{i}.25") };
                writeln!(text, "{},{},{},{i},{},{z}", i * 7 % 11, i % 4, i % 3, i % 2).unwrap();
            }
            fs_err::write(place.folder.path().join(name), text).unwrap();
        }
        place
    }

    fn described(&self, text: &str) -> TableDataset {
        toml::from_str(&text.replace("DIR", self.folder.path().to_str().unwrap())).unwrap()
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache/tables")
    }

    fn files(&self) -> Vec<PathBuf> {
        fs_err::read_dir(self.cache()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn load(&self, text: &str) -> (Dataset, Cached) {
        self.described(text).load_cached(&self.cache()).unwrap()
    }
}

/// The bits of all tensors, with everything else that is known.
fn bits(dataset: &Dataset) -> Vec<String> {
    let mut found = vec![serde_json::to_string(&dataset.schema).unwrap(), dataset.digest.clone()];
    for (name, split) in dataset.splits.iter() {
        found.push(name.into());
        let inputs = split.inputs.iter().flat_map(|input| {
            let width = input.features().unwrap().one_hot.as_ref().map_or(0, |one_hot| one_hot.width);
            found.push(width.to_string());
            [
                Some(&input.features().unwrap().dense),
                input.features().unwrap().one_hot.as_ref().map(|one_hot| &one_hot.indices),
                input.features().unwrap().categorical.as_ref(),
            ]
        });
        let tensors: Vec<_> =
            inputs.chain(split.tasks.iter().flat_map(|t| [Some(&t.target), t.weight.as_ref()])).collect();
        found.extend(split.tasks.iter().map(|task| task.name.clone()));
        for tensor in tensors.into_iter().flatten() {
            let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
            tensor.copy_data_u8(&mut bytes, tensor.numel());
            found.push(format!("{:?} {:?} {bytes:?}", tensor.size(), tensor.kind()));
        }
    }
    found
}

#[test]
fn what_was_read_before_is_the_same_bit_by_bit() {
    let place = Place::new();
    let plain = place.described(TEXT).load().unwrap();
    let (first, how) = place.load(TEXT);
    assert_eq!((bits(&first), how), (bits(&plain), Cached::Written));
    let (second, how) = place.load(TEXT);
    assert_eq!((bits(&second), how), (bits(&plain), Cached::Found));
    assert_eq!(second.schema, plain.schema);
    assert_eq!(place.files().len(), 1, "nothing else is left");
    // Each task with its own rows, and no other parts.
    let by = "
        source.path = 'DIR/a.csv'
        inputs = { one_hot = ['e'] }
        tasks_by = 'c'
        targets = [{ name = 'y', kind = 'multiclass' }]
    ";
    let (first, _) = place.load(by);
    let (second, how) = place.load(by);
    assert_eq!((bits(&second), how), (bits(&first), Cached::Found));
    assert_eq!(second.splits.train.inputs.len(), 4);
}

#[test]
fn another_content_or_setting_is_another_file_and_another_path_is_not() {
    let place = Place::new();
    let (before, _) = place.load(TEXT);
    assert_eq!(place.load(&TEXT.replace("0.2", "0.3")).1, Cached::Written);
    assert_eq!(place.load(&TEXT.replace("one_hot = ['c']", "one_hot = []")).1, Cached::Written);
    fs_err::copy(place.folder.path().join("a.csv"), place.folder.path().join("other.csv")).unwrap();
    let (moved, how) = place.load(&TEXT.replace("a.csv", "other.csv"));
    assert_eq!(how, Cached::Found);
    assert_eq!((moved.digest, before.digest.len()), (before.digest.clone(), 64));
    let plain = place.described(&TEXT.replace("a.csv", "other.csv")).load().unwrap();
    assert_eq!(moved.schema, plain.schema, "the schema names the file that was asked for");
    // The same size and time, one digit differs.
    let path = place.folder.path().join("b.csv");
    let time = fs_err::metadata(&path).unwrap().modified().unwrap();
    let text = fs_err::read_to_string(&path).unwrap();
    fs_err::write(&path, text.replace("1.25", "2.25")).unwrap();
    fs_err::OpenOptions::new().write(true).open(&path).unwrap().file().set_modified(time).unwrap();
    let (changed, how) = place.load(TEXT);
    assert_eq!(how, Cached::Written);
    assert_ne!(changed.digest, before.digest);
}

#[test]
fn damaged_and_foreign_files_are_passed_over_and_written_anew() {
    let place = Place::new();
    let plain = bits(&place.load(TEXT).0);
    let path = place.files().remove(0);
    let good = fs_err::read(&path).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let foreign = [MAGIC, &checksum(b"{}").to_le_bytes(), b"{}"].concat();
    for bad in [&good[..good.len() / 2], &flipped, &foreign, b"", b"something else"] {
        fs_err::write(&path, bad).unwrap();
        let (found, how) = place.load(TEXT);
        assert_eq!((bits(&found), how), (plain.clone(), Cached::Written));
        assert_eq!(fs_err::read(&path).unwrap(), good);
    }
}

#[test]
fn a_folder_that_cannot_be_written_to_is_no_error() {
    let place = Place::new();
    fs_err::write(place.folder.path().join("cache"), "a file, no folder").unwrap();
    let (found, how) = place.load(TEXT);
    assert!(matches!(how, Cached::Refused(_)), "{how:?}");
    assert_eq!(bits(&found), bits(&place.described(TEXT).load().unwrap()));
    let missing = place.described(&TEXT.replace("a.csv", "absent.csv")).load_cached(&place.cache());
    assert!(matches!(missing.unwrap_err(), Error::Missing { .. }));
}

#[test]
fn two_at_once_do_not_disturb_each_other_and_old_files_go() {
    let place = Place::new();
    let plain = bits(&place.described(TEXT).load().unwrap());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(bits(&place.load(TEXT).0), plain));
        }
    });
    for i in 0..KEPT + 3 {
        fs_err::write(place.cache().join(format!("{i}.{ENDING}")), "old").unwrap();
    }
    fs_err::write(place.cache().join("notes.txt"), "not ours").unwrap();
    assert_eq!(place.load(&TEXT.replace("0.2", "0.4")).1, Cached::Written);
    assert_eq!(place.load(&TEXT.replace("0.2", "0.4")).1, Cached::Found, "the latest stays");
    assert_eq!(place.files().len(), KEPT + 1);
}

#[test]
fn what_a_killed_process_left_half_written_is_removed_when_it_is_old() {
    let place = Place::new();
    fs_err::create_dir_all(place.cache()).unwrap();
    let at = |name: &str| place.cache().join(name);
    for name in [".writing-old", ".writing-new", "notes"] {
        fs_err::write(at(name), "").unwrap();
    }
    let before = std::time::SystemTime::now() - Duration::from_hours(2);
    for name in [".writing-old", "notes"] {
        fs_err::OpenOptions::new().write(true).open(at(name)).unwrap().file().set_modified(before).unwrap();
    }
    assert_eq!(place.load(TEXT).1, Cached::Written);
    assert!(!at(".writing-old").exists() && at(".writing-new").exists() && at("notes").exists());
}
