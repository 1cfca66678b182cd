//! Learners on episodes: what is refused before the first step, and what is told with a result.

use std::io::Write as _;

use manytask::data_sets::{OmniglotSplit, RandomCharacters, Rotations};
use manytask::episodes::{EpisodeSettings, OmniglotSection};
use manytask::tensor::Device;

use crate::command::{Place, Said};

/// Drawings of `characters` characters in each half, `each` of each, in folders as Omniglot's.
fn drawings(place: &Place, characters: usize, each: usize) {
    for half in ["images_background", "images_evaluation"] {
        for character in 1..=characters {
            let folder = place.at(&format!("tree/{half}/Made_up/character{character:02}"));
            fs_err::create_dir_all(&folder).unwrap();
            for number in 1..=each {
                let pixel = |x: usize, y: usize| {
                    if (x / 4 * 3 + y / 4 * 5 + number / 3).is_multiple_of(character + 2) { 0 } else { 255 }
                };
                fs_err::write(folder.join(format!("{character:04}_{number:02}.png")), png(28, pixel))
                    .unwrap();
            }
        }
    }
}

/// A grey picture as PNG.
pub(crate) fn png(side: usize, pixel: impl Fn(usize, usize) -> u8) -> Vec<u8> {
    let chunk = |kind: &[u8], data: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(data);
        [&(data.len() as u32).to_be_bytes(), kind, data, &crc.sum().to_be_bytes()].concat()
    };
    let rows =
        (0..side).flat_map(|y| std::iter::once(0).chain((0..side).map(|x| pixel(x, y)).collect::<Vec<_>>()));
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&rows.collect::<Vec<u8>>()).unwrap();
    let side = (side as u32).to_be_bytes();
    let header = [&side[..], &side, &[8, 0, 0, 0, 0]].concat();
    [
        &b"\x89PNG\r\n\x1a\n"[..],
        &chunk(b"IHDR", &header),
        &chunk(b"IDAT", &packed.finish().unwrap()),
        &chunk(b"IEND", &[]),
    ]
    .concat()
}

const PICTURES: &str = r#"seed = 1
threads = 1
[data]
kind = "omniglot"
folder = "tree"
split.random = { train = 6, validation = 4, seed = 1 }
rotations = "none"
ways = 3
shots = 1
queries = 1
[network]
kind = "conv4"
hidden = 2
[learner]
kind = "maml"
inner_learning_rate = 0.1
[aggregator]
kind = "equal_weights"
[optimizer]
kind = "adam"
learning_rate = 0.001
[training]
steps = 2
tasks_per_step = 2
[evaluation]
tasks = 4
"#;

const WAVES: &str = r#"seed = 1
threads = 1
[data]
kind = "sinusoid"
[network]
kind = "mlp"
hidden = [40, 40]
[learner]
kind = "maml"
[aggregator]
kind = "equal_weights"
[optimizer]
kind = "adam"
learning_rate = 0.001
[training]
steps = 2
tasks_per_step = 2
[evaluation]
tasks = 10
"#;

fn place() -> Place {
    let place = Place::new();
    drawings(&place, 7, 4);
    place.write("pictures.toml", PICTURES);
    place.write("waves.toml", WAVES);
    place
}

/// Each is refused as a configuration that is impossible, every second one by `--dry-run`, and nothing is left.
fn refused(place: &Place, config: &str, mistakes: &[(&[&str], &[&str])]) {
    for ((arguments, says), dry) in mistakes.iter().zip([&[][..], &["--dry-run"]].into_iter().cycle()) {
        let said = place.run(&[&["train", config], *arguments, dry].concat());
        assert_eq!(said.code, Some(3), "{arguments:?}: {said:?}");
        assert!(says.iter().all(|words| said.err.contains(words)), "{arguments:?} {says:?}: {}", said.err);
        assert!(!place.at("runs").exists(), "{arguments:?}");
    }
}

