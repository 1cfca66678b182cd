use std::io::Write;
use std::path::Path;

use manytask_tensor::{Device, Kind};

use super::*;
use crate::LabelCounts;

/// Writes an IDX file of these dimensions.
fn idx(path: &Path, sizes: &[u32], bytes: &[u8]) {
    let mut content = vec![0, 0, 8, sizes.len() as u8];
    content.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    content.extend(bytes);
    fs_err::write(path, content).unwrap();
}

/// Six images of 2 x 2 pixels whose value is ten times their number, with their classes; two test images.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let pixels = |numbers: &[u8]| numbers.iter().flat_map(|n| [n * 10; 4]).collect::<Vec<u8>>();
    idx(&dir.path().join("train-images"), &[6, 2, 2], &pixels(&[1, 2, 3, 4, 5, 6]));
    idx(&dir.path().join("train-labels"), &[6], &[0, 1, 2, 0, 1, 2]);
    idx(&dir.path().join("test-images"), &[2, 2, 2], &pixels(&[7, 8]));
    idx(&dir.path().join("test-labels"), &[2], &[2, 1]);
    dir
}

const FILES: &str = "
train = { images = 'train-images', labels = ['train-labels'] }
test = { images = 'test-images', labels = ['test-labels'] }
";

fn load(dir: &Path, text: &str) -> Result<LoadedImages> {
    toml::from_str::<ImageDataset>(text).unwrap().load(dir)
}

fn loaded(text: &str) -> Result<LoadedImages> {
    load(folder().path(), &(FILES.to_owned() + text))
}

fn bytes(split: &SplitData) -> Vec<u8> {
    let Some(Inputs::Images(images)) = split.inputs.first() else { panic!("images") };
    Vec::try_from(images.pixels().reshape([-1])).unwrap()
}

fn classes(split: &SplitData, task: usize) -> Vec<i64> {
    Vec::try_from(&split.tasks[task].target).unwrap()
}

#[test]
fn images_have_a_task_for_each_target_and_stay_bytes() {
    let data = loaded(
        "targets = [{ name = 'class', missing = [1] }, { name = 'first', positive = [0], missing = [2] }]",
    )
    .unwrap();
    let train = &data.splits.train;
    assert_eq!(bytes(train)[..5], [10, 10, 10, 10, 20]);
    assert_eq!(classes(train, 0), [0, MISSING, 2, 0, MISSING, 2]);
    let answers: Vec<f32> = Vec::try_from(&train.tasks[1].target).unwrap();
    assert!(answers[2].is_nan() && answers[5].is_nan());
    assert_eq!([answers[0], answers[1], answers[3]], [1.0, 0.0, 1.0]);
    assert_eq!(
        (data.schema.image.as_slice(), data.schema.task_names()),
        (&[1, 2, 2][..], vec!["class", "first"])
    );
    assert_eq!(data.schema.tasks[0].classes, ["0", "1", "2"]);
    assert_eq!(data.report.summary(), "data: 6 train, 2 test images of 1 x 2 x 2");
    let (_, counts) = &data.report.targets[0].splits[0];
    assert_eq!(*counts, LabelCounts::Classes { counts: vec![2, 0, 2], missing: 2 });
    let text = serde_json::to_string(&data.schema).unwrap();
    assert_eq!(serde_json::from_str::<ImageSchema>(&text).unwrap(), data.schema);
}

const MISSING: i64 = crate::MISSING_CLASS;

#[test]
fn a_pair_is_two_images_in_opposite_corners_and_the_larger_value_where_they_meet() {
    let data = loaded("targets = [{ name = 'class' }]\npairs = { canvas = 3 }").unwrap();
    let train = &data.splits.train;
    assert_eq!(train.tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), ["left", "right"]);
    let canvases = bytes(train);
    let mut seconds = Vec::new();
    for (number, canvas) in canvases.chunks(9).enumerate() {
        let first = 10 * (number as u8 + 1);
        let second = canvas[8];
        let both = first.max(second);
        assert_eq!(canvas, [first, first, 0, first, both, second, 0, second, second]);
        assert_eq!(classes(train, 0)[number], i64::from((first / 10 - 1) % 3));
        assert_eq!(classes(train, 1)[number], i64::from((second / 10 - 1) % 3));
        seconds.push(second);
    }
    assert!(seconds != [10, 20, 30, 40, 50, 60]);
    seconds.sort_unstable();
    assert_eq!(seconds, [10, 20, 30, 40, 50, 60]);
    assert!(data.report.notes[0].0.contains("3 x 3 pixels"), "{:?}", data.report.notes);
    // A test canvas has test images alone.
    let test = data.splits.test.as_ref().unwrap();
    assert!(bytes(test).iter().all(|pixel| [0, 70, 80].contains(pixel)));
    let again = loaded("targets = [{ name = 'class' }]\npairs = { canvas = 3 }").unwrap();
    assert_eq!((bytes(&again.splits.train), again.split_digest), (canvases, data.split_digest.clone()));
    let other = loaded("seed = 5\ntargets = [{ name = 'class' }]\npairs = { canvas = 3 }").unwrap();
    assert_ne!(bytes(&other.splits.train), bytes(train));
    assert_ne!(other.split_digest, data.split_digest);
    assert_eq!(other.digest, data.digest);
    let several = "targets = [{ name = 'a' }, { name = 'b', positive = [1] }]\npairs = { canvas = 2 }";
    assert_eq!(loaded(several).unwrap().schema.task_names(), ["a_left", "a_right", "b_left", "b_right"]);
}

