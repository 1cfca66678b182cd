//! Whether what a configuration asks for fits into the memory of the machine, before anything of it is allocated.
//!
//! Estimates are of what is certainly needed: parameters with their gradient and the optimizer's buffers, the examples of a step
//! and one copy of each activation. So nothing that would go is refused; what is refused could not go.

use manytask_multitask::{Demand, Needs};
use manytask_nn::optim::{Optimizer, RmsProp, Sgd};
use manytask_tensor::memory::free;
use manytask_tensor::{KeyPath, Layout};

use crate::failure::{Failure, Result};

/// Bytes of a number.
const NUMBER: f64 = 4.0;

/// What a configuration needs memory for.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    /// The keys that it grows with, each with what is written and with what is usual: the farthest from that is named.
    pub(crate) keys: Vec<(&'static str, f64, f64)>,
    /// What it is, in words.
    pub(crate) what: String,
    /// How much.
    pub(crate) bytes: f64,
}

/// The sizes of a network that enter estimates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NetworkSize {
    /// Trained numbers.
    pub(crate) parameters: f64,
    /// The largest size of a layer.
    pub(crate) widest: f64,
    /// Numbers that an example becomes on its way, each counted once.
    pub(crate) activations: f64,
}

impl NetworkSize {
    /// Of a layout; `plane` are the pixels of a picture, 1 for rows.
    pub(crate) fn of(layout: &Layout, plane: f64) -> Self {
        let mut size = Self { parameters: 0.0, widest: 0.0, activations: 0.0 };
        let mut pixels = plane;
        for entry in layout.entries() {
            let numbers: f64 = entry.shape.iter().map(|size| *size as f64).product();
            let first = entry.shape.first().copied().unwrap_or(1) as f64;
            size.parameters += numbers;
            let embeds = ["embedding", "periodic"].iter().any(|of| entry.name.starts_with(of));
            if embeds || entry.shape.len() < 2 {
                continue;
            }
            size.widest = size.widest.max(first);
            if entry.shape.len() == 4 {
                size.activations += first * pixels;
                pixels = (pixels / 4.0).floor().max(1.0);
            } else {
                size.activations += first;
            }
        }
        size
    }

    /// The parameters with what training adds to them.
    pub(crate) fn training(&self, optimizer: &Optimizer) -> Need {
        let buffers = match optimizer {
            Optimizer::Sgd(Sgd { momentum: 0.0, .. }) => 0.0,
            Optimizer::Sgd(_) => 1.0,
            Optimizer::Adam(_) | Optimizer::AdamW(_) => 2.0,
            Optimizer::RmsProp(RmsProp { centered, momentum, .. }) => {
                1.0 + f64::from(u8::from(*centered)) + f64::from(u8::from(*momentum > 0.0))
            }
        };
        Need {
            keys: vec![("hidden", self.widest, 512.0)],
            what: format!("a network of {} parameters with gradient and optimizer", count(self.parameters)),
            bytes: self.parameters * NUMBER * (2.0 + buffers),
        }
    }

    /// The gradients of all tasks, where the aggregator looks at each, or their inner products.
    pub(crate) fn gradients(&self, needs: &Needs, tasks: f64) -> Option<Need> {
        /// Bytes of an inner product.
        const PRODUCT: f64 = 8.0;
        // Who looks at further batches takes their gradients.
        let rows = needs.demand() == Demand::Jacobian || needs.batches > 1;
        let products = needs.demand() == Demand::Gramian;
        let (of, bytes) = match (rows, products) {
            (true, _) => ("the gradients", self.parameters * NUMBER * tasks),
            (false, true) => ("the inner products of the gradients", PRODUCT * tasks * tasks),
            (false, false) => return None,
        };
        Some(Need {
            keys: vec![("hidden", self.widest, 512.0), ("tasks_per_step", tasks, 64.0)],
            what: format!("{of} of {} tasks", count(tasks)),
            bytes,
        })
    }
}

/// Refuses what takes more than there is.
///
/// # Errors
/// With the key that is farthest from what is usual, the memory that it would take, and what there is (exit code 3).
pub(crate) fn check(needs: &[Need]) -> Result<()> {
    check_within(needs, free())
}

