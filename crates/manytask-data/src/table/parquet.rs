//! Tables in Parquet: columns by type, each read when it is asked for, row group after row group.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use manytask_tensor::ShownPath as _;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::chunks::Chunks;
use super::header::Named;
use super::interner::Interner;
use super::parquet_text::{Form, Text};
use super::stored::{Stored, Unread};
use super::{Column, MISSING, Table, TableFormat, TableSource};
use crate::bytes::{digest, digest_of_file};
use crate::error::shown;
use crate::guard::guarded;
use crate::{Error, Result};

/// Values of a column that are decoded at once.
const BATCH: usize = 8192;

/// Whether a file is in Parquet.
pub(super) fn is_parquet(content: &[u8]) -> bool {
    content.starts_with(b"PAR1")
}

/// The table. Columns of lists, maps and bytes are left out with a note; a column in a group is called `group.column`.
///
/// Numbers are written with as many digits as they need to be read as the same number; dates as `2024-05-17`, moments as
/// `2024-05-17 08:30:00` with the fraction of the second where there is one. NaN is a missing value, and texts are trimmed and
/// compared with the marks of missing values as those of CSV are; so are numbers with the marks of their column.
///
/// # Errors
/// When the file is damaged, encrypted, has two columns of one name or no row.
pub(super) fn read(source: &TableSource, content: &[u8]) -> Result<Table> {
    table(source, Chunks::Memory(Bytes::copy_from_slice(content)), digest([content]))
}

/// As [`read`], of a file on a disk, of which only what is needed comes into memory; `None` of one that is not in Parquet, or is packed.
///
/// # Errors
/// As [`read`].
pub(super) fn read_file(source: &TableSource) -> Option<Result<Table>> {
    let chunks = on_disk(&source.path)?;
    Some(digest_of_file(&source.path).and_then(|digest| table(source, chunks, digest)))
}

/// Whether a file on a disk is in Parquet, told without reading all of it.
pub(super) fn is_parquet_file(path: &Path) -> bool {
    on_disk(path).is_some()
}

fn on_disk(path: &Path) -> Option<Chunks> {
    let chunks = Chunks::open(path)?;
    is_parquet(&chunks.start(4)?).then_some(chunks)
}

fn table(source: &TableSource, chunks: Chunks, digest: String) -> Result<Table> {
    let reader = open(source, chunks)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let (mut wanted, mut notes) = (Vec::new(), Vec::new());
    for (index, described) in schema.columns().iter().enumerate() {
        let name = described.path().parts().join(".");
        match Form::of(described) {
            Ok(form) => wanted.push(Wanted { index, name, form }),
            Err(what) => notes.push(format!(
                "{}: column `{}` holds {what} and is left out; give each value a column of its own",
                source.path.shown(),
                shown(&name)
            )),
        }
    }
    refuse_doubles(source, &wanted)?;
    let rows = wanted.first().map_or(0, |_| reader.metadata().file_metadata().num_rows());
    let rows = usize::try_from(rows).unwrap_or(0);
    if rows == 0 {
        return Err(Error::corrupt(
            &source.path,
            "the row groups",
            "there is no row with a value that can be read",
        ));
    }
    let file = Arc::new(ParquetFile { source: source.clone(), reader, rows });
    let stored = |wanted: Wanted| {
        let (name, named) = (wanted.name.clone(), wanted.named());
        Stored::unread(&name, named, Arc::new(InParquet { file: Arc::clone(&file), wanted }))
    };
    let columns: Vec<Stored> = wanted.into_iter().map(stored).collect();
    let mut table = Table::of_columns(&source.path, TableFormat::Parquet, columns, rows, digest);
    table.notes = notes;
    Ok(table)
}

/// A file whose columns are read one by one.
struct ParquetFile {
    source: TableSource,
    reader: SerializedFileReader<Chunks>,
    rows: usize,
}

/// A column of a file.
struct InParquet {
    file: Arc<ParquetFile>,
    wanted: Wanted,
}

impl Unread for InParquet {
    fn read(&self) -> Result<Column> {
        column(&self.file, &self.wanted)
    }
}

/// A column that can be read.
struct Wanted {
    index: usize,
    name: String,
    form: Form,
}

impl Wanted {
    fn named(&self) -> Named {
        // What pandas calls the index of a table that has no name.
        let is_index = self.name.starts_with("__index_level_") && self.name.ends_with("__");
        if is_index { Named::Nameless } else { Named::Header }
    }
}

fn refuse_doubles(source: &TableSource, wanted: &[Wanted]) -> Result<()> {
    let mut names: Vec<&str> = wanted.iter().map(|wanted| wanted.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair.first() == pair.last()) {
        Some([name, ..]) => {
            let message = format!("two columns are called `{}`; rename one", shown(name));
            Err(Error::corrupt(&source.path, "the schema", message))
        }
        _ => Ok(()),
    }
}

fn open(source: &TableSource, chunks: Chunks) -> Result<SerializedFileReader<Chunks>> {
    readable(|| SerializedFileReader::new(chunks)).map_err(|what| damaged(source, "Parquet", &what))
}

