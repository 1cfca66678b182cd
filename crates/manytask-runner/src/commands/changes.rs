//! What may change in a run after it began, and what was changed.

use std::collections::BTreeMap;

use toml::Table;

use crate::config::flat;
use crate::digest::digest;
use crate::failure::{Code, Failure, Result};

/// What a run is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be judged.
    Eval,
    /// To predict.
    Predict,
    /// To be continued.
    Resume,
}

/// Where a run computes and where its data lie: results do not depend on it, or a digest tells.
const PLACE: [&str; 6] =
    ["device", "threads", "data.folder", "data.path", "data.source.path", "data.split.files"];

/// How judging goes.
const JUDGING: [&str; 1] = ["evaluation"];

/// Which point of the front a network for all of it is asked for.
const PREFERENCE: [&str; 1] = ["network.preference"];

/// How long and how a training goes on.
const COURSE: [&str; 11] = [
    "training.epochs",
    "training.steps",
    "training.validate_every_epochs",
    "training.validate_every_steps",
    "training.save_every_steps",
    "training.save_every_minutes",
    "training.keep_checkpoints",
    "training.log_every_steps",
    "training.clip_norm",
    "training.monitor",
    "training.early_stopping",
];

/// Sections whose settings can change, but not their kind: what is remembered is of one kind.
const SETTINGS: [&str; 2] = ["optimizer", "aggregator"];

impl Purpose {
    /// Refuses changes of what cannot change.
    pub(super) fn check(self, changed: &[String]) -> Result<()> {
        let Some(key) = changed.iter().find(|key| !self.allows(key)) else { return Ok(()) };
        let (what, hint) = match self {
            Self::Resume => (
                format!("`{key}` cannot change in a run that has begun"),
                "other epochs, steps, rates, schedules, early stopping, device, threads and data.folder can; train anew for the rest",
            ),
            Self::Eval => (
                format!("`{key}` cannot change when a run is judged"),
                "device, threads, data.folder and [evaluation] can",
            ),
            Self::Predict => (
                format!("`{key}` has no effect on predictions, or would make them those of another run"),
                "device and threads can be given",
            ),
        };
        Err(Failure::new(Code::Config, what).hint(hint))
    }

    fn allows(self, key: &str) -> bool {
        let within = |names: &[&str]| {
            names.iter().any(|name| {
                key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        within(&PLACE)
            || match self {
                Self::Eval => within(&JUDGING) || within(&PREFERENCE),
                Self::Predict => within(&PREFERENCE),
                Self::Resume => can_change(key) || within(&COURSE),
            }
    }
}

fn can_change(key: &str) -> bool {
    key.starts_with("schedule.")
        || SETTINGS.iter().any(|section| {
            key.strip_prefix(section)
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|rest| rest != "kind")
        })
}

/// A digest of what cannot change in a run, for each section.
pub(super) fn fixed(config: &Table) -> BTreeMap<String, String> {
    let mut sections: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in flat(config) {
        if !Purpose::Resume.allows(&key) {
            let section = key.split_once('.').map_or(key.as_str(), |(section, _)| section);
            let text = sections.entry(section.to_owned()).or_default();
            text.extend([key.as_str(), " = ", value.as_str(), "\n"]);
        }
    }
    sections.into_iter().map(|(section, text)| (section, digest(text.as_bytes()))).collect()
}

/// The sections whose digests differ.
pub(super) fn differing(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<String> {
    let keys = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
    keys.filter(|key| one.get(*key) != other.get(*key)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    const CONFIG: &str = "seed = 1\ndevice = \"cpu\"\n[training]\nepochs = 3\nbatch_size = 4\n[optimizer]\nkind = \"adam\"\nlearning_rate = 0.1\n[network]\ntrunk = { hidden = [8] }\n";

    #[test]
    fn each_purpose_has_its_changes() {
        let allowed = |purpose: Purpose, key: &str| purpose.check(&[key.to_owned()]).is_ok();
        for key in ["device", "threads", "data.folder", "data.split.files.test"] {
            assert!(
                [Purpose::Eval, Purpose::Predict, Purpose::Resume].iter().all(|p| allowed(*p, key)),
                "{key}"
            );
        }
        for key in [
            "training.epochs",
            "training.early_stopping.patience",
            "optimizer.learning_rate",
            "schedule.kind",
        ] {
            assert!(allowed(Purpose::Resume, key) && !allowed(Purpose::Eval, key), "{key}");
        }
        for key in [
            "seed",
            "network.trunk.hidden",
            "optimizer.kind",
            "training.batch_size",
            "data.split.random.seed",
            "device2",
        ] {
            assert!(!allowed(Purpose::Resume, key), "{key}");
        }
        assert!(allowed(Purpose::Eval, "evaluation.tasks") && !allowed(Purpose::Predict, "evaluation.tasks"));
    }

    #[test]
    fn a_change_of_what_is_fixed_is_told_by_its_section() {
        let of = |text: &str| fixed(&table(text));
        let same =
            CONFIG.replace("epochs = 3", "epochs = 5").replace("0.1", "0.2").replace("\"cpu\"", "\"auto\"");
        assert_eq!(of(CONFIG), of(&same));
        let other = CONFIG.replace("seed = 1", "seed = 2").replace("[8]", "[9]");
        assert_eq!(differing(&of(CONFIG), &of(&other)), ["network", "seed"]);
    }
}
