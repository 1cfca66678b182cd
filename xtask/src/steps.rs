//! A list of checks, each named and timed, each run whatever became of the others.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// One check.
pub(crate) struct Step<'a> {
    name: &'static str,
    /// What to run after a failure.
    remedy: &'static str,
    action: Box<dyn FnOnce() -> Result<()> + 'a>,
}

impl<'a> Step<'a> {
    /// A check that succeeds when a command does.
    pub(crate) fn command(name: &'static str, remedy: &'static str, mut command: Command) -> Self {
        let action = move || {
            let status = command.status().with_context(|| format!("cannot start {}", name_of(&command)))?;
            if !status.success() {
                bail!("{} ended with {status}", name_of(&command));
            }
            Ok(())
        };
        Self::check(name, remedy, action)
    }

    /// A check written in Rust.
    pub(crate) fn check(
        name: &'static str,
        remedy: &'static str,
        action: impl FnOnce() -> Result<()> + 'a,
    ) -> Self {
        Self { name, remedy, action: Box::new(action) }
    }
}

/// Runs the steps in order and closes with a table of them.
pub(crate) fn run(steps: Vec<Step<'_>>) -> ExitCode {
    let mut done = Vec::new();
    for step in steps {
        eprintln!("\n== {}", step.name);
        let start = Instant::now();
        let result = (step.action)();
        if let Err(error) = &result {
            eprintln!("== {} failed: {error:#}\n   next: {}", step.name, step.remedy);
        }
        done.push((step.name, start.elapsed(), result.is_ok()));
    }
    eprintln!("\n{}", summary(&done));
    if done.iter().all(|(_, _, passed)| *passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn summary(done: &[(&str, Duration, bool)]) -> String {
    let width = done.iter().map(|(name, _, _)| name.len()).max().unwrap_or(0);
    let line = |(name, time, passed): &(&str, Duration, bool)| {
        let state = if *passed { "passed" } else { "FAILED" };
        format!("{name:width$}  {state}  {:7.1} s", time.as_secs_f64())
    };
    let mut lines: Vec<String> = done.iter().map(line).collect();
    let passed = done.iter().filter(|(_, _, passed)| *passed).count();
    lines.push(format!("{passed} passed, {} failed", done.len() - passed));
    lines.join("\n")
}

fn name_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_stops_nothing_but_fails_the_whole() {
        let mut ran = false;
        let fail = Step::check("first", "nothing", || bail!("broken"));
        let pass = Step::check("second", "nothing", || {
            ran = true;
            Ok(())
        });
        assert_eq!(run(vec![fail, pass]), ExitCode::FAILURE);
        assert!(ran);
        assert_eq!(run(vec![Step::check("only", "nothing", || Ok(()))]), ExitCode::SUCCESS);
    }

    #[test]
    fn commands_are_judged_by_their_exit() {
        let step = |program: &str| Step::command("x", "nothing", Command::new(program));
        assert_eq!(run(vec![step("true")]), ExitCode::SUCCESS);
        assert_eq!(run(vec![step("false")]), ExitCode::FAILURE);
        assert_eq!(run(vec![step("no-such-program-here")]), ExitCode::FAILURE);
    }

    #[test]
    fn the_summary_counts() {
        let text =
            summary(&[("fmt", Duration::from_secs(1), true), ("tests", Duration::from_secs(90), false)]);
        assert_eq!(text, "fmt    passed      1.0 s\ntests  FAILED     90.0 s\n1 passed, 1 failed");
    }
}