#[test]
fn characters_are_labelled_from_a_drawing_of_each() {
    let place = place();
    place.good(&["train", "pictures.toml", "--quiet", "--name", "c", "learner={ kind = \"protonet\" }"]);
    let of = |character: usize, number: usize| {
        let name =
            format!("tree/images_evaluation/Made_up/character{character:02}/{character:04}_{number:02}.png");
        fs_err::read(place.at(&name)).unwrap()
    };
    for character in 1..=4 {
        fs_err::create_dir_all(place.at(&format!("known/character{character}"))).unwrap();
        place.write(&format!("known/character{character}/a.png"), of(character, 1));
        fs_err::create_dir_all(place.at("unknown")).unwrap();
        place.write(&format!("unknown/{character}.png"), of(character, 2));
    }
    let said = place.good(&["adapt", "runs/c", "--support", "known", "--query", "unknown"]);
    for (line, character) in said.out.lines().skip(1).zip(1..) {
        assert!(line.starts_with(&format!("{character}.png,character{character},")), "{said:?}");
    }
}

#[test]
fn splits_that_cannot_give_the_tasks_are_refused_before_the_first_step() {
    let place = place();
    place.good(&["train", "pictures.toml", "--dry-run"]);
    let few = "data.split.random={ train = 6, validation = 2, seed = 1 }";
    let little = "data.split.random={ train = 10, validation = 2, seed = 1 }";
    let mistakes: &[(&[&str], &[&str])] = &[
        (&["data.ways=7"], &["the train split has only 6 classes", "`ways` is 7"]),
        (
            &[few, "training.validate_every_steps=1"],
            &["the validation split has only 2 classes", "pictures.toml:"],
        ),
        (&[little], &["the test split has only 2 classes"]),
        (&["evaluation.queries=4"], &["1 shots and 4 `queries`", "of the test split has only 4"]),
        (&["data.shots=4"], &["of the train split has only 4"]),
        (&["data.ways=1"], &["`ways` is 1"]),
        (&["data.shots=0"], &["`shots` is 0"]),
        (&["data.queries=0"], &["`queries` is 0"]),
        (&["data.split=\"lake\"", "training.validate_every_steps=1"], &["validation"]),
        (&["data.size=8"], &["8 pixels for 4 blocks"]),
        (&["learner={ kind = \"protonet\" }", "network={ kind = \"mlp\", hidden = [] }"], &["no parameters"]),
        (&["data.ways=18446744073709551615"], &[]),
        (&["data.shots=9223372036854775807", "data.queries=9223372036854775807"], &[]),
        (&["data.size=1000000000000"], &["size"]),
    ];
    refused(&place, "pictures.toml", mistakes);
    // A validation split that nothing asks for may be small.
    place.good(&["train", "pictures.toml", few, "--dry-run"]);
}

#[test]
fn waves_that_cannot_be_learned_from_are_refused_before_the_first_step() {
    let place = place();
    let batch_norm = "network.norm=\"batch\"";
    let mistakes: &[(&[&str], &[&str])] = &[
        (&["data.shots=0"], &["`shots` is 0"]),
        (&["data.queries=0"], &["`queries` is 0"]),
        (&["evaluation.queries=0"], &["evaluation"]),
        (&["learner={ kind = \"protonet\" }"], &["protonet", "classes"]),
        (
            &[batch_norm, "data.shots=1"],
            &["support set of a task of the train split has 1 example,", "hint: take 2 shots"],
        ),
        (&[batch_norm, "data.queries=1"], &["query set of a task of the train split"]),
        (&[batch_norm, "evaluation.queries=1"], &["query set of a task of the test split"]),
        (&["data.amplitude=[0.0, 1e300]"], &["amplitude"]),
        (&["training.tasks_per_step=1000000000000"], &["tasks_per_step"]),
        (&["evaluation.tasks=1000000000000"], &["tasks"]),
        (&["evaluation.inner_steps=4000000000"], &["inner_steps"]),
        (&["learner.inner_steps=4000000000"], &["inner_steps"]),
        (&["learner.inner_learning_rate=inf"], &["inner_learning_rate"]),
        (&["training.execution={ threads = 100000000000 }"], &["threads"]),
    ];
    refused(&place, "waves.toml", mistakes);
    place.good(&["train", "waves.toml", "data.shots=1", "data.queries=1", "--dry-run"]);
}

