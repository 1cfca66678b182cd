//! Tables in Parquet: columns by type, read row group after row group.

use bytes::Bytes;
use manytask_tensor::ShownPath as _;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::header::Named;
use super::interner::Interner;
use super::parquet_text::{Form, Text};
use super::{Column, MISSING, Table, TableFormat, TableSource};
use crate::bytes::digest;
use crate::error::shown;
use crate::guard::guarded;
use crate::parallel::in_threads;
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
pub(super) fn read(source: &TableSource, content: &[u8], threads: usize) -> Result<Table> {
    let file = Bytes::copy_from_slice(content);
    let reader = open(source, &file)?;
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
    let share = wanted.len().div_ceil(threads.max(1)).max(1);
    let shares: Vec<&[Wanted]> = wanted.chunks(share).collect();
    let read = in_threads(&shares, |share| {
        share.iter().map(|wanted| column(source, &file, wanted, rows)).collect::<Result<Vec<_>>>()
    });
    let columns = read.into_iter().collect::<Result<Vec<_>>>()?.concat();
    let mut table = Table::of_columns(&source.path, TableFormat::Parquet, columns, rows, digest([content]));
    table.notes = notes;
    Ok(table)
}

/// A column that is read.
struct Wanted {
    index: usize,
    name: String,
    form: Form,
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

fn open(source: &TableSource, file: &Bytes) -> Result<SerializedFileReader<Bytes>> {
    readable(|| SerializedFileReader::new(file.clone())).map_err(|what| damaged(source, "Parquet", &what))
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

fn column(source: &TableSource, file: &Bytes, wanted: &Wanted, rows: usize) -> Result<Column> {
    let mut cells = Cells::new(source, wanted, rows);
    let reader = open(source, file)?;
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
        // What pandas calls the index of a table that has no name.
        let is_index = wanted.name.starts_with("__index_level_") && wanted.name.ends_with("__");
        Column {
            name: wanted.name.clone(),
            named: if is_index { Named::Nameless } else { Named::Header },
            levels: self.interner.into_levels(),
            codes: self.codes,
            marks: self.marks,
            absent_from: None,
        }
    }
}
