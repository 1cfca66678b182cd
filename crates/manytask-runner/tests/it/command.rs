//! Running the built command in a folder of its own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder with a small table and a configuration for it.
pub(crate) struct Place {
    folder: TempDir,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

const CONFIG: &str = r#"seed = 3
threads = 1

[data]
kind = "table"
source = { path = "people.csv" }
split.random = { validation = 0.2, test = 0.2, seed = 1 }
inputs = { numeric = ["age", "hours"], one_hot = ["job"] }
targets = [
  { name = "rich", kind = "binary" },
  { name = "score", kind = "regression", standardise = true },
]

[network]
kind = "hard_sharing"
trunk = { kind = "mlp", hidden = [8], dropout = 0.2 }

[aggregator]
kind = "uncertainty_weighting"

[optimizer]
kind = "adam"
learning_rate = 0.01

[training]
epochs = 5
batch_size = 16
validate_every_epochs = 1
log_every_steps = 3
save_every_steps = 7
"#;

/// Two hundred people: the rich are old or work long, the score depends on both.
fn table() -> String {
    let mut text = "age,hours,job,rich,score\n".to_owned();
    for i in 0..200_u32 {
        let (age, hours) = (20 + (i * 37) % 50, (i * 53) % 60);
        let job = ["a", "b", "c"][(i % 3) as usize];
        let rich = u32::from(age + hours > 70);
        let score = if i % 7 == 0 { String::new() } else { format!("{}.{}", age / 10 + hours / 20, i % 10) };
        writeln!(text, "{age},{hours},{job},{rich},{score}").unwrap();
    }
    text
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.write("people.csv", table());
        place.write("a.toml", CONFIG);
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs_err::write(self.at(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs_err::read_to_string(self.at(name)).unwrap()
    }

    /// The configuration with a piece of its text replaced.
    pub(crate) fn config_with(&self, from: &str, to: &str) {
        assert!(CONFIG.contains(from), "{from}");
        self.write("a.toml", CONFIG.replace(from, to));
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_manytask"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        command.env("MANYTASK_TABLES", self.at("tables"));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).output().unwrap())
    }

    /// Runs what must end well.
    pub(crate) fn good(&self, arguments: &[&str]) -> Said {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        said
    }
}

pub(crate) fn said(output: Output) -> Said {
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