fn with_large_steps(place: &Place, arguments: &[&str]) -> Said {
    place.good(&[arguments, &["learner.inner_learning_rate=0.2", "evaluation.inner_steps=200"]].concat())
}

#[test]
fn adaptations_that_diverge_are_told_by_training_validation_and_eval() {
    let place = place();
    let said =
        with_large_steps(&place, &["train", "waves.toml", "training.validate_every_steps=2", "--name", "a"]);
    let told = said
        .err
        .lines()
        .filter(|line| line.starts_with("note: ") && line.contains("of 10 evaluation tasks diverged"));
    assert_eq!(told.count(), 2, "once for the validation and once for the test split: {said:?}");
    let results = place.read("runs/a/results.json");
    assert!(results.contains("\"diverged\"") && results.contains("\"notes\""), "{results}");
    assert!(!results.contains("NaN"), "{results}");
    let said = place.good(&["eval", "runs/a"]);
    assert!(said.err.contains("evaluation tasks diverged") && !said.out.contains("NaN"), "{said:?}");
    let said = place.good(&["eval", "runs/a", "--json"]);
    assert!(said.out.contains("\"notes\""), "{said:?}");
    // Nothing is said where nothing is amiss.
    let said = place.good(&["train", "waves.toml", "--name", "b"]);
    assert!(
        !said.err.contains("note") && !place.read("runs/b/results.json").contains("diverged"),
        "{said:?}"
    );
}

#[test]
fn classes_and_pictures_of_every_part_are_told_and_what_is_no_drawing() {
    let place = place();
    let said = place.good(&["train", "pictures.toml", "--name", "a"]);
    let line = "data: 6 train classes of 24 images, 4 validation classes of 16 images, 4 test classes of 16 images\n";
    assert!(said.err.contains(line) && !said.err.contains("note"), "{said:?}");
    assert!(said.err.contains("batch_norm: statistics of each pass' own examples"), "{said:?}");
    assert!(place.read("runs/a/results.json").contains("transductive"));
    place.write("tree/images_background/notes.txt", "x");
    let said = place.good(&["train", "pictures.toml", "--dry-run"]);
    assert!(
        said.err.contains("note: 1 files or folders are no drawings") && said.err.contains("notes.txt"),
        "{said:?}"
    );
}

#[test]
fn digests_are_of_all_parts_and_of_what_they_are_split_into() {
    let place = place();
    let folder = place.at("tree");
    let digests = |train, seed, rotations| {
        let split = OmniglotSplit::Random(RandomCharacters { train, validation: 4, seed });
        let section = OmniglotSection { split, rotations, size: 8, ..OmniglotSection::default() };
        let loaded = section.load(&folder, Device::Cpu).unwrap();
        (loaded.digest, loaded.split_digest)
    };
    let first = digests(6, 1, Rotations::None);
    assert_eq!(first, digests(6, 1, Rotations::None));
    for (digest, split) in
        [digests(5, 1, Rotations::None), digests(6, 2, Rotations::None), digests(6, 1, Rotations::Quarter)]
    {
        assert!(digest == first.0 && split != first.1);
    }
    for half in ["images_background", "images_evaluation"] {
        let before = digests(6, 1, Rotations::None);
        place.write(&format!("tree/{half}/Made_up/character07/0007_04.png"), png(28, |_, _| 255));
        let after = digests(6, 1, Rotations::None);
        assert!(before.0 != after.0 && before.1 != after.1, "{half}");
    }
}
