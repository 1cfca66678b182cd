//! A few lines of a terminal that are written again and again.

use std::io::Write;

use console::{measure_text_width, truncate_str};

/// Lines at the end of what a terminal shows.
#[derive(Debug)]
pub(super) struct Screen<W> {
    out: W,
    /// How many lines of it stand there, above the cursor.
    drawn: usize,
    /// How wide the terminal was when they were written.
    width: usize,
}

impl<W: Write> Screen<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, drawn: 0, width: 0 }
    }

    /// Writes lines in place of those that it wrote before, cut to the terminal's width and height.
    pub(super) fn draw(&mut self, lines: &[String], (height, width): (usize, usize)) {
        let mut text = self.back(width);
        // The last column stays free: a character there makes some terminals begin another line.
        let lines = lines.iter().take(height.saturating_sub(1));
        let mut drawn = 0;
        for line in lines {
            text.push_str(&truncate_str(line, width.saturating_sub(1), "…"));
            text.push_str("\x1b[K\r\n");
            drawn += 1;
        }
        text.push_str("\x1b[J");
        self.write(&text);
        (self.drawn, self.width) = (drawn, width);
    }

    /// Writes a line above the others, which stays; it goes on in further lines where it is longer than the terminal is wide.
    pub(super) fn print(&mut self, line: &str, width: usize) {
        let mut text = self.back(width);
        text.push_str("\x1b[J");
        for line in line.lines() {
            text.push_str(&wrapped(line, width.saturating_sub(1).max(8)).join("\r\n"));
            text.push_str("\r\n");
        }
        self.write(&text);
        self.drawn = 0;
    }

    /// Takes the lines away.
    pub(super) fn clear(&mut self, width: usize) {
        let text = self.back(width) + "\x1b[J";
        self.write(&text);
        self.drawn = 0;
    }

    /// Something else was written below the lines, which stay where they are.
    pub(super) fn leave(&mut self) {
        self.drawn = 0;
    }

    /// What goes to the first of the lines. In a terminal of another width they may stand in more or fewer lines than were written, so
    /// they stay and others follow.
    fn back(&self, width: usize) -> String {
        if self.drawn > 0 && width == self.width {
            format!("\r\x1b[{}A", self.drawn)
        } else {
            "\r".to_owned()
        }
    }

    fn write(&mut self, text: &str) {
        // A terminal that has gone away shows nothing.
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

/// A line cut at blanks into lines of no more than so many columns.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let Some(last) = lines.last_mut() else { break };
        let blank = usize::from(!last.is_empty());
        if measure_text_width(last) + blank + measure_text_width(word) <= width {
            if blank > 0 {
                last.push(' ');
            }
            last.push_str(word);
            continue;
        }
        let mut rest = String::new();
        for character in word.chars() {
            if measure_text_width(&rest) + measure_text_width(character.encode_utf8(&mut [0; 4])) > width {
                lines.push(std::mem::take(&mut rest));
            }
            rest.push(character);
        }
        lines.push(rest);
    }
    lines.into_iter().filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(work: impl FnOnce(&mut Screen<&mut Vec<u8>>)) -> String {
        let mut out = Vec::new();
        work(&mut Screen::new(&mut out));
        String::from_utf8(out).unwrap()
    }

    fn lines(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn lines_replace_those_of_before_and_are_cut_to_the_width_and_the_height() {
        let text = drawn(|screen| {
            screen.draw(&lines(&["0123456789", "b", "c"]), (3, 8));
            screen.draw(&lines(&["x"]), (3, 8));
        });
        assert_eq!(text, "\r012345…\x1b[K\r\nb\x1b[K\r\n\x1b[J\r\x1b[2Ax\x1b[K\r\n\x1b[J");
    }

    #[test]
    fn in_a_terminal_of_another_width_new_lines_follow() {
        let text = drawn(|screen| {
            screen.draw(&lines(&["a"]), (9, 80));
            screen.draw(&lines(&["b"]), (9, 40));
            screen.draw(&lines(&["c"]), (9, 40));
        });
        assert_eq!(text.matches("\x1b[1A").count(), 1, "{text:?}");
    }

    #[test]
    fn a_line_that_stays_goes_on_below_where_it_is_long() {
        let text = drawn(|screen| screen.print("the quick brown fox jumps over abcdefghijklmnopq", 11));
        let shown: Vec<&str> = text.trim_start_matches("\r\x1b[J").lines().collect();
        assert_eq!(shown, ["the quick", "brown fox", "jumps over", "abcdefghij", "klmnopq"]);
    }
}
