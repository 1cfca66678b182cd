//! Feeds manytask's parsers with damaged text: `fuzz SEED INPUTS FOLDER [TARGET]`.
//!
//! Inputs are functions of the seed. Each lies in the folder as `input` while it is parsed, so that it is there whatever
//! becomes of the process. Every answer but a panic, an abort or a silence of seconds is right; exit code 1 says that there
//! was another.
#![expect(clippy::print_stderr, reason = "a command-line tool says what it found")]

mod corpus;
mod mutate;
mod target;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use manytask_tensor::random::stream;
use rand::Rng;

use target::Target;

/// How long a parser may take for an input of some kilobytes, on a busy machine.
const LIMIT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        if !manytask_data::is_guarded() {
            eprintln!("{panic}");
        }
    }));
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let [seed, inputs, folder, rest @ ..] = arguments else {
        bail!("usage: fuzz SEED INPUTS FOLDER [TARGET]");
    };
    let (seed, inputs) = (seed.parse().context("SEED")?, inputs.parse().context("INPUTS")?);
    let targets: Vec<Target> = Target::ALL
        .into_iter()
        .filter(|target| rest.is_empty() || rest.iter().any(|name| name == target.name()))
        .collect();
    if targets.is_empty() {
        bail!("there is no such target: there are {}", Target::ALL.map(Target::name).join(", "));
    }
    feed(&targets, seed, inputs, Path::new(folder))
}

/// Feeds the targets in turn.
fn feed(targets: &[Target], seed: u64, inputs: u64, folder: &Path) -> Result<()> {
    for (number, target) in (0..inputs).zip(targets.iter().cycle()) {
        let mut rng = stream(seed, target.name(), number, 0);
        let corpus = target.corpus(folder)?;
        let place = rng.random_range(0..corpus.len());
        let mut input = corpus.into_iter().nth(place).unwrap_or_default();
        for _ in 0..rng.random_range(0..6) {
            mutate::mutate(&mut rng, &mut input, target.words());
        }
        let path = folder.join("input");
        fs_err::write(&path, &input)?;
        let start = Instant::now();
        let answer = std::panic::catch_unwind(|| target.parse(&path, &input));
        let name = target.name();
        match answer {
            Err(_) => bail!("{name}: input {number} of seed {seed} makes it panic"),
            Ok(Err(error)) => bail!("{name}: input {number} of seed {seed}: {error:#}"),
            Ok(Ok(())) if start.elapsed() > LIMIT => {
                bail!("{name}: input {number} of seed {seed} took {:?}", start.elapsed())
            }
            Ok(Ok(())) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_answers_damaged_text() {
        let folder = tempfile::tempdir().unwrap();
        feed(&Target::ALL, 1, 120, folder.path()).unwrap();
    }

    #[test]
    fn what_is_undamaged_is_parsed() {
        let folder = tempfile::tempdir().unwrap();
        for target in Target::ALL {
            let corpus = target.corpus(folder.path()).unwrap();
            let path = folder.path().join("input");
            fs_err::write(&path, &corpus[0]).unwrap();
            assert!(target.accepts(&path, &corpus[0]), "{}", target.name());
            assert!(!target.accepts(&folder.path().join("none"), b"{[\"\xff\n\n1,2"), "{}", target.name());
        }
    }

    #[test]
    fn arguments_are_checked() {
        let run = |line: &str| run(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert!(run("1 2").is_err() && run("x 2 /").is_err() && run("1 2 / nothing").is_err());
    }
}
