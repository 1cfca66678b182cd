//! What ends a command before its time, with the exit code that says why.

use std::borrow::Cow;
use std::fmt;
use std::io::IsTerminal;

use manytask_data as data;
use manytask_multitask as multitask;
use manytask_nn as nn;
use manytask_tensor::{self as tensor, Classified, ErrorKind, KeyPath, SettingError, WHOLE};

/// The result of this crate's functions.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// The exit codes of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// 1: a mistake in the program.
    Bug,
    /// 2: wrong arguments.
    Usage,
    /// 3: a configuration that is wrong or impossible.
    Config,
    /// 4: data are missing or damaged, or a file cannot be read or written.
    Data,
    /// 5: a loss or a parameter became NaN or infinite.
    Diverged,
    /// 6: a checkpoint of another network, configuration or data set, or a damaged one.
    Checkpoint,
    /// 7: another process works in the run's folder.
    InUse,
    /// 129, 130 or 143: interrupted by SIGHUP, SIGINT or SIGTERM, with the state saved.
    Interrupted(u8),
}

impl Code {
    /// The number.
    pub fn number(self) -> u8 {
        match self {
            Self::Bug => 1,
            Self::Usage => 2,
            Self::Config => 3,
            Self::Data => 4,
            Self::Diverged => 5,
            Self::Checkpoint => 6,
            Self::InUse => 7,
            Self::Interrupted(number) => number,
        }
    }

    /// The one table from kinds of errors, of whatever crate, to codes.
    pub const fn of_kind(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Bug => Self::Bug,
            // Whoever asks for less gets it.
            ErrorKind::Setting | ErrorKind::Memory => Self::Config,
            ErrorKind::Data => Self::Data,
            ErrorKind::Diverged => Self::Diverged,
            ErrorKind::Checkpoint => Self::Checkpoint,
        }
    }

    /// The code of a process that ended with this number.
    pub(crate) fn of(number: i32) -> Option<Self> {
        Some(match number {
            1 => Self::Bug,
            2 => Self::Usage,
            3 => Self::Config,
            4 => Self::Data,
            5 => Self::Diverged,
            6 => Self::Checkpoint,
            7 => Self::InUse,
            number => Self::Interrupted(u8::try_from(number).ok().filter(|number| *number > 128)?),
        })
    }
}

/// Why a command ended, in words, with remedies.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// What happened: the first line is a sentence, more lines show the place.
    pub message: String,
    /// What to do.
    pub hints: Vec<String>,
    /// Where in the configuration it is.
    pub place: Place,
}

/// Where in the configuration a mistake is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At this setting, which [`Source::locate`](crate::config::Source::locate) looks up.
    Setting(KeyPath),
    /// The message shows it.
    Shown,
}

/// What to do where memory has run out.
pub(crate) const OUT_OF_MEMORY: &str = "take smaller batches, a smaller network, or fewer tasks at once";

impl Failure {
    /// A failure without a hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hints: Vec::new(), place: Place::Setting(WHOLE) }
    }

    /// A setting that cannot be.
    pub fn setting(key: impl Into<KeyPath>, message: impl Into<String>) -> Self {
        SettingError::new(key, message).into()
    }

    /// The setting that it is about, unless the message shows where that stands.
    pub(crate) fn key(&self) -> Option<&KeyPath> {
        match &self.place {
            Place::Setting(key) => Some(key),
            Place::Shown => None,
        }
    }

    /// The same, whose message shows the place.
    #[must_use]
    pub(crate) fn shown_there(self) -> Self {
        Self { place: Place::Shown, ..self }
    }

    /// The same as seen from the settings around: what was checked is under this key.
    #[must_use]
    pub fn within(mut self, key: impl Into<KeyPath>) -> Self {
        if let Place::Setting(path) = &mut self.place {
            *path = std::mem::take(path).within(key);
        }
        self
    }

    fn of(error: &impl Classified) -> Self {
        let kind = error.kind();
        let failure = match error.setting_error() {
            None => Self::new(Code::of_kind(kind), error.to_string()),
            Some(SettingError { key, what, remedy }) => {
                let hints = Some(remedy).filter(|remedy| !remedy.is_empty()).into_iter().cloned().collect();
                let place = Place::Setting(key.clone());
                Self { code: Code::of_kind(kind), message: what.clone(), hints, place }
            }
        };
        match kind {
            ErrorKind::Memory => failure.hint(OUT_OF_MEMORY),
            _ => failure,
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// What the user sees: the message, then what to do; a bug asks to be reported.
    pub fn shown(&self, style: Style) -> String {
        let (red, plain) = match style {
            Style::Colour => ("\x1b[1;31m", "\x1b[0m"),
            Style::Plain => ("", ""),
        };
        let report = "this is a bug in manytask: report it with the command, the configuration and what `manytask env` prints";
        let bug = (self.code == Code::Bug).then_some(report);
        let hints = self.hints.iter().map(String::as_str).chain(bug);
        let mut text = format!("{red}error{plain}: {}\n", escaped(self.message.trim_end()));
        for hint in hints {
            text.push_str("  hint: ");
            text.push_str(&escaped(hint));
            text.push('\n');
        }
        text
    }

    /// A file that cannot be read or written. `fs_err` names it in its message, as it is.
    pub fn io(error: &std::io::Error) -> Self {
        Self::new(Code::Data, error.to_string().replace('\n', "\\n"))
    }
}

/// A text without control characters but ends of lines and tabs: what a file holds must not steer a terminal.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if steers(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

/// How a failure is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// With colours.
    Colour,
    /// Without.
    Plain,
}

