//! Inputs that are whole, to be damaged.

use std::io::{Cursor, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use manytask_data::TableDataset;
use manytask_data::{InputColumns, TableSource, TargetKind, TargetSpec};
use manytask_tensor::{Tensor, checkpoint};
use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Tables.
pub(crate) const TABLES: [&str; 5] = [
    "a,b,c\n1,x,0\n2,y,1\n,x,NA\n4,\"z, \"\"q\"\"\",1\n",
    "\u{feff}a;b\r\n1;x\r\n2;y\r\n",
    "\n\na\tb\n1\t\"two\nlines\"\n",
    "a\n1\n\n2\n",
    "a,a b,\"c\"\n1.5e3,?,null\n",
];

/// Configurations.
pub(crate) const CONFIGS: [&str; 2] = [
    r#"seed = 1
[data]
kind = "table"
source = { path = "a.csv", missing = ["", "NA"] }
split.random = { validation = 0.2, test = 0.2, seed = 1 }
inputs = { numeric = ["a"], one_hot = "rest" }
targets = [{ name = "y", kind = "binary", positive = ["yes"] }, { name = "z", kind = "regression" }]
[network]
kind = "hard_sharing"
trunk = { kind = "mlp", hidden = [8, 4], activation = "relu", dropout = 0.5 }
head = { kind = "mlp", hidden = [4] }
[tasks.default]
metrics = ["roc_auc", "accuracy"]
[tasks.z]
loss = { huber = { delta = 0.5 } }
metrics = ["rmse"]
[aggregator]
kind = "mgda"
level = "representation"
[optimizer]
kind = "adamw"
learning_rate = 1e-3
[schedule]
kind = "one_cycle"
warm_up_steps = 5
[training]
epochs = 3
batch_size = 16
validate_every_epochs = 1
monitor = { metric = "roc_auc", task = "y" }
early_stopping = { patience = 4 }
"#,
    r#"device = "cpu"
threads = 1
[data]
kind = "sinusoid"
shots = 5
queries = 5
[network]
kind = "mlp"
hidden = [8]
[learner]
kind = "maml"
inner_steps = 2
inner_learning_rate = 0.01
inner_rule = { sgd = { momentum = 0.5 } }
[aggregator]
kind = "equal_weights"
[optimizer]
kind = "adam"
learning_rate = 1e-3
[training]
steps = 10
tasks_per_step = 4
execution = { threads = 2 }
[evaluation]
tasks = 10
"#,
];

/// Changes on the command line, one in each line.
pub(crate) const CHANGES: [&str; 3] = [
    "seed=3",
    "data.targets=[{ name = \"y\", kind = \"binary\" }]\ntraining.batch_size=8\n",
    "\"data\".'source'.path = \"b.csv\"\ndata.targets.0.name=\"q\"\n",
];

/// A table in Parquet: numbers, texts with repetitions, moments and decimal fractions, some of them missing.
pub(crate) fn parquet(compression: Compression) -> Result<Vec<u8>> {
    let schema = "message t { optional double a; optional binary b (UTF8); required int64 c (TIMESTAMP(MICROS,true)); required int32 d (DECIMAL(9,2)); }";
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, Arc::new(parse_message_type(schema)?), Arc::new(properties))?;
    for _ in 0..2 {
        let mut group = writer.next_row_group()?;
        while let Some(mut column) = group.next_column()? {
            let levels: Option<&[i16]> = Some(&[1, 0, 1, 1]);
            match column.untyped() {
                ColumnWriter::DoubleColumnWriter(writer) => {
                    writer.write_batch(&[1.5, f64::NAN, -1e300], levels, None)?
                }
                ColumnWriter::ByteArrayColumnWriter(writer) => {
                    writer.write_batch(&["x", "y", "x"].map(ByteArray::from), levels, None)?
                }
                ColumnWriter::Int64ColumnWriter(writer) => {
                    writer.write_batch(&[0, -1, 1_700_000_000_000_000, 5], None, None)?
                }
                ColumnWriter::Int32ColumnWriter(writer) => {
                    writer.write_batch(&[0, -5, 12_345, 7], None, None)?
                }
                _ => 0,
            };
            column.close()?;
        }
        group.close()?;
    }
    writer.close()?;
    Ok(bytes)
}

/// A file of tensors.
pub(crate) fn tensors(folder: &Path) -> Result<Vec<u8>> {
    let tensors = [
        ("w".to_owned(), Tensor::from_slice(&[1.0_f32, 2.0])),
        ("n".to_owned(), Tensor::from_slice(&[3_i64])),
        ("b".to_owned(), Tensor::from_slice(&[true, false])),
    ];
    let about = checkpoint::Metadata::from([("step".to_owned(), "7".to_owned())]);
    Ok(checkpoint::to_bytes(&folder.join("tensors"), &tensors, &about)?)
}

/// Arrays as tables: a file of one array, an archive of two, tensors, and records in JSON.
pub(crate) fn arrays(folder: &Path) -> Result<Vec<Vec<u8>>> {
    let array = |shape: &str, numbers: &[f64]| {
        let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
        header += &" ".repeat(63 - (header.len() + 10) % 64);
        header.push('\n');
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes
    };
    let (vectors, labels) = (array("(2, 2)", &[1.0, -2.0, f64::NAN, 0.5]), array("(2,)", &[0.0, 1.0]));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in [("x.npy", &vectors), ("y.npy", &labels)] {
        archive.start_file(name, SimpleFileOptions::default())?;
        archive.write_all(content)?;
    }
    let columns = [("x".to_owned(), Tensor::from_slice(&[1.0_f32, 2.0]))];
    let tensors = checkpoint::to_bytes(&folder.join("columns"), &columns, &checkpoint::Metadata::new())?;
    let records = b"{\"a\": 1, \"b\": null}\n{\"a\": \"x\", \"b\": true}\n".to_vec();
    Ok(vec![vectors, archive.finish()?.into_inner(), tensors, records])
}

/// A file of images as MNIST has them.
pub(crate) fn idx() -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3];
    bytes.extend(0..12);
    bytes
}

/// The schema of a small table, which lies beside it as `schema.csv`.
pub(crate) fn schema(folder: &Path) -> Result<Vec<u8>> {
    let path = folder.join("schema.csv");
    fs_err::write(&path, "a,c,y,z\n1,u,0,1.5\n2,v,1,\n3,u,1,0.5\n4,,0,2.5\n")?;
    let data = TableDataset {
        source: TableSource::new(&path),
        split: None,
        inputs: InputColumns { numeric: "a".into(), one_hot: "c".into(), ..InputColumns::default() },
        targets: vec![
            TargetSpec::new("y", TargetKind::Binary),
            TargetSpec { standardise: Some(true), ..TargetSpec::new("z", TargetKind::Regression) },
        ],
        weight: None,
        weight_in: None,
        tasks_by: None,
        fold: None,
    };
    Ok(serde_json::to_vec(&data.load()?.schema)?)
}
