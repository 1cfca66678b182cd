//! A valid training: its files, its configuration and what is known of it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use anyhow::Result;

use super::names::Names;
use super::random::Rng;
use super::table::Table;

/// Everything that a training needs.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// The configuration.
    pub(crate) config: String,
    /// Further files by their path beside the configuration.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// The table, where there is one whose rows are predicted.
    pub(crate) table: Option<Table>,
    /// The table, where there is one whose rows a learner adapts to.
    pub(crate) examples: Option<Table>,
}

/// How long a training is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// Some steps.
    Short,
    /// Enough steps to be killed between.
    Long,
}

/// The name of the configuration's file.
pub(crate) const CONFIG: &str = "config.toml";
/// The name of the table's file.
pub(crate) const TABLE: &str = "data.csv";

impl Scenario {
    /// Writes its files.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        fs_err::write(folder.join(CONFIG), &self.config)?;
        for (name, content) in &self.files {
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                fs_err::create_dir_all(parent)?;
            }
            fs_err::write(path, content)?;
        }
        Ok(())
    }
}

/// A text that grows piece by piece.
#[derive(Debug, Clone, Default)]
pub(crate) struct Text(String);

impl Text {
    /// Puts something behind it.
    pub(crate) fn add(&mut self, piece: impl AsRef<str>) {
        self.0.push_str(piece.as_ref());
    }

    /// Puts a line `key = value` behind it.
    pub(crate) fn set(&mut self, key: &str, value: impl Display) {
        self.add(format!("{key} = {value}\n"));
    }

    /// The whole.
    pub(crate) fn done(self) -> String {
        self.0
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Names as an array of TOML.
pub(crate) fn array(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!("[{}]", quoted.join(", "))
}

/// `[optimizer]` and `[schedule]`, and the seed and threads before them.
pub(crate) fn head(rng: &mut Rng) -> String {
    let threads = rng.pick(&["threads = 1\n", "threads = 1\n", "threads = 1\n", "threads = 2\n", ""]);
    format!("seed = {}\n{threads}", rng.below(100))
}

/// `[optimizer]` and, sometimes, `[schedule]`. A plateau needs a look at the validation split.
pub(crate) fn schedule(rng: &mut Rng, names: &Names, validated: bool) -> String {
    let kind = rng.pick(names.of("optimizer"));
    let mut text = Text::from(format!("[optimizer]\nkind = {kind:?}\n"));
    text.set("learning_rate", rng.pick(&["1e-3", "0.01", "0.05"]));
    for (key, values) in [
        ("momentum", ["0.0", "0.5", "0.9"]),
        ("weight_decay", ["0.0", "0.01", "0.1"]),
        ("decay", ["\"all\"", "\"all\"", "\"weights\""]),
    ] {
        if names.has_key(&kind, key) && rng.chance(0.3) {
            text.set(key, rng.pick(&values));
        }
    }
    if rng.chance(0.5) {
        let kinds: Vec<String> =
            names.of("schedule").iter().filter(|kind| validated || *kind != "plateau").cloned().collect();
        let kind = rng.pick(&kinds);
        text.add(format!("[schedule]\nkind = {kind:?}\nwarm_up_steps = {}\n", rng.pick(&[0, 0, 3])));
        if kind == "step" {
            text.add("every = 3\nfactor = 0.5\n");
        }
        if kind == "plateau" {
            text.add("patience = 1\n");
        }
    }
    text.done()
}

/// `[aggregator]` of one of these kinds, for tasks with these names; `shared` where they share a representation.
pub(crate) fn aggregator(
    rng: &mut Rng,
    names: &Names,
    kinds: &[String],
    tasks: &[String],
    shared: Shared,
) -> String {
    let kind = rng.pick(kinds);
    let mut text = Text::from(format!("[aggregator]\nkind = {kind:?}\n"));
    if shared == Shared::Yes && names.has_key(&kind, "level") && rng.chance(0.3) {
        text.add("level = \"representation\"\n");
    }
    if names.has_key(&kind, "update_every") && rng.chance(0.4) {
        text.set("update_every", rng.between(1, 5));
    }
    for (of, key, values) in [
        ("aligned_mtl", "scale", ["\"min\"", "\"median\"", "\"rmse\""]),
        ("cagrad", "rescale", ["\"one_plus_c_squared\"", "\"one_plus_c\"", "\"none\""]),
    ] {
        if kind == of && rng.chance(0.4) {
            text.set(key, rng.pick(&values));
        }
    }
    if kind == "fixed_weights" {
        let weights: Vec<String> =
            tasks.iter().map(|task| format!("{task:?} = {}", rng.pick(&["1.0", "0.5", "2.0"]))).collect();
        text.set("weights", format!("{{ {} }}", weights.join(", ")));
    }
    text.done()
}

/// Whether tasks share a representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shared {
    /// All are on the same rows.
    Yes,
    /// Each has its own.
    No,
}

/// The keys of `[training]` that every problem has, behind its length.
pub(crate) fn training(rng: &mut Rng, length: Length, validated: bool) -> String {
    let mut text = Text::default();
    text.set(
        "steps",
        match length {
            Length::Short => rng.between(1, 30),
            Length::Long => rng.between(200, 1500),
        },
    );
    let every = if length == Length::Long { 40 } else { 5 };
    for key in ["save_every_steps", "log_every_steps"] {
        if rng.chance(0.6) {
            text.set(key, rng.between(1, every));
        }
    }
    if rng.chance(0.3) {
        text.set("keep_checkpoints", rng.between(1, 3));
    }
    if rng.chance(0.3) {
        text.set("clip_norm", rng.pick(&["0.1", "1.0", "10.0"]));
    }
    if rng.chance(0.2) {
        text.set(
            "average",
            rng.pick(&["{ ema = { decay = 0.9 } }", "{ swa = { from = 0.5 } }", "{ ema = { decay = 0.0 } }"]),
        );
    }
    if rng.chance(0.1) {
        text.set("diagnose_every_steps", rng.between(1, every));
    }
    if validated {
        text.set("validate_every_steps", rng.between(1, every));
        if rng.chance(0.3) {
            text.add(format!("early_stopping = {{ patience = {} }}\n", rng.between(1, 20)));
        }
        if rng.chance(0.2) {
            text.add("monitor = { metric = \"loss\" }\n");
        }
    }
    text.done()
}
