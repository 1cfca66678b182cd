//! What a step takes at least: counted operations and bytes over what a device was measured to do of them.

use std::time::Instant;

use anyhow::Result;
use manytask_tensor::{Device, DeviceChoice, Kind, Tensor, capture};

/// Rows of the square matrices of which products are measured.
const SIDE: i64 = 8192;
/// Numbers of the vector of which copies are measured.
const LENGTH: i64 = 1 << 28;
const REPETITIONS: u32 = 5;

/// What is counted of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Counted {
    /// Operations of products, a multiplication and an addition each.
    pub(super) operations: f64,
    /// Bytes that the optimizer reads and writes: parameters, gradient and both means of Adam.
    pub(super) bytes: f64,
}

impl Counted {
    /// That of a work by its name; nothing where it is not known.
    pub(super) fn of(work: &str) -> Option<Self> {
        let parts: Vec<&str> = work.split('-').collect();
        let number = |place: usize| parts.get(place).and_then(|part| part.parse::<f64>().ok());
        match *parts.first()? {
            "trunk" => Some(trunk(number(1)?, parts.get(2).is_some_and(|method| *method == "equal"))),
            "sinusoid" => {
                let width = number(2).unwrap_or(40.0);
                let parameters = width * width + 4.0 * width + 1.0;
                let products = width * width + 2.0 * width;
                Some(descent(25.0, number(1)?, [10.0, 10.0], 2.0 * products, parameters))
            }
            "conv4" => Some(descent(number(1)?, number(2)?, [5.0, 75.0], PICTURE + 640.0, BLOCKS + 325.0)),
            "protonet" => {
                let pictures = number(1)? * 10.0;
                Some(Self { operations: 3.0 * pictures * PICTURE, bytes: optimizer(BLOCKS) })
            }
            _ => None,
        }
    }

    /// Milliseconds, by whichever takes longer.
    pub(super) fn milliseconds(self, ceilings: Ceilings) -> f64 {
        1e3 * (self.operations / ceilings.operations).max(self.bytes / ceilings.bytes)
    }
}

/// Operations of a pass forward of one picture of 28 × 28 through four blocks of 64 channels.
const PICTURE: f64 = 2.0 * (784.0 * 9.0 * 64.0 + (196.0 + 49.0 + 9.0) * 9.0 * 64.0 * 64.0);
/// Their parameters.
const BLOCKS: f64 = 9.0 * 64.0 + 3.0 * 9.0 * 64.0 * 64.0 + 4.0 * 3.0 * 64.0;

fn optimizer(parameters: f64) -> f64 {
    7.0 * 4.0 * parameters
}

/// MAML of second order: a pass forward of `pass` operations a row, a pass back of twice, a Hessian product of six times as many.
fn descent(tasks: f64, steps: f64, [support, query]: [f64; 2], pass: f64, parameters: f64) -> Counted {
    let rows = 9.0 * steps * support + 3.0 * query;
    Counted { operations: tasks * rows * pass, bytes: optimizer(parameters) }
}

/// A trunk 1024-512-512 on 256 rows with so many heads: forward and back, and for a Gramian each task's δ through one layer and the cheaper form of
/// the inner products.
fn trunk(tasks: f64, equal: bool) -> Counted {
    let (rows, [first, second]) = (256.0, [[1024.0, 512.0], [512.0, 512.0_f64]]);
    let size = |[inputs, outputs]: [f64; 2]| inputs * outputs;
    let heads = tasks * 512.0;
    let once = 2.0 * rows * (2.0 * size(first) + 3.0 * size(second) + 3.0 * heads);
    let inner = |layer: [f64; 2]| {
        let gradients = 2.0 * tasks * rows * size(layer) + 2.0 * tasks * tasks * size(layer);
        let compact = 2.0 * tasks * rows * rows * layer[1] + 2.0 * tasks * tasks * rows * layer[1];
        gradients.min(compact)
    };
    let gramian = 2.0 * tasks * rows * size(second) + inner(first) + inner(second);
    let parameters = size(first) + size(second) + 1024.0 + heads + tasks;
    Counted { operations: once + if equal { 0.0 } else { gramian }, bytes: optimizer(parameters) }
}

/// What a device does in a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ceilings {
    pub(super) operations: f64,
    pub(super) bytes: f64,
}

impl Ceilings {
    /// Measured on a device in float32 and, on a GPU, with TF32.
    pub(super) fn of_both(device: &str) -> Result<[Self; 2]> {
        let device = device.parse::<DeviceChoice>()?.resolve()?;
        if device == Device::Cpu {
            return Ok([Self::of(device)?; 2]);
        }
        capture::allow_tf32(false)?;
        let full = Self::of(device)?;
        capture::allow_tf32(true)?;
        Ok([full, Self::of(device)?])
    }

    /// In words.
    pub(super) fn words([full, rounded]: &[Self; 2]) -> String {
        format!(
            "The floor is counted: operations of products over {:.1} TFLOP/s ({:.1} with TF32), measured on matrices of {SIDE} rows, or \
             bytes of the optimizer over {:.2} TB/s, measured on copies of {} MiB, whichever takes longer.",
            full.operations / 1e12,
            rounded.operations / 1e12,
            full.bytes / 1e12,
            (4 * LENGTH) >> 20,
        )
    }

    /// Measured, with products that round as products of this process do.
    pub(super) fn of(device: Device) -> Result<Self> {
        let ones = |shape: &[i64]| Tensor::f_ones(shape, (Kind::Float, device));
        let (a, mut out) = (ones(&[SIDE, SIDE])?, ones(&[SIDE, SIDE])?);
        let product = seconds(&out.shallow_clone(), || {
            let _ = out.f_addmm_(&a, &a)?;
            Ok(())
        })?;
        let (from, mut to) = (ones(&[LENGTH])?, ones(&[LENGTH])?);
        let copy = seconds(&to.shallow_clone(), || {
            to.f_copy_(&from)?;
            Ok(())
        })?;
        Ok(Self { operations: 2.0 * (SIDE as f64).powi(3) / product, bytes: 8.0 * LENGTH as f64 / copy })
    }
}

/// Seconds of one repetition; a number of `result` is read to wait for all.
fn seconds(result: &Tensor, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let wait = || result.f_flatten(0, -1)?.f_double_value(&[0]);
    run()?;
    wait()?;
    let start = Instant::now();
    for _ in 0..REPETITIONS {
        run()?;
    }
    wait()?;
    Ok(start.elapsed().as_secs_f64() / f64::from(REPETITIONS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{How, work};

    #[test]
    fn parameters_are_those_of_the_works() {
        for name in ["trunk-3-equal", "trunk-2-mgda", "sinusoid-1", "sinusoid-1-64", "conv4-1-1"] {
            let parameters = work(name, How::default()).unwrap().start().unwrap().layout().trained_count();
            let counted = Counted::of(name).unwrap();
            assert_eq!(counted.bytes, optimizer(parameters as f64), "{name}");
        }
        assert!(Counted::of("census-1").is_none());
    }

    #[test]
    fn operations_are_those_of_products() {
        // 1-40-40-1, one row: 1680 products forward.
        assert_eq!(Counted::of("sinusoid-1").unwrap().operations, 25.0 * 120.0 * 3360.0);
        let (one, two) = (Counted::of("trunk-1-equal").unwrap(), Counted::of("trunk-2-equal").unwrap());
        assert_eq!(two.operations - one.operations, 6.0 * 256.0 * 512.0);
    }
}
