//! The task runner of manytask's repository: `cargo xtask COMMAND`.
//!
//! It knows nothing of tensors and builds in seconds, so that it can fetch libtorch for the crates that do.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks on its two streams"
)]

mod architecture;
mod args;
mod attack;
mod bench;
mod cache;
mod capture;
mod ci;
mod config;
mod cycles;
mod docs;
mod doctor;
mod install;
mod libtorch;
mod measured;
mod peers;
mod picture;
mod pip;
mod platform;
mod program;
mod repo;
mod reproduce;
mod requirements;
mod scaling;
mod setup;
mod steps;
mod test;
mod train;
mod versions;
mod wheels;

use std::process::ExitCode;

use args::{Command, UsageError};
use repo::Repository;

const HELP: &str = "\
The task runner of manytask's repository.

Usage: cargo xtask COMMAND

  setup     make libtorch available to cargo, rust-analyzer and the built programs
              --cuda           with the CUDA libraries (x86_64-linux; about 2 GB more to download)
              --wheels DIR     take the wheels from a folder instead of downloading them
              --force          unpack it anew, even if it is there
              --print-config   print the cargo configuration, for use in another workspace
  train CONFIG [KEY=VALUE …] [-- ARGUMENTS]
            set up what is missing, build manytask, run `manytask train` with these arguments
  install   set up what is missing, build manytask and put it where a shell finds it
              --root DIR       into DIR/bin instead of cargo's folder of programs
  test      set up what is missing; formatting, lints, tests, documentation, shipped configurations
              --fast           without doctests, documentation and configurations
  bench [FILTER]
            run the benchmarks whose names contain FILTER; one table at the end
              --save NAME      keep the result as a baseline
              --against NAME   compare with a baseline
              --gate PERCENT   fail when a median is that much slower than the baseline
              --threads N      threads of libtorch (default 1)
              --json           print the table as JSON
              --peers          compare with other systems instead; without FILTER benches/RESULTS.md is rewritten
  attack [KIND …]
            attack the built manytask from outside, by trials that are functions of a seed; one table at the end.
            Kinds: valid (random valid configurations), command (whatever else can be asked for), kill (signals at any moment), disk (failing writes), config,
            table, run and picture (damaged files), fuzz (damaged text for the parsers); all where none is named
              --minutes N      for so long, shared among the kinds (default 10)
              --seed S         the seed; otherwise the time of day, which is printed
              --trial N        one trial alone, to make it again
              --keep           keep every trial's folder, not only those of faults
              --binary PATH    a manytask that was built already, with `fuzz` beside it
  peers     set up the other systems for `bench --peers` (Python with venv; some gigabytes)
  scaling [TABLE]
            measure the tables of docs/scaling.md anew, or one of them: trunk, waves, width, steps, threads, memory,
            checkpoints, ways, precision; or that of a GPU in benches/RESULTS.md: gpu
  reproduce [multitask | meta | tables] [TABLE …]
            train what the page in docs/results has, and write its tables anew, or these alone; what was trained before by the same
            build with the same settings is kept. `tables` sets up other systems first (Python with venv; half a gigabyte)
              --quick          the tables that take minutes and need no MANYTASK_DATA
              --binary PATH    a manytask that was built already
  ci        what continuous integration runs: `test`, the crate in examples/downstream, the documents
  docs      write the reference of docs/book and build the book with mdbook
              --binary PATH    a manytask that was built already
  doctor    what was found, what is missing, how to fix it

Environment: MANYTASK_CACHE moves the cache of libtorch. LIBTORCH (a folder with `lib` and `include`) and
LIBTORCH_USE_PYTORCH (the PyTorch of the Python in use) are honoured: nothing is downloaded then.
Set-up is tried on x86_64-linux; aarch64-linux and aarch64-macos follow the published wheels, untried.

Exit codes: 0 well, 1 something failed, 2 usage; `train` ends with manytask's own code.
";

fn main() -> ExitCode {
    match args::parse(std::env::args().skip(1)).map_err(anyhow::Error::from).and_then(|command| run(&command))
    {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
        }
    }
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let repo = Repository::locate()?;
    match command {
        Command::Help => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Setup(options) => setup::setup(&repo, options).map(|()| ExitCode::SUCCESS),
        Command::Train(arguments) => train::train(&repo, arguments),
        Command::Install(root) => program::install(&repo, root.as_deref()).map(|()| ExitCode::SUCCESS),
        Command::Test(extent) => test::test(&repo, *extent),
        Command::Bench(options) if options.contenders == bench::Contenders::Peers => {
            peers::compare(&repo, options.filter.as_deref(), options.threads)
        }
        Command::Bench(options) => bench::bench(&repo, options),
        Command::Attack(options) => attack::attack(&repo, options),
        Command::Peers => peers::peers(&repo).map(|_| ExitCode::SUCCESS),
        Command::Scaling(table) => scaling::scaling(&repo, table.as_deref()),
        Command::Reproduce(options) => reproduce::reproduce(&repo, options),
        Command::Ci => ci::ci(&repo),
        Command::Docs(binary) => docs::docs(&repo, binary.as_ref()),
        Command::Doctor => doctor::doctor(&repo),
    }
}
