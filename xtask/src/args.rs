//! The command line. Few enough words that a parser would cost more build time than it saves.

use std::fmt;
use std::path::PathBuf;

use crate::attack::{self, Kind};
use crate::bench;
use crate::install::{Existing, Supply};
use crate::reproduce::{self, Page};
use crate::scaling::TABLES;
use crate::setup::{self, Output};
use crate::test::Extent;
use crate::wheels::Compute;

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    Help,
    Setup(setup::Options),
    Train(Vec<String>),
    Install(Option<PathBuf>),
    Test(Extent),
    Bench(bench::Options),
    Attack(attack::Options),
    Peers,
    Scaling(Option<String>),
    Reproduce(reproduce::Options),
    Ci,
    /// With a manytask that was built already.
    Docs(Option<PathBuf>),
    Doctor,
}

/// A command line that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; `cargo xtask --help` lists what there is", self.0)
    }
}

impl std::error::Error for UsageError {}

type Result<T> = std::result::Result<T, UsageError>;

/// Reads the arguments after the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command> {
    let mut words = arguments.into_iter();
    let Some(command) = words.next() else {
        return Err(UsageError("no command given".to_owned()));
    };
    let words: Vec<String> = words.collect();
    // What follows `--` is the runner's.
    let own = words.split(|word| word == "--").next().unwrap_or_default();
    if own.iter().any(|word| word == "--help" || word == "-h") {
        return Ok(Command::Help);
    }
    match command.as_str() {
        "help" | "--help" | "-h" => Ok(Command::Help),
        "setup" => setup(words).map(Command::Setup),
        "train" => train(words).map(Command::Train),
        "install" => one_path("install", "--root", words).map(Command::Install),
        "test" => test(&words).map(Command::Test),
        "bench" => bench(words).map(Command::Bench),
        "attack" => attack(words).map(Command::Attack),
        "peers" => nothing_more("peers", &words).map(|()| Command::Peers),
        "scaling" => scaling(words).map(Command::Scaling),
        "reproduce" => reproduce(words).map(Command::Reproduce),
        "ci" => nothing_more("ci", &words).map(|()| Command::Ci),
        "docs" => one_path("docs", "--binary", words).map(Command::Docs),
        "doctor" => nothing_more("doctor", &words).map(|()| Command::Doctor),
        other => Err(UsageError(format!("there is no command `{other}`"))),
    }
}

fn setup(words: Vec<String>) -> Result<setup::Options> {
    let mut options = setup::Options::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--cuda" => options.compute = Compute::Cuda,
            "--force" => options.existing = Existing::Replace,
            "--print-config" => options.output = Output::Config,
            "--wheels" => options.supply = Supply::Folder(PathBuf::from(value(&word, words.next())?)),
            _ => return Err(unknown("setup", &word)),
        }
    }
    Ok(options)
}

/// The path behind an option, or none, for a command that takes nothing else.
fn one_path(command: &str, option: &str, words: Vec<String>) -> Result<Option<PathBuf>> {
    let (mut path, mut words) = (None, words.into_iter());
    while let Some(word) = words.next() {
        if word != option {
            return Err(unknown(command, &word));
        }
        path = Some(PathBuf::from(value(&word, words.next())?));
    }
    Ok(path)
}

/// The runner's own arguments: `--` is dropped, everything else is passed on as it stands.
fn train(mut words: Vec<String>) -> Result<Vec<String>> {
    if words.first().is_none_or(|word| word.starts_with('-')) {
        return Err(UsageError("`train` needs a configuration, e.g. configs/quickstart.toml".to_owned()));
    }
    if let Some(place) = words.iter().position(|word| word == "--") {
        words.remove(place);
    }
    Ok(words)
}

fn test(words: &[String]) -> Result<Extent> {
    match words {
        [] => Ok(Extent::Full),
        [word] if word == "--fast" => Ok(Extent::Fast),
        [word, ..] => Err(unknown("test", word)),
    }
}

