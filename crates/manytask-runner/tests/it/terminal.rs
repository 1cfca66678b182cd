//! What a training shows on a terminal, told by a terminal of a few rows and columns.

use std::io::Read as _;
use std::process::Command;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::command::Place;

const ROWS: u16 = 30;

/// What a command writes to a terminal that is so many columns wide.
fn shown(mut command: Command, columns: u16) -> String {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    tcsetwinsize(&ours, Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = || {
        let path = name.to_str().unwrap();
        fs_err::OpenOptions::new().read(true).write(true).open(path).unwrap().into_parts().0
    };
    command.env("TERM", "xterm").stderr(theirs()).stdout(theirs());
    let mut child = command.spawn().unwrap();
    // Its ends of the terminal are closed with it.
    drop(command);
    let mut bytes = Vec::new();
    // The end of a terminal that nobody writes to any more is an error on Linux.
    let _ = std::fs::File::from(ours).read_to_end(&mut bytes);
    assert!(child.wait().unwrap().success());
    String::from_utf8(bytes).unwrap()
}

/// A terminal that does what it is told: rows of characters, and where the cursor is.
#[derive(Default)]
struct Terminal {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// The longest line that was ever written into.
    widest: usize,
}

impl Terminal {
    fn of(text: &str) -> Self {
        let mut terminal = Self::default();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match character {
                '\r' => terminal.column = 0,
                '\n' => terminal.row += 1,
                '\x1b' => {
                    assert_eq!(rest.next(), Some('['));
                    let mut code = String::new();
                    let order = rest.by_ref().find(|character| {
                        let ends = character.is_ascii_alphabetic();
                        code.extend((!ends).then_some(character));
                        ends
                    });
                    terminal.told(order, &code);
                }
                character => terminal.put(character),
            }
        }
        terminal
    }

    fn put(&mut self, character: char) {
        while self.rows.len() <= self.row {
            self.rows.push(Vec::new());
        }
        let row = &mut self.rows[self.row];
        row.resize(row.len().max(self.column + 1), ' ');
        row[self.column] = character;
        self.column += 1;
        self.widest = self.widest.max(self.column);
    }

    /// `\x1b[nA` goes up, `\x1b[K` clears the rest of the line, `\x1b[J` what is below, too.
    fn told(&mut self, order: Option<char>, code: &str) {
        match order {
            Some('A') => {
                let up: usize = code.parse().unwrap();
                assert!(up <= self.row, "the cursor goes beyond the first line");
                self.row -= up;
            }
            Some('K' | 'J') => {
                if let Some(row) = self.rows.get_mut(self.row) {
                    row.truncate(self.column);
                }
                if order == Some('J') {
                    self.rows.truncate(self.row + 1);
                }
            }
            other => panic!("{other:?} {code}"),
        }
    }

    fn lines(&self) -> Vec<String> {
        self.rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned()).collect()
    }
}

#[test]
fn no_line_is_longer_than_the_terminal_is_wide_and_what_is_shown_is_taken_away() {
    let place = Place::new();
    place.config_with("epochs = 5", "epochs = 40");
    for columns in [40, 80, 200] {
        let name = format!("at{columns}");
        let command = place.command(&["train", "a.toml", "--name", &name]);
        let text = shown(command, columns);
        // What comes before the first picture and after the last one is as it is in a file.
        let start = text.find("\x1b[K").unwrap();
        let start = text[..start].rfind('\r').map_or(0, |at| text[..at].rfind('\n').map_or(0, |at| at + 1));
        let end = text.rfind("\x1b[J").unwrap();
        let pictures = &text[start..end + 3];
        let terminal = Terminal::of(pictures);
        assert!(terminal.widest < usize::from(columns), "{columns}: {}", terminal.widest);
        for piece in ["320/320", "rich", "score", "to go", "validation loss"] {
            assert!(pictures.contains(piece), "{columns}: `{piece}` is not in {pictures:?}");
        }
        assert!(pictures.contains(['▁', '█']), "{columns}: {pictures:?}");
        let left = terminal.lines().join("\n");
        assert!(!left.contains("to go") && !left.contains('█'), "{columns}: {left}");
    }
}

#[test]
fn plain_progress_and_dumb_terminals_have_lines_alone() {
    let place = Place::new();
    let plain = shown(place.command(&["train", "a.toml", "--plain"]), 80);
    assert!(plain.contains("validation loss") && !plain.contains('\x1b'), "{plain:?}");
    let said = place.good(&["train", "a.toml", "--name", "file"]);
    assert!(!said.err.contains('\x1b') && said.err.contains("validation loss"), "{said:?}");
}
