use std::io::{Cursor, Write};

use image::{GrayImage, ImageFormat, Luma};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

/// A white 4x4 picture with ink in the upper left quarter.
fn png() -> Vec<u8> {
    let image = GrayImage::from_fn(4, 4, |x, y| Luma([if x < 2 && y < 2 { 0 } else { 255 }]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn drawings(half: &str, alphabet: &str) -> Vec<String> {
    let one = |c, d| format!("{half}/{alphabet}/character{c:02}/0001_{d:02}.png");
    (1..=3).flat_map(|c| (1..=2).map(move |d| one(c, d))).collect()
}

fn write_zip(dir: &Path, half: &str, alphabet: &str) {
    let mut zip = ZipWriter::new(fs_err::File::create(dir.join(format!("{half}.zip"))).unwrap());
    for name in drawings(half, alphabet).into_iter().rev() {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(&png()).unwrap();
    }
    zip.finish().unwrap();
}

fn archives() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_zip(dir.path(), "images_background", "Alpha");
    write_zip(dir.path(), "images_evaluation", "Beta");
    dir
}

#[test]
fn archives_and_folders_give_the_same() {
    let dir = archives();
    let packed = Omniglot::open(dir.path(), 2).unwrap();
    assert_eq!(packed.background().names(), ["Alpha/character01", "Alpha/character02", "Alpha/character03"]);
    let (images, _) = packed.background().labelled().unwrap();
    assert_eq!(images.size(), [6, 1, 2, 2]);
    assert_eq!(Vec::<u8>::try_from(images.get(5).reshape([-1])).unwrap(), [255, 0, 0, 0]);

    let unpacked = tempfile::tempdir().unwrap();
    for name in [drawings("images_background", "Alpha"), drawings("images_evaluation", "Beta")].concat() {
        let path = unpacked.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, png()).unwrap();
    }
    let unpacked = Omniglot::open(unpacked.path(), 2).unwrap();
    assert_eq!(unpacked.evaluation().names(), packed.evaluation().names());
    assert_eq!(unpacked.background().labelled().unwrap().0, images);
}

#[test]
fn what_is_no_drawing_is_named_and_every_split_counted() {
    let dir = tempfile::tempdir().unwrap();
    for name in [drawings("images_background", "Alpha"), drawings("images_evaluation", "Beta")].concat() {
        let path = dir.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, png()).unwrap();
    }
    let half = dir.path().join("images_background");
    assert!(Omniglot::open(dir.path(), 2).unwrap().passed_over().is_empty());
    let digest = Omniglot::open(dir.path(), 2).unwrap().digest().unwrap();
    fs_err::write(half.join("notes.txt"), "x").unwrap();
    fs_err::write(half.join("Alpha/character01/0001_03.PNG"), png()).unwrap();
    fs_err::create_dir(half.join("Alpha/character09")).unwrap();
    let omniglot = Omniglot::open(dir.path(), 2).unwrap();
    assert_eq!(
        omniglot.passed_over(),
        [
            "images_background/Alpha/character01/0001_03.PNG",
            "images_background/Alpha/character09",
            "images_background/notes.txt"
        ]
    );
    assert_eq!(omniglot.digest().unwrap(), digest);
    let pools = omniglot.split(&OmniglotSplit::Lake, Rotations::Quarter).unwrap();
    let counts: Vec<_> = pools.counts().into_iter().map(|of| (of.split, of.classes, of.examples)).collect();
    assert_eq!(counts, [("train".to_owned(), 12, 24), ("test".to_owned(), 12, 24)]);
    // One drawing of the other half, in another place.
    let white = GrayImage::from_pixel(4, 4, Luma([255]));
    white.save(dir.path().join("images_evaluation/Beta/character03/0001_02.png")).unwrap();
    assert_ne!(Omniglot::open(dir.path(), 2).unwrap().digest().unwrap(), digest);
}

#[test]
fn splits_share_no_class() {
    let dir = archives();
    let omniglot = Omniglot::open(dir.path(), 2).unwrap();
    let lake = omniglot.split(&OmniglotSplit::Lake, Rotations::Quarter).unwrap();
    assert_eq!((lake.train.classes(), lake.test.unwrap().classes()), (12, 12));

    let random: OmniglotSplit = toml::from_str("random = { train = 3, validation = 1, seed = 4 }").unwrap();
    let pools = omniglot.split(&random, Rotations::None).unwrap();
    let (validation, test) = (pools.validation.unwrap(), pools.test.unwrap());
    let mut names = [pools.train.names(), validation.names(), test.names()].concat();
    names.sort_unstable();
    names.dedup();
    assert_eq!((pools.train.classes(), validation.classes(), names.len()), (3, 1, 6));
    for bad in ["random = { train = 6 }", "random = { train = 0 }"] {
        assert!(omniglot.split(&toml::from_str(bad).unwrap(), Rotations::None).is_err());
    }
}

