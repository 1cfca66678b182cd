//! What the program can be asked for, as it says itself: a new method is attacked without a change here.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The names of each category, where they fit, and the settings that `explain` shows for them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    by_category: BTreeMap<String, Vec<String>>,
    explained: BTreeMap<String, String>,
    fitting: BTreeMap<Fit, Vec<String>>,
}

/// Where names of a category fit that do not fit everywhere: `check` says which do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// Aggregators of tasks that are sampled anew at each step.
    SampledTasks,
    /// Trunks of tasks on a table.
    TableTrunk,
    /// Architectures of tasks of mixed kinds on a table.
    MixedTasks,
    /// Learners of functions.
    Functions,
    /// Learners of tasks on the rows of a table.
    RowTasks,
    /// Learners of classes.
    Classes,
    /// Learners of classes that learn from single examples first.
    Pretrained,
}

/// What is not asked for.
const REST: &str = "[optimizer]\nkind = \"sgd\"\nlearning_rate = 0.1\n[training]\nsteps = 2\n";
/// The data of tasks on a table.
const TABLE: &str = "[data]\nkind = \"table\"\nsource = { path = \"a.csv\" }\ninputs = { numeric = [\"x\"] }\n\
    targets = [{ name = \"y\", kind = \"regression\" }, { name = \"z\", kind = \"binary\" }]\n";

impl Fit {
    const ALL: [Self; 7] = [
        Self::SampledTasks,
        Self::TableTrunk,
        Self::MixedTasks,
        Self::Functions,
        Self::RowTasks,
        Self::Classes,
        Self::Pretrained,
    ];

    fn category(self) -> &'static str {
        match self {
            Self::SampledTasks => "aggregator",
            Self::TableTrunk => "trunk",
            Self::MixedTasks => "architecture",
            Self::Functions | Self::RowTasks | Self::Classes | Self::Pretrained => "learner",
        }
    }

    /// A configuration in which a name stands.
    fn config(self, name: &str) -> String {
        let equal = "[aggregator]\nkind = \"equal_weights\"\n";
        let mlp = "[network]\nkind = \"mlp\"\nhidden = [8]\n";
        let rows = "[data]\nkind = \"table\"\nsource.path = \"a.csv\"\ninputs.numeric = [\"x\", \"u\", \"v\"]\nshots = 1\nqueries = 2\n";
        let classes = format!("{rows}classes_by = \"c\"\nways = 2\n");
        let drawings = "[data]\nkind = \"omniglot\"\nfolder = \"o\"\nsplit.random = { train = 4, validation = 2, seed = 1 }\n\
            ways = 2\nshots = 1\nqueries = 1\nsize = 16\n[pretraining]\nsteps = 1\n";
        let sinusoid = "[data]\nkind = \"sinusoid\"\n";
        let own = match self {
            Self::SampledTasks => {
                return format!(
                    "{sinusoid}{mlp}[learner]\nkind = \"maml\"\n{REST}[aggregator]\nkind = {name:?}\n"
                );
            }
            Self::TableTrunk => {
                format!("{TABLE}[network]\nkind = \"hard_sharing\"\n[network.trunk]\nkind = {name:?}\n")
            }
            Self::MixedTasks => {
                format!("{TABLE}[network]\nkind = {name:?}\ntrunk = {{ kind = \"mlp\", hidden = [8] }}\n")
            }
            Self::Functions => format!("{sinusoid}{mlp}[learner]\nkind = {name:?}\n"),
            Self::RowTasks => format!(
                "{rows}tasks_by = \"c\"\ntargets = [{{ name = \"y\", kind = \"regression\" }}]\n{mlp}[learner]\nkind = {name:?}\n"
            ),
            Self::Classes => format!("{classes}{mlp}[learner]\nkind = {name:?}\n"),
            Self::Pretrained => format!("{drawings}{mlp}[learner]\nkind = {name:?}\n"),
        };
        format!("{own}{equal}{REST}")
    }
}

