//! Files that are no tables of text, told by their first bytes.

use std::io::Cursor;
use std::path::Path;

use zip::ZipArchive;

use crate::Error;

/// An error that names the format and the remedy, if the content is of another format than text.
pub(super) fn refused(path: &Path, content: &[u8]) -> Option<Error> {
    let (what, remedy) = format(content)?;
    Some(Error::corrupt(
        path,
        "the first bytes",
        format!("this is {what} and neither CSV, JSON nor Parquet; {remedy}"),
    ))
}

const PANDAS: &str = "write it as Parquet or CSV, for example with pandas: `DataFrame.to_parquet(name)`";
const UNPACK: &str = "unpack it, or pack the table with gzip, zstd or xz";
const SHEET: &str = "save the sheet as CSV (UTF-8) in the spreadsheet program";

/// What stands at the beginning, what it means, and what to do.
const BEGINNINGS: [(&[u8], &str, &str); 30] = [
    (b"ARROW1", "an Arrow or Feather file", PANDAS),
    (b"FEA1", "a Feather file", PANDAS),
    (b"ORC", "an ORC file", PANDAS),
    (b"Obj\x01", "an Avro file", PANDAS),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", PANDAS),
    (
        b"SQLite format 3\0",
        "an SQLite database",
        "export a table with `sqlite3 -header -csv FILE 'select * from TABLE'`",
    ),
    (b"\x80\x02", "a pickle of Python", PANDAS),
    (b"\x80\x03", "a pickle of Python", PANDAS),
    (b"\x80\x04", "a pickle of Python", PANDAS),
    (b"\x80\x05", "a pickle of Python", PANDAS),
    (b"RDX2\n", "an R data file", "write it with `write.csv(table, name, row.names = FALSE)`"),
    (b"RDX3\n", "an R data file", "write it with `write.csv(table, name, row.names = FALSE)`"),
    (b"X\n\0\0\0", "an R data file", "write it with `write.csv(table, name, row.names = FALSE)`"),
    (b"<stata_dta>", "a Stata file", PANDAS),
    (b"$FL2", "an SPSS file", PANDAS),
    (b"MATLAB 5.0", "a MATLAB file", "write it with `writetable`"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file, such as .xls", SHEET),
    (b"{\\rtf", "a text with format (RTF)", SHEET),
    (b"%PDF", "a PDF document", "export its table as CSV"),
    (b"\x04\x22\x4d\x18", "packed with lz4", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (b"\x1f\x8b", "packed twice", "unpack it once"),
    (b"\x28\xb5\x2f\xfd", "packed twice", "unpack it once"),
    (b"\xfd7zXZ\0", "packed twice", "unpack it once"),
    (b"\x1f\x9d", "packed with compress", UNPACK),
    (b"\x89PNG", "a picture", "tables are CSV"),
    (b"\xff\xd8\xff", "a picture", "tables are CSV"),
    (b"\x7fELF", "a program", "tables are CSV"),
    (b"version https://git-lfs", "a pointer of Git LFS", "fetch the file itself with `git lfs pull`"),
];

fn format(content: &[u8]) -> Option<(String, String)> {
    let told = |what: &str, remedy: &str| Some((what.to_owned(), remedy.to_owned()));
    if content.starts_with(b"PK\x03\x04") || content.starts_with(b"PK\x05\x06") {
        return Some(archive(content));
    }
    if content.starts_with(b"BZh") && content.get(4..8) == Some(b"1AY&") {
        return told("packed with bzip2", UNPACK);
    }
    if content.get(257..262) == Some(b"ustar") {
        return told("a tar archive", UNPACK);
    }
    if let Some((_, what, remedy)) = BEGINNINGS.iter().find(|(start, ..)| content.starts_with(start)) {
        return told(what, remedy);
    }
    if let Some(encoding) = wide(content) {
        let remedy = format!("convert it, for example with `iconv -f {encoding} -t UTF-8`");
        return Some((format!("text in {encoding}"), remedy));
    }
    text(content).or_else(|| {
        let start = content.get(..content.len().min(1024))?;
        start.contains(&0).then(|| ("binary".to_owned(), "convert it to text".to_owned()))
    })
}

/// A zip archive by what is in it.
fn archive(content: &[u8]) -> (String, String) {
    let archive = ZipArchive::new(Cursor::new(content)).ok();
    let names: Vec<&str> = archive.as_ref().map(|archive| archive.file_names().collect()).unwrap_or_default();
    let has = |start: &str| names.iter().any(|name| name.starts_with(start));
    let (what, remedy) = if has("xl/") {
        ("an Excel workbook (.xlsx)", SHEET)
    } else if has("word/") {
        ("a Word document", SHEET)
    } else if has("content.xml") {
        ("an OpenDocument file, such as .ods", SHEET)
    } else if names.iter().any(|name| Path::new(name).extension().is_some_and(|of| of == "npy")) {
        (
            "an archive of NumPy arrays and other files",
            "write it with `numpy.savez(name, x=vectors, y=labels)`",
        )
    } else {
        ("a zip archive", UNPACK)
    };
    let inside = match names.as_slice() {
        [first, ..] if what == "a zip archive" => format!(" with `{}`", crate::error::shown(first)),
        _ => String::new(),
    };
    (format!("{what}{inside}"), remedy.to_owned())
}

/// Text of two or four bytes for each character, with a byte-order mark or told by its zeros.
fn wide(content: &[u8]) -> Option<&'static str> {
    match content {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Some("UTF-16"),
        _ => {}
    }
    let start = content.get(..content.len().min(256))?;
    let zeros = |from: usize| start.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, half) = (zeros(0), zeros(1), start.len() / 2);
    match (even * 10 < half, odd * 10 < half) {
        (true, false) if odd * 10 > half * 8 => Some("UTF-16LE"),
        (false, true) if even * 10 > half * 8 => Some("UTF-16BE"),
        _ => None,
    }
}

/// Text that is no table.
fn text(content: &[u8]) -> Option<(String, String)> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let start = content.get(..content.len().min(1024)).unwrap_or_default().trim_ascii_start();
    let lower = start.to_ascii_lowercase();
    let begins = |words: &[&str]| words.iter().any(|word| lower.starts_with(word.as_bytes()));
    let told = |what: &str, remedy: &str| Some((what.to_owned(), remedy.to_owned()));
    if begins(&["<!doctype html", "<html", "<head", "<body"]) {
        return told("a web page (HTML)", "the download may have been refused; fetch the file itself");
    }
    if begins(&["<?xml", "<!doctype"]) {
        return told("XML", "write it as CSV");
    }
    if begins(&["@relation"]) {
        return told("an ARFF file", "leave out the lines before `@data`, and set `header = false`");
    }
    let mut marks = start.iter().filter(|byte| !byte.is_ascii_whitespace());
    match (marks.next(), marks.next()) {
        (Some(b'{'), Some(b'"' | b'}')) | (Some(b'['), Some(b'{' | b'[')) => {
            told("JSON", "write it as CSV, for example with pandas: `read_json(…).to_csv(name, index=False)`")
        }
        _ => None,
    }
}
