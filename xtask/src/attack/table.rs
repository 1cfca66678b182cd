//! Random small tables with gaps, and an independent reading of CSV to compare with.

use super::random::Rng;

/// A table of text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// The columns' names.
    pub(crate) names: Vec<String>,
    /// The fields of each row.
    pub(crate) rows: Vec<Vec<String>>,
}

/// How fields are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// Where they are needed.
    Needed,
    /// Around each field.
    All,
}

impl Table {
    /// A table of so many rows without columns.
    pub(crate) fn of_rows(rows: usize) -> Self {
        Self { names: Vec::new(), rows: vec![Vec::new(); rows] }
    }

    /// Adds a column whose values are drawn one by one, each missing so often.
    pub(crate) fn draw(&mut self, rng: &mut Rng, name: &str, gaps: f64, value: impl Fn(&mut Rng) -> String) {
        let mark = rng.pick(&["", "NA", "?"]);
        self.names.push(name.to_owned());
        for row in &mut self.rows {
            let value = value(rng);
            row.push(if rng.chance(gaps) { mark.to_owned() } else { value });
        }
    }

    /// The distinct values of a column in order of first occurrence, without missing ones.
    pub(crate) fn levels(&self, name: &str) -> Vec<String> {
        let mut levels: Vec<String> = Vec::new();
        let Some(column) = self.names.iter().position(|other| other == name) else { return levels };
        for value in self.rows.iter().filter_map(|row| row.get(column)) {
            if !["", "NA", "?"].contains(&value.as_str()) && !levels.contains(value) {
                levels.push(value.clone());
            }
        }
        levels
    }

    /// The table as CSV.
    pub(crate) fn csv(&self) -> String {
        self.written(',', "\n", Quotes::Needed)
    }

    /// The table with this separator, line end and quoting.
    pub(crate) fn written(&self, separator: char, end: &str, quotes: Quotes) -> String {
        let field = |text: &String| {
            let needed = text.contains([separator, '"', '\n', '\r']);
            if needed || quotes == Quotes::All {
                format!("\"{}\"", text.replace('"', "\"\""))
            } else {
                text.clone()
            }
        };
        let line = |fields: &Vec<String>| {
            let fields: Vec<String> = fields.iter().map(field).collect();
            fields.join(&separator.to_string()) + end
        };
        std::iter::once(&self.names).chain(&self.rows).map(line).collect()
    }

    /// The same columns in this order.
    pub(crate) fn reordered(&self, order: &[usize]) -> Self {
        let put = |fields: &Vec<String>| -> Vec<String> {
            order.iter().filter_map(|&column| fields.get(column).cloned()).collect()
        };
        Self { names: put(&self.names), rows: self.rows.iter().map(put).collect() }
    }
}

/// The records of a CSV text, blank lines left out: what RFC 4180 says, written without regard to the program's readers.
pub(crate) fn records(text: &str) -> Vec<Vec<String>> {
    let (mut all, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut blank) = (false, true);
    let mut characters = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => {
                quoted = !quoted;
                blank = false;
            }
            ',' if !quoted => {
                record.push(std::mem::take(&mut field));
                blank = false;
            }
            '\r' if !quoted && characters.peek() == Some(&'\n') => {}
            '\n' | '\r' if !quoted => {
                record.push(std::mem::take(&mut field));
                let done = std::mem::take(&mut record);
                if !blank {
                    all.push(done);
                }
                blank = true;
            }
            other => {
                field.push(other);
                blank = false;
            }
        }
    }
    if !blank {
        record.push(field);
        all.push(record);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let text = |fields: [&str; 2]| fields.map(str::to_owned).to_vec();
        Table { names: text(["a", "b"]), rows: vec![text(["1", "x, \"y\""]), text(["", "two\nlines"])] }
    }

    #[test]
    fn what_is_written_is_read_the_same() {
        let table = table();
        for (end, quotes) in [("\n", Quotes::Needed), ("\r\n", Quotes::All)] {
            let read = records(&table.written(',', end, quotes));
            assert_eq!(read.first(), Some(&table.names));
            assert_eq!(read.get(1..), Some(&table.rows[..]));
        }
        assert_eq!(records("\u{feff}a,b\n\n1,2\n\n"), [["a", "b"], ["1", "2"]]);
        assert_eq!(records("\"\"\n"), [[""]]);
    }

    #[test]
    fn columns_are_drawn_and_reordered() {
        let mut table = Table::of_rows(50);
        let mut rng = Rng::new(1, "table", 0);
        table.draw(&mut rng, "c", 0.5, |rng| rng.pick(&["u", "v"]).to_owned());
        table.draw(&mut rng, "d", 0.0, |_| "1".to_owned());
        let mut levels = table.levels("c");
        levels.sort();
        assert_eq!(levels, ["u", "v"]);
        let turned = table.reordered(&[1, 0]);
        assert_eq!(turned.names, ["d", "c"]);
        assert_eq!(turned.levels("d"), ["1"]);
    }
}
