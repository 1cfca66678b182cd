//! Tasks on images of IDX files, from the configuration to predictions, and episodes of folders of pictures.

use std::path::Path;

use crate::command::Place;

/// An IDX file of these dimensions.
fn idx(path: &Path, sizes: &[u32], bytes: &[u8]) {
    let mut content = vec![0, 0, 8, sizes.len() as u8];
    content.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    content.extend(bytes);
    fs_err::write(path, content).unwrap();
}

const SIDE: usize = 14;

/// Pictures of 14 x 14 pixels: a bar across (class 0), down (1) or none (2), on dark or light ground (the second label).
fn pictures(place: &Place, name: &str, count: usize) {
    let (mut pixels, mut shapes, mut grounds) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..count {
        let (shape, light) = (number % 3, number / 3 % 2);
        let at = 3 + number % 7;
        for y in 0..SIDE {
            for x in 0..SIDE {
                let bar = (shape == 0 && y.abs_diff(at) < 2) || (shape == 1 && x.abs_diff(at) < 2);
                let noise = (x * 7 + y * 13 + number * 31) % 20;
                pixels.push(if bar { 230 - noise as u8 } else { (60 * light + noise) as u8 });
            }
        }
        shapes.push(shape as u8);
        grounds.push(light as u8);
    }
    let side = SIDE as u32;
    idx(&place.at(&format!("{name}-images")), &[count as u32, side, side], &pixels);
    idx(&place.at(&format!("{name}-shapes")), &[count as u32], &shapes);
    idx(&place.at(&format!("{name}-grounds")), &[count as u32], &grounds);
}

const CONFIG: &str = r#"seed = 3
threads = 1

[data]
kind = "idx"
train = { images = "train-images", labels = ["train-shapes", "train-grounds"] }
test = { images = "test-images", labels = ["test-shapes", "test-grounds"] }
validation_fraction = 0.1
scale = "standard"
targets = [
  { name = "shape", classes = ["across", "down", "none"] },
  { name = "light", column = 1, positive = [1] },
]

[network]
kind = "hard_sharing"
trunk = { kind = "lenet", channels = [4, 4], kernel = 3, hidden = [16], dropout = 0.1 }

[aggregator]
kind = "mgda"
level = "representation"

[optimizer]
kind = "adam"
learning_rate = 0.01

[training]
epochs = 6
batch_size = 16
validate_every_epochs = 1
save_every_steps = 7
"#;

fn place() -> Place {
    let place = Place::new();
    pictures(&place, "train", 240);
    pictures(&place, "test", 60);
    place.write("a.toml", CONFIG);
    place
}

#[test]
fn tasks_on_images_are_learned_judged_and_predicted() {
    let place = place();
    place.good(&["check", "a.toml"]);
    let said = place.good(&["train", "a.toml", "--name", "a"]);
    assert!(said.err.contains("data: 216 train, 24 validation, 60 test images of 1 x 14 x 14"), "{said:?}");
    assert!(said.err.contains("shape: train "), "{said:?}");
    let results: serde_json::Value = serde_json::from_str(&place.read("runs/a/results.json")).unwrap();
    for task in 0..2 {
        let metric = results["tasks"][task]["metrics"][0][1].as_f64().unwrap();
        assert!(metric > 0.9, "{results}");
    }
    let judged = place.good(&["eval", "runs/a", "--json"]);
    let judged: serde_json::Value = serde_json::from_str(&judged.out).unwrap();
    assert_eq!(judged["tasks"], results["tasks"]);

    let predicted = place.good(&["predict", "runs/a", "--input", "test-images"]).out;
    let mut lines = predicted.lines();
    assert_eq!(lines.next(), Some("shape=across,shape=down,shape=none,light"));
    let right = lines.enumerate().filter(|(number, line)| {
        let values: Vec<f64> = line.split(',').map(|value| value.parse().unwrap()).collect();
        assert!((values[..3].iter().sum::<f64>() - 1.0).abs() < 1e-9);
        (0..3).all(|class| values[class] <= values[number % 3]) && (values[3] > 0.5) == (number / 3 % 2 == 1)
    });
    assert!(right.count() > 50, "{predicted}");
    place.good(&["report", "runs/a"]);
    let page = place.read("runs/a/report.html");
    assert!(page.contains("Pictures that are predicted worst"), "{page}");
    assert_eq!(page.matches("<img src=\"data:image/png;base64,").count(), 2 * 12, "{page}");
    let runs = place.good(&["runs"]).out;
    assert!(runs.contains("predict") && runs.contains("µs/row"), "{runs}");
}

