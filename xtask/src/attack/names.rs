//! What the program can be asked for, as it says itself: a new method is attacked without a change here.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The names of each category, and the settings that `explain` shows for them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    by_category: BTreeMap<String, Vec<String>>,
    explained: BTreeMap<String, String>,
    sampled: Vec<String>,
}

/// Tasks that are sampled anew at each step; which aggregators take them is asked with it.
const SAMPLED: &str = "[data]\nkind = \"sinusoid\"\n[network]\nkind = \"mlp\"\n[learner]\nkind = \"maml\"\n[optimizer]\n\
    kind = \"sgd\"\nlearning_rate = 0.1\n[training]\nsteps = 2\n[aggregator]\n";

/// Tasks on a table; which trunks take its rows is asked with it.
const TABLE: &str = "[data]\nkind = \"table\"\nsource = { path = \"a.csv\" }\ninputs = { numeric = [\"x\"] }\n\
    targets = [{ name = \"y\", kind = \"regression\" }]\n[aggregator]\nkind = \"equal_weights\"\n[optimizer]\n\
    kind = \"sgd\"\nlearning_rate = 0.1\n[training]\nsteps = 2\n[network]\nkind = \"hard_sharing\"\n[network.trunk]\n";

impl Names {
    /// Asks the program.
    pub(crate) fn ask(binary: &Path) -> Result<Self> {
        let mut names = Self::parse(&output(binary, &["list"])?);
        let all: Vec<String> = names.by_category.values().flatten().cloned().collect();
        for name in all {
            let text = output(binary, &["explain", &name])?;
            names.explained.insert(name, text);
        }
        let folder = std::env::temp_dir().join(format!("manytask-names-{}", std::process::id()));
        fs_err::create_dir_all(&folder)?;
        for name in names.of("aggregator").to_vec() {
            let path = folder.join("config.toml");
            fs_err::write(&path, format!("{SAMPLED}kind = {name:?}\n"))?;
            let checked = Command::new(binary).arg("check").arg(&path).output()?;
            if checked.status.success() {
                names.take_for_sampled_tasks(&name);
            }
        }
        let mut trunks = names.of("trunk").to_vec();
        let path = folder.join("config.toml");
        let mut taken = |name: &String| -> Result<bool> {
            fs_err::write(&path, format!("{TABLE}kind = {name:?}\n"))?;
            Ok(Command::new(binary).arg("check").arg(&path).output()?.status.success())
        };
        let taken = trunks.iter().map(&mut taken).collect::<Result<Vec<_>>>()?;
        let mut taken = taken.into_iter();
        trunks.retain(|_| taken.next().unwrap_or(false));
        names.by_category.insert("trunk".to_owned(), trunks);
        fs_err::remove_dir_all(&folder)?;
        for category in ["aggregator", "optimizer", "schedule", "learner", "trunk"] {
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

    /// The aggregators for tasks that are sampled anew at each step.
    pub(crate) fn of_sampled_tasks(&self) -> &[String] {
        &self.sampled
    }

    /// Takes an aggregator for such tasks.
    pub(crate) fn take_for_sampled_tasks(&mut self, name: &str) {
        self.sampled.push(name.to_owned());
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
