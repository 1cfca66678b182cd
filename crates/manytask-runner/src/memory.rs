//! Whether what a configuration asks for fits into the memory of the machine, before anything of it is allocated.
//!
//! Estimates are of what is certainly needed: parameters with their gradient and the optimizer's buffers, the examples of a step
//! and one copy of each activation. So nothing that would go is refused; what is refused could not go.

use manytask_multitask::{Demand, Needs};
use manytask_nn::optim::{Optimizer, RmsProp, Sgd};
use manytask_tensor::Layout;

use crate::failure::{Code, Failure, Result};

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
            if entry.name.starts_with("embedding") || entry.shape.len() < 2 {
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

    /// The gradients of all tasks, where the aggregator looks at each.
    pub(crate) fn gradients(&self, needs: &Needs, tasks: f64) -> Option<Need> {
        // Who looks at further batches takes their gradients.
        let rows = needs.demand() == Demand::Jacobian || needs.batches > 1;
        rows.then(|| Need {
            keys: vec![("hidden", self.widest, 512.0), ("tasks_per_step", tasks, 64.0)],
            what: format!("the gradients of {} tasks", count(tasks)),
            bytes: self.parameters * NUMBER * tasks,
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
    Err(Failure::new(
        Code::Config,
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

/// The memory that this process can have: what the system has free, its control group and its own limit allow.
fn free() -> Option<f64> {
    let read = |path: &str| fs_err::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| kilobytes(&text, "MemAvailable:"));
    let used = read("/proc/self/status").and_then(|text| kilobytes(&text, "VmSize:")).unwrap_or(0.0);
    let limit =
        read("/proc/self/limits").and_then(|text| address_space(&text)).map(|limit| (limit - used).max(0.0));
    [machine, limit, group(&read)].into_iter().flatten().min_by(f64::total_cmp)
}

/// The number behind a word of a list in kB, in bytes.
fn kilobytes(text: &str, word: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

fn address_space(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What the control groups around this process leave it.
fn group(read: &impl Fn(&str) -> Option<String>) -> Option<f64> {
    let number = |path: String| read(&path)?.trim().parse::<f64>().ok();
    let groups = read("/proc/self/cgroup")?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").to_owned();
    let mut left: Option<f64> = None;
    let mut folder = std::path::Path::new(&own);
    loop {
        let at = |file: &str| {
            format!("/sys/fs/cgroup{}/{file}", folder.display().to_string().trim_end_matches('/'))
        };
        if let Some(most) = number(at("memory.max")) {
            let used = number(at("memory.current")).unwrap_or(0.0);
            // Files that were read are given back.
            let files = read(&at("memory.stat")).and_then(|text| file_pages(&text)).unwrap_or(0.0);
            let here = (most - (used - files).max(0.0)).max(0.0);
            left = Some(left.map_or(here, |left| left.min(here)));
        }
        match folder.parent() {
            Some(parent) => folder = parent,
            None => break,
        }
    }
    let old = number("/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned());
    [left, old].into_iter().flatten().min_by(f64::total_cmp)
}

fn file_pages(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("file "))?;
    line.trim().parse().ok()
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

#[cfg(test)]
mod tests {
    use manytask_multitask::Level;
    use manytask_nn::Builder;
    use manytask_nn::nets::{Conv4, Conv4Config, Mlp, MlpConfig};

    use super::*;

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
        assert!(size.gradients(&Needs { batches: 3, ..Needs::LOSSES }, 2.0).is_some());
        let mut layout = Layout::builder();
        Conv4::new(&mut Builder::new(&mut layout), 1, 28, &Conv4Config::default()).unwrap();
        let size = NetworkSize::of(&layout.build(), 784.0);
        assert_eq!(size.activations, 64.0 * (784.0 + 196.0 + 49.0 + 12.0));
    }

    #[test]
    fn what_the_system_says_is_read() {
        assert_eq!(kilobytes("MemTotal: 9 kB\nMemAvailable:    2 kB\n", "MemAvailable:"), Some(2048.0));
        assert_eq!(address_space("Max address space   unlimited  unlimited  bytes\n"), None);
        assert_eq!(address_space("Max address space         4096    8192  bytes\n"), Some(4096.0));
        assert_eq!(file_pages("anon 5\nfile 12\nfile_mapped 3\n"), Some(12.0));
        assert!(cfg!(not(target_os = "linux")) || free().is_some_and(|free| free > 0.0));
        assert_eq!((bytes(512.0), bytes(3.5 * 1024.0 * 1024.0)), ("512.0 bytes".into(), "3.5 MiB".into()));
    }
}
