//! Transportation problems, solved exactly: the earth mover's distance.

/// A cheapest way to bring what sources have to sinks, with the prices that prove it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Transport {
    /// What goes from each source to each sink, row by row.
    pub(crate) flow: Vec<f64>,
    /// The price at each source and at each sink: together never above the cost, and equal to it where something goes. So they are the
    /// derivatives of the whole cost by supplies and demands, up to a number that is added to one and taken from the other.
    pub(crate) prices: (Vec<f64>, Vec<f64>),
}

/// What is left of a supply or a demand where all of it is gone but for rounding, relative to the whole.
const NOTHING: f64 = 1e-12;

/// The search for the cheapest way from one source: what is known of each source and sink.
struct Search {
    /// The cost to each sink beyond prices, and the source before it.
    sinks: Vec<(f64, usize)>,
    done: Vec<bool>,
    /// The cost to each source, and the sink before it; infinite where it was not reached.
    sources: Vec<(f64, usize)>,
}

impl Transport {
    /// Solves `min Σ f c` with row sums `supply` and column sums `demand`, all at least 0 and of one total, by shortest augmenting
    /// paths (Ford & Fulkerson 1956; Edmonds & Karp 1972): each supply goes along the cheapest ways, back over what went before where
    /// that is cheaper, with prices that keep all remaining costs at 0 or above. Costs `[sources × sinks]` row by row.
    ///
    /// Takes `O(n²)` for each of some `2n` paths for n sources and sinks. Costs that are not finite are ways that nothing goes.
    pub(crate) fn solve(cost: &[f64], supply: &[f64], demand: &[f64]) -> Self {
        let (rows, columns) = (supply.len(), demand.len());
        assert_eq!(cost.len(), rows * columns, "a cost for each source and sink");
        let cheapest = |row: usize| {
            let costs = cost.iter().skip(row * columns).take(columns).filter(|cost| cost.is_finite());
            costs.copied().reduce(f64::min).unwrap_or(0.0)
        };
        let prices = ((0..rows).map(cheapest).collect(), vec![0.0; columns]);
        let mut this = Self { flow: vec![0.0; rows * columns], prices };
        let nothing = NOTHING * supply.iter().sum::<f64>();
        let mut demand = demand.to_vec();
        for (source, supply) in supply.iter().enumerate() {
            let mut supply = *supply;
            // Each path uses up the supply, a demand or what goes along one way.
            for _ in 0..4 * (rows + columns) * (rows + columns).max(1) {
                if supply <= nothing {
                    break;
                }
                let Some((search, sink)) = this.cheapest(cost, source, &demand, nothing) else { break };
                this.reprice(&search, sink);
                supply -= this.send(&search, (source, supply), sink, &mut demand);
            }
        }
        this
    }

    /// The search from a source until it comes to a sink that still wants something, and that sink.
    fn cheapest(&self, cost: &[f64], from: usize, demand: &[f64], nothing: f64) -> Option<(Search, usize)> {
        let (rows, columns) = (self.prices.0.len(), self.prices.1.len());
        let mut search = Search {
            sinks: vec![(f64::INFINITY, from); columns],
            done: vec![false; columns],
            sources: vec![(f64::INFINITY, columns); rows],
        };
        search.sources[from].0 = 0.0;
        self.onwards(cost, from, &mut search);
        loop {
            let open = (0..columns).filter(|sink| !search.done[*sink]);
            let sink = open.min_by(|a, b| search.sinks[*a].0.total_cmp(&search.sinks[*b].0))?;
            let reached = search.sinks[sink].0;
            if !reached.is_finite() {
                return None;
            }
            search.done[sink] = true;
            if demand[sink] > nothing {
                return Some((search, sink));
            }
            // Back to the sources whose supply goes there: that costs nothing beyond prices.
            for row in 0..rows {
                if search.sources[row].0.is_infinite() && self.flow[row * columns + sink] > nothing {
                    search.sources[row] = (reached, sink);
                    self.onwards(cost, row, &mut search);
                }
            }
        }
    }

    /// From a source that was just reached to all sinks.
    fn onwards(&self, cost: &[f64], source: usize, search: &mut Search) {
        let (at, columns) = (search.sources[source].0, self.prices.1.len());
        for sink in 0..columns {
            let rest = cost[source * columns + sink] - self.prices.0[source] - self.prices.1[sink];
            let reached = at + if rest.is_nan() { f64::INFINITY } else { rest.max(0.0) };
            if !search.done[sink] && reached < search.sinks[sink].0 {
                search.sinks[sink] = (reached, source);
            }
        }
    }

