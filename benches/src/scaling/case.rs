use std::ops::ControlFlow;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use manytask_meta::{Execution, InnerRule, Maml};
use manytask_multitask::{Combination, Event, Level, Pass};
use manytask_nn::Precision;
use manytask_nn::optim::Optimizer;
use manytask_tensor::{DeviceChoice, memory::keep_pages, threads};
use serde::{Deserialize, Serialize};

use crate::{DRAW, How, Work, blocks, memory, perceptron, work};

/// What one process measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The work.
    pub shape: Shape,
    /// Threads of libtorch and ours.
    pub threads: usize,
    /// Where it is done, as in a configuration.
    pub device: String,
    /// What layers compute in.
    pub precision: Precision,
    /// For how long it repeats; 0: twice.
    pub seconds: f64,
}

/// A work, and what is done of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Shape {
    /// Steps of training of a work, named as in [`work`].
    Steps(String),
    /// Passes of regressions on a trunk 1024-512-512, 256 rows in a batch.
    Trunk {
        /// Their number.
        tasks: usize,
        /// What is made of their losses.
        made: Made,
    },
    /// A meta-batch.
    Inner {
        /// The network, and with it the tasks.
        net: Net,
        /// Tasks in it.
        tasks: usize,
        /// Inner steps.
        steps: u32,
        /// `checkpoint_every`.
        every: Option<u32>,
        /// Whether the inner rule has momentum, which no fused pass knows.
        momentum: bool,
        /// `execution`.
        way: Execution,
        /// Whether the parameters move as in training, or the meta-gradient alone is made.
        trained: bool,
    },
}

/// What is made of the losses of tasks on a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Made {
    /// The Gramian, in the cheaper form.
    Gramian,
    /// The gradients, and their Gramian.
    Gradients,
}

/// A network that adapts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Net {
    /// 1-w-w-1 on sine waves of 10 shots and 10 queries.
    Perceptron(i64),
    /// Four blocks of 64 channels on 5 pictures of 28 × 28, and 75 queries.
    Conv4,
}

/// What a process saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// The median of its repetitions but the first.
    pub microseconds: f64,
    /// Repetitions that counted.
    pub counted: usize,
    /// The highest resident memory in bytes after the first repetition.
    pub first: f64,
    /// The same after the last.
    pub memory: f64,
    /// The way of computing that was taken.
    pub execution: Option<Execution>,
}

impl Case {
    /// Measures in a process of its own.
    pub(super) fn seen(&self) -> Result<Seen> {
        let case = serde_json::to_string(self)?;
        let threads = self.threads.to_string();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["measure", &case]).stderr(Stdio::inherit());
        command.env("OMP_NUM_THREADS", &threads).env("MKL_NUM_THREADS", &threads);
        let output = command.output().context("a measurement cannot be started")?;
        if !output.status.success() {
            bail!("{case}: {}", output.status);
        }
        serde_json::from_slice(&output.stdout).with_context(|| case.clone())
    }

    /// A case on the processor in full precision.
    pub(super) fn new(shape: Shape, threads: usize, seconds: f64) -> Self {
        Self { shape, threads, device: "cpu".to_owned(), precision: Precision::Full, seconds }
    }

    fn work(&self) -> Result<Work> {
        let device = self.device.parse::<DeviceChoice>()?.resolve()?;
        let how = How { device, precision: self.precision, ..How::default() };
        match &self.shape {
            Shape::Steps(name) => work(name, how),
            Shape::Trunk { tasks, .. } => work(&format!("trunk-{tasks}-equal"), how),
            &Shape::Inner { net, tasks, steps, every, momentum, way, .. } => {
                let rule = Optimizer::sgd(if momentum { 0.5 } else { 0.0 });
                let learner = Maml {
                    inner_steps: steps,
                    inner_rule: InnerRule(rule),
                    checkpoint_every: every,
                    ..Maml::default()
                };
                let how = How { execution: way, ..how };
                match net {
                    Net::Perceptron(width) => perceptron(tasks, width, &learner, how),
                    Net::Conv4 => blocks("conv4", tasks, &learner, how),
                }
            }
        }
    }
}

