//! Several files that are one table: those whose names a pattern means.

use std::path::{Path, PathBuf};

use manytask_tensor::ShownPath as _;

use super::header::Named;
use super::{Column, Table};
use crate::bytes::{digest, digest_of_file};
use crate::error::shown;
use crate::wildcard::is_like;
use crate::{Error, Result};

/// The files that a path means, by name: those of its folder that are like its last part, where that has a `*`; otherwise, and where a
/// file is called so itself, the path alone.
///
/// # Errors
/// When no file is like it, or the folder cannot be read.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let pattern = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !pattern.contains('*') || path.exists() {
        return Ok(vec![path.to_owned()]);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder).map_err(|error| Error::io(folder, error))? {
        let entry = entry.map_err(|error| Error::io(folder, error))?;
        let name = entry.file_name();
        if is_like(&pattern, &name.to_string_lossy()) && entry.path().is_file() {
            // As the pattern is written, so that messages name files as the configuration does.
            found.push(path.with_file_name(name));
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(Error::io(path, std::io::ErrorKind::NotFound.into()));
    }
    Ok(found)
}

/// Whether a file, which need not be there, would be one of those that a path with a `*` means.
pub fn is_file_of(path: &Path, file: &Path) -> bool {
    let name =
        |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs_err::canonicalize(folder).ok()
    };
    let pattern = name(path);
    pattern.contains('*')
        && !path.exists()
        && is_like(&pattern, &name(file))
        && folder(path).is_some_and(|own| folder(file) == Some(own))
}

/// What [`Table::digest`] is of the files that a path means, without reading them as a table.
pub(crate) fn digest_of(path: &Path) -> Result<String> {
    let one = |path: &PathBuf| Ok((path.clone(), digest_of_file(path)?));
    Ok(joined(&files(path)?.iter().map(one).collect::<Result<Vec<_>>>()?))
}

/// The digest of several files, of which the names count too; of one its own.
fn joined(files: &[(PathBuf, String)]) -> String {
    match files {
        [(_, own)] => own.clone(),
        all => {
            let names = all.iter().flat_map(|(path, own)| [name_of(path), own.clone()]);
            let parts: Vec<String> = names.collect();
            digest(parts.iter().flat_map(|part| [part.as_bytes(), b"\0"]))
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Table {
    /// The tables of several files, one below the other. All have the same columns, in any order.
    ///
    /// # Errors
    /// When one has other columns than the first.
    pub(super) fn below_each_other(path: &Path, tables: Vec<Self>) -> Result<Self> {
        let digests: Vec<(PathBuf, String)> =
            tables.iter().map(|table| (table.path.clone(), table.digest.clone())).collect();
        let mut tables = tables.into_iter();
        let Some(mut all) = tables.next() else {
            return Err(Error::corrupt(path, "the files", "there are none"));
        };
        for table in tables {
            for (own, other) in [(&all, &table), (&table, &all)] {
                if let Some(name) = own.names().find(|name| !other.has(name)) {
                    let what = format!(
                        "has no column `{}`, which {} has; files that are one table have the same columns",
                        shown(name),
                        own.path.shown()
                    );
                    return Err(Error::corrupt(&other.path, "the header", what));
                }
            }
            all.append(&table);
        }
        all.digest = joined(&digests);
        Ok(all)
    }

    /// The same with the file's name in a further column.
    ///
    /// # Errors
    /// When the table has a column of this name.
    pub(super) fn with_file_column(mut self, name: &str) -> Result<Self> {
        if self.has(name) {
            let what = format!(
                "is there already; give `file_column` of `source` another name than `{}`",
                shown(name)
            );
            return Err(Error::corrupt(&self.path, format!("column `{}`", shown(name)), what));
        }
        self.index.insert(name.to_owned(), self.columns.len());
        let column = Column {
            name: name.to_owned(),
            named: Named::Header,
            levels: vec![name_of(&self.path)],
            codes: vec![0; self.rows],
            marks: Vec::new(),
            absent_from: None,
        };
        self.columns.push(column.into());
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TableSource;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs_err::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn files_that_are_like_a_pattern_are_one_table_in_the_order_of_their_names() {
        let folder = folder(&[
            ("part-2.csv", "b,a\n3,z\n"),
            ("part-1.csv", "a,b\nx,1\ny,2\n"),
            ("other.csv", "c\n1\n"),
        ]);
        let path = folder.path().join("part-*.csv");
        let source = TableSource { file_column: Some("from".to_owned()), ..TableSource::new(&path) };
        let table = Table::read(&source).unwrap();
        let column = |name: &str| -> Vec<String> {
            let column = table.column(name).unwrap();
            (0..table.rows()).map(|row| column.text(row).unwrap_or("-").to_owned()).collect()
        };
        assert_eq!(
            (column("a"), column("b")),
            (["x", "y", "z"].map(str::to_owned).into(), ["1", "2", "3"].map(str::to_owned).into())
        );
        assert_eq!(column("from"), ["part-1.csv", "part-1.csv", "part-2.csv"]);
        assert_eq!(table.digest(), digest_of(&path).unwrap());
        assert!(table.row_name(2).starts_with("row 1 of ") && table.row_name(2).ends_with("part-2.csv"));
        // Another name is another table, since the column says so.
        fs_err::rename(folder.path().join("part-2.csv"), folder.path().join("part-3.csv")).unwrap();
        assert_ne!(digest_of(&path).unwrap(), table.digest());
        let single = folder.path().join("other.csv");
        assert_eq!(digest_of(&single).unwrap(), Table::read(&TableSource::new(&single)).unwrap().digest());
    }

    #[test]
    fn files_of_other_columns_and_patterns_without_files_are_refused() {
        let folder = folder(&[("a1.csv", "x,y\n1,2\n"), ("a2.csv", "x\n1\n")]);
        let refused = |source: TableSource| Table::read(&source).unwrap_err().to_string();
        let error = refused(TableSource::new(folder.path().join("a*.csv")));
        assert!(
            error.contains("a2.csv: the header: has no column `y`, which ") && error.contains("a1.csv has"),
            "{error}"
        );
        let error = refused(TableSource::new(folder.path().join("b*.csv")));
        assert!(error.contains("b*.csv: not found"), "{error}");
        let twice = TableSource {
            file_column: Some("x".to_owned()),
            ..TableSource::new(folder.path().join("a1.csv"))
        };
        assert!(refused(twice).contains("column `x`: is there already"));
        // A file that is called as a pattern is that file.
        fs_err::write(folder.path().join("a*.csv"), "x,y\n5,6\n").unwrap();
        assert_eq!(Table::read(&TableSource::new(folder.path().join("a*.csv"))).unwrap().rows(), 1);
    }
}