fn bench(words: Vec<String>) -> Result<bench::Options> {
    let mut options = bench::Options::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--save" => options.save = Some(value(&word, words.next())?),
            "--against" => options.against = Some(value(&word, words.next())?),
            "--peers" => options.contenders = bench::Contenders::Peers,
            "--json" => options.format = bench::Format::Json,
            "--threads" => options.threads = number(&word, words.next())?,
            "--gate" => options.gate = Some(number(&word, words.next())?),
            _ if !word.starts_with('-') && options.filter.is_none() => options.filter = Some(word),
            _ => return Err(unknown("bench", &word)),
        }
    }
    if options.gate.is_some() && options.against.is_none() {
        return Err(UsageError(
            "`--gate` compares with a baseline: name it with `--against NAME`".to_owned(),
        ));
    }
    if options.save.is_some() && options.save == options.against {
        return Err(UsageError(
            "`--save` would overwrite the baseline that `--against` compares with".to_owned(),
        ));
    }
    Ok(options)
}

fn attack(words: Vec<String>) -> Result<attack::Options> {
    let mut options = attack::Options::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--minutes" => options.minutes = number(&word, words.next())?,
            "--seed" => options.seed = Some(number(&word, words.next())?),
            "--trial" => options.trial = Some(number(&word, words.next())?),
            "--keep" => options.keep = attack::Keep::All,
            "--binary" => options.binary = Some(PathBuf::from(value(&word, words.next())?)),
            name => match Kind::ALL.into_iter().find(|kind| kind.name() == name) {
                Some(kind) => options.kinds.push(kind),
                None => return Err(unknown("attack", name)),
            },
        }
    }
    if !(options.minutes > 0.0 && options.minutes < 1e5) {
        return Err(UsageError("`--minutes` needs a number above 0".to_owned()));
    }
    if options.trial.is_some() && options.seed.is_none() {
        return Err(UsageError(
            "`--trial` makes one trial of a seed again: name it with `--seed`".to_owned(),
        ));
    }
    Ok(options)
}

/// The name of a table, or nothing.
fn scaling(words: Vec<String>) -> Result<Option<String>> {
    let mut words = words.into_iter();
    let table = words.next();
    if let Some(word) = table.as_ref().filter(|word| !TABLES.contains(&word.as_str())) {
        return Err(UsageError(format!("`scaling` has no table `{word}`: there are {}", TABLES.join(", "))));
    }
    words.next().map_or(Ok(table), |word| Err(unknown("scaling", &word)))
}

fn reproduce(words: Vec<String>) -> Result<reproduce::Options> {
    let (mut options, mut names) = (reproduce::Options::default(), Vec::new());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => options.extent = reproduce::Extent::Quick,
            "--binary" => options.binary = Some(PathBuf::from(value(&word, words.next())?)),
            _ if word.starts_with('-') => return Err(unknown("reproduce", &word)),
            _ => names.push(word),
        }
    }
    let mut names = names.into_iter();
    if let Some(name) = names.next() {
        options.page = Page::ALL.into_iter().find(|page| page.name() == name).ok_or_else(|| {
            let pages = Page::ALL.map(Page::name).join(", ");
            UsageError(format!("`reproduce` has no page `{name}`: there are {pages}"))
        })?;
        options.only = names.collect();
    }
    Ok(options)
}

fn nothing_more(command: &str, words: &[String]) -> Result<()> {
    words.first().map_or(Ok(()), |word| Err(unknown(command, word)))
}

fn value(flag: &str, next: Option<String>) -> Result<String> {
    next.filter(|word| !word.starts_with("--")).ok_or_else(|| UsageError(format!("`{flag}` needs a value")))
}

fn number<T: std::str::FromStr>(flag: &str, next: Option<String>) -> Result<T> {
    let word = value(flag, next)?;
    word.parse().map_err(|_| UsageError(format!("`{flag}` needs a number, not `{word}`")))
}