fn damaged(source: &TableSource, place: &str, what: &str) -> Error {
    Error::corrupt(
        &source.path,
        place,
        format!("{what}; the file is truncated, damaged or encrypted: write it again"),
    )
}

/// What the library makes of a file, which may be damaged in ways that it does not look for.
fn readable<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match guarded(work) {
        Some(done) => done.map_err(|error| match error {
            ParquetError::General(what) => what,
            other => other.to_string(),
        }),
        None => Err("its parts do not fit together".to_owned()),
    }
}

fn column(file: &ParquetFile, wanted: &Wanted) -> Result<Column> {
    let ParquetFile { source, reader, rows } = file;
    let rows = *rows;
    let mut cells = Cells::new(source, wanted, rows);
    readable(|| {
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group)?;
            let described = group.metadata().column(wanted.index).column_descr_ptr();
            cells.take(group.get_column_reader(wanted.index)?, &described)?;
        }
        if cells.codes.len() == rows {
            Ok(())
        } else {
            Err(ParquetError::General(format!("it has {} rows of {rows}", cells.codes.len())))
        }
    })
    .map_err(|what| damaged(source, &format!("column `{}`", shown(&wanted.name)), &what))?;
    Ok(cells.into_column(wanted))
}

/// A column in the making.
struct Cells<'a> {
    form: &'a Form,
    trim: bool,
    all_marks: &'a [String],
    own_marks: &'a [String],
    interner: Interner,
    codes: Vec<u32>,
    marks: Vec<String>,
    text: String,
}

impl<'a> Cells<'a> {
    fn new(source: &'a TableSource, wanted: &'a Wanted, rows: usize) -> Self {
        let own_marks = source.missing_by.get(&wanted.name).map_or(&[][..], Vec::as_slice);
        Self {
            form: &wanted.form,
            trim: source.trim,
            all_marks: &source.missing,
            own_marks,
            interner: Interner::with_levels(Vec::new()),
            // What the file says of its rows is not known to be true.
            codes: Vec::with_capacity(rows.min(1 << 24)),
            marks: Vec::new(),
            text: String::new(),
        }
    }

    fn take(&mut self, reader: ColumnReader, described: &ColumnDescriptor) -> Result<(), ParquetError> {
        let most = described.max_def_level();
        match reader {
            ColumnReader::BoolColumnReader(reader) => self.values(reader, most),
            ColumnReader::Int32ColumnReader(reader) => self.values(reader, most),
            ColumnReader::Int64ColumnReader(reader) => self.values(reader, most),
            ColumnReader::Int96ColumnReader(reader) => self.values(reader, most),
            ColumnReader::FloatColumnReader(reader) => self.values(reader, most),
            ColumnReader::DoubleColumnReader(reader) => self.values(reader, most),
            ColumnReader::ByteArrayColumnReader(reader) => self.values(reader, most),
            ColumnReader::FixedLenByteArrayColumnReader(reader) => self.values(reader, most),
        }
    }

    /// All values of a row group; a row is without one where its level is below `most`.
    fn values<T: DataType<T: Text>>(
        &mut self,
        mut reader: ColumnReaderImpl<T>,
        most: i16,
    ) -> Result<(), ParquetError> {
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        loop {
            values.clear();
            levels.clear();
            let (rows, _, _) =
                reader.read_records(BATCH, (most > 0).then_some(&mut levels), None, &mut values)?;
            if rows == 0 {
                return Ok(());
            }
            let mut values = values.iter();
            for row in 0..rows {
                let is_there = most == 0 || levels.get(row).is_some_and(|level| *level == most);
                let value = is_there.then(|| values.next()).flatten();
                let code = match value {
                    Some(value) => self.code(value)?,
                    None => MISSING,
                };
                self.codes.push(code);
            }
        }
    }

    fn code<T: Text>(&mut self, value: &T) -> Result<u32, ParquetError> {
        self.text.clear();
        if !value.write(self.form, &mut self.text).map_err(|what| ParquetError::General(what.into()))? {
            return Ok(MISSING);
        }
        let text = if self.trim { self.text.trim() } else { self.text.as_str() };
        let (all, own, marks) = (self.all_marks, self.own_marks, &mut self.marks);
        let is_mark = |text: &[u8]| {
            let is = |mark: &String| mark.as_bytes() == text;
            if let Some(mark) = all.iter().find(|mark| is(mark)) {
                if !marks.contains(mark) {
                    marks.push(mark.clone());
                }
                return true;
            }
            own.iter().any(is)
        };
        // A text is UTF-8.
        Ok(self.interner.code(text.as_bytes(), is_mark).unwrap_or(MISSING))
    }

    fn into_column(self, wanted: &Wanted) -> Column {
        Column {
            name: wanted.name.clone(),
            named: wanted.named(),
            levels: self.interner.into_levels(),
            codes: self.codes,
            marks: self.marks,
            absent_from: None,
        }
    }
}
