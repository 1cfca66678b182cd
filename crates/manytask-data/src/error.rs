use std::path::{Path, PathBuf};

use manytask_tensor::{Classified, ErrorKind, KeyPath, SettingError, ShownPath as _, TchError};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with data; every message names the file, the place in it and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that is not there.
    #[error("{}: not found; {hint}", path.shown())]
    Missing {
        /// The file or folder.
        path: PathBuf,
        /// What to do about it.
        hint: String,
    },
    /// The system refused to read a file.
    #[error("{}: {source}", path.shown())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file that is damaged, or not of the format it should be.
    #[error("{}: {place}: {message}", path.shown())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in the file, for example `line 17`.
        place: String,
        /// What is wrong there, and the remedy.
        message: String,
    },
    /// A column that the table does not have.
    #[error("{setting}")]
    Column {
        /// The setting that names it, with the nearest name that is there.
        setting: SettingError,
        /// The table's file.
        path: PathBuf,
    },
    /// A column that a file must have and does not: a file of another split, or one that a model is given.
    #[error("{}: no column `{}`{}", path.shown(), shown(column), clause(hint))]
    Lacks {
        /// The table's file.
        path: PathBuf,
        /// The name of the column.
        column: String,
        /// Why it must be there, and the remedy.
        hint: String,
    },
    /// A value that cannot be used where it stands.
    #[error("{}: row {row}, column `{}`: `{}` is not {expected}", path.shown(), shown(column), shown(text))]
    Value {
        /// The table's file.
        path: PathBuf,
        /// The row, counted from 1 without the header.
        row: usize,
        /// The column.
        column: String,
        /// The value as it is written.
        text: String,
        /// What would have been right, and the remedy.
        expected: String,
    },
    /// Settings that do not fit each other or the data.
    #[error(transparent)]
    Config(#[from] SettingError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] manytask_tensor::Error),
}

impl Error {
    /// The file the error is about, if it is about one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Missing { path, .. }
            | Self::Io { path, .. }
            | Self::Corrupt { path, .. }
            | Self::Column { path, .. }
            | Self::Lacks { path, .. }
            | Self::Value { path, .. } => Some(path),
            Self::Config(_) | Self::Tensor(_) => None,
        }
    }

    /// A setting that does not fit the others or the data, and the remedy in the same message.
    pub(crate) fn config(key: impl Into<KeyPath>, message: impl Into<String>) -> Self {
        SettingError::new(key, message).into()
    }

    pub(crate) fn corrupt(path: &Path, place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), place: place.into(), message: message.into() }
    }

    /// Sorts the system's answers into "not there", "damaged" and the rest.
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind;
        match source.kind() {
            ErrorKind::NotFound => {
                let hint = "check the path; relative paths start at the working directory".to_owned();
                Self::Missing { path: path.to_owned(), hint }
            }
            ErrorKind::IsADirectory => Self::corrupt(path, "the path", "is a folder, a file was expected"),
            _ => Self::Io { path: path.to_owned(), source },
        }
    }
}

impl Classified for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) | Self::Column { .. } => ErrorKind::Setting,
            Self::Missing { .. }
            | Self::Io { .. }
            | Self::Corrupt { .. }
            | Self::Lacks { .. }
            | Self::Value { .. } => ErrorKind::Data,
            Self::Tensor(error) => error.kind(),
        }
    }

    fn setting_error(&self) -> Option<&SettingError> {
        match self {
            Self::Config(error) | Self::Column { setting: error, .. } => Some(error),
            _ => None,
        }
    }

    fn setting_mut(&mut self) -> Option<&mut SettingError> {
        match self {
            Self::Config(error) | Self::Column { setting: error, .. } => Some(error),
            _ => None,
        }
    }
}

impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        Self::Tensor(error.into())
    }
}

/// The name among `names` nearest to `wanted`, if any is near enough to be what was meant.
pub(crate) fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let scored = names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wanted.to_lowercase(), &name.to_lowercase()), name));
    let best = scored.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(best.1.to_owned())
}

pub(crate) fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!("; did you mean `{}`?", shown(name))).unwrap_or_default()
}

/// A piece of data as messages show it: control characters escaped, and of a long text a window.
pub(crate) fn shown(text: &str) -> String {
    let escaped = |text: &str| -> String {
        text.chars().fold(String::with_capacity(text.len()), |mut shown, character| {
            if character.is_control()
                || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}')
            {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
            shown
        })
    };
    match text.char_indices().nth(WINDOW) {
        None => escaped(text),
        Some((end, _)) => {
            let head = text.get(..end).unwrap_or_default();
            format!("{}… ({} characters)", escaped(head), text.chars().count())
        }
    }
}

/// How many characters of a text are shown.
const WINDOW: usize = 80;

fn clause(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!(", {hint}") }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::WHOLE;

    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let names = ["age", "income", "marital_status"];
        assert_eq!(nearest("incone", names).as_deref(), Some("income"));
        assert_eq!(nearest("Marital-Status", names).as_deref(), Some("marital_status"));
        assert_eq!(nearest("zzz", names), None);
    }

    #[test]
    fn data_is_shown_without_control_characters_and_as_a_window() {
        assert_eq!(shown("a\r\nb\u{1b}[31m é"), "a\\r\\nb\\u{1b}[31m é");
        let long = shown(&"é".repeat(1_000_000));
        assert!(long.starts_with(&"é".repeat(80)) && long.ends_with("… (1000000 characters)"), "{long}");
        let value = Error::Value {
            path: "a.csv".into(),
            row: 1,
            column: "x\ty".into(),
            text: "z".repeat(9999),
            expected: "a number".into(),
        };
        let message = value.to_string();
        assert!(message.len() < 200 && message.contains("`x\\ty`"), "{message}");
    }

    #[test]
    fn errors_about_files_name_them() {
        let error = Error::corrupt(Path::new("a.csv"), "line 3", "has 2 fields");
        assert_eq!(error.path(), Some(Path::new("a.csv")));
        assert_eq!(error.to_string(), "a.csv: line 3: has 2 fields");
        assert_eq!(Error::config(WHOLE, "x").path(), None);
    }
}