/// A run in two pieces ends with the same bytes as one in a single piece.
#[test]
fn a_run_on_images_that_was_stopped_goes_on_to_the_same_bytes() {
    let place = place();
    place.good(&["train", "a.toml", "--quiet", "--name", "whole"]);
    place.good(&["train", "a.toml", "--quiet", "--name", "pieces", "training.epochs=3"]);
    place.good(&["resume", "runs/pieces", "training.epochs=6"]);
    for file in ["results.json", "schema.json"] {
        assert_eq!(place.read(&format!("runs/whole/{file}")), place.read(&format!("runs/pieces/{file}")));
    }
}

#[test]
fn pictures_of_a_folder_are_predicted_with_their_names() {
    let place = place();
    place.good(&["train", "a.toml", "--quiet", "--name", "a", "training.epochs=1"]);
    fs_err::create_dir(place.at("mine")).unwrap();
    for name in ["b.png", "a.png"] {
        let pixel = |x: usize, _: usize| if x == 5 { 250 } else { 10 };
        fs_err::write(place.at("mine").join(name), super::episodes::png(20, pixel)).unwrap();
    }
    let predicted = place.good(&["predict", "runs/a", "--input", "mine"]).out;
    let names: Vec<&str> = predicted.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(names, ["file", "a.png", "b.png"]);
}

#[test]
fn what_does_not_fit_is_refused_with_its_place_and_exit_code() {
    let place = place();
    idx(&place.at("few"), &[3], &[0, 1, 2]);
    let cases: [(&str, &str, i32, &str); 6] = [
        ("labels = [\"train-shapes\"", "labels = [\"few\"", 4, "few: header: has 3 labels"),
        ("\"test-images\"", "\"absent\"", 4, "absent: not found"),
        ("channels = [4, 4]", "channels = [4, 4, 4]", 3, "take larger images"),
        ("column = 1", "column = 7", 3, "no column 7 of labels"),
        ("validation_fraction = 0.1", "validation_fraction = 0.0", 3, "no validation split"),
        ("scale = \"standard\"", "scale = \"standart\"", 3, "standart"),
    ];
    for (from, to, code, expected) in cases {
        assert!(CONFIG.contains(from), "{from}");
        place.write("b.toml", CONFIG.replace(from, to));
        let said = place.run(&["train", "b.toml"]);
        assert!(said.code == Some(code) && said.err.contains(expected), "{expected}: {said:?}");
        assert!(!place.at("runs").exists(), "nothing is left");
    }
    // What needs no data is said by `check`.
    place.write("b.toml", CONFIG.replace("channels = [4, 4]", "channels = [4, 0]"));
    assert_eq!(place.run(&["check", "b.toml"]).code, Some(3));
    let table = place.read("a.toml");
    let start = table.find("[data]").unwrap();
    let end = table.find("[network]").unwrap();
    let on_table = "[data]\nkind = \"table\"\nsource = { path = \"people.csv\" }\ninputs = { numeric = [\"age\"] }\n\
                    split.random = { validation = 0.2 }\ntargets = [{ name = \"rich\", kind = \"binary\" }]\n";
    place.write("b.toml", [&table[..start], on_table, &table[end..]].concat());
    let said = place.run(&["check", "b.toml"]);
    assert!(said.code == Some(3) && said.err.contains("lenet is for images"), "{said:?}");
}

/// So many folders, each with so many pictures of stripes of its own direction and width, with noise.
pub(crate) fn folder_of_classes(folder: &Path, classes: usize, each: usize) {
    for class in 0..classes {
        let of_class = folder.join(format!("class{class:02}"));
        fs_err::create_dir_all(&of_class).unwrap();
        for number in 0..each {
            let pixel = |x: usize, y: usize| {
                let along = if class % 2 == 0 { x + number } else { y + 2 * number };
                let stripe = along / (1 + class / 2) % 2;
                (200 * stripe + (x * 7 + y * 13 + number * 31) % 40) as u8
            };
            let side = 20 + 4 * (number % 2);
            fs_err::write(of_class.join(format!("{number:02}.png")), super::episodes::png(side, pixel))
                .unwrap();
        }
    }
}

const EPISODES: &str = r#"seed = 1
threads = 1
[data]
kind = "image_folder"
folder = "mine"
split.random = { validation = 0.25, test = 0.25, seed = 3 }
size = 16
ways = 3
shots = 1
queries = 3
[network]
kind = "mlp"
hidden = [32]
[learner]
kind = "protonet"
[aggregator]
kind = "equal_weights"
[optimizer]
kind = "adam"
learning_rate = 0.003
[training]
steps = 20
tasks_per_step = 4
validate_every_steps = 10
[evaluation]
tasks = 50
queries = 4
"#;

