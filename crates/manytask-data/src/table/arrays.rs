//! Arrays of `NumPy` (`.npy`, `.npz`) and tensors of safetensors as tables: the first dimension goes through rows.
//!
//! An array of one dimension is a column of its name; one of more is a column for each of its other places, `NAME.0`, `NAME.1` and on,
//! so that `inputs.numeric = "NAME.*"` takes vectors as inputs. A single array, in a file `.npy`, is called `x`.

use std::io::{Cursor, Read as _};
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use zip::ZipArchive;

use super::{ColumnData, MemoryTable, Table, TableFormat, TableReader, TableSource};
use crate::error::shown;
use crate::{Error, Result};

const NPY: &[u8] = b"\x93NUMPY";
const REMEDY: &str =
    "save numbers, truth values or texts, for example with `numpy.savez(name, x=vectors, y=labels)`";

/// The table, if the content is of such a format.
pub(super) fn read(source: &TableSource, content: &[u8]) -> Option<Result<Table>> {
    let arrays = named(content)?;
    let damaged = |what: String| Error::corrupt(&source.path, "the arrays", what);
    Some(arrays.map_err(damaged).and_then(|arrays| {
        let table = columns(arrays).map_err(damaged)?;
        let table = table
            .into_iter()
            .fold(MemoryTable::new(&source.path), |table, (name, cells)| table.with(name, cells));
        Ok(Table { format: TableFormat::Arrays, ..table.read()? })
    }))
}

/// Whether a content is of such a format.
pub(super) fn is_arrays(content: &[u8]) -> bool {
    content.starts_with(NPY) || archive(content).is_some() || tensors(content).is_some()
}

/// An array with its name.
struct Array {
    name: String,
    shape: Vec<usize>,
    cells: Cells,
}

/// The cells of an array, the last dimension going first.
enum Cells {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

/// The arrays of a content; `None` where it is of another format.
fn named(content: &[u8]) -> Option<Result<Vec<Array>, String>> {
    if content.starts_with(NPY) {
        return Some(npy("x", content).map(|array| vec![array]));
    }
    if let Some(mut archive) = archive(content) {
        let arrays = (0..archive.len()).map(|index| {
            let mut file = archive.by_index(index).map_err(|error| error.to_string())?;
            let name = file.name().trim_end_matches(".npy").to_owned();
            let mut bytes = Vec::new();
            // Where the system does not say what is free, the disk has set a bound.
            let most = manytask_tensor::memory::free().map_or(u64::MAX, |free| free as u64);
            let read = (&mut file).take(most).read_to_end(&mut bytes);
            read.map_err(|error| format!("`{}`: {error}", shown(&name)))?;
            npy(&name, &bytes)
        });
        return Some(arrays.collect());
    }
    let tensors = tensors(content)?;
    let mut names: Vec<String> = tensors.names().into_iter().map(ToString::to_string).collect();
    names.sort();
    let array = |name: String| {
        let tensor = tensors.tensor(&name).map_err(|error| error.to_string())?;
        let kind = match tensor.dtype() {
            Dtype::F64 => "<f8",
            Dtype::F32 => "<f4",
            Dtype::F16 => "<f2",
            Dtype::I64 => "<i8",
            Dtype::I32 => "<i4",
            Dtype::I16 => "<i2",
            Dtype::I8 => "<i1",
            Dtype::U8 => "<u1",
            Dtype::BOOL => "|b1",
            other => {
                return Err(format!("`{}` has numbers of {other:?}; save them as float32", shown(&name)));
            }
        };
        let numbers = numbers(kind, tensor.data()).ok_or_else(|| format!("`{}` is cut off", shown(&name)))?;
        Ok(Array { shape: tensor.shape().to_vec(), cells: Cells::Numbers(numbers), name })
    };
    Some(names.into_iter().map(array).collect())
}

fn tensors(content: &[u8]) -> Option<SafeTensors<'_>> {
    // Behind the length of its header.
    content.get(8..9).filter(|byte| *byte == b"{")?;
    SafeTensors::deserialize(content).ok()
}

