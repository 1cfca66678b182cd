use manytask_tensor::dense::{Accumulate, Matrix, Real, product, product_into};
use rayon::prelude::*;

use crate::Result;

/// Columns that a product takes at once, so that what it adds to stays in the cache.
const COLUMNS: usize = 1024;
/// With so few channels the nine shifted copies are written side by side, for one product instead of nine thin ones.
const FEW: usize = 4;

/// How pictures lie in memory: channel by channel, and within a channel picture by picture, with a zero at the end of each row,
/// a row of zeros below each picture, and as many before the first and behind the last.
///
/// A convolution of 3 × 3 with zeros around is then nine products with the same memory, shifted: `y = Σₖ Wₖ x[· + kᵗʰ shift]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Planes {
    pub(super) pictures: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Planes {
    fn pitch(self) -> usize {
        self.width + 1
    }

    fn margin(self) -> usize {
        self.pitch() + 1
    }

    /// The numbers between the margins.
    fn inner(self) -> usize {
        self.pictures * (self.height + 1) * self.pitch()
    }

    /// The numbers of a channel.
    pub(super) fn channel(self) -> usize {
        2 * self.margin() + self.inner()
    }

    /// The pixels of a channel.
    pub(super) fn pixels(self) -> usize {
        self.pictures * self.height * self.width
    }

    /// Where in a channel a picture's row begins.
    pub(super) fn row(self, picture: usize, y: usize) -> usize {
        self.margin() + (picture * (self.height + 1) + y) * self.pitch()
    }

    /// The rows of pixels of a channel, picture by picture.
    pub(super) fn rows<T>(self, channel: &[T]) -> impl Iterator<Item = &[T]> {
        (0..self.pictures).flat_map(move |picture| {
            (0..self.height).map(move |y| {
                let start = self.row(picture, y);
                channel.get(start..start + self.width).unwrap_or_default()
            })
        })
    }

    /// Applies `f` to each row of pixels of a channel.
    pub(super) fn each_row<T>(self, channel: &mut [T], mut f: impl FnMut(&mut [T])) {
        for picture in 0..self.pictures {
            for y in 0..self.height {
                let start = self.row(picture, y);
                f(channel.get_mut(start..start + self.width).unwrap_or_default());
            }
        }
    }

    /// Half of it, rounded down.
    pub(super) fn halved(self) -> Self {
        Self { height: self.height / 2, width: self.width / 2, ..self }
    }

    /// Lays out pictures whose channels and pictures begin `strides` numbers apart, each row by row.
    pub(super) fn spread<T: Real>(
        self,
        from: &[T],
        channels: usize,
        strides: (usize, usize),
        to: &mut Vec<T>,
    ) {
        to.clear();
        to.resize(channels * self.channel(), T::zero());
        let size = self.height * self.width;
        for (number, channel) in to.chunks_exact_mut(self.channel()).enumerate() {
            for picture in 0..self.pictures {
                let start = number * strides.0 + picture * strides.1;
                let from = from.get(start..start + size).unwrap_or_default();
                for (y, row) in from.chunks_exact(self.width.max(1)).enumerate() {
                    let start = self.row(picture, y);
                    if let Some(place) = channel.get_mut(start..start + row.len()) {
                        place.copy_from_slice(row);
                    }
                }
            }
        }
    }

    /// The pixels alone, channel by channel and picture by picture.
    pub(super) fn gather<T: Real>(self, from: &[T], to: &mut Vec<T>) {
        to.clear();
        for channel in from.chunks_exact(self.channel()) {
            self.rows(channel).for_each(|row| to.extend_from_slice(row));
        }
    }

    /// The start of what lies under the k-th of nine kernel points, for the first number between the margins.
    fn shifted(self, k: usize) -> usize {
        (k / 3) * self.pitch() + k % 3
    }

    /// `out = Σₖ Wₖ x[k]`, or added to `out`, for the kernel `[O, C, 3, 3]`; channels of `out` are shared out among threads.
    pub(super) fn convolve<T: Real>(
        self,
        kernel: &[T],
        x: &[T],
        accumulate: Accumulate,
        out: &mut [T],
        threads: usize,
    ) -> Result<()> {
        let channels = x.len() / self.channel();
        let outputs = out.len() / self.channel();
        let nine = channels * 9;
        groups(out, self.channel(), outputs, threads, |first, out| {
            let count = out.len() / self.channel();
            let kernel = kernel.get(first * nine..(first + count) * nine).unwrap_or_default();
            let mut copies = Vec::new();
            self.pieces(|start, length| {
                let place = out.get_mut(self.margin() + start..).unwrap_or_default();
                if channels <= FEW {
                    self.side_by_side(x, channels, start, length, &mut copies);
                    let (w, x) = (Matrix::new(kernel, count, nine)?, Matrix::new(&copies, nine, length)?);
                    return Ok(product_into(place, self.channel(), accumulate, T::one(), w, x, 1)?);
                }
                for k in 0..9 {
                    let accumulate = if k == 0 { accumulate } else { Accumulate::Yes };
                    let w = kernel.get(k..).unwrap_or_default();
                    let w = Matrix::strided(w, count, channels, (nine, 9))?;
                    let x = x.get(self.shifted(k) + start..).unwrap_or_default();
                    let x = Matrix::strided(x, channels, length, (self.channel(), 1))?;
                    product_into(place, self.channel(), accumulate, T::one(), w, x, 1)?;
                }
                Ok(())
            })
        })
    }

    /// The cotangent of what came in, `Σₖ Wₖᵀ dy[−k]`, or added to `out`. Its numbers between pixels mean nothing.
    pub(super) fn vjp<T: Real>(
        self,
        kernel: &[T],
        dy: &[T],
        accumulate: Accumulate,
        out: &mut [T],
        threads: usize,
    ) -> Result<()> {
        let (outputs, channels) = (dy.len() / self.channel(), out.len() / self.channel());
        groups(out, self.channel(), channels, threads, |first, out| {
            let count = out.len() / self.channel();
            self.pieces(|start, length| {
                let place = out.get_mut(self.margin() + start..).unwrap_or_default();
                for k in 0..9 {
                    let accumulate = if k == 0 { accumulate } else { Accumulate::Yes };
                    let w = kernel.get(first * 9 + k..).unwrap_or_default();
                    let w = Matrix::strided(w, outputs, count, (channels * 9, 9))?.transposed();
                    let dy = dy.get(self.shifted(8 - k) + start..).unwrap_or_default();
                    let dy = Matrix::strided(dy, outputs, length, (self.channel(), 1))?;
                    product_into(place, self.channel(), accumulate, T::one(), w, dy, 1)?;
                }
                Ok(())
            })
        })
    }

    /// The gradient of the kernel, `dWₖ = dy x[k]ᵀ`, or added to `out`.
    pub(super) fn kernel_gradient<T: Real>(
        self,
        dy: &[T],
        x: &[T],
        accumulate: Accumulate,
        out: &mut [T],
        threads: usize,
    ) -> Result<()> {
        let (outputs, channels) = (dy.len() / self.channel(), x.len() / self.channel());
        let nine = channels * 9;
        if accumulate == Accumulate::No {
            out.fill(T::zero());
        }
        groups(out, nine, outputs, threads, |first, out| {
            let count = out.len() / nine;
            let (mut copies, mut sums) = (Vec::new(), vec![T::zero(); count * nine]);
            self.pieces(|start, length| {
                let dy = dy.get(first * self.channel() + self.margin() + start..).unwrap_or_default();
                let dy = Matrix::strided(dy, count, length, (self.channel(), 1))?;
                if channels <= FEW {
                    self.side_by_side(x, channels, start, length, &mut copies);
                    let x = Matrix::new(&copies, nine, length)?.transposed();
                    return Ok(product(out, Accumulate::Yes, T::one(), dy, x, 1)?);
                }
                for (k, sums) in sums.chunks_exact_mut(count * channels).enumerate() {
                    let x = x.get(self.shifted(k) + start..).unwrap_or_default();
                    let x = Matrix::strided(x, channels, length, (self.channel(), 1))?.transposed();
                    product(sums, Accumulate::Yes, T::one(), dy, x, 1)?;
                }
                Ok(())
            })?;
            // From [9, O, C] to [O, C, 9].
            for (k, sums) in sums.chunks_exact(count * channels).enumerate() {
                out.iter_mut().skip(k).step_by(9).zip(sums).for_each(|(out, sum)| *out += *sum);
            }
            Ok(())
        })
    }

    /// The nine shifted copies of each channel, `[9 C, length]`.
    fn side_by_side<T: Real>(
        self,
        x: &[T],
        channels: usize,
        start: usize,
        length: usize,
        copies: &mut Vec<T>,
    ) {
        copies.clear();
        for channel in x.chunks_exact(self.channel()).take(channels) {
            for k in 0..9 {
                let from = self.shifted(k) + start;
                copies.extend_from_slice(channel.get(from..from + length).unwrap_or_default());
            }
        }
    }

    /// Runs through what lies between the margins by pieces: first number and length.
    fn pieces(self, mut f: impl FnMut(usize, usize) -> Result<()>) -> Result<()> {
        (0..self.inner()).step_by(COLUMNS).try_for_each(|start| f(start, COLUMNS.min(self.inner() - start)))
    }
}

/// Shares out `count` runs of `each` numbers among threads: the first run's number, and the runs.
pub(super) fn groups<T: Real>(
    all: &mut [T],
    each: usize,
    count: usize,
    threads: usize,
    f: impl Fn(usize, &mut [T]) -> Result<()> + Sync,
) -> Result<()> {
    let share = count.div_ceil(threads.max(1)).max(1);
    if share >= count {
        return f(0, all);
    }
    all.par_chunks_mut(share * each).enumerate().try_for_each(|(number, runs)| f(number * share, runs))
}
