//! Steps of training on a GPU, in float32 and with TF32, against the processor and against other systems
//! on the same GPU.
#![expect(clippy::print_stderr, reason = "a measurement of minutes says how far it is")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::cell::head;
use super::floor::{Ceilings, Counted};

/// The works, with the systems that do them too. Those that take longer than all others together are left out: one task after the other
/// in meta-learning, vmap on many tasks of Conv4.
const WORKS: [(&str, &[&str]); 12] = [
    ("trunk-40-equal", &["eager"]),
    ("trunk-40-mgda", &["backwards", "torchjd", "autogram"]),
    ("trunk-40-pcgrad", &["torchjd"]),
    ("trunk-400-mgda", &["torchjd"]),
    ("sinusoid-1", &["func", "jax"]),
    ("sinusoid-5", &["func", "jax"]),
    ("sinusoid-1-256", &["func", "jax"]),
    ("sinusoid-1-1024", &["func", "jax"]),
    ("conv4-4-1", &["func", "jax"]),
    ("conv4-32-1", &["jax"]),
    ("conv4-32-5", &["jax"]),
    ("protonet-60", &["eager", "jax"]),
];
/// Works that are measured with TF32 as well, where what is multiplied is most of the work.
const ROUNDED: [&str; 5] = ["sinusoid-1-1024", "conv4-4-1", "conv4-32-1", "conv4-32-5", "protonet-60"];
/// Steps that a contender makes at least, and for how long it goes on.
const STEPS: &str = "12";
const SECONDS: &str = "1";

/// What a contender prints.
#[derive(Debug, Deserialize)]
struct Seen {
    times: Vec<f64>,
    losses: Vec<f64>,
    uncaptured: Option<String>,
}

impl Seen {
    /// Milliseconds of a step: the median of the later half, which finds libraries loaded and steps recorded.
    fn median(&self) -> f64 {
        let mut later = self.times.get(self.times.len() / 2..).unwrap_or_default().to_vec();
        later.sort_by(f64::total_cmp);
        later.get(later.len() / 2).copied().unwrap_or(f64::NAN) / 1e3
    }
}

/// The other systems: the folder `benches/peers`, and the Python that has them.
#[derive(Debug, Clone)]
pub struct Peers {
    /// The folder with `twin.py`.
    pub folder: PathBuf,
    /// The interpreter.
    pub python: PathBuf,
}

/// The table, and beneath it what could not be launched as a whole, and why. Losses of others are compared with ours.
///
/// # Errors
/// When the device is not there, a measurement of ours fails, or another system's loss is another one.
pub fn table(device: &str, peers: Option<&Peers>, works: &[String]) -> Result<String> {
    let folder = tempfile::tempdir().context("no folder for temporary files")?;
    let threads = std::thread::available_parallelism()?.get().to_string();
    let place = Place { folder: folder.path(), threads: &threads, device };
    let processor = format!("processor, {threads} threads");
    let columns = [&processor, "GPU", "floor", "processor / GPU", "others, and their time / ours"];
    let mut text = head(&[&["work"], &columns.map(AsRef::as_ref)[..]].concat());
    let mut notes = String::new();
    let ceilings = Ceilings::of_both(device)?;
    // `WORK` or `WORK:SYSTEM`.
    let wanted = |name: &str, system: Option<&str>| {
        let asks = |asked: &String| {
            let (work, only) = asked.split_once(':').map_or((asked.as_str(), None), |(a, b)| (a, Some(b)));
            name.starts_with(work) && (system.is_none() || only.is_none() || only == system)
        };
        works.is_empty() || works.iter().any(asks)
    };
    for (work, systems) in WORKS.into_iter().filter(|(name, _)| wanted(name, None)) {
        let systems = if peers.is_some() { systems } else { &[] };
        let here = place.ours(work, &["auto", "cpu"])?.median();
        let rounded = ROUNDED.contains(&work).then_some(Rounding::Tf32);
        for rounding in std::iter::once(Rounding::No).chain(rounded) {
            let name = format!("{work}{}", rounding.name());
            let whole = place.ours(work, &[&["auto", device], rounding.words()].concat())?;
            if let Some(reason) = &whole.uncaptured {
                writeln!(notes, "\n`{name}` is launched one by one: {reason}.")?;
            }
            let mut others = Vec::new();
            let asked = systems.iter().filter(|system| wanted(work, Some(system)));
            for (system, peers) in asked.filter_map(|system| Some((system, peers?))) {
                let cell = match place.peer(peers, system, work, rounding)? {
                    None => format!("{system}: fails"),
                    Some(seen) => {
                        same(work, system, &whole, &seen)?;
                        format!("{system} {:.2} ms, {:.2}", seen.median(), seen.median() / whole.median())
                    }
                };
                others.push(cell);
            }
            let whole = whole.median();
            eprintln!("{name}: {:.3?} ms {others:?}", [here, whole]);
            let (others, ratio) = (others.join("; "), here / whole);
            let floor = Counted::of(work).map_or("-".into(), |counted| {
                format!("{:.3} ms", counted.milliseconds(ceilings[usize::from(rounding == Rounding::Tf32)]))
            });
            writeln!(text, "| {name} | {here:.2} ms | {whole:.2} ms | {floor} | {ratio:.2} | {others} |")?;
        }
    }
    Ok(format!("{text}\n{}\n{notes}", Ceilings::words(&ceilings)))
}