impl Names {
    /// Asks the program.
    pub(crate) fn ask(binary: &Path) -> Result<Self> {
        let mut names = Self::parse(&output(binary, &["list"])?);
        let with_keys = ["aggregator", "architecture", "learner", "optimizer"];
        for name in with_keys.iter().flat_map(|category| names.of(category).to_vec()).collect::<Vec<_>>() {
            let text = output(binary, &["explain", &name])?;
            names.explained.insert(name, text);
        }
        let folder = std::env::temp_dir().join(format!("manytask-names-{}", std::process::id()));
        fs_err::create_dir_all(&folder)?;
        for fit in Fit::ALL {
            let mut check = Command::new(binary);
            check.arg("check").current_dir(&folder);
            for name in names.of(fit.category()) {
                fs_err::write(folder.join(format!("{name}.toml")), fit.config(name))?;
                check.arg(format!("{name}.toml"));
            }
            let said = String::from_utf8_lossy(&check.output()?.stderr).into_owned();
            for name in said.lines().filter_map(|line| line.strip_suffix(".toml: good")) {
                names.take(fit, name);
            }
            if names.fitting(fit).is_empty() {
                bail!("no {} fits {fit:?}: has the form of configurations changed?", fit.category());
            }
        }
        fs_err::remove_dir_all(&folder)?;
        for category in ["optimizer", "schedule"] {
            if names.of(category).is_empty() {
                bail!("`manytask list` names no {category}: has its form changed?");
            }
        }
        Ok(names)
    }

    /// Reads what `manytask list` prints: a category with its place in brackets, then its names, indented.
    pub(crate) fn parse(list: &str) -> Self {
        let mut names = Self::default();
        let mut category = String::new();
        for line in list.lines() {
            if let Some(name) = line.strip_prefix("  ").and_then(|line| line.split_whitespace().next()) {
                names.by_category.entry(category.clone()).or_default().push(name.to_owned());
            } else {
                line.split(" [").next().unwrap_or_default().trim().clone_into(&mut category);
            }
        }
        names
    }

    /// The names of a category.
    pub(crate) fn of(&self, category: &str) -> &[String] {
        self.by_category.get(category).map(Vec::as_slice).unwrap_or_default()
    }

    /// The names that fit somewhere.
    pub(crate) fn fitting(&self, fit: Fit) -> &[String] {
        self.fitting.get(&fit).map(Vec::as_slice).unwrap_or_default()
    }

    /// Takes a name for where it fits.
    pub(crate) fn take(&mut self, fit: Fit, name: &str) {
        self.fitting.entry(fit).or_default().push(name.to_owned());
    }

    /// All names.
    pub(crate) fn all(&self) -> Vec<String> {
        self.by_category.values().flatten().cloned().collect()
    }

    /// Whether the explanation of a name shows this key.
    pub(crate) fn has_key(&self, name: &str, key: &str) -> bool {
        let text = self.explained.get(name).map(String::as_str).unwrap_or_default();
        text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')))
    }
}

fn output(binary: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(binary)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    if !output.status.success() {
        bail!("`manytask {}` ended with {}", arguments.join(" "), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read() {
        let mut names = Names::parse(
            "section\n  run          keys\naggregator [aggregator]\n  mgda         short\n  pcgrad       parts\n\
             data set [data]\n  table        a CSV table\n",
        );
        assert_eq!(names.of("aggregator"), ["mgda", "pcgrad"]);
        assert_eq!((names.of("data set"), names.of("nothing").len()), (&["table".to_owned()][..], 0));
        names
            .explained
            .insert("mgda".into(), "[aggregator]\nkind = \"mgda\"\nlevel = \"parameters\"\n".into());
        assert!(
            names.has_key("mgda", "level")
                && !names.has_key("mgda", "lev")
                && !names.has_key("pcgrad", "level")
        );
    }
}
