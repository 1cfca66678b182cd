use std::fmt::{self, Display, Formatter, Write};
use std::path::Path;

/// Paths as messages show them.
pub trait ShownPath {
    /// The path for a reader: control characters, ends of lines among them, are escaped, so that a name can neither steer a
    /// terminal nor pass for a line of the program's own. What is not UTF-8 is replaced, as by [`Path::display`].
    /// `-` is standard input.
    fn shown(&self) -> impl Display + '_;
}

impl ShownPath for Path {
    fn shown(&self) -> impl Display + '_ {
        Shown(self)
    }
}

struct Shown<'a>(&'a Path);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0 == Path::new("-") {
            return f.write_str("standard input");
        }
        for character in self.0.to_string_lossy().chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_line_whatever_its_name_holds() {
        assert_eq!(
            Path::new("a\nnote: all is well\r\x1b[2J/é b").shown().to_string(),
            "a\\nnote: all is well\\r\\u{1b}[2J/é b"
        );
    }

    #[test]
    fn standard_input_is_called_so() {
        assert_eq!(Path::new("-").shown().to_string(), "standard input");
        assert_eq!(Path::new("./-").shown().to_string(), "./-");
    }

    #[test]
    fn a_usual_path_is_shown_as_it_is() {
        assert_eq!(Path::new("/data/große Tabelle.csv").shown().to_string(), "/data/große Tabelle.csv");
    }
}
