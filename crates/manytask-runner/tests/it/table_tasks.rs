//! Tables as families of tasks for learners, and tasks of one's own.

use std::fmt::Write as _;

use crate::command::Place;

const SCHOOLS: &str = r#"
seed = 1
threads = 1
[data]
kind = "table"
source.path = "pupils.csv"
tasks_by = "school"
inputs = { numeric = ["age"], one_hot = ["sex"] }
targets = [{ name = "score", kind = "regression" }]
split.random = { validation = 0.2, test = 0.2, seed = 1 }
shots = 4
queries = 6
[network]
kind = "mlp"
hidden = [8]
[learner]
kind = "maml"
inner_steps = 1
inner_learning_rate = 0.1
[aggregator]
kind = "equal_weights"
[optimizer]
kind = "adam"
learning_rate = 1e-2
[training]
steps = 150
tasks_per_step = 4
validate_every_steps = 50
[evaluation]
tasks = 40
queries = 100
"#;

/// Schools whose pupils have 1,000 points and more, by the school and by age.
fn pupils(place: &Place) {
    let mut text = "school,age,sex,score\n".to_owned();
    for school in 0..20 {
        for pupil in 0..8 + school % 3 {
            let age = 10.0 + f64::from(pupil) * 0.5;
            let score = 1000.0 + f64::from(school % 5) * 40.0 + 10.0 * age;
            let sex = if pupil % 2 == 0 { "f" } else { "m" };
            _ = writeln!(text, "s{school},{age},{sex},{score}");
        }
    }
    place.write("pupils.csv", &text);
}

fn metric(results: &str, name: &str) -> f64 {
    let results: serde_json::Value = serde_json::from_str(results).unwrap();
    let metrics = results["tasks"][0]["metrics"].as_array().unwrap();
    let found = metrics.iter().find(|metric| metric[0] == name);
    found.and_then(|metric| metric[1].as_f64()).unwrap_or_else(|| panic!("{name}: {results}"))
}

#[test]
fn a_learner_adapts_to_schools_that_it_never_saw() {
    let place = Place::new();
    pupils(&place);
    place.write("s.toml", SCHOOLS);
    let said = place.good(&["train", "s.toml", "--name", "s"]);
    assert!(said.err.contains("12 train tasks of 103 rows, 4 validation tasks of"), "{said:?}");
    let results = place.read("runs/s/results.json");
    // In points, however labels were standardised: the schools' means alone lie 57 points apart.
    let (before, after) = (metric(&results, "mse_after_0_steps"), metric(&results, "mse_after_1_step"));
    assert!(before > 400.0 && after < before / 2.0, "{before} {after}");

    // New schools, with examples of each.
    place.write("known.csv", "school,age,sex,score\nx,10,f,1100\nx,11,m,1110\nx,12,f,1120\ny,10,f,1260\ny,12,m,1280\ny,13,m,1290\n");
    place.write("new.csv", "id,age,sex,school\n1,11,f,y\n2,11,f,x\n3,13,m,y\n");
    let said =
        place.good(&["adapt", "runs/s", "--support", "known.csv", "--query", "new.csv", "--keep", "id"]);
    for input in ["known.csv", "new.csv"] {
        let over = ["adapt", "runs/s", "--support", "known.csv", "--query", "new.csv", "--output", input];
        let refused = place.run(&over);
        assert!(refused.code == Some(2) && refused.err.contains("this is the input"), "{refused:?}");
    }
    let rows: Vec<Vec<&str>> = said.out.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["task", "id", "score"]);
    let names: Vec<&[&str]> = rows[1..].iter().map(|row| &row[..2]).collect();
    assert_eq!(names, [["y", "1"], ["x", "2"], ["y", "3"]]);
    let score = |row: usize| rows[row][2].parse::<f64>().unwrap();
    assert!(score(1) > score(2) + 60.0, "school y is 160 points ahead: {said:?}");
    // Without the column all rows are of one task.
    place.write("one.csv", "age,sex,score\n10,f,1100\n11,m,1110\n12,f,1120\n");
    place.write("two.csv", "age,sex\n11,f\n13,m\n");
    let said = place.good(&["adapt", "runs/s", "--support", "one.csv", "--query", "two.csv"]);
    assert!(said.out.starts_with("score\n") && said.out.lines().count() == 3, "{said:?}");

    for (arguments, says) in [
        (&["predict", "runs/s", "--input", "new.csv"][..], "manytask adapt"),
        (&["adapt", "runs/s", "--support", "two.csv", "--query", "two.csv"], "no column `score`"),
        (&["adapt", "runs/s", "--support", "known.csv", "--query", "two.csv"], "no column `school`"),
    ] {
        let said = place.run(arguments);
        assert!(said.err.contains(says), "{arguments:?}: {said:?}");
        assert_eq!(said.code, Some(if arguments[0] == "predict" { 2 } else { 4 }), "{said:?}");
    }
}

