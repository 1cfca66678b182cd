//! Starters, the schema for editors, and tables of arrays.

use std::io::Write as _;

use crate::command::Place;

#[test]
fn a_starter_is_copied_once_and_trains() {
    let place = Place::new();
    let said = place.good(&["new", "quickstart", "mine"]);
    assert!(said.out.ends_with("train mine/quickstart.toml\n"), "{said:?}");
    let said = place.good(&["train", "mine/quickstart.toml", "--dry-run", "threads=1"]);
    assert!(said.err.contains("one step was made"), "{said:?}");
    let said = place.run(&["new", "quickstart", "mine"]);
    assert!(said.code == Some(2) && said.err.contains("is there already"), "{said:?}");
    place.good(&["new", "sinusoid"]);
    place.good(&["check", "sinusoid_maml.toml"]);
}

#[test]
fn the_schema_is_one_document_of_json() {
    let said = Place::new().good(&["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let kinds = schema["properties"]["aggregator"]["properties"]["kind"]["enum"].as_array().unwrap();
    assert!(kinds.iter().any(|kind| kind == "mgda"), "{kinds:?}");
}

/// An array of numbers as `numpy.save` writes it.
fn npy(shape: &str, numbers: &[f32]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    bytes
}

/// An archive of vectors `x` and of labels `assay`, a third of them missing, which say whether a number of the vector is above 0.
pub(crate) fn npz_of_vectors(rows: usize, width: usize) -> Vec<u8> {
    let vectors: Vec<f32> = (0..rows * width).map(|i| (i % 7) as f32 - 3.0).collect();
    let label = |row: usize, of: usize| {
        if (row + of).is_multiple_of(3) {
            f32::NAN
        } else {
            f32::from(u8::from(vectors[row * width + of] > 0.0))
        }
    };
    let labels: Vec<f32> = (0..rows).flat_map(|row| [label(row, 0), label(row, 1)]).collect();
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let shape = |columns: usize| format!("({rows}, {columns})");
    for (name, content) in [("x.npy", npy(&shape(width), &vectors)), ("assay.npy", npy(&shape(2), &labels))] {
        writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(&content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn vectors_of_an_npz_file_are_inputs_of_tasks_with_missing_labels() {
    let place = Place::new();
    place.write("data.npz", npz_of_vectors(60, 4));
    place.config_with("source = { path = \"people.csv\" }", "source = { path = \"data.npz\" }");
    let config = place.read("a.toml");
    let config = config.replace(
        "inputs = { numeric = [\"age\", \"hours\"], one_hot = [\"job\"] }",
        "inputs = { numeric = \"x.*\" }",
    );
    let (before, rest) = config.split_once("targets = [").unwrap();
    let (_, after) = rest.split_once("]\n").unwrap();
    place.write(
        "a.toml",
        format!("{before}targets = [{{ kind = \"binary\", columns = \"assay.*\" }}]\n{after}"),
    );
    place.good(&["train", "a.toml", "--quiet"]);
    let said = place.good(&["predict", "runs/a", "--input", "data.npz"]);
    assert!(said.out.starts_with("assay.0,assay.1\n") && said.out.lines().count() == 61, "{said:?}");
    assert!(place.good(&["inspect", "data.npz"]).out.contains("in arrays"));
}