#[test]
fn a_folder_of_class_folders_gives_episodes() {
    let place = Place::new();
    folder_of_classes(&place.at("mine"), 12, 8);
    place.write("mine/readme.txt", "not a picture");
    place.write("e.toml", EPISODES);
    place.good(&["check", "e.toml"]);
    let said = place.good(&["train", "e.toml", "--name", "e"]);
    assert!(said.err.contains("data: 6 train classes of 48 images, 3 validation classes of 24"), "{said:?}");
    assert!(said.err.contains("`readme.txt`") && said.err.contains("of 2 sizes"), "{said:?}");
    let results: serde_json::Value = serde_json::from_str(&place.read("runs/e/results.json")).unwrap();
    assert!(results.to_string().contains("accuracy"), "{results}");
    place.good(&["eval", "runs/e"]);
    let config = place.read("runs/e/config.toml");
    assert!(config.contains("image_folder"), "{config}");

    // Given splits of folders, by their names.
    for (split, classes) in [("train", 4), ("test", 3)] {
        folder_of_classes(&place.at(&format!("given/{split}")), classes, 8);
    }
    for class in 0..3 {
        let of = |name: &str| place.at(&format!("given/test/{name}{class:02}"));
        fs_err::rename(of("class"), of("other")).unwrap();
    }
    let given = EPISODES
        .replace("folder = \"mine\"", "folder = \"given\"")
        .replace("split.random = { validation = 0.25, test = 0.25, seed = 3 }", "split = \"folders\"")
        .replace("validate_every_steps = 10\n", "");
    place.write("g.toml", given);
    let said = place.good(&["train", "g.toml", "--name", "g"]);
    assert!(said.err.contains("data: 4 train classes of 32 images, 3 test classes"), "{said:?}");
}

#[test]
fn folders_that_do_not_fit_are_refused_with_the_remedy() {
    let place = Place::new();
    folder_of_classes(&place.at("mine"), 12, 8);
    let cases: [(&str, &str, i32, &str); 7] = [
        ("folder = \"mine\"", "folder = \"none\"", 4, "none: not found"),
        ("queries = 3", "queries = 9", 3, "are 10 images of a class, but class"),
        ("ways = 3", "ways = 4", 3, "take fewer ways"),
        ("size = 16", "size = 0", 3, "`size` is 0"),
        ("size = 16", "size = 16\nresize = \"cubic\"", 3, "cubic"),
        ("test = 0.25", "test = 0.0", 3, "`test` is 0"),
        (
            "split.random = { validation = 0.25, test = 0.25, seed = 3 }",
            "split = \"folders\"",
            4,
            "split.random",
        ),
    ];
    for (from, to, code, expected) in cases {
        assert!(EPISODES.contains(from), "{from}");
        place.write("e.toml", EPISODES.replace(from, to));
        let said = place.run(&["train", "e.toml"]);
        assert!(said.code == Some(code) && said.err.contains(expected), "{expected}: {said:?}");
    }
    place.write("mine/class03/broken.png", "no picture");
    place.write("e.toml", EPISODES);
    let said = place.run(&["train", "e.toml"]);
    assert!(said.code == Some(4) && said.err.contains("class03/broken.png"), "{said:?}");
}

#[test]
fn idx_files_give_episodes_too() {
    let place = place();
    let idx_classes = EPISODES
        .replace(
            "kind = \"image_folder\"\nfolder = \"mine\"",
            "kind = \"idx_classes\"\nfiles = [{ images = \"train-images\", labels = [\"train-shapes\"] }]",
        )
        .replace("validation = 0.25, test = 0.25", "test = 0.34")
        .replace("ways = 3", "ways = 2")
        .replace("validate_every_steps = 10\n", "");
    place.write("i.toml", &idx_classes);
    let said = place.run(&["train", "i.toml"]);
    assert!(
        said.code == Some(3) && said.err.contains("`ways` is 2, but the test split has only 1"),
        "{said:?}"
    );
    let grounds = idx_classes
        .replace("train-shapes\"]", "train-shapes\", \"train-pairs\"]")
        .replace("ways", "column = 1\nways");
    let pairs: Vec<u8> = (0..240).map(|number| number % 6).collect();
    idx(&place.at("train-pairs"), &[240], &pairs);
    place.write("i.toml", grounds.replace("test = 0.34", "test = 0.5"));
    let said = place.good(&["train", "i.toml", "--name", "i"]);
    assert!(
        said.err.contains("data: 3 train classes of 120 images, 3 test classes of 120 images"),
        "{said:?}"
    );
}