fn check_within(needs: &[Need], free: Option<f64>) -> Result<()> {
    let total: f64 = needs.iter().map(|need| need.bytes).sum();
    // What is not a number does not fit either.
    let fits = |free: f64| total <= free;
    let Some(free) = free.filter(|free| !fits(*free)) else { return Ok(()) };
    let Some(most) = needs.iter().max_by(|a, b| a.bytes.total_cmp(&b.bytes)) else { return Ok(()) };
    let far = |key: &(&str, f64, f64)| key.1 / key.2;
    let Some((key, value, _)) = most.keys.iter().copied().max_by(|a, b| far(a).total_cmp(&far(b))) else {
        return Ok(());
    };
    Err(Failure::setting(
        path_of(key),
        format!(
            "`{key}` is {}: {} takes {} at least, and {} of memory are free",
            count(value),
            most.what,
            bytes(most.bytes),
            bytes(free)
        ),
    )
    .hint(format!("lower `{key}`, or take a machine with more memory")))
}

/// Where a configuration has a key of a [`Need`].
fn path_of(key: &str) -> KeyPath {
    match key {
        "batch_size" | "tasks_per_step" => ["training", key].into(),
        "hidden" => KeyPath::from("network").text(key),
        _ => ["data", key].into(),
    }
}

/// Bytes in the unit that suits them.
fn bytes(value: f64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut size = value;
    let mut unit = "bytes";
    for name in units {
        unit = name;
        if size < 1024.0 || name == "PiB" {
            break;
        }
        size /= 1024.0;
    }
    if size < 1e5 { format!("{size:.1} {unit}") } else { format!("{size:.1e} {unit}") }
}

/// A whole number, in short where it is long.
fn count(value: f64) -> String {
    if value < 1e12 { format!("{value:.0}") } else { format!("{value:.1e}") }
}

/// The most memory that this process held at a time, in bytes; `None` where the system does not tell.
pub(crate) fn peak() -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use manytask_multitask::Level;
    use manytask_nn::Builder;
    use manytask_nn::nets::{Conv4, Conv4Config, Mlp, MlpConfig};

    use super::*;
    use crate::failure::Code;

    #[test]
    fn the_key_that_is_farthest_from_the_usual_is_named_with_what_there_is() {
        let need =
            |key, value, usual, bytes| Need { keys: vec![(key, value, usual)], what: "it".into(), bytes };
        let needs = [need("shots", 10.0, 10.0, 1e6), need("queries", 1e9, 15.0, 1e12)];
        let failure = check_within(&needs, Some(2.0 * 1024.0_f64.powi(3))).unwrap_err();
        assert_eq!(
            failure.message,
            "`queries` is 1000000000: it takes 931.3 GiB at least, and 2.0 GiB of memory are free"
        );
        assert_eq!(failure.code, Code::Config);
        assert!(check_within(&needs, Some(1e13)).is_ok() && check_within(&needs, None).is_ok());
        assert!(check_within(&[need("shots", f64::INFINITY, 1.0, f64::INFINITY)], Some(1e30)).is_err());
        assert!(check_within(&[need("shots", f64::NAN, 1.0, f64::NAN)], Some(1e30)).is_err());
    }

    #[test]
    fn a_networks_size_is_that_of_its_layout() {
        let mut layout = Layout::builder();
        let config = MlpConfig { hidden: vec![20, 10], output: Some(3), ..MlpConfig::default() };
        Mlp::new(&mut Builder::new(&mut layout), 5, &config).unwrap();
        let size = NetworkSize::of(&layout.build(), 1.0);
        assert_eq!((size.parameters, size.widest, size.activations), (363.0, 20.0, 33.0));
        assert_eq!(size.training(&Optimizer::adam()).bytes, 363.0 * 16.0);
        assert_eq!(size.training(&Optimizer::sgd(0.0)).bytes, 363.0 * 8.0);
        assert!(size.gradients(&Needs::LOSSES, 2.0).is_none());
        let rows = size.gradients(&Needs::jacobian(Level::Parameters), 2.0).unwrap();
        assert_eq!(rows.bytes, 363.0 * 8.0);
        let products = size.gradients(&Needs::gramian(Level::Parameters), 1e6).unwrap();
        assert_eq!(products.bytes, 8e12);
        assert!(size.gradients(&Needs { batches: 3, ..Needs::LOSSES }, 2.0).is_some());
        let mut layout = Layout::builder();
        Conv4::new(&mut Builder::new(&mut layout), 1, 28, &Conv4Config::default()).unwrap();
        let size = NetworkSize::of(&layout.build(), 784.0);
        assert_eq!(size.activations, 64.0 * (784.0 + 196.0 + 49.0 + 12.0));
    }

    #[test]
    fn memory_is_said_in_the_unit_that_suits_it() {
        assert_eq!((bytes(512.0), bytes(3.5 * 1024.0 * 1024.0)), ("512.0 bytes".into(), "3.5 MiB".into()));
    }
}