#[test]
fn validation_images_are_held_out_before_pairs_are_made() {
    let text = "validation_fraction = 0.34\ntargets = [{ name = 'class' }]\npairs = { canvas = 4 }";
    let data = loaded(text).unwrap();
    let seen = |split: &SplitData| {
        let mut seen: Vec<u8> = bytes(split).into_iter().filter(|pixel| *pixel > 0).collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    };
    let (train, validation) = (seen(&data.splits.train), seen(data.splits.validation.as_ref().unwrap()));
    assert_eq!((train.len(), validation.len()), (4, 2));
    assert!(train.iter().all(|pixel| !validation.contains(pixel)));
}

#[test]
fn pixels_are_standardised_by_the_training_split() {
    let data = loaded("targets = [{ name = 'class' }]\nscale = 'standard'").unwrap();
    let numbers = data.splits.train.inputs[0].tensor(Kind::Double).unwrap();
    assert!(numbers.mean(Kind::Double).double_value(&[]).abs() < 1e-12);
    assert!((numbers.std(false).double_value(&[]) - 1.0).abs() < 1e-12);
    let given = "targets = [{ name = 'class' }]\nscale = { given = { mean = [0.5], std = [0.25] } }";
    let numbers = loaded(given).unwrap().splits.train.inputs[0].tensor(Kind::Double).unwrap();
    assert!((numbers.double_value(&[0, 0, 0, 0]) - (10.0 / 255.0 - 0.5) / 0.25).abs() < 1e-12);
}

#[test]
fn what_does_not_fit_is_named_with_its_file() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    idx(&at("few"), &[5], &[0; 5]);
    idx(&at("columns"), &[6, 2], &[0, 1, 1, 1, 2, 1, 0, 1, 1, 1, 2, 1]);
    idx(&at("larger"), &[2, 3, 3], &[0; 18]);
    fs_err::write(at("text"), "no IDX").unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&fs_err::read(at("train-images")).unwrap()).unwrap();
    let packed = packed.finish().unwrap();
    fs_err::write(at("cut.gz"), &packed[..packed.len() - 9]).unwrap();
    let error = |text: &str| load(dir.path(), text).unwrap_err().to_string();
    let train = |images: &str, labels: &str| {
        error(&format!(
            "train = {{ images = '{images}', labels = ['{labels}'] }}\ntargets = [{{ name = 'class' }}]"
        ))
    };
    let cases = [
        (train("train-images", "few"), "few: header: has 5 labels, but "),
        (train("train-labels", "train-labels"), "is this the file of labels?"),
        (train("train-images", "train-images"), "is this the file of images?"),
        (train("text", "train-labels"), "text: header: is not IDX"),
        (train("cut.gz", "train-labels"), "cut.gz: gzip, after"),
        (train("absent", "train-labels"), "absent: not found"),
        (
            error(
                "train = { images = 'train-images', labels = ['columns'] }\ntargets = [{ name = 'a', column = 2 }]",
            ),
            "no column 2 of labels",
        ),
        (
            error(
                "train = { images = 'train-images', labels = ['train-labels'] }\ntest = { images = 'larger', labels = ['test-labels'] }\ntargets = [{ name = 'a' }]",
            ),
            "larger: header: has images of 1 x 3 x 3",
        ),
        (
            error(&format!("{FILES}targets = [{{ name = 'a' }}]\npairs = {{ canvas = 1 }}")),
            "are 2 x 2 pixels",
        ),
        (
            error(&format!("{FILES}targets = [{{ name = 'a', classes = ['x', 'y'] }}]")),
            "train-labels: image 3 of the train split: target `a`: the label 2 is beyond the 2 `classes`",
        ),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "{found}\n{expected}");
    }
    let columns = "train = { images = 'train-images', labels = ['train-labels', 'columns'] }\n\
                   targets = [{ name = 'a', column = 1 }, { name = 'b', column = 2 }]";
    let data = load(dir.path(), columns).unwrap();
    assert_eq!(classes(&data.splits.train, 0), [0, 1, 2, 0, 1, 2]);
    assert_eq!(classes(&data.splits.train, 1), [1; 6]);
}

