//! Random valid trainings.

use anyhow::Result;

use super::names::Names;
use super::random::Rng;
use super::scenario::{Length, Scenario};
use super::{episodes, rows};

/// A training of rows or of episodes.
pub(crate) fn scenario(rng: &mut Rng, names: &Names, length: Length) -> Result<Scenario> {
    if rng.chance(0.25) { episodes::draw(rng, names, length) } else { Ok(rows::draw(rng, names, length)) }
}
