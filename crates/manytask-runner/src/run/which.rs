//! Which checkpoint of a run is meant, and the names that checkpoints have.

use std::fmt;
use std::str::FromStr;

/// Before the number of steps in the name of a checkpoint.
const STEP: &str = "step-";

/// Which checkpoint: `best`, `latest` or `step-N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one with the best validation metric.
    Best,
    /// The last one.
    Latest,
    /// The one after so many steps.
    Step(u64),
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Best => f.write_str("best"),
            Self::Latest => f.write_str("latest"),
            Self::Step(step) => f.write_str(&name_of(*step)),
        }
    }
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "best" => Ok(Self::Best),
            "latest" => Ok(Self::Latest),
            _ => step_of(text)
                .map(Self::Step)
                .ok_or_else(|| "write best, latest, or the name of a checkpoint such as step-100".to_owned()),
        }
    }
}

/// The name of the checkpoint after so many steps.
pub(super) fn name_of(step: u64) -> String {
    format!("{STEP}{step}")
}

/// After how many steps the checkpoint of this name is; `None` for any name that [`name_of`] does not give.
pub(super) fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix(STEP)?.parse().ok()?;
    (name_of(step) == name).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_has_one_name() {
        for which in [Which::Best, Which::Latest, Which::Step(0), Which::Step(u64::MAX)] {
            assert_eq!(which.to_string().parse(), Ok(which));
        }
        for wrong in [
            "step-",
            "step-016",
            "step-+1",
            "step--1",
            "step-1.bak",
            "step-18446744073709551616",
            "../step-1",
        ] {
            assert!(wrong.parse::<Which>().is_err(), "{wrong}");
        }
    }
}
