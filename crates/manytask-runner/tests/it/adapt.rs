//! Learners that label pictures from a few examples of each class.

use crate::command::Place;
use crate::images::folder_of_classes;

const CONFIG: &str = r#"seed = 1
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
kind = "conv4"
hidden = 8
blocks = 2
[learner]
kind = "protonet"
[aggregator]
kind = "equal_weights"
[optimizer]
kind = "adam"
learning_rate = 1e-3
[training]
steps = 30
[evaluation]
tasks = 10
"#;

/// A place with pictures of twelve classes, and of some of them examples and queries.
fn place() -> Place {
    let place = Place::new();
    folder_of_classes(&place.at("mine"), 12, 8);
    folder_of_classes(&place.at("examples"), 4, 5);
    fs_err::create_dir_all(place.at("unknown")).unwrap();
    for class in 0..4 {
        // Pictures that are no examples.
        let from = place.at("mine").join(format!("class{class:02}/07.png"));
        fs_err::copy(from, place.at("unknown").join(format!("of_{class}.png"))).unwrap();
    }
    place.write("a.toml", CONFIG);
    place
}

fn adapt<'a>(run: &'a str, query: &'a str) -> Vec<&'a str> {
    vec!["adapt", run, "--support", "examples", "--query", query]
}

#[test]
fn pictures_of_other_classes_are_labelled_from_a_few_of_each() {
    let place = place();
    place.good(&["train", "a.toml", "--quiet", "--name", "r"]);
    let said = place.good(&[adapt("runs/r", "unknown"), vec!["--output", "found.csv"]].concat());
    assert!(said.err.contains("the classes of 4 pictures are in found.csv"), "{said:?}");
    assert!(said.err.contains("all queries together"), "{said:?}");
    let text = place.read("found.csv");
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("file,class,margin,class=class00,class=class01,class=class02,class=class03")
    );
    let mut right = 0;
    for (class, line) in lines.enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells[0], format!("of_{class}.png"));
        right += usize::from(cells[1] == format!("class{class:02}"));
        let mut probabilities: Vec<f64> = cells[3..].iter().map(|cell| cell.parse().unwrap()).collect();
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        probabilities.sort_by(f64::total_cmp);
        assert!((cells[2].parse::<f64>().unwrap() - (probabilities[3] - probabilities[2])).abs() < 1e-12);
    }
    assert!(right >= 3, "{text}");
    // One picture, to stdout.
    assert_eq!(place.good(&adapt("runs/r", "unknown/of_2.png")).out.lines().count(), 2);
    let said = place.run(&[adapt("runs/r", "unknown"), vec!["--keep", "id"]].concat());
    assert!(said.code == Some(2) && said.err.contains("--keep names columns of a table"), "{said:?}");
}

#[test]
fn a_pretrained_network_labels_too_and_no_query_depends_on_another_with_running_statistics() {
    let place = place();
    let learner = ["learner.kind=simple_shot", "training.batch_norm=running", "pretraining.batch_size=16"];
    place.good(&[&["train", "a.toml", "--quiet", "--name", "s"][..], &learner].concat());
    let whole = place.good(&adapt("runs/s", "unknown"));
    assert!(!whole.err.contains("all queries together"), "{whole:?}");
    let one = place.good(&adapt("runs/s", "unknown/of_2.png"));
    let numbers =
        |line: &str| -> Vec<f64> { line.split(',').skip(2).map(|cell| cell.parse().unwrap()).collect() };
    let (a, b) = (numbers(whole.out.lines().nth(3).unwrap()), numbers(one.out.lines().nth(1).unwrap()));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} {b:?}");
}

#[test]
fn what_cannot_be_labelled_is_refused_with_a_remedy() {
    let place = place();
    place.good(&["train", "a.toml", "--quiet", "--name", "m", "learner.kind=maml", "training.steps=1"]);
    let said = place.run(&adapt("runs/m", "unknown"));
    assert!(
        said.code == Some(4) && said.err.contains("has 4 classes") && said.err.contains("tells 3 apart"),
        "{said:?}"
    );
    let said = place.run(&["adapt", "runs/m", "--support", "mine/class00", "--query", "unknown"]);
    assert!(said.code == Some(4), "{said:?}");
    let said = place.run(&["adapt", "runs/m", "--support", "nowhere", "--query", "unknown"]);
    assert!(said.code == Some(4) && said.err.contains("nowhere"), "{said:?}");
    place.write("b.toml", CONFIG.replace("kind = \"image_folder\"\nfolder = \"mine\"\nsplit.random = { validation = 0.25, test = 0.25, seed = 3 }\nsize = 16\nways = 3\n", "kind = \"sinusoid\"\n").replace("shots = 1\nqueries = 3\n", "").replace("conv4\"\nhidden = 8\nblocks = 2", "mlp\"\nhidden = [4]").replace("protonet", "maml").replace("steps = 30", "steps = 1"));
    place.good(&["train", "b.toml", "--quiet", "--name", "w"]);
    let said = place.run(&adapt("runs/w", "unknown"));
    assert!(said.code == Some(2) && said.err.contains("image_folder"), "{said:?}");
}