/// An archive with nothing but arrays in it.
fn archive(content: &[u8]) -> Option<ZipArchive<Cursor<&[u8]>>> {
    content.starts_with(b"PK\x03\x04").then_some(())?;
    let archive = ZipArchive::new(Cursor::new(content)).ok()?;
    let is_array = |name: &str| Path::new(name).extension().is_some_and(|ending| ending == "npy");
    let all = archive.file_names().all(is_array);
    (all && !archive.is_empty()).then_some(archive)
}

/// An array as `NumPy` writes it: a header with the kind, the order and the shape, and the bytes.
fn npy(name: &str, content: &[u8]) -> Result<Array, String> {
    let damaged = || format!("`{}` is cut off or damaged; save it again", shown(name));
    let version = *content.get(6).ok_or_else(damaged)?;
    let (length, start) = if version == 1 {
        let bytes = content.get(8..10).and_then(|bytes| bytes.try_into().ok()).ok_or_else(damaged)?;
        (usize::from(u16::from_le_bytes(bytes)), 10)
    } else {
        let bytes = content.get(8..12).and_then(|bytes| bytes.try_into().ok()).ok_or_else(damaged)?;
        (u32::from_le_bytes(bytes) as usize, 12)
    };
    let header = content.get(start..start + length).ok_or_else(damaged)?;
    let header = std::str::from_utf8(header).map_err(|_| damaged())?;
    let kind = between(header, "'descr': '", "'").ok_or_else(|| {
        format!("`{}` has several values in a cell, or objects of Python; {REMEDY}", shown(name))
    })?;
    let shape = between(header, "'shape': (", ")").ok_or_else(damaged)?;
    let shape = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape: Vec<usize> = shape.map(str::parse).collect::<Result<_, _>>().map_err(|_| damaged())?;
    let count = shape.iter().try_fold(1_usize, |all, size| all.checked_mul(*size)).ok_or_else(damaged)?;
    let bytes = content.get(start + length..).unwrap_or_default();
    let cells = match texts(kind, bytes) {
        Some(texts) => Cells::Texts(texts),
        None => Cells::Numbers(
            numbers(kind, bytes)
                .ok_or_else(|| format!("`{}` has cells of the kind `{kind}`; {REMEDY}", shown(name)))?,
        ),
    };
    let array = Array { name: name.to_owned(), shape, cells };
    let found = match &array.cells {
        Cells::Numbers(cells) => cells.len(),
        Cells::Texts(cells) => cells.len(),
    };
    if found != count {
        return Err(damaged());
    }
    Ok(if header.contains("'fortran_order': True") { array.with_last_first() } else { array })
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}

/// Numbers of a kind such as `<f4`; `None` for another kind.
fn numbers(kind: &str, bytes: &[u8]) -> Option<Vec<f64>> {
    let big = kind.starts_with('>');
    let kind = kind.trim_start_matches(['<', '>', '|', '=']);
    let size: usize = kind.get(1..)?.parse().ok().filter(|size| [1, 2, 4, 8].contains(size))?;
    let cell = |cell: &[u8]| -> Option<f64> {
        let mut eight = [0; 8];
        for (place, byte) in eight.iter_mut().zip(cell) {
            *place = *byte;
        }
        if big {
            eight.get_mut(..size)?.reverse();
        }
        let unsigned = u64::from_le_bytes(eight);
        let unused = 64 - 8 * size as u32;
        Some(match kind {
            "f8" => f64::from_bits(unsigned),
            "f4" => f64::from(f32::from_bits(unsigned as u32)),
            "f2" => half(unsigned as u16),
            "b1" => f64::from(u8::from(unsigned != 0)),
            _ if kind.starts_with('i') => ((unsigned << unused) as i64 >> unused) as f64,
            _ if kind.starts_with('u') => unsigned as f64,
            _ => return None,
        })
    };
    bytes.chunks_exact(size).map(cell).collect()
}

