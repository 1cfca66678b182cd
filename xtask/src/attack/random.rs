//! Random numbers that are functions of a seed: every trial can be made again.

/// A stream of random numbers (`SplitMix64`).
#[derive(Debug, Clone)]
pub(crate) struct Rng {
    state: u64,
}

impl Rng {
    /// The stream of one trial: of the seed of all, the name of its kind and its number.
    pub(crate) fn new(seed: u64, label: &str, number: u64) -> Self {
        let mut rng = Self { state: seed };
        for part in label.bytes().map(u64::from).chain([number]) {
            rng.state = rng.next().wrapping_add(part);
        }
        rng
    }

    /// 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next() % bound as u64) as usize }
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// A number in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True so often.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A number of mean 0 and deviation 1, nearly normal.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// One of several; the default where there is none.
    pub(crate) fn pick<T: Clone + Default>(&mut self, among: &[T]) -> T {
        let place = self.below(among.len());
        among.get(place).cloned().unwrap_or_default()
    }

    /// All in another order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// Each with this probability.
    pub(crate) fn some<T: Clone>(&mut self, among: &[T], probability: f64) -> Vec<T> {
        among.iter().filter(|_| self.chance(probability)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_function_of_its_name() {
        let numbers = |seed, label, number| {
            let mut rng = Rng::new(seed, label, number);
            [rng.next(), rng.next(), rng.next()]
        };
        assert_eq!(numbers(1, "kill", 2), numbers(1, "kill", 2));
        let others = [numbers(2, "kill", 2), numbers(1, "disk", 2), numbers(1, "kill", 3)];
        assert!(others.iter().all(|other| *other != numbers(1, "kill", 2)));
    }

    #[test]
    fn numbers_keep_to_their_range() {
        let mut rng = Rng::new(1, "range", 0);
        let drawn: Vec<usize> = (0..200).map(|_| rng.between(3, 6)).collect();
        assert!((3..=6).all(|number| drawn.contains(&number)) && drawn.iter().all(|n| (3..=6).contains(n)));
        assert_eq!((rng.below(0), rng.pick::<u8>(&[])), (0, 0));
        let mut order: Vec<usize> = (0..9).collect();
        rng.shuffle(&mut order);
        order.sort_unstable();
        assert_eq!(order, (0..9).collect::<Vec<_>>());
        let mean = (0..2000).map(|_| rng.normal()).sum::<f64>() / 2000.0;
        assert!(mean.abs() < 0.15, "{mean}");
    }
}