impl Style {
    /// That of stderr: colours on a terminal, unless `NO_COLOR` is set or the terminal is dumb.
    pub fn of_stderr() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let refused = set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb");
        if std::io::stderr().is_terminal() && !refused { Self::Colour } else { Self::Plain }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)
    }
}

impl std::error::Error for Failure {}

/// Results of checking a section, or what is under a key.
pub(crate) trait Within<T> {
    /// The same, where a failure is about a setting under this key.
    fn within(self, key: impl Into<KeyPath>) -> Result<T>;
}

impl<T, E: Into<Failure>> Within<T> for Result<T, E> {
    fn within(self, key: impl Into<KeyPath>) -> Result<T> {
        self.map_err(|error| error.into().within(key))
    }
}

impl From<SettingError> for Failure {
    fn from(error: SettingError) -> Self {
        Self::of(&error)
    }
}

impl From<tensor::Error> for Failure {
    fn from(error: tensor::Error) -> Self {
        Self::of(&error)
    }
}

impl From<tensor::TchError> for Failure {
    fn from(error: tensor::TchError) -> Self {
        tensor::Error::from(error).into()
    }
}

impl From<nn::Error> for Failure {
    fn from(error: nn::Error) -> Self {
        Self::of(&error)
    }
}

impl From<data::Error> for Failure {
    fn from(error: data::Error) -> Self {
        Self::of(&error)
    }
}

impl From<multitask::Error> for Failure {
    fn from(error: multitask::Error) -> Self {
        Self::of(&error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::io(&error)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_failure_is_shown_with_what_to_do() {
        let failure = Failure::new(Code::Config, "a.toml:1:1: wrong\n  | x").hint("write y").hint("or z");
        assert_eq!(
            failure.shown(Style::Plain),
            "error: a.toml:1:1: wrong\n  | x\n  hint: write y\n  hint: or z\n"
        );
        assert!(failure.shown(Style::Colour).starts_with("\x1b[1;31merror\x1b[0m: a.toml"));
        let wild = Failure::new(Code::Data, "a\x1b[2Jb\r\u{9b}c\td").shown(Style::Plain);
        assert_eq!(wild, "error: a\\u{1b}[2Jb\\r\\u{9b}c\td\n");
        assert!(Failure::new(Code::Bug, "x").shown(Style::Plain).contains("report it"));
    }

    #[test]
    fn every_kind_of_error_has_its_exit_code() {
        let codes = ErrorKind::ALL.map(|kind| (kind, Code::of_kind(kind).number()));
        assert_eq!(
            codes,
            [
                (ErrorKind::Bug, 1),
                (ErrorKind::Setting, 3),
                (ErrorKind::Memory, 3),
                (ErrorKind::Data, 4),
                (ErrorKind::Diverged, 5),
                (ErrorKind::Checkpoint, 6),
            ]
        );
    }

    #[test]
    fn a_refused_setting_keeps_its_path_and_its_remedy() {
        let refused = multitask::Error::from(SettingError::new("c", "c is -1").remedy("write 0"));
        let failure = Failure::from(refused).within("aggregator");
        assert_eq!(failure.place, Place::Setting(["aggregator", "c"].into()));
        assert_eq!((failure.message.as_str(), failure.hints), ("c is -1", vec!["write 0".to_owned()]));
        let shown = Failure::new(Code::Config, "a.toml:1:1: x").shown_there().within("aggregator");
        assert_eq!(shown.place, Place::Shown);
    }

    #[test]
    fn every_error_has_its_exit_code() {
        let code = |failure: Failure| failure.code.number();
        let path = || PathBuf::from("a");
        let io = || std::io::Error::other("x");
        let op =
            |message: &str| tensor::Error::Op { op: "mul".into(), shapes: vec![], message: message.into() };
        assert_eq!(code(op("shapes differ").into()), 1);
        for words in [
            "not enough memory: you tried to allocate 1 bytes",
            "[enforce fail at alloc_cpu.cpp:128] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes",
            "CUDA out of memory. Tried to allocate 2.00 GiB",
            "std::bad_alloc",
        ] {
            assert_eq!(code(op(words).into()), 3, "{words}");
        }
        assert_eq!(code("gpu".parse::<tensor::DeviceChoice>().unwrap_err().into()), 3);
        assert_eq!(code(tensor::Error::Io { path: path(), source: io() }.into()), 4);
        assert_eq!(code(tensor::Error::Corrupt { path: path(), message: String::new() }.into()), 6);
        assert_eq!(code(nn::Error::setting("beta1", &2.0, "below 1").into()), 3);
        let input = nn::Error::Input { layer: String::new(), expected: String::new(), found: vec![] };
        assert_eq!(code(multitask::Error::Nn(input).into()), 1);
        assert_eq!(code(data::Error::Missing { path: path(), hint: String::new() }.into()), 4);
        assert_eq!(code(data::Error::Config(SettingError::new(WHOLE, "")).into()), 3);
        assert_eq!(code(data::Error::Io { path: path(), source: io() }.into()), 4);
        assert_eq!(code(multitask::Error::setting("a", "x", "y").into()), 3);
        assert_eq!(code(multitask::Error::Diverged { step: 1, what: String::new() }.into()), 5);
        let other = multitask::Error::Incompatible { path: path(), message: String::new() };
        assert_eq!(code(other.into()), 6);
        assert_eq!(code(io().into()), 4);
        assert_eq!([Code::Usage, Code::InUse, Code::Interrupted(143)].map(Code::number), [2, 7, 143]);
    }
}