/// Refuses another system's first losses where they are not ours; after a step rounding has grown, through convolutions by far.
fn same(work: &str, system: &str, ours: &Seen, theirs: &Seen) -> Result<()> {
    const NEAR: [f64; 2] = [1e-3, 0.1];
    for (number, ((a, b), near)) in ours.losses.iter().zip(&theirs.losses).zip(NEAR).enumerate() {
        if (a - b).abs() > near * a.abs().max(b.abs()) {
            bail!(
                "{work}: in step {number} the loss is {a} here and {b} in {system}: they do not do the same"
            );
        }
    }
    Ok(())
}

/// What a GPU may do to the operands of products and convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rounding {
    /// Nothing: float32.
    No,
    /// Round them to TF32.
    Tf32,
}

impl Rounding {
    fn name(self) -> &'static str {
        match self {
            Self::No => "",
            Self::Tf32 => ", TF32",
        }
    }

    fn words(self) -> &'static [&'static str] {
        match self {
            Self::No => &[],
            Self::Tf32 => &["tf32"],
        }
    }
}

struct Place<'a> {
    folder: &'a Path,
    threads: &'a str,
    device: &'a str,
}

impl Place<'_> {
    /// A contender of ours, in a process of its own; it leaves the data for the others.
    fn ours(&self, work: &str, how: &[&str]) -> Result<Seen> {
        let program = std::env::current_exe()?.with_file_name("twin");
        let mut command = Command::new(&program);
        command
            .args([work, STEPS, SECONDS, self.threads])
            .arg(self.folder)
            .args(how)
            .stderr(Stdio::inherit());
        let output = command.output().with_context(|| format!("{} cannot be started", program.display()))?;
        if !output.status.success() {
            bail!("{work} {how:?}: {}", output.status);
        }
        serde_json::from_slice(&output.stdout).with_context(|| format!("what {work} {how:?} printed"))
    }

    /// Another system; nothing where it fails, as some do on some works.
    fn peer(&self, peers: &Peers, system: &str, work: &str, rounding: Rounding) -> Result<Option<Seen>> {
        let mut command = Command::new(&peers.python);
        command.arg(peers.folder.join("twin.py"));
        command.args([system, work, STEPS, SECONDS, self.threads]).arg(self.folder);
        command.env("PEERS_TF32", if rounding == Rounding::Tf32 { "1" } else { "0" });
        command.env("PEERS_DEVICE", self.device.split(':').next().unwrap_or("cuda"));
        let output =
            command.output().with_context(|| format!("{} cannot be started", peers.python.display()))?;
        if !output.status.success() {
            eprintln!("{work} {system}: {}", String::from_utf8_lossy(&output.stderr).trim_end());
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&output.stdout);
        let last = line.lines().last().unwrap_or_default();
        Ok(Some(serde_json::from_str(last).with_context(|| format!("what {system} printed of {work}"))?))
    }
}