/// A number of half precision.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from((bits >> 10) & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2_f64.powi(exponent - 15),
    }
}

/// Texts of a kind such as `<U7`, of so many characters of four bytes each; `None` for another kind.
fn texts(kind: &str, bytes: &[u8]) -> Option<Vec<String>> {
    let length: usize = kind.strip_prefix("<U")?.parse().ok().filter(|length| *length > 0)?;
    let cell = |cell: &[u8]| -> String {
        let characters = cell.chunks_exact(4).filter_map(|bytes| <[u8; 4]>::try_from(bytes).ok());
        characters.map(u32::from_le_bytes).take_while(|code| *code != 0).filter_map(char::from_u32).collect()
    };
    Some(bytes.chunks_exact(length.checked_mul(4)?).map(cell).collect())
}

impl Array {
    /// The same where the first dimension goes first in the cells.
    fn with_last_first(self) -> Self {
        let Self { name, shape, cells } = self;
        let count: usize = shape.iter().product();
        let place = |number: usize| {
            // The place in Fortran's order of the cell with this number in C's.
            let (mut rest, mut at, mut step) = (number, vec![0; shape.len()], 1);
            for (index, size) in at.iter_mut().zip(&shape).rev() {
                *index = rest % size.max(&1);
                rest /= size.max(&1);
            }
            at.iter().zip(&shape).fold(0, |place, (index, size)| {
                let place = place + index * step;
                step *= size;
                place
            })
        };
        let cells = match cells {
            Cells::Numbers(own) => {
                Cells::Numbers((0..count).filter_map(|number| own.get(place(number)).copied()).collect())
            }
            Cells::Texts(own) => {
                Cells::Texts((0..count).filter_map(|number| own.get(place(number)).cloned()).collect())
            }
        };
        Self { name, shape, cells }
    }
}