#[test]
fn impossible_descriptions_are_refused_before_anything_is_read() {
    let refused = |text: &str| {
        let text = format!("train = {{ images = 'a', labels = ['b'] }}\n{text}");
        toml::from_str::<ImageDataset>(&text).unwrap().check().unwrap_err().to_string()
    };
    let cases = [
        ("targets = []", "there are none"),
        ("targets = [{ name = 'a' }, { name = 'a' }]", "two are called `a`"),
        ("targets = [{ }]", "number 1 has no `name`"),
        ("targets = [{ name = 'a', positive = [1], classes = ['x'] }]", "leave one of them out"),
        ("targets = [{ name = 'a', positive = [1], missing = [1] }]", "label 1"),
        ("validation_fraction = 1.0\ntargets = [{ name = 'a' }]", "validation_fraction = 1"),
        (
            "validation_fraction = 0.1\nvalidation = { images = 'a', labels = [] }\ntargets = [{ name = 'a' }]",
            "either",
        ),
        ("pairs = { canvas = 0 }\ntargets = [{ name = 'a' }]", "`canvas` is 0"),
    ];
    for (text, expected) in cases {
        let found = refused(text);
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn a_model_reads_idx_files_pictures_and_folders() {
    let dir = folder();
    let data = load(dir.path(), &(FILES.to_owned() + "targets = [{ name = 'class' }]")).unwrap();
    let schema = &data.schema;
    let rows = schema.read(&dir.path().join("test-images")).unwrap();
    assert_eq!((rows.inputs.rows(), rows.files.is_none()), (2, true));
    let pictures = dir.path().join("pictures");
    fs_err::create_dir(&pictures).unwrap();
    for (name, value) in [("b.png", 90), ("a.png", 30)] {
        let picture = image::GrayImage::from_pixel(4, 6, image::Luma([value]));
        picture.save(pictures.join(name)).unwrap();
    }
    fs_err::write(pictures.join("notes.txt"), "x").unwrap();
    let rows = schema.read(&pictures).unwrap();
    let note = &rows.notes[0].0;
    assert!(
        note.starts_with("2 pictures all of one size, such as 6 x 4 pixels") && note.contains("stretched"),
        "{note}"
    );
    assert_eq!(rows.files.unwrap(), ["a.png", "b.png"]);
    let numbers = rows.inputs.tensor(Kind::Double).unwrap();
    assert_eq!(numbers.size(), [2, 1, 2, 2]);
    assert!((numbers.double_value(&[0, 0, 1, 1]) - 30.0 / 255.0).abs() < 1e-12);
    assert_eq!(schema.read(&pictures.join("b.png")).unwrap().inputs.rows(), 1);
    idx(&dir.path().join("larger"), &[1, 3, 3], &[0; 9]);
    let error = schema.read(&dir.path().join("larger")).unwrap_err().to_string();
    assert!(error.contains("has images of 1 x 3 x 3, the model takes 1 x 2 x 2"), "{error}");
    fs_err::create_dir(dir.path().join("none")).unwrap();
    assert!(schema.read(&dir.path().join("none")).unwrap_err().to_string().contains("has no .png"));
}

#[test]
fn idx_files_are_classes_of_episodes_too() {
    let dir = folder();
    let at = |name: &str| PathBuf::from(name);
    let files = |split: &str| ImageFiles {
        images: at(&format!("{split}-images")),
        labels: vec![at(&format!("{split}-labels"))],
    };
    let both = [files("train"), files("test")];
    let pool = idx_classes(&both, dir.path(), 0, None).unwrap();
    assert_eq!((pool.names(), pool.count(2)), (&["0".to_owned(), "1".into(), "2".into()][..], 3));
    let (images, _) = pool.labelled().unwrap();
    assert_eq!(
        Vec::<u8>::try_from(images.select(3, 0).select(2, 0).select(1, 0)).unwrap()[5..],
        [30, 60, 70]
    );
    let larger = idx_classes(&both, dir.path(), 0, Some((4, crate::Resize::Nearest))).unwrap();
    assert_eq!(larger.example_shape(), [1, 4, 4]);
    assert!(idx_classes(&[], dir.path(), 0, None).is_err());
    assert!(idx_classes(&both, dir.path(), 3, None).unwrap_err().to_string().contains("no column 3"));
    // A label that no image has is no class.
    idx(&dir.path().join("test-labels"), &[2], &[9, 9]);
    assert_eq!(idx_classes(&both, dir.path(), 0, None).unwrap().names(), ["0", "1", "2", "9"]);
}

#[test]
fn classes_that_are_only_judged_are_noted() {
    let dir = folder();
    idx(&dir.path().join("test-labels"), &[2], &[4, 1]);
    let data = load(dir.path(), &(FILES.to_owned() + "targets = [{ name = 'class' }]")).unwrap();
    assert_eq!(data.schema.tasks[0].classes.len(), 5);
    let note = &data.report.notes[0].0;
    assert!(note.contains("no training image is of `4`, but test images are"), "{note}");
    let zeros = Tensor::zeros([3, 2, 2, 2], (Kind::Uint8, Device::Cpu));
    assert_eq!(Normalisation::of(&zeros).unwrap(), Normalisation { mean: vec![0.0; 2], std: vec![1.0; 2] });
}