#[test]
fn a_training_on_tasks_of_a_table_resumes_to_the_same_bytes_and_tells_changed_data() {
    let place = Place::new();
    pupils(&place);
    place.write("s.toml", SCHOOLS);
    place.good(&["train", "s.toml", "--quiet", "--name", "whole"]);
    place.good(&["train", "s.toml", "--quiet", "--name", "half", "training.steps=75"]);
    place.good(&["resume", "runs/half", "--quiet", "training.steps=150"]);
    assert_eq!(place.read("runs/half/results.json"), place.read("runs/whole/results.json"));
    place.write("pupils.csv", place.read("pupils.csv").replace("s1,10,f", "s1,11,f"));
    let said = place.run(&["eval", "runs/whole"]);
    assert!(said.code == Some(6) || said.err.contains("changed"), "{said:?}");
}

#[test]
fn rows_are_classified_from_a_few_examples_of_classes_that_were_never_seen() {
    let place = Place::new();
    let mut text = "species,length,width\n".to_owned();
    for species in 0..12 {
        let (length, width) = (f64::from(species % 4) * 3.0, f64::from(species / 4) * 3.0);
        for row in 0..8 {
            let (a, b) = (f64::from(row % 3) * 0.2, f64::from(row % 4) * 0.2);
            _ = writeln!(text, "k{species},{},{}", length + a, width + b);
        }
    }
    place.write("plants.csv", &text);
    let config = SCHOOLS
        .replace("pupils.csv", "plants.csv")
        .replace("tasks_by = \"school\"", "classes_by = \"species\"\nways = 3")
        .replace("numeric = [\"age\"], one_hot = [\"sex\"]", "numeric = [\"length\", \"width\"]")
        .replace("targets = [{ name = \"score\", kind = \"regression\" }]\n", "")
        .replace("validation = 0.2, test = 0.2", "validation = 0.25, test = 0.25")
        .replace("shots = 4\nqueries = 6", "shots = 1\nqueries = 4")
        .replace("kind = \"maml\"\ninner_steps = 1\ninner_learning_rate = 0.1", "kind = \"protonet\"")
        .replace("hidden = [8]", "hidden = [16]\noutput = 8")
        .replace("queries = 100", "queries = 7");
    place.write("p.toml", &config);
    place.good(&["train", "p.toml", "--quiet", "--name", "p"]);
    assert!(metric(&place.read("runs/p/results.json"), "accuracy") > 0.9);
    place.write("known.csv", "species,length,width\nrose,0.1,9.1\nlily,8.9,0.2\n");
    place.write("new.csv", "length,width\n0.3,9.2\n9.1,0.1\n");
    let said =
        place.good(&["adapt", "runs/p", "--support", "known.csv", "--query", "new.csv", "--keep", "width"]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines[0], "width,class,margin,class=lily,class=rose");
    assert!(lines[1].starts_with("9.2,rose,") && lines[2].starts_with("0.1,lily,"), "{said:?}");
    place.write("one.csv", "species,length,width\nrose,0.1,9.1\n");
    let said = place.run(&["adapt", "runs/p", "--support", "one.csv", "--query", "new.csv"]);
    assert!(said.code == Some(4) && said.err.contains("one class"), "{said:?}");
}
