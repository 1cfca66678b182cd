//! Parameters that a layout begins with.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::random::Key;
use crate::{Layout, Params, Result};

impl Layout {
    /// Fresh parameters; each entry draws from the key of (seed, its name), so adding a layer changes no other.
    pub fn init(self: &Arc<Self>, seed: u64, kind: Kind, device: Device) -> Result<Params> {
        let leaves = self.entries().iter().map(|entry| {
            entry.init.draw(&entry.shape, Key::new(seed, &format!("init/{}", entry.name)), kind, device)
        });
        Params::new(self.clone(), leaves.collect::<Result<_>>()?)
    }

    /// Parameters that are all zero.
    pub fn zeros(self: &Arc<Self>, kind: Kind, device: Device) -> Result<Params> {
        let leaves = self.entries().iter().map(|entry| Ok(Tensor::f_zeros(&entry.shape, (kind, device))?));
        Params::new(self.clone(), leaves.collect::<Result<_>>()?)
    }
}