/// The columns of all arrays.
fn columns(arrays: Vec<Array>) -> Result<Vec<(String, ColumnData)>, String> {
    let mut columns = Vec::new();
    for Array { name, shape, cells } in arrays {
        let Some((_, others)) = shape.split_first() else {
            return Err(format!(
                "`{}` is a single value; a table has arrays with a row for each example",
                shown(&name)
            ));
        };
        let width: usize = others.iter().product();
        let named = |column: usize| if others.is_empty() { name.clone() } else { format!("{name}.{column}") };
        for column in 0..width {
            let cells = match &cells {
                Cells::Numbers(all) => {
                    ColumnData::Numbers(all.iter().skip(column).step_by(width).copied().collect())
                }
                Cells::Texts(all) => {
                    let own = all.iter().skip(column).step_by(width);
                    ColumnData::Text(
                        own.map(|text| Some(text.clone()).filter(|text| !text.is_empty())).collect(),
                    )
                }
            };
            columns.push((named(column), cells));
        }
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// What `numpy.save` writes.
    fn saved(kind: &str, order: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
        let mut header = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}");
        while (10 + header.len() + 1) % 64 != 0 {
            header.push(' ');
        }
        header.push('\n');
        [NPY, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes(), bytes].concat()
    }

    fn table(content: &[u8]) -> Table {
        read(&TableSource::new(Path::new("a.npz")), content).unwrap().unwrap()
    }

    #[test]
    fn vectors_are_a_column_for_each_place() {
        let cells: Vec<u8> =
            [1.5_f32, -2.0, f32::NAN, 4.0, 5.0, 6.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let read = table(&saved("<f4", "False", "(3, 2)", &cells));
        assert_eq!(read.names().collect::<Vec<_>>(), ["x.0", "x.1"]);
        let first = read.numbers("x.0").unwrap();
        assert!(first[0] == 1.5 && first[1].is_nan() && first[2] == 5.0);
        assert_eq!(read.numbers("x.1").unwrap(), [-2.0, 4.0, 6.0]);
        // The same cells with the rows going first.
        let turned = table(&saved("<f4", "True", "(3, 2)", &cells));
        assert_eq!(turned.numbers("x.1").unwrap(), [4.0, 5.0, 6.0]);
    }

    #[test]
    fn every_kind_of_number_and_text_is_read() {
        for (kind, bytes, expected) in [
            ("<f8", 2.5_f64.to_le_bytes().to_vec(), 2.5),
            (">f8", 2.5_f64.to_be_bytes().to_vec(), 2.5),
            ("<f2", 0x4100_u16.to_le_bytes().to_vec(), 2.5),
            ("<f2", 0x0001_u16.to_le_bytes().to_vec(), 2_f64.powi(-24)),
            ("<i8", (-3_i64).to_le_bytes().to_vec(), -3.0),
            (">i2", (-3_i16).to_be_bytes().to_vec(), -3.0),
            ("|i1", vec![0xfd], -3.0),
            ("|u1", vec![0xfd], 253.0),
            ("<u4", 7_u32.to_le_bytes().to_vec(), 7.0),
            ("|b1", vec![1], 1.0),
        ] {
            assert_eq!(
                table(&saved(kind, "False", "(1,)", &bytes)).numbers("x").unwrap(),
                [expected],
                "{kind}"
            );
        }
        let texts: Vec<u8> =
            ['a', 'é', '\0', '\0'].iter().flat_map(|c| u32::from(*c).to_le_bytes()).collect();
        let read = table(&saved("<U2", "False", "(2,)", &texts));
        assert_eq!(
            (read.column("x").unwrap().text(0), read.column("x").unwrap().text(1)),
            (Some("aé"), None)
        );
    }

    #[test]
    fn an_archive_has_columns_of_all_its_arrays_and_what_is_wrong_is_said() {
        let zip = |files: &[(&str, Vec<u8>)]| {
            let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
            for (name, content) in files {
                writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
                writer.write_all(content).unwrap();
            }
            writer.finish().unwrap().into_inner()
        };
        let labels = saved("|u1", "False", "(2,)", &[1, 0]);
        let vectors = saved("|u1", "False", "(2, 1, 2)", &[1, 2, 3, 4]);
        let read = table(&zip(&[("y.npy", labels.clone()), ("x.npy", vectors)]));
        assert_eq!(read.names().collect::<Vec<_>>(), ["y", "x.0", "x.1"]);
        let error = |content: &[u8]| {
            super::read(&TableSource::new(Path::new("a.npz")), content).unwrap().unwrap_err().to_string()
        };
        let short = saved("|u1", "False", "(3,)", &[1, 2, 3]);
        assert!(
            error(&zip(&[("y.npy", labels.clone()), ("z.npy", short)]))
                .contains("has 3 rows, the first column has 2")
        );
        assert!(error(&saved("|O", "False", "(1,)", &[0; 8])).contains("`|O`"));
        assert!(error(&saved("|u1", "False", "(5,)", &[1])).contains("cut off"));
        assert!(error(&saved("|u1", "False", "()", &[1])).contains("single value"));
        assert!(error(&labels[..9]).contains("cut off"));
        assert!(super::read(&TableSource::new(Path::new("a")), &zip(&[("a.csv", Vec::new())])).is_none());
    }

    #[test]
    fn tensors_are_columns_too() {
        let bytes: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let view = safetensors::tensor::TensorView::new(Dtype::F32, vec![2, 2], &bytes).unwrap();
        let content = safetensors::serialize([("emb", view)], None).unwrap();
        assert_eq!(table(&content).numbers("emb.1").unwrap(), [2.0, 4.0]);
        assert!(is_arrays(&content) && !is_arrays(b"a,b\n1,2\n") && !is_arrays(b"12345678{\"a\": 1}"));
    }
}
