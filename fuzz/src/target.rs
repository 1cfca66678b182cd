//! The parsers.

use std::path::Path;

use anyhow::{Result, bail};
use manytask::Registries;
use manytask::config::Source;
use manytask::plan::Plan;
use manytask_data::{Schema, Table, TableSource, idx};
use manytask_tensor::{Device, checkpoint};
use parquet::basic::Compression;

use crate::corpus;

/// A parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Tables of text.
    Table,
    /// Tables in Parquet.
    Parquet,
    /// Arrays of `NumPy` and tensors as tables, and records in JSON.
    Arrays,
    /// Configurations.
    Config,
    /// Changes of a configuration on the command line.
    Changes,
    /// Files of tensors.
    Tensors,
    /// Images in the form of MNIST.
    Idx,
    /// What a run knows of its tables.
    Schema,
}

impl Target {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Table,
        Self::Parquet,
        Self::Arrays,
        Self::Config,
        Self::Changes,
        Self::Tensors,
        Self::Idx,
        Self::Schema,
    ];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Parquet => "parquet",
            Self::Arrays => "arrays",
            Self::Config => "config",
            Self::Changes => "changes",
            Self::Tensors => "tensors",
            Self::Idx => "idx",
            Self::Schema => "schema",
        }
    }

    /// Inputs that are whole; what they refer to is put into the folder.
    pub(crate) fn corpus(self, folder: &Path) -> Result<Vec<Vec<u8>>> {
        let bytes = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        Ok(match self {
            Self::Table => bytes(&corpus::TABLES),
            Self::Parquet => {
                vec![corpus::parquet(Compression::UNCOMPRESSED)?, corpus::parquet(Compression::SNAPPY)?]
            }
            Self::Arrays => corpus::arrays(folder)?,
            Self::Config => bytes(&corpus::CONFIGS),
            Self::Changes => bytes(&corpus::CHANGES),
            Self::Tensors => vec![corpus::tensors(folder)?],
            Self::Idx => vec![corpus::idx()],
            Self::Schema => vec![corpus::schema(folder)?],
        })
    }

    /// Pieces that the parser knows.
    pub(crate) fn words(self) -> &'static [&'static str] {
        match self {
            Self::Table => {
                &[",", "\"", "\n", "\r\n", "\"\"", "NA", ";", "\t", "\0", " ", "\u{feff}", "1e308"]
            }
            Self::Config => &[
                "[",
                "]",
                "{",
                "}",
                "=",
                "\"",
                ".",
                ",",
                "\n",
                "0",
                "-1",
                "1e400",
                "nan",
                "true",
                "kind = ",
                "[[data.targets]]",
                "99999999999",
                "\"\"\"",
                "'",
                "# ",
            ],
            Self::Changes => &["a.", "=", "\n", "\"", "'", "{", "[", "0", "data.targets.", "seed=1\n", "é"],
            Self::Tensors => &[
                "{",
                "\"dtype\":\"F64\"",
                "\"shape\":[9999999999]",
                "\"data_offsets\":[0,8]",
                "18446744073709551615",
            ],
            Self::Parquet => &["\0", "\u{1}", "\u{7f}", "PAR1", "\u{15}\u{4}"],
            Self::Arrays => &[
                "{",
                "'shape': (99999999999,)",
                "'<f8'",
                "'|O'",
                "True",
                "\"x\":",
                "[",
                "\n",
                "\0",
                "\u{7f}",
            ],
            Self::Idx => &["\0", "\u{7f}"],
            Self::Schema => &["{", "}", "[", "]", "null", "-1", "1e999", "18446744073709551616", "\"\"", ","],
        }
    }

    /// Parses an input, which also lies at a path. An error is a fault of the parser; a refusal is none.
    pub(crate) fn parse(self, path: &Path, input: &[u8]) -> Result<()> {
        match self {
            Self::Table | Self::Parquet | Self::Arrays => {
                if let Ok(table) = Table::read(&TableSource::new(path))
                    && let Ok(columns) = table.columns()
                    && columns.iter().any(|column| column.text(table.rows()).is_some())
                {
                    bail!("a column has more rows than the table");
                }
            }
            _ => {
                self.accepts(path, input);
            }
        }
        Ok(())
    }

    /// Whether the parser takes an input, which also lies at a path.
    pub(crate) fn accepts(self, path: &Path, input: &[u8]) -> bool {
        match self {
            Self::Table | Self::Parquet | Self::Arrays => {
                Table::read(&TableSource::new(path)).is_ok_and(|table| table.columns().is_ok())
            }
            Self::Config => std::str::from_utf8(input).is_ok_and(|text| plan(text, &[])),
            Self::Changes => std::str::from_utf8(input).is_ok_and(|text| {
                let changes: Vec<String> = text.lines().map(str::to_owned).collect();
                plan(corpus::CONFIGS[0], &changes)
            }),
            Self::Tensors => checkpoint::from_bytes(path, input, Device::Cpu).is_ok(),
            Self::Idx => idx::read(path).is_ok(),
            Self::Schema => {
                serde_json::from_slice::<Schema>(input).is_ok_and(|schema| encodes(&schema, path))
            }
        }
    }
}

/// Whether a configuration is read up to its plan, and can be written out.
fn plan(text: &str, changes: &[String]) -> bool {
    let Ok(source) = Source::new(Path::new("fuzz.toml"), text, changes) else { return false };
    let read = Plan::read(&source, &Registries::default()).is_ok();
    source.effective().is_ok() && read
}

/// Whether a schema encodes the table that lies beside the input.
fn encodes(schema: &Schema, input: &Path) -> bool {
    let table = schema.read(input.with_file_name("schema.csv"));
    table.is_ok_and(|table| schema.encode(&table).is_ok())
}
