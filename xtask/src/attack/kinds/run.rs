//! Damaged folders of runs: noticed, or without any effect.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::attack::mutate;
use crate::attack::outcome::Outcome;
use crate::attack::scenario::{Length, TABLE};
use crate::attack::subject::Ended;
use crate::attack::trial::Trial;

/// A run, cut short or whole, that is damaged again and again.
pub(super) fn attack(trial: &mut Trial<'_>) -> Result<()> {
    const DAMAGES: usize = 4;
    let (scenario, _) = trial.trained(Length::Short)?;
    let whole = trial.at("runs/whole");
    let outcome = Outcome::read(&whole)?.needed();
    let kept = trial.at("kept");
    copy(&whole, &kept)?;
    let eval: &[&str] = &["eval", "runs/whole", "--json"];
    let predict: &[&str] = &["predict", "runs/whole", "--input", TABLE];
    let mut commands = vec![eval];
    if scenario.table.is_some() {
        commands.push(predict);
    }
    let mut undamaged = Vec::new();
    for arguments in &commands {
        let ended = trial.command(arguments)?;
        ended.expect(&[0])?;
        undamaged.push(ended);
    }
    let resumed = trial.command(&["resume", "runs/whole", "--quiet"])?;
    resumed.expect(&[0])?;
    for _ in 0..DAMAGES {
        fs_err::remove_dir_all(&whole)?;
        copy(&kept, &whole)?;
        let what = damage(trial, &whole)?;
        trial.note(&what)?;
        for (arguments, before) in commands.iter().zip(&undamaged) {
            let ended = trial.command(arguments)?;
            judge(&ended, before, &what, || {
                if ended.out == before.out { Ok(()) } else { bail!("other metrics") }
            })?;
        }
        let ended = trial.command(&["resume", "runs/whole", "--quiet"])?;
        let same = || same(Outcome::read(&whole)?.needed(), outcome.clone(), &what);
        judge(&ended, &resumed, &what, same)?;
    }
    Ok(())
}

/// Fails where outcomes differ. Lines of metrics have no checksums, and nothing is made of them: of one that was damaged
/// all that counts is that no other is lost with it.
fn same(mut after: Outcome, mut before: Outcome, what: &str) -> Result<()> {
    if what.contains("metrics.jsonl") {
        let count = |metrics: &[u8]| String::from_utf8_lossy(metrics).lines().count();
        let (after, before) = (count(&after.take_metrics()), count(&before.take_metrics()));
        if after + 1 < before {
            bail!("{} lines of metrics.jsonl are lost after {what}", before - after);
        }
    }
    after.same_as(&before, what)
}

/// Refused with words, or gone on with the same result, or gone on with a note.
fn judge(ended: &Ended, before: &Ended, what: &str, same: impl FnOnce() -> Result<()>) -> Result<()> {
    ended.expect(&[0, 2, 3, 4, 6])?;
    let told = ended.notes().len() > before.notes().len();
    if !ended.is(0) || told {
        return Ok(());
    }
    same().map_err(|error| error.context(format!("`{}` said nothing after: {what}", ended.line)))
}

/// Damages one file of a run; gives what was done.
fn damage(trial: &mut Trial<'_>, run: &Path) -> Result<String> {
    let mut files = files(run)?;
    // What was told already, and what is never read.
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !name.contains("tfevents") && name != ".lock"
    });
    files.sort();
    let path = trial.rng.pick(&files);
    let mut bytes = fs_err::read(&path)?;
    let what = match trial.rng.below(8) {
        0 => {
            fs_err::remove_file(&path)?;
            return Ok(format!("{} removed", path.display()));
        }
        1 => {
            let other = trial.rng.pick(&files);
            bytes = fs_err::read(&other)?;
            format!("replaced by {}", other.display())
        }
        2..=4 => mutate::flip(&mut trial.rng, &mut bytes),
        _ => mutate::bytes(&mut trial.rng, &mut bytes),
    };
    fs_err::write(&path, bytes)?;
    Ok(format!("{}: {what}", path.display()))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(files(&path)?);
        } else {
            all.push(path);
        }
    }
    Ok(all)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs_err::create_dir_all(to)?;
    for entry in fs_err::read_dir(from)? {
        let (path, target) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs_err::copy(&path, &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::subject::End;

    #[test]
    fn damage_is_noticed_told_or_without_effect() {
        let said = |code, err: &str| Ended {
            line: "manytask eval".into(),
            end: End::Code(code),
            out: Vec::new(),
            err: err.into(),
            took: std::time::Duration::ZERO,
        };
        let before = said(0, "note: usual");
        let judge = |ended: &Ended, same: bool| {
            judge(ended, &before, "x", || if same { Ok(()) } else { bail!("other metrics") })
        };
        assert!(judge(&said(6, "error: damaged"), false).is_ok());
        assert!(judge(&said(0, "note: usual"), true).is_ok());
        assert!(judge(&said(0, "note: usual\nnote: damaged"), false).is_ok());
        assert!(judge(&said(0, "note: usual"), false).is_err());
        assert!(judge(&said(1, ""), true).is_err());
    }
}
