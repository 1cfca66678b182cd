//! Damaged configurations and changes on the command line: refused in words, quickly and in little memory.

use anyhow::{Result, bail};

use crate::attack::scenario::{CONFIG, Length};
use crate::attack::trial::Trial;
use crate::attack::{draw, mutate};

/// What a configuration may end with.
const CODES: [i32; 6] = [0, 2, 3, 4, 5, 6];
/// Configurations that are made of one scenario.
const VARIANTS: usize = 6;

/// One configuration, damaged in several ways.
pub(super) fn attack(trial: &mut Trial<'_>) -> Result<()> {
    let scenario = draw::scenario(&mut trial.rng, &trial.equipment.names, Length::Short)?;
    scenario.write(&trial.folder)?;
    let text = if trial.rng.chance(0.2) { shipped(trial)? } else { scenario.config };
    for _ in 0..VARIANTS {
        let damaged = damaged(trial, &text);
        fs_err::write(trial.at(CONFIG), &damaged)?;
        let changes: Vec<String> =
            if trial.rng.chance(0.3) { vec![change(trial, &text)] } else { Vec::new() };
        let check = trial.command(&["check", CONFIG])?;
        check.expect(&CODES)?;
        let mut arguments = vec!["train", CONFIG, "--dry-run", "--quiet"];
        arguments.extend(changes.iter().map(String::as_str));
        let dry = trial.command(&arguments)?;
        dry.expect(&CODES)?;
        if changes.is_empty() && check.is(3) && !dry.is(3) {
            bail!("`check` refuses what `train --dry-run` answers with {:?}: {}", dry.end, check.complaint());
        }
        if dry.complaint().len() > 2000 || dry.err.len() > 20_000 {
            bail!("`{}` says {} bytes", dry.line, dry.err.len());
        }
    }
    Ok(())
}

fn shipped(trial: &mut Trial<'_>) -> Result<String> {
    let mut all = Vec::new();
    for entry in fs_err::read_dir(&trial.equipment.configs)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            all.push(path);
        }
    }
    all.sort();
    Ok(fs_err::read_to_string(trial.rng.pick(&all))?)
}

fn damaged(trial: &mut Trial<'_>, text: &str) -> Vec<u8> {
    let mut text = text.to_owned();
    for _ in 0..trial.rng.between(1, 2) {
        text = match trial.rng.below(8) {
            0..=3 => mutate::size(&mut trial.rng, &text),
            4 | 5 => mutate::number(&mut trial.rng, &text),
            6 => mutate::lines(&mut trial.rng, &text),
            _ => {
                let mut bytes = text.into_bytes();
                mutate::bytes(&mut trial.rng, &mut bytes);
                return bytes;
            }
        };
    }
    text.into_bytes()
}

/// A change on the command line: a key of the configuration or a made-up one, with any value.
fn change(trial: &mut Trial<'_>, text: &str) -> String {
    let rng = &mut trial.rng;
    let mut section = String::new();
    let mut keys = vec!["seed".to_owned(), String::new(), "a".repeat(5000), "x.".repeat(20_000) + "y"];
    for line in text.lines() {
        if line.starts_with('[') {
            line.trim_matches(['[', ']']).clone_into(&mut section);
        } else if let Some((key, _)) = line.split_once(" = ") {
            let key = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
            keys.push(key);
        }
    }
    let values = [
        "1",
        "0",
        "-1",
        "1e400",
        "[",
        "{}",
        "[1, 2]",
        "\"x\"",
        "'",
        "",
        "true",
        "1979-05-27",
        "100000000000",
    ];
    format!("{}={}", rng.pick(&keys), rng.pick(&values))
}