fn unknown(command: &str, word: &str) -> UsageError {
    UsageError(format!("`{command}` knows no `{word}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn every_command_is_read() {
        assert_eq!(read("setup"), Ok(Command::Setup(setup::Options::default())));
        let wanted = setup::Options {
            compute: Compute::Cuda,
            supply: Supply::Folder("w".into()),
            existing: Existing::Replace,
            output: Output::Config,
        };
        assert_eq!(read("setup --cuda --wheels w --force --print-config"), Ok(Command::Setup(wanted)));
        assert_eq!(read("test"), Ok(Command::Test(Extent::Full)));
        assert_eq!(read("test --fast"), Ok(Command::Test(Extent::Fast)));
        assert_eq!(read("ci"), Ok(Command::Ci));
        assert_eq!(read("install"), Ok(Command::Install(None)));
        assert_eq!(read("install --root here"), Ok(Command::Install(Some("here".into()))));
        assert_eq!(read("scaling"), Ok(Command::Scaling(None)));
        let options = reproduce::Options {
            page: Page::Multitask,
            only: Vec::new(),
            extent: reproduce::Extent::Quick,
            binary: Some("m".into()),
        };
        assert_eq!(read("reproduce multitask --quick --binary m"), Ok(Command::Reproduce(options.clone())));
        assert_eq!(read("reproduce --quick --binary m"), Ok(Command::Reproduce(options.clone())));
        let only = vec!["school".to_owned(), "exam".to_owned()];
        let options = reproduce::Options { page: Page::Meta, only, ..options };
        assert_eq!(read("reproduce meta school exam --quick --binary m"), Ok(Command::Reproduce(options)));
        assert_eq!(read("scaling memory"), Ok(Command::Scaling(Some("memory".to_owned()))));
        assert_eq!(read("doctor"), Ok(Command::Doctor));
        for line in ["help", "--help", "setup --help", "train x.toml -h"] {
            assert_eq!(read(line), Ok(Command::Help), "{line}");
        }
    }

    #[test]
    fn the_runner_gets_its_arguments_unchanged() {
        let wanted = ["c.toml", "seed=1", "--name", "x"].map(str::to_owned).to_vec();
        assert_eq!(read("train c.toml seed=1 -- --name x"), Ok(Command::Train(wanted.clone())));
        assert_eq!(read("train c.toml seed=1 --name x"), Ok(Command::Train(wanted)));
        assert_eq!(
            read("train c.toml -- --help"),
            Ok(Command::Train(vec!["c.toml".to_owned(), "--help".to_owned()]))
        );
    }

    #[test]
    fn bench_options() {
        let Ok(Command::Bench(options)) = read("bench maml --against main --gate 5 --threads 2 --json")
        else {
            panic!("not read");
        };
        assert_eq!(options.filter.as_deref(), Some("maml"));
        assert_eq!(options.against.as_deref(), Some("main"));
        assert_eq!((options.gate, options.threads), (Some(5.0), 2));
        assert_eq!(options.format, bench::Format::Json);
    }

    #[test]
    fn docs_take_a_program_that_was_built() {
        assert_eq!(read("docs"), Ok(Command::Docs(None)));
        assert_eq!(read("docs --binary b/m"), Ok(Command::Docs(Some("b/m".into()))));
        assert!(read("docs now").is_err());
    }

    #[test]
    fn attack_options() {
        let Ok(Command::Attack(options)) =
            read("attack --minutes 0.5 kill --seed 7 table --binary b/m --trial 3 --keep")
        else {
            panic!("not read");
        };
        assert_eq!(options.kinds, [Kind::Kill, Kind::Table]);
        assert_eq!((options.minutes, options.seed, options.trial), (0.5, Some(7), Some(3)));
        assert_eq!((options.binary, options.keep), (Some("b/m".into()), attack::Keep::All));
        assert_eq!(read("attack"), Ok(Command::Attack(attack::Options::default())));
    }

    #[test]
    fn nonsense_is_answered_with_what_is_wrong() {
        for (line, part) in [
            ("", "no command"),
            ("tset", "`tset`"),
            ("setup --wheels", "needs a value"),
            ("setup --wheels --cuda", "needs a value"),
            ("setup now", "`now`"),
            ("train", "configs/quickstart.toml"),
            ("test --slow", "`--slow`"),
            ("bench --threads many", "`many`"),
            ("bench --gate 5", "--against"),
            ("bench --save a --against a", "overwrite"),
            ("attack kil", "`kil`"),
            ("attack --minutes 0", "above 0"),
            ("attack --minutes nan", "above 0"),
            ("attack --trial 3", "--seed"),
            ("ci fast", "`fast`"),
            ("install --root", "needs a value"),
            ("install here", "`here`"),
            ("scaling size", "there are trunk, waves"),
            ("scaling memory ways", "`ways`"),
            ("reproduce mta", "multitask, meta, tables"),
            ("reproduce meta --fast", "`--fast`"),
        ] {
            let error = read(line).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("--help"), "{line}: {error}");
        }
    }
}
