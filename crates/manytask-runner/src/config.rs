//! Configurations: TOML with spans kept, overrides from the command line, and sections that are taken apart by name.

mod diagnostic;
mod difference;
mod overrides;
mod paths;
mod section;
mod span;
#[cfg(test)]
mod tests;
mod value;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manytask_tensor::ShownPath as _;
use toml::Spanned;
use toml::de::DeTable;

pub(crate) use self::diagnostic::nearest;
pub(crate) use self::difference::{changed_keys, flat};
pub use self::section::Section;
use crate::failure::{Code, Failure, Place, Result};
pub(crate) use overrides::one_line;

/// The text of a configuration, with overrides behind it, so that every place in either has one number.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    /// The file's text, then each override in a line of its own.
    text: Arc<str>,
    /// Where the file's text ends.
    end: usize,
    /// Where what the user wrote ends: changes behind it are the program's.
    written: usize,
}

impl Source {
    /// Reads a file; `overrides` are `a.b.c=value`.
    ///
    /// # Errors
    /// When the file is not there, is a folder, or is not UTF-8 (exit code 3).
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let refuse =
            |what: String| Failure::new(Code::Config, format!("{}: {what}", path.shown())).shown_there();
        let bytes = match bounded(path) {
            Ok(bytes) if bytes.len() as u64 > LARGEST => {
                return Err(refuse(format!(
                    "is larger than {} MiB, which no configuration is",
                    LARGEST >> 20
                )));
            }
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let failure = refuse("there is no such configuration".into());
                return Err(match neighbour(path) {
                    Some(name) => failure.hint(format!("did you mean `{}`?", name.shown())),
                    None => failure,
                });
            }
            Err(_) if path.is_dir() => return Err(refuse("is a folder; name a configuration in it".into())),
            Err(error) => return Err(Failure::new(Code::Config, error.to_string()).shown_there()),
        };
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) || bytes.contains(&0) {
            return Err(refuse("is UTF-16 or no text; a configuration is UTF-8".into())
                .hint("save it as UTF-8 in the editor, or: iconv -f UTF-16 -t UTF-8 OLD > NEW"));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = error
                .as_bytes()
                .iter()
                .take(error.utf8_error().valid_up_to())
                .filter(|b| **b == b'\n')
                .count();
            refuse(format!("line {}: is not UTF-8", line + 1))
        })?;
        Self::new(path, &text, overrides)
    }

    /// A configuration that is already in memory; `path` is what errors name.
    ///
    /// # Errors
    /// When an override is not `a.b.c=value`, or two are for the same key (exit code 2).
    pub fn new(path: &Path, text: &str, overrides: &[String]) -> Result<Self> {
        overrides::check(overrides)?;
        let mut all = text.to_owned();
        let end = all.len();
        for change in overrides {
            all.push('\n');
            all.push_str(change);
        }
        let written = all.len();
        Ok(Self { path: path.to_owned(), text: all.into(), end, written })
    }

    /// The same with changes that the user has not written, as of a member of a study: they go before the others, and what is wrong with them
    /// is told without their text.
    ///
    /// # Errors
    /// As [`Source::new`].
    pub fn with(&self, changes: &[String]) -> Result<Self> {
        overrides::check(changes)?;
        let mut text = String::from(&*self.text);
        for change in changes {
            text.push('\n');
            text.push_str(change);
        }
        Ok(Self { text: text.into(), ..self.clone() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Shows where the setting stands that a mistake is about: its value, or where it is not written the table around it. A mistake in the
    /// configuration as a whole names the file; one of another kind, or that shows its place already, stays as it is.
    pub fn locate(&self, failure: Failure) -> Failure {
        let Failure { code: Code::Config, place: Place::Setting(path), .. } = &failure else {
            return failure;
        };
        let found =
            self.table().ok().and_then(|table| span::find(table.get_ref(), path.segments(), &self.text));
        match found {
            Some(place) => self.diagnostic(&failure.message, place, failure.hints),
            None => Failure { message: format!("{}: {}", self.path.shown(), failure.message), ..failure }
                .shown_there(),
        }
    }

    /// The folder that relative paths start from.
    pub fn folder(&self) -> PathBuf {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
    }

    /// The whole as one section.
    ///
    /// # Errors
    /// At a mistake in TOML, or an override that goes through something that is no table.
    pub fn section(&self) -> Result<Section<'_>> {
        let table = self.table()?;
        if table.get_ref().is_empty() {
            return Err(Failure::new(Code::Config, format!("{}: is empty", self.path.shown()))
                .shown_there()
                .hint("`manytask explain NAME` shows what can stand in a configuration"));
        }
        Ok(Section::whole(self, table))
    }

    /// The configuration with its overrides in place, as TOML.
    ///
    /// # Errors
    /// As [`Source::section`].
    pub fn effective(&self) -> Result<toml::Table> {
        let table = self.table()?;
        let end = self.end;
        serde::Deserialize::deserialize(toml::Deserializer::from(table)).map_err(|error: toml::de::Error| {
            self.diagnostic(error.message(), error.span().unwrap_or(0..end), Vec::new())
        })
    }

    fn table(&self) -> Result<Spanned<DeTable<'_>>> {
        let (file, changes) = self.text.split_at(self.end);
        let mut table = DeTable::parse(file)
            .map_err(|error| self.diagnostic(error.message(), error.span().unwrap_or(0..0), Vec::new()))?;
        let mut start = self.end;
        for change in changes.split('\n').skip(1) {
            start += 1;
            overrides::apply(self, table.get_mut(), change, start)?;
            start += change.len();
        }
        Ok(table)
    }
}

/// More than this is no configuration.
const LARGEST: u64 = 64 << 20;

/// What is in a file, up to a little more than the largest configuration.
fn bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs_err::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The file of the same folder whose name is nearest.
fn neighbour(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = fs_err::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    let names: Vec<String> =
        names.filter(|name| Path::new(name).extension().is_some_and(|e| e == "toml")).collect();
    let nearest = nearest(&name, names.iter().map(String::as_str))?;
    Some(path.with_file_name(nearest))
}