/// Measures in this process.
///
/// # Errors
/// When the work cannot be made, or fails.
pub fn measure(case: &Case) -> Result<Seen> {
    keep_pages();
    threads::enter_pool(std::thread::available_parallelism().map_or(1, usize::from));
    threads::set(case.threads)?;
    let work = case.work()?;
    let mut first = None;
    let mut saw_one = || {
        first.get_or_insert_with(resident);
    };
    let mut times = match &case.shape {
        Shape::Steps(_) | Shape::Inner { trained: true, .. } => steps(&work, case.seconds, &mut saw_one)?,
        Shape::Trunk { made, .. } => passes(&work, case.seconds, &mut saw_one, |pass| {
            if *made == Made::Gradients {
                pass.jacobian(&Level::Parameters)?;
            }
            pass.gramian(&Level::Parameters)?;
            Ok(())
        })?,
        Shape::Inner { .. } => passes(&work, case.seconds, &mut saw_one, |_| Ok(()))?,
    };
    // The first one finds everything cold.
    times.drain(..1.min(times.len() - 1));
    let counted = times.len();
    times.sort_by(f64::total_cmp);
    let microseconds = times.get(counted / 2).copied().unwrap_or(f64::NAN);
    let memory = resident();
    Ok(Seen { microseconds, counted, first: first.unwrap_or(memory), memory, execution: work.execution })
}

/// The highest resident memory of this process so far, in bytes.
fn resident() -> f64 {
    memory(std::process::id()) as f64 * 1024.0
}

/// Whether there are enough: the time is up, and two count; of very slow ones a single one.
fn enough(times: &[f64], seconds: f64) -> bool {
    const SLOW: f64 = 5e6;
    let sum: f64 = times.iter().sum();
    sum >= seconds * 1e6 && (times.len() >= 3 || (times.len() == 2 && (sum > SLOW || seconds == 0.0)))
}

/// Microseconds of steps of training.
fn steps(work: &Work, seconds: f64, saw_one: &mut dyn FnMut()) -> Result<Vec<f64>> {
    let mut trainer = work.trainer(1 << 40)?;
    let (mut times, mut last) = (Vec::new(), Instant::now());
    trainer.run(|_, event| -> Result<_, manytask_multitask::Error> {
        if let Event::Step(_) = event {
            times.push(last.elapsed().as_secs_f64() * 1e6);
            saw_one();
            last = Instant::now();
        }
        Ok(if enough(&times, seconds) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(times)
}

/// Microseconds of passes at the same parameters.
fn passes(
    work: &Work,
    seconds: f64,
    saw_one: &mut dyn FnMut(),
    look: impl Fn(&mut dyn Pass) -> Result<()>,
) -> Result<Vec<f64>> {
    let params = work.start()?.require_grad()?;
    let tasks = work.problem().tasks().len();
    let combination = Combination::weights(vec![1.0 / tasks as f64; tasks]);
    let mut times = Vec::new();
    while !enough(&times, seconds) {
        let start = Instant::now();
        let mut pass = work.problem().forward(&params, DRAW)?;
        look(pass.as_mut())?;
        pass.finish(&combination)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
        saw_one();
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(shape: Shape, device: &str, precision: Precision) -> Case {
        Case { shape, threads: 1, device: device.to_owned(), precision, seconds: 0.0 }
    }

    #[test]
    fn works_are_measured_in_either_precision() {
        let inner = Shape::Inner {
            net: Net::Perceptron(4),
            tasks: 2,
            steps: 1,
            every: None,
            momentum: false,
            way: Execution::Auto,
            trained: true,
        };
        for (precision, way) in
            [(Precision::Full, Execution::Analytic), (Precision::Bfloat16, Execution::Batched)]
        {
            let seen = measure(&case(inner.clone(), "cpu", precision)).unwrap();
            assert_eq!((seen.execution, seen.counted), (Some(way), 1));
        }
        let steps = Shape::Steps("trunk-2-mgda".into());
        let seen = measure(&case(steps.clone(), "cpu", Precision::Bfloat16)).unwrap();
        assert!(seen.microseconds > 0.0 && seen.execution.is_none());
        let error = measure(&case(steps, "cuda:99", Precision::Full)).unwrap_err().to_string();
        assert!(error.contains("cuda:99"), "{error}");
    }
}
