//! Settings that are refused: which one, by its path of keys, why, and what to write instead.

use std::fmt;

/// A setting that cannot be, alone or with others.
///
/// The path says which one, so that whoever has the text of a configuration shows the place without reading the message. It is
/// relative to the settings that were checked: whoever holds these in others puts the key in front ([`SettingError::within`],
/// [`Within`]).
///
/// ```
/// use manytask_tensor::SettingError;
/// let error = SettingError::found(("hidden", 1), 0, "each size must be at least 1").within("trunk");
/// assert_eq!(error.to_string(), "hidden is 0: each size must be at least 1");
/// assert_eq!(error.key.to_string(), "trunk.hidden.1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}{}{remedy}", if remedy.is_empty() { "" } else { "; " })]
pub struct SettingError {
    /// Which setting.
    pub key: KeyPath,
    /// What does not go, as a lowercase fragment.
    pub what: String,
    /// What to write instead; empty where `what` says it.
    pub remedy: String,
}

impl SettingError {
    /// A setting, and what is wrong with it; [`WHOLE`] where no single one is.
    pub fn new(key: impl Into<KeyPath>, what: impl Into<String>) -> Self {
        Self { key: key.into(), what: what.into(), remedy: String::new() }
    }

    /// A setting outside of its range: `NAME is FOUND: EXPECTED`.
    pub fn found(key: impl Into<KeyPath>, found: impl fmt::Display, expected: impl fmt::Display) -> Self {
        let key = key.into();
        let what = format!("{} is {found}: {expected}", key.name());
        Self { key, what, remedy: String::new() }
    }

    /// The same with what to write instead.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }

    /// The same as seen from the settings around, which hold those that were checked under this key.
    #[must_use]
    pub fn within(mut self, key: impl Into<KeyPath>) -> Self {
        self.key = self.key.within(key);
        self
    }
}

/// The path of keys to a setting, outermost first, in the names of a configuration.
///
/// Made of one key (`"hidden"`), of several (`["trunk", "hidden"]`), or of two segments (`("hidden", 1)`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct KeyPath(Vec<Segment>);

/// The settings as a whole: the path without a key.
pub const WHOLE: KeyPath = KeyPath(Vec::new());

/// A step of a [`KeyPath`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// The value of a key in a table.
    Key(String),
    /// A value of a list, counted from 0.
    Index(usize),
    /// The text among the values that the path so far leads to, at whatever depth: the name of a column or a task.
    Text(String),
}

impl KeyPath {
    /// The steps, outermost first.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether it leads to the settings as a whole.
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// The last key in it; empty if it has none.
    pub fn name(&self) -> &str {
        let mut keys = self.0.iter().rev().filter_map(|segment| match segment {
            Segment::Key(key) => Some(key.as_str()),
            Segment::Index(_) | Segment::Text(_) => None,
        });
        keys.next().unwrap_or_default()
    }

    /// One step further in.
    #[must_use]
    pub fn then(mut self, segment: impl Into<Segment>) -> Self {
        self.0.push(segment.into());
        self
    }

    /// The text among the values at this path.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.then(Segment::Text(text.into()))
    }

    /// This path below another.
    #[must_use]
    pub fn within(self, outer: impl Into<Self>) -> Self {
        let mut path = outer.into();
        path.0.extend(self.0);
        path
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            let dot = if i == 0 { "" } else { "." };
            match segment {
                Segment::Key(key) => write!(f, "{dot}{key}")?,
                Segment::Index(index) => write!(f, "{dot}{index}")?,
                Segment::Text(text) => write!(f, "{dot}\"{text}\"")?,
            }
        }
        Ok(())
    }
}

impl From<&str> for Segment {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<&String> for Segment {
    fn from(key: &String) -> Self {
        Self::Key(key.clone())
    }
}

impl From<usize> for Segment {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl From<&str> for KeyPath {
    fn from(key: &str) -> Self {
        Self(vec![key.into()])
    }
}

impl From<&String> for KeyPath {
    fn from(key: &String) -> Self {
        Self(vec![key.into()])
    }
}

impl<const N: usize> From<[&str; N]> for KeyPath {
    fn from(keys: [&str; N]) -> Self {
        Self(keys.into_iter().map(Segment::from).collect())
    }
}

impl<A: Into<Segment>, B: Into<Segment>> From<(A, B)> for KeyPath {
    fn from((outer, inner): (A, B)) -> Self {
        Self(vec![outer.into(), inner.into()])
    }
}

impl From<Segment> for KeyPath {
    fn from(segment: Segment) -> Self {
        Self(vec![segment])
    }
}

/// What kind of thing went wrong, of any crate's error: what a program's exit code goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A mistake in the program, or in how a library is called.
    Bug,
    /// A setting is impossible, alone, with others, or with the data.
    Setting,
    /// Memory ran out.
    Memory,
    /// Data are missing or damaged, or a file cannot be read or written.
    Data,
    /// A loss or a parameter became NaN or infinite.
    Diverged,
    /// A saved state of another network, configuration or data set, or a damaged one.
    Checkpoint,
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Bug, Self::Setting, Self::Memory, Self::Data, Self::Diverged, Self::Checkpoint];
}

/// An error that says of what kind it is, and which setting it is about, where it is about one.
pub trait Classified: std::error::Error {
    /// Of what kind it is.
    fn kind(&self) -> ErrorKind;

    /// The setting that it refuses.
    fn setting_error(&self) -> Option<&SettingError> {
        None
    }

    /// The same, to put keys in front of its path.
    fn setting_mut(&mut self) -> Option<&mut SettingError> {
        None
    }
}

impl Classified for SettingError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Setting
    }

    fn setting_error(&self) -> Option<&SettingError> {
        Some(self)
    }

    fn setting_mut(&mut self) -> Option<&mut SettingError> {
        Some(self)
    }
}

/// Results of checking settings that are held in others.
pub trait Within {
    /// The same, where a setting that is refused is under this key of the settings around.
    #[must_use]
    fn within(self, key: impl Into<KeyPath>) -> Self;
}

impl<T, E: Classified> Within for Result<T, E> {
    fn within(mut self, key: impl Into<KeyPath>) -> Self {
        if let Err(error) = &mut self
            && let Some(setting) = error.setting_mut()
        {
            setting.key = std::mem::take(&mut setting.key).within(key);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Refused(SettingError);

    impl Classified for Refused {
        fn kind(&self) -> ErrorKind {
            ErrorKind::Setting
        }

        fn setting_mut(&mut self) -> Option<&mut SettingError> {
            Some(&mut self.0)
        }
    }

    #[test]
    fn a_path_grows_from_within() {
        let checked = || -> Result<(), Refused> { Err(Refused(SettingError::new(("use", 2), "x"))) };
        let error = checked().within(["data", "inputs"]).unwrap_err();
        assert_eq!(error.0.key.to_string(), "data.inputs.use.2");
        assert_eq!(error.0.key.name(), "use");
        let whole = SettingError::new(WHOLE, "x").within("network");
        assert_eq!(whole.key, KeyPath::from("network"));
        let text = KeyPath::from("columns").text("age");
        assert_eq!((text.to_string().as_str(), text.name()), ("columns.\"age\"", "columns"));
        assert!(WHOLE.is_whole() && WHOLE.name().is_empty());
    }

    #[test]
    fn a_remedy_stands_behind_what_is_wrong() {
        let error = SettingError::new("c", "cagrad: c is -1");
        assert_eq!(error.to_string(), "cagrad: c is -1");
        assert_eq!(error.remedy("write 0").to_string(), "cagrad: c is -1; write 0");
    }
}