    /// Moves prices so that the way that was found costs nothing beyond them.
    fn reprice(&mut self, search: &Search, sink: usize) {
        let whole = search.sinks[sink].0;
        for (price, (reached, _)) in self.prices.0.iter_mut().zip(&search.sources) {
            *price += (whole - reached).max(0.0);
        }
        for (price, (reached, _)) in self.prices.1.iter_mut().zip(&search.sinks) {
            *price -= (whole - reached).max(0.0);
        }
    }

    /// Sends what can go along the way that was found; answers how much that was.
    fn send(
        &mut self,
        search: &Search,
        (from, supply): (usize, f64),
        sink: usize,
        demand: &mut [f64],
    ) -> f64 {
        let columns = demand.len();
        let mut steps = Vec::new();
        let mut at = sink;
        loop {
            let source = search.sinks[at].1;
            steps.push((source * columns + at, 1.0));
            if source == from {
                break;
            }
            let before = search.sources[source].1;
            steps.push((source * columns + before, -1.0));
            at = before;
        }
        let back = steps.iter().filter(|(_, sign)| *sign < 0.0).map(|(place, _)| self.flow[*place]);
        let amount = back.fold(supply.min(demand[sink]), f64::min);
        for (place, sign) in steps {
            self.flow[place] = (self.flow[place] + sign * amount).max(0.0);
        }
        demand[sink] -= amount;
        amount
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: u64, count: usize) -> Vec<f64> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        (0..count).map(|_| next()).collect()
    }

    fn normalised(values: Vec<f64>) -> Vec<f64> {
        let sum: f64 = values.iter().sum();
        values.into_iter().map(|value| value / sum).collect()
    }

    #[test]
    fn a_plan_is_possible_and_its_prices_prove_that_none_is_cheaper() {
        for (seed, (rows, columns)) in
            [(1, 1), (1, 4), (5, 3), (9, 9), (25, 25), (7, 30)].into_iter().enumerate()
        {
            for round in 0..20 {
                let seed = (100 * seed + round + 1) as u64;
                let (supply, demand) =
                    (normalised(random(seed, rows)), normalised(random(seed + 5_000, columns)));
                let cost: Vec<f64> =
                    random(seed + 9_000, rows * columns).iter().map(|c| 2.0 * c - 0.5).collect();
                let Transport { flow, prices } = Transport::solve(&cost, &supply, &demand);
                assert!(flow.iter().all(|flow| *flow >= 0.0));
                for (row, supply) in supply.iter().enumerate() {
                    let sent: f64 = flow[row * columns..(row + 1) * columns].iter().sum();
                    assert!((sent - supply).abs() < 1e-10, "{rows} x {columns}");
                }
                for (column, demand) in demand.iter().enumerate() {
                    let got: f64 = (0..rows).map(|row| flow[row * columns + column]).sum();
                    assert!((got - demand).abs() < 1e-10, "{rows} x {columns}");
                }
                // Weak duality: no plan is cheaper than what supplies and demands are worth at prices that are never above a cost.
                let worth: f64 = supply.iter().zip(&prices.0).map(|(a, b)| a * b).sum::<f64>()
                    + demand.iter().zip(&prices.1).map(|(a, b)| a * b).sum::<f64>();
                let paid: f64 = flow.iter().zip(&cost).map(|(a, b)| a * b).sum();
                assert!((worth - paid).abs() < 1e-10, "{rows} x {columns}: {worth} {paid}");
                for row in 0..rows {
                    for column in 0..columns {
                        let price = prices.0[row] + prices.1[column];
                        assert!(price <= cost[row * columns + column] + 1e-10, "{rows} x {columns}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_assignment_of_equal_masses_is_the_cheapest_permutation() {
        let cost = random(3, 16);
        let Transport { flow, .. } = Transport::solve(&cost, &[1.0; 4], &[1.0; 4]);
        let paid: f64 = flow.iter().zip(&cost).map(|(a, b)| a * b).sum();
        let mut cheapest = f64::INFINITY;
        for code in 0..256_usize {
            let columns: Vec<usize> = (0..4).map(|row| (code >> (2 * row)) & 3).collect();
            if (0..4).all(|column| columns.contains(&column)) {
                let sum: f64 = columns.iter().enumerate().map(|(row, column)| cost[4 * row + column]).sum();
                cheapest = cheapest.min(sum);
            }
        }
        assert!((paid - cheapest).abs() < 1e-12);
    }

    #[test]
    fn impossible_numbers_end_without_a_plan() {
        let found = Transport::solve(&[f64::NAN; 4], &[0.5; 2], &[0.5; 2]);
        assert_eq!(found.flow, [0.0; 4]);
        assert!(Transport::solve(&[], &[], &[]).flow.is_empty());
    }
}
