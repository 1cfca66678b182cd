//! What the commands do.

mod adapt;
mod baselines;
mod changes;
mod check;
mod compare;
mod destination;
mod drive;
mod eval;
mod fastest;
mod front;
mod group;
mod init;
mod inspect;
mod list;
mod new;
mod opened;
mod predict;
mod predictions;
mod preferred;
mod record;
mod repeat;
mod report;
mod resume;
mod runs;
mod schema;
mod strategies;
mod studies;
mod sweep;
mod train;
mod tune;

use clap::CommandFactory;
use manytask_tensor::DeviceChoice;

use crate::cli::{Cli, Command};
use crate::failure::Result;
use crate::registries::Registries;
use crate::report::{aligned, print};

/// Runs one command.
pub(crate) fn run(command: &Command, registries: &Registries) -> Result<()> {
    match command {
        Command::Train(arguments) if sweep::is_asked_for(arguments) => sweep::sweep(arguments, registries),
        Command::Train(arguments) if arguments.folds.is_some() || arguments.seeds.is_some() => {
            repeat::repeat(arguments, registries)
        }
        Command::Train(arguments) => train::train(arguments, registries),
        Command::CompareStrategies(arguments) => strategies::compare(arguments, registries),
        Command::Front(arguments) => front::front(arguments, registries),
        Command::Group(arguments) => group::group(arguments, registries),
        Command::Tune(arguments) => tune::tune(arguments, registries),
        Command::Init(arguments) => init::init(arguments, registries),
        Command::Inspect(arguments) => inspect::inspect(arguments, registries),
        Command::Resume(arguments) => resume::resume(arguments, registries),
        Command::Eval(arguments) => eval::eval(arguments, registries),
        Command::Adapt(arguments) => adapt::adapt(arguments, registries),
        Command::Predict(arguments) => predict::predict(arguments, registries),
        Command::Runs(arguments) => runs::runs(arguments),
        Command::Compare(arguments) => compare::compare(arguments, registries),
        Command::Report(arguments) => report::report(arguments, registries),
        Command::Check(arguments) => check::check(arguments, registries),
        Command::List(arguments) => list::list(arguments, registries),
        Command::Explain(arguments) => list::explain(arguments, registries),
        Command::New(arguments) => new::new(arguments),
        Command::Schema => schema::schema(registries),
        Command::Env => env(),
        Command::Completions(arguments) => {
            let mut script = Vec::new();
            clap_complete::generate(arguments.shell, &mut Cli::command(), "manytask", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

fn env() -> Result<()> {
    let cuda = match DeviceChoice::Cuda(0).resolve() {
        Ok(_) => "available".to_owned(),
        Err(error) => error.to_string(),
    };
    let cores = crate::threads::processors();
    let row = |name: &str, value: String| vec![format!("{name}:"), value];
    let rows = [
        row("manytask", format!("{} ({})", env!("CARGO_PKG_VERSION"), env!("MANYTASK_REVISION"))),
        row("libtorch", "2.11.0".into()),
        row("system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
        row("cores", cores.to_string()),
        row("threads", crate::threads::usual().to_string()),
        row("cuda", cuda),
    ];
    // Two columns, the second to the left.
    let lines = rows.map(|row| vec![row.join(" ")]);
    print(&aligned(&lines))
}