#[test]
fn lists_name_rotations() {
    let dir = archives();
    let omniglot = Omniglot::open(dir.path(), 2).unwrap();
    let files = VinyalsFiles {
        train: dir.path().join("train.txt"),
        validation: dir.path().join("val.txt"),
        test: dir.path().join("test.txt"),
    };
    fs_err::write(&files.train, "Beta/character02/rot180\nAlpha/character01/rot000\n\n").unwrap();
    fs_err::write(&files.validation, "Alpha/character03/rot270\n").unwrap();
    fs_err::write(&files.test, "Alpha/character03/rot090\r\n").unwrap();
    let split = OmniglotSplit::Vinyals(files.clone());
    let pools = omniglot.split(&split, Rotations::None).unwrap();
    assert_eq!(pools.train.names(), ["Beta/character02/rot180", "Alpha/character01/rot000"]);
    let corner = pools.train.labelled().unwrap().0.get(0).reshape([-1]);
    assert_eq!(Vec::<u8>::try_from(corner).unwrap(), [0, 0, 0, 255]);

    for (file, text, says) in [
        (&files.test, "Alpha/character03/rot090\nAlpha/character03/rot090\n", "test.txt, line 1 already"),
        (&files.test, "Alpha/character01/rot000\n", "train.txt, line 2 already"),
    ] {
        let before = fs_err::read_to_string(file).unwrap();
        fs_err::write(file, text).unwrap();
        let error = omniglot.split(&split, Rotations::None).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        fs_err::write(file, before).unwrap();
    }
    fs_err::write(&files.test, "Alpha/character3/rot090\n").unwrap();
    let error = omniglot.split(&split, Rotations::None).unwrap_err().to_string();
    assert!(
        error.contains("line 1") && error.contains("did you mean `Alpha/character03/rot090`?"),
        "{error}"
    );
    fs_err::write(&files.test, "\n").unwrap();
    assert!(omniglot.split(&split, Rotations::None).unwrap_err().to_string().contains("lists no class"));
}

#[test]
fn absent_and_damaged_archives_are_named() {
    let dir = archives();
    let evaluation = dir.path().join("images_evaluation.zip");
    let whole = fs_err::read(&evaluation).unwrap();
    fs_err::write(&evaluation, &whole[..whole.len() / 2]).unwrap();
    let error = Omniglot::open(dir.path(), 2).unwrap_err().to_string();
    assert!(error.contains("truncated or damaged"), "{error}");
    fs_err::remove_file(&evaluation).unwrap();
    let error = Omniglot::open(dir.path(), 2).unwrap_err();
    assert!(matches!(&error, Error::Missing { hint, .. } if hint.contains("brendenlake")), "{error}");
    write_zip(dir.path(), "images_evaluation", "Beta/deeper");
    let error = Omniglot::open(dir.path(), 2).unwrap_err().to_string();
    assert!(error.contains("has no drawings"), "{error}");
    for size in [0, 1025, usize::MAX] {
        assert!(Omniglot::open(dir.path(), size).unwrap_err().to_string().contains("`size`"));
    }
}

/// Bytes with a few of them changed, taken out, or cut off, by a small generator of its own.
fn mutated(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % below.max(1)
    };
    let mut bytes = bytes.to_vec();
    for _ in 0..=next(3) {
        let at = next(bytes.len());
        match next(4) {
            0 => bytes.truncate(at.max(1)),
            1 => bytes.extend_from_within(at..),
            2 => bytes[at] ^= 1 << next(8),
            _ => bytes[at] = [0, 1, 0x7f, 0xff][next(4)],
        }
    }
    bytes
}

#[test]
fn no_damage_of_a_picture_or_an_archive_makes_it_panic_or_take_memory() {
    let whole = png();
    let mut read = 0;
    for seed in 0..3000 {
        read += usize::from(
            crate::picture::decode(
                &mutated(&whole, seed),
                Path::new("a"),
                "b",
                crate::picture::Form::square(crate::Channels::Gray, 2),
            )
            .is_ok(),
        );
    }
    assert!(read < 1500, "damage is noticed: {read}");
    let dir = archives();
    let path = dir.path().join("images_evaluation.zip");
    let whole = fs_err::read(&path).unwrap();
    for seed in 0..300 {
        fs_err::write(&path, mutated(&whole, seed)).unwrap();
        if let Err(error) = Omniglot::open(dir.path(), 2) {
            assert!(error.path().is_some() && !error.to_string().contains("panicked"), "{seed}: {error}");
        }
    }
}

#[test]
fn a_picture_that_declares_more_than_there_is_is_refused_before_memory_is_taken() {
    let mut huge = png();
    // Width and height stand behind the signature, the length and the name of the first chunk.
    for side in [[0_u8, 0, 0x3f, 0xff], [0x7f, 0xff, 0xff, 0xff]] {
        huge[16..20].copy_from_slice(&side);
        huge[20..24].copy_from_slice(&side);
        let mut crc = flate2::Crc::new();
        crc.update(&huge[12..29]);
        huge[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        let decoded = crate::picture::decode(
            &huge,
            Path::new("a"),
            "b",
            crate::picture::Form::square(crate::Channels::Gray, 2),
        );
        assert!(matches!(decoded, Err(Error::Corrupt { .. })), "{side:?}");
    }
}
