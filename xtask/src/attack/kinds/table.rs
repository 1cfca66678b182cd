//! Damaged tables, and the same table written in other ways.

use std::io::Write as _;

use anyhow::{Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::attack::mutate;
use crate::attack::outcome::Outcome;
use crate::attack::pictures::archive;
use crate::attack::random::Rng;
use crate::attack::rows;
use crate::attack::scenario::{CONFIG, Length, TABLE};
use crate::attack::table::{Quotes, Table, records};
use crate::attack::trial::Trial;

use super::valid::are_predictions;

/// A table with a training of it, then the table in other forms.
pub(super) fn attack(trial: &mut Trial<'_>) -> Result<()> {
    const VARIANTS: usize = 3;
    let scenario = rows::draw(&mut trial.rng, &trial.equipment.names, Length::Short);
    let Some(table) = scenario.table.clone() else { return Ok(()) };
    if trial.offer(&scenario)?.is_none() {
        return Ok(());
    }
    let outcome = Outcome::read(&trial.at("runs/whole"))?;
    for _ in 0..VARIANTS {
        if trial.rng.chance(0.5) {
            otherwise_written(trial, &table, &outcome)?;
        } else {
            damaged(trial, &table)?;
        }
    }
    Ok(())
}

/// Another way of writing the same table gives the same bytes, and as many predictions.
fn otherwise_written(trial: &mut Trial<'_>, table: &Table, outcome: &Outcome) -> Result<()> {
    let (name, content, change) = variant(&mut trial.rng, table)?;
    trial.note(&format!("the table {name}"))?;
    fs_err::write(trial.at(TABLE), content)?;
    let _ = fs_err::remove_dir_all(trial.at("runs/other"));
    let mut arguments = vec!["train", CONFIG, "--quiet", "--name", "other"];
    arguments.extend(change);
    trial.command(&arguments)?.expect(&[0])?;
    Outcome::read(&trial.at("runs/other"))?.same_as(outcome, &format!("a table {name}"))?;
    let predicted = trial.command(&["predict", "runs/other", "--input", TABLE])?;
    predicted.expect(&[0])?;
    are_predictions(&predicted, table)
}

/// One way of writing: what it is, the file, and the change of the configuration that goes with it.
fn variant(rng: &mut Rng, table: &Table) -> Result<(&'static str, Vec<u8>, Option<&'static str>)> {
    let text = table.csv();
    let plain = |name, text: String| Ok((name, text.into_bytes(), None));
    match rng.below(12) {
        0 => plain("with CRLF", table.written(',', "\r\n", Quotes::Needed)),
        1 => plain("with every field quoted", table.written(',', "\n", Quotes::All)),
        2 => plain("with a byte order mark", format!("\u{feff}{text}")),
        3 => plain("with blank lines at the end", format!("{text}\n\n")),
        4 => plain("with blank lines at the start", format!("\n\n{text}")),
        5 => plain("without a last line end", text.trim_end_matches('\n').to_owned()),
        6 => plain("with blanks around fields", text.replace(',', " , ")),
        7 => {
            let mut order: Vec<usize> = (0..table.names.len()).collect();
            rng.shuffle(&mut order);
            plain("with its columns in another order", table.reordered(&order).csv())
        }
        8 => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text.as_bytes())?;
            Ok(("packed with gzip", encoder.finish()?, None))
        }
        9 => Ok(("in a zip archive", archive(&[("inside.csv".to_owned(), text.into_bytes())])?, None)),
        10 => plain("as records in JSON", json_lines(table)),
        _ => {
            let text = table.written(';', "\n", Quotes::Needed);
            Ok(("with semicolons", text.into_bytes(), Some("data.source.separator=\";\"")))
        }
    }
}

/// A line of JSON for each row, all values as texts.
fn json_lines(table: &Table) -> String {
    let line = |row: &Vec<String>| {
        let fields = table.names.iter().zip(row);
        let fields: serde_json::Map<String, serde_json::Value> =
            fields.map(|(name, value)| (name.clone(), value.clone().into())).collect();
        serde_json::Value::Object(fields).to_string() + "\n"
    };
    table.rows.iter().map(line).collect()
}

/// A damaged table is refused, or each of its rows counts.
fn damaged(trial: &mut Trial<'_>, table: &Table) -> Result<()> {
    let mut content = table.csv().into_bytes();
    let mut what = mutate::bytes(&mut trial.rng, &mut content);
    if trial.rng.chance(0.1) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&content)?;
        content = encoder.finish()?;
        what = mutate::bytes(&mut trial.rng, &mut content) + " of the packed table";
    } else if trial.rng.chance(0.05) {
        content.splice(0..0, vec![b'z'; 3_000_000]);
        what += ", and a huge field";
    }
    trial.note(&what)?;
    fs_err::write(trial.at(TABLE), &content)?;
    let _ = fs_err::remove_dir_all(trial.at("runs/damaged"));
    trial.command(&["train", CONFIG, "--quiet", "--name", "damaged"])?.expect(&[0, 3, 4, 5])?;
    let predicted = trial.command(&["predict", "runs/whole", "--input", TABLE])?;
    predicted.expect(&[0, 4])?;
    let Ok(text) = std::str::from_utf8(&content) else {
        return Ok(());
    };
    let rows = records(text).len().saturating_sub(1);
    let given = records(&String::from_utf8_lossy(&predicted.out)).len().saturating_sub(1);
    if predicted.is(0) && rows != given {
        bail!("`{}` gave {given} rows for {rows}", predicted.line);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_has_the_same_records() {
        let mut table = Table::of_rows(5);
        let mut rng = Rng::new(1, "variant", 0);
        table.draw(&mut rng, "a", 0.3, |rng| format!("level {}", rng.below(3)));
        table.draw(&mut rng, "b", 0.0, |rng| rng.below(9).to_string());
        let mut names = Vec::new();
        for _ in 0..200 {
            let (name, content, change) = variant(&mut rng, &table).unwrap();
            names.push(name);
            let Ok(text) = String::from_utf8(content) else { continue };
            if name.contains("JSON") {
                assert_eq!(text.lines().count(), 5);
                continue;
            }
            let text = if change.is_some() { text.replace(';', ",") } else { text };
            assert_eq!(records(&text).len(), 6, "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 12);
    }
}
